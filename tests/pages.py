"""The code of a documentation page, and what the page says that it prints.

```python blocks run one after the other in one namespace; ```console blocks are commands after "$",
of which those of asymfast are run. What a ```text block below says, or what follows the
command, is what must be printed; "..." stands for anything.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code, the output the page shows for it (None: nothing shown), and its line."""

    kind: str
    code: str
    shown: str | None
    line: int


def blocks(text):
    """The python and console blocks of a page."""
    fences = list(FENCE.finditer(text))
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        kind, body = fence.groups()
        line = text[: fence.start()].count("\n") + 2
        if kind == "python":
            between = text[fence.end() : following.start()].strip() if following else None
            output = between in ("", "prints", "which print") and following.group(1) == "text"
            found.append(Block(kind, body, following.group(2) if output else None, line))
        elif kind == "console":
            for command in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                code, _, shown = command.partition("\n")
                found.append(Block(kind, code, shown or None, line))
    return found


def printed(block, namespace):
    """Run a block and return what it prints; None for commands that are not asymfast's."""
    if block.kind == "python":
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * (block.line - 1) + block.code, "page", "exec"), namespace)
        return output.getvalue()
    command = shlex.split(block.code)
    if command[0] != "asymfast":
        return None
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
