"""Gradient flow of the linearised network, which is a linear function of its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core, _storage
from ._check import inputs, targets
from ._device import thread_count
from .network import Network, in_float64, row
from .record import lengths

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearisedFlow:
    """Outputs and losses of the linearised network at the requested times; see `linearised_flow`.

    All arrays are float64. They begin with an axis T if t was an array, then with an axis B if the
    network is an ensemble.

    Attributes
    ----------
    time : float or (T,) array
    f : (T, n) or (T, n, k) array
        Outputs on X.
    loss : (T,) array
        Loss of the outputs on X, without the ridge term; a float if it has no axis.
    f_test : (T, n_test) or (T, n_test, k) array, or None
    test_loss : (T,) array, or None
    W : (T, m, d) array, or None
        The weights, if requested.
    weight_change : (T, m) array, or None
        |w_tj - w_0j| of every node, with W.
    eigenvalues : (n k,) array, of an ensemble (B, n k)
        Eigenvalues of the neural tangent matrix of all outputs, ascending.
    """

    time: Any
    f: Floats
    loss: Any
    f_test: Floats | None = None
    test_loss: Any = None
    W: Floats | None = None
    weight_change: Floats | None = None
    eigenvalues: Floats

    def columns(self) -> dict[str, tuple[tuple[str, ...], NDArray[Any]]]:
        """Return all arrays: names, and for each the names of its axes and its values.

        Axes are record, member (ensembles only), sample, test_sample, node, input and output, as in
        `Run.columns`; record is missing if t was a number.
        """
        record = ("record",) * np.ndim(self.time)
        member = ("member",) * (self.eigenvalues.ndim - 1)
        axes: dict[str, tuple[str, ...]] = {
            "time": record,
            "f": (*record, *member, "sample"),
            "loss": (*record, *member),
            "f_test": (*record, *member, "test_sample"),
            "test_loss": (*record, *member),
            "W": (*record, *member, "node", "input"),
            "weight_change": (*record, *member, "node"),
            "eigenvalues": (*member, "eigenvalue"),
        }
        columns = {}
        for name, names in axes.items():
            values = getattr(self, name)
            if values is not None:
                output = ("output",) * (np.ndim(values) - len(names))
                columns[name] = (*names, *output), np.asarray(values)
        return columns

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to one .npz file, without pickle; `numpy.load` reads it.

        The path and the errors are those of `Run.save`.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> import tempfile
        >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
        >>> net = af.Network.init(d=5, m=300, gamma=0.5, alpha=0.7, rng=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     af.linearised_flow(net, X, y, t=[1.0, 10.0]).save(f"{folder}/lazy.npz")
        ...     sorted(np.load(f"{folder}/lazy.npz"))
        ['eigenvalues', 'f', 'loss', 'time']
        """
        arrays = {name: values for name, (_, values) in self.columns().items()}
        _storage.save_npz(_storage.file_to_write("LinearisedFlow.save", "path", path), arrays)


def _linear_loss(fn: str, name: str, loss: Any) -> str:
    if isinstance(loss, str) and loss == "cross_entropy":
        raise ValueError(
            f"{fn}: loss must be half_sse or mse, whose flow is linear, got 'cross_entropy'"
        )
    return _check.choice(fn, name, loss, ("half_sse", "mse"))


@_check.arguments(
    net=_check.instance_of(Network),
    loss=_linear_loss,
    ridge=_check.NON_NEGATIVE,
    weights=_check.flag,
)
@np.errstate(over="ignore", invalid="ignore")  # `gather` refuses what that leaves
def linearised_flow(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    t: ArrayLike,
    *,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    loss: str = "half_sse",
    ridge: float = 0.0,
    weights: bool = False,
    threads: int | None = None,
) -> LinearisedFlow:
    """Gradient flow of the network's linearisation at its weights W_0, in closed form.

    f_lin(x; W) = f(x; W_0) + J(x) (W - W_0),  dW/dt = -d/dW [L(f_lin) + ridge/2 |W - W_0|^2].

    The lazy counterpart of `gradient_flow`: where the two differ, features are learned.

    Parameters
    ----------
    net : Network
        The network at the start. An ensemble gives a closed form for each member.
    X, y : arrays
        Training data as in `gradient_flow`.
    t : float or (T,) array
        Times >= 0, in any order. inf is the limit: kernel (ridge) regression with the neural
        tangent kernel on the residual of the start.
    X_test, y_test : arrays, optional
        Test data, for f_test and test_loss.
    loss : {"half_sse", "mse"}
        The losses whose flow is linear.
    ridge : float
        Strength >= 0 of the ridge term, which pulls W back to W_0.
    weights : bool
        Whether to return the weights as well, T m d numbers.
    threads : int, optional
        As in `Network.__call__`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, dtype, shape or range.
    OverflowError
        A result exceeds the range of float64.

    Notes
    -----
    With K = J J^T = V diag(mu) V^T (n k, n k) of all outputs, s = d2L/df2, which is 1 or, for mse,
    2 / (n k), rate = s mu + ridge and r = f(X; W_0) - y,

        f(X) - y = V diag((ridge + s mu exp(-rate t)) / rate) V^T r,
        W - W_0 = -J^T c,   c = V diag(s (1 - exp(-rate t)) / rate) V^T r,

    and f_test changes by -K(X_test, X) c. Nothing cancels: 1 - exp is computed by expm1, and
    directions with mu below n k eps mu_max, which are known no better than rounding and in which
    the outputs do not move, count as mu = 0 and are left out of c. Everything is computed in
    float64. Source: Section 2 with W frozen in J (Jacot, Gabriel, Hongler 2018; Lee et al. 2019).
    Cost: (n k)^2 m + 9 (n k)^3 + T (n k)^2, for X_test 2 n n_test k^2 m, for W T n m d.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=2000, gamma=1.0, rng=1)
    >>> lazy = af.linearised_flow(net, X, y, t=[0.0, 100.0, np.inf])
    >>> run = af.gradient_flow(net, X, y, t_end=100.0)
    >>> f"{lazy.loss[1]:.3f}", f"{run.loss[-1]:.3f}", f"{lazy.loss[2]:.3f}"
    ('2.123', '2.061', '0.000')
    """
    fn = "linearised_flow"
    times, scalar = _times(fn, t)
    threads = thread_count(fn, threads)
    x = inputs(fn, net, X)
    target = targets(fn, net, y, x.shape[1], loss)
    x_test = None if X_test is None else inputs(fn, net, X_test, "X_test")
    if y_test is not None and x_test is None:
        raise ValueError(f"{fn}: y_test needs X_test, got none")
    y_test = None if y_test is None else targets(fn, net, y_test, x_test.shape[1], loss, "y_test")  # type: ignore[union-attr]

    def solved(b: int, one: Network) -> tuple[dict[str, Floats], Floats]:
        """What member b gives at all times, (T, ...), and its eigenvalues."""
        own = _Linearised(in_float64(one), row(x, b), row(target, b), loss, ridge, threads)
        f = own.outputs(times)
        found = {"f": _flat(f, net), "loss": _loss(f, row(target, b), loss)}
        if x_test is not None:
            f = own.outputs_at(row(x_test, b).astype(np.float64), times)
            found["f_test"] = _flat(f, net)
            if y_test is not None:
                found["test_loss"] = _loss(f, row(y_test, b), loss)
        if weights:
            step = own.steps(times)
            found |= {"W": step + own.net.W, "weight_change": lengths(step)}
        return found, own.mu

    def gather(parts: list[Floats]) -> Any:
        """(T, B, ...) without the axes that the arguments do not have."""
        whole = _check.in_range(fn, parts[0] if net.B is None else np.stack(parts, axis=1))
        values = whole[0] if scalar else whole
        return values if values.ndim else float(values)

    members = [solved(b, one) for b, one in enumerate([net] if net.B is None else net)]
    eigenvalues = [mu for _, mu in members]
    return LinearisedFlow(
        time=float(times[0]) if scalar else times,
        eigenvalues=eigenvalues[0] if net.B is None else np.stack(eigenvalues),
        **{name: gather([found[name] for found, _ in members]) for name in members[0][0]},
    )


def _flat(f: Floats, net: Network) -> Floats:
    """Outputs (T, n, k), without k where the network has no such axis."""
    return f.reshape(*f.shape[:2], *net.a.shape[net.W.ndim - 1 :])


class _Linearised:
    """One network's tangent space: spectrum of its NTG, residual of the start in the eigenbasis."""

    def __init__(
        self, net: Network, X: NDArray[Any], y: NDArray[Any], loss: str, ridge: float, threads: int
    ) -> None:
        self.net, self.ridge, self.threads = net, ridge, threads
        self.X = X.astype(np.float64)
        self.y = y.astype(np.float64).ravel()
        self.curvature = 1.0 if loss == "half_sse" else 2.0 / self.y.size
        self.mu, self.V = np.linalg.eigh(self._kernel(self.X, None))
        known = self.mu > self.mu.size * np.finfo(np.float64).eps * max(self.mu[-1], 0.0)
        self.mu_known = np.where(known, self.mu, 0.0)
        residual = self.net(self.X, threads=threads or None).ravel() - self.y
        self.r = self.V.T @ residual

    def _kernel(self, X: Floats, X2: Floats | None) -> Floats:
        """J(X) J(X2)^T of all outputs, sample by sample: (n k, n2 k)."""
        k, n, n2 = self.net.k, len(X), len(X if X2 is None else X2)
        K = np.empty((n, k, n2, k))
        for p in range(k):
            for q in range(p + 1):
                K[:, p, :, q] = self.net.ntg(X, X2, output=(p, q), threads=self.threads or None)
                K[:, q, :, p] = K[:, p, :, q]
        return K.reshape(n * k, n2 * k)

    def _rates(self, times: Floats) -> tuple[Floats, Floats, Floats]:
        """Rate (n k,), exp(-rate t) and (1 - exp(-rate t)) / rate, t at rate 0: (T, n k)."""
        rate = self.curvature * self.mu_known + self.ridge
        t = times[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            exponent = np.where(rate > 0, -rate * t, 0.0)
            grown = np.where(rate > 0, -np.expm1(exponent) / rate, t)
        return rate, np.exp(exponent), grown

    def outputs(self, times: Floats) -> Floats:
        """(T, n, k) on X."""
        rate, decay, _ = self._rates(times)
        driven = self.curvature * self.mu_known
        with np.errstate(invalid="ignore"):
            left = np.where(rate > 0, (self.ridge + driven * decay) / rate, 1.0)
        f = (left * self.r) @ self.V.T + self.y
        return np.reshape(f, (len(times), len(self.X), self.net.k))

    def _coefficients(self, times: Floats) -> Floats:
        """C (T, n k), with W - W_0 = -J^T c."""
        _, _, grown = self._rates(times)
        moving = self.mu_known > 0
        c = np.where(moving, grown, 0.0) * (self.curvature * self.r)
        return np.asarray(c @ self.V.T)

    def outputs_at(self, X: Floats, times: Floats) -> Floats:
        """(T, n_test, k)."""
        start = self.net(X, threads=self.threads or None).ravel()
        f = start - self._coefficients(times) @ self._kernel(X, self.X).T
        return np.reshape(f, (len(times), len(X), self.net.k))

    def steps(self, times: Floats) -> Floats:
        """W_t - W_0 (T, m, d)."""
        net = self.net
        scaled = self.X / np.sqrt(net.d)
        Z = scaled @ net.W.T
        slopes = _core.activation(net.activation, Z.ravel(), 1).reshape(Z.shape)
        a = np.sqrt(net.lam)[:, None] * net.a.reshape(net.m, net.k)
        coefficients = self._coefficients(times).reshape(len(times), len(self.X), net.k)
        return np.stack([-((c @ a.T) * slopes).T @ scaled for c in coefficients])


def _times(fn: str, t: ArrayLike) -> tuple[Floats, bool]:
    """The times (T,), and whether a single number was given."""
    given = _check.as_array(fn, "t", t)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: t must be a real number or an array of them, got {_check.brief(t)}")
    if given.ndim > 1 or given.size == 0:
        raise ValueError(f"{fn}: t must be a number or have shape (T,), got {given.shape}")
    times = np.atleast_1d(given).astype(np.float64)
    if not (times >= 0).all():
        raise ValueError(f"{fn}: t must be in [0, inf], got {times[~(times >= 0)][0]:g}")
    return times, given.ndim == 0


def _loss(f: Floats, y: NDArray[Any], kind: str) -> Floats:
    squares = (f - y.astype(np.float64)) ** 2
    return np.asarray(0.5 * squares.sum((1, 2)) if kind == "half_sse" else squares.mean((1, 2)))
