"""Figures of lessons: 900 x 500 pixels, the colours of the report, thin dark lines for theory, dots for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of the report's page; colour-blind readers can tell them apart.
REAL, GENERATOR, DISCRIMINATOR = "#17735a", "#b94d12", "#2459b8"
THEORY, MUTED, GRID, PAPER = "#1d2024", "#5b616a", "#ebeae4", "#ffffff"
OTHER = "#6b3fa0"
SERIES = (DISCRIMINATOR, GENERATOR, REAL, OTHER, "#8a6100", "#b3261e", "#1f7a8c")

# Line styles of theory and engine, the same in every lesson.
AS_THEORY: dict[str, Any] = {"color": THEORY, "linewidth": 1.3, "linestyle": (0, (5, 3))}
AS_ENGINE: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5}


def sheet(
    title: str, panels: Sequence[str] = ("",), widths: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of 900 x 500 pixels with a row of panels, one for each title; `save` writes it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=100, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    figure.suptitle(title, fontsize=13, color=THEORY, weight="bold")
    grid = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"width_ratios": widths} if widths else None)[0]
    for axes, words in zip(grid, panels, strict=True):
        axes.set_title(words, fontsize=11, color=MUTED)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=MUTED, labelsize=9)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(GRID)
    return figure, list(grid)


def label(axes: Axes, across: str, up: str, legend: Any = "best") -> None:
    """Labels the axes and adds the legend; legend: a location of matplotlib, None for no legend."""
    axes.set_xlabel(across, fontsize=10, color=MUTED)
    axes.set_ylabel(up, fontsize=10, color=MUTED)
    if legend:
        axes.legend(loc=legend, fontsize=9, frameon=True, framealpha=0.92, edgecolor=GRID, labelcolor=THEORY)


def save(figure: Figure, path: Path) -> None:
    """Writes the figure in the format of the suffix, such as .png."""
    figure.savefig(path, facecolor=PAPER)
