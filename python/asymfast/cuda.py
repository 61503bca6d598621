"""What CUDA support this machine has, and what is missing for ``device="cuda"``.

The kernels are in a separate extension module, built with the CMake option ``ASYMFAST_CUDA``. It
imports without a driver and is loaded on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from typing import Any

from . import _core

_OLDEST = (8, 0)  # compute capability: the first that a build has code for


def what_is_missing() -> str | None:
    """Why ``device="cuda"`` cannot be used here; None if it can, see `is_available`."""
    extension = module()
    if extension is None:
        return "a build with CUDA (CMake option ASYMFAST_CUDA); this one has none"
    driver, needed = extension.driver_version(), extension.runtime_version() // 1000
    if driver == 0:
        return "an NVIDIA driver; there is none"
    if driver // 1000 < needed:
        return f"a driver for CUDA {needed}.0 or newer; this one supports {_text(driver)}"
    if error := extension.device_error():
        return f"a device; the driver says: {error}"
    found = devices()
    if not found:
        return "a device; the driver finds none"
    name, (major, minor) = found[0]["name"], found[0]["compute_capability"]
    if (major, minor) < _OLDEST:
        return f"compute capability 8.0 or newer; {name} has {major}.{minor}"
    return None


def is_available() -> bool:
    """Whether ``device="cuda"`` can be used here.

    Examples
    --------
    >>> import asymfast as af
    >>> af.cuda.is_available() == (af.cuda.what_is_missing() is None)
    True
    """
    return what_is_missing() is None


def devices() -> list[dict[str, Any]]:
    """Return the devices that the driver finds, if any; see `is_available`. Runs use the first.

    Returns
    -------
    list of dict
        ``name``, ``compute_capability`` (pair of int), ``multiprocessors``, ``memory`` and
        ``shared_memory`` of a block in bytes. Empty without a build, a driver or a device.
    """
    extension = module()
    return [] if extension is None else list(extension.devices())


def versions() -> dict[str, str] | None:
    """CUDA versions of the build, ``runtime``, and of the ``driver``; see `is_available`.

    Such as "13.0"; the driver's is "none" if there is no driver. None without a build.
    """
    extension = module()
    if extension is None:
        return None
    runtime, driver = extension.runtime_version(), extension.driver_version()
    return {"runtime": _text(runtime), "driver": _text(driver) if driver else "none"}


def require(fn: str) -> None:
    """Make the CUDA kernels ready for a call; a RuntimeError says what is missing."""
    missing = what_is_missing()
    if missing is not None:
        raise RuntimeError(f"{fn}: device='cuda' needs {missing}")
    _join()


@lru_cache(maxsize=1)
def module() -> Any:
    """Return the extension module ``_cuda``, or None if the build has none."""
    name = f"{__package__}._cuda"
    if importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)


@lru_cache(maxsize=1)
def _join() -> None:
    _core.use_cuda(module().module())


def _text(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
