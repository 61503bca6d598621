"""The lemmas on the dynamics: E.1 to E.5 (gradient flow), H.2 and H.3 (gradient descent).

As in `convergence`, ``L`` is sup |sigma'|: 1, the default, gives the paper's statements, which need
|sigma'| <= 1, and the true supremum of swish, erf or gelu gives what the proofs yield for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import inputs
from asymfast.theory.ranges import within_range
from asymfast.theory.widths import Widths

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LemmaE1:
    """What Lemma E.1 says at time t; see `lemma_e1`.

    Attributes
    ----------
    loss : float
        Bound of L_m(W_t).
    weight_factor : float
        Eq. (15): |w_tj - w_0j| <= weight_factor sqrt(lam_j).

    Examples
    --------
    >>> from asymfast import theory
    >>> bounds = theory.lemma_e1(t=2.0, zeta=0.5, residual=4.0, n=10, d=5)
    >>> bounds.weight_change([0.0, 0.25, 1.0]).round(4)
    array([ 0.    , 11.3137, 22.6274])
    """

    loss: float
    weight_factor: float

    @within_range
    def weight_change(self, lam: npt.ArrayLike) -> Floats:
        """Bound of |w_tj - w_0j| for every node."""
        lam = _check.reals("weight_change", "lam", lam, low=0)
        return np.asarray(self.weight_factor * np.sqrt(lam))


class NtgChange(NamedTuple):
    """What Lemmas E.2 and E.4 say of weights near W_0.

    Attributes
    ----------
    radius : (m,) float64 array
        The lemma speaks of all W with |w_j - w_0j| <= radius_j.
    ntg_change : (float, float)
        Bounds of |Theta^(k)(W) - Theta^(k)(W_0)|_2 for k = 1, 2.
    eigmin_loss : float
        eig_min(Theta(W)) >= eig_min(Theta^(1)(W_0)) - eigmin_loss; Eqs. (16) and (23).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> near = theory.lemma_e4(np.full(1000, 0.1), lam1, lam2, n=10, d=5, M=0.5)
    >>> float(near.radius[0]), f"{near.eigmin_loss:.5f}"
    (0.05, '0.02249')
    """

    radius: Floats
    ntg_change: tuple[float, float]
    eigmin_loss: float


@dataclass(frozen=True)
class SufficientCondition:
    """What Lemmas E.3 and E.5 say; see `lemma_e3` and `lemma_e5`.

    Attributes
    ----------
    width : Widths
        The three terms of the condition on m; they depend on c, so on m itself.
    width_met : bool
        Whether m = len(lam) satisfies it.
    reached : (m,) float64 array
        R'_j, the bound (c) of |w_tj - w_0j|.
    allowed : (m,) float64 array
        R_j. The lemma asks R'_j < R_j for all nodes, with probability 1 - delta / 2.
    reached_is_allowed : bool
        Whether that holds for the residual given. A node with lam_j = 0 has R'_j = 0.
    eigmin, log_rate : float
        (a) and (b): gamma kappa / 4 and -gamma kappa / 2.
    ntg_change : float
        (d): bound of |Theta_t - Theta_0|_2.

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> condition = theory.lemma_e5(
    ...     10.0 * np.sqrt(lam), lam, n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1,
    ...     residual=4.0, M=0.5
    ... )
    >>> condition.width_met, condition.reached_is_allowed
    (False, False)
    """

    width: Widths
    width_met: bool
    reached: Floats
    allowed: Floats
    reached_is_allowed: bool
    eigmin: float
    log_rate: float
    ntg_change: float


@within_range
def lemma_e1(t: float, zeta: float, *, residual: float, n: int, d: int, L: float = 1.0) -> LemmaE1:
    """Exponential decay along the flow while the smallest eigenvalue is at least zeta / 2.

    Parameters
    ----------
    t : float
        Time >= 0.
    zeta : float
        > 0, with eig_min(Theta_m(X; W_s)) >= zeta / 2 for all s in [0, t].
    residual : float
        |y - u_0| >= 0.
    n, d : int
        Samples and inputs.
    L : float
        sup |sigma'|.

    Returns
    -------
    LemmaE1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma E.1. L > 1 multiplies the weight bound by L and leaves the loss as it is.

    Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> bounds = theory.lemma_e1(t=2.0, zeta=0.5, residual=4.0, n=10, d=5)
    >>> f"{bounds.loss:.6f}"  # residual^2 / 2 e^(-zeta t)
    '2.943036'
    """
    fn = "lemma_e1"
    t, zeta, residual = inputs.scalars(fn, t=t, zeta=zeta, residual=residual)
    n, d, L = inputs.scalars(fn, n=n, d=d, L=L)
    return LemmaE1(
        loss=0.5 * residual**2 * math.exp(-zeta * t),
        weight_factor=L * math.sqrt(n / d) * residual * 2 / zeta,
    )


@within_range
def lemma_e2(
    c: npt.ArrayLike, lam1: npt.ArrayLike, lam2: npt.ArrayLike, *, n: int, d: int, delta: float
) -> NtgChange:
    """Change of the NTG near W_0 for relu, with probability at least 1 - delta.

    Parameters
    ----------
    c : (m,) array_like
        c_j >= 0; the lemma speaks of |w_j - w_0j| <= delta^2 c_j / 4.
    lam1, lam2 : (m,) array_like
        Parts of the node scaling, see `node_scaling_parts`.
    n, d : int
        Samples and inputs.
    delta : float
        In (0, 1).

    Returns
    -------
    NtgChange

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma E.2 as stated. Its proof has the sharper second term 2 n / d sqrt(gamma_k S_k),
    which Eq. (16) and so ``eigmin_loss`` keep. Misprints: Theta^(s) for Theta^(k), f_n for f_m, and
    2 sqrt(n/d) gamma_k for 2 sqrt(n gamma_k / d).

    Cost: O(m).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> near = theory.lemma_e2(np.full(1000, 0.1), lam1, lam2, n=10, d=5, delta=0.1)
    >>> float(round(near.radius[0], 8)), [f"{change:.4f}" for change in near.ntg_change]
    (0.00025, ['0.9944', '0.9944'])
    """
    fn = "lemma_e2"
    n, d, delta = inputs.scalars(fn, n=n, d=d, delta=delta)
    c, lam1, lam2 = _nodes(fn, c, lam1, lam2)
    gamma, m = float(lam1.sum()), len(c)

    def change(total: float) -> float:
        return n / d * (total + 2 * math.sqrt(total))

    return NtgChange(
        radius=delta**2 * c / 4,
        ntg_change=(change(float(np.sum(lam1 * c))), change(float(np.sum(lam2 * c)))),
        eigmin_loss=gamma * change(float(c.sum()) / m),
    )


@within_range
def lemma_e4(
    c: npt.ArrayLike,
    lam1: npt.ArrayLike,
    lam2: npt.ArrayLike,
    *,
    n: int,
    d: int,
    M: float,
    L: float = 1.0,
) -> NtgChange:
    """Change of the NTG near W_0 for smooth activations, with certainty.

    Parameters
    ----------
    c : (m,) array_like
        c_j >= 0; the lemma speaks of |w_j - w_0j| <= c_j / 2.
    M : float
        sup |sigma''|, finite.
    L : float
        sup |sigma'|.
    lam1, lam2, n, d
        As in `lemma_e2`.

    Returns
    -------
    NtgChange

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma E.4 as stated; the proof has sqrt(gamma_k) in the second term, which Eq. (23) and
    so ``eigmin_loss`` keep. L > 1 multiplies the second terms by L.

    Cost: O(m).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> near = theory.lemma_e4(np.full(1000, 0.1), lam1, lam2, n=10, d=5, M=0.5)
    >>> [f"{change:.5f}" for change in near.ntg_change]
    ['0.03175', '0.03175']
    """
    fn = "lemma_e4"
    n, d, M, L = inputs.scalars(fn, n=n, d=d, M=M, L=L)
    c, lam1, lam2 = _nodes(fn, c, lam1, lam2)
    gamma, m = float(lam1.sum()), len(c)

    def change(mean_square: float) -> float:
        first = M * math.sqrt(mean_square) / d
        return n * first * (first / 4 + L / math.sqrt(d))

    return NtgChange(
        radius=c / 2,
        ntg_change=(change(float(np.sum(lam1 * c**2))), change(float(np.sum(lam2 * c**2)))),
        eigmin_loss=gamma * change(float(np.sum(c**2)) / m),
    )


@within_range
def lemma_e3(
    c: npt.ArrayLike,
    lam: npt.ArrayLike,
    *,
    n: int,
    d: int,
    kappa: float,
    gamma: float,
    delta: float,
    residual: float,
) -> SufficientCondition:
    """Sufficient condition for Theorem A.1 (relu).

    Parameters
    ----------
    c : (m,) array_like
        c_j > 0; 0 is accepted where lam_j = 0.
    lam : (m,) array_like
        Node scalings.
    residual : float
        |y - u_0|, or a bound that holds with probability 1 - delta / 2.
    n, d, kappa, gamma, delta
        As in `theorem_a1`.

    Returns
    -------
    SufficientCondition

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma E.3. The second term of (d) is loose by sqrt 2.

    Cost: O(m).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> condition = theory.lemma_e3(
    ...     np.sqrt(lam), lam, n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1, residual=4.0
    ... )
    >>> f"{condition.width.required:.4g}", condition.width_met
    ('2.655e+08', False)
    """
    fn = "lemma_e3"
    n, d, residual = inputs.scalars(fn, n=n, d=d, residual=residual)
    kappa, gamma, delta = inputs.scalars(fn, kappa=kappa, gamma=gamma, delta=delta)
    c, lam = _nodes(fn, c, lam)
    total, weighted = float(c.sum()), float(np.sum(lam * c))
    ratio = n / (d * kappa)
    return _condition(
        terms=(
            8 * ratio * (math.log(4 * n) - math.log(delta)),
            8 * ratio * total,
            (16 * ratio) ** 2 * total,
        ),
        reached=np.sqrt(n * lam / d) * residual * 4 / (gamma * kappa),
        allowed=delta**2 * c / 64,
        kappa=kappa,
        gamma=gamma,
        lam=lam,
        ntg_change=n / d * (weighted + 2 * math.sqrt(2 * weighted)),
    )


@within_range
def lemma_e5(
    c: npt.ArrayLike,
    lam: npt.ArrayLike,
    *,
    n: int,
    d: int,
    kappa: float,
    gamma: float,
    delta: float,
    residual: float,
    M: float,
    L: float = 1.0,
) -> SufficientCondition:
    """Sufficient condition for Theorem 4.1 (smooth activations).

    Parameters
    ----------
    c, lam, residual
        As in `lemma_e3`.
    n, d, kappa, gamma, delta, M, L
        As in `theorem_4_1`.

    Returns
    -------
    SufficientCondition

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma E.5; it says "for Theorem A.1" and means 4.1. The second term of (d) is loose by
    sqrt 2. L > 1 multiplies the widths by L^2, 1 and L^2, R' by L and the second term of (d) by L.

    Cost: O(m).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> lam1, lam2 = theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> lam = lam1 + lam2
    >>> condition = theory.lemma_e5(
    ...     10.0 * np.sqrt(lam), lam, n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1,
    ...     residual=4.0, M=0.5
    ... )
    >>> f"{condition.width.required:.4g}", f"{condition.ntg_change:.4f}"
    ('8477', '0.0315')
    """
    fn = "lemma_e5"
    n, d, residual, M, L = inputs.scalars(fn, n=n, d=d, residual=residual, M=M, L=L)
    kappa, gamma, delta = inputs.scalars(fn, kappa=kappa, gamma=gamma, delta=delta)
    c, lam = _nodes(fn, c, lam)
    total, weighted = float(np.sum(c**2)), float(np.sum(lam * c**2))
    curved = (M * delta) ** 2
    return _condition(
        terms=(
            8 * n * L**2 * (math.log(2 * n) - math.log(delta)) / (d * kappa),
            n * curved / (8 * d**2 * kappa) * total,
            4 * (n * L / kappa) ** 2 * curved / d**3 * total,
        ),
        reached=L * np.sqrt(n * lam / d) * residual * 4 / (gamma * kappa),
        allowed=delta * c / 8,
        kappa=kappa,
        gamma=gamma,
        lam=lam,
        ntg_change=n * curved / (64 * d**2) * weighted
        + L * n * M * delta / (2 * math.sqrt(2) * d**1.5) * math.sqrt(weighted),
    )


@within_range
def lemma_h2(lam: npt.ArrayLike, residual: float, *, n: int, d: int, L: float = 1.0) -> Floats:
    """Bound of |dL_m / dw_j|, L sqrt(lam_j n / d) |y - u|, for every node.

    Parameters
    ----------
    lam : (m,) array_like
        Node scalings.
    residual : float
        |y - u(W)| >= 0.
    n, d : int
        Samples and inputs.
    L : float
        sup |sigma'|. With the paper's 1 the bound is violated by swish, by a factor of up to
        1.0998.

    Returns
    -------
    (m,) float64 array

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma H.2.

    Cost: O(m).

    Examples
    --------
    >>> import numpy as np, asymfast as af
    >>> X, y = af.datasets.simulated(n=10, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=100, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
    >>> bound = af.theory.lemma_h2(net.lam, float(np.linalg.norm(y - net(X))), n=10, d=5)
    >>> bool((np.linalg.norm(net.node_gradients(X, y), axis=1) <= bound).all())
    True
    """
    fn = "lemma_h2"
    n, d, residual, L = inputs.scalars(fn, n=n, d=d, residual=residual, L=L)
    return np.asarray(L * np.sqrt(inputs.non_negative(fn, "lam", lam) * n / d) * residual)


@within_range
def lemma_h3(
    residual: float, eigmin: float, *, eta: float, n: int, d: int, M: float, L: float = 1.0
) -> float:
    """The factor of Eq. (30): |y - u_{s+1}|^2 <= factor |y - u_s|^2.

    factor = 1 - 2 eta eig_min + 2 eta^2 L^2 M n^(3/2) |y - u_s| / d^2 + eta^2 L^4 n^2 / d^2.

    Parameters
    ----------
    residual : float
        |y - u_s| >= 0.
    eigmin : float
        Smallest eigenvalue of Theta_m(s), or a lower bound of it.
    eta : float
        Learning rate > 0, on half the sum of squares.
    n, d : int
        Samples and inputs.
    M, L : float
        sup |sigma''| and sup |sigma'|.

    Returns
    -------
    float
        Below 1 where the lemma guarantees that the step lowers the loss.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Lemma H.3; the factors L^2 and L^4 are for |sigma'| <= L. Misprint: H.2 defines
    u~_{s+1} with u_s - eta du/dt for u_s + eta du/dt = u_s - eta Theta (u_s - y).

    Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> f"{theory.lemma_h3(residual=4.0, eigmin=0.02, eta=0.001, n=10, d=5, M=0.77):.8f}"
    '0.99997179'
    """
    fn = "lemma_h3"
    residual, eigmin, eta = inputs.scalars(fn, residual=residual, eigmin=eigmin, eta=eta)
    n, d, M, L = inputs.scalars(fn, n=n, d=d, M=M, L=L)
    growth = (eta * L / d) ** 2 * n * (2 * M * math.sqrt(n) * residual + L**2 * n)
    return 1 - 2 * eta * eigmin + growth


def _nodes(fn: str, c: npt.ArrayLike, *lams: npt.ArrayLike) -> tuple[Floats, ...]:
    """Radii c and the scalings as (m,) arrays; one part of the scaling may be zero throughout."""
    radii = inputs.non_negative(fn, "c", c)
    names = ("lam",) if len(lams) == 1 else ("lam1", "lam2")
    arrays = [np.asarray(lam) for lam in lams]
    zero = [not np.any(lam) for lam in arrays]
    if all(zero):
        raise ValueError(f"{fn}: {' and '.join(names)} must not be all zero")
    return (
        radii,
        *(
            np.zeros(len(radii)) if none else inputs.non_negative(fn, name, lam, (len(radii),))
            for none, name, lam in zip(zero, names, arrays, strict=True)
        ),
    )


def _condition(
    *,
    terms: tuple[float, ...],
    reached: Floats,
    allowed: Floats,
    kappa: float,
    gamma: float,
    lam: Floats,
    ntg_change: float,
) -> SufficientCondition:
    if not all(map(math.isfinite, terms)):
        raise OverflowError  # named by `within_range`
    width = Widths(tuple(math.log(term) if term > 0 else -math.inf for term in terms))
    moving = lam > 0
    return SufficientCondition(
        width=width,
        width_met=width.met_by(len(lam)),
        reached=reached,
        allowed=allowed,
        reached_is_allowed=bool(np.all(reached[moving] < allowed[moving])),
        eigmin=gamma * kappa / 4,
        log_rate=-gamma * kappa / 2,
        ntg_change=ntg_change,
    )
