"""What was built, and what was chosen when it was loaded."""

from __future__ import annotations

from typing import Any

from . import _core, cuda
from ._backend import backend_name


def build_config() -> dict[str, Any]:
    """Version, compiler and the choices made at load.

    Returns
    -------
    dict
        ``version``, ``compiler``, ``eigen`` (version), ``openmp`` (bool), ``threads`` (that a call
        gets now), ``isa`` (instruction set of the kernels in force; ``ASYMFAST_ISA`` forces one),
        ``isas_available`` (that were built and this machine has, best last), ``backend`` (default;
        ``ASYMFAST_BACKEND`` changes it), ``cuda`` (False: not built in; else the versions of the
        build and of the driver, see `asymfast.cuda`), ``blas`` (None: none is used).

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
