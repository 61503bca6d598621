"""The paper's theorems in mpmath, and its expectations by other quadratures than ours.

Nothing of asymfast is imported here. Formulas are typed from the paper with the corrections of the
docstrings; ``L`` multiplies what the proofs multiply for sup |sigma'| = L.
"""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import oracles


def theorem_4_1(n, d, kappa, gamma, delta, M, C, C_1, L=1):
    """Widths, (a), rate of (b), factor of (c), the two factors of (d)."""
    n, d, kappa, gamma, delta, M, C, C_1, L = map(mp.mpf, (n, d, kappa, gamma, delta, M, C, C_1, L))
    S = C**2 + C_1
    return (
        (
            L**2 * 8 * n * mp.log(2 * n / delta) / (kappa * d),
            L**2 * 2**10 * n**3 * M**2 * S / (kappa**3 * d**3 * gamma**2 * delta),
            L**4 * 2**15 * n**4 * M**2 * S / (kappa**4 * d**4 * gamma**2 * delta),
        ),
        gamma * kappa / 4,
        -gamma * kappa / 2,
        L * n / (kappa * mp.sqrt(d)) * mp.sqrt(2**7 * S / (gamma**2 * delta)),
        L**2 * 2**7 * n**3 * M**2 * S / (kappa**2 * d**3 * gamma**2 * delta),
        L**2 * 2**5 * n**2 * M * mp.sqrt(S) / (kappa * d**2 * gamma * mp.sqrt(delta)),
    )


def theorem_a1(n, d, kappa, gamma, delta, C):
    """As printed: widths, (a), rate, (c), (d)."""
    n, d, kappa, gamma, delta, C = map(mp.mpf, (n, d, kappa, gamma, delta, C))
    D0 = mp.sqrt(2 * C**2 + 2 / d)
    return (
        (
            8 * n * mp.log(4 * n / delta) / (kappa * d),
            2**25 * n**4 * D0**2 / (kappa**4 * d**3 * gamma**2 * delta**5),
            2**35 * n**6 * D0**2 / (kappa**6 * d**5 * gamma**2 * delta**5),
        ),
        gamma * kappa / 4,
        -gamma * kappa / 2,
        8 * n * D0 / (kappa * mp.sqrt(d) * gamma * mp.sqrt(delta)),
        2**9 * n**2 * D0 / (kappa * d ** mp.mpf("1.5") * gamma * delta ** mp.mpf("2.5")),
        2**6
        * n ** mp.mpf("1.5")
        * mp.sqrt(D0)
        / (mp.sqrt(kappa * gamma) * d ** mp.mpf("1.25") * delta ** mp.mpf("1.25")),
    )


def theorem_h1(n, d, kappa, gamma, delta, eta, M, C, C_1, L=1):
    """Bounds on eta, widths, 1 - beta, log of the contraction."""
    n, d, kappa, gamma, delta, eta, M, C, C_1, L = map(
        mp.mpf, (n, d, kappa, gamma, delta, eta, M, C, C_1, L)
    )
    S = C**2 + C_1
    alpha = eta * gamma * kappa / 2
    beta = mp.sqrt(1 - alpha)
    rates = (
        2 / (gamma * kappa),
        gamma * kappa * d**2 / (8 * n**2) / L**4,
        gamma * kappa * d**2 * mp.sqrt(delta) / (2 ** mp.mpf("4.5") * n**2 * M * mp.sqrt(S)) / L**2,
    )
    widths = (
        L**2 * 8 * n * mp.log(2 * n / delta) / (kappa * d),
        L**2 * 2**5 * eta**2 * n**3 * M**2 * S / (kappa * d**3 * (1 - beta) ** 2 * delta),
        L**4 * 2**11 * eta**2 * n**4 * M**2 * S / (kappa**2 * d**4 * (1 - beta) ** 2 * delta),
    )
    return rates, widths, 1 - beta, mp.log(1 - alpha)


def four_summands(n, d, kappa, gamma, delta, eta, M, C, C_1, m, L=1):
    """The right-hand side of the last display of H.3, summand by summand, at s = 0."""
    S = C**2 + C_1
    one_minus_beta = 1 - mp.sqrt(1 - mp.mpf(eta) * gamma * kappa / 2)
    return (
        L**2 * 2 * eta**2 * n**3 * M**2 * gamma * S / (d**3 * m * one_minus_beta**2 * delta),
        L**2
        * mp.sqrt(8)
        * eta
        * n**2
        * M
        * gamma
        * mp.sqrt(S)
        / (d**2 * mp.sqrt(m) * one_minus_beta * mp.sqrt(delta)),
        L**2 * eta * M * n ** mp.mpf("1.5") / d**2 * mp.sqrt(n * S * 2 / mp.mpf(delta)),
        L**4 * eta * mp.mpf(n) ** 2 / (2 * d**2),
    )


def gaussian_mean(f, scale, digits=25):
    """E[f(scale z)] of an mpmath function, by mpmath's adaptive quadrature."""
    with mp.workdps(digits):
        s = mp.mpf(float(scale))
        points = [-15, -6, -3, -1, 0, 1, 3, 6, 15]
        return mp.quad(lambda z: f(s * z) * mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi), points)


def mean_ntg_entry(x, y, name, digits=20, cut=9, step=0.25):
    """(x.y / d) E[sigma'(u) sigma'(v)] by a two-dimensional trapezoidal sum in mpmath-free NumPy.

    In coordinates in which u and v are independent, with twice the nodes that 1e-15 takes for unit
    scales; `step` shrinks with the scale.
    """
    d = len(x)
    G = np.array([[x @ x, x @ y], [x @ y, y @ y]]) / d
    values, vectors = np.linalg.eigh(G)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    h = step / max(1.0, 2 * np.sqrt(np.diag(G).max()))
    z = np.arange(-cut, cut + h / 2, h)
    w = h * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    a, b = np.meshgrid(z, z, indexing="ij")
    u, v = (root[i, 0] * a + root[i, 1] * b for i in (0, 1))
    slope = oracles.ACTIVATIONS[name].numpy[1]
    return G[0, 1] * (w @ (slope(u) * slope(v)) @ w)


def gaussian_cube(X, function, step):
    """E[function(z_1, z_2, z_3)], Cov z = X X' / d, by a trapezoidal sum in three dimensions."""
    values, vectors = np.linalg.eigh(X @ X.T / X.shape[1])
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    t = np.arange(-8.5, 8.5 + step / 2, step)
    w = step * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
    total = 0.0
    for i, weight in enumerate(w):
        a, b = np.meshgrid(t, t, indexing="ij")
        z = [root[k, 0] * t[i] + root[k, 1] * a + root[k, 2] * b for k in range(3)]
        total += weight * (w @ function(*z) @ w)
    return total


def g_2(x_1, x_2, x_3, name, step=0.25):
    """E[sigma''(z_1) sigma'(z_2) sigma'(z_3) sigma(z_3)]."""
    value, slope, curvature = oracles.ACTIVATIONS[name].numpy
    return gaussian_cube(
        np.array([x_1, x_2, x_3]),
        lambda a, b, c: curvature(a) * slope(b) * slope(c) * value(c),
        step,
    )


def g_2_sin(x_1, x_2, x_3):
    """The same in closed form for sin: -sin z_1 cos z_2 sin(2 z_3) / 2 as a sum of cosines."""
    X = np.array([x_1, x_2, x_3])
    G = X @ X.T / X.shape[1]
    total = 0.0
    for sign, other in itertools.product((1, -1), repeat=2):
        v = np.array([1, other, -2 * sign])
        total += sign * np.exp(-v @ G @ v / 2) / 4
    return -total / 2


def c_0_by_sampling(X, name, draws, rng):
    """C_0(X) and its standard error, from 20 independent estimates with unbiased variances."""
    G = (X @ X.T / X.shape[1]) ** 2
    slope = oracles.ACTIVATIONS[name].numpy[1]
    estimates = []
    for _ in range(20):
        S = slope(rng.standard_normal((draws // 20, X.shape[1])) @ X.T / np.sqrt(X.shape[1]))
        products = S[:, :, None] * S[:, None, :]
        estimates.append(np.sum(G * products.var(axis=0, ddof=1)))
    return np.mean(estimates), np.std(estimates, ddof=1) / np.sqrt(20)
