"""What the fuzz targets draw: arrays, sizes, problems and options, good ones and bad ones.

And what they all ask for: finite results, or a refusal that says whose it is and why.
"""

from __future__ import annotations

import dataclasses
import re

import asymfast as af
import numpy as np
from cases import ACTIVATIONS, BACKENDS
from hypothesis import strategies as st

REFUSALS = (ValueError, TypeError, OverflowError)  # DivergenceError for trainers
ON_CPU = BACKENDS
DTYPES = ("float64", "float32", "float16", "int64", "bool", "complex128", ">f8", "object", "U3")
SPECIAL = {
    "zero": [0.0, -0.0],
    "tiny": [5e-324, -1e-310, 1e-45, 2e-308],
    "huge": [1e308, -1e308, 3e38, -1e200, 1e155],
    "nan": [np.nan],
    "inf": [np.inf, -np.inf],
}


# Whether the arguments of this input may be wrong or extreme; the same for all of them, or nearly
# every input would be refused for one.
odd_input = st.shared(st.booleans(), key="odd input")


@st.composite
def arrays(draw, *shape, dtype=None, wild=True):
    """An array of about that shape: standard normal, or in an `odd_input` often wrong in some way.

    wild: also other shapes and dtypes, NaN and inf; else what is valid, however extreme.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if not draw(odd_input):
        return draw(layouts(np.asarray(rng.standard_normal(shape)).astype(dtype or "float64")))
    shape = list(shape)
    if wild and draw(st.integers(0, 9)) == 0:
        shape = draw(st.lists(st.integers(0, 7), max_size=4))
    values = np.asarray(rng.standard_normal(shape)) * 10.0 ** draw(
        st.sampled_from([0, 0, 0, 0, -3, 3, 30])
    )
    kinds = ["zero", "tiny", "huge"] + (["nan", "inf"] if wild else [])
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=2)):
        mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.5, 1.0]))
        values = np.where(mask, rng.choice(SPECIAL[kind], shape), values)
    if dtype is None or (wild and draw(st.integers(0, 9)) == 0):
        dtype = draw(st.sampled_from(DTYPES))
    with np.errstate(all="ignore"):
        if np.dtype(dtype).kind in "iu":
            values = np.nan_to_num(values, nan=0, posinf=9, neginf=-9).clip(-1e9, 1e9)
        values = np.asarray(values).astype(dtype)
        if not wild:  # a huge double is inf as a float
            values = np.nan_to_num(values, posinf=3e38, neginf=-3e38)
    return draw(layouts(np.asarray(values)))


@st.composite
def layouts(draw, values):
    """The same numbers otherwise in memory: strided, reversed, transposed, unaligned, read-only."""
    if values.ndim == 0:
        return values
    layout = draw(st.sampled_from(["C", "C", "F", "strided", "reversed", "unaligned", "frozen"]))
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "strided":
        room = np.zeros([2 * n for n in values.shape], values.dtype)
        view = room[(slice(None, None, 2),) * values.ndim]
        view[...] = values
        return view
    if layout == "reversed":
        every = (slice(None, None, -1),) * values.ndim
        return values[every].copy()[every]
    if layout == "unaligned" and values.dtype != object:
        room = np.zeros(values.nbytes + 1, np.uint8)
        view = room[1:].view(values.dtype).reshape(values.shape)
        view[...] = values
        return view
    if layout == "frozen":
        values.flags.writeable = False
    return values


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just(np.float64("nan")),
)


def usually(strategy):
    return rarely(odd, strategy, 20)


def rarely(extreme, ordinary, times=6):
    """Once in so many draws of an `odd_input`, something extreme."""
    return odd_input.flatmap(
        lambda is_odd: (
            ordinary
            if not is_odd
            else st.integers(0, times - 1).flatmap(lambda i: ordinary if i else extreme)
        )
    )


def reals(low=-np.inf, high=np.inf):
    """A number of that interval, ordinary or of any size; and now and then something else."""
    ends = {"min_value": max(low, -1e308), "max_value": min(high, 1e308)}
    ordinary = {"min_value": max(low, -4.0), "max_value": min(high, 4.0)}
    sizes = st.floats(-320, 308).map(lambda size: 10.0**size)
    extreme = st.floats(**ends) | sizes.filter(lambda x: low <= x <= high)
    return usually(rarely(extreme, st.floats(**ordinary)))


def counts(high):
    """A whole number from 1, or far beyond what could be tried; and now and then something else."""
    return usually(rarely(st.just(2**62), st.integers(1, high))).map(
        lambda n: 2**62 if isinstance(n, int) and n > 10**4 else n
    )


sizes = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 35), st.integers(1, 3))


@st.composite
def problems(draw, wild=True):
    """W, a, lam, activation, X and y that fit one another, but for what has gone wrong."""
    n, d, m, k = draw(sizes)
    dtype = draw(st.sampled_from(["float64", "float32"]))
    B = draw(st.sampled_from([(), (), (), (2,)]))
    columns = () if k == 1 and draw(st.booleans()) else (k,)
    lam = draw(arrays(*B, m, dtype="float64", wild=wild))
    if (not wild or not draw(odd_input) or draw(st.integers(0, 9))) and lam.dtype.kind in "iuf":
        lam = np.abs(lam)
    if not wild and not (lam > 0).any(axis=-1).all():
        lam = lam + 1.0
    return {
        "W": draw(arrays(*B, m, d, dtype=dtype, wild=wild)),
        "a": draw(arrays(*B, m, *columns, dtype=dtype, wild=wild)),
        "lam": lam,
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "X": draw(arrays(n, d, dtype=dtype, wild=wild)),
        "y": draw(arrays(n, *columns, dtype=dtype, wild=wild)),
    }


def network(given):
    return af.Network(given["W"], given["a"], given["lam"], activation=given["activation"])


def assert_clear(error):
    """Ours: it names the function, or the argument, before it says what is wrong; not Python's."""
    assert re.match(r"[A-Za-z_][\w.]*: ", str(error)), error
    assert "math " not in str(error), error


def answer(call, *more):
    """The result of a call, or None where it was refused in words of ours."""
    try:
        return call()
    except (*REFUSALS, *more) as error:
        assert_clear(error)
        return None


def numbers_in(result):
    """All numbers in a result, whatever it is made of."""
    if isinstance(result, (bool, int, float, np.ndarray, np.generic)):
        yield np.asarray(result)
    elif isinstance(result, dict):
        yield from numbers_in(list(result.values()))
    elif isinstance(result, (list, tuple)):
        for entry in result:
            yield from numbers_in(entry)
    elif dataclasses.is_dataclass(result):
        yield from numbers_in([getattr(result, f.name) for f in dataclasses.fields(result)])


def assert_not_nan(*results):
    for values in numbers_in(results):
        assert not np.any(np.isnan(values))


def assert_finite(*results):
    for result in results:
        assert np.all(np.isfinite(np.asarray(result, dtype=np.float64)))


def modest(*values):
    """Whether the oracle's plain formulas neither overflow nor underflow on these numbers."""
    sizes = np.abs(np.concatenate([np.ravel(v).astype(np.float64) for v in values]))
    return np.all((sizes == 0) | ((sizes > 1e-6) & (sizes < 1e6)))
