"""Data sets: the simulated one against its formula, the real ones against what they must be."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,x\n", "x"),
        ("a,b\n1\n", "line 2"),
        ("a,b\n1,nan\n", "nan"),
        ("a,a\n1,2\n", "a"),
        ("", "empty"),
    ],
)
def test_bad_tables_are_refused(text, message, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        af.datasets.read_csv(path)
