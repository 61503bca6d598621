"""A folder of results, one file a run, named by a hash of the settings the numbers depend on.

    asymfast-store.json           what the folder is
    runs/<key>.npz                finished runs: arrays, configuration, further information
    unfinished/<key>.ckpt         checkpoints of the others
    unfinished/<key>.begun        processes that have begun them, one a line
    failures/<key>.json           runs that failed: the configuration and why
    locks/<key>.lock              held by the process that works on a run

Files are complete or absent, whatever kills a writer. Nothing in them is ever executed.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast.record import COLUMNS
from asymfast.study.config import as_plain

_MARKER = "asymfast-store.json"
_FORMAT = "asymfast store 2"
_FOLDERS = ("runs", "unfinished", "failures", "locks")
_ABANDONED = 86400.0  # seconds without a byte more; clocks of hosts may differ

Arrays = dict[str, NDArray[Any]]


class StoreError(ValueError):
    """A folder is not a results store, or a file in it is damaged or not its own; see `sweep`."""


def canonical(table: Any) -> str:
    """Return the one JSON text of a plain value: keys sorted, 1.0 written as 1."""
    return json.dumps(_whole(table), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(table: Any) -> str:
    """Return 16 hex digits of the SHA-256 of the canonical text.

    Two of 10^6 different tables share them with a probability of 3 in 10^8.
    """
    return hashlib.sha256(canonical(table).encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    return [_whole(entry) for entry in value] if isinstance(value, list) else value


class Store:
    """Results in a folder that any number of processes and hosts may share.

    With ``create=False`` an existing store is opened, and nothing is written by that. A StoreError
    says that the folder holds other things, or that a file in it is damaged or not of this store.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.folder = Path(os.path.realpath(_storage.path("Store", "folder", folder)))
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(
                errno.ENOTDIR, "Store: folder must be a folder", str(self.folder)
            )
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        marker = self.folder / _MARKER
        if not marker.exists():
            # Names with a dot are temporary files of another process, or of a file browser.
            others = sorted(p.name for p in self.folder.iterdir() if not p.name.startswith("."))
            if not marker.exists() and (others or not create):
                what = f"it holds {', '.join(others[:3])}" if others else "it is empty"
                raise StoreError(f"Store: {self.folder} is not a results store: {what}")
            _storage.write_text(marker, json.dumps({"format": _FORMAT}) + "\n")
        found = _read_json(marker).get("format")
        if found != _FORMAT:
            raise StoreError(
                f"Store: {marker} must name the format {_FORMAT!r}, got {found!r}; "
                "results of another version need another folder"
            )
        if create:
            for name in _FOLDERS:
                (self.folder / name).mkdir(exist_ok=True)
            self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left: partial files, and all but the result of a run."""
        for path in self.folder.glob("*/*"):
            with suppress(OSError):  # others remove them, too; the folder may be read-only
                if path.name.startswith("."):
                    abandoned = time.time() - path.stat().st_mtime > _ABANDONED
                else:
                    finished = self.folder / "runs" / f"{path.stem}.npz"
                    abandoned = path.parent.name != "runs" and finished.exists()
                if abandoned:
                    path.unlink()

    # ---- names -----------------------------------------------------------------------------------

    @staticmethod
    def key(config: Mapping[str, Any]) -> str:
        """Return the name of a configuration: 16 hex digits of the SHA-256 of its canonical JSON.

        NumPy's scalars and tuples count as Python's numbers and lists, and 1.0 as 1.
        """
        return digest(_plain_config(config))

    def _file(self, folder: str, config: Mapping[str, Any], ending: str) -> Path:
        return self.folder / folder / f"{self.key(config)}{ending}"

    def path(self, config: Mapping[str, Any]) -> Path:
        """Return where the result of a configuration is, or would be."""
        return self._file("runs", config, ".npz")

    def checkpoint(self, config: Mapping[str, Any]) -> Path:
        """Return where an unfinished run keeps its checkpoint; `save` removes it."""
        return self._file("unfinished", config, ".ckpt")

    # ---- who works on what -----------------------------------------------------------------------

    def finished(self, config: Mapping[str, Any]) -> bool:
        """Whether the result of a configuration exists."""
        return self.path(config).exists()

    @contextmanager
    def lock(self, config: Mapping[str, Any]) -> Iterator[bool]:
        """Hold the lock of a configuration while the block runs; yield False if another has it.

        The operating system releases it when the process ends, however it ends.
        """
        path = self._file("locks", config, ".lock")
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
            if self.finished(config):
                with suppress(OSError):  # on Windows another process may have it open
                    path.unlink(missing_ok=True)

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write down an attempt at a run, and by which process."""
        with self._file("unfinished", config, ".begun").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {platform.node()}\n")

    def attempts(self, config: Mapping[str, Any]) -> int:
        """Return how often an unfinished run has been begun."""
        try:
            return self._file("unfinished", config, ".begun").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    # ---- results ---------------------------------------------------------------------------------

    def save(
        self,
        config: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        info: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the result of a configuration; its checkpoint and its failure are removed.

        The information is JSON-able and no part of the key; its ``axes`` name those of the arrays.
        """
        config = _plain_config(config)
        header = {
            "format": _FORMAT,
            "config": config,
            "info": as_plain("Store.save", "info", dict(info or {}), finite=False),
        }
        columns = {name: _column(name, values) for name, values in arrays.items()}
        path = self.path(config)
        _storage.save_npz(path, columns, header, durable=True)
        unfinished = [("unfinished", ".ckpt"), ("unfinished", ".begun"), ("failures", ".json")]
        for folder, ending in unfinished:
            self._file(folder, config, ending).unlink(missing_ok=True)
        return path

    def load(self, config: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and information of a finished configuration."""
        _, arrays, info = self._read(self.path(config))
        return arrays, info

    def items(self) -> Iterator[tuple[dict[str, Any], Arrays, dict[str, Any]]]:
        """Iterate over configuration, arrays and information of all results, ordered by key."""
        for path in self._files("runs", ".npz"):
            yield self._read(path)

    def _read(self, path: Path) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
        try:
            return _storage.load_npz(path, _FORMAT, functools.partial(self._checked, path.stem))
        except ValueError as error:
            raise StoreError(
                f"Store: {path} is damaged or not a result ({error}); delete it to repeat the run"
            ) from error

    def _checked(
        self, key: str, arrays: Arrays, header: dict[str, Any]
    ) -> tuple[dict[str, Any], Arrays, dict[str, Any]]:
        config, info = dict(header["config"]), dict(header["info"])
        if self.key(config) != key:
            raise ValueError(f"its configuration has the key {self.key(config)}")
        if "train" in config:
            _require_training(config, arrays, info)
        if "axes" in info:
            _require_axes(config, arrays, info["axes"])
        return config, arrays, info

    # ---- failures --------------------------------------------------------------------------------

    def fail(self, config: Mapping[str, Any], message: str) -> None:
        """Record that a run failed, and why; a later message replaces an earlier one."""
        if not isinstance(message, str):
            raise TypeError(f"Store.fail: message must be text, got {message!r}")
        config = _plain_config(config)
        failure = {"config": config, "message": message, "time": time.time()}
        path = self._file("failures", config, ".json")
        _storage.write_text(path, json.dumps(failure, indent=1) + "\n")
        self._file("unfinished", config, ".begun").unlink(missing_ok=True)

    def failures(self) -> dict[str, dict[str, Any]]:
        """Return the failures, by key: config, message, and time in seconds since 1970."""
        found = {}
        for path in self._files("failures", ".json"):
            failure = _read_json(path)
            missing = [name for name in ("config", "message", "time") if name not in failure]
            if missing or self.key(failure["config"]) != path.stem:
                raise StoreError(f"Store: {path} is not a failure of this store; delete it")
            found[path.stem] = failure
        return found

    def _files(self, folder: str, ending: str) -> list[Path]:
        paths = sorted((self.folder / folder).glob("[!.]*"))
        for path in paths:
            if not re.fullmatch(rf"[0-9a-f]{{16}}\{ending}", path.name):
                raise StoreError(
                    f"Store: {path} does not belong to this store; move it to another folder"
                )
        return paths


def _require_training(config: dict[str, Any], arrays: Arrays, info: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError unless it is a record, with what is read of it."""
    dtype = np.dtype(config["network"].get("dtype", "float64"))
    for name, values in arrays.items():
        info["axes"][name]
        if name in COLUMNS and values.dtype != COLUMNS[name].numpy_dtype(dtype):
            raise ValueError(f"its {name} has dtype {values.dtype}")
    if info["status"] not in ("finished", "diverged"):
        raise ValueError(f"its status is {info['status']!r}")
    for name in ("seconds", "cpu_seconds"):
        _check.number("its", name, info[name], "[0, inf)")


def _require_axes(config: dict[str, Any], arrays: Arrays, axes: dict[str, Any]) -> None:
    """Raise ValueError unless the arrays have the axes they should, of one length each."""
    sizes = {"node": config["network"]["m"]} if "network" in config else {}
    for name, names in axes.items():
        shape = arrays[name].shape
        if len(shape) != len(names):
            raise ValueError(f"{name} has {len(shape)} axes, expected {len(names)}")
        for axis, size in zip(names, shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"{name} has length {size} along {axis}, expected {sizes[axis]}")


def _plain_config(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise TypeError(f"Store: config must be a mapping, got {type(config).__name__}")
    checked: dict[str, Any] = as_plain("Store", "config", config)
    return checked


def _column(name: str, values: Any) -> NDArray[Any]:
    if not isinstance(name, str) or not name or name == "header":
        raise ValueError(f"Store.save: arrays must have names, other than 'header', got {name!r}")
    array = _check.as_array("Store.save", f"arrays[{name!r}]", values)
    if array.dtype.hasobject:
        raise TypeError(f"Store.save: arrays[{name!r}] must hold numbers or text, got objects")
    return array


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreError(f"Store: {path} is damaged: {error}") from error
