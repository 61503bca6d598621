"""Compiled core: C-contiguous arrays of one dtype; names are those of the public functions."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

def build_config() -> dict[str, Any]: ...

class RunSizes:
    def __init__(
        self,
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
    ) -> None: ...
    def gradient_descent(self, method: str) -> float: ...
    def gradient_flow(self, method: str, dt: float) -> float: ...
    def sgd(self, batch_size: int, train_output: bool) -> float: ...
    def operator(self) -> float: ...

def planned_ntg_bytes(
    n: int, n2: int, d: int, v: NDArray[Any], itemsize: int
) -> tuple[float, float]: ...
def use_isa(isa: str) -> None: ...
def use_cuda(module: object) -> None: ...
def dlpack_tensor(capsule: object) -> dict[str, Any]: ...
def forward(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    backend: str,
    threads: int,
) -> NDArray[Any]: ...
def loss(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    y: NDArray[Any],
    loss: str,
    backend: str,
    threads: int,
) -> float: ...
def node_gradients(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    y: NDArray[Any],
    loss: str,
    backend: str,
    threads: int,
) -> NDArray[Any]: ...
def pullback(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    u: NDArray[Any],
    backend: str,
    threads: int,
) -> NDArray[Any]: ...
def curvature(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    loss: str,
    both_layers: bool,
    backend: str,
    threads: int,
) -> float: ...
def features(
    W: NDArray[Any],
    a: NDArray[Any],
    lam: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    backend: str,
    threads: int,
) -> NDArray[Any]: ...
def ntg(
    W: NDArray[Any],
    v: NDArray[Any],
    activation: str,
    X: NDArray[Any],
    X2: NDArray[Any],
    backend: str,
    threads: int,
    slopes_memory: float,
) -> NDArray[Any]: ...
def activation(name: str, z: NDArray[Any], order: int, backend: str = "cpu") -> NDArray[Any]: ...
def min_eigenvalue(K: NDArray[Any], backend: str, threads: int) -> float: ...

class Problem:
    def __init__(
        self,
        W: NDArray[Any],
        a: NDArray[Any],
        lam: NDArray[Any],
        activation: str,
        X: NDArray[Any],
        y: NDArray[Any],
        X_test: NDArray[Any] | None,
        y_test: NDArray[Any] | None,
        loss: str,
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
        pulse: Callable[..., Any] | None,
        on_record: Callable[..., Any] | None,
        take_rows: Callable[..., Any] | None,
        checkpoint: Callable[..., Any] | None,
        sum_over_ranks: Callable[..., Any] | None,
        stop_loss: float,
        stop_time: float,
        stop_wall_seconds: float,
        rows_bytes: int,
        checkpoint_every: float,
        resume_from: bytes,
    ) -> None: ...

class Execution:
    def __init__(self, backend: str, threads: int, slopes_memory: float) -> None: ...

class Result:
    @property
    def status(self) -> str: ...
    @property
    def stopped_by(self) -> str: ...
    @property
    def rows(self) -> dict[str, Any]: ...
    @property
    def W(self) -> NDArray[Any]: ...
    @property
    def a(self) -> NDArray[Any]: ...
    @property
    def diverged(self) -> list[bool]: ...
    @property
    def diverged_step(self) -> int: ...
    @property
    def last_loss(self) -> float: ...
    @property
    def step_bound(self) -> float: ...
    @property
    def methods(self) -> list[str]: ...
    @property
    def exception(self) -> object: ...

def recorded_columns() -> list[Any]: ...
def gradient_descent(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    execution: Execution,
    lr: float,
    steps: int,
    method: str,
    rtol: float,
    train_output: bool,
) -> Result: ...
def gradient_flow(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    execution: Execution,
    method: str,
    t_end: float,
    dt: float,
    rtol: float,
    train_output: bool,
) -> Result: ...
def sgd(
    problem: Problem,
    recording: Recording,
    hooks: Hooks,
    execution: Execution,
    lr: list[float],
    epochs: int,
    batch_size: int,
    train_output: bool,
    keys: list[int],
) -> Result: ...

class NtgOperatorFloat:
    def __init__(
        self,
        W: NDArray[Any],
        v: NDArray[Any],
        activation: str,
        X: NDArray[Any],
        backend: str,
        threads: int,
        slopes_memory: float,
    ) -> None: ...
    def apply(self, U: NDArray[Any], backend: str, threads: int) -> NDArray[Any]: ...

class NtgOperatorDouble:
    def __init__(
        self,
        W: NDArray[Any],
        v: NDArray[Any],
        activation: str,
        X: NDArray[Any],
        backend: str,
        threads: int,
        slopes_memory: float,
    ) -> None: ...
    def apply(self, U: NDArray[Any], backend: str, threads: int) -> NDArray[Any]: ...
