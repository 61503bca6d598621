"""The paper's experiments: descriptions, data, transfer, verdicts, figures and pages."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import asymfast as af
import numpy as np
import pytest
from asymfast.experiments import (
    NAMES,
    Results,
    Setting,
    carry_out,
    claims,
    external,
    read_experiment,
    results,
    tasks,
)
from asymfast.experiments.closed_form import squared_scalings
from asymfast.experiments.config import Data, Transfer, from_table
from asymfast.experiments.feature_file import identified, load_features
from asymfast.experiments.page import BEGIN, END, fill_page
from asymfast.experiments.panels import PANELS, experiment_figure
from asymfast.experiments.problem import Problem
from asymfast.experiments.training import train
from asymfast.experiments.transfer import transfer
from asymfast.sweeps.store import Store

SETTINGS = read_experiment("simulated").settings


def tiny(**training):
    """The simulated experiment at a size that takes milliseconds."""
    return read_experiment("simulated").changed(
        seeds=2,
        data={"samples": 9, "inputs": 4},
        network={"width": 12},
        training={"steps": 6, **training},
        record={"every": 2, "certificate": False},
    )


# --------------------------------------------------------------------------------- descriptions


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_read_and_survive_json(name, quick):
    experiment = read_experiment(name, quick=quick)
    assert experiment.name == name
    again = from_table(json.loads(json.dumps(asdict(experiment))))
    assert again == experiment
    assert again.quick == quick
    assert set(experiment.panels) <= set(PANELS)


@pytest.mark.parametrize("name", ["simulated", "concrete", "energy", "airfoil", "plant"])
def test_parameters_are_those_of_the_text(name):
    experiment = read_experiment(name)
    pairs = [(setting.gamma, setting.alpha) for setting in experiment.settings]
    assert pairs == [(1.0, None), (0.5, 0.7), (0.5, 0.5), (0.0, 0.4)]
    assert (experiment.seeds, experiment.network.width, experiment.training.lr) == (5, 2000, 1.0)
    assert experiment.training.steps == (50_000 if name == "simulated" else 100_000)
    if name != "simulated":
        plan = experiment.transfer
        assert (plan.hidden, plan.lr, plan.steps) == ((64,), 1.0, 5000)


def test_quick_is_shorter():
    for name in NAMES[1:]:
        whole, quick = read_experiment(name), read_experiment(name, quick=True)
        assert quick.seeds <= 2 < whole.seeds
        length = [one.training.steps or one.training.epochs for one in (quick, whole)]
        assert length[0] < length[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr = 1.0", "experiment mine, training: the entry 'lr' is missing"),
        ("steps = 50_000", "training.steps is missing; gradient_descent needs it"),
        ("samples = 100", None),
    ],
)
def test_missing_entries(tmp_path, change, message):
    text = text_of("simulated").replace(change + "\n", "\n", 1)
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("seeds = 2\ntraining.steps", "seeds = 2\n# training.steps"))
    if message is None:
        assert read_experiment(path).data.samples is None
    else:
        with pytest.raises(ValueError, match=message):
            read_experiment(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 1.0", "rate = 1.0\nlr = 1.0", "training: unknown entry 'rate'; it may have batch_s"),
        ("lr = 1.0", 'lr = "fast"', "training, lr: expected float, got 'fast'"),
        ("width = 2000", "width = 2.5", "network, width: expected int, got 2.5"),
        ('kind = "regression"', 'kind = "guess"', "kind must be one of closed_form, regression"),
        ("every = 1000", "every = 0", "record.every must be at least 1, got 0"),
        ("[network]", "[network", "mine.toml is not TOML: "),
    ],
)
def test_wrong_entries(tmp_path, old, new, message):
    (tmp_path / "mine.toml").write_text(text_of("simulated").replace(old, new, 1))
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        read_experiment(tmp_path / "mine.toml")


def test_neither_name_nor_file():
    with pytest.raises(FileNotFoundError, match="source must be one of fig1, simulated"):
        read_experiment("figure9")


def text_of(name):
    from importlib import resources

    return (resources.files("asymfast.experiments") / "configs" / f"{name}.toml").read_text()


# ----------------------------------------------------------------------------------------- runs


def test_float32_ntg_is_that_of_its_weights_in_float64():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9, 4)).astype(np.float32)
    samples = Problem(X=X, y=X[:, 0])
    experiment = tiny().changed(network={"dtype": "float32"}, record={"ntg_on": 5})
    arrays, _ = train(experiment, "swish", SETTINGS[1], 0, samples)
    W, lam = arrays["W"].astype(np.float64), arrays["lam"]
    Z = X[:5].astype(np.float64) @ W.T / 2
    s = 1 / (1 + np.exp(-Z))
    slopes = s + Z * s * (1 - s)
    K = X[:5].astype(np.float64) @ X[:5].T.astype(np.float64) / 4 * ((slopes * lam) @ slopes.T)
    # a sum of 12 terms of size one, and an eigenvalue of it: some hundred roundings
    assert abs(arrays["ntg_eigmin"][-1] - np.linalg.eigvalsh(K)[0]) <= 1e-14
    assert arrays["ntg_change"][0] == 0
    assert len(arrays["ntg_change"]) == len(arrays["steps"]) == 4


def test_followed_nodes_are_those_that_moved_most():
    X, y = af.datasets.simulated(9, 4, rng=0)
    arrays, info = train(tiny(), "relu", SETTINGS[0], 0, Problem(X, y))
    top = np.sort(arrays["node_change"])[::-1][:10]
    np.testing.assert_array_equal(arrays["weight_change"][-1], top)
    rms = np.sqrt(np.sum(arrays["lam"] * arrays["node_change"] ** 2))
    assert abs(arrays["weight_change_rms"][-1] - rms) <= 1e-14 * rms
    assert info["run"]["steps"] == 6


def test_seeds_that_are_not_finished_everywhere_are_left_out(tmp_path):
    store = Store(tmp_path / "results")
    experiment = tiny()
    for task in tasks(experiment, "swish")[:-1]:  # all but the last setting of the second seed
        assert carry_out(task, store, threads=1) is not None
    found = results(experiment, "swish", store)
    assert found.seeds == (0,)
    assert list(found.repeats) == list(SETTINGS)
    assert results(experiment, "relu", store).seeds == ()


def test_runs_and_how_they_are_named_do_not_depend_on_the_number_of_seeds():
    few, many = tiny(), replace(tiny(), seeds=5)
    assert tasks(few, "swish")[3].stages() == tasks(many, "swish")[3].stages()


# ------------------------------------------------------------------------------------- transfer


@pytest.fixture(scope="module")
def trained():
    """A network and samples of which the target is learnable from its first feature."""
    rng = np.random.default_rng(3)
    net = af.Network.init(d=3, m=8, gamma=0.5, alpha=0.5, rng=1)
    X = rng.standard_normal((40, 3))
    y = net.features(X)[:, np.argmax(net.node_importance())]
    y = (y - y.mean()) / y.std()
    return net, Problem(X, y, X_held=X[:20], y_held=y[:20], X_held_test=X[20:], y_held_test=y[20:])


PLAN = Transfer(features=(1, 3), hidden=(16,), loss="mse", lr=0.5, steps=300)


def test_transfer_of_the_most_important_feature(trained):
    net, samples = trained
    arrays = transfer(net, samples, replace(PLAN, standardise=True), 0)
    assert arrays["features"].tolist() == [1, 3]
    assert (arrays["loss"] < 0.1).all(), "the target is a line in the first feature"
    assert "accuracy" not in arrays
    again = transfer(net, samples, replace(PLAN, standardise=True), 0)
    np.testing.assert_array_equal(again["test_loss"], arrays["test_loss"])
    other = transfer(net, samples, replace(PLAN, standardise=True), 1)
    assert other["test_loss"][1] != arrays["test_loss"][1], "another seed, another network"


def test_transfer_is_what_a_hand_made_external_network_gives(trained):
    net, samples = trained
    arrays = transfer(net, samples, PLAN, 4)
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


def test_authors_external_network_takes_steps_of_gradient_descent():
    """Against central differences of the loss, for all weights and biases at once."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    start = external.drawn((3, 5, 4, 2), rng, np.float64)
    stepped = external.trained(start, X, y, lr=0.1, steps=1)

    def loss(parameters):
        count = len(start.weights)
        layers = external.Layers(tuple(parameters[:count]), tuple(parameters[count:]))
        return np.mean((layers(X) - y) ** 2)

    parameters = [*start.weights, *start.biases]
    for before, after in zip(parameters, [*stepped.weights, *stepped.biases], strict=True):
        gradient = np.empty_like(before)
        for index in np.ndindex(before.shape):
            ends = []
            for h in (1e-6, -1e-6):
                moved = [part.copy() if part is before else part for part in parameters]
                moved[[part is before for part in parameters].index(True)][index] += h
                ends.append(loss(moved))
            gradient[index] = (ends[0] - ends[1]) / 2e-6
        # h^2 times third derivatives, and roundings of the loss over h: about 1e-9
        np.testing.assert_allclose((before - after) / 0.1, gradient, atol=1e-8)


def test_authors_variant(trained):
    net, samples = trained
    arrays = transfer(net, samples, replace(PLAN, hidden=(8, 8), lr=0.1, standardise=True), 0)
    assert (arrays["loss"] < 0.5).all()


def test_transfer_that_diverges_has_infinite_loss(trained):
    net, samples = trained
    for hidden in ((16,), (8, 8)):
        arrays = transfer(net, samples, replace(PLAN, hidden=hidden, lr=1e6), 0)
        assert np.isinf(arrays["test_loss"]).all()


@pytest.mark.parametrize("hidden", [(16,), (8, 8)])
def test_transfer_can_be_stopped(trained, hidden):
    def stop(fraction, loss):
        raise KeyboardInterrupt

    net, samples = trained
    plan = replace(PLAN, hidden=hidden, steps=10**9 if len(hidden) == 1 else 1)
    with pytest.raises(KeyboardInterrupt):
        transfer(net, samples, plan, 0, progress=stop)


def test_more_features_than_nodes(trained):
    net, samples = trained
    with pytest.raises(ValueError, match="features must be at most m = 8, got 9"):
        transfer(net, samples, replace(PLAN, features=(9,)), 0)
    with pytest.raises(ValueError, match="samples must have some held out"):
        transfer(net, Problem(samples.X, samples.y), PLAN, 0)


# --------------------------------------------------------------------------------- feature files

FILES = Data(source="features", files=("cifar10_*.npz",))


def feature_file(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.random((6, 4), dtype=np.float32),
        "y_train": np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        "x_test": rng.random((3, 4), dtype=np.float32),
        "y_test": np.array([2, 1, 0]),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def test_feature_file(tmp_path, monkeypatch):
    path = feature_file(tmp_path / "cifar10_mine.npz")
    file = load_features(FILES, tmp_path)
    assert (file.classes, file.x_train.shape, file.y_train.dtype) == (3, (6, 4), np.int64)
    assert load_features(FILES, path).classes == 3
    monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path))
    assert len(identified(FILES, None).sha256) == 64
    feature_file(tmp_path / "cifar10_other.npz")
    with pytest.raises(ValueError, match=r"several feature files: .*; keep one of them"):
        load_features(FILES, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.ones((6, 4), dtype=int)}, "x_train must be a matrix of floating-point"),
        ({"x_test": np.full((3, 4), np.nan)}, "x_test must be finite"),
        ({"y_train": np.array([0, 1])}, "y_train must hold 6 class labels"),
        ({"y_test": np.array([0, -1, 1])}, "y_test must hold 3 class labels >= 0"),
        ({"x_test": np.ones((3, 5))}, "must have the same number of columns"),
        ({"x_train": np.array([{}])}, "is not an .npz file with x_train"),
    ],
)
def test_wrong_feature_files(tmp_path, change, message):
    feature_file(tmp_path / "cifar10_mine.npz", **change)
    with pytest.raises(ValueError, match=message):
        load_features(FILES, tmp_path)


def test_damaged_feature_file(tmp_path):
    path = feature_file(tmp_path / "cifar10_mine.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        load_features(FILES, tmp_path)


def test_penultimate_features():
    torch = pytest.importorskip("torch")
    from asymfast.experiments.cifar_features import penultimate

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.9))
    images = torch.arange(24.0).reshape(4, 1, 2, 3)
    batches = [(images[:3], torch.tensor([3, 1, 2])), (images[3:], torch.tensor([0]))]
    features, labels = penultimate(network, batches)
    np.testing.assert_array_equal(features, np.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(labels, [3, 1, 2, 0])


# --------------------------------------------------------------------------------------- claims


def claim(rule, **changes):
    return claims.Claim("", "rate", rule, ("simulated",), "", **changes)


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
    found = claims.verdict(claim(rule), measures)
    assert (found.holds, found.seeds, found.of) == (*verdict, 2)


def test_verdicts_over_alpha_asymmetry_and_bounds():
    rows = dict(zip(SETTINGS, ([9.0], [2.0], [3.0], [1.0]), strict=True))
    measures = {at: {"rate": np.array(row)} for at, row in rows.items()}
    assert claims.verdict(claim("falls", by="alpha"), measures).holds  # 3 at 0.5, 2 at 0.7
    assert not claims.verdict(claim("grows", by="alpha"), measures).holds
    assert claims.verdict(claim("grows", by="asymmetry"), measures).holds
    positive = claim("at least", limit=2.0, among=lambda setting: setting.gamma > 0)
    assert claims.verdict(positive, measures).holds
    assert not claims.verdict(claim("at least", limit=2.0), measures).holds
    assert claims.verdict(claim("at most", limit=9.0), measures).holds
    only = {Setting(1.0): measures[Setting(1.0)]}
    assert claims.verdict(claim("grows"), only) is None, "nothing to compare"
    assert claims.verdict(claims.CLAIMS[0], measures) is None, "not measured"


def test_rate_ends_where_rounding_holds_the_loss_up(made_up):
    repeats = next(iter(made_up.repeats.values()))
    falling = {"time": np.array([0.0, 1, 2, 3]), "loss": np.array([1.0, 1e-5, 1e-14, 2e-14])}
    slow = {"time": falling["time"], "loss": np.array([1.0, 0.5, 0.4, np.exp(-3)])}
    short = {
        name: np.zeros(4)
        for name in repeats.training[0]
        if name not in ("time", "loss", "ntg_norm")
    } | {"weight_change": np.zeros((4, 10)), "ntg_norm": np.array(1.0)}
    runs = tuple({**short, **one} for one in (falling, slow))
    found = replace(repeats, training=runs).measures()["rate"]
    np.testing.assert_allclose(found, [np.log(1e14) / 2, 1.0])


def test_claims_about_the_end_are_not_looked_at_with_fewer_steps():
    whole = claims.claims_of(read_experiment("simulated"))
    quick = claims.claims_of(read_experiment("simulated", quick=True))
    assert {one for one in whole if not one.whole} == set(quick)
    assert len(whole) > len(quick)


# ------------------------------------------------------------------------------- figures and page


@pytest.fixture(scope="module")
def made_up():
    """Results of the MNIST experiment, with every panel, from no training at all."""
    from asymfast.experiments.results import Repeats

    experiment = read_experiment("mnist")
    rng = np.random.default_rng(0)

    def stage(along, length, names):
        arrays = {name: rng.uniform(0.1, 1, length) for name in names}
        return {along: np.arange(1, length + 1), **arrays}

    def repeat():
        training = stage("steps", 6, ["loss", "test_loss", "accuracy", "test_accuracy", "time"])
        training |= stage("steps", 6, ["ntg_change", "ntg_eigmin", "weight_change_rms"])
        training["weight_change"] = rng.uniform(0, 1, (6, 10))
        training["ntg_norm"] = np.array(2.0)
        names = ["loss", "test_loss", "accuracy", "test_accuracy"]
        return training, stage("kept", 20, names), stage("features", 3, names)

    info = {"run": {"asymfast": "1", "numpy": "2", "isa": "x"}}
    repeats = {}
    for setting in experiment.settings:
        stages = zip(*(repeat() for _ in range(2)), strict=True)
        training, pruning, transferred = (tuple(part) for part in stages)
        repeats[setting] = Repeats(training, pruning, transferred, (info, info), 75.0)
    return Results(experiment, "relu", (0, 1), repeats)


def test_figure_has_the_panels_and_the_means(made_up):
    pytest.importorskip("matplotlib")
    figure = experiment_figure(made_up)
    names = made_up.experiment.panels
    assert len(figure.axes) == len(names) == 9
    for axes, name in zip(figure.axes, names, strict=True):
        panel = PANELS[name]
        assert panel.title in axes.get_title(loc="left")
        for line, repeats in zip(
            [one for one in axes.get_lines() if not one.get_label().startswith("_")],
            made_up.repeats.values(),
            strict=True,
        ):
            values = repeats.stacked(panel.stage, panel.array)
            values = values[..., 0] if values.ndim == 3 else values
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 4


def test_panel_without_a_finite_value(made_up):
    pytest.importorskip("matplotlib")
    first = next(iter(made_up.repeats))
    broken = made_up.repeats[first]
    transferred = tuple({**part, "accuracy": np.full(3, np.nan)} for part in broken.transfer)
    results_ = replace(
        made_up, repeats={**made_up.repeats, first: replace(broken, transfer=transferred)}
    )
    axes = experiment_figure(results_).axes[made_up.experiment.panels.index("transfer_accuracy")]
    assert [text.get_text() for text in axes.texts] == ["6 of 24 values not shown"]


def test_figure_of_nothing(made_up):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="results must have at least one finished seed"):
        experiment_figure(Results(made_up.experiment, "relu", (), {}))


def test_page(tmp_path, made_up):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n{BEGIN}\nfrom before\n{END}\nafter\n")
    fill_page(page, [("mnist-relu", made_up)])
    text = page.read_text()
    assert text.startswith(f"# Mine\n{BEGIN}\n\n## What was run\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "from before" not in text
    assert "| MNIST | relu | Figure 17 | 200,000 steps | float32 | 2 | 5:00 |" in text
    judged = claims.verdicts(made_up.experiment, made_up.measures)
    assert text.count("| MNIST, relu |") == len(judged) > 5
    held = sum(one.holds for one in judged)
    assert f"\n{held} of {len(judged)} rows hold with relu.\n" in text
    again = text
    fill_page(page, [("mnist-relu", made_up)])
    assert page.read_text() == again
    assert "(page/mnist-relu.png)" in page.read_text()
    assert 10_000 < (tmp_path / "page" / "mnist-relu.png").stat().st_size < 150_000
    page.write_text("no marks")
    with pytest.raises(ValueError, match="must have a line"):
        fill_page(page, [])


def test_figure_1():
    alpha, values = squared_scalings()
    j = np.arange(1, 200_001)
    for at in (9, 99, 139):  # the tail of the sum is below 2e-7 of it
        direct = np.sum(j ** (-2 / alpha[at])) / np.sum(j ** (-1 / alpha[at])) ** 2
        assert abs(values[at] - direct) <= 0.02 * direct
    assert (np.diff(values) <= 0).all()
    assert values[0] > 0.999
    assert values[-1] < 1e-3
