"""Pruning: the loss with only the most important nodes left."""

import sys

import asymfast as af
import matplotlib.pyplot as plt
import numpy as np

X, y = af.datasets.simulated(n=100, d=50, rng=0)
gammas, alphas = [1.0, 0.5, 0.0], [None, 0.5, 0.5]
nets = af.Network.init(50, 500, gamma=gammas, alpha=alphas, rng=1)
record = af.Record(every=1500, ntg=False, eigmin=False)
run = af.gradient_descent(nets, X, y, lr=1.0, steps=1500, record=record)
curve = af.pruning_curve(run.network, X, y, loss="mse")

fig, ax = plt.subplots(figsize=(4.8, 3), layout="constrained")
for b, gamma in enumerate(gammas):
    ax.loglog(curve.kept, curve.loss[b], label=f"gamma = {gamma:g}")
ax.axhline(np.mean(y**2), c="0.6", ls=":", label="no nodes")
ax.set(xlabel="nodes kept", ylabel="training mse")
ax.legend(fontsize=8)
fig.savefig(sys.argv[1], dpi=100)
for b, gamma in enumerate(gammas):
    enough = curve.kept[curve.loss[b] <= 2 * curve.loss[b, -1]][0]
    print(f"gamma {gamma:g}: {enough} of 500 nodes give twice the loss of all")
