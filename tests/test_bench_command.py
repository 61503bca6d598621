"""`asymfast bench`: libraries in turns, those that are missing named, wrong results found."""

from __future__ import annotations

import importlib.util
import re

import pytest
from asymfast.cli import bench, main

SIZES = ["--n", "30", "--d", "4", "--m", "60", "--threads", "1", "--rounds", "1"]


@pytest.mark.parametrize(
    "options",
    [
        ["--k", "3", "--activation", "relu", "--dtype", "float64"],
        pytest.param(["--activation", "tanh"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_table(options, capsys, monkeypatch):
    """What is not installed is not compared with: not everything was done."""
    monkeypatch.setattr(bench, "_SECONDS", 0.001)
    code = main(["bench", *SIZES, "--against", "numpy, torch,jax", *options])
    out, err = capsys.readouterr()
    assert float(re.search(r"peak: (\S+) GFLOP/s", out)[1]) > 0.1
    table = out.split("\n\n")[1].splitlines()
    there = [name for name in bench.PEERS if importlib.util.find_spec(name)]
    assert len(table) == 2 + len(bench.TASKS) * (1 + len(there))
    assert [line for line in table if line.startswith(bench.TASKS)] == table[2 :: 1 + len(there)]
    assert code == (len(there) < len(bench.PEERS))
    for name in bench.PEERS:
        missing = f"{name} is not installed: pip install" in err
        assert missing == (name not in there)
        assert sum(f" {name} " in line for line in table) == len(bench.TASKS) * (not missing)


def test_flops():
    """Each product once: what a step at n = 10, d = 3, m = 5, k = 2 takes, and so on."""
    flops = bench._flops({"n": 10, "d": 3, "m": 5, "k": 2, "q": 4})
    assert flops["GD step"] == 2 * (2 * 10 * 5 * 3 + 2 * 10 * 5 * 2)
    assert flops["RK4 step"] == 4 * flops["GD step"]
    assert flops["NTG"] == 2 * 4 * 5 * 3 + 4 * 5 * (5 + 3)
    assert flops["eigenvalue"] == 64 / 3


def test_wrong_results_are_found():
    ask = {
        name: lambda task, repeat, value=value: (1e-3, value)
        for name, value in (("peak", 0.0), ("asymfast", 1.0), ("numpy", 1.0001))
    }
    taken, different = bench._race(ask, 2)
    assert different == ["numpy disagrees in the eigenvalue: 1.0001, expected 1"]
    assert all(times == [1e-3 / 100] * 2 for times in taken.values())
    ask["numpy"] = lambda task, repeat: (1e-3, float("nan"))
    assert len(bench._race(ask, 1)[1]) == len(bench.TASKS)


def test_a_process_that_fails_is_named(capsys, monkeypatch):
    monkeypatch.setattr(bench, "_SECONDS", 0.001)
    assert main(["bench", *SIZES[:2], "--d", "4", "--m", "1000000000000"]) == 1
    assert "asymfast bench: asymfast: MemoryError: " in capsys.readouterr().err


def test_refused(capsys):
    assert main(["bench", *SIZES, "--against", "numpy,tensorflow"]) == 2
    err = capsys.readouterr().err
    assert err == "asymfast bench: --against knows numpy, torch, jax, got tensorflow\n"
    assert main(["bench", "--n", "3"]) == 2
    assert "--d" in capsys.readouterr().err
