"""How the compiled core was built, and where its headers and libraries are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import _core, cuda
from ._device import backend_name


def build_config() -> dict[str, Any]:
    """Return version, compiler and the choices made when the core was loaded.

    Returns
    -------
    dict
        ``version``, ``compiler``, ``eigen`` (version), ``openmp`` (bool), ``threads`` (default
        number now), ``isa`` (instruction set in use; ``ASYMFAST_ISA`` selects another),
        ``isas_available`` (built and supported by this machine, best last), ``backend`` (default;
        ``ASYMFAST_BACKEND`` changes it), ``cuda`` (versions of build and driver, see
        `asymfast.cuda`; False if not built in), ``blas`` (None: none is used).

    Examples
    --------
    >>> import asymfast as af
    >>> af.build_config()["openmp"]
    True
    """
    return {
        **_core.build_config(),
        "backend": backend_name("build_config", None),
        "cuda": cuda.versions() or False,
        "blas": None,
    }


def cmake_dir() -> Path:
    """Folder of the CMake package, for ``cmake -Dasymfast_DIR=...``.

    FileNotFoundError in a copy that was not installed by pip: it has the extension module alone.
    """
    return _installed("lib/cmake/asymfast")


def include_dir() -> Path:
    """Folder of the headers: ``#include <asymfast/asymfast.h>``, or ``asymfast.hpp`` in C++17.

    FileNotFoundError as for `cmake_dir`.
    """
    return _installed("include")


def library() -> Path:
    """The shared library with the C interface, for languages that load libraries by name.

    FileNotFoundError as for `cmake_dir`.
    """
    names = ("libasymfast.so", "libasymfast.dylib", "asymfast.dll")
    for name in names:
        if (path := _installed("lib") / name).exists():
            return path
    raise FileNotFoundError(f"no {' or '.join(names)} in {_installed('lib')}")


def _installed(name: str) -> Path:
    # Beside the compiled core: an editable install keeps that, and these, apart from the sources.
    path = Path(_core.__file__).resolve().parent / name
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: headers and libraries come with `pip install`, not with a "
            "checkout"
        )
    return path
