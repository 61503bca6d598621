"""Feature learning at initialisation: Theorems 4.3 and 4.4, Eq. (34), and simulations of them.

`Model` is the network of Eq. (2) in plain NumPy, slow and short, so that the theory can be computed
without the compiled core.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import asymfast._check as _check
import asymfast.theory.expectations as expectations
from asymfast.theory.activations import ACTIVATIONS, Floats
from asymfast.theory.checks import SMOOTH, Array, array, mirrored, reals, statement
from asymfast.theory.expectations import row_geometry

__all__ = [
    "Estimate",
    "g_1",
    "g_2",
    "ntg_velocity",
    "simulated_drift",
    "simulated_ntg_velocity",
    "theorem_4_3",
    "theorem_4_4",
    "theta_3",
]


@dataclass(frozen=True, eq=False)
class Model:
    """A network with one output in float64: W (m, d), a (m,), lam (m,)."""

    W: Floats
    a: Floats
    lam: Floats
    activation: str

    def preactivations(self, X: Floats) -> Floats:
        """Z = X W' / sqrt(d), (n, m)."""
        return np.asarray(X @ self.W.T / math.sqrt(X.shape[1]))

    def outputs(self, X: Floats) -> Floats:
        """Eq. (2), (n,)."""
        sigma = ACTIVATIONS[self.activation].value
        return np.asarray(sigma(self.preactivations(X)) @ (np.sqrt(self.lam) * self.a))

    def velocity(self, X: Floats, y: Floats) -> Floats:
        """dW/dt (m, d) of the gradient flow of L_m, half the sum of squares."""
        S = ACTIVATIONS[self.activation].slope(self.preactivations(X))
        back = S * (y - self.outputs(X))[:, None]
        scale = np.sqrt(self.lam / X.shape[1]) * self.a
        return np.asarray(scale[:, None] * (back.T @ X))

    def ntg(self, X: Floats, lam: Floats | None = None) -> Floats:
        """Eq. (5), (n, n), exactly symmetric; its k-th part for lam^(k). Cost: O(n^2 (m + d))."""
        scale = (self.lam if lam is None else lam) * self.a**2
        S = ACTIVATIONS[self.activation].slope(self.preactivations(X))
        return mirrored((X @ X.T / X.shape[1]) * ((S * scale) @ S.T))


@statement(X=array("n", "d"), activation=SMOOTH)
def theta_3(
    W: Array, a: Array, lam: Array, X: Array, X_eval: Array | None = None, activation: str = "swish"
) -> Floats:
    """Third-order kernel of the neural tangent hierarchy, Theta^(3)(x_k, x_l, x_i).

    <grad Theta(x_k, x_l), grad f(x_i)> = (x_k.x_l / d^2) sum_j a_j^3 lam_j^(3/2) sigma'(z_ij)
    [x_k.x_i sigma''(z_kj) sigma'(z_lj) + x_l.x_i sigma''(z_lj) sigma'(z_kj)].

    Source: Eq. (34) and Appendix I.2. Misprint: the prefactor is d^-2, not d^(-3/2): one 1/d from
    Eq. (4) and 1/sqrt(d) from each of the two gradients. Cost: O(q^2 n m).

    Returns
    -------
    (q, q, n) float64 array
        Symmetric in its first two axes.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> af.theory.theta_3(net.W, net.a, net.lam, X).shape
    (5, 5, 5)
    """
    net, chosen = Model(W, a, lam, activation), ACTIVATIONS[activation]
    Q = X if X_eval is None else X_eval
    z, zq = net.preactivations(X), net.preactivations(Q)
    scaled = chosen.slope(z) * (a**3 * lam**1.5)
    S, S2 = chosen.slope(zq), chosen.curvature(zq)
    half = np.einsum("kj,lj,ij->kli", S2, S, scaled, optimize=True) * (Q @ X.T)[:, None, :]
    return np.asarray((Q @ Q.T / X.shape[1] ** 2)[:, :, None] * (half + half.transpose(1, 0, 2)))


@statement(X=array("n", "d"), activation=SMOOTH)
def ntg_velocity(
    W: Array,
    a: Array,
    lam: Array,
    X: Array,
    y: Array,
    X_eval: Array | None = None,
    activation: str = "swish",
) -> Floats:
    """dTheta/dt along the gradient flow, at given weights.

    d Theta(x_k, x_l) / dt = sum_i (y_i - f(x_i)) Theta^(3)(x_k, x_l, x_i).

    The sum over i is taken first, so that Theta^(3) is never stored. Source: the first display of
    Appendix I.2. Cost: O(q^2 m + (n + q) m d).

    Returns
    -------
    (q, q) float64 array
        Exactly symmetric.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> velocity = af.theory.ntg_velocity(net.W, net.a, net.lam, X, y)
    >>> later = net.with_weights(net.W - 1e-6 * net.node_gradients(X, y))  # the flow after 1e-6
    >>> difference = (later.ntg(X) - net.ntg(X)) / 1e-6
    >>> bool(np.abs(difference - velocity).max() < 1e-4 * np.abs(velocity).max())
    True
    """
    return _ntg_velocity(Model(W, a, lam, activation), X, y, X if X_eval is None else X_eval)


def _ntg_velocity(net: Model, X: Floats, y: Floats, Q: Floats) -> Floats:
    """dZ/dt times the derivative of Eq. (4) by Z."""
    chosen = ACTIVATIONS[net.activation]
    z = net.preactivations(Q)
    dz = Q @ net.velocity(X, y).T / math.sqrt(X.shape[1])
    half = (chosen.curvature(z) * dz * (net.lam * net.a**2)) @ chosen.slope(z).T
    return np.asarray((Q @ Q.T / X.shape[1]) * (half + half.T))


_ODD_OR_EVEN = ("tanh", "erf", "sin", "cos", "identity")


class Estimate(NamedTuple):
    """A mean over simulated networks; see `simulated_drift`.

    Attributes
    ----------
    mean, standard_error : float64 arrays of the same shape
        The mean and its standard error, entry by entry.
    draws : int
        Number of networks.
    """

    mean: Floats
    standard_error: Floats
    draws: int

    @statement(expected=reals())
    def z(self, expected: Array) -> Floats:
        """(mean - expected) in standard errors; 0 where both are equal."""
        if expected.ndim:  # otherwise one number for all entries
            _check.require_shape("z", "expected", expected.shape, self.mean.shape)
        # where the draws do not vary, only rounding is left
        least = 1e-15 * np.abs(self.mean) + np.finfo(np.float64).tiny
        return np.asarray((self.mean - expected) / np.maximum(self.standard_error, least))


@statement()
def g_1(X: Array, activation: str = "swish", *, return_error: bool = False) -> Any:
    """g_1(x) = E[sigma(z |x| / sqrt d) sigma'(z |x| / sqrt d)], z ~ N(0, 1), for every row.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row, |x_i| / sqrt(d) at most 100.
    return_error : bool
        Return an estimate of the largest error as well.

    Returns
    -------
    values : (n,) float64 array
    error : float
        Only with ``return_error``.

    Notes
    -----
    For relu it is |x| / sqrt(2 pi d), as in A.2. It is exactly 0 for tanh, erf, sin, cos and
    identity, as sigma sigma' is odd for an odd or even sigma; the paper's remark that the expected
    change of w_j is not zero for gamma < 1 does not hold for those.

    Source: above Theorem 4.3. Cost: O(n N) with N quadrature nodes; O(n) for the closed forms.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> x = np.array([[3.0, 4.0]])
    >>> af.theory.g_1(x, "relu") * np.sqrt(4 * np.pi)  # |x| / sqrt(2 pi d)
    array([5.])
    >>> af.theory.g_1(x, "tanh")
    array([0.])
    >>> af.theory.g_1(x, "swish").round(6)
    array([1.382822])
    """
    s = row_geometry(X).scale
    if activation == "relu":
        values, error = s / math.sqrt(2 * math.pi), 4e-16 * float(s.max())
    elif activation in _ODD_OR_EVEN:
        values, error = np.zeros(len(s)), 0.0
    else:
        if s.max() > 100:
            raise ValueError(f"|x_i| / sqrt(d) must be at most 100, got {s.max():.4g}")
        chosen, bandwidth = ACTIVATIONS[activation], 1.25 * expectations.BANDWIDTH[activation]
        values, error = expectations.mean(lambda z: chosen.value(z) * chosen.slope(z), bandwidth, s)
    return (values, error) if return_error else values


@statement()
def theorem_4_3(X: Array, lam: Array, activation: str = "swish") -> Floats:
    """Expected initial velocity of the weights, E[dw_tjk / dt at t = 0].

    It is -(lam_j / sqrt d) sum_i x_ik g_1(x_i), for any targets.

    Source: Theorem 4.3, with half the sum of squares as the loss. Cost: O(n d + m d).

    Returns
    -------
    (m, d) float64 array
        Exactly 0 for odd and even activations, see `g_1`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> drift = af.theory.theorem_4_3(X, lam)
    >>> drift.shape, bool((drift[1] / drift[0]).std() < 1e-12)  # every node in the same direction
    ((100, 3), True)
    """
    direction = g_1(X, activation) @ X / math.sqrt(X.shape[1])
    return np.asarray(-lam[:, None] * direction[None, :])


@statement(x_1=array("d"), x_2=array("d"), x_3=array("d"), activation=SMOOTH)
def g_2(
    x_1: Array,
    x_2: Array,
    x_3: Array,
    activation: str = "swish",
    *,
    tol: float = 1e-12,
    return_error: bool = False,
) -> Any:
    """g_2(x_1, x_2, x_3) = E[sigma''(z_1) sigma'(z_2) sigma'(z_3) sigma(z_3)], Cov z = x x' / d.

    Source: above Theorem 4.4; the method is described in `asymfast.theory.expectations`. Cost:
    O(N^2 K), see `theorem_4_4`.

    Parameters
    ----------
    x_1, x_2, x_3 : (d,) array_like
        Inputs; they may be parallel, equal or zero.
    tol : float
        Accuracy required, relative to the product of the root mean squares of the three factors.

    Returns
    -------
    value : float
    error : float
        Only with ``return_error``: an estimate.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> e = np.eye(3)
    >>> f"{af.theory.g_2(e[0], e[1], e[2]):.8f}"
    '0.02396698'
    """
    values, error = _g_2_sums(
        np.stack([x_1, x_2]), x_3[None], activation, tol, lambda G, i: G, return_error
    )
    value = float(values[0, 1])
    return (value, error) if return_error else value


@statement(activation=SMOOTH)
def theorem_4_4(
    X: Array,
    lam: Array,
    activation: str = "swish",
    *,
    X_eval: Array | None = None,
    tol: float = 1e-12,
    return_error: bool = False,
) -> Any:
    """Expected initial velocity of the NTG, E[dTheta_m(x_k, x_l; W_t) / dt at t = 0].

    It is -(x_k.x_l / d^2) sum_i [g_2(x_k, x_l, x_i) x_k.x_i + g_2(x_l, x_k, x_i) x_l.x_i]
    sum_j lam_j^2, for any targets. For the limit of wide networks pass ``(1 - gamma) t_j`` as lam.

    Source: Theorem 4.4, with half the sum of squares as the loss. Misprints: its prefactor d^(-3/2)
    must be d^-2 (one 1/d from Eq. (4), 1/sqrt(d) from each of two gradients), and the last display
    of I.2 lacks the minus. Cost: O(n q^2 N K + n q N^2 K), with N = 30 nodes and K = 16 terms for
    unit rows; about 2 s for n = q = 100.

    Parameters
    ----------
    tol : float
        Accuracy of the g_2, as in `g_2`.

    Returns
    -------
    V : (q, q) float64 array
        Exactly symmetric.
    error : float
        Only with ``return_error``: an estimate.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> velocity = af.theory.theorem_4_4(X, lam)
    >>> twice = af.theory.theorem_4_4(X, 2 * lam)
    >>> velocity.shape, f"{(twice / velocity).mean():.6f}"  # sum lam^2
    ((5, 5), '4.000000')
    """
    Q = X if X_eval is None else X_eval
    inner = Q @ X.T

    def weigh(G: Floats, i: int) -> Floats:
        return np.asarray(inner[:, i, None] * G)

    total, error = _g_2_sums(Q, X, activation, tol, weigh, return_error)
    prefactor = -(Q @ Q.T) / float(X.shape[1]) ** 2 * float(np.sum(lam**2))
    V = mirrored(prefactor * (total + total.T))
    if not return_error:
        return V
    largest = float(np.abs(prefactor).max()) * 2 * float(np.abs(inner).sum(axis=1).max())
    return V, error * largest


def _g_2_sums(
    Q: Floats,
    X: Floats,
    activation: str,
    tol: float,
    weigh: Callable[[Floats, int], Floats],
    return_error: bool,
) -> tuple[Floats, float]:
    """sum_i weigh(g_2(x_k, x_l, x_i), i) for all k, l, and the error of one g_2."""
    chosen = ACTIVATIONS[activation]
    functions = (chosen.curvature, chosen.slope, lambda z: chosen.slope(z) * chosen.value(z))
    bandwidth = 1.25 * expectations.BANDWIDTH[activation]
    total, error, size = expectations.triple_sums(functions, bandwidth, Q, X, tol, weigh)
    if error > tol * size and not return_error:
        raise ValueError(
            f"the estimated error is {error / max(size, 1e-300):.1e} of the factors' size, "
            f"above tol={tol:g}; pass a larger tol, shorter rows, or return_error=True"
        )
    return total, error


@statement()
def simulated_drift(
    X: Array, y: Array, lam: Array, activation: str = "swish", *, draws: int = 1000, rng: Any = None
) -> Estimate:
    """Mean of dW/dt at time 0 over networks drawn as in Assumption 2.3, to test Theorem 4.3.

    Source: Theorem 4.3. Cost: O(draws n m d) time, O(m d) memory.

    Parameters
    ----------
    y : (n,) array_like
        Targets; they affect the variance but not the mean.
    rng : seed or Generator
        Anything `numpy.random.default_rng` accepts; W, then a, is drawn for every network, as in
        `Network.init`.

    Returns
    -------
    Estimate
        Of shape (m, d); compare by ``estimate.z(theorem_4_3(X, lam, activation))``.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> simulated = af.theory.simulated_drift(X, y, lam, draws=400, rng=0)
    >>> off = simulated.z(af.theory.theorem_4_3(X, lam))
    >>> off.shape, bool(abs(off).max() < 5)
    ((100, 3), True)
    """
    return _simulate(lambda net: net.velocity(X, y), X.shape[1], lam, activation, draws, rng)


@statement(activation=SMOOTH)
def simulated_ntg_velocity(
    X: Array,
    y: Array,
    lam: Array,
    activation: str = "swish",
    *,
    X_eval: Array | None = None,
    draws: int = 1000,
    rng: Any = None,
) -> Estimate:
    """Mean of dTheta/dt at time 0 over networks drawn as in Assumption 2.3, to test Theorem 4.4.

    Source: Theorem 4.4. Cost: O(draws (q^2 m + (n + q) m d)) time.

    Returns
    -------
    Estimate
        Of shape (q, q); compare by ``estimate.z(theorem_4_4(X, lam, activation))``.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> simulated = af.theory.simulated_ntg_velocity(X, y, lam, draws=400, rng=0)
    >>> bool(abs(simulated.z(af.theory.theorem_4_4(X, lam))).max() < 5)
    True
    """
    Q = X if X_eval is None else X_eval
    return _simulate(
        lambda net: _ntg_velocity(net, X, y, Q), X.shape[1], lam, activation, draws, rng
    )


def _simulate(
    measure: Callable[[Model], Floats],
    d: int,
    lam: Floats,
    activation: str,
    draws: int,
    rng: np.random.Generator,
) -> Estimate:
    """Mean of a measure over networks drawn as in Assumption 2.3."""
    m = len(lam)
    mean: Any = 0.0
    squares: Any = 0.0
    for count in range(1, draws + 1):  # Welford's algorithm, without cancellation
        W = rng.standard_normal((m, d))
        a: Floats = 2.0 * rng.integers(0, 2, m).astype(np.float64) - 1.0
        value = measure(Model(W, a, lam, activation))
        off = value - mean
        mean = mean + off / count
        squares = squares + off * (value - mean)
    return Estimate(np.asarray(mean), np.sqrt(np.asarray(squares) / (draws - 1) / draws), draws)
