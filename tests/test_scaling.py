"""node_scaling: Eq. (1) with Eq. (35)."""

from __future__ import annotations

import asymfast as af
import mpmath as mp
import numpy as np
import oracles
import pytest
from cases import EPS

SIZES = (1, 2, 3, 50, 2000)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.7, 1.0, 3.0])
def test_equals_the_formula(m, gamma, alpha):
    lam = af.node_scaling(m, gamma, alpha)
    assert lam.shape == (m,)
    assert lam.dtype == np.float64
    # t_j carries the error of the power, whose exponent ln(j)/alpha amplifies one rounding by
    # itself; then a sum of m terms, a division, two products and a sum on either side
    roundings = m + 6 + np.log(m) / alpha
    exact = oracles.node_scaling(m, gamma, alpha)
    assert np.all(np.abs(lam - exact) <= roundings * EPS * exact)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_sums_to_one(m, gamma):
    # each lam_j errs by a few roundings of itself, the sum by m more of a total of 1
    assert abs(np.sum(af.node_scaling(m, gamma, 0.7)) - 1) <= (m + 6) * EPS


@pytest.mark.parametrize("m", SIZES)
def test_gamma_one_is_uniform_exactly(m):
    assert np.all(af.node_scaling(m, 1.0) == 1.0 / m)
    assert np.all(af.node_scaling(m, 1) == 1.0 / m)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_one_node_carries_everything(gamma):
    assert af.node_scaling(1, gamma, 0.7) == 1.0


def test_decreasing():
    assert np.all(np.diff(af.node_scaling(500, 0.2, 0.5)) < 0)


def test_alpha_near_and_beyond_one():
    """Eq. (35) has zeta(1/alpha), infinite from alpha = 1 on; in Eq. (1) it cancels."""
    with mp.workdps(30):
        harmonic = float(1 / mp.harmonic(2000))
    assert abs(af.node_scaling(2000, 0.0, 1.0)[0] - harmonic) <= 2006 * EPS * harmonic


def test_tiny_alpha_underflows_quietly():
    lam = af.node_scaling(2000, 0.0, 0.001)
    assert lam[0] == 1.0
    assert 0 < lam[1] <= 1e-300
    assert np.all(lam[10:] == 0.0)


@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_weights_take_the_place_of_the_power_law(gamma):
    weights = np.array([3.0, 0.0, 1.0, 0.5])
    exact = oracles.node_scaling(4, gamma, weights=weights)
    for given in (weights, weights.tolist(), 1e3 * weights):
        assert np.all(np.abs(af.node_scaling(4, gamma, weights=given) - exact) <= 10 * EPS * exact)


def test_weights_do_not_depend_on_their_unit_near_overflow_and_underflow():
    exact = oracles.node_scaling(3, 0.5, weights=np.array([4.0, 2.0, 1.0]))
    for unit in (1e-300, 1e300):
        lam = af.node_scaling(3, 0.5, weights=unit * np.array([4.0, 2.0, 1.0]))
        assert np.all(np.abs(lam - exact) <= 9 * EPS * exact)
