"""``asymfast bench``: how fast this machine does the user's own sizes, beside other libraries."""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import itertools
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

import asymfast as af
from asymfast.cli import _common as common
from asymfast.cli._common import CommandError, count

PEERS = ("numpy", "torch", "jax")
TASKS = ("GD step", "RK4 step", "NTG", "eigenvalue")
_ACTIVATIONS = ("swish", "relu", "tanh", "identity")
_INSTALL = {"torch": "pip install 'asymfast[torch]'", "jax": "pip install jax"}
_PEAK_SIZE = 1024
_PEAK_FLOPS = 2 * _PEAK_SIZE**3
_SECONDS = 0.1  # of one measurement
_PAUSE = 0.05  # before it: threads spin for a while after their work
_MOST_SAMPLES = 2000  # in the NTG, whose eigenvalue takes n^3 / 3 flop
Run = Callable[[int], float]  # repeats the work that often; returns a number to compare
Ask = Callable[[str, int], tuple[float, float]]  # seconds and that number, of a task so often


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = common.command(commands, bench)
    option = parser.option
    for name, text in (("n", "samples"), ("d", "inputs"), ("m", "hidden nodes")):
        option(f"--{name}", count, name.upper(), f"number of {text}", required=True)
    option("--k", count, "K", "number of outputs", 1)
    option("--activation", _ACTIVATIONS, None, "function of the nodes", "swish")
    option("--dtype", ("float32", "float64"), None, "precision", "float32")
    option(*common.THREADS_OF_ALL)
    text = "libraries to compare with, such as numpy,torch,jax (none)"
    option("--against", str, "NAMES", text)
    option("--rounds", count, "N", "how often each is measured", 7)


def bench(options: argparse.Namespace) -> int:
    """Measure the speed at your own sizes.

    A step of gradient descent, a step of RK4, an NTG and its smallest eigenvalue are timed at the
    sizes given, in turns with other libraries: medians and ranges over the rounds, useful GFLOP/s,
    and their share of this machine's peak, measured as NumPy's fastest product of matrices. The
    other libraries compute the same formulas, written by hand without autograd, and must agree.
    """
    peers = list(dict.fromkeys(filter(None, map(str.strip, (options.against or "").split(",")))))
    if unknown := set(peers) - set(PEERS):
        raise CommandError(f"--against knows {', '.join(PEERS)}, got {', '.join(sorted(unknown))}")
    missing = [name for name in peers if importlib.util.find_spec(name) is None]
    libraries = ["asymfast", *(name for name in peers if name not in missing)]
    case = {name: getattr(options, name) for name in ("n", "d", "m", "k", "activation", "dtype")}
    case["threads"] = threads = options.threads or af.build_config()["threads"]
    case["q"] = q = min(options.n, _MOST_SAMPLES)
    sizes = ", ".join(f"{name} = {case[name]}" for name in "ndmk")
    print(f"{sizes}, {options.activation}, {options.dtype}, threads = {threads}", flush=True)
    if q < options.n:
        print(f"NTG and eigenvalue: of the first {q} samples")
    with ExitStack() as stack:
        ask = {name: stack.enter_context(_process(name, case)) for name in ("peak", *libraries)}
        taken, different = _race(ask, options.rounds)
    peak = _PEAK_FLOPS / min(taken.pop(("peak", "peak"))) / 1e9
    print(f"peak: {peak:.4g} GFLOP/s, the fastest product of matrices in NumPy\n")
    print(_table(taken, libraries, _flops(case), peak))
    problems = [*different, *(f"{name} is not installed: {_INSTALL[name]}" for name in missing)]
    if problems:
        raise CommandError("; ".join(problems), common.INCOMPLETE)
    return 0


def _flops(case: dict[str, Any]) -> dict[str, float]:
    """Useful flop: each product once, of symmetric results one half, no activations."""
    n, d, m, k, q = (float(case[name]) for name in "ndmkq")
    step = 4 * n * m * (d + k)
    ntg = 2 * q * m * d + q * (q + 1) * (m + d)
    return dict(zip(TASKS, (step, 4 * step, ntg, q**3 / 3), strict=True))


def _race(ask: dict[str, Ask], rounds: int) -> tuple[dict[tuple[str, str], list[float]], list[str]]:
    """Seconds of one unit of work by task and library, measured in turns; who differs in what."""
    entries = [(task, name) for task in TASKS for name in ask if name != "peak"]
    entries.append(("peak", "peak"))
    results = {one: ask[one[1]](one[0], 3)[1] for one in entries}
    different = []
    for task, name in entries:
        theirs, ours = (results.get((task, who), 0.0) for who in (name, "asymfast"))
        allowed = 1e-10 if task == "eigenvalue" else 1e-3 * abs(ours)
        if not abs(theirs - ours) <= allowed:
            different.append(f"{name} disagrees in the {task}: {theirs:.9g}, expected {ours:.9g}")
    once = {(task, name): ask[name](task, 1)[0] for task, name in entries}
    repeats = {one: max(1, min(100_000, round(_SECONDS / max(once[one], 1e-7)))) for one in entries}
    taken: dict[tuple[str, str], list[float]] = {one: [] for one in entries}
    for turn in range(rounds):
        for task, name in entries[turn % len(entries) :] + entries[: turn % len(entries)]:
            time.sleep(_PAUSE)
            count = repeats[task, name]
            taken[task, name].append(ask[name](task, count)[0] / count)
    return taken, different


def _table(
    taken: dict[tuple[str, str], list[float]],
    libraries: list[str],
    flops: dict[str, float],
    peak: float,
) -> str:
    rows = []
    for task, name in itertools.product(TASKS, libraries):
        times, ours = taken[task, name], statistics.median(taken[task, "asymfast"])
        middle = statistics.median(times)
        speed = flops[task] / middle / 1e9
        is_ours = name == "asymfast"
        rows.append(
            [
                *(task if is_ours else "", name, f"{1e3 * middle:.3g}"),
                f"{1e3 * min(times):.3g} to {1e3 * max(times):.3g}",
                *(f"{speed:.3g}", f"{100 * speed / peak:.0f} %"),
                "" if is_ours else f"{middle / ours:.2f}",
            ]
        )
    header = ["work", "library", "median ms", "range", "GFLOP/s", "of peak", "time / ours"]
    return common.text_table(header, rows, left=2)


# ---- a process for each library, with its own threads --------------------------------------------

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_programs: dict[str, Run] = {}  # of such a process


@contextmanager
def _process(name: str, case: dict[str, Any]) -> Iterator[Ask]:
    """Start a process that does the work of one library; yield how to ask it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:

        def result(function: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return executor.submit(function, *arguments).result()
            except Exception as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                raise CommandError(f"{name}: {reason}", common.INCOMPLETE) from error

        before = dict(os.environ)
        os.environ.update(dict.fromkeys(_THREADS, str(case["threads"])))
        try:
            result(_prepare, name, case)
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield functools.partial(result, _measure)


def _prepare(name: str, case: dict[str, Any]) -> None:
    """Build the programs of a library in its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends it
    if hasattr(os, "sched_setaffinity"):  # JAX starts a thread for each allowed core
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: case["threads"]])
    programs = {"peak": _peak, "asymfast": _ours}.get(name, functools.partial(_peer, name))
    _programs.update(programs(case))


def _measure(task: str, repeat: int) -> tuple[float, float]:
    """Seconds, and the result."""
    start = time.perf_counter()
    result = _programs[task](repeat)
    return time.perf_counter() - start, result


def _data(case: dict[str, Any]) -> dict[str, Any]:
    """Arrays, a stable step, and the NTG, alike in every process."""
    n, d, m, k, q = (case[name] for name in "ndmkq")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(case["dtype"])
    y = rng.standard_normal((n,) if k == 1 else (n, k)).astype(case["dtype"])
    options = {"activation": case["activation"], "outputs": k, "rng": 1, "dtype": case["dtype"]}
    net = af.Network.init(d, m, 0.5, 0.7, **options)
    K = net.ntg(X[:q]).astype(np.float64)
    K /= np.linalg.norm(K)
    return {"net": net, "X": X, "y": y, "K": K, "lr": 0.1 * net.stable_step(X)}


def _peak(case: dict[str, Any]) -> dict[str, Run]:
    """Products of matrices that fit into caches."""
    A = np.random.default_rng(0).standard_normal((_PEAK_SIZE, _PEAK_SIZE)).astype(case["dtype"])
    out = np.empty_like(A)

    def product(repeat: int) -> float:
        for _ in range(repeat):
            np.matmul(A, A, out=out)
        return 0.0

    return {"peak": product}


def _ours(case: dict[str, Any]) -> dict[str, Run]:
    of = _data(case)
    net, X, y, lr, threads = of["net"], of["X"], of["y"], of["lr"], case["threads"]
    common_options = {"record": af.Record(steps=[0], ntg=False, eigmin=False), "threads": threads}

    def descend(steps: int) -> float:
        run = af.gradient_descent(net, X, y, lr=lr, steps=steps, **common_options)
        return float(run.loss[-1])

    def flow(steps: int) -> float:
        options = {"t_end": steps * lr, "dt": lr, "method": "rk4", **common_options}
        return float(af.gradient_flow(net, X, y, **options).loss[-1])

    def ntg(repeat: int) -> float:
        for _ in range(repeat):
            K = net.ntg(X[: case["q"]], threads=threads)
        return float(np.linalg.norm(K))

    def smallest(repeat: int) -> float:
        return [af.min_eigenvalue(of["K"], threads=threads) for _ in range(repeat)][-1]

    return dict(zip(TASKS, (descend, flow, ntg, smallest), strict=True))


def _peer(name: str, case: dict[str, Any]) -> dict[str, Run]:
    """The same formulas by the operators that NumPy, PyTorch and JAX share."""
    of = _data(case)
    lib: Any = importlib.import_module("jax.numpy" if name == "jax" else name)
    array: Callable[[Any], Any] = lib.asarray
    compiled: Callable[[Any], Any] = lambda function: function  # noqa: E731
    if name == "torch":
        lib.set_num_threads(case["threads"])
        lib.set_grad_enabled(False)
    elif name == "jax":
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        compiled = jax.jit
    net, X = of["net"], of["X"]
    scaled = np.sqrt(net.lam)[:, None] * net.a.reshape(net.m, -1)
    x, c = array(X / np.sqrt(X.dtype.type(net.d))), array(scaled.astype(X.dtype))
    y, W0, K = array(of["y"].reshape(len(X), -1)), array(net.W.copy()), array(of["K"])
    xq, lr = x[: case["q"]], float(of["lr"])

    def sigma(z: Any) -> tuple[Any, Any]:
        if case["activation"] == "tanh":
            t = lib.tanh(z)
            return t, 1 - t * t
        if case["activation"] == "swish":
            s = 1 / (1 + lib.exp(-z))
            return z * s, s * (1 + z * (1 - s))
        on = z > 0 if case["activation"] == "relu" else z == z
        return z * on, on * lib.ones_like(z)

    def slope(W: Any) -> Any:
        h, s = sigma(x @ W.T)
        return ((h @ c - y) @ c.T * s).T @ x

    def rk4(W: Any) -> Any:
        k1 = slope(W)
        k2 = slope(W - lr / 2 * k1)
        k3 = slope(W - lr / 2 * k2)
        return W - lr / 6 * (k1 + 2 * (k2 + k3) + slope(W - lr * k3))

    def gram(W: Any) -> Any:
        S = sigma(xq @ W.T)[1] * c[:, 0]
        return (S @ S.T) * (xq @ xq.T)

    def repeated(step: Any) -> Run:
        step = compiled(step)

        def run(steps: int) -> float:
            W = W0
            for _ in range(steps):
                W = step(W)
            r = sigma(x @ W.T)[0] @ c - y
            return 0.5 * float((r * r).sum())

        return run

    def last(function: Any, argument: Any, reduce: Callable[[Any], float]) -> Run:
        function = compiled(function)
        return lambda repeat: [reduce(function(argument)) for _ in range(repeat)][-1]

    programs = (
        repeated(lambda W: W - lr * slope(W)),
        repeated(rk4),
        last(gram, W0, lambda K: float((K * K).sum() ** 0.5)),
        last(lib.linalg.eigvalsh, K, lambda values: float(values[0])),
    )
    return dict(zip(TASKS, programs, strict=True))
