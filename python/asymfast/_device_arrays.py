"""Arrays that lie on a GPU: what `__cuda_array_interface__` and DLPack say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _check, _core
from ._dlpack import CUDA

_LEGACY_STREAM = 1  # in both protocols the number of the default stream
_DLPACK_FLOAT = 2


@dataclass(frozen=True)
class DeviceView:
    """An array on the GPU, C-contiguous and aligned.

    Attributes
    ----------
    pointer : int
    shape : tuple of int
    dtype : dtype
    stream : int or None
        Stream whose work must be done before the array is read; None: it is.
    owner : object
        To be kept as long as the view is used.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    owner: Any


def device_view(fn: str, name: str, value: Any) -> DeviceView:
    """Describe an array on the GPU without touching its memory.

    Raises
    ------
    TypeError
        Neither protocol, or elements that are not float32 or float64.
    ValueError
        Masked, not C-contiguous, misaligned, empty, or on another device than the first.
    """
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None:
        return _from_interface(fn, name, interface, value)
    return _from_dlpack(fn, name, value)


def _from_interface(fn: str, name: str, interface: Any, owner: Any) -> DeviceView:
    """`__cuda_array_interface__`, versions 2 and 3."""
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
    stream = interface.get("stream")
    if stream == 0:
        raise ValueError(f"{fn}: {name}: stream 0 is not allowed by __cuda_array_interface__")
    pointer = int(interface["data"][0])
    _require_usable(fn, name, pointer, shape, dtype, strides)
    return DeviceView(pointer, shape, dtype, None if stream is None else int(stream), owner)


def _from_dlpack(fn: str, name: str, value: Any) -> DeviceView:
    """DLPack: the producer makes the data ready on the stream that is named."""
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"{fn}: {name} must be an array on the GPU, got {type(value).__name__}")
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
    fn: str,
    name: str,
    pointer: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: Any,
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
