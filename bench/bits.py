"""Hashes of the results of a set of runs, as JSON: two builds of the same bits print the same.

python bench/bits.py > new.json; the same with the other build on PYTHONPATH; then diff.
"""

from __future__ import annotations

import hashlib
import itertools
import json

import asymfast as af
import numpy as np


def digest(*arrays: np.ndarray) -> str:
    text = hashlib.blake2b(digest_size=16)
    for array in arrays:
        text.update(np.ascontiguousarray(array).tobytes())
    return text.hexdigest()


def problem(activation: str, outputs: int, dtype: str):
    """A network of 130 nodes, so that the last block of nodes is not full, and its data."""
    X, y = af.datasets.simulated(n=37, d=6, rng=0)
    net = af.Network.init(
        d=6, m=130, gamma=0.5, alpha=0.7, outputs=outputs, rng=1, activation=activation
    )
    if outputs > 1:
        y = np.random.default_rng(2).normal(size=(37, outputs))
    W, a = net.W.astype(dtype), net.a.astype(dtype)
    return af.Network(W, a, net.lam, activation=activation), X.astype(dtype), y.astype(dtype)


def hashes() -> dict[str, str]:
    found = {}
    kinds = itertools.product(("swish", "relu", "tanh"), (1, 3), ("float64", "float32"))
    for activation, outputs, dtype in kinds:
        net, X, y = problem(activation, outputs, dtype)
        name = f"{activation} {outputs} {dtype}"
        record = af.Record(every=10)
        run = af.gradient_descent(net, X, y, lr=0.5, steps=50, record=record)
        found[f"descent {name}"] = digest(run.network.W, run.loss, run.ntg_change, run.ntg_eigmin)
        run = af.sgd(net, X, y, lr=0.3, batch_size=8, epochs=6, rng=3, train_output=True)
        found[f"sgd {name}"] = digest(run.network.W, run.network.a, run.loss)
        run = af.gradient_flow(net, X, y, t_end=5.0, dt=0.25, record=record)
        found[f"rk4 {name}"] = digest(run.network.W, run.loss)
        found[f"ntg {name}"] = digest(net.ntg(X))
    return found


if __name__ == "__main__":
    print(json.dumps(hashes(), indent=2))
