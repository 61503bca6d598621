"""Independent oracles: the paper's formulas in NumPy (float64), SciPy and mpmath.

Nothing of asymfast is imported here, so that these functions can judge it. They are written to
be read beside the paper, never to be fast. Shapes: X (n, d), W (m, d), a (m,) or (m, k), lam (m,),
f and y (n,) or (n, k). One output squeezes k; every formula below works on (n, k) inside.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class _Missing:
    """A library that is not there: what is asked of it can be named, not called."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> _Missing:
        return _Missing(f"{self.name}.{name}")

    def __call__(self, *_: object) -> None:
        raise ImportError(f"oracles: {self.name} is not installed")


def _library(name: str):
    """Import a module; tests of a device, which call none of it, go without it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _Missing(name)


mp = _library("mpmath")
solve_ivp = _library("scipy.integrate").solve_ivp
special = _library("scipy.special")
erf, expit, ndtr = special.erf, special.expit, special.ndtr
log_softmax, softmax = special.log_softmax, special.softmax

# --- Activations: sigma, sigma', sigma'' ---------------------------------------------------------


class Activation(NamedTuple):
    """sigma and its first two derivatives, for float64 arrays and for one mpmath number."""

    numpy: tuple[Callable, Callable, Callable]
    mpmath: tuple[Callable, Callable, Callable]


def _sech2(z):
    e = np.exp(-np.abs(z)) ** 2
    return 4 * e / (1 + e) ** 2


def _gauss(z):
    """Standard normal density."""
    return np.exp(-0.5 * np.square(_near(z))) / np.sqrt(2 * np.pi)


def _near(z):
    """z where a Gaussian factor is not yet 0; beyond +-50 it is, and z^2 may overflow."""
    return np.clip(z, -50.0, 50.0)


def _mp_sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def _mp_sigmoid_slope(z):
    return _mp_sigmoid(z) * _mp_sigmoid(-z)


def _mp_gauss(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def _mp_normal(z):
    # beyond 1e6 the tails are 0 to a hundred billion digits, and mpmath's erfc overflows
    return mp.erfc(-min(max(z, -1e6), 1e6) / mp.sqrt(2)) / 2


ACTIVATIONS = {
    "identity": Activation(
        (lambda z: z * 1.0, np.ones_like, np.zeros_like),
        (lambda z: z, lambda z: mp.mpf(1), lambda z: mp.mpf(0)),
    ),
    "relu": Activation(  # the paper's convention: relu'(0) = 0
        (lambda z: np.maximum(z, 0.0), lambda z: (z > 0) * 1.0, np.zeros_like),
        (lambda z: max(z, mp.mpf(0)), lambda z: mp.mpf(int(z > 0)), lambda z: mp.mpf(0)),
    ),
    "swish": Activation(
        (
            lambda z: z * expit(z),
            lambda z: expit(z) + z * expit(z) * expit(-z),
            lambda z: expit(z) * expit(-z) * (2 + z * (expit(-z) - expit(z))),
        ),
        (
            lambda z: z * _mp_sigmoid(z),
            lambda z: _mp_sigmoid(z) + z * _mp_sigmoid_slope(z),
            lambda z: _mp_sigmoid_slope(z) * (2 - z * mp.tanh(z / 2)),
        ),
    ),
    "softplus": Activation(
        (
            lambda z: np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))),
            expit,
            lambda z: expit(z) * expit(-z),
        ),
        (
            lambda z: max(z, mp.mpf(0)) + mp.log1p(mp.exp(-abs(z))),
            _mp_sigmoid,
            _mp_sigmoid_slope,
        ),
    ),
    "sigmoid": Activation(
        (
            expit,
            lambda z: expit(z) * expit(-z),
            lambda z: expit(z) * expit(-z) * (expit(-z) - expit(z)),
        ),
        (
            _mp_sigmoid,
            _mp_sigmoid_slope,
            lambda z: -_mp_sigmoid_slope(z) * mp.tanh(z / 2),
        ),
    ),
    "tanh": Activation(
        (np.tanh, _sech2, lambda z: -2 * np.tanh(z) * _sech2(z)),
        (
            mp.tanh,
            lambda z: 4 * _mp_sigmoid_slope(2 * z),
            lambda z: -8 * mp.tanh(z) * _mp_sigmoid_slope(2 * z),
        ),
    ),
    "erf": Activation(
        (
            erf,
            lambda z: 2 / np.sqrt(np.pi) * np.exp(-np.square(_near(z))),
            lambda z: -4 / np.sqrt(np.pi) * _near(z) * np.exp(-np.square(_near(z))),
        ),
        (
            mp.erf,
            lambda z: 2 / mp.sqrt(mp.pi) * mp.exp(-z * z),
            lambda z: -4 / mp.sqrt(mp.pi) * z * mp.exp(-z * z),
        ),
    ),
    "gelu": Activation(  # the exact one, z Phi(z)
        (
            lambda z: z * ndtr(z),
            lambda z: ndtr(z) + _near(z) * _gauss(z),
            lambda z: (2 - np.square(_near(z))) * _gauss(z),
        ),
        (
            lambda z: z * _mp_normal(z),
            lambda z: _mp_normal(z) + z * _mp_gauss(z),
            lambda z: (2 - z * z) * _mp_gauss(z),
        ),
    ),
    "sin": Activation(
        (np.sin, np.cos, lambda z: -np.sin(z)),
        (mp.sin, mp.cos, lambda z: -mp.sin(z)),
    ),
    "cos": Activation(
        (np.cos, lambda z: -np.sin(z), lambda z: -np.cos(z)),
        (mp.cos, lambda z: -mp.sin(z), lambda z: -mp.cos(z)),
    ),
}


def activation(name, z, order=0):
    """sigma^(order)(z) in float64."""
    return ACTIVATIONS[name].numpy[order](np.asarray(z, dtype=np.float64))


def activation_mp(name, z, order=0, digits=40):
    """sigma^(order)(z) of one float as an mpmath number, correct to about `digits` digits."""
    # nothing cancels in the forms above; sin and cos need the digits of z / pi before its point too
    with mp.workdps(digits + 320 * (name in ("sin", "cos"))):
        return ACTIVATIONS[name].mpmath[order](mp.mpf(float(z)))


# --- The network, Eqs. (1) to (5) ----------------------------------------------------------------


class Model(NamedTuple):
    """The network's numbers in float64."""

    W: np.ndarray
    a: np.ndarray
    lam: np.ndarray
    activation: str = "swish"


def node_scaling(m, gamma, alpha=None, weights=None):
    """Eq. (1) with Eq. (35), whose zeta factor cancels."""
    uniform = np.full(m, 1.0 / m)
    if gamma == 1:
        return uniform
    t = np.arange(1.0, m + 1) ** (-1.0 / alpha) if weights is None else np.asarray(weights, float)
    return gamma * uniform + (1 - gamma) * t / t.sum()


def _columns(a):
    return a[:, None] if a.ndim == 1 else a


def _like_a(f, a):
    """Drop the output axis when a has none."""
    return f[:, 0] if a.ndim == 1 else f


def preactivation(model, X):
    """Z (n, m): x_i . w_j / sqrt(d)."""
    return X @ model.W.T / np.sqrt(X.shape[1])


def features(model, X):
    """(n, m): sqrt(lam_j) sigma(Z_j)."""
    return np.sqrt(model.lam) * activation(model.activation, preactivation(model, X))


def forward(model, X):
    """Eq. (2)."""
    return _like_a(features(model, X) @ _columns(model.a), model.a)


def one_hot(y, f):
    """Target probabilities (n, k) from integer labels; anything else is returned unchanged."""
    return np.eye(f.shape[1])[y] if y.ndim < f.ndim else y


def loss(f, y, kind="half_sse"):
    """Eq. (3) and the two other losses."""
    if kind == "half_sse":
        return 0.5 * np.sum((f - y) ** 2)
    if kind == "mse":
        return np.mean((f - y) ** 2)
    return -np.mean(np.sum(one_hot(y, f) * log_softmax(f, axis=1), axis=1))


def loss_slope(f, y, kind="half_sse"):
    """dL/df, the shape of f."""
    if kind == "half_sse":
        return f - y
    if kind == "mse":
        return 2 * (f - y) / f.size
    p = one_hot(y, f)
    return (p.sum(axis=1, keepdims=True) * softmax(f, axis=1) - p) / len(f)


def node_gradients(model, X, y, kind="half_sse"):
    """dL/dw_j (m, d) = sqrt(lam_j / d) sum_i (sum_k a_jk dL/df_ik) sigma'(Z_ij) x_i."""
    slope = loss_slope(forward(model, X), y, kind).reshape(len(X), -1)
    s = activation(model.activation, preactivation(model, X), 1)
    back = (slope @ _columns(model.a).T) * s
    return np.sqrt(model.lam / X.shape[1])[:, None] * (back.T @ X)


def output_gradients(model, X, y, kind="half_sse"):
    """dL/da (the shape of a): sqrt(lam_j) sum_i sigma(Z_ij) dL/df_i."""
    slope = loss_slope(forward(model, X), y, kind).reshape(len(X), -1)
    return (features(model, X).T @ slope).reshape(model.a.shape)


def jacobian(model, X, output=0):
    """df_output/dW (n, m d), the derivative of Eq. (2)."""
    s = activation(model.activation, preactivation(model, X), 1)
    scale = np.sqrt(model.lam / X.shape[1]) * _columns(model.a)[:, output]
    return ((s * scale)[:, :, None] * X[:, None, :]).reshape(len(X), -1)


def ntg(model, X, X2=None, output=0):
    """Eq. (5), with lam_j a_jp a_jq for outputs (p, q); X2 gives the cross-kernel (n, n2)."""
    X2 = X if X2 is None else X2
    p, q = (output, output) if np.ndim(output) == 0 else output
    a = _columns(model.a)
    S, S2 = (activation(model.activation, preactivation(model, x), 1) for x in (X, X2))
    return (X @ X2.T / X.shape[1]) * ((S * (model.lam * a[:, p] * a[:, q])) @ S2.T)


# --- Training ------------------------------------------------------------------------------------


class Trajectory(NamedTuple):
    """What a run records, one row per recorded step."""

    W: np.ndarray
    loss: np.ndarray
    test_loss: np.ndarray | None
    weight_change: np.ndarray
    ntg_change: np.ndarray
    ntg_eigmin: np.ndarray


def trajectory(model, weights, X, y, kind="half_sse", ntg_on=None, X_test=None, y_test=None):
    """The recorded quantities along given weights (T, m, d); changes are against `model.W`."""
    on = X if ntg_on is None else X[:ntg_on] if np.ndim(ntg_on) == 0 else X[ntg_on]
    models = [model._replace(W=W) for W in weights]
    K0, K = ntg(model, on), [ntg(each, on) for each in models]
    return Trajectory(
        W=np.array(weights),
        loss=np.array([loss(forward(each, X), y, kind) for each in models]),
        test_loss=None
        if X_test is None
        else np.array([loss(forward(each, X_test), y_test, kind) for each in models]),
        weight_change=np.array([np.linalg.norm(W - model.W, axis=1) for W in weights]),
        ntg_change=np.array([np.linalg.norm(each - K0) for each in K]),
        ntg_eigmin=np.array([np.linalg.eigvalsh(each)[0] for each in K]),
    )


def gradient_descent(model, X, y, lr, record_steps, kind="half_sse"):
    """Weights (T, m, d) of W <- W - lr dL/dW at the given increasing steps."""
    W, recorded = model.W, []
    for between in np.diff(record_steps, prepend=0):
        for _ in range(between):
            W = W - lr * node_gradients(model._replace(W=W), X, y, kind)
        recorded.append(W)
    return np.array(recorded)


def split_mix(key, i):
    """Number i of SplitMix64's stream of a 64-bit key."""
    z = (key + (i + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def epoch_order(key, epoch, n):
    """The samples' order in an epoch: a Fisher-Yates shuffle by the epoch's own stream."""
    key, order = split_mix(key, epoch), list(range(n))
    for drawn, i in enumerate(range(n - 1, 0, -1)):
        j = (i + 1) * split_mix(key, drawn) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def batches(key, n, batch_size, epochs):
    """The samples of every step, epoch after epoch; the last batch of one may be smaller."""
    for epoch in range(epochs):
        order = epoch_order(key, epoch, n)
        for first in range(0, n, batch_size):
            yield order[first : first + batch_size]


def sgd_step(model, X, y, lr, kind="half_sse", train_output=False):
    """The model after a step on one batch; both gradients are taken at the same point."""
    W = model.W - lr * node_gradients(model, X, y, kind)
    a = model.a - lr * output_gradients(model, X, y, kind) * train_output
    return model._replace(W=W, a=a)


def rk4(model, X, y, dt, steps, kind="half_sse"):
    """Weights after `steps` classical Runge-Kutta steps of dW/dt = -dL/dW."""

    def velocity(W):
        return -node_gradients(model._replace(W=W), X, y, kind)

    W = model.W
    for _ in range(steps):
        k1 = velocity(W)
        k2 = velocity(W + dt / 2 * k1)
        k3 = velocity(W + dt / 2 * k2)
        k4 = velocity(W + dt * k3)
        W = W + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return W


def gradient_flow(model, X, y, times, kind="half_sse", rtol=1e-12):
    """Weights (T, m, d) of the gradient flow at the given times, by SciPy's DOP853."""
    shape = model.W.shape

    def velocity(_, w):
        return -node_gradients(model._replace(W=w.reshape(shape)), X, y, kind).ravel()

    solution = solve_ivp(
        velocity, (0.0, times[-1]), model.W.ravel(), "DOP853", times, rtol=rtol, atol=1e-2 * rtol
    )
    return solution.y.T.reshape(len(times), *shape)


# --- Eigenvalues ---------------------------------------------------------------------------------


def eigenvalues(K, digits=50):
    """All eigenvalues of a small symmetric matrix in ascending order, as mpmath numbers."""
    with mp.workdps(digits):
        return sorted(mp.eigsy(mp.matrix(np.asarray(K).tolist()), eigvals_only=True))


def symmetric_with_spectrum(spectrum, rng):
    """Q diag(spectrum) Q^T in float64, Q a product of Householder reflections in long double.

    The reflections are orthogonal to long-double rounding, so the eigenvalues are `spectrum` up to
    the rounding of the entries to float64: at most eps / 2 * the Frobenius norm (Weyl).
    """
    K = np.diag(np.asarray(spectrum, dtype=np.longdouble))
    for v in rng.standard_normal((3, len(K))).astype(np.longdouble):
        v /= np.sqrt(v @ v)
        K = K - 2 * np.outer(v, v @ K)
        K = K - 2 * np.outer(K @ v, v)
    return ((K + K.T) / 2).astype(np.float64)
