"""The network as a module whose weights optimisers of PyTorch train."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .. import _check
from ..network import ACTIVATIONS, Network
from .function import asymmetric_net


@_check.guarded
class AsymmetricNet(torch.nn.Module):
    """Module f(x) = sum_j sqrt(lam_j) a_j sigma(w_j.x / sqrt d), computed by asymfast on the CPU.

    Parameters
    ----------
    d, m : int
        Inputs and nodes.
    gamma, alpha : float
        Of `asymfast.node_scaling`; alpha may be None where gamma is 1.
    activation : str
        See `asymfast.Network`.
    outputs : int
        1 gives outputs of shape (...,), k > 1 gives (..., k).
    rng : seed or Generator, optional
        As in `Network.init`, with the same draws. None takes a seed from PyTorch's generator, which
        `torch.manual_seed` sets.
    weights : (m,) array_like, optional
        Instead of alpha, as in `Network.init`.
    train_output : bool
        Whether `a` requires a gradient; in the paper only W is trained.
    threads : int, optional
        Default: `torch.get_num_threads()` at every call. No result depends on it.
    dtype : torch.float64 or torch.float32, optional
        Default: PyTorch's.

    Attributes
    ----------
    W : (m, d) Parameter
    a : (m,) or (m, k) Parameter
    lam : (m,) float64 buffer
        Follows `.to(dtype)` as all buffers do; it may be float64 or W's dtype.

    Raises
    ------
    TypeError, ValueError
        As `Network.init`; an ensemble.

    Notes
    -----
    A state_dict carries gamma, alpha and the activation, which `load_state_dict` restores.

    Gradients of first order by W, a and X; a second derivative raises RuntimeError. For losses
    and inputs see `asymmetric_net`. Give SGD the loss ``0.5 * ((f - y) ** 2).sum()`` to follow
    `gradient_descent` with half_sse to rounding.
    """

    lam: Tensor

    def __init__(
        self,
        d: int,
        m: int,
        gamma: float,
        alpha: float | None = None,
        activation: str = "swish",
        outputs: int = 1,
        rng: Any = None,
        *,
        weights: ArrayLike | None = None,
        train_output: bool = False,
        threads: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        seed = int(torch.randint(2**63 - 1, (), device="cpu")) if rng is None else rng
        kind = str(dtype or torch.get_default_dtype()).removeprefix("torch.")
        net = Network.init(d, m, gamma, alpha, activation, outputs, seed, kind, weights)
        self._take(net, train_output, threads)

    @classmethod
    def from_network(
        cls, net: Network, *, train_output: bool = False, threads: int | None = None
    ) -> AsymmetricNet:
        """Module with copies of a single network's W, a and lam.

        Raises
        ------
        TypeError
            `net` is not a Network.
        ValueError
            It is an ensemble.
        """
        fn = "AsymmetricNet.from_network"
        _check.instance(fn, "net", net, kind=Network)
        module = cls.__new__(cls)
        torch.nn.Module.__init__(module)
        module._take(net, train_output, threads)
        return module

    def _take(self, net: Network, train_output: bool, threads: int | None) -> None:
        if net.B is not None:
            raise ValueError(f"AsymmetricNet: must be a single network, got an ensemble of {net.B}")
        if net.bias:
            raise ValueError(
                "AsymmetricNet: must be a network without bias=True; Network.to_torch takes it"
            )
        self.W = torch.nn.Parameter(torch.tensor(net.W))
        self.a = torch.nn.Parameter(torch.tensor(net.a), requires_grad=bool(train_output))
        self.register_buffer("lam", torch.tensor(net.lam))
        self.activation, self.threads = net.activation, threads
        self.gamma, self.alpha = net.gamma, net.alpha

    def forward(self, X: Tensor) -> Tensor:
        """Outputs (...,) or (..., k) of inputs (..., d); see `asymmetric_net`."""
        return asymmetric_net(
            X, self.W, self.a, self.lam, activation=self.activation, threads=self.threads
        )

    def network(self) -> Network:
        """Return a network with a copy of the current weights.

        Raises
        ------
        TypeError, ValueError
            Weights on the meta device, of a dtype that is neither float64 nor float32, or not
            finite.
        """

        def array(tensor: Tensor) -> NDArray[Any]:
            if tensor.is_meta:
                raise TypeError(
                    "AsymmetricNet.network: the weights are on the meta device and have no values; "
                    "call to_empty(device='cpu') and load a state_dict first"
                )
            return np.array(tensor.detach().cpu().numpy())

        return Network(
            array(self.W),
            array(self.a),
            array(self.lam),
            activation=self.activation,
            gamma=self.gamma,
            alpha=self.alpha,
        )

    def get_extra_state(self) -> Tensor:
        """Gamma, alpha (NaN: none) and the number of the activation, for `state_dict`."""
        origin = [float("nan") if one is None else one for one in (self.gamma, self.alpha)]
        number = float(ACTIVATIONS.index(self.activation))
        return torch.tensor([*origin, number], dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what `get_extra_state` returned, for `load_state_dict`."""
        gamma, alpha, number = state.tolist()
        self.gamma = None if np.isnan(gamma) else gamma
        self.alpha = None if np.isnan(alpha) else alpha
        self.activation = ACTIVATIONS[int(number)]

    def extra_repr(self) -> str:
        """Shape and settings, for `repr`."""
        m, d = self.W.shape
        outputs = 1 if self.a.ndim == 1 else self.a.shape[1]
        origin = "".join(
            f", {name}={value:g}"
            for name, value in (("gamma", self.gamma), ("alpha", self.alpha))
            if isinstance(value, float)
        )
        return f"d={d}, m={m}, outputs={outputs}, activation={self.activation!r}{origin}"
