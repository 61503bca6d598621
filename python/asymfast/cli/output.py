"""What must be in place before a long run begins: somewhere to write, something to draw with, a
checkpoint to go on from, the device.
"""

from __future__ import annotations

from pathlib import Path

from asymfast import cuda, plot
from asymfast._storage import replacing
from asymfast.cli.errors import CommandError

# Beside the results while training goes on, and after it was interrupted or killed.
_CHECKPOINT = "unfinished.checkpoint"


def checkpoint(folder: Path) -> Path:
    """Say where the state of the run is kept, and tell the user if one is there to go on from."""
    path = folder / _CHECKPOINT
    if path.exists():
        print(f"going on from {path}", flush=True)
    return path


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


def require_device(device: str) -> None:
    """Check that the device can be had.

    Raises
    ------
    CommandError
        It is "cuda", and something is missing: the message says what.
    """
    try:
        if device == "cuda":
            cuda.require("--device cuda")
    except RuntimeError as missing:
        raise CommandError(str(missing)) from missing


def require_figures() -> None:
    """Check that figures can be drawn.

    Raises
    ------
    CommandError
        matplotlib is missing; the message says how to install it and how to do without.
    """
    try:
        plot.require_matplotlib()
    except ImportError as missing:
        raise CommandError(f"{missing}, or add --no-figure") from missing
