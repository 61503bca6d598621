"""Nothing is lost: a run that was killed ends with the bits of one that was not."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from asymfast._storage import difference
from cases import BACKENDS, DTYPES, assert_same_run, problem, run_arrays
from trainers import CHOOSING, TRAINERS, data, descent, fixed_flow, sgd

trainers = pytest.mark.parametrize("train", TRAINERS.values(), ids=TRAINERS.keys())
MAGIC = b"asymfast checkpoint 1\n"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def stop_after(records):
    """A callback that ends a run at its so-manieth record."""
    seen = []

    def callback(now):
        seen.append(now.step)
        return len(seen) < records

    return callback


# --- Killed --------------------------------------------------------------------------------------

# A process that forks trainers and kills them: a fork costs a hundredth of a start of Python.
DRIVER = """
import os, random, signal, sys, time
from pathlib import Path

import asymfast as af
import numpy as np
from trainers import CHOOSING, TRAINERS, data

name, kind, folder, kills = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
random.seed(name + kind)

def start(to, **settings):
    child = os.fork()
    if child:
        return child
    record = af.Record(every=125 * long, weights=True)
    if TRAINERS[name] in CHOOSING:
        record = af.Record(times=np.linspace(0, length["t_end"], 801))
    if name == "sgd":
        record = af.Record(every=125 * long, weights=True, folder=folder / f"record of {to}")
    run = TRAINERS[name](*data(kind), record=record, **length, **settings)
    run.save(folder / to)
    os._exit(0)

def finish(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

long = 4 if kills > 10 else 1
length = {
    "descent": {"steps": 10_000 * long},
    "leaps": {"steps": 10_000 * long, "rtol": 1e-8},
    "fixed flow": {"t_end": 1500.0 * long},
    "rk4 flow": {"t_end": 25.0 * long, "rtol": 1e-10},
    "dopri5 flow": {"t_end": 250.0 * long, "rtol": 1e-11},
    "tangent flow": {"t_end": 250.0 * long, "rtol": 1e-8},
    "sgd": {"epochs": 2_000 * long},
}[name]
began = time.monotonic()
finish(start("whole.npz"))
whole = time.monotonic() - began
kept = {"checkpoint": folder / "run.ckpt", "checkpoint_every": 0.002}
killed = 0
for _ in range(kills):
    child = start("resumed.npz", **kept)
    time.sleep(random.uniform(0, 1.2 * whole / kills))
    os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
finish(start("resumed.npz", **kept))
print(killed, f"{whole:.2f} s")
"""


KINDS = {
    "descent": "single",
    "leaps": "single",
    "fixed flow": "single",
    "rk4 flow": "ensemble",
    "dopri5 flow": "ensemble",
    "tangent flow": "single",
    "sgd": "ensemble",
}


@POSIX
@pytest.mark.parametrize(
    ("name", "kind", "kills"),
    [
        ("leaps", KINDS["leaps"], 4),
        *(pytest.param(*each, 50, marks=pytest.mark.slow) for each in KINDS.items()),
    ],
)
def test_killed_many_times(name, kind, kills, tmp_path):
    """At random moments, some of them before the first checkpoint, some amid the writing of one."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, name, kind, tmp_path, str(kills)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    # a child may have finished before its signal came
    assert int(done.stdout.split()[0]) >= max(1, 0.9 * kills - 3)
    one, other = (af.Run.load(tmp_path / f"{which}.npz") for which in ("whole", "resumed"))
    assert len(one.loss) > 10
    assert_same_run(run_arrays(other), run_arrays(one))
    assert not list(tmp_path.glob(".*")), "half-written files are swept away"


# --- Ended early, gone on with --------------------------------------------------------------------


@trainers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_stopped_run_goes_on(train, dtype, kind, tmp_path):
    given = data(kind, dtype)
    whole = train(*given)
    path = tmp_path / "run.ckpt"
    for records in (1, 4, 7):
        part = train(*given, checkpoint=path, callback=stop_after(records))
        assert part.stopped
        assert part.stopped_by == "callback"
    assert len(part.steps) == 12
    assert_same_run({"loss": part.loss}, {"loss": whole.loss[:12]})
    rest = train(*given, checkpoint=path)
    assert not rest.stopped
    assert_same_run(run_arrays(rest), run_arrays(whole))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("train_output", [False, True])
def test_backends(backend, train_output, tmp_path):
    case = problem(n=9, m=5, outputs=3, loss="cross_entropy", dtype="float32")
    settings = {"lr": 0.5, "batch_size": 4, "epochs": 9, "loss": "cross_entropy"}
    settings |= {"train_output": train_output, "backend": backend}
    settings["record"] = af.Record(
        every=2,
        weights=True,
        eigmax=True,
        ntg_change_2norm=True,
        alignment=True,
        effective_rank=True,
        ntg_matrix=True,
        top_nodes=2,
    )
    given = (case.net, case.X, case.y)
    whole = af.sgd(*given, **settings)
    path = tmp_path / "run.ckpt"
    af.sgd(*given, checkpoint=path, callback=stop_after(3), **settings)
    assert_same_run(run_arrays(af.sgd(*given, checkpoint=path, **settings)), run_arrays(whole))


@trainers
def test_threads_may_change(train, tmp_path):
    given, path = data("ensemble"), tmp_path / "run.ckpt"
    whole = train(*given, threads=1)
    train(*given, threads=2, checkpoint=path, callback=stop_after(5))
    assert_same_run(run_arrays(train(*given, threads=3, checkpoint=path)), run_arrays(whole))


@trainers
def test_finished_run_is_returned_at_once(train, tmp_path):
    given, path = data(), tmp_path / "run.ckpt"
    whole = train(*given, checkpoint=path)
    content = path.read_bytes()
    seen = []
    again = train(*given, checkpoint=path, callback=seen.append)
    assert seen == []
    assert_same_run(run_arrays(again), run_arrays(whole))
    assert len(path.read_bytes()) == len(content)


@trainers
@pytest.mark.parametrize(("kind", "seconds"), [("single", 0.02), ("ensemble", 1e-9)])
def test_out_of_time(train, kind, seconds, tmp_path):
    """Each call has no time, but goes on; the closing records of stopped calls leave no trace."""
    given, path = data(kind), tmp_path / "run.ckpt"
    whole = train(*given)
    calls = 0
    while True:
        run = train(*given, threads=1, checkpoint=path, stop=af.Stop(wall_seconds=seconds))
        calls += 1
        if not run.stopped:
            break
        assert run.stopped_by == "wall_seconds"
        assert run.steps.max() > 0
        assert calls < 1000
    assert_same_run(run_arrays(run), run_arrays(whole))


@pytest.mark.parametrize(
    "train", [CHOOSING[0], *(pytest.param(train, marks=pytest.mark.slow) for train in CHOOSING[1:])]
)
def test_taken_up_where_only_some_members_have_arrived(train, tmp_path):
    """A call is over after a millisecond, one or two steps of the reference backend."""
    record = af.Record(times=[0.0, 0.3, 2.0, 9.0], weights=True)
    settings = {"t_end": 20.0, "record": record, "backend": "reference", "threads": 1}
    whole = train(*data("ensemble"), **settings)
    settings |= {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 1e-3}
    calls = 0
    while True:
        run = train(*data("ensemble"), stop=af.Stop(wall_seconds=1e-9), **settings)
        calls += 1
        if not run.stopped:
            break
        assert calls < 1000
    assert calls > 5
    assert_same_run(run_arrays(run), run_arrays(whole))


def test_diverged_member_stays_diverged(tmp_path):
    case = problem(n=9, m=5, activation="identity")
    wild = af.Network(case.net.W, 1e3 * case.net.a, case.net.lam, activation="identity")
    stack = af.Network.stack([case.net, wild])
    record = af.Record(every=3)
    settings = {"lr": 0.01, "steps": 200, "record": record}
    with pytest.raises(af.DivergenceError) as whole:
        af.gradient_descent(stack, case.X, case.y, **settings)
    path = tmp_path / "run.ckpt"
    callback = stop_after(1)
    af.gradient_descent(stack, case.X, case.y, checkpoint=path, callback=callback, **settings)
    callback = stop_after(60)
    with pytest.raises(af.DivergenceError):  # by now; and the checkpoint says so
        af.gradient_descent(stack, case.X, case.y, checkpoint=path, callback=callback, **settings)
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(stack, case.X, case.y, checkpoint=path, **settings)
    assert caught.value.step == whole.value.step
    assert_same_run(run_arrays(caught.value.run), run_arrays(whole.value.run))


def test_a_member_that_diverged_keeps_its_last_weights(tmp_path):
    """Those of the last record before, also in a run that was resumed after it diverged."""
    case = problem(n=9, m=5, activation="identity")
    wild = af.Network(case.net.W, 30 * case.net.a, case.net.lam, activation="identity")
    stack = af.Network.stack([case.net, wild])
    settings = {"lr": 0.01, "steps": 200, "record": af.Record(every=3), "on_divergence": "keep"}
    whole = af.gradient_descent(stack, case.X, case.y, **settings)
    assert 1 < np.isnan(whole.loss[:, 1]).argmax() < 40
    assert not np.array_equal(whole.network.W[1], stack.W[1])
    path = tmp_path / "run.ckpt"
    part = af.gradient_descent(
        stack, case.X, case.y, checkpoint=path, callback=stop_after(40), **settings
    )
    assert part.stopped_by == "callback"
    assert part.diverged.tolist() == [False, True]
    rest = af.gradient_descent(stack, case.X, case.y, checkpoint=path, **settings)
    assert_same_run(run_arrays(rest), run_arrays(whole))


# --- Refused --------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A checkpoint of a run that was stopped, and its arguments."""
    path = tmp_path / "run.ckpt"
    descent(*data(), checkpoint=path, callback=stop_after(3))
    return path


def in_float32(net, X, y):
    W, a, X, y = (v.astype(np.float32) for v in (net.W, net.a, X, y))
    return af.Network(W, a, net.lam, gamma=net.gamma, alpha=net.alpha), X, y


def refuse(path, match, train=descent, given=None, **settings):
    before = path.read_bytes()
    with pytest.raises(af.CheckpointError, match=match) as caught:
        train(*(given or data()), checkpoint=path, **settings)
    assert isinstance(caught.value, ValueError)
    assert "run.ckpt" in str(caught.value)
    assert path.read_bytes() == before, "a refused file is left alone"


@pytest.mark.parametrize("place", [0, 5, 22, 25, 31, 40, 300, 0.3, 0.6, 0.9, -40, -33, -32, -1])
def test_a_changed_byte(kept, place):
    content = bytearray(kept.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0x40
    kept.write_bytes(content)
    refuse(kept, "is damaged|is not a checkpoint")


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.01, 0.5, 0.99, 0.99999])
def test_truncated(kept, share):
    content = kept.read_bytes()
    kept.write_bytes(content[: int(share * len(content))])
    refuse(kept, "is damaged|is not a checkpoint")


def test_longer(kept):
    kept.write_bytes(kept.read_bytes() + b"\0")
    refuse(kept, "its length is wrong")


@pytest.mark.parametrize("lengths", [(2**63, 2**63), (2**64 - 1, 0), (0, 2**62)])
def test_lengths_are_checked_before_anything_is_allocated(kept, lengths):
    kept.write_bytes(MAGIC + struct.pack("<QQ", *lengths) + bytes(100))
    refuse(kept, "its length is wrong")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_nothing_is_executed(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept.write_bytes(pickle.dumps(Trap()))
    refuse(kept, "is not a checkpoint")
    with kept.open("wb") as file:
        np.savez(file, state=np.array([Trap()], dtype=object))
    refuse(kept, "is not a checkpoint")
    assert not Path("executed").exists()


def test_well_made_file_with_a_foreign_state(kept):
    """Right checksum, right settings, but bytes that are not this run's."""
    content = kept.read_bytes()
    header, state = struct.unpack_from("<QQ", content, len(MAGIC))
    start = len(MAGIC) + 16
    for wrong in (b"", b"\xff" * state, content[start + header : -32] + b"\0"):
        text = MAGIC + struct.pack("<QQ", header, len(wrong)) + content[start : start + header]
        kept.write_bytes(text + wrong + hashlib.blake2b(text + wrong, digest_size=32).digest())
        refuse(kept, "is empty|does not fit")


@pytest.mark.parametrize(
    "header", [b"", b"{}", b"[1]", b'{"identity": 3, "extra": {}}', b"[" * 9**5]
)
def test_well_made_file_with_a_foreign_header(kept, header):
    text = MAGIC + struct.pack("<QQ", len(header), 8) + header + bytes(8)
    kept.write_bytes(text + hashlib.blake2b(text, digest_size=32).digest())
    refuse(kept, "is not a checkpoint")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lr": 0.25}, "lr: 0.5 then, 0.25 now"),
        ({"steps": 3001}, "steps: 3000 then, 3001 now"),
        ({"loss": "mse"}, 'loss: "half_sse" then, "mse" now'),
        ({"backend": "reference"}, "backend"),
        ({"record": af.Record(every=7)}, "record"),
        ({"X_test": data()[1], "y_test": data()[2]}, "data"),
        ({"given": data("ensemble")}, "B: null then, 3 now"),
        ({"given": in_float32(*data())}, 'dtype: "float64" then, "float32" now'),
        ({"train": sgd}, 'method: "gradient_descent" then, "sgd" now'),
        ({"train": fixed_flow}, "differs in method"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else str(given),
)
def test_another_run(kept, change, match):
    refuse(kept, match, **change)


def test_a_long_setting_is_shown_where_it_differs():
    was, now = {"lr": [*range(90), 1000]}, {"lr": [*range(90), 2000]}
    then, today = difference(was, now).split(" then, ")
    assert then.startswith("lr: ...")
    assert then.endswith(", 89, 1000]")
    assert today.endswith(", 89, 2000] now")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_other_data(kept, which):
    given = list(data())
    if which == 0:
        W = given[0].W.copy()
        W[3, 2] += 1e-15
        given[0] = given[0].with_weights(W)
    else:
        given[which] = given[which].copy()
        given[which][-1] += 1e-15
    refuse(kept, "differs in data", given=given)


def test_another_version(kept):
    content = kept.read_bytes()
    version = f'"asymfast": "{af.__version__}"'.encode()
    assert version in content
    text = content[:-32].replace(version, b'"asymfast": "9' + version[14:])
    kept.write_bytes(text + hashlib.blake2b(text, digest_size=32).digest())
    refuse(kept, "differs in asymfast")


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"checkpoint": 3}, TypeError, "descent: checkpoint must be a path, got 3"),
        ({"checkpoint": "."}, IsADirectoryError, "checkpoint must be a file"),
        ({"checkpoint": "none/run"}, FileNotFoundError, "folder of checkpoint must exist"),
        ({"checkpoint_every": 0}, ValueError, r"checkpoint_every must be in \(0, inf\), got 0"),
        ({"checkpoint_every": np.nan}, ValueError, "checkpoint_every must be in"),
        ({"stop": 3.0}, TypeError, "stop must be a Stop, got float"),
    ],
)
def test_arguments(settings, error, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=match):
        descent(*data(), **settings)


@POSIX
@pytest.mark.parametrize("kind", ["endless device", "pipe", "sparse"])
def test_files_that_are_no_files(kind, tmp_path):
    """Reading them would last for ever, or take all memory."""
    path = tmp_path / "run.ckpt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(MAGIC + struct.pack("<QQ", 100, 2**40))
        os.truncate(path, 2**36)
    with pytest.raises(af.CheckpointError, match=r"is not a regular file|its length is wrong"):
        descent(*data(), checkpoint=path)


def test_sgd_without_a_seed_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(ValueError, match="sgd: checkpoint needs a seed, got rng=None"):
        sgd(*data(), rng=None, checkpoint=tmp_path / "run.ckpt")


# --- The disk fails -------------------------------------------------------------------------------

# Rows of weights grow with the run, files beyond the limit do not.
FULL = """
import resource, sys
from pathlib import Path

import asymfast as af
from trainers import data, descent

folder, where = Path(sys.argv[1]), sys.argv[2]
settings = {"record": af.Record(every=50, weights=True), "checkpoint": folder / "run.ckpt"}
if where == "folder":
    settings["record"] = af.Record(every=50, weights=True, folder=folder / "record")
descent(*data(), callback=lambda now: now.step < 200, **settings)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17))
try:
    descent(*data(), checkpoint_every=1e-2, **settings)
except OSError as error:
    print(type(error).__name__, len(error.run.loss), error.run.steps[-1])
"""


@POSIX
@pytest.mark.parametrize("where", ["checkpoint", "folder"])
def test_disk_full(where, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, where],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, records, step = done.stdout.split()
    assert name == "OSError"
    assert int(records) == int(step) // 50 + 1 >= 5
    record = {"every": 50, "weights": True}
    whole = descent(*data(), record=af.Record(**record))
    if where == "folder":
        record["folder"] = tmp_path / "record"
    path = tmp_path / "run.ckpt"
    rest = descent(*data(), checkpoint=path, record=af.Record(**record))
    assert_same_run(run_arrays(rest), run_arrays(whole))


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_no_space_left(call, error, tmp_path, monkeypatch):
    """The call into the operating system fails as it does on a full or a broken disk."""
    given, path = data(), tmp_path / "run.ckpt"
    whole = descent(*given)
    descent(*given, checkpoint=path, callback=stop_after(3))
    kept = path.read_bytes()

    def fail(*_):
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match=os.strerror(error)) as caught:
            descent(*given, checkpoint=path)
    assert caught.value.errno == error
    assert len(caught.value.run.loss) >= 3
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]
    assert_same_run(run_arrays(descent(*given, checkpoint=path)), run_arrays(whole))


# A disk of a megabyte, where this process may mount one in a name space of its own.
TINY_DISK = """
set -e
mount -t tmpfs -o size=1m asymfast {folder}
exec {python} -c '{code}'
"""
ON_TINY_DISK = """
import errno, sys
from pathlib import Path

import asymfast as af
import numpy as np
from trainers import data, descent

folder = Path("{folder}")
settings = dict(record=af.Record(every=50, weights=True), checkpoint=folder / "run.ckpt")
descent(*data(), callback=lambda now: now.step < 200, **settings)
kept = (folder / "run.ckpt").read_bytes()
filler = folder / "filler"
try:
    with filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError as error:
    assert error.errno == errno.ENOSPC
try:
    descent(*data(), checkpoint_every=1e-2, **settings)
except OSError as error:
    print(errno.errorcode[error.errno], len(error.run.loss))
assert (folder / "run.ckpt").read_bytes() == kept
filler.unlink()
rest, whole = descent(*data(), **settings), descent(*data(), record=settings["record"])
print(np.array_equal(rest.network.W, whole.network.W))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_a_disk_that_is_full(tmp_path):
    """A real ENOSPC; with room again, the run goes on from the checkpoint that was kept."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    try:
        allowed = subprocess.run(
            [*unshare, "mount", "-t", "tmpfs", "asymfast", tmp_path],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if allowed.returncode:
        pytest.skip("this process may not mount")
    code = ON_TINY_DISK.replace("{folder}", str(tmp_path))
    script = TINY_DISK.format(folder=tmp_path, python=sys.executable, code=code)
    done = subprocess.run(
        [*unshare, "sh", "-c", script],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, records, same = done.stdout.split()
    assert name == "ENOSPC"
    assert int(records) >= 5
    assert same == "True"


@POSIX
def test_folder_that_cannot_be_written_to():
    """As another user where this one is root, who may write everywhere."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as caught:
                descent(*data(), checkpoint=Path(folder, "run.ckpt"))
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o755)
    assert caught.value.run.steps.tolist() == [0]


def test_failure_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """A folder that becomes read-only in mid-run."""
    given, path = data(), tmp_path / "run.ckpt"
    whole = descent(*given)
    descent(*given, checkpoint=path, callback=stop_after(3))
    kept = path.read_bytes()

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError) as caught:
            descent(*given, checkpoint=path)
    assert len(caught.value.run.loss) == len(whole.loss)
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]
    assert_same_run(run_arrays(descent(*given, checkpoint=path)), run_arrays(whole))


# --- Ctrl-C ---------------------------------------------------------------------------------------


@trainers
def test_ctrl_c_then_go_on(train, tmp_path):
    """What `signal` raises in the main thread comes out with the run; the checkpoint serves."""
    given, path = data(), tmp_path / "run.ckpt"
    whole = train(*given)
    seen = []

    def interrupt(now):
        seen.append(now)
        if len(seen) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        train(*given, checkpoint=path, callback=interrupt)
    assert len(caught.value.run.loss) == 9
    assert_same_run(run_arrays(train(*given, checkpoint=path)), run_arrays(whole))


def test_symbolic_link_is_followed(tmp_path):
    target, link = tmp_path / "real.ckpt", tmp_path / "link.ckpt"
    link.symlink_to(target)
    descent(*data(), checkpoint=link, callback=stop_after(2))
    assert link.is_symlink()
    assert target.read_bytes().startswith(MAGIC)
