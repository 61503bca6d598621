"""Data of the paper's experiments (Appendix J), and the reader for tables of one's own.

================  ===========================================================================
`simulated`       the simulated regression problem
`load`            concrete, energy, airfoil, plant (UCI) and mnist, split and standardised
`load_mnist`      mnist with other numbers of images
`Dataset`         what the loaders return
`read_samples`    a table of one's own, split and standardised; returns `Samples`
`read_csv`        a strict reader for tables of numbers with a header; returns a `Table`
`NAMES`           what `load` knows
================  ===========================================================================

No data comes with the package: `load` reads a folder of yours, or downloads the public originals
once, verifies them and keeps them in the user's cache (extra ``data``).
"""

from __future__ import annotations

from asymfast.datasets.paper import NAMES, Dataset, load, load_mnist, simulated
from asymfast.datasets.tables import Columns, Samples, Table, read_csv, read_samples

__all__ = [
    "NAMES",
    "Columns",
    "Dataset",
    "Samples",
    "Table",
    "load",
    "load_mnist",
    "read_csv",
    "read_samples",
    "simulated",
]
