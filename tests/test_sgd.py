"""Stochastic gradient descent against a NumPy loop, step by step; the sampler; what is refused."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import (
    ACTIVATIONS,
    BACKENDS,
    DTYPES,
    THREADS,
    as_float32,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)

ALL = af.Record(every=1, weights=True, ntg=False, eigmin=False)
KINDS = [("half_sse", 1), ("half_sse", 3), ("mse", 1), ("mse", 3), ("cross_entropy", 3)]


def train(case, **settings):
    settings = {"lr": 0.5, "batch_size": 8, "epochs": 3, "record": ALL, **settings}
    return af.sgd(case.net, case.X, case.y, **settings)


def key_of(rng):
    return int(np.random.default_rng(rng).integers(0, 2**64, dtype=np.uint64))


def assert_steps(run, case, kind="half_sse", lr=0.5, batch_size=8, epochs=3, rng=0):
    """Every recorded step is the oracle's step from the recorded weights before, to rounding.

    A step errs by lr times the bound of its gradient, by 3 roundings of the change (lr, the product
    with it, what was lost before) and 2 of the weight itself (the sum, and what the step before
    lost of its own).
    """
    eps, trained = case.eps, run.output_weights is not None
    at = case.model
    rates = lr if callable(lr) else lambda epoch: lr
    in_epoch = -(-len(case.X) // batch_size)
    for step, batch in enumerate(oracles.batches(key_of(rng), len(case.X), batch_size, epochs)):
        X, y, rate = case.x64[batch], case.y64[batch], rates(step // in_epoch)
        exact = oracles.sgd_step(at, X, y, rate, kind, trained)
        W = run.weights[step + 1].astype(np.float64)
        dW = rate * bounds.node_gradients(at, X, y, kind, eps)
        assert_within(W, exact.W, dW + eps * (3 * np.abs(exact.W - at.W) + 2 * np.abs(W)))
        a = at.a
        if trained:
            a = run.output_weights[step + 1].astype(np.float64).reshape(a.shape)
            da = rate * bounds.output_gradients(at, X, y, kind, eps)
            assert_within(a, exact.a, da + eps * (4 * np.abs(exact.a - at.a) + 2 * np.abs(a)))
        at = at._replace(W=W, a=a)


# --- Steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("train_output", [False, True])
@pytest.mark.parametrize(("kind", "outputs"), KINDS)
def test_every_step(kind, outputs, train_output, dtype, backend):
    case = problem(outputs=outputs, loss=kind, dtype=dtype)
    run = train(case, loss=kind, train_output=train_output, backend=backend)
    assert run.steps.tolist() == list(range(10))
    assert_steps(run, case, kind)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    case = problem(activation=activation, outputs=2)
    assert_steps(train(case, train_output=True, lr=0.1), case, lr=0.1)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 31, 64, 65, 97, 193])
def test_sizes_around_tiles_and_blocks(size):
    """Batches, inputs and nodes of one odd size after the other; outputs too."""
    for sizes in ({"d": size}, {"m": size}, {"outputs": max(1, size // 8)}):
        case = problem(**{"n": 9, "d": 4, "m": 5, **sizes}, dtype="float32")
        settings = {"lr": 0.05, "batch_size": 5, "epochs": 1}
        assert_steps(train(case, train_output=True, **settings), case, **settings)
    case = problem(n=size + size // 2, d=5, m=33)
    settings = {"lr": 0.05, "batch_size": size, "epochs": 2}
    assert_steps(train(case, loss="mse", train_output=True, **settings), case, "mse", **settings)


def test_a_thousand_steps_agree():
    """Nothing but rounding comes in between: the promise of gradient descent holds."""
    case = simulated()
    run = train(case, epochs=334, train_output=True, record=af.Record(every=1002, ntg=False))
    at = case.model
    for batch in oracles.batches(key_of(0), 20, 8, 334):
        at = oracles.sgd_step(at, case.X[batch], case.y[batch], 0.5, train_output=True)
    assert run.steps[-1] == 1002
    assert_within(run.network.W, at.W, 1e-10 * np.abs(at.W).max())
    assert_within(run.network.a, at.a, 1e-10 * np.abs(at.a).max())
    exact = oracles.loss(oracles.forward(at, case.X), case.y)
    assert_within(run.loss[-1], exact, 1e-10 * exact)


@pytest.mark.parametrize("train_output", [False, True])
def test_float32_stays_near_float64(train_output):
    case = simulated(loss="cross_entropy", outputs=3)
    settings = {"loss": "cross_entropy", "epochs": 334, "train_output": train_output}
    settings["record"] = af.Record(every=100, ntg=False, eigmin=False)
    exact = train(case, **settings)
    close = train(as_float32(case), **settings)
    assert close.network.dtype == np.float32
    assert_within(close.loss, exact.loss, 1e-5 * exact.loss)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_batch_of_all_samples_is_gradient_descent(backend):
    case = simulated()
    record = af.Record(every=10, ntg=False, eigmin=False)
    one = train(case, batch_size=20, epochs=50, record=record, backend=backend)
    other = af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=50, record=record)
    assert_same_bits(one.time, other.time)
    # the samples come in another order: rounding differs, as of two implementations
    assert_within(one.loss, other.loss, 1e-10 * other.loss)
    assert_within(one.weight_change, other.weight_change, 1e-10 * other.weight_change.max())


def test_cross_entropy_of_enormous_outputs():
    """The exponentials of outputs of size 1e4 overflow; log-softmax does not."""
    case = problem(outputs=3, loss="cross_entropy")
    net = af.Network(case.net.W, 1e4 * case.net.a, case.net.lam)
    run = af.sgd(net, case.X, case.y, lr=1e-9, batch_size=5, epochs=1, loss="cross_entropy")
    assert np.isfinite(run.loss).all()
    exact = oracles.loss(
        oracles.forward(case.model._replace(a=1e4 * case.model.a), case.X), case.y, "cross_entropy"
    )
    assert_within(run.loss[0], exact, 1e-12 * exact)


def test_output_gradient_of_the_oracle():
    """By central differences, whose error is h^2 times a third derivative plus eps / h."""
    case = problem(n=5, m=7, outputs=3, loss="cross_entropy")
    exact, h = oracles.output_gradients(case.model, case.X, case.y, "cross_entropy"), 1e-5
    for place in np.ndindex(case.model.a.shape):
        step = np.zeros(case.model.a.shape)
        step[place] = h
        high, low = (
            oracles.loss(
                oracles.forward(case.model._replace(a=case.model.a + sign * step), case.X),
                case.y,
                "cross_entropy",
            )
            for sign in (1, -1)
        )
        assert abs((high - low) / (2 * h) - exact[place]) <= 1e-9


# --- The sampler ---------------------------------------------------------------------------------


def test_split_mix_is_the_published_generator():
    """First numbers of SplitMix64 for seed 1234567, as in its reference implementation."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [oracles.split_mix(1234567, i) for i in range(3)] == published


def test_orders_are_uniform():
    """24 orders of 4 samples in 2400 epochs: chi^2 with 23 degrees of freedom, below 60 surely."""
    orders = [tuple(oracles.epoch_order(7, epoch, 4)) for epoch in range(2400)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 100) ** 2 / 100).sum() <= 60


@pytest.mark.parametrize("rng", [1, [4, 5], np.random.SeedSequence(3)])
def test_any_seed_of_numpy(rng):
    case = problem()
    assert_steps(train(case, rng=rng), case, rng=rng)


def test_seed_decides():
    case = problem()
    one, same, other = (train(case, rng=rng).network.W for rng in (1, 1, 2))
    assert_same_bits(one, same)
    assert not np.array_equal(one, other)
    drawn = train(case, rng=np.random.default_rng(1)).network.W
    assert_same_bits(one, drawn)
    assert not np.array_equal(train(case, rng=None).network.W, train(case, rng=None).network.W)


# --- Learning rates and schedules ----------------------------------------------------------------


def test_learning_rate_of_every_epoch():
    case, asked = problem(), []

    def lr(epoch):
        asked.append(epoch)
        return 0.5 / (1 + epoch)

    run = train(case, lr=lr)
    assert asked == [0, 1, 2]
    assert_steps(run, case, lr=lambda epoch: 0.5 / (1 + epoch))
    sizes = np.repeat([0.5, 0.25, 0.5 / 3], 3)
    assert_within(run.time, np.concatenate([[0], np.cumsum(sizes)]), 10 * case.eps * sizes.sum())
    assert run.config["lr"] == [0.5, 0.25, 0.5 / 3]


def test_time_of_a_constant_rate_is_exact():
    run = train(problem(), lr=0.1, epochs=7)
    assert run.time.tolist() == [0.1 * step for step in range(22)]


@pytest.mark.parametrize(
    ("record", "steps"),
    [
        (None, [0, 3, 6, 9]),  # epochs
        (af.Record(every=4), [0, 4, 8, 9]),
        (af.Record(steps=[2, 3]), [2, 3, 9]),
        (af.Record(times=[0.0, 1.1, 4.5]), [0, 2, 9]),
        (af.Record(log=3), [0, 1, 3, 9]),
    ],
)
def test_schedule(record, steps):
    run = train(problem(), record=record)
    assert run.steps.tolist() == run.evaluations.tolist() == steps
    assert run.time.tolist() == [0.5 * step for step in steps]


def test_times_of_changing_rates():
    rates = [1.0, 0.1]
    run = train(problem(), lr=lambda e: rates[e], epochs=2, record=af.Record(times=[2.0, 3.1, 3.3]))
    assert run.steps.tolist() == [2, 4, 6]


def test_default_schedule_of_many_epochs():
    run = train(problem(), epochs=101, lr=1e-3, record=None)
    assert np.unique(np.diff(run.steps)).tolist() == [6, 9]  # three epochs, and two at the end
    assert run.steps[-1] == 303


# --- What it records -----------------------------------------------------------------------------


def test_records_are_those_of_all_samples():
    case = problem(outputs=3, loss="cross_entropy")
    test = problem(n=31, outputs=3, loss="cross_entropy", seed=1)
    data = {"X_test": test.X, "y_test": test.y}
    record = af.Record(every=2, weights=True)
    run = train(case, loss="cross_entropy", train_output=True, lr=3.0, record=record, **data)
    for t, (W, a) in enumerate(zip(run.weights, run.output_weights, strict=True)):
        net = af.Network(W, a, case.net.lam)
        assert run.loss[t] == net.loss(case.X, case.y, "cross_entropy")
        assert run.test_loss[t] == net.loss(test.X, test.y, "cross_entropy")
        assert run.accuracy[t] == np.mean(net(case.X).argmax(axis=1) == case.y)
        assert run.test_accuracy[t] == np.mean(net(test.X).argmax(axis=1) == test.y)
        model = case.model._replace(W=W, a=a)
        K, K0 = oracles.ntg(model, case.X), oracles.ntg(case.model, case.X)
        assert_within(run.ntg_change[t], np.linalg.norm(K - K0), 1e-12 * np.linalg.norm(K))
    assert_same_bits(run.network.W, run.weights[-1])
    assert_same_bits(run.network.a, run.output_weights[-1])
    assert_same_bits(run.initial.a, case.net.a)
    assert len(set(run.accuracy)) > 1


def test_output_weights_stay_unless_trained():
    case = problem()
    run = train(case)
    assert run.output_weights is None
    assert_same_bits(run.network.a, case.net.a)
    assert train(case, train_output=True).network.a.shape == case.net.a.shape == (37,)


def test_saved_run_has_the_trained_output_weights(tmp_path):
    run = train(problem(outputs=2), train_output=True)
    run.save(tmp_path / "run.npz")
    back = af.Run.load(tmp_path / "run.npz")
    assert_same_run(run_arrays(back), run_arrays(run))
    assert_same_bits(back.network.a, run.network.a)
    assert_same_bits(back.initial.a, run.initial.a)
    assert back.config == run.config


# --- The same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [{}, {"n": 331, "d": 5, "m": 70}, {"outputs": 3}])
def test_threads(dtype, sizes):
    case = problem(**{"n": 201, "d": 13, "m": 301, **sizes}, dtype=dtype)
    settings = {"batch_size": 64, "loss": "mse", "train_output": True, "lr": 1e-2}
    first, *others = (run_arrays(train(case, threads=t, **settings)) for t in THREADS)
    for other in others:
        assert_same_run(first, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rng", [3, [3, 4, 5]])
def test_members_of_an_ensemble(dtype, rng):
    cases = [problem(outputs=2, m=101, dtype=dtype, seed=seed) for seed in range(3)]
    X, y = (np.stack([getattr(case, name) for case in cases]) for name in "Xy")
    stack = af.Network.stack([case.net for case in cases])
    settings = {"lr": 0.1, "batch_size": 7, "epochs": 2, "record": ALL, "train_output": True}
    for threads in THREADS:
        run = af.sgd(stack, X, y, rng=rng, threads=threads, **settings)
        for b, case in enumerate(cases):
            seed = rng[b] if isinstance(rng, list) else rng
            alone = af.sgd(case.net, case.X, case.y, rng=seed, **settings)
            assert_same_run(run_arrays(run, member=b), run_arrays(alone))
            assert_same_bits(run.network[b].a, alone.network.a)
            assert_same_bits(run.output_weights[:, b], alone.output_weights)


# --- Divergence and refusals ---------------------------------------------------------------------


@pytest.mark.parametrize("train_output", [False, True])
@pytest.mark.parametrize("kind", ["half_sse", "mse"])
def test_bound_is_usable(kind, train_output):
    case = simulated()
    settings = {"loss": kind, "train_output": train_output, "batch_size": 20}
    with pytest.raises(af.DivergenceError, match="sgd: the loss left all bounds") as caught:
        train(case, lr=1e4, epochs=500, **settings)
    assert np.isfinite(caught.value.run.loss).all()
    J = oracles.jacobian(case.model, case.X)
    features = oracles.features(case.model, case.X) * train_output
    eig_max = np.linalg.eigvalsh(J @ J.T + features @ features.T)[-1]
    limit = 2 / eig_max * (1 if kind == "half_sse" else len(case.X) / 2)
    # a lower bound of eig_max within 1 %, of which 1 % more is taken
    assert 0.99 * limit <= caught.value.bound <= limit * (1 + 1e-6)
    # the output weights grow, and eig_max with them: the bound holds at the start
    run = train(
        case, lr=(0.2 if train_output else 0.9) * caught.value.bound, epochs=100, **settings
    )
    assert run.loss[-1] < run.loss[0]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, "sgd: lr must be in (0, inf), got 0.0"),
        ({"lr": lambda e: 1.0 - e}, ValueError, "sgd: lr(1) must be in (0, inf), got 0.0"),
        ({"lr": lambda e: np.nan}, ValueError, "sgd: lr(0) must be in (0, inf), got nan"),
        ({"lr": lambda e: "fast"}, TypeError, "sgd: lr(0) must be a real number, got 'fast'"),
        ({"batch_size": 0}, ValueError, "sgd: batch_size must be at least 1, got 0"),
        ({"batch_size": 24}, ValueError, "sgd: batch_size must be at most n = 23, got 24"),
        ({"batch_size": 2.0}, TypeError, "sgd: batch_size must be an integer, got 2.0"),
        ({"epochs": 0}, ValueError, "sgd: epochs must be at least 1, got 0"),
        ({"train_output": 1}, TypeError, "sgd: train_output must be True or False, got 1"),
        ({"loss": "hinge"}, ValueError, "sgd: loss must be one of"),
        ({"device": "cuda"}, RuntimeError, "sgd: device='cuda' needs a build with CUDA"),
        (
            {"record": af.Record(steps=[10])},
            ValueError,
            "sgd: record.steps must end by epochs * ceil(n / batch_size) = 9, got 10",
        ),
        (
            {"record": af.Record(times=[4.8])},
            ValueError,
            "sgd: record.times must end by the sum of the learning rates, 4.5, got 4.8",
        ),
        (
            {"record": af.Record(accuracy=True)},
            ValueError,
            "sgd: record.accuracy needs a network with k >= 2 outputs, got 1",
        ),
        (
            {"record": af.Record(top_nodes=38)},
            ValueError,
            "sgd: record.top_nodes must be at most m = 37, got 38",
        ),
        ({"rng": "seed"}, TypeError, "sgd: rng must be"),
        ({"rng": -1}, ValueError, "sgd: rng must be"),
    ],
)
def test_refusals(settings, error, message):
    with pytest.raises(error) as caught:
        train(problem(), **settings)
    assert str(caught.value).startswith(message)


def test_seeds_of_an_ensemble():
    case = problem()
    with pytest.raises(
        ValueError, match=r"sgd: rng must be one seed or a sequence of B = 2, got 3"
    ):
        af.sgd(
            af.Network.stack([case.net] * 2),
            case.X,
            case.y,
            lr=1.0,
            batch_size=4,
            epochs=1,
            rng=[1, 2, 3],
        )


def test_times_beyond_the_range_are_refused():
    case = problem()
    with pytest.raises(ValueError, match="times must end by the sum of the learning rates"):
        train(case, lr=1e-308, record=af.Record(times=[1.0]))
    still = case.net.with_weights(np.zeros_like(case.net.W))
    still = still.with_weights(still.W, a=np.zeros_like(still.a))  # no gradient, whatever the rate
    for lr in (1e308, lambda _: 1e308):
        with pytest.raises(OverflowError, match="record of time: the result exceeds") as caught:
            af.sgd(still, case.X, case.y, lr=lr, batch_size=8, epochs=3, rng=0)
        assert np.isfinite(caught.value.run.loss).all()


# --- Counts near the largest integers -------------------------------------------------------------


@pytest.mark.parametrize("epochs", [2**60, 2**62 + 1, 2**63 - 1])
def test_epochs_without_end(epochs):
    """Plausible with `stop`: the run ends when that says so, at any number of epochs."""
    case = problem(n=9, m=5)
    settings = {"lr": 1e-3, "batch_size": 2, "record": af.Record(every=3)}
    short = af.sgd(case.net, case.X, case.y, epochs=3, **settings)
    stop = af.Stop(time=short.time[-2])
    run = af.sgd(case.net, case.X, case.y, epochs=epochs, stop=stop, **settings)
    assert run.stopped_by == "time"
    np.testing.assert_array_equal(run.loss, short.loss[:-1])
    clock = af.Stop(wall_seconds=0.05)
    assert af.sgd(case.net, case.X, case.y, epochs=epochs, stop=clock, lr=1e-3, batch_size=2).steps[
        -1
    ]


def test_a_schedule_beyond_all_steps():
    case = problem(n=9, m=5)
    record = af.Record(every=2**63 - 1)
    run = af.gradient_descent(case.net, case.X, case.y, steps=7, lr=1e-3, record=record)
    assert run.steps.tolist() == [0, 7]
    stop = af.Stop(wall_seconds=0.05)
    for steps, every in ((2**63 - 1, 2**62 - 1), (2**63 - 1, 2**63 - 1)):
        record = af.Record(every=every)
        run = af.gradient_descent(
            case.net, case.X, case.y, steps=steps, lr=1e-3, record=record, stop=stop
        )
        assert run.steps[-1] > 0


def test_too_many_rates_are_refused():
    case = problem(n=9, m=5)
    with pytest.raises(ValueError, match="sgd: epochs must be at most 10000000 where lr is call"):
        af.sgd(case.net, case.X, case.y, lr=lambda epoch: 1.0, batch_size=2, epochs=2**60)


def test_too_many_steps_of_a_flow_are_refused():
    case = problem(n=9, m=5)
    with pytest.raises(ValueError, match="gradient_flow: t_end / dt must be at most"):
        af.gradient_flow(case.net, case.X, case.y, t_end=1e300, dt=1e-300)


@pytest.mark.parametrize("seeds", [[3, 4, 5], (3, 4, 5), range(3, 6), np.arange(3, 6)])
def test_any_sequence_of_seeds_has_one_for_each_member(seeds):
    case = problem(n=9, m=5)
    nets = af.Network.stack([case.net] * 3)
    settings = {"lr": 0.1, "batch_size": 2, "epochs": 2}
    together = af.sgd(nets, case.X, case.y, rng=seeds, **settings)
    for b, seed in enumerate(seeds):
        single = af.sgd(case.net, case.X, case.y, rng=seed, **settings)
        np.testing.assert_array_equal(together.loss[:, b], single.loss)
