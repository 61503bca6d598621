"""The content of summary.json: what was asked, what was done, how it ended, how to use it."""

from __future__ import annotations

import argparse
import math
from typing import Any

import asymfast as af
from asymfast.cli.results import records
from asymfast.datasets.tables import Samples

_NO_SETTINGS = {"command", "execute", "file", "out", "no_figure"}


def summary(
    options: argparse.Namespace,
    samples: Samples,
    run: af.Run,
    ntg_norm: float | None,
    seconds: float,
    ending: str,
) -> dict[str, Any]:
    """Describe a run of ``asymfast train`` so that it can be repeated and its network used.

    Parameters
    ----------
    options : argparse.Namespace
        What the user asked for.
    samples : Samples
        The data; their statistics turn new inputs into the network's and its output into the
        target's units: ``target = mean + scale * network((inputs - mean) / scale)``.
    run : Run
        What came of it.
    ntg_norm : float, optional
        Frobenius norm of the NTG before training.
    seconds : float
        Time spent on training.
    ending : str
        "finished", or why it ended early.

    Returns
    -------
    dict
        Nested, of strings, numbers, lists and None.
    """
    train, test = root_mean_squares(options.loss, samples, run)
    of = samples.columns
    columns = zip(of.names, of.input_mean, of.input_scale, strict=True)
    return {
        "ending": ending,
        "seconds": seconds,
        "settings": {
            name: value for name, value in vars(options).items() if name not in _NO_SETTINGS
        },
        "data": {
            "file": str(options.file),
            "training_rows": len(samples.y_train),
            "test_rows": len(samples.y_test),
            "split": "the test rows come first in default_rng([seed, 1]).permutation(rows)",
            "inputs": [
                {"column": column, "mean": mean, "scale": scale} for column, mean, scale in columns
            ],
            "target": {
                "column": of.targets[0],
                "mean": float(of.target_mean[0]),
                "scale": float(of.target_scale[0]),
            },
            "prediction": "target = mean + scale * run.network((inputs - mean) / scale)",
        },
        "ntg_initial_norm": ntg_norm,
        "final": {
            **list(records(run, ntg_norm))[-1],
            "training_rmse_in_target_units": train,
            "test_rmse_in_target_units": test,
        },
        "run": run.config,
        "build": af.build_config(),
    }


def root_mean_squares(loss: str, samples: Samples, run: af.Run) -> tuple[float, float | None]:
    """Root mean squared errors of the final network in the units of the target.

    Parameters
    ----------
    loss : {"mse", "half_sse"}
        What ``run`` recorded, of the standardised target.
    samples : Samples
        For the numbers of rows and the scale of the target.
    run : Run
        Its last record is used.

    Returns
    -------
    train, test : float
        On the training and on the test rows; ``test`` is None when there are none.
    """

    def in_units(value: float, rows: int) -> float:
        mean_square = value if loss == "mse" else 2.0 * value / rows
        return float(samples.columns.target_scale[0]) * math.sqrt(mean_square)

    train = in_units(float(run.loss[-1]), len(samples.y_train))
    if run.test_loss is None:
        return train, None
    return train, in_units(float(run.test_loss[-1]), len(samples.y_test))
