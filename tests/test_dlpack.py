"""Arrays of other libraries in, without copies, and results out."""

from __future__ import annotations

import asymfast as af
import numpy as np
import pytest
from cases import assert_same_bits, problem


class Foreign:
    """The least that an array library offers: the DLPack protocol over a NumPy array."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **settings):
        return self.array.__dlpack__(**settings)

    def __dlpack_device__(self):
        return self.device


@pytest.fixture(params=["protocol", "torch", "jax"])
def foreign(request):
    """A function that makes a library's array of a NumPy array."""
    if request.param == "protocol":
        return Foreign
    if request.param == "torch":
        return pytest.importorskip("torch").from_numpy
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray


CASE = problem(n=7, d=5, m=6, outputs=3)


def test_networks_and_data(foreign):
    net = af.Network(*(foreign(np.array(v)) for v in (CASE.net.W, CASE.net.a, CASE.net.lam)))
    X, y = foreign(CASE.X), foreign(CASE.y)
    assert_same_bits(net(X), CASE.net(CASE.X))
    assert net.loss(X, y) == CASE.net.loss(CASE.X, CASE.y)
    assert_same_bits(net.ntg(X, X), CASE.net.ntg(CASE.X, CASE.X))


def test_training(foreign):
    settings = {"lr": 0.1, "steps": 3}
    expected = af.gradient_descent(CASE.net, CASE.X, CASE.y, **settings)
    X, y = foreign(CASE.X), foreign(CASE.y)
    run = af.gradient_descent(CASE.net, X, y, X_test=X, y_test=y, **settings)
    assert_same_bits(run.network.W, expected.network.W)
    assert_same_bits(run.test_loss, expected.loss)


def test_labels(foreign):
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    expected = CASE.net.loss(CASE.X, labels, loss="cross_entropy")
    assert CASE.net.loss(CASE.X, foreign(labels), loss="cross_entropy") == expected


def test_everything_else_that_takes_arrays(foreign):
    weights = np.array([3.0, 1.0, 2.0])
    assert_same_bits(
        af.node_scaling(3, 0.5, weights=foreign(weights)), af.node_scaling(3, 0.5, weights=weights)
    )
    K = CASE.X @ CASE.X.T
    assert af.min_eigenvalue(foreign(K)) == af.min_eigenvalue(K)
    times = np.array([0.5, 1.0])
    assert af.Record(times=foreign(times)) == af.Record(times=times)
    assert af.Record(ntg_on=foreign(np.array([0, 2]))) == af.Record(ntg_on=[0, 2])
    lazy = [
        af.linearised_flow(CASE.net, CASE.X, CASE.y, of(times)).loss for of in (foreign, np.array)
    ]
    assert_same_bits(*lazy)
    theta = af.NTGOperator(CASE.net, CASE.X)
    assert_same_bits(theta @ foreign(K[0]), theta @ K[0])
    assert_same_bits(af.mean_ntg(foreign(CASE.X), "relu"), af.mean_ntg(CASE.X, "relu"))
    lam = np.array([0.5, 0.5])
    drift = [af.theory.theorem_4_3(of(CASE.X), of(lam), "relu") for of in (foreign, np.array)]
    assert_same_bits(*drift)
    gammas = np.array([0.0, 1.0])
    members = [af.Network.init(2, 3, of(gammas), 0.5, rng=0).lam for of in (foreign, np.array)]
    assert_same_bits(*members)


def test_no_copy(foreign):
    """The network sees what its owner writes into W later."""
    W = np.array(CASE.net.W)
    theirs = foreign(W)
    net = af.Network(theirs, CASE.net.a, CASE.net.lam)
    assert np.shares_memory(net.W, np.from_dlpack(theirs))


def test_strides(foreign):
    X = np.ascontiguousarray(CASE.X.T)
    assert_same_bits(
        CASE.net(foreign(X).T if foreign is not Foreign else Foreign(X.T)), CASE.net(CASE.X)
    )


@pytest.mark.parametrize(
    ("device", "where"), [((2, 0), "CUDA"), ((10, 1), "type 10"), ((99, 0), "type 99")]
)
def test_other_devices_are_refused(device, where):
    with pytest.raises(TypeError, match=rf"Network: X must be in the memory of the CPU.*{where}"):
        CASE.net(Foreign(CASE.X, device))


def test_refusals_of_the_library_are_passed_on():
    torch = pytest.importorskip("torch")
    for X, reason in (
        (torch.ones(7, 5, dtype=torch.float64, requires_grad=True), "require.* gradient"),
        (torch.ones(7, 5, dtype=torch.bfloat16), "dtype"),
        (torch.ones(7, 5, device="meta"), "meta"),
    ):
        with pytest.raises(TypeError, match=f"Network: X cannot be read by DLPack: .*{reason}"):
            CASE.net(X)


def test_wrong_dtypes_and_values_are_refused(foreign):
    with pytest.raises(TypeError, match="X: expected dtype float64, got float16"):
        CASE.net(foreign(CASE.X.astype(np.float16)))
    with pytest.raises(ValueError, match="X must be finite"):
        CASE.net(foreign(CASE.X * np.inf))


def test_results_go_to_torch_without_copies():
    torch = pytest.importorskip("torch")
    run = af.gradient_descent(CASE.net, CASE.X, CASE.y, lr=0.1, steps=3)
    for result in (CASE.net(CASE.X), CASE.net.ntg(CASE.X), run.loss, run.weight_change):
        tensor = torch.from_dlpack(result)
        assert_same_bits(tensor.numpy(), result)
        assert np.shares_memory(tensor.numpy(), result)
    assert_same_bits(torch.tensor(run.network.W).numpy(), run.network.W)


def test_results_go_to_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    run = af.gradient_descent(CASE.net, CASE.X, CASE.y, lr=0.1, steps=3)
    for result in (CASE.net(CASE.X), CASE.net.ntg(CASE.X), run.loss, run.weight_change):
        assert_same_bits(np.asarray(jax.numpy.from_dlpack(result)), result)
    assert_same_bits(np.asarray(jax.numpy.asarray(run.network.W)), run.network.W)


def test_scalars_and_dtypes_of_other_libraries():
    class Key:  # such as JAX's: it has a len(), which raises
        ndim = 0

        def __len__(self):
            raise TypeError("len() of unsized object")

    with pytest.raises(TypeError, match=r"rng must be a seed >= 0 or a generator, got .*Key"):
        af.Network.init(5, 6, 1.0, rng=Key())

    class Float32:
        def __str__(self):
            return "torch.float32"

    with pytest.raises(TypeError, match=r"dtype must be float64 or float32, .*; pass 'float32'$"):
        af.Network.init(5, 6, 1.0, dtype=Float32())
