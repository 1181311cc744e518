"""Sections of the page: data, recipe, next steps, and classical models for comparison."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from zerosum.formatting import format_duration, format_number
from zerosum.report.comparison import THIS_RUN, ComparisonRow, compare
from zerosum.report.markup import pairs, text
from zerosum.report.measures import BETTER
from zerosum.report.previews import Gallery, Picture, picture_button, player
from zerosum.report.read import Json, RunContents, as_dict, as_list, number


def data_section(folder: RunContents) -> str:
    """The source of the real samples."""
    source = as_dict(folder.run.get("source"))
    if not source:
        return '<p class="empty">The source of the data is not recorded in the run folder.</p>'
    condition, payload = as_dict(source.get("condition")), as_dict(source.get("payload"))
    shown = {
        "rows": source.get("num_rows"),
        "held out": source.get("num_heldout"),
        "shape": source.get("shape"),
        "classes": as_list(payload.get("class_names")),
        str(condition.get("kind")): condition.get("names"),
        "columns": [
            f"{one.get('name')} ({one.get('kind')})" for one in map(as_dict, as_list(payload.get("columns"))) if one
        ],
        "fingerprint": source.get("fingerprint"),
    }
    notes = "".join(f"<li>{text(note)}</li>" for note in as_list(source.get("notes")))
    description = source.get("summary")
    summary = f"<b>{text(source.get('name', ''))}</b> {text(description) if isinstance(description, str) else ''}"
    kept = {key: value for key, value in shown.items() if value not in (None, [], {})}
    return f'<p class="lead">{summary}</p>{pairs(kept)}' + (f"<ul>{notes}</ul>" if notes else "")


def recipe_section(folder: RunContents) -> str:
    """The full recipe by dotted path, as in `--set path=value`."""
    recipe = folder.recipe
    if not recipe:
        return '<p class="empty">The recipe cannot be shown: recipe.json is missing or broken.</p>'
    parts = [f'<p class="lead"><b>{text(recipe.get("name", "unnamed"))}</b> {text(recipe.get("why", ""))}</p>']
    sources = "".join(f"<li>{_link_addresses(str(source))}</li>" for source in as_list(recipe.get("sources")))
    if sources:
        parts.append(f'<h3>Sources to cite</h3><ul id="sources">{sources}</ul>')
    rest = {key: value for key, value in recipe.items() if key not in ("name", "why", "sources")}
    table = pairs(dict(_flat(rest, "")))
    parts.append(
        f"<details><summary>Every setting, by the path that <code>--set</code> takes</summary>{table}</details>"
    )
    return "".join(parts)


def _flat(value: Json, prefix: str) -> Iterator[tuple[str, object]]:
    for key, one in value.items():
        if isinstance(one, dict) and one:
            yield from _flat(one, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", one


def _link_addresses(source: str) -> str:
    """A source as text, its web addresses as links (followed only when clicked)."""
    parts = re.split(r"(https?://[^\s<>\"']*[^\s<>\"'.,;)])", source)
    links = (f'<a href="{text(part)}" rel="noopener noreferrer">{text(part)}</a>' for part in parts[1::2])
    return "".join(word for pair in zip(map(text, parts[::2]), [*links, ""]) for word in pair)


def next_section(folder: RunContents) -> str:
    """Commands for the next steps, and the versions that made the run."""
    place, status = shlex.quote(str(folder.path)), folder.status
    steps = number(status.get("steps"))
    further = f" --steps {2 * int(steps)}" if status.get("state") == "finished" and steps else ""
    out = shlex.quote(str(folder.run.get("samples_file") or "samples.png"))
    commands = {
        "Go on training": f"zerosum resume {place}{further}",
        "Draw new samples": f"zerosum sample {place} --num 64 --seed 1 --out {out}",
        "Measure again": f"zerosum evaluate {place}",
        "Compare with classical models": f"zerosum baseline {place}",
        "Write this page again": f"zerosum report {place}",
    }
    if folder.run.get("has_baselines") is False:  # missing in older files run.json
        del commands["Compare with classical models"]
    rows = "".join(
        f"<div><dt>{label}</dt><dd><code>{text(command)}</code></dd></div>" for label, command in commands.items()
    )
    run = folder.run
    keys = ("created", "zerosum", "torch", "device", "threads", "processes", "precision")
    named: Json = {key: run[key] for key in keys if key in run}
    return f'<dl class="pairs">{rows}</dl>' + (f"<h3>Made with</h3>{pairs(named)}" if named else "")


# --- classical models


def baselines_section(folder: RunContents, gallery: Gallery) -> str:
    """The run's newest metrics and those of the models in baselines.json, with samples of each."""
    records = [as_dict(record) for record in as_list(folder.last("evaluation").get("records"))]
    found = compare(folder.baselines, records, folder.recipe.get("conditional") is True)
    notes: list[str] = [*found.notes]
    newest = [gallery.sounds[step] for step in sorted(gallery.sounds)[-1:]]
    pictures = [_figure(THIS_RUN, "Its newest samples.", gallery.fakes[-1] if gallery.fakes else None, newest)]
    for model in map(as_dict, as_list(folder.baselines.get("baselines"))):
        picture = gallery.models.get(PurePath(str(model.get("picture", "none"))).name)
        sounds = [sound for name, sound in gallery.named_sounds.items() if name == model.get("name")]
        pictures.append(_figure(str(model.get("name")), _describe_fit(model), picture, sounds))
    heads = "".join(f'<th scope="col">{text(_capitalise(name))}</th>' for name in found.columns)
    body = "".join(_baseline_row(row, found.columns) for row in _with_one_frechet(found.rows))
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return (
        '<p class="lead">Classical models fitted to the same training data and measured with the same protocol: '
        f'a baseline for the generator.</p><p class="finding">{text(found.sentence)}</p>'
        f'<div class="models">{"".join(pictures)}</div>'
        '<details class="more"><summary>Every measure of each model</summary>'
        '<div class="wide" tabindex="0" role="region" aria-label="Table of baselines"><table class="metrics">'
        f'<thead><tr><th scope="col">Metric</th>{heads}<th scope="col">Reference</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>" + (f'<ul class="notes">{items}</ul>' if items else "")
    )


def _with_one_frechet(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The rows with only the first Fréchet distance, which the sentence compares."""
    distances = [row for row in rows if row.kind.startswith(("Fréchet", "FID"))]
    return [row for row in rows if row not in distances[1:]]


def _figure(name: str, words: str, picture: Picture | None, sounds: Sequence[str]) -> str:
    drawn = "" if picture is None else picture_button(picture, f"Samples: {name}")
    drawn += "".join(player(sound, f"Sound: samples, {name}") for sound in sounds)
    return (
        f'<figure><figcaption>{text(_capitalise(name))}</figcaption>{drawn}<p class="small">{text(words)}</p></figure>'
    )


def _describe_fit(model: Json) -> str:
    """A sentence on what was fitted, and the time it took."""
    summary, seconds = str(model.get("summary", "")), number(model.get("fit_s"))
    took = (
        f" Fitted in {format_duration(seconds, exact=True) if seconds >= 1 else 'less than a second'}."
        if seconds is not None
        else ""
    )
    return f"{summary[:1].upper()}{summary[1:]}.{took}"


def _capitalise(name: str) -> str:
    return "PCA" if name == "pca" else name[:1].upper() + name[1:]


def _baseline_row(row: ComparisonRow, columns: tuple[str, ...]) -> str:
    cells = "".join(
        f'<td data-label="{text(_capitalise(name))}">{_cell(cell, index in row.best)}</td>'
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
    return f"<b>{format_number(cell)}</b><small>best</small>" if best else format_number(cell)
