"""The reader of idx files: what a header may say, and what must follow it."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc

import numpy as np
import pytest
from asymfast.datasets.files import idx_header, read_idx

rng = np.random.default_rng(0)


def idx(shape, data, magic=(0, 0, 8)):
    return bytes([*magic, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(data)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file"


@pytest.mark.parametrize("shape", [(1,), (300,), (2, 3), (7, 28, 28), (1, 1, 1), (70, 130, 130)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_any_shape_plain_or_packed(shape, pack, file):
    values = rng.integers(0, 256, shape, dtype=np.uint8)
    content = idx(shape, values.tobytes())
    file.write_bytes(pack(content))
    found = read_idx(file)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values)
    assert idx_header(shape) + values.tobytes() == content


def test_several_gzip_members_are_one_file(file):
    content = idx((5,), b"abcde")
    file.write_bytes(gzip.compress(content[:6]) + gzip.compress(content[6:]))
    assert read_idx(file).tobytes() == b"abcde"


BAD_FILES = {
    "empty": (b"", "begins with 0x, announces shape () and has 0 bytes"),
    "two bytes": (b"\0\0", "begins with 0x0000,"),
    "csv": (b"pixel,label\n", "begins with 0x70697865"),
    "floats": (idx((2,), b"12345678", magic=(0, 0, 13)), "begins with 0x00000d01"),
    "first byte": (idx((2,), b"12", magic=(1, 0, 8)), "begins with 0x01000801"),
    "no axes": (idx((), b"1"), "begins with 0x00000800"),
    "four axes": (idx((1, 1, 1, 1), b"1"), "begins with 0x00000804"),
    "cut header": (idx((2, 2), b"")[:9], "has 9 bytes"),
    "empty axis": (idx((3, 0), b""), "announces shape (3, 0)"),
    "a byte less": (idx((2, 3), b"12345"), "announces shape (2, 3) and has 17 bytes"),
    "a byte more": (idx((2, 3), b"1234567"), "announces shape (2, 3) and has 19 bytes"),
    "no data": (idx((60000, 28, 28), b""), "announces shape (60000, 28, 28) and has 16 bytes"),
    "terabytes": (idx((2**32 - 1,) * 3, b"123"), "and has 19 bytes"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files(content, message, pack, file):
    file.write_bytes(pack(content))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_idx(file)
    assert str(caught.value).startswith(f"read_idx: {file} is not an idx file of unsigned bytes")


PACKED = gzip.compress(idx((100, 100), bytes(range(100)) * 100))


@pytest.mark.parametrize(
    "content",
    [
        PACKED[:-1],
        PACKED[:-9],
        PACKED[:40],
        PACKED[:11],
        PACKED[:2],
        PACKED[:-6] + b"\0\0" + PACKED[-4:],
        PACKED[:30] + b"\xff\xff\xff\xff" + PACKED[34:],
        PACKED + b"and more",
    ],
    ids=["length", "checksum", "data", "start", "magic", "wrong checksum", "damage", "tail"],
)
def test_damaged_gzip(content, file):
    file.write_bytes(content)
    with pytest.raises(ValueError, match="read_idx: "):
        read_idx(file)


def test_an_announced_size_takes_no_memory(file):
    file.write_bytes(idx((2**31, 1000), b"123"))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has 15 bytes"):
            read_idx(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20  # a few chunks of 1 MiB


def test_no_such_file(file, tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(file)
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)
