"""Certificates: what the theorems promise for a training run, and what the run did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
import asymfast.theory.convergence as convergence
from asymfast.theory.activations import Floats
from asymfast.theory.assumptions import Assumptions, c_1, check_assumptions, target_bound
from asymfast.theory.checks import ANY, FLAG, SAMPLES, Array, array, count, statement
from asymfast.theory.feature_learning import Model
from asymfast.theory.limits import Kappa, kappa_n

__all__ = ["Certificate", "Claim", "certify"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FN = "certify"
Bools = npt.NDArray[np.bool_]
Records = npt.NDArray[np.int64]
Theorem = convergence.Theorem41 | convergence.TheoremA1 | convergence.TheoremH1


class RunNumbers:
    """One member of a run, as the theorems need it; T records.

    A ValueError says that the theorems do not cover the run (another loss, several outputs, trained
    output weights, mini-batches), that it has no records, or that member, X and y are not its own.
    """

    def __init__(self, run: Any, X: Any, y: Any, member: int | None) -> None:
        for name in ("steps", "time", "loss", "weight_change", "initial", "network", "config"):
            if not hasattr(run, name):
                raise TypeError(f"run must be a Run, got {type(run).__name__}")
        if not len(run.steps):
            raise ValueError("run must have records, got none")
        member = _member(run.network.B, member)

        def recorded(values: Any) -> Floats:
            """The member's part of (T, B, ...) records."""
            return np.asarray(values if member is None else values[:, member], dtype=np.float64)

        def setting(value: Any) -> Any:
            """The member's part of a number or of (B,) numbers."""
            several = member is not None and np.ndim(value) == 1 and member < len(value)
            return value[member] if several else value

        self.initial, end = (_network(each, member) for each in (run.initial, run.network))
        if not np.array_equal(self.initial.a, end.a):
            raise ValueError("the theorems train the input weights only; this run trained a too")
        sizes = {"d": end.W.shape[1]}
        self.X = SAMPLES.check(_FN, "X", X, sizes)
        self.y = array("n").check(_FN, "y", y, sizes)
        method, loss = _method(run.config), run.config["loss"]
        # d mse / dW = (2 / n) dL_m / dW, so its flow is that of L_m slowed down by n / 2
        speed, size = (2 / len(self.X), len(self.X) / 2) if loss == "mse" else (1.0, 1.0)
        self.descent = method == "gradient_descent"
        # learning rate on L_m, half the sum of squares
        self.eta = 0.0
        if self.descent:
            lr = _check.number(_FN, "run.config['lr']", setting(run.config.get("lr")), "[0, inf)")
            self.eta = speed * lr
        self.steps = np.asarray(run.steps if run.steps.ndim == 1 else run.steps[:, member])
        # of the gradient flow of L_m; eta * step for descent
        self.time = speed * np.asarray(run.time, dtype=np.float64)
        self.loss = size * recorded(run.loss)  # L_m, whichever loss was recorded
        self.scaled_change = _scaled(recorded(run.weight_change), np.sqrt(self.initial.lam))
        dtype = str(np.asarray(run.network.W).dtype)
        self.loss_0 = 0.5 * float(np.sum((self.initial.outputs(self.X) - self.y) ** 2))
        if self.steps[0] == 0:
            self._require_same_data(float(self.loss[0]), dtype)
            self.loss_0 = float(self.loss[0])
        self.loss_floor = _loss_floor(end, self.X, self.y, dtype)
        self._read_ntg(run, recorded, end.W)
        lam, given = self.initial.lam, run.initial.gamma
        self.gamma = math.nan if given is None else float(setting(given))
        if not math.isfinite(self.gamma):  # the network does not know it: the largest possible
            self.gamma = min(1.0, len(lam) * float(lam.min()))
        self.diverged = bool(setting(run.diverged))

    def _require_same_data(self, recorded: float, dtype: str) -> None:
        allowed = 1e-3 if dtype == "float32" else 1e-8
        size = max(self.loss_0, recorded) + 0.5 * float(np.sum(self.y**2))
        if not abs(self.loss_0 - recorded) <= allowed * size:
            raise ValueError(
                f"X and y are not the data of this run; L_m at its start is "
                f"{self.loss_0:.8g} on them, and was {recorded:.8g}"
            )

    def _read_ntg(self, run: Any, recorded: Callable[[Any], Floats], W_end: Floats) -> None:
        """Smallest eigenvalue and change of the NTG on all samples, wherever they can be known."""
        T = len(self.steps)
        self.eigmin, self.ntg_change = np.zeros(T), np.zeros(T)
        self.known = np.zeros(T, dtype=bool)
        self.spectral = np.zeros(T, dtype=bool)  # `ntg_change` is not the Frobenius norm
        on = run.config.get("record", {}).get("ntg_on")
        everywhere = on is None or (np.ndim(on) == 0 and on >= len(self.X))
        if everywhere and run.ntg_change is not None and run.ntg_eigmin is not None:
            self.eigmin, change = recorded(run.ntg_eigmin).copy(), run.ntg_change
            self.known[:] = True
            if getattr(run, "ntg_change_2norm", None) is not None:
                change = run.ntg_change_2norm
                self.spectral[:] = True
            self.ntg_change = recorded(change).copy()
        if run.weights is not None:
            weights = dict(enumerate(recorded(run.weights)))
        elif self.known.all():
            return
        else:
            weights = {0: self.initial.W} if run.steps[0].min() == 0 else {}
            weights[T - 1] = W_end
        K0 = self.initial.ntg(self.X)
        for t, W in weights.items():
            if np.isfinite(W).all():
                K = replace(self.initial, W=W).ntg(self.X)
                self.eigmin[t] = np.linalg.eigvalsh(K)[0]
                self.ntg_change[t] = np.abs(np.linalg.eigvalsh(K - K0)).max()
                self.known[t] = self.spectral[t] = True


def _method(config: dict[str, Any]) -> Any:
    """Return the training method of a run that the theorems cover."""
    if config.get("loss") not in ("half_sse", "mse"):
        loss = config.get("loss")
        raise ValueError(f"the theorems are on the squared loss, this run's is {loss!r}")
    method = config.get("method")
    if method != "gradient_descent" and "t_end" not in config:
        raise ValueError(
            f"the theorems are on full-batch gradient descent and gradient flow, "
            f"this run's method is {method!r}"
        )
    return method


def _scaled(change: Floats, root: Floats) -> Floats:
    """max_j |w_tj - w_0j| / sqrt(lam_j).

    A node with lam_j = 0 must not move: its ratio is 0 if it does not, and infinite if it does.
    """
    ratio = np.full(change.shape, np.nan)
    np.divide(change, root, out=ratio, where=root > 0)
    ratio[:, root == 0] = np.where(change[:, root == 0] == 0, 0.0, np.inf)
    return np.asarray(ratio.max(axis=1))


def _loss_floor(end: Model, X: Floats, y: Floats, dtype: str) -> float:
    """The loss due to rounding: an output is a sum of terms, each accurate to 4 units."""
    if not np.isfinite(end.W).all():
        return 0.0
    size = np.abs(y) + np.abs(end.preactivations(X)) @ np.sqrt(end.lam)
    return 0.5 * float(np.sum((4 * float(np.finfo(dtype).eps) * size) ** 2))


def _member(size: int | None, member: int | None) -> int | None:
    if size is None:
        if member is not None:
            raise ValueError("member is for ensembles, and this run is a single network's")
        return None
    if member is None:
        raise ValueError(f"this run has {size} members; pass member=0, ..., {size - 1}")
    return _check.integer(_FN, "member", member, low=0, high=size - 1)


def _network(net: Any, member: int | None) -> Model:
    """One member of a network; after a divergence its weights are not finite."""
    W, a, lam = (
        np.asarray(each if member is None else each[member], dtype=np.float64)
        for each in (net.W, net.a, net.lam)
    )
    if a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]
    if a.ndim != 1:
        raise ValueError(f"the theorems are on one output, this network has {a.shape[1]}")
    return Model(W, a, lam, net.activation)


@dataclass(frozen=True, eq=False)
class Claim:
    """One inequality, checked at the records where its left side is known; see `certify`.

    Attributes
    ----------
    name : str
        "(a)", "(b)", "(c)", "(d)", or the number of a lemma.
    text : str
        The inequality in words.
    source : str
        The statement of the paper.
    upper : bool
        True for observed <= bound, False for observed >= bound.
    records : (R,) int array
        Indices of the run's records.
    observed, bound : (R,) float64 arrays
        For (c) the weight changes divided by sqrt(lam_j), of the node closest to its bound.
    passed : (R,) bool array
        Whether the inequality holds. A loss also passes if it is below the rounding error of the
        network's output, which no run can improve on. False where the run has diverged.
    undecided : (R,) bool array
        Whether the bound is exceeded by the Frobenius norm but perhaps not by the spectral norm.
    """

    name: str
    text: str
    source: str
    upper: bool
    records: Records
    observed: Floats
    bound: Floats
    passed: Bools
    undecided: Bools

    def __str__(self) -> str:
        return f"{self.name}: {self.text} [{self.source}]"

    @property
    @np.errstate(all="ignore")
    def margin(self) -> Floats:
        """Distance to the bound, positive where the inequality holds."""
        return self.bound - self.observed if self.upper else self.observed - self.bound

    @property
    def holds(self) -> bool | None:
        """Whether it holds at all its records; None if undecided or if there are no records."""
        if np.any(~self.passed & ~self.undecided):
            return False
        return None if self.undecided.any() or not len(self.records) else True

    def at(self, t: int) -> dict[str, Any]:
        """Observed value, bound, margin and pass at a record of the run; None where unknown."""
        row: dict[str, Any] = dict.fromkeys(("observed", "bound", "margin", "pass"))
        for i in np.flatnonzero(self.records == t)[:1]:
            row |= {key: float(getattr(self, key)[i]) for key in ("observed", "bound", "margin")}
            row["pass"] = None if self.undecided[i] else bool(self.passed[i])
        return row


@dataclass(frozen=True, eq=False)
class Certificate:
    """The result of comparing a run with a theorem; see `certify`.

    Attributes
    ----------
    theorem : str
        "Theorem 4.1", "Theorem A.1" or "Theorem H.1".
    applies : bool
        Whether data, activation, initialisation, width and learning rate satisfy the theorem's
        hypotheses.
    reasons : tuple of str
        Why it does not apply, one sentence for every hypothesis that fails.
    holds : bool or None
        Whether its conclusions (a) to (d) hold at all records; None if some of them are undecided
        or the theorem has no bounds for this run.
    kappa : Kappa
        kappa_n of the inputs.
    width : convergence.Widths or None
        Width that the theorem requires; None without kappa_n > 0 and gamma > 0.
    learning_rate : float or None
        Theorem H.1's bound on eta, for half the sum of squares.
    claims : dict of str to Claim
        (a) to (d) with the theorem's bounds; empty if it has none.
    measured : dict of str to Claim
        Bounds from measured eigenvalues: Lemma E.1 with the smallest eigenvalue so far (flow),
        Lemma H.3 from one record to the next (descent).
    initial : dict of str to Claim
        What the proof needs of the initialisation: "D.1", eig_min Theta^(1)(W_0) > gamma kappa / 2,
        and "(32)", |y - u_0|^2 < 2 n (C^2 + C_1) / delta.
    assumptions : Assumptions
        See `check_assumptions`.
    constants : dict of str to float
        The constants in the bounds: n, d, m, gamma, delta, eta, C, C_1, M, L.
    steps, time : (T,) arrays
        Steps and times of the records; time is that of the gradient flow of L_m.
    spectral : (T,) bool array
        Where (d) uses the spectral norm; elsewhere it uses the Frobenius norm, which is larger.
    diverged : bool
    """

    theorem: str
    applies: bool
    reasons: tuple[str, ...]
    holds: bool | None
    kappa: Kappa
    width: convergence.Widths | None
    learning_rate: float | None
    claims: dict[str, Claim]
    measured: dict[str, Claim]
    initial: dict[str, Claim]
    assumptions: Assumptions
    constants: dict[str, float]
    steps: Records
    time: Floats
    spectral: Bools
    diverged: bool

    def rows(self) -> Iterator[dict[str, Any]]:
        """Generate one dictionary a record: step, time, and four entries for every claim.

        Their keys are "(a) observed", "(a) bound", "(a) margin", "(a) pass", ...; None if unknown.
        """
        for t, step in enumerate(self.steps):
            row: dict[str, Any] = {"step": int(step), "time": float(self.time[t])}
            for name, claim in {**self.claims, **self.measured}.items():
                row |= {f"{name} {key}": value for key, value in claim.at(t).items()}
            yield row

    def to_dict(self) -> dict[str, Any]:
        """The certificate as nested dictionaries, lists and numbers, ready for JSON."""
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
                {key: getattr(each, key) for key in ("name", "asks", "holds", "finding")}
                for each in self.assumptions
            ],
            "initial": {
                name: {key: claim.at(0)[key] for key in ("observed", "bound", "pass")}
                for name, claim in self.initial.items()
            },
            "measured": {name: claim.holds for name, claim in self.measured.items()},
            "diverged": self.diverged,
            "records": list(self.rows()),
        }

    @statement(rows=count())
    def table(self, rows: int = 11) -> str:
        """The certificate as text: verdicts, constants, and at most ``rows`` records."""
        lines = [*_head(self), "", *_records(self, rows)]
        for claim in (*self.claims.values(), *self.measured.values()):
            lines.append(f"{claim}: {_WORDS[claim.holds]}")
        for claim in self.initial.values():
            sign = "<=" if claim.upper else ">="
            shown = f"{claim.observed[0]:.4g} {sign} {claim.bound[0]:.4g}"
            lines.append(f"{claim}: {shown}, {_WORDS[claim.holds]}")
        return "\n".join(lines)

    def figure(self, title: str | None = None) -> Figure:
        """Draw the claims (a) to (d) with their bounds over time (extra ``plot``).

        Values that are not positive cannot be shown on the logarithmic axes and are left out.
        Crosses mark records at which a bound is violated. ImportError without matplotlib,
        FigureError if it fails to draw.
        """
        import asymfast.plot.style as style

        holds = {True: "holds", False: "fails", None: "is undecided"}[self.holds]
        applies = "applies" if self.applies else "does not apply"
        with style.drawing("Certificate.figure") as figure:
            panels = figure.subplots(2, 2, sharex=True)
            for axes, name in zip(panels.flat, _PANELS, strict=True):
                _panel(axes, name, self)
            for axes in panels[1]:
                axes.set_xlabel("time $t$ of the gradient flow of $L_m$")
            style.whole_numbers(panels[1, 1].xaxis)
            style.legend_below(figure, *panels.flat)
            verdict = f"{self.theorem} {applies}; its conclusion {holds}"
            figure.suptitle(style.readable(title or verdict))
        return figure

    def __str__(self) -> str:
        return self.table()


@statement(X=ANY, y=ANY, corrected=FLAG)  # `RunNumbers` checks X and y against the run
def certify(
    run: Any,
    X: Array,
    y: Array,
    delta: float = 0.1,
    *,
    corrected: bool = False,
    member: int | None = None,
) -> Certificate:
    """Compare a training run with the convergence theorems, record by record.

    Gradient flow is compared with Theorem 4.1 (Theorem A.1 for relu) and, by Lemma E.1, with the
    bounds that follow from the measured smallest eigenvalue; gradient descent with Theorem H.1 and
    the steps of its proof, and with Lemma H.3. The paper does not cover gradient descent with relu;
    there the bounds of Theorem A.1 at time eta * step are shown.

    Parameters
    ----------
    run : Run
        A run of `asymfast.gradient_descent` or `asymfast.gradient_flow` with one output and a
        squared loss; "mse" is converted to L_m, half the sum of squares. (a) and (d) are checked at
        every record if the NTG and its eigenvalue were recorded on all samples: above 500 samples
        with ``Record(ntg_on="all")``. With ``Record(ntg_change_2norm=True)``, (d) uses the spectral
        norm instead of the Frobenius norm.
    X : (n, d) array_like, float64 or float32
        The training inputs.
    y : (n,) array_like
        The training targets.
    delta : float
        The theorems hold with probability 1 - delta over the initialisation.
    corrected : bool
        The paper assumes |sigma'| <= 1, which swish, erf and gelu violate. True replaces its
        constants by those that hold for L = sup |sigma'|, and drops that assumption.
    member : int, optional
        Which member of an ensemble.

    Returns
    -------
    Certificate
        ``applies`` and ``holds`` are independent: the required widths are astronomical, while the
        conclusions hold for nearly every run.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range; a run that the theorems do not cover; X and y
        are not the data of the run.

    Notes
    -----
    (a) to (d) are the theorem's conclusions: on the smallest eigenvalue of the NTG, the loss, every
    node's weight change, and the change of the NTG in the spectral norm. Lemma E.1 needs its
    eigenvalue bound at all times; here it is known at the records only. The NTG is recomputed in
    NumPy if the run has recorded weights, and taken from the run otherwise. If the run has no NTG
    on all samples, (a) and (d) are checked at the first and the last record.

    Source: Theorems 4.1, A.1 and H.1. Cost: O(n^2 m + n^3), plus that of `mean_ntg`.

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
    >>> loss = certificate.claims["(b)"]
    >>> loss.holds, bool((loss.observed <= loss.bound).all()), sorted(certificate.measured)
    (True, True, ['E.1 loss', 'E.1 weights'])
    """
    numbers = RunNumbers(run, X, y, member)
    net, (n, d) = numbers.initial, numbers.X.shape
    assumptions = check_assumptions(X, numbers.y, net.activation, W=net.W)
    kappa = kappa_n(numbers.X, net.activation)
    constants = {
        "n": n,
        "d": d,
        "m": len(net.lam),
        "gamma": numbers.gamma,
        "delta": delta,
        "eta": numbers.eta,
        "C": target_bound(numbers.y),
        "C_1": c_1(net.activation, d),
        "M": assumptions.M,
        "L": max(1.0, assumptions.L) if corrected else 1.0,
    }
    name = "Theorem H.1" if numbers.descent else "Theorem 4.1"
    name = "Theorem A.1" if net.activation == "relu" else name
    theorem = None
    if kappa.positive and numbers.gamma > 0:
        theorem = _theorem(name, kappa.value, constants)
    reasons = tuple(_reasons(name, numbers, assumptions, kappa, theorem, corrected))
    claims = {}
    if theorem is not None and theorem.width is not None:
        claims = _claims(name, theorem, numbers)
    verdicts = {claim.holds for claim in claims.values()}
    return Certificate(
        theorem=name,
        applies=not reasons,
        reasons=reasons,
        holds=False if False in verdicts else None if None in verdicts or not claims else True,
        kappa=kappa,
        width=None if theorem is None else theorem.width,
        learning_rate=theorem.learning_rate if isinstance(theorem, convergence.TheoremH1) else None,
        claims=claims,
        measured=_measured(numbers, constants),
        initial={} if theorem is None else _initial(numbers, kappa, constants),
        assumptions=assumptions,
        constants={key: value for key, value in constants.items() if math.isfinite(value)},
        steps=numbers.steps,
        time=numbers.time,
        spectral=numbers.spectral,
        diverged=numbers.diverged,
    )


def _theorem(name: str, kappa: float, constants: dict[str, Any]) -> Theorem:
    def chosen(*names: str) -> dict[str, Any]:
        return {key: constants[key] for key in ("n", "d", "gamma", "delta", "C", *names)}

    if name == "Theorem A.1":
        return convergence.theorem_a1(kappa=kappa, **chosen())
    if name == "Theorem 4.1":
        return convergence.theorem_4_1(kappa=kappa, **chosen("M", "C_1", "L"))
    return convergence.theorem_h1(kappa=kappa, **chosen("M", "C_1", "L", "eta"))


def _reasons(
    name: str,
    numbers: RunNumbers,
    assumptions: Assumptions,
    kappa: Kappa,
    theorem: Theorem | None,
    corrected: bool,
) -> Iterator[str]:
    """One sentence for every hypothesis of the theorem that fails."""
    a, lam, gamma = numbers.initial.a, numbers.initial.lam, numbers.gamma
    for check in assumptions.failures:
        relu = check.name == "2.2" and name == "Theorem A.1"
        if not (relu or (check.asks == "|sigma'| <= 1" and corrected)):
            yield f"Assumption {check.name}, {check.asks}: {check.finding}"
    if not np.all(np.abs(a) == 1):
        yield "the output weights are not all +1 or -1"
    total = float(lam.sum())
    if abs(total - 1) > 1e-6 or len(lam) * lam.min() < gamma * (1 - 1e-6):
        yield f"lam is not of the form (1) for gamma = {gamma:g}; it sums to {total:.6g}"
    if name == "Theorem A.1" and numbers.descent:
        yield "the paper proves nothing for gradient descent with relu (A.3)"
    if gamma == 0:
        yield "gamma must be > 0, and is 0"
    if not kappa.positive:
        yield f"kappa_n must be > 0, and is 0 up to rounding ({kappa.value:.1e})"
    if isinstance(theorem, convergence.TheoremH1) and not theorem.learning_rate_met:
        yield f"the learning rate must be below {theorem.learning_rate:.4g}, and is {numbers.eta:g}"
    width = None if theorem is None else theorem.width
    if width is not None and not width.met_by(len(lam)):
        yield f"the width must be at least {power_of_ten(width.log10)}, and is {len(lam)}"


def power_of_ten(log10: float) -> str:
    """10^log10 with four digits, of any size: ``6.42e+23``, ``1.5e+412``."""
    whole = math.floor(log10)
    mantissa = 10 ** (log10 - whole)
    if 0 <= whole < 6:
        return f"{math.ceil(10**log10):d}"
    return f"{mantissa:.4g}e{whole:+03d}"


def _claims(name: str, theorem: Theorem, numbers: RunNumbers) -> dict[str, Claim]:
    """(a) to (d) with the theorem's bounds."""
    every, known = np.arange(len(numbers.steps)), np.flatnonzero(numbers.known)
    descent = isinstance(theorem, convergence.TheoremH1)
    proof = f"proof of {name}" if descent else name
    least = f"eig_min(NTG_t) >= {'3 gamma kappa / 8' if descent else 'gamma kappa / 4'}"
    loss = theorem.loss(numbers.steps if descent else numbers.time, numbers.loss_0)
    power = 1.5 if isinstance(theorem, convergence.TheoremA1) else 2.0
    change = theorem.ntg_change(float(np.sum(numbers.initial.lam**power)))
    claims = (
        _claim("(a)", least, proof, known, numbers.eigmin[known], theorem.eigmin, upper=False),
        _loss_claim("(b)", "L_m(W_t) <= exp(-rate t) L_m(W_0)", name, every, numbers, loss),
        _claim("(c)", _FACTOR, proof, every, numbers.scaled_change, theorem.weight_factor),
        _ntg_claim(proof, known, numbers, change),
    )
    return {claim.name: claim for claim in claims}


def _measured(numbers: RunNumbers, constants: dict[str, Any]) -> dict[str, Claim]:
    """Lemmas E.1 and H.3 with the smallest eigenvalues of the run instead of gamma kappa / 4."""
    known = np.flatnonzero(numbers.known & np.isfinite(numbers.loss))
    if len(known) < 2:
        return {}
    if not numbers.descent:
        return _lemma_e1(numbers, known, constants)
    if numbers.initial.activation == "relu":
        return {}  # Lemma H.3 needs sigma''
    return _lemma_h3(numbers, known, constants)


def _lemma_e1(numbers: RunNumbers, known: Records, constants: dict[str, Any]) -> dict[str, Claim]:
    residual = math.sqrt(2 * numbers.loss_0)
    so_far = np.minimum.accumulate(numbers.eigmin[known])
    known, so_far = known[so_far > 0], so_far[so_far > 0]  # no bound after a singular NTG
    shared = {key: constants[key] for key in ("n", "d", "L")}
    bounds = [
        convergence.lemma_e1(float(numbers.time[t]), 2 * float(least), residual=residual, **shared)
        for t, least in zip(known, so_far, strict=True)
    ]
    loss = np.array([each.loss for each in bounds])
    factor = np.array([each.weight_factor for each in bounds])
    moved = numbers.scaled_change[known]
    text = "L_m(W_t) <= exp(-2 min eig_min t) L_m(W_0)"
    return {
        "E.1 loss": _loss_claim("E.1 loss", text, "Lemma E.1", known, numbers, loss),
        "E.1 weights": _claim("E.1 weights", _FACTOR, "Lemma E.1", known, moved, factor),
    }


def _lemma_h3(numbers: RunNumbers, known: Records, constants: dict[str, Any]) -> dict[str, Claim]:
    """Loss at a record from that at the record before, by Eq. (30) for the steps between.

    The smallest eigenvalue between two records is assumed to be at least that at one of them.
    """
    shared = {key: constants[key] for key in ("eta", "n", "d", "M", "L")}
    records, bounds = [], []
    for before, t in pairwise(known):
        eigmin = max(0.0, float(min(numbers.eigmin[before], numbers.eigmin[t])))
        loss = float(numbers.loss[before])
        factor = convergence.lemma_h3(math.sqrt(2 * loss), eigmin, **shared)
        # Below 1 the loss decreases and the factor with it. For larger factors the loss may grow,
        # and the factor of the first step does not bound the later ones.
        if 0 < factor < 1:
            records.append(t)
            bounds.append(loss * factor ** int(numbers.steps[t] - numbers.steps[before]))
    if not records:
        return {}
    text = "L_m(W_s) <= factor^steps L_m at the last record, factor of (30) there"
    claim = _loss_claim("H.3 loss", text, "Lemma H.3", np.array(records), numbers, np.array(bounds))
    return {claim.name: claim}


def _initial(numbers: RunNumbers, kappa: Kappa, constants: dict[str, Any]) -> dict[str, Claim]:
    """The two events, each of probability 1 - delta / 2, that the proofs start from."""
    net, m = numbers.initial, len(numbers.initial.lam)
    part = replace(net, lam=np.full(m, numbers.gamma / m))
    moment = 1 / constants["d"] if net.activation == "relu" else constants["C_1"]
    size = constants["n"] * (constants["C"] ** 2 + moment) * 2 / constants["delta"]
    eigmin: Floats = np.linalg.eigvalsh(part.ntg(numbers.X)).astype(np.float64)[:1]
    residual = np.array([2 * numbers.loss_0])
    half = numbers.gamma * kappa.value / 2
    first = np.zeros(1, dtype=np.int64)
    least, most = "eig_min(NTG^(1)_0) >= gamma kappa / 2", "|y - u_0|^2 <= 2 n (C^2 + C_1) / delta"
    return {
        "D.1": _claim("D.1", least, "Proposition D.1", first, eigmin, half, upper=False),
        "(32)": _claim("(32)", most, "Eq. (32)", first, residual, size),
    }


_FACTOR = "max_j |w_tj - w_0j| / sqrt(lam_j) <= factor"


def _claim(
    name: str,
    text: str,
    source: str,
    records: Records,
    observed: Floats,
    bound: Floats | float,
    *,
    upper: bool = True,
    floor: Floats | float = 0.0,
) -> Claim:
    bound = np.broadcast_to(np.asarray(bound, dtype=np.float64), observed.shape)
    with np.errstate(invalid="ignore"):
        passed = observed <= np.maximum(bound, floor) if upper else observed >= bound
    undecided = np.zeros(len(records), dtype=bool)
    return Claim(name, text, source, upper, records, observed, bound, passed, undecided)


def _loss_claim(
    name: str, text: str, source: str, records: Records, numbers: RunNumbers, bound: Floats
) -> Claim:
    """A loss against its bound; both are rounded, at t = 0 one is computed from the other."""
    floor = np.maximum(numbers.loss_floor, bound * (1 + 1e-14))
    return _claim(name, text, source, records, numbers.loss[records], bound, floor=floor)


def _ntg_claim(source: str, known: Records, numbers: RunNumbers, bound: float) -> Claim:
    observed = numbers.ntg_change[known]
    text = "|NTG_t - NTG_0|_2 <= bound"
    claim = _claim("(d)", text, source, known, observed, bound)
    # a Frobenius norm is between the spectral norm and sqrt(n) times it
    exceeds = ~claim.passed & ~numbers.spectral[known]
    return replace(claim, undecided=exceeds & (observed / math.sqrt(len(numbers.X)) <= bound))


_WORDS = {True: "yes", False: "NO", None: "undecided"}
_MARKS = {True: "", False: "*", None: "?"}


def _head(certificate: Certificate) -> Iterator[str]:
    constants = dict(certificate.constants)
    yield f"{certificate.theorem}, delta = {constants.pop('delta'):g}"
    yield f"theorem applies:  {_WORDS[certificate.applies]}"
    yield from (f"  - {reason}" for reason in certificate.reasons)
    none = "the theorem has no bounds for this run"
    yield f"conclusion holds: {_WORDS[certificate.holds] if certificate.claims else none}"
    if certificate.diverged:
        yield "the run diverged"
    kappa = certificate.kappa
    listed = ", ".join(f"{name} = {value:.6g}" for name, value in constants.items())
    yield f"kappa_n = {kappa.value:.6g} (+- {kappa.error:.1g}), {listed}"
    if certificate.width is not None:
        yield f"width required: {power_of_ten(certificate.width.log10)}"
    if certificate.learning_rate is not None:
        yield f"learning rate required: below {certificate.learning_rate:.4g}"


def _records(certificate: Certificate, rows: int) -> list[str]:
    """A table with the observed value and the bound of every claim; failures have an asterisk."""
    claims = list({**certificate.claims, **certificate.measured}.values())
    if not claims:
        return []
    titles = {"(a)": "eig_min", "(b)": "L_m", "(c)": "|dw|/sqrt(lam)", "(d)": "|dNTG|"}
    table = [["step", "time"]]
    for claim in claims:
        table[0] += [titles.get(claim.name, claim.name), "<=" if claim.upper else ">="]
    last = len(certificate.steps) - 1
    for t in sorted({round(i) for i in np.linspace(0, last, min(rows, last + 1))}):
        cells = (cell for claim in claims for cell in _cells(certificate, claim, t))
        table.append([f"{certificate.steps[t]}", f"{certificate.time[t]:.4g}", *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, ["-" * width for width in widths])
    lines = ["  ".join(map(str.rjust, row, widths)) for row in table]
    key = "F: Frobenius norm, above the spectral norm; *: bound exceeded; ?: undecided"
    return [*lines, key, ""]


def _cells(certificate: Certificate, claim: Claim, t: int) -> list[str]:
    row = claim.at(t)
    if row["observed"] is None:
        return ["-", "-"]
    frobenius = claim.name == "(d)" and not certificate.spectral[t]
    mark = f"{' F' if frobenius else ''}{_MARKS[row['pass']]}"
    return [f"{row['observed']:.4g}{mark}", f"{row['bound']:.4g}"]


# Title, label, and the measured claims that are shown beside it.
_PANELS = {
    "(a)": (r"smallest eigenvalue of the NTG", r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$"),
    "(b)": ("training risk", r"$L_m$", "E.1 loss", "H.3 loss"),
    "(c)": (
        "largest scaled weight change",
        r"$\max_j \Vert w_{tj} - w_{0j} \Vert / \sqrt{\lambda_j}$",
        "E.1 weights",
    ),
    "(d)": ("change of the NTG", r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert$"),
}


def _panel(axes: Axes, name: str, certificate: Certificate) -> None:
    from asymfast.plot.style import COLOURS, DASHES, remark

    def line(claim: Claim, values: Floats, label: str, place: int, **marks: Any) -> None:
        shown = np.isfinite(values) & (values > 0)
        if shown.any():
            look = {"color": COLOURS[place], "linestyle": DASHES[place], "label": label, **marks}
            axes.plot(time[claim.records], np.where(shown, values, np.nan), **look)

    time = certificate.time
    title, symbol, *lemmas = _PANELS[name]
    axes.set_title(f"{name} {title}")
    axes.set_ylabel(symbol)
    claim = certificate.claims.get(name)
    measured = [certificate.measured[key] for key in lemmas if key in certificate.measured]
    for observed in ([] if claim is None else [claim]) or measured[:1]:
        line(observed, observed.observed, "observed", 0, marker="o", markersize=3)
    if claim is not None:
        line(claim, claim.bound, "bound", 1)
        failed = ~claim.passed & np.isfinite(claim.observed) & (claim.observed > 0)
        if failed.any():
            crosses = time[claim.records[failed]], claim.observed[failed]
            axes.plot(*crosses, "x", color="black", label="bound exceeded")
    for each in measured:
        line(each, each.bound, f"bound, {each.source} (measured)", 2)
    if axes.lines:
        axes.set_yscale("log")
    else:
        remark(axes, "no bound, or not recorded")
