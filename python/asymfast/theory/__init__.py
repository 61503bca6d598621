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

from asymfast.theory import activations
from asymfast.theory.activations import suprema
from asymfast.theory.assumptions import (
    Assumptions,
    Check,
    c_1,
    check_assumptions,
    d_0,
    output_moment,
    target_bound,
)
from asymfast.theory.certificate import Certificate, Claim, certify
from asymfast.theory.convergence import (
    LemmaE1,
    NtgChange,
    PropositionD1,
    SufficientCondition,
    Theorem41,
    TheoremA1,
    TheoremH1,
    Widths,
    lemma_e1,
    lemma_e2,
    lemma_e3,
    lemma_e4,
    lemma_e5,
    lemma_h2,
    lemma_h3,
    proposition_b1,
    proposition_d1,
    theorem_4_1,
    theorem_a1,
    theorem_h1,
)
from asymfast.theory.feature_learning import (
    Estimate,
    g_1,
    g_2,
    ntg_velocity,
    simulated_drift,
    simulated_ntg_velocity,
    theorem_4_3,
    theorem_4_4,
    theta_3,
)
from asymfast.theory.limits import (
    Kappa,
    MinEigenvalueLaw,
    Probability,
    Truncation,
    c_0,
    kappa_n,
    limiting_ntg,
    mean_ntg,
    min_eigenvalue_law,
    ntg_variance,
)
from asymfast.theory.scaling import (
    NodeScalingParts,
    PropositionB2,
    feature_learning_measure,
    node_scaling_parts,
    proposition_b2,
    sum_of_powers,
    zeta_ratio,
    zipf_tail,
    zipf_weights,
)

__all__ = [
    "Assumptions",
    "Certificate",
    "Check",
    "Claim",
    "Estimate",
    "Kappa",
    "LemmaE1",
    "MinEigenvalueLaw",
    "NodeScalingParts",
    "NtgChange",
    "Probability",
    "PropositionB2",
    "PropositionD1",
    "SufficientCondition",
    "Theorem41",
    "TheoremA1",
    "TheoremH1",
    "Truncation",
    "Widths",
    "activations",
    "c_0",
    "c_1",
    "certify",
    "check_assumptions",
    "d_0",
    "feature_learning_measure",
    "g_1",
    "g_2",
    "kappa_n",
    "lemma_e1",
    "lemma_e2",
    "lemma_e3",
    "lemma_e4",
    "lemma_e5",
    "lemma_h2",
    "lemma_h3",
    "limiting_ntg",
    "mean_ntg",
    "min_eigenvalue_law",
    "node_scaling_parts",
    "ntg_variance",
    "ntg_velocity",
    "output_moment",
    "proposition_b1",
    "proposition_b2",
    "proposition_d1",
    "simulated_drift",
    "simulated_ntg_velocity",
    "sum_of_powers",
    "suprema",
    "target_bound",
    "theorem_4_1",
    "theorem_4_3",
    "theorem_4_4",
    "theorem_a1",
    "theorem_h1",
    "theta_3",
    "zeta_ratio",
    "zipf_tail",
    "zipf_weights",
]
