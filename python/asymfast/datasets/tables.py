"""The four UCI regression tables of the paper: what they contain, and how one is loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asymfast.datasets.csv import Table, read_csv
from asymfast.datasets.dataset import Dataset
from asymfast.datasets.split import split, statistics


@dataclass(frozen=True)
class TableFacts:
    """What identifies a table.

    Attributes
    ----------
    file : str
        Name of the CSV file.
    columns : tuple of str
        Its header; the targets come last.
    targets : int
        How many of the columns are targets.
    rows : int
        Number of samples.
    file_sha256 : str
        SHA-256 of the file as `asymfast.datasets.csv.format_csv` writes it.
    values_sha256 : str
        SHA-256 of the values as little-endian float64, row by row, which does not depend on how
        they are written down.
    """

    file: str
    columns: tuple[str, ...]
    targets: int
    rows: int
    file_sha256: str
    values_sha256: str

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets, the default first."""
        return self.columns[-self.targets :]


TABLES = {
    "concrete": TableFacts(
        file="concrete.csv",
        columns=(
            "cement_kg_m3",
            "blast_furnace_slag_kg_m3",
            "fly_ash_kg_m3",
            "water_kg_m3",
            "superplasticizer_kg_m3",
            "coarse_aggregate_kg_m3",
            "fine_aggregate_kg_m3",
            "age_days",
            "compressive_strength_mpa",
        ),
        targets=1,
        rows=1030,
        file_sha256="dae41a60ef5c4f58b443c95cc1ff005c6f6a2d76abd60ca7a9962350521bec7c",
        values_sha256="8b9a7af0366e0f437ad04cfba6bb729ec0c3ea76fa780ff3d3f4d057356b6af6",
    ),
    "energy": TableFacts(
        file="energy.csv",
        columns=(
            "relative_compactness",
            "surface_area_m2",
            "wall_area_m2",
            "roof_area_m2",
            "overall_height_m",
            "orientation",
            "glazing_area",
            "glazing_area_distribution",
            "heating_load",
            "cooling_load",
        ),
        targets=2,
        rows=768,
        file_sha256="f70a87e2c8da7cb228639e33c9794d3b1ad8e80736a48e982498484f7b91f843",
        values_sha256="9911e8d48851b4c8189c02346a26d6f42eadf7a56c43ccc4331f7ab9c4f75fa4",
    ),
    "airfoil": TableFacts(
        file="airfoil.csv",
        columns=(
            "frequency_hz",
            "angle_of_attack_deg",
            "chord_length_m",
            "free_stream_velocity_m_s",
            "suction_side_displacement_thickness_m",
            "scaled_sound_pressure_level_db",
        ),
        targets=1,
        rows=1503,
        file_sha256="fcb6a3910939762e9bd0391cbabef55b178b96eb09d9b66b7f17b9d55bc23f7f",
        values_sha256="11fab2c660f61031935f9995d27929df39a175d3551271b397c8aa254b19b6b6",
    ),
    "plant": TableFacts(
        file="plant.csv",
        columns=(
            "ambient_temperature_c",
            "exhaust_vacuum_cm_hg",
            "ambient_pressure_mbar",
            "relative_humidity_pct",
            "net_electrical_output_mw",
        ),
        targets=1,
        rows=9568,
        file_sha256="a54018f0a27943553733ae54499e37e432a7c333e260bf87398123fe2b3dfa16",
        values_sha256="99a3e1a8b4d8640155030577f49c00789d0d390e4e5b4cd8e28f1a6a288abab2",
    ),
}
"""The tables by name. The paper counts the target among the inputs of concrete and airfoil."""


def verify(facts: TableFacts, table: Table, source: str) -> None:
    """Make sure that a table is the one described.

    Parameters
    ----------
    facts : TableFacts
        What is expected.
    table : Table
        What was found.
    source : str
        Where, for the message.

    Raises
    ------
    ValueError
        The columns, the number of rows or the values differ.
    """
    if table.columns != facts.columns:
        raise ValueError(
            f"load: {source} has the columns {', '.join(table.columns)}; "
            f"expected {', '.join(facts.columns)}"
        )
    if len(table.values) != facts.rows:
        raise ValueError(f"load: {source} has {len(table.values)} rows; expected {facts.rows}")
    found = values_sha256(table)
    if found != facts.values_sha256:
        raise ValueError(
            f"load: {source} does not hold the values of the original {facts.file}: "
            f"their SHA-256 is {found}, expected {facts.values_sha256}"
        )


def values_sha256(table: Table) -> str:
    """SHA-256 of the values as little-endian float64, row by row."""
    return hashlib.sha256(table.values.astype("<f8").tobytes()).hexdigest()


def load_table(
    name: str, path: Path, split_seed: int, target: str, dtype: np.dtype[Any]
) -> Dataset:
    """Read, verify, split and standardise one of the tables.

    Parameters
    ----------
    name : str
        A key of `TABLES`.
    path : pathlib.Path
        The CSV file.
    split_seed : int
        See `asymfast.datasets.split.split`.
    target : str
        One of the table's targets. The others are not used as inputs.
    dtype : numpy.dtype
        Of the result; the computation is in float64.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file is not the expected table.
    """
    facts = TABLES[name]
    table = read_csv(path)
    verify(facts, table, str(path))
    inputs = table.values[:, : -facts.targets]
    outputs = table.values[:, facts.columns.index(target)]
    train, valid, test = split(len(table.values), split_seed)
    x_mean, x_std = statistics(inputs[train])
    y_mean, y_std = statistics(outputs[train])
    X = np.ascontiguousarray((inputs - x_mean) / x_std, dtype=dtype)
    y = ((outputs - y_mean) / y_std).astype(dtype)
    return Dataset(
        name=name,
        X_train=X[train],
        y_train=y[train],
        X_valid=X[valid],
        y_valid=y[valid],
        X_test=X[test],
        y_test=y[test],
        feature_names=facts.columns[: -facts.targets],
        target_names=(target,),
        x_mean=x_mean,
        x_std=x_std,
        y_mean=float(y_mean),
        y_std=float(y_std),
    )
