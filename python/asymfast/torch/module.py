"""The network as a function that autograd differentiates, and as a module around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .. import _check, _core, network
from .._device import backend_name, thread_count
from ..network import ACTIVATIONS, Network

_FLOATS = (torch.float64, torch.float32)


@_check.guarded
def asymmetric_net(
    X: Tensor,
    W: Tensor,
    a: Tensor,
    lam: Tensor,
    *,
    activation: str = "swish",
    threads: int | None = None,
) -> Tensor:
    """Outputs of the network of Eq. (2), differentiable once with respect to X, W and a.

    Forward and backward pass are those of `Network.__call__` and `Network.pullback`, on the memory
    of the tensors. Cost backward: 4 n m d flop for W, as much for X, 2 n m (d + k) for a.

    Parameters
    ----------
    X : (..., d) tensor
        Inputs, at least one.
    W : (m, d) tensor
        Input weights, float64 or float32.
    a : (m,) or (m, k) tensor
        Output weights.
    lam : (m,) tensor
        Node scalings >= 0, float64 or W's dtype; a constant.
    activation : str
        See `asymfast.Network`.
    threads : int, optional
        Default: `torch.get_num_threads()`. No result depends on it.

    Returns
    -------
    (...,) tensor, or (..., k) for a (m, k)
        NaN and inf are propagated, as in PyTorch.

    Raises
    ------
    TypeError
        Not tensors, not on the CPU, unsupported or differing dtypes, lam requires a gradient.
    ValueError
        Shapes that do not match, no inputs, an unknown activation.
    RuntimeError
        A second derivative is requested; a call inside torch.vmap.
    """
    fn = "asymmetric_net"
    _check.choice(fn, "activation", activation, ACTIVATIONS)
    for name, tensor in (("X", X), ("W", W), ("a", a), ("lam", lam)):
        _require_tensor(fn, name, tensor)
    if W.dtype not in _FLOATS:
        raise TypeError(f"{fn}: W: expected dtype float64 or float32, got {W.dtype}")
    for name, tensor in (("X", X), ("a", a)):
        if tensor.dtype != W.dtype:
            raise TypeError(f"{fn}: {name}: expected W's dtype {W.dtype}, got {tensor.dtype}")
    if lam.dtype not in (torch.float64, W.dtype):
        raise TypeError(f"{fn}: lam: expected dtype float64 or W's {W.dtype}, got {lam.dtype}")
    if lam.requires_grad:
        raise TypeError(f"{fn}: lam must be a constant: it has no gradient")
    _check.require_shape(fn, "W", tuple(W.shape), ("m", "d"))
    m, d = W.shape
    _check.require_shape(fn, "a", tuple(a.shape), (m,), (m, "k"))
    _check.require_shape(fn, "lam", tuple(lam.shape), (m,))
    if X.ndim == 0 or X.shape[-1] != d:
        raise ValueError(f"{fn}: X must have shape (..., {d}), got {tuple(X.shape)}")
    for name, tensor in (("X", X), ("W", W), ("a", a)):
        if tensor.numel() == 0:
            raise ValueError(f"{fn}: {name} must not be empty, got shape {tuple(tensor.shape)}")
    team = torch.get_num_threads() if threads is None else thread_count(fn, threads)
    f = _Outputs.apply(X.reshape(-1, d), W, a.reshape(m, -1), lam, activation, team)
    return f.reshape(X.shape[:-1] + a.shape[1:])


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(
        X: Tensor, W: Tensor, a: Tensor, lam: Tensor, activation: str, threads: int
    ) -> Tensor:
        arrays = (_array(W), _array(a), _scalings(lam), activation, _array(X))
        return torch.from_numpy(_core.forward(*arrays, _backend(), threads))

    @staticmethod
    def vmap(*batched: Any) -> Any:
        """Raise a clear error: the kernels take one set of arrays."""
        raise _no_batches()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.activation, ctx.threads = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
        wanted = tuple(ctx.needs_input_grad[:3])
        gradients = _Gradients.apply(u, *ctx.saved_tensors, ctx.activation, ctx.threads, wanted)
        return (*gradients, None, None, None)


class _Gradients(torch.autograd.Function):
    """A separate function, so that a second derivative raises a clear error."""

    @staticmethod
    def forward(u: Tensor, *saved: Any) -> tuple[Tensor | None, ...]:
        X, W, a, lam, activation, threads, wanted = saved
        arrays = (_array(W), _array(a), _scalings(lam), activation, _array(X), _array(u))
        kernels = (network.by_inputs, _core.pullback, network.by_outputs)
        return tuple(
            torch.from_numpy(kernel(*arrays, _backend(), threads)) if want else None
            for kernel, want in zip(kernels, wanted, strict=True)
        )

    vmap = _Outputs.vmap

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep nothing: there is no second derivative."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError("asymmetric_net: there are no second derivatives, only first ones")


def _require_tensor(fn: str, name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{fn}: {name} must be a tensor, got {type(tensor).__name__}")
    if tensor.is_meta:
        raise TypeError(
            f"{fn}: {name} must be on the CPU, but is on the meta device; create it there, or call "
            "the module's to_empty(device='cpu') and load a state_dict"
        )
    layout = "a nested one" if tensor.is_nested else tensor.layout
    if tensor.device.type != "cpu" or layout != torch.strided:
        raise TypeError(
            f"{fn}: {name} must be a dense tensor on the CPU, got {layout} on {tensor.device}"
        )


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return the tensor's own memory where it is contiguous."""
    try:
        values = tensor.detach().numpy()
    except (RuntimeError, TypeError, ValueError) as error:
        raise _no_batches() from error
    return np.require(values, requirements=["C", "A"])


def _no_batches() -> RuntimeError:
    return RuntimeError(
        "asymmetric_net: its tensors must have memory of their own, which they lack inside "
        "torch.vmap and with is_grads_batched=True; call it once per sample or cotangent"
    )


def _scalings(lam: Tensor) -> NDArray[np.float64]:
    return _array(lam).astype(np.float64, copy=False)


def _backend() -> str:
    return backend_name("asymmetric_net", None)


@_check.guarded
class AsymmetricNet(torch.nn.Module):
    """Module f(x) = sum_j sqrt(lam_j) a_j sigma(w_j.x / sqrt d), computed by asymfast on the CPU.

    Parameters
    ----------
    d, m, gamma, alpha, activation, outputs, weights
        As in `asymfast.Network.init`, for a single network, with its errors; outputs=1 gives
        outputs of shape (...,), k > 1 gives (..., k).
    rng : seed or Generator, optional
        As in `Network.init`, with the same draws. None takes a seed from PyTorch's generator, which
        `torch.manual_seed` sets.
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
        """Module with copies of a single network's W, a and lam; ValueError of an ensemble."""
        _check.instance("AsymmetricNet.from_network", "net", net, kind=Network)
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
        train_output = _check.flag("AsymmetricNet", "train_output", train_output)
        self.W = torch.nn.Parameter(torch.tensor(net.W))
        self.a = torch.nn.Parameter(torch.tensor(net.a), requires_grad=train_output)
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

        TypeError or ValueError for weights on the meta device, of a dtype that is neither float64
        nor float32, or not finite.
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
