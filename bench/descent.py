"""Workload W1: one gradient-descent step against PyTorch autograd and NumPy, interleaved.

n = 100 samples, d = 50 inputs, m = 2000 nodes, swish, float32, two threads. All must agree on the
loss after 10 steps before anything is timed. Prints medians, spreads and ratios. Peers that are not
installed are left out.
"""

from __future__ import annotations

import statistics
import sys
import time

import asymfast as af
import numpy as np

STEPS, ROUNDS, THREADS = 200, 15, 2


def problem():
    X, y = af.datasets.simulated(rng=0, dtype="float32")
    return af.Network.init(50, 2000, 0.5, 0.7, rng=1, dtype="float32"), X, y


def ours(net, X, y):
    bare = af.Record(steps=[0], ntg=False, eigmin=False)

    def run(steps):
        done = af.gradient_descent(net, X, y, lr=1.0, steps=steps, record=bare, threads=THREADS)
        return float(done.loss[-1])

    return run


def numpy_loop(net, X, y):
    x = X / np.sqrt(np.float32(net.d))
    c = (np.sqrt(net.lam) * net.a).astype(np.float32)

    def run(steps):
        W = net.W.copy()
        for step in range(steps + 1):
            z = x @ W.T
            s = 1 / (1 + np.exp(-z))
            r = (z * s) @ c - y
            if step < steps:
                W -= ((r[:, None] * c) * (s + z * s * (1 - s))).T @ x
        return 0.5 * float(r @ r)

    return run


def torch_autograd(net, X, y):
    import torch

    torch.set_num_threads(THREADS)
    x, target = torch.tensor(X) / net.d**0.5, torch.tensor(y)
    c = torch.tensor((np.sqrt(net.lam) * net.a).astype(np.float32))

    def run(steps):
        W = torch.tensor(net.W, requires_grad=True)
        for _ in range(steps):
            loss = 0.5 * ((torch.nn.functional.silu(x @ W.T) @ c - target) ** 2).sum()
            (gradient,) = torch.autograd.grad(loss, W)
            with torch.no_grad():
                W -= gradient
        with torch.no_grad():
            return float(0.5 * ((torch.nn.functional.silu(x @ W.T) @ c - target) ** 2).sum())

    return run


def main() -> int:
    data = problem()
    runs = {}
    for make in (ours, numpy_loop, torch_autograd):
        try:
            runs[make.__name__] = make(*data)
        except ImportError as missing:
            print(f"left out: {make.__name__} ({missing})")
    losses = {name: run(10) for name, run in runs.items()}
    if max(losses.values()) > min(losses.values()) * (1 + 1e-4):
        print(f"the losses after 10 steps differ: {losses}")
        return 1
    times = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run(STEPS)
            times[name].append((time.perf_counter() - start) / STEPS)
    best = statistics.median(times["ours"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(
            f"{name:15s} median {1e3 * median:.3f} ms a step "
            f"(min {1e3 * min(taken):.3f}, max {1e3 * max(taken):.3f}, {ROUNDS} rounds)  "
            f"ours / it = {best / median:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
