"""PyTorch: autograd, the gradient written by hand, and that compiled."""

from __future__ import annotations

import numpy as np
import torch

VERSION = torch.__version__


def set_up(threads, dtype, device):
    torch.set_num_threads(threads)


def tensors(arrays):
    X, a = arrays["X"], arrays["a"]
    c = np.sqrt(arrays["lam"])[:, None] * a.reshape(len(a), -1)
    x = torch.tensor(X) / X.shape[1] ** 0.5
    y = torch.tensor(arrays["y"].reshape(len(X), -1))
    return x, y, torch.tensor(c.astype(X.dtype))


def gradient(W, x, y, c):
    """Of one network or of a batch of them: W (..., m, d)."""
    z = x @ W.mT
    s = torch.sigmoid(z)
    h = z * s
    r = h @ c - y
    back = r * c[:, 0] if c.shape[1] == 1 else r @ c.mT
    return (back * (s + h * (1 - s))).mT @ x


def value(W, x, y, c):
    return 0.5 * ((torch.nn.functional.silu(x @ W.T) @ c - y) ** 2).sum()


def autograd_gradient(W, x, y, c):
    W.requires_grad_(True)
    (G,) = torch.autograd.grad(value(W, x, y, c), W)
    W.requires_grad_(False)
    return G


def step(W, x, y, c, lr):
    return W - lr * gradient(W, x, y, c)


def descent_by(update):
    """`update(W, x, y, c, lr)` gives the next W."""

    def descent(arrays, workload):
        data, lr = tensors(arrays), workload.settings["lr"]

        def run(steps):
            W = torch.tensor(arrays["W"])
            for _ in range(steps):
                W = update(W, *data, lr)
            return float(value(W, *data))

        return run

    return descent


def by_hand(arrays, workload):
    """Out-of-place temporaries avoided where PyTorch offers it."""
    (x, y, c), lr = tensors(arrays), workload.settings["lr"]
    n, m = len(x), len(c)
    z, s, h, back = (torch.empty((n, m), dtype=x.dtype) for _ in range(4))

    def run(steps):
        W = torch.tensor(arrays["W"])
        for _ in range(steps):
            torch.mm(x, W.T, out=z)
            torch.sigmoid(z, out=s)
            torch.mul(z, s, out=h)
            r = h @ c - y
            torch.mul(h, s, out=z)
            h.sub_(z).add_(s)
            if c.shape[1] == 1:
                h.mul_(r).mul_(c[:, 0])
            else:
                h.mul_(torch.mm(r, c.T, out=back))
            W.addmm_(h.T, x, alpha=-lr)
        return float(value(W, x, y, c))

    return run


def autograd_update(W, x, y, c, lr):
    return W - lr * autograd_gradient(W, x, y, c)


def compiled_descent(arrays, workload):
    return descent_by(torch.compile(step, dynamic=False))(arrays, workload)


def rk4_by(compute, wrap=lambda update: update):
    def update(W, x, y, c, dt):
        k1 = compute(W, x, y, c)
        k2 = compute(W - dt / 2 * k1, x, y, c)
        k3 = compute(W - dt / 2 * k2, x, y, c)
        k4 = compute(W - dt * k3, x, y, c)
        return W - dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def rk4(arrays, workload):
        data, dt, advance = tensors(arrays), workload.settings["dt"], wrap(update)

        def run(steps):
            W = torch.tensor(arrays["W"])
            for _ in range(steps):
                W = advance(W, *data, dt)
            return float(value(W, *data))

        return run

    return rk4


def gram(x, W, weights):
    z = x @ W.T
    s = torch.sigmoid(z)
    S = (s + z * s * (1 - s)) * weights
    return (S @ S.T) * (x @ x.T)


def ntg_by(compute):
    def ntg(arrays, workload):
        x, _, c = tensors(arrays)
        W, weights, program = torch.tensor(arrays["W"]), c[:, 0].abs(), compute()

        def run(repeat):
            for _ in range(repeat):
                K = program(x, W, weights)
            return K.numpy()

        return run

    return ntg


def jacobian_ntg(arrays, workload):
    """The definition: J J' with the Jacobian, sample by sample, by automatic differentiation."""
    x, _, c = tensors(arrays)
    W = torch.tensor(arrays["W"])

    def output(V, row):
        return torch.nn.functional.silu(V @ row) @ c[:, 0]

    jacobian = torch.func.vmap(torch.func.grad(output), (None, 0))

    def run(repeat):
        for _ in range(repeat):
            J = jacobian(W, x).reshape(len(x), -1)
            K = J @ J.T
        return K.numpy()

    return run


def ensemble(arrays, workload):
    members = [by_hand({**arrays, "W": W}, workload) for W in arrays["W"]]

    def run(repeat):
        for _ in range(repeat):
            losses = [member(workload.sizes["steps"]) for member in members]
        return losses

    return run


def sgd_by(step):
    def sgd(arrays, workload):
        """Both layers, cross-entropy; every epoch takes the batches in the order given."""
        x = torch.tensor(arrays["X"]) / arrays["X"].shape[1] ** 0.5
        root = torch.tensor(np.sqrt(arrays["lam"]).astype(arrays["X"].dtype))[:, None]
        labels, lr = torch.tensor(arrays["labels"]), workload.settings["lr"]
        batches = torch.tensor(arrays["order"]).split(workload.sizes["batch"])
        program = step()

        def run(epochs):
            W, a = torch.tensor(arrays["W"]), torch.tensor(arrays["a"])
            for _ in range(epochs):
                for rows in batches:
                    W, a = program(W, a, x[rows], labels[rows], root, lr)
            f = torch.nn.functional.silu(x @ W.T) @ (root * a)
            return float(torch.nn.functional.cross_entropy(f, labels))

        return run

    return sgd


def sgd_step(W, a, x, labels, root, lr):
    z = x @ W.T
    s = torch.sigmoid(z)
    h = z * s
    c = root * a
    p = torch.softmax(h @ c, 1)
    r = (p - torch.nn.functional.one_hot(labels, p.shape[1])) / len(x)
    G = ((r @ c.T) * (s + h * (1 - s))).T @ x
    return W - lr * G, a - lr * root * (h.T @ r)


def sgd_autograd_step(W, a, x, labels, root, lr):
    W.requires_grad_(True)
    a.requires_grad_(True)
    f = torch.nn.functional.silu(x @ W.T) @ (root * a)
    dW, da = torch.autograd.grad(torch.nn.functional.cross_entropy(f, labels), (W, a))
    with torch.no_grad():
        return W - lr * dW, a - lr * da


def compiled(function):
    return lambda: torch.compile(function, dynamic=False)


programs = {
    "descent": {
        "autograd": descent_by(autograd_update),
        "by hand": by_hand,
        "compiled": compiled_descent,
    },
    "rk4": {
        "autograd": rk4_by(autograd_gradient),
        "by hand": rk4_by(gradient),
        "compiled": rk4_by(gradient, lambda update: torch.compile(update, dynamic=False)),
    },
    "ntg": {
        "autograd": jacobian_ntg,
        "by hand": ntg_by(lambda: gram),
        "compiled": ntg_by(compiled(gram)),
    },
    "ensemble": {"by hand": ensemble},
    "sgd": {
        "autograd": sgd_by(lambda: sgd_autograd_step),
        "by hand": sgd_by(lambda: sgd_step),
        "compiled": sgd_by(compiled(sgd_step)),
    },
}
