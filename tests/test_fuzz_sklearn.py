"""Whatever is passed to the estimators of scikit-learn: fitted and finite, or refused.

By scikit-learn's own checks in its words, by ours in ours; never a warning, a crash or NaN.
"""

from __future__ import annotations

import warnings

import asymfast as af
import numpy as np
import pytest
from cases import ACTIVATIONS
from fuzz_inputs import REFUSALS, arrays, assert_finite, counts, odd, rarely, reals, usually
from fuzzing import fuzz
from hypothesis import strategies as st

pytest.importorskip("sklearn")
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

AsymmetricNetClassifier = af.sklearn.AsymmetricNetClassifier
AsymmetricNetRegressor = af.sklearn.AsymmetricNetRegressor
NodeFeatures = af.sklearn.NodeFeatures

settings = st.fixed_dictionaries(
    {
        "n_hidden": counts(20),
        "max_iter": counts(60),
        "n_jobs": usually(st.just(1)),
        "random_state": usually(st.integers(0, 9)),
    },
    optional={
        "gamma": reals(0.0, 1.0),
        "alpha": reals(0.0, 3.0),
        "activation": usually(st.sampled_from(ACTIVATIONS)),
        "fit_intercept": usually(st.booleans()),
        "learning_rate_init": usually(st.just("auto")) | reals(0.0),
        "tol": reals(0.0, 1.0),
        "n_iter_no_change": usually(st.integers(1, 60)),
        "early_stopping": usually(st.booleans()),
        "validation_fraction": reals(0.0, 1.0),
    },
)
classes = [[-3, 0, 2], ["a", "b"], [1, "a"]]  # the last ones cannot be sorted
labels = st.sampled_from(classes).flatmap(
    lambda of: st.lists(st.sampled_from(of), min_size=7, max_size=7)
)


def moderate(chosen):
    """Days of work and all of the memory are not for us."""
    return {
        name: 2**70
        if name in ("n_hidden", "max_iter") and isinstance(value, int) and value > 60
        else value
        for name, value in chosen.items()
    }


def fitted(estimator, X, y):
    try:
        with warnings.catch_warnings():  # scikit-learn's own, where y is a column
            warnings.simplefilter("ignore", DataConversionWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            return estimator.fit(X, y)
    except (*REFUSALS, af.DivergenceError):
        return None


def results(*calls):
    """What the calls return; a call may refuse its data."""
    for call in calls:
        try:
            yield call()
        except REFUSALS:
            continue


@fuzz(
    25,
    chosen=settings,
    X=arrays(7, 3, dtype="float64"),
    y=arrays(7, dtype="float64") | arrays(7, 2, dtype="float64") | labels,
    X_new=arrays(2, 3, dtype="float64"),
)
def test_regressor(chosen, X, y, X_new):
    net = fitted(AsymmetricNetRegressor(**moderate(chosen)), X, y)
    if net is not None:
        assert_finite(net.loss_curve_, net.learning_rate_)
        assert len(net.loss_curve_) == net.n_iter_ + 1 <= chosen["max_iter"] + 1
        assert_finite(*results(lambda: net.predict(X), lambda: net.predict(X_new)))
    return net is not None


@fuzz(
    25,
    chosen=settings,
    X=arrays(7, 3, dtype="float64"),
    y=labels | arrays(7, dtype="int64") | arrays(7, dtype="float64"),
    X_new=arrays(2, 3, dtype="float64"),
)
def test_classifier(chosen, X, y, X_new):
    net = fitted(AsymmetricNetClassifier(**moderate(chosen)), X, y)
    if net is None:
        return
    assert_finite(net.loss_curve_, net.learning_rate_)
    for data in (X, X_new):
        assert_finite(*results(lambda: net.decision_function(data)))  # noqa: B023
        for p in results(lambda: net.predict_proba(data)):  # noqa: B023
            assert np.abs(p.sum(axis=1) - 1).max() <= 1e-5
        for said in results(lambda: net.predict(data)):  # noqa: B023
            assert np.isin(said, net.classes_).all()
    return True


@fuzz(
    25,
    estimator=usually(st.sampled_from([AsymmetricNetClassifier, AsymmetricNetRegressor])),
    k=usually(st.integers(1, 12)),
    kind=usually(st.sampled_from(["paper", "authors"])),
    random_state=usually(st.integers(0, 9)),
    X=arrays(7, 3, dtype="float64"),
    y=rarely(odd, labels | arrays(7, dtype="float64")),
)
def test_node_features(estimator, k, kind, random_state, X, y):
    if isinstance(estimator, type):
        estimator = estimator(n_hidden=10, max_iter=60, n_jobs=1)
    features = NodeFeatures(estimator, k=k, kind=kind, random_state=random_state)
    if fitted(features, X, y) is None:
        return
    assert_finite(features.importances_)
    for H in results(lambda: features.transform(X)):
        assert_finite(H)
        assert H.shape == (7, k)
    return True
