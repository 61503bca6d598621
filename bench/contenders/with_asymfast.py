"""Ours: every run is one call into the compiled core."""

from __future__ import annotations

import asymfast as af

VERSION = af.__version__
_BARE = af.Record(steps=[0], ntg=False, eigmin=False)
_common = {}


def set_up(threads, dtype, device):
    _common["threads"] = threads
    _common["device"] = device


def network(arrays):
    return af.Network(arrays["W"], arrays["a"], arrays["lam"], activation="swish")


def descent(arrays, workload):
    net, X, y = network(arrays), arrays["X"], arrays["y"]

    def run(steps):
        lr = workload.settings["lr"]
        done = af.gradient_descent(net, X, y, lr=lr, steps=steps, record=_BARE, **_common)
        return float(done.loss[-1])

    return run


def rk4(arrays, workload):
    net, X, y = network(arrays), arrays["X"], arrays["y"]
    dt = workload.settings["dt"]

    def run(steps):
        done = af.gradient_flow(
            net, X, y, t_end=steps * dt, method="rk4", dt=dt, record=_BARE, **_common
        )
        return float(done.loss[-1])

    return run


def ntg(arrays, workload):
    net, X = network(arrays), arrays["X"]

    def run(repeat):
        for _ in range(repeat):
            K = net.ntg(X, **_common)
        return K

    return run


def eigmin(arrays, workload):
    K, threads = arrays["K"], _common["threads"]

    def run(repeat):
        return [af.min_eigenvalue(K[i % len(K)], threads=threads) for i in range(repeat)]

    return run


def ensemble(arrays, workload):
    single = {"a": arrays["a"], "lam": arrays["lam"]}
    nets = af.Network.stack([network({"W": W, **single}) for W in arrays["W"]])
    X, y, steps = arrays["X"], arrays["y"], workload.sizes["steps"]

    def run(repeat):
        for _ in range(repeat):
            done = af.gradient_descent(
                nets, X, y, lr=workload.settings["lr"], steps=steps, record=_BARE, **_common
            )
        return done.loss[-1]

    return run


def sgd(arrays, workload):
    net, X, labels = network(arrays), arrays["X"], arrays["labels"]

    def run(epochs):
        done = af.sgd(
            net,
            X,
            labels,
            lr=workload.settings["lr"],
            batch_size=workload.sizes["batch"],
            epochs=epochs,
            loss="cross_entropy",
            train_output=True,
            rng=0,
            record=_BARE,
            **_common,
        )
        return float(done.loss[-1])

    return run


programs = {
    "descent": {"one call": descent},
    "rk4": {"one call": rk4},
    "ntg": {"Network.ntg": ntg},
    "eigmin": {"min_eigenvalue": eigmin},
    "ensemble": {"one call": ensemble},
    "sgd": {"one call": sgd},
}
