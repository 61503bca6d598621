"""What the ranks of a test check; run by mpirun, with the name of a check."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import warnings
from dataclasses import replace

import asymfast as af
import numpy as np
import pytest
from asymfast import mpi
from mpi4py import MPI

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()


def problem(loss="half_sse", *, dtype="float64", m=41, activation="swish", alpha=0.7, gamma=0.5):
    k = 3 if loss == "cross_entropy" else 1
    X, y = af.datasets.simulated(18, 4, rng=0, dtype=dtype)
    X_test, y_test = af.datasets.simulated(7, 4, rng=1, dtype=dtype)
    if k > 1:
        y, y_test = (np.arange(len(of)) % 3 for of in (y, y_test))
    net = af.Network.init(4, m, gamma, alpha, activation=activation, outputs=k, rng=2, dtype=dtype)
    return net, X, y, {"X_test": X_test, "y_test": y_test, "loss": loss}


def assert_close(one, other, tolerance):
    """Columns of records, to a tolerance relative to the largest entry of each."""
    for name, (_, expected) in other.columns().items():
        got = one.columns()[name][1]
        if name in ("steps", "evaluations"):
            np.testing.assert_array_equal(got, expected)
        else:
            scale = np.abs(expected).max() + 1e-300
            np.testing.assert_array_less(np.abs(got - expected), tolerance * scale + 1e-300, name)
    scale = np.abs(other.network.W).max()
    assert np.abs(one.network.W - other.network.W).max() <= tolerance * scale


def assert_same_everywhere(run):
    """All that is not of single nodes has the same bits on all ranks."""
    mine = {
        name: values.tobytes()
        for name, (axes, values) in run.columns().items()
        if "node" not in axes
    }
    assert all(theirs == mine for theirs in comm.allgather(mine))


def same_results():
    """As in one process: to the rounding of the sums over nodes, which a run passes on.

    200 steps of descent at a stable rate do not amplify errors: m eps a sum, 200 sums, and a factor
    for the activations.
    """
    record = af.Record(
        every=20,
        weights=True,
        eigmax=True,
        ntg_change_2norm=True,
        effective_rank=True,
        alignment=True,
        ntg_matrix=True,
    )
    for loss in ("half_sse", "mse", "cross_entropy"):
        for dtype, eps in (("float64", 2.2e-16), ("float32", 1.2e-7)):
            for backend in ("cpu", "reference"):
                net, X, y, more = problem(loss, dtype=dtype)
                more |= {"record": record, "backend": backend, "threads": 1}
                expected = af.gradient_descent(net, X, y, lr=0.5, steps=200, **more)
                run = af.gradient_descent(net, X, y, lr=0.5, steps=200, comm=comm, **more)
                assert run.network.m == (rank + 1) * 41 // size - rank * 41 // size
                assert (run.config["ranks"], run.config["total_nodes"]) == (size, 41)
                assert_same_everywhere(run)
                # The NTG's smallest eigenvalues are differences of numbers as large as the largest.
                whole = mpi.gather(run, comm)
                tolerance = 41 * 200 * 8 * eps
                names = {"ntg_eigmin": expected.ntg_eigmax.max()}
                moved = np.abs(whole.ntg_eigmin - expected.ntg_eigmin).max()
                assert moved <= tolerance * names["ntg_eigmin"]
                for change in ("ntg_change", "ntg_change_2norm"):
                    difference = np.abs(getattr(whole, change) - getattr(expected, change)).max()
                    assert difference <= tolerance * 18 * names["ntg_eigmin"]
                skipped = {"ntg_eigmin": None, "ntg_change": None, "ntg_change_2norm": None}
                assert_close(replace(whole, **skipped), replace(expected, **skipped), tolerance)


def flows():
    """All methods: they decide by what is summed, so that all ranks step alike."""
    for settings, activation, tolerance in (
        ({"dt": 0.25}, "swish", 1e-12),
        ({"method": "rk4", "rtol": 1e-4}, "tanh", 1e-5),
        ({"method": "dopri5", "rtol": 1e-6}, "swish", 1e-7),
        ({"method": "tangent", "rtol": 1e-6}, "swish", 1e-7),
        ({"method": "auto", "rtol": 1e-2}, "relu", 1e-3),
    ):
        net, X, y, more = problem(activation=activation)
        record = af.Record(times=np.linspace(0, 5, 6))
        expected = af.gradient_flow(net, X, y, t_end=5.0, record=record, **settings, **more)
        run = af.gradient_flow(net, X, y, t_end=5.0, record=record, comm=comm, **settings, **more)
        assert_same_everywhere(run)
        assert run.config.get("method_taken") == expected.config.get("method_taken")
        # Steps that are chosen anew after a rounding: the tolerance of the flow itself.
        assert np.abs(run.loss - expected.loss).max() <= tolerance * 50 * expected.loss[0]
        whole = mpi.gather(run, comm)
        assert np.abs(whole.weight_change - expected.weight_change).max() <= 50 * tolerance


def networks():
    """Outputs and losses; parts; nodes whose lam is 0."""
    for loss in ("half_sse", "mse", "cross_entropy"):
        net, X, y, _ = problem(loss, gamma=0.0, alpha=0.003)
        assert (net.lam[20:] == 0).all()
        f = net(X, comm=comm)
        assert f.shape == net(X).shape
        assert np.abs(f - net(X)).max() <= 41 * 2.2e-16 * np.abs(net(X)).max() * 8
        one, other = net.loss(X, y, loss, comm=comm), net.loss(X, y, loss)
        assert abs(one - other) <= 1e-13 * other
        part = mpi.split(net, comm)
        np.testing.assert_array_equal(part(X, comm=comm), f)
        assert part.with_weights(part.W).first == part.first
        run = af.gradient_descent(part, X, y, lr=0.1, steps=3, loss=loss, comm=comm)
        whole = mpi.gather(run, comm)
        np.testing.assert_array_equal(whole.initial.W, net.W)
        np.testing.assert_array_equal(whole.initial.lam, net.lam)


def large():
    """A network that no rank has; whatever the number of ranks, the same one."""
    part = mpi.init(2, 150_000, 0.5, 0.9, seed=3, comm=comm, dtype="float32")
    W, lam = (np.concatenate(comm.allgather(of)) for of in (part.W, part.lam))
    alone = mpi.init(2, 150_000, 0.5, 0.9, seed=3, comm=MPI.COMM_SELF, dtype="float32")
    np.testing.assert_array_equal(W, alone.W)
    assert np.abs(lam / af.node_scaling(150_000, 0.5, 0.9) - 1).max() < 1e-13
    second = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(1,)))
    np.testing.assert_array_equal(W[65536], second.standard_normal(2).astype("float32"))
    X, y = af.datasets.simulated(5, 2, rng=0, dtype="float32")
    run = af.gradient_descent(part, X, y, steps=2, comm=comm)
    assert run.loss[-1] < run.loss[0]


def raised(kind, message, call):
    with pytest.raises(kind, match=message and re.escape(message)) as error:
        call()
    return error.value


ACTS = ("swish", "relu")


def errors():
    net, X, y, _ = problem()

    def descend(net=net, X=X, y=y, **more):
        return lambda: af.gradient_descent(net, X, y, **{"steps": 3, "comm": comm, **more})

    ensemble = af.Network.init(4, 41, [0.5, 1.0], 0.7)
    for more in (
        {"net": ensemble},
        {"checkpoint": "x"},
        {"record": af.Record(folder="x")},
        {"record": af.Record(top_nodes=2)},
        {"stop": af.Stop(wall_seconds=1)},
    ):
        raised(ValueError, "gradient_descent: comm cannot be combined with ", descend(**more))
    raised(TypeError, "comm must be a communicator of mpi4py", descend(comm=3))
    raised(
        TypeError,
        "unexpected keyword argument 'comm'",
        lambda: af.sgd(net, X, y, lr=1, batch_size=2, epochs=1, comm=comm),
    )
    small = af.Network.init(4, size - 1, 1.0)
    raised(ValueError, f"m must be at least the number of ranks, {size}", descend(small))
    raised(ValueError, "all ranks must agree, but y differs", descend(y=y + rank))
    raised(ValueError, "but lr differs", descend(lr=1 / (1 + rank)))
    raised(ValueError, "but record, schedule differ", descend(record=af.Record(every=1 + rank)))
    raised(ValueError, "but activation differs", descend(problem(activation=ACTS[rank % 2])[0]))
    other = af.Network.init(4, 41, 0.5, 0.7, rng=rank)
    for call in (descend(other), lambda: other(X, comm=comm)):
        raised(ValueError, "net must be the same on all ranks", call)
    ragged = [[1.0], [1.0, 2.0]]
    raised(ValueError, "Network: X must have rows of one", lambda: net(ragged, comm=comm))
    raised(ValueError, "but X differs", lambda: net(X * (1 + rank), comm=comm))
    raised(
        ValueError,
        "mpi.init: with comm all ranks must agree, but m, seed differ",
        lambda: mpi.init(4, 100 + rank, 1.0, seed=rank, comm=comm),
    )
    raised(ValueError, "but stop differs", descend(stop=af.Stop(loss=1.0 + rank)))
    part = mpi.split(net, MPI.COMM_SELF)
    raised(ValueError, "the ranks' parts must make up one network", descend(part))
    raised(
        TypeError,
        "run must be that of a part",
        lambda: mpi.gather(af.gradient_descent(net, X, y, steps=3), comm),
    )
    left = raised(af.DivergenceError, "left all bounds", descend(steps=200, lr=1e3))
    alone = raised(
        af.DivergenceError, None, lambda: af.gradient_descent(net, X, y, steps=200, lr=1e3)
    )
    assert left.step == alone.step
    assert abs(left.bound / alone.bound - 1) < 1e-6
    assert_same_everywhere(left.run)


def callbacks():
    """On one rank: its answer ends the run on all."""
    net, X, y, _ = problem()
    seen = []

    def callback(now):
        seen.append(now.step)
        return now.step < 6

    record = af.Record(every=2)
    more = {"callback": callback, "progress": lambda *_: None} if rank == size - 1 else {}
    run = af.gradient_descent(net, X, y, steps=50, record=record, comm=comm, **more)
    assert list(run.steps) == [0, 2, 4, 6]
    assert (run.stopped, run.stopped_by) == (True, "callback")
    assert seen == ([0, 2, 4, 6] if rank == size - 1 else [])
    run = af.gradient_descent(
        net, X, y, steps=5000, record=af.Record(every=1), comm=comm, stop=af.Stop(loss=run.loss[1])
    )
    assert run.stopped_by == "loss"
    assert_same_everywhere(run)


def failing_callback():
    """An exception on one rank is an error on all: they would not meet in what follows."""
    net, X, y, _ = problem()

    def callback(now):
        if now.step == 6:
            raise ZeroDivisionError

    record = af.Record(every=2)
    more = {"callback": callback} if rank == size - 1 else {}
    stop = raised(
        ZeroDivisionError if more else RuntimeError,
        None if more else "gradient_descent: the callback of another rank raised an error",
        lambda: af.gradient_descent(net, X, y, steps=50, record=record, comm=comm, **more),
    )
    assert list(stop.run.steps) == [0, 2, 4, 6]
    assert_same_everywhere(stop.run)


def diverged_weights():
    """Weights of one rank overflow, which tanh hides from the loss: the run ends on all ranks."""
    lam = np.where(np.arange(8) < 4, 1e-6, 0.25 - 1e-6)
    net = af.Network(np.ones((8, 1), "f4"), np.ones((8, 1), "f4"), lam, activation="tanh")
    X, y = np.ones((2, 1), "f4"), np.full((2, 1), 50, "f4")
    record = af.Record(every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the step is beyond the stable ones
        stop = raised(
            af.DivergenceError,
            "left all bounds at step 1",
            lambda: af.gradient_descent(net, X, y, lr=1e38, steps=3, record=record, comm=comm),
        )
    assert_same_everywhere(stop.run)


def interrupted():
    """Ctrl-C on one rank ends the run on all, at the same step."""
    net, X, y, _ = problem()
    if rank == 0:

        def interrupt():
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
    record = af.Record(every=1000, ntg=False)
    stop = raised(
        KeyboardInterrupt if rank == 0 else RuntimeError,
        None if rank == 0 else "gradient_descent: another rank was interrupted",
        lambda: af.gradient_descent(net, X, y, steps=10**9, record=record, comm=comm),
    )
    run = stop.run
    assert len(run.steps) > 0
    assert_same_everywhere(run)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        globals()[name]()
        comm.Barrier()
    if rank == 0:
        print("all is well")
