"""What the CUDA kernels cost, read off their machine code: no device is needed.

Compiles cpp/src/cuda/cuda.cu for one architecture, disassembles it, and prints for the loops that
multiply how many instructions, shared and global loads there are for each fused multiply-add, with
registers and spills; then what a step of W1 with 20 members should take on an H100 by these counts.
Needs nvcc, and nvdisasm (of the CUDA toolkit, or the wheel nvidia-cuda-nvdisasm).

    python bench/sass.py [--nvdisasm PATH] [--arch sm_90] [--clock 1.755]
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = """
#include "cuda/device.cuh"
#include "cuda/resident.hpp"
#include "cuda/sweep.hpp"
namespace asymfast::cuda {
using Small = Resident<float, 256>;
using Large = Sweep<Shape<16, 8, 16>, float>;
#define ASYMFAST_KERNEL(K) \\
  template __global__ void run_kernel<K>(const __grid_constant__ K::Args, Index, int, unsigned*);
ASYMFAST_KERNEL(Small)
ASYMFAST_KERNEL(Large)
}
"""
KERNELS = {"Resident": "small problems (W1)", "Sweep": "any size (W3)"}
# Of swish, in the loop over the rows of a tile of 8 x 8: instructions for 8 activations and their
# share in the outputs; of the update, for 80 weights and what rounding keeps out of them.
ACTIVATION_ROW, UPDATE_TILE = 190, 875


@dataclass(frozen=True)
class Loop:
    instructions: int
    counts: Counter[str]

    @property
    def fma(self) -> int:
        return self.counts["FFMA"]

    @property
    def a_fma(self) -> float:
        return self.instructions / self.fma


def compile_kernels(arch: str, folder: Path) -> tuple[Path, str]:
    """Return the object of the two kernels, and what ptxas says of registers and spills."""
    source, cubin = folder / "kernels.cu", folder / "kernels.cubin"
    source.write_text(SOURCE)
    includes = [f"-I{ROOT / 'cpp' / part}" for part in ("src", "include")]
    options = [
        "-std=c++17",
        "-O3",
        f"-arch={arch}",
        "-cubin",
        "-Xptxas",
        "-v",
        "--diag-suppress=554",
    ]
    command = ["nvcc", *options, *includes, "-o", str(cubin), str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return cubin, done.stderr


def product_loops(lines: list[str]) -> list[Loop]:
    """Return the innermost loops of a function in which most instructions multiply and add."""
    code: list[str] = []
    labels: dict[str, int] = {}
    ends: list[tuple[int, int]] = []
    for line in lines:
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(code)
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line):
            code.append(re.sub(r"^@!?U?P\w+\s+", "", instruction[1]))
            target = re.search(r"^BRA.*?(\.L_x_\d+)", code[-1])
            if target and target[1] in labels:
                ends.append((labels[target[1]], len(code)))
    inner = [
        (a, b) for a, b in ends if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in ends)
    ]
    loops = [Loop(b - a, Counter(x.split()[0].split(".")[0] for x in code[a:b])) for a, b in inner]
    return [loop for loop in loops if loop.fma >= 64 and loop.fma > loop.instructions / 2]


def estimate(forward: Loop, gradient: Loop, clock: float) -> None:
    """Print what a step of W1 with 20 members takes, by what its busiest scheduler issues."""
    n, d, m, members, processors = 100, 50, 2000, 20, 132
    blocks = processors // members
    nodes = 16 * math.ceil(math.ceil(m / 16) / blocks)
    inputs = 10 if math.ceil(d / 10) * 10 < math.ceil(d / 8) * 8 else 8

    def tiles_of_a_scheduler(tiles: int) -> int:  # tiles of 32 threads, by 8 warps on 4 schedulers
        warps = math.ceil(tiles / 32)
        by_warp = [len(range(warp, warps, 8)) for warp in range(8)]
        return max(by_warp[s] + by_warp[s + 4] for s in range(4))

    forwards = tiles_of_a_scheduler(math.ceil(n / 8) * nodes // 8)
    gradients = tiles_of_a_scheduler(math.ceil(d / inputs) * nodes // 8)
    cycles = {
        "product of the forward pass": forwards * d * 64 * forward.a_fma,
        "activations": forwards * 8 * ACTIVATION_ROW,
        "slopes times residual": n / 8 * math.ceil(nodes / 128) * 30 * 2,
        "product of the gradient": gradients * n * 8 * inputs * gradient.a_fma,
        "update": gradients * UPDATE_TILE + 1000,
        "sums over units, losses": 2500,
        "barrier": clock * 1000,
    }
    print(f"\nW1, {members} members on {processors} multiprocessors, {blocks} blocks a member,")
    print(f"{nodes} nodes a block; issue slots of the busiest scheduler, at {clock} GHz:")
    for what, count in cycles.items():
        print(f"  {what:28} {count:8.0f} cycles  {count / clock / 1000:5.1f} us")
    total = sum(cycles.values())
    flop = 4 * n * d * m * members / 2 / (processors * 128)
    print(f"  {'sum':28} {total:8.0f} cycles  {total / clock / 1000:5.1f} us", end="")
    print(f"; multiply-adds alone {flop:.0f} cycles, {flop / total:.0%} of it")


def main() -> None:
    """Compile, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--clock", type=float, default=1.755, help="GHz, of the estimate")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cubin, said = compile_kernels(args.arch, Path(folder))
        sass = subprocess.run([args.nvdisasm, cubin], check=True, capture_output=True, text=True)
    found: dict[str, list[Loop]] = {}
    for text in re.split(r"(?m)^\s*\.section\s+\.text\.", sass.stdout)[1:]:
        for kernel, meaning in KERNELS.items():
            if kernel not in text.split("\n", 1)[0]:
                continue
            loops = found[kernel] = product_loops(text.splitlines())
            print(f"{kernel}: {meaning}")
            for loop in sorted(
                {(x.instructions, x.fma, x.counts["LDS"], x.counts["LDG"]) for x in loops}
            ):
                size, fma, shared, loads = loop
                print(
                    f"  {size:5d} instructions, {fma:5d} FMA: {size / fma:.3f} a FMA; "
                    f"{shared / fma:.4f} shared, {loads / fma:.4f} global loads a FMA"
                )
    for line in said.splitlines():
        if re.search(r"Compiling entry|spill|registers", line):
            print(line.replace("ptxas info    : ", "").strip())
    small = found["Resident"]
    forward = min((x for x in small if x.fma == 128), key=lambda x: x.a_fma)
    gradient = min((x for x in small if x.fma == 320), key=lambda x: x.a_fma)
    estimate(forward, gradient, args.clock)
    worst = max(loop.a_fma for loops in found.values() for loop in loops)
    print(f"\nproduct loops: at most {worst:.3f} instructions a FMA")


if __name__ == "__main__":
    main()
