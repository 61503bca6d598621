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

# Where a kernel changes its formula: the ends of the exponential, half of them for tanh, the
# Gaussian's, those of erf's series and of the reduction by quarter turns.
CHANGES = {
    "float32": [87.3, 43.65, 40.0, 0.5, 8192.0],
    "float64": [708.3, 354.15, 40.0, 0.5, 1e6],
}


def grid(dtype):
    """Uniform where the functions bend; where formulas change; every magnitude there is."""
    kind = np.finfo(dtype)
    near = np.concatenate([np.linspace(-12, 12, 193), np.linspace(-1.4, -1.1, 31)])
    edge = np.linspace(14, 760, 91)  # where exp(-z) and its square leave single and double range
    turns = np.pi / 4 * np.array([1, 2, 3, 4, 5, 9, 200, 202, 2001, 10000])  # quadrants of sin, cos
    halves = np.log(2) / 64 * np.arange(1, 65)  # reductions of exp
    powers = np.geomspace(kind.smallest_normal, 0.5 * kind.max, 120, dtype=dtype)
    ends = [0.0, kind.smallest_subnormal, 77 * kind.smallest_subnormal, kind.eps, kind.max]
    changes = np.array(CHANGES[dtype], dtype=dtype)
    changes = (changes + np.arange(-3, 4, dtype=dtype)[:, None] * np.spacing(changes)).ravel()
    half = [edge, turns, halves, powers, np.array(ends, dtype=dtype), changes]
    half = np.concatenate([part.astype(dtype) for part in half])
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


@pytest.mark.parametrize("order", [0, 1])
def test_nan_stays_nan(name, dtype, order):
    """A run must notice that it diverged, whatever the sign and the payload of its NaN."""
    if order == 1 and name in ("relu", "identity"):
        return  # their slopes are constants
    bits = np.dtype(dtype.replace("float", "uint"))
    infinity = np.array(np.inf, dtype=dtype).view(bits)
    sign = np.array(-0.0, dtype=dtype).view(bits)
    payloads = np.unique(infinity | (bits.type(1) << np.arange(np.finfo(dtype).nmant, dtype=bits)))
    payloads = np.concatenate([payloads, infinity | (payloads >> bits.type(3)) | bits.type(1)])
    z = np.concatenate([payloads, payloads | sign]).view(dtype)
    assert np.all(np.isnan(z))
    assert np.all(np.isnan(af._core.activation(name, z, order)))


# sigma(-inf), sigma(inf), then sigma'
LIMITS = {
    "identity": ((-np.inf, np.inf), (1.0, 1.0)),
    "relu": ((0.0, np.inf), (0.0, 1.0)),
    "swish": ((0.0, np.inf), (0.0, 1.0)),
    "softplus": ((0.0, np.inf), (0.0, 1.0)),
    "gelu": ((0.0, np.inf), (0.0, 1.0)),
    "sigmoid": ((0.0, 1.0), (0.0, 0.0)),
    "tanh": ((-1.0, 1.0), (0.0, 0.0)),
    "erf": ((-1.0, 1.0), (0.0, 0.0)),
    "sin": ((np.nan, np.nan), (np.nan, np.nan)),
    "cos": ((np.nan, np.nan), (np.nan, np.nan)),
}


@pytest.mark.parametrize("order", [0, 1])
def test_infinities(name, dtype, order):
    """sigma and sigma' at +-inf are the limits; NaN where there is none."""
    got = af._core.activation(name, np.array([-np.inf, np.inf], dtype=dtype), order)
    np.testing.assert_array_equal(got, np.array(LIMITS[name][order], dtype=dtype))


def test_bits_do_not_depend_on_the_caller(name, dtype):
    """One node with W = lam = d = 1 gives sigma(x): the same bits as the function alone."""
    z = grid(dtype)
    z = z[np.abs(z) < 1e30]
    one = np.ones(1, dtype=dtype)
    net = af.Network(np.ones((1, 1), dtype=dtype), one, one, activation=name)
    alone = af._core.activation(name, z, 0)
    np.testing.assert_array_equal(net.features(z[:, None])[:, 0], alone)
    np.testing.assert_array_equal(net(z[:, None]), alone)


@orders
def test_exact_values_at_zero(name, dtype, order):
    """Odd functions vanish, constants are the rounded constants, relu'(0) = 0."""
    got = af._core.activation(name, np.zeros(1, dtype=dtype), order)[0]
    exact = float(oracles.activation_mp(name, 0.0, order))
    assert abs(float(got) - exact) <= np.finfo(dtype).eps * abs(exact)
