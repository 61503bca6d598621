"""Feature learning at initialisation: Theorems 4.3 and 4.4, and the simulations that test them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import gaussian, inputs
from asymfast.theory.activations import ACTIVATIONS
from asymfast.theory.geometry import row_geometry
from asymfast.theory.network import Model, smooth, velocity_on
from asymfast.theory.ranges import within_range
from asymfast.theory.triple import triple_expectations

Floats = npt.NDArray[np.float64]

_ODD_OR_EVEN = ("tanh", "erf", "sin", "cos", "identity")


class Estimate(NamedTuple):
    """A mean over simulated networks.

    Attributes
    ----------
    mean, standard_error : float64 arrays of one shape
        Of the mean, entry by entry.
    draws : int
        How many networks.

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

    mean: Floats
    standard_error: Floats
    draws: int

    @within_range
    def z(self, expected: npt.ArrayLike) -> Floats:
        """(mean - expected) in standard errors; 0 where both are equal."""
        expected = _check.reals("z", "expected", expected)
        if expected.ndim:  # else a number for all of them
            _check.require_shape("z", "expected", expected.shape, self.mean.shape)
        off = self.mean - expected
        # where nothing varies between the draws, rounding is all that is left
        least = 1e-15 * np.abs(self.mean) + np.finfo(np.float64).tiny
        return np.asarray(off / np.maximum(self.standard_error, least))


@overload
def g_1(
    X: npt.ArrayLike, activation: str = ..., *, return_error: Literal[False] = ...
) -> Floats: ...


@overload
def g_1(
    X: npt.ArrayLike, activation: str = ..., *, return_error: Literal[True]
) -> tuple[Floats, float]: ...


@within_range
def g_1(
    X: npt.ArrayLike, activation: str = "swish", *, return_error: bool = False
) -> Floats | tuple[Floats, float]:
    """g_1(x) = E[sigma(z |x| / sqrt d) sigma'(z |x| / sqrt d)], z ~ N(0, 1), for every row.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row, |x_i| / sqrt(d) at most 100.
    activation : str
        As in `asymfast.Network`.
    return_error : bool
        Return an estimate of the largest error beside the values.

    Returns
    -------
    values : (n,) float64 array
    error : float
        Only with ``return_error``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range.

    Notes
    -----
    Source: above Theorem 4.3. relu: |x| / sqrt(2 pi d), as A.2 says. Exactly 0 for tanh, erf, sin,
    cos and identity: sigma sigma' of an odd or even sigma is odd. The paper's remark that the
    expected change of w_j is not zero for gamma < 1 fails for those.

    Cost: O(n N), N nodes of the quadrature; O(n) for the closed forms.

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> x = np.array([[3.0, 4.0]])
    >>> theory.g_1(x, "relu") * np.sqrt(4 * np.pi)  # |x| / sqrt(2 pi d)
    array([5.])
    >>> theory.g_1(x, "tanh")
    array([0.])
    >>> theory.g_1(x, "swish").round(6)
    array([1.382822])
    """
    fn = "g_1"
    name = inputs.activation(fn, activation)
    checked = inputs.samples(fn, X)
    s = row_geometry(checked).scale
    if name == "relu":
        values, error = s / math.sqrt(2 * math.pi), 4e-16 * float(s.max())
    elif name in _ODD_OR_EVEN:
        values, error = np.zeros(len(s)), 0.0
    else:
        if s.max() > 100:
            raise ValueError(f"{fn}: |x_i| / sqrt(d) must be at most 100, got {s.max():.4g}")
        chosen = ACTIVATIONS[name]
        values, error = gaussian.mean(
            lambda z: chosen.value(z) * chosen.slope(z), 1.25 * gaussian.BANDWIDTH[name], s
        )
    return (values, error) if return_error else values


@within_range
def theorem_4_3(X: npt.ArrayLike, lam: npt.ArrayLike, activation: str = "swish") -> Floats:
    """Expected initial velocity of the weights, E[dw_tjk / dt at t = 0].

    -(lam_j / sqrt d) sum_i x_ik g_1(x_i), whatever the targets.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Training inputs.
    lam : (m,) array_like
        Node scalings.
    activation : str
        As in `asymfast.Network`; relu as well, see A.2.

    Returns
    -------
    (m, d) float64 array
        Exactly 0 for odd or even activations, see `g_1`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range.

    Notes
    -----
    Source: Theorem 4.3; for half the sum of squares. Cost: O(n d + m d).

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> drift = af.theory.theorem_4_3(X, lam)
    >>> drift.shape, bool((drift[1] / drift[0]).std() < 1e-12)  # every node in the same direction
    ((100, 3), True)
    """
    fn = "theorem_4_3"
    checked = inputs.samples(fn, X)
    lam = inputs.non_negative(fn, "lam", lam)
    direction = g_1(checked, activation) @ checked / math.sqrt(checked.shape[1])
    return np.asarray(-lam[:, None] * direction[None, :])


@within_range
def g_2(
    x_1: npt.ArrayLike,
    x_2: npt.ArrayLike,
    x_3: npt.ArrayLike,
    activation: str = "swish",
    *,
    tol: float = 1e-12,
    return_error: bool = False,
) -> float | tuple[float, float]:
    """g_2(x_1, x_2, x_3) = E[sigma''(z_1) sigma'(z_2) sigma'(z_3) sigma(z_3)], Cov z = x x' / d.

    Parameters
    ----------
    x_1, x_2, x_3 : (d,) array_like
        Inputs; parallel, equal and zero ones are fine.
    activation : str
        As in `asymfast.Network`, but not relu.
    tol : float
        Accuracy asked for, relative to the product of the root mean squares of the three factors.
    return_error : bool
        Return the estimated error beside the value, and do so even where it exceeds ``tol``.

    Returns
    -------
    value : float
    error : float
        Only with ``return_error``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range; relu; ``tol`` cannot be met.

    Notes
    -----
    Source: above Theorem 4.4. See `asymfast.theory.triple` for the method.

    Cost: a product rule, of about N^2 K terms; see `theorem_4_4`.

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> e = np.eye(3)
    >>> f"{theory.g_2(e[0], e[1], e[2]):.8f}"
    '0.02396698'
    """
    fn = "g_2"
    first = inputs.array(fn, "x_1", x_1, ("d",))
    rows = [first] + [
        inputs.array(fn, name, x, first.shape) for name, x in (("x_2", x_2), ("x_3", x_3))
    ]
    values, error = _g_2_sums(
        fn,
        np.stack(rows[:2]),
        rows[2][None],
        activation,
        tol,
        lambda G, i: G,
        raising=not return_error,
    )
    value = float(values[0, 1])
    return (value, error) if return_error else value


@overload
def theorem_4_4(
    X: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str = ...,
    *,
    X_eval: npt.ArrayLike | None = ...,
    tol: float = ...,
    return_error: Literal[False] = ...,
) -> Floats: ...


@overload
def theorem_4_4(
    X: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str = ...,
    *,
    X_eval: npt.ArrayLike | None = ...,
    tol: float = ...,
    return_error: Literal[True],
) -> tuple[Floats, float]: ...


@within_range
def theorem_4_4(
    X: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str = "swish",
    *,
    X_eval: npt.ArrayLike | None = None,
    tol: float = 1e-12,
    return_error: bool = False,
) -> Floats | tuple[Floats, float]:
    """Expected initial velocity of the NTG, E[dTheta_m(x_k, x_l; W_t) / dt at t = 0].

    -(x_k.x_l / d^2) sum_i [g_2(x_k, x_l, x_i) x_k.x_i + g_2(x_l, x_k, x_i) x_l.x_i] sum_j lam_j^2,
    whatever the targets.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Training inputs, the x_i.
    lam : (m,) array_like
        Node scalings. Only their sum of squares matters; for the limit of wide networks pass
        ``(1 - gamma) t_j``.
    activation : str
        As in `asymfast.Network`, but not relu.
    X_eval : (q, d) array_like, optional
        The x_k and x_l; default X.
    tol : float
        Accuracy of the g_2, as in `g_2`.
    return_error : bool
        Return the estimated error of an entry beside the matrix.

    Returns
    -------
    V : (q, q) float64 array
        Exactly symmetric.
    error : float
        Only with ``return_error``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range; relu; ``tol`` cannot be met.

    Notes
    -----
    Source: Theorem 4.4; for half the sum of squares. Misprints: its prefactor d^(-3/2) must be d^-2
    (one 1/d from Eq. (4), 1/sqrt(d) from each of two gradients), and the last display of I.2 has
    lost the minus. Cost: O(n q^2 N K + n q N^2 K), N = 30 nodes and K = 16 terms for unit rows:
    2 s for n = q = 100.

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
    fn = "theorem_4_4"
    checked = inputs.samples(fn, X)
    lam = inputs.non_negative(fn, "lam", lam)
    Q = checked if X_eval is None else inputs.array(fn, "X_eval", X_eval, ("q", checked.shape[1]))
    d = checked.shape[1]
    inner = Q @ checked.T

    def weigh(G: Floats, i: int) -> Floats:
        return np.asarray(inner[:, i, None] * G)

    total, error = _g_2_sums(fn, Q, checked, activation, tol, weigh, raising=not return_error)
    prefactor = -(Q @ Q.T) / float(d) ** 2 * float(np.sum(lam**2))
    lower = np.tril(prefactor * (total + total.T))
    V: Floats = lower + np.tril(lower, -1).T
    if not return_error:
        return V
    largest = float(np.abs(prefactor).max()) * 2 * float(np.abs(inner).sum(axis=1).max())
    return V, error * largest


def _g_2_sums(
    fn: str,
    Q: Floats,
    X: Floats,
    activation: str,
    tol: float,
    weigh: Callable[[Floats, int], Floats],
    *,
    raising: bool,
) -> tuple[Floats, float]:
    """sum_i weigh(g_2(x_k, x_l, x_i), i) for all k, l, and the error of a g_2."""
    name = inputs.activation(fn, activation)
    smooth(fn, name)
    tol = _check.number(fn, "tol", tol, low=0, low_open=True)
    chosen = ACTIVATIONS[name]
    total, error, size = triple_expectations(
        fn,
        chosen.curvature,
        chosen.slope,
        lambda z: chosen.slope(z) * chosen.value(z),
        1.25 * gaussian.BANDWIDTH[name],
        Q,
        X,
        tol,
        weigh,
    )
    if raising and error > tol * size:
        raise ValueError(
            f"{fn}: the estimated error is {error / max(size, 1e-300):.1e} of the factors' size, "
            f"above tol={tol:g}; pass a larger tol, shorter rows, or return_error=True"
        )
    return total, error


@within_range
def simulated_drift(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str = "swish",
    *,
    draws: int = 1000,
    rng: Any = None,
) -> Estimate:
    """Mean of dW/dt at time 0 over networks drawn as in Assumption 2.3; Theorem 4.3 expects it.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Training inputs.
    y : (n,) array_like
        Targets; they add variance and no mean.
    lam : (m,) array_like
        Node scalings.
    activation : str
        As in `asymfast.Network`.
    draws : int
        Networks, at least 2.
    rng : seed or Generator
        What `numpy.random.default_rng` takes; for every network W, then a, as `Network.init`.

    Returns
    -------
    Estimate
        Of shape (m, d); ``estimate.z(theorem_4_3(X, lam, activation))`` compares.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range.

    Notes
    -----
    Source: Theorem 4.3. Cost: O(draws n m d) time, O(m d) memory.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> simulated = af.theory.simulated_drift(X, y, lam, draws=400, rng=0)
    >>> simulated.mean.shape, simulated.draws
    ((100, 3), 400)
    """
    return _simulate(
        "simulated_drift", X, y, lam, activation, draws, rng, lambda net, X, y: net.velocity(X, y)
    )


@within_range
def simulated_ntg_velocity(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str = "swish",
    *,
    X_eval: npt.ArrayLike | None = None,
    draws: int = 1000,
    rng: Any = None,
) -> Estimate:
    """Mean of dTheta/dt at time 0 over networks drawn as in Assumption 2.3; Theorem 4.4 expects it.

    Parameters
    ----------
    X_eval : (q, d) array_like, optional
        Where the NTG is taken; default X.
    X, y, lam, activation, draws, rng
        As in `simulated_drift`; relu is refused.

    Returns
    -------
    Estimate
        Of shape (q, q); ``estimate.z(theorem_4_4(X, lam, activation))`` compares.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range.

    Notes
    -----
    Source: Theorem 4.4. Cost: O(draws (q^2 m + (n + q) m d)) time.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> lam = af.node_scaling(100, 0.5, 0.7)
    >>> simulated = af.theory.simulated_ntg_velocity(X, y, lam, draws=400, rng=0)
    >>> bool(abs(simulated.z(af.theory.theorem_4_4(X, lam))).max() < 5)
    True
    """
    fn = "simulated_ntg_velocity"
    smooth(fn, activation)
    checked = inputs.samples(fn, X)
    Q = checked if X_eval is None else inputs.array(fn, "X_eval", X_eval, ("q", checked.shape[1]))
    return _simulate(
        fn, X, y, lam, activation, draws, rng, lambda net, X, y: velocity_on(net, X, y, Q)
    )


def _simulate(
    fn: str,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    lam: npt.ArrayLike,
    activation: str,
    draws: int,
    rng: Any,
    measure: Callable[[Model, Floats, Floats], Floats],
) -> Estimate:
    checked = inputs.samples(fn, X)
    targets = inputs.array(fn, "y", y, (len(checked),))
    scalings = inputs.non_negative(fn, "lam", lam)
    name = inputs.activation(fn, activation)
    draws = _check.integer(fn, "draws", draws, low=2)
    generator = _check.generator(fn, rng)
    m, d = len(scalings), checked.shape[1]
    mean: Any = 0.0
    squares: Any = 0.0
    for count in range(1, draws + 1):  # Welford's algorithm: nothing cancels
        W = generator.standard_normal((m, d))
        a: Floats = 2.0 * generator.integers(0, 2, m).astype(np.float64) - 1.0
        value = measure(Model(W, a, scalings, name), checked, targets)
        off = value - mean
        mean = mean + off / count
        squares = squares + off * (value - mean)
    return Estimate(np.asarray(mean), np.sqrt(np.asarray(squares) / (draws - 1) / draws), draws)
