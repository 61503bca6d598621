"""Where the files of a data set are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from asymfast.datasets.fetch import cache_folder, fetch

ENVIRONMENT = "ASYMFAST_DATA"


def locate(name: str, data_dir: str | Path | None, *candidates: str) -> Path:
    """Path of one file of a data set, downloaded if it must be and may be.

    Parameters
    ----------
    name : str
        Name of the data set.
    data_dir : str or pathlib.Path, optional
        The user's folder. Without it the environment variable ASYMFAST_DATA names one; without
        that, too, the file is taken from the user's cache, which is filled by a download.
    *candidates : str
        Relative paths under which the file may lie in the folder, in the order of preference. The
        first is the one that a download creates.

    Returns
    -------
    pathlib.Path
        An existing file.

    Raises
    ------
    FileNotFoundError
        The user's folder does not have the file; nothing is downloaded then.
    ImportError, OSError, ValueError
        See `asymfast.datasets.fetch.fetch`.
    """
    if data_dir is not None:
        return _existing(name, Path(data_dir), candidates, "data_dir")
    folder = os.environ.get(ENVIRONMENT)
    if folder:
        return _existing(name, Path(folder), candidates, ENVIRONMENT)
    path = cache_folder() / candidates[0]
    if not path.is_file():
        fetch(candidates[0], path)
    return path


def _existing(name: str, folder: Path, candidates: tuple[str, ...], origin: str) -> Path:
    paths = [folder / candidate for candidate in candidates]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"load: {name} needs {' or '.join(map(str, paths))}, which does not exist "
        f"(the folder was given by {origin})"
    )
