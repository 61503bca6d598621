"""PyTorch on a GPU: eager, compiled, and steps captured in a CUDA graph; ensembles as batches.

The formulas are those of `with_torch`; what is timed ends with a number on the host, which waits
for the device.
"""

from __future__ import annotations

import torch

from contenders import with_torch as cpu

VERSION = f"{torch.__version__} (CUDA {torch.version.cuda})"
_STEPS_A_GRAPH = 10


def set_up(threads, dtype, device):
    # TF32 would round the products to 11 bits; nobody else does.
    torch.backends.cuda.matmul.allow_tf32 = False


def on_device(arrays):
    return tuple(tensor.cuda() for tensor in cpu.tensors(arrays))


def weights(arrays):
    return torch.tensor(arrays["W"]).cuda()


# --- steps, of one network or of a batch of them: W (..., m, d) ------------------------------


def values(W, x, y, c):
    f = torch.nn.functional.silu(x @ W.mT) @ c
    return 0.5 * ((f - y) ** 2).sum((-2, -1))


def descend(W, x, y, c, lr):
    return W - lr * cpu.gradient(W, x, y, c)


def runge_kutta(W, x, y, c, dt):
    k1 = cpu.gradient(W, x, y, c)
    k2 = cpu.gradient(W - dt / 2 * k1, x, y, c)
    k3 = cpu.gradient(W - dt / 2 * k2, x, y, c)
    k4 = cpu.gradient(W - dt * k3, x, y, c)
    return W - dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


# --- ways to repeat a step -----------------------------------------------------------------------


def eager(step, W, *rest):
    def advance(steps):
        nonlocal W
        for _ in range(steps):
            W = step(W, *rest)
        return W

    def reset(start):
        nonlocal W
        W = start

    return advance, reset


def compiled(step, W, *rest):
    return eager(torch.compile(step, dynamic=False), W, *rest)


def compiled_to_graphs(step, W, *rest):
    """torch.compile's own CUDA graphs."""
    fast = torch.compile(step, dynamic=False, mode="reduce-overhead")

    def marked(W, *rest):
        torch.compiler.cudagraph_mark_step_begin()
        return fast(W, *rest).clone()

    return eager(marked, W, *rest)


def captured(step, W, *rest):
    """Several steps captured once and replayed; W lives in one place."""
    here = W.clone()

    def once():
        here.copy_(step(here, *rest))

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        once()
    torch.cuda.current_stream().wait_stream(side)
    graphs = {}
    for count in (1, _STEPS_A_GRAPH):
        graphs[count] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[count]):
            for _ in range(count):
                once()

    def advance(steps):
        for _ in range(steps // _STEPS_A_GRAPH):
            graphs[_STEPS_A_GRAPH].replay()
        for _ in range(steps % _STEPS_A_GRAPH):
            graphs[1].replay()
        return here

    return advance, here.copy_


WAYS = {
    "eager": eager,
    "compiled": compiled,
    "compiled, its CUDA graphs": compiled_to_graphs,
    "CUDA graph": captured,
}


def stepping(way, step, setting):
    def make(arrays, workload):
        data, start = on_device(arrays), weights(arrays)
        advance, reset = way(step, start, *data, workload.settings[setting])

        def run(steps):
            reset(start)
            return float(values(advance(steps), *data))

        return run

    return make


def ensemble(way):
    def make(arrays, workload):
        data, start = on_device(arrays), weights(arrays)
        advance, reset = way(descend, start, *data, workload.settings["lr"])

        def run(repeat):
            for _ in range(repeat):
                reset(start)
                losses = values(advance(workload.sizes["steps"]), *data)
            return losses.cpu().numpy()

        return run

    return make


def ntg_by(wrap):
    def make(arrays, workload):
        x, _, c = on_device(arrays)
        W, lam_root, program = weights(arrays), c[:, 0].abs(), wrap(cpu.gram)

        def run(repeat):
            for _ in range(repeat):
                K = program(x, W, lam_root)
            return K.cpu().numpy()

        return run

    return make


def sgd_by(wrap):
    def make(arrays, workload):
        x = torch.tensor(arrays["X"]).cuda() / arrays["X"].shape[1] ** 0.5
        root = torch.tensor(arrays["lam"].astype(arrays["X"].dtype)).sqrt()[:, None].cuda()
        labels = torch.tensor(arrays["labels"]).cuda()
        batches = torch.tensor(arrays["order"]).cuda().split(workload.sizes["batch"])
        program, lr = wrap(cpu.sgd_step), workload.settings["lr"]

        def run(epochs):
            W, a = weights(arrays), torch.tensor(arrays["a"]).cuda()
            for _ in range(epochs):
                for rows in batches:
                    W, a = program(W, a, x[rows], labels[rows], root, lr)
            f = torch.nn.functional.silu(x @ W.T) @ (root * a)
            return float(torch.nn.functional.cross_entropy(f, labels))

        return run

    return make


def as_it_is(function):
    return function


def by_compiler(function):
    return torch.compile(function, dynamic=False)


programs = {
    "descent": {name: stepping(way, descend, "lr") for name, way in WAYS.items()},
    "rk4": {name: stepping(way, runge_kutta, "dt") for name, way in WAYS.items()},
    "ensemble": {f"batch, {name}": ensemble(way) for name, way in WAYS.items()},
    "ntg": {"eager": ntg_by(as_it_is), "compiled": ntg_by(by_compiler)},
    "sgd": {"eager": sgd_by(as_it_is), "compiled": sgd_by(by_compiler)},
}
