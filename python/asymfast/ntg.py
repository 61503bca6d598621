"""Neural tangent Gram matrices: products without forming them, and smallest eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._check import inputs
from ._device import How, backend_name, resolved, thread_count
from ._optional import require
from .network import Network

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


@_check.guarded
class NTGOperator:
    """The NTG of a single network on X, Eq. (5), as the product Theta u = J (J^T u).

    Cost of a product: 6 n m d flop, against 2 n^2 for the stored matrix, whose assembly takes
    n^2 m: use it where n^2 numbers do not fit into memory. Rounding: about 2e-7 (float32) or
    1e-15 (float64) of |Theta| |u|. Source: Theta = J J^T, Eqs. (4) and (5).

    Parameters
    ----------
    net : Network
        A single network, no ensemble.
    X : (n, d) array
        Inputs in the network's dtype. Copied.
    part, output, threads, device, backend
        As in `Network.ntg`; `output` is one output.
    max_memory : float, optional
        Bytes that the operator may keep. Default: the slopes sigma'(Z), n m numbers, are kept where
        they take less than 512 MB (8 MB if d <= 16, where recomputing them is as fast).

    Attributes
    ----------
    shape : (n, n)
    dtype : float64 or float32
        The network's. Products are computed in it, summed over nodes in float64.

    Raises
    ------
    TypeError, ValueError
        As `Network.ntg`; an ensemble; a max_memory below what the operator needs.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> X, y = af.datasets.simulated(n=40, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=300, gamma=0.5, alpha=0.7, rng=1)
    >>> theta = af.NTGOperator(net, X)
    >>> bool(np.allclose(theta @ y, net.ntg(X) @ y))
    True
    """

    @_check.arguments("NTGOperator", options=resolved, net=_check.instance_of(Network))
    def __init__(
        self,
        net: Network,
        X: ArrayLike,
        *,
        part: Literal[1, 2] | None = None,
        output: int = 0,
        max_memory: float | None = None,
        **how: Unpack[How],
    ) -> None:
        fn = "NTGOperator"
        if net.B is not None:
            raise ValueError(f"{fn}: net must be a single network, got an ensemble of {net.B}")
        x = inputs(fn, net, X)[0]
        output = _check.integer(fn, "output", output, low=0, high=net.k - 1)
        v = net._ntg_weights(part, output)[0]
        self._backend, self._threads = resolved(fn, **how)
        n, size = len(x), net.dtype.itemsize
        team = self._threads or _core.build_config()["threads"]
        fixed = _core.planned_bytes(fn, n, net.d, net.m, k=1, B=1, itemsize=size, threads=team)
        shown = f"n = {n}, d = {net.d}, m = {net.m}"
        slopes = _check.slopes_allowed(fn, max_memory, self._backend, fixed, 0, shown)
        kind = _core.NtgOperatorFloat if size == 4 else _core.NtgOperatorDouble
        self._core = kind(net.W, v, net.activation, x, self._backend, self._threads, slopes)
        self.shape = (n, n)
        self.dtype: np.dtype[Any] = net.dtype

    def __matmul__(self, u: ArrayLike) -> NDArray[Any]:
        """Theta u for u (n,) or (n, r), in the operator's dtype; OverflowError beyond its range."""
        given = _check.array("NTGOperator", "u", u, dtype=self.dtype)
        n = self.shape[0]
        _check.require_shape("NTGOperator", "u", given.shape, (n,), (n, "r"))
        rows = np.ascontiguousarray(given.reshape(n, -1).T)
        product = self._core.apply(rows, self._backend, self._threads)
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(product.T).astype(self.dtype, copy=False)
        return _check.in_range("NTGOperator", rounded.reshape(given.shape))

    def to_scipy(self) -> LinearOperator:
        """Return a `scipy.sparse.linalg.LinearOperator` for SciPy's solvers (extra ``theory``)."""
        scipy = require("scipy.sparse.linalg", "theory", "NTGOperator.to_scipy")

        def product(u: NDArray[Any]) -> NDArray[Any]:
            return self @ np.asarray(u, self.dtype).reshape(-1)

        operator: LinearOperator = scipy.LinearOperator(
            self.shape,
            matvec=product,
            rmatvec=product,
            matmat=lambda U: self @ np.asarray(U, self.dtype),
            dtype=self.dtype,
        )
        return operator

    def __repr__(self) -> str:
        return f"NTGOperator(n={self.shape[0]}, dtype={self.dtype})"


@_check.guarded
def min_eigenvalue(
    K: ArrayLike, *, threads: int | None = None, backend: str | None = None
) -> float:
    """Smallest eigenvalue of a symmetric matrix.

    Cost: n^3 / 3 flop for a positive semi-definite matrix, two or three times that otherwise.

    Parameters
    ----------
    K : (n, n) array
        Real and symmetric, float64 or float32 (which float64 holds exactly).
    threads : int, optional
        Default: what OpenMP offers. The result does not depend on it.
    backend : {"cpu", "reference"}, optional
        "cpu": Lanczos iterations on the inverse and a Rayleigh quotient in extended precision.
        "reference": Jacobi's method.

    Returns
    -------
    float
        Within 1e-10 of the largest absolute eigenvalue, and within 1e-6 relative wherever it
        exceeds 1e-10 of the largest. Of a singular matrix it is 0 up to rounding, of either sign.

    Raises
    ------
    TypeError
        K is not of a floating-point dtype.
    ValueError
        K is empty, not square, not finite, or not symmetric to within rounding.
    OverflowError
        The eigenvalue exceeds the range of float64.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> f"{af.min_eigenvalue(np.array([[2.0, 1.0], [1.0, 2.0]])):.12f}"
    '1.000000000000'
    >>> X, y = af.datasets.simulated(rng=0)
    >>> net = af.Network.init(d=50, m=2000, gamma=1.0, rng=1)
    >>> f"{af.min_eigenvalue(net.ntg(X)):.3e}"
    '5.913e-05'
    """
    fn = "min_eigenvalue"
    given = _check.array(fn, "K", K, shape=("n", "n"))
    matrix = given.astype(np.float64, copy=False)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{fn}: K must be square, got shape {matrix.shape}")
    allowed = 1e-5 if given.dtype == np.float32 else 1e-12
    asymmetry, size = _asymmetry(matrix)
    if asymmetry > allowed * size:
        raise ValueError(f"{fn}: K must be symmetric, got max |K - K^T| = {asymmetry:.3g}")
    smallest = _core.min_eigenvalue(matrix, backend_name(fn, backend), thread_count(fn, threads))
    return float(_check.in_range(fn, np.asarray(smallest)))


def _asymmetry(K: NDArray[np.float64]) -> tuple[float, float]:
    """Largest |K - K^T| and |K|, by pieces that stay in cache."""
    asymmetry = size = 0.0
    step = 128
    for i in range(0, len(K), step):
        for j in range(0, i + step, step):
            below, above = K[i : i + step, j : j + step], K[j : j + step, i : i + step]
            with np.errstate(over="ignore"):  # inf is more than is allowed
                apart = np.abs(below - above.T)
            asymmetry = max(asymmetry, float(apart.max(initial=0.0)))
            size = max(size, float(np.abs(below).max(initial=0.0)))
    return asymmetry, size
