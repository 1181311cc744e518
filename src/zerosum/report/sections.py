"""The parts of the page below the samples: tiles, metrics, data, recipe and what to do next."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator

from zerosum.report.read import Json, RunFolder, as_dict, as_list, number
from zerosum.report.words import duration, figure, interval, spelt, text, with_error

BETTER = {"lower": "lower is better", "higher": "higher is better"}


def tiles(folder: RunFolder) -> str:
    """Key numbers: steps, images, time, speed, the first metrics, size of the players."""
    pairs = "".join(
        f'<div class="tile"><dt title="{text(label)}">{text(label)}</dt><dd>{text(value)}<small>{text(extra)}</small></dd></div>'
        for label, value, extra in _tiles(folder)
    )
    return f'<dl class="tiles">{pairs}</dl>' if pairs else ""


def _tiles(folder: RunFolder) -> Iterator[tuple[str, str, str]]:
    status, run = folder.status, folder.run
    step, steps = number(status.get("step")), number(status.get("steps"))
    images, seconds = number(status.get("images")), number(status.get("seconds"))
    if step is not None:
        yield "Steps", figure(step), f"of {figure(steps)}" if steps else ""
    if images is not None:
        rows = number(as_dict(run.get("source")).get("num_rows"))
        yield "Samples seen", figure(images), f"{figure(images / rows, 3)} passes over the data" if rows else ""
    if seconds is not None:
        where = f"{run.get('device', 'unknown device')}, {run.get('precision', '')}".rstrip(", ")
        yield "Time", duration(seconds), f"on {where}"
    if images and seconds:
        yield "Samples / s", figure(round(images / seconds)), "mean of the whole run"
    for record in _headline(folder):
        value = number(record.get("value"))
        floor = reference_of(record.get("reference"))
        shown = figure(value, 3) if value is not None else "not finite"
        yield name_of(record)[0], shown, f"reference {floor}" if floor else BETTER.get(str(record.get("better")), "")
    for player, count in as_dict(run.get("num_parameters")).items():
        if number(count) is not None:
            yield player.capitalize(), figure(count), "parameters"


def _headline(folder: RunFolder) -> list[Json]:
    """The first two measures of different kinds."""
    kinds: dict[str, Json] = {}
    for record in map(as_dict, as_list(folder.last("evaluation").get("records"))):
        kinds.setdefault(name_of(record)[0], record)
    return list(kinds.values())[:2]


def name_of(record: Json) -> tuple[str, str]:
    """The kind of the measure in words, and the tag that says with which extractor and how many samples."""
    kind, bracket, tag = str(record.get("name", "metric")).partition("[")
    words = spelt(kind.replace("_", " "))
    return words[:1].upper() + words[1:], bracket + tag


def reference_of(value: object) -> str:
    """A reference as text: a number, a {"value", "label"} object or words."""
    if isinstance(value, dict):
        kept = number(value.get("value"))
        return " ".join(
            part for part in (figure(kept) if kept is not None else "", str(value.get("label", ""))) if part
        )
    kept = number(value)
    return figure(kept) if kept is not None else str(value or "")


def metrics_section(folder: RunFolder) -> str:
    """The newest evaluation as a table; each value opens to the whole protocol behind it."""
    row = folder.last("evaluation")
    records = [as_dict(record) for record in as_list(row.get("records"))]
    if not records:
        return '<p class="empty">No metrics were computed yet: <code>zerosum evaluate</code> does it.</p>'
    body = "".join(map(_metric, records))
    return (
        f'<p class="lead">Measured at step {figure(row["step"])}. ± is one standard error; what it covers, the protocol '
        "tells. The reference is what held-out real data score "
        "under the same protocol; none: real data cannot be measured so, or too few are held out. "
        "From few rows it is a rough bar, and a measure that was trained knows its training data, "
        "so a good generator can pass it.</p>"
        '<table class="metrics"><thead><tr><th scope="col">Metric</th><th scope="col">Value</th>'
        f'<th scope="col">Reference</th><th scope="col">What it means</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _metric(record: Json) -> str:
    value = number(record.get("value"))
    error = number(record.get("error"))
    shown = with_error(value, error) if value is not None else "not finite"
    kind, tag = name_of(record)
    around = f"<small>95 %: {_interval(kind, value, error)}</small>" if value is not None and error else ""
    better = BETTER.get(str(record.get("better")), str(record.get("better") or ""))
    protocol = _pairs(as_dict(record.get("protocol")))
    details = f"<details><summary>Protocol</summary>{protocol}</details>" if protocol else ""
    return (
        f'<tr><th scope="row">{text(kind)}<small>{text(tag)}</small></th>'
        f'<td data-label="Value"><b>{text(shown)}</b>{around}<small>{text(better)}</small></td>'
        f'<td data-label="Reference">{text(reference_of(record.get("reference")) or "none")}</td>'
        f"<td>{text(record.get('meaning', ''))}{details}</td></tr>"
    )


def _interval(kind: str, value: float, error: float) -> str:
    """Two standard errors to either side, rounded to the digits that the error bears."""
    digits = max(0, 1 - math.floor(math.log10(2 * error)))
    low, high = interval(kind, value, 2 * error)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def data_section(folder: RunFolder) -> str:
    """Where the real samples come from."""
    source = as_dict(folder.run.get("source"))
    if not source:
        return '<p class="empty">The run does not say where its data come from.</p>'
    shown = {
        "rows": source.get("num_rows"),
        "held out": source.get("num_heldout"),
        "shape": source.get("shape"),
        "classes": source.get("class_names"),
        "fingerprint": source.get("fingerprint"),
    }
    notes = "".join(f"<li>{text(note)}</li>" for note in as_list(source.get("notes")))
    summary = f"<b>{text(source.get('name', ''))}</b> {text(source.get('summary', ''))}"
    kept = {key: value for key, value in shown.items() if value not in (None, [], {})}
    return f'<p class="lead">{summary}</p>{_pairs(kept)}' + (f"<ul>{notes}</ul>" if notes else "")


def recipe_section(folder: RunFolder) -> str:
    """The full recipe by dotted path: the names that `--set path=value` takes."""
    recipe = folder.recipe
    if not recipe:
        return '<p class="empty">The recipe cannot be shown: recipe.json is missing or broken.</p>'
    parts = [f'<p class="lead"><b>{text(recipe.get("name", "unnamed"))}</b> {text(recipe.get("why", ""))}</p>']
    sources = "".join(f"<li>{_linked(str(source))}</li>" for source in as_list(recipe.get("sources")))
    if sources:
        parts.append(f'<h3>Sources to cite</h3><ul id="sources">{sources}</ul>')
    rest = {key: value for key, value in recipe.items() if key not in ("name", "why", "sources")}
    table = _pairs(dict(_flat(rest, "")))
    parts.append(
        f"<details open><summary>Every setting, by the path that <code>--set</code> takes</summary>{table}</details>"
    )
    return "".join(parts)


def _flat(value: Json, prefix: str) -> Iterator[tuple[str, object]]:
    for key, one in value.items():
        if isinstance(one, dict) and one:
            yield from _flat(one, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", one


def _pairs(values: Json) -> str:
    """A two-column list of names and values."""
    if not values:
        return ""
    rows = "".join(f"<div><dt>{text(key)}</dt><dd>{text(_plain(value))}</dd></div>" for key, value in values.items())
    return f'<dl class="pairs">{rows}</dl>'


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) if any(isinstance(one, dict) for one in value) else _row(value)
    return value if isinstance(value, str) else json.dumps(value)


def _row(values: list[object]) -> str:
    return ", ".join(map(_plain, values)) or "none"


def _linked(source: str) -> str:
    """A source as text, its web addresses as links (followed only when clicked)."""
    parts = re.split(r"(https?://[^\s<>\"']*[^\s<>\"'.,;)])", source)
    links = (f'<a href="{text(part)}" rel="noopener noreferrer">{text(part)}</a>' for part in parts[1::2])
    return "".join(word for pair in zip(map(text, parts[::2]), [*links, ""]) for word in pair)


def next_section(folder: RunFolder) -> str:
    """Commands that go on from here, and the versions that made the run."""
    resume = str(folder.status.get("resume") or f"zerosum resume {shlex.quote(str(folder.path))}")
    place = (
        resume.removeprefix("zerosum resume ")
        if resume.startswith("zerosum resume ")
        else shlex.quote(str(folder.path))
    )
    commands = {
        "Go on training": resume,
        "Draw new samples": f"zerosum sample {place} --num 64 --seed 1 --out grid.png",
        "Measure again": f"zerosum evaluate {place}",
        "Compare with classical models": f"zerosum baseline {place}",
        "Write this page again": f"zerosum report {place}",
    }
    rows = "".join(
        f"<div><dt>{label}</dt><dd><code>{text(command)}</code></dd></div>" for label, command in commands.items()
    )
    run = folder.run
    keys = ("created", "zerosum", "torch", "device", "threads", "processes", "precision")
    named: Json = {key: run[key] for key in keys if key in run}
    return f'<dl class="pairs">{rows}</dl>' + (f"<h3>Made with</h3>{_pairs(named)}" if named else "")
