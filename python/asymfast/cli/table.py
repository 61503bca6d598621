"""Aligned text tables and the number formats that go into them."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """Lay out rows of text in columns.

    Parameters
    ----------
    header : sequence of str
        Column titles; a rule of dashes separates them from the rows. Without titles (an empty
        sequence) there is no rule either.
    rows : sequence of sequences of str
        Cells, all rows of the same length.
    left : int
        So many leading columns are aligned to the left, the others to the right.

    Returns
    -------
    str
        Lines without trailing blanks, joined by newlines.
    """
    lines = [list(header), *map(list, rows)] if header else list(map(list, rows))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if header:
        lines.insert(1, ["-" * width for width in widths])

    def laid_out(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(map(laid_out, lines))


def number(value: float) -> str:
    """Show four significant digits, with an exponent where that is shorter: ``1.234e-09``."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """Show a fraction as a percentage with three significant digits: ``6.02 %``, ``112 %``."""
    return f"{100 * value:.3g} %"


def setting_name(gamma: float, alpha: float | None, *, symbols: bool = False) -> str:
    """Name a node scaling: ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
    g, a = (r"$\gamma$", r"$\alpha$") if symbols else ("gamma", "alpha")
    return f"{g} = {gamma:g}" + ("" if alpha is None else f", {a} = {alpha:g}")
