"""Networks and trained models in other programs: NumPy alone, PyTorch, ONNX, C; and back again."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core, _storage
from ._optional import require

if TYPE_CHECKING:
    from .datasets.tables import Columns

Array = NDArray[Any]

_NUMPY = {
    "swish": "Z / (1 + np.exp(-Z))",
    "relu": "np.maximum(Z, 0)",
    "tanh": "np.tanh(Z)",
    "erf": "np.vectorize(math.erf, [Z.dtype])(Z)",
    "gelu": "Z / 2 * np.vectorize(math.erfc, [Z.dtype])(Z * -(0.5**0.5))",
    "softplus": "np.logaddexp(0, Z, dtype=Z.dtype)",
    "sigmoid": "1 / (1 + np.exp(-Z))",
    "sin": "np.sin(Z)",
    "cos": "np.cos(Z)",
    "identity": "Z",
}
_C = {  # {0} is "f" in float; erfc keeps the tail of gelu
    "swish": "z / (1 + exp{0}(-z))",
    "relu": "z > 0 ? z : 0",
    "tanh": "tanh{0}(z)",
    "erf": "erf{0}(z)",
    "gelu": "z / 2 * erfc{0}(-z * 0.70710678118654752{0})",
    "softplus": "(z > 0 ? z : 0) + log1p{0}(exp{0}(z > 0 ? -z : z))",
    "sigmoid": "1 / (1 + exp{0}(-z))",
    "sin": "sin{0}(z)",
    "cos": "cos{0}(z)",
    "identity": "z",
}


class Layers(NamedTuple):
    """f(x) = C^T sigma(V x + b): the network without its scalings, in its dtype.

    V (m, d) is W / sqrt(d) without the column of a constant input, which is b (m,), or zeros;
    C (m,) or (m, k) is sqrt(lam_j) a_j.
    """

    V: Array
    b: Array
    C: Array
    activation: str

    @classmethod
    def from_network(cls, fn: str, net: Any) -> Layers:
        """Take a single network apart."""
        if net.B is not None:
            raise ValueError(
                f"{fn}: must be a single network, got an ensemble of {net.B}; "
                "export each of its members, net.member(b)"
            )
        dtype = net.W.dtype
        V = (net.W / np.sqrt(np.float64(net.W.shape[1]))).astype(dtype)  # by a float64
        root = np.sqrt(net.lam.astype(np.float64)).reshape(-1, *[1] * (net.a.ndim - 1))
        with np.errstate(over="ignore"):
            C = _check.in_range(fn, (root * net.a).astype(dtype))
        b = V[:, -1] if net.bias else np.zeros(len(V), dtype)
        V = V[:, :-1] if net.bias else V
        return cls(V, b, C, net.activation)

    def astype(self, dtype: np.dtype[Any]) -> Layers:
        """Return the same in another dtype."""
        with np.errstate(over="ignore"):
            V, b, C = (
                _check.in_range("export", one.astype(dtype)) for one in (self.V, self.b, self.C)
            )
        return Layers(V, b, C, self.activation)


def _expansion(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every input of the network its column, and the category that it is 1 for; -1: none."""
    pairs = [
        (place, code)
        for place, name in enumerate(columns.inputs)
        for code in (range(len(columns.categories[name])) if name in columns.categories else [-1])
    ]
    source, code = np.array(pairs, dtype=np.int64).T
    return source, code


# ---- NumPy ---------------------------------------------------------------------------------------


def write_numpy(layers: Layers, path: Any, columns: Columns | None, fn: str) -> None:
    """Write a module with a function ``predict``."""
    arrays, predict = _numpy_parts(layers, columns)
    lines = [_as_text(name, values) for name, values in arrays.items()]
    title = _comment(_title(layers, columns))
    text = {"title": title, "version": _version(), "arrays": "\n".join(lines), "predict": predict}
    file = _storage.file_to_write(fn, "path", path)
    _storage.write_text(file, _template("module.py.in").format(**text))


def numpy_function(layers: Layers) -> Callable[[Any], Array]:
    """Build ``predict(X)``."""
    arrays, predict = _numpy_parts(layers, None)
    namespace: dict[str, Any] = {"np": np, "math": math, **arrays}
    exec(predict, namespace)
    function: Callable[[Any], Array] = namespace["predict"]
    return function


def _numpy_parts(layers: Layers, columns: Columns | None) -> tuple[dict[str, Array], str]:
    """The arrays, and the source of the function that uses them."""
    out = "n," if layers.C.ndim == 1 else f"n, {layers.C.shape[1]}"
    arrays: dict[str, Array] = {"V": layers.V, "b": layers.b, "C": layers.C}
    text = {"out": out, "d": layers.V.shape[1], "sigma": _NUMPY[layers.activation]}
    if columns is None:
        body = _template("network.py.in").format(**text)
    else:
        arrays["source"], arrays["code"] = _expansion(columns)
        arrays |= columns.numbers()
        counts = {columns.inputs.index(name): len(of) for name, of in columns.categories.items()}
        text |= {"d": len(columns.inputs), "counts": list(counts.items())}
        legend = "\n    ".join(map(_comment, _legend(columns)))
        body = _template("table.py.in").format(**text, help=legend)
    return arrays, body


def _as_text(name: str, values: Array) -> str:
    little = values.astype(values.dtype.newbyteorder("<"))
    digits = base64.b64encode(little.tobytes()).decode()
    shape = "".join(f", {size}" for size in values.shape)
    return f'{name} = _array("{digits}", "{little.dtype.str}"{shape})'


# ---- PyTorch -------------------------------------------------------------------------------------


def torch_module(layers: Layers) -> Any:
    """Linear, activation, Linear; without a k axis where the network has none."""
    torch = require("torch", "torch", "Network.to_torch")
    nn = torch.nn

    def linear(weight: Array, bias: Array | None) -> Any:
        layer = nn.Linear(*weight.shape[::-1], bias=bias is not None, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            if bias is not None:
                layer.bias.copy_(torch.tensor(bias))
        return layer

    def function(operation: Any) -> Any:  # a module that is pickled without asymfast
        graph = torch.fx.Graph()
        graph.output(graph.call_function(operation, (graph.placeholder("z"),)))
        return torch.fx.GraphModule(nn.Module(), graph)

    dtype = torch.tensor(layers.V[:0]).dtype
    sigma = {
        "swish": nn.SiLU,
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "erf": lambda: function(torch.erf),
        "gelu": nn.GELU,
        "softplus": lambda: nn.Softplus(threshold=50),  # beyond it log(1 + exp z) rounds to z
        "sigmoid": nn.Sigmoid,
        "sin": lambda: function(torch.sin),
        "cos": lambda: function(torch.cos),
        "identity": nn.Identity,
    }[layers.activation]()
    C = layers.C.reshape(len(layers.C), -1)
    parts = [linear(layers.V, layers.b if layers.b.any() else None), sigma, linear(C.T, None)]
    return nn.Sequential(*parts, *([nn.Flatten(-2)] if layers.C.ndim == 1 else []))


def network_of_layers(fn: str, make: Any, model: Any, activation: str | None) -> Any:
    """What `make` makes of two layers of another library, as `Network` of a network's parts."""
    if hasattr(model, "coefs_"):
        both = zip(model.coefs_, model.intercepts_, strict=True)
        layers = [(np.asarray(matrix).T, [np.asarray(bias)]) for matrix, bias in both]
        own = {"logistic": "sigmoid"}.get(model.activation, model.activation)
        if activation not in (None, own):
            raise ValueError(f"{fn}: activation must be {own!r}, the model's, got {activation!r}")
        activation = own
    else:
        layers = _layers_of_state(fn, model)
    shapes = [matrix.shape for matrix, _ in layers]
    widths = [bias.shape for matrix, biases in layers for bias in biases]
    fits = len(layers) == 2 and shapes[1][1] == shapes[0][0]
    for matrix, biases in layers:
        fits = fits and len(biases) <= 1 and all(bias.shape == matrix.shape[:1] for bias in biases)
    if not fits:
        raise ValueError(
            f"{fn}: model must have one hidden layer: matrices (m, d) and (k, m), and no other "
            f"parameters but their biases (m,) and (k,); got matrices {shapes}, biases {widths}"
        )
    if activation is None:
        raise ValueError(f"{fn}: activation must be given, a state_dict does not hold it")
    (first, at_nodes), (second, at_outputs) = layers
    W, A = first, second.T
    has_bias = any(bias.any() for bias in (*at_nodes, *at_outputs))
    if has_bias:
        W = np.c_[W, at_nodes[0] if at_nodes else np.zeros(len(W), W.dtype)]
    if at_outputs and at_outputs[0].any():  # a node that sees nothing but the constant input
        one = np.ones(1, W.dtype)
        value = numpy_function(Layers(np.zeros((1, 1), W.dtype), one, one, activation))
        W = np.vstack([W, np.eye(1, W.shape[1], W.shape[1] - 1, dtype=W.dtype)])
        A = np.vstack([A, at_outputs[0] / value(np.zeros((1, 1)))])
    m, d = W.shape
    W, a = W * np.sqrt(d).astype(W.dtype), (A * np.sqrt(m)).astype(W.dtype)
    a = a[:, 0] if a.shape[1] == 1 else a
    return make(W, a, np.full(m, 1 / m), activation=activation, gamma=1.0, bias=has_bias)


def _layers_of_state(fn: str, model: Any) -> list[tuple[Array, list[Array]]]:
    """The matrices of a state_dict, each with the vectors that follow it."""
    state = model.state_dict() if hasattr(model, "state_dict") else model
    if not isinstance(state, Mapping):
        raise TypeError(
            f"{fn}: model must be a module of PyTorch, its state_dict, or a fitted MLPRegressor or "
            f"MLPClassifier of scikit-learn, got {type(model).__name__}"
        )
    layers: list[tuple[Array, list[Array]]] = []
    for name, values in state.items():
        array = _check.array(fn, str(name), values)
        if array.ndim == 2:
            layers.append((array, []))
        elif array.ndim == 1 and layers:
            layers[-1][1].append(array)
        else:
            raise ValueError(
                f"{fn}: model must hold matrices of two layers and their biases, got {name} of "
                f"shape {array.shape}"
            )
    return layers


# ---- ONNX ----------------------------------------------------------------------------------------


class _Graph:
    """A graph of ONNX that grows operation by operation; values are names."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, operation: str, *inputs: str | Array, **attributes: Any) -> str:
        names = []
        for one in inputs:
            if not isinstance(one, str):
                constant = np.ascontiguousarray(one)
                one = f"constant{len(self.constants)}"
                self.constants.append(self.onnx.numpy_helper.from_array(constant, one))
            names.append(one)
        output = f"value{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, names, [output], **attributes))
        return output


def _sigma(add: _Graph, name: str, z: str, dtype: np.dtype[Any]) -> str:
    """The activation; by operations that onnxruntime has in float64 as well."""

    def number(value: float) -> Array:
        return np.array(value, dtype)

    if name in ("swish", "sigmoid"):
        s = add("Sigmoid", z)
        return add("Mul", z, s) if name == "swish" else s
    if name == "softplus":
        small = add("Exp", add("Neg", add("Abs", z)))
        return add("Add", add("Relu", z), add("Log", add("Add", small, number(1))))
    if name == "gelu":
        error = _erf(add, add("Mul", z, number(0.5**0.5)), dtype)
        return add("Mul", add("Mul", z, number(0.5)), add("Add", error, number(1)))
    if name == "erf":
        return _erf(add, z, dtype)
    return add(name.capitalize(), z)


def _erf(add: _Graph, z: str, dtype: np.dtype[Any]) -> str:
    """The operation Erf; onnxruntime has none in float64, so 1 - exp(-z^2) p(t), t = 2 / (2 + |z|).

    p interpolates exp(z^2) erfc(z); erf then errs by at most 5e-15.
    """
    if dtype == np.float32:
        return add("Erf", z)

    def scaled(t: Array) -> Array:
        ends = 2 / t - 2
        return np.array([math.exp(x * x) * math.erfc(x) for x in ends])

    lowest = 2 / (2 + 6.5)
    p = np.polynomial.Chebyshev.interpolate(scaled, 20, [lowest, 1])
    centred = p.convert(kind=np.polynomial.Polynomial, domain=[lowest, 1])  # in [-1, 1]
    size = add("Abs", z)
    t = add("Div", np.array(2.0), add("Add", size, np.array(2.0)))
    u = add(
        "Add", add("Mul", t, np.array(2 / (1 - lowest))), np.array(-(1 + lowest) / (1 - lowest))
    )
    value: str | Array = np.array(centred.coef[-1])
    for coefficient in centred.coef[-2::-1]:
        value = add("Add", add("Mul", value, u), np.array(coefficient))
    tail = add("Mul", value, add("Exp", add("Neg", add("Mul", z, z))))
    return add("Mul", add("Sign", z), add("Sub", np.array(1.0), tail))


def write_onnx(layers: Layers, path: Any, columns: Columns | None, fn: str) -> None:
    """Write the network, or the whole way from rows to targets, as a file of ONNX."""
    onnx = require("onnx", "onnx", fn)
    file = _storage.file_to_write(fn, "path", path)
    add, dtype = _Graph(onnx), layers.V.dtype
    of = onnx.helper.np_dtype_to_tensor_dtype
    x, d = "X", layers.V.shape[1]
    if columns is not None:
        source, code = _expansion(columns)
        d = len(columns.inputs)
        x = add("Gather", x, source, axis=1)
        if columns.categories:
            same = add("Cast", add("Equal", x, code.astype(float)), to=of(np.dtype(float)))
            x = add("Where", code < 0, x, same)
        x = add("Div", add("Sub", x, columns.input_mean), columns.input_scale)
        x = add("Cast", x, to=of(dtype))
    z = add("Add", add("MatMul", x, layers.V.T), layers.b)
    f = add("MatMul", _sigma(add, layers.activation, z, dtype), layers.C)
    if columns is not None:
        f = add("Cast", f, to=of(np.dtype(float)))
        f = add("Add", add("Mul", f, columns.target_scale), columns.target_mean)
    add.nodes[-1].output[0] = "f"
    shape = ["n", *layers.C.shape[1:]]
    kind = of(dtype if columns is None else np.dtype(float))
    value = onnx.helper.make_tensor_value_info
    title = _title(layers, columns)
    graph = onnx.helper.make_graph(
        add.nodes,
        "asymfast",
        [value("X", kind, ["n", d])],
        [value("f", kind, shape)],
        add.constants,
        doc_string="\n".join([title, *(_legend(columns) if columns else [])]),
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    model.producer_name, model.producer_version = "asymfast", _version()
    onnx.checker.check_model(model)
    with _storage.replacing(file) as temporary:
        onnx.save(model, temporary)


# ---- C -------------------------------------------------------------------------------------------


def write_c(layers: Layers, path: Any, columns: Columns | None, fn: str) -> None:
    """Write a header of C99 with the weights and a function ``<name of the file>_predict``."""
    name = re.sub(r"\W", "_", Path(path).stem, flags=re.ASCII)
    name = name if name[:1].isalpha() else f"model_{name}"
    m, width = layers.V.shape
    C = layers.C.reshape(m, -1)
    real, suffix = ("float", "f") if layers.V.dtype == np.float32 else ("double", "")
    arrays = {"V": layers.V, "b": layers.b, "C": C}
    text: dict[str, Any] = {"outer": real, "row": "x[i]", "target": f"({real})f[q]", "known": ""}
    text |= {"d": width, "largest": repr(float(np.finfo(layers.V.dtype).max))}
    if columns is not None:
        arrays["source"], arrays["code"] = _expansion(columns)
        arrays |= columns.numbers()
        row = f"x[{name}_source[i]]"
        if columns.categories:
            counts = [len(columns.categories.get(one, ())) for one in columns.inputs]
            arrays["count"] = np.array(counts)
            text["known"] = (
                f" ||\n        ({name}_count[i] &&"
                f" !(x[i] >= 0 && x[i] < {name}_count[i] && x[i] == floor(x[i])))"
            )
            row = f"({name}_code[i] < 0 ? {row} : {row} == {name}_code[i])"
        else:
            del arrays["code"]
        text |= {
            "outer": "double",
            "d": len(columns.inputs),
            "largest": repr(float(np.finfo(float).max)),
            "row": f"({real})(({row} - {name}_input_mean[i]) / {name}_input_scale[i])",
            "target": f"f[q] * {name}_target_scale[q] + {name}_target_mean[q]",
        }
    legend = _legend(columns) if columns else [f"x: {width} inputs, y: {C.shape[1]} outputs"]
    header = _template("model.h.in").format(
        name=name,
        guard=f"{name.upper()}_H",
        title=_comment(_title(layers, columns)),
        version=_version(),
        legend="\n".join(f" *   {_comment(line)}" for line in legend),
        arrays="\n".join(_c_array(f"{name}_{one}", values) for one, values in arrays.items()),
        real=real,
        width=width,
        m=m,
        k=C.shape[1],
        sigma=_C[layers.activation].format(suffix),
        **text,
    )
    _storage.write_text(_storage.file_to_write(fn, "path", path), header)


def _c_array(name: str, values: Array) -> str:
    kind = {"f4": "float", "f8": "double"}.get(values.dtype.str[1:], "int")
    suffix = "f" if kind == "float" else ""

    def row(entries: Array) -> str:
        if kind == "int":
            return "{" + ", ".join(map(str, entries.tolist())) + "}"
        return "{" + ", ".join(float(one).hex() + suffix for one in entries) + "}"

    shape = "".join(f"[{size}]" for size in values.shape)
    rows = "{\n" + ",\n".join(map(row, values)) + "}" if values.ndim == 2 else row(values)
    return f"static const {kind} {name}{shape} = {rows};"


# ---- what they share -----------------------------------------------------------------------------


def _title(layers: Layers, columns: Columns | None) -> str:
    m, d = layers.V.shape
    what = f"A network of {m} nodes ({layers.activation}, {layers.V.dtype})"
    return (
        f"{what} with {d} inputs" if columns is None else f"{what} for {', '.join(columns.targets)}"
    )


def _legend(columns: Columns) -> list[str]:
    """One line for each column of a row and of the result."""
    lines = []
    for place, name in enumerate(columns.inputs):
        codes = ", ".join(
            f"{i} for {one}" for i, one in enumerate(columns.categories.get(name, ()))
        )
        lines.append(f"x[{place}] = {name}" + (f": {codes}" if codes else ""))
    return [*lines, *(f"y[{place}] = {name}" for place, name in enumerate(columns.targets))]


def _template(name: str) -> str:
    return (Path(__file__).with_name("templates") / name).read_text(encoding="utf-8")


def _comment(text: str) -> str:
    """Text that may stand in a comment, whatever the names of the columns are."""
    return re.sub(r"[^\w .,:;=()\[\]%+-]", "_", text, flags=re.ASCII)


def _version() -> str:
    return str(_core.build_config()["version"])


class Exports:
    """The methods of `Network` for other libraries."""

    @_check.arguments("Network.to_numpy")
    def to_numpy(self, path: str | os.PathLike[str] | None = None) -> Callable[[ArrayLike], Array]:
        """Function of NumPy alone that computes the outputs.

        Agrees with the network to rounding. Memory: n m numbers. erf and gelu call the C library
        element by element, about 0.1 microseconds each.

        Parameters
        ----------
        path : path-like, optional
            A file to write it to, as a module of Python with the weights in it: its ``predict``
            needs NumPy and nothing else.

        Returns
        -------
        callable
            ``predict(X)`` gives (n,) or (n, k) outputs of X (n, d), without checks.

        Raises
        ------
        ValueError, OSError
            An ensemble; the file cannot be written.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
        >>> net = af.Network.init(d=3, m=100, gamma=0.5, alpha=0.7, rng=1)
        >>> bool(np.allclose(net.to_numpy()(X), net(X), rtol=1e-12))
        True
        """
        layers = Layers.from_network("Network.to_numpy", self)
        if path is not None:
            write_numpy(layers, path, None, "Network.to_numpy")
        return numpy_function(layers)

    @_check.arguments("Network.to_torch")
    def to_torch(self) -> Any:
        """Module of PyTorch's own layers with the same outputs (extra ``torch``).

        Agrees with the network to rounding. Gradients by its weights are not those of asymfast: a
        step on sqrt(lam_j) a_j is not a step on a_j.

        Returns
        -------
        torch.nn.Sequential
            Linear, activation, Linear, with the scalings in their weights, in the network's dtype;
            needs no asymfast to be saved and loaded. To train with asymfast's kernels, see
            `asymfast.torch.AsymmetricNet`.

        Raises
        ------
        ImportError, ValueError
            PyTorch is not installed; an ensemble.

        Examples
        --------
        >>> import asymfast as af
        >>> module = af.Network.init(d=3, m=100, gamma=1.0, rng=1).to_torch()  # doctest: +SKIP
        """
        return torch_module(Layers.from_network("Network.to_torch", self))

    @_check.arguments("Network.to_onnx")
    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the network as a file of ONNX (extra ``onnx``).

        Operations of version 17 that onnxruntime has in float32 and float64. Agrees with the
        network to rounding.

        Parameters
        ----------
        path : path-like
            The input is X (n, d), the output f (n,) or (n, k), in the network's dtype.

        Raises
        ------
        ImportError, ValueError, OSError
            onnx is not installed; an ensemble; the file cannot be written.

        Examples
        --------
        >>> import asymfast as af
        >>> af.Network.init(d=3, m=100, gamma=1.0, rng=1).to_onnx("net.onnx")  # doctest: +SKIP
        """
        write_onnx(Layers.from_network("Network.to_onnx", self), path, None, "Network.to_onnx")

    @classmethod
    @_check.arguments("Network.from_layers")
    def from_layers(cls, model: Any, activation: str | None = None) -> Self:
        """Network with the outputs of another library's model of one hidden layer.

        Parameters
        ----------
        model : torch.nn.Module, its state_dict, or a fitted MLPRegressor or MLPClassifier
            A matrix (m, d) and one (k, m). Outputs of a classifier are those before softmax.
        activation : str, optional
            Required, except for models of scikit-learn, which name theirs.

        Returns
        -------
        Network
            With lam = 1 / m. Where the model has biases that are not 0, the network has bias=True,
            and biases of outputs are those of one more node. Agrees with the model to rounding.

        Raises
        ------
        TypeError, ValueError
            Something else; more or fewer layers, other parameters, an unknown activation.

        Examples
        --------
        >>> import asymfast as af
        >>> import numpy as np
        >>> weights = {"0.weight": np.array([[1.0, 2.0], [0.0, 1.0]]), "2.weight": np.ones((1, 2))}
        >>> net = af.Network.from_layers(weights, activation="relu")
        >>> net, net(np.array([[1.0, 1.0]])).round(12)
        (Network(m=2, d=2, k=1, activation='relu', dtype='float64'), array([4.]))
        """
        network: Self = network_of_layers("Network.from_layers", cls, model, activation)
        return network
