"""neural-tangents: the empirical NTK of the same function, all its implementations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np

from contenders.with_jax import set_up, tensors  # noqa: F401

VERSION = nt.__version__


def ntg_by(implementation):
    def make(arrays, workload):
        x, _, c = tensors(arrays)
        W = jnp.asarray(arrays["W"])
        kernel = jax.jit(
            nt.empirical_ntk_fn(
                lambda W, x: jax.nn.silu(x @ W.T) @ c,
                implementation=implementation,
                trace_axes=(-1,),
            )
        )

        def run(repeat):
            for _ in range(repeat):
                K = kernel(x, None, W).block_until_ready()
            return np.asarray(K)

        return run

    return make


programs = {
    "ntg": {
        "Jacobian contraction": ntg_by(nt.NtkImplementation.JACOBIAN_CONTRACTION),
        "structured derivatives": ntg_by(nt.NtkImplementation.STRUCTURED_DERIVATIVES),
    }
}
