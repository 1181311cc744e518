"""The last parts of the page: data, recipe and what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from zerosum.report.lists import pairs
from zerosum.report.read import Json, RunFolder, as_dict, as_list, number
from zerosum.report.words import text


def data_section(folder: RunFolder) -> str:
    """Where the real samples come from."""
    source = as_dict(folder.run.get("source"))
    if not source:
        return '<p class="empty">The run does not say where its data come from.</p>'
    condition, payload = as_dict(source.get("condition")), as_dict(source.get("payload"))
    shown = {
        "rows": source.get("num_rows"),
        "held out": source.get("num_heldout"),
        "shape": source.get("shape"),
        str(condition.get("kind")): condition.get("names"),
        "columns": [
            f"{one.get('name')} ({one.get('kind')})" for one in map(as_dict, as_list(payload.get("columns"))) if one
        ],
        "fingerprint": source.get("fingerprint"),
    }
    notes = "".join(f"<li>{text(note)}</li>" for note in as_list(source.get("notes")))
    said = source.get("summary")
    summary = f"<b>{text(source.get('name', ''))}</b> {text(said) if isinstance(said, str) else ''}"
    kept = {key: value for key, value in shown.items() if value not in (None, [], {})}
    return f'<p class="lead">{summary}</p>{pairs(kept)}' + (f"<ul>{notes}</ul>" if notes else "")


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


def _linked(source: str) -> str:
    """A source as text, its web addresses as links (followed only when clicked)."""
    parts = re.split(r"(https?://[^\s<>\"']*[^\s<>\"'.,;)])", source)
    links = (f'<a href="{text(part)}" rel="noopener noreferrer">{text(part)}</a>' for part in parts[1::2])
    return "".join(word for pair in zip(map(text, parts[::2]), [*links, ""]) for word in pair)


def next_section(folder: RunFolder) -> str:
    """Commands that go on from here, and the versions that made the run."""
    place, status = shlex.quote(str(folder.path)), folder.status
    steps = number(status.get("steps"))
    further = f" --steps {2 * int(steps)}" if status.get("state") == "finished" and steps else ""
    commands = {
        "Go on training": f"zerosum resume {place}{further}",
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
    return f'<dl class="pairs">{rows}</dl>' + (f"<h3>Made with</h3>{pairs(named)}" if named else "")
