"""Watching features move: how far each node has gone, lazy beside rich."""

import sys

import asymfast as af
import matplotlib.pyplot as plt

X, y = af.datasets.simulated(n=100, d=50, rng=0)
nets = af.Network.init(50, 1000, gamma=[1.0, 0.5], alpha=[None, 0.5], rng=1)
record = af.Record(times=[0, 10, 30, 100, 300, 1000], ntg=False, eigmin=False)
run = af.gradient_descent(nets, X, y, lr=1.0, steps=1000, record=record)

fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), sharey=True, layout="constrained")
for b, ax in enumerate(axes):
    moved = run.weight_change[:, b]  # (records, nodes): |w_tj - w_0j|
    ax.plot(run.time[1:], moved[1:, 10::10], c="0.8", lw=0.5)
    ax.plot(run.time[1:], moved[1:, :5], lw=1.5, label=[f"node {j + 1}" for j in range(5)])
    ax.set(title=f"gamma = {nets.gamma[b]:g}", xlabel="time", xscale="log", yscale="log")
axes[0].set(ylabel="|w(t) - w(0)|")
axes[1].legend(fontsize=7)
fig.savefig(sys.argv[1], dpi=100)
print(*(f"{run.weight_change[-1, b].max():.3g}" for b in range(2)))
