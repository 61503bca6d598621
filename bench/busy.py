"""What a busy neighbour costs: a run on all cores, alone and beside processes that take a core.

    python bench/busy.py [--neighbours 1] [--nice 5]

The run gives way (nice), as a computation in the background does. A team whose threads wait by
looking for one another all the time keeps the cores from its own late threads; the run then takes
some fifty times as long. Each line is the median of five runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time

import asymfast as af

SIZES = {"n": 100, "d": 50, "m": 500, "steps": 2000}


def spin() -> None:
    """Take a core until the process is ended."""
    while True:
        pass


def seconds(threads: int) -> float:
    """Time of one run."""
    X, y = af.datasets.simulated(n=SIZES["n"], d=SIZES["d"], rng=0)
    net = af.Network.init(SIZES["d"], SIZES["m"], gamma=0.5, alpha=0.7, rng=1)
    start = time.perf_counter()
    record = af.Record(ntg=False, eigmin=False, every=SIZES["steps"])
    af.gradient_descent(net, X, y, lr=0.1, steps=SIZES["steps"], threads=threads, record=record)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbours", type=int, default=1)
    parser.add_argument("--nice", type=int, default=5)
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    neighbours = [
        multiprocessing.Process(target=spin, daemon=True) for _ in range(asked.neighbours)
    ]
    taken: dict[tuple[int, str], list[float]] = {}
    for neighbour in neighbours:
        neighbour.start()
    os.nice(asked.nice)
    for threads in (cores, 1):
        seconds(threads)
        taken[threads, "beside"] = [seconds(threads) for _ in range(5)]
    for neighbour in neighbours:
        neighbour.terminate()
        neighbour.join()
    for threads in (cores, 1):
        taken[threads, "alone"] = [seconds(threads) for _ in range(5)]
    for (threads, how), times in sorted(taken.items()):
        print(f"{threads} threads, {how} ({asked.neighbours}): {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()
