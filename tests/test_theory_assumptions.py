"""The assumption checker: what fails, and by how much."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from asymfast import theory


def unit_rows(n=5, d=4, seed=0, dtype=np.float64):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(dtype)


def failed(*args, **keywords):
    return {check.asks: check for check in theory.check_assumptions(*args, **keywords).failures}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ">f4"])
def test_the_papers_setting_holds(dtype):
    """Unit rows are of length 1 within the rounding of their type."""
    X = unit_rows(60, 30, dtype=dtype)
    y = np.ones(60, dtype=dtype)
    W = np.random.default_rng(1).standard_normal((100, 30))
    report = theory.check_assumptions(X, y, "tanh", W=W)
    assert report.hold
    assert report.failures == ()
    assert [check.name for check in report] == ["2.1(a)", "2.1(b)", "2.1(c)"] + ["2.2"] * 4 + [
        "2.3"
    ]
    assert (report.C, report.L) == (1.0, 1.0)
    assert pytest.approx(4 / (3 * math.sqrt(3))) == report.M
    assert str(report).count("holds") == 8


def test_long_rows():
    X = unit_rows()
    X[2] *= 1.5
    check = failed(X, activation="tanh")["0 < |x_i| <= 1"]
    assert check.value == pytest.approx(1.5)
    assert check.excess == pytest.approx(0.5)
    assert "above 1 by 0.5 in row 2" in check.finding


def test_zero_rows_are_parallel_to_all():
    X = unit_rows()
    X[3] = 0
    found = failed(X, activation="tanh")
    assert "1 of 5 rows of X are zero, the first is row 3" in found["0 < |x_i| <= 1"].finding
    assert "4 pairs of rows" in found["no two rows parallel"].finding


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.37, -1e-3])
def test_parallel_rows(factor):
    X = unit_rows()
    X[4] = factor * X[1]
    check = failed(X, activation="tanh")["no two rows parallel"]
    assert "1 pairs of rows are parallel, the first is 1 and 4" in check.finding


def test_nearly_parallel_rows_are_not_parallel():
    X = unit_rows()
    X[4] = X[1] + 1e-11 * X[0]
    report = theory.check_assumptions(X, activation="tanh")
    (check,) = (each for each in report if each.name == "2.1(b)")
    assert check.holds
    sine = math.sqrt(1 - (X[0] @ X[1]) ** 2)
    assert check.value == pytest.approx(1e-11 * sine, rel=1e-4)


def test_one_row():
    assert theory.check_assumptions(unit_rows(1), np.ones(1), "sin").hold


@pytest.mark.parametrize(
    ("activation", "asks"),
    [
        ("swish", {"|sigma'| <= 1"}),
        ("gelu", {"|sigma'| <= 1"}),
        ("erf", {"|sigma'| <= 1"}),
        ("relu", {"sigma is analytic", "|sigma''| <= M"}),
        ("identity", {"sigma is no polynomial"}),
        ("softplus", set()),
        ("sigmoid", set()),
        ("sin", set()),
        ("cos", set()),
    ],
)
def test_activations(activation, asks):
    found = failed(unit_rows(), activation=activation)
    assert set(found) == asks
    if "|sigma'| <= 1" in asks:
        z = np.linspace(-8, 8, 1_600_001)
        largest = np.abs(oracles.activation(activation, z, 1)).max()
        assert found["|sigma'| <= 1"].excess == pytest.approx(largest - 1, abs=1e-9)


@pytest.mark.parametrize(
    ("draw", "statistic"),
    [
        (lambda rng, size: rng.standard_normal(size) + 0.2, "mean"),
        (lambda rng, size: 1.1 * rng.standard_normal(size), "variance"),
        (lambda rng, size: np.sqrt(3) * rng.uniform(-1, 1, size), "fourth moment"),
        (lambda rng, size: np.zeros(size), "variance"),
    ],
)
def test_weights_that_are_not_normal(draw, statistic):
    W = draw(np.random.default_rng(0), (200, 20))
    check = failed(unit_rows(5, 20), activation="tanh", W=W)["w_0j ~ N(0, I)"]
    assert f"the {statistic} of the weights" in check.finding
    assert check.value > 5


@pytest.mark.slow
def test_normal_weights_of_all_sizes_pass():
    """2000 draws of sizes 1 to 2000: five standard errors are hardly ever exceeded."""
    rng = np.random.default_rng(3)
    failures = sum(
        not theory.check_assumptions(
            np.ones((1, 1)), activation="tanh", W=rng.standard_normal((int(m), 1))
        ).hold
        for m in np.geomspace(1, 2000, 2000)
    )
    assert failures <= 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: theory.check_assumptions(X, np.ones(3)), "y must have shape"),
        (lambda X: theory.check_assumptions(X, np.full(5, np.nan)), "y must be finite"),
        (lambda X: theory.check_assumptions(X, activation="step"), "activation must be one of"),
        (lambda X: theory.check_assumptions(X, W=np.ones((2, 3))), "W must have shape"),
        (lambda X: theory.check_assumptions(X * np.inf), "X must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(unit_rows())
