"""The four files of MNIST: what identifies them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asymfast.datasets.idx import idx_sha256


@dataclass(frozen=True)
class IdxFacts:
    """What identifies an idx file.

    Attributes
    ----------
    file : str
        Its path below the data folder, without ``.gz``.
    shape : tuple of int
        Shape of the array of unsigned bytes.
    file_sha256 : str
        SHA-256 of the unpacked file.
    """

    file: str
    shape: tuple[int, ...]
    file_sha256: str


MNIST = {
    "train images": IdxFacts(
        "mnist/train-images-idx3-ubyte",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train labels": IdxFacts(
        "mnist/train-labels-idx1-ubyte",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test images": IdxFacts(
        "mnist/t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test labels": IdxFacts(
        "mnist/t10k-labels-idx1-ubyte",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
"""The four files."""


def verify(facts: IdxFacts, array: npt.NDArray[np.uint8], source: str) -> None:
    """Make sure that an array is the one described.

    Raises
    ------
    ValueError
        Its shape or its bytes differ; the message names ``source``.
    """
    if array.shape != facts.shape:
        raise ValueError(f"load: {source} has shape {array.shape}; expected {facts.shape}")
    found = idx_sha256(array)
    if found != facts.file_sha256:
        raise ValueError(
            f"load: {source} does not hold the bytes of the original {facts.file}: "
            f"the SHA-256 of the unpacked file is {found}, expected {facts.file_sha256}"
        )
