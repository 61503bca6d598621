"""Lengths of the C++ files and functions: `python tests/cpp_sizes.py` lists what is too long."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

CPP = Path(__file__).parents[1] / "cpp"
SUFFIXES = (".cpp", ".hpp", ".h", ".cu", ".cuh")
MOST_FILE, MOST_FUNCTION = 400, 60
_NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
_NO_FUNCTION = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$")


def sources() -> list[Path]:
    return sorted(path for path in CPP.rglob("*") if path.suffix in SUFFIXES)


def functions(text: str) -> Iterator[tuple[str, int]]:
    """The head and the number of lines of each function; lambdas belong to the function around."""
    code = _NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    depth, opened, start = 0, [], 0
    for found in re.finditer(r"[{};]|^#.*$", code, re.M):
        if found[0] == "{":
            head = code[start : found.start()].strip()
            inside = any(is_function for is_function, _, _ in opened)
            is_function = not inside and "(" in head and not _NO_FUNCTION.search(head)
            first = code.count("\n", 0, start + len(code[start:]) - len(code[start:].lstrip()))
            opened.append((is_function, head, first))
            depth += 1
        elif found[0] == "}" and opened:
            is_function, head, first = opened.pop()
            if is_function:
                yield " ".join(head.split()), code.count("\n", 0, found.end()) - first + 1
        if not any(is_function for is_function, _, _ in opened):
            start = found.end()


def too_long() -> list[str]:
    found = []
    for path in sources():
        text, name = path.read_text(), path.relative_to(CPP.parent)
        if text.count("\n") > MOST_FILE:
            found.append(f"{name}: {text.count(chr(10))} lines")
        for head, lines in functions(text):
            if lines > MOST_FUNCTION:
                found.append(f"{name}: {lines} lines in {head[:100]}")
    return found


if __name__ == "__main__":
    print("\n".join(too_long()))
    sys.exit(bool(too_long()))
