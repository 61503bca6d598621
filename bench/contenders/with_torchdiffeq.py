"""torchdiffeq: the flow dW/dt = -dL/dW on PyTorch."""

from __future__ import annotations

import torch
import torchdiffeq

from contenders.with_torch import gradient, set_up, tensors, value  # noqa: F401

VERSION = torchdiffeq.__version__


class Field:
    """-dL/dW, which counts how often it is asked for."""

    def __init__(self, data):
        self.data, self.calls = data, 0

    def __call__(self, t, W):
        self.calls += 1
        return -gradient(W, *self.data)


def rk4(arrays, workload):
    data, dt = tensors(arrays), workload.settings["dt"]

    def run(steps):
        with torch.no_grad():
            times = torch.tensor([0.0, steps * dt], dtype=torch.float64)
            W = torchdiffeq.odeint(
                Field(data),
                torch.tensor(arrays["W"]),
                times,
                method="rk4",
                options={"step_size": dt},
            )[-1]
            return float(value(W, *data))

    return run


programs = {"rk4": {"rk4": rk4}}
