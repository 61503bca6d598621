"""How soon a run obeys Ctrl-C and `Stop(wall_seconds=)`, and what goes on in other threads.

    python bench/obey.py

For each way to train, the delay after the signal, and after the seconds given: median and longest
of five runs on one thread. The last line is how often a Python thread that sleeps 1 ms at a time
woke up in each second of a run, beside how often it does when nothing runs.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import asymfast as af

ALARM = 0.1
DAYS = 10**9
WAYS: dict[str, Callable[..., Any]] = {
    "descent": lambda *data, **how: af.gradient_descent(*data, lr=1e-3, steps=DAYS, **how),
    "sgd": lambda *data, **how: af.sgd(*data, lr=1e-3, batch_size=64, epochs=10**6, **how),
    "flow with steps": lambda *data, **how: af.gradient_flow(*data, t_end=1e8, dt=1e-2, **how),
    "rk4 flow": lambda *data, **how: af.gradient_flow(*data, t_end=1e9, method="rk4", **how),
    "dopri5 flow": lambda *data, **how: af.gradient_flow(*data, t_end=1e9, method="dopri5", **how),
}


def late(way: Callable[..., Any], data: Any, *, by_signal: bool) -> float:
    """Seconds from the alarm to the end of the call."""
    at: list[float] = []

    def begin(_record: Any) -> None:
        if not at:
            at.append(time.perf_counter() + ALARM)
            if by_signal:
                signal.setitimer(signal.ITIMER_REAL, ALARM)

    stop = af.Stop(wall_seconds=3600 if by_signal else ALARM)
    at += [] if by_signal else [time.perf_counter() + ALARM]
    record = af.Record(times=[0.0], ntg=False, eigmin=False)
    if way in (WAYS["descent"], WAYS["sgd"], WAYS["flow with steps"]):
        record = af.Record(steps=[0], ntg=False, eigmin=False)
    with contextlib.suppress(KeyboardInterrupt):
        way(*data, record=record, callback=begin, stop=stop, threads=1)
    return time.perf_counter() - at[0]


def ticks(work: Callable[[], object]) -> float:
    """How often a second another thread wakes up during the work."""
    count, done = [0], threading.Event()

    def tick() -> None:
        while not done.wait(1e-3):
            count[0] += 1

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    done.set()
    ticker.join()
    return count[0] / seconds


def main() -> None:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    X, y = af.datasets.simulated(n=100, d=50, rng=0)
    data = af.Network.init(50, 2000, gamma=0.5, alpha=0.7, rng=1), X, y
    for name, way in WAYS.items():
        for what, by_signal in (("Ctrl-C", True), ("wall_seconds", False)):
            times = [1e3 * late(way, data, by_signal=by_signal) for _ in range(5)]
            print(
                f"{name}, {what}: {statistics.median(times):.0f} ms late, at most {max(times):.0f}"
            )
    record = af.Record(steps=[0], ntg=False, eigmin=False)
    during = ticks(
        lambda: af.gradient_descent(*data, lr=1e-3, steps=2000, record=record, threads=1)
    )
    print(
        f"another thread: {during:.0f} wakings a second, {ticks(lambda: time.sleep(1)):.0f} alone"
    )


if __name__ == "__main__":
    main()
