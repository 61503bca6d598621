"""Checks of arguments: a TypeError for another type, a ValueError for another value or shape.

Messages name the function, the argument, what was expected and what came.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from asymfast._storage import brief as brief
from asymfast._storage import path

LARGEST = 2**63 - 1  # that the compiled core can count to
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))

_ERROR_STATE: dict[str, Any] = {
    "divide": "warn",
    "over": "warn",
    "under": "ignore",
    "invalid": "warn",
}
_GUARDED = ("__init__", "__post_init__", "__call__", "__matmul__", "__getitem__", "__iter__")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[[str, str, Any], Any]  # (function, argument, value) -> value


def arguments(
    fn: str | None = None,
    /,
    *,
    options: Callable[..., Any] | None = None,
    without: tuple[str, ...] = (),
    **checks: Check,
) -> Callable[[F], F]:
    """Declare what the arguments of a function must be; it then gets the checked values.

    Those in `KINDS` are checked by their names. Where the default of an argument is None, so may be
    the argument. The function is also `guarded`. `fn` is its name in messages, by default its own,
    after that of its class. A check is called as check(fn, name, value) and returns the value or
    raises. The function's ``**`` stands for the keywords of `options`, but for those in `without`.

    >>> @arguments(lr=POSITIVE)
    ... def train(steps, lr=None):
    ...     return steps, lr
    >>> train(0)
    Traceback (most recent call last):
        ...
    ValueError: train: steps must be at least 1, got 0
    """

    def decorate(function: F) -> F:
        if options is not None:
            own = inspect.signature(function)
            named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
            for one in inspect.signature(options).parameters.values():
                if one.kind is one.KEYWORD_ONLY and one.name not in without:
                    named.append(one)
            function.__signature__ = own.replace(parameters=named)  # type: ignore[attr-defined]
        return _checking(function, fn or function.__qualname__, KINDS | checks)

    return decorate


def _checking(function: F, fn: str, checks: Mapping[str, Check]) -> F:
    parameters = inspect.signature(function).parameters
    names = tuple(parameters)
    optional = {name for name in names if parameters[name].default is None}
    any_name = any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    def checked(name: str, value: Any) -> Any:
        if name not in checks or (value is None and name in optional):
            return value
        return checks[name](fn, name, value)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not (any_name or kwargs.keys() <= parameters.keys()):
            raise unknown_keyword(fn, kwargs, names)
        with np.errstate(**_ERROR_STATE):
            given = (*map(checked, names, args), *args[len(names) :])
            return function(*given, **{name: checked(name, kwargs[name]) for name in kwargs})

    call.is_guarded = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def unknown_keyword(fn: str, given: Iterable[str], known: Iterable[str]) -> TypeError:
    import difflib

    names = [one for one in known if one not in ("self", "cls")]
    name = next(one for one in given if one not in names)
    close = difflib.get_close_matches(name, names, 1)
    remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
    return TypeError(f"{fn}: got an unexpected keyword argument {name!r}; {remedy}")


def fields(instance: Any, **checks: Check) -> None:
    """Check the fields of a frozen dataclass as `arguments` does, and replace them."""
    for name, check in checks.items():
        value = getattr(instance, name)
        if value is not None or getattr(type(instance), name, None) is not None:
            object.__setattr__(instance, name, check(type(instance).__name__, name, value))


def guarded(api: T) -> T:
    """Give a function, or all public methods of a class, NumPy's default error state.

    Results must not depend on the caller's `numpy.seterr`: under all="raise" an underflow, which is
    rounding, would be an exception.
    """
    if isinstance(api, type):
        for name, member in list(vars(api).items()):
            if name in _GUARDED or not name.startswith("_"):
                if isinstance(member, (classmethod, staticmethod)):
                    setattr(api, name, type(member)(guarded(member.__func__)))
                elif inspect.isfunction(member):
                    setattr(api, name, guarded(member))
        return api
    if hasattr(api, "is_guarded"):
        return api
    function: Any = api
    return _checking(function, function.__qualname__.removesuffix(".__init__"), {})  # type: ignore[no-any-return]


def number(fn: str, name: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """Return a real number within an interval, written as ``"(0, 1]"``."""
    try:
        if isinstance(value, (bool, str, bytes, np.ma.MaskedArray)):
            raise TypeError
        if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind not in "iuf":
            raise TypeError
        real = float(value)
    except OverflowError:  # of an int
        real = math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        remedy = f"; pass {name}.value" if hasattr(value, "value") else ""  # of a theory.Estimate
        raise TypeError(f"{fn}: {name} must be a real number, got {brief(value)}{remedy}") from None
    low, high = map(float, interval[1:-1].split(","))
    outside = ({low} if interval[0] == "(" else set()) | ({high} if interval[-1] == ")" else set())
    if not low <= real <= high or real in outside:
        text = brief(value) if isinstance(value, int) else value
        raise ValueError(f"{fn}: {name} must be in {interval}, got {text}")
    return real


def integer(
    fn: str, name: str, value: Any, *, low: int | None = None, high: int | None = None, of: str = ""
) -> int:
    """Return an integer from `low` to `high`, or to `LARGEST`; `of` says what `high` is: "m = "."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{fn}: {name} must be an integer, got {brief(value)}") from None
    if low is not None and whole < low:
        raise ValueError(f"{fn}: {name} must be at least {low}, got {brief(whole)}")
    high = LARGEST if high is None else high
    if whole > high:
        raise ValueError(f"{fn}: {name} must be at most {of}{high}, got {brief(whole)}")
    return whole


def generator(fn: str, rng: Any) -> np.random.Generator:
    """Return a generator from what `numpy.random.default_rng` takes, other than truth values."""
    try:
        if any(isinstance(one, (bool, np.bool_)) for one in (rng if is_sequence(rng) else [rng])):
            raise TypeError
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = type(error)
        raise kind(f"{fn}: rng must be a seed >= 0 or a generator, got {brief(rng)}") from None


def is_sequence(value: Any) -> bool:
    """Whether a value stands for several: a list, tuple, range, array with axes ..., not a text."""
    if isinstance(value, (str, bytes, Mapping, Set)) or not hasattr(value, "__len__"):
        return False
    return bool(getattr(value, "ndim", 1) > 0)  # arrays of one number have a len() that raises


def choice(fn: str, name: str, value: Any, options: Iterable[str]) -> str:
    """Return one of the named options."""
    known = tuple(options)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{fn}: {name} must be one of {', '.join(known)}, got {brief(value)}")
    return value


def float_dtype(fn: str, name: str, value: DTypeLike) -> np.dtype[Any]:
    """Return float64 or float32, named or as NumPy takes them."""
    try:
        kind = np.dtype(value)
    except (TypeError, ValueError):  # the latter of np.dtype(1e16)
        kind = np.dtype(object)
    if kind not in FLOATS:
        own = str(value).rpartition(".")[2]  # torch.float32
        remedy = f"; pass {own!r}" if own in ("float64", "float32") else ""
        raise TypeError(f"{fn}: {name} must be float64 or float32, got {brief(value)}{remedy}")
    return kind


def flag(fn: str, name: str, value: Any) -> bool:
    """Return a truth value, Python's or NumPy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{fn}: {name} must be True or False, got {brief(value)}")
    return bool(value)


def instance(fn: str, name: str, value: Any, *, kind: type[T]) -> T:
    """Return an instance of a class."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(
            f"{fn}: {name} must be {article} {kind.__name__}, got {type(value).__name__}"
        )
    return value


def function(fn: str, name: str, value: Any) -> Any:
    """Return what can be called."""
    if not callable(value):
        raise TypeError(f"{fn}: {name} must be callable, got {type(value).__name__}")
    return value


def progress(fn: str, name: str, value: Any) -> Any:
    """Return a callable, or whether there is a bar; None stands for False."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return bool(value)
    if not callable(value):
        raise TypeError(f"{fn}: {name} must be True, False or callable, got {brief(value)}")
    return value


def names(fn: str, name: str, value: Any) -> tuple[str, ...]:
    """Return several names, such as columns of a table; one text is not taken for its letters."""
    if isinstance(value, str):
        raise TypeError(
            f"{fn}: {name} must be a sequence of names, got {value!r}; pass [{value!r}]"
        )
    with suppress(TypeError):
        given = tuple(value)
        if all(isinstance(one, str) for one in given):
            return given
    raise TypeError(f"{fn}: {name} must be a sequence of names, got {brief(value)}")


def one_of(*options: str) -> Check:
    """The kind of an argument that names one of some options."""
    return functools.partial(choice, options=options)


def instance_of(kind: type) -> Check:
    """The kind of an argument that is an instance of a class."""
    return functools.partial(instance, kind=kind)


# Kinds of arguments, for `arguments` and `fields`.
COUNT: Check = functools.partial(integer, low=1)
NATURAL: Check = functools.partial(integer, low=0)
POSITIVE: Check = functools.partial(number, interval="(0, inf)")
NON_NEGATIVE: Check = functools.partial(number, interval="[0, inf)")
UNIT: Check = functools.partial(number, interval="[0, 1]")
FRACTION: Check = functools.partial(number, interval="(0, 1)")
LOSSES = ("half_sse", "mse", "cross_entropy")

# What an argument of that name is in all functions that declare `arguments`.
KINDS: dict[str, Check] = {
    **dict.fromkeys(("n", "d", "m", "outputs", "n_train", "n_valid", "n_test"), COUNT),
    **dict.fromkeys(("steps", "epochs", "batch_size", "jobs"), COUNT),
    **dict.fromkeys(("seed", "split_seed", "retries"), NATURAL),
    **dict.fromkeys(("t_end", "dt", "checkpoint_every"), POSITIVE),
    **dict.fromkeys(("bias", "train_output", "wait"), flag),
    **dict.fromkeys(("out", "data_dir"), path),
    "dtype": float_dtype,
    "kind": one_of("paper", "authors"),
    "loss": one_of(*LOSSES),
    "rtol": FRACTION,
}


def array(
    fn: str,
    name: str,
    value: Any,
    *,
    dtype: DTypeLike | tuple[np.dtype[Any], ...] = FLOATS,
    shape: tuple[int | str, ...] | tuple[tuple[int | str, ...], ...] | None = None,
) -> NDArray[Any]:
    """Return a finite, non-empty, C-contiguous array; the caller's own where it is one already.

    A `dtype` is accepted as it is; integers and float32 are converted to the first of several where
    that is exact. A `shape` has sizes that are fixed, and names of those that are free; of several
    shapes one must fit.
    """
    given = as_array(fn, name, value)
    accepted = dtype if isinstance(dtype, tuple) else (np.dtype(dtype),)
    native = given.dtype.newbyteorder("=")
    if native not in accepted:
        _require_exact(fn, name, given, accepted)
    if shape is not None:
        several = shape and isinstance(shape[0], tuple)
        require_shape(fn, name, given.shape, *(shape if several else (shape,)))
    if given.size == 0:
        raise ValueError(f"{fn}: {name} must not be empty, got shape {given.shape}")
    # NumPy calls an array at an odd address contiguous; vector loads and C++ do not.
    if not (given.flags.c_contiguous and given.flags.aligned and given.dtype in accepted):
        require_room(
            fn, given.nbytes, f"a copy of {name} of shape {given.shape}", "pass fewer rows"
        )
    finite(fn, name, given)
    kept = native if native in accepted else accepted[0]
    return np.require(given, dtype=kept, requirements=["C", "A"])


def _require_exact(
    fn: str, name: str, values: NDArray[Any], accepted: tuple[np.dtype[Any], ...]
) -> None:
    """Raise TypeError unless values of another dtype become the first accepted one exactly."""
    dtype = accepted[0]
    remedy = ""
    if values.dtype == np.float16:  # exact, but seldom what was meant
        remedy = f"; pass {name}.astype({dtype.name!r})"
    elif dtype.kind == "f" and values.dtype.kind in "iuf":
        if values.dtype.newbyteorder("=") in FLOATS and np.can_cast(values.dtype, dtype):
            return
        if values.dtype.kind in "iu":
            largest = 2 ** (np.finfo(dtype).nmant + 1)
            if not values.size or (-largest <= values.min() and values.max() <= largest):
                return
            remedy = f" beyond {largest}"
        remedy += f"; to accept the rounding, pass {name}.astype({dtype.name!r})"
    elif values.dtype.kind in "bO":
        remedy = f"; if these are numbers, pass np.asarray({name}, {dtype.name!r})"
    names = " or ".join(dict.fromkeys(str(one) for one in accepted))
    raise TypeError(f"{fn}: {name}: expected dtype {names}, got {values.dtype}{remedy}")


def as_array(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Return an array by NumPy's rules or by DLPack, without a copy where it is one already."""
    # NumPy would drop the mask.
    several = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(one, np.ma.MaskedArray) for one in several):
        raise TypeError(
            f"{fn}: {name} must be a plain array, got a masked one; leave out what is masked, or "
            f"pass {name}.filled(value)"
        )
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(
            f"{fn}: {name} must be a dense array, got a sparse {type(value).__name__}; "
            f"pass {name}.toarray()"
        )
    if is_on_cuda(value):
        raise TypeError(
            f"{fn}: {name} must be in the memory of the CPU, got an array on CUDA, "
            "which device='cuda' takes"
        )
    if is_foreign(value):
        return as_numpy(fn, name, value)
    try:
        given = np.asarray(value)
    except ValueError:
        raise ValueError(f"{fn}: {name} must have rows of one length") from None
    if given.dtype == object and given.ndim == 0 and not isinstance(value, np.ndarray):
        kind = "None" if value is None else type(value).__name__
        raise TypeError(f"{fn}: {name} must be an array or a sequence of numbers, got {kind}")
    return given


def require_shape(
    fn: str, name: str, came: tuple[int, ...], *expected: tuple[int | str, ...]
) -> None:
    """Raise ValueError unless the shape fits one of the expected ones (names fit any size)."""
    if any(_fits(came, shape) for shape in expected):
        return
    texts = " or ".join(f"({', '.join(map(str, s))}{',' * (len(s) == 1)})" for s in expected)
    raise ValueError(
        f"{fn}: {name} must have shape {texts}, got {came}{_remedy(name, came, expected)}"
    )


def _fits(came: tuple[int, ...], shape: tuple[int | str, ...]) -> bool:
    return len(came) == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, came, strict=True)
    )


def _remedy(name: str, came: tuple[int, ...], expected: tuple[tuple[int | str, ...], ...]) -> str:
    """What to do where only an axis of length 1 is missing or too many."""
    for shape in expected:
        for index, fits in {
            "None": _fits((1, *came), shape),
            "..., None": _fits((*came, 1), shape),
            "..., 0": _fits(came, (*shape, 1)),
        }.items():
            if fits and len(set(shape)) == len(shape):  # not of square matrices
                return f"; pass {name}[{index}]"
    return ""


def reals(fn: str, name: str, values: Any, *, low: float = -math.inf) -> NDArray[np.float64]:
    """Return a finite float64 array of any shape, from real numbers of any type."""
    given = as_array(fn, name, values)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: {name} must be real numbers, got dtype {given.dtype}")
    require_room(fn, 8 * given.size, f"a copy of {name} of shape {given.shape}", "pass fewer")
    with np.errstate(over="ignore"):  # of long doubles
        checked = given.astype(np.float64)
    finite(fn, name, checked)
    if checked.size and checked.min() < low:
        raise ValueError(f"{fn}: {name} must be at least {low:g}, got {checked.min():g}")
    return checked


def machine_bytes() -> float:
    """Memory that this process can have at most: the machine's, or less where it is limited."""
    limits = [math.inf]
    with suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def require_room(
    fn: str, need: float, sizes: str, remedy: str = "record less, or to a folder"
) -> None:
    """Raise MemoryError at once for what needs more memory than this process can have."""
    most = machine_bytes()
    if need > most:
        raise MemoryError(
            f"{fn}: needs {need / 1e9:.3g} GB for {sizes}, but this process can have "
            f"{most / 1e9:.3g} GB; {remedy}"
        )


def slopes_allowed(
    fn: str, max_memory: Any, backend: str, fixed: float, least: float, sizes: str
) -> float:
    """Bytes that `max_memory` leaves for slopes sigma'(Z); 0.0 means as many as the call likes.

    Everything else is `fixed` by the sizes: the core that allocates it says how much it is. Slopes
    are kept as far as memory allows, `least` of them; the rest is computed again, to the same bits.
    A ValueError says how much the call needs if that is more.
    """
    if max_memory is None:
        return 0.0
    if backend == "cuda":
        raise ValueError(f"{fn}: max_memory must be None on device 'cuda', got {max_memory!r}")
    allowed: float = POSITIVE(fn, "max_memory", max_memory)
    if allowed < fixed + least:
        need = math.ceil(fixed + least)
        raise ValueError(
            f"{fn}: max_memory must be at least {need} bytes for {sizes}, got {allowed:g}"
        )
    return max(1.0, allowed - fixed)


def in_range(fn: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return a result whose values are all finite; otherwise raise OverflowError."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()  # one pass; single values are inspected only if it is not finite
    if not np.isfinite(total) and not np.isfinite(values).all():
        raise beyond_range(fn, values.dtype)
    return values


def beyond_range(fn: str, dtype: Any, what: str = "the result") -> OverflowError:
    """Make the error of a result that is not finite."""
    return OverflowError(f"{fn}: {what} exceeds the range of {dtype}; scale inputs or weights down")


def gram_in_range(fn: str, K: NDArray[Any]) -> NDArray[Any]:
    """`in_range` for positive semi-definite (..., n, n) matrices, by their diagonals.

    No element exceeds the largest diagonal element, except by rounding.
    """
    largest = np.diagonal(K, axis1=-2, axis2=-1).max()
    return K if largest < np.finfo(K.dtype).max / 2 else in_range(fn, K)


def finite(fn: str, name: str, values: NDArray[Any]) -> None:
    """Raise ValueError if a value is NaN or infinite, saying where the first one is."""
    # Of an axis that broadcasting repeats, once.
    once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)
    bad = ~np.isfinite(values[once])
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{fn}: {name} must be finite, got {values[where]} at index {where}")


# Data of a network: `net` is a `Network`, which is defined above these checks.


def inputs(fn: str, net: Any, X: ArrayLike, name: str = "X") -> NDArray[Any]:
    """Return X (n, d) or, of an ensemble, (B, n, d), with a leading axis of length 1 or B."""
    given = as_array(fn, name, X)
    if net.bias and given.ndim in (2, 3):
        given = _with_ones(fn, name, given, net.d)
    if given.ndim in (2, 3) and given.shape[-1] != net.d:
        raise ValueError(
            f"{fn}: W has {net.d} columns but {name} has {given.shape[-1]}; "
            f"both must have d columns{', or X one less: bias=True' if net.bias else ''}"
        )
    shapes: list[tuple[int | str, ...]] = [("n", net.d)]
    if net.B is not None:
        shapes.append((net.B, "n", net.d))
    require_shape(fn, name, given.shape, *shapes)
    checked = array(fn, name, given, dtype=net.dtype)
    # Beyond, a fused sum of products takes the sign of the first one, and sigma(+-inf) is finite.
    if largest(checked) / math.sqrt(net.d) * net._largest_weight > float(np.finfo(net.dtype).max):
        raise beyond_range(fn, net.dtype, f"a product of W and {name}")
    return checked if checked.ndim == 3 else checked[None]


def largest(values: NDArray[Any]) -> float:
    """The largest absolute value; 0 of none."""
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _with_ones(fn: str, name: str, X: NDArray[Any], d: int) -> NDArray[Any]:
    """X with the constant input of a network with bias=True, which it may have already."""
    if X.shape[-1] == d - 1:
        need = X.itemsize * d * math.prod(X.shape[:-1])
        require_room(fn, need, f"a copy of {name} of shape {X.shape} with ones", "pass fewer rows")
        return np.concatenate([X, np.ones((*X.shape[:-1], 1), X.dtype)], axis=-1)
    if X.shape[-1] == d and not (X[..., -1] == 1).all():
        raise ValueError(
            f"{fn}: the network has bias=True: {name} must have {d - 1} columns, or {d} of which "
            "the last is 1"
        )
    return X


def targets(fn: str, net: Any, y: ArrayLike, n: int, loss: str, name: str = "y") -> NDArray[Any]:
    """Return y with a leading axis of length 1 or B and k columns; class labels as one-hot rows."""
    given = as_array(fn, name, y)
    require_outputs(fn, net, loss)
    columns: tuple[int, ...] = () if net.a.ndim == net.W.ndim - 1 else (net.k,)
    shapes: list[tuple[int, ...]] = [(n, *columns)]
    if net.B is not None:
        shapes.append((net.B, n, *columns))
    if loss == "cross_entropy" and given.dtype.kind in "iu":
        labels = [shape[:-1] for shape in shapes]
        require_shape(fn, name, given.shape, *labels, *shapes)
        given = _one_hot(fn, net, given, name) if given.shape in labels else given
    elif loss == "cross_entropy" and given.ndim < 2:
        numeric = given.dtype.kind in "bf"
        remedy = f"{name}.astype(int)" if numeric else f"np.unique({name}, return_inverse=True)[1]"
        raise TypeError(
            f"{fn}: {name} must hold integer labels or (n, k) probabilities for cross_entropy, "
            f"got {given.dtype} of shape {given.shape}; pass {remedy}"
        )
    require_shape(fn, name, given.shape, *shapes)
    checked = array(fn, name, given, dtype=net.dtype)
    if loss == "cross_entropy" and (checked < 0).any():
        raise ValueError(f"{fn}: {name} must hold probabilities >= 0, got {checked.min()}")
    return checked.reshape(-1, n, net.k)


def require_outputs(fn: str, net: Any, loss: str) -> None:
    """Raise ValueError where the loss needs more outputs than the network has."""
    if loss == "cross_entropy" and net.k < 2:
        raise ValueError(
            f"{fn}: cross_entropy needs a network with k >= 2 outputs, got k = 1; "
            "make it with outputs=2 or more, one for each class"
        )


def _one_hot(fn: str, net: Any, labels: NDArray[Any], name: str) -> NDArray[Any]:
    need = labels.size * net.k * net.dtype.itemsize
    require_room(fn, need, f"{labels.size} labels of {net.k} classes", "pass fewer")
    for label in (labels.min(), labels.max()):
        if not 0 <= label < net.k:
            raise ValueError(
                f"{fn}: {name} must hold labels from 0 to {net.k - 1}, got {label}; count classes "
                "from 0, or make the network with more outputs"
            )
    hot = labels[..., None] == np.arange(net.k, dtype=labels.dtype)
    return np.asarray(hot.astype(net.dtype))


# Device types of the DLPack standard, of which the CPU reads CPU, pinned and managed memory.
CUDA = 2
_HOST = (1, 3, 11, 13)


def is_foreign(value: Any) -> bool:
    """Whether another library's array offers DLPack."""
    return not isinstance(value, (np.ndarray, np.generic)) and hasattr(value, "__dlpack__")


def is_on_cuda(value: Any) -> bool:
    """Whether it is an array in the memory of a CUDA device."""
    if isinstance(value, (np.ndarray, np.generic)):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return bool(value.__dlpack_device__()[0] == CUDA)
    except Exception:  # not an array, or an error of its library, which as_numpy reports
        return False


def as_numpy(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Return the array's memory as a NumPy array, never a copy; a TypeError says why it cannot be.

    It may be on another device, of a dtype that NumPy does not have, or its library refuses, as
    PyTorch does for tensors that require gradients.
    """
    try:
        device = int(value.__dlpack_device__()[0])
        if device in _HOST:
            return np.from_dlpack(value)
    except Exception as error:  # of the other library, of any type
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TypeError(f"{fn}: {name} cannot be read by DLPack: {reason}") from error
    where = f"got an array on DLPack device type {device}"
    raise TypeError(f"{fn}: {name} must be in the memory of the CPU, {where}")
