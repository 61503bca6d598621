"""The neural tangent Gram matrix: what Eq. (5) implies, whatever computes it."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import ACTIVATIONS, BACKENDS, DTYPES, SMOOTH, assert_same_bits, assert_within, problem

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", [0, 2])
def test_is_the_gram_matrix_of_the_jacobian(backend, dtype, activation, output):
    case = problem(outputs=3, activation=activation, dtype=dtype)
    K = case.net.ntg(case.X, output=output, backend=backend)
    J = oracles.jacobian(case.model, case.x64, output)
    # the products J J^T are sums of m d terms, and each entry of J carries five roundings
    product = (J.shape[1] + 10) * np.finfo(np.float64).eps * np.abs(J) @ np.abs(J).T
    assert_within(K, J @ J.T, bounds.ntg(case.model, case.x64, case.eps, output=output) + product)


@pytest.mark.parametrize("activation", SMOOTH)
def test_is_the_gram_matrix_of_central_differences(backend, activation):
    """J from net(X) itself: independent of every derivative in the library and in the oracle."""
    case = problem(n=7, d=3, m=5, activation=activation)
    W, h = case.net.W, 1e-4

    def slope(step):
        """Central differences (n, m d) of the output."""
        columns = []
        for entry in np.ndindex(*W.shape):
            f = []
            for sign in (1, -1):
                shifted = W.copy()
                shifted[entry] += sign * step
                net = af.Network(shifted, case.net.a, case.net.lam, activation=activation)
                f.append(net(case.X, backend=backend))
            columns.append((f[0] - f[1]) / (2 * step))
        return np.stack(columns, axis=1)

    J, coarse = slope(h), slope(2 * h)
    # truncation c h^2 + O(h^4): J(2h) - J(h) = 3 c h^2; rounding: the errors of f and W + h over h
    rounding = bounds.forward(case.model, case.X, case.eps).max() / h
    rounding += np.finfo(float).eps * np.abs(W).max() / h * np.abs(J).max()
    dJ = np.abs(J - coarse) + 2 * rounding
    carried = np.abs(J) @ dJ.T + dJ @ np.abs(J).T + dJ @ dJ.T
    bound = carried + bounds.ntg(case.model, case.X, case.eps)
    assert_within(case.net.ntg(case.X, backend=backend), J @ J.T, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 8, 67, 131])
def test_symmetric_and_positive(backend, dtype, activation, n):
    case = problem(n=n, d=5, m=64, activation=activation, dtype=dtype)
    K = case.net.ntg(case.X, backend=backend)
    assert_same_bits(K, K.T)
    # exact K has no negative eigenvalue; by Weyl the computed one moves them by its error's norm
    error = np.linalg.norm(bounds.ntg(case.model, case.x64, case.eps))
    eigenvalues = np.linalg.eigvalsh(K.astype(np.float64))
    assert eigenvalues[0] >= -error - n * np.finfo(float).eps * eigenvalues[-1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_add_up_to_the_whole(backend, dtype):
    case = problem(dtype=dtype)
    parts = [case.net.ntg(case.X, part=part, backend=backend) for part in (1, 2)]
    uniform = np.full(37, 0.5 / 37)
    weights = (uniform, case.model.lam - uniform)
    whole = bounds.ntg(case.model, case.x64, case.eps)
    for got, lam in zip(parts, weights, strict=True):
        # the difference lam - gamma/m rounds by an eps of lam itself: inside the bound for lam
        assert_within(got, oracles.ntg(case.model._replace(lam=lam), case.x64), whole)
    total = parts[0].astype(np.float64) + parts[1]
    assert_within(total, case.net.ntg(case.X, backend=backend).astype(np.float64), 3 * whole)


def test_trace(backend):
    """tr K = sum_i |x_i|^2 / d sum_j lam_j a_j^2 sigma'(Z_ij)^2."""
    case = problem()
    s = oracles.activation("swish", oracles.preactivation(case.model, case.X), 1)
    exact = np.sum(np.sum(case.X**2, axis=1) / 11 * (s**2 @ (case.model.lam * case.model.a**2)))
    bound = np.trace(bounds.ntg(case.model, case.X, case.eps)) + 23 * case.eps * exact
    assert_within(np.trace(case.net.ntg(case.X, backend=backend)), exact, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", [0, (0, 2), (2, 0), (1, 1)])
def test_cross_kernel(backend, dtype, output):
    case, other = (problem(n=n, outputs=3, dtype=dtype, seed=s) for n, s in ((23, 0), (14, 1)))
    K = case.net.ntg(case.X, other.X, output=output, backend=backend)
    assert K.dtype == dtype
    exact = oracles.ntg(case.model, case.x64, other.x64, output)
    bound = bounds.ntg(case.model, case.x64, case.eps, other.x64, output)
    assert_within(K, exact, bound)
    flipped = output if output == 0 else output[::-1]
    back = case.net.ntg(other.X, case.X, output=flipped, backend=backend)
    assert_within(back.T, exact, bound)


def test_cross_kernel_with_itself_is_the_ntg(backend):
    case = problem()
    K, cross = (case.net.ntg(case.X, X2, backend=backend) for X2 in (None, case.X.copy()))
    assert_within(cross, K, bounds.ntg(case.model, case.X, case.eps))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scales_with_lam(backend, dtype):
    case = problem(dtype=dtype)
    for c in (4.0, 0.3):
        net = af.Network(case.net.W, case.net.a, c * case.net.lam)
        bound = bounds.ntg(case.model._replace(lam=c * case.model.lam), case.x64, case.eps)
        exact = c * oracles.ntg(case.model, case.x64)
        assert_within(net.ntg(case.X, backend=backend), exact, bound)


def test_order_of_nodes_changes_only_rounding(backend):
    case = problem()
    order = np.random.default_rng(1).permutation(37)
    net = af.Network(case.net.W[order], case.net.a[order], case.net.lam[order])
    bound = bounds.ntg(case.model, case.X, case.eps)
    assert_within(net.ntg(case.X, backend=backend), case.net.ntg(case.X, backend=backend), bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_identity_closed_form(backend, dtype):
    """sigma' = 1: K = X X^T / d sum_j lam_j a_j^2, whatever W is."""
    case = problem(activation="identity", dtype=dtype)
    X = case.x64
    exact = X @ X.T / 11 * np.sum(case.model.lam * case.model.a**2)
    bound = bounds.ntg(case.model, X, case.eps)
    assert_within(case.net.ntg(case.X, backend=backend), exact, bound)


def test_zero_lam_contributes_nothing(backend):
    """A finite network of width K inside a wide one (gamma = 0, Section 2): rank at most K d."""
    case = problem(n=23, d=3, m=37)
    lam = np.zeros(37)
    lam[:2] = 0.5
    wide = af.Network(case.net.W, case.net.a, lam)
    narrow = af.Network(case.net.W[:2].copy(), case.net.a[:2].copy(), lam[:2].copy())
    bound = bounds.ntg(case.model._replace(lam=lam), case.X, case.eps)
    K = wide.ntg(case.X, backend=backend)
    assert_within(K, narrow.ntg(case.X, backend=backend), bound)
    assert np.linalg.matrix_rank(K, tol=np.linalg.norm(bound)) <= 6


def test_scalings_near_the_largest_double(backend):
    """Their sum overflows, and says nothing; the matrix of zero inputs is zero."""
    lam = np.array([1.0, 1e200, 0.5, 1e308])
    net = af.Network(np.ones((4, 1), np.float32), np.full(4, 1.3, np.float32), lam)
    zero = np.zeros((1, 1), np.float32)
    np.testing.assert_array_equal(net.ntg(zero, backend=backend), zero)
