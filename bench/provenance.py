"""Where numbers come from: machine, compiler, versions and commit, kept beside them in the file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import asymfast as af
import numpy as np
from workloads import WORKLOADS


def describe() -> dict[str, Any]:
    """Machine and build."""
    config = af.build_config()
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "asymfast": {name: config[name] for name in ("version", "compiler", "isa", "eigen")},
        "cuda": config["cuda"] and {**config["cuda"], "devices": af.cuda.devices()},
    }


def merge(path: Path, rows: list[dict[str, Any]], limits: dict[str, Any] | None) -> None:
    """Put rows into the results file in place of earlier ones of the same workload and setting."""
    results = json.loads(path.read_text()) if path.exists() else {"rows": []}
    for row in rows:
        row = {**row, "peaks": limits, "provenance": describe()}
        results["rows"] = [old for old in results["rows"] if key(old) != key(row)] + [row]
    order = [workload.name for workload in WORKLOADS]
    results["rows"].sort(key=lambda row: (order.index(row["name"]), key(row)))
    path.write_text(json.dumps(results, indent=1) + "\n")


def key(row: dict[str, Any]) -> tuple[str, str, int, str]:
    """What a row measures."""
    return row["name"], row["dtype"], row["threads"], row.get("device", "cpu")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
