"""Gradient flow by RK4: measured order, DOP853, closed forms, monotone loss, exact record times."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import BACKENDS, assert_within, simulated


def flow(case, t_end, record=None, **settings):
    settings = {"method": "rk4", "record": record, **settings}
    return af.gradient_flow(case.net, case.X, case.y, t_end=t_end, **settings)


def end_only(t_end):
    return af.Record(times=[0.0, t_end], ntg=False, eigmin=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fixed_steps_equal_the_numpy_loop(backend):
    case = simulated(n=15, d=7, m=33)
    run = flow(case, 50.0, end_only(50.0), dt=0.5, backend=backend)
    exact = oracles.rk4(case.model, case.X, case.y, 0.5, 100)
    assert run.steps[-1] == 100
    # 400 gradients, each rounding W by at most (n + m + d + 20) eps dt |velocity|; |velocity| <= 1
    bound = 400 * 75 * case.eps * 0.5 * np.abs(exact).max()
    assert_within(run.network.W, exact, bound)


@pytest.mark.parametrize("outputs", [1, 2])
def test_order_four(outputs):
    """Slope of log(error) over log(dt) on swish, which is smooth; relu's kinks cost the order."""
    case = simulated(n=15, d=7, m=33, outputs=outputs)
    (exact,) = oracles.gradient_flow(case.model, case.X, case.y, [16.0], rtol=3e-14)
    steps = 2.0 ** -np.arange(0, 4)
    errors = [
        np.linalg.norm(flow(case, 16.0, end_only(16.0), dt=dt).network.W - exact) for dt in steps
    ]
    # the reference itself is good to about 1e-13 |W|: every error must stay well above it
    assert errors[-1] >= 100 * 1e-13 * np.linalg.norm(exact)
    orders = np.diff(np.log2(errors)) / np.diff(np.log2(steps))
    assert np.all(np.abs(orders - 4) <= 0.2), orders


@pytest.mark.parametrize("activation", ["swish", "tanh", "softplus", "erf", "identity"])
@pytest.mark.parametrize("kind", ["half_sse", "mse"])
def test_chosen_steps_agree_with_dop853(activation, kind):
    case = simulated(n=15, d=7, m=33, activation=activation, loss=kind)
    times = [0.0, 0.3, 5.0, 41.7, 150.0]
    run = flow(case, 150.0, af.Record(times=times), loss=kind, rtol=1e-6)
    weights = oracles.gradient_flow(case.model, case.X, case.y, times, kind)
    exact = oracles.trajectory(case.model, weights, case.X, case.y, kind)
    assert_within(run.loss, exact.loss, 1e-6 * exact.loss)  # what rtol = 1e-6 asks for
    # W_t - W_0 = -int grad L, and int |grad L|^2 dt = L_0 - L_t: by Cauchy-Schwarz the path is no
    # longer than sqrt(t (L_0 - L_t)), and its relative error no larger than the loss's
    path = np.sqrt(np.array(times) * (exact.loss[0] - exact.loss))
    assert_within(run.weight_change, exact.weight_change, 1e-6 * path[:, None])
    # |dK| <= 2 |J| |dJ|, |dJ| <= sup|sigma''| sqrt(n max lam) / d |dW| for |x| = |a| = 1
    J = np.linalg.norm(oracles.jacobian(case.model, case.X), 2)
    slope = 2 * J * bounds.SUPREMA[activation][1] * np.sqrt(15 * case.net.lam.max()) / 7
    ntg_error = 1e-6 * max(1.0, 2 * slope) * path  # J grows at most twofold on the way
    assert_within(run.ntg_change, exact.ntg_change, ntg_error)
    assert_within(run.ntg_eigmin, exact.ntg_eigmin, ntg_error + 1e-10 * J**2)


def test_chosen_steps_of_cross_entropy():
    case = simulated(n=15, d=7, m=33, outputs=3, loss="cross_entropy")
    times = [0.0, 10.0, 100.0]
    run = flow(case, 100.0, af.Record(times=times), loss="cross_entropy")
    weights = oracles.gradient_flow(case.model, case.X, case.y, times, "cross_entropy")
    exact = oracles.trajectory(case.model, weights, case.X, case.y, "cross_entropy")
    assert_within(run.loss, exact.loss, 1e-6 * exact.loss)


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_rtol_controls_the_error(rtol):
    case = simulated(n=15, d=7, m=33)
    run = flow(case, 40.0, end_only(40.0), rtol=rtol)
    weights = oracles.gradient_flow(case.model, case.X, case.y, [40.0])
    exact = oracles.trajectory(case.model, weights, case.X, case.y)
    assert_within(run.loss[-1:], exact.loss, rtol * exact.loss)


def test_looser_tolerance_takes_fewer_steps():
    case = simulated(n=15, d=7, m=33)
    steps = [flow(case, 100.0, end_only(100.0), rtol=rtol).steps[-1] for rtol in (1e-9, 1e-4)]
    assert steps[1] < steps[0]


def test_identity_closed_form():
    """sigma(z) = z: r(t) = exp(-K t) r(0) with constant K; RK4 multiplies by its polynomial."""
    case = simulated(activation="identity")
    K = oracles.ntg(case.model, case.X)
    eigenvalues, Q = np.linalg.eigh(K)
    r0 = oracles.forward(case.model, case.X) - case.y
    dt, steps = 0.25, 80
    run = flow(case, dt * steps, end_only(dt * steps), dt=dt)
    r = run.network(case.X) - case.y

    h = dt * eigenvalues
    growth = 1 - h + h**2 / 2 - h**3 / 6 + h**4 / 24
    # each of the 320 gradients rounds r by about (n + m + d) eps of its initial size
    rounding = 320 * 95 * case.eps * np.abs(r0).max()
    assert_within(r, Q @ (growth**steps * (Q.T @ r0)), rounding)
    # |growth - exp(-h)| <= h^5 / 120 for 0 <= h <= 1, once a step
    assert h[-1] <= 1
    truncation = steps * np.max(h**5) / 120 * np.linalg.norm(r0)
    assert_within(r, Q @ (np.exp(-dt * steps * eigenvalues) * (Q.T @ r0)), truncation + rounding)


@pytest.mark.parametrize("activation", ["swish", "tanh", "gelu", "sigmoid", "sin"])
@pytest.mark.parametrize("dt", [None, 0.5])
def test_loss_never_rises(activation, dt):
    case = simulated(n=15, d=7, m=33, activation=activation)
    record = af.Record(every=1, ntg=False, eigmin=False)
    loss = flow(case, 60.0, record, dt=dt).loss
    # dL/dt = -|grad L|^2 <= 0; only the rounding of a sum of n squares, each r of m terms
    rounding = (15 + 2 * 33 + 10) * case.eps * loss[0]
    assert np.all(np.diff(loss) <= rounding)
    assert loss[-1] < loss[0]


@pytest.mark.parametrize("dt", [None, 0.3])
def test_lands_on_the_times_exactly(dt):
    case = simulated(n=15, d=7, m=33)
    times = [0.0, 0.1, 1 / 3, 1.0, 2.7182818]
    run = flow(case, 3.1, af.Record(times=times), dt=dt)
    assert run.time.tolist() == [*times, 3.1]
    assert np.all(np.diff(run.steps) >= 1)


def test_fixed_dt_shortens_the_last_step():
    case = simulated(n=15, d=7, m=33)
    run = flow(case, 1.0, af.Record(every=1), dt=0.3)
    assert run.time[-1] == 1.0
    assert run.steps.tolist() == [0, 1, 2, 3, 4]
    (exact,) = oracles.gradient_flow(case.model, case.X, case.y, [1.0])
    # RK4's error over t = 1 is about (L dt)^4 / 120 with L = eig_max < 1
    assert_within(run.network.W, exact, 0.3**4 / 120)


def test_default_schedule():
    run = flow(simulated(n=15, d=7, m=33), 20.0, dt=0.1)
    assert run.time[0] == 0
    assert run.time[-1] == 20.0
    assert 45 <= len(run.time) <= 56


def test_small_rate_gradient_descent_is_the_flow_to_first_order():
    """Euler's global error halves with lr: the ratio of two errors is 2 + O(lr)."""
    case = simulated(n=15, d=7, m=33)
    (exact,) = oracles.gradient_flow(case.model, case.X, case.y, [4.0])
    errors = []
    for lr in (0.04, 0.02):
        steps = round(4.0 / lr)
        run = af.gradient_descent(case.net, case.X, case.y, lr=lr, steps=steps)
        errors.append(np.linalg.norm(run.network.W - exact))
    assert abs(errors[0] / errors[1] - 2) <= 2 * 0.04
