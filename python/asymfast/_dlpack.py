"""Arrays of other libraries (PyTorch, JAX, CuPy ...) as NumPy's, by the DLPack protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Device types of the DLPack standard: those whose memory the CPU reads, and names for the others.
CUDA = 2
_HOST = (1, 3, 11, 13)  # CPU, pinned by CUDA, pinned by ROCm, managed by CUDA
_NAMES = {
    CUDA: "CUDA",
    4: "OpenCL",
    7: "Vulkan",
    8: "Metal",
    10: "ROCm",
    14: "oneAPI",
    15: "WebGPU",
}


def is_foreign(value: Any) -> bool:
    """Whether another library's array offers DLPack."""
    return not isinstance(value, (np.ndarray, np.generic)) and hasattr(value, "__dlpack__")


def is_on_cuda(value: Any) -> bool:
    """Whether it is an array in the memory of a CUDA device."""
    if isinstance(value, (np.ndarray, np.generic)):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return bool(value.__dlpack_device__()[0] == CUDA)
    except Exception:  # no array, or whatever its library raises; as_numpy will say it
        return False


def as_numpy(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Return the array's memory as a NumPy array, never a copy.

    Raises
    ------
    TypeError
        It is on another device, of a dtype that NumPy does not have, or its library refuses, as
        PyTorch does for tensors that require gradients.
    """
    try:
        device = int(value.__dlpack_device__()[0])
        if device in _HOST:
            return np.from_dlpack(value)
    except Exception as error:  # whatever its library raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TypeError(f"{fn}: {name} cannot be read by DLPack: {reason}") from error
    where = _NAMES.get(device, f"DLPack device type {device}")
    raise TypeError(f"{fn}: {name} must be in the memory of the CPU, got an array on {where}")
