"""The PyTorch module: gradients, training, states, devices."""

from __future__ import annotations

import copy

import asymfast as af
import numpy as np
import pytest
from cases import ACTIVATIONS, DTYPES, SMOOTH, assert_same_bits, problem

torch = pytest.importorskip("torch")
from asymfast.torch import AsymmetricNet, asymmetric_net  # noqa: E402


def tensors(case, *, grad=True):
    """X, W and a of a problem, and its lam."""
    X, W, a = (torch.tensor(v, requires_grad=grad) for v in (case.X, case.net.W, case.net.a))
    return X, W, a, torch.tensor(case.net.lam)


def in_torch(X, W, a, lam, activation):
    """The same network in PyTorch's own operations."""
    sigma = {
        "swish": torch.nn.functional.silu,
        "relu": torch.relu,
        "gelu": torch.nn.functional.gelu,
        "softplus": torch.nn.functional.softplus,
        "identity": lambda z: z,
    }
    of = sigma.get(activation) or getattr(torch, activation)
    return of(X @ W.T / X.shape[-1] ** 0.5) @ torch.einsum(
        "j,j...->j...", lam.to(W.dtype).sqrt(), a
    )


# ---- the function --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", SMOOTH)  # across relu's kink differences mean nothing
@pytest.mark.parametrize("outputs", [1, 3])
def test_gradcheck(activation, outputs):
    case = problem(n=5, d=3, m=7, outputs=outputs, activation=activation)
    X, W, a, lam = tensors(case)

    def function(X, W, a):
        return asymmetric_net(X, W, a, lam, activation=activation)

    assert torch.autograd.gradcheck(function, (X, W, a))  # its defaults: 1e-5 + 1e-3 relative


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(activation, outputs, dtype):
    case = problem(n=9, d=5, m=33, outputs=outputs, activation=activation, dtype=dtype)
    results = []
    for function in (lambda *v, activation: asymmetric_net(*v, activation=activation), in_torch):
        X, W, a, lam = tensors(case)
        f = function(X, W, a, lam, activation=activation)
        (
            f.sin() * torch.arange(1.0, 10, dtype=f.dtype).reshape(9, *[1] * (f.ndim - 1))
        ).sum().backward()
        results.append((f.detach(), X.grad, W.grad, a.grad))
    for ours, theirs in zip(*results, strict=True):
        # sums of at most max(n, d, m) = 33 terms, roundings carried on by sin and sigma'
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=1e2 * float(case.eps) * float(theirs.abs().max())
        )


def test_outputs_are_those_of_the_network():
    case = problem(outputs=3)
    f = asymmetric_net(*tensors(case, grad=False))
    assert not f.requires_grad
    assert_same_bits(f.numpy(), case.net(case.X))


@pytest.mark.parametrize("outputs", [1, 3])
def test_leading_axes(outputs):
    case = problem(n=24, outputs=outputs)
    X, W, a, lam = tensors(case)
    flat = asymmetric_net(X, W, a, lam)
    folded = asymmetric_net(X.reshape(2, 3, 4, -1), W, a, lam)
    assert folded.shape == (2, 3, 4, *a.shape[1:])
    assert torch.equal(folded.reshape(flat.shape), flat)
    assert asymmetric_net(X[0], W, a, lam).shape == a.shape[1:]


def test_strided_tensors():
    case = problem(outputs=3)
    X, W, a, lam = tensors(case, grad=False)
    columns = [v.T.contiguous().T for v in (X, W, a)]
    assert torch.equal(asymmetric_net(*columns, lam), asymmetric_net(X, W, a, lam))
    for v in columns:
        v.requires_grad_()
    cotangent = torch.tensor(case.y).T.contiguous().T
    asymmetric_net(*columns, lam).backward(cotangent)
    assert_same_bits(columns[1].grad.numpy(), case.net.pullback(case.X, case.y))


def test_only_wanted_gradients():
    X, W, a, lam = tensors(problem())
    (gradient,) = torch.autograd.grad(asymmetric_net(X, W.detach(), a.detach(), lam).sum(), [X])
    assert gradient.shape == X.shape


def test_second_derivatives_are_refused():
    X, W, a, lam = tensors(problem())
    (gradient,) = torch.autograd.grad(
        asymmetric_net(X, W, a, lam).square().sum(), [W], create_graph=True
    )
    with pytest.raises(RuntimeError, match="asymmetric_net: there are no second derivatives"):
        gradient.square().sum().backward()


def test_changes_in_place_are_noticed():
    X, W, a, lam = tensors(problem())
    loss = asymmetric_net(X, W, a, lam).sum()
    with torch.no_grad():
        W.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_functional_gradients():
    X, W, a, lam = tensors(problem(), grad=False)
    gradient = torch.func.grad(lambda W: asymmetric_net(X, W, a, lam).sum())(W)
    W.requires_grad_()
    asymmetric_net(X, W, a, lam).sum().backward()
    assert torch.equal(gradient, W.grad)


def test_not_finite_values_are_passed_on():
    X, W, a, lam = tensors(problem())
    f = asymmetric_net(X * float("nan"), W, a, lam)
    assert f.isnan().all()
    f.sum().backward()
    assert W.grad.isnan().all()


X, W, A, LAM = tensors(problem(n=7, d=5, m=6), grad=False)
REFUSED = {
    "array": (lambda: asymmetric_net(X.numpy(), W, A, LAM), TypeError, "X must be a tensor"),
    "device": (
        lambda: asymmetric_net(X.to("meta"), W, A, LAM),
        TypeError,
        "X must be on the CPU, but is on the meta device",
    ),
    "sparse": (lambda: asymmetric_net(X.to_sparse(), W, A, LAM), TypeError, "X must be a dense"),
    "nested": (
        lambda: asymmetric_net(
            torch.nested.nested_tensor([X[:2], X], layout=torch.jagged), W, A, LAM
        ),
        TypeError,
        "X must be a dense tensor on the CPU, got a nested one",
    ),
    "half": (lambda: asymmetric_net(X, W.half(), A, LAM), TypeError, "W: .*float16"),
    "X dtype": (lambda: asymmetric_net(X.float(), W, A, LAM), TypeError, "X: .*float64.*float32"),
    "a dtype": (lambda: asymmetric_net(X, W, A.float(), LAM), TypeError, "a: .*float64.*float32"),
    "lam dtype": (lambda: asymmetric_net(X, W, A, LAM.float()), TypeError, "lam: .*float32"),
    "lam grad": (
        lambda: asymmetric_net(X, W, A, LAM.clone().requires_grad_()),
        TypeError,
        "lam must be a constant",
    ),
    "X shape": (
        lambda: asymmetric_net(X[:, 1:], W, A, LAM),
        ValueError,
        r"X must.*\(\.\.\., 5\).*\(7, 4\)",
    ),
    "W shape": (lambda: asymmetric_net(X, W[0], A, LAM), ValueError, r"W .*\(m, d\).*\(5,\)"),
    "a shape": (lambda: asymmetric_net(X, W, A[1:], LAM), ValueError, r"a .*\(6,\).*\(5,\)"),
    "lam shape": (lambda: asymmetric_net(X, W, A, LAM[1:]), ValueError, r"lam .*\(6,\).*\(5,\)"),
    "empty": (lambda: asymmetric_net(X[:0], W, A, LAM), ValueError, "X must not be empty"),
    "activation": (
        lambda: asymmetric_net(X, W, A, LAM, activation="mish"),
        ValueError,
        "activation must be one of",
    ),
    "threads": (lambda: asymmetric_net(X, W, A, LAM, threads=0), ValueError, "threads"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input_is_refused(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=f"asymmetric_net: {message}"):
        call()


def test_threads(monkeypatch):
    """The team is that of PyTorch unless asked for, and changes no bit."""
    teams = []
    forward = af._core.forward
    monkeypatch.setattr(af._core, "forward", lambda *v: teams.append(v[-1]) or forward(*v))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = asymmetric_net(X, W, A, LAM)
        torch.set_num_threads(2)
        two = asymmetric_net(X, W, A, LAM)
        three = asymmetric_net(X, W, A, LAM, threads=3)
    finally:
        torch.set_num_threads(before)
    assert teams == [1, 2, 3]
    assert torch.equal(one, two)
    assert torch.equal(one, three)


# ---- the module ----------------------------------------------------------------------------------


def test_to_and_from_networks():
    net = af.Network.init(5, 6, 0.5, 0.7, "gelu", outputs=3, rng=0, dtype="float32")
    module = AsymmetricNet.from_network(net)
    back = module.network()
    for name in ("W", "a", "lam"):
        assert_same_bits(getattr(back, name), getattr(net, name))
    assert (back.gamma, back.alpha, back.activation) == (0.5, 0.7, "gelu")
    with torch.no_grad():
        module.W.zero_()
    assert back.W.any()  # a copy
    assert net.W.any()


def test_draws_are_those_of_the_network():
    module = AsymmetricNet(5, 6, 0.5, 0.7, rng=3, dtype=torch.float64)
    net = af.Network.init(5, 6, 0.5, 0.7, rng=3)
    assert_same_bits(module.W.detach().numpy(), net.W)
    assert_same_bits(module.a.detach().numpy(), net.a)
    torch.manual_seed(0)
    first = AsymmetricNet(5, 6, 1.0)
    torch.manual_seed(0)
    again, other = AsymmetricNet(5, 6, 1.0), AsymmetricNet(5, 6, 1.0)
    assert torch.equal(first.W, again.W)
    assert not torch.equal(first.W, other.W)
    assert first.W.dtype == torch.get_default_dtype()


def test_what_is_refused():
    stack = af.Network.init(5, 6, 1.0, rng=[0, 1])
    with pytest.raises(ValueError, match="must be a single network, got an ensemble of 2"):
        AsymmetricNet.from_network(stack)
    with pytest.raises(TypeError, match="from_network: net must be a Network, got int"):
        AsymmetricNet.from_network(3)
    with pytest.raises(ValueError, match="node_scaling: gamma < 1 needs alpha"):
        AsymmetricNet(5, 6, 0.5)
    with pytest.raises(TypeError, match="dtype must be float64 or float32"):
        AsymmetricNet(5, 6, 1.0, dtype=torch.float16)


def test_states_and_copies(tmp_path):
    module, other = (AsymmetricNet(5, 6, 0.5, 0.7, rng=seed) for seed in (0, 1))
    X = torch.ones(4, 5)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(X), module(X))
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin.W.add_(1)
    assert not torch.equal(twin(X), module(X))
    assert set(module.state_dict()) == {"W", "a", "lam", "_extra_state"}


def test_dtypes_follow():
    module = AsymmetricNet(5, 6, 0.5, 0.7, rng=0)
    X = torch.ones(4, 5)
    single = module(X)
    double = module.double()(X.double())
    torch.testing.assert_close(single, double.float(), rtol=1e-5, atol=1e-6)
    assert module.float()(X).dtype == torch.float32
    with pytest.raises(TypeError, match="asymmetric_net: W: expected dtype float64 or float32"):
        module.bfloat16()(X)


def test_repr():
    text = repr(AsymmetricNet(5, 6, 0.5, 0.7, outputs=2))
    assert text == ("AsymmetricNet(d=5, m=6, outputs=2, activation='swish', gamma=0.5, alpha=0.7)")


@pytest.mark.parametrize("outputs", [1, 3])
def test_training_follows_gradient_descent(outputs):
    case = problem(n=20, d=4, m=50, outputs=outputs)
    module = AsymmetricNet.from_network(case.net)
    X, y = torch.tensor(case.X), torch.tensor(case.y)
    lr, steps = 0.25 * case.net.stable_step(case.X), 200
    optimiser = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = 0.5 * (module(X) - y).square().sum()
        loss.backward()
        optimiser.step()
    run = af.gradient_descent(case.net, case.X, case.y, lr=lr, steps=steps)
    # A step rounds W by eps / 2 (ours keeps the rest) and a perturbation grows by less than 10 in
    # so few steps of a stable descent.
    W = run.network.W
    bound = 10 * steps * case.eps * np.abs(W).max()
    assert np.abs(module.W.detach().numpy() - W).max() <= bound
    assert_same_bits(module.a.detach().numpy(), case.net.a)


def test_output_weights_train_too():
    case = problem(n=20, d=4, m=50)
    module = AsymmetricNet.from_network(case.net, train_output=True)
    X, y = torch.tensor(case.X), torch.tensor(case.y)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(50):
        optimiser.zero_grad()
        loss = (module(X) - y).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert not np.array_equal(module.a.detach().numpy(), case.net.a)


def test_inside_another_model():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 5), AsymmetricNet(5, 8, 0.5, 0.7, outputs=4), torch.nn.Linear(4, 2)
    )
    model(torch.randn(6, 3)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model[0].parameters())
    assert model[1].a.grad is None


# ---- what a state carries, and what is refused ---------------------------------------------------


def test_a_state_carries_the_origin_of_the_scaling():
    saved = AsymmetricNet(3, 8, 0.5, 0.7, "tanh", rng=0)
    other = AsymmetricNet(3, 8, 0.1, 0.3, "swish", rng=1)
    other.load_state_dict(saved.state_dict())
    assert (other.gamma, other.alpha, other.activation) == (0.5, 0.7, "tanh")
    assert other.network().gamma == 0.5
    without = AsymmetricNet(3, 8, 1.0, rng=0)
    other.load_state_dict(without.state_dict())
    assert (other.gamma, other.alpha) == (1.0, None)


def test_tensors_without_values_are_named():
    with torch.device("meta"):
        module = AsymmetricNet(3, 8, 0.5, 0.7)
    with pytest.raises(TypeError, match="on the meta device"):
        module(torch.ones(2, 3, dtype=module.W.dtype, device="cpu"))
    with pytest.raises(TypeError, match="on the meta device"):
        module.network()


def test_batched_gradients_are_refused_in_our_words():
    module = AsymmetricNet(3, 8, 0.5, 0.7, rng=0)
    f = module(torch.ones(2, 3, dtype=module.W.dtype))
    with pytest.raises(RuntimeError, match="is_grads_batched=True"):
        torch.autograd.grad(f, module.W, torch.eye(2, dtype=f.dtype), is_grads_batched=True)
