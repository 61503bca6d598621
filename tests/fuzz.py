"""Fuzz for as long as one likes: new inputs for every target in turn, then a table of how many.

    python tests/fuzz.py --seconds 900 [--only NAME] [--coverage]

``--coverage`` lets libFuzzer (the package atheris) choose the inputs of the readers of files by
what code they reach, instead of hypothesis. A target that fails prints its input and has no further
turn; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest

OF = ("api", "theory", "interop", "readers", "sklearn", "torch", "c", "states")
MODULES = tuple(f"test_fuzz_{each}" for each in OF)
BATCH = 50  # inputs of a target before the next one has its turn


def by_hypothesis(names, seconds):
    """Batches of all targets in turn, every batch from a seed of its own."""
    from fuzzing import SHARES, TARGETS, accepted, assert_accepted, tried

    end = time.monotonic() + seconds
    turns = itertools.cycle(names)
    seeds = itertools.count(time.time_ns() % 2**32)
    failed = set()
    while time.monotonic() < end and len(failed) < len(names):
        if (name := next(turns)) in failed:
            continue
        try:
            TARGETS[name](BATCH, start=next(seeds))
        except Exception:
            failed.add(name)
            print(f"{name} failed:\n{traceback.format_exc()}", flush=True)
    for name in names:
        try:
            assert_accepted(name, SHARES[name])
        except AssertionError as error:
            failed.add(name)
            print(error)
        print(
            f"{tried[name]:10d}, {accepted[name]:10d} accepted  {name}"
            f"{' FAILED' if name in failed else ''}"
        )
    outcome = f"{len(failed)} targets failed" if failed else "no failure"
    print(f"{sum(tried.values()):10d}  inputs in {seconds:.0f} s, {outcome}")
    sys.exit(bool(failed))


def by_coverage(kinds, seconds):
    """One process for each reader: libFuzzer ends its own."""
    total = 0
    for kind in kinds:
        command = [
            sys.executable,
            __file__,
            "--child",
            kind,
            "--seconds",
            str(seconds / len(kinds)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"Done (\d+) runs", done.stderr)
        if done.returncode or not found:
            print(done.stdout, done.stderr, sep="\n")
            sys.exit(f"{kind}: libFuzzer failed")
        total += int(found[1])
        print(f"{int(found[1]):10d}  {kind}", flush=True)
    print(f"{total:10d}  inputs in {seconds:.0f} s, chosen by coverage, no failure")


def child(kind, seconds):
    """Fuzz one reader. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["asymfast", "zipfile", "openpyxl"]):
        import readers

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for i, content in enumerate(readers.good_files(kind)):
            (corpus / f"good{i}").write_bytes(content)
        options = [
            "-rss_limit_mb=4096",
            "-timeout=20",
            "-max_len=65536",
            f"-artifact_prefix={folder}/",
        ]
        atheris.Setup(
            [kind, f"-max_total_time={round(seconds)}", *options, str(corpus)],
            lambda content: readers.read(kind, content, folder) and None,
        )
        atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--only", metavar="NAME", help="part of the targets' names")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.child:
        child(given.child, given.seconds)
    # Imported here and not above: the child instruments what it imports.
    import readers
    from fuzzing import TARGETS

    for module in MODULES:
        try:
            importlib.import_module(module)  # adds its targets to the list
        except pytest.skip.Exception as missing:
            print(f"{module} is left out: {missing}")

    every = readers.READERS if given.coverage else TARGETS
    names = [name for name in every if given.only is None or given.only in name]
    (by_coverage if given.coverage else by_hypothesis)(names, given.seconds)


if __name__ == "__main__":
    main()
