"""scikit-learn estimators: `AsymmetricNetRegressor`, `AsymmetricNetClassifier`, `NodeFeatures`.

Needs the extra ``sklearn``.
"""

from __future__ import annotations

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError(
        "asymfast.sklearn needs scikit-learn; install it with: pip install 'asymfast[sklearn]'"
    ) from error

if tuple(int(part) for part in _sklearn.__version__.split(".")[:2]) < (1, 6):
    raise ImportError(
        f"asymfast.sklearn needs scikit-learn 1.6 or newer, got {_sklearn.__version__}; "
        "install it with: pip install 'asymfast[sklearn]'"
    )

from .estimators import AsymmetricNetClassifier, AsymmetricNetRegressor
from .node_features import NodeFeatures

__all__ = ["AsymmetricNetClassifier", "AsymmetricNetRegressor", "NodeFeatures"]
