"""Compiled core: C-contiguous arrays of one dtype; names are those of the public functions."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Callback = Callable[..., Any] | None

def build_config() -> dict[str, Any]: ...
def planned_bytes(
    fn: str,
    n: int,
    d: int,
    m: int,
    k: int,
    B: int,
    itemsize: int,
    ntg_samples: int = 0,
    rows: int = 0,
    test_samples: int = 0,
    threads: int = 1,
    alone: bool = True,
    loss: str = "half_sse",
    activation: str = "swish",
    train_output: bool = False,
    method: str = "step",
    dt: float = 0.0,
    batch_size: int = 1,
) -> float: ...
def planned_ntg_bytes(n: int, n2: int, d: int, v: Array, itemsize: int) -> tuple[float, float]: ...
def use_isa(isa: str) -> None: ...
def use_cuda(module: object) -> None: ...
def dlpack_array(capsule: object) -> Array: ...
def dlpack_on_cuda(capsule: object) -> object: ...
def forward(
    W: Array, a: Array, lam: Array, activation: str, X: Array, backend: str, threads: int
) -> Array: ...
def loss(
    W: Array,
    a: Array,
    lam: Array,
    activation: str,
    X: Array,
    y: Array,
    loss: str,
    backend: str,
    threads: int,
) -> float: ...
def node_gradients(
    W: Array,
    a: Array,
    lam: Array,
    activation: str,
    X: Array,
    y: Array,
    loss: str,
    backend: str,
    threads: int,
) -> Array: ...
def pullback(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, backend: str, threads: int
) -> Array: ...
def curvature(
    W: Array,
    a: Array,
    lam: Array,
    activation: str,
    X: Array,
    loss: str,
    both_layers: bool,
    backend: str,
    threads: int,
) -> float: ...
def features(
    W: Array,
    a: Array,
    lam: Array,
    activation: str,
    X: Array,
    out: Array | None,
    backend: str,
    threads: int,
) -> Array: ...
def ntg(
    W: Array,
    v: Array,
    activation: str,
    X: Array,
    X2: Array,
    backend: str,
    threads: int,
    slopes_memory: float,
    out: Array | None,
) -> Array: ...
def activation(name: str, z: Array, order: int, backend: str = "cpu") -> Array: ...
def min_eigenvalue(K: Array, backend: str, threads: int) -> float: ...

class Problem:
    def __init__(
        self,
        W: Array,
        a: Array,
        lam: Array,
        activation: str,
        X: Array,
        y: Array,
        X_test: Array | None,
        y_test: Array | None,
        loss: str,
        backend: str,
        threads: int,
        slopes_memory: float,
    ) -> None: ...

class Recording:
    def __init__(
        self,
        every: int,
        steps: list[int],
        times: list[float],
        ntg_on: list[int],
        columns: list[str],
        top_nodes: int,
    ) -> None: ...

class Hooks:
    def __init__(
        self,
        pulse: Callback,
        on_record: Callback,
        take_rows: Callback,
        checkpoint: Callback,
        sum_over_ranks: Callback,
        stop_loss: float,
        stop_time: float,
        stop_wall_seconds: float,
        rows_bytes: int,
        checkpoint_every: float,
        resume_from: bytes,
    ) -> None: ...

def recorded_columns() -> list[Any]: ...
def gradient_descent(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    lr: float,
    steps: int,
    method: str,
    rtol: float,
    train_output: bool,
) -> dict[str, Any]: ...
def gradient_flow(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    method: str,
    t_end: float,
    dt: float,
    rtol: float,
    train_output: bool,
) -> dict[str, Any]: ...
def sgd(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    lr: list[float],
    epochs: int,
    batch_size: int,
    train_output: bool,
    keys: list[int],
) -> dict[str, Any]: ...

class NtgOperatorFloat:
    def __init__(
        self,
        W: Array,
        v: Array,
        activation: str,
        X: Array,
        backend: str,
        threads: int,
        slopes_memory: float,
    ) -> None: ...
    def apply(self, U: Array, backend: str, threads: int) -> Array: ...

class NtgOperatorDouble:
    def __init__(
        self,
        W: Array,
        v: Array,
        activation: str,
        X: Array,
        backend: str,
        threads: int,
        slopes_memory: float,
    ) -> None: ...
    def apply(self, U: Array, backend: str, threads: int) -> Array: ...
