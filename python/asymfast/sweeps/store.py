"""A folder of results, one file a run, named by a hash of the settings that the run was made with.

    asymfast-store.json           what the folder is
    runs/<key>.npz                finished runs: the arrays, the config, what else is known
    unfinished/<key>.ckpt         checkpoints of the others
    failures/<key>.json           those that failed: the config and why
    claims/                       who works on what, see `claims`

Files are complete or absent, whatever kills a writer. Nothing in them is ever executed.
"""

from __future__ import annotations

import errno
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast._storage import read_npz, replacing, sync_folder
from asymfast.sweeps.canonical import digest, plain
from asymfast.sweeps.claims import Claims, clock

_MARKER = "asymfast-store.json"
_FORMAT = "asymfast store 1"
_HEADER = "header"  # the one name that no array can have
_FOLDERS = ("runs", "unfinished", "failures", "claims")
_ABANDONED = 3600.0  # seconds without a byte more; a file server may be away for a while
_KEY_DIGITS = frozenset("0123456789abcdef")

Arrays = dict[str, NDArray[Any]]


class StoreError(ValueError):
    """A folder is no store, or a file in it is damaged or not of it.

    Examples
    --------
    >>> import tempfile
    >>> import asymfast as af
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         af.load_sweep(folder)
    ...     except af.StoreError as error:
    ...         print(error)
    Store: ... is not a folder of results: it is empty
    """


class Store:
    """Results in a folder that any number of processes and hosts may share.

    Parameters
    ----------
    folder : path-like
        Made, with its parents, if it does not exist.
    create : bool
        False: only open what is there, and write nothing by that.
    stale_after : float
        Seconds without a sign of life after which a claim of another host is taken over, > 0.
        Claims of dead processes of this host are taken over at once.

    Raises
    ------
    StoreError
        The folder holds other things, or a store of another version.
    FileNotFoundError
        It does not exist, and `create` is False.
    NotADirectoryError
        It is a file.
    OSError
        It cannot be made or written to.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, create: bool = True, stale_after: float = 180.0
    ) -> None:
        self.folder = Path(os.path.realpath(_storage.path("Store", "folder", folder)))
        stale_after = _check.number("Store", "stale_after", stale_after, low=0, low_open=True)
        self._claims = Claims(self.folder / "claims", stale_after)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(
                errno.ENOTDIR, "Store: folder must be a folder", str(self.folder)
            )
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        elif not self.folder.exists():
            raise FileNotFoundError(errno.ENOENT, "Store: there is no folder", str(self.folder))
        self._open(create)

    def _open(self, create: bool) -> None:
        marker = self.folder / _MARKER
        if not marker.exists():
            # What begins with a dot is another process' marker in the making, or a file browser's.
            others = sorted(p.name for p in self.folder.iterdir() if not p.name.startswith("."))
            if not marker.exists() and (others or not create):
                what = f"it holds {', '.join(others[:3])}" if others else "it is empty"
                raise StoreError(f"Store: {self.folder} is not a folder of results: {what}")
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps({"format": _FORMAT}) + "\n", encoding="utf-8")
        found = _json_file(marker).get("format")
        if found != _FORMAT:
            raise StoreError(f"Store: {marker} must name the format {_FORMAT!r}, got {found!r}")
        if create:
            for name in _FOLDERS:
                (self.folder / name).mkdir(exist_ok=True)
            self._sweep()

    def _sweep(self) -> None:
        """Remove what killed writers left: files half written, and all but the result of a run."""
        for name in _FOLDERS:
            if halves := list((self.folder / name).glob(".*")):
                now = clock(self.folder)
                for half in halves:
                    with suppress(FileNotFoundError):
                        if now - half.stat().st_mtime > _ABANDONED:
                            half.unlink()
        for name in ("unfinished", "failures", "claims"):
            for left in (self.folder / name).glob("*.*"):
                if (self.folder / "runs" / f"{left.stem}.npz").exists():
                    left.unlink(missing_ok=True)

    # ---- names -----------------------------------------------------------------------------------

    @staticmethod
    def key(config: Mapping[str, Any]) -> str:
        """Return what names a config: 16 hex digits of the SHA-256 of its canonical JSON.

        Parameters
        ----------
        config : mapping
            Of text to numbers, text, booleans, None, and lists and mappings of such. NumPy's
            scalars and tuples are as good as Python's numbers and lists, and 1.0 is as good as 1.

        Raises
        ------
        TypeError, ValueError
            Something else in it, or a number that is not finite.
        """
        return digest(_config(config))

    def path(self, config: Mapping[str, Any]) -> Path:
        """Return where the result of a config is, or would be."""
        return self.folder / "runs" / f"{self.key(config)}.npz"

    def checkpoint(self, config: Mapping[str, Any]) -> Path:
        """Return where the unfinished run of a config keeps its checkpoint; `save` removes it."""
        return self.folder / "unfinished" / f"{self.key(config)}.ckpt"

    def _failure(self, config: Mapping[str, Any]) -> Path:
        return self.folder / "failures" / f"{self.key(config)}.json"

    # ---- who does what ---------------------------------------------------------------------------

    def finished(self, config: Mapping[str, Any]) -> bool:
        """Whether the result of a config is there."""
        return self.path(config).exists()

    def claim(self, config: Mapping[str, Any]) -> AbstractContextManager[bool]:
        """Claim a config, so that nobody else works on it meanwhile.

        Returns
        -------
        context manager of bool
            Whether we have it: it is not finished, and nobody else has it, on any host that shares
            the folder. It is given back at the end of the block; if we are killed, the next who
            claims it gets it.
        """
        return self._claims.hold(self.key(config), lambda: self.finished(config))

    def attempts(self, config: Mapping[str, Any]) -> int:
        """Return how often a config that is not finished has been claimed so far."""
        return self._claims.count(self.key(config))

    # ---- results ---------------------------------------------------------------------------------

    def save(
        self,
        config: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        info: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the result of a config; its checkpoint and its failure are forgotten.

        Parameters
        ----------
        config : mapping
            See `key`.
        arrays : mapping of str to array
            Of numbers, booleans or text. Any name but "header".
        info : mapping, optional
            More to know, as JSON has it; not part of the key.

        Returns
        -------
        pathlib.Path
            The file: an .npz that `numpy.load` reads.

        Raises
        ------
        TypeError, ValueError
            Something that cannot be written so.
        OSError
            Disk full ...; nothing is there then.
        """
        config = _config(config)
        header = {
            "format": _FORMAT,
            "config": config,
            "info": plain("Store.save", "info", dict(info or {}), finite=False),
        }
        columns = {name: _column(name, values) for name, values in arrays.items()}
        columns[_HEADER] = np.array(json.dumps(header))
        path = self.path(config)
        with replacing(path) as temporary, temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, values in columns.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, values, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
        self.checkpoint(config).unlink(missing_ok=True)
        self._failure(config).unlink(missing_ok=True)
        return path

    def load(self, config: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and info of a finished config.

        Raises
        ------
        FileNotFoundError
            It is not finished.
        StoreError
            The file is damaged, or that of another config.
        """
        _, arrays, info = self._read(self.path(config))
        return arrays, info

    def items(self) -> Iterator[tuple[dict[str, Any], Arrays, dict[str, Any]]]:
        """Iterate over config, arrays and info of all that is finished, in the order of the keys.

        Raises
        ------
        StoreError
            A file is damaged, or not of this store.
        """
        for path in self._files("runs", ".npz"):
            yield self._read(path)

    def _read(self, path: Path) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
        try:
            arrays = read_npz(path)
            header = json.loads(str(arrays.pop(_HEADER)))
            if header["format"] != _FORMAT:
                raise ValueError(f"its format is {header['format']!r}, expected {_FORMAT!r}")
            config, info = dict(header["config"]), dict(header["info"])
            if self.key(config) != path.stem:
                raise ValueError(f"its config has the key {self.key(config)}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else str(error)
            raise StoreError(
                f"Store: {path} is damaged or not a result ({reason}); "
                "delete it to have the run made again"
            ) from error
        return config, arrays, info

    # ---- failures --------------------------------------------------------------------------------

    def fail(self, config: Mapping[str, Any], message: str) -> None:
        """Write down that the run of a config failed, and why; a later one replaces it.

        Raises
        ------
        OSError
            Disk full ...
        """
        if not isinstance(message, str):
            raise TypeError(f"Store.fail: message must be text, got {message!r}")
        config = _config(config)
        failure = {"config": config, "message": message, "time": time.time()}
        with replacing(self._failure(config)) as temporary:
            temporary.write_text(json.dumps(failure, indent=1) + "\n", encoding="utf-8")

    def failures(self) -> dict[str, dict[str, Any]]:
        """Return the failures, by key: config, message, and time in seconds since 1970.

        Raises
        ------
        StoreError
            A file is damaged, or not of this store.
        """
        found = {}
        for path in self._files("failures", ".json"):
            failure = _json_file(path)
            missing = [name for name in ("config", "message", "time") if name not in failure]
            if missing or self.key(failure["config"]) != path.stem:
                raise StoreError(f"Store: {path} is not a failure of this store; delete it")
            found[path.stem] = failure
        return found

    def _files(self, folder: str, ending: str) -> list[Path]:
        paths = sorted(
            path for path in (self.folder / folder).glob("*") if not path.name.startswith(".")
        )
        for path in paths:
            if (
                path.suffix != ending
                or len(path.stem) != 16
                or not _KEY_DIGITS.issuperset(path.stem)
            ):
                raise StoreError(f"Store: {path} is not of this store; move it elsewhere")
        return paths


def _config(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise TypeError(f"Store: config must be a mapping, got {type(config).__name__}")
    checked: dict[str, Any] = plain("Store", "config", config)
    return checked


def _column(name: str, values: Any) -> NDArray[Any]:
    if not isinstance(name, str) or not name or name == _HEADER:
        raise ValueError(f"Store.save: arrays must have names, other than 'header', got {name!r}")
    array = _check.plain("Store.save", f"arrays[{name!r}]", values)
    if array.dtype.hasobject:
        raise TypeError(f"Store.save: arrays[{name!r}] must hold numbers or text, got objects")
    return array


def _json_file(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreError(f"Store: {path} is damaged: {error}") from error
