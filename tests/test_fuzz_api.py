"""Whatever is passed to the public functions: the right answer or a documented exception.

Never a crash, a hang, a warning or a silent NaN. Arrays come in any shape, order, stride and dtype,
with zeros, subnormal and huge numbers, NaN and inf; scalars and options of any kind.
"""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
from cases import ACTIVATIONS, BACKENDS, LOSSES, assert_within, model_of
from fuzzing import fuzz
from hypothesis import strategies as st

REFUSALS = (ValueError, TypeError, OverflowError)  # DivergenceError for trainers
DTYPES = ("float64", "float32", "float16", "int64", "bool", "complex128", ">f8", "object", "U3")
SPECIAL = {
    "zero": [0.0, -0.0],
    "tiny": [5e-324, -1e-310, 1e-45, 2e-308],
    "huge": [1e308, -1e308, 3e38, -1e200, 1e155],
    "nan": [np.nan],
    "inf": [np.inf, -np.inf],
}


@st.composite
def arrays(draw, *shape, dtype=None, wild=True):
    """An array of about that shape: usually a good one, and often one that is wrong in some way.

    wild: also other shapes and dtypes, NaN and inf; else what is valid, however extreme.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = list(shape)
    if wild and draw(st.integers(0, 9)) == 0:
        shape = draw(st.lists(st.integers(0, 7), max_size=4))
    values = np.asarray(rng.standard_normal(shape)) * 10.0 ** draw(
        st.sampled_from([0, 0, 0, 0, -3, 3, 30])
    )
    kinds = ["zero", "tiny", "huge"] + (["nan", "inf"] if wild else [])
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=2)):
        mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.5, 1.0]))
        values = np.where(mask, rng.choice(SPECIAL[kind], shape), values)
    if dtype is None or (wild and draw(st.integers(0, 9)) == 0):
        dtype = draw(st.sampled_from(DTYPES))
    with np.errstate(all="ignore"):
        if np.dtype(dtype).kind in "iu":
            values = np.nan_to_num(values, nan=0, posinf=9, neginf=-9).clip(-1e9, 1e9)
        values = np.asarray(values).astype(dtype)
        if not wild:  # a huge double is inf as a float
            values = np.nan_to_num(values, posinf=3e38, neginf=-3e38)
    return draw(layouts(np.asarray(values)))


@st.composite
def layouts(draw, values):
    """The same numbers otherwise in memory: strided, reversed, transposed, unaligned, read-only."""
    if values.ndim == 0:
        return values
    layout = draw(st.sampled_from(["C", "C", "F", "strided", "reversed", "unaligned", "frozen"]))
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "strided":
        room = np.zeros([2 * n for n in values.shape], values.dtype)
        view = room[(slice(None, None, 2),) * values.ndim]
        view[...] = values
        return view
    if layout == "reversed":
        every = (slice(None, None, -1),) * values.ndim
        return values[every].copy()[every]
    if layout == "unaligned" and values.dtype != object:
        room = np.zeros(values.nbytes + 1, np.uint8)
        view = room[1:].view(values.dtype).reshape(values.shape)
        view[...] = values
        return view
    if layout == "frozen":
        values.flags.writeable = False
    return values


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just(np.float64("nan")),
)


def usually(strategy):
    return st.integers(0, 14).flatmap(lambda i: odd if i == 0 else strategy)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 35), st.integers(1, 3))


@st.composite
def problems(draw, wild=True):
    """W, a, lam, activation, X and y that fit one another, but for what has gone wrong."""
    n, d, m, k = draw(sizes)
    dtype = draw(st.sampled_from(["float64", "float32"]))
    B = draw(st.sampled_from([(), (), (), (2,)]))
    columns = () if k == 1 and draw(st.booleans()) else (k,)
    lam = draw(arrays(*B, m, dtype="float64", wild=wild))
    if (draw(st.integers(0, 9)) or not wild) and lam.dtype.kind in "iuf":
        lam = np.abs(lam)
    if not wild and not (lam > 0).any(axis=-1).all():
        lam = lam + 1.0
    return {
        "W": draw(arrays(*B, m, d, dtype=dtype, wild=wild)),
        "a": draw(arrays(*B, m, *columns, dtype=dtype, wild=wild)),
        "lam": lam,
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "X": draw(arrays(n, d, dtype=dtype, wild=wild)),
        "y": draw(arrays(n, *columns, dtype=dtype, wild=wild)),
    }


def network(given):
    return af.Network(given["W"], given["a"], given["lam"], activation=given["activation"])


def assert_finite(*results):
    for result in results:
        assert np.all(np.isfinite(np.asarray(result, dtype=np.float64)))


def modest(*values):
    """Whether the oracle's plain formulas neither overflow nor underflow on these numbers."""
    sizes = np.abs(np.concatenate([np.ravel(v).astype(np.float64) for v in values]))
    return np.all((sizes == 0) | ((sizes > 1e-6) & (sizes < 1e6)))


# ---- networks ------------------------------------------------------------------------------------


@fuzz(
    250, given=problems(), loss=usually(st.sampled_from(LOSSES)), backend=st.sampled_from(BACKENDS)
)
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


@fuzz(120, given=problems(wild=False), backend=st.sampled_from(BACKENDS))
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


@fuzz(
    120,
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


@fuzz(
    200,
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


@fuzz(
    150,
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


@fuzz(120, K=arrays(6, 6), symmetric=st.booleans(), backend=st.sampled_from(BACKENDS))
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


# ---- training ------------------------------------------------------------------------------------

records = st.fixed_dictionaries(
    {},
    optional={
        "every": usually(st.integers(1, 5)),
        "times": usually(st.just([0.0, 0.1]) | arrays(3)),
        "steps": usually(st.just([0, 2])),
        "log": usually(st.integers(1, 5)),
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
trainers = st.one_of(
    st.tuples(
        st.just("gradient_descent"),
        st.fixed_dictionaries(
            {"steps": usually(st.integers(1, 6)), "lr": usually(st.floats(0, 10))},
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
                "lr": usually(st.floats(0, 10)),
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


@fuzz(
    150,
    given=problems(),
    how=trainers,
    record=records,
    loss=usually(st.sampled_from(LOSSES)),
    backend=st.sampled_from(BACKENDS),
    tested=st.booleans(),
)
def test_trainers(given, how, record, loss, backend, tested):
    check_training(given, *how, record, loss, backend, tested)


@fuzz(
    150,
    given=problems(wild=False),
    how=trainers,
    record=records,
    loss=st.sampled_from(LOSSES),
    backend=st.sampled_from(BACKENDS),
    tested=st.booleans(),
)
def test_trainers_on_extreme_numbers(given, how, record, loss, backend, tested):
    check_training(given, *how, record, loss, backend, tested)


@fuzz(
    120,
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


# ---- theory, data, settings ----------------------------------------------------------------------


@fuzz(
    100,
    X=arrays(4, 3, dtype="float64"),
    activation=usually(st.sampled_from(ACTIVATIONS)),
    gamma=usually(st.floats(0, 1)),
    alpha=usually(st.floats(0.2, 0.9)),
)
def test_kernels_of_the_theory(X, activation, gamma, alpha):
    for call in (
        lambda: af.mean_ntg(X, activation),
        lambda: af.limiting_ntg(X, gamma, alpha, activation, rng=0),
    ):
        try:
            result = call()
        except REFUSALS:
            continue
        assert_finite(getattr(result, "K", result) if not isinstance(result, tuple) else result[0])


@fuzz(
    80,
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


@fuzz(
    100,
    limits=st.fixed_dictionaries({}, optional=dict.fromkeys(("loss", "time", "wall_seconds"), odd)),
)
def test_stop(limits):
    try:
        af.Stop(**limits)
    except REFUSALS:
        return
    assert any(value is not None for value in limits.values())
