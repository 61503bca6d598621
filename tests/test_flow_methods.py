"""The methods of gradient_flow: accuracy, order, dense output, cost, bits, what they refuse."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import (
    BACKENDS,
    SMOOTH,
    THREADS,
    as_float32,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)

METHODS = ("rk4", "dopri5", "tangent")


def flow(case, t_end, method, times=None, **settings):
    record = af.Record(times=[0.0, t_end] if times is None else times, ntg=False, eigmin=False)
    settings = {"record": record, **settings}
    return af.gradient_flow(case.net, case.X, case.y, t_end=t_end, method=method, **settings)


def exact_loss(case, times, kind="half_sse"):
    weights = oracles.gradient_flow(case.model, case.X, case.y, times, kind)
    return oracles.trajectory(case.model, weights, case.X, case.y, kind).loss


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-8])
def test_rtol_is_kept_at_every_recorded_time(method, rtol):
    """Against DOP853 at 1e-12. The loss is half the squared residual: twice its relative error."""
    case = simulated(n=15, d=7, m=33)
    times = [0.0, 0.01, 0.3, 5.0, 41.7, 150.0, 600.0]
    exact = exact_loss(case, times)
    run = flow(case, 600.0, method, times, rtol=rtol)
    assert run.config["method_taken"] == method
    # the oracle's own error in the loss is about 1e-12 of the first
    assert_within(run.loss, exact, 2 * rtol * exact + 1e-11 * exact[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tolerances_below_rounding_come_to_an_end(method, dtype):
    """The steps stop shrinking where only rounding is left of the error."""
    case = simulated() if dtype == "float64" else as_float32(simulated())
    exact = exact_loss(simulated(), [100.0])
    run = flow(case, 100.0, method, rtol=1e-13 if dtype == "float64" else 1e-9)
    assert_within(run.loss[-1:], exact, 1e5 * case.eps * exact)


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("kind", ["half_sse", "mse"])
def test_tangent_agrees_with_dop853(activation, kind):
    case = simulated(n=15, d=7, m=33, activation=activation, loss=kind)
    times = [0.0, 0.3, 5.0, 41.7, 150.0]
    exact = exact_loss(case, times, kind)
    run = flow(case, 150.0, "tangent", times, loss=kind)
    assert_within(run.loss, exact, 2e-6 * exact)


@pytest.mark.parametrize("method", METHODS)
def test_weights_and_ntg_follow_dop853(method):
    """The error is controlled in the outputs: in single weights it may be some rtol of the path.

    W_t - W_0 = -int grad L and int |grad L|^2 dt = L_0 - L_t: the path is at most
    sqrt(t (L_0 - L_t)) long, by Cauchy-Schwarz.
    """
    case = simulated(n=15, d=7, m=33)
    times = [0.0, 0.3, 5.0, 41.7, 150.0]
    weights = oracles.gradient_flow(case.model, case.X, case.y, times)
    exact = oracles.trajectory(case.model, weights, case.X, case.y)
    run = flow(case, 150.0, method, record=af.Record(times=times))
    path = np.sqrt(np.array(times) * (exact.loss[0] - exact.loss))
    assert_within(run.weight_change, exact.weight_change, 5e-6 * path[:, None])
    # |dK| <= 2 |J| |dJ|, |dJ| <= sup|sigma''| sqrt(n max lam) / d |dW| for |x| = |a| = 1
    J = np.linalg.norm(oracles.jacobian(case.model, case.X), 2)
    slope = 2 * J * bounds.SUPREMA["swish"][1] * np.sqrt(15 * case.net.lam.max()) / 7
    ntg_error = 5e-6 * max(1.0, 2 * slope) * path  # J grows at most twofold on the way
    assert_within(run.ntg_change, exact.ntg_change, ntg_error)
    assert_within(run.ntg_eigmin, exact.ntg_eigmin, ntg_error + 1e-10 * J**2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_several_outputs(method, backend):
    case = simulated(n=8, d=5, m=17, outputs=3)
    times = [0.0, 2.0, 30.0]
    exact = exact_loss(case, times)
    run = flow(case, 30.0, method, times, backend=backend)
    assert_within(run.loss, exact, 2e-6 * exact)


@pytest.mark.parametrize("method", METHODS)
def test_output_weights_of_any_size(method):
    """The NTG holds a_jp a_jq, which for a = +-1 would hide a mistake."""
    case = problem(n=9, d=6, m=21, outputs=2)
    times = [0.0, 0.2, 3.0]
    exact = exact_loss(case, times)
    assert_within(flow(case, 3.0, method, times).loss, exact, 2e-6 * exact)


@pytest.mark.parametrize("method", METHODS)
def test_more_samples_than_weights(method):
    """n > m d: the neural tangent matrix is singular and the loss does not go to 0."""
    case = simulated(n=60, d=3, m=5)
    times = [0.0, 1.0, 50.0]
    exact = exact_loss(case, times)
    assert_within(flow(case, 50.0, method, times).loss, exact, 2e-6 * exact)


@pytest.mark.parametrize(("seed", "activation"), [(2, "swish"), (5, "softplus")])
def test_tangent_keeps_rtol_where_a_residual_remains(seed, activation):
    """n > m d, and nodes that come to lie on each other, which the outputs do not show.

    Errors were up to 500 rtol: the residual that remains turns with the tangent space, faster than
    the nodes of a step resolved, and weights grew apart that no output told from each other.
    """
    rng = np.random.default_rng(seed)
    X, y = 3 * rng.normal(size=(16, 1)), rng.normal(size=(16, 1))
    W, a = rng.normal(size=(4, 1)), rng.choice([-1.0, 1.0], size=(4, 1))
    net = af.Network(W, a, af.node_scaling(m=4, gamma=0.5, alpha=0.7), activation=activation)
    record = af.Record(times=[0.1, 1.0, 3.0, 10.0, 20.0], ntg=False, eigmin=False, weights=True)
    run = af.gradient_flow(net, X, y, t_end=20.0, method="tangent", rtol=1e-10, record=record)
    exact = af.gradient_flow(net, X, y, t_end=20.0, method="dopri5", rtol=1e-12, record=record)
    outputs = [
        np.array([af.Network(W, a, net.lam, activation=activation)(X) for W in one.weights])
        for one in (run, exact)
    ]
    errors = np.linalg.norm(outputs[0] - outputs[1], axis=(1, 2))
    assert_within(errors, np.zeros(5), 1e-10 * np.linalg.norm(outputs[1] - y, axis=(1, 2)))


@pytest.mark.parametrize("method", ["dopri5", "tangent"])
def test_closed_form_of_the_identity(method):
    """sigma(z) = z has constant K: r(t) = exp(-K t) r(0), over five decades of time."""
    case = simulated(activation="identity")
    K = oracles.ntg(case.model, case.X)
    eigenvalues, Q = np.linalg.eigh(K)
    r0 = oracles.forward(case.model, case.X) - case.y
    times = [0.0, 0.01, 1.0, 100.0, 1000.0]
    run = flow(case, 1000.0, method, times, rtol=1e-9)
    exact = np.array([0.5 * np.sum((np.exp(-t * eigenvalues) * (Q.T @ r0)) ** 2) for t in times])
    assert_within(run.loss, exact, 2e-9 * exact + 100 * case.eps * exact[0])
    if method == "tangent":  # exact at any step: the steps only have to grow, by 2 at most
        assert run.steps[-1] <= 2 + np.log2(1000 * eigenvalues[-1] / 0.05) + 1


def test_dopri5_is_of_order_five():
    """Work falls as the fifth root: two decades of rtol cost 10^0.4 to 10^0.5 times the steps."""
    case = simulated(n=15, d=7, m=33)
    steps = [flow(case, 3.0, "dopri5", rtol=rtol).steps[-1] for rtol in (1e-9, 1e-11)]
    assert 10**0.3 <= steps[1] / steps[0] <= 10**0.6, steps


def test_tangent_needs_fewer_evaluations_than_a_third_of_dopri5():
    case = simulated(n=30, d=12, m=300)
    t_end = 10_000.0
    taken = {m: flow(case, t_end, m).evaluations[-1] for m in ("dopri5", "tangent")}
    assert taken["tangent"] <= taken["dopri5"] / 3, taken


@pytest.mark.parametrize("t_end", [1e14, 1e30, 1e300])
@pytest.mark.parametrize("method", ["rk4", "dopri5", "tangent"])
def test_the_end_says_nothing_about_the_steps(method, t_end):
    """Steps that are short beside t_end are no reason to give up."""
    case = simulated()
    times = [0.0, 1.0, 10.0]
    expected = flow(case, 10.0, method, times).loss
    run = flow(case, t_end, method, [*times, t_end], stop=af.Stop(time=10.0))
    np.testing.assert_allclose(run.loss, expected, rtol=1e-5)  # 2 rtol of the residual, and spare


def test_tangent_goes_on_to_any_time():
    case = simulated()
    run = flow(case, 1e30, "tangent")
    assert run.time[-1] == 1e30
    assert run.loss[-1] <= 1e-20 * run.loss[0]


@pytest.mark.parametrize("method", ["dopri5", "tangent"])
def test_records_do_not_change_the_steps(method):
    case = simulated(n=15, d=7, m=33)
    few = flow(case, 100.0, method)
    many = flow(case, 100.0, method, np.linspace(0.0, 100.0, 301).tolist())
    assert many.time.tolist() == np.linspace(0.0, 100.0, 301).tolist()
    assert few.steps[-1] == many.steps[-1] < 300
    assert_same_bits(few.network.W, many.network.W)
    exact = exact_loss(case, many.time[::60].tolist())
    assert_within(many.loss[::60], exact, 2e-6 * exact)


@pytest.mark.parametrize("method", ["dopri5", "tangent"])
def test_records_at_every_step(method):
    case = simulated(n=15, d=7, m=33)
    run = flow(case, 60.0, method, record=af.Record(every=1, ntg=False, eigmin=False))
    assert run.steps.tolist() == list(range(len(run.steps)))
    assert run.time[-1] == 60.0
    assert np.all(np.diff(run.loss) < 0)
    exact = exact_loss(case, run.time[[0, 3, -1]].tolist())
    assert_within(run.loss[[0, 3, -1]], exact, 2e-6 * exact)


@pytest.mark.parametrize("method", METHODS)
def test_weights_and_loss_of_a_record_belong_together(method):
    case = simulated(n=15, d=7, m=33)
    record = af.Record(times=[0.0, 0.7, 33.3, 80.0], weights=True)
    run = flow(case, 80.0, method, record=record)
    for W, loss in zip(run.weights, run.loss, strict=True):
        assert_within(case.net.with_weights(W).loss(case.X, case.y), loss, 1e-13 * run.loss[0])
    assert_same_bits(run.weights[-1], run.network.W)


@pytest.mark.parametrize("method", ["dopri5", "tangent"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_bits_for_any_number_of_threads(method, dtype):
    case = simulated(n=40, d=9, m=300)
    case = case if dtype == "float64" else as_float32(case)
    runs = [flow(case, 100.0, method, [0.0, 3.0, 100.0], threads=threads) for threads in THREADS]
    for run in runs[1:]:
        assert_same_run(run_arrays(runs[0]), run_arrays(run))


@pytest.mark.parametrize("method", ["auto", "dopri5", "tangent"])
def test_members_equal_single_runs(method):
    case = simulated(n=15, d=7, m=33)
    nets = [
        af.Network.init(d=7, m=33, gamma=g, alpha=0.5, rng=seed, activation="tanh")
        for seed, g in enumerate((0.0, 0.5, 0.9))
    ]
    record = af.Record(times=[0.0, 1.0, 30.0, 200.0])
    settings = {"t_end": 200.0, "method": method, "record": record}
    together = af.gradient_flow(af.Network.stack(nets), case.X, case.y, **settings)
    for b, net in enumerate(nets):
        alone = af.gradient_flow(net, case.X, case.y, **settings)
        assert_same_bits(together.loss[:, b], alone.loss)
        assert_same_bits(together.network.W[b], alone.network.W)
        assert_same_bits(together.steps[:, b], alone.steps)
        assert together.config["method_taken"][b] == alone.config["method_taken"]


@pytest.mark.parametrize("method", METHODS)
def test_float32_follows_float64(method):
    """Both to rtol, and rounding of f: some eps (|f| + |y|) of each residual."""
    case = simulated(n=15, d=7, m=33)
    times = [0.0, 1.0, 10.0, 60.0]
    exact = exact_loss(case, times)
    run = flow(as_float32(case), 60.0, method, times, rtol=1e-5)
    size = 2 * np.linalg.norm(case.y)
    rounding = 50 * np.finfo(np.float32).eps * size * np.sqrt(2 * exact)
    assert_within(run.loss, exact, 2e-5 * exact + rounding)


def test_auto_takes_the_tangent_method_for_stiff_flows_only():
    case = simulated(n=30, d=12, m=120)
    assert flow(case, 5000.0, "auto").config["method_taken"] == "tangent"
    assert flow(case, 1.0, "auto").config["method_taken"] == "dopri5"
    assert flow(case, 1.0, "auto", dt=0.5).config["method_taken"] == "rk4"


@pytest.mark.parametrize(("activation", "method"), [("swish", "tangent"), ("relu", "rk4")])
def test_auto_leaves_kinks_to_rk4(activation, method):
    case = simulated(n=30, d=12, m=120, activation=activation)
    run = flow(case, 5000.0, "auto", callback=lambda at: False)  # ends at the record of time 0
    assert run.config["method_taken"] == method


def test_auto_leaves_cross_entropy_to_dopri5():
    case = simulated(n=15, d=7, m=33, outputs=3, loss="cross_entropy")
    times = [0.0, 10.0, 100.0]
    exact = exact_loss(case, times, "cross_entropy")
    run = flow(case, 100.0, "auto", times, loss="cross_entropy")
    assert run.config["method_taken"] == "dopri5"
    assert_within(run.loss, exact, 2e-6 * exact)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_relu_converges(method):
    """Against small fixed steps. Kinks cost order and more than rtol, but a smaller one helps."""
    case = simulated(n=15, d=7, m=200, activation="relu")
    exact = flow(case, 50.0, "rk4", dt=0.01).loss[-1]
    losses = [flow(case, 50.0, method, rtol=rtol).loss[-1] for rtol in (1e-2, 1e-3)]
    errors = np.abs(np.array(losses) / exact - 1)
    assert errors[1] <= max(errors[0], 1e-3)
    assert errors[1] <= 3e-2


def test_tangent_refuses_what_it_cannot_do():
    case = simulated(n=15, d=7, m=33, outputs=3, loss="cross_entropy")
    with pytest.raises(ValueError, match="'half_sse' or 'mse', got 'cross_entropy'"):
        flow(case, 1.0, "tangent", loss="cross_entropy")
    kinked = simulated(n=15, d=7, m=33, activation="relu")
    with pytest.raises(ValueError, match="needs an activation without kinks, got 'relu'"):
        flow(kinked, 1.0, "tangent")
    wide = simulated(n=167, d=3, m=5, outputs=3)
    with pytest.raises(ValueError, match="at most n k = 500 outputs, got 501"):
        flow(wide, 1.0, "tangent")


def test_dt_belongs_to_rk4():
    case = simulated(n=15, d=7, m=33)
    with pytest.raises(ValueError, match=r"dt must be None for method 'dopri5', got 0\.5"):
        flow(case, 1.0, "dopri5", dt=0.5)
    with pytest.raises(
        ValueError, match=r"method must be one of auto, rk4, dopri5, tangent, got 'euler'"
    ):
        flow(case, 1.0, "euler")


@pytest.mark.parametrize("method", METHODS)
def test_divergence_is_told(method):
    """Weights whose outputs overflow in float32 at the first step."""
    case = as_float32(simulated(n=15, d=7, m=33, activation="identity"))
    y = np.full_like(case.y, 3e38)
    with np.errstate(over="ignore"), pytest.raises(af.DivergenceError) as error:
        af.gradient_flow(case.net, case.X, y, t_end=10.0, method=method)
    assert error.value.bound > 0
    assert len(error.value.run.time) >= 1


@pytest.mark.parametrize("method", METHODS)
def test_resumed_runs_end_with_the_same_bits(method, tmp_path):
    """Stopped by a callback at each record in turn, then gone on with."""
    case = simulated(n=15, d=7, m=33)
    times = [0.0, 0.4, 0.5, 7.0, 90.0]
    whole = flow(case, 90.0, method, times)
    for stop_at in (0.4, 0.5, 7.0):
        path = tmp_path / f"{method}-{stop_at}"
        part = flow(
            case, 90.0, method, times, checkpoint=path, callback=lambda at, s=stop_at: at.time < s
        )
        assert part.time[-1] == stop_at
        rest = flow(case, 90.0, method, times, checkpoint=path)
        arrays, exact = run_arrays(rest), run_arrays(whole)
        assert_same_run(arrays, exact)
        assert_same_bits(rest.evaluations, whole.evaluations)
