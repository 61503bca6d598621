"""Figures of training runs (extra ``plot``); `asymfast.phase_diagram` has a figure of its own."""

from asymfast.plot.figures import save, training_figure
from asymfast.plot.style import FigureError, require_matplotlib

__all__ = ["FigureError", "require_matplotlib", "save", "training_figure"]
