"""Where the originals of the data sets are published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One place to get one file from.

    Attributes
    ----------
    url : str
        Address of the original, or of a zip archive that has it.
    member : str, optional
        Name of the original in the archive, without folders.
    """

    url: str
    member: str | None = None


_UCI_FILES = "https://archive.ics.uci.edu/ml/machine-learning-databases"
_UCI_ARCHIVES = "https://archive.ics.uci.edu/static/public"
_MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)


def _mnist(name: str) -> tuple[Source, ...]:
    return tuple(Source(f"{mirror}/{name}.gz") for mirror in _MNIST_MIRRORS)


SOURCES: dict[str, tuple[Source, ...]] = {
    "concrete.csv": (
        Source(f"{_UCI_FILES}/concrete/compressive/Concrete_Data.xls"),
        Source(f"{_UCI_ARCHIVES}/165/concrete+compressive+strength.zip", "Concrete_Data.xls"),
    ),
    "energy.csv": (
        Source(f"{_UCI_FILES}/00242/ENB2012_data.xlsx"),
        Source(f"{_UCI_ARCHIVES}/242/energy+efficiency.zip", "ENB2012_data.xlsx"),
    ),
    "airfoil.csv": (
        Source(f"{_UCI_FILES}/00291/airfoil_self_noise.dat"),
        Source(f"{_UCI_ARCHIVES}/291/airfoil+self+noise.zip", "airfoil_self_noise.dat"),
    ),
    "plant.csv": (
        Source(f"{_UCI_FILES}/00294/CCPP.zip", "Folds5x2_pp.xlsx"),
        Source(f"{_UCI_ARCHIVES}/294/combined+cycle+power+plant.zip", "Folds5x2_pp.xlsx"),
    ),
    "mnist/train-images-idx3-ubyte": _mnist("train-images-idx3-ubyte"),
    "mnist/train-labels-idx1-ubyte": _mnist("train-labels-idx1-ubyte"),
    "mnist/t10k-images-idx3-ubyte": _mnist("t10k-images-idx3-ubyte"),
    "mnist/t10k-labels-idx1-ubyte": _mnist("t10k-labels-idx1-ubyte"),
}
"""Sources by the file they lead to, in the order in which they are tried."""
