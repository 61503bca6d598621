"""Backends, thread counts, and networks called on arrays that lie on a GPU."""

from __future__ import annotations

import os
from functools import partial
from types import SimpleNamespace
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _check, _core, cuda
from ._check import CUDA

DEVICES = ("cpu", "cuda")
BACKENDS = ("cpu", "reference")
# An OpenMP run time may crash on what the system does not give it.
THREADS: _check.Check = partial(_check.integer, low=1, high=1024)


def backend_name(fn: str, backend: str | None, device: str = "cpu") -> str:
    """Return the backend named by the argument or ``ASYMFAST_BACKEND``, else the device's.

    A RuntimeError says that device="cuda" is not available: nothing runs on the CPU instead.
    """
    if _check.choice(fn, "device", device, DEVICES) == "cuda":
        if backend is not None:
            raise ValueError(f"{fn}: backend must be None on device 'cuda', got {backend!r}")
        cuda.require(fn)
        return "cuda"
    if backend is not None:
        return _check.choice(fn, "backend", backend, BACKENDS)
    return _check.choice(
        fn, "backend (ASYMFAST_BACKEND)", os.environ.get("ASYMFAST_BACKEND") or "cpu", BACKENDS
    )


def thread_count(fn: str, threads: int | None) -> int:
    """Return the number of threads; 0 leaves it to OpenMP (OMP_NUM_THREADS, threadpoolctl)."""
    return 0 if threads is None else int(THREADS(fn, "threads", threads))


class How(TypedDict, total=False):
    """Keywords of all calls; `Network.__call__` documents them."""

    threads: int | None
    device: str
    backend: str | None


def resolved(
    fn: str, *, threads: int | None = None, device: str = "cpu", backend: str | None = None
) -> tuple[str, int]:
    """Return the backend and the number of threads of a call."""
    return backend_name(fn, backend, device), thread_count(fn, threads)


_LEGACY_STREAM = 1  # in both protocols the number of the default stream
_ALL_STREAMS = 0  # of the device


class OnDevice(np.ndarray[Any, Any]):
    """An array in the memory of the GPU, by its address: nothing on the host may read it."""

    def __repr__(self) -> str:
        return f"OnDevice(shape={self.shape}, dtype={self.dtype})"

    __str__ = __repr__


def device_array(fn: str, name: str, value: Any) -> tuple[OnDevice, int | None]:
    """Describe an array on the GPU without touching its memory: C-contiguous and aligned.

    Its work on the stream must be done before it is read; 0 means all streams, None that it is
    ready.
    """
    # By DLPack the producer waits for the stream that fills it; PyTorch's interface names none.
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _usable(fn, name, _from_dlpack(fn, name, value)), None
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"{fn}: {name} must be an array on the GPU, got {type(value).__name__}")
    array, stream = _from_interface(fn, name, interface, value)
    return _usable(fn, name, array), stream


def _from_interface(
    fn: str, name: str, interface: Any, owner: Any
) -> tuple[NDArray[Any], int | None]:
    """`__cuda_array_interface__`: version 2 says nothing of streams, in 3 None means ready."""
    version = interface.get("version", 0)
    if version not in (2, 3):
        raise TypeError(
            f"{fn}: {name}: __cuda_array_interface__ must be version 2 or 3, got {version!r}"
        )
    if interface.get("mask") is not None:
        raise ValueError(f"{fn}: {name} must be a plain array, got a masked one")
    stream = interface.get("stream") if version == 3 else _ALL_STREAMS
    if stream == 0 and version == 3:
        raise ValueError(f"{fn}: {name}: stream 0 is not allowed by __cuda_array_interface__")
    numpys = {key: interface.get(key) for key in ("shape", "typestr", "data", "strides")}
    try:
        # The array keeps what it was made of, and the owner with it.
        array = np.asarray(
            SimpleNamespace(__array_interface__={**numpys, "version": 3}, owner=owner)
        )
    except (TypeError, ValueError) as error:
        raise TypeError(f"{fn}: {name}: invalid __cuda_array_interface__: {error}") from None
    return array, None if stream is None else int(stream)


def _from_dlpack(fn: str, name: str, value: Any) -> NDArray[Any]:
    """DLPack: the producer makes the data ready on the stream that is named."""
    kind, index = value.__dlpack_device__()
    if kind != CUDA or index != 0:
        raise ValueError(
            f"{fn}: {name} must be on the first CUDA device, got DLPack device ({kind}, {index})"
        )
    capsule = value.__dlpack__(stream=_LEGACY_STREAM)
    try:
        return _core.dlpack_array(capsule)
    except TypeError as error:
        raise TypeError(f"{fn}: {name}: {error}") from None


def _usable(fn: str, name: str, array: NDArray[Any]) -> OnDevice:
    if array.dtype not in _check.FLOATS:
        raise TypeError(f"{fn}: {name}: expected dtype float64 or float32, got {array.dtype}")
    if array.size == 0 or array.ndim == 0:
        raise ValueError(f"{fn}: {name} must not be empty, got shape {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{fn}: {name} on the GPU must be C-contiguous, got {array.strides}")
    if not array.flags.aligned:
        raise ValueError(f"{fn}: {name} on the GPU must be aligned, got {array.ctypes.data:#x}")
    return array.view(OnDevice)


def _ready(fn: str, name: str, value: Any) -> OnDevice:
    """`device_array`, when its stream has done its work."""
    cuda.require(fn)
    array, stream = device_array(fn, name, value)
    if stream is not None:
        cuda.module().wait_for(stream)
    return array


def to_host(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Copy an array on the GPU to the host."""
    array = _ready(fn, name, value)
    host = np.empty(array.shape, array.dtype)
    cuda.module().copy(host, array)
    return host


def device_inputs(fn: str, net: Any, X: Any, name: str) -> NDArray[Any]:
    """As `_check.inputs`, of inputs on the GPU; those of a network with bias come to the host."""
    if net.bias:
        return _check.inputs(fn, net, to_host(fn, name, X), name)
    array = _ready(fn, name, X)
    if array.dtype != net.dtype:
        raise TypeError(f"{fn}: {name}: expected dtype {net.dtype}, got {array.dtype}")
    members = [] if net.B is None else [(net.B, "n", net.d)]
    _check.require_shape(fn, name, array.shape, ("n", net.d), *members)
    first = cuda.module().first_bad(array)
    if first < array.size:
        where = tuple(int(i) for i in np.unravel_index(first, array.shape))
        raise ValueError(f"{fn}: {name} must be finite, got NaN or inf at index {where}")
    return array if array.ndim == 3 else array[None]


def empty_on_device(shape: tuple[int, ...], dtype: DTypeLike) -> OnDevice:
    """Make an array on the GPU."""
    array: NDArray[Any] = cuda.module().empty(shape, dtype)
    return array.view(OnDevice)


def beside(x: NDArray[Any], result: NDArray[Any]) -> NDArray[Any]:
    """The result, on the GPU if x is there; to the type checker it is one of NumPy's."""
    return cast("NDArray[Any]", DeviceArray.copy_of(result)) if isinstance(x, OnDevice) else result


class DeviceArray:
    """A result on the GPU.

    PyTorch, CuPy and JAX take it without a copy, by ``__cuda_array_interface__`` or
    ``__dlpack__``; ``numpy()`` copies it to the host.
    """

    def __init__(self, there: NDArray[Any]) -> None:
        self._there = there
        self.shape, self.dtype = there.shape, there.dtype

    @classmethod
    def copy_of(cls, array: NDArray[Any]) -> DeviceArray:
        """Copy an array of either place."""
        there = empty_on_device(array.shape, array.dtype)
        cuda.module().copy(there, array)
        return cls(there)

    def numpy(self) -> NDArray[Any]:
        """Copy to the host."""
        host = np.empty(self.shape, self.dtype)
        cuda.module().copy(host, self._there)
        return host

    # The calls that filled it have ended: there is no stream to wait for.

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = self._there.__array_interface__
        del interface["descr"]
        return {**interface, "stream": None}

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(
                f"dl_device: this array is on CUDA device 0, {self.__dlpack_device__()}, got "
                f"{dl_device}; numpy() copies it to the host"
            )
        if copy:
            return DeviceArray.copy_of(self._there).__dlpack__()
        return _core.dlpack_on_cuda(self._there.__dlpack__())

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, 0
