"""What ends a command early, and with which exit code."""

from __future__ import annotations

BAD_INPUT = 2  # the user can correct it; nothing was done
INTERRUPTED = 130  # what a shell reports after Ctrl-C
INCOMPLETE = 1  # the work began and did not all succeed


class CommandError(Exception):
    """Ends a command with one sentence on stderr instead of a traceback.

    Parameters
    ----------
    message : str
        The sentence, without the name of the command.
    exit_code : int
        The exit code of the process.
    """

    def __init__(self, message: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code
