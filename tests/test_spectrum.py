"""min_eigenvalue: within 1e-10 of the largest, and 1e-6 relative above 1e-10 of the largest."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import BACKENDS, EPS, problem

ABSOLUTE, RELATIVE, FLOOR = 1e-10, 1e-6, 1e-10
SMALL, LARGER = 12, 48  # methods may change with size


def assert_meets_the_contract(K, smallest, largest, uncertainty=0.0):
    """`uncertainty` is how well the given exact values themselves are known."""
    largest = abs(float(largest))
    smallest = float(smallest)
    for backend in BACKENDS if len(K) <= 2 * LARGER else ("cpu",):
        error = abs(af.min_eigenvalue(K, backend=backend) - smallest)
        assert error <= ABSOLUTE * largest + uncertainty
        if smallest > FLOOR * largest:
            assert error <= RELATIVE * smallest + uncertainty


def assert_right(K):
    """Against mpmath with 50 digits: the eigenvalues of the matrix as it is stored."""
    values = oracles.eigenvalues(K)
    assert_meets_the_contract(K, values[0], max(abs(values[0]), abs(values[-1])))


def with_spectrum(spectrum, seed=0):
    return oracles.symmetric_with_spectrum(spectrum, np.random.default_rng(seed))


def assert_finds(spectrum):
    """The smallest of a given spectrum: exactly where mpmath is quick, else to entry rounding."""
    K = with_spectrum(spectrum)
    if len(K) <= SMALL:
        assert_right(K)
    else:
        smallest, largest = np.min(spectrum), np.abs(spectrum).max()
        assert_meets_the_contract(K, smallest, largest, EPS / 2 * np.linalg.norm(K))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17])
def test_random_positive(n):
    J = np.random.default_rng(n).standard_normal((n, 2 * n))
    assert_right(J @ J.T)


@pytest.mark.parametrize("n", [2, 7, 16])
def test_random_indefinite(n):
    A = np.random.default_rng(n).standard_normal((n, n))
    assert_right(A + A.T)


sizes = pytest.mark.parametrize("n", [SMALL, LARGER])


@sizes
@pytest.mark.parametrize("condition", 10.0 ** np.arange(1, 15))
def test_near_singular(n, condition):
    assert_finds(np.geomspace(1 / condition, 1.0, n))


@sizes
@pytest.mark.parametrize("smallest", [2e-10, 1e-9, 1e-6])
def test_one_small_eigenvalue(n, smallest):
    """All others at 1: shifts and deflation find nothing to hold on to."""
    assert_finds([smallest, *[1.0] * (n - 1)])


@sizes
@pytest.mark.parametrize("smallest", [-1.0, -1e-6, -1e-10, -1e-13])
def test_smallest_is_negative(n, smallest):
    assert_finds([smallest, *np.geomspace(1e-6, 1.0, n - 1)])


@sizes
def test_negative_definite(n):
    assert_finds(-np.geomspace(1e-6, 1.0, n))


@sizes
def test_clustered(n):
    half = n // 2
    assert_finds([1e-3 * (1 + 1e-9 * i) for i in range(half)] + [1.0] * (n - half))


@sizes
@pytest.mark.parametrize(
    "lowest",
    [[1 - 1e-9], np.linspace(1 - 3e-9, 1, 20), [1 - 3e-10] + [1 - 6e-11] * 24],
    ids=len,
)
def test_all_eigenvalues_are_close(n, lowest):
    """Any vector has a small residual, but not the smallest eigenvalue."""
    assert_finds([*lowest, *[1.0] * (n - len(lowest))])


@pytest.mark.parametrize(
    "values",
    [
        [3.0, 1.0, 2.0],
        [5.0, -7.0, 5.0],
        [1e-300, 2e-300],
        [1e300, 1e299],
        [1.0, 0.0],
        [-2.0],
        np.roll(np.geomspace(1e-9, 1.0, LARGER), 17),
        [0.25] * LARGER,
        [1.0] * LARGER + [0.0] * LARGER,
    ],
    ids=lambda values: f"{len(values)} from {values[0]:g}",
)
def test_diagonal(values):
    assert_meets_the_contract(np.diag(values), min(values), np.abs(values).max())


@pytest.mark.parametrize("n", [1, 4, 33])
def test_zero_matrix(n):
    assert af.min_eigenvalue(np.zeros((n, n))) == 0.0


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.25])
def test_one_by_one(value):
    assert af.min_eigenvalue(np.array([[value]])) == value


def test_all_ones():
    n = 40
    assert_meets_the_contract(np.ones((n, n)), 0.0, n)


def test_duplicated_rows_have_eigenvalue_zero():
    case = problem(n=12, d=30, m=50)
    X = np.concatenate([case.X, case.X[:1]])
    K = case.net.ntg(X)
    # exactly singular, up to the rounding of its entries (m + d + 40 of them)
    uncertainty = 120 * EPS * np.linalg.norm(K)
    assert abs(af.min_eigenvalue(K)) <= ABSOLUTE * np.linalg.norm(K, 2) + uncertainty


@pytest.mark.parametrize("smallest", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("grading", [np.geomspace, np.linspace])
def test_graded_of_size_200(smallest, grading):
    assert_finds(grading(smallest, 1.0, 200))


@sizes
@pytest.mark.parametrize("exponent", [-500, -60, 500])
def test_units_do_not_matter(n, exponent):
    """A power of two changes no bit of the problem but the exponent."""
    K, unit = with_spectrum(np.geomspace(1e-7, 1.0, n)), 2.0**exponent
    uncertainty = EPS / 2 * np.linalg.norm(K)
    assert_meets_the_contract(unit * K, unit * 1e-7, unit, unit * uncertainty)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e155, 5e307])
def test_squares_may_leave_the_range(backend, scale):
    """Found by fuzzing: Jacobi's sums of squares overflowed, and nothing was rotated."""
    K = scale * np.array([[0.0, -1.0], [-1.0, 0.0]])
    assert af.min_eigenvalue(K, backend=backend) == pytest.approx(-scale, rel=1e-12, abs=5e-324)
    with pytest.raises(OverflowError, match="min_eigenvalue: the result exceeds the range"):
        af.min_eigenvalue(np.full((3, 3), -1e308), backend=backend)
    with pytest.raises(ValueError, match="K must be symmetric, got"):
        af.min_eigenvalue(np.array([[1.0, 1e308], [-1e308, 1.0]]), backend=backend)


def test_paper_matrix_is_found_to_its_conditioning():
    """n = 2 d: the lower half of the spectrum exists only through the non-linear part."""
    case = problem(n=100, d=50, m=500)
    K = case.net.ntg(case.X)
    values = np.linalg.eigvalsh(K)
    # eigvalsh is backward stable: n eps of the norm is a bound with room
    assert_meets_the_contract(K, values[0], values[-1], 100 * EPS * values[-1])


def test_large_matrix_against_lapack():
    J = np.random.default_rng(0).standard_normal((501, 600)) / 600**0.5
    K = J @ J.T
    values = np.linalg.eigvalsh(K)
    assert_meets_the_contract(K, values[0], values[-1], 501 * EPS * values[-1])


def test_takes_any_layout_and_keeps_its_argument():
    K = with_spectrum(np.geomspace(1e-3, 1.0, 9))
    copy = K.copy()
    value = af.min_eigenvalue(K)
    assert isinstance(value, float)
    assert np.array_equal(K, copy)
    wide = np.full((18, 18), np.nan)
    wide[::2, ::2] = K
    assert af.min_eigenvalue(wide[::2, ::2]) == value
    assert af.min_eigenvalue(np.asfortranarray(K)) == value
