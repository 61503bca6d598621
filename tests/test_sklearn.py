"""The scikit-learn estimators: scikit-learn's own checks, and use as its users do."""

from __future__ import annotations

import pickle

import asymfast as af
import numpy as np
import pytest

pytest.importorskip("sklearn")
from asymfast.sklearn import (
    AsymmetricNetClassifier,
    AsymmetricNetRegressor,
    NodeFeatures,
)
from cases import assert_same_bits
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

SMALL = {"n_hidden": 100, "max_iter": 60, "n_jobs": 1}


@parametrize_with_checks(
    [
        AsymmetricNetRegressor(**SMALL),
        AsymmetricNetClassifier(**SMALL),
        NodeFeatures(AsymmetricNetRegressor(**SMALL), k=7),
    ]
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def friedman(dtype="float64"):
    X, y = make_friedman1(n_samples=300, noise=0.5, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


# ---- the first fit of a newcomer -----------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_regression_works_at_once(scale):
    """On targets of any size; a linear model explains 0.7 of these."""
    X, y = friedman()
    net = AsymmetricNetRegressor(random_state=0).fit(X[:200], 3 + scale * y[:200])
    assert net.score(X[200:], 3 + scale * y[200:]) > 0.85


def test_a_training_that_got_nowhere_is_said():
    """Of inputs that are not standardised, as the message says."""
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"max_iter = 2 with a training loss of .*1\.1 of"):
        AsymmetricNetClassifier(random_state=0, max_iter=2).fit(1e4 * X, y)


def test_classification_works_at_once():
    X, y = iris()
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    net = AsymmetricNetClassifier(random_state=0).fit(X[::2], names[::2])
    assert net.score(X[1::2], names[1::2]) > 0.9


@pytest.mark.parametrize("scale", [1e-4, 1e-1, 1e3])
def test_the_step_fits_inputs_of_any_size(scale):
    """lr="auto": no divergence, and a loss that falls."""
    X, y = friedman()
    net = AsymmetricNetRegressor(random_state=0, **SMALL)
    if scale < 1:
        net.fit(scale * X, y)
    else:
        with pytest.warns(ConvergenceWarning, match="far above the 1 of a constant prediction"):
            net.fit(scale * X, y)
    assert net.loss_curve_[-1] < net.loss_curve_[0]
    assert np.isfinite(net.predict(scale * X)).all()


@pytest.mark.parametrize("activation", ["relu", "cos", "identity", "softplus"])
def test_the_step_fits_other_activations(activation):
    X, y = friedman()
    net = AsymmetricNetRegressor(activation=activation, random_state=0, **SMALL).fit(X, y)
    assert net.loss_curve_[-1] < net.loss_curve_[0]


def start(seed=0, **settings):
    """The network and the sampler's seed of an estimator with these settings."""
    random = np.random.RandomState(seed)
    net = af.Network.init(11, 100, 0.5, 0.5, "relu", rng=random.randint(2**31), **settings)
    return net, random.randint(2**31)


@pytest.mark.parametrize("margin", [1e3, 1e12])  # rises; diverges
def test_a_step_that_rose_is_taken_again_with_half_of_it(monkeypatch, margin):
    import asymfast.sklearn.estimators as base

    X, y = friedman()
    usual = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y)
    monkeypatch.setattr(base, "_MARGINS", {"mse": 0.8 * margin})
    monkeypatch.setattr(base, "_MOST_HALVINGS", 50)
    net = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y)
    halvings = np.log2(usual.learning_rate_ * margin / net.learning_rate_)
    assert halvings >= 1
    assert abs(halvings - round(halvings)) < 0.02  # steps are rounded to three digits
    assert net.loss_curve_.min() < net.loss_curve_[0]


def test_a_step_of_your_own_that_is_too_large_says_so():
    X, y = friedman()
    with pytest.raises(af.DivergenceError, match="at the start steps up to"):
        AsymmetricNetRegressor(learning_rate_init=1e6, random_state=0, **SMALL).fit(X, y)


def test_what_is_trained_is_the_network_of_the_library():
    X, y = friedman()
    net = AsymmetricNetRegressor(
        learning_rate_init=0.5, tol=0, n_iter_no_change=1000, random_state=0, **SMALL
    ).fit(X, y)
    inputs = np.column_stack([X, np.ones(len(X))])
    first, seed = start()
    run = af.sgd(
        first, inputs, (y - y.mean()) / y.std(), lr=lambda epoch: 0.5 * (1 - epoch / 60),
        batch_size=32, epochs=60, loss="mse", train_output=True, rng=seed,
        record=af.Record(every=10, ntg=False, eigmin=False), stop=af.Stop(patience=1000),
    )  # fmt: skip
    assert_same_bits(net.loss_curve_, run.loss)
    assert_same_bits(net.network_.W, run.network.W)
    np.testing.assert_allclose(
        net.predict(X), run.network(inputs) * y.std() + y.mean(), rtol=0, atol=1e-9
    )


# ---- as an estimator -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_are_kept(dtype):
    X, y = friedman()
    labels = (y > y.mean()).astype(int)
    X = X.astype(dtype)
    regressor = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y)
    classifier = AsymmetricNetClassifier(random_state=0, **SMALL).fit(X, labels)
    features = NodeFeatures(regressor, k=3).fit(X, y)
    assert regressor.network_.dtype == dtype
    for values in (
        regressor.predict(X),
        classifier.predict_proba(X),
        classifier.decision_function(X),
        features.transform(X),
    ):
        assert values.dtype == dtype
    assert classifier.predict(X).dtype == labels.dtype
    assert regressor.predict(X.astype("float64")).dtype == dtype  # the network's


def test_seeds():
    X, y = friedman()
    fits = [AsymmetricNetRegressor(random_state=s, **SMALL).fit(X, y).predict(X) for s in (0, 0, 1)]
    assert_same_bits(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])
    again = AsymmetricNetRegressor(random_state=np.random.RandomState(0), **SMALL).fit(X, y)
    assert_same_bits(again.predict(X), fits[0])


def test_threads_change_no_bit():
    X, y = friedman()
    one, two = (
        AsymmetricNetRegressor(random_state=0, **{**SMALL, "n_jobs": t}).fit(X, y) for t in (1, 2)
    )
    assert_same_bits(one.predict(X), two.predict(X))


def test_several_targets():
    X, y = friedman()
    Y = np.column_stack([y, 100 * X[:, 0] + 7, np.full(len(X), 3.0)])
    net = AsymmetricNetRegressor(random_state=0, n_hidden=200, max_iter=500).fit(X, Y)
    predicted = net.predict(X)
    assert predicted.shape == Y.shape
    for column in (0, 1):
        assert np.corrcoef(predicted[:, column], Y[:, column])[0, 1] > 0.95
    column = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y[:, None]).predict(X)
    flat = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y).predict(X)
    assert_same_bits(column, flat[:, None])


def test_probabilities():
    X, y = iris()
    net = AsymmetricNetClassifier(random_state=0, **SMALL).fit(X, y)
    p = net.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(np.log(p), net.predict_log_proba(X), atol=1e-12)
    assert_same_bits(net.classes_[p.argmax(axis=1)], net.predict(X))
    two = AsymmetricNetClassifier(random_state=0, **SMALL).fit(X, y == 1)
    odds = two.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), two.predict_proba(X)[:, 1], rtol=1e-12)
    assert ((odds > 0) == two.predict(X)).all()


def test_early_stopping_keeps_the_best():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 5)), rng.standard_normal(80)  # nothing to be learnt
    settings = {"random_state": 0, "n_hidden": 200}
    net = AsymmetricNetRegressor(early_stopping=True, validation_fraction=0.3, **settings).fit(X, y)
    assert net.n_iter_ < 500
    assert len(net.loss_curve_) == len(net.validation_scores_) == net.n_iter_ + 1
    assert net.validation_scores_.argmax() == net.n_iter_ - net.n_iter_no_change
    rest = AsymmetricNetRegressor(**settings).fit(X, y)
    assert rest.validation_scores_ is None
    assert net.loss_curve_[-1] > rest.loss_curve_[-1]
    # that of the network kept, computed anew from the held-out samples
    from sklearn.metrics import r2_score
    from sklearn.model_selection import train_test_split

    random = np.random.RandomState(0)
    random.randint(2**31)
    held_out = train_test_split(X, y, test_size=0.3, random_state=random)
    score = r2_score(held_out[3], net.predict(held_out[1]))
    assert score == pytest.approx(net.validation_scores_.max(), rel=1e-9)


def test_validation_scores_of_a_classifier_are_its_accuracy():
    X, y = iris()
    net = AsymmetricNetClassifier(early_stopping=True, random_state=0, **SMALL).fit(X, y)
    assert ((net.validation_scores_ >= 0) & (net.validation_scores_ <= 1)).all()
    np.testing.assert_allclose(net.validation_scores_ * 15 % 1, 0, atol=1e-12)  # of 15 samples


def test_early_stopping_of_a_classifier_holds_out_every_class():
    X, y = iris()
    net = AsymmetricNetClassifier(early_stopping=True, random_state=0, **SMALL).fit(X, y)
    assert net.score(X, y) > 0.9


def test_tol_ends_the_training():
    X, y = friedman()
    patient = AsymmetricNetRegressor(
        random_state=0, n_hidden=50, tol=0, n_iter_no_change=500, max_iter=40
    ).fit(X, y)
    hasty = clone(patient).set_params(tol=0.5, n_iter_no_change=3).fit(X, y)
    assert patient.n_iter_ == 40
    assert hasty.n_iter_ < 40
    np.testing.assert_array_equal(hasty.loss_curve_, patient.loss_curve_[: hasty.n_iter_ + 1])


@pytest.mark.slow
def test_pipelines_and_searches():
    X, y = make_friedman1(n_samples=200, noise=0.5, random_state=0)
    model = make_pipeline(StandardScaler(), AsymmetricNetRegressor(random_state=0, **SMALL))
    assert cross_val_score(model, 10 * X, y, cv=3).mean() > 0.7
    search = GridSearchCV(
        model,
        {"asymmetricnetregressor__gamma": [0.1, 1.0], "asymmetricnetregressor__n_hidden": [50]},
        cv=2,
        n_jobs=2,
    ).fit(X, y)
    assert search.best_params_["asymmetricnetregressor__n_hidden"] == 50
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_pickles_and_clones():
    X, y = friedman()
    net = AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, y)
    assert_same_bits(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))
    assert_same_bits(clone(net).fit(X, y).predict(X), net.predict(X))


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    X, y = iris()
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    labels = pandas.Series(y, name="kind").map(dict(enumerate(["x", "y", "z"])))
    net = AsymmetricNetClassifier(random_state=0, **SMALL).fit(frame, labels)
    assert list(net.feature_names_in_) == ["a", "b", "c", "d"]
    assert net.score(frame, labels) > 0.9
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[["b", "a", "c", "d"]])
    features = NodeFeatures(net, k=3).set_output(transform="pandas").fit(frame, labels)
    table = features.transform(frame)
    assert list(table.columns) == [f"node{j}" for j in features.nodes_]
    assert (table.index == frame.index).all()


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    X, y = friedman()
    net = AsymmetricNetRegressor(random_state=0, **SMALL)
    expected = net.fit(X, y).predict(X)
    assert_same_bits(net.fit(torch.tensor(X), torch.tensor(y)).predict(torch.tensor(X)), expected)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"n_hidden": 0}, ValueError, "'n_hidden' .* must be an int in the range .* Got 0"),
        ({"gamma": 2.0}, ValueError, r"'gamma' .* in the range \[0.*, 1.*\]. Got 2\.0"),
        ({"alpha": -1.0}, ValueError, "'alpha' .* Got -1"),
        ({"activation": "mish"}, ValueError, "'activation' .* must be a str among .*'mish'"),
        ({"learning_rate_init": "adaptive"}, ValueError, "'learning_rate_init' .*'auto'"),
        ({"learning_rate_init": 0}, ValueError, "'learning_rate_init' .* Got 0"),
        ({"batch_size": 0}, ValueError, "'batch_size' .* Got 0"),
        ({"batch_size": 301}, ValueError, "batch_size must be at most n = 300, got 301"),
        ({"max_iter": 0}, ValueError, "'max_iter' parameter of AsymmetricNetRegressor"),
        ({"max_iter": 1.5}, TypeError, "'max_iter' .* must be an int"),
        ({"tol": -1}, ValueError, "'tol' .* Got -1"),
        ({"n_iter_no_change": 0}, ValueError, "'n_iter_no_change' .* Got 0"),
        ({"fit_intercept": "1"}, TypeError, "'fit_intercept' .* must be an instance of 'bool'"),
        ({"early_stopping": "yes"}, TypeError, "'early_stopping' .* must be an instance of 'bool'"),
        ({"validation_fraction": 1.0}, ValueError, "'validation_fraction' .* Got 1"),
        ({"n_jobs": 0}, ValueError, "'n_jobs' .* Got 0"),
    ],
)
def test_parameters_are_checked_in_fit(settings, kind, message):
    X, y = friedman()
    with pytest.raises(kind, match=message):
        AsymmetricNetRegressor(**settings).fit(X, y)


@pytest.mark.parametrize("narrow", [np.uint8, np.int8, np.uint64])
def test_numbers_of_numpy_are_those_of_python(narrow):
    """Of a grid of parameters; their own arithmetic overflows and rounds."""
    X, y = make_friedman1(100, random_state=0)
    whole = {"n_hidden": 20, "max_iter": 9, "batch_size": 7, "n_iter_no_change": 9}
    own = {name: narrow(value) for name, value in whole.items()}
    own |= {"learning_rate_init": np.float16(0.1), "tol": np.float16(0.001)}
    python = {name: value.item() for name, value in own.items()}
    fitted = [AsymmetricNetRegressor(random_state=0, **given).fit(X, y) for given in (own, python)]
    np.testing.assert_array_equal(fitted[0].loss_curve_, fitted[1].loss_curve_)
    assert fitted[0].learning_rate_ == fitted[1].learning_rate_


def test_one_class_is_refused():
    X, _ = friedman()
    with pytest.raises(ValueError, match="y must have at least 2 classes, got 1 class"):
        AsymmetricNetClassifier().fit(X, np.ones(len(X), int))


# ---- features ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["paper", "authors"])
def test_features_are_those_of_the_most_important_nodes(kind):
    X, y = friedman()
    net = AsymmetricNetRegressor(random_state=0, **SMALL)
    features = NodeFeatures(net, k=6, kind=kind).fit(X, y)
    trained = clone(net).fit(X, y).network_
    ranked = np.argsort(-trained.node_importance(kind), kind="stable")
    assert (features.nodes_ == ranked[:6]).all()
    assert (np.diff(features.importances_) <= 0).all()
    whole = trained.features(np.column_stack([X, np.ones(len(X))]))
    np.testing.assert_allclose(features.transform(X), whole[:, ranked[:6]], rtol=1e-12, atol=1e-15)
    assert not hasattr(net, "network_")  # a clone was trained


def test_features_transfer():
    """Ten features carry most of what the network knows."""
    X, y = friedman()
    features = NodeFeatures(AsymmetricNetRegressor(gamma=0.1, random_state=0), k=10)
    model = make_pipeline(features, LinearRegression()).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.8


def test_default_estimator_follows_the_targets():
    X, y = iris()
    features = NodeFeatures(k=4, random_state=0).fit(X, y)
    assert isinstance(features.estimator_, AsymmetricNetClassifier)
    assert make_pipeline(features, LogisticRegression()).fit(X, y).score(X, y) > 0.9
    again = NodeFeatures(k=4, random_state=0).fit(X, y)
    assert_same_bits(again.transform(X), features.transform(X))
    features = NodeFeatures(k=4, random_state=0).fit(X, y + 0.5 * X[:, 0])
    assert isinstance(features.estimator_, AsymmetricNetRegressor)


def test_wrong_settings_of_features():
    X, y = friedman()
    with pytest.raises(
        ValueError, match=r"NodeFeatures: k must be at most the estimator's n_hidden = 100"
    ):
        NodeFeatures(AsymmetricNetRegressor(**SMALL), k=101).fit(X, y)
    with pytest.raises(TypeError, match=r"NodeFeatures: estimator must be .* got LinearRegression"):
        NodeFeatures(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="kind must be one of paper, authors"):
        NodeFeatures(AsymmetricNetRegressor(**SMALL), kind="mine").fit(X, y)
    with pytest.raises(NotFittedError):
        NodeFeatures().transform(X)


@pytest.mark.parametrize("kind", [AsymmetricNetRegressor, AsymmetricNetClassifier, NodeFeatures])
def test_data_that_are_not_finite_are_refused_without_a_warning(kind):
    """Both infinities in a column: scikit-learn's own sum of them is NaN. Found by fuzz targets."""
    X = np.array([[np.inf, -np.inf], [-np.inf, np.inf], [0.0, 1.0]])
    with pytest.raises(ValueError, match="X contains infinity"):
        kind().fit(X, [0, 1, 0])


def test_targets_of_any_size():
    X = np.arange(6.0).reshape(3, 2)
    y = np.array([1.7, -1.7, 0.4])
    fitted = [
        AsymmetricNetRegressor(random_state=0, **SMALL).fit(X, np.ldexp(y, exponent))
        for exponent in (0, -600, -1000, 600, 1023)  # the squares of four of them are 0 or inf
    ]
    for net, exponent in zip(fitted, (0, -600, -1000, 600, 1023), strict=True):
        expected = np.ldexp(fitted[0].predict(X), exponent)
        np.testing.assert_allclose(net.predict(X), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="continuous"):  # are they integers? no cast can tell
        AsymmetricNetClassifier().fit(X, [1e29 + 0.5, 2.5, 1e-3])


def test_predictions_beyond_the_range_are_refused():
    X = np.random.default_rng(0).standard_normal((7, 3))
    net = AsymmetricNetRegressor(n_hidden=1, max_iter=1, random_state=0).fit(X, 1e150 * X[:, 0])
    with pytest.raises(OverflowError, match="exceeds the range of float64"):
        net.predict(np.full((1, 3), 1e200) * np.sign(net.network_.W[0, :3]))


def test_probabilities_beyond_the_range_are_0_and_1():
    X = np.random.default_rng(0).standard_normal((7, 3))
    net = AsymmetricNetClassifier(n_hidden=20, max_iter=1, random_state=0).fit(X, X[:, 0] > 0)
    net.network_ = net.network_.with_weights(np.abs(net.network_.W), a=[[1.0, -1.0]] * 20)
    far = np.full((1, 3), 1e300)
    outputs = net.network_(np.append(far, [[1.0]], axis=1))  # with the intercept
    far *= 1.2e308 / np.abs(outputs).max()  # their difference overflows
    assert sorted(net.predict_proba(far)[0]) == [0, 1]
    assert sorted(net.predict_log_proba(far)[0]) == [-np.inf, 0]
    with pytest.raises(OverflowError, match="exceeds the range of float64"):
        net.decision_function(far)


@pytest.mark.parametrize("masked", ["X", "y"])
def test_masks_are_not_dropped(masked):
    data = {"X": np.eye(3), "y": np.arange(3.0)}
    data[masked] = np.ma.array(data[masked], mask=data[masked] > 0)
    with pytest.raises(TypeError, match=f"Regressor: {masked} must be a plain array, got a masked"):
        AsymmetricNetRegressor().fit(**data)
