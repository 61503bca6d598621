"""`asymfast bench`: libraries in turns, those that are missing named, wrong results found."""

from __future__ import annotations

import importlib.util
import re

import pytest
from asymfast.cli import bench, main

SIZES = ["--n", "30", "--d", "4", "--m", "60", "--threads", "1", "--rounds", "1"]


@pytest.mark.parametrize(
    "options",
    [["--dtype", "float64"], ["--k", "3", "--activation", "relu"], ["--activation", "tanh"]],
    ids=" ".join,
)
def test_table(options, capsys, monkeypatch):
    monkeypatch.setattr(bench, "_SECONDS", 0.001)
    assert main(["bench", *SIZES, "--against", "numpy,torch,jax", *options]) == 0
    out = capsys.readouterr().out
    assert float(re.search(r"peak: (\S+) GFLOP/s", out)[1]) > 0.1
    table = out.split("\n\n")[1].splitlines()
    there = [name for name in bench.PEERS if importlib.util.find_spec(name)]
    assert len(table) == 2 + len(bench.TASKS) * (1 + len(there))
    assert [line for line in table if line.startswith(bench.TASKS)] == table[2 :: 1 + len(there)]
    for name in bench.PEERS:
        missing = f"{name} is not installed: pip install" in out
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
    class Worker:
        def __init__(self, value):
            self.value = value

        def ask(self, task, repeat):
            return 1e-3, self.value

    workers = {"peak": Worker(0.0), "asymfast": Worker(1.0), "numpy": Worker(1.0001)}
    taken, different = bench._race(workers, 2)
    assert different == ["numpy disagrees in the eigenvalue: 1.0001, expected 1"]
    assert all(times == [1e-3 / 100] * 2 for times in taken.values())
    workers["numpy"].value = float("nan")
    assert len(bench._race(workers, 1)[1]) == len(bench.TASKS)


def test_refused(capsys):
    assert main(["bench", *SIZES, "--against", "numpy,tensorflow"]) == 2
    err = capsys.readouterr().err
    assert err == "asymfast bench: --against knows numpy, torch, jax, got tensorflow\n"
    assert main(["bench", "--n", "3"]) == 2
    assert "--d" in capsys.readouterr().err
