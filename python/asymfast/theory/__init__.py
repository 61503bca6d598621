"""The paper's statements as plain NumPy, independent of the compiled core: they can judge it.

===================  ========================================================================
`mean_ntg`           Theta*, the mean neural tangent Gram matrix at initialisation
`activations`        sigma, sigma' and sigma'' of every activation, and the suprema of the
                     derivatives, which the theorems take as constants
===================  ========================================================================
"""

from __future__ import annotations

from asymfast.theory import activations
from asymfast.theory.mean_ntg import mean_ntg

__all__ = ["activations", "mean_ntg"]
