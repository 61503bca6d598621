"""The table of recorded columns: the core's, Python's, the fields of Record and Run, the docs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from asymfast import _core
from asymfast.record import COLUMNS
from cases import problem


def test_the_table_is_that_of_the_core():
    own = [(column.name, column.dtype, column.axes) for column in COLUMNS.values()]
    assert own == _core.recorded_columns()


def test_every_column_is_a_documented_field_of_a_run():
    known = {field.name for field in fields(af.Run)}
    others = {"initial", "network", "diverged", "stopped", "stopped_by", "config"}
    assert known - others == COLUMNS.keys()
    described = af.Run.__doc__.split("Examples")[0]
    for name in COLUMNS:
        assert name in described


def test_every_column_and_field_is_on_the_page_of_training():
    page = Path(__file__).resolve().parents[1] / "docs" / "training.md"
    if not page.is_file():
        pytest.skip("the documentation is not here")
    section = page.read_text().partition("## What is recorded")[2].partition("\n## ")[0]
    for name in {*COLUMNS, *(field.name for field in fields(af.Record))}:
        assert re.search(rf"\b{name}\b", section), name


def test_every_field_of_a_record_is_a_column_or_a_schedule():
    others = {"every", "times", "steps", "log", "ntg_on", "folder"}
    asked = {column.field for column in COLUMNS.values()} - {None}
    assert {field.name for field in fields(af.Record)} - others == asked


EVERYTHING = {
    **dict.fromkeys(("eigmax", "ntg_change_2norm", "alignment", "effective_rank"), True),
    **dict.fromkeys(("ntg_matrix", "weights", "accuracy"), True),
    "top_nodes": 2,
}


@pytest.mark.parametrize("ensemble", [False, True])
def test_shapes_and_dtypes_are_those_of_the_table(ensemble):
    case = problem(n=9, m=5, outputs=3, dtype="float32")
    net = af.Network.stack([case.net] * 2) if ensemble else case.net
    run = af.sgd(
        net,
        case.X,
        case.y,
        lr=0.1,
        batch_size=4,
        epochs=2,
        train_output=True,
        record=af.Record(every=2, **EVERYTHING),
        X_test=case.X[:4],
        y_test=case.y[:4],
    )
    sizes = {"member": 2, "node": 5, "input": net.d, "output": 3, "sample": 9, "sample2": 9}
    sizes["rank"] = 2
    for name, column in COLUMNS.items():
        values = getattr(run, name)
        axes = [axis for axis in column.axes if ensemble or axis != "member"]
        if column.of_steps:
            axes = []
        assert values.shape == (len(run.time), *(sizes[axis] for axis in axes))
        assert values.dtype == column.numpy_dtype(np.dtype(np.float32))


@pytest.mark.parametrize("field", [*EVERYTHING, "ntg", "eigmin"])
def test_what_is_not_asked_for_is_not_recorded(field):
    case = problem(n=9, m=5, outputs=3)
    nothing = {name: type(value)() for name, value in EVERYTHING.items()}
    asked = {**nothing, "ntg": False, "eigmin": False, field: EVERYTHING.get(field, True)}
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=0.1, steps=2, record=af.Record(every=1, **asked)
    )
    for name, column in COLUMNS.items():
        wanted = column.field in (None, field) and column.needs in (None, "NTG")
        assert (getattr(run, name) is not None) == wanted, name
