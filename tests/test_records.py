"""What can be recorded, against NumPy on the recorded weights; records that grow on the disk."""

from __future__ import annotations

import json
import os
import shutil

import asymfast as af
import numpy as np
import oracles
import pytest
from asymfast._storage import Checkpoint
from cases import (
    BACKENDS,
    DTYPES,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
)
from trainers import CHOOSING, TRAINERS, data, descent

NTG = {
    "eigmax": True,
    "ntg_change_2norm": True,
    "alignment": True,
    "effective_rank": True,
    "ntg_matrix": True,
}
EVERYTHING = {**NTG, "every": 20, "weights": True, "top_nodes": 5}
NEW = ("ntg_change_2norm", "ntg_eigmax", "alignment", "effective_rank", "ntg_matrix", "top_nodes")
trainers = pytest.mark.parametrize("train", TRAINERS.values(), ids=TRAINERS.keys())


def train(case, record, kind="half_sse", steps=60, **settings):
    return af.gradient_descent(
        case.net, case.X, case.y, lr=0.05, steps=steps, loss=kind, record=record, **settings
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ntg_on", [None, 1, [7, 2, 11]])
def test_ntg_measures(backend, dtype, outputs, ntg_on):
    case = problem(dtype=dtype, outputs=outputs)
    run = train(case, af.Record(**EVERYTHING, ntg_on=ntg_on), backend=backend)
    rows = np.arange(23) if ntg_on is None else np.arange(1) if ntg_on == 1 else ntg_on
    X, Y = case.x64[rows], case.y64.reshape(23, -1)[rows]
    K0 = oracles.ntg(case.model, X)
    for t, W in enumerate(run.weights.astype(np.float64)):
        K = oracles.ntg(case.model._replace(W=W), X)
        # entries within (d + m + 20) roundings of |K|, summed in float64 where they are float32
        tol = 100 * case.eps * np.linalg.norm(K)
        assert_within(run.ntg_matrix[t], K, tol)
        assert_within(run.ntg_eigmax[t], np.linalg.eigvalsh(K)[-1], tol)
        assert_within(run.ntg_change_2norm[t], np.linalg.norm(K - K0, 2), 2 * tol)
        rank = np.trace(K) / np.linalg.eigvalsh(K)[-1]
        assert_within(run.effective_rank[t], rank, 100 * case.eps * len(K) * rank)
        target = Y @ Y.T
        scale = np.linalg.norm(K) * np.linalg.norm(target)
        assert_within(run.alignment[t], np.sum(K * target) / scale, 200 * case.eps)
        assert_within(run.ntg_change[t], np.linalg.norm(run.ntg_matrix[t] - run.ntg_matrix[0]), tol)
        assert run.ntg_change_2norm[t] <= run.ntg_change[t] * (1 + 1e-12)
        assert_same_bits(run.ntg_matrix[t], run.ntg_matrix[t].T)
    assert run.ntg_matrix.shape == (4, len(rows), len(rows))


def test_top_nodes():
    run = train(problem(), af.Record(every=20, top_nodes=5))
    assert run.top_nodes.dtype == np.int64
    for top, change in zip(run.top_nodes, run.weight_change, strict=True):
        assert top.tolist() == np.argsort(-change, kind="stable")[:5].tolist()
    assert run.top_nodes[0].tolist() == [0, 1, 2, 3, 4]  # nothing has moved
    full = train(problem(), af.Record(every=20, top_nodes=37))
    assert sorted(full.top_nodes[-1]) == list(range(37))


@pytest.mark.parametrize("kind", ["half_sse", "cross_entropy"])
def test_accuracy(kind):
    """Of labels, and of one-hot targets under another loss."""
    labels = problem(outputs=4, loss="cross_entropy")
    case = labels if kind == "cross_entropy" else labels._replace(y=np.eye(4)[labels.y])
    test = {"X_test": case.X[:7], "y_test": case.y[:7]}
    run = train(case, af.Record(every=20, accuracy=True, weights=True), kind, **test)
    for t, W in enumerate(run.weights):
        right = case.net.with_weights(W)(case.X).argmax(axis=1) == labels.y
        assert run.accuracy[t] == right.mean()
        assert run.test_accuracy[t] == right[:7].mean()


def test_accuracy_is_recorded_with_cross_entropy_unless_declined():
    case = problem(outputs=3, loss="cross_entropy")
    record = {"every": 20, "ntg": False, "eigmin": False}
    assert train(case, af.Record(**record), "cross_entropy").accuracy is not None
    declined = af.Record(**record, accuracy=False)
    assert train(case, declined, "cross_entropy").accuracy is None
    squares = problem(outputs=3)
    assert train(squares, af.Record(**record)).accuracy is None
    with pytest.raises(ValueError, match=r"record\.accuracy needs a network with k >= 2"):
        train(problem(), af.Record(accuracy=True))


def test_off_by_default_and_without_effect_on_the_rest():
    case = problem()
    bare, full = train(case, af.Record(every=20)), train(case, af.Record(**EVERYTHING))
    for name in NEW:
        assert getattr(bare, name) is None
        assert getattr(full, name) is not None
    for name in ("loss", "weight_change", "ntg_change", "ntg_eigmin"):
        assert_same_bits(getattr(bare, name), getattr(full, name))
    alone = train(case, af.Record(every=20, ntg=False, eigmin=False, alignment=True))
    assert_same_bits(alone.alignment, full.alignment)
    assert alone.ntg_change is alone.ntg_eigmin is None


@trainers
def test_members_of_an_ensemble(train):
    settings = {name: value for name, value in EVERYTHING.items() if name != "every"}
    times = {"times": [0.0, 10.0]} if "flow" in train.__name__ else {"steps": [0, 20]}
    short = {"descent": {"steps": 20}, "leaps": {"steps": 20}, "sgd": {"epochs": 7}}
    settings = {
        **short.get(train.__name__, {"t_end": 10.0}),
        "record": af.Record(**times, **settings),
    }
    nets, X, y = data("ensemble")
    run = train(nets, X, y, **settings)
    for b in range(3):
        alone = train(nets[b], X, y, **settings)
        assert_same_run(run_arrays(run, member=b), run_arrays(alone), skip=("steps",))


def test_diverged_member():
    case = problem(n=9, m=5, activation="identity")
    wild = af.Network(case.net.W, 1e3 * case.net.a, case.net.lam, activation="identity")
    stack = af.Network.stack([case.net, wild])
    with pytest.raises(af.DivergenceError) as caught:
        train(case._replace(net=stack), af.Record(**EVERYTHING))
    run = caught.value.run
    assert np.isnan(run.alignment[-1, 1])
    assert np.isfinite(run.alignment[-1, 0])
    assert run.top_nodes[-1, 1].tolist() == [-1] * 5


@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_saved_and_shown(kind, tmp_path):
    record = af.Record(**EVERYTHING)
    run = descent(*data(kind), steps=60, record=record)
    run.save(tmp_path / "run.npz")
    assert_same_run(run_arrays(af.Run.load(tmp_path / "run.npz")), run_arrays(run))
    pytest.importorskip("xarray")
    shown = run.to_xarray()
    for name in NEW:
        assert_same_bits(shown[name].to_numpy(), getattr(run, name))


# --- Schedules -----------------------------------------------------------------------------------


def test_logarithmic_steps():
    run = train(problem(), af.Record(log=5), steps=10_000)
    assert run.steps.tolist() == [0, 1, 10, 100, 1000, 10_000]
    few = train(problem(), af.Record(log=30), steps=4)
    assert few.steps.tolist() == [0, 1, 2, 3, 4]
    assert train(problem(), af.Record(log=1), steps=9).steps.tolist() == [0, 1, 9]


@pytest.mark.parametrize("dt", [None, 0.5])
def test_logarithmic_times(dt):
    case = problem()
    run = af.gradient_flow(case.net, case.X, case.y, t_end=8.0, dt=dt, record=af.Record(log=4))
    if dt:
        assert run.steps.tolist() == [0, 1, 3, 6, 16]
    else:
        assert run.time[0] == 0.0
        assert run.time[-1] == 8.0
        np.testing.assert_allclose(run.time[1:], 8.0 * 10.0 ** np.array([-6, -4, -2, 0]))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"log": 0}, ValueError, "Record: log must be at least 1, got 0"),
        ({"log": 2.5}, TypeError, "Record: log must be an integer, got 2.5"),
        ({"log": 3, "every": 2}, ValueError, "Record: give one of every, times, steps and log"),
        ({"eigmax": 1}, TypeError, "Record: eigmax must be True or False, got 1"),
        ({"accuracy": "yes"}, TypeError, "Record: accuracy must be True or False, got 'yes'"),
        ({"top_nodes": -1}, ValueError, "Record: top_nodes must be at least 0, got -1"),
        ({"top_nodes": True}, TypeError, "Record: top_nodes must be an integer, got True"),
        ({"folder": 3}, TypeError, "Record: folder must be a path, got 3"),
    ],
)
def test_checks_itself(settings, error, message):
    with pytest.raises(error, match=message):
        af.Record(**settings)


# --- On the disk ---------------------------------------------------------------------------------


@trainers
@pytest.mark.parametrize("kind", ["single", "ensemble"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_folder_holds_the_record(train, kind, dtype, tmp_path):
    record = {"weights": True, "ntg_matrix": True, "top_nodes": 2}
    record |= {"times": [0.0, 3.0, 70.0]} if train in CHOOSING else {"every": 100}
    plain = train(*data(kind, dtype), record=af.Record(**record))
    folder = tmp_path / "record"
    run = train(*data(kind, dtype), record=af.Record(**record, folder=folder))
    assert_same_run(run_arrays(run), run_arrays(plain))
    assert isinstance(run.weights.base, np.memmap) or isinstance(run.weights, np.memmap)
    stored = np.load(folder / "weights.npy")
    assert_same_bits(stored if kind == "ensemble" else stored[:, 0], plain.weights)
    assert json.loads((folder / "record.json").read_text())["dtype"] == dtype
    assert run.config["record"]["folder"] == str(folder)


def test_memory_is_bounded(tmp_path):
    """150 records of 3.2 MB each: the process keeps a few chunks of 16 MB, not 480 MB."""
    resource = pytest.importorskip("resource")
    net = af.Network.init(d=40, m=10_000, gamma=0.5, alpha=0.7, rng=0)
    X, y = np.random.default_rng(0).standard_normal((2, 40)), np.zeros(2)
    record = af.Record(every=1, ntg=False, eigmin=False, weights=True, folder=tmp_path / "record")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = af.gradient_descent(net, X, y, steps=150, lr=1e-3, record=record)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert run.weights.shape == (151, 10_000, 40)
    assert_same_bits(run.weights[-1], run.network.W)
    assert grown < 200 * 1024  # KB


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"record\.folder must be new or empty"):
        descent(*data(), record=af.Record(folder=tmp_path))
    with pytest.raises(FileExistsError, match=r"descent: record\.folder must be a folder: .*notes"):
        descent(*data(), record=af.Record(folder=tmp_path / "notes.txt"))
    with pytest.raises(
        FileNotFoundError, match=r"descent: the folder of record\.folder must exist"
    ):
        descent(*data(), record=af.Record(folder=tmp_path / "none" / "record"))
    assert os.listdir(tmp_path) == ["notes.txt"]
    folder = tmp_path / "record"
    descent(*data(), steps=10, record=af.Record(folder=folder))
    with pytest.raises(FileExistsError, match=r"record\.folder must be new or empty"):
        descent(*data(), steps=10, record=af.Record(folder=folder))


def test_refused_arguments_leave_no_folder(tmp_path):
    record = af.Record(folder=tmp_path / "record")
    for wrong in ({"progress": 3}, {"checkpoint": tmp_path / "none" / "run"}, {"loss": "hinge"}):
        with pytest.raises((TypeError, ValueError, FileNotFoundError)):
            descent(*data(), record=record, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_lost_rows_are_noticed(tmp_path):
    path, folder = tmp_path / "run.ckpt", tmp_path / "record"
    record = af.Record(every=10, folder=folder)
    descent(*data(), record=record, checkpoint=path, callback=lambda now: now.step < 100)
    os.truncate(folder / "loss.npy", 200)
    with pytest.raises(af.CheckpointError, match=r"loss\.npy has lost rows"):
        descent(*data(), record=record, checkpoint=path)


def test_the_record_of_another_run_is_not_continued(tmp_path):
    path, folder = tmp_path / "run.ckpt", tmp_path / "record"
    settings = {
        "record": af.Record(every=10, folder=folder),
        "callback": lambda now: now.step < 100,
    }
    descent(*data(), **settings, checkpoint=path)
    shutil.rmtree(folder)
    net, X, y = data()
    descent(net, X, 2 * y, **settings)
    with pytest.raises(af.CheckpointError, match="does not hold the record of this run"):
        descent(*data(), **settings, checkpoint=path)


@pytest.mark.parametrize("rows", [-1, 11.0, "11", None, True])
def test_a_count_of_rows_that_is_none_is_refused(rows, tmp_path):
    """In a checkpoint that is sound otherwise."""
    path, folder = tmp_path / "run.ckpt", tmp_path / "record"
    settings = {"record": af.Record(every=10, folder=folder), "checkpoint": path}
    descent(*data(), **settings, callback=lambda now: now.step < 100)
    identity = json.loads((folder / "record.json").read_text())
    checkpoint = Checkpoint("test", path, identity)
    state, extra = checkpoint.read()
    assert extra == {"rows": 11}
    checkpoint.write(memoryview(state), {"rows": rows})
    with pytest.raises(af.CheckpointError, match="needs the rows of its record: its: rows must be"):
        descent(*data(), **settings)


@pytest.mark.parametrize("kind", ["folder", "file", "rows"])
def test_a_record_that_is_removed_during_the_run_does_not_lose_the_weights(kind, tmp_path):
    folder, error = tmp_path / "record", OSError if kind == "rows" else FileNotFoundError
    taken = []

    def hurt(now):
        if now.step == 90:
            taken.append(len(np.load(folder / "loss.npy")))  # checkpoints put rows on the disk
            if kind == "folder":
                shutil.rmtree(folder)
            elif kind == "file":
                (folder / "time.npy").unlink()
            else:
                os.truncate(folder / "loss.npy", 0)

    record = af.Record(every=10, folder=folder)
    settings = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 1e-6}
    settings["stop"] = af.Stop(patience=100)
    said = "rows of the record are lost" if kind == "rows" else "No such"
    with pytest.raises(error, match=said) as caught:
        descent(*data(), steps=200, record=record, callback=hurt, **settings)
    assert taken[0] > 0
    caught.value.run.save(tmp_path / "run.npz")  # which had a best record among the lost ones
    assert af.Run.load(tmp_path / "run.npz").steps[-1] >= 90
    shutil.rmtree(folder, ignore_errors=True)
    with pytest.raises(error) as caught:
        descent(*data(), steps=200, record=record, callback=hurt)
    run, whole = caught.value.run, descent(*data(), steps=200, record=af.Record(every=10))
    assert run.steps.tolist() == list(range(0, 201, 10))
    assert_same_bits(run.loss, whole.loss)
    assert_same_bits(run.network.W, whole.network.W)


def test_rows_can_be_read_while_the_run_goes_on(tmp_path):
    """A checkpoint puts the rows so far on the disk, complete and the same in every column."""
    folder, lengths = tmp_path / "record", []

    def look(now):
        lengths.append({len(np.load(file)) for file in folder.glob("*.npy")})

    record = af.Record(every=10, folder=folder)
    settings = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 1e-3}
    descent(*data(), steps=1200, record=record, callback=look, **settings)
    assert all(len(each) == 1 for each in lengths)
    assert max(max(each) for each in lengths) > 100


def test_interrupted_run_keeps_its_rows(tmp_path):
    def interrupt(now):
        if now.step == 100:
            raise KeyboardInterrupt

    folder = tmp_path / "record"
    with pytest.raises(KeyboardInterrupt) as caught:
        descent(*data(), record=af.Record(every=10, folder=folder), callback=interrupt)
    assert caught.value.run.steps.tolist() == list(range(0, 101, 10))
    assert np.load(folder / "steps.npy")[:, 0].tolist() == list(range(0, 101, 10))


def test_numbers_whose_squares_leave_the_range_are_recorded_with_all_digits():
    X, y = af.datasets.simulated(n=12, d=6, rng=0)
    net = af.Network.init(6, 30, 0.5, 0.7, rng=1)
    still = net.with_weights(np.zeros((30, 6)))
    step, tiny = (
        af.gradient_descent(still, X, y, lr=lr, steps=1).weight_change for lr in (1.0, 2.0**-600)
    )
    np.testing.assert_allclose(tiny * 2.0**600, step, rtol=1e-14)
    assert (step[-1] > 0).all()

    # f of ReLU scales as X, so the residual does, and dL/dW as its square.
    net = af.Network.init(6, 30, 0.5, 0.7, activation="relu", rng=1)
    record = af.Record(alignment=True)
    usual = af.gradient_descent(net, X, y, lr=1.0, steps=3, record=record)
    s = 2.0**-300
    tiny = af.gradient_descent(net, X * s, y * s, lr=s**-2, steps=3, record=record)
    assert usual.ntg_change[-1] > 1e-3
    np.testing.assert_allclose(tiny.ntg_change, usual.ntg_change * s**2, rtol=1e-12)
    np.testing.assert_allclose(tiny.alignment, usual.alignment, rtol=1e-12)


@pytest.mark.parametrize("places", [{"steps": [0, 2, 2]}, {"times": [0.0, 1.0, 1.0]}])
def test_a_place_that_is_given_twice_is_refused(places):
    with pytest.raises(ValueError, match=f"{next(iter(places))} must increase, got"):
        af.Record(**places)
