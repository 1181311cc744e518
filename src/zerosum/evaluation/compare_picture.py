"""One picture of several runs: their samples side by side, and their measures as bars with intervals."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.domain import PreviewContext
from zerosum.domain.glyphs import Glyphs, glyphs_for
from zerosum.evaluation.compare import COLUMNS, ComparedRun, RunComparison
from zerosum.formatting import format_number, interval
from zerosum.report.comparison import SURE, ComparisonRow
from zerosum.store import write_durably

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_BARS = 6
DARK, MUTED, GRID = "#1d2024", "#5b616a", "#ebeae4"
SERIES = ("#2459b8", "#b94d12", "#17735a", "#6b3fa0", "#8a6100", "#b3261e", "#1f7a8c")


def draw(contest: RunComparison, path: Path) -> None:
    """Writes the picture as a PNG. Runs whose names no font can draw are numbered in the order in which they are drawn."""
    glyphs, body = glyphs_for(entry.name + entry.recipe for entry in contest.entries), io.BytesIO()
    with glyphs.drawing():
        _figure(contest, glyphs).savefig(body, format="png", facecolor="white")
    write_durably(path, body.getvalue())


def _figure(contest: RunComparison, glyphs: Glyphs) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = _drawn(contest.table.rows)
    count = len(contest.entries)
    width = max(9.0, 3.0 * count)
    heights = (width / count * 1.08, 2.9 if rows else 0.1)
    figure = Figure(figsize=(width, sum(heights)), dpi=110, layout=ConstrainedLayoutEngine(h_pad=0.12))
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    for index, (axes, entry) in enumerate(zip(_across(upper, count), contest.entries, strict=True)):
        axes.imshow(_grid(contest, entry), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        recipe = "" if entry.recipe == entry.name else f"{entry.recipe}, "
        told = f"{glyphs.shown(entry.name, f'run {index + 1}')}\n{recipe}step {entry.step:,}"
        axes.set_title(told, fontsize=11, color=SERIES[index % len(SERIES)], weight="bold", linespacing=1.4)
        axes.axis("off")
    for axes, row in zip(_across(lower, len(rows)), rows, strict=True):
        _bars(axes, row)
    return figure


def _drawn(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The first row of each kind that ranks, and has an error where any has."""
    ranks = [row for row in rows if row.better in ("lower", "higher", "near 1") and "infinity" not in row.kind]
    sure = [row for row in ranks if None not in row.errors] or ranks
    return list({row.kind: row for row in reversed(sure)}.values())[::-1][:MOST_BARS]


def _across(part: SubFigure, count: int) -> list[Axes]:
    return list(part.subplots(1, count, squeeze=False)[0]) if count else []


def _grid(contest: RunComparison, entry: ComparedRun) -> Any:
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.png"
        made = entry.samples.new_empty(len(entry.samples), 0)  # the noise is not known here
        contest.domain.media.preview(entry.samples, path, PreviewContext(COLUMNS, contest.info, made))
        with Image.open(path) as image:
            return np.asarray(image)


def _bars(axes: Axes, row: ComparisonRow) -> None:
    for index, (cell, known) in enumerate(zip(row.cells, row.errors, strict=True)):
        value, color = cell or 0.0, SERIES[index % len(SERIES)]
        low, high = interval(row.kind, value, SURE * (known or 0.0))
        ends = [[value - low], [high - value]]
        axes.bar(index, value, 0.68, yerr=ends, color=color, ecolor=DARK, capsize=4, error_kw={"lw": 1.2})
        mark, top = "★ " if index in row.best else "", max(0.0, high)
        told = f"{mark}{format_number(value, 3)}"
        axes.annotate(told, (index, top), (0, 3), textcoords="offset points", ha="center", fontsize=9, color=DARK)
    if row.floor is not None:
        axes.axhline(row.floor, color=DARK, lw=1, ls=(0, (4, 3)))
    wanted = {"lower": "lower is better", "higher": "higher is better"}.get(row.better, row.better)
    axes.set_title(row.kind, fontsize=10, color=DARK)
    num = next((part for part in row.tag.strip("[]").split(",") if part.startswith("n=")), "")
    axes.set_xlabel(f"{wanted}\n{num}".strip(), fontsize=8.5, color=MUTED)
    axes.set_xticks([])
    axes.margins(y=0.2)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "left")
        spine.set_color(GRID)
