"""Who competes: one module a library, each with a table of programs by kind of workload.

A module has ``programs``: for each kind of work the makers by name. A maker takes the arrays and
the workload and returns ``run(repeat)``, which does the work so many times over (descends so many
steps, computes so many matrices) and returns what all contenders must agree on: the loss after the
steps, the matrix, the eigenvalues. Optional: ``set_up(threads, dtype, device)``, called once in a
process of its own before anything else, and ``VERSION``.
"""

LIBRARIES = {
    "asymfast": "with_asymfast",
    "numpy": "with_numpy",
    "scipy": "with_scipy",
    "torch": "with_torch",
    "jax": "with_jax",
    "neural_tangents": "with_neural_tangents",
    "torchdiffeq": "with_torchdiffeq",
}
"""Module to import, by the library that must be there for it."""

ON_CUDA = {"asymfast": "with_asymfast", "torch": "with_torch_cuda", "jax": "with_jax"}
"""The same for what runs on a GPU."""

OURS = "asymfast"
