"""Figure 1: sum_j of the squared limits of the node scalings, as a function of alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asymfast.experiments.panels import closed_form_figure
from asymfast.theory.scaling import zeta_ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def squared_scalings(points: int = 199) -> tuple[Floats, Floats]:
    """Return alpha in (0, 1) and zeta(2/alpha) / zeta(1/alpha)^2, which is 1 at 0 and 0 at 1."""
    alpha = np.linspace(0, 1, points + 2)[1:-1]
    return alpha, np.array([zeta_ratio(float(one)) for one in alpha])


def figure1() -> Figure:
    """Draw Figure 1."""
    alpha, values = squared_scalings()
    return closed_form_figure(
        np.concatenate([[0.0], alpha, [1.0]]),
        np.concatenate([[1.0], values, [0.0]]),
        (r"$\alpha$", r"$\sum_j \tilde\lambda_j^2$"),
    )
