"""Ctrl-C ends a run with its records; other Python threads work while one runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import asymfast as af
import pytest
from cases import simulated

# The child prints when the first record is made, then when the signal has stopped it; both
# processes read the same monotonic clock. Runs of this length would take days.
CHILD = """
import time

import asymfast as af
import numpy as np

net = af.Network.init(50, 2000, 0.5, 0.7, rng=0)
rng = np.random.default_rng(0)
X, y = rng.standard_normal((100, 50)) / 50**0.5, rng.standard_normal(100)
record = af.Record(every=50, ntg=False, eigmin=False)
stop = af.Stop(wall_seconds=900)  # without it, so long a record would be refused
told = []


def tell(at):
    if not told:
        told.append(at)
        print("ready", flush=True)
    return True


try:
    {call}
except KeyboardInterrupt as stop:
    print(time.monotonic(), len(stop.run.loss), stop.run.steps[0], len(stop.run.steps), flush=True)
"""

CALLS = {
    "descent": "af.gradient_descent(net, X, y, lr=1e-3, steps=10**9, record=record, stop=stop)",
    "sgd": "af.sgd(net, X, y, lr=1e-3, batch_size=64, epochs=10**6, record=record, stop=stop)",
    "fixed flow": "af.gradient_flow(net, X, y, t_end=1e8, dt=1e-2, record=record, stop=stop)",
    "tangent flow": "af.gradient_flow(net, X, y, t_end=1e300, method='tangent', rtol=1e-9, "
    "record=af.Record(every=5, ntg=False, eigmin=False))",
    "dopri5 flow": "af.gradient_flow(net, X, y, t_end=1e300, method='dopri5', "
    "record=af.Record(every=50, ntg=False, eigmin=False))",
    "ensemble": "af.gradient_descent(af.Network.stack([net] * 3), X, y, lr=1e-3, steps=10**9, "
    "record=record, stop=stop)",
    "reference": "af.gradient_descent(net, X, y, lr=1e-3, steps=10**9, record=record, stop=stop, "
    "backend='reference')",
}


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_interrupt_keeps_the_records(call):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(call=call[:-1] + ", callback=tell)")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    stopped, losses, first, steps = output.split()
    print(f"stopped {1e3 * (float(stopped) - sent):.0f} ms after the signal (promised: 200 ms)")
    assert child.returncode == 0
    assert int(losses) == int(steps) >= 1
    assert int(first) == 0


def test_other_threads_run_meanwhile():
    """The GIL is released: a Python thread ticks during the one call into the core."""
    case = simulated(n=100, d=50, m=1000)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(1e-3):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        start = time.perf_counter()
        record = af.Record(steps=[0], ntg=False, eigmin=False)
        af.gradient_descent(case.net, case.X, case.y, steps=2000, record=record, threads=1)
        end = time.perf_counter()
    finally:
        done.set()
        ticker.join()
    # Python is entered at most every 100 ms for signals; ten times as many ticks need a free GIL
    assert sum(start < t < end for t in ticks) >= 100 * (end - start)
