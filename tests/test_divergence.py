"""Steps that are too long: the records survive and the suggested bound helps."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import BACKENDS, LOSSES, assert_same_bits, simulated

RECORD = af.Record(every=1, ntg=False, eigmin=False)


def descend(case, lr, steps=2000, **settings):
    return af.gradient_descent(
        case.net, case.X, case.y, **{"lr": lr, "steps": steps, "record": RECORD, **settings}
    )


def linear_limit(case):
    """2 / eig_max of the NTG: beyond it gradient descent on half_sse grows, if sigma(z) = z."""
    return 2 / np.linalg.eigvalsh(oracles.ntg(case.model, case.X))[-1]


def assert_keeps_its_records(error, case):
    assert isinstance(error, RuntimeError)
    run = error.run
    assert run.diverged is True or run.diverged is np.True_
    assert len(run.loss) == len(run.steps) == len(run.weight_change) >= 1
    assert run.steps[0] == 0
    assert run.loss[0] == case.net.loss(case.X, case.y)
    assert np.all(np.isfinite(run.loss))
    assert np.isfinite(error.last_loss)
    assert 0 < error.step <= 2000
    assert run.steps[-1] <= error.step
    assert np.isfinite(error.bound)
    assert error.bound > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_identity_diverges_beyond_the_linear_limit(backend):
    case = simulated(activation="identity")
    limit = linear_limit(case)
    with pytest.raises(af.DivergenceError, match="gradient_descent") as caught:
        descend(case, 2 * limit, backend=backend)
    assert_keeps_its_records(caught.value, case)
    # two correct estimates of eig_max differ by less; a bound far below would waste steps
    assert 0.9 * limit <= caught.value.bound <= limit * (1 + 1e-6)
    message = str(caught.value)
    assert "lr" in message
    assert str(caught.value.step) in message
    run = descend(case, 0.9 * caught.value.bound)
    assert run.loss[-1] < run.loss[0]


@pytest.mark.parametrize(
    ("kind", "outputs"), [("half_sse", 1), ("half_sse", 3), ("mse", 1), ("mse", 3)]
)
@pytest.mark.parametrize("activation", ["identity", "swish", "softplus"])
def test_bound_is_usable(kind, outputs, activation):
    case = simulated(activation=activation, outputs=outputs, loss=kind)
    with pytest.raises(af.DivergenceError) as caught:
        descend(case, 1e8, loss=kind)
    assert_keeps_its_records_of_kind(caught.value, case, kind)
    run = descend(case, 0.9 * caught.value.bound, loss=kind)
    assert not run.diverged
    assert run.loss[-1] <= run.loss[0]


def assert_keeps_its_records_of_kind(error, case, kind):
    assert np.all(np.isfinite(error.run.loss))
    assert error.run.loss[0] == case.net.loss(case.X, case.y, loss=kind)
    assert np.isfinite(error.last_loss)
    assert np.isfinite(error.bound)


def test_records_before_the_divergence_are_those_of_a_shorter_run():
    case = simulated(activation="identity")
    lr = 2 * linear_limit(case)
    with pytest.raises(af.DivergenceError) as caught:
        descend(case, lr)
    kept = caught.value.run
    short = descend(case, lr, steps=5)
    assert_same_bits(kept.loss[:6], short.loss)
    assert_same_bits(kept.weight_change[:6], short.weight_change)


def test_flow_diverges_beyond_its_stability_limit():
    """RK4 is stable up to dt eig_max = 2.785."""
    case = simulated(activation="identity")
    limit = 2.785 / 2 * linear_limit(case)
    settings = {"t_end": 2000 * limit, "record": RECORD}
    with pytest.raises(af.DivergenceError, match="gradient_flow") as caught:
        af.gradient_flow(case.net, case.X, case.y, dt=2 * limit, **settings)
    assert_keeps_its_records(caught.value, case)
    assert 0.9 * limit <= caught.value.bound <= limit * (1 + 1e-3)
    settings["t_end"] = 200 * limit
    run = af.gradient_flow(case.net, case.X, case.y, dt=0.9 * caught.value.bound, **settings)
    assert run.loss[-1] < run.loss[0]


def test_float32_divergence():
    case = simulated(activation="identity")
    W, a, X, y = (v.astype(np.float32) for v in (case.net.W, case.net.a, case.X, case.y))
    net = af.Network(W, a, case.net.lam, activation="identity")
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(net, X, y, lr=2 * linear_limit(case), steps=2000, record=RECORD)
    assert np.all(np.isfinite(caught.value.run.loss))
    assert caught.value.run.network.dtype == np.float32


@pytest.mark.parametrize("threads", [1, 2])
def test_one_member_of_an_ensemble_diverges(threads):
    """Output weights 30 times larger put one member's eig_max 900 times beyond the others'."""
    cases = [simulated(activation="identity", seed=seed) for seed in range(3)]
    nets = [case.net for case in cases]
    nets[1] = af.Network(nets[1].W, 30 * nets[1].a, nets[1].lam, activation="identity")
    X, y = (np.stack([getattr(case, name) for case in cases]) for name in "Xy")
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(
            af.Network.stack(nets), X, y, lr=1.0, steps=500, record=RECORD, threads=threads
        )
    run = caught.value.run
    assert run.diverged.tolist() == [False, True, False]
    assert np.isfinite(caught.value.last_loss)
    for b in (0, 2):
        alone = descend(cases[b], 1.0, steps=500)
        assert len(run.loss) >= 2
        assert_same_bits(run.loss[:, b], alone.loss[: len(run.loss)])


@pytest.mark.parametrize("kind", LOSSES)
def test_a_good_step_does_not_raise(kind):
    case = simulated(outputs=3, loss=kind)
    run = descend(case, 0.5, steps=100, loss=kind)
    assert not np.any(run.diverged)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_weights_that_overflow_behind_a_bounded_activation(activation):
    """The loss stays finite; the weights are numbers no more, and the run says so."""
    case = simulated(activation=activation, d=1)  # of more inputs, inf - inf would tell
    record = af.Record(every=1, ntg=False, eigmin=False)
    for net in (case.net, af.Network.stack([case.net, case.net])):
        with pytest.raises(af.DivergenceError) as caught:
            af.gradient_descent(net, case.X, 1e6 * case.y, lr=1e308, steps=9, record=record)
        assert np.all(np.isfinite(caught.value.run.network.W))
        assert np.all(np.isfinite(caught.value.run.loss))


@pytest.mark.parametrize("train", ["descent", "flow", "sgd"])
def test_a_member_that_diverges_may_be_kept(train):
    """The other members are those of runs of their own; a single network's run is kept as well."""
    case = simulated(activation="identity", n=12, d=4, m=20)
    stiff = af.Network(case.net.W, 30 * case.net.a, case.net.lam, activation="identity")
    nets = af.Network.stack([case.net, stiff])

    def run(net, **settings):
        settings |= {"record": af.Record(every=5), "on_divergence": "keep"}
        return {
            "descent": lambda: af.gradient_descent(
                net, case.X, case.y, lr=1.0, steps=60, **settings
            ),
            "flow": lambda: af.gradient_flow(net, case.X, case.y, t_end=60.0, dt=1.0, **settings),
            "sgd": lambda: af.sgd(
                net, case.X, case.y, lr=1.0, batch_size=4, epochs=30, rng=0, **settings
            ),
        }[train]()

    kept = run(nets)
    assert kept.diverged.tolist() == [False, True]
    assert np.isnan(kept.loss[-1, 1])
    alone = run(case.net)
    assert_same_bits(kept.loss[:, 0], alone.loss)
    assert_same_bits(kept.network.W[0], alone.network.W)
    assert run(stiff).diverged is True


def test_on_divergence_is_one_of_two():
    case = simulated()
    with pytest.raises(ValueError, match="on_divergence must be one of raise, keep, got 'warn'"):
        descend(case, 1.0, on_divergence="warn")


@pytest.mark.parametrize("far", ["X", "y"])
def test_a_loss_that_is_not_finite_from_the_start(far):
    """No step would help, so none is recommended; the bound is no -inf."""
    case = simulated(n=5, d=3, m=10)
    data = {"X": case.X, "y": case.y} | {far: 1e200 * getattr(case, far)}
    trainers = (
        lambda: af.gradient_descent(case.net, **data, steps=3, lr=1.0),
        lambda: af.gradient_flow(case.net, **data, t_end=1.0),
        lambda: af.sgd(case.net, **data, batch_size=2, epochs=2, lr=1.0),
    )
    for train in trainers:
        with pytest.raises(
            af.DivergenceError, match=r"; scale X, y or the weights down$"
        ) as caught:
            train()
        assert caught.value.bound >= 0
