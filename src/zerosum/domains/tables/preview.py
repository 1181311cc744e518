"""The picture of a table: the generated and real distributions of each column, and the associations of columns; and the summary
of the training rows that it needs, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from zerosum.domain import PreviewContext
from zerosum.domain.glyphs import Glyphs, glyphs_for
from zerosum.domains.tables import transform
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.table import Column, Floats, Table
from zerosum.domains.tables.table_similarity import NumericMatrix, associations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_SHOWN = 4_000
"""Number of rows of a picture."""
INK, MUTED, LINE = "#1d2024", "#5b616a", "#c9c8c0"
REAL, FAKE = "#17735a", "#b94d12"
ACROSS, WIDE, HIGH = 4, 250, 150
"""Panels in a line, and the size of one in pixels."""
FEWEST_MAPPED = 100
"""The least number of rows for associations: with 100 rows their noise is about 0.1."""
TOP, MAPS, NUMBERED = 44, 330, 28
"""The heights of the line with the legend, of the maps, and of the line that explains numbers in place of names."""
LONGEST = 18
MOST_COLUMNS, MOST_LEVELS, NUM_BINS, MOST_ROWS = 24, 9, 24, 20_000
"""Columns and bars of a picture at most, and rows that its numbers are taken from."""


# --- the summary of the training rows


def summary(train: Table) -> dict[str, Any]:
    """{"columns": [...], "associations": (C, C), null where undefined} of the first MOST_COLUMNS learnt columns.

    A column: name, edges (numbers) or levels (codes; None stands for all others), shares of the bars, missing share.
    """
    rows = NumericMatrix.of(train)
    if len(rows) > MOST_ROWS:
        rows = rows.rows(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64))
    rows = first_columns(rows)
    columns = []
    for name, numeric, values in zip(rows.names, rows.numeric, rows.values.T):
        column: dict[str, Any] = {
            "name": name,
            **({"edges": _edges(values)} if numeric else {"levels": _levels(values)}),
        }
        shares, missing = bars(values, column)
        columns.append(column | {"shares": [round(float(x), 5) for x in shares], "missing": round(missing, 5)})
    table = [[None if np.isnan(x) else round(float(x), 3) for x in row] for row in associations(rows)]
    return {"columns": columns, "associations": table}


def first_columns(rows: NumericMatrix) -> NumericMatrix:
    """The columns that pictures show."""
    return NumericMatrix(rows.names[:MOST_COLUMNS], rows.numeric[:MOST_COLUMNS], rows.values[:, :MOST_COLUMNS])


def bars(values: Floats, column: Mapping[str, Any]) -> tuple[Floats, float]:
    """The shares of all rows in each bar of a summary's column, those beyond the edges in the outermost; the share missing."""
    if "levels" in column:
        known = [level for level in column["levels"] if level is not None]
        counts = [float((values == level).mean()) for level in known]
        return np.array(counts + [1 - sum(counts)] * (len(known) < len(column["levels"]))), 0.0
    edges = np.array(column["edges"])
    there = values[~np.isnan(values)]
    inside = np.histogram(np.clip(there, edges[0], edges[-1]), edges)[0]
    return inside / max(1, len(values)), 1 - len(there) / max(1, len(values))


def _edges(values: Floats) -> list[float]:
    """Equal bins from the 0.5th to the 99.5th percentile; of few whole numbers, one bin each; few bins for few rows."""
    there = values[~np.isnan(values)]
    low, high = np.percentile(there, [0.5, 99.5]) if len(there) else (0.0, 1.0)
    if low == high:
        low, high = float(there.min()), float(there.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    whole = bool((there == np.round(there)).all())
    if whole and high - low < NUM_BINS:
        return [float(x) for x in np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)]
    num = min(NUM_BINS, max(6, round(2 * len(there) ** (1 / 3))))
    return [float(x) for x in np.linspace(low, high, num + 1)]


def _levels(values: Floats) -> Sequence[int | None]:
    """The commonest levels, None for the others."""
    counts = np.bincount(values.astype(np.int64))
    order = np.argsort(-counts, kind="stable")
    shown: list[int | None] = [int(level) for level in order[:MOST_LEVELS]]
    return [*shown, None] if len(counts) > MOST_LEVELS else shown


# --- the picture


def picture(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """One PNG of rows (N, D): a panel for each column with that of the training rows, then the associations of columns: real
    rows, these rows, and the difference. Names that no font of the system can draw are replaced by numbers, with a note."""
    fit = transform.from_payload(context.info.payload)
    known, rows = context.info.payload["summary"], first_columns(NumericMatrix.of(fit.decode(samples)))
    labels = _labels(rows.names, known, fit.columns)
    with labels.glyphs.drawing():
        figure = _draw_figure(rows, known, labels, context.noise is not None)
        figure.savefig(path, format="png", metadata={"Software": None})


@dataclass(frozen=True)
class Labels:
    """columns: the drawn columns. names: the titles of their panels. glyphs: the fonts."""

    columns: Sequence[Column]
    names: Sequence[str]
    glyphs: Glyphs


def _labels(names: Sequence[str], known: Mapping[str, Any], columns: Sequence[Column]) -> Labels:
    number = {column.name: place for place, column in enumerate(columns)}
    drawn = [columns[number[name]] for name in names]
    levels = [
        column.levels[level] or ""
        for column, one in zip(drawn, known["columns"])
        for level in one.get("levels", ())
        if level is not None
    ]
    glyphs = glyphs_for([*names, *levels])
    return Labels(drawn, [glyphs.shown(name, f"column {number[name] + 1}") for name in names], glyphs)


def _draw_figure(rows: NumericMatrix, known: Mapping[str, Any], labels: Labels, is_generated: bool) -> Figure:
    lines = -(-len(rows.names) // ACROSS)
    numbered = NUMBERED if labels.glyphs.lacking else 0
    width, height = ACROSS * WIDE, TOP + lines * HIGH + (MAPS if len(rows.names) > 1 else 0) + numbered
    figure = _figure(width, height)
    _key(figure, is_generated, height)
    for c, column in enumerate(known["columns"]):
        across, down = c % ACROSS, c // ACROSS
        place = (across * WIDE + 14, TOP + down * HIGH + 22, WIDE - 28, HIGH - 48)
        _panel(_axes(figure, place, width, height), rows.values[:, c], column, labels, c, is_generated)
    if len(rows.names) > 1:
        _maps(figure, rows, known, labels, is_generated, TOP + lines * HIGH, (width, height))
    if numbered:
        words = "No installed font has the characters of some names: columns are numbered as in the table, levels by frequency."
        figure.text(14 / width, 10 / height, words, fontsize=9, color=MUTED)
    return figure


def _figure(width: int, height: int) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, place: tuple[int, int, int, int], width: int, height: int) -> Axes:
    """place: left, top, width, height in pixels, from the upper left corner."""
    left, top, wide, high = place
    return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))


def _key(figure: Figure, is_generated: bool, height: int) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=REAL, alpha=0.35, label="training rows")]
    handles.append(
        Patch(
            fill=False,
            edgecolor=FAKE if is_generated else INK,
            linewidth=1.6,
            label="generated" if is_generated else "these real rows",
        )
    )
    figure.legend(
        handles=handles, loc="center", bbox_to_anchor=(0.5, 1 - 20 / height), ncols=2, frameon=False, fontsize=11
    )


# --- columns


def _panel(
    axes: Axes, values: Floats, known: Mapping[str, Any], labels: Labels, number: int, is_generated: bool
) -> None:
    """Real shares as filled bars, generated ones as an outline; heights are square roots, so that rare values are visible."""
    shares, missing = bars(values, known)
    real, edges = np.array(known["shares"]), np.array(known.get("edges", np.arange(len(known["shares"]) + 1) - 0.5))
    if known["missing"] or missing:
        real, shares = np.append(real, known["missing"]), np.append(shares, missing)
        edges = np.append(edges, edges[-1] + (edges[-1] - edges[-2]))
    outline = FAKE if is_generated else INK
    if "edges" in known:
        axes.stairs(np.sqrt(real), edges, fill=True, color=REAL, alpha=0.35, linewidth=0)
        axes.stairs(np.sqrt(shares), edges, color=outline, linewidth=1.4)
    else:
        places = np.arange(len(real))
        axes.bar(places, np.sqrt(real), 0.88, color=REAL, alpha=0.35, linewidth=0)
        axes.bar(places, np.sqrt(shares), 0.88, fill=False, edgecolor=outline, linewidth=1.4)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * math.sqrt(max(real.max(), shares.max(), 1e-9))), yticks=[])
    axes.set_title(_short(labels.names[number], 27), fontsize=10, color=INK, loc="left", pad=3)
    _ticks(axes, known, labels, number, edges, bool(known["missing"] or missing))
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, pad=2)


def _ticks(axes: Axes, known: Mapping[str, Any], labels: Labels, number: int, edges: Floats, missing: bool) -> None:
    """The ends of a range in the column's own spelling; the levels' names where they fit, else their beginnings."""
    last, column = len(edges) - 2, labels.columns[number]
    if "edges" in known:
        ends = [known["edges"][0], known["edges"][-1]]
        words = [_format_value(column, value) for value in ends]
        where = ends
        if missing:
            words, where = [*words[:1], "missing"], [ends[0], (edges[-1] + edges[-2]) / 2]
        axes.set_xticks(where, words)
        first, final = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        final.set_horizontalalignment("right")
        return
    names = ["rest" if level is None else _short(_level(labels.glyphs, column, level)) for level in known["levels"]]
    room = int(27 / max(1, last + 1))
    words = [name if last < 3 else _short(name, max(4, room)) for name in names]
    axes.set_xticks(np.arange(len(words)), words)


def _level(glyphs: Glyphs, column: Column, level: int) -> str:
    return glyphs.shown(str(column.levels[level]).strip() or "(empty)", f"level {level + 1}")


def _format_value(column: Column, value: float) -> str:
    if isinstance(column.form, DateFormat) or (column.form and column.form.offset):
        return column.form.format(np.array([value]))[0].strip()
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _short(word: str, most: int = LONGEST) -> str:
    return word if len(word) <= most else word[: most - 1] + "…"


# --- associations


def _maps(
    figure: Figure,
    rows: NumericMatrix,
    known: Mapping[str, Any],
    labels: Labels,
    is_generated: bool,
    top: int,
    size: tuple[int, int],
) -> None:
    """The association of each two columns: real, generated, and the difference."""
    real = np.array([[np.nan if x is None else x for x in row] for row in known["associations"]])
    few = len(rows.values) < FEWEST_MAPPED
    here = real if few else associations(rows)
    width, height = size
    side = 230
    titles = ("associations: training rows", "generated" if is_generated else "these real rows", "difference")
    if few:
        words = f"{len(rows.values)} rows are too few for\nassociations of columns:\nuse {FEWEST_MAPPED} or more"
        figure.text(0.55, 1 - (top + 34 + side / 2) / height, words, fontsize=11, color=MUTED, va="center")
    for index, (table, title) in enumerate(zip((real, here, here - real)[: 1 if few else 3], titles)):
        axes = _axes(figure, (120 + index * (side + 58), top + 34, side, side), width, height)
        image = axes.imshow(table, vmin=-1, vmax=1, cmap=_colours(), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10, color=INK, loc="left", pad=4)
        for spine in axes.spines.values():
            spine.set_color(LINE)
        if index == 0:
            axes.set_yticks(range(len(rows.names)), [_short(name, 16) for name in labels.names])
            axes.tick_params(length=0, labelsize=8 if len(rows.names) < 18 else 6.5, labelcolor=MUTED)
        if index == 2:
            off = np.abs(here - real)[~np.eye(len(real), dtype=bool)]
            axes.set_xlabel(f"mean {np.nanmean(off):.3f}, largest {np.nanmax(off):.3f}", fontsize=9, color=MUTED)
    bar = _axes(figure, (width - 42, top + 34, 10, side), width, height)
    scale = figure.colorbar(image, cax=bar, ticks=[-1, 0, 1])
    scale.outline.set_edgecolor(LINE)
    bar.tick_params(length=0, labelsize=8, labelcolor=MUTED)


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("between", ["#2459b8", "#ffffff", "#b94d12"])
