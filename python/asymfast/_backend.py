"""Which compiled backend a call uses, and on how many threads."""

from __future__ import annotations

import os

from . import _check, _core, cuda

DEVICES = ("cpu", "cuda")
BACKENDS = ("cpu", "reference", "emulated")  # the last is the CUDA kernels on the host, for tests
MOST_THREADS = 1024  # an OpenMP run time may crash on what the system does not give it

# A forked child must not wait for OpenMP threads that only its parent has.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.use_one_thread_from_now_on)


def backend_name(fn: str, backend: str | None, device: str = "cpu") -> str:
    """Return the backend asked for, by argument or by ``ASYMFAST_BACKEND``, else the device's.

    Raises
    ------
    ValueError
        An unknown device or backend, or a backend of the CPU on another device.
    RuntimeError
        device="cuda" where that cannot be had: nothing ever runs on the CPU instead.
    """
    if _check.choice(fn, "device", device, DEVICES) == "cuda":
        if backend is not None:
            raise ValueError(f"{fn}: backend must be None on device 'cuda', got {backend!r}")
        cuda.require(fn)
        return "cuda"
    if backend is not None:
        return _check.choice(fn, "backend", backend, BACKENDS)
    return _check.choice(
        fn, "backend (ASYMFAST_BACKEND)", os.environ.get("ASYMFAST_BACKEND") or "cpu", BACKENDS
    )


def thread_count(fn: str, threads: int | None) -> int:
    """Return the size of the team; 0 leaves it to OpenMP (OMP_NUM_THREADS, threadpoolctl)."""
    return (
        0 if threads is None else _check.integer(fn, "threads", threads, low=1, high=MOST_THREADS)
    )
