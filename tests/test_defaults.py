"""What a call without options does: the step size, the samples of the NTG, what it warns of."""

from __future__ import annotations

import copy
import pickle
import warnings

import asymfast as af
import numpy as np
import pytest
from cases import problem, simulated

QUIET = af.Record(every=10, ntg=False, eigmin=False)


def standardised_table(n=412, d=8):
    """Correlated columns of mean 0 and variance 1, as of the concrete data."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = X[:, 0] + 0.1 * rng.standard_normal(n)
    return af.Network.init(d, 200, 0.5, 0.5, rng=1), X, y


def test_the_default_step_trains_a_standardised_table():
    net, X, y = standardised_table()
    with pytest.raises(af.DivergenceError):
        af.gradient_descent(net, X, y, lr=1.0, steps=200, record=QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = af.gradient_descent(net, X, y, steps=200, record=QUIET)
    assert run.loss[-1] < 0.1 * run.loss[0]
    assert (np.diff(run.loss) < 0).all()


@pytest.mark.parametrize("loss", ["half_sse", "mse", "cross_entropy"])
def test_the_default_step_is_half_of_the_largest_stable_one(loss):
    case = problem(outputs=3, loss=loss)
    run = af.gradient_descent(case.net, case.X, case.y, loss=loss, steps=3)
    assert run.config["lr"] == pytest.approx(0.5 * case.net.stable_step(case.X, loss), rel=5e-3)
    again = af.gradient_descent(case.net, case.X, case.y, loss=loss, steps=3, lr=run.config["lr"])
    assert (again.network.W == run.network.W).all()


def test_the_default_step_of_an_ensemble_is_that_of_its_stiffest_member():
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    nets = af.Network.init(5, 30, [1.0, 0.1, 0.5], 0.5, rng=range(3))
    run = af.gradient_descent(nets, X, y, steps=2)
    assert run.config["lr"] == pytest.approx(0.5 * nets.stable_step(X).min(), rel=5e-3)


def test_where_nothing_can_move_the_default_step_is_one():
    net = af.Network(-np.ones((4, 2)), np.ones(4), np.ones(4), activation="relu")
    run = af.gradient_descent(net, np.ones((3, 2)), np.ones(3), steps=2)
    assert run.config["lr"] == 1.0


@pytest.mark.parametrize("train_output", [False, True])
@pytest.mark.parametrize("loss", ["half_sse", "mse", "cross_entropy"])
def test_the_default_step_of_sgd_trains(loss, train_output):
    net, X, y = standardised_table()
    if loss == "cross_entropy":
        net = af.Network.init(8, 200, 0.5, 0.5, outputs=2, rng=1)
        y = (y > 0).astype(int)
    run = af.sgd(
        net, X, y, batch_size=40, epochs=20, loss=loss, train_output=train_output, record=QUIET
    )
    assert run.config["lr"] > 0
    assert run.loss[-1] < 0.2 * run.loss[0]


@pytest.mark.parametrize("train", [af.gradient_descent, af.sgd])
def test_other_words_than_auto_are_refused(train):
    case = problem()
    rest = {"steps": 2} if train is af.gradient_descent else {"batch_size": 2, "epochs": 1}
    message = f"{train.__name__}: lr must be 'auto' or a number > 0, got 'fast'"
    with pytest.raises(ValueError, match=message):
        train(case.net, case.X, case.y, lr="fast", **rest)


@pytest.mark.parametrize(("factor", "warned"), [(0.9, False), (1.2, True)])
@pytest.mark.parametrize("steps", [30, 3000])
def test_an_lr_beyond_the_largest_stable_step_warns_once(factor, warned, steps):
    """Of a saturating activation, where the loss stays bounded; the default warns never."""
    case = simulated(n=15, d=4, m=60, activation="tanh")
    bound = case.net.stable_step(case.X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        af.gradient_descent(
            case.net, case.X, case.y, lr=factor * bound, steps=steps, record=af.Record(every=1)
        )
    assert len(caught) == (1 if warned else 0)
    if warned:
        assert "exceeds the largest stable step at the start, 2 / eig_max = " in str(caught[0])
        assert caught[0].filename == __file__


def test_a_warning_never_hides_a_divergence():
    """Neither where warnings are errors, as here, nor where they are shown."""
    net, X, y = standardised_table()
    with pytest.raises(af.DivergenceError):
        af.gradient_descent(net, X, y, lr=1.0, steps=1000, record=QUIET)
    with pytest.warns(UserWarning, match="lr = 1 exceeds"), pytest.raises(af.DivergenceError):
        af.gradient_descent(net, X, y, lr=1.0, steps=1000, record=QUIET)


@pytest.mark.parametrize(
    ("n", "ntg_on", "used", "stated"),
    [(520, None, 500, 500), (520, "all", 520, None), (9, None, 9, None), (520, 510, 510, 510)],
)
def test_the_ntg_is_measured_on_at_most_500_samples(n, ntg_on, used, stated):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 3)), rng.standard_normal(n)
    net = af.Network.init(3, 5, 1.0, rng=0)
    record = af.Record(every=1, eigmin=False, ntg_matrix=True, ntg_on=ntg_on)
    run = af.gradient_descent(net, X, y, steps=1, loss="mse", record=record)
    assert run.ntg_matrix.shape == (2, used, used)
    assert run.config["record"]["ntg_on"] == stated


def test_ntg_on_takes_no_other_word():
    with pytest.raises(ValueError, match="Record: ntg_on must be one of all, got 'none'"):
        af.Record(ntg_on="none")


@pytest.mark.parametrize("answer", [np.False_, np.array(False), False])
@pytest.mark.parametrize("train", ["descent", "flow", "sgd"])
def test_every_false_of_a_callback_ends_the_run(answer, train):
    case = problem()
    data = {"record": af.Record(every=1), "callback": lambda snapshot: answer}
    run = {
        "descent": lambda: af.gradient_descent(case.net, case.X, case.y, steps=9, **data),
        "flow": lambda: af.gradient_flow(case.net, case.X, case.y, t_end=1.0, dt=0.1, **data),
        "sgd": lambda: af.sgd(case.net, case.X, case.y, batch_size=5, epochs=2, **data),
    }[train]()
    assert run.stopped_by == "callback"
    assert len(run.loss) == 1


def test_other_answers_of_a_callback_go_on():
    case = problem()
    for answer in (None, True, np.True_, 0, "no", np.zeros(3), []):
        run = af.gradient_descent(
            case.net, case.X, case.y, steps=2, callback=lambda _, answer=answer: answer
        )
        assert not run.stopped


def test_several_truth_values_are_no_answer():
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    nets = af.Network.init(5, 30, 1.0, rng=range(3))
    with pytest.raises(TypeError, match=r"callback must return True, False or None.*\.any\(\)"):
        af.gradient_descent(nets, X, y, steps=9, callback=lambda snapshot: snapshot.loss > 0)


def test_times_within_rounding_of_the_end():
    case = simulated(n=9, d=3, m=20)
    times = np.arange(0.1, 0.31, 0.1)
    assert times[-1] > 0.3
    run = af.gradient_flow(case.net, case.X, case.y, t_end=0.3, record=af.Record(times=times))
    assert run.time.tolist() == [0.1, 0.2, 0.3]
    below = [0.1, np.nextafter(0.3, 0)]
    run = af.gradient_flow(case.net, case.X, case.y, t_end=0.3, record=af.Record(times=below))
    assert run.time.tolist() == [0.1, 0.3]
    with pytest.raises(ValueError, match=r"must end by t_end = 0.3, got 0.3001"):
        af.gradient_flow(case.net, case.X, case.y, t_end=0.3, record=af.Record(times=[0.1, 0.3001]))


def test_a_time_to_stop_at_within_rounding():
    case = simulated(n=9, d=3, m=20)
    assert 0.29 * 100 < 29
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=0.29, steps=200, record=QUIET, stop=af.Stop(time=29)
    )
    assert run.steps[-1] == 100


@pytest.mark.parametrize("seeds", [range(3), np.arange(3), [0, 1, 2], (0, 1, 2)])
@pytest.mark.parametrize("gamma", [1.0, [1.0, 0.5, 0.2]])
def test_every_sequence_of_seeds_draws_once_a_member(seeds, gamma):
    nets = af.Network.init(5, 7, gamma, 0.5, rng=seeds)
    for seed, net in enumerate(nets):
        assert (net.W == af.Network.init(5, 7, 1.0, rng=seed).W).all()


def test_every_sequence_of_seeds_keys_the_samplers_of_an_ensemble():
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    nets = af.Network.init(5, 7, 1.0, rng=[0, 0])
    for seeds in (range(2), np.arange(2)):
        run = af.sgd(nets, X, y, batch_size=5, epochs=1, rng=seeds)
        assert (
            run.config["sampler_keys"]
            == af.sgd(nets, X, y, batch_size=5, epochs=1, rng=[0, 1]).config["sampler_keys"]
        )


def test_what_is_no_seed_is_refused():
    with pytest.raises(TypeError, match=r"Network\.init: rng must be a seed"):
        af.Network.init(5, 7, 1.0, rng={1: 2})


def test_a_run_of_many_members_is_shown_in_one_line():
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    run = af.gradient_descent(af.Network.init(5, 7, 1.0, rng=range(100)), X, y, steps=1)
    assert len(repr(run)) < 120
    assert "of 100 members" in repr(run)


def test_the_package_lists_what_users_are_to_see():
    listed = [name for name in dir(af) if not name.startswith("__")]
    assert set(listed) <= set(af.__all__) | {"sklearn", "torch"}


def test_numbers_of_other_types_are_taken_where_nothing_is_lost():
    W, a, lam = [[1, 0], [0, 1], [1, 1]], [1, -1, 1], [1, 1, 2]
    net = af.Network(W, a, lam)
    assert net.dtype == np.float64
    assert (np.array(W, float) == net.W).all()
    X, y = [[1, 2], [3, -4]], [1, 0]
    exact = (np.array(X, float), np.array(y, float))
    assert net.loss(X, y) == net.loss(*exact)
    assert (net(np.array(X, np.float32)) == net(exact[0])).all()
    assert (net(np.array(X, ">f8")) == net(exact[0])).all()
    assert (net(np.array(X, np.int8)) == net(exact[0])).all()
    runs = [
        af.gradient_descent(net, *data, lr=0.1, steps=3, X_test=data[0], y_test=data[1])
        for data in ((X, y), exact)
    ]
    assert (runs[0].network.W == runs[1].network.W).all()
    for order in "<>":  # a byte order changes no dtype
        kind = np.dtype(f"{order}f4")
        single = af.Network(np.array(W, kind), np.array(a, kind), np.array(lam, kind))
        assert single(np.array(X, kind)).dtype == single.W.dtype == np.float32
        assert af.Network(np.array(W, kind), a, lam)(X).dtype == np.float32
    assert af.min_eigenvalue([[2, 1], [1, 2]]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (10**400, ValueError),
        (-(10**400), ValueError),
        (np.complex128(0.5), TypeError),
        (np.array(0.5 + 0j), TypeError),
        (np.ma.masked, TypeError),
        (np.ma.array([0.5], mask=[True]), TypeError),
        (np.ma.array(0.5), TypeError),
    ],
)
def test_what_is_no_number_or_none_that_can_be(value, error):
    for name in ("gamma", "alpha"):
        with pytest.raises(error, match=f"^node_scaling: {name} must be "):
            af.node_scaling(5, **{"gamma": 0.5, "alpha": 0.7, name: value})


def test_arrays_whose_numbers_would_change_or_be_lost_are_refused():
    net = af.Network(np.ones((2, 2)), np.ones(2), np.ones(2))
    rows = [np.ma.array([1.0, 2.0], mask=[True, False]), [3.0, 4.0]]
    with pytest.raises(TypeError, match="X must be a plain array, got a masked one"):
        net(rows)
    for X in ([[True, False]], [[None, 1.0]], np.array([[1.0, 2.0]], object)):
        with pytest.raises(
            TypeError, match=r"if these are numbers, pass np\.asarray\(X, 'float64'"
        ):
            net(X)
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(ValueError, match="node_scaling: weights must be finite"):
            af.node_scaling(2, 0.5, weights=np.array([1, "1e4000"], np.longdouble))
    with pytest.raises(MemoryError, match=r"node_scaling: needs .* for m = 4611686018427387904"):
        af.node_scaling(2**62, 1.0)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("exponent", [-450, -300, 250, 450])
def test_the_largest_stable_step_has_no_unit(exponent, layers):
    """Squares of the tangent matrix, or of its products, leave the range of float64."""
    case = problem(n=9, d=4, m=20, activation="identity", seed=3)
    steps = [
        case.net.stable_step(np.ldexp(case.X, power), layers=layers) for power in (0, exponent)
    ]
    assert np.ldexp(steps[1], 2 * exponent) == pytest.approx(steps[0], rel=1e-12)
    with pytest.raises(OverflowError, match="exceeds the range of float64"):
        case.net.stable_step(np.ldexp(case.X, 600), layers=layers)


@pytest.mark.parametrize("name", ["ntg", "eigmin", "weights", "eigmax", "top_nodes"])
def test_none_is_no_field_of_a_record_but_where_it_is_the_default(name):
    with pytest.raises(TypeError, match=f"Record: {name} must be .*, got None"):
        af.Record(**{name: None})
    with pytest.raises(TypeError, match="Stop: min_delta must be a real number, got None"):
        af.Stop(patience=1, min_delta=None)
    assert af.Record(every=None, ntg_on=None, accuracy=None) == af.Record()


@pytest.mark.parametrize(
    "copy_of", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_copies_of_a_network_are_immutable(copy_of):
    net = af.Network.init(3, 5, [0.5, 1.0], 0.7, rng=0)
    other = copy_of(net)
    assert all(
        (getattr(other, name) == getattr(net, name)).all()
        and not getattr(other, name).flags.writeable
        for name in ("W", "a", "lam", "gamma")
    )
    with pytest.raises(AttributeError, match="immutable"):
        other.W = net.W


@pytest.mark.parametrize("a", [np.ones(4), np.ones((4, 2)), np.ones((2, 4))])
def test_pickles_of_0_1_are_networks(a):
    """They have no sizes, no bias, and arrays that could be written to."""
    W = np.ones((2, 4, 3) if a.shape == (2, 4) else (4, 3))
    lam = np.full(W.shape[:-1], 0.25)
    state = {"activation": "relu", "gamma": 1.0, "alpha": None, "_frozen": True, "_lam64": lam}
    old = object.__new__(af.Network)
    old.__setstate__({"W": W, "a": a, "lam": lam} | state)
    net = af.Network(W, a, lam, activation="relu", gamma=1.0)
    assert repr(old) == repr(net)
    assert vars(old).keys() == vars(net).keys()
    np.testing.assert_array_equal(old(np.ones((5, 3))), net(np.ones((5, 3))))


def test_classes_of_ones_own_can_be_trained():
    """Their constructors take what they like: a run has plain networks, and so has a stack."""

    class Own(af.Network):
        def __init__(self):
            super().__init__(np.ones((4, 3)), np.ones(4), np.full(4, 0.25))

    run = af.gradient_descent(Own(), np.ones((5, 3)), np.ones(5), steps=2)
    assert type(run.network) is type(Own().with_weights(np.zeros((4, 3)))) is af.Network
    part = af.mpi.NetworkPart(np.ones((2, 3)), np.ones(2), np.ones(2), first=5, total=7)
    assert type(part.with_weights(part.W)) is af.mpi.NetworkPart
    assert type(af.Network.stack([part, part])) is af.Network


def test_sizes_that_no_memory_holds():
    for call in (
        lambda: af.datasets.simulated(n=2**62, d=2**62),
        lambda: af.Network.init(2**61, 3, 1.0),
        lambda: af.Network.init(2, 3, 1.0, bias=True)(np.broadcast_to(1.0, (2**58, 2))),
    ):
        with pytest.raises(MemoryError, match=r"needs .* GB for"):
            call()
    X, y = af.datasets.simulated(n=5, d=3, rng=0)
    for record in (None, af.Record(log=5)):
        with pytest.raises(ValueError, match="gradient_flow: t_end must be at least 1e-300"):
            af.gradient_flow(af.Network.init(3, 5, 1.0), X, y, t_end=5e-324, record=record)
    with pytest.raises(
        TypeError, match=r"Network\.stack: nets must be a sequence of networks, got 3"
    ):
        af.Network.stack(3)


def test_a_double_is_never_rounded_silently():
    net = af.Network(np.ones((3, 2), np.float32), np.ones(3, np.float32), np.ones(3))
    with pytest.raises(TypeError, match=r"got float64; to accept the rounding, pass X\.astype"):
        net(np.ones((4, 2)))


@pytest.mark.parametrize("state", ["raise", "ignore"])
def test_no_result_depends_on_the_error_state_of_numpy(state):
    """Where numbers underflow: late nodes of a small alpha, rates of a long time, small targets."""

    def numbers():
        X, y = af.datasets.simulated(n=20, d=5, rng=0)
        net = af.Network.init(5, 300, 0.0, 0.01, rng=0, dtype="float64")
        single = af.Network.init(5, 300, 0.0, 0.02, rng=0, dtype="float32")
        run = af.gradient_descent(net, X, 1e-200 * y, lr=0.1, steps=20)
        small = af.gradient_descent(single, np.float32(X), np.float32(1e-30 * y), lr=0.1, steps=9)
        lazy = af.linearised_flow(net, X, y, t=[1.0, 1e3, 1e9])
        return [
            af.node_scaling(10**5, 0.0, 0.01),
            run.loss,
            run.network.W,
            small.network.W,
            lazy.loss,
            lazy.f,
            net.node_importance(),
            net.ntg(X),
            single.features(np.float32(X)),
            af.pruning_curve(net, X, y).loss,
            af.limiting_ntg(X, 0.5, 0.01, "swish", 0),
            af.min_eigenvalue(1e-300 * np.eye(3)),
        ]

    plain = numbers()
    with np.errstate(all=state):
        again = numbers()
    for one, two in zip(plain, again, strict=True):
        assert np.array_equal(one, two)
