"""The folder of results: complete files or none, exclusive claims, whatever is killed and when."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from asymfast.study.store import Store, StoreError
from hypothesis import given, settings
from hypothesis import strategies as st

CONFIG = {"m": 20, "gamma": 0.5, "method": "sgd", "record": {"every": 3}, "times": [1.0, 2.5]}
ARRAYS = {"loss": np.linspace(0, 1, 7), "steps": np.arange(7), "names": np.array(["a", "bc"])}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values, strict=True)


def python(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- Names ---------------------------------------------------------------------------------------


def test_key_is_a_known_hash():
    """So that results of today are found tomorrow: printf '{"a":[1,0.5],"b":null}' | sha256sum."""
    assert Store.key({"b": None, "a": (1, 0.5)}) == "01b9c5a6e6f861c6"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 0.5}, {"a": np.float64(0.5)}),
        ({"a": 0.5}, {"a": np.float32(0.5)}),
        ({"a": 3}, {"a": np.int16(3)}),
        ({"a": True}, {"a": np.True_}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": np.array([1, 2])}),
        ({"a": [1, 2]}, {"a": range(1, 3)}),
        ({"a": {"b": (0.0,)}}, {"a": {"b": [-0.0]}}),
    ],
)
def test_equal_configs_share_a_key(one, other):
    assert Store.key(one) == Store.key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 0}, {"a": None}),
        ({"a": 0.1}, {"a": np.float32(0.1)}),
        ({"a": [1]}, {"a": 1}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
        ({"a": {"b": 1}}, {"a.b": 1}),
    ],
)
def test_different_configs_have_different_keys(one, other):
    assert Store.key(one) != Store.key(other)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ([1], TypeError, "Store: config must be a mapping, got list"),
        ({"a": object()}, TypeError, r"Store: config\.a must be a number, text, .*, got object"),
        ({"a": {"b": [1, {2}]}}, TypeError, r"Store: config\.a\.b\[1\] must be .*, got set"),
        ({"a": b"x"}, TypeError, "got bytes"),
        ({"a": {1: 2}}, TypeError, r"Store: config\.a must have text as keys, got 1"),
        ({"a": float("nan")}, ValueError, r"Store: config\.a must be finite, got nan"),
        ({"a": np.array([1, np.inf])}, ValueError, r"Store: config\.a\[1\] must be finite"),
        ({"a": 1j}, TypeError, "got complex"),
    ],
)
def test_bad_configs(config, error, message):
    with pytest.raises(error, match=message):
        Store.key(config)


# --- Results -------------------------------------------------------------------------------------


def test_results_come_back(tmp_path):
    store = Store(tmp_path / "new" / "folder")
    assert not store.finished(CONFIG)
    with pytest.raises(FileNotFoundError):
        store.load(CONFIG)
    path = store.save(CONFIG, ARRAYS, {"seconds": 1.5, "nothing": float("nan")})
    assert path == store.path(CONFIG) == tmp_path / "new" / "folder" / "runs" / path.name
    assert store.finished(CONFIG)
    for opened in (store, Store(store.folder), Store(str(store.folder), create=False)):
        arrays, info = opened.load({**CONFIG, "m": np.int64(20)})
        assert_same(arrays, ARRAYS)
        assert info["seconds"] == 1.5
        assert np.isnan(info["nothing"])
        ((config, arrays, _),) = opened.items()
        assert config == CONFIG
        assert_same(arrays, ARRAYS)
    with np.load(path) as file:  # a plain .npz
        np.testing.assert_array_equal(file["loss"], ARRAYS["loss"])


@given(
    names=st.lists(st.sampled_from(["file", "a/b", "allow_pickle", "..", "x"]), unique=True),
    shape=st.lists(st.integers(0, 3), max_size=3),
)
@settings(max_examples=20, deadline=None)
def test_any_names_and_shapes(names, shape, tmp_path_factory):
    arrays = {name: np.full(shape, i, dtype="f4") for i, name in enumerate(names)}
    store = Store(tmp_path_factory.mktemp("store"))
    store.save({}, arrays)
    assert_same(store.load({})[0], arrays)


def test_nothing_is_pickled(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(TypeError, match=r"arrays\['x'\] must hold numbers or text, got objects"):
        store.save(CONFIG, {"x": np.array([{}, None])})
    with pytest.raises(ValueError, match="other than 'header', got 'header'"):
        store.save(CONFIG, {"header": np.zeros(1)})
    with pytest.raises(TypeError, match=r"config\.a must be a number"):
        store.save({"a": print}, ARRAYS)
    assert not any(store.items())

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = np.empty(1, object)
    trap[0] = Trap()
    np.savez(store.path(CONFIG), loss=trap)
    with pytest.raises(StoreError, match="is damaged or not a result"):
        store.load(CONFIG)
    store.path(CONFIG).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StoreError, match="is damaged or not a result"):
        store.load(CONFIG)
    assert not (tmp_path / "sprung").exists()


def test_damaged_results_are_refused(tmp_path):
    """Every other byte of a small file changed, and the file cut there."""
    store = Store(tmp_path)
    arrays = {"x": np.arange(2.0)}
    path = store.save({"a": 1}, arrays, {"b": 2})
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), 2):
        for damaged in (whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :], whole[:at]):
            path.write_bytes(damaged)
            try:
                back, info = store.load({"a": 1})
            except StoreError as error:
                assert str(path) in str(error)  # noqa: PT017
                refused += 1
            else:  # a time stamp, an attribute: what nothing depends on
                assert_same(back, arrays)
                assert info == {"b": 2}
    assert refused > 0.9 * len(whole)


def test_foreign_files_are_refused(tmp_path):
    store = Store(tmp_path)
    moved = store.save(CONFIG, ARRAYS).rename(store.path({"a": 1}))
    with pytest.raises(StoreError, match=f"its configuration has the key {Store.key(CONFIG)}"):
        store.load({"a": 1})
    with pytest.raises(StoreError, match="delete it to repeat the run"):
        list(store.items())
    moved.unlink()
    for name in ("notes.txt", "0123456789abcdeg.npz", "0123.npz"):
        foreign = store.folder / "runs" / name
        foreign.touch()
        with pytest.raises(
            StoreError, match=f"{name} does not belong to this store; move it to another folder"
        ):
            list(store.items())
        foreign.unlink()
    np.save(store.folder / "runs" / "array.npy", np.zeros(3))
    (store.folder / "runs" / "array.npy").rename(store.path(CONFIG))
    with pytest.raises(StoreError, match="is damaged or not a result"):
        store.load(CONFIG)


def test_folders_that_are_no_stores(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match="is not a results store: it holds thesis"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(NotADirectoryError):
        Store(tmp_path / "thesis.tex")
    with pytest.raises(TypeError, match="folder must be a path, got 3"):
        Store(3)
    with pytest.raises(FileNotFoundError):
        Store(tmp_path / "x", create=False)
    (tmp_path / "x").mkdir()
    with pytest.raises(StoreError, match="it is empty"):
        Store(tmp_path / "x", create=False)
    (tmp_path / "x" / ".DS_Store").touch()  # file browsers leave such things everywhere
    Store(tmp_path / "x")
    marker = tmp_path / "x" / "asymfast-store.json"
    marker.write_text(json.dumps({"format": "asymfast store 1"}))
    with pytest.raises(StoreError, match="'asymfast store 2', got 'asymfast store 1'"):
        Store(tmp_path / "x")
    marker.write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        Store(tmp_path / "x")


def test_failures(tmp_path):
    store = Store(tmp_path)
    assert store.failures() == {}
    before = time.time()
    store.fail(CONFIG, "first")
    store.fail(CONFIG, "second")
    store.fail({"a": 1}, "other")
    failures = Store(tmp_path, create=False).failures()
    assert failures.keys() == {Store.key(CONFIG), Store.key({"a": 1})}
    failure = failures[Store.key(CONFIG)]
    assert failure["config"] == CONFIG
    assert failure["message"] == "second"
    assert before - 1 <= failure["time"] <= time.time() + 1
    store.save(CONFIG, ARRAYS)  # done after all
    assert store.failures().keys() == {Store.key({"a": 1})}
    path = tmp_path / "failures" / f"{Store.key({'a': 1})}.json"
    path.write_text("[]")
    with pytest.raises(StoreError, match="is not a failure of this store"):
        store.failures()
    with pytest.raises(TypeError, match="message must be text"):
        store.fail(CONFIG, ValueError("x"))


def test_saving_forgets_the_checkpoint(tmp_path):
    store = Store(tmp_path)
    store.checkpoint(CONFIG).write_text("half way")
    assert Store(tmp_path).checkpoint(CONFIG).read_text() == "half way"
    store.save(CONFIG, ARRAYS)
    assert not store.checkpoint(CONFIG).exists()


def test_full_disk_leaves_what_was(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.checkpoint(CONFIG).touch()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*\.npz"):
        store.save(CONFIG, ARRAYS)
    assert not store.finished(CONFIG)
    assert store.checkpoint(CONFIG).exists()
    assert list((tmp_path / "runs").iterdir()) == []


# --- Killed --------------------------------------------------------------------------------------

SAVE_FOR_EVER = """
import sys
import numpy as np
from asymfast.study.store import Store
store = Store(sys.argv[1])
for i in range(10**9):
    store.save({"run": i % 3}, {"x": np.full(200_000, i), "y": np.full(7, i)}, {"i": i})
    if i == 2:
        print("began", flush=True)
"""


@POSIX
def test_killed_while_saving(tmp_path):
    """A reader, during and after, finds complete results only; what is left half is swept away."""
    random.seed(0)
    halves = rounds = 0
    while rounds < 3 or (halves == 0 and rounds < 60):
        rounds += 1
        writer = python(SAVE_FOR_EVER, tmp_path)
        assert writer.stdout.readline() == "began\n"
        store = Store(tmp_path)
        end = time.monotonic() + random.uniform(0.05, 0.15)
        while time.monotonic() < end:
            for config, arrays, info in store.items():
                assert (arrays["x"] == info["i"]).all()
                assert (arrays["y"] == info["i"]).all()
                assert info["i"] % 3 == config["run"]
        writer.kill()
        writer.communicate()
        list(store.items())
        halves += len(list((tmp_path / "runs").glob(".*")))
    assert halves > 0, "no kill met a file half written"
    for half in (tmp_path / "runs").glob(".*"):
        os.utime(half, (time.time() - 90_000,) * 2)
    Store(tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_leftovers_of_finished_runs_are_swept_away(tmp_path):
    """Killed between the result and the rest of `save` and `lock`."""
    store = Store(tmp_path)
    store.save(CONFIG, ARRAYS)
    key = Store.key(CONFIG)
    left = [tmp_path / "unfinished" / f"{key}.ckpt", tmp_path / "locks" / f"{key}.lock"]
    for path in left:
        path.touch()
    recent = tmp_path / "unfinished" / f".{Store.key({'a': 1})}.ckpt-1.tmp"
    recent.touch()
    Store(tmp_path)
    assert not any(path.exists() for path in left)
    assert recent.exists()


# --- Locks ---------------------------------------------------------------------------------------

HOLD = """
import sys
from asymfast.study.store import Store
with Store(sys.argv[1]).lock({"a": 1}) as ours:
    print(ours, flush=True)
    sys.stdin.readline()
"""


def test_locks_are_exclusive_and_released(tmp_path):
    one, other = Store(tmp_path), Store(tmp_path)
    for _ in range(3):
        with one.lock({"a": 1}) as ours:
            assert ours
            for store in (one, other):
                with store.lock({"a": 1}) as again:
                    assert not again
                with store.lock({"a": 2}) as another:
                    assert another
    with pytest.raises(KeyboardInterrupt), one.lock({"a": 1}):
        raise KeyboardInterrupt
    with other.lock({"a": 1}) as ours:
        assert ours
        other.save({"a": 1}, ARRAYS)
    assert not list((tmp_path / "locks").glob(f"{Store.key({'a': 1})}*"))


def test_another_process_holds_it(tmp_path):
    store = Store(tmp_path)
    holder = python(HOLD, tmp_path)
    assert holder.stdout.readline() == "True\n"
    with store.lock({"a": 1}) as ours:
        assert not ours
    second = python(HOLD, tmp_path)
    assert second.communicate("\n")[0] == "False\n"
    holder.communicate("\n")
    assert holder.returncode == 0
    with store.lock({"a": 1}) as ours:
        assert ours


@POSIX
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_lock_of_a_killed_process_is_free_but_not_of_a_stopped_one(tmp_path, end):
    holder = python(HOLD, tmp_path)
    assert holder.stdout.readline() == "True\n"
    holder.send_signal(signal.SIGKILL if end == "killed" else signal.SIGSTOP)
    if end == "killed":
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    with Store(tmp_path).lock({"a": 1}) as ours:
        assert ours == (end == "killed")
    holder.send_signal(signal.SIGCONT)
    holder.communicate("\n")


CONTEND = """
import os, sys
from pathlib import Path
from asymfast.study.store import Store
folder, inside = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(folder)
print("began", flush=True)
sys.stdin.readline()
done = 0
for run in range(40):
    while not store.finished({"run": run}):
        with store.lock({"run": run}) as ours:
            if ours and not store.finished({"run": run}):
                with open(inside / str(run), "x"):  # fails if anybody else is in
                    done += 1
                os.unlink(inside / str(run))
                if hash((run, done)) % 3:  # else released without a result
                    store.save({"run": run}, {})
print(done)
"""


def test_processes_contend(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    contenders = [python(CONTEND, tmp_path / "store", inside) for _ in range(3)]
    for contender in contenders:
        assert contender.stdout.readline() == "began\n"
    for contender in contenders:
        contender.stdin.write("\n")
        contender.stdin.flush()
    for contender in contenders:
        _, errors = contender.communicate(timeout=120)
        assert contender.returncode == 0, errors
    assert len(list(Store(tmp_path / "store").items())) == 40


def test_attempts_are_counted_until_the_run_ends(tmp_path):
    store = Store(tmp_path)
    assert store.attempts(CONFIG) == 0
    store.begin(CONFIG)
    store.begin(CONFIG)
    assert Store(tmp_path).attempts(CONFIG) == 2
    store.fail(CONFIG, "why")
    assert store.attempts(CONFIG) == 0
    store.begin(CONFIG)
    store.save(CONFIG, ARRAYS)
    assert store.attempts(CONFIG) == 0


def test_arrays_that_do_not_fit_the_run_are_refused(tmp_path):
    """Every axis has one length, and nodes are those of the configuration."""
    store = Store(tmp_path)
    config = {"network": {"m": 3}}
    axes = {"loss": ["record"], "change": ["record", "node"]}
    store.save(config, {"loss": np.zeros(2), "change": np.zeros((2, 3))}, {"axes": axes})
    assert store.load(config)[0]["change"].shape == (2, 3)
    for arrays in (
        {"loss": np.zeros(3), "change": np.zeros((2, 3))},
        {"loss": np.zeros(2), "change": np.zeros((2, 4))},
        {"loss": np.zeros(2), "change": np.zeros(2)},
        {"loss": np.zeros(2)},
    ):
        store.save(config, arrays, {"axes": axes})
        with pytest.raises(StoreError, match="is damaged or not a result"):
            store.load(config)


@pytest.mark.parametrize(
    ("arrays", "info", "said"),
    [
        ({"loss": np.array([1, 2])}, {}, "its loss has dtype int64"),
        ({"more": np.ones(2)}, {}, "no entry 'more'"),
        ({}, {"axes": None}, "."),
        ({}, {"status": None}, "its status is None"),
        ({}, {"seconds": -1.0}, "seconds must be in"),
        ({}, {"cpu_seconds": "1"}, "seconds must be a real number"),
    ],
)
def test_results_that_no_run_has_are_refused(arrays, info, said, tmp_path):
    config, found = {"train": {}, "network": {"m": 3}}, {"loss": np.ones(2), "accuracy": np.ones(2)}
    axes = dict.fromkeys(found, ("record",))
    right = {"axes": axes, "status": "finished", "seconds": 1.0, "cpu_seconds": 1.0}
    store = Store(tmp_path)
    store.save(config, found, right)
    store.load(config)
    store.save(config, found | arrays, right | info)
    with pytest.raises(StoreError, match=rf"is damaged or not a result \(.*{said}"):
        store.load(config)


def _open(folder):
    Store(folder).save({"pid": os.getpid()}, {})


@pytest.mark.slow
def test_many_open_a_new_folder_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(4) as pool:
        pool.map(_open, [tmp_path / "new"] * 8, chunksize=1)
    threads = [threading.Thread(target=_open, args=(tmp_path / "newer",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(Store(tmp_path / "newer").items())


def test_results_are_plain_zip_files(tmp_path):
    path = Store(tmp_path).save(CONFIG, ARRAYS)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*(f"{name}.npy" for name in ARRAYS), "header.npy"]
