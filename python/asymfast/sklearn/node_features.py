"""The hidden layer's most important nodes as features for other estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from .. import _check
from ..network import Network
from .estimators import (
    Array,
    AsymmetricNetClassifier,
    AsymmetricNetEstimator,
    AsymmetricNetRegressor,
    validated,
)


@_check.guarded
class NodeFeatures(TransformerMixin, BaseEstimator):
    """The k most important hidden features of a trained network, most important first.

    A feature is sqrt(lam_j) sigma(w_j.x / sqrt d), as in the transfer learning of Appendix J.

    Parameters
    ----------
    estimator : AsymmetricNetRegressor or AsymmetricNetClassifier, optional
        Estimator to train. Default: the classifier for labels (strings, bools, integers), the
        regressor for other targets, each with its defaults. Pass the regressor for counts.
    k : int, default=10
        Number of features, at most the estimator's n_hidden.
    kind : {"paper", "authors"}, default="paper"
        Of importance: lam_j |w_j|^2, or lam_j |a_j|^2; see `asymfast.Network.node_importance`.
    random_state : int, RandomState or None, default=None
        Random state of the estimator; None keeps that of a passed estimator.

    Attributes
    ----------
    estimator_ : the trained estimator
    nodes_ : (k,) int array
        The chosen nodes of ``estimator_.network_``, most important first.
    importances_ : (k,) float64 array
        Their importances.
    n_features_in_, feature_names_in_
        As in every estimator of scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from asymfast.sklearn import NodeFeatures
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(NodeFeatures(k=5, random_state=0), LogisticRegression(max_iter=1000))
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        estimator: AsymmetricNetEstimator | None = None,
        *,
        k: int = 10,
        kind: str = "paper",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.k = k
        self.kind = kind
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any) -> NodeFeatures:
        """Train the estimator on X (n, d) and y, and choose its most important nodes.

        Raises
        ------
        TypeError, ValueError
            As the estimator's `fit`; another kind of estimator, k beyond its n_hidden.
        """
        fn = type(self).__name__
        k = _check.COUNT(fn, "k", self.k)
        validated(self, X, y, dtype=(np.float64, np.float32), multi_output=True)
        estimator = self._estimator(fn, y)
        _check.integer(fn, "k", k, high=estimator.n_hidden, of="the estimator's n_hidden = ")
        self.estimator_ = estimator.fit(X, y)
        network = self.estimator_.network_
        self.nodes_ = network._ranked(self.kind)[:k]
        self.importances_ = network.node_importance(self.kind)[self.nodes_]
        return self

    def transform(self, X: Any) -> Array:
        """Features (n, k), in the dtype of the training inputs."""
        check_is_fitted(self)
        net: Network = self.estimator_.network_
        X = validated(self, X, dtype=net.dtype, reset=False)
        return net._select(self.nodes_).features(X, threads=self.estimator_._threads)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names "node17" by the nodes' numbers."""
        check_is_fitted(self)
        return np.array([f"node{j}" for j in self.nodes_], dtype=object)

    def _estimator(self, fn: str, y: Any) -> Any:
        if self.estimator is None:
            with np.errstate(invalid="ignore"):  # it asks whether huge numbers are integers
                labels = type_of_target(y) in ("binary", "multiclass")
            kind = AsymmetricNetClassifier if labels else AsymmetricNetRegressor
            return kind(random_state=self.random_state)
        if not isinstance(self.estimator, AsymmetricNetEstimator):
            raise TypeError(
                f"{fn}: estimator must be an AsymmetricNetRegressor or AsymmetricNetClassifier, "
                f"got {type(self.estimator).__name__}"
            )
        estimator = clone(self.estimator)
        return (
            estimator
            if self.random_state is None
            else estimator.set_params(random_state=self.random_state)
        )
