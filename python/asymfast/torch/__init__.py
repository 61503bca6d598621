"""The network as a PyTorch module, its forward pass and gradients by asymfast's kernels (CPU).

`AsymmetricNet` is the module, `asymmetric_net` the function under it. Needs the extra ``torch``.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "asymfast.torch needs PyTorch; install it with: pip install 'asymfast[torch]'"
    ) from error

from .module import AsymmetricNet, asymmetric_net

__all__ = ["AsymmetricNet", "asymmetric_net"]
