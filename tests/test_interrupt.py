"""Ctrl-C ends a run with its records; other Python threads work while one runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import asymfast as af
import numpy as np
import pytest
from asymfast._storage import Checkpoint
from cases import assert_same_run, run_arrays, simulated
from trainers import TRAINERS, data

# Runs of this length would take days. Each returns soon after the signal.
CALLS = {
    "descent": lambda net, X, y, **how: af.gradient_descent(net, X, y, lr=1e-3, steps=10**9, **how),
    "sgd": lambda net, X, y, **how: af.sgd(net, X, y, lr=1e-3, batch_size=64, epochs=10**6, **how),
    "fixed flow": lambda net, X, y, **how: af.gradient_flow(net, X, y, t_end=1e8, dt=1e-2, **how),
    "tangent flow": lambda net, X, y, **how: af.gradient_flow(
        net, X, y, t_end=1e300, method="tangent", rtol=1e-9, **how
    ),
    "dopri5 flow": lambda net, X, y, **how: af.gradient_flow(
        net, X, y, t_end=1e300, method="dopri5", **how
    ),
    "ensemble": lambda net, X, y, **how: af.gradient_descent(
        af.Network.stack([net] * 3), X, y, lr=1e-3, steps=10**9, **how
    ),
    "reference": lambda net, X, y, **how: af.gradient_descent(
        net, X, y, lr=1e-3, steps=10**9, backend="reference", **how
    ),
}


@pytest.mark.skipif(not hasattr(signal, "ITIMER_PROF"), reason="needs a POSIX timer")
@pytest.mark.xdist_group("signals")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_interrupt_keeps_the_records(call):
    """In the middle of a call that would take days; bench/obey.py prints how soon it comes."""
    net = af.Network.init(50, 2000, 0.5, 0.7, rng=0)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 50)) / 50**0.5, rng.standard_normal(100)
    adaptive = call in (CALLS["tangent flow"], CALLS["dopri5 flow"])
    record = af.Record(every=5 if adaptive else 50, ntg=False, eigmin=False)
    # without it, so long a record would be refused
    stop = {} if adaptive else {"stop": af.Stop(wall_seconds=900)}

    def arm(_at):
        if not signal.getitimer(signal.ITIMER_PROF)[0]:
            signal.setitimer(signal.ITIMER_PROF, 0.1)

    before = signal.signal(signal.SIGPROF, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            call(net, X, y, record=record, callback=arm, threads=1, **stop)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    run = caught.value.run
    assert len(run.loss) == len(run.steps) >= 1
    assert run.steps[0] == 0


@pytest.mark.xdist_group("signals")
def test_other_threads_run_meanwhile():
    """The GIL is released: a Python thread works during one call into the core, and ends it."""
    case = simulated(n=100, d=50, m=1000)
    begun, ended = threading.Event(), threading.Event()

    def work():
        begun.wait()
        for _ in range(100):
            ended.wait(1e-3)
        if not ended.is_set():
            signal.raise_signal(signal.SIGINT)

    worker = threading.Thread(target=work)
    worker.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            af.gradient_descent(
                case.net,
                case.X,
                case.y,
                steps=10**9,
                record=af.Record(steps=[0], ntg=False, eigmin=False),
                stop=af.Stop(wall_seconds=60),
                callback=lambda _at: begun.set(),
                threads=1,
            )
    finally:
        ended.set()
        worker.join()
        signal.signal(signal.SIGINT, before)


# --- With a checkpoint ----------------------------------------------------------------------------

# Leaps are over before the first pulse; test_checkpoints.py kills them.
LENGTHS = {
    "descent": {"steps": 40_000, "record": af.Record(every=1000, weights=True)},
    "fixed flow": {"t_end": 6000.0, "record": af.Record(every=500, weights=True)},
    "rk4 flow": {"t_end": 1000.0, "rtol": 1e-12},
    "dopri5 flow": {"t_end": 1000.0, "rtol": 1e-11},
    "tangent flow": {
        "t_end": 1000.0,
        "rtol": 1e-8,
        "record": af.Record(times=np.linspace(1, 1000, 1000)),  # steps alone take no pulse
    },
    "sgd": {"epochs": 20_000, "record": af.Record(every=5000, weights=True)},
}


def at_pulse(count, act, seen):
    """A progress callable that acts once, at its so-manieth call after the first step."""

    def progress(fraction, loss):
        seen.append(fraction)
        if fraction > 0 and np.count_nonzero(seen) == count:
            act()

    return progress


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def fail():
    raise ZeroDivisionError


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize(
    ("act", "kind", "name"),
    [
        *((press_ctrl_c, "single", name) for name in LENGTHS),
        (fail, "ensemble", "sgd"),
        *(
            pytest.param(fail, "ensemble", name, marks=pytest.mark.slow)
            for name in LENGTHS
            if name != "sgd"
        ),
    ],
)
def test_interrupted_run_keeps_its_steps(name, kind, act, tmp_path):
    """The run resumes where it was interrupted, not at its start, and ends with the same bits."""
    train, given = TRAINERS[name], data(kind)
    settings = {**LENGTHS[name], "checkpoint_every": 1e6, "threads": 1}
    whole = train(*given, **settings)
    path, before = tmp_path / "run.ckpt", []
    with pytest.raises((KeyboardInterrupt, ZeroDivisionError)) as caught:
        train(*given, **settings, checkpoint=path, progress=at_pulse(1, act, before))
    assert np.count_nonzero(before) == 1, "the run ends as soon as its steps are complete"
    assert 0 < before[-1] < 1
    resumed, records = [], []
    run = train(
        *given,
        **settings,
        checkpoint=path,
        progress=at_pulse(0, fail, resumed),
        callback=lambda at: records.append(at.time),
    )
    assert min(filter(None, resumed)) >= before[-1]  # 0 while it prepares
    assert records[0] > max(caught.value.run.time, default=-1)
    assert_same_run(run_arrays(run), run_arrays(whole))


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize(
    ("folder", "count"),
    [
        (False, 1),
        (True, 3),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((False, 3), (True, 1))),
    ],
)
def test_interrupted_while_recording(count, folder, tmp_path):
    """Nearly all of this run's time goes into records; the one that was abandoned is made again."""
    case = simulated(n=200, d=5, m=400)

    def train(name, **settings):
        record = af.Record(
            every=1, ntg_change_2norm=True, folder=tmp_path / name if folder else None
        )
        return af.gradient_descent(
            case.net, case.X, case.y, lr=0.1, steps=150, record=record, threads=1, **settings
        )

    whole = train("whole")
    path, seen = tmp_path / "run.ckpt", []
    with pytest.raises(KeyboardInterrupt) as caught:
        train("part", checkpoint=path, progress=at_pulse(count, press_ctrl_c, seen))
    told = []
    run = train("part", checkpoint=path, callback=lambda at: told.append(at.step))
    assert told[0] == len(caught.value.run.steps)
    assert_same_run(run_arrays(run), run_arrays(whole))


def test_exception_of_a_callback_keeps_the_state(tmp_path):
    case = simulated(n=20, d=5, m=50)
    settings = {"lr": 0.1, "steps": 60, "record": af.Record(every=10)}
    whole = af.gradient_descent(case.net, case.X, case.y, **settings)
    path = tmp_path / "run.ckpt"

    def fail_at_30(at):
        if at.step == 30:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        af.gradient_descent(
            case.net, case.X, case.y, checkpoint=path, callback=fail_at_30, **settings
        )
    told = []
    run = af.gradient_descent(
        case.net,
        case.X,
        case.y,
        checkpoint=path,
        callback=lambda at: told.append(at.step),
        **settings,
    )
    assert told == [40, 50, 60]
    assert_same_run(run_arrays(run), run_arrays(whole))


def test_ctrl_c_while_the_checkpoint_is_written(tmp_path, monkeypatch):
    """The file is written all the same, and the run ends."""
    case = simulated(n=20, d=5, m=50)
    settings = {"lr": 0.1, "steps": 10**6, "record": af.Record(steps=[0]), "threads": 1}
    path, calls = tmp_path / "run.ckpt", []
    write = Checkpoint.write

    def interrupted(self, state, extra):
        calls.append(len(state))
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(self, state, extra)

    monkeypatch.setattr(Checkpoint, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        af.gradient_descent(
            case.net, case.X, case.y, checkpoint=path, checkpoint_every=0.01, **settings
        )
    assert len(calls) >= 3
    fractions = []
    with pytest.raises(ZeroDivisionError):
        af.gradient_descent(
            case.net,
            case.X,
            case.y,
            checkpoint=path,
            progress=at_pulse(1, fail, fractions),
            **settings,
        )
    assert fractions[0] > 0


def test_a_progress_that_fails_at_the_end_leaves_the_run():
    case = simulated()

    def fail(fraction, loss):
        if fraction == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        af.gradient_descent(case.net, case.X, case.y, lr=0.1, steps=5, progress=fail)
    assert caught.value.run.steps[-1] == 5


# --- Daemon threads -------------------------------------------------------------------------------

DAEMON = """
import threading, time
import asymfast as af

X, y = af.datasets.simulated(n=200, d=20, rng=0)
net = af.Network.init(d=20, m=500, gamma=0.5, alpha=0.7, rng=1)
started = threading.Event()


def work():
    started.set()
    while True:
        {call}


threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(0.1)
"""
WORK = {
    "descent": "af.gradient_descent(net, X, y, lr=1e-3, steps=10**9, record=af.Record(steps=[0]))",
    "records": "af.gradient_descent(net, X, y, lr=1e-3, steps=10**6, callback=lambda at: None, "
    "record=af.Record(every=1, ntg=False, eigmin=False))",
    "flow": "af.gradient_flow(net, X, y, t_end=1e9)",
    "sgd": "af.sgd(net, X, y, lr=1e-3, batch_size=10, epochs=10**6)",
    "ntg": "net.ntg(X)",
    "loss": "net.loss(X, y)",
    "eigenvalue": "af.min_eigenvalue(net.ntg(X))",
    "operator": "af.NTGOperator(net, X) @ y",
}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, id=name, marks=() if name in ("descent", "ntg") else pytest.mark.slow)
        for name, call in WORK.items()
    ],
)
def test_main_thread_ends_before_a_daemon_thread(call):
    done = subprocess.run(
        [sys.executable, "-c", DAEMON.format(call=call)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
