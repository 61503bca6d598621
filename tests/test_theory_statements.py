"""Propositions B.1 and D.1, Theorems 4.1, A.1 and H.1: against mpmath, and against each other."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import oracles
import oracles_theory
import pytest
from asymfast import theory

# logarithms of up to 400 with a rounding each, then an exponential: 400 eps, ten times over
RTOL = 1e-12


def constants(seed):
    """Constants of every size, from tame to astronomical."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 5000)), int(rng.integers(1, 1000))
    return {
        "n": n,
        "d": d,
        "kappa": float(10 ** rng.uniform(-12, 0) / d),
        "gamma": float(rng.uniform(0.01, 1)),
        "delta": float(10 ** rng.uniform(-4, -0.1)),
        "C": float(rng.uniform(0, 10)),
    }


def smooth(seed):
    rng = np.random.default_rng([seed, 1])
    return {"M": float(rng.uniform(0.1, 2)), "C_1": float(rng.uniform(0.001, 1))}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("L", [1.0, 1.0998393201288670])
def test_theorem_4_1(seed, L):
    k = {**constants(seed), **smooth(seed), "L": L}
    got = theory.theorem_4_1(**k)
    widths, eigmin, rate, factor, linear, root = oracles_theory.theorem_4_1(**k)
    np.testing.assert_allclose(got.width.terms, [float(w) for w in widths], rtol=RTOL)
    assert got.width.required == max(got.width.terms)
    assert got.eigmin == pytest.approx(float(eigmin), rel=RTOL)
    assert got.loss(3.0, 7.0) == pytest.approx(float(7 * mp.exp(3 * rate)), rel=RTOL)
    lam = oracles.node_scaling(50, k["gamma"], 0.5)
    np.testing.assert_allclose(got.weight_change(lam), float(factor) * np.sqrt(lam), rtol=RTOL)
    S = float(np.sum(lam**2))
    exact = float(linear * S + root * mp.sqrt(S))
    assert got.ntg_change(S) == pytest.approx(exact, rel=RTOL)


@pytest.mark.parametrize("seed", range(8))
def test_theorem_a1(seed):
    k = constants(seed)
    widths, eigmin, rate, factor, linear, root = oracles_theory.theorem_a1(**k)
    printed = theory.theorem_a1(**k, printed=True)
    np.testing.assert_allclose(printed.width.terms, [float(w) for w in widths], rtol=RTOL)
    corrected = theory.theorem_a1(**k).width.terms
    np.testing.assert_allclose(np.divide(printed.width.terms, corrected), [1, 2, 2], rtol=RTOL)
    # the widths of Appendix F, by its D
    n, d, kappa, gamma, delta, C = (k[name] for name in ("n", "d", "kappa", "gamma", "delta", "C"))
    D = mp.sqrt(n**2 * (C**2 + mp.mpf(1) / d) * 2 * 512**2 / (gamma**2 * delta**5 * kappa**2 * d))
    of_proof = [(8 * n * D / (d * kappa)) ** 2, (256 * n**2 * D / (d * kappa) ** 2) ** 2]
    np.testing.assert_allclose(corrected[1:], [float(w) for w in of_proof], rtol=RTOL)
    assert printed.eigmin == pytest.approx(float(eigmin), rel=RTOL)
    assert printed.log_rate == pytest.approx(float(rate), rel=RTOL)
    assert printed.weight_factor == pytest.approx(float(factor), rel=RTOL)
    assert printed.ntg_change(0.3) == pytest.approx(
        float(linear * 0.3 + root * mp.sqrt(0.3)), rel=RTOL
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("L", [1.0, 1.1289])
def test_theorem_h1(seed, L):
    k = {**constants(seed), **smooth(seed), "L": L, "eta": 10.0 ** -(seed * 2 + 1)}
    got = theory.theorem_h1(**k)
    with mp.workdps(60):
        rates, widths, one_minus_beta, log_rate = oracles_theory.theorem_h1(**k)
    np.testing.assert_allclose(got.learning_rates, [float(r) for r in rates], rtol=RTOL)
    np.testing.assert_allclose(got.width.terms, [float(w) for w in widths], rtol=RTOL)
    assert got.one_minus_beta == pytest.approx(float(one_minus_beta), rel=1e-14)
    assert got.log_rate == pytest.approx(float(log_rate), rel=1e-14)
    assert got.learning_rate_met == (k["eta"] < float(min(rates)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("L", [1.0, 1.1])
def test_the_four_summands_of_h3_are_equal(seed, L):
    """At the bounds on eta and at the widths each is gamma kappa / 16, as the proof says."""
    k = {**constants(seed), **smooth(seed), "L": L}
    got = theory.theorem_h1(**k, eta=1e-3)
    sixteenth = k["gamma"] * k["kappa"] / 16
    with mp.workdps(60):
        for term, which in zip(got.width.terms[1:], (0, 1), strict=True):
            summand = oracles_theory.four_summands(**k, eta=1e-3, m=mp.mpf(term))[which]
            assert float(summand) == pytest.approx(sixteenth, rel=1e-11)
        for rate, which in ((got.learning_rates[2], 2), (got.learning_rates[1], 3)):
            summand = oracles_theory.four_summands(**k, eta=rate, m=10)[which]
            assert float(summand) == pytest.approx(sixteenth, rel=1e-11)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("L", [1.0, 1.1])
def test_theorem_4_1_is_lemma_e5(seed, L):
    """At Appendix G's c_j, and with the residual of Markov's inequality."""
    k = {**constants(seed), **smooth(seed), "L": L}
    lam = oracles.node_scaling(9, k["gamma"], 0.5)
    n, d, S = k["n"], k["d"], k["C"] ** 2 + k["C_1"]
    c = (
        np.sqrt(lam)
        * (64 * n * L / (k["gamma"] * k["kappa"]))
        * math.sqrt(2 * S / d)
        * k["delta"] ** -1.5
    )
    residual = math.sqrt(n * S * 2 / k["delta"])
    common = {key: k[key] for key in ("n", "d", "kappa", "gamma", "delta", "M", "L")}
    lemma = theory.lemma_e5(c, lam, **common, residual=residual)
    theorem = theory.theorem_4_1(**k)
    np.testing.assert_allclose(lemma.width.terms, theorem.width.terms, rtol=RTOL)
    np.testing.assert_allclose(lemma.allowed, theorem.weight_change(lam), rtol=RTOL)
    # (c) of the theorem is loose by 2
    np.testing.assert_allclose(2 * lemma.reached, theorem.weight_change(lam), rtol=RTOL)
    assert lemma.reached_is_allowed
    assert lemma.ntg_change == pytest.approx(theorem.ntg_change(float(np.sum(lam**2))), rel=RTOL)
    assert (lemma.eigmin, lemma.log_rate) == pytest.approx((theorem.eigmin, theorem.log_rate))


@pytest.mark.parametrize("seed", range(4))
def test_theorem_a1_is_lemma_e3(seed):
    k = constants(seed)
    lam = oracles.node_scaling(9, k["gamma"], 0.5)
    n, d = k["n"], k["d"]
    S = k["C"] ** 2 + 1 / d
    D = n * math.sqrt(S * 2 * 512**2 / d) / (k["gamma"] * k["kappa"]) * k["delta"] ** -2.5
    common = {key: k[key] for key in ("n", "d", "kappa", "gamma", "delta")}
    residual = math.sqrt(n * S * 2 / k["delta"])
    lemma = theory.lemma_e3(D * np.sqrt(lam), lam, **common, residual=residual)
    theorem = theory.theorem_a1(**k)
    np.testing.assert_allclose(lemma.allowed, theorem.weight_change(lam), rtol=RTOL)
    np.testing.assert_allclose(2 * lemma.reached, theorem.weight_change(lam), rtol=RTOL)
    assert lemma.ntg_change == pytest.approx(theorem.ntg_change(float(np.sum(lam**1.5))), rel=RTOL)
    # sum_j c_j <= D sqrt(m): the theorem's widths suffice for the lemma's
    assert all(
        mine <= math.sqrt(len(lam)) * math.sqrt(theirs) * (1 + 1e-9)
        for mine, theirs in zip(lemma.width.terms[1:], theorem.width.terms[1:], strict=True)
    )


def test_the_simulated_problem():
    """Known widths of the paper's problem: 6.420e23 and 2.568e24 (4.1), 5.574e34 and 2.230e35."""
    k = {"n": 100, "d": 50, "delta": 0.1, "C": 2.739}
    for gamma, of_4_1, of_a1 in ((1.0, 6.420e23, 5.574e34), (0.5, 2.568e24, 2.230e35)):
        C_1 = theory.c_1("swish", 50)
        got = theory.theorem_4_1(**k, kappa=6.256775e-05, gamma=gamma, M=0.5, C_1=C_1)
        assert got.width.required == pytest.approx(of_4_1, rel=3e-4)
        got = theory.theorem_a1(**k, kappa=3.790672e-03, gamma=gamma, printed=True)
        assert got.width.required == pytest.approx(of_a1, rel=3e-4)


def test_the_middle_width_never_binds():
    """d kappa_n <= 1, hence the ratios of the third width to the second."""
    k = {**constants(3), **smooth(3)}
    inverse = k["n"] / (k["d"] * k["kappa"])
    widths = theory.theorem_4_1(**k).width.terms
    assert widths[2] / widths[1] == pytest.approx(32 * inverse, rel=1e-10)
    widths = theory.theorem_h1(**k, eta=1e-6).width.terms
    assert widths[2] / widths[1] == pytest.approx(64 * inverse, rel=1e-10)


def test_widths_beyond_all_floats():
    k = {"n": 10**6, "d": 3, "kappa": 1e-60, "gamma": 0.1, "delta": 1e-9, "C": 5.0}
    got = theory.theorem_a1(**k)
    with mp.workdps(30):
        exact = mp.log10(oracles_theory.theorem_a1(**k)[0][2] / 2)
    assert got.width.log10 == pytest.approx(float(exact), rel=1e-14)
    with pytest.raises(OverflowError, match=r"10\^4\d\d"):
        _ = got.width.required
    assert not got.width.met_by(1e300)


def test_proposition_d1_bounds_the_smallest_eigenvalue():
    """Seen over 400 networks: fails less often than its bound, which the widths make delta."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    kappa = theory.kappa_n(X, "tanh").value
    got = theory.proposition_d1(n=3, d=4, kappa=kappa, gamma=0.6, delta=0.2)
    assert got.eigmin == pytest.approx(0.6 * kappa / 2, rel=RTOL)
    m = math.ceil(got.width.required)
    assert got.failure_probability(m) <= 0.2
    assert got.failure_probability(m / 2 // 1) > 0.2
    law = theory.min_eigenvalue_law(X, 0.6, 0.5, "tanh", m=m, draws=400, rng=1)
    assert np.mean(law.values <= got.eigmin) <= 0.2
    with mp.workdps(20):
        exact = 8 * 3 * mp.log(mp.mpf(3) / mp.mpf("0.2")) / (kappa * 4)
    assert got.width.required == pytest.approx(float(exact), rel=RTOL)


@pytest.mark.parametrize("n", [1, 4])
def test_proposition_b1_bounds_sums_of_projections(n):
    """Exact check by binomials: X_j = e_k e_k' with k uniform; R = 1, mu = p / n."""
    p, delta = 60, 0.5
    rng = np.random.default_rng(5)
    counts = rng.multinomial(p, np.full(n, 1 / n), size=20_000)
    mu = p / n
    low, high = theory.proposition_b1(delta, n=n, mu=mu, R=1.0)
    assert np.mean(counts.min(axis=1) <= (1 - delta) * mu) <= low
    assert np.mean(counts.max(axis=1) >= (1 + delta) * mu) <= high
    exact = n * (mp.exp(-delta) / mp.mpf(1 - delta) ** (1 - delta)) ** mu
    assert low == pytest.approx(min(1.0, float(exact)), rel=1e-12)
    exact = n * (mp.exp(delta) / mp.mpf(1 + delta) ** (1 + delta)) ** mu
    assert high == pytest.approx(min(1.0, float(exact)), rel=1e-12)


def test_proposition_b1_at_the_ends():
    assert theory.proposition_b1(0.0, n=3, mu=5.0, R=1.0) == (1.0, 1.0)
    assert theory.proposition_b1(1.0, n=3, mu=5.0, R=1.0)[0] == pytest.approx(3 * math.exp(-5))
    assert theory.proposition_b1(1e308, n=3, mu=5.0, R=1.0) == (0.0, 0.0)
    assert theory.proposition_b1(2.0, n=3, mu=0.0, R=1.0) == (1.0, 1.0)


@pytest.mark.parametrize("delta", [1e-9, 1e-3, 0.0099, 0.011, 0.9999, 1.5, 40.0])
def test_proposition_b1_at_small_and_large_deviations(delta):
    """Exponents -1, where delta + (1 - delta) log(1 - delta) cancels; the upper bound above 1."""
    with mp.workdps(40):
        x = mp.mpf(delta)
        low, high = (
            s * x + (1 - s * x) * mp.log(1 - s * x) if s * x < 1 else mp.inf for s in (1, -1)
        )
        for index, rate in enumerate((low, high)):
            mu = float(1 / rate) or 1.0
            exact = min(1.0, float(2 * mp.exp(-mu * rate)))
            bounds = theory.proposition_b1(delta, n=2, mu=mu, R=1.0)
            assert bounds[index] == pytest.approx(exact, rel=1e-13)


def test_arguments_by_place_and_estimates_are_answered_with_what_to_pass():
    with pytest.raises(TypeError, match="positional arguments; pass by name: n=, d=, kappa=, "):
        theory.theorem_4_1(100, 50)
    kappa = theory.kappa_n(np.eye(2), "tanh")
    with pytest.raises(TypeError, match=r"kappa must be a real number, got .*; pass kappa\.value$"):
        theory.proposition_d1(n=2, d=2, kappa=kappa, gamma=0.5, delta=0.1)
    with pytest.raises(ValueError, match=r"^suprema: name must be one of swish, "):
        theory.suprema("silu")


GOOD = {"n": 5, "d": 3, "kappa": 0.01, "gamma": 0.5, "delta": 0.1}
BAD = [
    ("n", 0, "n must be at least 1"),
    ("d", 0, "d must be at least 1"),
    ("kappa", 0.0, r"kappa must be in \(0, inf\)"),
    ("kappa", -1e-17, r"kappa must be in \(0, inf\)"),
    ("kappa", math.nan, r"kappa must be in \(0, inf\)"),
    ("gamma", 0.0, r"gamma must be in \(0, 1\]"),
    ("gamma", 1.1, r"gamma must be in \(0, 1\]"),
    ("delta", 0.0, r"delta must be in \(0, 1\)"),
    ("delta", 1.0, r"delta must be in \(0, 1\)"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
@pytest.mark.parametrize(
    ("statement", "more"),
    [
        (theory.proposition_d1, {}),
        (theory.theorem_4_1, {"M": 0.5, "C": 1.0, "C_1": 0.1}),
        (theory.theorem_a1, {"C": 1.0}),
        (theory.theorem_h1, {"M": 0.5, "C": 1.0, "C_1": 0.1, "eta": 0.1}),
    ],
)
def test_bad_constants(statement, more, name, value, message):
    statement(**GOOD, **more)
    with pytest.raises(ValueError, match=message):
        statement(**{**GOOD, **more, name: value})


def test_names_of_arguments_that_are_missing_or_misspelt():
    with pytest.raises(TypeError, match=r"^theorem_a1: missing a required argument: 'C'"):
        theory.theorem_a1(**GOOD)
    misspelt = {**GOOD, "C": 1.0, "kapa": GOOD["kappa"]}
    with pytest.raises(TypeError, match=r"^theorem_a1: got an unexpected .* mean 'kappa'"):
        theory.theorem_a1(**misspelt)


def test_infinite_curvature_is_refused():
    with pytest.raises(ValueError, match=r"M must be in \[0, inf\)"):
        theory.theorem_4_1(**GOOD, M=math.inf, C=1.0, C_1=0.1)


def test_bounds_that_overflow_say_so():
    tiny = {**GOOD, "kappa": 1e-200}
    with pytest.raises(OverflowError, match="exceeds the largest float"):
        theory.theorem_4_1(**tiny, M=0.5, C=1.0, C_1=0.1)


def test_a_learning_rate_beyond_the_theorem():
    """eta gamma kappa / 2 >= 1: no width, no NaN."""
    got = theory.theorem_h1(**GOOD, eta=1e6, M=0.5, C=1.0, C_1=0.1)
    assert got.width is None
    assert not got.learning_rate_met
    assert got.one_minus_beta == 1.0
    assert got.log_rate == -math.inf


def test_a_linear_activation_needs_the_first_width_only():
    got = theory.theorem_4_1(**GOOD, M=0.0, C=1.0, C_1=0.1)
    assert got.width.terms[1:] == (0.0, 0.0)
    assert got.ntg_change(0.5) == 0.0
    assert math.isfinite(theory.theorem_h1(**GOOD, eta=0.1, M=0.0, C=1.0, C_1=0.1).learning_rate)
