"""Gradient descent in leaps: against plain steps in NumPy, its bits, what it refuses."""

from __future__ import annotations

import re

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


def test_rtol_is_kept_over_six_decades():
    """The loss errs by at most 2 rtol, and by less the smaller rtol is."""
    case = simulated(n=15, d=7, m=60)
    loss = expected(case, 2.0)[1]
    errors = []
    for rtol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9):
        found = descend(case, lr=2.0, rtol=rtol).loss
        errors.append(np.abs(found / loss - 1).max())
        assert errors[-1] <= 2 * rtol + 1e-11
    print(" ".join(f"{error:.1e}" for error in errors))
    assert errors[-1] < 1e-4 * errors[0]


@pytest.mark.parametrize(("n", "outputs"), [(205, 1), (70, 3)])
@pytest.mark.parametrize("d", [1, 12])
def test_many_outputs(n, outputs, d):
    """More than 200: only the leading directions are treated as fast."""
    case = problem(n=n, d=d, m=50, outputs=outputs, seed=9)
    at = [0, 1, 200, 777, 1500, 2000]
    record = af.Record(steps=at, weights=True, ntg=False, eigmin=False)
    settings = {"steps": 2000, "lr": 2.0, "loss": "mse", "record": record}
    run = descend(case, **settings)
    plain = descend(case, method="step", **settings)
    assert run.evaluations[-1] != plain.evaluations[-1]
    assert_within(run.loss, plain.loss, 2e-6 * plain.loss)
    assert_within(run.weights, plain.weights, 1e-5 * np.abs(plain.weights).max())


def test_float32():
    """The residual errs by 1e-5 of the targets at most, whatever rtol asks for."""
    case = simulated(n=15, d=7, m=60)
    run = descend(as_float32(case), lr=1.0, rtol=1e-9)
    loss = expected(case)[1]
    size = 1e-5 * np.linalg.norm(case.y)
    assert_within(np.sqrt(2 * run.loss), np.sqrt(2 * loss), size)


def test_far_fewer_gradients():
    case = simulated(n=15, d=7, m=400)
    record = af.Record(steps=[20_000], ntg=False, eigmin=False)
    run = descend(case, steps=20_000, record=record)
    plain = descend(case, steps=20_000, method="step", record=record)
    assert run.evaluations[-1] < 20_000 / 8
    assert_within(run.loss, plain.loss, 2e-6 * plain.loss + 1e-25)


def test_few_leaps_where_a_residual_remains():
    """Nodes that turn because of a residual do not keep leaps short."""
    X, y = noisy_table(n=240, d=6)
    net = af.Network.init(d=6, m=400, gamma=0.5, alpha=0.5, rng=1)
    record = af.Record(steps=[100, 1000, 4000, 8000], ntg=False, eigmin=False, weights=True)
    plain, leaps = (
        af.gradient_descent(net, X, y, lr=1.0, loss="mse", steps=8000, method=method, record=record)
        for method in ("step", "leap")
    )
    assert leaps.evaluations[-1] < 3500  # 5000 by one correction of all nodes
    assert_within(leaps.loss, plain.loss, 2e-6 * plain.loss)
    assert_within(leaps.weights, plain.weights, 1e-6)


def noisy_table(n, d):
    """Targets that a network of some hundred nodes fits slowly."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n, d))
    return X, np.sin(X[:, 0]) + 0.5 * generator.normal(size=n)


def test_step_is_the_default_to_the_bit():
    case = simulated()
    record = af.Record(steps=[50], weights=True)
    plain = af.gradient_descent(case.net, case.X, case.y, steps=50, lr=1.0, record=record)
    same(plain, descend(case, steps=50, method="step", record=record))


@pytest.mark.parametrize("n", [15, 210])
def test_threads_change_no_bit(n):
    case = simulated(n=n, d=7, m=300)
    lr = 1.0 if n == 15 else 0.1
    runs = [descend(case, steps=800, lr=lr, threads=threads) for threads in THREADS]
    same(runs[0], runs[1])
    same(runs[0], runs[2])


@pytest.mark.parametrize("n", [5, 8, 9])
def test_no_bit_depends_on_where_arrays_lie(n):
    """Between two runs other arrays come and go, so that theirs begin at other addresses."""
    case, taken = simulated(n=n, d=4, m=17), []
    runs = []
    for size in (1, 301, 2, 700):
        runs.append(descend(case))
        taken.append(np.zeros(size))
    for run in runs[1:]:
        same(runs[0], run)


def test_records_on_test_data():
    case, other = simulated(n=15, d=7, m=60), problem(n=6, d=7, m=60, seed=4)
    test = {"X_test": other.X, "y_test": other.y}
    run, plain = (descend(case, method=method, **test) for method in ("leap", "step"))
    assert_within(run.test_loss, plain.test_loss, 1e-5 * plain.test_loss)


def test_callback_and_progress():
    case = simulated(n=15, d=7, m=60)
    seen, shown = [], []

    def goes_on(now):
        seen.append((now.step, now.loss))
        return now.step < 101

    run = descend(case, callback=goes_on, progress=lambda *now: shown.append(now))
    assert [step for step, _ in seen] == [0, 1, 7, 30, 101]
    assert [loss for _, loss in seen] == list(run.loss)
    assert run.stopped_by == "callback"


@pytest.mark.parametrize("n", [15, 210])
def test_memory_is_asked_for(n):
    """A limit below what is needed is refused, with the number; that number is enough."""
    case = problem(n=n, d=3, m=64, seed=1)
    with pytest.raises(ValueError, match="max_memory must be at least") as caught:
        descend(case, steps=5, lr=0.01, record=af.Record(steps=[5]), max_memory=1000)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    descend(case, steps=5, lr=0.01, record=af.Record(steps=[5]), max_memory=least)


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


def test_divergence_late_in_a_run():
    """h eig_max = 2.0004: the loss has grown by ten orders after some 30 000 steps."""
    case = problem(n=5, d=3, m=10, activation="identity", seed=2)
    lr = 2.0004 / np.linalg.eigvalsh(oracles.ntg(case.model, case.X))[-1]
    record = af.Record(steps=[20_000, 60_000], ntg=False, eigmin=False)
    errors = []
    for method in ("step", "leap"):
        with pytest.raises(af.DivergenceError) as caught:
            descend(case, 60_000, method, record, lr=lr)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert 20_000 < int(re.search(r"step (\d+)", errors[0])[1]) < 60_000


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


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("seed", [455901, 0, 1, 2])
def test_records_within_long_leaps_where_a_residual_remains(seed, rtol):
    """Two outputs, one input: at the minimum J^T r = 0 for an r that is not 0.

    The polynomials through all points of a leap of hundreds of steps, a little beside the minimum
    at both ends, gave losses 10 % above those at its ends.
    """
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((1, 1)), np.random.default_rng(seed + 1).standard_normal((1, 2))
    net = af.Network.init(1, 5, 0.5, 0.5, "gelu", outputs=2, rng=seed)
    lr = 1.5 * net.stable_step(X) / 2
    record = af.Record(every=20, ntg=False, eigmin=False)
    settings = {"steps": 800, "lr": lr, "record": record}
    plain = af.gradient_descent(net, X, y, **settings)
    run = af.gradient_descent(net, X, y, method="leap", rtol=rtol, **settings)
    assert_within(run.loss, plain.loss, 2 * rtol * plain.loss + 1e-12 * plain.loss[0])


@pytest.mark.parametrize("kind", ["dead from the start", "dead after a step"])
@pytest.mark.parametrize("n", [9, 70])
def test_networks_that_cannot_move(n, kind):
    """The tangent matrix is 0: erf'(z) underflows. Above 200 outputs there is no direction."""
    case = problem(n=n, d=5, m=50, outputs=3, activation="erf", seed=1)
    net, y, lr = case.net, case.y, 0.9 * case.net.stable_step(case.X)
    if kind == "dead from the start":
        net = net.with_weights(1e6 * net.W)
    else:
        y = 1e6 * y
    record = af.Record(steps=STEPS, weights=True, ntg=False, eigmin=False)
    settings = {"steps": 800, "lr": lr, "record": record}
    plain = af.gradient_descent(net, case.X, y, **settings)
    run = af.gradient_descent(net, case.X, y, method="leap", **settings)
    assert_within(run.loss, plain.loss, 1e-9 * plain.loss)
    assert_within(run.weights, plain.weights, 1e-9 * np.abs(plain.weights).max())
