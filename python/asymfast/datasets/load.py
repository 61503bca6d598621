"""Loading a data set by its name."""

from __future__ import annotations

from pathlib import Path

import numpy.typing as npt

from asymfast import _check, _storage
from asymfast.datasets.dataset import Dataset
from asymfast.datasets.locate import locate
from asymfast.datasets.mnist import load_mnist
from asymfast.datasets.tables import TABLES, load_table

NAMES = (*TABLES, "mnist")
"""Names that `load` knows."""


def load(
    name: str,
    data_dir: str | Path | None = None,
    *,
    split_seed: int = 0,
    target: str | None = None,
    dtype: npt.DTypeLike = "float64",
) -> Dataset:
    """Load one of the paper's real data sets, split and standardised.

    Parameters
    ----------
    name : {"concrete", "energy", "airfoil", "plant", "mnist"}
        UCI tables with 1030, 768, 1503 and 9568 samples of 8, 8, 5 and 4 inputs, and images of
        handwritten digits.
    data_dir : str or pathlib.Path, optional
        Folder with ``concrete.csv`` and so on, and ``mnist/train-images-idx3-ubyte[.gz]`` and so
        on. Without it, the folder named by the environment variable ASYMFAST_DATA; without that,
        the user's cache, into which the original is downloaded when first needed.
    split_seed : int
        Seed of the 40/40/20 split of a table into training, validation and test samples; see
        `asymfast.datasets.split.split`. Without effect on mnist, which is split by position: see
        `asymfast.datasets.load_mnist`.
    target : str, optional
        energy has two: "heating_load" (the default) and "cooling_load".
    dtype : {"float64", "float32"}
        Of inputs and targets. Standardisation is done in float64.

    Returns
    -------
    Dataset
        Inputs and regression targets are standardised by the statistics of the training samples.

    Raises
    ------
    FileNotFoundError
        The folder given lacks the file; the message names the path expected.
    ImportError
        A download needs the extra ``data``.
    OSError
        A file cannot be read or downloaded.
    TypeError, ValueError
        An argument is out of range; a file, on disk or downloaded, is not the original data.

    Notes
    -----
    Every file is verified each time by the SHA-256 of its values. Source: the paper's Appendix J.
    Licences: UCI tables CC BY 4.0, MNIST CC BY-SA 3.0; neither is part of this package.

    Examples
    --------
    >>> import tempfile
    >>> from asymfast import datasets
    >>> with tempfile.TemporaryDirectory() as folder:  # without the file, and without a download
    ...     try:
    ...         datasets.load("concrete", data_dir=folder)
    ...     except FileNotFoundError as error:
    ...         print(str(error).replace(folder, "FOLDER").split(" (")[0])
    ...
    load: concrete needs FOLDER/concrete.csv, which does not exist
    """
    _check.choice("load", "name", name, NAMES)
    split_seed = _check.integer("load", "split_seed", split_seed, low=0)
    kind = _check.float_dtype("load", dtype)
    if data_dir is not None:
        data_dir = _storage.path("load", "data_dir", data_dir)
    if name == "mnist":
        if target is not None:
            raise ValueError(f"load: mnist has no choice of target, got {target!r}")
        return load_mnist(data_dir, dtype=kind)
    facts = TABLES[name]
    if target is None:
        target = facts.target_names[0]
    _check.choice("load", "target", target, facts.target_names)
    return load_table(name, locate(name, data_dir, facts.file), split_seed, target, kind)
