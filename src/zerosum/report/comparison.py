"""A run compared with classical models or other runs: which numbers are comparable, which is better, and by how much."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zerosum.errors import UserError
from zerosum.formatting import format_number, format_table, format_with_error, join_words
from zerosum.report.measures import reference_of
from zerosum.report.questions import name_of
from zerosum.report.read import Json, as_dict, as_list, number

THIS_RUN = "this run"
PROTOCOL = (
    *("source", "fingerprint", "split", "images", "resize", "seed"),
    *("extractor", "extractor_sha256", "num_real", "num_fake"),
)
"""Fields of two protocols that must be equal, in addition to the name, for their values to be compared. Other fields, such as
how the samples were made or by which version, may differ."""


CANNOT = "cannot judge"
"""The entry "wanted" of a metric that cannot judge; it ranks nothing."""
SURE = 1.96
"""Standard errors of a difference within which two values are equal: its 95 % interval."""


@dataclass(frozen=True)
class ComparisonRow:
    """One metric. cells: a value for each column, None if nothing comparable was measured; best: the columns of the best and
    of all equal values, empty if the metric cannot judge; floor: the reference as a number; errors: the standard
    error of each cell, if known."""

    kind: str
    tag: str
    better: str
    meaning: str
    reference: str
    cells: tuple[float | None, ...]
    best: frozenset[int]
    floor: float | None
    errors: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """columns: the run first, if there is one, then the baselines. sentence: which is better, and by how much."""

    columns: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    sentence: str
    notes: tuple[str, ...]


def compare(content: Json, run: Sequence[Json] | None = None, conditional: bool = False) -> Comparison:
    """The table of `baselines.json`, with a run's newest records where they are given (empty: it has none yet).

    conditional: whether the run's generator gets a condition for each sample.
    """
    models = [as_dict(one) for one in as_list(content.get("baselines"))]
    columns = [_by_key(as_list(one.get("records"))) for one in models]
    names = [str(one.get("name")) for one in models]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    notes = []
    if run is not None:
        mine = _by_key(run)
        columns, names = [mine, *columns], [THIS_RUN, *names]
        if conditional and mine and not all(one.get("paired") for one in models):
            notes.append(
                "The run's generator gets a class for each sample, in the shares of the data, or another condition, such as a "
                "text; the baselines do not, so metrics of class shares or of that condition favour the run. Metrics that need "
                "the requested class are not compared."
            )
    rows = tuple(_row(key, columns) for key in keys)
    notes += _note_on_doubts(rows)
    heads = [str(one.get("summary")).partition(":")[0] for one in models]
    sentence = _compare_with_models(rows, heads, run) if run is not None else _rank_models(rows, heads)
    return Comparison(tuple(names), rows, sentence, tuple(notes))


def side_by_side(names: Sequence[str], records: Sequence[Sequence[Json]]) -> Comparison:
    """The table of several runs that were measured with one protocol. Only metrics that all have are compared, without p-values;
    a row whose errors are not known has no best."""
    columns = [_by_key([one for one in some if not _is_chance(one)]) for some in records]
    keys = [key for key in columns[0] if all(key in column for column in columns)]
    rows = tuple(_row(key, columns) for key in keys)
    rows = tuple(row if None not in row.errors else replace(row, best=frozenset()) for row in rows)
    left = sum(len(column) for column in columns) - len(keys) * len(columns)
    notes = ("Metrics that not all of them have, such as those of requested classes, are left out.",) if left else ()
    return Comparison(tuple(names), rows, _rank_runs(rows, names), (*notes, *_note_on_doubts(rows)))


def _note_on_doubts(rows: Sequence[ComparisonRow]) -> list[str]:
    """A note on the metrics that cannot judge."""
    kinds = list(dict.fromkeys(row.kind for row in rows if row.better == CANNOT))
    return (
        [f"Cannot judge, and are not ranked: {', '.join(kinds)}. The reasons are in their protocols."] if kinds else []
    )


def _is_chance(record: Json) -> bool:
    return str(record.get("name")).partition("[")[0].endswith("_p")


def _rank_runs(rows: Sequence[ComparisonRow], names: Sequence[str]) -> str:
    row = _headline(rows)
    if row is None:
        return "No measure ranks these runs."
    measured = f"By {_describe_metric(row, rows)}"
    if None in row.errors:
        values = ", ".join(f"{name} {format_number(row.cells[i] or 0.0)}" for i, name in enumerate(names))
        return f"{measured}: {values}. Its error is not known, so they are not ranked."
    if not row.best:
        return f"{measured} they are equal: no difference is larger than its 95 % interval."
    best = [f"{names[i]} ({_format_value(row, i)})" for i in sorted(row.best)]
    rest = [f"{names[i]} ({_format_value(row, i)})" for i in range(len(names)) if i not in row.best]
    verb = "is better" if len(best) == 1 else "are better, and equal to each other,"
    return f"{measured} {join_words(best)} {verb} than {join_words(rest)}: the difference is beyond its 95 % interval."


def _format_value(row: ComparisonRow, column: int) -> str:
    return format_with_error(row.cells[column] or 0.0, row.errors[column])


def _by_key(records: Sequence[object]) -> dict[str, Json]:
    found = {}
    for record in map(as_dict, records):
        protocol = as_dict(record.get("protocol"))
        parts = [str(record.get("name")), *(f"{key}={protocol.get(key)!r}" for key in PROTOCOL)]
        found["|".join(parts)] = record
    return found


def _row(key: str, columns: Sequence[dict[str, Json]]) -> ComparisonRow:
    records = [column.get(key, {}) for column in columns]
    one = next((record for record in reversed(records) if record), {})
    cells = tuple(number(record.get("value")) for record in records)
    doubts = any(as_dict(record.get("protocol")).get("cannot_judge") for record in records)
    better, reference = CANNOT if doubts else str(one.get("better")), one.get("reference")
    errors = tuple(number(record.get("error")) for record in records)
    distances = [None if cell is None else _distance(cell, better, number(reference)) for cell in cells]
    texts = (*name_of(one), better, str(one.get("meaning", "")), reference_of(reference))
    return ComparisonRow(*texts, cells, _best(distances, errors), number(reference), errors)


def _best(distances: Sequence[float | None], errors: Sequence[float | None]) -> frozenset[int]:
    """The columns that are equal to the best; none if all are. Values are equal if they are printed equally, or if their
    difference is within its 95 % interval."""
    shown = {i: distance for i, distance in enumerate(distances) if distance is not None}
    if not shown:
        return frozenset()
    first = min(shown, key=lambda i: float(f"{shown[i]:.4g}"))
    near = frozenset(i for i in shown if _are_equal(shown[i], shown[first], errors[i], errors[first]))
    return near if len(near) < len(shown) else frozenset()


def _are_equal(a: float, b: float, error: float | None, other: float | None) -> bool:
    """Whether two distances are printed equally, or within the 95 % interval of their difference."""
    apart = abs(float(f"{a:.4g}") - float(f"{b:.4g}"))
    return apart <= SURE * math.hypot(error or 0.0, other or 0.0)


def _distance(value: float, better: str, reference: float | None) -> float | None:
    """The distance of a value from the ideal one, up to a constant; None if that is not known."""
    if better in ("lower", "higher"):
        # Values better than those of real data count as equal to them.
        sign = 1 if better == "lower" else -1
        return sign * value if reference is None else max(sign * value, sign * reference)
    wanted = reference if better == "near reference" else _parse_ideal(better)
    return None if wanted is None else abs(value - wanted)


def _parse_ideal(better: str) -> float | None:
    """The number in a text such as "near 0.01"."""
    try:
        return float(better.removeprefix("near "))
    except ValueError:
        return None


# --- the sentence


def _headline(rows: Sequence[ComparisonRow]) -> ComparisonRow | None:
    """The metric that ranks: the first for which lower is better, as for distances and divergences."""
    return next((row for row in rows if row.better == "lower" and any(cell is not None for cell in row.cells)), None)


def _describe_metric(row: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    """The metric in words, with its number of samples where it was computed for several."""
    name = row.kind.startswith("Fréchet") or not row.kind[1:2].islower()
    size = re.search(r"[\[,]n=(\d+)[\],]", row.tag) if sum(one.kind == row.kind for one in rows) > 1 else None
    words = row.kind if name else f"{row.kind[:1].lower()}{row.kind[1:]}"
    return f"{words} of {int(size[1]):,} samples" if size else words


def _rank_models(rows: Sequence[ComparisonRow], heads: Sequence[str]) -> str:
    row = _headline(rows)
    if row is None:
        return "None of the measures ranks these models."
    ranked = sorted((cell, i) for i, cell in enumerate(row.cells) if cell is not None)
    known = f"; unseen real data score {row.reference}." if row.reference else "."
    if not row.best and len(ranked) > 1:
        return f"By {_describe_metric(row, rows)} these models are equal{known}"
    best = [f"the {heads[i]} with {format_number(cell, 3)}" for cell, i in ranked if i in row.best or len(ranked) == 1]
    verb = "is" if len(best) == 1 else "are, equal to each other,"
    return f"The best by {_describe_metric(row, rows)} {verb} {join_words(best)}{known}"


def _compare_with_models(rows: Sequence[ComparisonRow], heads: Sequence[str], run: Sequence[Json]) -> str:
    if not run:
        return "The run has no metrics yet: zerosum evaluate measures it."
    shared = [row for row in rows if row.cells[0] is not None]
    row = _headline(shared)
    if row is None and any(row.better == CANNOT for row in shared):
        return "None of the measures that rank the run and these models can judge."
    if row is None:
        return "The run's newest metrics were taken under another protocol: zerosum evaluate measures it again."
    own = row.cells[0] or 0.0
    others = sorted((cell, i) for i, cell in enumerate(row.cells) if i and cell is not None)
    mine = _distance(own, row.better, row.floor) or 0.0
    gaps: dict[str, list[str]] = {"better than": [], "equal to": [], "worse than": []}
    for value, i in others:
        head, its = heads[i - 1], _distance(value, row.better, row.floor) or 0.0
        # As in the table: values better than the reference count as equal, and so do differences within their 95 % interval;
        # values that are both marked as best are equal.
        if _are_equal(mine, its, row.errors[0], row.errors[i]) or {0, i} <= row.best:
            gaps["equal to"].append(f"the {head} ({format_number(value, 3)})")
        else:
            word = "better than" if value > own else "worse than"
            gaps[word].append(f"the {head} by {format_number(abs(value - own), 3)}")
    parts = [f"{word} {join_words(found)}" for word, found in gaps.items() if found]
    known = f" (unseen real data {row.reference})" if row.reference else ""
    return f"By {_describe_metric(row, rows)}, where the run scores {format_number(own, 3)}{known}, it is {'; '.join(parts)}."


# --- the table in a terminal


def comparison_table(found: Comparison) -> str:
    """Aligned columns, one row for each measure, a star at the best; with standard errors where they are known."""
    rows = [("measure", *found.columns, "reference", "wanted")]
    for row in found.rows:
        num = next((part for part in row.tag.strip("[]").split(",") if part.startswith("n=")), "")
        cells = (
            "-" if cell is None else format_with_error(cell, error) + ("*" if index in row.best else "")
            for index, (cell, error) in enumerate(zip(row.cells, row.errors, strict=True))
        )
        rows.append((f"{row.kind} {num}".strip(), *cells, row.reference, row.better))
    return format_table(rows)


# --- output files


def is_folder(out: Path) -> bool:
    """Whether `compare` writes several files into this place."""
    return out.is_dir() or not out.suffix


def check_out(out: Path) -> None:
    """UserError for a name that `compare` cannot write to."""
    if not is_folder(out) and out.suffix not in (".png", ".json"):
        raise UserError(
            f"--out {out}: give a name that ends in .png (picture) or .json (all records), or a folder for both."
        )
