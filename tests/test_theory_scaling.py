"""Scaling: zeta functions against mpmath, sums against direct addition, Proposition B.2."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import oracles
import pytest
from asymfast import theory
from asymfast.theory.scaling import zeta
from cases import EPS

ALPHAS = (1e-3, 0.05, 0.3, 0.5, 0.7, 0.95, 0.9999, 1 - 1e-9)


@pytest.mark.parametrize("excess", [1e-14, 1e-6, 0.01, 0.43, 1.0, 7.3, 60.0, 999.0])
@pytest.mark.parametrize("first", [1, 2, 17, 1000])
def test_tail_of_zeta(excess, first):
    # mpmath's digits are absolute ones
    with mp.workdps(40 + min(330, int((1 + excess) * math.log10(first)))):
        exact = mp.zeta(1 + mp.mpf(excess), first)
        # the power itself: its exponent (1 + excess) log(start) has one rounding
        start = max(first, 2 * excess + 17)
        allowed = (20 + (1 + excess) * math.log(start)) * EPS
        # below 1e-308 there are no digits to keep
        assert abs(zeta(excess, first) - exact) <= allowed * exact + mp.mpf("1e-307")


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("r", [1.0, 1.5, 2.0, 3.0])
def test_zeta_ratio(alpha, r):
    with mp.workdps(40):
        exact = mp.zeta(r / mp.mpf(alpha)) / mp.zeta(1 / mp.mpf(alpha)) ** r
        # exp(log zeta - r log zeta): logarithms of at most 25, each with one rounding
        assert abs(theory.zeta_ratio(alpha, r) - exact) <= 100 * r * EPS * exact


def test_zeta_ratio_of_the_paper():
    """1/alpha = 2: t_j = 6 / (pi j)^2 and the sum of squares is (pi^4 / 90) (6 / pi^2)^2 = 2/5."""
    assert theory.zeta_ratio(0.5) == pytest.approx(0.4, rel=1e-14)


@pytest.mark.parametrize("alpha", [0.3, 0.7, 0.95])
def test_zipf_weights_and_tail(alpha):
    t = theory.zipf_weights(1000, alpha)
    for r in (1.0, 2.0):
        assert math.fsum(t**r) + theory.zipf_tail(alpha, 1000, r) == pytest.approx(
            theory.zeta_ratio(alpha, r), rel=1e-13
        )


@pytest.mark.parametrize(
    ("m", "gamma", "alpha"), [(1, 0.3, 0.5), (7, 0.0, 0.9), (500, 0.5, 0.7), (40, 1.0, None)]
)
def test_parts_add_up(m, gamma, alpha):
    lam1, lam2 = theory.node_scaling_parts(m, gamma, alpha)
    exact = oracles.node_scaling(m, gamma, alpha)
    assert np.all(np.abs(lam1 + lam2 - exact) <= (m + 20) * EPS * exact)
    assert np.all(lam1 == gamma / m)
    assert lam2.sum() == pytest.approx(1 - gamma, abs=1e-14)


def test_parts_from_weights():
    lam1, lam2 = theory.node_scaling_parts(4, 0.5, weights=[2, 2, 0, 0])
    np.testing.assert_array_equal(lam1, 0.125)
    np.testing.assert_array_equal(lam2, [0.25, 0.25, 0, 0])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("alpha", [0.05, 0.4, 0.7, 0.99, 1.0, 2.5])
@pytest.mark.parametrize("r", [0.5, 1.0, 1.5, 2.0])
def test_sum_of_powers_equals_addition(gamma, alpha, r):
    """Beyond 65536 nodes the rest is an integral; here it is two thirds of the nodes."""
    m = 200_000
    exact = math.fsum(oracles.node_scaling(m, gamma, alpha) ** r)
    assert theory.sum_of_powers(m, gamma, alpha, r) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("m", [10**12, 6.4e23, 1e150])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("alpha", [0.3, 0.7, 0.95])
def test_sum_of_squares_of_astronomical_widths(m, gamma, alpha):
    """lam^2 = (gamma/m)^2 + 2 (gamma/m) b + b^2: partial sums of zeta functions."""
    with mp.workdps(60):
        m_, a = mp.mpf(m), mp.mpf(alpha)

        def partial(s):
            return mp.zeta(s) - mp.zeta(s, m_ + 1)

        ratio = partial(2 / a) / partial(1 / a) ** 2
        g = mp.mpf(gamma)
        exact = g**2 / m_ + 2 * g * (1 - g) / m_ + (1 - g) ** 2 * ratio
    assert theory.sum_of_powers(m, gamma, alpha) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("alpha", [0.3, 0.8])
@pytest.mark.parametrize("r", [1.5, 2.0, 4.0])
def test_proposition_b2(gamma, alpha, r):
    for m in (1, 50, 1e7, 1e30):
        b2 = theory.proposition_b2(m, gamma, alpha, r)
        slack = 1 + 1e-11
        assert b2.total == pytest.approx(1, rel=1e-12)
        assert b2.root_lower <= b2.root_sum * slack
        assert b2.root_sum <= b2.root_upper * slack
        assert b2.power_lower <= b2.power_sum * slack
        assert b2.power_sum <= b2.power_upper * slack
    assert b2.power_sum == pytest.approx(b2.power_limit, rel=1e-3, abs=1e-14)
    assert b2.power_limit == pytest.approx((1 - gamma) ** r * theory.zeta_ratio(alpha, r))


def test_the_misprint_of_equation_11():
    """gamma = 1: sum lambda^2 is 1/m, sum (lambda^(2))^2 is 0; only the limit agrees."""
    b2 = theory.proposition_b2(1000, 1.0)
    assert (b2.power_sum, b2.power_lower, b2.power_limit) == (pytest.approx(1e-3), 0.0, 0.0)


def test_alpha_towards_one_is_the_kernel_regime():
    measures = [theory.feature_learning_measure(0.0, a) for a in (0.9, 0.99, 0.999, 0.999999)]
    assert np.all(np.diff(measures) < 0)
    assert measures[-1] < 1e-10
    # even where Eq. (35) has all but vanished, Eq. (1) has a limit: lambda_1 -> 1 / H_m
    harmonic = math.fsum(1 / j for j in range(1, 2001))
    lam2 = theory.node_scaling_parts(2000, 0.0, 1 - 1e-12)[1]
    assert lam2[0] == pytest.approx(1 / harmonic, rel=1e-10)


def test_feature_learning_measure_of_weights():
    assert theory.feature_learning_measure(0.5, weights=[3, 3, 3]) == pytest.approx(0.25 / 3)
    assert theory.feature_learning_measure(1.0) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.zeta_ratio(1.0), "alpha must be in (0, 1)"),
        (lambda: theory.zeta_ratio(0.0), "alpha must be in (0, 1)"),
        (lambda: theory.zeta_ratio(math.nan), "alpha must be in (0, 1)"),
        (lambda: theory.zipf_weights(0, 0.5), "terms must be at least 1"),
        (lambda: theory.node_scaling_parts(3, 0.5), "needs alpha or weights"),
        (lambda: theory.node_scaling_parts(3, 1.5, 0.5), "gamma must be in [0, 1]"),
        (lambda: theory.node_scaling_parts(3, 0.5, weights=[0, 0, 0]), "must not be all zero"),
        (lambda: theory.node_scaling_parts(2, 0.5, weights=[1, -1]), "must be >= 0"),
        (lambda: theory.sum_of_powers(1.5, 0.5, 0.5), "m must be a whole number"),
        (lambda: theory.sum_of_powers(0, 0.5, 0.5), "m must be in [1, 1e+300]"),
        (lambda: theory.sum_of_powers(10, 0.5), "needs alpha"),
        (lambda: theory.proposition_b2(10, 0.5, 0.5, r=1.0), "r must be in (1, inf)"),
        (lambda: theory.feature_learning_measure(0.5), "either alpha or weights"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(
        ValueError,
        match=message.replace("(", r"\(")
        .replace(")", r"\)")
        .replace("[", r"\[")
        .replace("]", r"\]")
        .replace("+", r"\+"),
    ):
        call()
