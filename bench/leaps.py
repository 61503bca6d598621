"""W10: long gradient descent in leaps beside every step made, by asymfast and by others.

    python bench/leaps.py [--made 1000] [--threads 2] [--seeds 1] [--libraries jax,torch] [NAME ...]

Each setting is trained in leaps, by the first steps of the plain loop, in leaps again, and by as
many steps of the other libraries' fastest program (JAX's fori_loop, PyTorch by hand or compiled).
Times of loops are extrapolated from the steps made, `--made`, to all of them; all else is measured.
The errors are the largest at the recorded steps that were made: of the loss, relative, and of a
weight.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import asymfast as af
import numpy as np
from teams import Team, TeamError
from workloads import WORKLOADS

AT = (10, 30, 100, 300, 1000, 2000, 3000, 10_000, 20_000, 50_000, 100_000)


@dataclass(frozen=True)
class Setting:
    """A long run: network, data or the table they are from, loss, steps."""

    gamma: float
    alpha: float | None
    steps: int
    table: str = ""

    def make(self, seed: int) -> tuple[af.Network, np.ndarray, np.ndarray, str]:
        if self.table:
            data = af.datasets.load(self.table)
            X, y, loss = data.X_train, data.y_train, "mse"
        else:
            X, y = af.datasets.simulated(n=100, d=50, rng=seed)
            loss = "half_sse"
        net = af.Network.init(
            d=X.shape[1], m=2000, gamma=self.gamma, alpha=self.alpha, rng=seed + 1
        )
        return net, X, y.reshape(len(X), -1)[:, 0], loss


SETTINGS = {
    "W1, gamma 1": Setting(1.0, None, 50_000),
    "W1, gamma 0.5, alpha 0.7": Setting(0.5, 0.7, 50_000),
    "W1, gamma 0.5, alpha 0.5": Setting(0.5, 0.5, 50_000),
    "W1, gamma 0, alpha 0.4": Setting(0.0, 0.4, 50_000),
    "concrete": Setting(0.5, 0.5, 100_000, "concrete"),
    "energy": Setting(0.5, 0.5, 100_000, "energy"),
    "airfoil": Setting(0.5, 0.5, 100_000, "airfoil"),
    "plant": Setting(0.5, 0.5, 100_000, "plant"),
}


def in_leaps(setting: Setting, seed: int, made: int, threads: int) -> list[float]:
    """Seconds in leaps and by steps, errors of loss and weights, gradients of the leaps."""
    net, X, y, loss = setting.make(seed)
    records = [step for step in AT if step <= setting.steps]

    def run(method: str, until: int) -> tuple[float, af.Run]:
        wanted = [step for step in records if step <= until] or [until]
        record = af.Record(steps=wanted, ntg=False, eigmin=False, weights=True)
        settings = {"lr": 1.0, "loss": loss, "threads": threads, "record": record}
        began = time.perf_counter()
        result = af.gradient_descent(net, X, y, steps=until, method=method, **settings)
        return time.perf_counter() - began, result

    first, leaps = run("leap", setting.steps)
    stepping, plain = run("step", made)
    second, _ = run("leap", setting.steps)
    _, at, also = np.intersect1d(leaps.steps, plain.steps, return_indices=True)
    error = np.abs(leaps.loss[at] / plain.loss[also] - 1).max(initial=0)
    of_weights = np.abs(leaps.weights[at] - plain.weights[also]).max(initial=0)
    seconds = [(first + second) / 2, stepping / made * setting.steps]
    return [*seconds, error, of_weights, leaps.evaluations[-1]]


def by_others(
    setting: Setting, seed: int, made: int, cores: list[int], libraries: list[str]
) -> dict[str, float]:
    """Seconds of the fastest program of each library for all steps."""
    net, X, y, loss = setting.make(seed)
    workload = next(w for w in WORKLOADS if w.name == "W1")
    lr = 1.0 if loss == "half_sse" else 2.0 / len(X)
    found = {}
    with tempfile.TemporaryDirectory(prefix="asymfast-bench-") as folder:
        path = Path(folder, "arrays.npz")
        np.savez(path, X=X, y=y, W=net.W, a=net.a, lam=net.lam)
        asked = replace(workload, settings={"lr": lr}, dtype="float64")
        for library in libraries:
            try:
                team = Team(library, cores, "float64")
            except TeamError as reason:
                print(f"{library}: {reason}")
                continue
            try:
                for program in team.prepare(asked, path):
                    team.check(program, 10)
                    seconds = team.measure(program, made)[0] / made * setting.steps
                    found[library] = min(seconds, found.get(library, seconds))
            finally:
                team.close()
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--made", type=int, default=1000, help="steps of the loops")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--libraries", default="jax,torch")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SETTINGS):
        parser.error(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(SETTINGS)}")
    libraries = [name for name in options.libraries.split(",") if name]
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    print(f"float64, {options.threads} threads; loops extrapolated from {options.made} steps")
    titles = ["setting", "seed", "leaps, s", "our loop, s", "ratio"]
    titles += [*(f"{name}, s" for name in libraries), "loss errs by", "a weight by", "gradients"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name in options.names or SETTINGS:
        for seed in range(options.seeds):
            setting = SETTINGS[name]
            leaps, loop, *errors, gradients = in_leaps(setting, seed, options.made, options.threads)
            others = by_others(setting, seed, options.made, cores, libraries)
            cells = [name, seed, f"{leaps:.2f}", f"{loop:.1f}", f"1/{loop / leaps:.1f}"]
            cells += [f"{others[one]:.0f}" if one in others else "" for one in libraries]
            cells += [*(f"{error:.1e}" for error in errors), int(gradients)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
