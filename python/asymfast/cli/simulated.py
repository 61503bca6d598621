"""The paper's experiment on simulated data (Appendix J, Figure 2)."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast import figures
from asymfast.cli.claims import Outcome, claims_table, outcome, outcomes_table, summary
from asymfast.cli.errors import INCOMPLETE, INTERRUPTED, CommandError
from asymfast.cli.results import write_json
from asymfast.cli.table import setting_name
from asymfast.datasets.simulated import simulated as simulated_data
from asymfast.progress import ProgressBar, duration

Array = npt.NDArray[Any]

# (gamma, alpha) in the order of the paper: from no asymmetry to the most.
SETTINGS: tuple[tuple[float, float | None], ...] = (
    (1.0, None),
    (0.5, 0.7),
    (0.5, 0.5),
    (0.0, 0.4),
)
_RECORDS = 50


@dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers of the experiment, and nothing else.

    The defaults are the paper's. The learning rate 1 goes with the loss "half_sse", half the SUM
    of the squared errors.
    """

    seeds: int = 5
    steps: int = 50_000
    activation: str = "swish"
    width: int = 2000
    samples: int = 100
    inputs: int = 50
    dtype: str = "float64"
    lr: float = 1.0
    loss: str = "half_sse"

    def description(self, gamma: float, alpha: float | None) -> dict[str, Any]:
        """Describe one setting; its run is reused only while this stays equal."""
        return {
            "experiment": "simulated",
            "version": af.__version__,
            "gamma": gamma,
            "alpha": alpha,
            **asdict(self),
        }


def execute(options: argparse.Namespace) -> None:
    """Train the four settings, or find them trained; write the figure and the summary.

    The seeds of a setting train together as one ensemble, and its run is written as soon as it is
    finished. Files are called ``simulated-gamma0.5-alpha0.7.npz``; another activation and
    ``--quick`` show in the name, so that they never replace a long run.

    Raises
    ------
    CommandError
        Training diverged or was interrupted. Finished settings are kept.
    """
    plan = _plan(options)
    stem = "-".join(
        ["simulated"]
        + ([plan.activation] if plan.activation != "swish" else [])
        + (["quick"] if options.quick else [])
    )
    seeds = "1 seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    print(
        f"simulated data: n = {plan.samples}, d = {plan.inputs}, m = {plan.width}, "
        f"{plan.activation}, {seeds}, {plan.steps} steps, {plan.dtype}"
    )
    X, y = _data(plan)
    outcomes: dict[tuple[float, float | None], Outcome] = {}
    for number, (gamma, alpha) in enumerate(SETTINGS, start=1):
        path = options.out / f"{stem}-{_file_part(gamma, alpha)}.npz"
        prefix = f"[{number}/{len(SETTINGS)}] {setting_name(gamma, alpha)}"
        wanted = plan.description(gamma, alpha)
        run, found = _finished(path, wanted)
        if run is None:
            started = time.monotonic()
            run = _train(plan, gamma, alpha, X, y, options.threads, prefix)
            run.config["experiment"] = wanted
            run.save(path)
            found += f"trained in {duration(time.monotonic() - started)}"
        print(f"{prefix}: {found} ({path.name})", flush=True)
        outcomes[gamma, alpha] = outcome(run, run.initial.ntg(X, threads=options.threads))

    print(f"\n{outcomes_table({setting_name(*key): value for key, value in outcomes.items()})}\n")
    print(f"{claims_table(outcomes)}\n")
    write_json(options.out / f"{stem}.json", summary(asdict(plan), outcomes))
    written = [f"{stem}.json"]
    if not options.no_figure:
        figure = figures.training_figure(
            {setting_name(*key, symbols=True): value.run for key, value in outcomes.items()}
        )
        written += [path.name for path in figures.save(figure, options.out / stem)]
    print(f"written to {options.out}: {', '.join(written)}")


def _file_part(gamma: float, alpha: float | None) -> str:
    return f"gamma{gamma:g}" + ("" if alpha is None else f"-alpha{alpha:g}")


def _plan(options: argparse.Namespace) -> Plan:
    seeds, steps = (2, 2_000) if options.quick else (Plan.seeds, Plan.steps)
    return Plan(
        seeds=options.seeds or seeds,
        steps=options.steps or steps,
        activation=options.activation,
        width=options.width,
        samples=options.samples,
        dtype=options.dtype,
    )


def _data(plan: Plan) -> tuple[Array, Array]:
    """Draw inputs (seeds, n, d) and targets (seeds, n), every seed its own."""
    drawn = [
        simulated_data(plan.samples, plan.inputs, rng=seed, dtype=plan.dtype)
        for seed in range(plan.seeds)
    ]
    X, y = zip(*drawn, strict=True)
    return np.stack(X), np.stack(y)


def _finished(path: Path, wanted: dict[str, Any]) -> tuple[af.Run | None, str]:
    """Load the run at ``path`` if it is the wanted one; otherwise say why it is not used."""
    if not path.exists():
        return None, ""
    try:
        run = af.Run.load(path)
    except Exception:  # whatever is wrong with the file, the remedy is to write it again
        return None, "the file was unreadable; "
    found = run.config.get("experiment")
    if found == wanted:
        return run, "already there, not trained again"
    known = found if isinstance(found, dict) else {}
    differing = [key for key, value in wanted.items() if known.get(key) != value]
    return None, f"the file there differed in {', '.join(differing)}; "


def _train(
    plan: Plan,
    gamma: float,
    alpha: float | None,
    X: Array,
    y: Array,
    threads: int | None,
    name: str,
) -> af.Run:
    # [seed, 1] rather than seed: from one and the same stream the network would draw the very
    # numbers that became the inputs, and its first n nodes would be parallel to the samples.
    network = af.Network.init(
        d=plan.inputs,
        m=plan.width,
        gamma=gamma,
        alpha=alpha,
        activation=plan.activation,
        rng=[np.random.default_rng([seed, 1]) for seed in range(plan.seeds)],
        dtype=plan.dtype,
    )
    try:
        with ProgressBar(name) as bar:
            return af.gradient_descent(
                network,
                X,
                y,
                lr=plan.lr,
                steps=plan.steps,
                loss=plan.loss,
                record=af.Record(every=max(1, plan.steps // _RECORDS)),
                threads=threads,
                progress=bar,
            )
    except af.DivergenceError as left:
        raise CommandError(
            f"{name}: training diverged at step {left.step}; finished settings are kept", INCOMPLETE
        ) from left
    except KeyboardInterrupt:
        raise CommandError(
            f"{name}: interrupted; finished settings are kept, and the same command continues "
            "with this one",
            INTERRUPTED,
        ) from None
