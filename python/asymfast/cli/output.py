"""What must be in place before a long run begins: somewhere to write, something to draw with."""

from __future__ import annotations

from pathlib import Path

from asymfast import figures
from asymfast._atomic import replacing
from asymfast.cli.errors import CommandError


def require_folder(folder: Path) -> None:
    """Create the folder if it is missing, and try that files can be written there.

    Raises
    ------
    CommandError
        It cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "asymfast.probe") as temporary:
            temporary.touch()
        (folder / "asymfast.probe").unlink()
    except OSError as refused:
        raise CommandError(
            f"cannot write to the folder {folder}: {refused.strerror or refused}"
        ) from refused


def require_figures() -> None:
    """Check that figures can be drawn.

    Raises
    ------
    CommandError
        matplotlib is missing; the message says how to install it and how to do without.
    """
    try:
        figures.require_matplotlib()
    except ImportError as missing:
        raise CommandError(f"{missing}, or add --no-figure") from missing
