"""Gradient flow to long times: accuracy, work and time of our methods, diffrax and SciPy.

The paper's simulated problem (n = 100, d = 50, swish, half_sse), float64. Every solver is asked for
the loss at the same 13 times. Its tolerance is the loosest power of ten with which the loss is
within --accuracy of the reference, SciPy's DOP853 at rtol 1e-11 on a plain NumPy gradient; that of
ours is --accuracy itself, as a user would ask for it. Then all are timed in turn, in rounds.

    python bench/flows.py calibrate --out flows.json  # slow
    python bench/flows.py time --out flows.json            # interleaved
    python bench/flows.py table --out flows.json

Peers that are not installed are left out. --only picks one of the four settings.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
from pathlib import Path

import asymfast as af
import numpy as np

SETTINGS = ((1.0, None), (0.5, 0.7), (0.5, 0.5), (0.0, 0.4))
TOLERANCES = tuple(10.0**-power for power in range(7, 13))


class Problem:
    """One setting: data, network, times."""

    def __init__(self, gamma, alpha, m, t_end, threads):
        self.X, self.y = af.datasets.simulated(rng=0)
        self.net = af.Network.init(50, m, gamma, alpha, rng=1)
        self.times = [0.0, *np.geomspace(t_end / 1e4, t_end, 12).tolist()]
        self.threads = threads
        self.x = self.X / np.sqrt(50.0)
        self.c = np.sqrt(self.net.lam) * self.net.a


def ours(method):
    def solve(problem, rtol):
        run = af.gradient_flow(
            problem.net,
            problem.X,
            problem.y,
            t_end=problem.times[-1],
            method=method,
            rtol=rtol,
            record=af.Record(times=problem.times, ntg=False, eigmin=False),
            threads=problem.threads,
        )
        return run.loss, int(run.evaluations[-1])

    return solve


def scipy_solver(name):
    from scipy.integrate import solve_ivp

    def solve(problem, rtol):
        x, c, y = problem.x, problem.c, problem.y
        shape = problem.net.W.shape

        def residual(w):
            z = x @ w.reshape(shape).T
            s = 1 / (1 + np.exp(-z))
            return (z * s) @ c - y, z, s

        def velocity(_, w):
            r, z, s = residual(w)
            return -(((r[:, None] * c) * (s + z * s * (1 - s))).T @ x).ravel()

        solution = solve_ivp(
            velocity,
            (0.0, problem.times[-1]),
            problem.net.W.ravel(),
            name,
            problem.times,
            rtol=rtol,
            atol=rtol * 1e-2,
        )
        losses = [0.5 * np.sum(residual(w)[0] ** 2) for w in solution.y.T]
        return np.array(losses), solution.nfev

    return solve


def diffrax_solver(name):
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    solver = getattr(diffrax, name)()

    def residual(W, data):
        x, c, y = data
        z = x @ W.T
        s = jax.nn.sigmoid(z)
        return (z * s) @ c - y, z, s

    def velocity(_, W, data):
        r, z, s = residual(W, data)
        return -((r[:, None] * data[1]) * (s + z * s * (1 - s))).T @ data[0]

    def loss(_, W, data):
        return 0.5 * jnp.sum(residual(W, data)[0] ** 2)

    @functools.partial(jax.jit, static_argnames="t_end")
    def integrate(W, data, times, rtol, t_end):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            solver,
            0.0,
            t_end,
            None,
            W,
            data,
            saveat=diffrax.SaveAt(ts=times, fn=loss),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol * 1e-2),
            max_steps=None,
        )
        return solution.ys, solution.stats["num_steps"]

    def solve(problem, rtol):
        data = tuple(jnp.asarray(v) for v in (problem.x, problem.c, problem.y))
        losses, steps = integrate(
            jnp.asarray(problem.net.W), data, jnp.asarray(problem.times), rtol, problem.times[-1]
        )
        return np.asarray(losses), 6 * int(steps)  # both are first-same-as-last of 7 stages

    return solve


SOLVERS = {
    "asymfast tangent": lambda: ours("tangent"),
    "asymfast dopri5": lambda: ours("dopri5"),
    "asymfast rk4": lambda: ours("rk4"),
    "diffrax Tsit5": lambda: diffrax_solver("Tsit5"),
    "diffrax Dopri5": lambda: diffrax_solver("Dopri5"),
    "scipy DOP853": lambda: scipy_solver("DOP853"),
}


def available():
    solvers = {}
    for name, make in SOLVERS.items():
        try:
            solvers[name] = make()
        except ImportError as missing:
            print(f"left out: {name} ({missing})", file=sys.stderr)
    return solvers


def setting_name(gamma, alpha):
    return f"gamma = {gamma:g}" + ("" if alpha is None else f", alpha = {alpha:g}")


def error_of(losses, reference):
    return float(np.max(np.abs(losses / reference - 1)))


def calibrate(options, store, problems):
    solvers = available()
    for name, problem in problems.items():
        entry = store.setdefault(name, {})
        if "reference" not in entry:
            entry["reference"] = scipy_solver("DOP853")(problem, 1e-11)[0].tolist()
            save(options, store)
        reference = np.array(entry["reference"])
        for solver, solve in solvers.items():
            if solver in entry.get("solvers", {}):
                continue
            mine = solver.startswith("asymfast")
            for rtol in (options.accuracy,) if mine else TOLERANCES:
                losses, evaluations = solve(problem, rtol)
                error = error_of(losses, reference)
                print(
                    f"{name}: {solver} rtol {rtol:g}: error {error:.2g}, {evaluations}", flush=True
                )
                if error <= options.accuracy:
                    break
            entry.setdefault("solvers", {})[solver] = {
                "rtol": rtol,
                "error": error,
                "evaluations": evaluations,
            }
            save(options, store)
    return 0


def measure(options, store, problems):
    solvers = available()
    for name, problem in problems.items():
        entry = store[name]["solvers"]
        timed = [s for s in solvers if s in entry and s not in options.skip]
        reference = np.array(store[name]["reference"])
        for solver in timed:  # compiles, warms up, checks the answer
            losses, _ = solvers[solver](problem, entry[solver]["rtol"])
            if error_of(losses, reference) > 1.01 * max(entry[solver]["error"], options.accuracy):
                print(f"{name}: {solver} does not reproduce its accuracy", file=sys.stderr)
                return 1
        taken = {solver: [] for solver in timed}
        for _ in range(options.rounds):
            for solver in timed:
                start = time.perf_counter()
                solvers[solver](problem, entry[solver]["rtol"])
                taken[solver].append(time.perf_counter() - start)
        for solver, seconds in taken.items():
            entry[solver]["seconds"] = {
                "median": statistics.median(seconds),
                "min": min(seconds),
                "max": max(seconds),
                "rounds": len(seconds),
            }
        save(options, store)
    return 0


def table(_, store, problems):
    print("| setting | method | rtol | error | evaluations | time (s), median [min, max] |")
    print("|---|---|---|---|---|---|")
    for name in problems:
        for solver, row in store.get(name, {}).get("solvers", {}).items():
            seconds = row.get("seconds")
            timing = (
                f"{seconds['median']:.2f} [{seconds['min']:.2f}, {seconds['max']:.2f}]"
                if seconds
                else "-"
            )
            print(
                f"| {name} | {solver} | {row['rtol']:.0e} | {row['error']:.1e} "
                f"| {row['evaluations']} | {timing} |"
            )
    return 0


def save(options, store):
    options.out.write_text(json.dumps(store, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("calibrate", "time", "table"))
    parser.add_argument("--out", type=Path, required=True, help="JSON with everything measured")
    parser.add_argument("--m", type=int, default=2000)
    parser.add_argument("--t-end", type=float, default=50_000.0)
    parser.add_argument("--accuracy", type=float, default=1e-6)
    parser.add_argument("--only", type=int, choices=range(4), help="number of the setting")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="solvers not to time")
    options = parser.parse_args()
    chosen = SETTINGS if options.only is None else (SETTINGS[options.only],)
    problems = {
        setting_name(*setting): Problem(*setting, options.m, options.t_end, options.threads)
        for setting in chosen
    }
    store = json.loads(options.out.read_text()) if options.out.exists() else {}
    actions = {"calibrate": calibrate, "time": measure, "table": table}
    return actions[options.action](options, store, problems)


if __name__ == "__main__":
    sys.exit(main())
