"""Runs of every kind, for the tests of what must hold for all of them."""

from __future__ import annotations

import asymfast as af
import numpy as np
from cases import as_float32, simulated


def descent(net, X, y, **settings):
    return af.gradient_descent(net, X, y, **{"lr": 0.5, "steps": 3000, **settings})


def leaps(net, X, y, **settings):
    return descent(net, X, y, **{"method": "leap", **settings})


def fixed_flow(net, X, y, **settings):
    return af.gradient_flow(net, X, y, **{"t_end": 400.0, "dt": 0.5, **settings})


def rk4_flow(net, X, y, method="rk4", **settings):
    record = settings.pop("record", None) or af.Record(times=np.linspace(0, 100, 21))
    settings = {"t_end": 100.0, "record": record, **settings}
    return af.gradient_flow(net, X, y, method=method, **settings)


def dopri5_flow(net, X, y, **settings):
    return rk4_flow(net, X, y, "dopri5", **settings)


def tangent_flow(net, X, y, **settings):
    return rk4_flow(net, X, y, "tangent", **settings)


def sgd(net, X, y, **settings):
    settings = {"lr": 0.5, "batch_size": 8, "epochs": 1000, "train_output": True, **settings}
    return af.sgd(net, X, y, **settings)


TRAINERS = {
    "descent": descent,
    "leaps": leaps,
    "fixed flow": fixed_flow,
    "rk4 flow": rk4_flow,
    "dopri5 flow": dopri5_flow,
    "tangent flow": tangent_flow,
    "sgd": sgd,
}

# They choose their own steps, and of an ensemble each member its own.
CHOOSING = (rk4_flow, dopri5_flow, tangent_flow)


def data(kind="single", dtype="float64"):
    """A network with data, or an ensemble of three."""
    cases = [simulated(seed=seed) for seed in range(3)]
    if dtype == "float32":
        cases = [as_float32(case) for case in cases]
    if kind == "single":
        return cases[0].net, cases[0].X, cases[0].y
    return af.Network.stack([case.net for case in cases]), cases[0].X, cases[0].y
