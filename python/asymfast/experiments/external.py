"""The external network of the authors' scripts: several ReLU layers with biases, in NumPy.

The text's external network has one hidden layer and is trained by `asymfast.sgd`; this one is the
variant that asymfast itself has no kernels for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Layers:
    """Weights (outputs, inputs) and biases (outputs,) of every layer, ReLU between them."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __call__(self, X: Array) -> Array:
        """Outputs (n, k) of inputs (n, d)."""
        return self.activations(X)[-1]

    def activations(self, X: Array) -> list[Array]:
        """Inputs, what each hidden layer gives, and the outputs."""
        values = [X]
        last = len(self.weights) - 1
        for place, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            Z = values[-1] @ W.T + b
            values.append(Z if place == last else np.maximum(Z, 0))
        return values


def drawn(sizes: tuple[int, ...], rng: np.random.Generator, dtype: npt.DTypeLike) -> Layers:
    """PyTorch's initialisation: weights and biases uniform within +-1 / sqrt(inputs)."""
    weights, biases = [], []
    for inputs, outputs in pairwise(sizes):
        bound = inputs**-0.5
        weights.append(rng.uniform(-bound, bound, (outputs, inputs)).astype(dtype))
        biases.append(rng.uniform(-bound, bound, outputs).astype(dtype))
    return Layers(tuple(weights), tuple(biases))


def trained(layers: Layers, X: Array, y: Array, lr: float, steps: int) -> Layers:
    """Gradient descent on the mean squared error over all entries, of all layers at once.

    Parameters
    ----------
    layers : Layers
        Where to start.
    X, y : (n, d) and (n, k) arrays
    lr : float
    steps : int

    Returns
    -------
    Layers
        Where the loss left all bounds, weights are not finite.
    """
    weights, biases = list(layers.weights), list(layers.biases)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            values = Layers(tuple(weights), tuple(biases)).activations(X)
            delta = (2 / y.size) * (values[-1] - y)
            for place in reversed(range(len(weights))):
                W, below = weights[place], values[place]
                weights[place] = W - lr * (delta.T @ below)
                biases[place] = biases[place] - lr * delta.sum(axis=0)
                if place:
                    delta = (delta @ W) * (below > 0)
    return Layers(tuple(weights), tuple(biases))
