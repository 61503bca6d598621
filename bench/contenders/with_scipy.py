"""SciPy: LAPACK's drivers for one eigenvalue, and BLAS' symmetric update."""

from __future__ import annotations

import numpy as np
import scipy
from scipy.linalg import blas, cho_factor, cho_solve, eigh
from scipy.sparse.linalg import LinearOperator, eigsh

from contenders.with_numpy import slopes

VERSION = scipy.__version__


def ntg(arrays, workload):
    """One triangle by ?syrk on the transposed view (no copy), mirrored at the end."""
    gemm, syrk = blas.get_blas_funcs(("gemm", "syrk"), (arrays["X"],))

    def product(x, W, out):
        """In SciPy's own BLAS; NumPy's would keep a second pool of threads spinning."""
        gemm(1.0, W.T, x.T, trans_a=1, c=out.T, overwrite_c=1)

    compute, x = slopes(arrays, product)
    diagonal = np.diag_indices(len(x))

    def run(repeat):
        for _ in range(repeat):
            K = syrk(1.0, compute().T, trans=1, lower=1)
            K *= syrk(1.0, x.T, trans=1, lower=1)
            K = K.T + K
            K[diagonal] /= 2
        return K

    return run


def lapack(driver):
    def eigmin(arrays, workload):
        K = arrays["K"]

        def run(repeat):
            return [
                eigh(K[i % len(K)], eigvals_only=True, subset_by_index=[0, 0], driver=driver)[0]
                for i in range(repeat)
            ]

        return run

    return eigmin


def inverse_lanczos(arrays, workload):
    """ARPACK on the inverse by a Cholesky factor: quick where K is well conditioned."""
    K = arrays["K"]

    def one(K):
        factor = cho_factor(K, lower=True, check_finite=False)
        inverse = LinearOperator(K.shape, lambda b: cho_solve(factor, b, check_finite=False))
        return eigsh(
            K, k=1, sigma=0.0, OPinv=inverse, which="LM", return_eigenvectors=False, tol=1e-10
        )[0]

    def run(repeat):
        return [one(K[i % len(K)]) for i in range(repeat)]

    return run


programs = {
    "ntg": {"syrk": ntg},
    "eigmin": {
        "LAPACK evr": lapack("evr"),
        "LAPACK evx": lapack("evx"),
        "eigsh, Cholesky": inverse_lanczos,
    },
}
