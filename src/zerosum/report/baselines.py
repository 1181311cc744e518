"""The part of the page that sets the run beside classical models: a sentence, their samples, a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from zerosum.report.comparison import THIS_RUN, Row, compare
from zerosum.report.measures import BETTER
from zerosum.report.previews import Gallery, Picture, shown
from zerosum.report.read import Json, RunFolder, as_dict, as_list, number
from zerosum.report.words import duration, figure, text


def baselines_section(folder: RunFolder, gallery: Gallery) -> str:
    """The run's newest metrics beside those of the models in baselines.json, with samples of each."""
    records = [as_dict(record) for record in as_list(folder.last("evaluation").get("records"))]
    found = compare(folder.baselines, records, folder.recipe.get("conditional") is True)
    notes: list[str] = [*found.notes]
    pictures = [_figure(THIS_RUN, "Its newest samples.", gallery.fakes[-1] if gallery.fakes else None)]
    for model in map(as_dict, as_list(folder.baselines.get("baselines"))):
        picture = gallery.models.get(PurePath(str(model.get("picture", "none"))).name)
        pictures.append(_figure(str(model.get("name")), _told(model), picture))
    heads = "".join(f'<th scope="col">{text(_titled(name))}</th>' for name in found.columns)
    body = "".join(_row(row, found.columns) for row in _once(found.rows))
    told = "".join(f"<li>{text(note)}</li>" for note in notes)
    return (
        '<p class="lead">Classical models fitted to the same training data and measured by the same protocol: what a '
        f'generator must beat.</p><p class="finding">{text(found.sentence)}</p>'
        f'<div class="models">{"".join(pictures)}</div>'
        '<details class="more"><summary>Every measure of each model</summary>'
        '<div class="wide" tabindex="0" role="region" aria-label="Table of baselines"><table class="metrics">'
        f'<thead><tr><th scope="col">Metric</th>{heads}<th scope="col">Reference</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>" + (f'<ul class="notes">{told}</ul>' if told else "")
    )


def _once(rows: Sequence[Row]) -> list[Row]:
    """The rows, of the Fréchet distances only the first: that which the sentence is about."""
    distances = [row for row in rows if row.kind.startswith(("Fréchet", "FID"))]
    return [row for row in rows if row not in distances[1:]]


def _figure(name: str, words: str, picture: Picture | None) -> str:
    drawn = "" if picture is None else shown(picture, f"Grid of samples: {name}")
    return f'<figure><figcaption>{text(_titled(name))}</figcaption>{drawn}<p class="small">{text(words)}</p></figure>'


def _told(model: Json) -> str:
    """What was fitted, in a sentence, and how long it took."""
    summary, seconds = str(model.get("summary", "")), number(model.get("fit_s"))
    took = f" Fitted in {duration(seconds) if seconds >= 1 else 'less than a second'}." if seconds is not None else ""
    return f"{summary[:1].upper()}{summary[1:]}.{took}"


def _titled(name: str) -> str:
    return "PCA" if name == "pca" else name[:1].upper() + name[1:]


def _row(row: Row, columns: tuple[str, ...]) -> str:
    cells = "".join(
        f'<td data-label="{text(_titled(name))}">{_cell(cell, index in row.best)}</td>'
        for index, (name, cell) in enumerate(zip(columns, row.cells, strict=True))
    )
    better = BETTER.get(row.better, row.better)
    return (
        f'<tr><th scope="row" title="{text(row.meaning)}">{text(row.kind)}<small>{text(better)}</small>'
        f'<small>{text(row.tag)}</small></th>{cells}<td data-label="Reference">{text(row.reference or "none")}</td></tr>'
    )


def _cell(cell: float | None, best: bool) -> str:
    if cell is None:
        return "not measured"
    return f"<b>{figure(cell)}</b><small>best</small>" if best else figure(cell)
