"""What a sweep is told to do: grids, the checks before anything runs, names of parameters."""

from __future__ import annotations

import inspect
import os

import asymfast as af
import msgspec
import numpy as np
import pytest
from asymfast.study.config import TRAINERS, configs_of, flat, nested, parse, sections
from asymfast.study.load import short, varying
from asymfast.study.runner import planned
from asymfast.study.store import Store
from asymfast.study.train import Places

CONFIG = {
    "data": {"name": "simulated", "n": 9, "d": 3},
    "network": {"m": 7, "gamma": 0.5, "alpha": 0.7},
    "train": {"trainer": "gradient_descent", "steps": 10},
}


def changed(**values):
    """The config with some parameters, as `network__m`, set, or taken away by None."""
    table = {**flat(CONFIG), **{name.replace("__", "."): value for name, value in values.items()}}
    return nested({name: value for name, value in table.items() if value is not None})


# --- Checks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train__stpes": 3}, r"unknown key train\.stpes; did you mean steps\?"),
        ({"network__gama": 3}, r"unknown key network\.gama; did you mean gamma\?"),
        ({"record__evry": 3}, r"unknown key record\.evry; did you mean every\?"),
        ({"stop__los": 3}, r"unknown key stop\.los; did you mean loss\?"),
        ({"data__split_seed": 3}, r"unknown key data\.split_seed; only concrete, .* has that"),
        ({"netwrok__m": 3}, r"unknown key 'netwrok'; did you mean network\?"),
        ({"lr": 3}, r"unknown key 'lr'; did you mean train\.lr\?"),
        ({"network__lr": 3}, r"unknown key network\.lr; did you mean train\.lr\?"),
        ({"train__xyzzy": 3}, r"unknown key train\.xyzzy; known are trainer, steps, lr"),
        ({"train__threads": 3}, r"unknown key train\.threads"),
        ({"train__checkpoint": "x"}, r"unknown key train\.checkpoint"),
        ({"record__folder": "x"}, r"unknown key record\.folder"),
        ({"train__epochs": 3}, r"unknown key train\.epochs; only sgd has that"),
        ({"train__steps": None}, r"train\.steps is missing"),
        ({"network__m": None}, r"network\.m is missing"),
        ({"network__gamma": None}, r"network\.gamma is missing"),
        ({"train__trainer": None}, "train must have a trainer: one of gradient_descent, gradient"),
        ({"train__trainer": "sdg"}, r"must be one of .* got 'sdg'; did you mean sgd\?"),
        ({"train__trainer": 3}, "got 3"),
        ({"data__name": None}, "data must have a name: one of simulated, concrete"),
        ({"data__name": "conrete"}, r"got 'conrete'; did you mean concrete\?"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer, got 0.5"),
        ({"data__seed": -1}, r"data\.seed must be at least 0"),
        ({"data__n": 0}, "n must be at least 1, got 0"),
        ({"data__n_test": -1}, "n_test must be at least 0"),
        ({"network__seed": "x"}, r"network\.seed must be an integer.*, got 'x'"),
        ({"network__m": 0}, r"m must be at least 1, got 0"),
        ({"network__gamma": 1.5}, r"gamma must be in \[0, 1\], got 1.5"),
        ({"network__alpha": None}, "gamma < 1 needs alpha"),
        ({"network__activation": "swich"}, "activation must be one of swish"),
        ({"network__dtype": "float16"}, "dtype must be one of float64, float32, got 'float16'"),
        ({"train__lr": 0}, r"lr must be in \(0"),
        ({"train__lr": "fast"}, "lr must be .*, got 'fast'"),
        ({"train__steps": 0}, "steps must be at least 1"),
        ({"train__loss": "mae"}, "loss must be one of half_sse"),
        ({"train__loss": "cross_entropy"}, "needs a network with k >= 2"),
        ({"train__device": "tpu"}, "device must be one of"),
        ({"train__max_memory": 3}, "max_memory must be at least"),
        ({"network__activation": 10**5000}, "must be text, got a value of type int"),
        ({"record__every": 0}, "every must be at least 1"),
        ({"record__ntg_on": 10}, "ntg_on must be at most n = 9"),
        ({"record__top_nodes": 8}, "top_nodes must be at most m = 7"),
        ({"record__steps": [11]}, "record.steps"),
        ({"stop__time": 0}, r"Stop: time must be in \(0"),
        ({"data__n": {"x": 1}}, "n must be an integer"),
        ({"network": 3}, "is given twice, or is a table in one place only"),
    ],
)
def test_bad_configs_are_refused_before_anything_runs(values, message, tmp_path):
    configs = [CONFIG, {**CONFIG, **values} if "network" in values else changed(**values)]
    if "network" in values:
        configs[1]["network.m"] = 3
    with pytest.raises(af.ConfigError, match=message) as error:
        af.sweep(configs, out=tmp_path / "out")
    assert str(error.value).startswith("sweep: config 1 of 2: ")
    assert not (tmp_path / "out").exists()


def test_a_run_without_room_is_refused_before_anything_runs(tmp_path):
    configs = [CONFIG, changed(train__steps=2**53, record__every=1)]
    with pytest.raises(MemoryError, match="config 1 of 2: gradient_descent: needs"):
        af.sweep(configs, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sgd_and_flow_are_checked(tmp_path):
    sgd = changed(train__trainer="sgd", train__steps=None, train__lr=0.1, train__epochs=2)
    with pytest.raises(af.ConfigError, match=r"train\.batch_size is missing"):
        af.sweep([sgd], out=tmp_path / "out")
    sgd["train"]["batch_size"] = 10
    with pytest.raises(af.ConfigError, match="batch_size must be at most n = 9"):
        af.sweep([sgd], out=tmp_path / "out")
    flow = changed(train__trainer="gradient_flow", train__steps=None)
    with pytest.raises(af.ConfigError, match=r"train\.t_end is missing"):
        af.sweep([flow], out=tmp_path / "out")
    flow["train"] |= {"t_end": 1.0, "method": "euler"}
    with pytest.raises(af.ConfigError, match="method must be one of auto"):
        af.sweep([flow], out=tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "must hold at least one configuration"),
        ([3], "a configuration must be a mapping, got int"),
        ({"data": {}}, "unknown key 'data'; .* a single configuration must be in a list"),
        ({"grid": {"seed": 3}}, r"grid\.seed must be a list of values, got 3"),
        ({"grid": {"seed": []}}, r"grid\.seed must be a list of values, got \[\]"),
        ({"grid": {"network": [{"m": 3}]}}, "tables go to variants"),
        ({"grid": {"a.b": [1]}, "variants": [{"a": {"b": 2}}]}, r"a\.b is in both"),
        ({"variants": []}, "variants must be a list of tables"),
        ({"runs": {"seed": 1}}, "runs must be a list, got {'seed': 1}"),
        ({"runs": [1]}, r"runs\[0\] must be a table"),
        ({"base": [1]}, "base must be a table"),
        ({"base": {"a.b": 1, "a": {"b": 2}}}, "b is given twice"),
        ({"base": {"seed": float("nan")}}, "must be finite"),
    ],
)
def test_bad_grids(source, message, tmp_path):
    with pytest.raises(af.ConfigError, match=message):
        af.sweep(source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_client_that_is_none(tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client or the address"):
        af.sweep([CONFIG], out=tmp_path / "out", client=3)


def test_bad_arguments(tmp_path):
    for wrong, error, message in (
        ({"jobs": 0}, ValueError, "jobs must be at least 1"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"retries": -1}, ValueError, "retries must be at least 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be in"),
        ({"progress": 3}, TypeError, "progress must be True, False or callable"),
    ):
        with pytest.raises(error, match=message):
            af.sweep([CONFIG], out=tmp_path / "out", **wrong)
    with pytest.raises(
        TypeError, match="configs must be a list of configurations, a grid, or the path"
    ):
        af.sweep(3, out=tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        af.sweep(tmp_path / "none.toml", out=tmp_path / "out")
    (tmp_path / "bad.toml").write_text("[base")
    with pytest.raises(af.ConfigError, match=r"bad\.toml: not a TOML file"):
        af.sweep(tmp_path / "bad.toml", out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("runs/*"))


# --- Grids ---------------------------------------------------------------------------------------

GRID = """
[base]
data = { name = "simulated", n = 9, d = 3 }
network.m = 7
train = { trainer = "gradient_descent", steps = 10 }
[grid]
seed = [0, 1, 2]
train.lr = [0.5, 0.25]
[[variants]]
network = { gamma = 1.0 }
[[variants]]
network = { gamma = 0.5, alpha = 0.7 }
[[runs]]
network = { gamma = 0.0, alpha = 0.4, m = 8 }
"""


def test_grid_multiplies_out(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    configs = configs_of(tmp_path / "grid.toml")
    expected = []
    for gamma, alpha in ((1.0, None), (0.5, 0.7)):
        for seed in (0, 1, 2):
            for lr in (0.5, 0.25):
                one = changed(network__gamma=gamma, network__alpha=alpha, train__lr=lr)
                expected.append({"seed": seed, **one})
    last = changed(network__gamma=0.0, network__alpha=0.4, network__m=8)
    assert configs == [*expected, last]


def test_parts_of_a_grid():
    assert configs_of({"base": {"seed": 1}}) == [{"seed": 1}]
    assert configs_of({"grid": {"a.b": [1, 2]}}) == [{"a": {"b": 1}}, {"a": {"b": 2}}]
    assert configs_of({"runs": [{"seed": 1}, {"a.b": 2}]}) == [{"seed": 1}, {"a": {"b": 2}}]
    lists = configs_of({"base": {"record": {"times": [1.0]}}, "grid": {"record.times": [[0, 1]]}})
    assert lists == [{"record": {"times": [0, 1]}}]
    over = configs_of({"base": {"a": {"b": 1, "c": 2}}, "variants": [{"a": {"b": 3}}]})
    assert over == [{"a": {"b": 3, "c": 2}}]
    one, other = configs_of({"base": {"a": {"b": 1}}, "grid": {"a.b": [2, 3]}})
    assert one["a"] is not other["a"]
    with pytest.raises(af.ConfigError, match="is a table in one place only"):
        configs_of({"base": {"a": {"b": 1}}, "grid": {"a": [1]}})


# --- What is equal, and how it is called ----------------------------------------------------------


def test_equal_runs_are_computed_once():
    """Whatever is left out, and however it is spelled."""
    same = [
        CONFIG,
        {**CONFIG, "seed": 0, "record": {}, "stop": {}},
        {**CONFIG, "record": {"every": None, "ntg": True}},
        {**CONFIG, "network.seed": None},
        changed(network__m=np.int32(7), network__dtype="float64", data__noise=1),
    ]
    plan = planned(same, None)
    ((key, config),) = plan.configs.items()
    assert key == Store.key(CONFIG)
    assert config.table() == CONFIG
    assert plan.labels == {key: ""}


def test_parameters_without_effect_make_no_run_of_their_own():
    """alpha where gamma is 1; a seed that everything random has of its own."""
    grid = {
        "base": CONFIG,
        "grid": {"network.gamma": [1.0, 0.5], "network.alpha": [0.4, 0.5, 0.7]},
    }
    tables = [config.table()["network"] for config in planned(grid, None).configs.values()]
    assert [(t["gamma"], t.get("alpha")) for t in tables] == [
        (1.0, None),
        (0.5, 0.4),
        (0.5, 0.5),
        (0.5, 0.7),
    ]
    fixed = {**changed(network__seed=3, data__seed=4)}
    assert len(planned({"base": fixed, "grid": {"seed": [0, 1, 2]}}, None).configs) == 1
    assert len(planned({"base": CONFIG, "grid": {"seed": [0, 1, 2]}}, None).configs) == 3
    sgd = {"trainer": "sgd", "lr": 0.1, "batch_size": 3, "epochs": 1}
    random = {"base": {**fixed, "train": sgd}, "grid": {"seed": [0, 1, 2]}}
    assert len(planned(random, None).configs) == 3


def test_defaults_are_those_of_the_functions():
    """A configuration that spells out all defaults is the same run."""
    for trainer, given in (
        ("gradient_descent", {"steps": 3}),
        ("gradient_flow", {"t_end": 2.0}),
        ("sgd", {"lr": 0.5, "batch_size": 4, "epochs": 1}),
    ):
        config = {**CONFIG, "train": {"trainer": trainer, **given}}
        parsed = parse(config)
        full = msgspec.to_builtins(parsed)
        assert len(flat(full)) > 20 + len(flat(config))
        assert parse(full).table() == parsed.table() == config
        one, other = af.train_config(full), af.train_config(config)
        np.testing.assert_array_equal(one.network.W, other.network.W)


def test_keywords_of_the_api_are_all_known():
    """Those that a configuration cannot have are those that the sweep sets itself."""
    known = sections()
    for trainer, function in TRAINERS.items():
        assert set(inspect.signature(function).parameters) - set(known["train"][trainer]) <= {
            *("net", "X", "y", "X_test", "y_test", "record", "stop", "threads", "progress"),
            *("callback", "checkpoint", "checkpoint_every", "comm", "on_divergence"),
        }
    init = set(inspect.signature(af.Network.init).parameters)
    assert init - set(known["network"][""]) <= {"d", "outputs", "rng", "weights", "scaling_weights"}
    assert set(inspect.signature(af.Record).parameters) - {*known["record"][""]} == {"folder"}
    assert set(inspect.signature(af.Stop).parameters) == {*known["stop"][""]}


def test_labels_tell_runs_apart():
    plan = planned({"base": CONFIG, "grid": {"seed": [0, 1], "train.lr": [1.0, 0.5]}}, None)
    assert list(plan.labels.values()) == [
        *("seed=0 lr=1.0", "seed=0 lr=0.5", "seed=1 lr=1.0", "seed=1 lr=0.5")
    ]


def test_names_of_parameters_are_unique():
    """Among themselves, and among what a record has."""
    names = {"seed"}
    for section, kinds in sections().items():
        names |= {f"{section}.{key}" for keys in kinds.values() for key in keys}
    shorts = [short(name) for name in names]
    assert len(set(shorts)) == len(names)
    run = af.train_config(CONFIG)
    taken = {*run.columns(), *("step", "time", "key", "run", "record", "node", "diverged")}
    taken |= {"seconds", "member", "input", "output", "sample", "rank", "top_nodes", "ntg_eigmax"}
    assert not taken & set(shorts)
    assert short("network.gamma") == "gamma"
    assert short("train.lr") == "lr"
    assert short("network.m") == "m"
    assert short("data.seed") == "data_seed"


def test_varying():
    assert varying([{"a": 1, "b": 2}, {"a": 1.0, "b": 3}]) == ["b"]
    assert varying([{"a": 1}, {}]) == ["a"]
    assert varying([{"a": [1, 2]}, {"a": [1, 3]}]) == ["a"]


# --- Data -----------------------------------------------------------------------------------------


def test_simulated_data_and_network_are_those_documented():
    config = {**CONFIG, "seed": 5, "data": {"name": "simulated", "n": 9, "d": 3, "n_test": 4}}
    run = af.train_config(config)
    X, y = af.datasets.simulated(9, 3, rng=5)
    X_test, y_test = af.datasets.simulated(4, 3, rng=[5, 3])
    net = af.Network.init(3, 7, 0.5, 0.7, rng=np.random.default_rng([5, 1]))
    expected = af.gradient_descent(net, X, y, steps=10, X_test=X_test, y_test=y_test)
    np.testing.assert_array_equal(run.network.W, expected.network.W)
    np.testing.assert_array_equal(run.test_loss, expected.test_loss)


def test_integers_are_labels_only_of_classes(tmp_path):
    """Counts, say, are targets of a regression like any others."""
    X, y = af.datasets.simulated(9, 3, rng=0)
    counts = np.rint(3 * y).astype(int)
    np.savez(tmp_path / "own.npz", X=X, y=counts)
    config = {**CONFIG, "data": {"name": "npz", "path": "own.npz"}}
    run = af.train_config(config, data_dir=tmp_path)
    np.savez(tmp_path / "own.npz", X=X, y=counts.astype(float))
    expected = af.train_config(config, data_dir=tmp_path)
    np.testing.assert_array_equal(run.network.W, expected.network.W)


@pytest.mark.parametrize(
    ("arrays", "n_test", "message"),
    [
        ({"x_train": np.ones((4, 3))}, None, "must hold the arrays X and y, .*, got X, x_train, y"),
        ({"X": np.ones(4)}, None, r"X in .*own\.npz must have shape \(n, d\), got \(4,\)"),
        ({"X": np.ones((2, 4, 3))}, None, r"X in .* must have shape \(n, d\), got \(2, 4, 3\)"),
        ({"X": np.float64(1)}, None, r"X in .* must have shape \(n, d\), got \(\)"),
        ({"y": np.zeros(0, int)}, None, r"y in .* must have shape \(n,\) or \(n, k\), got \(0,\)"),
        ({}, 2, r"data\.n_test needs X_test and y_test in .*own\.npz"),
    ],
)
def test_arrays_of_other_shapes_and_names_are_refused(arrays, n_test, message, tmp_path):
    np.savez(tmp_path / "own.npz", **{"X": np.ones((4, 3)), "y": np.ones(4), **arrays})
    data = {"name": "npz", "path": "own.npz", "n_test": n_test}
    with pytest.raises(af.ConfigError, match=f"config 0 of 1: sweep: .*{message}"):
        planned([{**CONFIG, "data": data}], tmp_path)


def test_own_files(tmp_path):
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((12, 3)), rng.integers(0, 4, 12)
    np.savez(tmp_path / "own.npz", X=X, y=labels, X_test=X[:2], y_test=labels[:2])
    config = {
        "data": {"name": "npz", "path": "own.npz"},
        "network": {"m": 7, "gamma": 1, "dtype": "float32"},
        "train": {"trainer": "gradient_descent", "steps": 3, "loss": "cross_entropy"},
    }
    (one,) = planned([config], tmp_path).configs.values()
    run = af.train_config(one.table(), data_dir=tmp_path)
    assert run.network.k == 4
    assert run.network.dtype == np.float32
    assert run.test_accuracy is not None
    np.savez(tmp_path / "own.npz", X=X, y=labels)
    (other,) = planned([config], tmp_path).configs.values()
    assert Store.key(one.table()) != Store.key(other.table())
    with pytest.raises(ValueError, match="has changed since the configuration was made"):
        af.train_config(one.table(), data_dir=tmp_path)
    with pytest.raises(af.ConfigError, match="has changed: its SHA-256 is"):
        planned([one], tmp_path)
    np.savez(tmp_path / "own.npz", X=X)
    with pytest.raises(af.ConfigError, match="must hold the arrays X and y"):
        planned([config], tmp_path)
    with pytest.raises(FileNotFoundError):
        planned([config], tmp_path / "elsewhere")
    np.savetxt(
        tmp_path / "own.csv", np.c_[X, X @ [1, 2, 3]], delimiter=",", header="a,b,c,t", comments=""
    )
    config["data"] = {"name": "csv", "path": "own.csv", "target": "t"}
    config["train"]["loss"] = "mse"
    (one,) = planned([config], tmp_path).configs.values()
    run = af.train_config(one.table(), data_dir=tmp_path)
    assert (run.config["n"], run.network.d) == (10, 3)
    assert run.test_loss is not None
    config["data"]["target"] = "z"
    with pytest.raises(af.ConfigError, match="has no column 'z'"):
        planned([config], tmp_path)


def test_real_data(data_dir):
    config = {**CONFIG, "data": {"name": "concrete", "n": 50, "n_test": 0}}
    run = af.train_config({**config, "train.lr": 0.01}, data_dir=data_dir)
    X, y = (
        getattr(af.datasets.load("concrete", data_dir), name) for name in ("X_train", "y_train")
    )
    net = af.Network.init(8, 7, 0.5, 0.7, rng=np.random.default_rng([0, 1]))
    expected = af.gradient_descent(net, X[:50], y[:50], steps=10, lr=0.01)
    np.testing.assert_array_equal(run.loss, expected.loss)
    assert run.test_loss is None
    config["data"]["n"] = 413
    with pytest.raises(af.ConfigError, match=r"data\.n must be at most 412, got 413"):
        planned([config], data_dir)


@pytest.mark.parametrize("path", [[], 1, "", "a\0b"])
def test_an_invalid_path_is_refused(path):
    config = {
        "data": {"name": "npz", "path": path},
        "network": {"m": 3, "gamma": 0.5, "alpha": 0.5},
        "train": {"trainer": "gradient_descent", "lr": 0.1, "steps": 1},
    }
    for run in (af.train_config, lambda config: af.sweep([config], out="never made")):
        with pytest.raises(af.ConfigError, match=r"data\.path must be (the path|text).*, got"):
            run(config)


def csv_config(path, **data):
    return {
        "data": {"name": "csv", "path": str(path), "target": "t", **data},
        "network": {"m": 5, "gamma": 1.0},
        "train": {"trainer": "gradient_descent", "lr": 0.1, "steps": 2, "loss": "mse"},
    }


def write_csv(path, seed):
    rng = np.random.default_rng(seed)
    np.savetxt(path, rng.standard_normal((12, 4)), delimiter=",", header="a,b,c,t", comments="")


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_file_that_changes_gives_another_run(tmp_path, monkeypatch, kind):
    """No content is remembered by the name of its file, nor across folders."""

    def write(folder, seed):
        folder.mkdir(exist_ok=True)
        if kind == "csv":
            write_csv(folder / "own.csv", seed)
        else:
            X = np.random.default_rng(seed).standard_normal((12, 3))
            np.savez(folder / "own.npz", X=X, y=X[:, 0])

    config = csv_config("own.csv")
    if kind == "npz":
        config["data"] = {"name": "npz", "path": "own.npz"}
    write(tmp_path / "one", 0)
    write(tmp_path / "two", 1)
    monkeypatch.chdir(tmp_path / "one")
    first = af.train_config(config).loss
    np.testing.assert_array_equal(af.train_config(config).loss, first)
    monkeypatch.chdir(tmp_path / "two")
    second = af.train_config(config).loss
    assert (second != first).any()
    write(tmp_path / "two", 0)
    np.testing.assert_array_equal(af.train_config(config).loss, first)
    result = af.sweep([config], out=tmp_path / "out", jobs=1)
    write(tmp_path / "two", 1)
    again = af.sweep([config], out=tmp_path / "out", jobs=1)
    assert result.made != again.made
    assert len(again.made) == 1
    np.testing.assert_array_equal(again.load().loss[0], second)


def test_workers_look_where_the_caller_does(tmp_path, monkeypatch):
    """Whatever folder and environment they were started with."""
    places = Places.from_folder(None)
    monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    other = Places.from_folder(None)
    assert other == (str(tmp_path), (str(tmp_path.parent), str(tmp_path)))
    assert places != other
    monkeypatch.chdir(tmp_path)
    assert Places.from_folder("sub") == (str(tmp_path / "sub"), (str(tmp_path / "sub"),))


def test_devices_and_pipes_are_refused(tmp_path):
    """They may have no end, or nobody at the other one."""
    paths = [tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        paths += [tmp_path / "pipe", "/dev/zero"]
    for path in paths:
        for data in ({"name": "csv", "target": "t"}, {"name": "npz"}):
            config = {**csv_config(path), "data": {**data, "path": str(path)}}
            for run in (af.train_config, lambda config: af.sweep([config], out=tmp_path / "out")):
                with pytest.raises(af.ConfigError, match="must be a regular file, not a folder"):
                    run(config)
        with pytest.raises(af.ConfigError, match="must be a regular file, not a folder"):
            af.sweep(str(path), out=tmp_path / "out")


def test_targets_and_dropped_columns(tmp_path):
    write_csv(tmp_path / "own.csv", 0)
    run = af.train_config(csv_config(tmp_path / "own.csv", drop=["b"]))
    assert run.network.d == 2
    run = af.train_config(csv_config(tmp_path / "own.csv", target=["t", "a"]))
    assert (run.network.d, run.network.k) == (2, 2)
    with pytest.raises(af.ConfigError, match="nope"):
        planned([csv_config(tmp_path / "own.csv", drop=["nope"])], None)


def test_toml_with_a_byte_order_mark(tmp_path):
    (tmp_path / "grid.toml").write_text("\ufeff" + GRID, encoding="utf-8")
    assert len(configs_of(tmp_path / "grid.toml")) == 13


def test_features_by_the_names_of_their_files(tmp_path, monkeypatch):
    """A pattern that one file matches; arrays x_train and so on; integer labels."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.random((6, 4), dtype=np.float32),
        "y_train": np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        "x_test": rng.random((3, 4), dtype=np.float32),
        "y_test": np.array([2, 1, 0]),
    }
    config = {
        "data": {"name": "npz", "path": "cifar10_*.npz"},
        "network": {"m": 5, "gamma": 1.0},
        "train": {"trainer": "gradient_descent", "lr": 0.1, "steps": 2, "loss": "cross_entropy"},
    }
    np.savez(tmp_path / "cifar10_mine.npz", **arrays)
    run = af.train_config(config, data_dir=tmp_path)
    assert (run.network.k, run.network.d, run.config["n"]) == (3, 4, 6)
    run = af.train_config(config, data_dir=tmp_path / "cifar10_mine.npz")
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path))
    np.testing.assert_array_equal(af.train_config(config).loss, run.loss)
    result = af.sweep([config], out=tmp_path / "out", jobs=1)
    np.testing.assert_array_equal(result.load().loss[0], run.loss)
    for change, message in (
        ({"x_train": np.array([["a"]])}, "X in .* must hold numbers, got <U1"),
        ({"x_test": np.full((3, 4), np.nan)}, "X_test must be finite"),
        ({"y_train": np.array([0, 1])}, r"y must have shape \(6,\)"),
        ({"y_test": np.array([0, -1, 1])}, "y_test must hold labels from 0 to 2, got -1"),
        ({"x_test": np.ones((3, 5))}, "columns"),
        ({"x_train": np.array([{}])}, r"is not an \.npz file"),
    ):
        np.savez(tmp_path / "cifar10_mine.npz", **{**arrays, **change})
        with pytest.raises(ValueError, match=message):
            af.train_config(config)
    np.savez(tmp_path / "cifar10_other.npz", **arrays)
    with pytest.raises(af.ConfigError, match=r"several files match .*; keep one of them"):
        af.train_config(config)


def test_own_tables_are_read_as_by_asymfast_train(tmp_path):
    """Text columns, missing cells, decimal commas and a bias."""
    lines = ["a;kind;t", *(f"{i},5;{'uv'[i % 2]};{i % 3}" for i in range(20)), ";u;1"]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    options = {"one_hot": ["kind"], "missing": "drop", "decimal": ","}
    config = csv_config(tmp_path / "own.csv", **options)
    run = af.train_config({**config, "network": {**config["network"], "bias": True}})
    read = af.datasets.read_samples(tmp_path / "own.csv", "t", **options)
    assert read.columns.names == ("a", "kind=u", "kind=v")
    assert (run.network.d, run.config["n"]) == (4, len(read.X_train))
    start = run.initial.loss(read.X_train, read.y_train, loss=run.config["loss"])
    np.testing.assert_array_equal(run.loss[0], start)
    with pytest.raises(af.ConfigError, match=r"data\.missing must be one of error, drop, got 'x'"):
        planned([csv_config(tmp_path / "own.csv", missing="x")], None)
