"""Whatever is passed to the PyTorch module and function: tensors of the right shape, or refused.

Values that are NaN or infinite are passed on, as PyTorch does; finite ones never become NaN in
silence while they stay in range.
"""

from __future__ import annotations

import asymfast as af
import numpy as np
import pytest
from cases import ACTIVATIONS
from fuzz_inputs import answer, arrays, assert_finite, counts, modest, odd, problems, reals, usually
from fuzzing import fuzz
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
AsymmetricNet, asymmetric_net = af.torch.AsymmetricNet, af.torch.asymmetric_net


def tensor(values):
    """A tensor of the same numbers, strides and type; what PyTorch has no tensor of, as it is."""
    try:
        # it has no negative strides, warns of frozen memory and takes no odd addresses
        return torch.from_numpy(np.array(values, order="K"))
    except (TypeError, ValueError):
        return values


@fuzz(
    30,
    given=problems(),
    shape=st.sampled_from([None, "column", "transposed", "grad of lam"]),
    activation=usually(st.sampled_from(ACTIVATIONS)),
    threads=usually(st.sampled_from([None, 1, 2])),
    odd_one=st.none() | st.none() | st.tuples(st.sampled_from(["X", "W", "a", "lam"]), odd),
)
def test_asymmetric_net(given, shape, activation, threads, odd_one):
    X, W, a, lam = (tensor(given[name]) for name in ("X", "W", "a", "lam"))
    tensors = {"X": X, "W": W, "a": a, "lam": lam}
    if shape == "transposed" and isinstance(X, torch.Tensor) and X.ndim == 2:
        tensors["X"] = X.t().contiguous().t()
    if shape == "column" and isinstance(X, torch.Tensor):
        tensors["X"] = X[None]
    for name in ("X", "W", "a") if shape != "grad of lam" else ("X", "W", "a", "lam"):
        if isinstance(tensors[name], torch.Tensor) and tensors[name].is_floating_point():
            tensors[name].requires_grad_()
    if odd_one is not None:
        tensors[odd_one[0]] = odd_one[1]
    f = answer(lambda: asymmetric_net(**tensors, activation=activation, threads=threads))
    if f is None:
        return
    assert f.dtype == tensors["W"].dtype
    assert f.shape == tensors["X"].shape[:-1] + tensors["a"].shape[1:]
    f.sum().backward()
    numbers = [each.detach().numpy() for each in tensors.values()]
    if all(np.isfinite(each).all() for each in numbers) and modest(*numbers) and lam.min() >= 0:
        assert_finite(f.detach().numpy(), *(tensors[name].grad for name in ("X", "W", "a")))
    for name in ("X", "W", "a"):
        assert tensors[name].grad.shape == tensors[name].shape
    return True


@fuzz(
    25,
    chosen=st.fixed_dictionaries(
        {"d": counts(4), "m": counts(20), "gamma": reals(0.0, 1.0)},
        optional={
            "alpha": st.none() | reals(0.0, 3.0),
            "activation": usually(st.sampled_from(ACTIVATIONS)),
            "outputs": usually(st.integers(1, 3)),
            "rng": usually(st.none() | st.integers(0, 9)),
            "weights": st.none() | arrays(9),
            "train_output": usually(st.booleans()),
            "threads": usually(st.sampled_from([None, 1])),
            "dtype": usually(st.sampled_from([None, torch.float64, torch.float32, torch.float16])),
        },
    ),
    net=st.none() | odd,
)
def test_module(
    chosen,
    net,
):
    for name in ("d", "m", "outputs"):
        if isinstance(chosen.get(name), int) and chosen[name] > 10**4:
            chosen[name] = 2**70
    answer(lambda: AsymmetricNet.from_network(net))
    module = answer(lambda: AsymmetricNet(**chosen))
    if module is None:
        return
    X = torch.ones((2, module.W.shape[1]), dtype=module.W.dtype)
    f = answer(lambda: module(X))
    if f is None:
        return
    assert_finite(f.detach().numpy())
    f.sum().backward()
    assert_finite(module.W.grad.numpy())
    again = module.network()
    assert isinstance(again, af.Network)
    assert np.array_equal(again.W, module.W.detach().numpy())
    return True
