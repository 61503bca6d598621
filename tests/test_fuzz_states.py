"""States of interrupted runs, altered field by field and sealed anew: refused, or gone on with.

Never a crash. `Layout` knows the fields of a state, so that a mutation is a wrong slot, order,
frame, count, step or time, or a vector of another length, and not noise that the first check
would find.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import struct
import tempfile
from pathlib import Path

import asymfast as af
import hypothesis.strategies as st
import numpy as np
import pytest
from cases import simulated
from fuzzing import fuzz

MAGIC = b"asymfast checkpoint 1\n"
N, D, M = 3, 2, 4
CONTROL, DENSE = "dddq", "ddd"
METHODS = {
    "descent": "",
    "fixed rk4": "dddd",
    "rk4": CONTROL + "d",
    "dopri5": CONTROL + DENSE + "dd??d" + "q" * 7,
    "tangent": CONTROL + DENSE + "dd",
    "sgd": "",
}
INTEGERS = (-(2**63), -(2**31), -3, -1, 0, 1, 2, 5, 7, 8, 9, 10, 50, 10**6, 2**31, 2**62, 2**63 - 1)
DOUBLES = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-300, 1e-14, 0.3, 1.0, 7.0, 1e14, 1e300)


class Layout:
    """Offsets of the fields of a state: scalars with their formats, and vectors."""

    def __init__(self, trainer, state):
        self.state, self.at = state, 0
        self.scalars, self.vectors = [], []
        self.fields("qdq?dd")
        if trainer == "sgd":
            self.fields("VVVV")
        else:
            self.fields("V")
            for _ in ("gradients", "frames"):
                for _ in range(self.scalar("q")):
                    self.fields("V")
        self.fields(METHODS[trainer])
        if trainer == "tangent":
            nodes = self.scalar("q")
            self.fields("qV" + nodes * "dq" + "qVVVV")
        self.scalar("Q")
        end = len(state) - (8 + 8 * M * D + 8 + 8 * M + 1 + 8 + 8 + 8 + 1 + 8 + 8)
        while self.at < end:
            self.fields("V")
        self.fields("VV?dV?dq")
        assert self.at == len(state)

    def fields(self, formats):
        for each in formats:
            if each == "V":
                first = self.at
                count = self.scalar("Q")
                self.vectors.append((first, count))
                self.at += 8 * count
            else:
                self.scalar(each)

    def scalar(self, form):
        value = struct.unpack_from("<" + form, self.state, self.at)[0]
        self.scalars.append((self.at, form))
        self.at += struct.calcsize("<" + form)
        return value


def train(trainer, path, callback=None):
    case = simulated(n=N, d=D, m=M)
    arrays = (case.net, case.X, case.y)
    settings = {"checkpoint": path, "threads": 1, "callback": callback, "backend": "reference"}
    if trainer == "descent":
        return af.gradient_descent(*arrays, lr=0.5, steps=20, **settings)
    if trainer == "sgd":
        return af.sgd(
            *arrays, lr=0.5, batch_size=2, epochs=10, rng=0, train_output=True, **settings
        )
    settings |= {"record": af.Record(times=[0.0, 0.3, 1.0, 2.5]), "t_end": 3.0}
    settings |= {"stop": af.Stop(wall_seconds=20.0)}
    if trainer == "fixed rk4":
        return af.gradient_flow(*arrays, dt=0.2, **settings)
    return af.gradient_flow(*arrays, method=trainer, rtol=1e-4, **settings)


@functools.cache
def kept(trainer, records):
    """Header and state of a run that was stopped at a record."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.ckpt")
        seen = []
        train(trainer, path, lambda now: seen.append(now) or len(seen) < records)
        content = path.read_bytes()
    header, state = struct.unpack_from("<QQ", content, len(MAGIC))
    start = len(MAGIC) + 16
    text = content[start : start + header]
    return text, content[start + header : start + header + state]


def altered(trainer, state, edits):
    """The state with some fields changed; vectors may lose or gain elements."""
    layout = Layout(trainer, state)
    pieces = bytearray(state)
    for where, value in edits:
        if value == "resize":
            continue
        offset, form = layout.scalars[where % len(layout.scalars)]
        choices = DOUBLES if form == "d" else (0, 1, 2, 255) if form == "?" else INTEGERS
        chosen = choices[value % len(choices)]
        if form == "?":
            pieces[offset] = chosen
        elif form == "Q":
            struct.pack_into("<Q", pieces, offset, chosen % 2**64)
        else:
            struct.pack_into("<" + form, pieces, offset, chosen)
    for where, value in edits:
        if value == "resize":
            first, count = layout.vectors[where % len(layout.vectors)]
            if struct.unpack_from("<Q", pieces, first)[0] != count or first + 8 + 8 * count > len(
                pieces
            ):
                continue
            shorter = max(0, count - 1 - where % 3)
            pieces[first : first + 8 + 8 * count] = (
                struct.pack("<Q", shorter) + pieces[first + 8 : first + 8 + 8 * shorter]
            )
            break
    return bytes(pieces)


def sealed(header, state):
    text = MAGIC + struct.pack("<QQ", len(header), len(state)) + header + state
    return text + hashlib.blake2b(text, digest_size=32).digest()


def resume(trainer, header, state):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.ckpt")
        path.write_bytes(sealed(header, state))
        with np.errstate(all="ignore"):
            return train(trainer, path)


EDIT = st.tuples(st.integers(0, 2**16), st.integers(0, 16) | st.just("resize"))


@fuzz(
    75,
    trainer=st.sampled_from(sorted(METHODS)),
    records=st.integers(1, 4),
    edits=st.lists(EDIT, min_size=1, max_size=3),
)
def test_altered_states(trainer, records, edits):
    header, state = kept(trainer, records)
    with contextlib.suppress(af.CheckpointError, af.DivergenceError):
        return resume(trainer, header, altered(trainer, state, edits)) is not None


@pytest.mark.parametrize("trainer", sorted(METHODS))
@pytest.mark.parametrize("records", [1, 3])
def test_unaltered_states_are_taken(trainer, records):
    resume(trainer, *kept(trainer, records))


@pytest.mark.parametrize(
    ("trainer", "value"),
    [("dopri5", -1), ("dopri5", 10**6), ("dopri5", 0), ("tangent", -3), ("tangent", 50)],
)
def test_slots_orders_and_frames(trainer, value):
    """Every integer of the method, set to what is no slot, order, count or frame, is refused."""
    header, state = kept(trainer, 3)
    layout = Layout(trainer, state)
    first = len("qdq?dd") + 2 + 2  # member, its two vectors, the two counts of slots
    integers = [offset for offset, form in layout.scalars[first:] if form == "q"]
    refused = 0
    for offset in integers:
        if struct.unpack_from("<q", state, offset)[0] == value:
            continue
        wrong = bytearray(state)
        struct.pack_into("<q", wrong, offset, value)
        try:
            resume(trainer, header, bytes(wrong))
        except (af.CheckpointError, af.DivergenceError) as error:
            refused += isinstance(error, af.CheckpointError)
    assert refused >= (6 if trainer == "dopri5" else 5)
