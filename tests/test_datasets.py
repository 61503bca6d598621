"""Data sets: the simulated one against its formula, the real ones against what they must be."""

from __future__ import annotations

import os
import re

import asymfast as af
import numpy as np
import pytest

COLUMNS = {"concrete": (1030, 8), "energy": (768, 8), "airfoil": (1503, 5), "plant": (9568, 4)}


def test_simulated_follows_appendix_j():
    X, y = af.datasets.simulated(n=30, d=7, rng=3)
    rng = np.random.default_rng(3)
    G = rng.standard_normal((30, 7))
    np.testing.assert_allclose(X, G / np.linalg.norm(G, axis=1, keepdims=True), rtol=4e-16)
    exact = 5 / 7 * np.sin(np.pi * X).sum(axis=1) + rng.standard_normal(30)
    np.testing.assert_allclose(y, exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_are_split_and_standardised(name, data_dir):
    data = af.datasets.load(name, data_dir)
    n, d = COLUMNS[name]
    assert data.X_train.shape == (2 * n // 5, d)
    assert len(data.X_train) + len(data.X_valid) + len(data.X_test) == n
    np.testing.assert_allclose(data.X_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.X_train.std(axis=0), 1, rtol=1e-12)
    assert data.y_train.shape == (2 * n // 5,)
    assert abs(data.y_train.mean()) <= 1e-12


def test_mnist(data_dir):
    data = af.datasets.load("mnist", data_dir, dtype="float32")
    assert data.X_train.shape == (5000, 784)
    assert data.y_train.shape == (5000, 10)
    assert data.X_train.dtype == np.float32
    assert np.all(data.y_train.sum(axis=1) == 1)


def test_unknown_name_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match="wine"):
        af.datasets.load("wine", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"concrete\.csv"):
        af.datasets.load("concrete", tmp_path)


BAD_TABLES = {
    "word": ("a,b\n1,x\n", "line 2, column 'b' is not a number: 'x'"),
    "missing value": ("a,b\n1,2\n3,\n", "line 3, column 'b' is empty"),
    "NA": ("a,b\n1,NA\n", "line 2, column 'b' is not a number: 'NA'"),
    "nan": ("a,b\n1,nan\n", "line 2, column 'b' is not finite: nan"),
    "inf": ("a,b\n-inf,1\n", "line 2, column 'a' is not finite: -inf"),
    "overflow": ("a,b\n1e400,1\n", "line 2, column 'a' is not finite: 1e400"),
    "long": ("a,b\n" + "9" * 400 + ",1\n", "is not finite: " + "9" * 40 + "..."),
    "decimal comma": ("a;b\n1,5;2\n", "'1,5' (the decimal sign must be a point"),
    "one column": ("a\n1,5\n", "line 2 has 2 cells, but the header has 1; if the decimal sign is"),
    "underscore": ("a,b\n1_0,1\n", "is not a number: '1_0'"),
    "hexadecimal": ("a,b\n0x10,1\n", "is not a number: '0x10'"),
    "zero byte": ("a,b\n1,\0\n", "line 2, column 'b' is not a number"),
    "short row": ("a,b\n1\n", "line 2 has 1 cells, but the header has 2"),
    "long row": ("a,b\n1,2,3\n", "line 2 has 3 cells, but the header has 2"),
    "blank line": ("a,b\n1,2\n\n3,4\n", "line 3 has 0 cells"),
    "open quote": ('a,b\n"1,2\n3,4\n', "cannot be split into cells"),
    "repeated numbers": ("1,1,2\n3,4,5\n", "line 1 holds numbers, but must hold the column names"),
    "numbers and a gap": ("1,,2\n3,4,5\n", "line 1 holds numbers, but must hold the column names"),
    "thousands": (
        'a,b\n"1,100",2\n',
        "'1,100' (remove what separates thousands; if it is the decimal sign, use",
    ),
    "thousands by a blank": ("a,b\n1 100.5,2\n", "'1 100.5' (remove what separates thousands)"),
    "unit": ("a,b\n10 kg,2\n20 kg,3\n", "'10 kg' (a cell must hold a number and nothing else"),
    "date": (
        "a,b\n2020-01-02,2\n",
        "must hold a number and nothing else; --drop leaves the column",
    ),
    "bars": ("a|b\n1|2\n", "can be named by a first line: sep=|"),
    "blanks": ("a b\n1 2\n", "can be named by a first line: sep= "),
    "numbers after a word": ("x,1,1\n1,2,3\n", "'1'; is the line of names missing?"),
    "separator at the end": ("a,b,\n1,2,\n", "has no name for column 3 (a separator at the end"),
    "text": ("a,b\nred,1\nblue,2\n", "is not a number: 'red'; if the column holds categories"),
    "after a quote": ('a,b\n"1"2,3\n', "line 2 cannot be split into cells"),
    "named separator": ("sep=;\na;b\n1;x\n", "line 3, column 'b' is not a number: 'x'"),
    "same names": ("a,b,a\n1,2,3\n", "line 1 has two columns with the name 'a'"),
    "no name": ("a,,b\n1,2,3\n", "line 1 has no name for column 2"),
    "no header": ("1,2\n3,4\n", "line 1 holds numbers, but must hold the column names"),
    "no rows": ("a,b\n", "has a header but no rows"),
    "blank": ("\n\n\n", "is empty"),
    "nothing": ("", "is empty"),
    "Latin 1": ("ä,b\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "line 1 has null characters"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_bad_tables_are_refused(content, message, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        af.datasets.read_csv(path)
    assert str(caught.value).startswith(f"read_csv: {path}")
    assert "\n" not in str(caught.value)


PLAIN = "a,b\n1.5,-2e-3\n3,0\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN + "\n\n",
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        '"a","b"\n"1.5",-2e-3\n3,"0"\n',
        'a, "b"\n"1.5", "-2e-3"\n3,0\n',
        '"a" ,"b" \n"1.5" , "-2e-3"\n3,0\n',
        "sep=;\n" + PLAIN.replace(",", ";"),
        "\ufeffsep=\t\r\n" + PLAIN.replace(",", "\t"),
        "sep=|\n" + PLAIN.replace(",", "|"),
        "sep= \n" + PLAIN.replace(",", " "),
        "\ufeff\ufeff" + PLAIN,
    ],
)
def test_dialects(content, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode())
    table = af.datasets.read_csv(path)
    assert table.columns == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1.5, -2e-3], [3, 0]])


@pytest.mark.parametrize(
    ("content", "columns", "options"),
    [
        ("Temp, C;Hum, %;wind, m/s;y\n1;2;3;4\n", ("Temp, C", "Hum, %", "wind, m/s", "y"), {}),
        ("a, b, c;y\n1.5;2\n", ("a, b, c", "y"), {}),
        ("a;b;c,y\n1,2\n", ("a;b;c", "y"), {}),
        ("a;b\n1,5;2,25\n", ("a", "b"), {"decimal": ","}),
        ("a\n1,5\n", ("a",), {"decimal": ","}),
        ('a,b\n"1,5",2\n', ("a", "b"), {"decimal": ","}),
        ("x, m;y, m\n1,5;2,5\n3,5;4,5\n", ("x, m", "y, m"), {"decimal": ","}),
    ],
)
def test_separators_are_told_from_the_rows(content, columns, options, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(content)
    table = af.datasets.read_csv(path, **options)
    assert table.columns == columns
    first = content.splitlines()[1].replace('"', "").replace("5;", "5 ").replace(";", " ")
    if not options:
        np.testing.assert_array_equal(
            table.values[0], [float(x) for x in first.replace(",", " ").split()]
        )
    else:
        assert set(table.values[0]) <= {1.5, 2, 2.25, 2.5}


def test_points_are_refused_where_the_decimal_sign_is_a_comma(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a;b\n1.000,5;2\n")
    with pytest.raises(ValueError, match="the decimal sign is a comma: remove all points"):
        af.datasets.read_csv(path, decimal=",")


def test_rows_with_missing_cells_can_be_left_out(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n1,2,x\n3,,x\nNA,4,x\n5,6,\n7,n/a,y\n8,9,none\n")
    table = af.datasets.read_csv(path, missing="drop", text=["c"])
    assert table.values.tolist() == [[1, 2, 1], [8, 9, 0]]
    assert table.categories == {"c": ("none", "x")}
    table = af.datasets.read_csv(path, missing="drop", drop=["c"])
    assert table.values.tolist() == [[1, 2], [5, 6], [8, 9]]
    with pytest.raises(ValueError, match=r"line 3, column 'b' is empty; missing='drop'"):
        af.datasets.read_csv(path, text=["c"])
    path.write_text("a,b\n,1\n?,2\n")
    with pytest.raises(ValueError, match="no rows without missing cells"):
        af.datasets.read_csv(path, missing="drop")


def test_what_is_not_a_regular_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="/dev/zero is not a regular file"):
        af.datasets.read_csv("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is not a regular file"):
        af.datasets.read_csv(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["größe", "日本", 'with, comma and "quotes"', "two\nlines"])
def test_any_column_name(name, tmp_path):
    path = tmp_path / "table.csv"
    quoted = name.replace('"', '""')
    path.write_text(f'"{quoted}",b\n1,2\n', encoding="utf-8")
    assert af.datasets.read_csv(path).columns == (name, "b")


def test_very_many_columns(tmp_path):
    """In linear time: by pairs, 10^5 columns would be compared 5 10^9 times."""
    path, columns = tmp_path / "wide.csv", 100_000
    names = ",".join(f"c{i}" for i in range(columns))
    path.write_text(f"{names}\n{','.join(['1'] * columns)}\n")
    assert af.datasets.read_csv(path).values.shape == (1, columns)
