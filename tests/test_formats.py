"""Files of earlier versions are read by this one: a small one of every format is kept in files/.

A new format gets a number of its own, a file here, and stays readable. Checkpoints are for the
version and the instruction set that wrote them; of an older one the reader says so.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from asymfast._storage import Checkpoint, read_npz
from readers import identity

FILES = Path(__file__).parent / "files"
LOSS = [
    [3.839927350663164, 4.457499970184197],
    [3.629700380117505, 4.212518055052899],
    [3.4370964309430256, 3.975787006122082],
    [3.2580561156148646, 3.750077412518163],
]


def test_run_1():
    """Two members of two outputs, both layers trained by sgd, everything recorded."""
    run = af.Run.load(FILES / "run-1.npz")
    assert run.steps.tolist() == [0, 2, 4, 6]
    assert run.loss.tolist() == LOSS
    assert run.network.W[0, 0].tolist() == [
        0.4806172982266406,
        0.9014161282178367,
        0.2829972492343756,
    ]
    assert run.initial.a.shape == run.network.a.shape == (2, 5, 2)
    assert run.weights.shape == (4, 2, 5, 3)
    assert np.array_equal(run.weights[-1], run.network.W)
    assert run.ntg_matrix.shape == (4, 2, 4, 4)
    assert run.top_nodes.dtype == np.int64
    assert run.config["method"] == "sgd"
    assert not run.stopped
    for name in ("test_loss", "ntg_eigmin", "ntg_eigmax", "ntg_change_2norm", "alignment"):
        assert getattr(run, name).shape == (4, 2)


def test_run_1_is_written_anew_to_the_same_content(tmp_path):
    run = af.Run.load(FILES / "run-1.npz")
    run.save(tmp_path / "run.npz")
    old, new = read_npz(FILES / "run-1.npz"), read_npz(tmp_path / "run.npz")
    header = json.loads(str(new.pop("header")))
    assert len(header.pop("digest")) == 32  # since 0.2
    assert json.loads(str(old.pop("header"))) == header
    assert old.keys() == new.keys()
    for name, values in old.items():
        assert values.dtype == new[name].dtype
        assert values.tobytes() == new[name].tobytes()


def test_checkpoint_1():
    content = (FILES / "checkpoint-1.ckpt").read_bytes()
    known = Checkpoint("test", FILES / "checkpoint-1.ckpt", identity(content))
    state, extra = known.read()
    assert extra == {"rows": 0}
    assert (
        hashlib.sha256(state).hexdigest()
        == "eb9d40ac2eb60d11cff68075845a439395174a2a0a6b5ef8ff74c242b3bc7230"
    )
    other = Checkpoint("test", FILES / "checkpoint-1.ckpt", {**identity(content), "asymfast": "9"})
    with pytest.raises(af.CheckpointError, match=r'differs in asymfast: "0\.1\.0" then, "9" now'):
        other.read()


def test_formats_to_come_are_refused(tmp_path):
    content = (FILES / "checkpoint-1.ckpt").read_bytes()
    path = tmp_path / "run.ckpt"
    path.write_bytes(content.replace(b"checkpoint 1\n", b"checkpoint 2\n"))
    with pytest.raises(af.CheckpointError, match="is not a checkpoint of this version"):
        Checkpoint("test", path, identity(content)).read()
    arrays = read_npz(FILES / "run-1.npz")
    arrays["header"] = np.array(str(arrays["header"]).replace("asymfast run 1", "asymfast run 9"))
    np.savez(tmp_path / "run.npz", **arrays)
    with pytest.raises(ValueError, match="its format is 'asymfast run 9', expected 'asymfast run"):
        af.Run.load(tmp_path / "run.npz")


# ---- files that claim what they do not hold ---------------------------------------------------


def claiming(shape, dtype="<f8", data=b"\0" * 64):
    """The .npy file of an array of that shape, with fewer data."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text + b"\n" + data


def changed(path, name, content, compression=zipfile.ZIP_STORED):
    """The run file with one member replaced or added."""
    with (
        zipfile.ZipFile(FILES / "run-1.npz") as old,
        zipfile.ZipFile(path, "w", compression) as new,
    ):
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return path


@pytest.mark.parametrize("shape", [(10**12,), (10**12, 3), (10**17,) * 3])
def test_a_claim_of_terabytes_is_refused(shape, tmp_path):
    path = changed(tmp_path / "run.npz", "loss.npy", claiming(shape))
    with pytest.raises(
        ValueError, match=r"run\.npz is not a file of Run\.save: .*64 bytes of data"
    ):
        af.Run.load(path)


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    data = bytes(8 << 20)
    path = changed(
        tmp_path / "run.npz", "loss.npy", claiming((2**20,), data=data), zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ValueError, match="is compressed"):
        af.Run.load(path)
    (tmp_path / "sized.npz").write_bytes(
        path.read_bytes().replace(struct.pack("<I", len(data) + 128), struct.pack("<I", 2**32 - 2))
    )
    with pytest.raises(ValueError, match="announces too many bytes"):
        read_npz(tmp_path / "sized.npz", compressed=True)


@pytest.mark.parametrize(
    "name", ["../loss.npy", "/etc/passwd.npy", "..\\loss.npy", "a/../../b.npy"]
)
def test_names_are_never_paths(name, tmp_path):
    """Names of members lead nowhere: what is not a column of the record is ignored."""
    before = sorted(tmp_path.parent.rglob("*"))
    path = changed(tmp_path / "run.npz", name, claiming((8,)))
    assert af.Run.load(path).loss.tolist() == LOSS
    assert sorted(set(tmp_path.parent.rglob("*")) - {path}) == before


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("loss.npy", claiming((8,)), r"loss must have shape \(4, 2\), got \(8,\)"),
        ("loss.npy", claiming((4, 2), "<i8"), "loss has dtype int64"),
        ("loss.npy", claiming((8,), "|O"), "expected numbers or text"),
        ("loss.npy", claiming((8,), "('<f8', (2,))"), "is not what NumPy writes"),
        ("time.npy", claiming((8,)), r"must have shape"),
        ("W.npy", claiming((8,)), "W must have shape"),
        ("diverged.npy", claiming((8,)), "its diverged has dtype float64"),
        ("notes.txt", b"", "is not an array"),
        ("loss.npy", b"PK", "not an array in version 1.0"),
        ("loss.npy", b"\x93NUMPY\x02\x00", "not an array in version 1.0"),
    ],
)
def test_arrays_of_another_kind_are_refused(name, content, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        af.Run.load(changed(tmp_path / "run.npz", name, content))
