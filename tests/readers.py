"""Every reader of files, each with good files to start from and what it may answer.

A reader is called with the path of a file of any content. It returns, or raises one of its
refusals; everything else is a failure. Files are small and so must be the memory they take.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import struct
import tempfile
import zipfile
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import asymfast as af
import numpy as np
from asymfast.datasets.files import extract, idx_header, read_idx, read_original
from asymfast.datasets.tables import Columns
from asymfast.study import Store, read_experiment
from asymfast.study.config import parse
from asymfast.study.train import Places, samples
from trainers import data

MAGIC = b"asymfast checkpoint 1\n"
RECORD = af.Record(every=2, weights=True, top_nodes=2, ntg_on=3)


class Reader(NamedTuple):
    """How a kind of file is read, what it may answer, and good files of that kind."""

    read: object
    refusals: tuple
    good: object


def run_file():
    """A run of Run.save."""
    net, X, y = data()
    run = af.gradient_descent(net, X, y, steps=4, record=RECORD, X_test=X, y_test=y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.npz")
        run.save(path)
        return path.read_bytes()


def _any_checksum(self, data):
    """In the place of zipfile's own method."""


def load_unchecked(path):
    """A run file whose members pass their checksums, whatever they hold."""
    with mock.patch.object(zipfile.ZipExtFile, "_update_crc", _any_checksum):
        return af.Run.load(path)


def resume(path, record=RECORD):
    """The run of the checkpoint, gone on with for a short while."""
    net, X, y = data()
    return af.gradient_descent(
        net, X, y, steps=6, record=record, checkpoint=path, stop=af.Stop(wall_seconds=0.2)
    )


def checkpoint_file():
    """The checkpoint of a run that its callback stopped in the middle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.ckpt")
        net, X, y = data()
        callback = {"callback": lambda now: now.step < 4}
        af.gradient_descent(net, X, y, steps=6, record=RECORD, checkpoint=path, **callback)
        return path.read_bytes()


def state_only(content):
    """The core's state within a checkpoint, which `seal` puts back."""
    header, _ = struct.unpack_from("<QQ", content, len(MAGIC))
    return content[len(MAGIC) + 16 + header : -32]


def seal(state):
    """A checkpoint of the run of `resume`, right but for the state in it."""
    whole = good_files("checkpoint")[0]
    (header,) = struct.unpack_from("<Q", whole, len(MAGIC))
    text = whole[len(MAGIC) + 16 : len(MAGIC) + 16 + header]
    start = MAGIC + struct.pack("<QQ", header, len(state)) + text + state
    return start + hashlib.blake2b(start, digest_size=32).digest()


def resume_state(path):
    """The state gets past every check of the file around it, as a hostile one would."""
    path.write_bytes(seal(path.read_bytes()))
    return resume(path)


@cache
def _record_folder():
    """A checkpoint with the files of its record's folder."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        record = af.Record(every=2, folder=folder / "record")
        net, X, y = data()
        settings = {"record": record, "callback": lambda now: now.step < 4}
        af.gradient_descent(net, X, y, steps=6, checkpoint=folder / "run.ckpt", **settings)
        files = {file.name: file.read_bytes() for file in (folder / "record").iterdir()}
        return (folder / "run.ckpt").read_bytes(), files, folder


def resume_record(path):
    """A damaged column in the folder of the record that a run goes on with."""
    checkpoint, files, folder = _record_folder()
    (folder / "record").mkdir(parents=True)
    try:
        for name, content in files.items():
            (folder / "record" / name).write_bytes(content)
        content = path.read_bytes()
        name = sorted(files)[content[0] % len(files)] if content else "loss.npy"
        (folder / "record" / name).write_bytes(content[1:])
        (folder / "run.ckpt").write_bytes(checkpoint)
        return resume(folder / "run.ckpt", af.Record(every=2, folder=folder / "record"))
    finally:
        shutil.rmtree(folder)


def record_files():
    """The columns, each with its number before it."""
    _, files, _ = _record_folder()
    return [bytes([i]) + files[name] for i, name in enumerate(sorted(files))]


CONFIG = {"gamma": 0.5, "seeds": [1, 2]}


def load_result(path):
    """The file in the place of a sweep's result."""
    store = Store(path.with_name("sweep"))
    path.rename(store.path(CONFIG))
    return store.load(CONFIG)


def result_file():
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"loss": np.arange(3.0), "names": np.array(["a", "bc"])}
        return Store(folder).save(CONFIG, arrays, {"seconds": 1.5}).read_bytes()


def feature_files():
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 6), ("test", 4)):
        arrays[f"x_{part}"] = rng.standard_normal((n, 3)).astype(np.float16)
        arrays[f"y_{part}"] = rng.integers(0, 2, n)
    files = []
    for write in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        write(file, **arrays)
        files.append(file.getvalue())
    return files


FEATURES = {
    "data": {"name": "npz", "path": "features.npz"},
    "network": {"m": 1, "gamma": 1.0},
    "train": {"trainer": "gradient_descent", "steps": 1},
}


def experiments():
    folder = resources.files("asymfast.study").joinpath("configs")
    return [file.read_bytes() for file in folder.iterdir() if file.name.endswith(".toml")]


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def spreadsheet():
    openpyxl = __import__("openpyxl")
    book = openpyxl.Workbook()
    book.active.append([f"X{i}" for i in range(10)])
    book.active.append([0.5 * i for i in range(10)])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def idx_files():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = idx_header(values.shape) + values.tobytes()
    return [content, gzip.compress(content), idx_header((5,)) + b"12345"]


def model_files():
    net = af.Network.init(d=3, m=6, gamma=0.5, alpha=0.7, rng=0, bias=True)
    numbers = {name: np.full(3, 2.0) for name in ("input_mean", "input_scale")}
    numbers |= {name: np.ones(1) for name in ("target_mean", "target_scale")}
    columns = Columns(("a", "b"), ("y",), {"b": ("u", "v")}, **numbers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        af.Model(net, columns, {"seed": 0}).save(path)
        return [path.read_bytes()]


def predict(path):
    """A model that is accepted can be used; its members pass their checksums in any case."""
    with mock.patch.object(zipfile.ZipExtFile, "_update_crc", _any_checksum):
        model = af.load_model(path)
    names = model.columns.inputs
    table = {name: [model.columns.categories.get(name, (1.0,))[0]] for name in names}
    with np.errstate(all="ignore"):
        model.predict(table)


CSV = [
    b"a,b\n1,2\n3,4e-5\n",
    b'\xef\xbb\xbf"x y";z\r\n-1.5;"2"\r\n',
    b"x\ty\n0x1\t1_0\ninf\tnan\n",
]

READERS = {
    "run": Reader(af.Run.load, (ValueError,), lambda: [run_file()]),
    "run with checksums": Reader(load_unchecked, (ValueError,), lambda: [run_file()]),
    "checkpoint": Reader(resume, (af.CheckpointError,), lambda: [checkpoint_file()]),
    "state of a checkpoint": Reader(
        resume_state,
        (af.CheckpointError, af.DivergenceError, OverflowError),
        lambda: [state_only(good_files("checkpoint")[0])],
    ),
    # its rows are plain arrays without a checksum, and may hold anything
    "record folder": Reader(resume_record, (af.CheckpointError, OverflowError), record_files),
    "result of a sweep": Reader(load_result, (ValueError,), lambda: [result_file()]),
    "features": Reader(
        lambda path: samples(parse(FEATURES), Places.from_folder(path)),
        (ValueError,),
        feature_files,
    ),
    "model": Reader(predict, (ValueError, OverflowError), model_files),
    "experiment": Reader(read_experiment, (ValueError,), experiments),
    "csv": Reader(af.datasets.read_csv, (ValueError,), lambda: CSV),
    "idx": Reader(read_idx, (ValueError,), idx_files),
    "zip": Reader(
        lambda path: extract(path, "in.txt"),
        (ValueError,),
        lambda: [zipped({"a/in.txt": b"0 1\n" * 99, "b": b""})],
    ),
    "text table": Reader(
        partial(read_original, ending=".dat"), (ValueError,), lambda: [b"1\t2 3 4 5 6\n" * 3]
    ),
    "xlsx table": Reader(
        partial(read_original, ending=".xlsx"), (ValueError,), lambda: [spreadsheet()]
    ),
}


@cache
def good_files(kind):
    return READERS[kind].good()


def read(kind, content, folder):
    """Let a reader read the content. Whether it accepted it."""
    path = Path(folder, "file")
    path.write_bytes(content)
    try:
        READERS[kind].read(path)
    except READERS[kind].refusals:
        return False
    return True


def identity(content):
    """The settings in the header of a checkpoint."""
    (header,) = struct.unpack_from("<Q", content, len(MAGIC))
    return json.loads(content[len(MAGIC) + 16 :][:header])["identity"]
