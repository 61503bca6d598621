"""The vector kernels of sigma, sigma', sigma'' against mpmath, element by element."""

from __future__ import annotations

from functools import cache

import asymfast as af
import bounds
import mpmath as mp
import numpy as np
import oracles
import pytest
from cases import ACTIVATIONS, BACKENDS, DTYPES

pytestmark = [
    pytest.mark.parametrize("dtype", DTYPES),
    pytest.mark.parametrize("name", ACTIVATIONS),
]
backends = pytest.mark.parametrize("backend", BACKENDS)
orders = pytest.mark.parametrize("order", [0, 1, 2])

# Trigonometric functions of larger arguments lose digits unless reduced with all digits of pi; the
# pre-activations of the paper are of size 1. Beyond, the values must be bounded, nothing more.
TRIGONOMETRIC_RANGE = 1e4


def grid(dtype):
    """Uniform where the functions bend, then every magnitude from subnormal to the largest."""
    kind = np.finfo(dtype)
    near = np.concatenate([np.linspace(-12, 12, 193), np.linspace(-1.4, -1.1, 31)])
    edge = np.linspace(14, 760, 91)  # where exp(-z) and its square leave single and double range
    powers = np.geomspace(kind.smallest_normal, 0.5 * kind.max, 120, dtype=dtype)
    ends = [0.0, kind.smallest_subnormal, 77 * kind.smallest_subnormal, kind.eps, kind.max]
    half = np.concatenate([edge, powers, np.array(ends, dtype=dtype)]).astype(dtype)
    return np.concatenate([near.astype(dtype), half, -half])


def allowed_error(name, z, order, dtype):
    """8 eps of the absolute terms (see bounds.ACTIVATION_EPS).

    Below the normal range an exponential may round to 0; its factor z is below 800 there, z^2 only
    beside Gaussians, whose z is below 40.
    """
    kind = np.finfo(dtype)
    scale = bounds.activation_scale(name, z, order)
    return bounds.ACTIVATION_EPS * float(kind.eps) * scale + 1600 * float(kind.smallest_normal)


@cache
def exact_on_grid(name, dtype, order):
    """(z, sigma^(order)(z) by mpmath); each backend is compared with the same values."""
    z = grid(dtype)
    if name in ("sin", "cos"):
        z = z[np.abs(z) <= TRIGONOMETRIC_RANGE]
    return z, [oracles.activation_mp(name, each, order) for each in z]


@orders
@backends
def test_accuracy(name, dtype, order, backend):
    z, exact = exact_on_grid(name, dtype, order)
    got = af._core.activation(name, z, order, backend)
    assert got.dtype == z.dtype
    assert got.shape == z.shape
    allowed = allowed_error(name, z, order, dtype)
    error = np.array([float(abs(mp.mpf(float(g)) - e)) for g, e in zip(got, exact, strict=True)])
    worst = np.argmax(error / allowed)
    assert np.all(error <= allowed), (
        f"z = {z[worst]!r}: got {got[worst]!r}, exact {mp.nstr(exact[worst], 17)}, "
        f"{error[worst] / allowed[worst]:.3g} x the bound"
    )


@orders
def test_remainder_lanes(name, dtype, order):
    """Every length: the last lanes get the same function as the first."""
    z = np.random.default_rng(0).normal(0, 2, 67).astype(dtype)
    allowed = allowed_error(name, z, order, dtype)
    exact = oracles.activation(name, z, order)
    for length in range(1, 68):
        got = af._core.activation(name, z[:length].copy(), order)
        # twice: the float64 oracle errs as much as a float64 kernel may
        assert np.all(np.abs(got - exact[:length]) <= 2 * allowed[:length])


@orders
def test_finite_input_never_gives_nan(name, dtype, order):
    values = af._core.activation(name, grid(dtype), order)
    assert not np.any(np.isnan(values))
    if name in ("sin", "cos") or (name not in ("identity", "relu", "softplus") and order > 0):
        assert np.all(np.abs(values) <= 1.2)  # the largest supremum is erf's 1.128


def test_nan_stays_nan(name, dtype):
    """A run must notice that it diverged."""
    z = np.full(67, np.nan, dtype=dtype)
    assert np.all(np.isnan(af._core.activation(name, z, 0)))


def test_infinities(name, dtype):
    """sigma(+-inf) is the limit or, where a limit needs inf * 0 or does not exist, NaN."""
    limits = {
        "identity": (-np.inf, np.inf),
        "relu": (0.0, np.inf),
        "swish": (0.0, np.inf),
        "softplus": (0.0, np.inf),
        "gelu": (0.0, np.inf),
        "sigmoid": (0.0, 1.0),
        "tanh": (-1.0, 1.0),
        "erf": (-1.0, 1.0),
        "sin": (np.nan, np.nan),
        "cos": (np.nan, np.nan),
    }
    got = af._core.activation(name, np.array([-np.inf, np.inf], dtype=dtype), 0)
    for value, limit in zip(got, limits[name], strict=True):
        assert np.isnan(value) or value == limit


@orders
def test_exact_values_at_zero(name, dtype, order):
    """Odd functions vanish, constants are the rounded constants, relu'(0) = 0."""
    got = af._core.activation(name, np.zeros(1, dtype=dtype), order)[0]
    exact = float(oracles.activation_mp(name, 0.0, order))
    assert abs(float(got) - exact) <= np.finfo(dtype).eps * abs(exact)
