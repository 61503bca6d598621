"""Fails unless every wheel of a folder is whole and small: python check_wheels.py FOLDER."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LARGEST = 4_700_000
NEEDED = {
    "_core": ("_core.",),
    "headers": ("asymfast/include/asymfast/asymfast.h", "asymfast/include/asymfast/asymfast.hpp"),
    "static library": ("asymfast/lib/libasymfast.a", "asymfast/lib/asymfast_static.lib"),
    "shared library": ("asymfast/lib/libasymfast.", "asymfast/lib/asymfast.dll"),
    "CMake package": ("asymfast/lib/cmake/asymfast/asymfastConfig.cmake",),
    "types": ("asymfast/_core.pyi",),
    "licences": ("licenses/NOTICE",),
}


def faults(wheel: Path) -> list[str]:
    names = zipfile.ZipFile(wheel).namelist()
    found = [
        f"has no {what}"
        for what, any_of in NEEDED.items()
        if not any(part in name for name in names for part in any_of)
    ]
    if wheel.stat().st_size > LARGEST:
        found.append(f"is larger than {LARGEST} bytes")
    if any("tests/" in name or name.endswith((".cpp", ".o")) for name in names):
        found.append("holds tests or sources")
    return found


def main(folder: str) -> int:
    wheels = sorted(Path(folder).glob("*.whl"))
    if not wheels:
        print(f"no wheels in {folder}")
        return 1
    bad = 0
    for wheel in wheels:
        found = faults(wheel)
        bad += bool(found)
        print(f"{wheel.name}: {wheel.stat().st_size} bytes, {'; '.join(found) or 'whole'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
