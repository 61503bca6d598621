"""Certificates: what the theorems promise for a training run, and what it did."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asymfast.theory import inputs
from asymfast.theory.assumptions import Assumptions, check_assumptions
from asymfast.theory.constants import c_1
from asymfast.theory.convergence import (
    Theorem41,
    TheoremA1,
    TheoremH1,
    theorem_4_1,
    theorem_a1,
    theorem_h1,
)
from asymfast.theory.lemmas import lemma_e1, lemma_h3
from asymfast.theory.limits import Kappa, kappa_n
from asymfast.theory.network import Model
from asymfast.theory.ranges import within_range
from asymfast.theory.run_numbers import RunNumbers, run_numbers
from asymfast.theory.widths import Widths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Theorem = Theorem41 | TheoremA1 | TheoremH1


@dataclass(frozen=True, eq=False)
class Claim:
    """One inequality, checked at the records at which its left side is known.

    Attributes
    ----------
    name : str
        "(a)", "(b)", "(c)", "(d)", or the number of a lemma.
    text : str
        The inequality in words.
    source : str
        Statement it is from.
    upper : bool
        True for observed <= bound, False for observed >= bound.
    records : (R,) int array
        Which records of the run.
    observed, bound : (R,) float64 arrays
        For (c) weight changes divided by sqrt(lam_j), of the node that is nearest to its bound.
    passed : (R,) bool array
        The inequality holds; a loss also passes below the rounding of the network's output, where
        no run can go. False where the run has diverged.
    undecided : (R,) bool array
        A norm of which only an upper bound was recorded exceeds the bound.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=10, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=500, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
    >>> run = af.gradient_flow(net, X, y, t_end=100.0, record=af.Record(times=[0, 10, 100]))
    >>> loss = af.theory.certify(run, X, y).claims["(b)"]
    >>> loss.holds, bool((loss.observed <= loss.bound).all())
    (True, True)
    """

    name: str
    text: str
    source: str
    upper: bool
    records: npt.NDArray[np.int64]
    observed: Floats
    bound: Floats
    passed: Bools
    undecided: Bools

    @property
    def margin(self) -> Floats:
        """Distance to the bound, positive where it is kept."""
        return self.bound - self.observed if self.upper else self.observed - self.bound

    @property
    def holds(self) -> bool | None:
        """Whether it holds at all its records; None if undecided, or if there are none."""
        if not len(self.records):
            return None
        if np.any(~self.passed & ~self.undecided):
            return False
        return None if self.undecided.any() else True


@dataclass(frozen=True, eq=False)
class Certificate:
    """The verdicts on a run; see `certify`.

    Attributes
    ----------
    theorem : str
        "Theorem 4.1", "Theorem A.1" or "Theorem H.1".
    applies : bool
        The theorem's hypotheses are met by data, activation, initialisation, width and learning
        rate.
    reasons : tuple of str
        Why it does not apply, one sentence for every hypothesis that fails.
    holds : bool or None
        Its conclusions (a) to (d) hold at all records; None where some could not be decided, or the
        theorem has no bounds for this run.
    kappa : Kappa
        kappa_n of the inputs, measured.
    width : Widths or None
        Width the theorem asks for; None without kappa_n > 0 and gamma > 0.
    learning_rate : float or None
        Theorem H.1's bound on eta, for half the sum of squares.
    claims : dict of str to Claim
        (a) to (d), with the theorem's bounds; empty where it has none.
    measured : dict of str to Claim
        The same from what was measured: Lemma E.1 with the smallest eigenvalue so far (flow), Lemma
        H.3 from one record to the next (descent).
    initial : dict of str to Claim
        What the proof uses of the initialisation: "D.1", eig_min Theta^(1)(W_0) > gamma kappa / 2,
        and "(32)", |y - u_0|^2 < 2 n (C^2 + C_1) / delta.
    assumptions : Assumptions
        See `check_assumptions`.
    constants : dict of str to float
        n, d, m, gamma, delta, eta, C, C_1, M, L: what went into the bounds.
    steps, time : (T,) arrays
        Of the run's records; time is that of the flow of L_m.
    spectral : (T,) bool array
        Where (d) observed the spectral norm; elsewhere it is the Frobenius norm, which is larger.
    diverged : bool

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=10, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=500, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
    >>> run = af.gradient_flow(net, X, y, t_end=100.0, record=af.Record(times=[0, 10, 100]))
    >>> certificate = af.theory.certify(run, X, y)
    >>> [row["step"] for row in certificate.rows()] == run.steps.tolist()
    True
    >>> sorted(certificate.claims), sorted(certificate.measured)
    (['(a)', '(b)', '(c)', '(d)'], ['E.1 loss', 'E.1 weights'])
    """

    theorem: str
    applies: bool
    reasons: tuple[str, ...]
    holds: bool | None
    kappa: Kappa
    width: Widths | None
    learning_rate: float | None
    claims: dict[str, Claim]
    measured: dict[str, Claim]
    initial: dict[str, Claim]
    assumptions: Assumptions
    constants: dict[str, float]
    steps: npt.NDArray[np.int64]
    time: Floats
    spectral: Bools
    diverged: bool

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dictionary a record: step, time, and for every claim observed, bound, margin, pass.

        Keys are "(a) observed", "(a) bound", "(a) margin", "(a) pass", ...; None where unknown.
        """
        everything = {**self.claims, **self.measured}
        for t, step in enumerate(self.steps):
            row: dict[str, Any] = {"step": int(step), "time": float(self.time[t])}
            for name, claim in everything.items():
                where = np.flatnonzero(claim.records == t)
                i = int(where[0]) if len(where) else None
                row[f"{name} observed"] = None if i is None else float(claim.observed[i])
                row[f"{name} bound"] = None if i is None else float(claim.bound[i])
                row[f"{name} margin"] = None if i is None else float(claim.margin[i])
                row[f"{name} pass"] = (
                    None if i is None or claim.undecided[i] else bool(claim.passed[i])
                )
            yield row

    def to_dict(self) -> dict[str, Any]:
        """Everything as nested dictionaries, lists and numbers; JSON-able."""
        return {
            "theorem": self.theorem,
            "applies": self.applies,
            "reasons": list(self.reasons),
            "holds": self.holds,
            "kappa": self.kappa.value,
            "kappa_error": self.kappa.error,
            "width_required_log10": None if self.width is None else self.width.log10,
            "learning_rate_bound": self.learning_rate,
            "constants": dict(self.constants),
            "assumptions": [
                {"name": each.name, "asks": each.asks, "holds": each.holds, "finding": each.finding}
                for each in self.assumptions
            ],
            "initial": {
                name: {
                    "observed": float(claim.observed[0]),
                    "bound": float(claim.bound[0]),
                    "pass": bool(claim.passed[0]),
                }
                for name, claim in self.initial.items()
            },
            "measured": {name: claim.holds for name, claim in self.measured.items()},
            "diverged": self.diverged,
            "records": list(self.rows()),
        }

    def table(self, rows: int = 11) -> str:
        """The certificate as text: verdicts, constants, and up to so many records."""
        from asymfast.theory.certificate_table import certificate_table

        return certificate_table(self, rows)

    def figure(self, title: str | None = None) -> Figure:
        """The claims against their bounds, four panels (extra ``plot``).

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        from asymfast.theory.certificate_figure import certificate_figure

        return certificate_figure(self, title)

    def __str__(self) -> str:
        return self.table()


@within_range
def certify(
    run: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    delta: float = 0.1,
    *,
    corrected: bool = False,
    member: int | None = None,
) -> Certificate:
    """Compare a training run with the convergence theorems, record by record.

    Gradient flow is compared with Theorem 4.1 (Theorem A.1 for relu) and, by Lemma E.1, with what
    follows from the smallest eigenvalue that was measured; gradient descent with Theorem H.1 and
    the steps of its proof, and with Lemma H.3. For gradient descent with relu, of which the paper
    says nothing, the bounds shown are those of Theorem A.1 at time eta * step.

    Parameters
    ----------
    run : Run
        Of `asymfast.gradient_descent` or `asymfast.gradient_flow`, with one output and a squared
        loss; "mse" is converted to L_m, half the sum of squares. Record the NTG and its eigenvalue
        for (a) and (d) at every record, on all samples, and its change in the spectral norm
        (``Record(ntg_change_2norm=True)``) to have that in (d) instead of the Frobenius norm above
        it.
    X : (n, d) array_like, float64 or float32
        The inputs it was trained on.
    y : (n,) array_like
        Its targets.
    delta : float
        The theorems hold with probability 1 - delta over the initialisation.
    corrected : bool
        The paper assumes |sigma'| <= 1, which swish, erf and gelu violate. True replaces its
        constants by those that hold for L = sup |sigma'|, and drops that assumption.
    member : int, optional
        Of an ensemble.

    Returns
    -------
    Certificate
        ``applies`` and ``holds`` are independent: the widths asked for are astronomical, while the
        conclusions hold for nearly every run.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range; a run that the theorems do not speak of; other data
        than it was trained on.

    Notes
    -----
    (a) to (d) are the theorem's: the smallest eigenvalue of the NTG, the loss, every node's weight
    change, the change of the NTG in the spectral norm. Lemma E.1 wants its eigenvalue bound at all
    times; here it is known at the records. The NTG is recomputed in NumPy from the weights of the
    records, if the run has them, and taken from the run otherwise; where that has none on all
    samples, (a) and (d) are checked at the first and the last record.

    Source: Theorems 4.1, A.1 and H.1. Cost: O(n^2 m + n^3), and that of `mean_ntg`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=10, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=500, gamma=0.5, alpha=0.7, activation="tanh", rng=1)
    >>> run = af.gradient_flow(net, X, y, t_end=100.0, record=af.Record(times=[0, 10, 100]))
    >>> certificate = af.theory.certify(run, X, y)
    >>> certificate.theorem, certificate.applies, certificate.holds
    ('Theorem 4.1', False, True)
    >>> certificate.reasons
    ('the width must be at least 2.27e+19, and is 500',)
    """
    fn = "certify"
    (delta,) = inputs.scalars(fn, delta=delta)
    if not isinstance(corrected, (bool, np.bool_)):
        raise TypeError(f"{fn}: corrected must be True or False, got {corrected!r}")
    numbers = run_numbers(fn, run, X, y, member)
    net = numbers.initial
    assumptions = check_assumptions(X, numbers.y, net.activation, W=net.W)
    kappa = kappa_n(numbers.X, net.activation)
    n, d = numbers.X.shape
    L = max(1.0, assumptions.L) if corrected else 1.0
    constants = {
        "n": n,
        "d": d,
        "m": len(net.lam),
        "gamma": numbers.gamma,
        "delta": delta,
        "eta": numbers.eta,
        "C": float(np.abs(numbers.y).max()),
        "C_1": c_1(net.activation, d),
        "M": assumptions.M,
        "L": L,
    }
    name = _theorem_name(numbers)
    theorem = None
    if kappa.positive and numbers.gamma > 0:
        theorem = _theorem(name, kappa.value, constants)
    reasons = tuple(_reasons(name, numbers, assumptions, kappa, theorem, corrected=corrected))
    usable = theorem is not None and (not isinstance(theorem, TheoremH1) or theorem.alpha < 1)
    claims = _claims(name, theorem, numbers) if usable and theorem is not None else {}
    verdicts = [claim.holds for claim in claims.values()]
    holds = None
    if False in verdicts:
        holds = False
    elif verdicts and None not in verdicts:
        holds = True
    return Certificate(
        theorem=name,
        applies=not reasons,
        reasons=reasons,
        holds=holds,
        kappa=kappa,
        width=None if theorem is None else theorem.width,
        learning_rate=theorem.learning_rate if isinstance(theorem, TheoremH1) else None,
        claims=claims,
        measured=_measured(numbers, constants),
        initial=_initial(numbers, kappa, constants) if theorem is not None else {},
        assumptions=assumptions,
        constants={key: value for key, value in constants.items() if math.isfinite(value)},
        steps=numbers.steps,
        time=numbers.time,
        spectral=numbers.spectral,
        diverged=numbers.diverged,
    )


def _theorem_name(numbers: RunNumbers) -> str:
    if numbers.initial.activation == "relu":
        return "Theorem A.1"
    return "Theorem H.1" if numbers.kind == "descent" else "Theorem 4.1"


def _theorem(name: str, kappa: float, constants: dict[str, Any]) -> Theorem:
    common = {key: constants[key] for key in ("n", "d", "gamma", "delta", "C")}
    if name == "Theorem A.1":
        return theorem_a1(kappa=kappa, **common)
    smooth = {key: constants[key] for key in ("M", "C_1", "L")}
    if name == "Theorem 4.1":
        return theorem_4_1(kappa=kappa, **common, **smooth)
    return theorem_h1(kappa=kappa, eta=constants["eta"], **common, **smooth)


def _reasons(
    name: str,
    numbers: RunNumbers,
    assumptions: Assumptions,
    kappa: Kappa,
    theorem: Theorem | None,
    *,
    corrected: bool,
) -> Iterator[str]:
    """One sentence for every hypothesis of the theorem that fails."""
    net = numbers.initial
    for check in assumptions.failures:
        if check.name == "2.2" and name == "Theorem A.1":
            continue
        if check.asks == "|sigma'| <= 1" and corrected:
            continue
        yield f"Assumption {check.name}, {check.asks}: {check.finding}"
    if not np.all(np.abs(net.a) == 1):
        yield "the output weights are not all +1 or -1"
    total = float(net.lam.sum())
    if abs(total - 1) > 1e-6 or len(net.lam) * net.lam.min() < numbers.gamma * (1 - 1e-6):
        yield f"lam is not of Eq. (1) for gamma = {numbers.gamma:g}; it sums to {total:.6g}"
    if name == "Theorem A.1" and numbers.kind == "descent":
        yield "the paper proves nothing for gradient descent with relu (A.3)"
    if numbers.gamma == 0:
        yield "gamma must be > 0, and is 0"
    if not kappa.positive:
        yield f"kappa_n must be > 0, and is 0 up to rounding ({kappa.value:.1e})"
    if theorem is None:
        return
    if isinstance(theorem, TheoremH1) and not theorem.learning_rate_met:
        yield f"the learning rate must be below {theorem.learning_rate:.4g}, and is {numbers.eta:g}"
    m = len(net.lam)
    if theorem.width is not None and not theorem.width.met_by(m):
        yield f"the width must be at least {power_of_ten(theorem.width.log10)}, and is {m}"


def power_of_ten(log10: float) -> str:
    """10^log10 with four digits, however large: ``6.42e+23``, ``1.5e+412``."""
    whole = math.floor(log10)
    mantissa = 10 ** (log10 - whole)
    if 0 <= whole < 6:
        return f"{math.ceil(10**log10):d}"
    return f"{mantissa:.4g}e{whole:+03d}"


def _claims(name: str, theorem: Theorem, numbers: RunNumbers) -> dict[str, Claim]:
    """(a) to (d) with the theorem's bounds."""
    every = np.arange(len(numbers.steps))
    known = np.flatnonzero(numbers.known)
    descent = isinstance(theorem, TheoremH1)
    proof = f"proof of {name}" if descent else name
    lam = numbers.initial.lam
    power = 1.5 if isinstance(theorem, TheoremA1) else 2.0
    part = "3 gamma kappa / 8" if descent else "gamma kappa / 4"
    return {
        "(a)": _claim(
            "(a)",
            f"eig_min(NTG_t) >= {part}",
            proof,
            known,
            numbers.eigmin[known],
            np.full(len(known), theorem.eigmin),
            upper=False,
        ),
        "(b)": _claim(
            "(b)",
            "L_m(W_t) <= exp(-rate t) L_m(W_0)",
            name,
            every,
            numbers.loss,
            theorem.loss(numbers.steps if descent else numbers.time, _initial_loss(numbers)),
            floor=_loss_floor(numbers),
        ),
        "(c)": _weight_claim(
            "(c)", proof, every, numbers, np.full(len(every), theorem.weight_factor)
        ),
        "(d)": _ntg_claim(proof, known, numbers, theorem.ntg_change(float(np.sum(lam**power)))),
    }


def _measured(numbers: RunNumbers, constants: dict[str, Any]) -> dict[str, Claim]:
    """Lemmas E.1 and H.3 with the smallest eigenvalues of the run in place of gamma kappa / 4."""
    known = np.flatnonzero(numbers.known & np.isfinite(numbers.loss))
    if len(known) < 2:
        return {}
    if numbers.kind == "flow":
        return _lemma_e1(numbers, known, constants)
    if numbers.initial.activation == "relu":
        return {}  # Lemma H.3 wants sigma''
    return _lemma_h3(numbers, known, constants)


def _lemma_e1(
    numbers: RunNumbers, known: npt.NDArray[np.int64], constants: dict[str, Any]
) -> dict[str, Claim]:
    residual = math.sqrt(2 * _initial_loss(numbers))
    so_far = np.minimum.accumulate(numbers.eigmin[known])
    known = known[so_far > 0]  # beyond a singular NTG the lemma says nothing
    so_far = so_far[so_far > 0]
    said = [
        lemma_e1(
            float(numbers.time[t]),
            2 * float(least),
            residual=residual,
            n=constants["n"],
            d=constants["d"],
            L=constants["L"],
        )
        for t, least in zip(known, so_far, strict=True)
    ]
    loss = np.array([each.loss for each in said])
    factor = np.array([each.weight_factor for each in said])
    text = "L_m(W_t) <= exp(-2 min eig_min t) L_m(W_0)"
    return {
        "E.1 loss": _claim(
            "E.1 loss",
            text,
            "Lemma E.1",
            known,
            numbers.loss[known],
            loss,
            floor=_loss_floor(numbers),
        ),
        "E.1 weights": _weight_claim("E.1 weights", "Lemma E.1", known, numbers, factor),
    }


def _lemma_h3(
    numbers: RunNumbers, known: npt.NDArray[np.int64], constants: dict[str, Any]
) -> dict[str, Claim]:
    """Loss at a record from that at the record before, by Eq. (30) for the steps between.

    The eigenvalue between two records is taken to be at least that at one of them.
    """
    records, bounds = [], []
    for before, t in pairwise(known):
        eigmin = max(0.0, float(min(numbers.eigmin[before], numbers.eigmin[t])))
        residual = math.sqrt(2 * float(numbers.loss[before]))
        factor = lemma_h3(
            residual,
            eigmin,
            eta=constants["eta"],
            n=constants["n"],
            d=constants["d"],
            M=constants["M"],
            L=constants["L"],
        )
        # Steps so small that the lemma has the loss fall: the factor only falls with it. Larger
        # steps may raise it, for all that the lemma says.
        if 0 < factor < 1:
            records.append(t)
            between = int(numbers.steps[t] - numbers.steps[before])
            bounds.append(float(numbers.loss[before]) * factor**between)
    if not records:
        return {}
    chosen = np.array(records)
    text = "L_m(W_s) <= factor^steps L_m at the last record, factor of (30) there"
    return {
        "H.3 loss": _claim(
            "H.3 loss",
            text,
            "Lemma H.3",
            chosen,
            numbers.loss[chosen],
            np.array(bounds),
            floor=_loss_floor(numbers),
        )
    }


def _initial(numbers: RunNumbers, kappa: Kappa, constants: dict[str, Any]) -> dict[str, Claim]:
    """The two events of probability 1 - delta / 2 that the proofs start from."""
    net = numbers.initial
    m = len(net.lam)
    part = Model(net.W, net.a, np.full(m, numbers.gamma / m), net.activation)
    first = np.zeros(1, dtype=np.int64)
    moment = 1 / constants["d"] if net.activation == "relu" else constants["C_1"]
    size = constants["n"] * (constants["C"] ** 2 + moment) * 2 / constants["delta"]
    return {
        "D.1": _claim(
            "D.1",
            "eig_min(NTG^(1)_0) >= gamma kappa / 2",
            "Proposition D.1",
            first,
            np.array([float(np.linalg.eigvalsh(part.ntg(numbers.X))[0])]),
            np.array([numbers.gamma * kappa.value / 2]),
            upper=False,
        ),
        "(32)": _claim(
            "(32)",
            "|y - u_0|^2 <= 2 n (C^2 + C_1) / delta",
            "Eq. (32)",
            first,
            np.array([2 * _initial_loss(numbers)]),
            np.array([size]),
        ),
    }


def _initial_loss(numbers: RunNumbers) -> float:
    """L_m(W_0) as recorded, to the last bit; computed where step 0 was not recorded."""
    if numbers.steps[0] == 0:
        return float(numbers.loss[0])
    return 0.5 * float(np.sum((numbers.initial.outputs(numbers.X) - numbers.y) ** 2))


def _loss_floor(numbers: RunNumbers) -> float:
    """Loss that rounding leaves: every output is a sum of terms, each good to a few units."""
    if not np.isfinite(numbers.final.W).all():
        return 0.0
    net = numbers.final
    magnitude = Model(net.W, np.ones_like(net.a), net.lam, net.activation)
    z = np.abs(magnitude.preactivations(numbers.X))
    size = np.abs(numbers.y) + z @ np.sqrt(net.lam)
    return 0.5 * float(np.sum((numbers.rounding * size) ** 2))


def _claim(
    name: str,
    text: str,
    source: str,
    records: npt.NDArray[Any],
    observed: Floats,
    bound: Floats,
    *,
    upper: bool = True,
    floor: float = 0.0,
) -> Claim:
    with np.errstate(invalid="ignore"):
        passed = observed <= np.maximum(bound, floor) if upper else observed >= bound
    undecided = np.zeros(len(records), dtype=bool)
    return Claim(name, text, source, upper, records, observed, bound, passed, undecided)


def _weight_claim(
    name: str, source: str, records: npt.NDArray[Any], numbers: RunNumbers, factor: Floats
) -> Claim:
    """max_j |w_tj - w_0j| / sqrt(lam_j) against the factor of the theorem.

    A node with lam_j = 0 never moves and has no such ratio; one that did would be infinitely off.
    """
    change = numbers.weight_change[records]
    root = np.sqrt(numbers.initial.lam)
    ratio = np.full(change.shape, np.nan)
    np.divide(change, root, out=ratio, where=root > 0)
    ratio[:, root == 0] = np.where(change[:, root == 0] == 0, 0.0, np.inf)
    text = "max_j |w_tj - w_0j| / sqrt(lam_j) <= factor"
    return _claim(name, text, source, records, ratio.max(axis=1), factor)


def _ntg_claim(
    source: str, known: npt.NDArray[np.int64], numbers: RunNumbers, bound: float
) -> Claim:
    observed = numbers.ntg_change[known]
    text = "|NTG_t - NTG_0|_2 <= bound"
    claim = _claim("(d)", text, source, known, observed, np.full(len(known), bound))
    # a Frobenius norm is at most sqrt(n) times the spectral norm, and at least once
    above = ~claim.passed & ~numbers.spectral[known]
    least = observed / math.sqrt(len(numbers.X))
    return Claim(
        claim.name,
        text,
        source,
        True,
        known,
        observed,
        claim.bound,
        claim.passed,
        above & (least <= bound),
    )
