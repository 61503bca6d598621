"""Feature files: what a pretrained network makes of images, in an .npz file of the user's."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast._storage import read_npz
from asymfast.datasets.files import ENVIRONMENT
from asymfast.experiments.config import Data

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """The four arrays of a feature file.

    Attributes
    ----------
    x_train, x_test : (n, d) and (n_test, d) floating-point arrays
    y_train, y_test : (n,) and (n_test,) int64 arrays
        Class labels from 0.
    classes : int
        Their number.
    """

    x_train: Array
    y_train: npt.NDArray[np.int64]
    x_test: Array
    y_test: npt.NDArray[np.int64]
    classes: int


def find_features(data: Data, data_dir: Path | None) -> Path:
    """Path of the feature file of an experiment.

    Parameters
    ----------
    data : Data
        Its ``files`` are patterns for the name.
    data_dir : pathlib.Path, optional
        The file itself, or the folder it is in; without it the folder that the environment variable
        ASYMFAST_DATA names.

    Raises
    ------
    FileNotFoundError
        There is none, and it cannot be downloaded; the message says what it must hold.
    ValueError
        There are several.
    """
    folder = data_dir or Path(os.environ.get(ENVIRONMENT) or os.devnull)
    if folder.is_file():
        return folder
    found = sorted({path for pattern in data.files for path in folder.glob(pattern)})
    if len(found) > 1:
        raise ValueError(f"several feature files: {', '.join(map(str, found))}; keep one of them")
    if not found:
        raise FileNotFoundError(
            f"a feature file {' or '.join(data.files)} with x_train, y_train, x_test, y_test is "
            f"needed, in the folder given by data_dir or {ENVIRONMENT}; see docs/reproduction.md"
        )
    return found[0]


def identified(data: Data, data_dir: Path | None) -> Data:
    """Return the description with the SHA-256 of the feature file, which numbers depend on."""
    with find_features(data, data_dir).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return replace(data, sha256=digest.hexdigest())


def load_features(data: Data, data_dir: Path | None) -> FeatureFile:
    """Read and check the feature file of an experiment; nothing in it is ever executed.

    Raises
    ------
    FileNotFoundError
        See `find_features`.
    ValueError
        It is not an .npz file, or its arrays are not features and labels.
    """
    path = find_features(data, data_dir)
    try:
        file = read_npz(path, compressed=True)
        arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is not an .npz file with x_train, y_train, x_test and y_test: {error}"
        ) from error
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 2 or x.dtype.kind != "f" or not x.size:
            raise ValueError(
                f"{path}: x_{part} must be a matrix of floating-point features, "
                f"got shape {x.shape} and dtype {x.dtype}"
            )
        if not np.isfinite(x).all():
            raise ValueError(f"{path}: x_{part} must be finite")
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"{path}: y_{part} must hold {len(x)} class labels >= 0, "
                f"got shape {y.shape} and dtype {y.dtype}"
            )
    if arrays["x_train"].shape[1] != arrays["x_test"].shape[1]:
        raise ValueError(f"{path}: x_train and x_test must have the same number of columns")
    labels = [arrays[f"y_{part}"].astype(np.int64) for part in ("train", "test")]
    return FeatureFile(
        x_train=arrays["x_train"],
        y_train=labels[0],
        x_test=arrays["x_test"],
        y_test=labels[1],
        classes=int(max(labels[0].max(), labels[1].max())) + 1,
    )
