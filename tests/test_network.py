"""Network: construction, draws, views, stacks, importance and pruning."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import (
    DTYPES,
    EPS,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keeps_contiguous_arrays_without_copies(dtype):
    case = problem(dtype=dtype)
    W, a = case.net.W.copy(), case.net.a.copy()
    lam = case.net.lam.astype(np.float64)
    net = af.Network(W, a, lam)
    for kept, given in ((net.W, W), (net.a, a), (net.lam, lam)):
        assert np.shares_memory(kept, given)
        assert not kept.flags.writeable
        assert given.flags.writeable  # the caller's own array stays as it was


def test_is_immutable():
    net = problem().net
    with pytest.raises(AttributeError):
        net.activation = "relu"
    with pytest.raises(ValueError, match="read-only"):
        net.W[0, 0] = 1.0


def test_attributes():
    net = problem(outputs=3, activation="tanh").net
    assert (net.m, net.d, net.k, net.B) == (37, 11, 3, None)
    assert (net.dtype, net.activation, net.gamma, net.alpha) == (np.float64, "tanh", 0.5, 0.7)
    assert problem().net.k == 1
    stack = af.Network.stack([problem(seed=seed).net for seed in range(4)])
    assert (stack.B, len(stack), stack.m, stack.d, stack.k) == (4, 4, 37, 11, 1)
    assert stack.W.shape == (4, 37, 11)
    assert stack.a.shape == stack.lam.shape == (4, 37)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 4])
def test_init_draws_in_the_documented_order(dtype, outputs):
    net = af.Network.init(5, 9, 0.5, 0.7, outputs=outputs, rng=3, dtype=dtype)
    rng = np.random.default_rng(3)
    W = rng.standard_normal((9, 5))
    a = 2 * rng.integers(0, 2, size=(9,) if outputs == 1 else (9, outputs)) - 1
    assert_same_bits(net.W, W.astype(dtype))
    assert_same_bits(net.a, a.astype(dtype))
    exact = oracles.node_scaling(9, 0.5, 0.7)
    assert np.all(np.abs(net.lam - exact) <= 20 * np.finfo(net.lam.dtype).eps * exact)
    assert (net.activation, net.gamma, net.alpha) == ("swish", 0.5, 0.7)


def test_init_takes_what_default_rng_takes():
    seeds = (7, np.random.default_rng(7), np.random.SeedSequence(7), np.random.PCG64(7))
    first, *others = (af.Network.init(3, 4, 1.0, rng=seed) for seed in seeds)
    for other in others:
        assert_same_bits(first.W, other.W)
        assert_same_bits(first.a, other.a)


def test_init_of_an_ensemble():
    stack = af.Network.init(5, 9, [1.0, 0.5], [None, 0.7], rng=[3, 4])
    assert stack.B == 2
    for b, (gamma, alpha, seed) in enumerate([(1.0, None, 3), (0.5, 0.7, 4)]):
        alone = af.Network.init(5, 9, gamma, alpha, rng=seed)
        for name in ("W", "a", "lam"):
            assert_same_bits(getattr(stack[b], name), getattr(alone, name))
        assert stack[b].gamma == gamma
    shared = af.Network.init(5, 9, [1.0, 0.5, 0.0], 0.7, rng=3)
    assert shared.B == 3
    assert_same_bits(shared.W[0], shared.W[2])  # one seed, the same draws
    assert shared.lam[0, 0] < shared.lam[2, 0]


def test_init_from_weights():
    weights = np.array([5.0, 1.0, 1.0, 0.0])
    net = af.Network.init(3, 4, 0.25, weights=weights, rng=0)
    exact = oracles.node_scaling(4, 0.25, weights=weights)
    assert np.all(np.abs(net.lam - exact) <= 10 * EPS * exact)


def test_members_of_a_stack():
    nets = [problem(seed=seed).net for seed in range(3)]
    stack = af.Network.stack(nets)
    for b, net in enumerate(nets):
        for member in (stack[b], stack.member(b)):
            assert member.B is None
            for name in ("W", "a", "lam"):
                assert_same_bits(getattr(member, name), getattr(net, name))
            assert (member.activation, member.gamma, member.alpha) == ("swish", 0.5, 0.7)
    assert_same_bits(stack[-1].W, nets[-1].W)
    assert len(list(stack)) == 3
    with pytest.raises(IndexError):
        stack[3]


def test_single_network_has_no_members():
    net = problem().net
    with pytest.raises(TypeError):
        len(net)
    with pytest.raises(TypeError):
        net[0]


def test_shapes_of_results():
    single, multi = problem(), problem(outputs=3)
    assert single.net(single.X).shape == (23,)
    assert multi.net(multi.X).shape == (23, 3)
    assert np.ndim(single.net.loss(single.X, single.y)) == 0
    assert single.net.node_gradients(single.X, single.y).shape == (37, 11)
    assert single.net.features(single.X).shape == (23, 37)
    assert single.net.ntg(single.X, single.X[:4]).shape == (23, 4)
    assert bool(single.net)
    column = af.Network(single.net.W, single.net.a[:, None], single.net.lam)
    assert column(single.X).shape == (23, 1)


@pytest.mark.parametrize("outputs", [1, 3])
def test_node_importance(outputs):
    net = problem(outputs=outputs).net
    paper = net.lam * np.sum(net.W**2, axis=1)
    authors = net.lam * np.sum(net.a.reshape(37, -1) ** 2, axis=1)
    # sums of d or k squares, one product, on either side
    assert_within(net.node_importance(), paper, 13 * EPS * paper)
    assert_within(net.node_importance(kind="paper"), paper, 13 * EPS * paper)
    assert_within(net.node_importance(kind="authors"), authors, 5 * EPS * authors)


@pytest.mark.parametrize("keep", [1, 10, 37])
def test_prune_keeps_the_most_important_in_order(keep):
    case = problem()
    net = case.net.prune(keep)
    kept = np.sort(np.argsort(-case.net.lam * np.sum(case.net.W**2, axis=1))[:keep])
    for name in ("W", "a", "lam"):
        assert_same_bits(getattr(net, name), getattr(case.net, name)[kept])
    model = oracles.Model(*(v[kept] for v in case.model[:3]))
    exact = oracles.forward(model, case.X)
    assert_within(net(case.X), exact, bounds.forward(model, case.X, EPS))


def test_repr_says_what_it_is():
    text = repr(problem(activation="tanh").net)
    for part in ("Network", "37", "11", "tanh", "float64"):
        assert part in text


@pytest.mark.parametrize(
    ("W", "a", "message"),
    [
        (np.ones((3, 3)), None, r"W must have shape \(3, 2\), got \(3, 3\)"),
        (np.ones((3, 2), complex), None, "W: expected dtype float64, got complex128"),
        (np.ones((3, 2)), np.ones((3, 1)), r"a must have shape \(3,\), got \(3, 1\)"),
        (np.ones((3, 2)), False, r"a: expected dtype|a must have shape"),
    ],
)
def test_other_weights_have_the_shape_and_dtype_of_the_network(W, a, message):
    net = af.Network.init(2, 3, 1.0, rng=0)
    with pytest.raises((TypeError, ValueError), match=f"Network.with_weights: {message}"):
        net.with_weights(W, a)


@pytest.mark.parametrize("dtype", [1e16, "f3", int, object()])
def test_a_dtype_that_is_none_of_ours_is_refused(dtype):
    with pytest.raises(TypeError, match="dtype must be float64 or float32, got"):
        af.Network.init(2, 3, 0.5, 0.5, dtype=dtype)
    with pytest.raises(TypeError, match="simulated: dtype must be float64 or float32"):
        af.datasets.simulated(3, 2, dtype=dtype)


@pytest.mark.parametrize("seeds", [range(5), np.arange(5), tuple(range(5))])
@pytest.mark.parametrize("gamma", [0.5, [1.0, 0.5, 0.4, 0.3, 0.2], np.linspace(0.2, 1, 5)])
def test_any_sequence_of_seeds_makes_an_ensemble(seeds, gamma):
    nets = af.Network.init(d=3, m=4, gamma=gamma, alpha=0.7, rng=seeds)
    assert nets.B == 5
    for b in range(5):
        single = af.Network.init(d=3, m=4, gamma=1.0, rng=b)
        np.testing.assert_array_equal(nets.W[b], single.W)


@pytest.mark.parametrize("gamma", [range(1, 2), (1.0,), [1.0]])
def test_any_sequence_of_gammas_makes_an_ensemble(gamma):
    assert af.Network.init(d=3, m=4, gamma=gamma, rng=0).B == 1


# ---- bias=True -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_bias_is_a_last_input_of_ones(dtype, outputs):
    draw = {"m": 30, "gamma": 0.5, "alpha": 0.7, "outputs": outputs, "rng": 3, "dtype": dtype}
    net = af.Network.init(d=4, bias=True, **draw)
    plain = af.Network.init(d=5, **draw)
    assert (net.d, net.bias, plain.bias) == (5, True, False)
    assert "bias=True" in repr(net)
    X = np.random.default_rng(0).standard_normal((7, 4)).astype(dtype)
    ones = np.c_[X, np.ones(7, dtype)]
    y = np.zeros((*net.a.shape[1:], 7)).T.astype(dtype) + 1
    assert_same_bits(net.W, plain.W)
    assert_same_bits(net(X), plain(ones))
    assert_same_bits(net(ones), plain(ones))
    assert_same_bits(net.ntg(X, X[:3]), plain.ntg(ones, ones[:3]))
    assert_same_bits(net.node_gradients(X, y), plain.node_gradients(ones, y))
    assert_same_bits(net.pullback(X, y, "X"), plain.pullback(ones, y, "X")[:, :4])
    assert_same_bits(net.pullback(ones, y, "X"), plain.pullback(ones, y, "X"))
    for train in (
        lambda net, X: af.gradient_descent(net, X, y, steps=20, X_test=X[:2], y_test=y[:2]),
        lambda net, X: af.gradient_flow(net, X, y, t_end=3.0),
        lambda net, X: af.sgd(net, X, y, batch_size=3, epochs=4, train_output=True),
    ):
        run, other = train(net, X), train(plain, ones)
        assert run.network.bias
        assert_same_run(run_arrays(run), run_arrays(other))


def test_bias_survives(tmp_path):
    """Members, pruning, new weights, files."""
    net = af.Network.init(d=4, m=30, gamma=0.5, alpha=0.7, rng=[1, 2], bias=True)
    X = np.random.default_rng(0).standard_normal((2, 7, 4))
    assert net(X).shape == (2, 7)
    assert all(one.bias for one in (net[0], net.prune(5), net.with_weights(net.W + 1), *net))
    assert_same_bits(net(X)[1], net[1](X[1]))
    run = af.gradient_descent(net, X, np.ones(7), steps=3)
    run.save(tmp_path / "run.npz")
    assert af.Run.load(tmp_path / "run.npz").network.bias


def test_bias_refuses_what_is_not_ones():
    net = af.Network.init(d=4, m=30, gamma=1.0, rng=1, bias=True)
    with pytest.raises(ValueError, match=r"bias=True: X must have 4 columns, or 5 of which the"):
        net(np.full((3, 5), 2.0))
    with pytest.raises(ValueError, match=r"W has 5 columns but X has 3; .* or X one less"):
        net(np.ones((3, 3)))
    with pytest.raises(TypeError, match=r"Network.init: bias must be True or False, got 1"):
        af.Network.init(d=4, m=30, gamma=1.0, bias=1)
    with pytest.raises(ValueError, match="nets must agree"):
        af.Network.stack([net, af.Network(net.W, net.a, net.lam)])
