"""Time asymfast side by side with NumPy, SciPy, PyTorch, JAX and other libraries that are there.

Nothing is installed. Every library works in a process of its own; all must agree on the result (the
loss after 10 steps, the matrix, the eigenvalues) before they are timed in turns, round by round.
What is printed and written to the JSON file: medians with minimum and quartiles, the ratio of ours
to the best of the others, the target, and the part of the machine's measured peak.

    python bench/peers.py --workloads W1,W2 --threads 2 --rounds 15
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asymfast as af
import numpy as np
import peaks
import provenance
import report
from contenders import LIBRARIES, OURS
from teams import Pair, Team, TeamError
from workloads import WORKLOADS, Workload

HERE = Path(__file__).parent
# Thread pools go on spinning for a while after their work; OpenBLAS' for about 30 ms.
PAUSE = 0.1
CHECKED = {"descent": 10, "rk4": 10}  # steps; one unit of everything else
IMPORTS = ("asymfast", "scipy", "torch", "jax")


def main() -> int:
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    if len(cores) < options.threads:
        print(f"peers: {options.threads} threads need as many cores, got {len(cores)}")
        return 2
    chosen = [w for w in WORKLOADS if w.name in options.workloads]
    cuda = options.device == "cuda"
    limits = peaks.measure_gpu() if cuda else peaks.measure(options.threads)
    print(report.limits(limits))
    rows, agree = [], True
    for workload in chosen:
        dtype = options.dtype if options.dtype in workload.dtypes else workload.dtypes[0]
        workload = dataclasses.replace(workload, dtype=dtype)
        if workload.kind == "import":
            row = imports(options.rounds)
        else:
            row = contest(workload, options, cores)
        if workload.flops and limits:
            row["least_seconds"] = peaks.least_seconds(limits, dtype, workload.flops, workload.exps)
        row = {**description(workload, options), **row}
        print(report.block(row, judged=not options.quick), flush=True)
        agree = agree and not row["disagree"]
        rows.append(row)
    if options.json:
        provenance.merge(options.json, rows, limits)
    return 0 if agree else 1


def arguments() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    option = parser.add_argument
    option("--workloads", default=",".join(names), metavar="W1,W2", help=f"of {', '.join(names)}")
    option("--dtype", choices=("float32", "float64"), default="float32")
    option("--threads", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    option("--device", choices=("cpu", "cuda"), default="cpu", help="all on the first GPU")
    option("--rounds", type=int, metavar="N", help="measurements of each (15; with --quick 5)")
    option("--libraries", default=",".join(LIBRARIES), metavar="torch,jax", help="fewer of them")
    option("--quick", action="store_true", help="fewer and shorter rounds: a first impression")
    option("--json", type=Path, metavar="FILE", help="add the results to this file")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    options.libraries = [OURS, *(set(options.libraries.split(",")) - {OURS})]
    for known, given in ((names, options.workloads), (list(LIBRARIES), options.libraries)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(known)}")
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, got {options.threads}")
    if options.rounds is None:
        options.rounds = 5 if options.quick else 15
    return options


def description(workload: Workload, options: argparse.Namespace) -> dict[str, Any]:
    # The targets below are the CPU's; on a GPU there is one, for the ensemble.
    target = workload.target
    if options.device == "cuda":
        target = 0.1 if workload.kind == "ensemble" else None
    return {
        "name": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "sizes": workload.sizes,
        "dtype": workload.dtype,
        "threads": options.threads,
        "device": options.device,
        "target": target,
        "target_peers": "batch, CUDA graph" if target == 0.1 else workload.target_peers,
    }


# --- one workload --------------------------------------------------------------------------------


def contest(workload: Workload, options: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Agreement, then times, of all contenders for a workload."""
    left_out: dict[str, str] = {}
    teams: list[Team | Pair] = []
    try:
        with tempfile.TemporaryDirectory(prefix="asymfast-bench-") as folder:
            path = Path(folder, "arrays.npz")
            arrays = workload.data(workload)
            np.savez(path, **arrays)
            entries = enrol(workload, options, cores, path, teams, left_out)
        disagree = differences(workload, entries, arrays.get("scale"))
        racing = [entry for entry in entries if (entry[0].library, entry[1]) not in disagree]
        return {
            "contenders": race(workload, racing, options),
            "left_out": left_out,
            "disagree": {f"{who}, {what}": text for (who, what), text in disagree.items()},
        }
    finally:
        for team in teams:
            team.close()


def enrol(
    workload: Workload,
    options: argparse.Namespace,
    cores: list[int],
    path: Path,
    teams: list[Team | Pair],
    left_out: dict[str, str],
) -> list[tuple[Team | Pair, str, str, np.ndarray]]:
    """Start the workers and let every program compute once: (team, label, program, result)."""
    # Single models do not scale as well as processes do; ours share out the models by themselves.
    on_cpu = options.device == "cpu"
    pairs = workload.kind == "ensemble" and len(cores) > 1 and on_cpu
    entries = []
    for library in options.libraries:
        try:
            formation = Pair if pairs and library != OURS else Team
            team = formation(library, cores, workload.dtype, options.device)
            teams.append(team)
            programs = team.prepare(workload, path)
        except TeamError as reason:
            left_out[library] = str(reason)
            continue
        if not programs:
            left_out[library] = "not for this kind of work"
        for program in programs:
            label = program + f", {len(cores)} processes" * (formation is Pair)
            repeat = CHECKED.get(workload.kind, workload.sizes.get("matrices", 1))
            try:
                entries.append((team, label, program, team.check(program, repeat)))
            except TeamError as reason:
                left_out[f"{library}, {label}"] = str(reason)
    return entries


def race(
    workload: Workload,
    racing: list[tuple[Team | Pair, str, str, np.ndarray]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Time them in turns; the slow ones in the first rounds only, as they need no more."""
    seconds = workload.seconds / (4 if options.quick else 1)
    repeats, rounds = [], []
    for team, _, program, _ in racing:
        repeat, taken = repetitions(team, program, seconds)
        repeats.append(repeat)
        rounds.append(max(3, min(options.rounds, int(2 * seconds * options.rounds / taken))))
    samples: list[list[float]] = [[] for _ in racing]
    counts: list[int | None] = [None] * len(racing)
    for turn in range(options.rounds):
        for place in range(len(racing)):
            index = (place + turn) % len(racing)
            if turn >= rounds[index]:
                continue
            team, _, program, _ = racing[index]
            time.sleep(PAUSE)
            taken, counts[index] = team.measure(program, repeats[index])
            samples[index].append(taken / repeats[index])
    return [
        {
            "library": team.library,
            "version": team.version,
            "program": label,
            "repeat": repeat,
            **({"evaluations": count} if count is not None else {}),
            **spread(times),
        }
        for (team, label, _, _), repeat, times, count in zip(
            racing, repeats, samples, counts, strict=True
        )
    ]


def differences(
    workload: Workload,
    entries: list[tuple[Team | Pair, str, str, np.ndarray]],
    scale: float | None,
) -> dict[tuple[str, str], str]:
    """Who differs from the median of all by more than the tolerance, and by how much."""
    if not entries:
        return {}
    middle = np.median(np.stack([result for *_, result in entries]), axis=0)
    scale = float(np.abs(middle).max()) if scale is None else float(scale)
    found = {}
    for team, label, _, result in entries:
        difference = float(np.abs(result - middle).max() / scale)
        if not difference <= workload.tolerance:
            found[team.library, label] = f"differs by {difference:.1e} of {scale:.6g}"
    return found


def repetitions(team: Team | Pair, program: str, seconds: float) -> tuple[int, float]:
    """So many that one measurement takes about as long as asked, and how long it does."""
    repeat = 1
    while True:
        time.sleep(PAUSE)
        taken, _ = team.measure(program, repeat)
        if taken >= seconds / 2:
            share = max(1, math.ceil(repeat * seconds / taken))
            return share, taken * share / repeat
        repeat = max(2 * repeat, math.ceil(0.8 * repeat * seconds / max(taken, 1e-6)))


def spread(times: list[float]) -> dict[str, Any]:
    quartiles = (
        statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    )
    return {
        "median": quartiles[1],
        "min": min(times),
        "quartiles": [quartiles[0], quartiles[2]],
        "seconds": times,
    }


# --- import --------------------------------------------------------------------------------------


def imports(rounds: int) -> dict[str, Any]:
    """Seconds to import each library in a fresh process that has NumPy already."""
    import importlib.util

    there = [name for name in IMPORTS if importlib.util.find_spec(name)]
    code = "import numpy, time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    times: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(min(rounds, 5)):
        for name in there:
            command = [sys.executable, "-c", code.format(name)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout))
    return {
        "contenders": [
            {"library": name, "program": "import", "repeat": 1, **spread(times[name])}
            for name in there
        ],
        "left_out": {},
        "disagree": {},
        "limit_seconds": 0.03,
    }


if __name__ == "__main__":
    print(f"asymfast {af.__version__} ({af.build_config()['isa']}), {HERE.name}/peers.py")
    sys.exit(main())
