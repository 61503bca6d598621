"""Networks and models in other programs: NumPy alone, PyTorch, ONNX, a C compiler; and back."""

from __future__ import annotations

import csv
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import asymfast as af
import numpy as np
import oracles
import pytest
from asymfast import _export
from asymfast.cli import main
from cases import ACTIVATIONS, DTYPES, assert_within, model_of, problem

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wdouble-promotion", "-Werror", "-O1"]


def exact(net, X):
    """Outputs by the oracle in float64, and a bound on the errors of a program in the dtype."""
    model = model_of(net)
    f = oracles.forward(model, X.astype(np.float64)).reshape(len(X), *net.a.shape[1:])
    H = np.abs(oracles.features(model, X.astype(np.float64)))
    size = H @ np.abs(model.a) + np.abs(X).astype(float) @ np.abs(model.W).T @ (
        np.sqrt(model.lam).reshape(-1, *[1] * (model.a.ndim - 1)) * np.abs(model.a)
    )
    # sums of d and m terms, and slopes below 1.2 that carry the errors of Z on
    return f, 4 * (net.d + net.m) * float(np.finfo(net.dtype).eps) * size


def with_bias(net):
    return af.Network(net.W, net.a, net.lam, activation=net.activation, bias=True)


CASES = pytest.mark.parametrize("activation", ACTIVATIONS)
OUTPUTS = pytest.mark.parametrize("outputs", [1, 3])
FLOATS = pytest.mark.parametrize("dtype", DTYPES)


def cases(activation, outputs, dtype):
    """A network with wide arguments and one with bias, and their inputs."""
    case = problem(n=29, d=5, m=37, outputs=outputs, activation=activation, dtype=dtype)
    wide = (case.X * np.linspace(0, 40, 29)[:, None]).astype(dtype)
    ones = case.X.copy()
    ones[:, -1] = 1
    return [(case.net, wide, wide), (with_bias(case.net), ones[:, :-1].copy(), ones)]


@CASES
@OUTPUTS
@FLOATS
def test_numpy(activation, outputs, dtype, tmp_path):
    for net, X, full in cases(activation, outputs, dtype):
        with np.errstate(all="raise", under="ignore"):
            f = net.to_numpy(tmp_path / "net.py")(X)
        assert f.dtype == dtype
        assert_within(f, *exact(net, full))
        module: dict = {}
        exec((tmp_path / "net.py").read_text(), module)
        np.testing.assert_array_equal(module["predict"](X), f)


def test_numpy_needs_no_asymfast(tmp_path):
    net = problem(activation="gelu").net
    net.to_numpy(tmp_path / "net.py")
    code = (
        "import net, numpy, sys; print(net.predict(numpy.ones((1, 11))), 'asymfast' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{net.to_numpy()(np.ones((1, 11)))} False\n"


@CASES
@OUTPUTS
@FLOATS
def test_torch(activation, outputs, dtype):
    torch = pytest.importorskip("torch")
    for net, X, full in cases(activation, outputs, dtype):
        module = pickle.loads(pickle.dumps(net.to_torch()))
        f = module(torch.tensor(X)).detach().numpy()
        assert f.dtype == dtype
        assert_within(f, *exact(net, full))
        kinds = {type(layer).__module__.split(".")[0] for layer in module.modules()}
        assert kinds == {"torch"}


@CASES
@OUTPUTS
@FLOATS
def test_onnx(activation, outputs, dtype, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    for net, X, full in cases(activation, outputs, dtype):
        net.to_onnx(tmp_path / "net.onnx")
        session = runtime.InferenceSession(
            tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
        )
        (f,) = session.run(None, {"X": X})
        assert f.dtype == dtype
        assert_within(f, *exact(net, full))


def compiled(headers, folder, standards=(STRICT,)):
    """A program that reads rows of doubles and prints status and outputs of each header."""
    real = "float" if "_predict(const float" in headers[0].read_text() else "double"
    calls = "".join(
        f"""
        for (i = 0; i < {one.stem}_inputs; ++i) x[i] = ({real})row[i];
        for (q = 0; q < {one.stem}_outputs; ++q) y[q] = 0;
        printf("%d", {one.stem}_predict(x, y));
        for (q = 0; q < {one.stem}_outputs; ++q) printf(" %.17g", (double)y[q]);
        printf("\\n");"""
        for one in headers
    )
    includes = "\n".join(f'#include "{one.name}"' for one in headers)
    (folder / "main.c").write_text(f"""{includes}
#include <stdio.h>
int main(void) {{
  double row[9];
  {real} x[9], y[9];
  int i = 0, q;
  while (scanf("%lf", row + i) == 1) {{
    if (++i < {headers[0].stem}_inputs) continue;
    {calls}
    i = 0;
  }}
  return 0;
}}""")
    program = str(folder / "main")
    for standard in standards:
        command = [CC, *standard, "main.c", "-o", program, "-lm"]
        subprocess.run(command, cwd=folder, check=True)
    assert not any(re.search(r"\w*alloc\(", one.read_text()) for one in headers)

    def predict(rows):
        text = "\n".join(" ".join(map(repr, map(float, row))) for row in rows)
        command = {"input": text, "capture_output": True, "text": True, "check": True}
        lines = subprocess.run([program], **command).stdout.splitlines()
        table = np.array([line.split() for line in lines], float)
        return table.reshape(len(rows), len(headers), -1).swapaxes(0, 1)

    return predict


needs_compiler = pytest.mark.skipif(CC is None, reason="needs a C compiler")


@needs_compiler
@FLOATS
@pytest.mark.parametrize("which", [0, 1], ids=["wide", "bias"])
def test_c(dtype, which, tmp_path):
    """All activations in one program."""
    headers, expected = [], []
    for activation in ACTIVATIONS:
        net, X, full = cases(activation, (1, 3)[which], dtype)[which]
        run = af.gradient_descent(net, X, net(X), steps=1)
        run.save(tmp_path / "run.npz")
        headers.append(tmp_path / f"{activation}-2.h")
        assert main(["export", str(tmp_path / "run.npz"), "--c", str(headers[-1])]) == 0
        expected.append(exact(run.network, full))
    headers = [one.rename(one.with_stem(one.stem.replace("-", "_"))) for one in headers]
    predict = compiled(headers, tmp_path, (["-xc++", "-std=c++17", *STRICT[1:]], STRICT))
    for printed, (f, bound) in zip(predict(X), expected, strict=True):
        assert (printed[:, 0] == 0).all()
        assert_within(printed[:, 1:].reshape(f.shape), f, bound)
    X[3, 1] = np.nan
    for printed in predict(X):
        assert list(printed[2:5, 0]) == [0, 2, 0]
        assert not printed[3, 1:].any()


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A model with standardisation, categories and bias; its rows as numbers."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    speed, heat = rng.uniform(2000, 2010, 40), rng.uniform(-3, 3, 40)
    fuel = rng.integers(0, 3, 40)
    columns = {"speed": speed, "fuel": np.array(["coal", "gas", '*/ """ oil'])[fuel]}
    columns |= {"heat {m}": heat, "lift": 1e4 + speed * heat + 5 * fuel, "drag": speed**2}
    with open("cars.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    options = ["--target", "lift", "--target", "drag", "--one-hot", "fuel", "--bias"]
    small = ["--width", "30", "--steps", "50", "--no-figure"]
    for dtype in DTYPES:
        out = ["--dtype", dtype, "--out", dtype]
        assert main(["train", "cars.csv", *options, *small, *out]) == 0
    codes = np.array(sorted(set(columns["fuel"])))
    rows = np.c_[speed, np.searchsorted(codes, columns["fuel"]), heat]
    return {name: columns[name] for name in ("speed", "fuel", "heat {m}")}, rows


def agrees(got, model, table):
    predicted = model.predict(table)
    scale = model.columns.target_scale * 10
    assert_within(got, predicted, 100 * float(np.finfo(model.network.dtype).eps) * scale + 1e-9)


@FLOATS
def test_models(dtype, trained, tmp_path):
    """What `asymfast predict` gives, from rows in the units of the table."""
    table, rows = trained
    model = af.load_model(dtype)
    assert main(["export", dtype, "--numpy", "cars.py", "--c", "cars.h"]) == 0
    namespace: dict = {}
    exec(Path("cars.py").read_text(), namespace)
    agrees(namespace["predict"](rows), model, table)
    wrong = rows.copy()
    wrong[2, 1] = 3
    with pytest.raises(ValueError, match=r"X\[:, 1\] must be a whole number below 3"):
        namespace["predict"](wrong)
    if CC is not None:
        predict = compiled([Path("cars.h")], tmp_path)
        agrees(predict(rows)[0, :, 1:], model, table)
        for value in (3, -1, 0.5, np.nan, np.inf):
            wrong[2, 1] = value
            assert list(predict(wrong)[0, 1:4, 0]) == [0, 2, 0]


@FLOATS
def test_models_in_onnx(dtype, trained):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    table, rows = trained
    assert main(["export", dtype, "--onnx", "cars.onnx"]) == 0
    session = runtime.InferenceSession("cars.onnx", providers=["CPUExecutionProvider"])
    agrees(session.run(None, {"X": rows})[0], af.load_model(dtype), table)


def test_command_refuses(trained, capsys, monkeypatch):
    def refused(*options):
        capsys.readouterr()
        assert main(["export", *options]) == 2
        return capsys.readouterr().err

    assert "needs at least one of --c, --onnx, --numpy" in refused("float64")
    Path("there.h").touch()
    assert "there.h exists; --overwrite replaces it" in refused("float64", "--c", "there.h")
    assert "absent" in refused("absent", "--c", "new.h")
    assert "is not a model file" in refused("cars.csv", "--c", "new.h")
    assert "no/new.h" in refused("float64", "--c", "no/new.h")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'asymfast[onnx]'" in refused("float64", "--onnx", "new.onnx")
    assert not Path("new.h").exists()
    ensemble = af.Network.init(3, 5, 1.0, rng=[0, 1])
    af.gradient_descent(ensemble, np.eye(3), np.ones(3), steps=1).save("run.npz")
    assert "export each of its members" in refused("run.npz", "--c", "new.h")
    assert main(["export", "float64", "--c", "there.h", "--overwrite", "--dtype", "float32"]) == 0
    assert "static const float there_V" in Path("there.h").read_text()


def test_ensembles_are_refused():
    ensemble = af.Network.init(3, 5, 1.0, rng=[0, 1])
    for export in (ensemble.to_numpy, ensemble.to_torch, lambda: ensemble.to_onnx("net.onnx")):
        with pytest.raises(ValueError, match=r"must be a single network, .* members, net.member"):
            export()


# ---- and back ------------------------------------------------------------------------------------


@CASES
def test_state_of_torch(activation):
    torch = pytest.importorskip("torch")
    for outputs in (1, 3):
        net = problem(outputs=outputs, activation=activation).net
        for model in (net.to_torch(), net.to_torch().state_dict()):
            again = af.Network.from_layers(model, activation)
            X = problem().X
            assert (again.bias, again.m, again.gamma) == (False, net.m, 1.0)
            assert_within(again(X), *exact(net, X))
    layers = [torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)]
    model = torch.nn.Sequential(*layers)
    again = af.Network.from_layers(model, "tanh")
    X = torch.randn(9, 4)
    assert (again.bias, again.m, again.dtype) == (True, 7, np.float32)
    np.testing.assert_allclose(again(X.numpy()), model(X).detach().numpy(), atol=3e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("kind", ["MLPRegressor", "MLPClassifier"])
def test_models_of_sklearn(activation, kind):
    networks = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    y = X[:, :2] if kind == "MLPRegressor" else rng.integers(0, 3, 30)
    model = getattr(networks, kind)(
        hidden_layer_sizes=(7,), activation=activation, max_iter=20, random_state=0
    )
    with pytest.warns(UserWarning, match="converge"):
        model.fit(X, y)
    net = af.Network.from_layers(model)
    f = net(X)
    if kind == "MLPClassifier":
        f = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(f, model.predict_proba(X), atol=1e-13)
    else:
        np.testing.assert_allclose(f, model.predict(X), atol=1e-13)
    with pytest.raises(ValueError, match=r"activation must be .*, the model's, got 'sin'"):
        af.Network.from_layers(model, "sin")
    model.coefs_, model.intercepts_ = [np.eye(3)] * 3, [np.ones(3)] * 3
    with pytest.raises(ValueError, match=r"must have one hidden layer"):
        af.Network.from_layers(model)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({}, ValueError, r"must have one hidden layer: .* got matrices \[\]"),
        ({"W": np.ones((3, 2))}, ValueError, r"got matrices \[\(3, 2\)\]"),
        ({"W": np.ones((3, 2)), "V": np.ones((1, 4))}, ValueError, r"one hidden layer"),
        ({"W": np.ones((3, 2)), "b": np.ones(2), "V": np.ones((1, 3))}, ValueError, r"one hidden"),
        ({"b": np.ones(2), "W": np.ones((3, 2))}, ValueError, r"got b of shape \(2,\)"),
        ({"W": np.ones((3, 2, 1))}, ValueError, r"got W of shape \(3, 2, 1\)"),
        ({"W": np.ones((3, 2)), "V": np.full((1, 3), np.nan)}, ValueError, r"V must be finite"),
        ([np.ones((3, 2))], TypeError, r"model must be a module of PyTorch, .* got list"),
    ],
)
def test_other_models_are_refused(model, error, message):
    with pytest.raises(error, match=message):
        af.Network.from_layers(model, "tanh")


def test_activation_must_be_given():
    weights = {"0.weight": np.ones((3, 2)), "2.weight": np.ones((1, 3))}
    with pytest.raises(ValueError, match=r"activation must be given"):
        af.Network.from_layers(weights)
    with pytest.raises(ValueError, match=r"activation must be one of"):
        af.Network.from_layers(weights, "step")


def test_erf_by_operations():
    """p(t) in float64, at every size of z and sign."""

    class Evaluated:
        def __call__(self, operation, *inputs):
            operations = {"Div": np.divide, "Sub": np.subtract, "Mul": np.multiply, "Add": np.add}
            operations |= {"Abs": np.abs, "Neg": np.negative, "Exp": np.exp, "Sign": np.sign}
            return operations[operation](*inputs)

    z = np.concatenate([np.linspace(-8, 8, 10_001), [1e-300, -50.0, 1e150]])
    with np.errstate(over="ignore"):
        got = _export._erf(Evaluated(), z, np.dtype(float))
    assert np.abs(got - oracles.activation("erf", z)).max() < 5e-15


@pytest.mark.parametrize("layer", ["W", "a"])
def test_weights_beyond_float32_are_refused(layer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    net = af.Network.init(3, 5, 1.0, rng=0)
    far = {"W": net.W, "a": net.a} | {layer: 1e39 * getattr(net, layer)}
    run = af.gradient_descent(net.with_weights(**far), np.zeros((2, 3)), np.zeros(2), steps=1)
    run.save("run.npz")
    assert main(["export", "run.npz", "--c", "net.h", "--dtype", "float32"]) == 2
    assert "exceeds the range of float32" in capsys.readouterr().err
    assert not (tmp_path / "net.h").exists()
