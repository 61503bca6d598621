"""Threads, forked and spawned processes, signals, and other libraries' OpenMP in one process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from cases import assert_same_bits, assert_same_run, run_arrays, simulated
from trainers import TRAINERS, data

POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
# In fresh processes: they import nothing that is not needed.
PROBLEM = """
import asymfast as af
import numpy as np
X, y = af.datasets.simulated(n=100, d=50, rng=0)
net = af.Network.init(d=50, m=1000, gamma=0.5, alpha=0.7, rng=1)
"""
# Work enough that two threads gather; short enough for any test.
SHORT = {
    "descent": {"steps": 60},
    "leaps": {"steps": 600},
    "fixed flow": {"t_end": 20.0},
    "rk4 flow": {"t_end": 10.0, "record": af.Record(times=[0.0, 10.0])},
    "dopri5 flow": {"t_end": 10.0, "record": af.Record(times=[0.0, 10.0])},
    "tangent flow": {"t_end": 10.0, "record": af.Record(times=[0.0, 10.0])},
    "sgd": {"epochs": 20},
}


def train(name, kind="ensemble", threads=2):
    """The arrays of a short run; importable by other processes."""
    case = simulated(n=60, d=20, m=301)
    net, X, y = (case.net, case.X, case.y) if kind == "large" else data(kind)
    return run_arrays(TRAINERS[name](net, X, y, threads=threads, **SHORT[name]))


def run_python(code, **environment):
    """Its standard output; the code starts in the folder of the tests."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- threads -------------------------------------------------------------------------------------


def test_threads_with_small_stacks():
    """Work space of products is not on the stack: 128 KiB are enough, as OMP_STACKSIZE may say."""
    run_python("""
        import threading
        import asymfast as af
        X, y = af.datasets.simulated(n=60, d=20, rng=0)
        net = af.Network.init(d=20, m=2000, gamma=1.0, rng=0)
        threading.stack_size(128 * 1024)
        run = lambda: af.gradient_descent(net, X, y, lr=0.5, steps=40, method="leap", threads=1)
        threads = [threading.Thread(target=run) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """)


def test_threads_train_side_by_side():
    """Different trainers at once, on one ensemble and its data, which they share."""
    alone = {name: train(name) for name in TRAINERS}
    with ThreadPoolExecutor(len(TRAINERS)) as pool:
        jobs = [(name, pool.submit(train, name)) for name in list(TRAINERS) * 2]
        for name, job in jobs:
            assert_same_run(job.result(), alone[name])


def test_a_thread_that_fails_leaves_the_others_alone():
    alone = train("descent")
    net, X, y = data()

    def diverge():
        with pytest.raises(af.DivergenceError):
            af.gradient_descent(net, X, y, lr=1e9, steps=100)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(job) for job in (diverge, lambda: train("descent"), diverge)]
        assert_same_run(jobs[1].result(), alone)
        for job in jobs:
            job.result()


def test_operator_of_each_thread():
    case = simulated(n=60, d=20, m=301)
    exact = af.NTGOperator(case.net, case.X) @ case.y
    with ThreadPoolExecutor(4) as pool:
        for product in pool.map(lambda _: af.NTGOperator(case.net, case.X) @ case.y, range(8)):
            assert_same_bits(product, exact)


def test_callbacks_of_two_runs_do_not_mix():
    """Each is called on the thread that trains, with that run's records."""
    net, X, y = data()
    barrier = threading.Barrier(2)

    def run(steps):
        mine, seen = threading.get_ident(), []

        def callback(now):
            if not seen:
                barrier.wait(timeout=60)
            assert threading.get_ident() == mine
            seen.append(now.step)

        af.gradient_descent(
            net, X, y, steps=steps, record=af.Record(every=steps), callback=callback
        )
        return seen

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(run, 30), pool.submit(run, 40)
        assert one.result() == [0, 30]
        assert other.result() == [0, 40]


# ---- processes -----------------------------------------------------------------------------------


@POSIX
def test_fork_after_use():
    """A child of a parent that has a team of threads: right results, on one thread, no hang."""
    code = """
        import os, signal
        calls = {
            "ntg": lambda: net.ntg(X, threads=2),
            "forward": lambda: net(X, threads=2),
            "descent": lambda: af.gradient_descent(
                net, X, y, steps=30, threads=2).network.W,
            "eigenvalue": lambda: af.min_eigenvalue(net.ntg(X), threads=2),
        }
        expected = {name: call() for name, call in calls.items()}
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            ok = all(np.array_equal(call(), expected[name]) for name, call in calls.items())
            os._exit(0 if ok and af.build_config()["threads"] == 1 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(all(np.array_equal(call(), expected[name]) for name, call in calls.items()))
    """
    assert run_python(PROBLEM + textwrap.dedent(code), OMP_NUM_THREADS="2").split() == ["0", "True"]


@POSIX
def test_fork_while_another_thread_trains():
    """The forked child must not wait for that thread, nor for the team that it had."""
    code = """
        import os, signal, threading
        exact = net.ntg(X)
        started = threading.Event()
        def train():
            af.gradient_descent(net, X, y, lr=1e-3, steps=3000, threads=2,
                                callback=lambda now: started.set())
        worker = threading.Thread(target=train)
        worker.start()
        started.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os._exit(0 if np.array_equal(net.ntg(X, threads=2), exact) else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        worker.join()
    """
    # Python 3.12 and newer warn of forks with threads; it is what this is about.
    quiet = "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n"
    code = quiet + PROBLEM + textwrap.dedent(code)
    assert run_python(code, OMP_NUM_THREADS="2").split() == ["0"]


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_process_pools(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    alone = train("descent")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for job in [pool.submit(train, "descent") for _ in range(2)]:
            assert_same_run(job.result(timeout=120), alone)


def test_loky():
    joblib = pytest.importorskip("joblib")
    names = ["descent", "sgd"]
    runs = joblib.Parallel(2)(joblib.delayed(train)(name) for name in names)
    for name, run in zip(names, runs, strict=True):
        assert_same_run(run, train(name))


def test_dask():
    pytest.importorskip("dask")
    dask = __import__("dask")
    names = ["descent", "tangent flow"]
    for scheduler in ("threads", "synchronous"):
        runs = dask.compute(*(dask.delayed(train)(n) for n in names), scheduler=scheduler)
        for name, run in zip(names, runs, strict=True):
            assert_same_run(run, train(name))


def test_objects_travel():
    """Networks and runs are pickled by their arrays, as pools and dask need it."""
    import pickle

    net, X, y = data()
    run = af.gradient_descent(net, X, y, steps=5)
    back = pickle.loads(pickle.dumps(run))
    assert_same_run(run_arrays(back), run_arrays(run))
    assert_same_bits(pickle.loads(pickle.dumps(net))(X), net(X))


# ---- other libraries -----------------------------------------------------------------------------

OTHERS = {
    "torch": "import torch; A = torch.ones(300, 300); (A @ A).sum()",
    "sklearn": """
        import numpy as np
        from sklearn.cluster import KMeans
        KMeans(2, n_init=1, random_state=0).fit(np.arange(2000.0).reshape(-1, 2))
    """,
    "numpy": "import numpy as np; np.ones((300, 300)) @ np.ones((300, 300))",
}
OURS = f"""
import hashlib
{PROBLEM}
def once():
    run = af.gradient_descent(net, X, y, steps=20, threads=2)
    return hashlib.sha256(net.ntg(X, threads=2).tobytes() + run.network.W.tobytes()).hexdigest()
"""


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("ours", "torch"),
        *((first, "numpy") for first in ("ours", "theirs")),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("theirs", "torch"), ("ours", "sklearn"), ("theirs", "sklearn"))
        ),
    ],
)
def test_beside_other_libraries(other, first):
    """With their OpenMP or BLAS loaded before or after ours: the same bits, no hang."""
    pytest.importorskip(other)
    theirs = textwrap.dedent(OTHERS[other])
    order = [OURS + "once()", theirs] if first == "ours" else [theirs, OURS]
    here = {}
    exec(OURS, here)
    code = "\n".join([*order, "print(once())", theirs, "print(once())"])
    quiet = "import warnings; warnings.simplefilter('ignore')\n"  # of theirs, on import
    assert run_python(quiet + code).split() == [here["once"]()] * 2


# ---- how many threads ----------------------------------------------------------------------------

# In a fresh process, while the given call runs: the largest number of threads beyond those before.
COUNT = f"""
import os
{PROBLEM}
def tasks():
    return len(os.listdir("/proc/self/task"))
def train(threads):
    most = []
    af.gradient_descent(net, X, y, lr=1e-3, steps=20, threads=threads,
        record=af.Record(every=5, ntg=False, eigmin=False),
        callback=lambda now: most.append(tasks()))
    return max(most)
before = tasks()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_argument_is_obeyed(threads):
    printed = run_python(f"{COUNT}print(train({threads}) - before)", OMP_NUM_THREADS="2")
    assert int(printed) == threads - 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_environment_and_threadpoolctl_are_obeyed():
    pytest.importorskip("threadpoolctl")
    assert int(run_python(f"{COUNT}print(train(None) - before)", OMP_NUM_THREADS="3")) == 2
    limited = """
from threadpoolctl import threadpool_limits
with threadpool_limits(1):
    assert af.build_config()["threads"] == 1
    print(train(None) - before)
assert af.build_config()["threads"] == 3
"""
    assert int(run_python(COUNT + limited, OMP_NUM_THREADS="3")) == 0


# ---- signals -------------------------------------------------------------------------------------


@POSIX
def test_a_handler_of_ones_own_runs_during_a_call():
    """Signals are looked at every 50 ms; a handler that returns lets the run go on, undisturbed."""
    case = simulated(n=100, d=50, m=1000)
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(True))
    record = af.Record(steps=[0], ntg=False, eigmin=False)
    settings = {"lr": 1e-3, "steps": 2000, "record": record}
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        run = af.gradient_descent(case.net, case.X, case.y, **settings)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    again = af.gradient_descent(case.net, case.X, case.y, **settings)
    assert_same_run(run_arrays(run), run_arrays(again))


@POSIX
def test_a_handler_that_raises_ends_the_run():
    case = simulated(n=100, d=50, m=1000)

    class EnoughError(Exception):
        pass

    def stop(*_):
        raise EnoughError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(EnoughError) as caught:
            af.gradient_descent(case.net, case.X, case.y, lr=1e-3, steps=10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught.value.run.steps[0] == 0
    assert np.all(np.isfinite(caught.value.run.loss))


@POSIX
@pytest.mark.parametrize(
    "call",
    [
        "net.ntg(X)",
        *(
            pytest.param(call, marks=pytest.mark.slow)
            for call in ("af.min_eigenvalue(K)", "af.NTGOperator(net, X) @ X")
        ),
    ],
)
def test_kernels_can_be_interrupted(call):
    """Ctrl-C during one long kernel; each of these takes many seconds."""
    code = f"""
        import signal, time
        import numpy as np
        import asymfast as af

        rng = np.random.default_rng(0)
        X = rng.standard_normal((6000, 64))
        net = af.Network.init(64, 20000, 0.5, 0.7, rng=0)
        K = np.zeros((6000, 6000))
        np.fill_diagonal(K, np.arange(6000.0) - 7)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        start = time.monotonic()
        try:
            {call}
        except KeyboardInterrupt:
            print("stopped", time.monotonic() - start)
        else:
            print("finished", time.monotonic() - start)
    """
    how, seconds = run_python(code).split()
    print(how, seconds)
    assert how == "stopped"
