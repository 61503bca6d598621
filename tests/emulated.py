"""The emulated CUDA device: the kernels of ``device="cuda"`` on the host, exact but very slow.

It is an extension module like ``_cuda``, built with the CMake option ASYMFAST_EMULATED (which
`make test` sets) and never shipped, and comes in by the same door.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from unittest import mock

import asymfast as af
from asymfast import _core


@lru_cache(maxsize=1)
def modules():
    """`_cuda` on the emulated device and what sets it, `_emulated`; None where not built."""
    for path in Path(_core.__file__).resolve().parent.glob("_emulated*.so"):
        loaded = []
        for name in ("_cuda", "_emulated"):  # one library has both
            spec = importlib.util.spec_from_file_location(name, path)
            loaded.append(importlib.util.module_from_spec(spec))
            spec.loader.exec_module(loaded[-1])
        return loaded
    return None


@contextmanager
def device():
    """Let ``device="cuda"`` be the emulated one; yields the module that sets it."""
    extension, emulated = modules()
    with (
        mock.patch.object(af.cuda, "module", return_value=extension),
        mock.patch.object(af.cuda, "_join"),
    ):
        _core.use_cuda(extension.module())
        emulated.emulation()
        yield emulated
    if af.cuda.is_available():  # the GPU's own kernels again
        _core.use_cuda(af.cuda.module().module())
