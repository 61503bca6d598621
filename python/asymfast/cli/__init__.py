"""The command ``asymfast``: train on a CSV file, repeat the paper, certify a run, sweep a grid,
describe the build.

Exit codes: 0 when everything was done; 1 when the work began but did not all succeed; 2 when the
request could not be carried out (the sentence on stderr says why); 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from asymfast import __version__
from asymfast.cli import certify, info, locations, paper, sweep, train
from asymfast.cli.arguments import Parser
from asymfast.cli.errors import INCOMPLETE, INTERRUPTED, CommandError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process when None.

    Returns
    -------
    int
        The exit code. Nothing is raised for a mistake of the user: one sentence goes to stderr.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as leaving:  # --help, --version and mistakes; argparse has had its say
        return int(leaving.code or 0)
    try:
        code: int = options.execute(options)
        sys.stdout.flush()
    except CommandError as stopped:
        return _fail(options.command, str(stopped), stopped.exit_code)
    except MemoryError as shortage:
        return _fail(options.command, f"not enough memory: {shortage}", INCOMPLETE)
    except KeyboardInterrupt:
        return _fail(options.command, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). The interpreter flushes stdout once more on
        # its way out; give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INCOMPLETE
    except OSError as refused:  # a full disk, at the end of a run
        return _fail(options.command, f"cannot write the results: {refused}", INCOMPLETE)
    return code


def _fail(command: str, message: str, code: int) -> int:
    print(f"asymfast {command}: {message}", file=sys.stderr)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="asymfast",
        description="Shallow neural networks with asymmetrical node scaling.",
        epilog="Exit codes: 0 everything was done; 1 the work began but did not all succeed; 2 the "
        "request could not be carried out, stderr says why; 130 after Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"asymfast {__version__}")
    locations.register(parser)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{train,paper,certify,sweep,info}"
    )
    for command in (train, paper, certify, sweep, info):
        command.register(commands)
    return parser
