"""Global convergence: Propositions B.1 and D.1, Theorems 4.1 and A.1 (flow) and H.1 (descent).

Every function takes the constants of its statement as keywords of the paper's names and returns
what the statement says about them. ``L`` is sup |sigma'|. The paper assumes L <= 1, which swish,
erf and gelu violate; with L = 1 (the default) a function returns the paper's numbers, and with the
true L the numbers for which its proof goes through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import inputs
from asymfast.theory.ranges import within_range
from asymfast.theory.widths import Widths

Floats = npt.NDArray[np.float64]

_SMALLEST_ALPHA = 1e-290  # of Theorem H.1, with all its digits and those of 1 - sqrt(1 - alpha)


class _Statement:
    """Bounds that the three theorems have in common, from what their subclasses know."""

    eigmin: float
    log_rate: float
    weight_factor: float

    @within_range
    def loss(self, t: npt.ArrayLike, loss_0: float) -> Floats:
        """(b): bound of L_m after time t (flow) or t steps (descent) from its value at the start.

        0 where it falls below the smallest float.
        """
        t = _check.reals("loss", "t", t, low=0)
        loss_0 = _check.number("loss", "loss_0", loss_0, low=0)
        exponent = np.zeros_like(t)
        with np.errstate(over="ignore"):  # to -inf, as the rate may be itself
            np.multiply(self.log_rate, t, out=exponent, where=t > 0)
        return np.asarray(loss_0 * np.exp(exponent))

    @within_range
    def weight_change(self, lam: npt.ArrayLike) -> Floats:
        """(c): bound of |w_tj - w_0j| for every node and all t, ``weight_factor`` sqrt(lam_j)."""
        lam = _check.reals("weight_change", "lam", lam, low=0)
        return np.asarray(self.weight_factor * np.sqrt(lam))


@dataclass(frozen=True)
class Theorem41(_Statement):
    """What Theorem 4.1 says; see `theorem_4_1`.

    Attributes
    ----------
    width : Widths
        The three terms of the condition on m. The middle one never binds.
    eigmin : float
        (a): bound below the smallest eigenvalue of the NTG, gamma kappa / 4.
    log_rate : float
        (b): L_m(W_t) <= exp(log_rate t) L_m(W_0); -gamma kappa / 2.
    weight_factor : float
        (c): |w_tj - w_0j| <= weight_factor sqrt(lam_j).
    ntg_linear, ntg_root : float
        (d): |NTG_t - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S), S = sum lam^2.

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=theory.c_1("swish", 50))
    >>> bounds = theory.theorem_4_1(**constants, **smooth)
    >>> loss = bounds.loss([0.0, 1e5], loss_0=50.0)  # (b)
    >>> [f"{value:.4g}" for value in loss]
    ['50', '11.48']
    >>> float(bounds.weight_change([0.0])[0])  # (c): a node without scaling never moves
    0.0
    """

    width: Widths
    eigmin: float
    log_rate: float
    weight_factor: float
    ntg_linear: float
    ntg_root: float

    @within_range
    def ntg_change(self, sum_lam2: float) -> float:
        """(d): bound of the spectral norm |NTG_t - NTG_0|_2, from sum_j lam_j^2."""
        sum_lam2 = _check.number("ntg_change", "sum_lam2", sum_lam2, low=0)
        return self.ntg_linear * sum_lam2 + self.ntg_root * math.sqrt(sum_lam2)


@dataclass(frozen=True)
class TheoremA1(_Statement):
    """What Theorem A.1 (relu) says; see `theorem_a1`.

    Attributes
    ----------
    width, eigmin, log_rate, weight_factor
        As in `Theorem41`.
    ntg_linear, ntg_root : float
        (d): |NTG_t - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S), S = sum lam^(3/2).

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1, C=2.872)
    >>> bounds = theory.theorem_a1(**constants)
    >>> f"{bounds.width.log10:.3f}", f"{bounds.log_rate:.3e}"
    ('45.941', '-1.472e-05')
    """

    width: Widths
    eigmin: float
    log_rate: float
    weight_factor: float
    ntg_linear: float
    ntg_root: float

    @within_range
    def ntg_change(self, sum_lam32: float) -> float:
        """(d): bound of the spectral norm |NTG_t - NTG_0|_2, from sum_j lam_j^(3/2)."""
        sum_lam32 = _check.number("ntg_change", "sum_lam32", sum_lam32, low=0)
        return self.ntg_linear * sum_lam32 + self.ntg_root * math.sqrt(sum_lam32)


@dataclass(frozen=True)
class TheoremH1(_Statement):
    """What Theorem H.1 and its proof say; see `theorem_h1`.

    Attributes
    ----------
    learning_rates : tuple of three float
        The theorem wants eta below all of them. The first never binds.
    width : Widths or None
        The three terms of the condition on m; None where eta gamma kappa / 2 >= 1, for which they
        do not exist.
    alpha, one_minus_beta : float
        alpha = eta gamma kappa / 2 and 1 - sqrt(1 - alpha), without cancellation; NaN never: where
        alpha >= 1 ``one_minus_beta`` is 1.
    eigmin : float
        From the proof: smallest eigenvalue of the NTG at all steps, at least 3 gamma kappa / 8.
    log_rate : float
        |y - u_s|^2 <= exp(log_rate s) |y - u_0|^2; log(1 - alpha), -inf where alpha >= 1.
    weight_factor : float
        From the proof: |w_sj - w_0j| <= weight_factor sqrt(lam_j).
    ntg_linear, ntg_root : float
        From the proof, by Lemma E.4: |NTG_s - NTG_0|_2 <= ntg_linear S + ntg_root sqrt(S),
        S = sum lam^2.

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=theory.c_1("swish", 50))
    >>> bounds = theory.theorem_h1(**constants, **smooth, eta=1.0)
    >>> bounds.learning_rate_met, f"{bounds.learning_rate:.3g}"
    (False, '7.16e-08')
    """

    learning_rates: tuple[float, float, float]
    width: Widths | None
    alpha: float
    one_minus_beta: float
    eigmin: float
    log_rate: float
    weight_factor: float
    ntg_linear: float
    ntg_root: float
    eta: float = field(repr=False)

    @property
    def learning_rate(self) -> float:
        """The bound on eta, the least of the three."""
        return min(self.learning_rates)

    @property
    def learning_rate_met(self) -> bool:
        """Whether eta is small enough."""
        return self.eta < self.learning_rate

    @within_range
    def ntg_change(self, sum_lam2: float) -> float:
        """Bound of the spectral norm |NTG_s - NTG_0|_2, from sum_j lam_j^2."""
        sum_lam2 = _check.number("ntg_change", "sum_lam2", sum_lam2, low=0)
        return self.ntg_linear * sum_lam2 + self.ntg_root * math.sqrt(sum_lam2)


@dataclass(frozen=True)
class PropositionD1:
    """What Proposition D.1 says; see `proposition_d1`.

    Attributes
    ----------
    width : Widths
        One term, 8 n L^2 log(n / delta) / (kappa d).
    eigmin : float
        gamma kappa / 2, exceeded by the smallest eigenvalues of Theta^(1)_m(W_0) and Theta_m(W_0)
        with probability 1 - delta.
    log_failure_per_node : float
        The proof's bound of the probability of failure is n exp(log_failure_per_node m).

    Examples
    --------
    >>> from asymfast import theory
    >>> start = theory.proposition_d1(n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1)
    >>> start.eigmin, f"{start.failure_probability(10_000):.3g}"
    (0.0025, '0.0193')
    """

    width: Widths
    eigmin: float
    log_failure_per_node: float
    n: int = field(repr=False)

    @within_range
    def failure_probability(self, m: float) -> float:
        """Bound of the probability that eig_min(Theta_m(W_0)) <= gamma kappa / 2, at most 1."""
        m = inputs.width("failure_probability", m)
        return min(1.0, math.exp(min(0.0, math.log(self.n) + self.log_failure_per_node * m)))


@within_range
def proposition_b1(delta: float, *, n: int, mu: float, R: float) -> tuple[float, float]:
    """Matrix Chernoff bounds (Tropp) for a sum of independent matrices, 0 <= X_j <= R.

    Parameters
    ----------
    delta : float
        Relative deviation of the eigenvalue, in [0, 1].
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
        ^(mu/R) and of Pr(eig_max >= (1 + delta) mu_max), the same with -delta for delta.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Proposition B.1; the sharper of the two bounds it gives in each case.

    Accuracy: a few roundings of the exponent. Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> lower, upper = theory.proposition_b1(0.5, n=10, mu=50.0, R=1.0)
    >>> f"{lower:.3e}", f"{upper:.3e}"
    ('4.660e-03', '4.472e-02')
    """
    fn = "proposition_b1"
    delta = _check.number(fn, "delta", delta, low=0, high=1)
    n = _check.integer(fn, "n", n, low=1)
    mu = _check.number(fn, "mu", mu, low=0)
    R = _check.number(fn, "R", R, low=0, low_open=True)

    def bound(x: float) -> float:
        entropy = (1 - x) * math.log1p(-x) if x < 1 else 0.0
        return min(1.0, math.exp(min(0.0, math.log(n) - mu / R * (x + entropy))))

    return bound(delta), bound(-delta)


@within_range
def proposition_d1(
    *, n: int, d: int, kappa: float, gamma: float, delta: float, L: float = 1.0
) -> PropositionD1:
    """Smallest eigenvalue of the NTG at initialisation.

    Parameters
    ----------
    n, d : int
        Samples and inputs.
    kappa : float
        kappa_n > 0, see `kappa_n`.
    gamma : float
        In (0, 1].
    delta : float
        Probability of failure, in (0, 1).
    L : float
        sup |sigma'|; 1 gives the paper's statement.

    Returns
    -------
    PropositionD1

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range; gamma = 0 and kappa = 0 are refused, as the
        proposition says nothing about them.

    Notes
    -----
    Source: Proposition D.1. For sup |sigma'| = L > 1 the matrices of its proof are bounded by
    n L^2 instead of n, which multiplies the width by L^2.

    Accuracy: a few roundings; widths are kept as logarithms. Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> start = theory.proposition_d1(n=10, d=5, kappa=0.01, gamma=0.5, delta=0.1)
    >>> f"{start.width.required:.1f}"  # 8 n log(n / delta) / (kappa d)
    '7368.3'
    """
    c = _Constants.checked("proposition_d1", n=n, d=d, kappa=kappa, gamma=gamma, delta=delta, L=L)
    return PropositionD1(
        width=Widths((_initialisation_width(c, 1.0),)),
        eigmin=c.gamma * c.kappa / 2,
        log_failure_per_node=-c.kappa * c.d / (8 * c.n * c.L**2),
        n=c.n,
    )


@within_range
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

    Parameters
    ----------
    n, d : int
        Samples and inputs.
    kappa : float
        kappa_n > 0, see `kappa_n`.
    gamma : float
        In (0, 1].
    delta : float
        Probability of failure, in (0, 1).
    M : float
        sup |sigma''|, finite; see `activations.suprema`.
    C : float
        Bound of the |y_i|, see `target_bound`.
    C_1 : float
        Eq. (8), see `c_1`.
    L : float
        sup |sigma'|; 1 gives the paper's statement.

    Returns
    -------
    Theorem41

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range; gamma = 0 and kappa = 0 are refused, as the theorem
        says nothing about them.

    Notes
    -----
    Source: Theorem 4.1, proved in Appendix G by Lemma E.5 with
    c_j = 64 n L sqrt(2 (C^2 + C_1) lam_j / (d delta^3)) / (gamma kappa). For L > 1 the widths are
    multiplied by L^2, L^2 and L^4, (c) by L, and (d) by L^2 in both terms. (c) is loose by 2.

    Accuracy: a few roundings; widths are kept as logarithms. Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=theory.c_1("swish", 50))
    >>> bounds = theory.theorem_4_1(**constants, **smooth)
    >>> f"{bounds.width.required:.4g}", f"{bounds.eigmin:.4g}"
    ('3.603e+24', '7.359e-06')
    >>> corrected = theory.theorem_4_1(**constants, **smooth, L=theory.suprema("swish")[0])
    >>> f"{corrected.width.required / bounds.width.required:.4f}"  # L^4
    '1.4632'
    """
    c = _Constants.checked("theorem_4_1", n=n, d=d, kappa=kappa, gamma=gamma, delta=delta, L=L)
    M, log_M, size = _smooth("theorem_4_1", M, C, C_1)
    ratio = math.log(c.n) - math.log(c.kappa) - math.log(c.d)  # n / (kappa d)
    common = 2 * log_M + math.log(size) - 2 * math.log(c.gamma) - math.log(c.delta)
    log2, log_L = math.log(2), math.log(c.L)
    return Theorem41(
        width=Widths(
            (
                _initialisation_width(c, 2.0),
                10 * log2 + 3 * ratio + common + 2 * log_L,
                15 * log2 + 4 * ratio + common + 4 * log_L,
            )
        ),
        eigmin=c.gamma * c.kappa / 4,
        log_rate=-c.gamma * c.kappa / 2,
        weight_factor=_finite(
            c.L * c.n / (c.kappa * math.sqrt(c.d)) * math.sqrt(2**7 * size / c.delta) / c.gamma,
            "theorem_4_1",
        ),
        ntg_linear=_finite(
            2**7
            * c.n
            / (c.d * c.delta)
            * size
            * _square(c.L * c.n * M / (c.kappa * c.d * c.gamma)),
            "theorem_4_1",
        ),
        ntg_root=_finite(
            c.L**2 * 2**5 * c.n**2 * M * math.sqrt(size / c.delta) / (c.kappa * c.d**2 * c.gamma),
            "theorem_4_1",
        ),
    )


@within_range
def theorem_a1(
    *, n: int, d: int, kappa: float, gamma: float, delta: float, C: float, printed: bool = False
) -> TheoremA1:
    """Global convergence of gradient flow, relu.

    Parameters
    ----------
    n, d, kappa, gamma, delta, C
        As in `theorem_4_1`.
    printed : bool
        Return the widths as printed, which are twice the second and third of the proof.

    Returns
    -------
    TheoremA1

    Raises
    ------
    TypeError, ValueError
        As `theorem_4_1`.

    Notes
    -----
    Source: Theorem A.1, proved in Appendix F by Lemma E.3 with c_j = D sqrt(lam_j). Misprint: with
    D_0^2 = 2 C^2 + 2/d, as defined there, the widths (8 n D / (d kappa))^2 and
    (16^2 n^2 D / (d^2 kappa^2))^2 of Appendix F are 2^24 and 2^34 times the rest; the theorem
    prints 2^25 and 2^35. (c) and (d) agree. The printed statement is true, only larger.

    Accuracy: a few roundings; widths are kept as logarithms. Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1, C=2.872)
    >>> proved = theory.theorem_a1(**constants)
    >>> printed = theory.theorem_a1(**constants, printed=True)
    >>> f"{printed.width.required / proved.width.required:.6f}"
    '2.000000'
    """
    fn = "theorem_a1"
    c = _Constants.checked(fn, n=n, d=d, kappa=kappa, gamma=gamma, delta=delta, L=1.0)
    (C,) = inputs.scalars(fn, C=C)
    if not isinstance(printed, (bool, np.bool_)):
        raise TypeError(f"{fn}: printed must be True or False, got {printed!r}")
    size = 2 * C**2 + 2 / c.d  # D_0^2
    ratio = math.log(c.n) - math.log(c.kappa) - math.log(c.d)
    common = math.log(c.d) + math.log(size) - 2 * math.log(c.gamma) - 5 * math.log(c.delta)
    log2 = math.log(2)
    twice = 1 if printed else 0
    return TheoremA1(
        width=Widths(
            (
                _initialisation_width(c, 4.0),
                (24 + twice) * log2 + 4 * ratio + common,
                (34 + twice) * log2 + 6 * ratio + common,
            )
        ),
        eigmin=c.gamma * c.kappa / 4,
        log_rate=-c.gamma * c.kappa / 2,
        weight_factor=_finite(
            2**3 * c.n * math.sqrt(size / (c.d * c.delta)) / (c.kappa * c.gamma), fn
        ),
        ntg_linear=_finite(
            2**9 * c.n**2 * math.sqrt(size) / (c.kappa * c.d**1.5 * c.gamma * c.delta**2.5), fn
        ),
        ntg_root=_finite(
            2**6
            * c.n**1.5
            * size**0.25
            / (math.sqrt(c.kappa * c.gamma) * c.d**1.25 * c.delta**1.25),
            fn,
        ),
    )


@within_range
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
        Learning rate > 0 on L_m, half the sum of squares. It need not satisfy the theorem's bound.
    n, d, kappa, gamma, delta, M, C, C_1, L
        As in `theorem_4_1`.

    Returns
    -------
    TheoremH1

    Raises
    ------
    TypeError, ValueError
        As `theorem_4_1`.

    Notes
    -----
    Source: Theorem H.1 and Appendix H.3, which prove (27); ``eigmin``, ``weight_factor`` and the
    change of the NTG are steps of that proof. Misprints there: the induction assumes (27) for
    s' <= s, not s - 1; (33) is used for Theta^(1), which Proposition D.1 covers.

    1 - beta = 1 - sqrt(1 - alpha) is computed as -expm1(log1p(-alpha) / 2), as alpha is often
    1e-12. For L > 1 the bounds on eta are multiplied by 1, L^-4 and L^-2, the widths by L^2, L^2
    and L^4, the weight change by L and the change of the NTG by L^2.

    Accuracy: a few roundings; widths are kept as logarithms. Cost: O(1).

    Examples
    --------
    >>> from asymfast import theory
    >>> constants = dict(n=100, d=50, kappa=5.887e-5, gamma=0.5, delta=0.1)
    >>> smooth = dict(M=0.5, C=2.872, C_1=theory.c_1("swish", 50))
    >>> bounds = theory.theorem_h1(**constants, **smooth, eta=1e-7)
    >>> bounds.learning_rate_met, f"{bounds.width.log10:.2f}", f"{bounds.alpha:.3e}"
    (False, '24.56', '1.472e-12')
    """
    fn = "theorem_h1"
    c = _Constants.checked(fn, n=n, d=d, kappa=kappa, gamma=gamma, delta=delta, L=L)
    (eta,) = inputs.scalars(fn, eta=eta)
    M, log_M, size = _smooth(fn, M, C, C_1)
    step = c.gamma * c.kappa * (c.d / c.n) ** 2
    curved = 2**4.5 * M * c.L**2 * math.sqrt(size / c.delta)
    rates = (2 / (c.gamma * c.kappa), step / (8 * c.L**4), step / curved if curved else math.inf)
    if math.isinf(rates[2]):  # M = 0, a linear activation: the third condition is void
        rates = (rates[0], rates[1], rates[0])
    alpha = eta * c.gamma * c.kappa / 2
    one_minus_beta = -math.expm1(0.5 * math.log1p(-alpha)) if alpha < 1 else 1.0
    if alpha > _SMALLEST_ALPHA:
        pace, log_pace = eta / one_minus_beta, math.log(eta) - math.log(one_minus_beta)
    else:  # its limit, which needs no alpha that underflows
        pace = 4 / (c.gamma * c.kappa)
        log_pace = math.log(4) - math.log(c.gamma) - math.log(c.kappa)
    common = 2 * log_pace + 2 * log_M + math.log(size) - math.log(c.delta)
    log2, log_L, ratio = math.log(2), math.log(c.L), math.log(c.n) - math.log(c.d)
    width = Widths(
        (
            _initialisation_width(c, 2.0),
            5 * log2 + 3 * ratio - math.log(c.kappa) + common + 2 * log_L,
            11 * log2 + 4 * ratio - 2 * math.log(c.kappa) + common + 4 * log_L,
        )
    )
    moved = c.L * pace * c.n * math.sqrt(2 * size / (c.delta * c.d))
    return TheoremH1(
        learning_rates=rates,
        width=width if alpha < 1 else None,
        alpha=alpha,
        one_minus_beta=one_minus_beta,
        eigmin=3 * c.gamma * c.kappa / 8,
        log_rate=math.log1p(-alpha) if alpha < 1 else -math.inf,
        weight_factor=_finite(moved, fn),
        ntg_linear=_finite(c.n * _square(M * moved / c.d), fn),
        ntg_root=_finite(2 * math.sqrt(2) * c.L * c.n * M * moved / c.d**1.5, fn),
        eta=eta,
    )


@dataclass(frozen=True)
class _Constants:
    """The constants that all statements share."""

    n: int
    d: int
    kappa: float
    gamma: float
    delta: float
    L: float

    @classmethod
    def checked(cls, fn: str, **values: Any) -> _Constants:
        return cls(**dict(zip(values, inputs.scalars(fn, **values), strict=True)))


def _smooth(fn: str, M: float, C: float, C_1: float) -> tuple[float, float, float]:
    """M, its logarithm (-inf for 0), and C^2 + C_1."""
    M, C, C_1 = inputs.scalars(fn, M=M, C=C, C_1=C_1)
    return M, math.log(M) if M > 0 else -math.inf, C**2 + C_1


def _initialisation_width(c: _Constants, share: float) -> float:
    """Logarithm of 8 n L^2 log(share n / delta) / (kappa d), Prop. D.1 with delta / share."""
    doubt = math.log(share * c.n) - math.log(c.delta)
    return math.log(8 * c.n * doubt) + 2 * math.log(c.L) - math.log(c.kappa) - math.log(c.d)


def _square(value: float) -> float:
    """The square, infinite where it overflows; ``**`` raises an error that explains nothing."""
    return value * value


def _finite(value: float, fn: str) -> float:
    if not math.isfinite(value):
        raise OverflowError(f"{fn}: a bound exceeds the largest float; kappa or gamma is too small")
    return value
