"""Early stopping: what ends a run, where, and what it leaves."""

from __future__ import annotations

import base64
import pickle

import asymfast as af
import numpy as np
import pytest
from asymfast._run_loop import _Patience
from cases import assert_same_bits, assert_same_run, run_arrays
from trainers import (
    CHOOSING,
    TRAINERS,
    data,
    descent,
    dopri5_flow,
    fixed_flow,
    rk4_flow,
    sgd,
)

trainers = pytest.mark.parametrize("train", TRAINERS.values(), ids=TRAINERS.keys())
kinds = pytest.mark.parametrize("kind", ["single", "ensemble"])


def first_rows(run, count):
    """The first rows of every column; the final networks and flags left out."""
    rest = ("W", "a", "diverged", "stopped")
    arrays = {name: v for name, v in run_arrays(run).items() if name not in rest}
    return {name: v if v is None else v[:count] for name, v in arrays.items()}


@trainers
@kinds
def test_loss(train, kind):
    """The first record at which every member is low enough is the last one."""
    whole = train(*data(kind))
    highest = whole.loss if kind == "single" else whole.loss.max(axis=1)
    target = float(np.sqrt(highest[5] * highest[6]))
    run = train(*data(kind), stop=af.Stop(loss=target))
    assert run.stopped
    assert run.stopped_by == "loss"
    last = int(np.argmax(highest <= target))
    assert len(run.loss) == last + 1
    assert_same_run(first_rows(run, last + 1), first_rows(whole, last + 1))


@trainers
@kinds
def test_time(train, kind):
    whole = train(*data(kind))
    run = train(*data(kind), stop=af.Stop(time=float(whole.time[4]) - 1e-9))
    assert run.stopped_by == "time"
    assert_same_run(first_rows(run, 5), first_rows(whole, 5))
    assert len(run.time) == 5


# of which none is left by the tangent method, whose steps grow with time
@pytest.mark.parametrize("train", [descent, fixed_flow, rk4_flow, dopri5_flow, sgd])
@kinds
def test_wall_clock(train, kind):
    """A run of days ends at once, with a record of where it stands; members stand together."""
    long = {"steps": 10**9, "t_end": 1e9, "epochs": 10**6}
    names = {"descent": "steps", "sgd": "epochs"}
    name = names.get(train.__name__, "t_end")
    settings = {name: long[name], "lr": 1e-4} if name in names.values() else {name: long[name]}
    if name == "t_end":
        settings |= {"rtol": 1e-10} if train in CHOOSING else {"dt": 1e-3}
    record = af.Record(times=[0.0]) if name == "t_end" else af.Record(steps=[0])
    record = af.Record(steps=[0]) if train.__name__ == "fixed_flow" else record
    given = data(kind)
    settings |= {"record": record, "stop": af.Stop(wall_seconds=0.1), "threads": 1}
    run = train(*given, **settings)
    assert run.stopped_by == "wall_seconds"
    assert len(run.time) == 2
    assert run.time[-1] > 0
    assert np.isfinite(run.loss).all()


@pytest.mark.slow  # the time that it is given to come after
def test_wall_clock_with_a_member_far_behind():
    """It would take years to where the other stands: the run ends without that record."""
    net, X, y = data("single")
    slow = af.Network(net.W, 1e6 * net.a, net.lam, activation="relu")
    fast = af.Network(net.W, net.a, net.lam, activation="relu")
    nets, record = af.Network.stack([fast, slow]), af.Record(times=[0.0], ntg=False, eigmin=False)
    stop = af.Stop(wall_seconds=0.1)
    run = af.gradient_flow(nets, X, y, t_end=1e6, method="dopri5", record=record, stop=stop)
    assert run.stopped_by == "wall_seconds"
    assert run.time.tolist() == [0.0]


def test_wall_clock_when_every_step_is_a_record():
    run = descent(*data(), steps=10**8, record=af.Record(every=1), stop=af.Stop(wall_seconds=0.1))
    assert run.stopped_by == "wall_seconds"
    assert run.steps.tolist() == list(range(len(run.steps)))


def test_condition_met_at_the_end_only_is_a_finished_run():
    whole = descent(*data(), steps=100)
    run = descent(*data(), steps=100, stop=af.Stop(loss=float(whole.loss[-1]), time=50.0))
    assert not run.stopped
    assert run.stopped_by is None
    assert_same_run(run_arrays(run), run_arrays(whole))


def test_met_at_the_start():
    run = descent(*data(), stop=af.Stop(loss=1e9))
    assert run.steps.tolist() == [0]
    assert run.stopped_by == "loss"


def test_a_lower_target_goes_on(tmp_path):
    path = tmp_path / "run.ckpt"
    whole = descent(*data())
    for loss in (1.0, 0.1):
        run = descent(*data(), checkpoint=path, stop=af.Stop(loss=loss))
        assert run.stopped_by == "loss"
        again = descent(*data(), checkpoint=path, stop=af.Stop(loss=loss))
        assert_same_run(run_arrays(again), run_arrays(run))
    assert_same_run(run_arrays(descent(*data(), checkpoint=path)), run_arrays(whole))


def test_callback_says_so():
    run = fixed_flow(*data(), callback=lambda now: now.time < 20)
    assert run.stopped_by == "callback"
    assert 20 <= run.time[-1] < 40


def test_saved(tmp_path):
    run = descent(*data(), stop=af.Stop(time=100.0))
    run.save(tmp_path / "run.npz")
    assert af.Run.load(tmp_path / "run.npz").stopped_by == "time"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {},
            ValueError,
            "Stop: give at least one of loss, time, wall_seconds and patience, got none",
        ),
        ({"patience": 0}, ValueError, "Stop: patience must be at least 1, got 0"),
        ({"patience": 2.5}, TypeError, "Stop: patience must be an integer, got 2.5"),
        ({"patience": 3, "min_delta": -1.0}, ValueError, "Stop: min_delta must be in"),
        ({"loss": 1.0, "min_delta": 0.1}, ValueError, "Stop: min_delta needs patience, got 0.1"),
        ({"loss": np.nan}, ValueError, "Stop: loss must be in"),
        ({"loss": "low"}, TypeError, "Stop: loss must be a real number, got 'low'"),
        ({"time": 0}, ValueError, r"Stop: time must be in \(0, inf\), got 0"),
        ({"wall_seconds": -1.0}, ValueError, r"Stop: wall_seconds must be in \(0, inf\), got -1"),
        ({"time": np.inf}, ValueError, "Stop: time must be in"),
    ],
)
def test_checks_itself(settings, error, message):
    with pytest.raises(error, match=message):
        af.Stop(**settings)


# --- A callback's answer --------------------------------------------------------------------------


@pytest.mark.parametrize("train", TRAINERS.values(), ids=TRAINERS.keys())
@pytest.mark.parametrize(
    "answer", [False, np.False_, np.array(False), np.array([False]), np.zeros((1, 1), bool)]
)
def test_any_false_answer_ends_the_run_at_once(train, answer):
    seen = []
    run = train(*data(), callback=lambda at: seen.append(at.step) or answer)
    assert len(seen) == 1
    assert run.stopped_by == "callback"


@pytest.mark.parametrize("answer", [None, True, np.True_, np.array([True]), 1])
def test_other_answers_do_not(answer):
    run = TRAINERS["descent"](*data(), callback=lambda at: answer)
    assert not run.stopped


def test_a_comparison_of_an_ensembles_losses():
    run = TRAINERS["descent"](*data("ensemble"), callback=lambda at: (at.loss > 1e9).any())
    assert run.stopped_by == "callback"
    assert len(run.loss) == 1


@pytest.mark.parametrize(
    "answer", [np.array([True, False]), np.array([], bool), np.ones((2, 2), bool)]
)
def test_an_answer_without_one_truth_value_is_refused(answer):
    message = (
        r"gradient_descent: callback must return True, False or None, got an array .*\.all\(\)"
    )
    with pytest.raises(TypeError, match=message) as caught:
        TRAINERS["descent"](*data(), callback=lambda at: answer)
    assert len(caught.value.run.loss) == 1


# ---- patience and what a callback sees


def overfitting(ensemble=False):
    """A run whose test loss falls and then rises."""
    X, y = af.datasets.simulated(n=30, d=5, rng=0)
    X_test, y_test = af.datasets.simulated(n=200, d=5, rng=1)
    rng = [1, 2] if ensemble else 1
    net = af.Network.init(d=5, m=100, gamma=0.5, alpha=0.7, rng=rng)
    return net, (X, y), {"X_test": X_test, "y_test": y_test, "lr": 1.0}


@pytest.mark.parametrize("ensemble", [False, True])
def test_patience_ends_the_run_and_keeps_the_best_weights(ensemble):
    net, data, settings = overfitting(ensemble)
    settings |= {"steps": 4000, "record": af.Record(every=20, ntg=False, eigmin=False)}
    whole = af.gradient_descent(net, *data, **settings)
    run = af.gradient_descent(net, *data, **settings, stop=af.Stop(patience=10))
    best = np.atleast_1d(whole.test_loss[: len(run.time)].argmin(axis=0))
    assert run.stopped_by == "patience"
    assert len(run.time) == best.max() + 11 < len(whole.time)
    assert np.atleast_1d(run.config["best_record"]).tolist() == best.tolist()
    losses = np.atleast_1d(run.network.loss(settings["X_test"], settings["y_test"]))
    np.testing.assert_allclose(losses, np.atleast_1d(run.test_loss.min(axis=0)), rtol=1e-12, atol=0)


def test_patience_without_test_data_watches_the_training_loss():
    net, data, _ = overfitting()
    record = af.Record(every=1, ntg=False, eigmin=False)
    run = af.gradient_descent(
        net, *data, steps=2000, record=record, stop=af.Stop(patience=3, min_delta=0.05)
    )
    falls = -np.diff(run.loss)
    assert run.stopped_by == "patience"
    assert (falls[-3:] <= 0.05).all()
    assert run.config["best_record"] == run.loss.argmin()


def test_patience_that_does_not_run_out_still_gives_the_best_weights():
    net, data, settings = overfitting()
    run = af.gradient_descent(
        net, *data, **settings, steps=4000, record=af.Record(every=20), stop=af.Stop(patience=500)
    )
    assert not run.stopped
    assert run.config["best_record"] == run.test_loss.argmin() < len(run.loss) - 1


@pytest.mark.parametrize("trainer", sorted(TRAINERS))
def test_patience_resumes_to_the_same_bits(trainer, tmp_path):
    net, X, y = data("ensemble")
    stop = af.Stop(patience=3, min_delta=1e-3)
    record = af.Record(times=np.linspace(0, 100, 41), ntg=False, eigmin=False)
    settings = {"record": record, "stop": stop}
    whole = TRAINERS[trainer](net, X, y, **settings)
    seen = []

    def halfway(snapshot):
        seen.append(snapshot)
        return len(seen) < max(2, len(whole.time) // 2)

    path = tmp_path / "checkpoint"
    TRAINERS[trainer](net, X, y, **settings, callback=halfway, checkpoint=path)
    resumed = TRAINERS[trainer](net, X, y, **settings, checkpoint=path)
    again = TRAINERS[trainer](net, X, y, **settings, checkpoint=path)
    for run in (resumed, again):
        assert run.stopped_by == whole.stopped_by
        assert run.config["best_record"] == whole.config["best_record"]
        assert_same_bits(run.loss, whole.loss)
        assert_same_bits(run.network.W, whole.network.W)


@pytest.mark.parametrize(("name", "value"), [("best_record", 2), ("_since", -1), ("_since", 3)])
def test_a_patience_that_no_run_has_is_refused(name, value):
    net = data()[0]
    patience = _Patience(net, 2, 0.0)
    for loss in (2.0, 1.0):
        patience.see(np.array([loss]), *net._arrays()[:2])
    state = patience.state()
    patience.resume(state)
    state[name] = base64.b64encode(np.array([value]).data).decode()
    with pytest.raises(ValueError, match=f"{name} of another run"):
        patience.resume(state)


def test_a_checkpoint_without_patience_does_not_go_on_with_it(tmp_path):
    net, (X, y), _ = overfitting()
    path = tmp_path / "checkpoint"
    af.gradient_descent(net, X, y, steps=10, checkpoint=path)
    with pytest.raises(af.CheckpointError, match=r"was not written with stop\.patience"):
        af.gradient_descent(net, X, y, steps=10, checkpoint=path, stop=af.Stop(patience=3))


@pytest.mark.parametrize("kind", ["single", "ensemble"])
@pytest.mark.parametrize("trainer", sorted(TRAINERS))
def test_snapshots_have_weights_and_ntg(trainer, kind):
    net, X, y = data(kind)
    seen = []
    record = af.Record(times=[0, 10, 100], weights=True, ntg_matrix=True, ntg_on=4)
    run = TRAINERS[trainer](net, X, y, record=record, callback=seen.append)
    assert len(seen) == len(run.time)
    for t, snapshot in enumerate(seen):
        assert_same_bits(snapshot.network.W, run.weights[t])
        np.testing.assert_allclose(snapshot.ntg(), run.ntg_matrix[t], rtol=1e-12, atol=1e-14)
    assert_same_bits(seen[-1].network.a, run.network.a)
    again = pickle.loads(pickle.dumps(seen[-1]))
    assert_same_bits(again.network.W, run.network.W)
    assert_same_bits(again.ntg(), seen[-1].ntg())
