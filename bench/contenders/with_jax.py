"""JAX: whole runs under jit, the gradient by jax.grad and by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

VERSION = jax.__version__


def set_up(threads, dtype, device):
    jax.config.update("jax_enable_x64", dtype == "float64")
    jax.config.update("jax_platforms", device)
    jax.config.update("jax_default_matmul_precision", "highest")  # on a GPU it would be TF32


def tensors(arrays):
    X, a = arrays["X"], arrays["a"]
    c = np.sqrt(arrays["lam"])[:, None] * a.reshape(len(a), -1)
    y = arrays["y"].reshape(len(X), -1)
    return (
        jnp.asarray(X / np.sqrt(X.dtype.type(X.shape[1]))),
        jnp.asarray(y),
        jnp.asarray(c.astype(X.dtype)),
    )


def value(W, x, y, c):
    return 0.5 * jnp.sum((jax.nn.silu(x @ W.T) @ c - y) ** 2)


def by_hand(W, x, y, c):
    z = x @ W.T
    s = jax.nn.sigmoid(z)
    h = z * s
    r = h @ c - y
    back = r * c[:, 0] if c.shape[1] == 1 else r @ c.T
    return (back * (s + h * (1 - s))).T @ x


def gradient_step(compute):
    return lambda W, data, lr: W - lr * compute(W, *data)


def rk4_step(compute):
    def step(W, data, dt):
        k1 = compute(W, *data)
        k2 = compute(W - dt / 2 * k1, *data)
        k3 = compute(W - dt / 2 * k2, *data)
        k4 = compute(W - dt * k3, *data)
        return W - dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


def in_one_loop(step, setting):
    """All steps in one fori_loop; their number is an argument, so that it compiles once."""

    def make(arrays, workload):
        data, size = tensors(arrays), workload.settings[setting]
        W0 = jnp.asarray(arrays["W"])

        @jax.jit
        def whole(W, data, steps):
            W = jax.lax.fori_loop(0, steps, lambda _, W: step(W, data, size), W)
            return value(W, *data)

        return lambda steps: float(whole(W0, data, steps))

    return make


def step_by_step(step, setting):
    """One compiled step a call: XLA may use its threads more freely outside of a loop."""

    def make(arrays, workload):
        data, size = tensors(arrays), workload.settings[setting]
        one = jax.jit(lambda W, data: step(W, data, size), donate_argnums=0)
        final = jax.jit(value)

        def run(steps):
            W = jnp.array(arrays["W"])
            for _ in range(steps):
                W = one(W, data)
            return float(final(W, *data))

        return run

    return make


def ntg(arrays, workload):
    x, _, c = tensors(arrays)
    W = jnp.asarray(arrays["W"])

    @jax.jit
    def gram(x, W, c):
        z = x @ W.T
        s = jax.nn.sigmoid(z)
        S = (s + z * s * (1 - s)) * c[:, 0]
        return (S @ S.T) * (x @ x.T)

    def run(repeat):
        for _ in range(repeat):
            K = gram(x, W, c).block_until_ready()
        return np.asarray(K)

    return run


def ensemble_by(arrange):
    """`arrange(run of one member)` makes the run of all."""

    def make(arrays, workload):
        data, lr, steps = tensors(arrays), workload.settings["lr"], workload.sizes["steps"]
        W0 = jnp.asarray(arrays["W"])

        def member(W):
            W = jax.lax.fori_loop(0, steps, lambda _, W: W - lr * by_hand(W, *data), W)
            return value(W, *data)

        whole = jax.jit(arrange(member))

        def run(repeat):
            for _ in range(repeat):
                losses = np.asarray(whole(W0))
            return losses

        return run

    return make


def sgd_by(gradients):
    def make(arrays, workload):
        X = arrays["X"]
        x = jnp.asarray(X / np.sqrt(X.dtype.type(X.shape[1])))
        labels = jnp.asarray(arrays["labels"])
        root = jnp.asarray(np.sqrt(arrays["lam"]).astype(X.dtype))[:, None]
        lr = workload.settings["lr"]
        order = jnp.asarray(arrays["order"].reshape(-1, workload.sizes["batch"]))
        start = jnp.asarray(arrays["W"]), jnp.asarray(arrays["a"])

        @jax.jit
        def whole(start, x, labels, root, order, epochs):
            def step(t, state):
                rows = order[t % len(order)]
                dW, da = gradients(*state, x[rows], labels[rows], root)
                return state[0] - lr * dW, state[1] - lr * da

            end = jax.lax.fori_loop(0, epochs * len(order), step, start)
            return cross_entropy(*end, x, labels, root)

        return lambda epochs: float(whole(start, x, labels, root, order, epochs))

    return make


def cross_entropy(W, a, x, labels, root):
    logp = jax.nn.log_softmax(jax.nn.silu(x @ W.T) @ (root * a))
    return -jnp.mean(jnp.take_along_axis(logp, labels[:, None], 1))


def sgd_by_hand(W, a, x, labels, root):
    z = x @ W.T
    s = jax.nn.sigmoid(z)
    h, c = z * s, root * a
    r = (jax.nn.softmax(h @ c) - jax.nn.one_hot(labels, c.shape[1], dtype=x.dtype)) / len(x)
    return ((r @ c.T) * (s + h * (1 - s))).T @ x, root * (h.T @ r)


grad = jax.grad(value)
programs = {
    "descent": {
        "grad, fori_loop": in_one_loop(gradient_step(grad), "lr"),
        "by hand, fori_loop": in_one_loop(gradient_step(by_hand), "lr"),
        "by hand, step by step": step_by_step(gradient_step(by_hand), "lr"),
    },
    "rk4": {
        "grad, fori_loop": in_one_loop(rk4_step(grad), "dt"),
        "by hand, fori_loop": in_one_loop(rk4_step(by_hand), "dt"),
        "by hand, step by step": step_by_step(rk4_step(by_hand), "dt"),
    },
    "ntg": {"jit": ntg},
    "ensemble": {
        "one by one": ensemble_by(lambda member: lambda W: jax.lax.map(member, W)),
        "vmap": ensemble_by(jax.vmap),
    },
    "sgd": {
        "grad, fori_loop": sgd_by(jax.grad(cross_entropy, argnums=(0, 1))),
        "by hand, fori_loop": sgd_by(sgd_by_hand),
    },
}
