"""diffrax: the flow dW/dt = -dL/dW under jit."""

from __future__ import annotations

import diffrax

from contenders.with_jax import by_hand, set_up, tensors, value  # noqa: F401

VERSION = diffrax.__version__
programs = {}
