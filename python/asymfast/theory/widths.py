"""How wide a theorem wants the network: numbers that need not fit into a float."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asymfast.theory import inputs

_LARGEST_LOG = math.log(1.7e308)


@dataclass(frozen=True)
class Widths:
    """The terms of a theorem's condition m >= max(...), kept as natural logarithms.

    Attributes
    ----------
    logs : tuple of float
        Natural logarithm of every term, in the order of the statement; -inf stands for 0.

    Examples
    --------
    >>> from asymfast import theory
    >>> width = theory.Widths(logs=(0.0, 800.0))
    >>> f"{width.log10:.2f}", width.met_by(1e300)
    ('347.44', False)
    >>> try:
    ...     width.required
    ... except OverflowError as error:
    ...     print(error)
    ...
    Widths: the width 10^347.436 exceeds the largest float; use log or log10
    """

    logs: tuple[float, ...]

    @property
    def log(self) -> float:
        """Natural logarithm of the width asked for, the largest term."""
        return max(self.logs)

    @property
    def log10(self) -> float:
        """Its decimal logarithm."""
        return self.log / math.log(10)

    @property
    def terms(self) -> tuple[float, ...]:
        """The terms as floats; never to be cast to an integer type, which they exceed.

        Raises
        ------
        OverflowError
            One of them exceeds the largest float.
        """
        if self.log > _LARGEST_LOG:
            raise OverflowError(
                f"Widths: the width 10^{self.log10:.6g} exceeds the largest float; use log or log10"
            )
        return tuple(math.exp(term) for term in self.logs)

    @property
    def required(self) -> float:
        """The width asked for, as a float.

        Raises
        ------
        OverflowError
            It exceeds the largest float.
        """
        return max(self.terms)

    def met_by(self, m: float) -> bool:
        """Whether a network of m nodes is wide enough."""
        return math.log(inputs.width("met_by", m)) >= self.log
