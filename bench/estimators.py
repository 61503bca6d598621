"""The scikit-learn estimators beside scikit-learn's MLP of the same width, all with their defaults.

    python bench/estimators.py --data FOLDER [--seeds 3] [--width 500] [SET ...]

Both fit the same standardised tables (MNIST: 5000 images, pixels from 0 to 1), in turns, in one
run; the table has medians over seeds of score on the test data, wall time and number of epochs.
"""

from __future__ import annotations

import argparse
import time
import warnings

import asymfast as af
import numpy as np
from asymfast.sklearn import AsymmetricNetClassifier, AsymmetricNetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

SETS = ("airfoil", "energy", "concrete", "mnist")


def samples(name: str, folder: str) -> list[np.ndarray]:
    """X, y, X_test, y_test, standardised by the training samples."""
    if name == "mnist":
        data = af.datasets.load_mnist(data_dir=folder)
        lowest, highest = data.X_train.min(), data.X_train.max()
        X, X_test = ((x[:5000] - lowest) / (highest - lowest) for x in (data.X_train, data.X_test))
        return [X, data.y_train[:5000].argmax(1), X_test, data.y_test[:5000].argmax(1)]
    data = af.datasets.load(name, data_dir=folder)
    X = np.concatenate([data.X_train, data.X_valid])
    scaler = StandardScaler().fit(X)
    y = np.concatenate([data.y_train, data.y_valid])
    return [scaler.transform(X), y, scaler.transform(data.X_test), data.y_test]


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("sets", nargs="*", default=SETS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the MLP's, which stops at max_iter
    print("| data | n | d | estimator | score | seconds | epochs |\n|---|---|---|---|---|---|---|")
    for name in options.sets:
        X, y, X_test, y_test = samples(name, options.data)
        ours, theirs = AsymmetricNetRegressor, MLPRegressor
        if name == "mnist":
            ours, theirs = AsymmetricNetClassifier, MLPClassifier
        rows: dict[str, list[tuple[float, float, int]]] = {}
        for seed in range(options.seeds):
            for model in (
                ours(options.width, random_state=seed),
                theirs(hidden_layer_sizes=(options.width,), random_state=seed),
            ):
                began = time.perf_counter()
                model.fit(X, y)
                seconds = time.perf_counter() - began
                found = (model.score(X_test, y_test), seconds, model.n_iter_)
                rows.setdefault(type(model).__name__, []).append(found)
        for kind, found in rows.items():
            score, seconds, epochs = np.median(found, axis=0)
            shape = f"{X.shape[0]} | {X.shape[1]}"
            print(f"| {name} | {shape} | {kind} | {score:.3f} | {seconds:.2f} | {epochs:.0f} |")


if __name__ == "__main__":
    main()
