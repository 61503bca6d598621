"""Whatever is passed to the public functions: the right answer or a documented exception.

Never a crash, a hang, a warning or a silent NaN. Arrays come in any shape, order, stride and dtype,
with zeros, subnormal and huge numbers, NaN and inf; scalars and options of any kind.
"""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
from cases import ACTIVATIONS, LOSSES, assert_within, model_of
from fuzz_inputs import (
    DTYPES,
    ON_CPU,
    REFUSALS,
    answer,
    arrays,
    assert_finite,
    counts,
    modest,
    network,
    odd,
    problems,
    rarely,
    reals,
    usually,
)
from fuzzing import fuzz
from hypothesis import strategies as st

# ---- networks ------------------------------------------------------------------------------------


@fuzz(62, given=problems(), loss=usually(st.sampled_from(LOSSES)), backend=st.sampled_from(ON_CPU))
def test_network(given, loss, backend):
    X, y = given["X"], given["y"]
    try:
        net = network(given)
        f = net(X, backend=backend)
    except REFUSALS:
        return
    assert_finite(f)
    for call in (
        lambda: net.loss(X, y, loss, backend=backend),
        lambda: net.node_gradients(X, y, loss, backend=backend),
        lambda: net.features(X, backend=backend),
        lambda: net.ntg(X, backend=backend),
        lambda: net.ntg(X, X[:1], backend=backend),
        lambda: net.node_importance(),
        lambda: net.prune(1)(X),
    ):
        try:
            result = call()
        except REFUSALS:
            continue
        assert_finite(result)
    return True


@fuzz(30, given=problems(wild=False), backend=st.sampled_from(ON_CPU))
def test_network_is_right(given, backend):
    """Extreme but valid arguments: refused for overflow only, and right where that is decidable."""
    net, X = network(given), given["X"]
    if net.B is not None or not modest(net.W, net.a, net.lam, X):
        return
    model, X64, eps = model_of(net), np.asarray(X, np.float64), np.finfo(net.dtype).eps
    try:
        f, K = net(X, backend=backend), net.ntg(X, backend=backend)
    except OverflowError:
        assert net.dtype == np.float32
        return
    with np.errstate(over="ignore", under="ignore"):
        # the bounds are relative: below the smallest normal number there is an absolute error too
        tiny = 1e3 * np.finfo(net.dtype).tiny * len(net.W) * np.abs(model.a).max()
        bound = bounds.forward(model, X64, eps)
        assert_within(f, oracles.forward(model, X64), bound + tiny)
        bound = bounds.ntg(model, X64, 4 * eps)
        assert_within(K, oracles.ntg(model, X64), bound + tiny)
    return True


@fuzz(
    30,
    given=problems(),
    wrt=usually(st.sampled_from(["W", "a", "X"])),
    backend=st.sampled_from(ON_CPU),
)
def test_pullback(given, wrt, backend):
    net = answer(lambda: network(given))
    if net is None:
        return
    X, u = given["X"], given["y"]
    result = answer(lambda: net.pullback(X, u, wrt, backend=backend))
    if result is None:
        return
    assert_finite(result)
    assert result.dtype == net.dtype
    shape = {"W": net.W.shape, "a": net.a.shape, "X": np.shape(X)}[wrt]
    assert result.shape == (shape if net.B is None or wrt != "X" else (net.B, *shape[-2:]))
    return True


@fuzz(
    25,
    given=problems(),
    loss=usually(st.sampled_from(LOSSES)),
    backend=st.sampled_from(ON_CPU),
)
def test_stable_step(given, loss, backend):
    net = answer(lambda: network(given))
    if net is None:
        return
    step = answer(lambda: net.stable_step(given["X"], loss, backend=backend))
    assert step is None or np.all(np.asarray(step) > 0)  # inf where nothing moves, never NaN
    return step is not None


@fuzz(
    30,
    given=problems(),
    W=st.none() | st.none() | arrays(4, 3, dtype="float64"),
    a=st.none() | st.none() | arrays(4, dtype="float64") | odd,
    keep=usually(st.integers(1, 40)),
    importance=usually(st.sampled_from(["paper", "authors"])),
)
def test_networks_of_networks(given, W, a, keep, importance):
    net = answer(lambda: network(given))
    if net is None:
        return
    moved = answer(lambda: net.with_weights(net.W if W is None else W, a))
    if moved is not None:
        assert (moved.m, moved.d, moved.k, moved.dtype) == (net.m, net.d, net.k, net.dtype)
        assert np.array_equal(moved.lam, net.lam)
    pruned = answer(lambda: net.prune(keep))
    if pruned is not None:
        assert (pruned.m, pruned.d, pruned.k, pruned.B) == (keep, net.d, net.k, net.B)
    ranks = answer(lambda: net.node_importance(importance))
    if ranks is not None:
        assert_finite(ranks)
        assert ranks.shape == net.lam.shape
    both = answer(lambda: af.Network.stack([net, net, *([] if W is None else [W])]))
    if both is not None:
        assert np.array_equal(both.member(-1).W, net.W)
    return all(each is not None for each in (moved, pruned, ranks, both))


@fuzz(
    25,
    given=problems(),
    loss=usually(st.sampled_from(LOSSES)),
    importance=usually(st.sampled_from(["paper", "authors"])),
    threads=usually(st.sampled_from([None, 1, 2])),
)
def test_pruning_curve(given, loss, importance, threads):
    net = answer(lambda: network(given))
    if net is None:
        return
    curve = answer(
        lambda: af.pruning_curve(
            net, given["X"], given["y"], loss, kind=importance, threads=threads
        )
    )
    if curve is None:
        return
    assert_finite(curve.loss)
    assert np.array_equal(np.sort(curve.order), np.broadcast_to(range(net.m), net.lam.shape))
    return True


@fuzz(
    25,
    X=arrays(4, 2, dtype="float64"),
    y=arrays(4, dtype="float64"),
    settings=st.fixed_dictionaries(
        {
            "gamma": usually(rarely(arrays(2), st.just([0.0, 1.0]))),
            "alpha": usually(rarely(arrays(2), st.just([0.3, 0.6]))),
            "m": counts(20),
            "steps": counts(5),
            "seeds": usually(st.integers(1, 2)),
        },
        optional={
            "lr": reals(0.0),
            "activation": usually(st.sampled_from(ACTIVATIONS)),
            "rng": usually(st.integers(0, 9)),
            "threads": usually(st.sampled_from([None, 1])),
        },
    ),
)
def test_phase_diagram(X, y, settings):
    if any(settings[name] == 2**62 for name in ("m", "steps")):
        settings |= {"m": 2**63, "seeds": 1}  # refused, or days of work
    if isinstance(settings["seeds"], int) and settings["seeds"] > 1000:
        settings |= {"seeds": 2**62}  # refused, or hours
    diagram = answer(lambda: af.phase_diagram(X, y, **settings), af.DivergenceError, MemoryError)
    if diagram is not None:
        assert_finite(diagram.measure, diagram.sum_lam2, diagram.ntg_change)
        assert_finite(diagram.loss_start, diagram.loss_end)
    return diagram is not None


@fuzz(
    30,
    X=arrays(5, 3, dtype="float64"),
    part=usually(st.sampled_from([None, 1, 2])),
    output=usually(st.sampled_from([0, 1, (0, 1), (1, 2, 3)])),
    threads=usually(st.sampled_from([None, 1, 2])),
    max_memory=usually(st.sampled_from([None, 1e4, 1e9])),
)
def test_ntg_options(X, part, output, threads, max_memory):
    net = af.Network.init(3, 20, 0.5, 0.7, outputs=2, rng=0)
    try:
        K = net.ntg(X, part=part, output=output, threads=threads, max_memory=max_memory)
        theta = af.NTGOperator(net, X, part=part, threads=threads, max_memory=max_memory)
        assert_finite(K, theta @ X[:, 0].copy())
    except REFUSALS:
        return
    assert np.array_equal(K, K.T) or output == (0, 1)
    return True


@fuzz(
    50,
    settings=st.fixed_dictionaries(
        {"d": usually(st.integers(1, 4)), "m": usually(st.integers(1, 20))},
        optional={
            "gamma": usually(st.floats(0, 1) | st.just([0.1, 1.0])),
            "alpha": usually(st.floats(0, 3) | st.just([0.1, 1e-300])),
            "activation": usually(st.sampled_from(ACTIVATIONS)),
            "outputs": usually(st.integers(1, 3)),
            "rng": usually(st.integers(0, 9) | st.just([1, 2])),
            "dtype": usually(st.sampled_from(DTYPES)),
            "weights": arrays(20) | st.none(),
        },
    ),
)
def test_init(settings):
    for name in ("d", "m", "outputs"):  # refused, or more than any memory: not to be tried out
        if isinstance(settings.get(name), int) and settings[name] > 10**4:
            settings[name] = 10**17
    settings.setdefault("gamma", 1.0)
    try:
        net = af.Network.init(**settings)
        assert_finite(net.W, net.a, net.lam, net(np.ones((2, net.d), net.dtype)))
    except (*REFUSALS, MemoryError):
        return
    sums = np.atleast_2d(net.lam).sum(axis=1)
    assert np.all(np.abs(sums - 1) <= (net.m + 6) * np.finfo(float).eps)
    return True


@fuzz(
    37,
    m=usually(st.integers(1, 50)),
    gamma=usually(st.floats(0, 1)),
    alpha=usually(st.none() | st.floats(0, 10) | st.sampled_from([5e-324, 1e308])),
    weights=st.none() | arrays(9),
)
def test_node_scaling(m, gamma, alpha, weights):
    if isinstance(m, int) and m > 10**4:
        m = 2**70
    try:
        lam = af.node_scaling(m, gamma, alpha, weights=weights)
    except REFUSALS:
        return
    assert_finite(lam)
    assert lam.min() >= 0
    assert abs(lam.sum() - 1) <= (len(lam) + 6) * np.finfo(float).eps
    return True


@fuzz(30, K=arrays(6, 6), symmetric=st.booleans(), backend=st.sampled_from(ON_CPU))
def test_min_eigenvalue(K, symmetric, backend):
    if symmetric and K.ndim == 2 and K.shape[0] == K.shape[1] and K.dtype.kind == "f":
        with np.errstate(all="ignore"):
            K = K / 2 + K.T / 2
    try:
        smallest = af.min_eigenvalue(K, backend=backend)
    except REFUSALS:
        return
    assert_finite(smallest)
    K64 = np.asarray(K, np.float64)
    scale = np.abs(K64).max()
    if scale > 0:
        exact = np.linalg.eigvalsh(np.tril(K64) / scale + np.tril(K64, -1).T / scale)
        assert abs(smallest / scale - exact[0]) <= 1e-10 * np.abs(exact).max() + 1e-300
    return True


# ---- training ------------------------------------------------------------------------------------

# Two of them are one too many.
schedules = {
    "every": usually(st.integers(1, 5)),
    "times": usually(st.just([0.0, 0.1]) | arrays(3)),
    "steps": usually(st.just([0, 2])),
    "log": usually(st.integers(1, 5)),
}
one_schedule = st.sampled_from([None, *schedules]).flatmap(
    lambda name: st.fixed_dictionaries({name: schedules[name]} if name else {})
)
columns = st.fixed_dictionaries(
    {},
    optional={
        "ntg_on": usually(st.integers(1, 9) | st.just([0, 0])),
        "top_nodes": usually(st.integers(0, 3)),
        "weights": usually(st.booleans()),
        "ntg_matrix": st.booleans(),
        "ntg_change_2norm": st.booleans(),
        "eigmax": st.booleans(),
        "alignment": st.booleans(),
        "effective_rank": st.booleans(),
    },
)
records = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    rarely(st.fixed_dictionaries({}, optional=schedules), one_schedule),
    columns,
)
trainers = st.one_of(
    st.tuples(
        st.just("gradient_descent"),
        st.fixed_dictionaries(
            {"steps": usually(st.integers(1, 6)), "lr": usually(st.floats(1e-3, 10))},
            optional={"max_memory": usually(st.just(1e8))},
        ),
    ),
    st.tuples(
        st.just("gradient_flow"),
        st.fixed_dictionaries(
            {"t_end": usually(st.floats(0, 2))},
            optional={
                "method": usually(st.sampled_from(["auto", "rk4", "dopri5", "tangent"])),
                "dt": usually(st.just(0.2)),
                "rtol": usually(st.sampled_from([1e-3, 1e-6])),
            },
        ),
    ),
    st.tuples(
        st.just("sgd"),
        st.fixed_dictionaries(
            {
                "lr": usually(st.floats(1e-3, 10)),
                "batch_size": usually(st.integers(1, 9)),
                "epochs": usually(st.integers(1, 3)),
                "rng": usually(st.integers(0, 3)),
            },
            optional={"train_output": st.booleans()},
        ),
    ),
)
UNDEFINED = ("alignment", "effective_rank")  # 0 / 0 where the NTG is zero
COLUMNS = (
    "time",
    "loss",
    "test_loss",
    "weight_change",
    "ntg_change",
    "ntg_change_2norm",
    "ntg_eigmin",
    "ntg_eigmax",
    "ntg_matrix",
    "weights",
)


def check_training(given, trainer, settings, record, loss, backend, rested):
    for name in ("steps", "epochs"):  # days of work are not refused, but not for us
        if isinstance(settings.get(name), int) and settings[name] > 10**3:
            settings[name] = 2**65
    try:
        run = getattr(af, trainer)(
            network(given),
            given["X"],
            given["y"],
            loss=loss,
            backend=backend,
            record=af.Record(**record),
            # flows may have far to go: the clock, too, ends a run in good order
            stop=af.Stop(wall_seconds=0.5),
            **({"X_test": given["X"], "y_test": given["y"]} if rested else {}),
            **settings,
        )
    except REFUSALS:
        return
    except af.DivergenceError as error:
        if error.step < 0 or not np.any(error.run.diverged):
            raise
        return
    for name in COLUMNS:
        if getattr(run, name) is not None:
            assert_finite(getattr(run, name))
    assert_finite(run.network.W, run.network.a)
    assert len(run.loss) == len(run.time) == len(run.steps) >= 1
    return True


@fuzz(
    37,
    given=problems(),
    how=trainers,
    record=records,
    loss=usually(st.sampled_from(LOSSES)),
    backend=st.sampled_from(ON_CPU),
    tested=st.booleans(),
)
def test_trainers(given, how, record, loss, backend, tested):
    return check_training(given, *how, record, loss, backend, tested)


@fuzz(
    37,
    given=problems(wild=False),
    how=trainers,
    record=records,
    loss=st.sampled_from(LOSSES),
    backend=st.sampled_from(ON_CPU),
    tested=st.booleans(),
)
def test_trainers_on_extreme_numbers(given, how, record, loss, backend, tested):
    return check_training(given, *how, record, loss, backend, tested)


@fuzz(
    30,
    given=problems(),
    t=usually(st.sampled_from([0.0, 1.0, 1e300, np.inf]) | arrays(3)),
    ridge=usually(st.sampled_from([0.0, 1e-3, 1e300])),
    loss=usually(st.sampled_from(LOSSES)),
    weights=st.booleans(),
)
def test_linearised_flow(given, t, ridge, loss, weights):
    X, y = given["X"], given["y"]
    try:
        flow = af.linearised_flow(
            network(given), X, y, t, X_test=X, y_test=y, ridge=ridge, loss=loss, weights=weights
        )
    except REFUSALS:
        return
    assert_finite(flow.f, flow.loss, flow.f_test, flow.test_loss)
    return True


# ---- theory, data, settings ----------------------------------------------------------------------


@fuzz(
    25,
    X=arrays(4, 3, dtype="float64"),
    activation=usually(st.sampled_from(ACTIVATIONS)),
    gamma=usually(st.floats(0, 1)),
    alpha=usually(st.floats(0.2, 0.9)),
)
def test_kernels_of_the_theory(X, activation, gamma, alpha):
    accepted = 0
    for call in (
        lambda: af.mean_ntg(X, activation),
        lambda: af.limiting_ntg(X, gamma, alpha, activation, rng=0),
    ):
        try:
            result = call()
        except REFUSALS:
            continue
        accepted += 1
        assert_finite(getattr(result, "K", result) if not isinstance(result, tuple) else result[0])
    return accepted == 2


@fuzz(
    25,
    n=usually(st.integers(1, 20)),
    d=usually(st.integers(1, 5)),
    rng=usually(st.integers(0, 9)),
)
def test_simulated(n, d, rng):
    if any(isinstance(size, int) and size > 10**4 for size in (n, d)):
        return
    try:
        X, y = af.datasets.simulated(n=n, d=d, rng=rng)
    except REFUSALS:
        return
    assert_finite(X, y)
    return True


@fuzz(
    25,
    limits=st.fixed_dictionaries({}, optional=dict.fromkeys(("loss", "time", "wall_seconds"), odd)),
)
def test_stop(limits):
    try:
        af.Stop(**limits)
    except REFUSALS:
        return
    assert any(value is not None for value in limits.values())
    return True
