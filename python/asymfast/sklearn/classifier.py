"""Classification by the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from .. import _check
from ._base import ATTRIBUTES, PARAMETERS, Array, AsymmetricNetEstimator, validated


@_check.guarded
class AsymmetricNetClassifier(ClassifierMixin, AsymmetricNetEstimator):  # noqa: D101
    __doc__ = f"""Classification by a wide, shallow network with asymmetrical node scaling.

    Stochastic gradient descent of both layers, in mini-batches, on the cross-entropy of one output
    for each of two or more classes.
    Standardise the inputs, as with `sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    {PARAMETERS}

    Attributes
    ----------
    {ATTRIBUTES}
    classes_ : (k,) array
        The labels, in the order of the columns of `predict_proba`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from asymfast.sklearn import AsymmetricNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = AsymmetricNetClassifier(random_state=0).fit(X, y)
    >>> bool(net.score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any) -> AsymmetricNetClassifier:
        """Train on X (n, d) and labels y (n,) of any kind; float32 X trains in float32.

        Raises
        ------
        ValueError, TypeError
            Invalid data or parameters; a single class.
        OverflowError
            Numbers that exceed the range of their dtype.
        asymfast.DivergenceError
            An explicit `learning_rate_init` is too large.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            `max_iter` ended the training while its loss was twice that of a constant prediction.
        """
        self._validate_params()
        X, y = validated(self, X, y, dtype=(np.float64, np.float32))
        with np.errstate(invalid="ignore"):  # it asks whether huge numbers are integers
            check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"AsymmetricNetClassifier: y must have at least 2 classes, got 1 class "
                f"({self.classes_[0]!r})"
            )
        self._train(X, labels, len(self.classes_), "cross_entropy", classes=labels)
        return self

    def decision_function(self, X: Any) -> Array:
        """Outputs (n, k) of the network; of two classes their difference (n,), the log-odds."""
        f = self._outputs(X)
        if len(self.classes_) > 2:
            return f
        with np.errstate(over="ignore"):
            log_odds = f[:, 1] - f[:, 0]
        return _check.in_range("AsymmetricNetClassifier", log_odds)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities (n, k), as elsewhere in scikit-learn: -inf of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, k) of the classes, in the order of `classes_`."""
        f = self._outputs(X)
        with np.errstate(over="ignore"):
            f = f - f.max(axis=1, keepdims=True)
        return np.asarray(np.exp(f - np.log(np.exp(f).sum(axis=1, keepdims=True))))

    def predict(self, X: Any) -> Array:
        """Most probable labels (n,)."""
        most_probable = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[most_probable])
