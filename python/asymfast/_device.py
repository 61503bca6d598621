"""Backends, thread counts, and networks called on arrays that lie on a GPU."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

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
_DLPACK_FLOAT = 2


class DeviceView(NamedTuple):
    """An array on the GPU, C-contiguous and aligned.

    Its work on `stream` must be done before it is read; 0 means all streams, None that it is ready.
    `owner` is to be kept as long as the view is used.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    owner: Any


def device_view(fn: str, name: str, value: Any) -> DeviceView:
    """Describe an array on the GPU without touching its memory."""
    # By DLPack the producer waits for the stream that fills it; PyTorch's interface names none.
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _from_dlpack(fn, name, value)
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"{fn}: {name} must be an array on the GPU, got {type(value).__name__}")
    return _from_interface(fn, name, interface, value)


def _from_interface(fn: str, name: str, interface: Any, owner: Any) -> DeviceView:
    """`__cuda_array_interface__`: version 2 says nothing of streams, in 3 None means ready."""
    version = interface.get("version", 0)
    if version not in (2, 3):
        raise TypeError(
            f"{fn}: {name}: __cuda_array_interface__ must be version 2 or 3, got {version!r}"
        )
    if interface.get("mask") is not None:
        raise ValueError(f"{fn}: {name} must be a plain array, got a masked one")
    dtype = np.dtype(interface["typestr"])
    shape = tuple(int(size) for size in interface["shape"])
    strides = interface.get("strides")
    stream = interface.get("stream") if version == 3 else _ALL_STREAMS
    if stream == 0 and version == 3:
        raise ValueError(f"{fn}: {name}: stream 0 is not allowed by __cuda_array_interface__")
    pointer = int(interface["data"][0])
    _require_usable(fn, name, pointer, shape, dtype, strides)
    return DeviceView(pointer, shape, dtype, None if stream is None else int(stream), owner)


def _from_dlpack(fn: str, name: str, value: Any) -> DeviceView:
    """DLPack: the producer makes the data ready on the stream that is named."""
    kind, index = value.__dlpack_device__()
    if kind != CUDA or index != 0:
        raise ValueError(
            f"{fn}: {name} must be on the first CUDA device, got DLPack device ({kind}, {index})"
        )
    return _from_capsule(fn, name, value.__dlpack__(stream=_LEGACY_STREAM))


def _from_capsule(fn: str, name: str, capsule: Any) -> DeviceView:
    tensor = _core.dlpack_tensor(capsule)
    code, bits, lanes = tensor["dtype"]
    if code != _DLPACK_FLOAT or bits not in (32, 64) or lanes != 1:
        raise TypeError(
            f"{fn}: {name}: expected dtype float64 or float32, got DLPack dtype "
            f"({code}, {bits}, {lanes})"
        )
    dtype = np.dtype(f"f{bits // 8}")
    strides = tensor["strides"]  # in elements
    if strides is not None:
        strides = tuple(stride * dtype.itemsize for stride in strides)
    _require_usable(fn, name, tensor["pointer"], tensor["shape"], dtype, strides)
    return DeviceView(tensor["pointer"], tensor["shape"], dtype, None, tensor["owner"])


def _require_usable(
    fn: str, name: str, pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: Any
) -> None:
    if dtype not in _check.FLOATS:
        raise TypeError(f"{fn}: {name}: expected dtype float64 or float32, got {dtype}")
    if 0 in shape or not shape:
        raise ValueError(f"{fn}: {name} must not be empty, got shape {shape}")
    expected, step = [], dtype.itemsize
    for size in reversed(shape):
        expected.append(step)
        step *= size
    if strides is not None and any(
        size > 1 and have != want
        for size, have, want in zip(shape, strides, reversed(expected), strict=True)
    ):
        raise ValueError(f"{fn}: {name} on the GPU must be C-contiguous, got strides {strides}")
    if pointer % dtype.itemsize:
        raise ValueError(f"{fn}: {name} on the GPU must be aligned, got address {pointer:#x}")


class DeviceCalls:
    """A network and inputs on the GPU.

    Results are arrays with ``__cuda_array_interface__`` and ``__dlpack__``, which PyTorch, CuPy and
    JAX take without a copy, and ``numpy()``, which copies to the host; losses are numbers.
    """

    def __init__(self, fn: str, net: Any, X: Any) -> None:
        cuda.require(fn)
        self.fn, self.net, self._cuda = fn, net, cuda.module()
        members = [] if net.B is None else [(net.B, "n", net.d)]
        self.X = self._view("X", X, ("n", net.d), *members)
        self.n = self.X.shape[-2]

    def outputs(self) -> NDArray[Any]:
        """As `Network.__call__`."""
        columns = () if self.net.a.ndim == self.net.W.ndim - 1 else (self.net.k,)
        out = self._result(self.n, *columns)
        self._each(lambda b, net, x: self._cuda.forward(*net, x, self.n, self._part(out, b)))
        return out

    def loss(self, y: Any, loss: str) -> float | NDArray[np.float64]:
        """As `Network.loss`."""
        at = self._targets(y)
        values = self._each(lambda b, net, x: self._cuda.loss(*net, x, self.n, at(b), loss))
        return float(values[0]) if self.net.B is None else np.array(values)

    def node_gradients(self, y: Any, loss: str) -> NDArray[Any]:
        """As `Network.node_gradients`."""
        at, out = self._targets(y), self._result(self.net.m, self.net.d)
        self._each(
            lambda b, net, x: self._cuda.node_gradients(
                *net, x, self.n, at(b), loss, self._part(out, b)
            )
        )
        return out

    def features(self) -> NDArray[Any]:
        """As `Network.features`."""
        out = self._result(self.n, self.net.m)
        self._each(lambda b, net, x: self._cuda.features(*net, x, self.n, self._part(out, b)))
        return out

    def ntg(self, X2: Any, v: NDArray[np.float64]) -> NDArray[Any]:
        """As `Network.ntg`, with the weights v (B, m) of the sum over nodes."""
        members = [] if self.net.B is None else [(self.net.B, "n", self.net.d)]
        second = self.X if X2 is None else self._view("X2", X2, ("n", self.net.d), *members)
        n2 = second.shape[-2]
        out = self._result(self.n, n2)
        self._each(
            lambda b, net, x: self._cuda.ntg(
                *net, v[b], x, self.n, self._at(second, b), n2, self._part(out, b)
            )
        )
        return out

    # ---- inside ----------------------------------------------------------------------------------

    def _view(self, name: str, value: Any, *shapes: tuple[int | str, ...]) -> DeviceView:
        view = device_view(self.fn, name, value)
        if view.dtype != self.net.dtype:
            raise TypeError(f"{self.fn}: {name}: expected dtype {self.net.dtype}, got {view.dtype}")
        _check.require_shape(self.fn, name, view.shape, *shapes)
        if view.stream is not None:
            self._cuda.wait_for(view.stream)
        size = math.prod(view.shape)
        first = self._cuda.first_bad(view.pointer, size, view.dtype)
        if first < size:
            where = tuple(int(i) for i in np.unravel_index(first, view.shape))
            raise ValueError(f"{self.fn}: {name} must be finite, got NaN or inf at index {where}")
        return view

    def _targets(self, y: Any) -> Any:
        """Address of a member's targets: numbers or rows of probabilities, no labels."""
        net = self.net
        columns = () if net.a.ndim == net.W.ndim - 1 else (net.k,)
        members = [] if net.B is None else [(net.B, self.n, *columns)]
        view = self._view("y", y, (self.n, *columns), *members)
        shared = len(view.shape) == 1 + len(columns)
        step = 0 if shared else self.n * net.k * view.dtype.itemsize
        return lambda b: view.pointer + b * step

    def _at(self, view: DeviceView, b: int) -> int:
        step = math.prod(view.shape[-2:]) * view.dtype.itemsize if len(view.shape) == 3 else 0
        return int(view.pointer + b * step)

    def _result(self, *shape: int) -> NDArray[Any]:
        """Make an array on the GPU; to the type checker it is one of NumPy's."""
        members = () if self.net.B is None else (self.net.B,)
        return cast("NDArray[Any]", self._cuda.DeviceArray([*members, *shape], self.net.dtype))

    def _part(self, out: Any, b: int) -> int:
        """Address of a member's part of a result."""
        elements = math.prod(out.shape) // (self.net.B or 1)
        return int(out.pointer + b * elements * self.net.dtype.itemsize)

    def _each(self, call: Any) -> list[Any]:
        """call(b, (W, a, lam, activation), address of the member's X) for every member."""
        W, a, lam = self.net._arrays()
        return [
            call(b, (W[b], a[b], lam[b], self.net.activation), self._at(self.X, b))
            for b in range(self.net.B or 1)
        ]


def to_host(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Copy an array on the GPU to the host."""
    cuda.require(fn)
    view = device_view(fn, name, value)
    if view.stream is not None:
        cuda.module().wait_for(view.stream)
    copy: NDArray[Any] = cuda.module().copy_to_host(view.pointer, view.shape, view.dtype)
    return copy
