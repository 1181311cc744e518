"""Compares runs by one protocol (the same data, reals, extractor, number of samples and seeds), and draws a picture: samples side
by side, and metrics as bars with intervals."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerosum.domain import DatasetInfo, Domain, PreviewContext
from zerosum.domain.contract import EvalOptions
from zerosum.domain.glyphs import Glyphs, glyphs_for
from zerosum.errors import UserError
from zerosum.evaluation.evaluate_saved import SavedEvaluator
from zerosum.formatting import format_number, interval
from zerosum.report.comparison import SURE, Comparison, ComparisonRow, check_out, is_folder, side_by_side
from zerosum.report.read import as_dict
from zerosum.run_folder import RunFolder
from zerosum.store import write_durably

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SEED = 0
"""Seed of the choice of reals; samples use the next one. The same for all runs, independent of their own seeds."""
NUM_SHOWN, COLUMNS = 36, 6
MOST_BARS = 6
DARK, MUTED, GRID = "#1d2024", "#5b616a", "#ebeae4"
SERIES = ("#2459b8", "#b94d12", "#17735a", "#6b3fa0", "#8a6100", "#b3261e", "#1f7a8c")


@dataclass(frozen=True)
class ComparedRun:
    """One run: its short name, step, recipe, records as plain values, and samples to show with their condition."""

    name: str
    path: Path
    step: int
    recipe: str
    records: list[dict[str, Any]]
    samples: Tensor
    condition: Tensor | None

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "path": str(self.path),
            "step": self.step,
            "recipe": self.recipe,
            "records": self.records,
        }


@dataclass(frozen=True)
class RunComparison:
    """The runs and their table."""

    domain: Domain
    info: DatasetInfo
    entries: tuple[ComparedRun, ...]
    table: Comparison

    def to_json(self) -> dict[str, Any]:
        """Every record with its protocol, as plain values."""
        return {
            "source": self.info.name,
            "fingerprint": self.info.fingerprint,
            "sentence": self.table.sentence,
            "notes": list(self.table.notes),
            "runs": [entry.plain() for entry in self.entries],
        }


def compare_runs(
    paths: Sequence[Path], options: EvalOptions, log: Callable[[str], None], picture: bool = False
) -> RunComparison:
    """Measures the published generator of each run. UserError for fewer than two runs, for runs on different data, and, where a
    `picture` of them is wanted, for a domain whose samples are no pictures."""
    if len(paths) < 2:
        raise UserError("compare needs at least two runs.")
    folders = [RunFolder.open(path) for path in paths]
    _check_same_data(folders)
    measurer = SavedEvaluator(folders[0], options, SEED)
    domain = measurer.plan.domain
    if picture and not domain.media.draws:
        raise UserError(
            f"compare: samples of the domain {domain.name!r} are shown as {domain.media.preview_ending}, so there is no picture "
            "of runs side by side. Give --out compare.json for all records."
        )
    names, entries = _names(paths), []
    for name, folder in zip(names, folders, strict=True):
        log(f"{name}: measuring {measurer.evaluator.num_samples:,} samples ...")
        step, sampler, recipe = measurer.load_generator(folder.root)
        records = measurer.measure_sampler(step, sampler, recipe).plain()
        num = domain.media.num_shown or NUM_SHOWN
        condition = sampler.conditions(num, SEED)
        samples = domain.media.postprocess(sampler.sample(num, SEED, condition), recipe)
        entries.append(ComparedRun(name, folder.root, step, recipe.name, records, samples, condition))
    table = side_by_side(names, [entry.records for entry in entries])
    return RunComparison(measurer.plan.domain, measurer.plan.info, tuple(entries), table)


def _check_same_data(folders: Sequence[RunFolder]) -> None:
    """UserError for the first pair of runs with different data; the message names the difference."""
    descriptions = [folder.read("run.json") for folder in folders]
    first = descriptions[0]
    for folder, other in zip(folders[1:], descriptions[1:], strict=True):
        one, two = as_dict(first.get("source")), as_dict(other.get("source"))
        if first.get("domain") != other.get("domain"):
            why = f"one makes {first.get('domain')}, the other {other.get('domain')}"
        elif one.get("shape") != two.get("shape"):
            why = f"{one.get('summary')} against {two.get('summary')}"
        elif one.get("fingerprint") != two.get("fingerprint"):
            prints = (str(one.get("fingerprint"))[:12], str(two.get("fingerprint"))[:12])
            why = f"{one.get('name')} (fingerprint {prints[0]}) against {two.get('name')} (fingerprint {prints[1]})"
        else:
            continue
        raise UserError(
            f"{folders[0]} and {folder} were trained on different data: {why}. Their numbers say nothing about each other; "
            "train both on the same data, with the same data.* settings."
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are unique; UserError when a run is given twice."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise UserError("compare: a run is given twice.")
    for length in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


# --- the picture


def save(comparison: RunComparison, out: Path) -> list[Path]:
    """Writes the comparison to a .png (picture), to a .json (all records), or into a folder as compare.json and, where samples
    are pictures, compare.png. Returns the files. UserError for another ending (`report.comparison.check_out`)."""
    check_out(out)
    files = [out]
    if is_folder(out):
        files = [out / "compare.png"] * bool(comparison.domain.media.draws) + [out / "compare.json"]
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                draw(comparison, path)
            else:
                write_durably(path, (json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror or error}. Choose another path with --out.") from None
    return files


def draw(comparison: RunComparison, path: Path) -> None:
    """Writes the picture as a PNG. Runs whose names no font can draw are numbered in the order in which they are drawn."""
    glyphs, body = glyphs_for(entry.name + entry.recipe for entry in comparison.entries), io.BytesIO()
    with glyphs.drawing():
        _figure(comparison, glyphs).savefig(body, format="png", facecolor="white")
    write_durably(path, body.getvalue())


def _figure(comparison: RunComparison, glyphs: Glyphs) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = _rows_to_draw(comparison.table.rows)
    count = len(comparison.entries)
    width = max(9.0, 3.0 * count)
    heights = (width / count * 1.08, 2.9 if rows else 0.1)
    figure = Figure(figsize=(width, sum(heights)), dpi=110, layout=ConstrainedLayoutEngine(h_pad=0.12))
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    for index, (axes, entry) in enumerate(zip(_axes_row(upper, count), comparison.entries, strict=True)):
        axes.imshow(_sample_grid(comparison, entry), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        recipe = "" if entry.recipe == entry.name else f"{entry.recipe}, "
        title = f"{glyphs.shown(entry.name, f'run {index + 1}')}\n{recipe}step {entry.step:,}"
        axes.set_title(title, fontsize=11, color=SERIES[index % len(SERIES)], weight="bold", linespacing=1.4)
        axes.axis("off")
    for axes, row in zip(_axes_row(lower, len(rows)), rows, strict=True):
        _draw_bars(axes, row)
    return figure


def _rows_to_draw(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The first row of each kind of metric that ranks runs; rows with errors only, where there are any."""
    ranks = [row for row in rows if row.better in ("lower", "higher", "near 1") and "infinity" not in row.kind]
    sure = [row for row in ranks if None not in row.errors] or ranks
    return list({row.kind: row for row in reversed(sure)}.values())[::-1][:MOST_BARS]


def _axes_row(part: SubFigure, count: int) -> list[Axes]:
    return list(part.subplots(1, count, squeeze=False)[0]) if count else []


def _sample_grid(comparison: RunComparison, entry: ComparedRun) -> Any:
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"grid{comparison.domain.media.preview_ending}"
        made = entry.samples.new_empty(len(entry.samples), 0)  # the noise is not known here
        context = PreviewContext(COLUMNS, comparison.info, made, condition=entry.condition)
        comparison.domain.media.preview(entry.samples, path, context)
        with Image.open(path) as image:
            return np.asarray(image)


def _draw_bars(axes: Axes, row: ComparisonRow) -> None:
    for index, (cell, known) in enumerate(zip(row.cells, row.errors, strict=True)):
        value, color = cell or 0.0, SERIES[index % len(SERIES)]
        low, high = interval(row.kind, value, SURE * (known or 0.0))
        ends = [[value - low], [high - value]]
        axes.bar(index, value, 0.68, yerr=ends, color=color, ecolor=DARK, capsize=4, error_kw={"lw": 1.2})
        mark, top = "★ " if index in row.best else "", max(0.0, high)
        label = f"{mark}{format_number(value, 3)}"
        axes.annotate(label, (index, top), (0, 3), textcoords="offset points", ha="center", fontsize=9, color=DARK)
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
