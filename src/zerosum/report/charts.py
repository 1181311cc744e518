"""The charts of a run: logged numbers in groups, with captions and reference lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from zerosum.formatting import format_count, interval
from zerosum.report.log_names import MEANINGS, label_of, title_of
from zerosum.report.previews import spread
from zerosum.report.questions import FRECHET, question_of
from zerosum.report.read import Json, RunContents, as_dict, as_list, number

FIRST = ("loss", "V", "D", "gradient_norm")
LAST = ("lr", "samples_per_s")
MAIN = {*FIRST, "judged", "diversity"}
"""Charts that are shown open; the others are folded."""
ROLES = {
    "D(x)": "real",
    "D(G(z))": "fake",
    "V": "value",
    "accuracy/real": "real",
    "accuracy/fake": "fake",
    "accuracy/heldout": "discriminator",
}
PLAYERS = {"discriminator": "discriminator", "generator": "generator"}
MOST_SCORES = 60
HIDDEN = dict.fromkeys(("num_classes", "num_modes", "neutral_logit"))  # constants, not drawn as curves
LIMIT = 400
"""Points of a curve at most."""


def charts_of(folder: RunContents, limit: int = LIMIT) -> list[Json]:
    """The charts of a run as plain values for the page's script: the main four, then loss terms, then rates. limit: the most
    points of a curve."""
    series = collect(folder.rows.get("train", []))
    groups: dict[str, dict[str, LoggedSeries]] = {}
    for name, one in series.items():
        groups.setdefault(group_of(name), {})[name] = one
    order = [key for key in FIRST if key in groups]
    order += [key for key in groups if key not in FIRST and key not in LAST]
    order += [key for key in LAST if key in groups]
    charts = [_chart(key, groups[key], folder.references, limit=limit) for key in order]
    checks = collect(folder.rows.get("health", []))
    judged = {name: one for name, one in checks.items() if name.startswith("accuracy/")}
    charts += [_chart("judged", judged, folder.references, limit=limit)] if judged else []
    charts += [
        _chart(name, {name: one}, folder.references, limit=limit)
        for name, one in checks.items()
        if name not in judged | HIDDEN
    ]
    return charts + _evaluations(folder)


def group_of(name: str) -> str:
    """The chart of a logged number: 'discriminator/loss' and 'generator/loss' share 'loss'."""
    if name in ("D(x)", "D(G(z))"):
        return "D"
    first, _, rest = name.partition("/")
    return first if first in ("lr", "accuracy") or not rest else rest


def _chart(key: str, group: dict[str, LoggedSeries], references: Json, meaning: str = "", limit: int = LIMIT) -> Json:
    caption = meaning or MEANINGS.get(key, "")
    lost = sum(one.num_lost for one in group.values())
    if lost:
        caption += f" {format_count(lost, 'value was', 'values were')} not finite and cannot be drawn."
    ordered = sorted(group.items(), key=lambda item: "generator" in item[0] or item[0] == "D(G(z))")
    curves = [_curve(name, one, index, limit) for index, (name, one) in enumerate(ordered) if one.points]
    chart: Json = {
        "key": key,
        "title": title_of(key),
        "caption": caption.strip(),
        "curves": curves,
        "log": key == "gradient_norm",
    }
    chart["references"] = _references(key, group, references)
    chart["place"] = "main" if key in MAIN else "more"
    if key == "D":
        chart["bounds"] = [0, 1]
    return chart


def _curve(name: str, one: LoggedSeries, index: int, limit: int) -> Json:
    player = next((part for part in name.split("/") if part in PLAYERS), "")
    role = ROLES.get(name) or player or f"other{index % 3}"
    label = player if player and len(name.split("/")) == 2 else label_of(name)
    points = [[point.step, *map(rounded, point[1:])] for point in thin(one.points, limit)]
    return {"name": name, "label": label, "role": role, "points": points}


def _references(key: str, group: dict[str, LoggedSeries], references: Json) -> list[Json]:
    lines: list[Json] = []
    for name in group:
        entry = as_dict(references.get(name))
        value = number(entry.get("value"))
        line = {"value": value, "label": str(entry.get("label", ""))}
        if value is not None and line not in lines:
            lines.append(line)
    if key == "D" and not lines:
        lines.append({"value": 0.5, "label": "1/2: D cannot separate them"})
    if key == "V" and not lines:
        lines.append({"value": -1.386294, "label": "-log 4"})
    return lines


def _evaluations(folder: RunContents) -> list[Json]:
    """One chart for each metric evaluated at two or more steps, with a 95 % band where its error is known."""
    found: dict[str, list[tuple[int, float]]] = {}
    errors: dict[str, list[float]] = {}
    floors: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    for row in folder.rows.get("evaluation", []):
        for record in map(as_dict, as_list(row.get("records"))):
            value, name = number(record.get("value")), str(record.get("name"))
            if value is not None:
                found.setdefault(name, []).append((int(row["step"]), value))
                errors.setdefault(name, []).append(number(record.get("error")) or 0.0)
                floors[name] = _floor(record.get("reference"))
                meanings[name] = str(record.get("meaning") or "")
    names = [name for name, points in found.items() if len(points) > 1]
    distances = [name for name in names if name.partition("[")[0] in FRECHET]
    # One Fréchet distance is drawn, preferably one with a reference of unseen real data.
    left = set(distances) - set([name for name in distances if floors[name]["value"]][:1] or distances[:1])
    charts = []
    for name in names:
        if name not in left:
            points = found[name]
            chart = _chart(name, {name: LoggedSeries(points, 0)}, floors, meanings[name])
            base = name.partition("[")[0]
            chart |= {"title": title_of(base), "place": question_of(name).key}
            chart["curves"][0]["label"] = label_of(base)
            charts.append(_banded(chart, name, points, errors[name]))
    return charts


def _banded(chart: Json, name: str, points: Sequence[tuple[int, float]], errors: Sequence[float]) -> Json:
    """The chart with a band of two standard errors on both sides of its curve."""
    if any(errors) and len(points) <= LIMIT:
        ends = [(step, value, *interval(name, value, 2 * error)) for (step, value), error in zip(points, errors)]
        chart["curves"][0]["points"] = [[step, *map(rounded, rest)] for step, *rest in ends]
        chart["caption"] = f"{chart['caption']} The band is its 95 % interval.".strip()
    return chart


def _floor(reference: object) -> Json:
    given = as_dict(reference)
    return {"value": number(given.get("value", reference)), "label": str(given.get("label") or "reference")}


def scores_of(folder: RunContents) -> list[Json]:
    """D's scores over time: at most 60 evenly chosen histograms; the shares of each group sum to 1."""
    rows = [row for row in folder.rows.get("scores", []) if _rising(as_list(row.get("edges")))]
    chosen: list[Json] = []
    for row in spread(rows, MOST_SCORES):
        groups = {name: _shares(row.get(name), len(row["edges"]) - 1) for name in ("train", "heldout", "fake")}
        kept = {name: shares for name, shares in groups.items() if shares}
        if kept:
            chosen.append({"step": int(row["step"]), "edges": row["edges"], **kept})
    return chosen


def _shares(counts: object, num_bins: int) -> Sequence[float]:
    values = [number(count) for count in as_list(counts)]
    if len(values) != num_bins or any(value is None or value < 0 for value in values):
        return []
    total = sum(value or 0 for value in values)
    return [round((value or 0) / total, 5) for value in values] if total else []


def _rising(edges: Sequence[object]) -> bool:
    values = [number(edge) for edge in edges]
    pairs = itertools.pairwise(values)
    return len(values) > 1 and all(a is not None and b is not None and a < b for a, b in pairs)


# --- series: thinned for drawing; each drawn point has the mean, lowest and highest of the values that it replaces


class CurvePoint(NamedTuple):
    """One drawn point: mean, lowest and highest of the logged values that it replaces."""

    step: int
    mean: float
    low: float
    high: float


def thin(points: Sequence[tuple[int, float]], limit: int = LIMIT) -> list[CurvePoint]:
    """At most `limit` points (3 or more) that represent all (step, value) pairs.

    The first and the last value are kept; those between are divided into runs of nearly equal length, each replaced by its
    mean, lowest and highest value at its middle step. So extremes are never lost.
    """
    if limit < 3:
        raise ValueError(f"limit is {limit}; it must be 3 or more (first, last and between)")
    if len(points) <= limit:
        return [CurvePoint(step, value, value, value) for step, value in points]
    inner, count = points[1:-1], limit - 2
    cuts = [len(inner) * index // count for index in range(count + 1)]
    runs = [points[:1], *(inner[a:b] for a, b in itertools.pairwise(cuts)), points[-1:]]
    return [_summary(run) for run in runs]


def _summary(run: Sequence[tuple[int, float]]) -> CurvePoint:
    values = [value for _, value in run]
    return CurvePoint(run[len(run) // 2][0], sum(values) / len(values), min(values), max(values))


class LoggedSeries(NamedTuple):
    """One logged number over the run: finite (step, value) pairs, and how many values were not finite."""

    points: list[tuple[int, float]]
    num_lost: int


def collect(rows: Sequence[Json]) -> dict[str, LoggedSeries]:
    """Every logged number of these log lines by name, in the order in which the log first names them."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for row in rows:
        for name, value in as_dict(row.get("values")).items():
            found.setdefault(name, []).append((int(row["step"]), value))
    series = {}
    for name, pairs in found.items():
        finite = [(step, kept) for step, value in pairs if (kept := number(value)) is not None]
        lost = sum(isinstance(value, float | None) and number(value) is None for _, value in pairs)
        if finite or lost:
            series[name] = LoggedSeries(finite, lost)
    return series


def rounded(value: float) -> float:
    """Rounds to six significant digits, which is more than a chart shows."""
    return float(f"{value:.6g}")
