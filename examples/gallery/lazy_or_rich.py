"""Lazy or rich: test error on airfoil over gamma and alpha, beside kernel regression."""

import sys
from itertools import product

import asymfast as af
import matplotlib.pyplot as plt
import numpy as np

data = af.datasets.load("airfoil")
X, y = data.X_train, data.y_train
gammas, alphas = (0.0, 0.25, 0.5, 0.75, 1.0), (0.4, 0.6, 0.8)
grid = list(product(gammas, alphas))
nets = af.Network.init(X.shape[1], 200, *map(list, zip(*grid, strict=True)), rng=0, bias=True)
test = {"X_test": data.X_test, "y_test": data.y_test}
record = af.Record(every=100, ntg=False, eigmin=False)
run = af.gradient_descent(nets, X, y, steps=1000, loss="mse", record=record, **test)
error = run.test_loss[-1].reshape(len(gammas), len(alphas)).T

lazy = nets[len(grid) - 1]  # gamma = 1: its NTG is the kernel
duals = [np.linalg.solve(lazy.ntg(X) + r * np.eye(len(X)), y) for r in (1e-3, 1e-2, 1e-1)]
chosen = min(duals, key=lambda u: np.mean((lazy.ntg(data.X_valid, X) @ u - data.y_valid) ** 2))
kernel = np.mean((lazy.ntg(data.X_test, X) @ chosen - data.y_test) ** 2)

fig, axes = plt.subplots(1, 2, width_ratios=(5, 1), figsize=(6.4, 2.8), layout="constrained")
for ax, values, title in zip(
    axes, (error, [[kernel]]), ("network: test mse", "kernel"), strict=True
):
    image = ax.imshow(values, vmin=min(error.min(), kernel), vmax=max(error.max(), kernel))
    ax.set(title=title, xticks=[], yticks=[])
    [ax.text(j, i, f"{v:.2f}", ha="center", c="w") for (i, j), v in np.ndenumerate(values)]
axes[0].set(xticks=range(5), xticklabels=gammas, yticks=range(3), yticklabels=alphas)
axes[0].set(xlabel="gamma", ylabel="alpha")
fig.savefig(sys.argv[1], dpi=100)
