"""Whatever a program in C passes: a status, a sentence with it, and finite numbers where it is OK.

NaN and inf in arrays are taken as they are (docs/embedding.md), and huge numbers may leave the
range: results are looked at where the data are finite and of moderate size.

Buffers are as large as the sizes say, which C cannot check; sizes that no buffer could have are
passed where the function must refuse them before it touches memory.
"""

from __future__ import annotations

import ctypes as c

import asymfast as af
import numpy as np
from c_interface import (
    COLUMN_DTYPES,
    DIVERGED,
    INTERRUPTED,
    OK,
    Interface,
    example,
    execution,
    options,
)
from cases import ACTIVATIONS, LOSSES
from fuzz_inputs import arrays, assert_finite, modest, rarely, reals, sizes
from fuzzing import fuzz
from hypothesis import strategies as st

CALL = Interface()  # skips the module where there is no shared library
FLOATS = (np.float64, np.float32)
INVALID = 1
ENDS_WITH_A_RUN = (OK, INTERRUPTED, DIVERGED)
BEYOND_FREE = 2**63 - 1

bad_sizes = st.sampled_from([0, -1, -(2**63), 2**62, BEYOND_FREE])
bad_names = st.sampled_from([b"", b"abacus", b"\xff\xfe", b"swish ", b"SWISH", b"x" * 5000])
dtypes = rarely(st.sampled_from([2, -1, 7, 2**31 - 1]), st.sampled_from([0, 1]), 15)


def names(good):
    return rarely(bad_names | st.none(), st.sampled_from([each.encode() for each in good]))


def number(low=-np.inf, high=np.inf):
    """A double: of that interval, or any other."""
    floats = st.floats(low if np.isfinite(low) else None, high if np.isfinite(high) else None)
    return rarely(st.floats(), floats | reals(low, high).filter(lambda x: type(x) is float))


executions = rarely(
    st.builds(
        lambda size, **fields: wrong_size(execution(**fields), size),
        size=st.sampled_from([0, 8, 2**40, None]),
        backend=rarely(bad_names, st.just(b"cpu")),
        threads=st.sampled_from([-1, 0, 1, 1025, 2**31 - 1]),
        reserved=st.sampled_from([0, 1]),
        slopes_memory=st.floats(),
    ),
    st.none() | st.builds(execution, threads=st.just(1), backend=st.sampled_from([b"reference"])),
)


def wrong_size(struct, size):
    if size is not None:
        struct.struct_size = size
    return struct


def call(name, *arguments, accept=()):
    """The status of a call: OK, one that is expected, or one that comes with a sentence."""
    passed = [c.byref(each) if isinstance(each, c.Structure) else each for each in arguments]
    status = getattr(CALL.lib, f"asymfast_{name}")(*map(as_c, passed))
    if status != OK and status not in accept:
        message = CALL.lib.asymfast_last_error().decode(errors="replace")  # repeats what was given
        assert status in (INVALID, 2, 5), (status, message)
        assert len(message) > 10, message
    return status


def as_c(value):
    if isinstance(value, np.ndarray):
        return value.ctypes.data_as(c.c_void_p)
    if isinstance(value, (float, np.floating)):
        return c.c_double(value)
    return c.c_int64(value) if isinstance(value, int) else value


class Handle:
    """What the library made, freed with the block."""

    def __init__(self, kind):
        self.kind, self.at = kind, c.c_void_p()

    def __enter__(self):
        return self.at

    def __exit__(self, *error):
        getattr(CALL.lib, f"asymfast_{self.kind}_free")(self.at)


@st.composite
def problems(draw):
    """Arrays of sizes that fit, of any finite or (rarely) other values, one of them null at times.

    The code of the dtype is of these arrays, or unknown, which is refused.
    """
    n, d, m, k = draw(sizes)
    dtype = draw(st.sampled_from([0, 1]))
    shapes = {"W": (m, d), "a": (m, k), "lam": (m,), "X": (n, d), "y": (n, k)}
    wild = draw(st.integers(0, 3)) == 0
    result = {"n": n, "d": d, "m": m, "k": k, "dtype": dtype}
    for name, shape in shapes.items():
        kind = np.float64 if name == "lam" else FLOATS[dtype]
        values = filled(draw(arrays(*shape, dtype="float64", wild=False)), shape, kind)
        if wild and draw(st.booleans()):
            values.flat[draw(st.integers(0, values.size - 1))] = draw(st.floats(width=32))
        result[name] = np.abs(values) if name == "lam" and not wild else values
    if draw(st.integers(0, 14)) == 0:
        result[draw(st.sampled_from(sorted(shapes)))] = None
    return result


def filled(values, shape, dtype):
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, np.float64).astype(dtype)
    return np.nan_to_num(values, posinf=3e38, neginf=-3e38).reshape(shape).copy()


def moderate(given):
    return modest(*(given[name] for name in ("W", "a", "lam", "X", "y") if given[name] is not None))


def created(given, activation, code=None):
    """A network of the arrays, in a Handle; empty where it was refused."""
    handle = Handle("network")
    call(
        "network_create",
        c.c_int32(given["dtype"] if code is None else code),
        *(given[name] for name in ("m", "d", "k", "W", "a", "lam")),
        activation,
        c.byref(handle.at),
    )
    return handle


# ---- networks ------------------------------------------------------------------------------------


@fuzz(
    30,
    m=rarely(bad_sizes, st.integers(1, 30)),
    gamma=number(0.0, 1.0),
    alpha=number(0.0, 3.0),
    null=st.integers(0, 14),
)
def test_c_node_scaling(m, gamma, alpha, null):
    lam = None if null == 0 else np.empty(30)
    # of a size that memory cannot have: nothing may be written that could be
    if m > 30:
        lam = None
    status = call("node_scaling", m, gamma, alpha, lam)
    if status == OK:
        assert_finite(lam[:m])
    return status == OK


@fuzz(
    30,
    sizes=st.tuples(*[rarely(bad_sizes, st.integers(1, 9))] * 3),
    code=dtypes,
    gamma=number(0.0, 1.0),
    alpha=number(0.0, 3.0),
    activation=names(ACTIVATIONS),
    seed=st.integers(0, 2**64 - 1),
    null=st.integers(0, 14),
)
def test_c_network_init(sizes, code, gamma, alpha, activation, seed, null):
    m, d, k = sizes
    with Handle("network") as net:
        out = None if null == 0 else c.byref(net)
        arguments = (c.c_int32(code), m, d, k, gamma, alpha, activation, c.c_uint64(seed), out)
        # by their types, which ctypes knows of this function
        raw = [getattr(each, "value", each) for each in arguments[:-1]]
        status = CALL.lib.asymfast_network_init(*raw, out)
        if status != OK:
            assert CALL.lib.asymfast_last_error()
            assert net.value is None
            return
        W, a, lam = np.empty((m, d), FLOATS[code]), np.empty((m, k), FLOATS[code]), np.empty(m)
        assert call("network_weights", net, W, a, lam) == OK
        assert_finite(W, a, lam)
        assert abs(lam.sum() - 1) <= 1e-12
        return True


@fuzz(
    25,
    given=problems(),
    activation=names(ACTIVATIONS),
    loss=names(LOSSES),
    how=executions,
    code=rarely(dtypes, st.none()),
    n=rarely(bad_sizes, st.none()),
    pair=st.tuples(*[rarely(bad_sizes, st.integers(0, 3))] * 2),
    null=st.sampled_from([None] * 9 + ["f", "G", "H", "K", "value", "net"]),
)
def test_c_network_calls(given, activation, loss, how, code, n, pair, null):
    if code in (0, 1):  # another size of element than the buffers have
        code = None
    with created(given, activation, code) as made:
        if made.value is None:
            return
        net = None if null == "net" else made
        dtype = FLOATS[given["dtype"]]
        size, m, d, k = given["n"], given["m"], given["d"], given["k"]
        X, y = given["X"], given["y"]
        if n is not None and n > 0:  # more samples than there is memory for: X is not there either
            X = y = None
        n = size if n is None else n
        outputs = {
            "f": np.zeros((size, k), dtype),
            "G": np.zeros((m, d), dtype),
            "H": np.zeros((size, m), dtype),
            "K": np.zeros((size, size)),
            "value": np.zeros(1),
        }
        if null in outputs:
            outputs[null] = None
        f, G, H, K, value = outputs.values()
        plain = moderate(given)
        calls = {
            "forward": ((net, n, X, f, how), f),
            "loss": ((net, n, X, y, loss, value, how), value),
            "node_gradients": ((net, n, X, y, loss, G, how), G),
            "features": ((net, n, X, H, how), H),
            "ntg": ((net, *pair, n, X, n, None, K, how), K),
        }
        statuses = {name: call(name, *arguments) for name, (arguments, _) in calls.items()}
        for name, status in statuses.items():
            if status == OK and plain:
                assert_finite(calls[name][1])
        weights = (np.zeros((m, d), dtype), np.zeros((m, k), dtype), np.zeros(m))
        if call("network_weights", net, *weights) == OK and plain:
            assert_finite(*weights)
        call("network_shape", net, None, None, None, None)
        return statuses["forward"] == statuses["loss"] == OK


@fuzz(
    25,
    K=arrays(5, 5, dtype="float64", wild=False),
    other=rarely(st.floats(), st.none()),
    n=rarely(bad_sizes, st.just(5)),
    null=st.integers(0, 14),
    how=executions,
)
def test_c_min_eigenvalue(K, other, n, null, how):
    with np.errstate(all="ignore"):
        K = filled(K / 2 + K.T / 2, (5, 5), np.float64)
    if other is not None:
        K[1, 0] = K[0, 1] = other
    value = np.zeros(1)
    status = call("min_eigenvalue", n, None if null == 0 or n > 5 else K, value, how)
    assert status != OK or not modest(K) or np.isfinite(value).all()
    return status == OK


# ---- runs ----------------------------------------------------------------------------------------


@st.composite
def run_options(draw):
    """Fields of the options, and the arrays behind their pointers."""
    steps = np.array(draw(st.lists(st.integers(-1, 9), min_size=1, max_size=3)), np.int64)
    times = np.array(draw(st.lists(number(0.0, 2.0), min_size=1, max_size=3)))
    on = np.array(draw(st.lists(st.integers(-1, 9), min_size=1, max_size=3)), np.int64)
    counts = st.sampled_from([0, -1, -(2**63), 2**62])
    fields = {
        "loss": draw(names(LOSSES)),
        "record_every": draw(rarely(st.just(-1), st.integers(0, 4))),
        "record": draw(rarely(st.integers(0, 2**64 - 1), st.integers(0, 2**10 - 1))),
        "top_nodes": draw(rarely(counts, st.integers(0, 3))),
        "stop_loss": draw(rarely(number(0.0), st.just(0.0))),
        "stop_time": draw(rarely(number(0.0), st.just(0.0))),
        "stop_wall_seconds": 0.1,  # flows may have far to go
        "checkpoint_every": draw(rarely(number(0.0), st.just(0.0))),
        "resume_from_bytes": draw(rarely(st.sampled_from([1, 2**62]), st.just(0))),
    }
    for name, values, kind in (
        ("record_steps", steps, c.c_int64),
        ("record_times", times, c.c_double),
        ("ntg_on", on, c.c_int64),
    ):
        if draw(st.integers(0, 3)) == 0:
            fields[name] = values.ctypes.data_as(c.POINTER(kind))
            fields[f"n_{name}"] = draw(rarely(st.sampled_from([0, -1]), st.just(len(values))))
        elif draw(st.integers(0, 14)) == 0:
            fields[f"n_{name}"] = draw(counts)  # of nothing
    if fields.keys() & {"record_steps", "record_times"}:  # of which there may be one
        fields["record_every"] = draw(rarely(st.integers(-1, 4), st.just(0)))
    state = None
    if draw(st.integers(0, 9)) == 0:
        state = np.frombuffer(draw(st.binary(min_size=1, max_size=200)), np.uint8).copy()
        fields |= {"resume_from": state.ctypes.data, "resume_from_bytes": len(state)}
    made = wrong_size(options(**fields), draw(rarely(st.sampled_from([0, 8, 2**40]), st.none())))
    return made, (steps, times, on, state)


@fuzz(
    25,
    given=problems(),
    activation=names(ACTIVATIONS),
    opted=st.none() | run_options(),
    tested=rarely(st.sampled_from(["X", "y", "n"]), st.booleans()),
    how=executions,
    kind=st.sampled_from(["gradient_descent", "gradient_flow", "sgd"]),
    lr=number(0.01, 4.0),
    steps=rarely(bad_sizes.filter(lambda n: n < 2**40), st.integers(1, 9)),
    method=names(["auto", "auto", "rk4", "rk4", "rk4", "dopri5", "tangent"]),
    t_end=number(0.01, 2.0),
    dt=rarely(number(0.0, 1.0), st.just(0.0) | st.floats(0.01, 1.0)),
    rtol=number(0.0, 0.1),
    rates=rarely(bad_sizes.filter(lambda n: n < 2), st.just(1)),
    batch=rarely(bad_sizes | st.integers(1, 9), st.just(1)),
    null=rarely(st.sampled_from(["net", "run", "lr"]), st.none()),
)
def test_c_runs(
    given,
    activation,
    opted,
    tested,
    how,
    kind,
    lr,
    steps,
    method,
    t_end,
    dt,
    rtol,
    rates,
    batch,
    null,
):
    opts = None if opted is None else opted[0]
    if opts is not None and tested:
        if tested != "X" and given["X"] is not None:
            opts.X_test = given["X"].ctypes.data
        if tested != "y" and given["y"] is not None:
            opts.y_test = given["y"].ctypes.data
        opts.n_test = -1 if tested == "n" else given["n"]
    if opts is None and kind == "gradient_flow":  # what has far to go ends by the clock only
        opts = options(stop_wall_seconds=0.1)
    with created(given, activation) as net, Handle("run") as run:
        if net.value is None:
            return
        net = None if null == "net" else net
        data = (net, given["n"], given["X"], given["y"])
        last = (opts, how, None if null == "run" else c.byref(run))
        rate = None if null == "lr" else np.array([lr])
        if kind == "gradient_descent":
            status = call(kind, *data, lr, steps, *last, accept=ENDS_WITH_A_RUN)
        elif kind == "sgd":
            how_far = (rate, rates, steps, batch, c.c_int32(steps % 2), c.c_uint64(steps % 2**64))
            status = call(kind, *data, *how_far, *last, accept=ENDS_WITH_A_RUN)
        else:
            passed = [c.byref(each) if isinstance(each, c.Structure) else each for each in last[:2]]
            arrays = [None if each is None else each.ctypes.data for each in data[2:]]
            status = CALL.lib.asymfast_gradient_flow(
                *data[:2], *arrays, method, t_end, dt, rtol, *passed, last[2]
            )
            assert status in ENDS_WITH_A_RUN or CALL.lib.asymfast_last_error()
        assert (run.value is not None) == (status in ENDS_WITH_A_RUN)
        if run.value is not None:
            check_run(run, finite=status == OK and moderate(given))
            assert status != DIVERGED or call("run_divergence", run, None, None, None) == OK
        return status == OK


COLUMNS = (
    *("steps", "time", "evaluations", "loss", "test_loss", "accuracy", "test_accuracy"),
    *("weight_change", "top_nodes", "ntg_change", "ntg_change_2norm", "ntg_eigmin", "ntg_eigmax"),
    *("ntg_matrix", "weights", "output_weights"),
)


def check_run(run, finite):
    records = CALL.lib.asymfast_run_records(run)
    assert CALL.lib.asymfast_run_outcome(run)
    for name in (*COLUMNS, "alignment", "effective_rank", "abacus"):
        at = example.Column(c.sizeof(example.Column))
        if call("run_column", run, name.encode(), at) != OK:
            continue
        shape = tuple(at.shape[: at.ndim])
        assert shape[0] == records
        dtype = np.dtype(COLUMN_DTYPES[at.dtype])
        size = int(np.prod(shape)) * dtype.itemsize
        values = np.frombuffer(c.string_at(at.data, size), dtype)
        if finite and name in COLUMNS:  # alignment and effective rank may be 0 / 0
            assert_finite(values)
    call("run_column", run, None, example.Column(c.sizeof(example.Column)))
    call("run_column", run, b"loss", None)
    with Handle("network") as after:
        call("run_network", run, c.byref(after))
    call("run_network", run, None)
    call("run_divergence", run, None, None, None)


@fuzz(
    25,
    share=0.02 if af.build_config()["isas_available"] else 0,
    name=bad_names | st.none() | st.sampled_from([b"v2", b"v9", b"reference"]),
)
def test_c_use_isa(name):
    before = CALL.text("isa").encode()
    status = call("use_isa", name)
    assert CALL.lib.asymfast_use_isa(before) == OK
    assert CALL.text("isa").encode() == before
    assert af.build_config()["isa"]  # the extension module's own copy of the library
    return status == OK
