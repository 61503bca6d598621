"""A sweep on a Dask cluster: three seeds of each gamma, means and ranges."""

import sys
import tempfile

import asymfast as af
import matplotlib.pyplot as plt
from distributed import Client, LocalCluster

GRID = {
    "base": {
        "data": {"name": "simulated", "n": 50, "d": 10},
        "network": {"m": 300, "alpha": 0.5},
        "train": {"trainer": "gradient_descent", "lr": 1.0, "steps": 1000},
    },
    "grid": {"network.gamma": [0.0, 0.25, 0.5, 1.0], "seed": [0, 1, 2]},
}
if __name__ == "__main__":
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with tempfile.TemporaryDirectory() as out, LocalCluster(**local) as cluster:
        with Client(cluster) as client:
            print(len(af.sweep(GRID, out=out, client=client).made), "runs")
        ds = af.load_sweep(out).load()
    loss = ds.loss.set_index(run=["gamma", "seed"]).unstack("run")
    fig, ax = plt.subplots(figsize=(4.8, 3), layout="constrained")
    for gamma, of in loss.groupby("gamma"):
        of = of.squeeze("gamma")
        ax.fill_between(ds.record, of.min("seed"), of.max("seed"), alpha=0.3)
        ax.plot(ds.record, of.mean("seed"), label=f"gamma = {gamma:g}")
    ax.set(xlabel="record", ylabel="loss", yscale="log")
    ax.legend(fontsize=8)
    fig.savefig(sys.argv[1], dpi=100)
