"""Downloads: what arrives is converted, verified, and put in place whole or not at all."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import struct
import sys
import threading
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from asymfast.datasets import fetch, load, mnist_files, read_csv, sources, tables
from asymfast.datasets.sources import Source

pytest.importorskip("pooch")

# pooch leaves the connection of a refused download to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

# ------------------------------------------------------------------------------ a server of files


class Handler(BaseHTTPRequestHandler):
    """Serves what the dictionary has; a file in `cut` ends before its announced length."""

    def __init__(self, *args, files, cut, asked):
        self.files, self.cut, self.asked = files, cut, asked
        super().__init__(*args)

    def do_GET(self):
        self.asked.append(self.path)
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path in self.cut else content)

    def log_message(self, *args):
        pass


class Server:
    """A server on this machine: `files` by path, `cut` ones, and the paths `asked` for."""

    def __init__(self):
        self.files, self.cut, self.asked = {}, set(), []
        handler = partial(Handler, files=self.files, cut=self.cut, asked=self.asked)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def serve(self, path, content, member=None):
        self.files[path] = content
        return Source(self.url(path), member)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# ------------------------------------------------------- originals in the formats of their hosts

VALUES = np.array([[800.0, 0, 0.3048, 71.3, 0.00266337], [1e3, 1.5, 0.1016, 39.6, -126.25]])


def as_text(values):
    return "\n".join("\t".join(map(repr, row)) for row in values.tolist()).encode()


def as_xlsx(values):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["a title"] * values.shape[1], *values.tolist()]:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def as_xls(values):
    """A worksheet of the oldest binary format, BIFF 2: a row of text, then numbers."""
    pytest.importorskip("xlrd")

    def record(kind, body):
        return struct.pack("<HH", kind, len(body)) + body

    records = [record(0x0009, struct.pack("<HH", 2, 0x0010))]
    records += [
        record(0x0004, struct.pack("<HH3xB", 0, column, 1) + b"t")
        for column in range(values.shape[1])
    ]
    records += [
        record(0x0003, struct.pack("<HH3xd", row + 1, column, value))
        for (row, column), value in np.ndenumerate(values)
    ]
    return b"".join([*records, record(0x000A, b"")])


def as_zip(name, content):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"some folder/{name}", content)
        file.writestr("Readme.txt", "nothing")
    return archive.getvalue()


def expect_table(monkeypatch, name, values=VALUES):
    """Make a small table the one that the package knows by this name; its CSV text is returned."""
    columns = tuple("abcdefghijkl"[: values.shape[1]])
    cells = [[repr(cell).removesuffix(".0") for cell in row] for row in values.tolist()]
    text = "\n".join(",".join(row) for row in [columns, *cells]) + "\n"
    facts = replace(
        tables.TABLES[name],
        columns=columns,
        targets=1,
        rows=len(values),
        file_sha256=hashlib.sha256(text.encode()).hexdigest(),
        values_sha256=hashlib.sha256(values.astype("<f8").tobytes()).hexdigest(),
    )
    monkeypatch.setitem(tables.TABLES, name, facts)
    return text


def airfoil(*origins):
    return {"airfoil.csv": origins}


def assert_nothing_left(folder):
    assert not [path for path in folder.rglob("*") if path.is_file()]


# ----------------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize(
    ("name", "original"),
    [("airfoil", as_text), ("concrete", as_xls), ("energy", as_xlsx), ("plant", as_xlsx)],
)
def test_every_format_becomes_the_same_csv(name, original, server, tmp_path, monkeypatch):
    text = expect_table(monkeypatch, name)
    plain = server.serve("/plain", original(VALUES))
    zipped = server.serve("/zipped", as_zip("data.bin", original(VALUES)), "data.bin")
    for number, origin in enumerate((plain, zipped)):
        path = tmp_path / str(number) / "new" / f"{name}.csv"
        fetch.fetch(f"{name}.csv", path, registry={f"{name}.csv": (origin,)})
        assert path.read_text() == text
        np.testing.assert_array_equal(read_csv(path).values, VALUES)
        assert [entry.name for entry in path.parent.iterdir()] == [f"{name}.csv"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_arrive_unpacked(pack, server, tmp_path, monkeypatch):
    digits = bytes(range(10))
    idx = b"\0\0\x08\x01" + struct.pack(">I", 10) + digits
    facts = mnist_files.IdxFacts("mnist/labels", (10,), hashlib.sha256(idx).hexdigest())
    monkeypatch.setitem(mnist_files.MNIST, "test labels", facts)
    path = tmp_path / facts.file
    registry = {facts.file: (server.serve("/labels.gz", pack(idx)),)}
    fetch.fetch(facts.file, path, registry=registry)
    assert path.read_bytes() == idx


def test_the_next_source_is_tried(server, tmp_path, monkeypatch):
    text = expect_table(monkeypatch, "airfoil")
    wrong = server.serve("/wrong", as_text(VALUES + 1))
    right = server.serve("/right", as_text(VALUES))
    unused = server.serve("/unused", as_text(VALUES))
    origins = airfoil(Source(server.url("/absent")), wrong, right, unused)
    fetch.fetch("airfoil.csv", tmp_path / "airfoil.csv", registry=origins)
    assert (tmp_path / "airfoil.csv").read_text() == text
    assert server.asked == ["/absent", "/wrong", "/right"]


# ----------------------------------------------------------------------------- what must not arrive

ONE_BIT_OFF = VALUES.copy()
ONE_BIT_OFF[1, 2] = np.nextafter(ONE_BIT_OFF[1, 2], 1)

BAD_DOWNLOADS = {
    "one bit": (as_text(ONE_BIT_OFF), "does not hold the values of the original airfoil.csv"),
    "a row less": (as_text(VALUES[:1]), "the download has 1 rows; expected 2"),
    "a column less": (as_text(VALUES[:, :4]), "rows that are not of 5 cells"),
    "a page": (b"<html>log in first</html>", "rows that are not of 5 cells"),
    "words": (b"a b c d e", "a cell that is not a number"),
    "bytes": (bytes(range(128, 256)), "it is not plain text"),
    "nothing": (b"", "the download has 0 rows; expected 2"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_DOWNLOADS.values(), ids=BAD_DOWNLOADS.keys())
def test_another_file_is_refused(content, reason, server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "airfoil")
    origin = server.serve("/file", content)
    with pytest.raises(ValueError, match=r"airfoil\.csv could not be downloaded") as caught:
        fetch.fetch("airfoil.csv", tmp_path / "new" / "airfoil.csv", registry=airfoil(origin))
    assert reason in str(caught.value)
    assert origin.url in str(caught.value)
    assert "data_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_left(tmp_path)


BAD_ARCHIVES = {
    "no archive": (b"PK but no archive", "it is not a usable zip archive"),
    "other file": (as_zip("other.dat", b"1"), "has 0 files with the name airfoil.dat"),
    "cut archive": (as_zip("airfoil.dat", b"1")[:-30], "it is not a usable zip archive"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES.keys())
def test_bad_archives_are_refused(content, reason, server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "airfoil")
    origin = server.serve("/file.zip", content, "airfoil.dat")
    with pytest.raises(ValueError, match="could not be downloaded") as caught:
        fetch.fetch("airfoil.csv", tmp_path / "airfoil.csv", registry=airfoil(origin))
    assert reason in str(caught.value)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("name", "package"), [("concrete", "xlrd"), ("energy", "openpyxl"), ("plant", "openpyxl")]
)
@pytest.mark.parametrize("content", [b"", b"<html></html>", as_zip("x", b"y"), b"\0" * 999])
def test_no_spreadsheet(name, package, content, server, tmp_path, monkeypatch):
    pytest.importorskip(package)
    expect_table(monkeypatch, name)
    origins = {f"{name}.csv": (server.serve("/sheet", content),)}
    with pytest.raises(ValueError, match=f"{name}.csv could not be downloaded"):
        fetch.fetch(f"{name}.csv", tmp_path / f"{name}.csv", registry=origins)
    assert_nothing_left(tmp_path)


def test_wrong_labels_are_refused(server, tmp_path):
    idx = b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc"
    file = "mnist/t10k-labels-idx1-ubyte"
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(10000,\)"):
        fetch.fetch(file, tmp_path / file, registry={file: (server.serve("/labels", idx),)})
    assert_nothing_left(tmp_path)


def test_connection_lost_on_the_way(server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "airfoil")
    origin = server.serve("/file", as_text(VALUES))
    server.cut.add("/file")
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        fetch.fetch("airfoil.csv", tmp_path / "airfoil.csv", registry=airfoil(origin))
    assert_nothing_left(tmp_path)


def test_nobody_there(server, tmp_path):
    gone = Source(server.url("/absent"))
    closed = Source("http://127.0.0.1:9/file")  # the discard port, where nothing listens
    with pytest.raises(ConnectionError, match="404") as caught:
        fetch.fetch("airfoil.csv", tmp_path / "airfoil.csv", registry=airfoil(gone, closed))
    assert gone.url in str(caught.value)
    assert closed.url in str(caught.value)


def test_interrupt_leaves_nothing(server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "airfoil")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch.os, "fsync", interrupted)
    origin = server.serve("/file", as_text(VALUES))
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("airfoil.csv", tmp_path / "airfoil.csv", registry=airfoil(origin))
    assert_nothing_left(tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "airfoil")
    (tmp_path / "file").write_text("in the way")
    origin = server.serve("/file", as_text(VALUES))
    with pytest.raises(OSError, match="file"):
        fetch.fetch("airfoil.csv", tmp_path / "file" / "airfoil.csv", registry=airfoil(origin))


@pytest.mark.parametrize("package", ["pooch", "xlrd"])
def test_missing_package(package, server, tmp_path, monkeypatch):
    expect_table(monkeypatch, "concrete")
    monkeypatch.setitem(sys.modules, package, None)
    origins = {"concrete.csv": (server.serve("/sheet", b"not looked at"),)}
    with pytest.raises(ImportError, match=rf"needs {package}; .*pip install 'asymfast\[data\]'"):
        fetch.fetch("concrete.csv", tmp_path / "concrete.csv", registry=origins)


# --------------------------------------------------------------------------- load, with downloads


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no folder of the user's."""
    monkeypatch.delenv("ASYMFAST_DATA", raising=False)
    monkeypatch.setattr("asymfast.datasets.locate.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_load_downloads_once(server, cache, monkeypatch):
    values = np.random.default_rng(0).standard_normal((10, 4))
    expect_table(monkeypatch, "airfoil", values)
    origin = server.serve("/airfoil.dat", as_text(values))
    monkeypatch.setitem(sources.SOURCES, "airfoil.csv", (origin,))
    first, second = load("airfoil"), load("airfoil")
    assert server.asked == ["/airfoil.dat"]
    assert first.X_train.shape == (4, 3)
    np.testing.assert_array_equal(first.X_train, second.X_train)
    (cache / "airfoil.csv").write_text("a,b,c,d\n1,2,3,4\n")
    with pytest.raises(ValueError, match=r"airfoil\.csv has 1 rows; expected 10"):
        load("airfoil")


@pytest.mark.parametrize("from_environment", [False, True])
def test_a_folder_of_the_users_is_never_filled(
    from_environment, server, cache, tmp_path, monkeypatch
):
    monkeypatch.setitem(sources.SOURCES, "airfoil.csv", (Source(server.url("/airfoil.dat")),))
    if from_environment:
        monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"airfoil\.csv"):
        load("airfoil", None if from_environment else tmp_path)
    assert server.asked == []


def test_the_cache_is_the_operating_systems(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch.cache_folder().name == "asymfast"


def test_the_real_original(data_dir, server, cache, monkeypatch):
    """All 1503 rows of airfoil and a file of MNIST, against the checksums in the package."""
    values = read_csv(data_dir / "airfoil.csv").values
    labels = (data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes()
    file = "mnist/t10k-labels-idx1-ubyte"
    registry = {
        "airfoil.csv": (server.serve("/airfoil.dat", as_text(values)),),
        file: (server.serve("/labels.gz", labels),),
    }
    for name in registry:
        fetch.fetch(name, cache / name, registry=registry)
    assert (cache / "airfoil.csv").read_bytes() == (data_dir / "airfoil.csv").read_bytes()
    assert (cache / file).read_bytes() == gzip.decompress(labels)
