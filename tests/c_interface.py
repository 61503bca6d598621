"""The C interface by ctypes, on the definitions of the example that shows how."""

from __future__ import annotations

import ctypes as c
import importlib.util
from pathlib import Path

import asymfast._build
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "python_ctypes" / "descent.py"

_spec = importlib.util.spec_from_file_location("ctypes_example", EXAMPLE)
example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(example)

OK, INVALID_ARGUMENT, OUT_OF_MEMORY, INTERRUPTED, DIVERGED = 0, 1, 2, 3, 4
DTYPES = {"float64": 0, "float32": 1}
COLUMN_DTYPES = (np.float64, np.float32, np.int64)
Checkpoint = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_size_t, c.c_void_p)


def library():
    """The shared library of the installed package; skips where there is none."""
    try:
        return example.load(str(asymfast._build.library()))
    except FileNotFoundError as missing:
        pytest.skip(str(missing), allow_module_level=True)


class CError(RuntimeError):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Interface:
    """Calls with NumPy arrays; a status that is not OK is a CError."""

    def __init__(self):
        self.lib = library()

    def __call__(self, name, *arguments, accept=()):
        status = getattr(self.lib, f"asymfast_{name}")(*map(_passed, arguments))
        if status != OK and status not in accept:
            raise CError(status, self.lib.asymfast_last_error().decode())
        return status

    def network(self, net):
        """A handle of a copy of an af.Network."""
        a = net.a.reshape(net.m, net.k)
        sizes = (net.m, net.d, net.k)
        handle = c.c_void_p()
        self(
            "network_create",
            c.c_int32(DTYPES[str(net.dtype)]),
            *sizes,
            *(net.W, a, net.lam, net.activation.encode(), c.byref(handle)),
        )
        return handle

    def column(self, run, name):
        at = example.Column(c.sizeof(example.Column))
        self("run_column", run, name.encode(), c.byref(at))
        dtype = np.dtype(COLUMN_DTYPES[at.dtype])
        shape = tuple(at.shape[: at.ndim])
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer(c.string_at(at.data, size), dtype).reshape(shape)

    def text(self, name, *arguments):
        function = getattr(self.lib, f"asymfast_{name}")
        function.restype = c.c_char_p
        return function(*arguments).decode()


def _passed(value):
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return value.ctypes.data_as(c.c_void_p)
    if isinstance(value, float):
        return c.c_double(value)
    return c.c_int64(value) if isinstance(value, int) else value


def execution(**fields):
    return example.Execution(c.sizeof(example.Execution), **fields)


def options(**fields):
    return example.RunOptions(c.sizeof(example.RunOptions), **fields)
