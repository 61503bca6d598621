"""W10: gradient descent in leaps beside every step made, in one interleaved run.

    python bench/leaps.py [--steps 50000] [--threads 2] [--seeds 2] [--share 1.0] [SETTING ...]

Each setting is trained in leaps, by steps, and in leaps again; `--share 0.1` makes only the first
tenth of the steps and multiplies their time by ten, which the table says. The error is the largest
relative one of the loss at the recorded steps, as far as steps were made.
"""

from __future__ import annotations

import argparse
import time

import asymfast as af
import numpy as np

SIMULATED = {
    "gamma 1": (1.0, None),
    "gamma 0.5, alpha 0.7": (0.5, 0.7),
    "gamma 0.5, alpha 0.5": (0.5, 0.5),
    "gamma 0, alpha 0.4": (0.0, 0.4),
}
AT = (10, 30, 100, 300, 1000, 3000, 10_000, 20_000, 50_000, 100_000)


def measure(
    gamma: float, alpha: float | None, seed: int, steps: int, share: float, threads: int
) -> tuple[float, float, float, int]:
    """Seconds in leaps and by steps, largest relative error of the loss, gradients of leaps."""
    X, y = af.datasets.simulated(n=100, d=50, rng=seed)
    net = af.Network.init(d=50, m=2000, gamma=gamma, alpha=alpha, rng=seed + 1)
    made = max(1, round(share * steps))
    records = [step for step in AT if step <= steps]

    def run(method: str, until: int) -> tuple[float, af.Run]:
        wanted = [step for step in records if step <= until] or [until]
        record = af.Record(steps=wanted, ntg=False, eigmin=False)
        began = time.perf_counter()
        result = af.gradient_descent(
            net, X, y, lr=1.0, steps=until, method=method, threads=threads, record=record
        )
        return time.perf_counter() - began, result

    first, leaps = run("leap", steps)
    stepping, plain = run("step", made)
    second, _ = run("leap", steps)
    _, at, also = np.intersect1d(leaps.steps, plain.steps, return_indices=True)
    error = float(np.abs(leaps.loss[at] / plain.loss[also] - 1).max())
    return (first + second) / 2, stepping / made * steps, error, int(leaps.evaluations[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", choices=[*SIMULATED, []], default=[])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    print(f"{options.steps} steps, {options.threads} threads; steps made: {options.share:.0%}")
    print("| setting | seed | leaps, s | steps, s | ratio | error of the loss | gradients |")
    print("|---|---|---|---|---|---|---|")
    for name in options.settings or SIMULATED:
        for seed in range(options.seeds):
            leaps, steps, error, gradients = measure(
                *SIMULATED[name], seed, options.steps, options.share, options.threads
            )
            print(
                f"| {name} | {seed} | {leaps:.2f} | {steps:.1f} | {leaps / steps:.4f} "
                f"| {error:.1e} | {gradients} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
