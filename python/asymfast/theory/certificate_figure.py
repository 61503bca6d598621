"""A certificate as a figure: the four claims against their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asymfast.theory.certificate import Certificate, Claim

# Okabe and Ito's palette, as in the other figures of the package.
_OBSERVED, _BOUND, _MEASURED = "#0072B2", "#D55E00", "#009E73"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
}
_PANELS = {
    "(a)": (r"smallest eigenvalue of the NTG", r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$"),
    "(b)": ("training risk", r"$L_m$"),
    "(c)": (
        "largest scaled weight change",
        r"$\max_j \Vert w_{tj} - w_{0j} \Vert / \sqrt{\lambda_j}$",
    ),
    "(d)": ("change of the NTG", r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert$"),
}
_MEASURED_IN = {"(b)": ("E.1 loss", "H.3 loss"), "(c)": ("E.1 weights",)}


def certificate_figure(certificate: Certificate, title: str | None = None) -> Figure:
    """Draw (a) to (d) over time: what was observed, the theorem's bound, the measured one.

    Values that are not positive have no place on the logarithmic axes and are left out. Crosses
    mark records at which the bound is not kept.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError(
            "plotting needs matplotlib; install it with: pip install 'asymfast[plot]'"
        ) from missing

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8.0, 6.0), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True)
        for axes, name in zip(panels.flat, _PANELS, strict=True):
            _panel(axes, name, certificate)
        for axes in panels[1]:
            axes.set_xlabel("time $t$ of the gradient flow of $L_m$")
        handles: dict[str, Any] = {}
        for axes in panels.flat:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=len(handles) or 1,
            frameon=False,
        )
        figure.suptitle(title or _verdicts(certificate))
    return figure


def _verdicts(certificate: Certificate) -> str:
    holds = {True: "holds", False: "fails", None: "is undecided"}[certificate.holds]
    applies = "applies" if certificate.applies else "does not apply"
    return f"{certificate.theorem} {applies}; its conclusion {holds}"


def _panel(axes: Axes, name: str, certificate: Certificate) -> None:
    title, symbol = _PANELS[name]
    axes.set_title(f"{name} {title}")
    axes.set_ylabel(symbol)
    claim = certificate.claims.get(name)
    drawn = False
    if claim is not None:
        drawn |= _line(axes, certificate, claim, claim.observed, "observed", _OBSERVED, "-", "o")
        drawn |= _line(axes, certificate, claim, claim.bound, "bound", _BOUND, (0, (6, 1.5)), None)
        failed = ~claim.passed & np.isfinite(claim.observed) & (claim.observed > 0)
        if failed.any():
            axes.plot(
                certificate.time[claim.records[failed]],
                claim.observed[failed],
                "x",
                color="black",
                label="bound exceeded",
            )
    for other in _MEASURED_IN.get(name, ()):
        measured = certificate.measured.get(other)
        if measured is None:
            continue
        if claim is None:
            drawn |= _line(
                axes, certificate, measured, measured.observed, "observed", _OBSERVED, "-", "o"
            )
        drawn |= _line(
            axes,
            certificate,
            measured,
            measured.bound,
            f"bound, {measured.source} (measured)",
            _MEASURED,
            (0, (1.5, 1.2)),
            None,
        )
    if drawn:
        axes.set_yscale("log")
    else:
        axes.text(0.03, 0.04, "no bound, or not recorded", transform=axes.transAxes, fontsize=8)


def _line(
    axes: Axes,
    certificate: Certificate,
    claim: Claim,
    values: npt.NDArray[np.float64],
    label: str,
    colour: str,
    dashes: Any,
    marker: str | None,
) -> bool:
    """Draw the positive values; whether there were any."""
    shown = np.isfinite(values) & (values > 0)
    if not shown.any():
        return False
    axes.plot(
        certificate.time[claim.records],
        np.where(shown, values, np.nan),
        color=colour,
        linestyle=dashes,
        marker=marker,
        markersize=3,
        label=label,
    )
    return True
