"""The paper's statements in plain NumPy, independent of the compiled core, to check it.

Scaling
    `node_scaling_parts` (Eq. 1), `zipf_weights`, `zipf_tail` (Eq. 35), `zeta_ratio` (Figure 1),
    `sum_of_powers`, `proposition_b2`, `feature_learning_measure` (below Eq. 7).
Limits of wide networks
    `mean_ntg`, `kappa_n`, `limiting_ntg` (Proposition 3.1), `c_0`, `ntg_variance` (Eq. 7),
    `min_eigenvalue_law`.
Constants and assumptions
    `activations`, `suprema`, `output_moment`, `c_1` (Eq. 8), `d_0`, `target_bound`,
    `check_assumptions` (2.1 to 2.3).
Convergence
    `theorem_4_1`, `theorem_a1`, `theorem_h1`, `proposition_b1`, `proposition_d1`, `lemma_e1` to
    `lemma_e5`, `lemma_h2`, `lemma_h3`, `Widths`.
Feature learning
    `g_1`, `theorem_4_3`, `g_2`, `theorem_4_4`, `theta_3` (Eq. 34), `ntg_velocity`,
    `simulated_drift`, `simulated_ntg_velocity`.
Certificates
    `certify`: compares a training run with the convergence theorems.

If a result or an intermediate number exceeds the range of float64, a function raises OverflowError
with its name. Results are finite unless a docstring says otherwise, and do not depend on the
caller's `numpy.seterr`.

Only NumPy is needed, except for the confidence intervals of `MinEigenvalueLaw` (SciPy, extra
``theory``) and the figure of a certificate (matplotlib, extra ``plot``).
"""

from __future__ import annotations

import asymfast.theory.assumptions as assumptions
import asymfast.theory.certificate as certificate
import asymfast.theory.convergence as convergence
import asymfast.theory.feature_learning as feature_learning
import asymfast.theory.limits as limits
import asymfast.theory.scaling as scaling
from asymfast.theory import activations
from asymfast.theory.activations import suprema
from asymfast.theory.assumptions import *
from asymfast.theory.certificate import *
from asymfast.theory.convergence import *
from asymfast.theory.feature_learning import *
from asymfast.theory.limits import *
from asymfast.theory.scaling import *

__all__ = ["activations", "suprema"]
__all__ += assumptions.__all__ + certificate.__all__ + convergence.__all__
__all__ += feature_learning.__all__ + limits.__all__ + scaling.__all__
