"""The boundary: wrong input is refused before work starts, in one sentence saying what came."""

from __future__ import annotations

import asymfast as af
import numpy as np
import pytest
from cases import BACKENDS, assert_same_bits, problem

CASE = problem(n=7, d=5, m=6)
MULTI = problem(n=7, d=5, m=6, outputs=3)
NET, X, Y = CASE.net, CASE.X, CASE.y
W, A, LAM = NET.W, NET.a, NET.lam
SINGLE = af.Network(W.astype(np.float32), A.astype(np.float32), LAM)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def with_value(array, value):
    """A copy with one entry replaced."""
    changed = array.copy()
    changed.flat[-1] = value
    return changed


def sparse(values):
    return pytest.importorskip("scipy.sparse").csr_matrix(values)


def descend(net=NET, X=X, y=Y, **settings):
    return af.gradient_descent(net, X, y, **{"lr": 0.1, "steps": 3, **settings})


def flow(**settings):
    return af.gradient_flow(NET, X, Y, **{"t_end": 1.0, **settings})


VALUE_ERRORS = {
    # node_scaling
    "gamma above": (lambda: af.node_scaling(4, 1.5, 0.7), r"node_scaling: gamma.*\[0, 1\].*1\.5"),
    "gamma below": (lambda: af.node_scaling(4, -0.1, 0.7), r"node_scaling: gamma.*-0\.1"),
    "gamma nan": (lambda: af.node_scaling(4, np.nan, 0.7), r"node_scaling: gamma.*nan"),
    "alpha zero": (lambda: af.node_scaling(4, 0.5, 0.0), r"node_scaling: alpha.*0"),
    "alpha negative": (lambda: af.node_scaling(4, 0.5, -2.0), r"node_scaling: alpha.*-2"),
    "alpha inf": (lambda: af.node_scaling(4, 0.5, np.inf), r"node_scaling: alpha.*inf"),
    "alpha missing": (lambda: af.node_scaling(4, 0.5), r"node_scaling: .*alpha.*weights"),
    "alpha twice": (
        lambda: af.node_scaling(4, 0.5, 0.7, weights=np.ones(4)),
        r"node_scaling: .*alpha.*weights",
    ),
    "m zero": (lambda: af.node_scaling(0, 0.5, 0.7), r"node_scaling: m .*0"),
    "weights shape": (
        lambda: af.node_scaling(4, 0.5, weights=np.ones(3)),
        r"node_scaling: weights.*\(4,\).*\(3,\)",
    ),
    "weights negative": (
        lambda: af.node_scaling(2, 0.5, weights=[1.0, -1.0]),
        r"node_scaling: weights",
    ),
    "weights zero": (lambda: af.node_scaling(2, 0.5, weights=[0.0, 0.0]), r"node_scaling: weights"),
    "weights nan": (lambda: af.node_scaling(2, 0.5, weights=[1, np.nan]), r"node_scaling: weights"),
    # Network
    "W flat": (lambda: af.Network(W[0], A, LAM), r"Network: W .*\(5,\)"),
    "W empty": (lambda: af.Network(W[:, :0], A, LAM), r"Network: W "),
    "W nan": (lambda: af.Network(with_value(W, np.nan), A, LAM), r"Network: W .*finite"),
    "W inf": (lambda: af.Network(with_value(W, np.inf), A, LAM), r"Network: W .*finite"),
    "a shape": (lambda: af.Network(W, A[:5], LAM), r"Network: a .*\(6,.*\(5,\)"),
    "a nan": (lambda: af.Network(W, with_value(A, np.nan), LAM), r"Network: a .*finite"),
    "lam shape": (lambda: af.Network(W, A, LAM[:5]), r"Network: lam .*\(6,\).*\(5,\)"),
    "lam negative": (lambda: af.Network(W, A, with_value(LAM, -0.25)), r"Network: lam .*-0\.25"),
    "lam zero": (lambda: af.Network(W, A, 0 * LAM), r"Network: lam .*zero"),
    "lam nan": (lambda: af.Network(W, A, with_value(LAM, np.nan)), r"Network: lam .*finite"),
    "activation": (lambda: af.Network(W, A, LAM, activation="mish"), r"activation.*mish"),
    "init gamma": (lambda: af.Network.init(5, 6, 2.0, 0.7), r"gamma.*\[0, 1\].*2"),
    "init d": (lambda: af.Network.init(0, 6, 1.0), r"Network.init: d .*0"),
    "init m": (lambda: af.Network.init(5, -1, 1.0), r"Network.init: m .*-1"),
    "init outputs": (lambda: af.Network.init(5, 6, 1.0, outputs=0), r"Network.init: outputs .*0"),
    "init lists": (
        lambda: af.Network.init(5, 6, [0.5, 1.0], 0.7, rng=[0, 1, 2]),
        r"Network.init: ",
    ),
    "stack nothing": (lambda: af.Network.stack([]), r"Network.stack: "),
    "stack shapes": (
        lambda: af.Network.stack([NET, problem(n=7, d=5, m=4).net]),
        r"Network.stack: ",
    ),
    "init seed": (lambda: af.Network.init(5, 6, 1.0, rng=-1), r"Network.init: rng .*-1"),
    "simulated seed": (lambda: af.datasets.simulated(5, 6, rng=-1), r"simulated: rng .*-1"),
    "W ragged": (lambda: af.Network([[1.0, 2.0], [3.0]], A, LAM), r"Network: W .*one length"),
    # its methods
    "X columns": (lambda: NET(X[:, :4]), r"W has 5 columns but X has 4; both must have d columns"),
    "X flat": (lambda: NET(X[0]), r"X .*\(5,\); pass X\[None\]"),
    "X of one input": (lambda: af.Network(W[:, :1], A, LAM)(X[:, 0]), r"pass X\[\.\.\., None\]"),
    "X empty": (lambda: NET(X[:0]), r"X "),
    "X nan": (lambda: NET(with_value(X, np.nan)), r"X .*finite"),
    "X inf": (lambda: NET(with_value(X, -np.inf)), r"X .*finite"),
    "X2 columns": (lambda: NET.ntg(X, X[:, :4]), r"X2"),
    "X2 nan": (lambda: NET.ntg(X, with_value(X, np.nan)), r"X2 .*finite"),
    "y shape": (lambda: NET.loss(X, Y[:6]), r"y .*\(7,\).*\(6,\)$"),
    "y column": (lambda: NET.loss(X, Y[:, None]), r"got \(7, 1\); pass y\[\.\.\., 0\]"),
    "y columns": (lambda: MULTI.net.loss(X, MULTI.y[:, :2]), r"y .*\(7, 3\).*\(7, 2\)"),
    "y nan": (lambda: NET.node_gradients(X, with_value(Y, np.nan)), r"y .*finite"),
    "loss": (lambda: NET.loss(X, Y, loss="hinge"), r"loss .*hinge"),
    "one class": (
        lambda: NET.loss(X, LABELS * 0, loss="cross_entropy"),
        r"cross_entropy.*outputs=2",
    ),
    "label above": (
        lambda: MULTI.net.loss(X, with_value(LABELS, 3), loss="cross_entropy"),
        r"y must hold labels from 0 to 2, got 3; count classes from 0, or make the network with",
    ),
    "label below": (
        lambda: MULTI.net.loss(X, with_value(LABELS, -1), loss="cross_entropy"),
        r"y .*-1",
    ),
    "part": (lambda: NET.ntg(X, part=3), r"part .*at most 2, got 3"),
    "part without gamma": (lambda: af.Network(W, A, LAM).ntg(X, part=1), r"gamma"),
    "output": (lambda: MULTI.net.ntg(X, output=3), r"output .*3"),
    "output pair": (lambda: MULTI.net.ntg(X, output=(0, 3)), r"output .*3"),
    "threads": (lambda: NET(X, threads=0), r"threads .*0"),
    "threads many": (lambda: NET(X, threads=100_000), r"threads .*at most 1024, got 100000"),
    "backend": (lambda: NET(X, backend="gpu"), r"backend .*gpu"),
    "importance": (lambda: NET.node_importance(kind="best"), r"node_importance: kind .*best"),
    "keep none": (lambda: NET.prune(0), r"prune: keep .*0"),
    "keep too many": (lambda: NET.prune(7), r"prune: keep .*7"),
    # Record
    "two schedules": (lambda: af.Record(every=3, steps=[0, 1]), r"Record: .*every.*steps"),
    "every beyond show": (lambda: af.Record(every=10**5000), r"Record: every .*of type int"),
    "every many": (lambda: af.Record(every=10**20), r"Record: every .*at most 9223372036"),
    "every zero": (lambda: af.Record(every=0), r"Record: every .*0"),
    "negative step": (lambda: af.Record(steps=[-1, 3]), r"Record: steps .*-1"),
    "negative time": (lambda: af.Record(times=[-0.5, 3.0]), r"Record: times .*-0\.5"),
    "nan time": (lambda: af.Record(times=[np.nan]), r"Record: times"),
    "unsorted": (
        lambda: af.Record(steps=[1, 5, 3] * 9),
        r"steps must increase, got 3 after 5; pass",
    ),
    "ntg_on zero": (lambda: af.Record(ntg_on=0), r"Record: ntg_on .*0"),
    "ntg_on beyond": (lambda: descend(record=af.Record(ntg_on=[0, 7])), r"ntg_on .*7"),
    # training
    "lr zero": (lambda: descend(lr=0.0), r"gradient_descent: lr .*0"),
    "lr nan": (lambda: descend(lr=np.nan), r"gradient_descent: lr .*nan"),
    "steps": (lambda: descend(steps=-5), r"gradient_descent: steps .*-5"),
    "steps many": (lambda: descend(steps=2**63), r"gradient_descent: steps .*at most 9223372036"),
    "training X": (lambda: descend(X=X[:, :4]), r"W has 5 columns but X has 4"),
    "training y": (lambda: descend(y=Y[:6]), r"y .*\(7,\).*\(6,\)"),
    "training nan": (lambda: descend(y=with_value(Y, np.nan)), r"y .*finite"),
    "training loss": (lambda: descend(loss="l1"), r"gradient_descent: loss .*l1"),
    "X_test alone": (lambda: descend(X_test=X), r"gradient_descent: .*y_test"),
    "y_test shape": (lambda: descend(X_test=X, y_test=Y[:6]), r"y_test .*\(7,\).*\(6,\)"),
    "device": (lambda: descend(device="tpu"), r"gradient_descent: device .*tpu"),
    "t_end": (lambda: flow(t_end=-1.0), r"gradient_flow: t_end .*-1"),
    "dt": (lambda: flow(dt=-0.1), r"gradient_flow: dt .*-0\.1"),
    "rtol": (lambda: flow(rtol=0.0), r"gradient_flow: rtol .*0"),
    "method": (lambda: flow(method="euler"), r"gradient_flow: method .*euler"),
    # min_eigenvalue
    "K shape": (lambda: af.min_eigenvalue(np.ones((3, 4))), r"min_eigenvalue: K .*\(3, 4\)"),
    "K empty": (lambda: af.min_eigenvalue(np.ones((0, 0))), r"min_eigenvalue: K"),
    "K nan": (lambda: af.min_eigenvalue(np.diag([1, np.nan])), r"min_eigenvalue: K .*finite"),
}


@pytest.mark.parametrize(("call", "message"), VALUE_ERRORS.values(), ids=VALUE_ERRORS.keys())
def test_value_error(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert_one_sentence(caught.value)


TYPE_ERRORS = {
    "labels that are no integers": (
        lambda: MULTI.net.loss(X, LABELS.astype(float), loss="cross_entropy"),
        r"y must hold integer labels .* got float64 of shape \(7,\); pass y\.astype\(int\)",
    ),
    "labels of text": (
        lambda: MULTI.net.loss(X, list("abcabca"), loss="cross_entropy"),
        r"y must hold integer labels .*; pass np\.unique\(y, return_inverse=True\)\[1\]",
    ),
    "stack one": (
        lambda: af.Network.stack(NET),
        r"stack: nets must be a sequence of networks, got",
    ),
    "grid rng": (
        lambda: af.grid(3, 5, gamma=[0.5], alpha=[0.7], seeds=2, rng=1),
        r"grid: rng must not be given; seeds",
    ),
    "gamma text": (lambda: af.node_scaling(4, "half", 0.7), r"node_scaling: gamma"),
    "m real": (lambda: af.node_scaling(4.5, 0.5, 0.7), r"node_scaling: m "),
    "W large integer": (lambda: af.Network([[2**53 + 1]], [1], [1]), r"W.* got int64 beyond 9007"),
    "W half": (lambda: af.Network(W.astype(np.float16), A, LAM), r"W.* got float16; pass W.astype"),
    "W complex": (lambda: af.Network(W + 0j, A, LAM), r"W.* got complex128"),
    "a double": (
        lambda: af.Network(W.astype(np.float32), A, LAM),
        r"a: expected dtype float32, got float64; to accept the rounding, pass a.astype\(",
    ),
    "X large integers": (
        lambda: SINGLE([[1, 2, 3, 4, 2**24 + 1]]),
        r"X: expected dtype float32, got int64 beyond 16777216; to accept the rounding",
    ),
    "X bool": (lambda: NET([[True] * 5]), r"X: expected dtype float64, got bool"),
    "X text": (lambda: NET([["a", "b", "c", "d", "e"]]), r"X: expected dtype float64"),
    "X2 double": (
        lambda: SINGLE.ntg(X.astype(np.float32), X),
        r"X2: expected dtype float32, got float64",
    ),
    "y double": (
        lambda: SINGLE.loss(X.astype(np.float32), Y),
        r"y: expected dtype float32, got float64",
    ),
    "single network": (
        lambda: af.Network(W.astype(np.float32), A.astype(np.float32), LAM)(X),
        r"X: expected dtype float32, got float64",
    ),
    "training X": (
        lambda: descend(net=SINGLE),
        r"X: expected dtype float32, got float64",
    ),
    "X_test": (
        lambda: descend(X_test=X.astype(np.longdouble), y_test=Y),
        r"X_test: expected dtype float64, got (float128|longdouble)",
    ),
    "steps real": (lambda: descend(steps=2.5), r"gradient_descent: steps"),
    "net": (lambda: descend(net=W), r"gradient_descent: net"),
    "part bool": (lambda: NET.ntg(X, part=True), r"Network.ntg: part must be an integer"),
    "gammas of one": (
        lambda: af.Network(W, A, LAM, gamma=[0.5]),
        r"Network: gamma must be a real number, got \[0\.5\]",
    ),
    "min_delta": (lambda: af.Stop(loss=1.0, min_delta=np.ones(2)), r"Stop: min_delta must be a"),
    "limit": (lambda: af.limiting_ntg(X, 0.5, 0.4, return_bound="no"), r"limiting_ntg: return_"),
    "error": (lambda: af.mean_ntg(X, return_error="no"), r"mean_ntg: return_error must be True"),
    "record": (lambda: descend(record=100), r"gradient_descent: record"),
    "callback": (lambda: descend(callback=3), r"gradient_descent: callback"),
    "X sparse": (lambda: NET(sparse(X)), r"X must be a dense array, got a sparse .*X.toarray\(\)"),
    "y sparse": (lambda: descend(y=sparse(X)), r"y must be a dense array, got a sparse"),
    "X masked": (lambda: NET(np.ma.masked_array(X, X > 0)), r"Network: X .*masked"),
    "lam half": (
        lambda: af.Network(W, A, LAM.astype(np.float16)),
        r"lam: expected dtype float64, got float16",
    ),
    "init dtype": (lambda: af.Network.init(5, 6, 1.0, dtype="float65"), r"dtype .*float65"),
    "init seed": (lambda: af.Network.init(5, 6, 1.0, rng="x"), r"Network.init: rng .*'x'"),
    "data_dir": (lambda: af.datasets.load("concrete", 5), r"load: data_dir must be a path, got 5"),
    "K complex": (lambda: af.min_eigenvalue(np.eye(3) + 0j), r"min_eigenvalue: K"),
}


@pytest.mark.parametrize(("call", "message"), TYPE_ERRORS.values(), ids=TYPE_ERRORS.keys())
def test_type_error(call, message):
    with pytest.raises(TypeError, match=message) as caught:
        call()
    assert_one_sentence(caught.value)


def assert_one_sentence(error):
    text = str(error)
    assert "\n" not in text
    assert not text.endswith(".")
    for leak in ("pybind", ".cpp", "incompatible function arguments"):
        assert leak not in text


def test_cuda_says_that_it_is_not_built_in():
    with pytest.raises(RuntimeError, match="CUDA"):
        descend(device="cuda")


# --- Any memory layout gives the same answer -----------------------------------------------------


def fortran(array):
    return np.asfortranarray(array)


def strided(array):
    """Every second entry of every axis of a larger array."""
    unused = np.nan if array.dtype.kind == "f" else -1
    room = np.full([2 * size for size in array.shape], unused, dtype=array.dtype)
    view = room[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def backwards(array):
    """Negative strides."""
    flip = tuple(slice(None, None, -1) for _ in array.shape)
    return array[flip].copy()[flip]


def read_only(array):
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def unaligned(array):
    """Starts at an odd address."""
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)[1:]
    view = raw.view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def as_list(array):
    return array.tolist()


LAYOUTS = (fortran, strided, backwards, read_only, unaligned, as_list)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [CASE, MULTI], ids=["one output", "three outputs"])
def test_layout_does_not_matter(layout, case, backend):
    plain = (case.net.W, case.net.a, case.net.lam, case.X, case.y)

    def results(W, a, lam, X, y):
        net = af.Network(W, a, lam)
        run = af.gradient_descent(net, X, y, lr=0.1, steps=3, backend=backend)
        K = net.ntg(X, backend=backend)
        return net(X, backend=backend), net.node_gradients(X, y, backend=backend), K, run.loss

    changed = results(*(layout(array) for array in plain))
    for one, other in zip(results(*plain), changed, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_labels_does_not_matter(layout):
    one, other = (
        MULTI.net.loss(X, labels, loss="cross_entropy") for labels in (LABELS, layout(LABELS))
    )
    assert one == other


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64])
def test_any_integer_type_of_labels(kind):
    one, other = (
        MULTI.net.loss(X, labels, loss="cross_entropy") for labels in (LABELS, LABELS.astype(kind))
    )
    assert one == other


# ---- results beyond the range ---------------------------------------------------------------

BIG = af.Network(np.full((3, 2), 1e308), np.array([1.0, -1.0, 1.0]), np.full(3, 1 / 3))
FAR = np.full((4, 2), 1e308)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "call"),
    {
        "Network": lambda how: BIG(FAR, **how),
        "Network.loss": lambda how: BIG.loss(FAR, np.zeros(4), **how),
        "Network.gradients": lambda how: BIG.node_gradients(FAR, np.zeros(4), **how),
        "Network.features": lambda how: BIG.features(FAR, **how),
        "Network.ntg": lambda how: BIG.ntg(FAR, **how),
        "Network.node_importance": lambda how: BIG.node_importance(),
        "NTGOperator": lambda how: af.NTGOperator(BIG, FAR, **how) @ np.ones(4),
        "linearised_flow": lambda how: af.linearised_flow(NET, X, np.full(7, 1e308), 1.0),
    }.items(),
)
def test_overflow_is_no_silent_nan(name, call, backend):
    with pytest.raises(
        OverflowError, match=f"^{name.split('.')[0]}.* exceeds the range of float64"
    ):
        call({"backend": backend})


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e160), ("float32", 1e20)])
def test_bounded_activations_do_not_hide_products_beyond_the_range(dtype, size):
    """Z is inf - inf, which fused sums made inf, or -inf, and sigmoid and tanh finite."""
    net = af.Network(np.full((3, 2), size, dtype), *np.ones((2, 3), dtype), activation="sigmoid")
    rows = np.array([[1.0, -2.0], [0.0, 0.0]], dtype) * np.array(size, dtype)
    with pytest.raises(OverflowError, match=f"a product of W and X exceeds the range of {dtype}"):
        net(rows)
    assert np.isfinite(net(rows / np.array(size, dtype))).all()


def test_overflow_of_a_record_comes_with_the_run():
    """The loss is finite, the test loss is not."""
    with pytest.raises(OverflowError, match="record of test_loss: the result exceeds") as caught:
        descend(X_test=X, y_test=np.full(7, 1e200), record=af.Record(every=1))
    assert len(caught.value.run.loss) == 4
    assert np.all(np.isfinite(caught.value.run.loss))


def test_declared_checks_see_arguments_however_they_are_passed():
    for call in (
        lambda: af.node_scaling(4, 2.0, 0.7),
        lambda: af.node_scaling(4, gamma=2.0, alpha=0.7),
        lambda: af.node_scaling(alpha=0.7, gamma=2.0, m=4),
    ):
        with pytest.raises(ValueError, match=r"node_scaling: gamma must be in \[0, 1\], got 2"):
            call()


def test_calls_with_missing_or_unknown_arguments_are_pythons_own_errors():
    for call, message in (
        (lambda: af.node_scaling(4), "missing 1 required positional argument: 'gamma'"),
        (lambda: af.node_scaling(4, 1.0, 0.5, 7), "takes from 2 to 3 positional arguments"),
        (lambda: af.node_scaling(4, 1.0, beta=1), "unexpected keyword argument 'beta'"),
        (lambda: af.node_scaling(None, 1.0), "node_scaling: m must be an integer, got None"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize(
    ("origin", "error", "message"),
    [
        ({"gamma": [0.5, 2.0]}, ValueError, r"Network: gamma must be in \[0, 1\], got 2"),
        ({"gamma": ["x", "y"]}, TypeError, "Network: gamma must be real numbers"),
        ({"alpha": [0.5, -1.0]}, ValueError, "Network: alpha must be in .*, got -1"),
        ({"gamma": [0.5]}, ValueError, r"Network: gamma must have shape \(2,\), got \(1,\)"),
    ],
)
def test_origins_of_members_are_checked(origin, error, message):
    both = af.Network.stack([NET, NET])
    with pytest.raises(error, match=message):
        af.Network(both.W, both.a, both.lam, **origin)


@pytest.mark.parametrize("seed", [True, False, np.True_, [1, True], np.array([True])], ids=repr)
@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: af.Network.init(3, 4, 1.0, rng=seed),
        lambda seed: af.datasets.simulated(5, 3, rng=seed),
        lambda seed: af.limiting_ntg(np.eye(3), 0.5, 0.5, rng=seed),
        lambda seed: af.theory.min_eigenvalue_law(np.eye(3), 1.0, m=5, draws=2, rng=seed),
        lambda seed: af.sgd(
            af.Network.init(3, 4, 1.0, rng=0),
            np.eye(3),
            np.ones(3),
            batch_size=2,
            epochs=1,
            rng=seed,
        ),
    ],
)
def test_truth_values_are_not_seeds(draw, seed):
    with pytest.raises(
        TypeError, match=r"rng must be a seed >= 0 or a generator, got .*(True|False)"
    ):
        draw(seed)


@pytest.mark.parametrize("rng", [0, [0, 1]], ids=["single", "ensemble"])
def test_one_hot_rows_of_integers(rng):
    net = af.Network.init(3, 10, 1.0, outputs=3, rng=rng)
    X, labels = np.random.default_rng(0).standard_normal((5, 3)), np.array([0, 1, 2, 0, 1])
    expected = net.loss(X, labels, "cross_entropy")
    assert np.array_equal(net.loss(X, np.eye(3, dtype=int)[labels], "cross_entropy"), expected)
    with pytest.raises(ValueError, match=r"y must have shape \(5,\) or .*\(5, 3\).*, got \(5, 2\)"):
        net.loss(X, np.eye(3, dtype=int)[labels][:, :2], "cross_entropy")
    with pytest.raises(ValueError, match="probabilities >= 0, got -1"):
        net.loss(X, np.eye(3, dtype=int)[labels] - 1, "cross_entropy")


@pytest.mark.parametrize(
    "statement",
    ["kappa_n", "c_0", "min_eigenvalue_law", "limiting_ntg", "ntg_variance", "mean_ntg"],
)
def test_messages_begin_with_the_statement_that_was_called(statement):
    more = () if statement in ("kappa_n", "c_0", "mean_ntg") else (0.5, 0.5)
    with pytest.raises(ValueError, match=f"^{statement}: the rows of X are too long"):
        getattr(af.theory, statement)(1e5 * np.eye(3), *more)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: af.Record(evry=3), "Record: got .* 'evry'; did you mean 'every'?"),
        (lambda: af.Stop(los=1.0), "Stop: got .* 'los'; did you mean 'loss'?"),
        (lambda: af.Network.init(5, 9, 1.0, seed=1), "Network.init: .* 'seed'; known are d, m, .*"),
        (lambda: af.load_model(file="."), "load_model: got .* 'file'; known are path"),
        (lambda: NET(X[:, None], y=X), "Network: got .* 'y'; known are X, .*"),
    ],
)
def test_unknown_keywords_are_answered_with_the_known_ones(call, message):
    with pytest.raises(TypeError, match=f"^{message.replace('?', '[?]')}$"):
        call()


@pytest.mark.parametrize("value", [None, {1.0, 2.0}, iter([1.0])])
def test_what_is_no_array_is_named(value):
    kind = "None" if value is None else type(value).__name__
    with pytest.raises(TypeError, match=f"y must be an array or .* numbers, got {kind}$"):
        NET.loss(X, value)


@pytest.mark.parametrize(
    "call",
    [
        lambda big: af.gradient_descent(NET, X, X[:, 0], steps=big),
        lambda big: af.gradient_descent(NET, X, X[:, 0], steps=1, lr=big),
        lambda big: af.gradient_descent(NET, X, X[:, 0], steps=1, progress=big),
        lambda big: af.Network.init(5, 6, gamma=1.0, alpha=big[:1]),
        lambda big: af.Record(ntg_on=big),
        lambda big: af.grid(5, 6, big, [0.5], 2),
        lambda big: af.Run.load(big),
    ],
)
def test_arrays_are_not_printed_in_messages(call):
    with pytest.raises((TypeError, ValueError)) as raised:
        call(np.full((40, 40), 0.25))
    assert len(str(raised.value)) < 200
    assert "\n" not in str(raised.value)
