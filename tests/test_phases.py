"""The phase diagram: its theory axis, its short runs, its figure."""

from __future__ import annotations

from itertools import pairwise

import asymfast as af
import numpy as np
import oracles
import pytest
from asymfast import theory

GAMMA, ALPHA = (0.0, 0.5, 1.0), (0.3, 0.6)


@pytest.fixture(scope="module")
def data():
    return af.datasets.simulated(n=12, d=6, rng=0)


@pytest.fixture(scope="module")
def diagram(data):
    return af.phase_diagram(*data, gamma=GAMMA, alpha=ALPHA, m=50, steps=30, seeds=2, rng=4)


def test_measure(diagram):
    for i, gamma in enumerate(GAMMA):
        for k, alpha in enumerate(ALPHA):
            exact = (1 - gamma) ** 2 * theory.zeta_ratio(alpha)
            assert diagram.measure[i, k] == pytest.approx(exact)
            lam = oracles.node_scaling(50, gamma, alpha)
            assert diagram.sum_lam2[i, k] == pytest.approx(np.sum(lam**2))


def test_every_point_is_its_single_run(data, diagram):
    X, y = data
    for i, gamma in enumerate(GAMMA):
        for k, alpha in enumerate(ALPHA):
            for s in range(2):
                rng = np.random.default_rng([4, s, 1])
                net = af.Network.init(6, 50, gamma, alpha, rng=rng)
                run = af.gradient_descent(net, X, y, lr=diagram.lr, steps=30)
                change = run.ntg_change[-1] / np.linalg.norm(net.ntg(X))
                assert diagram.ntg_change[i, k, s] == pytest.approx(change, rel=1e-12)
                assert diagram.loss_start[i, k, s] == run.loss[0]
                assert diagram.loss_end[i, k, s] == run.loss[-1]


def test_the_ntg_of_many_samples_is_that_of_500(data):
    """Start and change on the same samples."""
    X, y = af.datasets.simulated(n=520, d=3, rng=2)
    diagram = af.phase_diagram(X, y, gamma=[0.5], alpha=[0.5], m=4, steps=2, seeds=1, lr=1e-3)
    net = af.Network.init(3, 4, 0.5, 0.5, rng=np.random.default_rng([0, 0, 1]))
    run = af.gradient_descent(net, X, y, lr=1e-3, steps=2)
    start = net.ntg(X[:500])
    change = np.linalg.norm(run.network.ntg(X[:500]) - start) / np.linalg.norm(start)
    assert diagram.ntg_change.item() == pytest.approx(change, rel=1e-9)


def test_the_callers_floating_point_settings_make_no_difference(data, diagram):
    with np.errstate(all="raise"):
        strict = af.phase_diagram(*data, gamma=GAMMA, alpha=ALPHA, m=50, steps=30, seeds=2, rng=4)
        np.testing.assert_array_equal(strict.standard_error, diagram.standard_error)
        strict.figure()


def test_labels_of_a_fine_grid_stay_apart(data):
    alpha = np.linspace(0.02, 0.98, 33)
    fine = af.phase_diagram(*data, gamma=np.linspace(0, 1, 21), alpha=alpha, m=3, steps=1, seeds=1)
    figure = fine.figure()
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        for axis, low, high in ((axes.xaxis, "x0", "x1"), (axes.yaxis, "y0", "y1")):
            extents = [tick.label1.get_window_extent() for tick in axis.get_major_ticks()]
            assert len(extents) >= 4
            for one, other in pairwise(extents):
                assert getattr(other, low) - getattr(one, high) >= 2


def test_statistics(diagram):
    np.testing.assert_allclose(diagram.mean_change, diagram.ntg_change.mean(axis=2))
    half = np.abs(np.diff(diagram.ntg_change, axis=2))[..., 0] / 2
    np.testing.assert_allclose(diagram.standard_error, half)


def test_the_measure_orders_the_changes_of_the_ntg(diagram):
    """What the paper says of it: the larger, the more feature learning."""
    assert diagram.rank_correlation >= 0.9


def test_rank_correlation_shares_the_ranks_of_ties(diagram):
    from scipy.stats import spearmanr

    exact = spearmanr(diagram.measure.ravel(), diagram.mean_change.ravel()).statistic
    assert diagram.rank_correlation == pytest.approx(exact)


def test_figure(diagram):
    figure = diagram.figure()
    assert [axes.get_title(loc="left")[:3] for axes in figure.axes[:3]] == ["(a)", "(b)", "(c)"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": ()}, "gamma must be a non-empty sequence"),
        ({"gamma": (0.5, 0.5)}, "gamma must increase"),
        ({"gamma": (0.0, 1.5)}, r"gamma must be in \[0, 1\]"),
        ({"alpha": (0.5, 1.0)}, r"alpha must be in \(0, 1\)"),
        ({"alpha": 0.5}, "alpha must be a non-empty sequence"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"lr": 0.0}, "phase_diagram: lr must be in"),
        ({"lr": "max"}, "phase_diagram: lr must be 'auto' or a number > 0, got 'max'"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_bad_input(data, options, message):
    with pytest.raises(ValueError, match=message):
        af.phase_diagram(*data, **options)


def test_one_seed_and_one_point(data):
    diagram = af.phase_diagram(*data, gamma=[0.5], alpha=[0.5], m=5, steps=1, seeds=1)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        _ = diagram.standard_error
    with pytest.raises(ValueError, match="values that differ"):
        _ = diagram.rank_correlation


def test_more_networks_than_memory_are_refused_at_once():
    with pytest.raises(
        MemoryError, match=r"phase_diagram: needs .* GB for .* networks.*fewer seeds"
    ):
        af.phase_diagram(np.eye(2), np.ones(2), gamma=[0.5], alpha=[0.5], m=4, seeds=2**62, steps=1)


def test_an_ntg_that_grows_from_nothing_is_refused(data):
    X, y = data[0] * 1e-100, data[1]  # K is 1e-400, and 1e-200 after a step of cos
    options = {"gamma": [1.0], "alpha": [0.5], "m": 3, "activation": "cos"}
    with pytest.raises(OverflowError, match=r"was 0 at the start; scale the inputs up"):
        af.phase_diagram(X, y, steps=1, lr=1e299, **options)
    assert (af.phase_diagram(X, y, steps=1, lr=1.0, **options).ntg_change == 0).all()


def test_the_relative_change_survives_squares_that_leave_the_range(data):
    X, y = data
    options = {"gamma": [0.0, 0.5], "alpha": [0.3], "m": 20, "steps": 3, "activation": "relu"}
    usual = af.phase_diagram(X, y, lr=1.0, **options)
    assert usual.ntg_change.max() > 1e-3
    # f of ReLU scales as X, so the residual does, and dL/dW as its square.
    tiny = af.phase_diagram(X * 2.0**-300, y * 2.0**-300, lr=2.0**600, **options)
    np.testing.assert_allclose(tiny.ntg_change, usual.ntg_change, rtol=1e-9)
