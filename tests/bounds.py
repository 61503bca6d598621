"""Rounding bounds derived from the formulas; every tolerance of the kernel tests comes from here.

Notation: u = eps / 2 is the unit roundoff. N rounded terms summed in any order err by at most
N u times the sum of their absolute values, to first order in u (Higham, Accuracy and Stability,
sec. 4.2). The bounds use eps = 2 u: one u for the code under test, one for the float64 oracle. They
hold for every order of summation, so for every backend, tile size and number of threads.
"""

from __future__ import annotations

import numpy as np
import oracles

# An activation kernel is allowed ACTIVATION_EPS * eps times the sum of the absolute terms of its
# formula: 2 ulp for the polynomial exp, and about one rounding for each of 1 + e, the division,
# the product with z, the complement s(-z) and the final sum. The oracle gets as much.
ACTIVATION_EPS = 8

# sup |sigma'|, sup |sigma''|; the errata list them. relu' jumps, see `_sigma`.
SUPREMA = {
    "swish": (1.0998393201288670, 0.5),
    "relu": (1.0, 0.0),
    "tanh": (1.0, 4 / (3 * np.sqrt(3))),
    "erf": (2 / np.sqrt(np.pi), 0.96788290),
    "gelu": (1.1289041451851548, 0.79788457),
    "softplus": (1.0, 0.25),
    "sigmoid": (0.25, 1 / (6 * np.sqrt(3))),
    "sin": (1.0, 1.0),
    "cos": (1.0, 1.0),
    "identity": (1.0, 0.0),
}


def activation_scale(name, z, order):
    """Sum of the absolute terms of sigma^(order)(z): what its rounding error is measured in."""
    z = np.asarray(z, dtype=np.float64)
    plain = np.abs(oracles.activation(name, z, order))
    if name in ("sin", "cos"):  # absolute, but relative to |z| where the value is z
        return np.minimum(1.0, np.maximum(plain, np.abs(z)))
    if name == "swish" and order:
        s, slope = oracles.activation("sigmoid", z), oracles.activation("sigmoid", z, 1)
        return (s + np.abs(z) * slope, slope * (2 + np.abs(z)))[order - 1]
    if name == "sigmoid" and order == 2:
        return oracles.activation("sigmoid", z, 1)
    near = np.clip(np.abs(z), 0.0, 50.0)  # a Gaussian factor is 0 beyond
    if name == "erf" and order:  # exp(-z^2) amplifies the rounding of z^2 by z^2
        return plain * (1 + near**2)
    if name == "gelu":  # likewise exp(-z^2/2), and Phi at z / sqrt(2)
        phi = np.exp(-0.5 * near**2) / np.sqrt(2 * np.pi) * (1 + 0.5 * near**2)
        return plain + (near**2 * phi, near * phi, (2 + near**2) * phi)[order]
    return plain


def _sigma(model, X, order, eps):
    """sigma^(order)(Z) and a bound on its error: rounding of Z carried on, plus the kernel's own.

    Z is a sum of d products divided by sqrt(d): d + 3 roundings. relu' jumps by 1 where Z is within
    its own rounding error of 0.
    """
    Z = oracles.preactivation(model, X)
    dZ = (X.shape[1] + 3) * eps * (np.abs(X) @ np.abs(model.W).T) / np.sqrt(X.shape[1])
    s = oracles.activation(model.activation, Z, order)
    ds = SUPREMA[model.activation][order] * dZ
    ds += 2 * ACTIVATION_EPS * eps * activation_scale(model.activation, Z, order)
    if model.activation == "relu" and order == 1:
        ds += np.abs(Z) <= dZ
    return np.abs(s), ds


def features(model, X, eps):
    """sqrt(lam) sigma(Z): the error of sigma, the square root, the product."""
    s, ds = _sigma(model, X, 0, eps)
    return np.sqrt(model.lam) * (ds + 3 * eps * s)


def forward(model, X, eps):
    """A sum of m features times a."""
    a = np.abs(model.a.reshape(len(model.a), -1))
    scaled = np.abs(oracles.features(model, X))
    df = features(model, X, eps) @ a + (len(a) + 1) * eps * (scaled @ a)
    return df.reshape(len(X), *model.a.shape[1:])


def loss(model, X, y, kind, eps):
    """|dL/df| times the error of f, its square, and the rounding of the sum itself."""
    f, df = oracles.forward(model, X), forward(model, X, eps)
    carried = np.sum(np.abs(oracles.loss_slope(f, y, kind)) * df)
    if kind == "cross_entropy":  # sup |d2L/df2| = 1/4; terms of size max |f| + log k
        size = np.abs(f).max() + np.log(f.shape[1])
        return carried + np.sum(df**2) / 4 + (f.size + 8) * eps * size
    second = np.sum(df**2) * (0.5 if kind == "half_sse" else 1 / f.size)
    return carried + second + (f.size + 3) * eps * oracles.loss(f, y, kind)


def _loss_slope(model, X, y, kind, eps):
    """|dL/df| and the error of computing it from the computed f."""
    f, df = oracles.forward(model, X), forward(model, X, eps)
    slope = np.abs(oracles.loss_slope(f, y, kind))
    if kind == "cross_entropy":
        # |dp_c| <= p_c (|df_c| + max |df|); then a softmax of k terms with exponents of size |f|
        p = slope + np.abs(oracles.one_hot(y, f))  # p <= |p - y| + y
        relative = 2 * df.max(axis=1, keepdims=True) + (f.shape[1] + 8 + 2 * np.abs(f).max()) * eps
        return slope, p * relative / len(f)
    scale = 1.0 if kind == "half_sse" else 2 / f.size
    return slope, scale * (df + eps * (np.abs(f) + np.abs(y))) + 2 * eps * slope


def node_gradients(model, X, y, kind, eps):
    """sqrt(lam/d) sum_i (sum_k a_k e_ik) sigma'(Z_ij) x_i: each factor's error, k + n + 6 more."""
    a = np.abs(model.a.reshape(len(model.a), -1)).T
    s, ds = _sigma(model, X, 1, eps)
    slope, dslope = (e.reshape(len(X), -1) for e in _loss_slope(model, X, y, kind, eps))
    back, dback = slope @ a, dslope @ a
    rounding = (len(a) + len(X) + 6) * eps * back * s
    scale = np.sqrt(model.lam / X.shape[1])[:, None]
    return scale * ((dback * s + back * ds + dback * ds + rounding).T @ np.abs(X))


def output_gradients(model, X, y, kind, eps):
    """sum_i sqrt(lam) sigma(Z_ij) e_i: each factor's error, n + 2 more roundings."""
    h, dh = np.abs(oracles.features(model, X)), features(model, X, eps)
    slope, dslope = (e.reshape(len(X), -1) for e in _loss_slope(model, X, y, kind, eps))
    bound = dh.T @ (slope + dslope) + h.T @ (dslope + (len(X) + 2) * eps * slope)
    return bound.reshape(model.a.shape)


def ntg(model, X, eps, X2=None, output=0):
    """(x.x2/d) sum_j lam a_p a_q s s2: each factor's error, d + m + 6 roundings."""
    X2 = X if X2 is None else X2
    p, q = (output, output) if np.ndim(output) == 0 else output
    a = np.abs(model.a.reshape(len(model.a), -1))
    v = model.lam * a[:, p] * a[:, q]
    (s, ds), (s2, ds2) = (_sigma(model, x, 1, eps) for x in (X, X2))
    carried = (ds * v) @ s2.T + (s * v) @ ds2.T + (ds * v) @ ds2.T
    rounding = (X.shape[1] + len(v) + 6) * eps * ((s * v) @ s2.T)
    return (np.abs(X) @ np.abs(X2).T / X.shape[1]) * (carried + rounding)
