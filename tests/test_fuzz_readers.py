"""Every reader of files on damaged ones: it returns or refuses, with no crash, hang or warning."""

from __future__ import annotations

import tempfile

import pytest
from fuzzing import fuzz
from hypothesis import strategies as st
from readers import READERS, good_files, read

NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63]
TOKENS = [b"\0", b"\n", b'"', b",", b"-", b"nan", b"inf", b"1e999", b"[" * 200, b"{", b"object"]


@st.composite
def damaged(draw, kind):
    """A good file with a few changes, or bytes of any kind."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(good_files(kind))))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(["flip", "number", "cut", "drop", "double", "token", "copy"]))
        if change == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "number":
            size = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(st.sampled_from(NUMBERS)) % 256**size
            content[place : place + size] = value.to_bytes(
                size, draw(st.sampled_from(["little", "big"]))
            )
        elif change == "cut":
            del content[place:]
        elif change == "drop":
            del content[place : place + draw(st.integers(1, 64))]
        elif change == "double":
            content[place:place] = content[place : place + draw(st.integers(1, 64))]
        elif change == "token":
            content[place:place] = draw(st.sampled_from(TOKENS))
        elif change == "copy":
            source = draw(st.integers(0, len(content)))
            size = draw(st.integers(1, 16))
            content[place : place + size] = content[source : source + size]
    return bytes(content)


# A checksum refuses nearly every change.
SHARES = dict.fromkeys(["run", "checkpoint", "result of a sweep", "model", "features", "zip"], 0.0)
SHARES["idx"] = 0.01


def target(kind, examples):
    def check(content):
        with tempfile.TemporaryDirectory() as folder:
            return read(kind, content, folder)

    check.__name__ = f"test_{kind.replace(' ', '_')}"
    return fuzz(examples, SHARES.get(kind, 0.05), content=st.deferred(lambda: damaged(kind)))(check)


test_run = target("run", 37)
test_run_with_checksums = target("run with checksums", 37)
test_checkpoint = target("checkpoint", 25)
test_state_of_a_checkpoint = target("state of a checkpoint", 25)
test_record_folder = target("record folder", 25)
test_result_of_a_sweep = target("result of a sweep", 25)
test_model = target("model", 37)
test_features = target("features", 25)
test_experiment = target("experiment", 25)
test_csv = target("csv", 75)
test_idx = target("idx", 75)
test_zip = target("zip", 50)
test_text_table = target("text table", 25)


def test_xlsx_table():
    pytest.importorskip("openpyxl")
    xlsx_table()


xlsx_table = target("xlsx table", 25)


@pytest.mark.parametrize("kind", READERS)
def test_good_files_are_accepted(kind, tmp_path):
    if kind == "xlsx table":
        pytest.importorskip("openpyxl")
    for content in good_files(kind):
        accepted = read(kind, content, tmp_path)
        assert accepted or content == good_files("csv")[2]
