"""Numbers of every size in the theory: right, or refused by name. Found by the fuzz targets."""

from __future__ import annotations

import math

import asymfast as af
import mpmath
import numpy as np
import pytest
from asymfast import theory

CONSTANTS = {"n": 10, "d": 5, "kappa": 0.01, "gamma": 0.5, "delta": 0.1}
SMOOTH = {"M": 0.5, "C": 1.0, "C_1": 0.1}
NODES = np.full(3, 1 / 3)
SIZES = {"n": 10, "d": 5}


def constants(**changed):
    return {**CONSTANTS, **changed}


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.theorem_a1(**CONSTANTS, C=1e200),
        lambda: theory.theorem_4_1(**CONSTANTS, M=0.5, C=1e200, C_1=0.1),
        lambda: theory.theorem_h1(**CONSTANTS, **SMOOTH, eta=1e-3, L=1e200),
        lambda: theory.proposition_d1(**CONSTANTS, L=1e200),
        lambda: theory.lemma_e1(1.0, 1e-300, residual=1e200, **SIZES),
        lambda: theory.lemma_e3(NODES * 1e300, NODES, **constants(kappa=1e-90), residual=1.0),
        lambda: theory.lemma_e4(NODES * 1e300, NODES, NODES, M=1.0, **SIZES),
        lambda: theory.lemma_h2(NODES, 1e300, L=1e200, **SIZES),
        lambda: theory.lemma_h3(1.0, 1e200, eta=1e200, M=1.0, **SIZES),
        lambda: theory.g_2([1e200], [1e200], [1e200]),
        lambda: theory.theta_3(np.ones((3, 1)), np.ones(3), NODES * 1e300, np.ones((2, 1))),
        lambda: theory.simulated_drift(np.ones((2, 1)), np.full(2, 1e300), NODES, draws=2, rng=0),
        lambda: theory.check_assumptions(np.ones((2, 1)), W=np.full((4, 1), 1e308)),
        lambda: theory.theorem_4_1(**CONSTANTS, **SMOOTH).ntg_change(1e308),
    ],
)
def test_what_exceeds_the_range_is_refused_by_name(call):
    with pytest.raises(OverflowError, match=r"^\w+: .*(exceed|bound)"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.node_scaling_parts(2**62, 1.0), "node_scaling_parts: m must be at most"),
        (lambda: theory.zipf_weights(2**62, 0.5), "zipf_weights: terms must be at most"),
        (lambda: theory.output_moment("gelu", [1j]), "output_moment: scale must be real"),
        (lambda: theory.activations.activation("swish", ["1"]), "activation: z must be real"),
        (lambda: theory.activations.activation("swish", [math.nan]), "activation: z must be fin"),
        (
            lambda: theory.min_eigenvalue_law(np.eye(2), 1.0, rng="x"),
            "min_eigenvalue_law: rng must be",
        ),
        (
            lambda: theory.simulated_drift(np.eye(2), [0.0, 1.0], NODES, rng=-1),
            "simulated_drift: rng must be",
        ),
        (lambda: theory.limiting_ntg(np.eye(2), 0.5, 0.5, rng=[]), None),  # NumPy takes it
        (
            lambda: theory.theorem_4_1(**CONSTANTS, **SMOOTH).loss([-1.0], 1.0),
            "loss: t must be at least 0",
        ),
        (
            lambda: theory.theorem_4_1(**CONSTANTS, **SMOOTH).width.met_by(0),
            "met_by: m must be in",
        ),
        (
            lambda: theory.simulated_drift(np.eye(2), np.zeros(2), NODES, draws=2, rng=0).z(
                np.zeros(7)
            ),
            "z: expected must have shape",
        ),
    ],
)
def test_what_is_no_number_is_refused_by_name(call, message):
    if message is None:
        call()
        return
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call()


def test_the_table_of_a_certificate_needs_a_number_of_rows():
    X, y = af.datasets.simulated(n=4, d=2, rng=0)
    net = af.Network.init(2, 30, 0.5, 0.7, activation="tanh", rng=1)
    certificate = theory.certify(af.gradient_descent(net, X, y, lr=0.1, steps=2), X, y)
    with pytest.raises(TypeError, match=r"^table: rows must be an integer, got None"):
        certificate.table(None)


@pytest.mark.parametrize("m", [1000, 10**6])
@pytest.mark.parametrize("r", [1e-3, 0.01, 0.5])
def test_small_powers_of_scalings_that_underflow(m, r):
    """3^-1000 is 0 in floating point, and its thousandth part of a power is 1/3 all the same."""
    alpha = 1e-3
    # sum_j j^(-1/alpha), to whose power -r the sum is multiplied, is 1 to the last digit
    expected = math.fsum(np.arange(1.0, m + 1) ** (-r / alpha))
    assert abs(theory.sum_of_powers(m, 0.0, alpha, r) / expected - 1) < 1e-12


@pytest.mark.parametrize("m", [1e110, 1e160, 1e300])
def test_scalings_whose_powers_underflow_still_add_up(m):
    """lambda_m^2 is 0 in floating point, and m times it is not: the square, multiplied out."""
    gamma, p = 0.25, 1 / mpmath.mpf(3)

    def sum_of_integers(q):
        return mpmath.zeta(q) + mpmath.mpf(m) ** (1 - q) / (1 - q) + mpmath.mpf(m) ** -q / 2

    squares = sum_of_integers(2 * p) / sum_of_integers(p) ** 2
    expected = gamma**2 / m + 2 * gamma * (1 - gamma) / m + (1 - gamma) ** 2 * squares
    assert abs(theory.sum_of_powers(m, gamma, 3.0, 2.0) / expected - 1) < 1e-12


@pytest.mark.parametrize("r", [1.05, 2.0, 3.0])
@pytest.mark.parametrize("m", [1e100, 1e110, 1e200])
@pytest.mark.parametrize("alpha", [0.7, 3.0])
def test_the_bounds_on_sums_of_powers_hold_at_any_width(m, alpha, r):
    b2 = theory.proposition_b2(m, 0.5, alpha, r)
    slack = 1 + 1e-12
    assert abs(b2.total - 1) <= 1e-12
    assert b2.power_lower <= b2.power_sum * slack <= b2.power_upper * slack**2


def test_the_smallest_alpha_leaves_one_node():
    for m in (10, 10**9):
        assert theory.sum_of_powers(m, 0.0, 5e-324, 1.5) == 1.0


def test_descent_beyond_its_largest_step_keeps_the_loss_at_the_start():
    """alpha >= 1: the rate is -inf, of which 0 times is not NaN but nothing."""
    bounds = theory.theorem_h1(**CONSTANTS, **SMOOTH, eta=1e4)
    assert bounds.log_rate == -math.inf
    assert bounds.loss([0.0, 1.0], 2.0).tolist() == [2.0, 0.0]


def test_the_smallest_learning_rates_have_the_limit_of_the_bounds():
    """eta / (1 - sqrt(1 - alpha)) tends to 4 / (gamma kappa), also where alpha underflows."""
    usual, least = (theory.theorem_h1(**CONSTANTS, **SMOOTH, eta=eta) for eta in (1e-20, 5e-324))
    assert abs(least.weight_factor / usual.weight_factor - 1) < 1e-14
    assert abs(least.width.log - usual.width.log) < 1e-12


def test_the_smallest_probabilities_of_failure_have_a_width():
    width = theory.proposition_d1(**constants(delta=1e-308, n=10**6)).width
    expected = 8 * 10**6 * (math.log(10**6) + 308 * math.log(10)) / (0.01 * 5)
    assert abs(width.required / expected - 1) < 1e-13


WEIGHTS = np.random.default_rng(3).standard_normal((6, 3)) * 40
UNLIKE = np.array([[30.0, 1e-3, 0.0], [1e-200, 2.0, 0.1], [0.5, 0.5, -3.0]])
STRICT = {
    **{
        f"activation {name} {order}": lambda name=name, order=order: theory.activations.activation(
            name, [-1e308, -800.0, -40.0, -6.0, 1e-310, 0.0, 6.0, 40.0, 800.0, 1e308], order
        )
        for name in theory.activations.ACTIVATIONS
        for order in (0, 1, 2)
    },
    **{
        f"{call.__name__} {name}": lambda call=call, name=name: call(UNLIKE, activation=name)
        for call in (theory.kappa_n, theory.c_0, theory.g_1, theory.check_assumptions)
        for name in ("swish", "relu", "tanh", "erf", "gelu", "cos")
    },
    "the activation itself": lambda: theory.activations.get("swish").slope(np.array([-800.0])),
    "limiting_ntg": lambda: theory.limiting_ntg(UNLIKE, 0.1, 0.02, rng=1, return_bound=True),
    "ntg_variance": lambda: theory.ntg_variance(UNLIKE, 0.5, 0.01),
    "theorem_4_3": lambda: theory.theorem_4_3(UNLIKE, [1e-310, 1.0]),
    "theorem_4_4": lambda: theory.theorem_4_4(UNLIKE / 10, [1e-200, 1.0]),
    "theta_3": lambda: theory.theta_3(WEIGHTS, np.ones(6), np.full(6, 1e-110), UNLIKE),
    "ntg_velocity": lambda: theory.ntg_velocity(
        WEIGHTS, np.ones(6), np.full(6, 1e-150), UNLIKE, np.ones(3)
    ),
    "simulated_drift": lambda: theory.simulated_drift(
        UNLIKE, np.ones(3), [1e-300, 1.0], draws=3, rng=0
    ),
    "node_scaling_parts": lambda: theory.node_scaling_parts(10**5, 0.0, 0.01),
    "zipf_weights": lambda: theory.zipf_weights(10**5, 0.01),
    "zipf_tail": lambda: theory.zipf_tail(0.001, 10, 3.0),
    "zeta_ratio": lambda: theory.zeta_ratio(0.001, 5.0),
    "sum_of_powers": lambda: theory.sum_of_powers(10**6, 0.3, 0.001, 3.0),
    "proposition_b2": lambda: theory.proposition_b2(10**5, 0.0, 0.01, 3.0),
    "output_moment": lambda: theory.output_moment("swish", [0.0, 1e-200, 50.0]),
    "loss of a theorem": lambda: theory.theorem_4_1(**CONSTANTS, **SMOOTH).loss([0.0, 1e9], 1.0),
    "lemma_e4": lambda: theory.lemma_e4(NODES * 1e-200, NODES, NODES, M=1.0, **SIZES),
    "law": lambda: [
        getattr(theory.min_eigenvalue_law(UNLIKE[:2] * 1e-70, 0.1, 0.3, draws=3, rng=0), name)
        for name in ("mean", "standard_error")
    ],
}


def numbers(result):
    """The arrays and numbers in a result, in their order."""
    if isinstance(result, (list, tuple)):
        return [number for each in result for number in numbers(each)]
    if isinstance(result, theory.PropositionB2 | theory.Assumptions | theory.Check):
        return numbers(list(vars(result).values()))
    return [np.asarray(result)]


@pytest.mark.parametrize("name", STRICT)
def test_the_callers_floating_point_settings_make_no_difference(name):
    """`numpy.seterr(all="raise")` is for the caller's own code."""
    expected = numbers(STRICT[name]())
    with np.errstate(all="raise"):
        got = numbers(STRICT[name]())
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


def test_certificates_do_not_depend_on_the_floating_point_settings():
    X, y = af.datasets.simulated(n=4, d=2, rng=0)
    net = af.Network.init(2, 30, 0.5, 0.7, activation="tanh", rng=1)
    run = af.gradient_flow(net, X, y, t_end=1e5, record=af.Record(times=[0.0, 1e4, 1e5]))
    expected = theory.certify(run, X, y)
    with np.errstate(all="raise"):
        got = theory.certify(run, X, y)
        assert got.table() == expected.table()
        assert list(got.rows()) == list(expected.rows())
