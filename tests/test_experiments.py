"""The paper's experiments: descriptions, data, transfer, verdicts, figures and pages."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import asymfast as af
import msgspec
import numpy as np
import pytest
from asymfast.study import Experiment, Results, Store, read_experiment, results
from asymfast.study.config import Transfer, parse
from asymfast.study.panels import PANELS, experiment_figure, squared_scalings
from asymfast.study.results import (
    CLAIMS,
    NAMES,
    Claim,
    Setting,
    Verdict,
    claims_about,
    condensed,
    measures_of,
)
from asymfast.study.results import (
    verdict as decide,
)
from asymfast.study.stages import stages, transfer
from asymfast.study.train import Samples

SETTINGS = read_experiment("simulated").settings


def tiny(activation="swish", **changes):
    """The simulated experiment at a size that takes milliseconds."""
    small = {"seeds": 2, "data.n": 9, "data.d": 4, "network.m": 12, "train.steps": 6}
    small |= {"record.every": 2, "certificate": False}
    return read_experiment("simulated", activation=activation, changes={**small, **changes})


# --------------------------------------------------------------------------------- descriptions


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_read_and_survive_json(name, quick):
    experiment = read_experiment(name, quick=quick)
    assert experiment.name == name
    again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(experiment))), Experiment)
    assert again == experiment
    assert again.quick == again.short == quick
    assert set(experiment.presentation.panels) <= set(PANELS)
    assert len(experiment.configs) == len(experiment.settings) * len(experiment.seeds)


@pytest.mark.parametrize("name", ["simulated", "concrete", "energy", "airfoil", "plant"])
def test_parameters_are_those_of_the_text(name):
    experiment = read_experiment(name)
    assert [*experiment.settings] == [(1.0, None), (0.5, 0.7), (0.5, 0.5), (0.0, 0.4)]
    assert experiment.seeds == (0, 1, 2, 3, 4)
    for config in experiment.configs:
        assert (config.network.m, config.train.lr) == (2000, 1.0)
        assert config.train.steps == (50_000 if name == "simulated" else 100_000)
        if name != "simulated":
            plan = config.transfer
            assert (plan.m, plan.lr, plan.steps) == (64, 1.0, 5000)


def test_quick_is_shorter():
    for name in NAMES:
        whole, quick = read_experiment(name), read_experiment(name, quick=True)
        assert len(quick.seeds) <= 2 < len(whole.seeds)
        trains = [one.configs[0].train for one in (quick, whole)]
        length = [getattr(train, "steps", None) or train.epochs for train in trains]
        assert length[0] < length[1]


def test_a_description_is_a_grid_for_sweep(tmp_path):
    """The runs of an experiment are those of a sweep of its file."""
    (tmp_path / "mine.toml").write_text(text_of("simulated"))
    configs = af.study.config.configs_of(tmp_path / "mine.toml")
    keys = {Store.key(parse(config).table()) for config in configs}
    assert keys == {Store.key(c.table()) for c in read_experiment("simulated").configs}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 1.0", "rate = 1.0", r"mine.toml: unknown key train.rate"),
        ("steps = 50_000", "", r"train.steps is missing"),
        ("m = 2000", "", r"network.m is missing"),
        ("m = 2000", "m = 2.5", r"network.m must be an integer, got 2.5"),
        ('trainer = "gradient_descent"', "", r"train must have a trainer: one of gradient_desc"),
        ("every = 1000", 'every = "x"', r"record.every must be an integer or nothing, got 'x'"),
        ("[base.network]", "[base.network", r"not a TOML file: "),
        ('title = "Simulated data"', "", r"paper.title is missing"),
        ('panels = ["loss"', 'panels = ["losses"', r"paper.panels must be among loss, test_loss"),
        ("seed = [0, 1, 2, 3, 4]", "seed = 3", r"grid.seed must be a list of values, got 3"),
        ("seed = [0,", '"network.m" = [5, 6]\nseed = [0,', r"may vary gamma, alpha and seed alone"),
    ],
)
def test_wrong_entries(tmp_path, old, new, message):
    text = text_of("simulated")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(af.ConfigError, match=message.replace(".", r"\.")) as error:
        read_experiment(tmp_path / "mine.toml")
    assert "mine.toml" in str(error.value)


def test_neither_name_nor_file():
    with pytest.raises(FileNotFoundError, match="source must be one of simulated"):
        read_experiment("figure9")


def text_of(name):
    from importlib import resources

    return (resources.files("asymfast.study") / "configs" / f"{name}.toml").read_text()


def test_scripts_of_the_authors_start_the_weights_at_j_2():
    config = parse(read_experiment("simulated_authors").configs[3])
    net = msgspec.structs.replace(config.network, m=4, gamma=0.25, alpha=0.5)
    small = msgspec.structs.replace(config, network=net)
    lam = af.study.train.scaling(small)
    t = np.array([2.0, 3, 4, 5]) ** -2
    np.testing.assert_allclose(lam, 0.25 / 4 + 0.75 * t / t.sum(), rtol=1e-15)
    table = {**small.table(), "train": {"trainer": "gradient_descent", "steps": 1}}
    run = af.train_config({**table, "record": {}, "data": {"name": "simulated", "n": 3, "d": 2}})
    np.testing.assert_array_equal(run.network.lam, lam)


# ----------------------------------------------------------------------------------------- runs


def test_float32_ntg_is_that_of_its_weights_in_float64(tmp_path):
    changes = {"network.dtype": "float32", "record.ntg_on": 5, "record.ntg_dtype": "float64"}
    config = tiny(**changes).configs[1]
    run = af.train_config(config)
    X, _ = af.datasets.simulated(9, 4, rng=config.seed, dtype="float32")
    W, lam = run.network.W.astype(np.float64), run.network.lam
    assert run.network.dtype == np.float32
    Z = X[:5].astype(np.float64) @ W.T / 2
    s = 1 / (1 + np.exp(-Z))
    slopes = s + Z * s * (1 - s)
    K = X[:5].astype(np.float64) @ X[:5].T.astype(np.float64) / 4 * ((slopes * lam) @ slopes.T)
    # a sum of 12 terms of size one, and an eigenvalue of it: some hundred roundings
    assert abs(run.ntg_eigmin[-1] - np.linalg.eigvalsh(K)[0]) <= 1e-14
    assert run.ntg_change[0] == 0
    assert len(run.ntg_change) == len(run.steps) == 4
    assert run.weights is None


def test_followed_nodes_are_those_that_moved_most():
    config = tiny().configs[0]
    run = af.train_config(config)
    columns = {name: values for name, (_, values) in run.columns().items()}
    arrays = condensed(config, {"training": (columns, {"ntg_norm": 2.0})})
    moved = np.sort(run.weight_change[-1])
    np.testing.assert_array_equal(arrays["weight_change"][-1], moved[::-1][:10])
    rms = np.sqrt(np.sum(run.network.lam * run.weight_change[-1] ** 2))
    assert abs(arrays["weight_change_rms"][-1] - rms) <= 1e-14 * rms
    assert run.steps[-1] == 6


def test_seeds_that_are_not_finished_everywhere_are_left_out(tmp_path):
    experiment = tiny()
    af.sweep(experiment.configs[:-1], out=tmp_path, jobs=1)  # without the last one of seed 1
    store = Store(tmp_path)
    found = results(experiment, store)
    assert found.seeds == (0,)
    assert list(found.runs) == list(SETTINGS)
    assert results(tiny("relu"), store).seeds == ()


def test_norm_of_the_ntg_is_that_at_the_start(tmp_path):
    experiment = tiny(seeds=1)
    af.sweep(experiment.configs, out=tmp_path, jobs=1)
    found = results(experiment, Store(tmp_path))
    for config, setting in zip(experiment.configs, SETTINGS, strict=True):
        run = af.train_config(config)
        X, _ = af.datasets.simulated(9, 4, rng=0)
        norm = np.linalg.norm(run.initial.ntg(X))
        relative = run.ntg_change[-1] / norm
        assert abs(found.measures[setting]["ntg_change"][0] - relative) <= 1e-13 * relative


def test_runs_and_their_names_do_not_depend_on_the_number_of_seeds():
    few, many = tiny(), tiny(seeds=5)
    assert few.configs == many.configs[:8]
    assert stages(few.configs[3]) == stages(many.configs[3])


# ------------------------------------------------------------------------------------- transfer


@pytest.fixture(scope="module")
def trained():
    """A network and samples of which the target is learnable from its first feature."""
    rng = np.random.default_rng(3)
    net = af.Network.init(d=3, m=8, gamma=0.5, alpha=0.5, rng=1)
    X = rng.standard_normal((40, 3))
    y = net.features(X)[:, np.argmax(net.node_importance())]
    y = (y - y.mean()) / y.std()
    return net, Samples(X, y, X_held=X[:20], y_held=y[:20], X_held_test=X[20:], y_held_test=y[20:])


PLAN = Transfer(features=(1, 3), m=16, lr=0.5, steps=300)


def planned(**changes):
    return msgspec.structs.replace(PLAN, **changes)


def test_transfer_of_the_most_important_feature(trained):
    net, samples = trained
    arrays, info = transfer(net, samples, PLAN, 0)
    assert arrays["features"].tolist() == [1, 3]
    assert (arrays["loss"] < 0.1).all(), "the target is a line in the first feature"
    assert "accuracy" not in arrays
    assert info["axes"]["loss"] == ("features",)
    again, _ = transfer(net, samples, PLAN, 0)
    np.testing.assert_array_equal(again["test_loss"], arrays["test_loss"])
    other, _ = transfer(net, samples, PLAN, 1)
    assert other["test_loss"][1] != arrays["test_loss"][1], "another seed, another network"


def test_transfer_is_what_a_hand_made_external_network_gives(trained):
    net, samples = trained
    arrays, _ = transfer(net, samples, PLAN, 4)
    order = np.argsort(-net.lam * (net.W**2).sum(axis=1), kind="stable")[:3]
    F, F_test = (
        np.ascontiguousarray(net.features(X)[:, order])
        for X in (samples.X_held, samples.X_held_test)
    )
    start = af.Network.init(3, 16, 1.0, activation="relu", rng=np.random.default_rng([4, 3, 3]))
    run = af.sgd(
        start, F, samples.y_held, lr=0.5, batch_size=20, epochs=300, loss="mse", train_output=True
    )
    expected = np.mean((run.network(F_test) - samples.y_held_test) ** 2)
    assert abs(arrays["test_loss"][1] - expected) <= 1e-9 * expected


def test_transfer_that_diverges_has_infinite_loss(trained):
    net, samples = trained
    arrays, _ = transfer(net, samples, planned(lr=1e6), 0)
    assert np.isinf(arrays["test_loss"]).all()


def test_transfer_can_be_stopped(trained):
    def stop(fraction, loss):
        raise KeyboardInterrupt

    net, samples = trained
    with pytest.raises(KeyboardInterrupt):
        transfer(net, samples, planned(steps=10**9), 0, progress=stop)


def test_more_features_than_nodes(trained):
    net, samples = trained
    with pytest.raises(ValueError, match="features must be at most m = 8, got 9"):
        transfer(net, samples, planned(features=(9,)), 0)
    with pytest.raises(ValueError, match="data must have held-out samples"):
        transfer(net, Samples(samples.X, samples.y), PLAN, 0)


def test_stages_without_their_samples_are_refused(tmp_path):
    config = tiny().configs[1].table()
    for stage, message in (
        ({"transfer": {"features": [2], "m": 3, "lr": 0.1, "steps": 2}}, "needs held-out samples"),
        ({"transfer": {"features": [13], "m": 3, "lr": 0.1, "steps": 2}}, "from 1 to network.m"),
        ({"pruning": {}}, "pruning needs test samples"),
    ):
        with pytest.raises(af.ConfigError, match=message):
            af.sweep([{**config, **stage}], out=tmp_path / "out")


# --------------------------------------------------------------------------------- feature files


def test_penultimate_features():
    torch = pytest.importorskip("torch")
    script = Path(__file__).parents[1] / "examples" / "cifar_features.py"
    penultimate = runpy.run_path(str(script))["penultimate"]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.9))
    images = torch.arange(24.0).reshape(4, 1, 2, 3)
    batches = [(images[:3], torch.tensor([3, 1, 2])), (images[3:], torch.tensor([0]))]
    features, labels = penultimate(network, batches)
    np.testing.assert_array_equal(features, np.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(labels, [3, 1, 2, 0])


# --------------------------------------------------------------------------------------- claims


def claim(rule, **changes):
    given = {"text": "", "measure": "rate", "experiments": ("simulated",), "source": ""}
    return Claim(rule=rule, **given, **changes)


@pytest.mark.parametrize(
    ("values", "rule", "verdict"),
    [
        # One list per setting in the order gamma = 1, 0.5, 0.5, 0; one number per seed.
        ([[3, 3], [2, 2], [2.5, 2.5], [1, 1]], "grows", (True, 2)),
        ([[3, 3], [2, 2], [2.5, 2.5], [1, 1]], "falls", (False, 0)),
        ([[3, 9], [2, 2], [4, 4], [1, 1]], "grows", (True, 1)),
        ([[3, 3], [2, 2], [3, 2], [1, 1]], "grows", (True, 1)),
        ([[3, 3], [2, 2], [3, 3], [1, 1]], "grows", (False, 0)),
        ([[1, 1], [2, 2], [2, 2], [np.nan, 3]], "falls", (False, 1)),
    ],
)
def test_verdicts(values, rule, verdict):
    measures = dict(zip(SETTINGS, ({"rate": np.array(row)} for row in values), strict=True))
    found = decide(claim(rule), measures)
    assert (found.holds, found.seeds, found.of) == (*verdict, 2)


def test_verdicts_over_alpha_asymmetry_and_bounds():
    rows = dict(zip(SETTINGS, ([9.0], [2.0], [3.0], [1.0]), strict=True))
    measures = {at: {"rate": np.array(row)} for at, row in rows.items()}
    assert decide(claim("falls", by="alpha"), measures).holds  # 3 at 0.5, 2 at 0.7
    assert not decide(claim("grows", by="alpha"), measures).holds
    assert decide(claim("grows", by="asymmetry"), measures).holds
    positive = claim("at least", limit=2.0, among="gamma > 0")
    assert decide(positive, measures).holds
    assert not decide(claim("at least", limit=2.0), measures).holds
    assert decide(claim("at most", limit=9.0), measures).holds
    only = {Setting(1.0): measures[Setting(1.0)]}
    assert decide(claim("grows"), only) is None, "nothing to compare"
    assert decide(CLAIMS[0], measures) is None, "not measured"


def test_rate_ends_where_rounding_holds_the_loss_up():
    time = np.array([[0.0, 1, 2, 3]] * 2)
    loss = np.array([[1.0, 1e-5, 1e-14, 2e-14], [1.0, 0.5, 0.4, np.exp(-3)]])
    zero = np.zeros((2, 4))
    others = {"weight_change": np.zeros((2, 4, 10)), "weight_change_rms": zero}
    found = measures_of({"time": time, "loss": loss, **others})["rate"]
    np.testing.assert_allclose(found, [np.log(1e14) / 2, 1.0])


def test_claims_about_the_end_are_skipped_with_fewer_steps():
    whole, quick = claims_about("simulated"), claims_about("simulated", True)
    assert {one for one in whole if not one.whole} == set(quick)
    assert len(whole) > len(quick)


def test_a_claim_that_does_not_hold_says_why():
    known = next(one for one in CLAIMS if one.why)
    other = next(one for one in CLAIMS if not one.why)
    said = {
        (claim is known, activation, short): Verdict(claim, False, 0, 1).reason(activation, short)
        for claim in (known, other)
        for activation in ("swish", "relu")
        for short in (False, True)
    }
    assert "the early part of training" in said[True, "swish", False]
    assert "the cause is not known" in said[True, "relu", False]
    assert "the cause is not known" in said[False, "swish", False]
    assert "other steps, samples or nodes" in said[False, "swish", True]
    assert all(line.endswith("see docs/reproduction.md") for line in said.values())
    assert {"rate", "eigmin_end"} == {one.measure for one in CLAIMS if one.why}


# ------------------------------------------------------------------------------- figures and page


@pytest.fixture(scope="module")
def made_up():
    """Results of the MNIST experiment, with every panel, from no training at all."""
    experiment = read_experiment("mnist", activation="relu")
    rng = np.random.default_rng(0)
    names = ["loss", "test_loss", "accuracy", "test_accuracy"]

    def stage(prefix, along, length, names):
        arrays = {f"{prefix}{name}": rng.uniform(0.1, 1, length) for name in names}
        return {f"{prefix}{along}": np.arange(1, length + 1), **arrays}

    def run():
        more = ["time", "ntg_change", "ntg_eigmin", "weight_change_rms"]
        return {
            **stage("", "steps", 6, [*names, *more]),
            "weight_change": rng.uniform(0, 1, (6, 10)),
            "ntg_norm": np.array(2.0),
            **stage("pruning_", "kept", 20, names),
            **stage("transfer_", "features", 3, names),
        }

    info = {"run": {"asymfast": "1", "numpy": "2", "isa": "x"}}
    runs = {}
    for setting in experiment.settings:
        one, other = run(), run()
        runs[setting] = {name: np.stack([one[name], other[name]]) for name in one}
    infos = {setting: [info, info] for setting in experiment.settings}
    return Results(experiment, (0, 1), runs, infos, 300.0)


def test_figure_has_the_panels_and_the_means(made_up):
    pytest.importorskip("matplotlib")
    figure = experiment_figure(made_up)
    names = made_up.experiment.presentation.panels
    assert len(figure.axes) == len(names) == 9
    for axes, name in zip(figure.axes, names, strict=True):
        panel = PANELS[name]
        assert panel.title in axes.get_title(loc="left")
        for line, setting in zip(
            [one for one in axes.get_lines() if not one.get_label().startswith("_")],
            made_up.runs,
            strict=True,
        ):
            values = made_up.runs[setting][panel.array]
            values = values[..., 0] if values.ndim == 3 else values
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 4


def test_panel_without_a_finite_value(made_up):
    pytest.importorskip("matplotlib")
    first = next(iter(made_up.runs))
    broken = {**made_up.runs[first], "transfer_accuracy": np.full((2, 3), np.nan)}
    found = replace(made_up, runs={**made_up.runs, first: broken})
    place = made_up.experiment.presentation.panels.index("transfer_accuracy")
    axes = experiment_figure(found).axes[place]
    assert [text.get_text() for text in axes.texts] == ["6 of 24 values not finite: left out"]


def test_figure_of_nothing(made_up):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="results must have at least one finished seed"):
        experiment_figure(Results(made_up.experiment, (), {}, {}, 0.0))


def test_figure_1():
    alpha, values = squared_scalings()
    j = np.arange(1, 200_001)
    for at in (9, 99, 139):  # the tail of the sum is below 2e-7 of it
        direct = np.sum(j ** (-2 / alpha[at])) / np.sum(j ** (-1 / alpha[at])) ** 2
        assert abs(values[at] - direct) <= 0.02 * direct
    assert (np.diff(values) <= 0).all()
    assert values[0] > 0.999
    assert values[-1] < 1e-3
