"""Problems, names and comparisons shared by the tests."""

from __future__ import annotations

from typing import NamedTuple

import asymfast as af
import numpy as np
import oracles

ACTIVATIONS = tuple(oracles.ACTIVATIONS)
SMOOTH = tuple(name for name in ACTIVATIONS if name != "relu")
BACKENDS = ("reference", "cpu")
DTYPES = ("float32", "float64")
LOSSES = ("half_sse", "mse", "cross_entropy")
THREADS = (1, 2, 3)
EPS = np.finfo(np.float64).eps


class Problem(NamedTuple):
    """A network with data, and the same numbers cast up to float64 for the oracle."""

    net: af.Network
    X: np.ndarray
    y: np.ndarray
    model: oracles.Model

    @property
    def x64(self):
        return self.X.astype(np.float64)

    @property
    def y64(self):
        return self.y if self.y.dtype.kind == "i" else self.y.astype(np.float64)

    @property
    def eps(self):
        return np.finfo(self.X.dtype).eps


def model_of(net):
    """The oracle's view of a single network."""
    return oracles.Model(*(v.astype(np.float64) for v in (net.W, net.a, net.lam)), net.activation)


def problem(
    n=23, d=11, m=37, outputs=1, activation="swish", dtype="float64", loss="half_sse", seed=0
):
    """Standard normal X, W, a and targets, so that Z is N(0, |x|^2/d); asymmetric lam."""
    rng = np.random.default_rng(seed)
    columns = () if outputs == 1 else (outputs,)
    W, a = rng.standard_normal((m, d)), rng.standard_normal((m, *columns))
    X, y = rng.standard_normal((n, d)), rng.standard_normal((n, *columns))
    labels = rng.integers(0, outputs, n)
    net = af.Network(
        W.astype(dtype),
        a.astype(dtype),
        oracles.node_scaling(m, 0.5, 0.7),
        activation=activation,
        gamma=0.5,
        alpha=0.7,
    )
    target = labels if loss == "cross_entropy" else y.astype(dtype)
    return Problem(net, X.astype(dtype), target, model_of(net))


def simulated(n=20, d=10, m=65, outputs=1, activation="swish", loss="half_sse", seed=0):
    """Appendix J at small size: unit rows, sines plus noise; numbers exact in float32."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    columns = () if outputs == 1 else (outputs,)
    y = 5 / d * np.sin(np.pi * X).sum(axis=1)
    y = y.reshape(n, *[1 for _ in columns]) + rng.standard_normal((n, *columns))
    y = rng.integers(0, outputs, n) if loss == "cross_entropy" else y.astype(np.float32) * 1.0
    W = rng.standard_normal((m, d)).astype(np.float32).astype(np.float64)
    a = 2.0 * rng.integers(0, 2, (m, *columns)) - 1.0
    lam = oracles.node_scaling(m, 0.5, 0.7)
    net = af.Network(W, a, lam, activation=activation, gamma=0.5, alpha=0.7)
    y = y if y.dtype.kind == "i" else y.astype(np.float64)
    return Problem(net, X, y, model_of(net))


def as_float32(case):
    """The same problem in float32: exact for `simulated`, whose numbers fit."""
    W, a, X = (v.astype(np.float32) for v in (case.net.W, case.net.a, case.X))
    y = case.y if case.y.dtype.kind == "i" else case.y.astype(np.float32)
    return case._replace(
        net=af.Network(W, a, case.net.lam, activation=case.net.activation), X=X, y=y
    )


RUN_FIELDS = (
    "steps",
    "time",
    "loss",
    "test_loss",
    "weight_change",
    "ntg_change",
    "ntg_eigmin",
    "weights",
    "diverged",
    "stopped",
    "accuracy",
    "test_accuracy",
    "ntg_change_2norm",
    "ntg_eigmax",
    "alignment",
    "effective_rank",
    "ntg_matrix",
    "top_nodes",
    "output_weights",
)


def assert_within(got, exact, bound):
    """|got - exact| <= bound everywhere, shapes equal; NaN fails."""
    assert np.shape(got) == np.shape(exact)
    error = np.abs(np.asarray(got, dtype=np.float64) - exact)
    assert np.all(error <= bound), f"{np.max(error / np.maximum(bound, 5e-324)):.3g} x the bound"


def assert_same_bits(one, other):
    """Equal dtype, shape and bits."""
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def run_arrays(run, member=None):
    """Every recorded array of a run by name, of one member if asked."""
    arrays = {name: getattr(run, name) for name in RUN_FIELDS}
    arrays["W"], arrays["a"] = run.network.W, run.network.a
    if member is None:
        return arrays
    shared = ("steps", "time", "stopped")
    pick = dict.fromkeys(("W", "a", "diverged"), lambda v: v[member])
    return {
        name: v if v is None or name in shared else pick.get(name, lambda u: u[:, member])(v)
        for name, v in arrays.items()
    }


def assert_same_run(one, other, skip=()):
    """Two results of `run_arrays` agree bit for bit, but for the names in `skip`."""
    for name in one.keys() - set(skip):
        if one[name] is None or other[name] is None:
            assert one[name] is other[name], name
        else:
            assert_same_bits(one[name], other[name])
