"""Least squares by the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from .. import _check
from ._base import ATTRIBUTES, PARAMETERS, Array, AsymmetricNetEstimator, validated


@_check.guarded
class AsymmetricNetRegressor(RegressorMixin, AsymmetricNetEstimator):  # noqa: D101
    __doc__ = f"""Regression by a wide, shallow network with asymmetrical node scaling.

    Stochastic gradient descent of both layers, in mini-batches, on the mean squared error of
    targets that are standardised inside. Standardise the inputs, as with
    `sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    {PARAMETERS}

    Attributes
    ----------
    {ATTRIBUTES}
    y_mean_, y_scale_ : float, or (k,) array
        Mean and standard deviation of the targets; losses are those of (y - y_mean_) / y_scale_.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from asymfast.sklearn import AsymmetricNetRegressor
    >>> X, y = make_friedman1(n_samples=400, noise=0.5, random_state=0)
    >>> net = AsymmetricNetRegressor(random_state=0).fit(X[:300], y[:300])
    >>> bool(net.score(X[300:], y[300:]) > 0.8)
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> AsymmetricNetRegressor:
        """Train on X (n, d) and y (n,) or (n, k); float32 X trains in float32.

        Raises
        ------
        ValueError, TypeError
            Invalid data or parameters.
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
        X, y = validated(
            self, X, y, dtype=(np.float64, np.float32), y_numeric=True, multi_output=True
        )
        targets = np.asarray(y, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = targets.mean(axis=0), targets.std(axis=0)
        if not np.isfinite(scale).all():
            raise OverflowError(
                "AsymmetricNetRegressor: the standard deviation of y exceeds the range of float64"
            )
        self.y_mean_, self.y_scale_ = mean, np.where(scale > 0, scale, 1.0)
        standardised = ((targets - self.y_mean_) / self.y_scale_).astype(X.dtype)
        if targets.ndim == 2 and targets.shape[1] == 1:
            standardised = standardised[:, 0]
        outputs = 1 if standardised.ndim == 1 else standardised.shape[1]
        self._train(X, standardised, outputs, "mse")
        return self

    def predict(self, X: Any) -> Array:
        """Predictions (n,) or (n, k), shaped as y was, in the dtype of the training inputs."""
        f = self._outputs(X)
        shape = (len(f),) if np.ndim(self.y_mean_) == 0 else (len(f), len(self.y_mean_))
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.asarray(f.reshape(shape) * self.y_scale_ + self.y_mean_, dtype=f.dtype)
        return _check.in_range("AsymmetricNetRegressor", y)
