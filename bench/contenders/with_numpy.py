"""NumPy and its BLAS, with all temporaries allocated once."""

from __future__ import annotations

import numpy as np

VERSION = np.__version__


class Descent:
    """f = swish(x W') c and its gradient, x and c scaled once; every array is reused."""

    def __init__(self, arrays):
        X, W, a = arrays["X"], arrays["W"], arrays["a"]
        dtype = X.dtype.type
        n, m = len(X), W.shape[-2]
        self.x = X / dtype(np.sqrt(X.shape[1]))
        self.c = (np.sqrt(arrays["lam"])[:, None] * a.reshape(m, -1)).astype(dtype)
        self.y = arrays["y"].reshape(n, -1)
        self.z, self.s, self.h = (np.empty((n, m), dtype) for _ in range(3))
        self.G = np.empty(W.shape[-2:], dtype)

    def residual(self, W):
        """Leaves Z, sigmoid(Z) and swish(Z) in z, s and h."""
        np.matmul(self.x, W.T, out=self.z)
        s = np.negative(self.z, out=self.s)
        np.exp(s, out=s)
        s += 1
        np.reciprocal(s, out=s)
        np.multiply(self.z, s, out=self.h)
        return self.h @ self.c - self.y

    def gradient(self, W):
        r = self.residual(W)
        # sigma' = s + h (1 - s) = s + h - h s
        np.multiply(self.h, self.s, out=self.z)
        self.h -= self.z
        self.h += self.s
        if self.c.shape[1] == 1:
            self.h *= r
            self.h *= self.c[:, 0]
        else:
            self.h *= np.matmul(r, self.c.T, out=self.s)
        return np.matmul(self.h.T, self.x, out=self.G)

    def loss(self, W):
        r = self.residual(W)
        return 0.5 * float(np.vdot(r, r))


def descent(arrays, workload):
    state = Descent(arrays)
    lr = arrays["X"].dtype.type(workload.settings["lr"])

    def run(steps):
        W = arrays["W"].copy()
        for _ in range(steps):
            G = state.gradient(W)
            G *= lr
            W -= G
        return state.loss(W)

    return run


def rk4(arrays, workload):
    state = Descent(arrays)
    dt = arrays["X"].dtype.type(workload.settings["dt"])

    def run(steps):
        W = arrays["W"].copy()
        total, shifted = np.empty_like(W), np.empty_like(W)
        for _ in range(steps):
            total[...] = G = state.gradient(W)
            for weight, reach in ((2, dt / 2), (2, dt / 2), (1, dt)):
                np.multiply(G, -reach, out=shifted)
                shifted += W
                G = state.gradient(shifted)
                np.multiply(G, weight, out=shifted)
                total += shifted
            total *= dt / 6
            W -= total
        return state.loss(W)

    return run


def matmul(x, W, out):
    np.matmul(x, W.T, out=out)


def slopes(arrays, product=matmul):
    """Return a function of no arguments that computes sqrt(lam) sigma'(Z), and x = X / sqrt(d)."""
    X, W = arrays["X"], arrays["W"]
    x = X / X.dtype.type(np.sqrt(X.shape[1]))
    root = np.sqrt(arrays["lam"]).astype(X.dtype) * np.abs(arrays["a"])
    z, s, h = (np.empty((len(X), len(W)), X.dtype) for _ in range(3))

    def compute():
        product(x, W, z)
        np.negative(z, out=s)
        np.exp(s, out=s)
        np.add(s, 1, out=s)
        np.reciprocal(s, out=s)
        np.multiply(z, s, out=h)
        np.multiply(h, s, out=z)
        np.subtract(h, z, out=h)
        np.add(h, s, out=h)
        np.multiply(h, root, out=h)
        return h

    return compute, x


def ntg(arrays, workload):
    compute, x = slopes(arrays)

    def run(repeat):
        for _ in range(repeat):
            S = compute()
            K = S @ S.T  # NumPy sees that this is symmetric and calls syrk
            K *= x @ x.T
        return K

    return run


def eigmin(arrays, workload):
    K = arrays["K"]

    def run(repeat):
        return [np.linalg.eigvalsh(K[i % len(K)])[0] for i in range(repeat)]

    return run


def ensemble(arrays, workload):
    states = Descent(arrays)
    lr = arrays["X"].dtype.type(workload.settings["lr"])

    def run(repeat):
        for _ in range(repeat):
            losses = []
            for member in arrays["W"]:
                W = member.copy()
                for _ in range(workload.sizes["steps"]):
                    G = states.gradient(W)
                    G *= lr
                    W -= G
                losses.append(states.loss(W))
        return losses

    return run


programs = {
    "descent": {"in place": descent},
    "rk4": {"in place": rk4},
    "ntg": {"syrk": ntg},
    "ensemble": {"in place": ensemble},
}
