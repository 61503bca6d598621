"""Mixed calls for half an hour, in one process: memory stays flat and no result drifts.

    python tests/soak.py --seconds 1800

Every round makes the same calls of every kind: networks, matrices, trainers with checkpoints and
record folders, files, interrupts, divergence, refusals, threads. The first round's results are
kept; every later one must have the same bits. After a few rounds of warming up, memory may not grow
any more: file descriptors, threads and resident memory are those of the beginning. Exit code 1
otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import asymfast as af
import numpy as np
from trainers import TRAINERS, data

LENGTHS = {
    "descent": {"steps": 200},
    "fixed flow": {"t_end": 40.0},
    "rk4 flow": {"t_end": 20.0, "record": af.Record(times=[0.0, 5.0, 20.0])},
    "dopri5 flow": {"t_end": 20.0, "record": af.Record(times=[0.0, 5.0, 20.0])},
    "tangent flow": {"t_end": 20.0, "record": af.Record(times=[0.0, 5.0, 20.0])},
    "sgd": {"epochs": 40},
}
WARM_UP = 5  # rounds
GROWTH = 8 << 20  # bytes that the allocator may still move after that


def digest(*arrays):
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()


def of_run(run):
    return digest(run.loss, run.weight_change, run.network.W, run.network.a)


def networks(folder):
    for kind in ("single", "ensemble"):
        for dtype in ("float64", "float32"):
            net, X, y = data(kind, dtype)
            yield digest(net(X), net.node_gradients(X, y), net.ntg(X), net.ntg(X, X[:3].copy()))
            yield digest(net.features(X), net.prune(9)(X), net.loss(X, y))


def matrices(folder):
    net, X, y = data()
    K = net.ntg(X)
    yield digest(np.float64(af.min_eigenvalue(K)), af.NTGOperator(net, X) @ y)
    yield digest(af.mean_ntg(X, "relu"), af.linearised_flow(net, X, y, [0.0, 1.0, np.inf]).f)


def trainers(folder):
    for name, train in TRAINERS.items():
        for kind in ("single", "ensemble"):
            for threads in (1, 2):
                yield of_run(train(*data(kind), threads=threads, **LENGTHS[name]))


def kept_runs(folder):
    for name, train in TRAINERS.items():
        path = Path(folder, "run.ckpt")
        records = iter(range(2))
        settings = {"checkpoint": path, **LENGTHS[name]}
        train(*data(), callback=lambda now, left=records: next(left) < 1, **settings)
        yield of_run(train(*data(), **settings))
        path.unlink()
    record = af.Record(every=10, folder=Path(folder, "record"))
    run = af.gradient_descent(*data(), steps=100, record=record)
    run.save(Path(folder, "run.npz"))
    yield of_run(run)
    yield of_run(af.Run.load(Path(folder, "run.npz")))
    del run
    for file in record_files(folder):
        file.unlink()
    Path(folder, "record").rmdir()


def record_files(folder):
    return list(Path(folder, "record").iterdir())


def interrupts(folder):
    def interrupt(now):
        raise KeyboardInterrupt

    try:
        af.gradient_descent(*data(), steps=100, callback=interrupt)
    except KeyboardInterrupt as stop:
        yield of_run(stop.run)
    try:
        af.gradient_descent(*data(), steps=100, lr=1e9)
    except af.DivergenceError as error:
        yield of_run(error.run)
    for wrong in ({"steps": 0}, {"steps": 1, "lr": "x"}, {"steps": 1, "loss": "abacus"}):
        try:
            af.gradient_descent(*data(), **wrong)
        except (ValueError, TypeError) as error:
            yield str(error)


def side_by_side(folder):
    found = {}

    def train(name):
        found[name] = of_run(TRAINERS["descent"](*data(), threads=2, steps=200))

    workers = [threading.Thread(target=train, args=(i,)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    yield from (found[i] for i in range(3))


PARTS = (networks, matrices, trainers, kept_runs, interrupts, side_by_side)


def resources():
    """Resident bytes, open files, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800)
    end = time.monotonic() + parser.parse_args().seconds
    began = time.monotonic()
    first, calls, history = None, Counter(), []
    while time.monotonic() < end or len(history) < WARM_UP + 2:
        results = []
        with tempfile.TemporaryDirectory() as folder:
            for part in PARTS:
                some = list(part(folder))
                calls[part.__name__] += len(some)
                results += some
        first = first or results
        for i, (one, other) in enumerate(zip(first, results, strict=True)):
            if one != other:
                sys.exit(f"round {len(history)}: result {i} has drifted")
        history.append(resources())
        if len(history) % 50 == 0:
            print(f"round {len(history)}: {history[-1][0] >> 20} MB", flush=True)
    warm, last = history[WARM_UP], history[-1]
    print(
        f"{(time.monotonic() - began) / 60:.1f} minutes, {len(history)} rounds, "
        f"{sum(calls.values())} results compared, none drifted"
    )
    print("resident MB, files, threads:", *((h[0] >> 20, *h[1:]) for h in (warm, last)))
    if last[0] > warm[0] + GROWTH or last[1] > warm[1] or last[2] > warm[2] + 3:
        sys.exit("memory, files or threads have grown")


if __name__ == "__main__":
    main()
