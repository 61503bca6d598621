"""Certificates: bounds and observations recomputed by the oracles, verdicts, degenerate runs."""

from __future__ import annotations

import json
import sys

import asymfast as af
import numpy as np
import oracles
import oracles_theory
import pytest
from asymfast import theory

N, D, M = 8, 5, 40


def problem(seed=0, n=N):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, rng.standard_normal(n)


def network(activation="tanh", gamma=0.5, alpha=0.6, m=M, seed=1):
    return af.Network.init(D, m, gamma, alpha, activation=activation, rng=seed)


def flow(net, X, y, **options):
    return af.gradient_flow(net, X, y, t_end=20.0, dt=0.05, record=af.Record(every=80, **options))


def descent(net, X, y, lr=0.5, **options):
    record = af.Record(every=25, **options)
    return af.gradient_descent(net, X, y, lr=lr, steps=100, record=record)


def constants(X, y, activation, gamma):
    z = np.linspace(-12, 12, 200_001)
    return {
        "n": len(X),
        "d": D,
        "kappa": np.linalg.eigvalsh(theory.mean_ntg(X, activation))[0],
        "gamma": gamma,
        "delta": 0.1,
        "M": np.abs(oracles.activation(activation, z, 2)).max(),
        "C": np.abs(y).max(),
        "C_1": float(theory.output_moment(activation, D**-0.5)),
    }


def observed(run, X, y):
    """The recorded quantities, from the recorded weights and the oracle."""
    net = run.initial
    return oracles.trajectory(
        oracles.Model(net.W, net.a, net.lam, net.activation), run.weights, X, y
    )


def test_flow_is_compared_with_theorem_4_1():
    X, y = problem()
    net = network()
    run = flow(net, X, y, weights=True)
    certificate = theory.certify(run, X, y)
    assert certificate.theorem == "Theorem 4.1"
    k = constants(X, y, "tanh", 0.5)
    widths, eigmin, rate, factor, linear, root = oracles_theory.theorem_4_1(**k)
    exact, claims = observed(run, X, y), certificate.claims
    assert list(claims) == ["(a)", "(b)", "(c)", "(d)"]
    # kappa is ill-conditioned: 1e-16 of the largest eigenvalue, a few hundred times itself
    close = {"rtol": 1e-9, "atol": 0}
    np.testing.assert_allclose(claims["(a)"].bound, float(eigmin), **close)
    np.testing.assert_allclose(claims["(a)"].observed, exact.ntg_eigmin, rtol=1e-9)
    np.testing.assert_allclose(
        claims["(b)"].bound, exact.loss[0] * np.exp(float(rate) * run.time), **close
    )
    np.testing.assert_allclose(claims["(b)"].observed, exact.loss, rtol=1e-9)
    ratio = (exact.weight_change / np.sqrt(net.lam)).max(axis=1)
    np.testing.assert_allclose(claims["(c)"].observed, ratio, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(claims["(c)"].bound, float(factor), **close)
    model = oracles.Model(net.W, net.a, net.lam, "tanh")
    K = [oracles.ntg(model._replace(W=W), X) for W in run.weights]
    spectral = [np.linalg.norm(each - K[0], 2) for each in K]
    np.testing.assert_allclose(claims["(d)"].observed, spectral, rtol=1e-9, atol=1e-16)
    S = np.sum(net.lam**2)
    np.testing.assert_allclose(claims["(d)"].bound, float(linear * S + root * S**0.5), rtol=1e-8)
    assert certificate.spectral.all()
    assert certificate.holds is True
    assert certificate.applies is False
    assert certificate.width.required == pytest.approx(float(max(widths)), rel=1e-8)
    (reason,) = certificate.reasons
    assert reason.startswith("the width must be at least")
    np.testing.assert_array_equal(
        claims["(a)"].margin, claims["(a)"].observed - claims["(a)"].bound
    )


def test_lemma_e1_with_the_measured_eigenvalue():
    X, y = problem()
    run = flow(network("softplus"), X, y)
    measured = theory.certify(run, X, y).measured
    least = np.minimum.accumulate(run.ntg_eigmin)
    expected = run.loss[0] * np.exp(-2 * least * run.time)
    np.testing.assert_allclose(measured["E.1 loss"].bound, expected, rtol=1e-10)
    expected = np.sqrt(N / D) * np.sqrt(2 * run.loss[0]) / least
    np.testing.assert_allclose(measured["E.1 weights"].bound, expected, rtol=1e-10)
    assert measured["E.1 loss"].holds is True
    assert measured["E.1 weights"].holds is True


@pytest.mark.parametrize("activation", ["tanh", "swish"])
def test_descent_is_compared_with_theorem_h1(activation):
    X, y = problem()
    run = descent(network(activation), X, y)
    for corrected in (False, True):
        certificate = theory.certify(run, X, y, delta=0.1, corrected=corrected)
        assert certificate.theorem == "Theorem H.1"
        L = max(1.0, theory.suprema(activation)[0]) if corrected else 1.0
        k = constants(X, y, activation, 0.5)
        rates, widths, one_minus_beta, log_rate = oracles_theory.theorem_h1(**k, eta=0.5, L=L)
        assert certificate.learning_rate == pytest.approx(float(min(rates)), rel=1e-7)
        assert certificate.width.required == pytest.approx(float(max(widths)), rel=1e-7)
        expected = run.loss[0] * np.exp(float(log_rate) * run.steps)
        np.testing.assert_allclose(certificate.claims["(b)"].bound, expected, rtol=1e-9)
        # proof of H.1: eta / (1 - beta) L sqrt(lam n / d) sqrt(2 n (C^2 + C_1) / delta)
        factor = L * 0.5 / float(one_minus_beta) * np.sqrt(N / D)
        factor *= np.sqrt(N * (k["C"] ** 2 + k["C_1"]) * 2 / 0.1)
        np.testing.assert_allclose(certificate.claims["(c)"].bound, factor, rtol=1e-8)
        eigmin = 3 * 0.5 * k["kappa"] / 8
        np.testing.assert_allclose(certificate.claims["(a)"].bound, eigmin, rtol=1e-9)
        told = any("|sigma'| <= 1" in reason for reason in certificate.reasons)
        assert told == (activation == "swish" and not corrected)
        assert any("learning rate must be below" in reason for reason in certificate.reasons)
        assert certificate.holds is True


def test_lemma_h3_with_the_measured_eigenvalue():
    """A step so small that the lemma guarantees progress; one bound recomputed."""
    X, y = problem()
    record = af.Record(every=500)
    run = af.gradient_descent(network(), X, y, lr=2e-5, steps=2000, record=record)
    claim = theory.certify(run, X, y).measured["H.3 loss"]
    assert claim.holds is True
    assert len(claim.records) == len(run.steps) - 1
    residual = np.sqrt(2 * run.loss[0])
    factor = (
        1
        - 4e-5 * min(run.ntg_eigmin[:2])
        + 2 * 4e-10 * theory.suprema("tanh")[1] * N**1.5 * residual / D**2
        + 4e-10 * N**2 / D**2
    )
    assert claim.bound[0] == pytest.approx(run.loss[0] * factor**500, rel=1e-12)
    assert theory.certify(descent(network(), X, y, lr=2.0), X, y).measured == {}


def test_relu_flow_is_compared_with_theorem_a1():
    X, y = problem()
    run = flow(network("relu"), X, y)
    certificate = theory.certify(run, X, y)
    assert certificate.theorem == "Theorem A.1"
    k = {name: v for name, v in constants(X, y, "tanh", 0.5).items() if name not in ("M", "C_1")}
    k["kappa"] = np.linalg.eigvalsh(theory.mean_ntg(X, "relu"))[0]
    widths, _, _, factor, linear, root = oracles_theory.theorem_a1(**k)
    assert certificate.width.required == pytest.approx(float(max(widths) / 2), rel=1e-8)
    S = np.sum(run.initial.lam**1.5)
    np.testing.assert_allclose(
        certificate.claims["(d)"].bound, float(linear * S + root * S**0.5), rtol=1e-9
    )
    np.testing.assert_allclose(certificate.claims["(c)"].bound, float(factor), rtol=1e-9)
    assert certificate.holds is True
    assert all("2.2" not in reason for reason in certificate.reasons)


def test_the_paper_is_silent_on_descent_with_relu():
    X, y = problem()
    certificate = theory.certify(descent(network("relu"), X, y), X, y)
    assert "the paper proves nothing for gradient descent with relu (A.3)" in certificate.reasons
    assert certificate.claims["(b)"].bound[-1] < certificate.claims["(b)"].bound[0]


def test_a_theorem_that_applies():
    """One sample: kappa = E[cos(z)^2] = 0.57 and the width is within reach."""
    X, y = np.ones((1, 1)), np.array([0.01])
    kappa = (1 + np.exp(-2)) / 2
    assert theory.kappa_n(X, "sin").value == pytest.approx(kappa, rel=1e-14)
    width = 2**15 * (1e-4 + (1 - np.exp(-2)) / 2) / kappa**4 / 0.9
    for m, applies in ((int(width), False), (int(width) + 1, True)):
        net = af.Network.init(1, m, 1.0, activation="sin", rng=0)
        run = af.gradient_flow(net, X, y, t_end=4.0, dt=1.0)
        certificate = theory.certify(run, X, y, delta=0.9)
        assert certificate.width.required == pytest.approx(width, rel=1e-11)
        assert certificate.applies is applies
        assert len(certificate.reasons) == (not applies)
        assert certificate.holds is True
        assert all(claim.holds for claim in certificate.initial.values())


def test_mean_squared_error_is_the_same_flow_slowed_down():
    X, y = problem()
    fast = flow(network(), X, y)
    record = af.Record(every=80)
    slow = af.gradient_flow(
        network(), X, y, t_end=20.0 * N / 2, dt=0.05 * N / 2, loss="mse", record=record
    )
    one, other = theory.certify(fast, X, y), theory.certify(slow, X, y)
    np.testing.assert_allclose(one.time, other.time, rtol=1e-12)
    for name, claim in one.claims.items():
        np.testing.assert_allclose(other.claims[name].bound, claim.bound, rtol=1e-9)
        np.testing.assert_allclose(
            other.claims[name].observed, claim.observed, rtol=1e-6, atol=1e-12
        )
    run = af.gradient_descent(network(), X, y, lr=1.0, steps=3, loss="mse")
    assert theory.certify(run, X, y).constants["eta"] == pytest.approx(2 / N)


def test_a_member_of_an_ensemble():
    X, y = problem()
    nets = [network(seed=seed, gamma=gamma) for seed, gamma in ((1, 0.5), (2, 0.9))]
    together = descent(af.Network.stack(nets), X, y)
    for member, net in enumerate(nets):
        one = theory.certify(descent(net, X, y), X, y)
        other = theory.certify(together, X, y, member=member)
        assert other.constants["gamma"] == net.gamma
        for name, claim in one.claims.items():
            np.testing.assert_array_equal(other.claims[name].observed, claim.observed)
            np.testing.assert_array_equal(other.claims[name].bound, claim.bound)
    with pytest.raises(ValueError, match=r"pass member=0, \.\.\., 1"):
        theory.certify(together, X, y)
    with pytest.raises(ValueError, match="member must be at most 1"):
        theory.certify(together, X, y, member=2)
    with pytest.raises(ValueError, match="member is for ensembles"):
        theory.certify(descent(nets[0], X, y), X, y, member=0)


@pytest.mark.parametrize("options", [{"ntg": False, "eigmin": False}, {"ntg_on": 3}])
def test_without_records_of_the_whole_ntg(options):
    """(a) and (d) are then checked at the two ends, from the networks."""
    X, y = problem()
    full = theory.certify(descent(network(), X, y, weights=True), X, y)
    part = theory.certify(descent(network(), X, y, **options), X, y)
    for name in ("(a)", "(d)"):
        assert part.claims[name].records.tolist() == [0, 4]
        np.testing.assert_allclose(
            part.claims[name].observed, full.claims[name].observed[[0, 4]], atol=1e-15
        )
    rows = list(part.rows())
    assert rows[1]["(a) observed"] is None
    assert rows[1]["(b) pass"] is True
    assert part.holds is True


def test_a_recorded_spectral_norm():
    X, y = problem()
    full = theory.certify(descent(network(), X, y, weights=True), X, y)
    recorded = theory.certify(descent(network(), X, y, ntg_change_2norm=True), X, y)
    assert recorded.spectral.all()
    np.testing.assert_allclose(
        recorded.claims["(d)"].observed, full.claims["(d)"].observed, rtol=1e-9, atol=1e-15
    )


def test_frobenius_norms_that_decide_nothing():
    """A claim whose recorded norm exceeds the bound, while the spectral norm may not."""
    X, y = problem()
    run = descent(network(), X, y)
    certificate = theory.certify(run, X, y)
    assert not certificate.spectral.any()
    np.testing.assert_array_equal(certificate.claims["(d)"].observed, run.ntg_change)
    from asymfast.theory.certificate import RunNumbers, _ntg_claim

    numbers = RunNumbers(run, X, y, None)
    last = run.ntg_change[-1]
    known = np.array([4])
    assert _ntg_claim("", known, numbers, 1.1 * last).holds is True
    assert _ntg_claim("", known, numbers, 0.9 * last).holds is None
    assert _ntg_claim("", known, numbers, 0.9 * last / N**0.5).holds is False


def test_gamma_of_a_network_that_does_not_say():
    """The largest gamma for which lam = gamma / m + something >= 0."""
    X, y = problem()
    net = network(gamma=0.5, alpha=0.6)
    bare = af.Network(net.W, net.a, net.lam, activation="tanh")
    got = theory.certify(descent(bare, X, y), X, y).constants["gamma"]
    assert got == pytest.approx(M * net.lam.min())
    assert got >= 0.5


@pytest.mark.parametrize("kind", [flow, descent])
def test_without_gamma_or_kappa_the_theorem_is_silent(kind):
    X, y = problem()
    certificate = theory.certify(kind(network(gamma=0.0), X, y), X, y)
    assert certificate.claims == {}
    assert certificate.holds is None
    assert not certificate.applies
    assert "gamma must be > 0, and is 0" in certificate.reasons
    assert "the theorem has no bounds for this run" in certificate.table()
    X[3] = X[0]  # duplicate rows
    certificate = theory.certify(kind(network(), X, y), X, y)
    assert certificate.claims == {}
    assert certificate.width is None
    assert any(reason.startswith("kappa_n must be > 0") for reason in certificate.reasons)
    assert any("rows are parallel, the first is 0 and 3" in each for each in certificate.reasons)
    certificate.figure()
    json.dumps(certificate.to_dict(), allow_nan=False)


def test_one_sample_and_one_node():
    X, y = problem(n=1)
    for gamma in (1.0, 0.3):
        run = flow(network(m=1, gamma=gamma), X, y)
        certificate = theory.certify(run, X, y)
        assert len(certificate.claims) == 4
        assert all(np.isfinite(claim.bound).all() for claim in certificate.claims.values())
        assert all(np.isfinite(claim.observed).all() for claim in certificate.claims.values())


def test_nodes_without_scaling_do_not_disturb():
    X, y = problem()
    net = af.Network.init(D, M, 0.0, weights=[1.0] * 3 + [0.0] * (M - 3), activation="tanh", rng=0)
    measured = theory.certify(flow(net, X, y), X, y).measured
    assert all(np.isfinite(claim.observed).all() for claim in measured.values())


def test_a_diverged_run():
    X, y = problem()
    net = network("identity")
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(net, X, y, lr=40.0, steps=500, record=af.Record(every=1))
    certificate = theory.certify(caught.value.run, X, y)
    assert certificate.diverged
    assert "the run diverged" in certificate.table()
    net = network("relu", gamma=1.0, alpha=None)
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(net, X, y, lr=1e3, steps=500, record=af.Record(every=1))
    certificate = theory.certify(caught.value.run, X, y)
    assert certificate.holds is False
    certificate.figure()


def test_a_loss_at_the_rounding_of_its_network():
    """Relu to the end: the bound falls to exp(-200), the loss stays where float64 ends."""
    X, y = problem(n=5)
    net = network("relu", gamma=1.0, alpha=None, m=200)
    run = af.gradient_descent(net, X, y, lr=2.0, steps=20_000, record=af.Record(every=5000))
    certificate = theory.certify(run, X, y)
    claim = certificate.claims["(b)"]
    assert claim.bound[-1] < 1e-100 < claim.observed[-1] < 1e-28
    assert claim.holds is True


@pytest.mark.parametrize("seed", range(6))
def test_a_bound_at_time_zero_is_the_loss_itself(seed):
    """Its square root and back is not the same number: that decided the claim."""
    X, y = problem(seed)
    net = network("relu", gamma=0.0, seed=seed)
    run = af.gradient_flow(net, X, y, t_end=1.0, method="rk4", dt=0.5)
    claim = theory.certify(run, X, y).measured["E.1 loss"]
    assert claim.observed[0] == pytest.approx(claim.bound[0], rel=1e-15)
    assert claim.passed[0]


def test_initial_events():
    X, y = problem()
    run = flow(network(), X, y)
    events = theory.certify(run, X, y).initial
    net = run.initial
    model = oracles.Model(net.W, net.a, np.full(M, 0.5 / M), "tanh")
    first = np.linalg.eigvalsh(oracles.ntg(model, X))[0]
    assert events["D.1"].observed[0] == pytest.approx(first, rel=1e-9)
    assert events["(32)"].observed[0] == pytest.approx(2 * run.loss[0])
    k = constants(X, y, "tanh", 0.5)
    assert events["(32)"].bound[0] == pytest.approx(2 * N * (k["C"] ** 2 + k["C_1"]) / 0.1)


def test_float32_runs():
    X, y = (v.astype(np.float32) for v in problem())
    net = af.Network.init(D, M, 0.5, 0.6, activation="tanh", rng=1, dtype="float32")
    certificate = theory.certify(descent(net, X, y), X, y)
    assert certificate.holds is True
    assert certificate.assumptions.failures == ()


def test_table_and_dictionary():
    X, y = problem()
    certificate = theory.certify(flow(network(), X, y), X, y)
    text = str(certificate)
    for part in ("theorem applies:  NO", "conclusion holds: yes", "width required:", "kappa_n ="):
        assert part in text
    assert len(certificate.table(3).splitlines()) == len(text.splitlines()) - 3
    content = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert content["holds"] is True
    assert len(content["records"]) == len(certificate.steps)
    assert content["records"][0]["(b) pass"] is True


def test_figure(monkeypatch):
    X, y = problem()
    certificate = theory.certify(flow(network(), X, y), X, y)
    figure = certificate.figure()
    assert len(figure.axes) == 4
    assert figure.get_suptitle() == "Theorem 4.1 does not apply; its conclusion holds"
    labels = {line.get_label() for axes in figure.axes for line in axes.lines}
    assert {"observed", "bound", "bound, Lemma E.1 (measured)"} <= labels
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'asymfast\[plot\]'"):
        certificate.figure()


def test_certify_refuses_what_the_theorems_do_not_speak_of():
    X, y = problem()
    run = descent(network(), X, y)
    with pytest.raises(TypeError, match="run must be a Run, got int"):
        theory.certify(3, X, y)
    with pytest.raises(ValueError, match="are not the data of this run"):
        theory.certify(run, X, y + 1)
    with pytest.raises(ValueError, match="X must have shape"):
        theory.certify(run, X[:, 1:], y)
    with pytest.raises(ValueError, match="y must have shape"):
        theory.certify(run, X, y[1:])
    with pytest.raises(ValueError, match=r"delta must be in \(0, 1\)"):
        theory.certify(run, X, y, delta=0.0)
    with pytest.raises(TypeError, match="corrected must be True or False"):
        theory.certify(run, X, y, corrected="yes")
    two = af.Network.init(D, M, 0.5, 0.6, outputs=2, rng=0)
    targets = np.stack([y, y], axis=1)
    with pytest.raises(ValueError, match="on one output, this network has 2"):
        theory.certify(af.gradient_descent(two, X, targets, steps=1), X, y)
    labels = (y > 0).astype(int)
    run = af.gradient_descent(two, X, labels, steps=1, loss="cross_entropy")
    with pytest.raises(ValueError, match="one output"):
        theory.certify(run, X, y)
