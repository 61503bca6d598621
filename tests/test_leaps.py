"""Gradient descent in leaps: against plain steps in NumPy, its bits, what it refuses."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import (
    SMOOTH,
    THREADS,
    as_float32,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)

STEPS = [0, 1, 7, 30, 101, 333, 800]


def descend(case, steps=800, method="leap", record=None, lr=1.0, **settings):
    record = record or af.Record(steps=STEPS, weights=True, ntg=False, eigmin=False)
    return af.gradient_descent(
        case.net, case.X, case.y, steps=steps, lr=lr, method=method, record=record, **settings
    )


def same(one, other):
    assert_same_run(run_arrays(one), run_arrays(other), skip=("config",))


def expected(case, lr=1.0, kind="half_sse", steps=STEPS):
    weights = oracles.gradient_descent(case.model, case.X, case.y, lr, steps, kind)
    return weights, oracles.trajectory(case.model, weights, case.X, case.y, kind).loss


def assert_agrees(run, case, lr=1.0, kind="half_sse", rtol=1e-6):
    weights, loss = expected(case, lr, kind)
    assert_within(run.loss, loss, 2 * rtol * loss + 1e-12 * loss[0])
    scale = np.abs(weights).max()
    assert_within(run.weights, weights, 10 * rtol * scale)


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("kind", ["half_sse", "mse"])
def test_agrees_with_steps(activation, kind):
    case = problem(n=9, d=4, m=50, activation=activation, seed=3)
    lr = 0.3 if kind == "half_sse" else 1.0
    assert_agrees(descend(case, lr=lr, loss=kind), case, lr, kind)


@pytest.mark.parametrize("outputs", [2, 3])
def test_several_outputs(outputs):
    case = problem(n=7, d=3, m=40, outputs=outputs, seed=5)
    assert_agrees(descend(case, lr=0.2), case, 0.2)


@pytest.mark.parametrize(
    ("n", "d", "m"), [(1, 1, 1), (1, 3, 20), (2, 1, 5), (5, 2, 1), (20, 20, 7)]
)
def test_small_sizes(n, d, m):
    case = problem(n=n, d=d, m=m, seed=7)
    assert_agrees(descend(case, lr=0.05), case, 0.05)


@pytest.mark.parametrize("share", [1e-4, 1e-2, 0.3, 1.0, 1.5, 1.9])
def test_any_stable_step(share):
    """h eig_max, at the start, from 1e-4 to 1.9."""
    case = simulated(n=15, d=7, m=100)
    eigenvalues = np.linalg.eigvalsh(oracles.ntg(case.model, case.X))
    lr = share / eigenvalues[-1]
    assert_agrees(descend(case, lr=lr), case, lr)


@pytest.mark.parametrize("rtol", [1e-3, 1e-5, 1e-7, 1e-9])
def test_rtol_is_kept(rtol):
    case = simulated(n=15, d=7, m=60)
    assert_agrees(descend(case, lr=2.0, rtol=rtol), case, 2.0, rtol=rtol)


def test_float32():
    case = simulated(n=15, d=7, m=60)
    run = descend(as_float32(case), lr=1.0)
    loss = expected(case)[1]
    assert_within(run.loss, loss, 1e-4 * loss + 1e-6)


def test_far_fewer_gradients():
    case = simulated(n=15, d=7, m=400)
    record = af.Record(steps=[20_000], ntg=False, eigmin=False)
    run = descend(case, steps=20_000, record=record)
    plain = descend(case, steps=20_000, method="step", record=record)
    assert run.evaluations[-1] < 20_000 / 8
    assert_within(run.loss, plain.loss, 2e-6 * plain.loss + 1e-25)


def test_step_is_the_default_to_the_bit():
    case = simulated()
    record = af.Record(steps=[50], weights=True)
    plain = af.gradient_descent(case.net, case.X, case.y, steps=50, lr=1.0, record=record)
    same(plain, descend(case, steps=50, method="step", record=record))


@pytest.mark.parametrize("threads", THREADS)
def test_threads_change_no_bit(threads):
    case = simulated(n=15, d=7, m=300)
    same(descend(case, threads=1), descend(case, threads=threads))


def test_members_have_the_bits_of_their_single_runs():
    cases = [problem(n=9, d=4, m=50, seed=seed) for seed in (1, 2, 3)]
    X, y = cases[0].X, cases[0].y
    nets = af.Network(
        *(np.stack([getattr(case.net, name) for case in cases]) for name in ("W", "a", "lam"))
    )
    record = af.Record(steps=STEPS, weights=True)
    whole = af.gradient_descent(nets, X, y, steps=800, lr=0.3, method="leap", record=record)
    for b, case in enumerate(cases):
        one = af.gradient_descent(case.net, X, y, steps=800, lr=0.3, method="leap", record=record)
        assert_same_bits(whole.weights[:, b], one.weights)
        assert_same_bits(whole.loss[:, b], one.loss)


def test_goes_on_to_the_same_bits(tmp_path):
    case = simulated(n=15, d=7, m=60)
    record = af.Record(every=40, weights=True)
    whole = descend(case, record=record)
    for records in (1, 3, 6, 12):
        path = tmp_path / f"{records}"
        seen = []

        def ends(now, records=records, seen=seen):
            seen.append(now.step)
            return len(seen) < records

        descend(case, record=record, checkpoint=path, callback=ends)
        same(descend(case, record=record, checkpoint=path), whole)


def test_records_do_not_change_the_run():
    case = simulated(n=15, d=7, m=60)
    few = descend(case, record=af.Record(steps=[800], weights=True))
    many = descend(case, record=af.Record(every=10, weights=True))
    assert_same_bits(few.weights[-1], many.weights[-1])


@pytest.mark.parametrize("kind", ["duplicates", "zeros", "dead nodes", "solved"])
def test_degenerate_data(kind):
    case = problem(n=9, d=4, m=50, seed=11)
    X, y, net = case.X.copy(), case.y.copy(), case.net
    if kind == "duplicates":
        X[4:8], y[4:8] = X[:4], y[:4]
    elif kind == "zeros":
        X[3:] = 0
    elif kind == "dead nodes":
        net = af.Network(net.W, net.a, np.where(np.arange(50) % 2, 0, net.lam))
    else:
        y = net(X)
    model = case.model._replace(lam=np.asarray(net.lam))
    weights = oracles.gradient_descent(model, X, y, 0.3, STEPS)
    record = af.Record(steps=STEPS, weights=True, ntg=False, eigmin=False)
    run = af.gradient_descent(net, X, y, steps=800, lr=0.3, method="leap", record=record)
    assert_within(run.weights, weights, 1e-5 * np.abs(weights).max())


@pytest.mark.parametrize("lr", [1e3, 30.0])
def test_divergence_is_named(lr):
    case = simulated(n=15, d=7, m=60)
    errors = []
    for method in ("step", "leap"):
        with pytest.raises(af.DivergenceError) as caught:
            descend(case, lr=lr, method=method)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"activation": "relu"}, "method 'leap' needs an activation without kinks, got 'relu'"),
        ({"loss": "cross_entropy"}, "got 'cross_entropy'; use 'step'"),
    ],
)
def test_refused_and_stepped_by_auto(settings, match):
    case = problem(
        n=9, d=4, m=50, outputs=2, activation=settings.get("activation", "swish"), seed=3
    )
    loss = settings.get("loss", "half_sse")
    y = np.arange(9) % 2 if loss == "cross_entropy" else case.y
    common = {"steps": 40, "lr": 0.1, "loss": loss}
    with pytest.raises(ValueError, match=match):
        af.gradient_descent(case.net, case.X, y, method="leap", **common)
    plain = af.gradient_descent(case.net, case.X, y, **common)
    auto = af.gradient_descent(case.net, case.X, y, method="auto", **common)
    assert auto.config["method_taken"] == "step"
    assert_same_bits(auto.loss, plain.loss)


def test_auto_says_what_it_took():
    case = simulated(n=15, d=7, m=400)
    record = af.Record(steps=[30_000], ntg=False, eigmin=False)
    assert descend(case, 30_000, "auto", record).config["method_taken"] == "leap"
    record = af.Record(steps=[30], ntg=False, eigmin=False)
    assert descend(case, 30, "auto", record).config["method_taken"] == "step"


@pytest.mark.parametrize("settings", [{"method": "jump"}, {"rtol": 0.0}, {"rtol": 1.0}])
def test_arguments(settings):
    case = simulated()
    with pytest.raises(ValueError, match=next(iter(settings))):
        af.gradient_descent(case.net, case.X, case.y, steps=3, **settings)
