"""Properties that hold for every network, by hypothesis."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
from cases import (
    ACTIVATIONS,
    BACKENDS,
    EPS,
    SMOOTH,
    as_float32,
    assert_same_bits,
    assert_within,
    model_of,
    problem,
    simulated,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, database=None)

sizes = st.fixed_dictionaries(
    {
        "n": st.integers(1, 40),
        "d": st.integers(1, 40),
        "m": st.integers(1, 80),
        "outputs": st.integers(1, 5),
        "activation": st.sampled_from(ACTIVATIONS),
        "seed": st.integers(0, 999),
    }
)
backends = st.sampled_from(BACKENDS)


@SETTINGS
@given(sizes, backends)
def test_order_of_nodes_changes_only_rounding(size, backend):
    case = problem(**size)
    order = np.random.default_rng(0).permutation(case.net.m)
    net = af.Network(
        case.net.W[order], case.net.a[order], case.net.lam[order], activation=size["activation"]
    )
    bound = bounds.forward(case.model, case.X, EPS)
    assert_within(net(case.X, backend=backend), case.net(case.X, backend=backend), bound)
    gradients = (each.node_gradients(case.X, case.y, backend=backend) for each in (case.net, net))
    bound = bounds.node_gradients(case.model, case.X, case.y, "half_sse", EPS)
    one, other = gradients
    assert_within(other, one[order], bound[order])


@SETTINGS
@given(sizes, backends)
def test_order_of_samples_moves_rows(size, backend):
    case = problem(**size)
    order = np.random.default_rng(0).permutation(len(case.X))
    net, X = case.net, case.X
    bound = bounds.forward(case.model, X, EPS)
    assert_within(net(X[order], backend=backend), net(X, backend=backend)[order], bound[order])
    K, moved = net.ntg(X, backend=backend), net.ntg(X[order], backend=backend)
    bound = bounds.ntg(case.model, X, EPS)
    assert_within(moved, K[np.ix_(order, order)], bound[np.ix_(order, order)])


@SETTINGS
@given(sizes, backends, st.floats(1e-3, 1e3))
def test_lam_scales_the_ntg_and_its_root_the_output(size, backend, c):
    case = problem(**size)
    net = af.Network(case.net.W, case.net.a, c * case.net.lam, activation=size["activation"])
    model = model_of(net)
    K = case.net.ntg(case.X, backend=backend)
    bound = bounds.ntg(model, case.X, EPS)
    assert_within(net.ntg(case.X, backend=backend), c * K, bound)
    f = case.net(case.X, backend=backend)
    bound = bounds.forward(model, case.X, EPS)
    assert_within(net(case.X, backend=backend), np.sqrt(c) * f, bound)


@SETTINGS
@given(sizes, backends)
def test_ntg_is_symmetric_and_positive(size, backend):
    case = problem(**size)
    K = case.net.ntg(case.X, backend=backend)
    assert_same_bits(K, K.T)
    error = np.linalg.norm(bounds.ntg(case.model, case.X, EPS))
    values = np.linalg.eigvalsh(K)
    assert values[0] >= -error - len(K) * EPS * values[-1]


@SETTINGS
@given(sizes, backends, st.integers(1, 3), st.integers(-3, 3).filter(bool))
def test_any_stride_gives_the_same_answer(size, backend, columns, rows):
    case = problem(**size)
    room = np.full((len(case.X) * abs(rows), case.X.shape[1] * columns), np.nan)
    view = room[::rows, ::columns]
    view[...] = case.X
    one, other = (case.net.ntg(X, backend=backend) for X in (case.X, view))
    assert_same_bits(one, other)
    one, other = (case.net(X, backend=backend) for X in (case.X, view))
    assert_same_bits(one, other)


@SETTINGS
@given(sizes, backends)
def test_float32_is_near_float64(size, backend):
    double = problem(**size)
    single = problem(**size, dtype="float32")
    # the numbers are first rounded to float32: the same relative error as one more rounding of each
    eps = 2 * single.eps
    for kind in ("half_sse", "mse"):
        one = single.net.loss(single.X, single.y, loss=kind, backend=backend)
        other = double.net.loss(double.X, double.y, loss=kind, backend=backend)
        assert_within(one, other, bounds.loss(double.model, double.X, double.y, kind, eps))


@SETTINGS
@given(st.sampled_from(SMOOTH), st.integers(0, 999), st.integers(1, 12), st.integers(1, 40))
def test_loss_never_rises_along_the_flow(activation, seed, n, m):
    case = simulated(n=n, d=5, m=m, activation=activation, seed=seed)
    record = af.Record(every=1, ntg=False, eigmin=False)
    loss = af.gradient_flow(case.net, case.X, case.y, t_end=5.0, dt=0.25, record=record).loss
    # a sum of n squares of sums of m features; d + 20 roundings within each
    assert np.all(np.diff(loss) <= (n + 2 * m + 50) * EPS * loss[0])


@SETTINGS
@given(st.integers(0, 999), st.integers(1, 60), st.floats(0, 1), st.floats(0.05, 5))
def test_scaling_is_a_decreasing_distribution(seed, m, gamma, alpha):
    lam = af.node_scaling(m, gamma, alpha)
    assert abs(lam.sum() - 1) <= (m + 6) * EPS
    assert np.all(lam >= 0)
    assert np.all(np.diff(lam) <= 0)


@SETTINGS
@given(sizes, st.integers(1, 3))
def test_training_matches_the_oracle(size, steps):
    case = simulated(**{**size, "activation": "swish"})
    run = af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=steps)
    (W,) = oracles.gradient_descent(case.model, case.X, case.y, 0.5, [steps])
    step = 0.5 * bounds.node_gradients(case.model, case.X, case.y, "half_sse", EPS).max()
    # each step adds its own rounding; the gradient's slope amplifies earlier ones at most twofold
    bound = 2**steps * (step + EPS * np.abs(W).max()) * len(W)
    assert_within(run.network.W, W, bound)


@SETTINGS
@given(st.integers(0, 999), st.sampled_from(("half_sse", "mse")))
def test_one_step_of_float32_is_near_float64(seed, kind):
    double = simulated(seed=seed)
    single = as_float32(double)
    runs = [
        af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=1, loss=kind)
        for case in (double, single)
    ]
    eps = single.eps
    bound = 0.5 * bounds.node_gradients(double.model, double.X, double.y, kind, eps)
    bound += eps * np.abs(runs[0].network.W)
    assert_within(runs[1].network.W, runs[0].network.W, bound)
