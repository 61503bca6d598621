"""How cost grows with n, d, m, k and B: times, fitted exponents, and a plot.

Each axis is varied with the others held at the sizes of W1 (n = 100, d = 50, m = 2000). The
exponent is the slope of log time over the upper half of the sizes, where overheads count least.

    python bench/scaling.py --out scaling.png --json scaling.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asymfast as af
import numpy as np
import provenance
import report

BASE = {"n": 100, "d": 50, "m": 2000, "k": 1, "B": 1}
BARE = af.Record(steps=[0], ntg=False, eigmin=False)


@dataclass(frozen=True)
class Curve:
    """One work along one axis.

    Attributes
    ----------
    work : str
        A key of `WORKS`.
    axis : str
        What is varied.
    sizes : tuple of int
        Increasing.
    expected : float
        The exponent of the leading term of the flop count.
    """

    work: str
    axis: str
    sizes: tuple[int, ...]
    expected: float


CURVES = (
    Curve("GD step", "n", (25, 50, 100, 200, 400, 800, 1600, 3200), 1),
    Curve("GD step", "d", (2, 4, 8, 16, 32, 64, 128, 256, 512), 1),
    Curve("GD step", "m", (250, 500, 1000, 2000, 4000, 8000, 16000), 1),
    Curve("GD step", "k", (1, 2, 4, 8, 16, 32, 64), 1),
    Curve("GD step", "B", (1, 2, 4, 8, 16, 32), 1),
    Curve("NTG", "n", (50, 100, 200, 400, 800, 1600), 2),
    Curve("NTG", "d", (2, 8, 32, 128, 512), 1),
    Curve("NTG", "m", (250, 500, 1000, 2000, 4000, 8000, 16000), 1),
    Curve("smallest eigenvalue", "n", (100, 200, 400, 800, 1600), 3),
)


def data(sizes: dict[str, int], dtype: str) -> tuple[af.Network, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((sizes["n"], sizes["d"]))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    columns = () if sizes["k"] == 1 else (sizes["k"],)
    y = rng.standard_normal((sizes["n"], *columns))
    seeds = 1 if sizes["B"] == 1 else list(range(1, sizes["B"] + 1))
    net = af.Network.init(
        sizes["d"], sizes["m"], 0.5, 0.5, outputs=sizes["k"], rng=seeds, dtype=dtype
    )
    return net, X.astype(dtype), y.astype(dtype)


def descent(sizes: dict[str, int], dtype: str, threads: int) -> Callable[[int], object]:
    net, X, y = data(sizes, dtype)
    lr = 1 / sizes["n"]
    return lambda steps: af.gradient_descent(
        net, X, y, lr=lr, steps=steps, record=BARE, threads=threads
    )


def ntg(sizes: dict[str, int], dtype: str, threads: int) -> Callable[[int], object]:
    net, X, _ = data(sizes, dtype)
    return lambda repeat: [net.ntg(X, threads=threads) for _ in range(repeat)][-1]


def eigmin(sizes: dict[str, int], dtype: str, threads: int) -> Callable[[int], object]:
    net, X, _ = data(sizes, "float64")
    K = net.ntg(X)
    return lambda repeat: [af.min_eigenvalue(K, threads=threads) for _ in range(repeat)][-1]


WORKS = {"GD step": descent, "NTG": ntg, "smallest eigenvalue": eigmin}


def seconds_of(run: Callable[[int], object], budget: float, least: int) -> float:
    """The median of five measurements that together take about `budget` seconds or more.

    Every call repeats the work at least so many times: starting a run and its records cost as much
    as some steps.
    """
    run(least)  # threads, caches
    repeat, taken = least, 0.0
    while taken < budget / 20:
        start = time.perf_counter()
        run(repeat)
        taken = time.perf_counter() - start
        if taken < budget / 20:
            repeat *= 2
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run(repeat)
        times.append((time.perf_counter() - start) / repeat)
    return float(np.median(times))


def exponent(sizes: tuple[int, ...], times: list[float]) -> float:
    """Slope of log time over log size, by least squares over the upper half."""
    upper = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[upper:]), np.log(times[upper:]), 1)
    return float(slope)


def plot(results: list[dict], path: Path) -> None:
    from matplotlib.figure import Figure

    axes_of_work = {work: [r for r in results if r["work"] == work] for work in WORKS}
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, len(axes_of_work))
    for panel, (work, curves) in zip(panels, axes_of_work.items(), strict=True):
        for curve in curves:
            base = BASE[curve["axis"]]
            name = rf"${curve['axis']}$ / {base}: exponent {curve['exponent']:.2f}"
            panel.loglog(
                np.array(curve["sizes"]) / base,
                1e3 * np.array(curve["seconds"]),
                "o-",
                label=name,
                markersize=4,
            )
        panel.set(title=work, xlabel="size / size in W1", ylabel="time in ms")
        panel.grid(True, which="major", alpha=0.3)
        panel.legend(fontsize="small", loc="upper left")
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    option = parser.add_argument
    option("--dtype", choices=("float32", "float64"), default="float32")
    option("--threads", type=int, default=2, metavar="N")
    option("--quick", action="store_true", help="shorter measurements")
    option("--works", default=",".join(WORKS), help=f"of {', '.join(WORKS)}")
    option("--out", type=Path, metavar="PNG", help="draw the curves; needs matplotlib")
    option("--json", type=Path, metavar="FILE", help="write the numbers")
    options = parser.parse_args()
    works = options.works.split(",")
    if unknown := set(works) - set(WORKS):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(WORKS)}")
    results = []
    for curve in CURVES:
        if curve.work not in works:
            continue
        times = []
        for size in curve.sizes:
            run = WORKS[curve.work]({**BASE, curve.axis: size}, options.dtype, options.threads)
            least = 20 if curve.work == "GD step" else 1
            times.append(seconds_of(run, 0.1 if options.quick else 0.5, least))
        slope = exponent(curve.sizes, times)
        shown = "  ".join(
            f"{size}: {report.duration(t)}" for size, t in zip(curve.sizes, times, strict=True)
        )
        print(
            f"{curve.work}, {curve.axis}: exponent {slope:.2f} (flop count: {curve.expected:g})\n"
            f"    {shown}",
            flush=True,
        )
        results.append(
            {
                "work": curve.work,
                "axis": curve.axis,
                "sizes": curve.sizes,
                "seconds": times,
                "exponent": slope,
            }
        )
    if options.json:
        facts = {"dtype": options.dtype, "threads": options.threads, **provenance.describe()}
        options.json.write_text(json.dumps({**facts, "curves": results}, indent=1) + "\n")
    if options.out:
        plot(results, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
