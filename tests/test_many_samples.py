"""Runs on many samples of few inputs go through the samples instead of the nodes.

From 768 samples on, with at most 16 inputs and 10 912 nodes (5456 in double precision). So
sizes lie on both sides, and the nodes fill neither vectors nor blocks.
"""

from __future__ import annotations

from functools import cache

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import (
    ACTIVATIONS,
    DTYPES,
    THREADS,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)

SIZES = [
    {"n": 767, "d": 5, "m": 130},
    {"n": 768, "d": 1, "m": 37},
    {"n": 811, "d": 5, "m": 130, "outputs": 3},
    {"n": 1931, "d": 16, "m": 70},
    {"n": 3000, "d": 17, "m": 33},
    {"n": 3001, "d": 3, "m": 1, "outputs": 2},
]
# The last width of one way through the data, the first of the other, and both in one of float32.
WIDE = [
    ({"n": 800, "d": 2, "m": 5456}, "float64"),
    pytest.param({"n": 800, "d": 2, "m": 5457}, "float64", marks=pytest.mark.slow),
    pytest.param({"n": 769, "d": 1, "m": 10912}, "float32", marks=pytest.mark.slow),
]
dtypes = pytest.mark.parametrize("dtype", DTYPES)
BARE = af.Record(steps=[0, 1], weights=True, ntg=False, eigmin=False)


def assert_one_step(case, loss="half_sse", lr=0.5):
    """W - lr dL/dW to the rounding of the gradient's sums and of W itself."""
    assert_step_agrees(case, *exact_step(case, loss, lr), loss, lr)


def exact_step(case, loss, lr):
    """The weights after one step, the loss before it, and a bound on the weights' rounding."""
    arguments = case.model, case.x64
    slope = oracles.node_gradients(*arguments, case.y64, loss)
    exact = case.model.W - lr * slope
    error = bounds.node_gradients(*arguments, case.y64, loss, case.eps)
    bound = lr * (error + 2 * case.eps * np.abs(slope)) + 2 * case.eps * np.abs(exact)
    return exact, oracles.loss(oracles.forward(*arguments), case.y64, loss), bound


def assert_step_agrees(case, exact, loss_before, bound, loss="half_sse", lr=0.5):
    run = af.gradient_descent(case.net, case.X, case.y, lr=lr, steps=1, loss=loss, record=BARE)
    assert_within(run.weights[1], exact, bound)
    assert abs(run.loss[0] - loss_before) <= 1e3 * case.eps * run.loss[0]


@cache
def case_and_step(dtype, **sizes):
    """The same for every instruction set."""
    case = problem(**sizes, dtype=dtype)
    return case, *exact_step(case, "half_sse", 0.5)


@dtypes
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_one_step(isa, sizes, dtype):
    assert_step_agrees(*case_and_step(dtype, **sizes))


@pytest.mark.parametrize(("sizes", "dtype"), WIDE, ids=str)
def test_one_step_of_a_wide_network(sizes, dtype):
    assert_one_step(problem(**sizes, dtype=dtype))


@dtypes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_step_of_each_activation(activation, dtype):
    assert_one_step(problem(n=900, d=4, m=67, activation=activation, dtype=dtype))


@dtypes
@pytest.mark.parametrize(("loss", "outputs"), [("mse", 1), ("mse", 3), ("cross_entropy", 4)])
def test_one_step_of_each_loss(loss, outputs, dtype):
    assert_one_step(problem(n=1000, d=6, m=67, outputs=outputs, loss=loss, dtype=dtype), loss, 30.0)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_hundred_steps(sizes):
    case = simulated(**sizes)
    steps = [0, 50, 100]
    record = af.Record(steps=steps, weights=True, ntg=False, eigmin=False)
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=0.5, loss="mse", steps=100, record=record
    )
    exact = oracles.gradient_descent(case.model, case.X, case.y, 0.5, steps, "mse")
    assert_within(run.weights, exact, 1e-10 * np.abs(exact).max())


def test_runge_kutta():
    case = simulated(n=800, d=4, m=45)
    record = af.Record(times=[0.0, 2.0], weights=True, ntg=False, eigmin=False)
    run = af.gradient_flow(
        case.net, case.X, case.y, loss="mse", t_end=2.0, dt=0.25, method="rk4", record=record
    )
    exact = oracles.rk4(case.model, case.X, case.y, 0.25, 8, "mse")
    assert_within(run.weights[-1], exact, 1e-12 * np.abs(exact).max())


METHODS = {
    "descent": lambda *given, **how: af.gradient_descent(
        *given, lr=0.5, steps=20, record=af.Record(every=5, weights=True, ntg_on=9), **how
    ),
    **{
        method: lambda *given, method=method, **how: af.gradient_flow(
            *given,
            t_end=1.0,
            method=method,
            record=af.Record(times=[0.0, 0.3, 1.0], weights=True, ntg_on=9),
            **how,
        )
        for method in ("rk4", "dopri5")
    },
}


@dtypes
@pytest.mark.parametrize("train", METHODS.values(), ids=METHODS.keys())
def test_same_bits_for_any_threads_and_in_a_stack(train, dtype):
    cases = [problem(n=870, d=5, m=101, dtype=dtype, seed=seed) for seed in range(3)]
    X, y = (np.stack([getattr(case, name) for case in cases]) for name in "Xy")
    stack = af.Network.stack([case.net for case in cases])
    alone = [run_arrays(train(c.net, c.X, c.y, loss="mse", threads=1)) for c in cases]
    for threads in (*THREADS, 40):  # more than there are parts
        single = train(cases[0].net, cases[0].X, cases[0].y, loss="mse", threads=threads)
        assert_same_run(run_arrays(single), alone[0])
        run = train(stack, X, y, loss="mse", threads=threads)
        for b, one in enumerate(alone):
            assert_same_run(run_arrays(run, member=b), one, skip=("steps",))


def test_the_least_memory_is_accepted():
    case = problem(n=1200, d=7, m=90)
    run = {"lr": 0.5, "loss": "mse", "steps": 10, "record": BARE, "threads": 2}
    with pytest.raises(ValueError, match=r"max_memory must be at least \d+ bytes") as refused:
        af.gradient_descent(case.net, case.X, case.y, max_memory=1, **run)
    least = int(str(refused.value).split("at least ")[1].split()[0])
    one = af.gradient_descent(case.net, case.X, case.y, max_memory=least, **run)
    assert_same_run(
        run_arrays(one), run_arrays(af.gradient_descent(case.net, case.X, case.y, **run))
    )


@pytest.mark.parametrize("train", METHODS.values(), ids=METHODS.keys())
def test_interrupted_and_gone_on_with(train, tmp_path):
    """Between records and amid the steps of one member's flow."""
    cases = [problem(n=800, d=4, m=50, seed=seed) for seed in range(2)]
    X, y = (np.stack([getattr(case, name) for case in cases]) for name in "Xy")
    stack = af.Network.stack([case.net for case in cases])
    whole = train(stack, X, y, loss="mse")

    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stack, X, y, loss="mse", checkpoint=tmp_path / "run", callback=interrupt)
    rest = train(stack, X, y, loss="mse", checkpoint=tmp_path / "run")
    assert_same_run(run_arrays(rest), run_arrays(whole))


def test_the_operator_is_the_matrix():
    case = problem(n=800, d=4, m=60)
    u = np.random.default_rng(0).standard_normal(800)
    K = case.net.ntg(case.X)
    assert_within(af.NTGOperator(case.net, case.X) @ u, K @ u, 1e-12 * (np.abs(K) @ np.abs(u)))


def test_divergence_is_noticed():
    case = problem(n=800, d=4, m=60)
    with pytest.raises(af.DivergenceError):
        af.gradient_descent(case.net, case.X, case.y, lr=1e6, steps=500, record=BARE)
