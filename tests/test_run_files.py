"""Run.save and Run.load: every bit comes back, nothing is pickled, foreign files are refused."""

from __future__ import annotations

import json

import asymfast as af
import numpy as np
import pytest
from asymfast._storage import read_npz, save_npz
from cases import as_float32, assert_same_bits, assert_same_run, run_arrays, simulated

FULL = af.Record(every=5, weights=True)
BARE = af.Record(every=5, ntg=False, eigmin=False)


def single(record=FULL, **settings):
    case = simulated()
    return af.gradient_descent(case.net, case.X, case.y, steps=12, record=record, **settings)


def single_float32():
    case = as_float32(simulated())
    test = {"X_test": case.X, "y_test": case.y}
    return af.gradient_descent(case.net, case.X, case.y, steps=12, record=FULL, **test)


def ensemble():
    cases = [simulated(seed=seed) for seed in range(3)]
    stack = af.Network.stack([case.net for case in cases])
    return af.gradient_flow(stack, cases[0].X, cases[0].y, t_end=3.0, dt=0.5, record=FULL)


def several_outputs():
    case = simulated(outputs=3, loss="cross_entropy", activation="tanh")
    record = af.Record(steps=[0, 2], ntg_on=[1, 4])
    return af.gradient_descent(
        case.net, case.X, case.y, steps=3, loss="cross_entropy", record=record
    )


def stopped():
    return single(callback=lambda now: now.step < 5)


def one_diverged():
    """Of the nodes that moved most, a diverged member has none: -1."""
    case = simulated(activation="identity")
    wild = case.net.with_weights(50 * case.net.W, 30 * case.net.a)
    stack = af.Network.stack([case.net, wild])
    record = af.Record(every=20, top_nodes=2)
    settings = {"lr": 0.05, "steps": 200, "on_divergence": "keep", "record": record}
    run = af.gradient_descent(stack, case.X, case.y, **settings)
    assert run.diverged.tolist() == [False, True]
    assert (run.top_nodes == -1).any()
    return run


def beyond_squares(W, X, y):
    """Weights or moves whose squares leave the range of float64, by factors of the three."""
    case = simulated(activation="identity")
    net = case.net.with_weights(W * case.net.W)
    return af.gradient_descent(net, X * case.X, y * case.y, lr=0.1, steps=3)


MAKERS = (
    *(single, single_float32, ensemble, several_outputs, stopped, one_diverged),
    lambda: single(BARE),
    lambda: beyond_squares(1, 1e-100, 1e100),
    lambda: beyond_squares(1e-200, 1, 0),
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.strip("<>"))
def test_round_trip(make, tmp_path):
    run = make()
    path = tmp_path / "run.npz"
    run.save(path)
    back = af.Run.load(path)
    assert_same_run(run_arrays(back), run_arrays(run))
    assert back.config == run.config == json.loads(json.dumps(run.config))
    for name in ("network", "initial"):
        one, other = getattr(back, name), getattr(run, name)
        for part in ("W", "a", "lam"):
            assert_same_bits(getattr(one, part), getattr(other, part))
        assert one.activation == other.activation
        assert np.array_equal(one.gamma, other.gamma)
        assert np.array_equal(one.alpha, other.alpha)


def test_the_part_of_a_rank_round_trip(tmp_path):
    """Late nodes of a small alpha have lam = 0, which no whole network has."""
    case = simulated()
    part = af.mpi.NetworkPart(
        case.net.W, case.net.a, np.zeros(case.net.m), first=3, total=case.net.m + 5
    )
    run = af.gradient_descent(part, case.X, case.y, lr=1.0, steps=2)
    run.save(tmp_path / "run.npz")
    back = af.Run.load(tmp_path / "run.npz")
    assert_same_run(run_arrays(back), run_arrays(run))
    for net in (back.network, back.initial):
        assert (type(net), net.first, net.total) == (af.mpi.NetworkPart, 3, case.net.m + 5)


def test_a_part_lies_within_its_network():
    case = simulated()
    arrays = case.net.W, case.net.a, case.net.lam
    m = case.net.m
    with pytest.raises(ValueError, match=rf"total must be at least first \+ m = {m + 3}, got {m}"):
        af.mpi.NetworkPart(*arrays, first=3, total=m)


def test_diverged_run_round_trip(tmp_path):
    case = simulated(activation="identity")
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(case.net, case.X, case.y, lr=1e6, steps=500, record=BARE)
    caught.value.run.save(tmp_path / "run.npz")
    back = af.Run.load(tmp_path / "run.npz")
    assert back.diverged
    assert_same_run(run_arrays(back), run_arrays(caught.value.run))


def test_file_is_one_npz_without_pickle(tmp_path):
    single().save(tmp_path / "run.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        for name in file.files:
            assert file[name].dtype != object


def test_text_path(tmp_path):
    path = str(tmp_path / "run.npz")
    single(BARE).save(path)
    assert af.Run.load(path).steps[-1] == 12


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_file_is_refused(share, tmp_path):
    path = tmp_path / "run.npz"
    single().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"run\.npz"):
        af.Run.load(path)


def test_foreign_files_are_refused(tmp_path):
    text, arrays = tmp_path / "notes.txt", tmp_path / "arrays.npz"
    text.write_text("loss = 3\n")
    np.savez(arrays, loss=np.ones(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, steps=np.array([{}], dtype=object))
    for path in (text, arrays, pickled):
        with pytest.raises(ValueError, match=path.name):
            af.Run.load(path)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Arrays and header of a file, and the arrays of a run of another seed."""
    return [stored(seed, tmp_path_factory.mktemp("run") / "run.npz") for seed in (1, 2)]


def stored(seed, path):
    case = simulated(seed=seed)
    y = np.stack([case.y, -case.y], axis=1)
    record = af.Record(every=5, weights=True, top_nodes=2, accuracy=True)
    net = af.Network.init(case.net.d, case.net.m, 0.5, 0.7, outputs=2, rng=seed)
    settings = {"lr": 0.1, "steps": 12, "record": record, "X_test": case.X, "y_test": y}
    settings["train_output"] = True
    af.gradient_descent(net, case.X, y, **settings).save(path)
    arrays = read_npz(path)
    return arrays, json.loads(str(arrays.pop("header")))


def first_is(value):
    return lambda values: np.r_[value, values[1:]].astype(values.dtype)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        *((name, None, "its weight_change is not") for name in ("W", "W0")),
        ("weight_change", lambda values: 2 * values, "its weight_change is not"),
        ("W0", lambda values: 1e300 * values, "its weight_change is not"),
        ("header", {"train_output": False}, "its output weights have changed"),
        ("weights", None, "its weights do not end"),
        ("output_weights", lambda values: 2 * values, "its output_weights do not end"),
        *(
            (name, lambda values: -values, f"its {name} must be >= 0")
            for name in ("steps", "time", "evaluations", "loss", "test_loss", "weight_change")
        ),
        ("ntg_change", lambda values: -values, "its ntg_change must be >= 0"),
        *(
            (name, lambda values: values[::-1], f"its {name} must be >= 0 and increase")
            for name in ("steps", "time", "evaluations")
        ),
        ("time", first_is(np.nan), "its time must be >= 0 and increase"),
        *((name, first_is(np.nan), f"its {name} must be a num") for name in ("loss", "test_loss")),
        (
            "weights",
            lambda values: np.where(np.arange(len(values)) == 0, np.nan, values.T).T,
            "its weights must be a number",
        ),
        *((name, lambda values: 2 * values, "its time must be lr") for name in ("time", "steps")),
        ("top_nodes", lambda values: values + 1000, "its top_nodes must be nodes"),
        *(
            (name, lambda v: v + 1, f"its {name} must be in")
            for name in ("accuracy", "test_accuracy")
        ),
        ("gamma", lambda values: values / 2, "its network has gamma"),
        ("header", {"lr": 0.2}, "its time must be lr"),
        ("header", {"d": 1}, "its network has d"),
        ("header", {"m": "all"}, "its network has m"),
        ("header", {"activation": "relu"}, "its network has activation"),
        ("header", {"dtype": "float32"}, "its network has dtype"),
        ("header", {"alpha": None}, "its network has alpha"),
        ("header", {"best_record": 17}, "its best_record must be a record"),
        ("header", {"best_record": [0, 1]}, "its best_record must be a record"),
    ],
)
def test_a_file_of_two_runs_is_refused(content, name, change, said, tmp_path):
    """Arrays or settings that are another run's; the file itself is sound."""
    (arrays, header), (others, _) = content
    if name == "header":
        header = {**header, "config": {**header["config"], **change}}
    else:
        arrays = {**arrays, name: change(arrays[name]) if change else others[name]}
    save_npz(tmp_path / "run.npz", arrays, header)
    with pytest.raises(ValueError, match=rf"run\.npz is not a file of Run\.save: {said}"):
        af.Run.load(tmp_path / "run.npz")


def test_a_changed_number_is_noticed(content, tmp_path):
    """Even one that contradicts nothing: the header has a digest of all arrays and settings."""
    arrays, header = content[0]
    for name, values in arrays.items():
        changed = values.copy()
        changed.reshape(-1).view(np.uint8)[0] ^= 1  # the last bit of the first number
        entries = {**arrays, name: changed, "header": json.dumps(header)}
        np.savez(tmp_path / "run.npz", **entries)
        with pytest.raises(ValueError, match=r"is not a file of Run\.save: "):
            af.Run.load(tmp_path / "run.npz")
    settings = {**header["config"], "rtol": 1e-3}
    np.savez(tmp_path / "run.npz", **arrays, header=json.dumps({**header, "config": settings}))
    with pytest.raises(ValueError, match="its arrays or settings were changed after it was"):
        af.Run.load(tmp_path / "run.npz")
    np.savez(tmp_path / "run.npz", **arrays, header=json.dumps(header))
    assert len(af.Run.load(tmp_path / "run.npz").loss) == len(arrays["loss"])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        af.Run.load(tmp_path / "none.npz")


def test_to_xarray():
    pytest.importorskip("xarray")
    run = single()
    data = run.to_xarray()
    assert data.sizes["record"] == len(run.steps)
    assert data.sizes["node"] == 65
    for name in ("loss", "weight_change", "ntg_change", "ntg_eigmin"):
        assert_same_bits(data[name].to_numpy(), getattr(run, name))
    many = ensemble()
    assert many.to_xarray()["weight_change"].dims == ("record", "member", "node")
    assert "ntg_change" not in single(BARE).to_xarray()


# ---- grids


def test_a_grid_trains_gamma_1_once_and_gives_its_axes_back():
    pytest.importorskip("xarray")
    X, y = af.datasets.simulated(n=12, d=4, rng=0)
    grid = af.grid(4, 9, gamma=[0.5, 1.0], alpha=[0.3, 0.6, 0.9], seeds=[7, 3], activation="tanh")
    assert grid.network.B == 3 * 2 + 2
    run = af.gradient_descent(grid.network, X, y, lr=0.1, steps=4, record=af.Record(every=2))
    table = grid.to_xarray(run)
    assert table.loss.dims == ("record", "gamma", "alpha", "seed")
    assert dict(table.weight_change.sizes) == {
        "record": 3, "gamma": 2, "alpha": 3, "seed": 2, "node": 9
    }  # fmt: skip
    for gamma in (0.5, 1.0):
        for alpha in (0.3, 0.9):
            for seed in (7, 3):
                net = af.Network.init(4, 9, gamma, alpha, "tanh", rng=seed)
                one = af.gradient_descent(net, X, y, lr=0.1, steps=4, record=af.Record(every=2))
                found = table.loss.sel(gamma=gamma, alpha=alpha, seed=seed)
                np.testing.assert_array_equal(found, one.loss)


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ({"gamma": []}, TypeError, "grid: gamma must be a non-empty sequence of real numbers"),
        ({"gamma": 0.5}, TypeError, "grid: gamma must be a non-empty sequence"),
        ({"alpha": [0.5, 0.5]}, ValueError, r"grid: alpha must not repeat a value, got \[0.5, 0.5"),
        ({"gamma": [2.0]}, ValueError, r"gamma must be in \[0, 1\], got 2"),
        ({"seeds": 0}, ValueError, "grid: seeds must be at least 1, got 0"),
        ({"seeds": [0.5]}, TypeError, "grid: seeds must be a non-empty sequence of integers"),
        ({"seeds": [-1]}, ValueError, "rng must be a seed >= 0"),
    ],
)
def test_grids_check_their_axes(axes, error, message):
    with pytest.raises(error, match=message):
        af.grid(3, 5, **{"gamma": [0.5], "alpha": [0.5], "seeds": 1, **axes})


def test_a_run_of_another_grid_is_refused():
    X, y = af.datasets.simulated(n=12, d=4, rng=0)
    grid = af.grid(4, 9, gamma=[0.5], alpha=[0.3], seeds=2)
    run = af.gradient_descent(af.Network.init(4, 9, 1.0, rng=0), X, y, steps=1)
    with pytest.raises(ValueError, match="run must be of the grid's 2 members, got one of None"):
        grid.to_xarray(run)
    with pytest.raises(TypeError, match=r"Grid\.to_xarray: run must be a Run, got str"):
        grid.to_xarray("run")
