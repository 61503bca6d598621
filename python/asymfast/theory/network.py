"""The network of Eq. (2) in plain NumPy: outputs, gradients, NTG, and Theta^(3) of Eq. (34).

Slow and short, so that the rest of the theory can be computed without the compiled core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast.theory import inputs
from asymfast.theory.activations import ACTIVATIONS
from asymfast.theory.ranges import within_range

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """The numbers of a network with one output, in float64.

    Attributes
    ----------
    W : (m, d) float64 array
    a, lam : (m,) float64 arrays
    activation : str
    """

    W: Floats
    a: Floats
    lam: Floats
    activation: str

    def preactivations(self, X: Floats) -> Floats:
        """Z (n, m) = X W' / sqrt(d)."""
        return np.asarray(X @ self.W.T / math.sqrt(X.shape[1]))

    def outputs(self, X: Floats) -> Floats:
        """Eq. (2), (n,)."""
        sigma = ACTIVATIONS[self.activation].value
        return np.asarray(sigma(self.preactivations(X)) @ (np.sqrt(self.lam) * self.a))

    def velocity(self, X: Floats, y: Floats) -> Floats:
        """dW/dt (m, d) of the gradient flow of L_m, half the sum of squares."""
        S = ACTIVATIONS[self.activation].slope(self.preactivations(X))
        back = S * (y - self.outputs(X))[:, None]
        scale = np.sqrt(self.lam / X.shape[1]) * self.a
        return np.asarray(scale[:, None] * (back.T @ X))

    def ntg(self, X: Floats, lam: Floats | None = None) -> Floats:
        """Eq. (5), (n, n), exactly symmetric; with lam^(k) the k-th part. a_j^2 enters where not 1.

        Cost: O(n^2 (m + d)).
        """
        scale = (self.lam if lam is None else lam) * self.a**2
        S = ACTIVATIONS[self.activation].slope(self.preactivations(X))
        K = (X @ X.T / X.shape[1]) * ((S * scale) @ S.T)
        return np.asarray(np.tril(K) + np.tril(K, -1).T)


def model(fn: str, W: Any, a: Any, lam: Any, activation: str) -> Model:
    """Check the numbers of a network with one output; fn is who asks.

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, values that are not finite, an unknown activation.
    """
    weights = inputs.array(fn, "W", W, ("m", "d"))
    return Model(
        W=weights,
        a=inputs.array(fn, "a", a, (len(weights),)),
        lam=inputs.non_negative(fn, "lam", lam, (len(weights),)),
        activation=inputs.activation(fn, activation),
    )


@within_range
def theta_3(
    W: npt.ArrayLike,
    a: npt.ArrayLike,
    lam: npt.ArrayLike,
    X: npt.ArrayLike,
    X_eval: npt.ArrayLike | None = None,
    activation: str = "swish",
) -> Floats:
    """Third-order kernel of the neural tangent hierarchy, Theta^(3)(x_k, x_l, x_i).

    <grad Theta(x_k, x_l), grad f(x_i)> = (x_k.x_l / d^2) sum_j a_j^3 lam_j^(3/2) sigma'(z_ij)
    [x_k.x_i sigma''(z_kj) sigma'(z_lj) + x_l.x_i sigma''(z_lj) sigma'(z_kj)].

    Parameters
    ----------
    W : (m, d) array_like
        Input weights.
    a, lam : (m,) array_like
        Output weights and node scalings; a_j^3 = a_j where a_j = +-1.
    X : (n, d) array_like
        The x_i.
    X_eval : (q, d) array_like, optional
        The x_k and x_l; default X.
    activation : str
        As in `asymfast.Network`, but not relu, whose sigma'' does not exist.

    Returns
    -------
    (q, q, n) float64 array
        Symmetric in its first two axes.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or range; relu.

    Notes
    -----
    Source: Eq. (34) and Appendix I.2. Misprint: the prefactor is d^-2, not d^(-3/2): one 1/d from
    Eq. (4) and 1/sqrt(d) from each of the two gradients. Cost: O(q^2 n m).

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> af.theory.theta_3(net.W, net.a, net.lam, X).shape
    (5, 5, 5)
    """
    fn = "theta_3"
    net = model(fn, W, a, lam, activation)
    smooth(fn, activation)
    X = inputs.array(fn, "X", X, ("n", net.W.shape[1]))
    Q = X if X_eval is None else inputs.array(fn, "X_eval", X_eval, ("q", net.W.shape[1]))
    chosen = ACTIVATIONS[activation]
    z, zq = net.preactivations(X), net.preactivations(Q)
    scaled = chosen.slope(z) * (net.a**3 * net.lam**1.5)
    S, S2 = chosen.slope(zq), chosen.curvature(zq)
    half = np.einsum("kj,lj,ij->kli", S2, S, scaled, optimize=True) * (Q @ X.T)[:, None, :]
    return np.asarray((Q @ Q.T / X.shape[1] ** 2)[:, :, None] * (half + half.transpose(1, 0, 2)))


@within_range
def ntg_velocity(
    W: npt.ArrayLike,
    a: npt.ArrayLike,
    lam: npt.ArrayLike,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    X_eval: npt.ArrayLike | None = None,
    activation: str = "swish",
) -> Floats:
    """dTheta/dt along the gradient flow at given weights.

    d Theta(x_k, x_l) / dt = sum_i (y_i - f(x_i)) Theta^(3)(x_k, x_l, x_i).

    Parameters
    ----------
    y : (n,) array_like
        Targets.
    W, a, lam, X, X_eval, activation
        As in `theta_3`.

    Returns
    -------
    (q, q) float64 array
        Exactly symmetric.

    Raises
    ------
    TypeError, ValueError
        As `theta_3`.

    Notes
    -----
    Source: the first display of Appendix I.2. Theta^(3) is never formed: the sum over i is taken
    first. Cost: O(q^2 m + (n + q) m d).

    Examples
    --------
    >>> import asymfast as af, numpy as np
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> velocity = af.theory.ntg_velocity(net.W, net.a, net.lam, X, y)
    >>> later = net.with_weights(net.W - 1e-6 * net.node_gradients(X, y))  # the flow after 1e-6
    >>> difference = (later.ntg(X) - net.ntg(X)) / 1e-6
    >>> bool(np.abs(difference - velocity).max() < 1e-4 * np.abs(velocity).max())
    True
    """
    fn = "ntg_velocity"
    net = model(fn, W, a, lam, activation)
    smooth(fn, activation)
    X = inputs.array(fn, "X", X, ("n", net.W.shape[1]))
    y = inputs.array(fn, "y", y, (len(X),))
    Q = X if X_eval is None else inputs.array(fn, "X_eval", X_eval, ("q", net.W.shape[1]))
    return velocity_on(net, X, y, Q)


def velocity_on(net: Model, X: Floats, y: Floats, Q: Floats) -> Floats:
    """`ntg_velocity` of checked arguments: dZ/dt times the derivative of Eq. (4) by Z."""
    chosen = ACTIVATIONS[net.activation]
    z = net.preactivations(Q)
    dz = Q @ net.velocity(X, y).T / math.sqrt(X.shape[1])
    half = (chosen.curvature(z) * dz * (net.lam * net.a**2)) @ chosen.slope(z).T
    return np.asarray((Q @ Q.T / X.shape[1]) * (half + half.T))


def smooth(fn: str, activation: str) -> None:
    """Refuse relu.

    Raises
    ------
    ValueError
        The activation is relu.
    """
    if activation == "relu":
        raise ValueError(f"{fn}: activation must have a second derivative, got 'relu'")
