"""Downloads: what arrives is converted, verified, and put in place whole or not at all."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import os
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
from asymfast.datasets import files, load, read_csv

for package in ("pooch", "pandas", "openpyxl", "xlrd"):
    pytest.importorskip(package)

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
        return self.url(path), member

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


@pytest.fixture(scope="module", autouse=True)
def _collect():
    """Unclosed connections end with this module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# ------------------------------------------------------- originals in the formats of their hosts

VALUES = np.array([[800.0, 0, 0.3048, 71.3, 0.00266337], [1e3, 1.5, 0.1016, 39.6, -126.25]])


def as_text(values):
    return "\n".join("\t".join(map(repr, row)) for row in values.tolist()).encode()


def as_xlsx(values):
    openpyxl = __import__("openpyxl")
    book = openpyxl.Workbook()
    for row in [["a title"] * values.shape[1], *values.tolist()]:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def as_xls(values):
    """A worksheet of the oldest binary format, BIFF 2: a row of text, then numbers."""

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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no folder of the user's."""
    monkeypatch.delenv("ASYMFAST_DATA", raising=False)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def expect(cache, monkeypatch):
    """Make a small table the one known by a name, with these sources; return what it is."""

    def change(name, *sources, values=VALUES):
        table = replace(
            files.TABLES[name],
            columns=tuple("abcdefghijkl"[: values.shape[1]]),
            targets=1,
            shape=values.shape,
            sha256=hashlib.sha256(values.astype("<f8").tobytes()).hexdigest(),
            sources=sources,
        )
        monkeypatch.setitem(files.TABLES, name, table)
        return table

    return change


def csv_text(values):
    cells = [[repr(cell).removesuffix(".0") for cell in row] for row in values.tolist()]
    return "\n".join(",".join(row) for row in ["abcdefghijkl"[: values.shape[1]], *cells]) + "\n"


def assert_nothing_left(cache):
    assert not cache.exists() or not [path for path in cache.rglob("*") if path.is_file()]


# ----------------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize(
    ("name", "original"),
    [("airfoil", as_text), ("concrete", as_xls), ("energy", as_xlsx), ("plant", as_xlsx)],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_becomes_the_same_csv(name, original, zipped, server, expect, cache):
    file = files.TABLES[name].sources[1][1]
    plain, packed = original(VALUES), as_zip(file, original(VALUES))
    source = server.serve("/zip", packed, file) if zipped else server.serve(f"/{file}", plain)
    path = files.fetch(expect(name, source))
    assert path == cache / f"{name}.csv"
    assert path.read_text() == csv_text(VALUES)
    np.testing.assert_array_equal(read_csv(path).values, VALUES)
    assert [entry.name for entry in cache.iterdir()] == [f"{name}.csv"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_arrive_unpacked(pack, server, cache, monkeypatch):
    idx = b"\0\0\x08\x01" + struct.pack(">I", 10) + bytes(range(10))
    source = server.serve("/labels.gz", pack(idx))
    labels = files.Original("mnist/labels", (10,), hashlib.sha256(idx).hexdigest(), (source,))
    monkeypatch.setitem(files.MNIST, "test labels", labels)
    assert files.fetch(labels).read_bytes() == idx


def test_the_next_source_is_tried(server, expect):
    wrong, right, unused = (
        server.serve(f"/{place}.dat", as_text(VALUES + (place == 0))) for place in range(3)
    )
    absent = server.url("/absent.dat"), None
    assert files.fetch(expect("airfoil", absent, wrong, right, unused)).read_text() == csv_text(
        VALUES
    )
    assert server.asked == ["/absent.dat", "/0.dat", "/1.dat"]


# ----------------------------------------------------------------------------- what must not arrive

ONE_BIT_OFF = VALUES.copy()
ONE_BIT_OFF[1, 2] = np.nextafter(ONE_BIT_OFF[1, 2], 1)

BAD_DOWNLOADS = {
    "one bit": (as_text(ONE_BIT_OFF), "does not hold the values of the original airfoil.csv"),
    "a row less": (as_text(VALUES[:1]), "shape (1, 5); expected (2, 5)"),
    "a column less": (as_text(VALUES[:, :4]), "shape (2, 4); expected (2, 5)"),
    "a page": (b"<html>log in first</html>", "is not a table of numbers"),
    "words": (b"a b c d e", "is not a table of numbers"),
    "bytes": (bytes(range(128, 256)), "is not a table of numbers"),
    "nothing": (b"", "shape (0, 1); expected (2, 5)"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_DOWNLOADS.values(), ids=BAD_DOWNLOADS.keys())
def test_another_file_is_refused(content, reason, server, expect, cache):
    source = server.serve("/file.dat", content)
    with pytest.raises(ValueError, match=r"airfoil\.csv could not be downloaded") as caught:
        files.fetch(expect("airfoil", source))
    assert reason in str(caught.value)
    assert source[0] in str(caught.value)
    assert "data_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_left(cache)


BAD_ARCHIVES = {
    "no archive": (b"PK but no archive", "it is not a usable zip archive"),
    "other file": (as_zip("other.dat", b"1"), "has 0 files with the name airfoil.dat"),
    "cut archive": (as_zip("airfoil.dat", b"1")[:-30], "it is not a usable zip archive"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES.keys())
def test_bad_archives_are_refused(content, reason, server, expect, cache):
    with pytest.raises(ValueError, match="could not be downloaded") as caught:
        files.fetch(expect("airfoil", server.serve("/file.zip", content, "airfoil.dat")))
    assert reason in str(caught.value)
    assert_nothing_left(cache)


@pytest.mark.parametrize("name", ["concrete.xls", "energy.xlsx"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<html></html>", as_zip("x", b"y"), b"\0" * 999],
    ids=["nothing", "page", "archive", "zeros"],  # an archive has the time in it
)
def test_no_spreadsheet(name, content, server, expect, cache):
    with pytest.raises(ValueError, match="could not be downloaded"):
        files.fetch(expect(name.split(".")[0], server.serve(f"/{name}", content)))
    assert_nothing_left(cache)


def test_wrong_labels_are_refused(server, cache, monkeypatch):
    idx = b"\0\0\x08\x01" + struct.pack(">I", 3) + b"abc"
    labels = replace(files.MNIST["test labels"], sources=(server.serve("/labels", idx),))
    monkeypatch.setitem(files.MNIST, "test labels", labels)
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(10000,\)"):
        files.fetch(labels)
    assert_nothing_left(cache)


def test_connection_lost_on_the_way(server, expect, cache):
    source = server.serve("/file.dat", as_text(VALUES))
    server.cut.add("/file.dat")
    with pytest.raises(ConnectionError, match="could not be downloaded"):
        files.fetch(expect("airfoil", source))
    assert_nothing_left(cache)


def test_nobody_there(server, expect):
    gone = server.url("/absent"), None
    closed = "http://127.0.0.1:9/file", None  # the discard port, where nothing listens
    with pytest.raises(ConnectionError, match="404") as caught:
        files.fetch(expect("airfoil", gone, closed))
    assert gone[0] in str(caught.value)
    assert closed[0] in str(caught.value)


def test_interrupt_leaves_nothing(server, expect, cache, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    table = expect("airfoil", server.serve("/file.dat", as_text(VALUES)))
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.fetch(table)
    assert_nothing_left(cache)


def test_a_folder_that_cannot_be_made(server, expect, cache):
    cache.write_text("in the way")
    with pytest.raises(OSError, match="cache"):
        files.fetch(expect("airfoil", server.serve("/file.dat", as_text(VALUES))))


@pytest.mark.parametrize("package", ["pooch", "xlrd", "pandas"])
def test_missing_package(package, server, expect, monkeypatch):
    table = expect("concrete", server.serve("/sheet.xls", as_xls(VALUES)))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs {package}; .*pip install 'asymfast\[data\]'"):
        files.fetch(table)


# --------------------------------------------------------------------------- load, with downloads


def test_load_downloads_once(server, expect, cache):
    values = np.random.default_rng(0).standard_normal((10, 4))
    expect("airfoil", server.serve("/airfoil.dat", as_text(values)), values=values)
    first, second = load("airfoil"), load("airfoil")
    assert server.asked == ["/airfoil.dat"]
    assert first.X_train.shape == (4, 3)
    np.testing.assert_array_equal(first.X_train, second.X_train)
    for content, message in {
        "a,b,c,d\n1,2,3,4\n": r"airfoil\.csv has shape \(1, 4\); expected \(10, 4\)",
        "a,b,c\n1,2,3\n": "it has the columns a, b, c; expected the columns a, b, c, d",
        "a,b,c,d\n1,2,x,4\n": "could not convert",
        "a,b,c,d\n": r"shape \(0, 1\)",
        "": "expected the columns a, b, c, d",
    }.items():
        (cache / "airfoil.csv").write_text(content)
        with pytest.raises(ValueError, match=message) as caught:
            load("airfoil")
        assert str(cache / "airfoil.csv") in str(caught.value)


@pytest.mark.parametrize("from_environment", [False, True])
def test_a_folder_of_the_users_is_never_filled(
    from_environment, server, expect, tmp_path, monkeypatch
):
    expect("airfoil", (server.url("/airfoil.dat"), None))
    if from_environment:
        monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"airfoil\.csv"):
        load("airfoil", None if from_environment else tmp_path)
    assert server.asked == []


def test_the_cache_is_the_operating_systems(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder().name == "asymfast"


def test_the_real_original(data_dir, server, cache, monkeypatch):
    """All 1503 rows of airfoil and a file of MNIST, against the checksums in the package."""
    values = read_csv(data_dir / "airfoil.csv").values
    labels = (data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes()
    for known, key, source in (
        (files.TABLES, "airfoil", server.serve("/airfoil.dat", as_text(values))),
        (files.MNIST, "test labels", server.serve("/labels.gz", labels)),
    ):
        monkeypatch.setitem(known, key, replace(known[key], sources=(source,)))
    airfoil = files.fetch(files.TABLES["airfoil"])
    assert airfoil.read_bytes() == (data_dir / "airfoil.csv").read_bytes()
    assert files.fetch(files.MNIST["test labels"]).read_bytes() == gzip.decompress(labels)
