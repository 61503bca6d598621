"""Any language that can call C can use asymfast: here Python, by ctypes and nothing else.

    python descent.py $(python -m asymfast --library)

Julia's ccall, R's .C, Rust's extern "C" and C#'s DllImport need the same three things: the
functions' types, a struct whose first field is its size, and a callback.
"""

import ctypes as c
import math
import sys

FLOAT64, OK, INVALID_ARGUMENT, INTERRUPTED = 0, 0, 1, 3
RECORD_NTG_EIGMIN = 1 << 2

Progress = c.CFUNCTYPE(c.c_int32, c.c_double, c.c_double, c.c_void_p)
OnRecord = c.CFUNCTYPE(c.c_int32, c.c_int64, c.c_double, c.c_double, c.c_double, c.c_void_p)


class Execution(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("backend", c.c_char_p),
        ("threads", c.c_int32),
        ("reserved", c.c_int32),
        ("slopes_memory", c.c_double),
        ("progress", Progress),
        ("progress_user", c.c_void_p),
    ]


class RunOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("loss", c.c_char_p),
        ("X_test", c.c_void_p),
        ("y_test", c.c_void_p),
        ("n_test", c.c_int64),
        ("record_every", c.c_int64),
        ("record_steps", c.POINTER(c.c_int64)),
        ("n_record_steps", c.c_int64),
        ("record_times", c.POINTER(c.c_double)),
        ("n_record_times", c.c_int64),
        ("record", c.c_uint64),
        ("ntg_on", c.POINTER(c.c_int64)),
        ("n_ntg_on", c.c_int64),
        ("top_nodes", c.c_int64),
        ("stop_loss", c.c_double),
        ("stop_time", c.c_double),
        ("stop_wall_seconds", c.c_double),
        ("on_record", OnRecord),
        ("on_record_user", c.c_void_p),
        ("checkpoint", c.c_void_p),
        ("checkpoint_user", c.c_void_p),
        ("checkpoint_every", c.c_double),
        ("resume_from", c.c_void_p),
        ("resume_from_bytes", c.c_size_t),
    ]


class Column(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("data", c.c_void_p),
        ("dtype", c.c_int32),
        ("ndim", c.c_int32),
        ("shape", c.c_int64 * 4),
    ]


def load(path):
    lib = c.CDLL(path)
    lib.asymfast_version.restype = c.c_char_p
    lib.asymfast_last_error.restype = c.c_char_p
    lib.asymfast_run_outcome.restype = c.c_char_p
    lib.asymfast_run_outcome.argtypes = [c.c_void_p]
    lib.asymfast_network_free.argtypes = [c.c_void_p]
    lib.asymfast_run_free.argtypes = [c.c_void_p]
    lib.asymfast_run_column.argtypes = [c.c_void_p, c.c_char_p, c.POINTER(Column)]
    lib.asymfast_network_init.argtypes = [
        *(c.c_int32, c.c_int64, c.c_int64, c.c_int64, c.c_double, c.c_double),
        *(c.c_char_p, c.c_uint64, c.POINTER(c.c_void_p)),
    ]
    lib.asymfast_gradient_flow.argtypes = [
        *(c.c_void_p, c.c_int64, c.c_void_p, c.c_void_p, c.c_char_p),
        *(c.c_double, c.c_double, c.c_double),
        *(c.POINTER(RunOptions), c.POINTER(Execution), c.POINTER(c.c_void_p)),
    ]
    return lib


def main(path):
    lib = load(path)

    def check(status, *expected):
        if status not in (OK, *expected):
            raise RuntimeError(lib.asymfast_last_error().decode())
        return status

    n, d, m = 25, 3, 400
    X = (c.c_double * (n * d))(*(math.cos(0.37 * i) for i in range(n * d)))
    y = (c.c_double * n)(*(math.sin(i) for i in range(n)))
    print("asymfast", lib.asymfast_version().decode())

    net = c.c_void_p()
    kind = (FLOAT64, m, d, 1)
    check(lib.asymfast_network_init(*kind, 0.5, 0.7, b"tanh", 3, net))

    # A callback that ends the run at its third record; ctypes keeps no reference to it: we do.
    seen = []
    on_record = OnRecord(
        lambda step, time, loss, test_loss, user: (seen.append(loss), len(seen) < 3)[1]
    )
    options = RunOptions(c.sizeof(RunOptions), on_record=on_record, record=RECORD_NTG_EIGMIN)
    times = (c.c_double * 5)(0, 1, 2, 3, 4)
    options.record_times, options.n_record_times = times, len(times)
    run = c.c_void_p()
    check(
        lib.asymfast_gradient_flow(
            net, n, X, y, b"auto", 4.0, 0.0, 0.0, options, Execution(c.sizeof(Execution)), run
        )
    )
    column = Column(c.sizeof(Column))
    check(lib.asymfast_run_column(run, b"loss", column))
    losses = (c.c_double * column.shape[0]).from_address(column.data)[:]
    assert losses == seen
    outcome = lib.asymfast_run_outcome(run).decode()
    print(outcome, "at", " ".join(f"{loss:.4f}" for loss in losses))
    lib.asymfast_run_free(run)
    lib.asymfast_network_free(net)

    status = lib.asymfast_network_init(*kind, 0.5, 0.7, b"abacus", 3, net)
    assert status == INVALID_ARGUMENT
    assert not net.value
    print("refused:", lib.asymfast_last_error().decode())


if __name__ == "__main__":
    main(sys.argv[1])
