"""Global convergence: Propositions B.1 and D.1, Theorems 4.1, A.1 and H.1, Lemmas E.1 to H.3.

Every function takes the constants of its statement as keywords with the paper's names and returns
the bounds of the statement. ``L`` is sup |sigma'|. The paper assumes L <= 1, which swish, erf and
gelu violate; with L = 1 (the default) a function returns the paper's numbers, and with the true L
the numbers for which the proof holds. The numbers are accurate to a few roundings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from asymfast.theory.activations import Floats
from asymfast.theory.checks import (
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    nodes,
    number,
    reals,
    statement,
)

__all__ = [
    "LemmaE1",
    "NtgChange",
    "PropositionD1",
    "SufficientCondition",
    "Theorem41",
    "TheoremA1",
    "TheoremH1",
    "Widths",
    "lemma_e1",
    "lemma_e2",
    "lemma_e3",
    "lemma_e4",
    "lemma_e5",
    "lemma_h2",
    "lemma_h3",
    "proposition_b1",
    "proposition_d1",
    "theorem_4_1",
    "theorem_a1",
    "theorem_h1",
]

_LARGEST_LOG = math.log(1.7e308)
_LOG_2 = math.log(2)
_ABOVE_0 = number("(0, 1]")  # the theorems exclude gamma = 0


@dataclass(frozen=True)
class Widths:
    """The terms of a theorem's condition m >= max(...), as logarithms; see `theorem_4_1`.

    The terms themselves may exceed any float.

    Attributes
    ----------
    logs : tuple of float
        Natural logarithm of every term, in the order of the statement; -inf stands for 0.
    """

    logs: tuple[float, ...]

    @property
    def log(self) -> float:
        """Natural logarithm of the required width, the largest term."""
        return max(self.logs)

    @property
    def log10(self) -> float:
        """Decimal logarithm of the required width."""
        return self.log / math.log(10)

    @property
    def terms(self) -> tuple[float, ...]:
        """The terms as floats; OverflowError where one exceeds the largest float."""
        if self.log > _LARGEST_LOG:
            raise OverflowError(
                f"Widths: the width 10^{self.log10:.6g} exceeds the largest float; use log or log10"
            )
        return tuple(math.exp(term) for term in self.logs)

    @property
    def required(self) -> float:
        """The required width, the largest of `terms`."""
        return max(self.terms)

    @statement(m=nodes())
    def met_by(self, m: float) -> bool:
        """Whether a network of m nodes is wide enough."""
        return math.log(m) >= self.log


@dataclass(frozen=True, kw_only=True)
class _WeightBound:
    """(c): the bound of the weight changes."""

    weight_factor: float

    @statement(lam=reals(low=0))
    def weight_change(self, lam: Array) -> Floats:
        """Bound of |w_tj - w_0j| for every node and all t, ``weight_factor`` sqrt(lam_j)."""
        return np.asarray(self.weight_factor * np.sqrt(lam))


@dataclass(frozen=True, kw_only=True)
class _Theorem(_WeightBound):
    """Bounds that the three theorems have in common."""

    eigmin: float
    log_rate: float
    ntg_linear: float
    ntg_root: float

    @statement(t=reals(low=0), loss_0=NOT_NEGATIVE)
    def loss(self, t: Array, loss_0: float) -> Floats:
        """(b): bound of L_m after time t (flow) or t steps (descent), given its initial value.

        0 where the bound is below the smallest float.
        """
        exponent = np.zeros_like(t)
        with np.errstate(over="ignore"):  # to -inf, which the rate itself may be
            np.multiply(self.log_rate, t, out=exponent, where=t > 0)
        return np.asarray(loss_0 * np.exp(exponent))

    @statement(sum_lam2=NOT_NEGATIVE)
    def ntg_change(self, sum_lam2: float) -> float:
        """(d): bound of the spectral norm |NTG_t - NTG_0|_2, from sum_j lam_j^2."""
        return self.ntg_linear * sum_lam2 + self.ntg_root * math.sqrt(sum_lam2)


@dataclass(frozen=True, kw_only=True)
class Theorem41(_Theorem):
    """The bounds of Theorem 4.1; see `theorem_4_1`.

    Attributes
    ----------
    width : Widths
        The three terms of the condition on m. The middle one is never the largest.
    eigmin : float
        (a): lower bound of the smallest eigenvalue of the NTG, gamma kappa / 4.
    log_rate : float
        (b): L_m(W_t) <= exp(log_rate t) L_m(W_0); -gamma kappa / 2.
    weight_factor : float
        (c): |w_tj - w_0j| <= weight_factor sqrt(lam_j).
    ntg_linear, ntg_root : float
        (d): |NTG_t - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S), S = sum lam^2.
    """

    width: Widths


@dataclass(frozen=True, kw_only=True)
class TheoremA1(_Theorem):
    """The bounds of Theorem A.1 (relu); see `theorem_a1`.

    Attributes
    ----------
    width, eigmin, log_rate, weight_factor
        As in `Theorem41`.
    ntg_linear, ntg_root : float
        (d): |NTG_t - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S), S = sum lam^(3/2).
    """

    width: Widths

    @statement(sum_lam32=NOT_NEGATIVE)
    def ntg_change(self, sum_lam32: float) -> float:
        """(d): bound of the spectral norm |NTG_t - NTG_0|_2, from sum_j lam_j^(3/2)."""
        return self.ntg_linear * sum_lam32 + self.ntg_root * math.sqrt(sum_lam32)


@dataclass(frozen=True, kw_only=True)
class TheoremH1(_Theorem):
    """The bounds of Theorem H.1 and its proof; see `theorem_h1`.

    Attributes
    ----------
    learning_rates : tuple of three float
        eta must be below all of them. The first is never the smallest.
    width : Widths or None
        The three terms of the condition on m; None where eta gamma kappa / 2 >= 1, for which they
        do not exist.
    alpha, one_minus_beta : float
        alpha = eta gamma kappa / 2, and 1 - sqrt(1 - alpha) without cancellation; 1 for alpha >= 1.
    eigmin : float
        From the proof: smallest eigenvalue of the NTG at all steps, at least 3 gamma kappa / 8.
    log_rate : float
        |y - u_s|^2 <= exp(log_rate s) |y - u_0|^2; log(1 - alpha), -inf where alpha >= 1.
    weight_factor : float
        From the proof: |w_sj - w_0j| <= weight_factor sqrt(lam_j).
    ntg_linear, ntg_root : float
        From the proof, by Lemma E.4: |NTG_s - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S),
        S = sum lam^2.
    """

    learning_rates: tuple[float, float, float]
    width: Widths | None
    alpha: float
    one_minus_beta: float
    eta: float = field(repr=False)

    @property
    def learning_rate(self) -> float:
        """The bound on eta, the smallest of the three."""
        return min(self.learning_rates)

    @property
    def learning_rate_met(self) -> bool:
        """Whether eta is small enough."""
        return self.eta < self.learning_rate


@dataclass(frozen=True)
class PropositionD1:
    """The bounds of Proposition D.1; see `proposition_d1`.

    Attributes
    ----------
    width : Widths
        One term, 8 n L^2 log(n / delta) / (kappa d).
    eigmin : float
        gamma kappa / 2. The smallest eigenvalues of Theta^(1)_m(W_0) and Theta_m(W_0) exceed it
        with probability 1 - delta.
    log_failure_per_node : float
        The proof's bound of the probability of failure is n exp(log_failure_per_node m).
    """

    width: Widths
    eigmin: float
    log_failure_per_node: float
    n: int = field(repr=False)

    @statement(m=nodes())
    def failure_probability(self, m: float) -> float:
        """Bound of the probability that eig_min(Theta_m(W_0)) <= gamma kappa / 2, at most 1."""
        return min(1.0, math.exp(min(0.0, math.log(self.n) + self.log_failure_per_node * m)))


@statement(delta=NOT_NEGATIVE, mu=NOT_NEGATIVE, R=POSITIVE)
def proposition_b1(delta: float, *, n: int, mu: float, R: float) -> tuple[float, float]:
    """Matrix Chernoff bounds (Tropp) for a sum of independent matrices, 0 <= X_j <= R.

    Source: Proposition B.1, which gives two bounds in each case; this is the sharper one.
    Cost: O(1).

    Parameters
    ----------
    delta : float
        Relative deviation of the eigenvalue, >= 0.
    n : int
        Size of the matrices.
    mu : float
        Smallest (or largest) eigenvalue of the mean of the sum, >= 0.
    R : float
        Bound of the largest eigenvalue of every X_j, > 0.

    Returns
    -------
    lower, upper : float
        Bounds, at most 1, of Pr(eig_min <= (1 - delta) mu_min) = n [e^-delta / (1-delta)^(1-delta)]
        ^(mu/R) and of Pr(eig_max >= (1 + delta) mu_max), the same with -delta for delta. For
        delta > 1 and mu > 0, `lower` is 0: no eigenvalue is negative.

    Examples
    --------
    >>> import asymfast as af
    >>> lower, upper = af.theory.proposition_b1(0.5, n=10, mu=50.0, R=1.0)
    >>> f"{lower:.3e}", f"{upper:.3e}"
    ('4.660e-03', '4.472e-02')
    """

    def bound(x: float) -> float:
        if abs(x) < 1e-2:  # x + (1 - x) log(1 - x), which cancel
            rate = math.fsum(x**k / (k * (k - 1)) for k in range(2, 10))
        else:
            rate = x + (1 - x) * math.log1p(-x) if x < 1 else x
        return min(1.0, math.exp(min(0.0, math.log(n) - mu / R * rate)))

    if mu == 0:
        return 1.0, 1.0
    return 0.0 if delta > 1 else bound(delta), bound(-delta)


@statement(gamma=_ABOVE_0)
def proposition_d1(
    *, n: int, d: int, kappa: float, gamma: float, delta: float, L: float = 1.0
) -> PropositionD1:
    """Smallest eigenvalue of the NTG at initialisation.

    For sup |sigma'| = L > 1 the matrices of the proof are bounded by n L^2 instead of n, which
    multiplies the width by L^2. Source: Proposition D.1. Cost: O(1).

    Examples
    --------
    >>> import asymfast as af
    >>> start = af.theory.proposition_d1(n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1)
    >>> f"{start.width.required:.1f}"  # 8 n log(n / delta) / (kappa d)
    '7368.3'
    """
    return PropositionD1(
        width=Widths((_initial_width(1.0, n, d, kappa, delta, L),)),
        eigmin=gamma * kappa / 2,
        log_failure_per_node=-kappa * d / (8 * n * L**2),
        n=n,
    )


def _initial_width(share: float, n: int, d: int, kappa: float, delta: float, L: float) -> float:
    """Logarithm of 8 n L^2 log(share n / delta) / (kappa d), Prop. D.1 with delta / share."""
    doubt = math.log(share * n) - math.log(delta)
    return math.log(8 * n * doubt) + 2 * math.log(L) - math.log(kappa) - math.log(d)


@statement(gamma=_ABOVE_0)
def theorem_4_1(
    *,
    n: int,
    d: int,
    kappa: float,
    gamma: float,
    delta: float,
    M: float,
    C: float,
    C_1: float,
    L: float = 1.0,
) -> Theorem41:
    """Global convergence of gradient flow, smooth activations.

    Source: Theorem 4.1, proved in Appendix G by Lemma E.5 with
    c_j = 64 n L sqrt(2 (C^2 + C_1) lam_j / (d delta^3)) / (gamma kappa). For L > 1 the widths are
    multiplied by L^2, L^2 and L^4, (c) by L, and both terms of (d) by L^2. The bound (c) is twice
    what the proof gives. Cost: O(1).

    Examples
    --------
    >>> import asymfast as af
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=af.theory.c_1("swish", 50))
    >>> bounds = af.theory.theorem_4_1(**constants, **smooth)
    >>> f"{bounds.width.required:.4g}", f"{bounds.eigmin:.4g}"
    ('3.603e+24', '7.359e-06')
    >>> [f"{value:.4g}" for value in bounds.loss([0.0, 1e5], loss_0=50.0)]  # (b)
    ['50', '11.48']
    >>> corrected = af.theory.theorem_4_1(**constants, **smooth, L=af.theory.suprema("swish")[0])
    >>> f"{corrected.width.required / bounds.width.required:.4f}"  # L^4
    '1.4632'
    """
    size = C**2 + C_1
    ratio = math.log(n) - math.log(kappa) - math.log(d)  # n / (kappa d)
    common = 2 * _log(M) + math.log(size) - 2 * math.log(gamma) - math.log(delta)
    log_L = math.log(L)
    widths = (
        _initial_width(2.0, n, d, kappa, delta, L),
        10 * _LOG_2 + 3 * ratio + common + 2 * log_L,
        15 * _LOG_2 + 4 * ratio + common + 4 * log_L,
    )
    return Theorem41(
        width=Widths(widths),
        eigmin=gamma * kappa / 4,
        log_rate=-gamma * kappa / 2,
        weight_factor=L * n / (kappa * math.sqrt(d)) * math.sqrt(2**7 * size / delta) / gamma,
        ntg_linear=2**7 * n / (d * delta) * size * (L * n * M / (kappa * d * gamma)) ** 2,
        ntg_root=L**2 * 2**5 * n**2 * M * math.sqrt(size / delta) / (kappa * d**2 * gamma),
    )


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


@statement(gamma=_ABOVE_0, printed=FLAG)
def theorem_a1(
    *, n: int, d: int, kappa: float, gamma: float, delta: float, C: float, printed: bool = False
) -> TheoremA1:
    """Global convergence of gradient flow, relu.

    Source: Theorem A.1, proved in Appendix F by Lemma E.3 with c_j = D sqrt(lam_j). Misprint: with
    D_0^2 = 2 C^2 + 2/d, as defined there, the widths (8 n D / (d kappa))^2 and
    (16^2 n^2 D / (d^2 kappa^2))^2 of Appendix F are 2^24 and 2^34 times the rest; the theorem
    prints 2^25 and 2^35, which is true but larger than necessary. (c) and (d) agree. Cost: O(1).

    Parameters
    ----------
    printed : bool
        Return the widths as printed; the second and third are twice those of the proof.

    Examples
    --------
    >>> import asymfast as af
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1, C=2.872)
    >>> proved = af.theory.theorem_a1(**constants)
    >>> printed = af.theory.theorem_a1(**constants, printed=True)
    >>> f"{printed.width.required / proved.width.required:.6f}"
    '2.000000'
    """
    size = 2 * C**2 + 2 / d  # D_0^2
    ratio = math.log(n) - math.log(kappa) - math.log(d)
    common = math.log(d) + math.log(size) - 2 * math.log(gamma) - 5 * math.log(delta)
    widths = (
        _initial_width(4.0, n, d, kappa, delta, 1.0),
        (24 + printed) * _LOG_2 + 4 * ratio + common,
        (34 + printed) * _LOG_2 + 6 * ratio + common,
    )
    root = 2**6 * n**1.5 * size**0.25 / (math.sqrt(kappa * gamma) * d**1.25 * delta**1.25)
    return TheoremA1(
        width=Widths(widths),
        eigmin=gamma * kappa / 4,
        log_rate=-gamma * kappa / 2,
        weight_factor=2**3 * n * math.sqrt(size / (d * delta)) / (kappa * gamma),
        ntg_linear=2**9 * n**2 * math.sqrt(size) / (kappa * d**1.5 * gamma * delta**2.5),
        ntg_root=root,
    )


@statement(gamma=_ABOVE_0)
def theorem_h1(
    *,
    n: int,
    d: int,
    kappa: float,
    gamma: float,
    delta: float,
    eta: float,
    M: float,
    C: float,
    C_1: float,
    L: float = 1.0,
) -> TheoremH1:
    """Global convergence of gradient descent, smooth activations.

    Parameters
    ----------
    eta : float
        Learning rate > 0 on L_m, half the sum of squares; it may violate the theorem's bound.

    Notes
    -----
    Source: Theorem H.1 and Appendix H.3, which prove (27); ``eigmin``, ``weight_factor`` and the
    change of the NTG are steps of that proof. Misprints there: the induction assumes (27) for
    s' <= s, not s - 1; (33) is used for Theta^(1), which Proposition D.1 covers.

    1 - beta = 1 - sqrt(1 - alpha) is computed as -expm1(log1p(-alpha) / 2), as alpha is often
    about 1e-12. For L > 1 the bounds on eta are multiplied by 1, L^-4 and L^-2, the widths by L^2,
    L^2 and L^4, the weight change by L and the change of the NTG by L^2. Cost: O(1).

    Examples
    --------
    >>> import asymfast as af
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=af.theory.c_1("swish", 50))
    >>> bounds = af.theory.theorem_h1(**constants, **smooth, eta=1e-7)
    >>> bounds.learning_rate_met, f"{bounds.width.log10:.2f}", f"{bounds.alpha:.3e}"
    (False, '24.56', '1.472e-12')
    """
    size = C**2 + C_1
    step = gamma * kappa * (d / n) ** 2
    curved = 2**4.5 * M * L**2 * math.sqrt(size / delta)
    rates = (2 / (gamma * kappa), step / (8 * L**4), step / curved if curved else math.inf)
    if math.isinf(rates[2]):  # M = 0, a linear activation: the third condition is void
        rates = (rates[0], rates[1], rates[0])
    alpha = eta * gamma * kappa / 2
    one_minus_beta = -math.expm1(0.5 * math.log1p(-alpha)) if alpha < 1 else 1.0
    if alpha > 1e-290:  # so that alpha and 1 - sqrt(1 - alpha) have all their digits
        pace, log_pace = eta / one_minus_beta, math.log(eta) - math.log(one_minus_beta)
    else:  # the limit for alpha to 0, as alpha itself may underflow
        pace = 4 / (gamma * kappa)
        log_pace = math.log(4) - math.log(gamma) - math.log(kappa)
    common = 2 * log_pace + 2 * _log(M) + math.log(size) - math.log(delta)
    log_L, ratio = math.log(L), math.log(n) - math.log(d)
    widths = (
        _initial_width(2.0, n, d, kappa, delta, L),
        5 * _LOG_2 + 3 * ratio - math.log(kappa) + common + 2 * log_L,
        11 * _LOG_2 + 4 * ratio - 2 * math.log(kappa) + common + 4 * log_L,
    )
    moved = L * pace * n * math.sqrt(2 * size / (delta * d))
    return TheoremH1(
        learning_rates=rates,
        width=Widths(widths) if alpha < 1 else None,
        alpha=alpha,
        one_minus_beta=one_minus_beta,
        eigmin=3 * gamma * kappa / 8,
        log_rate=math.log1p(-alpha) if alpha < 1 else -math.inf,
        weight_factor=moved,
        ntg_linear=n * (M * moved / d) ** 2,
        ntg_root=2 * math.sqrt(2) * L * n * M * moved / d**1.5,
        eta=eta,
    )


@dataclass(frozen=True, kw_only=True)
class LemmaE1(_WeightBound):
    """The bounds of Lemma E.1 at time t; see `lemma_e1`.

    Attributes
    ----------
    loss : float
        Bound of L_m(W_t).
    weight_factor : float
        Eq. (15): |w_tj - w_0j| <= weight_factor sqrt(lam_j).
    """

    loss: float


class NtgChange(NamedTuple):
    """The bounds of Lemmas E.2 and E.4 for weights near W_0; see `lemma_e2` and `lemma_e4`.

    Attributes
    ----------
    radius : (m,) float64 array
        The bounds hold for all W with |w_j - w_0j| <= radius_j.
    ntg_change : (float, float)
        Bounds of |Theta^(k)(W) - Theta^(k)(W_0)|_2 for k = 1, 2.
    eigmin_loss : float
        eig_min(Theta(W)) >= eig_min(Theta^(1)(W_0)) - eigmin_loss; Eqs. (16) and (23).
    """

    radius: Floats
    ntg_change: tuple[float, float]
    eigmin_loss: float


@dataclass(frozen=True)
class SufficientCondition:
    """The conditions of Lemmas E.3 and E.5; see `lemma_e3` and `lemma_e5`.

    Attributes
    ----------
    width : Widths
        The three terms of the condition on m; they depend on c, and so on m itself.
    width_met : bool
        Whether m = len(lam) satisfies it.
    reached : (m,) float64 array
        R'_j, the bound (c) of |w_tj - w_0j|.
    allowed : (m,) float64 array
        R_j. The lemma requires R'_j < R_j for all nodes, with probability 1 - delta / 2.
    reached_is_allowed : bool
        Whether that holds for the given residual. A node with lam_j = 0 has R'_j = 0.
    eigmin, log_rate : float
        (a) and (b): gamma kappa / 4 and -gamma kappa / 2.
    ntg_change : float
        (d): bound of |Theta_t - Theta_0|_2.
    """

    width: Widths
    width_met: bool
    reached: Floats
    allowed: Floats
    reached_is_allowed: bool
    eigmin: float
    log_rate: float
    ntg_change: float


@statement(zeta=POSITIVE, t=NOT_NEGATIVE)
def lemma_e1(t: float, zeta: float, *, residual: float, n: int, d: int, L: float = 1.0) -> LemmaE1:
    """Exponential decay along the flow while the smallest eigenvalue is at least zeta / 2.

    Source: Lemma E.1. L > 1 multiplies the weight bound by L and does not change that of the loss.
    Cost: O(1).

    Parameters
    ----------
    t : float
        Time >= 0.
    zeta : float
        > 0, with eig_min(Theta_m(X; W_s)) >= zeta / 2 for all s in [0, t].

    Examples
    --------
    >>> import asymfast as af
    >>> bounds = af.theory.lemma_e1(t=2.0, zeta=0.5, residual=4.0, n=10, d=5)
    >>> f"{bounds.loss:.6f}"  # residual^2 / 2 e^(-zeta t)
    '2.943036'
    """
    return LemmaE1(
        loss=0.5 * residual**2 * math.exp(-zeta * t),
        weight_factor=L * math.sqrt(n / d) * residual * 2 / zeta,
    )


@statement()
def lemma_e2(c: Array, lam1: Array, lam2: Array, *, n: int, d: int, delta: float) -> NtgChange:
    """Change of the NTG near W_0 for relu, with probability at least 1 - delta.

    Source: Lemma E.2 as stated. Its proof has the sharper second term 2 n / d sqrt(gamma_k S_k),
    which Eq. (16) and so ``eigmin_loss`` have too. Misprints: Theta^(s) for Theta^(k), f_n for f_m,
    and 2 sqrt(n/d) gamma_k for 2 sqrt(n gamma_k / d). Cost: O(m).

    Parameters
    ----------
    c : (m,) array_like
        c_j >= 0; the bounds hold for |w_j - w_0j| <= delta^2 c_j / 4.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> lam1, lam2 = af.theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> near = af.theory.lemma_e2(np.full(1000, 0.1), lam1, lam2, n=10, d=5, delta=0.1)
    >>> float(round(near.radius[0], 8)), [f"{change:.4f}" for change in near.ntg_change]
    (0.00025, ['0.9944', '0.9944'])
    """

    def change(total: float) -> float:
        return n / d * (total + 2 * math.sqrt(total))

    _require_a_part(lam1, lam2)
    return NtgChange(
        radius=delta**2 * c / 4,
        ntg_change=(change(float(np.sum(lam1 * c))), change(float(np.sum(lam2 * c)))),
        eigmin_loss=float(lam1.sum()) * change(float(c.sum()) / len(c)),
    )


@statement()
def lemma_e4(
    c: Array, lam1: Array, lam2: Array, *, n: int, d: int, M: float, L: float = 1.0
) -> NtgChange:
    """Change of the NTG near W_0 for smooth activations; holds with certainty.

    Source: Lemma E.4 as stated; its proof has sqrt(gamma_k) in the second term, which Eq. (23) and
    so ``eigmin_loss`` have too. L > 1 multiplies the second terms by L. Cost: O(m).

    Parameters
    ----------
    c : (m,) array_like
        c_j >= 0; the bounds hold for |w_j - w_0j| <= c_j / 2.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> lam1, lam2 = af.theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7)
    >>> near = af.theory.lemma_e4(np.full(1000, 0.1), lam1, lam2, n=10, d=5, M=0.5)
    >>> [f"{change:.5f}" for change in near.ntg_change]
    ['0.03175', '0.03175']
    """

    def change(mean_square: float) -> float:
        first = M * math.sqrt(mean_square) / d
        return n * first * (first / 4 + L / math.sqrt(d))

    _require_a_part(lam1, lam2)
    return NtgChange(
        radius=c / 2,
        ntg_change=(change(float(np.sum(lam1 * c**2))), change(float(np.sum(lam2 * c**2)))),
        eigmin_loss=float(lam1.sum()) * change(float(np.sum(c**2)) / len(c)),
    )


def _require_a_part(lam1: Floats, lam2: Floats) -> None:
    """Raise ValueError where both parts of the scaling are zero."""
    if not (lam1.any() or lam2.any()):
        raise ValueError("lam1 and lam2 must not be all zero")


@statement(gamma=_ABOVE_0)
def lemma_e3(
    c: Array,
    lam: Array,
    *,
    n: int,
    d: int,
    kappa: float,
    gamma: float,
    delta: float,
    residual: float,
) -> SufficientCondition:
    """Sufficient condition for Theorem A.1 (relu).

    Source: Lemma E.3. The second term of (d) is sqrt(2) times what the proof gives. Cost: O(m).

    Parameters
    ----------
    c : (m,) array_like
        c_j > 0; 0 is accepted where lam_j = 0.
    residual : float
        |y - u_0|, or a bound that holds with probability 1 - delta / 2.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> lam = sum(af.theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7))
    >>> constants = dict(n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1, residual=4.0)
    >>> condition = af.theory.lemma_e3(np.sqrt(lam), lam, **constants)
    >>> f"{condition.width.required:.4g}", condition.width_met
    ('2.655e+08', False)
    """
    total, weighted = float(c.sum()), float(np.sum(lam * c))
    ratio = n / (d * kappa)
    terms = (
        8 * ratio * (math.log(4 * n) - math.log(delta)),
        8 * ratio * total,
        (16 * ratio) ** 2 * total,
    )
    reached = np.sqrt(n * lam / d) * residual * 4 / (gamma * kappa)
    change = n / d * (weighted + 2 * math.sqrt(2 * weighted))
    return _condition(terms, reached, delta**2 * c / 64, gamma * kappa, lam, change)


@statement(gamma=_ABOVE_0)
def lemma_e5(
    c: Array,
    lam: Array,
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

    Source: Lemma E.5; it says "for Theorem A.1" and means 4.1. The second term of (d) is sqrt(2)
    times what the proof gives. L > 1 multiplies the widths by L^2, 1 and L^2, R' by L and the
    second term of (d) by L. Cost: O(m).

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> lam = sum(af.theory.node_scaling_parts(1000, gamma=0.5, alpha=0.7))
    >>> constants = dict(n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1, residual=4.0, M=0.5)
    >>> condition = af.theory.lemma_e5(10.0 * np.sqrt(lam), lam, **constants)
    >>> f"{condition.width.required:.4g}", f"{condition.ntg_change:.4f}"
    ('8477', '0.0315')
    """
    total, weighted = float(np.sum(c**2)), float(np.sum(lam * c**2))
    curved = (M * delta) ** 2
    terms = (
        8 * n * L**2 * (math.log(2 * n) - math.log(delta)) / (d * kappa),
        n * curved / (8 * d**2 * kappa) * total,
        4 * (n * L / kappa) ** 2 * curved / d**3 * total,
    )
    reached = L * np.sqrt(n * lam / d) * residual * 4 / (gamma * kappa)
    root = L * n * M * delta / (2 * math.sqrt(2) * d**1.5) * math.sqrt(weighted)
    change = n * curved / (64 * d**2) * weighted + root
    return _condition(terms, reached, delta * c / 8, gamma * kappa, lam, change)


def _condition(
    terms: tuple[float, ...],
    reached: Floats,
    allowed: Floats,
    gamma_kappa: float,
    lam: Floats,
    ntg_change: float,
) -> SufficientCondition:
    if not all(map(math.isfinite, terms)):
        raise OverflowError  # `statement` adds the message
    width = Widths(tuple(map(_log, terms)))
    moving = lam > 0
    return SufficientCondition(
        width=width,
        width_met=width.met_by(len(lam)),
        reached=reached,
        allowed=allowed,
        reached_is_allowed=bool(np.all(reached[moving] < allowed[moving])),
        eigmin=gamma_kappa / 4,
        log_rate=-gamma_kappa / 2,
        ntg_change=ntg_change,
    )


@statement()
def lemma_h2(lam: Array, residual: float, *, n: int, d: int, L: float = 1.0) -> Floats:
    """Bound of |dL_m / dw_j|, L sqrt(lam_j n / d) |y - u|, for every node: a (m,) array.

    Source: Lemma H.2. Cost: O(m).

    Parameters
    ----------
    L : float
        sup |sigma'|. With the paper's L = 1, swish violates the bound by a factor of up to 1.0998.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> X, y = af.datasets.simulated(n=10, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=100, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
    >>> bound = af.theory.lemma_h2(net.lam, float(np.linalg.norm(y - net(X))), n=10, d=5)
    >>> bool((np.linalg.norm(net.node_gradients(X, y), axis=1) <= bound).all())
    True
    """
    return np.asarray(L * np.sqrt(lam * n / d) * residual)


@statement(eigmin=number("(-inf, inf)"))
def lemma_h3(
    residual: float, eigmin: float, *, eta: float, n: int, d: int, M: float, L: float = 1.0
) -> float:
    """The factor of Eq. (30): |y - u_{s+1}|^2 <= factor |y - u_s|^2.

    factor = 1 - 2 eta eig_min + 2 eta^2 L^2 M n^(3/2) |y - u_s| / d^2 + eta^2 L^4 n^2 / d^2.

    Source: Lemma H.3; the factors L^2 and L^4 are for |sigma'| <= L. Misprint: H.2 defines u~_{s+1}
    with u_s - eta du/dt instead of u_s + eta du/dt = u_s - eta Theta (u_s - y). Cost: O(1).

    Parameters
    ----------
    eigmin : float
        Smallest eigenvalue of Theta_m(s), or a lower bound of it.

    Returns
    -------
    float
        Below 1 where the lemma guarantees that the step decreases the loss.

    Examples
    --------
    >>> import asymfast as af
    >>> f"{af.theory.lemma_h3(residual=4.0, eigmin=0.02, eta=0.001, n=10, d=5, M=0.77):.8f}"
    '0.99997179'
    """
    growth = (eta * L / d) ** 2 * n * (2 * M * math.sqrt(n) * residual + L**2 * n)
    return 1 - 2 * eta * eigmin + growth
