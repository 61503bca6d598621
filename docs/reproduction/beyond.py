"""Write the numbers and figures of phases.md and width.md.

    python docs/reproduction/beyond.py phases
    python docs/reproduction/beyond.py width

Each takes about a minute of CPU time on one thread.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import asymfast as af
import numpy as np
import pandas as pd
from asymfast import theory
from asymfast.plot import style

FOLDER = Path(__file__).parent
GAMMA = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
ALPHA = (0.2, 0.35, 0.5, 0.65, 0.8)
EARLY, MOST, LEFT = 200, 1_000_000, 1e-6  # steps, steps, part of the loss at the start
WIDTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def phases():
    """Train at every (gamma, alpha) until a millionth of the loss is left."""
    rows = []
    for seed, gamma, alpha in itertools.product((0, 1), GAMMA, ALPHA):
        X, y = af.datasets.simulated(n=50, d=20, rng=seed)
        net = af.Network.init(20, 500, gamma, alpha, rng=np.random.default_rng([seed, 1]))
        began = time.process_time()
        run = af.gradient_descent(
            net,
            X,
            y,
            lr=1.0,
            steps=MOST,
            method="auto",
            record=af.Record(log=60, eigmin=False),
            stop=af.Stop(loss=LEFT * net.loss(X, y)),
            threads=1,
        )
        relative = run.ntg_change / np.linalg.norm(net.ntg(X))
        early = relative[np.searchsorted(run.steps, EARLY, side="right") - 1]
        rows.append((gamma, alpha, seed, run.steps[-1], run.loss[-1] / run.loss[0], early))
        rows[-1] += (relative[-1], time.process_time() - began)
    names = ["gamma", "alpha", "seed", "steps", "loss_left", "ntg_early", "ntg_end", "cpu_seconds"]
    frame = pd.DataFrame(rows, columns=names)
    frame.to_csv(FOLDER / "phases.csv", index=False, float_format="%.6g")
    means = frame.groupby(["gamma", "alpha"])[["ntg_early", "ntg_end", "steps"]].mean()
    titles = {
        "ntg_early": f"change of the NTG after {EARLY} steps",
        "ntg_end": "change of the NTG at convergence",
        "steps": "steps to a millionth of the loss",
    }
    with style.drawing("phases"):
        from matplotlib.colors import LogNorm
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4.2), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
            values = means[name].unstack("alpha").to_numpy()
            image = axes.imshow(values, origin="lower", aspect="auto", norm=LogNorm())
            axes.set_xticks(range(len(ALPHA)), ALPHA)
            axes.set_yticks(range(len(GAMMA)), GAMMA)
            axes.set_xlabel(r"$\alpha$")
            axes.set_ylabel(r"$\gamma$")
            axes.set_title(title)
            axes.grid(visible=False)
            figure.colorbar(image, ax=axes)
    figure.savefig(FOLDER / "phases.png", dpi=90)
    print(means.unstack("alpha").to_string())
    print(f"{frame.cpu_seconds.sum():.0f} s of CPU time")


def width():
    """Compare the width that Theorem 4.1 asks for with those at which its conclusions hold."""
    rows = []
    began = time.process_time()
    for n, m, seed in itertools.product((5, 10, 20, 40), WIDTHS, range(10)):
        X, y = af.datasets.simulated(n=n, d=10, rng=seed)
        net = af.Network.init(10, m, 0.5, 0.7, rng=np.random.default_rng([seed, 1]))
        record = af.Record(log=30, ntg_change_2norm=True)
        run = af.gradient_flow(net, X, y, t_end=1000.0, record=record, threads=1)
        found = theory.certify(run, X, y).to_dict()
        proof = theory.proposition_d1(n=n, d=10, kappa=found["kappa"], gamma=0.5, delta=0.1)
        holds = found["holds"] is True
        start = found["initial"]["D.1"]["pass"]
        rows.append((n, m, seed, holds, start, found["width_required_log10"], proof.width.log10))
    names = ["n", "m", "seed", "holds", "eigmin_at_start", "log10_required", "log10_required_start"]
    frame = pd.DataFrame(rows, columns=names)
    frame.to_csv(FOLDER / "width.csv", index=False, float_format="%.6g")
    share = frame.groupby(["n", "m"])[["holds", "eigmin_at_start"]].mean()
    asked = frame.groupby("n")[["log10_required", "log10_required_start"]].mean()
    with style.drawing("width"):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        for place, (n, part) in enumerate(share.holds.groupby(level="n")):
            look = {"color": style.COLOURS[place], "marker": style.MARKERS[place]}
            left.plot(WIDTHS, part.to_numpy(), label=f"n = {n}", **look)
        left.set_xscale("log")
        left.set_xlabel("width m")
        left.set_ylabel("share of seeds")
        left.set_title("all conclusions hold")
        left.legend()
        enough = share.holds.unstack("m").ge(0.9).idxmax(axis="columns")
        lines = {
            "Theorem 4.1 asks for": 10**asked.log10_required,
            "its initial eigenvalue asks for": 10**asked.log10_required_start,
            "conclusions hold in nine of ten seeds": enough,
        }
        for place, (label, values) in enumerate(lines.items()):
            look = {"color": style.COLOURS[place], "marker": style.MARKERS[place]}
            right.plot(asked.index, values, label=label, **look)
        right.set_xscale("log")
        right.set_yscale("log")
        right.set_xticks(asked.index, asked.index)
        right.minorticks_off()
        right.set_xlabel("samples n")
        right.set_ylabel("width m")
        right.legend()
    figure.savefig(FOLDER / "width.png", dpi=90)
    print(share.unstack("m").to_string(), asked.to_string(), enough.to_string(), sep="\n")
    print(f"{time.process_time() - began:.0f} s of CPU time")


if __name__ == "__main__":
    {"phases": phases, "width": width}[sys.argv[1]]()
