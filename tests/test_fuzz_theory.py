"""Whatever is passed to the functions of the theory: numbers, or a refusal that says why.

Never a warning, NaN, or an error of Python's own. Constants come in all sizes that a float has, as
bounds of the paper do; inf only where a docstring says so.
"""

from __future__ import annotations

import math

import asymfast as af
import numpy as np
from asymfast import theory
from cases import ACTIVATIONS
from fuzz_inputs import (
    answer,
    arrays,
    assert_finite,
    assert_not_nan,
    counts,
    numbers_in,
    odd,
    rarely,
    reals,
    usually,
)
from fuzzing import fuzz
from hypothesis import strategies as st

activations = usually(st.sampled_from(ACTIVATIONS))
n_and_d = {"n": reals(1, 1e6).map(lambda n: round(n) if ordinary(n) else n), "d": counts(50)}
delta = reals(0.0, 1.0)


def ordinary(value):
    return isinstance(value, float) and math.isfinite(value)


def abs_if_real(values):
    return np.abs(values) if values.dtype.kind in "iuf" else values


def finite(call):
    """A result of finite numbers, or None."""
    result = answer(call)
    if result is not None:
        assert_finite(*numbers_in(result))
    return result


def constants(**more):
    """Keywords of a theorem."""
    shared = {"kappa": reals(0.0, 2.0), "gamma": reals(0.0, 1.0), "delta": delta}
    return st.fixed_dictionaries({**n_and_d, **shared, **more})


smooth = {"M": reals(0.0), "C": reals(0.0), "C_1": reals(0.0)}


# ---- scalings ------------------------------------------------------------------------------------


@fuzz(
    25,
    m=counts(50),
    gamma=reals(0.0, 1.0),
    alpha=rarely(st.none(), reals(0.0, 3.0)),
    weights=rarely(arrays(9), st.none()),
)
def test_node_scaling_parts(m, gamma, alpha, weights):
    parts = finite(lambda: theory.node_scaling_parts(min_size(m), gamma, alpha, weights=weights))
    if parts is not None:
        allowed = (len(parts.lam1) + 8) * np.finfo(float).eps
        assert abs(parts.lam1.sum() - gamma) <= allowed
        assert abs(parts.lam2.sum() - (1 - gamma)) <= allowed
    return parts is not None


def min_size(m):
    """One result a node: refused beyond 10^9, and not to be tried out below."""
    return m if not isinstance(m, int) or m < 10**4 else 2**62


@fuzz(
    37,
    terms=counts(50),
    alpha=reals(0.0, 1.0) | st.just(np.nextafter(1.0, 0.0)),
    r=reals(1.0, 1e3),
)
def test_zipf(terms, alpha, r):
    ratio = finite(lambda: theory.zeta_ratio(alpha, r))
    assert ratio is None or 0 <= ratio <= 1 + 1e-12
    tail = finite(lambda: theory.zipf_tail(alpha, terms, r))
    assert tail is None or 0 <= tail <= 1 + 1e-12
    if not isinstance(terms, int) or terms < 10**4:
        t = finite(lambda: theory.zipf_weights(terms, alpha))
        assert t is None or (np.all(np.diff(t) <= 0) and t.sum() <= 1 + 1e-12)
    return ratio is not None and tail is not None


@fuzz(
    30,
    m=reals(1.0, 1e300).map(lambda m: float(round(m)) if ordinary(m) else m),
    gamma=reals(0.0, 1.0),
    alpha=rarely(st.none(), reals(0.0, 3.0)),
    r=reals(0.0, 10.0),
    weights=rarely(arrays(4), st.none()),
)
def test_sums_of_powers(m, gamma, alpha, r, weights):
    total = finite(lambda: theory.sum_of_powers(m, gamma, alpha, r))
    assert total is None or total >= 0
    if weights is not None:
        m = 4
    b2 = finite(lambda: theory.proposition_b2(m, gamma, alpha, r, weights=weights))
    if b2 is not None:
        slack = 1 + 1e-9
        assert abs(b2.total - 1) <= 1e-9
        assert b2.root_lower <= b2.root_sum * slack <= b2.root_upper * slack**2
        assert b2.power_lower <= b2.power_sum * slack <= b2.power_upper * slack**2
    measure = finite(lambda: theory.feature_learning_measure(gamma, alpha, weights=weights))
    assert measure is None or 0 <= measure <= 1 + 1e-12
    return total is not None or b2 is not None


# ---- constants and assumptions -------------------------------------------------------------------


@fuzz(
    30,
    name=activations,
    z=arrays(5),
    order=usually(st.integers(0, 2)),
    scale=arrays(4) | reals(0.0, 100.0),
)
def test_activations(name, z, order, scale):
    answer(lambda: theory.activations.get(name))
    limits = answer(lambda: theory.suprema(name))
    values = answer(lambda: theory.activations.activation(name, z, order))
    if values is not None and np.all(np.isfinite(np.asarray(z, np.float64))):
        assert_finite(values)
        if order == 1:
            assert np.abs(values).max(initial=0.0) <= limits[0] * (1 + 1e-12)
    moment = finite(lambda: theory.output_moment(name, scale))
    assert moment is None or np.all(moment >= 0)
    return values is not None and moment is not None


@fuzz(25, name=activations, d=counts(10**4), C=reals(0.0), y=arrays(4))
def test_constants(name, d, C, y):
    c_1 = finite(lambda: theory.c_1(name, d))
    assert c_1 is None or c_1 > 0
    d_0 = finite(lambda: theory.d_0(C, d))
    assert d_0 is None or d_0 >= C
    bound = finite(lambda: theory.target_bound(y))
    assert bound is None or bound == np.abs(np.asarray(y, np.float64)).max()
    return all(each is not None for each in (c_1, d_0, bound))


@fuzz(
    25,
    X=arrays(4, 3, dtype="float64"),
    y=st.none() | arrays(4, dtype="float64"),
    name=activations,
    W=st.none() | arrays(400, 3, dtype="float64"),
)
def test_check_assumptions(X, y, name, W):
    found = answer(lambda: theory.check_assumptions(X, y, name, W=W))
    if found is None:
        return
    for check in found:
        assert_not_nan(check.value, check.limit, check.excess)
    assert "nan" not in str(found)
    assert found.hold == (not found.failures)
    return True


# ---- limits of wide networks ---------------------------------------------------------------------


@fuzz(25, X=arrays(4, 3, dtype="float64"), name=activations, error=usually(st.booleans()))
def test_mean_ntg(X, name, error):
    mean = finite(lambda: theory.mean_ntg(X, name, return_error=error))
    kappa = finite(lambda: theory.kappa_n(X, name))
    if mean is not None and not error:
        assert np.array_equal(mean, mean.T)
    assert kappa is None or kappa.error >= 0
    spread = finite(lambda: theory.c_0(X, name))
    assert spread is None or spread >= 0
    return all(each is not None for each in (mean, kappa, spread))


@fuzz(
    25,
    X=arrays(3, 2, dtype="float64"),
    settings=st.fixed_dictionaries(
        {"gamma": reals(0.0, 1.0), "alpha": rarely(st.none(), reals(0.1, 0.8))},
        optional={
            "activation": activations,
            "rng": usually(st.integers(0, 3)),
            "weights": rarely(arrays(6), st.none()),
            "terms": usually(st.none() | st.integers(1, 50)),
            "tol": usually(st.sampled_from([1e-1, 1e-2, 1e300])),
            "return_bound": st.booleans(),
        },
    ),
)
def test_limiting_ntg(X, settings):
    if isinstance(settings.get("terms"), int) and settings["terms"] > 10**4:
        settings["terms"] = 2**62
    limit = finite(lambda: theory.limiting_ntg(X, **settings))
    scaling = {name: settings.get(name) for name in ("gamma", "alpha", "weights")}
    name = settings.get("activation", "swish")
    variance = finite(lambda: theory.ntg_variance(X, activation=name, **scaling))
    assert variance is None or variance >= 0
    return limit is not None and variance is not None


@fuzz(
    25,
    X=arrays(3, 2, dtype="float64"),
    settings=st.fixed_dictionaries(
        {
            "gamma": reals(0.0, 1.0),
            "alpha": rarely(st.none(), reals(0.2, 0.6)),
            "draws": usually(st.integers(2, 5)),
            "terms": usually(st.integers(1, 20)),
        },
        optional={
            "activation": activations,
            "m": counts(20),
            "weights": rarely(arrays(6), st.none()),
            "rng": usually(st.integers(0, 3)),
        },
    ),
    q=reals(0.0, 1.0),
    x=reals(),
    confidence=reals(0.0, 1.0),
)
def test_min_eigenvalue_law(X, settings, q, x, confidence):
    for name in ("draws", "terms"):
        if isinstance(settings[name], int) and settings[name] > 10**4:
            settings[name] = 2**64
    law = finite(lambda: theory.min_eigenvalue_law(X, **settings))
    if law is None:
        return
    assert_finite(law.mean, law.standard_error)
    quantile = finite(lambda: law.quantile(q))
    assert quantile is None or law.values[0] <= quantile <= law.values[-1]
    below = finite(lambda: law.probability_below(x, confidence))
    assert below is None or 0 <= below.low <= below.estimate <= below.high <= 1
    return True


# ---- convergence ---------------------------------------------------------------------------------

# of what a theorem says
asked = {"times": reals(0.0), "loss": reals(0.0), "total": reals(0.0, 1.0)}


@fuzz(
    30,
    given=constants(C=reals(0.0), printed=usually(st.booleans())),
    **asked,
)
def test_theorem_a1(given, times, loss, total):
    return check_theorem(answer(lambda: theory.theorem_a1(**given)), times, loss, total)


@fuzz(
    30,
    given=constants(**smooth, L=reals(0.0)),
    **asked,
)
def test_theorem_4_1(given, times, loss, total):
    return check_theorem(answer(lambda: theory.theorem_4_1(**given)), times, loss, total)


@fuzz(
    30,
    given=constants(**smooth, L=reals(0.0), eta=reals(0.0)),
    **asked,
)
def test_theorem_h1(given, times, loss, total):
    return check_theorem(answer(lambda: theory.theorem_h1(**given)), times, loss, total)


def check_theorem(said, times, loss, total):
    if said is None:
        return
    assert_finite(said.eigmin, said.weight_factor, said.ntg_linear, said.ntg_root)
    assert_not_nan(said.log_rate, *(said.width.logs if said.width else ()))  # -inf is documented
    if said.width is not None:
        assert said.width.log < math.inf
        answer(lambda: said.width.met_by(times))
        finite(lambda: said.width.required)
        finite(lambda: said.width.terms)
    assert_not_nan(*numbers_in(answer(lambda: said.loss(times, loss))))
    assert_not_nan(*numbers_in(answer(lambda: said.weight_change([total, 0.0]))))
    assert_not_nan(*numbers_in(answer(lambda: said.ntg_change(total))))
    return True


@fuzz(
    30,
    given=constants(L=reals(0.0)),
    m=reals(1.0, 1e308).map(lambda m: float(round(m)) if ordinary(m) else m),
    deviation=reals(0.0),
    mu=reals(0.0),
    R=reals(0.0),
)
def test_propositions_b1_and_d1(given, m, deviation, mu, R):
    start = answer(lambda: theory.proposition_d1(**given))
    if start is not None:
        assert_finite(start.eigmin, start.width.log, start.log_failure_per_node)
        probability = finite(lambda: start.failure_probability(m))
        assert probability is None or 0 <= probability <= 1
    both = finite(lambda: theory.proposition_b1(deviation, n=given["n"], mu=mu, R=R))
    assert both is None or all(0 <= bound <= 1 for bound in both)
    return start is not None and both is not None


# ---- lemmas --------------------------------------------------------------------------------------


@fuzz(
    37,
    sizes=st.fixed_dictionaries(n_and_d),
    t=reals(0.0),
    zeta=reals(0.0),
    residual=reals(0.0),
    eigmin=reals(),
    eta=reals(0.0),
    M=reals(0.0),
    L=reals(0.0),
)
def test_lemmas_on_numbers(sizes, t, zeta, residual, eigmin, eta, M, L):
    e1 = finite(lambda: theory.lemma_e1(t, zeta, residual=residual, L=L, **sizes))
    h3 = finite(lambda: theory.lemma_h3(residual, eigmin, eta=eta, M=M, L=L, **sizes))
    return e1 is not None and h3 is not None


@fuzz(
    37,
    given=constants(),
    c=arrays(5, dtype="float64").map(abs_if_real),
    lam=arrays(5, dtype="float64").map(abs_if_real),
    residual=reals(0.0),
    M=reals(0.0),
    L=reals(0.0),
)
def test_lemmas_on_nodes(given, c, lam, residual, M, L):
    sizes = {name: given[name] for name in ("n", "d")}
    numbers = [
        finite(lambda: theory.lemma_e2(c, lam, lam, delta=given["delta"], **sizes)),
        finite(lambda: theory.lemma_e4(c, lam, lam, M=M, L=L, **sizes)),
        finite(lambda: theory.lemma_h2(lam, residual, L=L, **sizes)),
    ]
    statements = (
        answer(lambda: theory.lemma_e3(c, lam, residual=residual, **given)),
        answer(lambda: theory.lemma_e5(c, lam, residual=residual, M=M, L=L, **given)),
    )
    for said in statements:
        if said is not None:
            assert_finite(said.reached, said.allowed, said.eigmin, said.log_rate, said.ntg_change)
            assert_not_nan(*said.width.logs)
            assert said.width.log < math.inf
    return all(each is not None for each in (*numbers, *statements))


# ---- feature learning ----------------------------------------------------------------------------


@fuzz(
    25,
    X=arrays(3, 2, dtype="float64"),
    lam=arrays(4).map(abs_if_real),
    name=activations,
    X_eval=st.none() | arrays(2, 2, dtype="float64"),
    tol=usually(st.sampled_from([1e-3, 1e-9, 1e300])),
    error=usually(st.booleans()),
)
def test_expected_velocities(X, lam, name, X_eval, tol, error):
    rows = X if np.ndim(X) == 2 and len(X) == 3 else [X, X, X]
    settings = {"tol": tol, "return_error": error}
    results = (
        finite(lambda: theory.g_1(X, name, return_error=error)),
        finite(lambda: theory.theorem_4_3(X, lam, name)),
        finite(lambda: theory.theorem_4_4(X, lam, name, X_eval=X_eval, **settings)),
        finite(lambda: theory.g_2(*rows, name, **settings)),
    )
    return all(each is not None for each in results)


@fuzz(
    25,
    W=arrays(5, 2, dtype="float64"),
    a=arrays(5, dtype="float64"),
    lam=arrays(5).map(abs_if_real),
    X=arrays(3, 2, dtype="float64"),
    y=arrays(3, dtype="float64"),
    X_eval=st.none() | arrays(2, 2, dtype="float64"),
    name=activations,
)
def test_theta_3(W, a, lam, X, y, X_eval, name):
    tensor = finite(lambda: theory.theta_3(W, a, lam, X, X_eval, name))
    velocity = finite(lambda: theory.ntg_velocity(W, a, lam, X, y, X_eval, name))
    assert velocity is None or np.array_equal(velocity, velocity.T)
    return tensor is not None and velocity is not None


@fuzz(
    25,
    X=arrays(3, 2, dtype="float64"),
    y=arrays(3, dtype="float64"),
    lam=arrays(4).map(abs_if_real),
    settings=st.fixed_dictionaries(
        {"draws": usually(st.integers(2, 4))},
        optional={"activation": activations, "rng": usually(st.integers(0, 3))},
    ),
    X_eval=st.none() | arrays(2, 2, dtype="float64"),
    expected=reals() | arrays(4, 2),
)
def test_simulated_velocities(X, y, lam, settings, X_eval, expected):
    if isinstance(settings["draws"], int) and settings["draws"] > 10**3:
        settings["draws"] = 2**64
    drift = finite(lambda: theory.simulated_drift(X, y, lam, **settings))
    if drift is not None:
        answer(lambda: drift.z(expected))
        assert_not_nan(drift.z(drift.mean))
    velocity = finite(lambda: theory.simulated_ntg_velocity(X, y, lam, X_eval=X_eval, **settings))
    return drift is not None and velocity is not None


# ---- certificates --------------------------------------------------------------------------------

PROBLEM = af.datasets.simulated(n=4, d=2, rng=0)
NETWORK = af.Network.init(2, 30, 0.5, 0.7, activation="tanh", rng=1)


@fuzz(
    25,
    how=st.sampled_from(["descent", "flow", "relu", "sgd", "ensemble"]),
    scale=st.sampled_from([1.0, 1e-30, 1e-160, 1e30, 1e70]),
    settings=st.fixed_dictionaries(
        {},
        optional={
            "delta": delta,
            "corrected": usually(st.booleans()),
            "member": usually(st.none() | st.integers(-1, 2)),
        },
    ),
    run=st.none() | st.none() | st.none() | odd,
    X=st.none() | st.none() | arrays(4, 2, dtype="float64"),
    y=st.none() | st.none() | arrays(4, dtype="float64"),
    rows=usually(st.integers(1, 5)),
)
def test_certify(how, scale, settings, run, X, y, rows):
    data, targets = PROBLEM
    data = data * scale
    net = NETWORK
    record = af.Record(every=1)
    if how == "relu":
        net = af.Network.init(2, 30, 0.5, 0.7, activation="relu", rng=1)
    if how == "ensemble":
        net = af.Network.stack([net, net])
    try:
        if how == "flow":
            run = run or af.gradient_flow(
                net, data, targets, t_end=1.0, record=af.Record(times=[0, 1])
            )
        elif how == "sgd":
            run = run or af.sgd(net, data, targets, lr=0.1, batch_size=2, epochs=1, rng=0)
        else:
            run = run or af.gradient_descent(net, data, targets, lr=0.1, steps=3, record=record)
    except (OverflowError, af.DivergenceError) as error:
        run = getattr(error, "run", None)
    X = data if X is None else X
    y = targets if y is None else y
    certificate = answer(lambda: theory.certify(run, X, y, **settings))
    if certificate is None:
        return
    for row in certificate.rows():
        assert_not_nan(*numbers_in([value for value in row.values() if value is not None]))
    assert "nan" not in str(certificate)
    certificate.to_dict()
    answer(lambda: certificate.table(rows))
    return True
