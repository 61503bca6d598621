"""Calls of a network on arrays that lie on the GPU; results stay there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from . import _check, cuda
from ._device_arrays import DeviceView, device_view

if TYPE_CHECKING:
    from .network import Network


class DeviceCalls:
    """A network and inputs on the GPU.

    Results are arrays with ``__cuda_array_interface__`` and ``__dlpack__``, which PyTorch, CuPy and
    JAX take without a copy, and ``numpy()``, which copies to the host; losses are numbers.
    """

    def __init__(self, fn: str, net: Network, X: Any) -> None:
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
