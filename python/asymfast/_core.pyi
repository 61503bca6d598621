"""Compiled core: C-contiguous arrays of one dtype; names are those of the public functions."""

from typing import Any

from numpy.typing import NDArray

def build_config() -> dict[str, Any]: ...
def use_isa(isa: str) -> None: ...
def use_one_thread_from_now_on() -> None: ...
def use_cuda(module: object) -> None: ...
def dlpack_tensor(capsule: object) -> dict[str, Any]: ...
def emulation(order: str = "forward", blocks: int = 4, shared_memory: int = 65536) -> None: ...
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
def gradient_descent(arguments: dict[str, Any], lr: float, steps: int) -> dict[str, Any]: ...
def sgd(
    arguments: dict[str, Any],
    lr: list[float],
    epochs: int,
    batch_size: int,
    train_output: bool,
    keys: list[int],
) -> dict[str, Any]: ...
def gradient_flow(
    arguments: dict[str, Any], method: str, t_end: float, dt: float, rtol: float
) -> dict[str, Any]: ...

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
