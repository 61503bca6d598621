"""Shallow networks with per-node scaling, and ensembles of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _check, _core, cuda
from ._check import inputs, is_on_cuda, require_outputs, targets
from ._device import (
    DeviceArray,
    How,
    OnDevice,
    beside,
    device_inputs,
    empty_on_device,
    resolved,
    to_host,
)
from ._export import Exports
from .scaling import node_scaling

Array = NDArray[Any]
Kernel = Callable[..., Any]


# Vector-Jacobian products of one network, beside `_core.pullback`, which is that in W:
# (W, a, lam, activation, X, u, backend, threads).


def by_outputs(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, *how: Any
) -> Array:
    """Gradient in a (m, k): sqrt(lam_j) sum_i u_iq sigma(Z_j(x_i))."""
    return _scaled(lam, _core.forward(X, u, np.ones(len(X)), activation, W, *how))


def by_inputs(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, *how: Any
) -> Array:
    """Gradient in X (n, d)."""
    return _core.pullback(X, u, np.ones(len(X)), activation, W, _scaled(lam, a), *how)


def _scaled(lam: Array, rows: Array) -> Array:
    """sqrt(lam_j) times row j; inf where that exceeds the dtype, for the caller to check."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(lam)[:, None] * rows, dtype=rows.dtype)


ACTIVATIONS = (
    *("swish", "relu", "tanh", "erf", "gelu"),
    *("softplus", "sigmoid", "sin", "cos", "identity"),
)


@_check.guarded
class Network(Exports):
    """A shallow network f(x) = sum_j sqrt(lam_j) a_j sigma(w_j.x / sqrt d), or B of one shape.

    Immutable: methods that change something return a new network. Arrays that are C-contiguous are
    kept, not copied, and shown as read-only views; changing the originals changes the network.

    Parameters
    ----------
    W : (m, d) or (B, m, d) array
        Input weights, one node a row; float64 or float32, the dtype of the network and its results
        (integers become float64).
    a : (m,) or (m, k) array, of an ensemble (B, m) or (B, m, k)
        Output weights, +-1 in the paper, in W's dtype. (m,) gives f of shape (n,), (m, k) gives
        (n, k).
    lam : (m,) or (B, m) array
        Node scalings >= 0, not all zero; float64 or W's dtype. See `node_scaling`.
    activation : str
        swish, relu, tanh, erf (erf z), gelu (exact), softplus, sigmoid, sin, cos or identity.
    gamma, alpha : float, or (B,) array, optional
        Where `lam` came from; `ntg` needs gamma to tell the two parts.
    bias : bool
        The last of the d inputs is always 1. X may then have d - 1 columns: the ones are appended.

    Attributes
    ----------
    m, d, k : int
        Nodes, inputs (the ones of `bias` included), outputs.
    B : int or None
        Number of members of an ensemble; None for a single network.
    dtype : numpy.dtype
        Element type of the weights and of all results.

    Raises
    ------
    TypeError
        A dtype other than those named, unless its values are converted exactly, as integers and
        float32 to float64 are.
    ValueError
        Shapes that do not fit, values that are not finite, lam negative or all zero, an unknown
        activation.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> W = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> net = af.Network(W, a=np.array([1.0, -1.0, 1.0]), lam=np.full(3, 1 / 3), activation="relu")
    >>> net
    Network(m=3, d=2, k=1, activation='relu', dtype='float64')
    >>> net(np.array([[1.0, 2.0]])).round(4)
    array([0.8165])
    """

    @_check.arguments("Network", activation=_check.one_of(*ACTIVATIONS))
    def __init__(
        self,
        W: ArrayLike,
        a: ArrayLike,
        lam: ArrayLike,
        *,
        activation: str = "swish",
        gamma: float | ArrayLike | None = None,
        alpha: float | ArrayLike | None = None,
        bias: bool = False,
    ) -> None:
        fn = "Network"
        weights = _check.array(fn, "W", W, shape=(("m", "d"), ("B", "m", "d")))
        nodes = weights.shape[:-1]
        outputs = _check.array(fn, "a", a, dtype=weights.dtype, shape=(nodes, (*nodes, "k")))
        kinds = (np.dtype(np.float64), weights.dtype)
        scalings = _check.array(fn, "lam", lam, dtype=kinds, shape=(nodes,))
        if (scalings < 0).any():
            raise ValueError(f"{fn}: lam must be >= 0, got {scalings[scalings < 0][0]}")
        if not (self._may_vanish or (scalings > 0).any(axis=-1).all()):
            raise ValueError(f"{fn}: lam must not be all zero")
        self.W, self.a, self.lam = (_read_only(one) for one in (weights, outputs, scalings))
        self.B: int | None = nodes[0] if len(nodes) == 2 else None
        self.m, self.d = weights.shape[-2:]
        self._is_flat = outputs.shape == nodes  # outputs have no axis k
        self.k = 1 if self._is_flat else outputs.shape[-1]
        self.dtype = weights.dtype
        self._lam64 = scalings.astype(np.float64, copy=False)
        self._largest_weight = _check.largest(self.W)
        self.activation = activation
        self.gamma = _origin(fn, "gamma", gamma, nodes[:-1], "[0, 1]")
        self.alpha = _origin(fn, "alpha", alpha, nodes[:-1], "[0, inf)")
        self.bias = bias
        self._frozen = True

    _may_vanish = False  # all of lam

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_frozen", False):
            raise AttributeError(f"Network: a network is immutable, {name} cannot be set")
        object.__setattr__(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays of copies and pickles could be written to, and pickles of 0.1 have no sizes.
        own = ("W", "a", "lam", "activation", "gamma", "alpha", "bias")
        Network.__init__(self, **{name: state[name] for name in own if name in state})
        for name in state.keys() - vars(self).keys():
            object.__setattr__(self, name, state[name])

    @classmethod
    @_check.arguments("Network.init")
    def init(
        cls,
        d: int,
        m: int,
        gamma: float | Sequence[float],
        alpha: float | Sequence[float | None] | None = None,
        activation: str = "swish",
        outputs: int = 1,
        rng: Any = None,
        dtype: DTypeLike = "float64",
        weights: ArrayLike | None = None,
        *,
        bias: bool = False,
    ) -> Network:
        """Random network of Assumption 2.3: w_j ~ N(0, I), a_j uniform on {-1, +1}.

        Parameters
        ----------
        d, m : int
            Inputs and nodes.
        gamma, alpha : float, or sequences of B of them
            Of `node_scaling`; a sequence makes an ensemble. alpha may be None where gamma is 1.
        activation : str
            See `Network`.
        outputs : int
            1 gives a of shape (m,) and outputs of shape (n,); k > 1 gives (m, k) and (n, k).
        rng : seed, Generator, or sequence of B of them
            What `numpy.random.default_rng` takes; a list, tuple, range or array makes an ensemble
            with one draw per member. If only gamma or alpha is a sequence, all members share one
            draw.
        dtype : "float64" or "float32"
            Draws are made in float64 and rounded afterwards.
        weights : (m,) array_like, optional
            Instead of alpha: weights t_j >= 0 of `node_scaling`, for all members.
        bias : bool
            Append an input that is always 1 to the d inputs of X: w_j has d + 1 entries, the last
            of which is the node's bias, and f(x) = sum_j sqrt(lam_j) a_j
            sigma((w_j.x + bias_j) / sqrt(d + 1)). As large as a standardised input; the paper's
            network has none.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind or range; sequences of different lengths.

        Notes
        -----
        Order of the draws: W = standard_normal((m, d)), then a = 2 integers(0, 2, size) - 1. They
        depend on the seed and the shapes alone, never on threads, instruction set or device.

        Source: Assumption 2.3. Cost: O(m d).

        Examples
        --------
        >>> import asymfast as af
        >>> net = af.Network.init(d=50, m=2000, gamma=0.5, alpha=0.7, rng=1)
        >>> net.W.shape, net.a.shape, float(round(net.lam[0], 4))
        ((2000, 50), (2000,), 0.1756)
        >>> af.Network.init(d=50, m=2000, gamma=[1.0, 0.5], alpha=[None, 0.7], rng=1)
        Network(B=2, m=2000, d=50, k=1, activation='swish', dtype='float64')
        """
        fn = "Network.init"
        d += bias  # the ones
        axes: dict[str, Any] = {
            name: _check.as_array(fn, name, value) if _check.is_foreign(value) else value
            for name, value in (("rng", rng), ("gamma", gamma), ("alpha", alpha))
        }
        lengths = {name: len(axis) for name, axis in axes.items() if _check.is_sequence(axis)}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(f"{fn}: sequences must have one length B >= 1, got {lengths}")
        B = next(iter(lengths.values()), 1)
        gammas, alphas = (
            axes[name] if name in lengths else [axes[name]] * B for name in ("gamma", "alpha")
        )
        if "rng" in lengths:
            draws = [_draw(d, m, outputs, seed) for seed in axes["rng"]]
        else:
            draws = [_draw(d, m, outputs, rng)] * B
        members = [
            cls(
                W.astype(dtype),
                a.astype(dtype),
                node_scaling(m, gamma, alpha, weights=weights),
                activation=activation,
                gamma=gamma,
                alpha=alpha,
                bias=bias,
            )
            for (W, a), gamma, alpha in zip(draws, gammas, alphas, strict=True)
        ]
        return cls.stack(members) if lengths else members[0]

    @classmethod
    def stack(cls, nets: Sequence[Network]) -> Network:
        """Ensemble of single networks of one shape, dtype and activation.

        Parameters
        ----------
        nets : sequence of Network
            B single networks; their arrays are copied.

        Returns
        -------
        Network
            With W of shape (B, m, d) and so on; gamma and alpha are (B,) where members differ.

        Raises
        ------
        TypeError, ValueError
            Something that is not a single network; no networks, or networks that differ in shape,
            dtype or activation.

        Examples
        --------
        >>> import asymfast as af
        >>> nets = [af.Network.init(d=3, m=10, gamma=1.0, rng=seed) for seed in (0, 1)]
        >>> af.Network.stack(nets)
        Network(B=2, m=10, d=3, k=1, activation='swish', dtype='float64')
        """
        fn = "Network.stack"
        if not isinstance(nets, Iterable) or (isinstance(nets, Network) and nets.B is None):
            raise TypeError(f"{fn}: nets must be a sequence of networks, got {_check.brief(nets)}")
        members = list(nets)
        if not members:
            raise ValueError(f"{fn}: nets must hold at least one network, got none")
        for net in members:
            if not isinstance(net, Network) or net.B is not None:
                raise TypeError(f"{fn}: nets must be single networks, got {_check.brief(net)}")
        first = members[0]
        for net in members[1:]:
            if net._kind() != first._kind():
                raise ValueError(
                    f"{fn}: nets must agree in shapes, dtype and activation, "
                    f"got {first!r} and {net!r}"
                )
        arrays = (np.stack([getattr(net, name) for net in members]) for name in ("W", "a", "lam"))
        origin = {of: _stacked([getattr(net, of) for net in members]) for of in ("gamma", "alpha")}
        return cls(*arrays, **Network._settings(first) | origin)

    def __repr__(self) -> str:
        members = "" if self.B is None else f"B={self.B}, "
        return (
            f"Network({members}m={self.m}, d={self.d}, k={self.k}, "
            f"activation={self.activation!r}, dtype={str(self.dtype)!r}"
            f"{', bias=True' if self.bias else ''})"
        )

    def __len__(self) -> int:
        if self.B is None:
            raise TypeError("Network: a single network has no len(); only an ensemble has")
        return self.B

    def __bool__(self) -> bool:  # not by len()
        return True

    def __getitem__(self, b: int) -> Network:
        return self.member(b)

    def __iter__(self) -> Iterator[Network]:
        return (self.member(b) for b in range(len(self)))

    @_check.arguments(b=_check.integer)
    def member(self, b: int) -> Network:
        """Member b of an ensemble as a single network that shares its memory.

        Parameters
        ----------
        b : int
            From -B to B - 1. ``net[b]`` is the same, and an ensemble iterates over its members.

        Raises
        ------
        TypeError, IndexError
            Of a single network; b is not in [-B, B).

        Examples
        --------
        >>> import asymfast as af
        >>> ensemble = af.Network.init(d=3, m=10, gamma=1.0, rng=[0, 1, 2])
        >>> ensemble.member(2)
        Network(m=10, d=3, k=1, activation='swish', dtype='float64')
        >>> [net.m for net in ensemble]
        [10, 10, 10]
        """
        if self.B is None:
            raise TypeError("Network.member: a single network has no members; only an ensemble has")
        if not -self.B <= b < self.B:
            raise IndexError(f"Network.member: b must be in [{-self.B}, {self.B}), got {b}")
        origin = {of: _of_member(getattr(self, of), b) for of in ("gamma", "alpha")}
        return Network(self.W[b], self.a[b], self.lam[b], **self._settings() | origin)

    @_check.arguments("Network", options=resolved)
    def __call__(self, X: ArrayLike, *, comm: Any = None, **how: Unpack[How]) -> Array:
        """Outputs f(x_i), Eq. (2).

        Cost: 2 n m (d + k) flop and n m activations; beside the result n k doubles, copies of the
        weights and of at most 4032 samples, and 32 MB of partial sums (more where k > 340).
        Source: Eq. (2).

        Parameters
        ----------
        X : (n, d) array, of an ensemble also (B, n, d)
            Inputs, one sample a row, in the network's dtype.
        threads : int, optional
            Default: what OpenMP offers. No result depends on it.
        device : {"cpu", "cuda"}
            "cuda" needs a build with CUDA and a GPU. There X may be an array on the GPU of PyTorch,
            CuPy or JAX; the result then stays there. See docs/cuda.md.
        backend : {"cpu", "reference"}, optional
            Fast kernels, or plain loops that read like the paper.
        comm : mpi4py.MPI.Comm, optional
            Share the nodes with its other ranks, which make the same call; see docs/mpi.md.

        Returns
        -------
        (n,) or (n, k) array, of an ensemble (B, n) or (B, n, k)
            Within a few roundings of sum_j |sqrt(lam_j) a_j sigma(Z_j)|.

        Raises
        ------
        TypeError, ValueError
            X of another dtype or shape, empty, or not finite.
        OverflowError
            The result exceeds the range of the dtype.

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> net(X).shape
        (5,)
        >>> both = af.Network.init(d=3, m=100, gamma=[1.0, 0.5], alpha=0.7, outputs=4, rng=1)
        >>> both(X).shape
        (2, 5, 4)
        """
        if comm is not None:
            from .mpi import part_of, require_agreement, require_cpu, summed

            require_cpu("Network", how)
            part = part_of("Network", self, comm)
            require_agreement("Network", comm, X=inputs("Network", self, X))
            return summed(part(X, **how), comm)
        x = self._inputs("Network", X, how)
        f = self._each("Network", _core.forward, [x], how)
        return beside(x, f[..., 0] if self._is_flat else f)

    @_check.arguments(options=resolved)
    def loss(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: str = "half_sse",
        *,
        comm: Any = None,
        **how: Unpack[How],
    ) -> float | NDArray[np.float64]:
        """Loss of the outputs against targets.

        Source: Eq. (3). Accuracy: that of the outputs; squares are summed in float64. Cost: that of
        `__call__`.

        Parameters
        ----------
        y : (n,) or (n, k) array, of an ensemble also (B, n) or (B, n, k)
            Targets in the network's dtype; for cross_entropy rows of probabilities, or integer
            labels from 0 to k - 1 without the k axis.
        loss : {"half_sse", "mse", "cross_entropy"}
            half_sse is L_m of Eq. (3): 1/2 sum (f - y)^2 over samples and outputs, not over n.
            mse is the mean over all n k entries: its gradient is 2/(n k) times that of half_sse.
            cross_entropy is the mean over samples of logsumexp(f_i) - f_i[y_i].
        X, threads, device, backend, comm
            As in `__call__`, with its errors.

        Returns
        -------
        float, of an ensemble (B,) float64 array

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> r = net(X) - y
        >>> abs(net.loss(X, y) - 0.5 * float(r @ r)) < 1e-12
        True
        >>> abs(net.loss(X, y, "mse") - float(r @ r) / 5) < 1e-12
        True
        >>> classifier = af.Network.init(d=3, m=100, gamma=1.0, outputs=2, rng=1)
        >>> round(classifier.loss(X, [0, 1, 1, 0, 1], "cross_entropy"), 4)
        0.654
        """
        fn = "Network.loss"
        if comm is not None:
            from .mpi import require_cpu

            require_cpu(fn, how)
            target = self._data(fn, X, y, loss, how)[1][0]
            f = self(X, comm=comm, **how).reshape(target.shape)
            counted = {"mse": f.size, "cross_entropy": len(f)}
            return sum_of_losses(f, target, loss) / counted.get(loss, 1)
        values = self._each(fn, _core.loss, self._data(fn, X, y, loss, how), how, loss)
        return float(values) if self.B is None else values

    @_check.arguments(options=resolved)
    def node_gradients(
        self, X: ArrayLike, y: ArrayLike, loss: str = "half_sse", **how: Unpack[How]
    ) -> Array:
        """Gradient of the loss with respect to each node's weights, dL/dw_j.

        Source: Section 2, gradient flow. Cost: 6 n m d flop, and the memory of `__call__` with two
        more copies of the weights.

        Parameters
        ----------
        X, y, loss, threads, device, backend
            As in `loss`, with its errors.

        Returns
        -------
        (m, d) or (B, m, d) array
            sqrt(lam_j) / sqrt(d) sum_i sum_q a_jq dL/df_iq sigma'(Z_j(x_i)) x_i.

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> G = net.node_gradients(X, y)
        >>> G.shape, bool(net.with_weights(net.W - 0.1 * G).loss(X, y) < net.loss(X, y))
        ((100, 3), True)
        """
        fn = "Network.node_gradients"
        data = self._data(fn, X, y, loss, how)
        return beside(data[0], self._each(fn, _core.node_gradients, data, how, loss))

    @_check.arguments(options=resolved, wrt=_check.one_of("W", "a", "X"))
    def pullback(
        self, X: ArrayLike, u: ArrayLike, wrt: Literal["W", "a", "X"] = "W", **how: Unpack[How]
    ) -> Array:
        """Vector-Jacobian product: gradient of sum_iq u_iq f_q(x_i), for losses of your own.

        With u = dL/df, the loss' derivative by the outputs, it is dL/dW, dL/da or dL/dX.

        Cost: 4 n m d flop; of "a", 2 n m (d + k). Memory: two copies of the weights and one of at
        most 4032 samples beside the result.
        Source: Section 2, gradient flow, with u in place of f - y.

        Parameters
        ----------
        u : (n,) or (n, k) array as the outputs, of an ensemble also (B, n) or (B, n, k)
            Cotangent, in the network's dtype.
        wrt : {"W", "a", "X"}
            What to differentiate by.
        X, threads, device, backend
            As in `__call__`, with its errors.

        Returns
        -------
        array of the shape of W, a or X, of an ensemble with a leading axis B

        Examples
        --------
        >>> import asymfast as af
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> u = net(X) - y  # dL/df of half_sse
        >>> bool(abs(net.pullback(X, u) - net.node_gradients(X, y)).max() < 1e-14)
        True
        >>> net.pullback(X, u, "a").shape, net.pullback(X, u, "X").shape
        ((100,), (5, 3))
        """
        fn = "Network.pullback"
        x = inputs(fn, self, X)
        data = [x, targets(fn, self, u, x.shape[1], "half_sse", "u")]
        kernel = {"W": _core.pullback, "a": by_outputs, "X": by_inputs}[wrt]
        gradient = self._each(fn, kernel, data, how)
        if wrt == "X":  # without the ones that bias=True appended
            return gradient[..., : np.shape(X)[-1]]
        return gradient.reshape(self.a.shape) if wrt == "a" else gradient

    @_check.arguments(options=resolved)
    def stable_step(
        self,
        X: ArrayLike,
        loss: str = "half_sse",
        *,
        layers: Literal["first", "both"] = "first",
        **how: Unpack[How],
    ) -> float | NDArray[np.float64]:
        """Largest step at which gradient descent is surely stable here: 2 / (1.01 eig_max).

        Source: the linearised loss; Appendix H needs far smaller steps. Cost: at most 30 gradients
        and forward passes.

        Parameters
        ----------
        layers : {"first", "both"}
            Of descent on W alone, or on W and a; the latter on the CPU.
        X, loss, threads, device, backend
            As in `loss`, with its errors; X are the training inputs.

        Returns
        -------
        float, of an ensemble (B,) float64 array
            eig_max is the largest eigenvalue of the loss' Gauss-Newton matrix, of half_sse that of
            the NTG of all outputs, to about 1 % from below; for cross_entropy an upper
            bound of it. inf where it is 0. The matrix changes along a run: leave a margin.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> step = net.stable_step(X)
        >>> bool(abs(step * np.linalg.eigvalsh(net.ntg(X))[-1] / 2 - 1) < 0.02)
        True
        """
        fn = "Network.stable_step"
        require_outputs(fn, self, loss)
        both = _both(fn, layers, how)
        curvature = self._each(fn, _core.curvature, [inputs(fn, self, X)], how, loss, both)
        with np.errstate(divide="ignore", over="ignore"):
            steps = 2 / (1.01 * np.abs(curvature, dtype=np.float64))  # of 0 never -inf
        return float(steps) if self.B is None else steps

    @_check.arguments(options=resolved)
    def features(self, X: ArrayLike, **how: Unpack[How]) -> Array:
        """Scaled hidden layer sqrt(lam_j) sigma(Z_j(x_i)), the features of transfer learning.

        Source: Appendix J, transfer learning. Cost: 2 n m d flop and n m activations; copies of the
        weights and of at most 4032 samples beside the result.

        Parameters
        ----------
        X, threads, device, backend
            As in `__call__`, with its errors.

        Returns
        -------
        (n, m) or (B, n, m) array
            f = features(X) @ a.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> bool(np.allclose(net.features(X) @ net.a, net(X)))
        True
        """
        fn = "Network.features"
        x = self._inputs(fn, X, how)
        out = self._room(x, x.shape[1], self.m)
        results = self._results(fn, _core.features, [x, out], how)
        return self._whole(fn, results) if out is None else self._result(fn, out)

    @_check.arguments(options=resolved)
    def ntg(
        self,
        X: ArrayLike,
        X2: ArrayLike | None = None,
        part: Literal[1, 2] | None = None,
        output: int | tuple[int, int] = 0,
        *,
        max_memory: float | None = None,
        layers: Literal["first", "both"] = "first",
        **how: Unpack[How],
    ) -> Array:
        """Neural tangent Gram matrix, Eqs. (4) and (5).

        K_il = x_i.x2_l / d * sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)),  v_j = lam_j a_jp a_jq,
        and where both layers are trained, for p = q, sum_j lam_j sigma(Z_j(x_i)) sigma(Z_j(x2_l))
        more.

        Source: Eqs. (4) and (5). Cost: 2 n n2 m flop, half without X2.

        Parameters
        ----------
        X2 : (n2, d) or (B, n2, d) array, optional
            Second inputs of the cross kernel; default X.
        part : {1, 2}, optional
            Theta^(1), with gamma / m in place of lam_j, or Theta^(2), with the rest (Proposition
            D.1); they add up to the whole. Needs the network's gamma.
        output : int or pair of int
            Block (p, q) of outputs; an integer means (p, p). For a_j = +-1 every (p, p) is the NTG
            of the paper.
        max_memory : float, optional
            Bytes that the call may allocate for each member, its result included: the sum over
            nodes is then taken in pieces that fit, which changes no bit. Default: about
            32 MB beside the result.
        layers : {"first", "both"}
            Of W alone, as in the paper, or of W and a (`train_output=True`); the latter on the CPU,
            without `part` and max_memory, with n m numbers for the features.
        X, threads, device, backend
            As in `__call__`.

        Returns
        -------
        (n, n2) or (B, n, n2) array in the network's dtype
            Summed in float64. Without X2 exactly symmetric, and positive semi-definite to rounding
            where p = q.

        Raises
        ------
        TypeError, ValueError, OverflowError
            As `__call__`; also for an output that the network does not have, `part` without gamma,
            and a max_memory below what the call needs.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> K, H = net.ntg(X), net.features(X)
        >>> K.shape, net.ntg(X, X[:2]).shape
        ((5, 5), (5, 2))
        >>> bool(np.allclose(net.ntg(X, part=1) + net.ntg(X, part=2), K))
        True
        >>> bool(np.allclose(net.ntg(X, layers="both"), K + H @ H.T))
        True
        """
        fn = "Network.ntg"
        if _both(fn, layers, how):
            if part is not None or max_memory is not None:
                raise ValueError(f"{fn}: part and max_memory must be None with layers='both'")
            return self._ntg_of_both(X, X2, output, how)
        v = self._ntg_weights(part, output)
        left = self._inputs(fn, X, how)
        right = left if X2 is None else self._inputs(fn, X2, how, "X2")
        out = self._room(left, left.shape[1], right.shape[1])
        kind, slopes = resolved(fn, **how), 0.0  # as many as the call likes
        if max_memory is not None:
            n, n2 = left.shape[1], right.shape[1]
            need = max(
                _core.planned_ntg_bytes(n, n2, self.d, v_b, self.dtype.itemsize) for v_b in v
            )
            sizes = f"n = {n}, n2 = {n2}, d = {self.d}, m = {self.m}"
            slopes = _check.slopes_allowed(fn, max_memory, kind[0], *need, sizes)
        blocks = [
            _core.ntg(
                W, v[b], self.activation, row(left, b), row(right, b), *kind, slopes, row(out, b)
            )
            for b, W in enumerate(self._arrays()[0])
        ]
        if out is not None:
            return self._result(fn, out)
        whole = blocks[0] if self.B is None else np.stack(blocks)
        is_gram = X2 is None and bool((v >= 0).all())
        return (_check.gram_in_range if is_gram else _check.in_range)(fn, whole)

    def _ntg_of_both(self, X: ArrayLike, X2: ArrayLike | None, output: Any, how: How) -> Array:
        K = self.ntg(X, X2, output=output, **how)
        if isinstance(output, tuple) and output[0] != output[1]:
            return K
        H = self.features(X, **how).astype(np.float64)
        H2 = H if X2 is None else self.features(X2, **how).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            K = (K + H @ H2.swapaxes(-1, -2)).astype(self.dtype)
        if X2 is None:  # products of matrices may round the two halves differently
            K = np.tril(K) + np.tril(K, -1).swapaxes(-1, -2)
        return _check.in_range("Network.ntg", K)

    @_check.arguments()
    def node_importance(self, kind: str = "paper") -> NDArray[np.float64]:
        """Importance of each node, for pruning and transfer: (m,) or (B, m) float64 array.

        Source: Appendix J, Regression. Cost: O(m d).

        Parameters
        ----------
        kind : {"paper", "authors"}
            lam_j |w_j|^2 of Appendix J, or lam_j |a_j|^2 of the authors' published scripts.

        Raises
        ------
        ValueError, OverflowError
            Another kind; the result exceeds the range of float64.

        Examples
        --------
        >>> import asymfast as af
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> importance = net.node_importance()
        >>> bool(importance.argmax() == (net.lam * (net.W**2).sum(axis=1)).argmax())
        True
        """
        with np.errstate(over="ignore", invalid="ignore"):
            importance = self._lam64 * np.square(self._important(kind)).sum(axis=-1)
        return _check.in_range("Network.node_importance", np.asarray(importance))

    def _important(self, kind: str) -> NDArray[np.float64]:
        """The weights whose squares make nodes important."""
        of = self.W if kind == "paper" else self.a.reshape(*self.lam.shape, self.k)
        return np.asarray(of, dtype=np.float64)

    def _ranked(self, kind: str = "paper") -> NDArray[np.int64]:
        """The nodes, the most important first, of equals the earlier; of weights of any size."""
        of = self._important(kind)
        _, exponent = np.frexp(np.abs(of).max(axis=(-2, -1), keepdims=True))
        scaled = np.ldexp(of, -exponent)  # changes no digit
        return np.argsort(-self._lam64 * np.square(scaled).sum(axis=-1), axis=-1, kind="stable")

    def prune(self, keep: int) -> Network:
        """Network of the `keep` most important nodes, in their order, their lam as they were.

        Its lam no longer sums to 1, and it has no gamma: a pruned network has no two parts.

        Source: Appendix J, Classification. Cost: O(m d + m log m).

        Parameters
        ----------
        keep : int
            From 1 to m. Of nodes of equal importance the earlier one stays.

        Raises
        ------
        TypeError, ValueError
            `keep` is not an integer from 1 to m, or only nodes of scale 0 would be left.

        Examples
        --------
        >>> import asymfast as af
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> net.prune(10), float(round(net.prune(10).lam.sum(), 3))
        (Network(m=10, d=3, k=1, activation='swish', dtype='float64'), 0.335)
        """
        keep = _check.integer("Network.prune", "keep", keep, low=1, high=self.m)
        nodes = np.sort(self._ranked()[..., :keep], axis=-1)
        return self._select(nodes if self.B is None else (np.arange(self.B)[:, None], nodes))

    def with_weights(self, W: ArrayLike, a: ArrayLike | None = None) -> Network:
        """Return the same network, with its lam, activation, gamma and alpha, at other weights.

        Parameters
        ----------
        W, a : arrays of the shapes and dtype of the network's
            Kept without a copy where C-contiguous; by default `a` stays.

        Raises
        ------
        TypeError, ValueError
            Another shape or dtype, or values that are not finite.

        Examples
        --------
        >>> import asymfast as af
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> moved = net.with_weights(net.W + 0.01)
        >>> moved.gamma, bool((moved.W == net.W + 0.01).all())
        (0.5, True)
        """
        fn = "Network.with_weights"
        weights = _check.array(fn, "W", W, dtype=self.dtype, shape=self.W.shape)
        a = self.a if a is None else a
        outputs = _check.array(fn, "a", a, dtype=self.dtype, shape=self.a.shape)
        kind: Any = NetworkPart if isinstance(self, NetworkPart) else Network
        network: Network = kind(weights, outputs, self.lam, **self._settings())
        return network

    def _settings(self) -> dict[str, Any]:
        """What a network has beside its arrays."""
        return {name: getattr(self, name) for name in ("activation", "gamma", "alpha", "bias")}

    def _select(self, nodes: Any) -> Network:
        """Network of some of the nodes, which has no gamma."""
        arrays = self.W[nodes], self.a[nodes], self.lam[nodes]
        return Network(*arrays, activation=self.activation, bias=self.bias)

    def _stored(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and header of a file, as `_from_arrays` takes them."""
        header = self._settings()
        arrays = {"W": self.W, "a": self.a, "lam": self.lam}
        for name in ("gamma", "alpha"):
            if (value := header.pop(name)) is not None:
                arrays[name] = np.asarray(value)
        return arrays, header

    @classmethod
    def _from_arrays(
        cls, arrays: Mapping[str, Array], header: Any, W: str = "W", a: str = "a"
    ) -> Network:
        """The network of a file's arrays, by the names of W and a, and its header."""
        settings = {name: arrays.get(name) for name in ("gamma", "alpha")}
        settings |= {name: header[name] for name in ("bias", "first", "total") if name in header}
        kind: Any = NetworkPart if "total" in header else cls
        network: Network = kind(
            *(arrays[name] for name in (W, a, "lam")), activation=header["activation"], **settings
        )
        return network

    def _kind(self) -> tuple[Any, ...]:
        shapes = self.W.shape, self.a.shape
        return *shapes, self.lam.dtype, self.dtype, self.activation, self.bias

    def _inputs(self, fn: str, X: Any, how: How, name: str = "X") -> Array:
        """X (1 or B, n, d); where it lies on the GPU and ``device=`` says so, it stays there."""
        there = how.get("device") == "cuda" and is_on_cuda(X)
        return device_inputs(fn, self, X, name) if there else inputs(fn, self, X, name)

    def _data(self, fn: str, X: ArrayLike, y: Any, loss: str, how: How) -> list[Array]:
        x = self._inputs(fn, X, how)
        if how.get("device") == "cuda" and is_on_cuda(y):
            y = to_host(fn, "y", y)
        return [x, targets(fn, self, y, x.shape[1], loss)]

    # ---- results are on the GPU where X is; to the type checker they are arrays of NumPy's

    def _room(self, x: Array, *shape: int) -> Array | None:
        """Where kernels write (B, *shape) numbers on the GPU; None, where x is on the host."""
        if not isinstance(x, OnDevice):
            return None
        return empty_on_device((self.B or 1, *shape), self.dtype)

    def _result(self, fn: str, there: Array) -> Array:
        if cuda.module().first_bad(there) < there.size:
            raise _check.beyond_range(fn, there.dtype)
        return cast("Array", DeviceArray(there if self.B is not None else there[0]))

    def _arrays(self) -> tuple[Array, Array, NDArray[np.float64]]:
        """W (B, m, d), a (B, m, k) and lam (B, m) as the kernels take them; B = 1 if single."""
        W = self.W.reshape(-1, self.m, self.d)
        return W, self.a.reshape(-1, self.m, self.k), self._lam64.reshape(-1, self.m)

    def _each(
        self, fn: str, kernel: Kernel, data: list[Array], how: How, *rest: str | bool
    ) -> Array:
        """Call a kernel for every member, with that member's share of the data."""
        return self._whole(fn, self._results(fn, kernel, data, how, *rest))

    def _results(
        self, fn: str, kernel: Kernel, data: Sequence[Array | None], how: How, *rest: str | bool
    ) -> list[Any]:
        more = *rest, *resolved(fn, **how)
        return [
            kernel(W, a, lam, self.activation, *(row(part, b) for part in data), *more)
            for b, (W, a, lam) in enumerate(zip(*self._arrays(), strict=True))
        ]

    def _whole(self, fn: str, results: list[Any]) -> Array:
        whole = np.asarray(results[0]) if self.B is None else np.stack(results)
        return _check.in_range(fn, whole)

    def _ntg_weights(self, part: Any, output: Any) -> NDArray[np.float64]:
        """Weights v (B, m) of the sum over nodes."""
        fn = "Network.ntg"
        _, a, lam = self._arrays()
        if part is not None:
            part = _check.integer(fn, "part", part, low=1, high=2)
            if self.gamma is None:
                raise ValueError(f"{fn}: part={part} needs a network made with gamma=, it has none")
            first = np.reshape(np.asarray(self.gamma, dtype=np.float64), (-1, 1)) / self.m
            lam = np.broadcast_to(first, lam.shape) if part == 1 else np.maximum(lam - first, 0)
        pair = output if isinstance(output, tuple) else (output, output)
        if len(pair) != 2:
            raise ValueError(
                f"{fn}: output must be an integer or a pair, got {_check.brief(output)}"
            )
        p, q = (_check.integer(fn, "output", one, low=0, high=self.k - 1) for one in pair)
        with np.errstate(over="ignore"):
            v = np.ascontiguousarray(lam * a[..., p].astype(np.float64) * a[..., q])
        return _check.in_range(fn, v)


@_check.guarded
class NetworkPart(Network):
    """The nodes of one rank: those from `first` on, of `total` nodes of a network.

    Created by `mpi.split` and `mpi.init`. In all other respects a `Network`: it computes the share
    of its own nodes in the sums, and its `lam` may be all zero.

    Attributes
    ----------
    first : int
        Its first node.
    total : int
        Nodes of all parts.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> af.mpi.NetworkPart(np.ones((2, 3)), np.ones(2), np.zeros(2), first=5, total=7)
    NetworkPart(5 to 7 of 7 nodes)
    """

    first: int
    total: int
    _may_vanish = True  # late nodes of a small alpha: their lam is 0 in floating point

    @_check.arguments("NetworkPart", first=_check.NATURAL, total=_check.COUNT)
    def __init__(
        self, W: ArrayLike, a: ArrayLike, lam: ArrayLike, *, first: int, total: int, **origin: Any
    ) -> None:
        self.first, self.total = first, total
        super().__init__(W, a, lam, **origin)
        if first + self.m > total:
            raise ValueError(
                f"NetworkPart: total must be at least first + m = {first + self.m}, got {total}"
            )

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"first": self.first, "total": self.total}

    def __repr__(self) -> str:
        return f"NetworkPart({self.first} to {self.first + self.m} of {self.total} nodes)"


def _read_only(values: Array) -> Array:
    view: Array = values.view()
    view.flags.writeable = False
    return view


def _both(fn: str, layers: str, how: How) -> bool:
    """Whether both layers are meant."""
    both = _check.choice(fn, "layers", layers, ("first", "both")) == "both"
    if both and (device := how.get("device", "cpu")) != "cpu":
        raise ValueError(f"{fn}: layers='both' is for device 'cpu', got {device!r}")
    return both


def row(values: Any, b: int) -> Any:
    """Member b's part of data with a leading axis of length 1 (shared) or B; of None, None."""
    return None if values is None else np.asarray(values[b if values.shape[0] > 1 else 0])


def in_float64(net: Network) -> Network:
    """The same network with weights and scalings in float64, without gamma."""
    W, a = (np.asarray(values, dtype=np.float64) for values in (net.W, net.a))
    return Network(W, a, net._lam64, activation=net.activation, bias=net.bias)


def sum_of_losses(f: Array, y: Array, loss: str) -> float:
    """The loss of outputs f (n, k) against targets y (n, k), before a mean is taken."""
    f, y = f.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    if loss == "cross_entropy":
        top = f.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(f - top).sum(axis=1)) + top[:, 0]
        return float(log_sum @ y.sum(axis=1) - np.vdot(y, f))
    squares = float(np.square(f - y).sum())
    return squares / 2 if loss == "half_sse" else squares


def _draw(
    d: int, m: int, outputs: int, rng: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    generator = _check.generator("Network.init", rng)
    _check.require_room("Network.init", 8 * m * (d + outputs), f"m = {m}, d = {d}", "take fewer")
    W = generator.standard_normal((m, d))
    size = (m,) if outputs == 1 else (m, outputs)
    return W, 2 * generator.integers(0, 2, size=size).astype(np.float64) - 1


def _origin(
    fn: str, name: str, value: Any, members: tuple[int, ...], interval: str
) -> float | NDArray[np.float64] | None:
    """Gamma or alpha as a float or, of an ensemble whose members differ, a (B,) array."""
    if value is None:
        return None
    if np.ndim(value) == 0 or not members:
        return _check.number(fn, name, value, interval)
    given = _check.as_array(fn, name, value)
    _check.require_shape(fn, name, given.shape, members)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: {name} must be real numbers, got dtype {given.dtype}")
    for one in given[~np.isnan(given)]:  # NaN: that member has none
        _check.number(fn, name, one, interval)
    return _read_only(given.astype(np.float64))


def _stacked(values: list[Any]) -> Any:
    """One value if all members agree, else (B,) with NaN for members that have none."""
    if all(value == values[0] for value in values):
        return values[0]
    return np.array([np.nan if value is None else value for value in values])


def _of_member(values: Any, b: int) -> float | None:
    if values is None or np.ndim(values) == 0:
        return None if values is None else float(values)
    return None if np.isnan(values[b]) else float(values[b])
