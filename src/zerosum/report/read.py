"""The contents of a run folder for its report: a missing or broken file gives a note, not an error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerosum.errors import Damaged
from zerosum.jsonfile import RunFiles, read_log, read_object

Json = dict[str, Any]


@dataclass(frozen=True)
class RunContents:
    """The contents of a run folder. rows: kind of log line -> its lines, by ascending step, one per step. notes: on what is
    missing or broken."""

    path: Path
    run: Json
    recipe: Json = field(default_factory=dict)
    status: Json = field(default_factory=dict)
    references: Json = field(default_factory=dict)
    baselines: Json = field(default_factory=dict)
    rows: dict[str, list[Json]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def last(self, kind: str) -> Json:
        """The newest log line of this kind, or an empty one."""
        rows = self.rows.get(kind, [])
        return rows[-1] if rows else {}


def read_run(folder: Path) -> RunContents:
    """Reads the files of a run folder; UserError when it is not one, or was written by another format."""
    run = RunFiles.open(folder).read("run.json")
    notes: list[str] = []
    recipe = _optional(folder / "recipe.json", "The recipe cannot be shown", notes)
    status = _optional(folder / "status.json", "The state of the run is not known", notes)
    references = _optional(folder / "references.json", "Charts carry no reference lines", notes)
    baselines = folder / "baselines.json"
    fitted = _optional(baselines, "The baselines cannot be shown", notes) if baselines.exists() else {}
    rows = _read_log(folder / "metrics.jsonl", notes)
    return RunContents(folder, run, recipe, status, references, fitted, rows, notes)


def as_dict(value: object) -> Json:
    """The value when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value when it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: object) -> float | None:
    """The value when it is a finite number (true and false are none), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _optional(path: Path, loss: str, notes: list[str]) -> Json:
    """One JSON object; when it cannot be read, empty, with a note on what is missing in the report."""
    try:
        return read_object(path)
    except FileNotFoundError:
        notes.append(f"{loss}: {path.name} is missing.")
        return {}
    except (OSError, Damaged) as error:
        notes.append(f"{loss}: {path.name} cannot be read ({str(error).replace(str(path), 'it')}).")
    return {}


def _read_log(path: Path, notes: list[str]) -> dict[str, list[Json]]:
    """Log lines by kind. A later line of the same kind and step replaces the earlier: a resumed run logs it anew."""
    found: dict[str, dict[int, Json]] = {}
    broken: list[int] = []
    try:
        for line, row in read_log(path):
            if row is None:
                broken.append(line)
            else:
                found.setdefault(row["kind"], {})[row["step"]] = row
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        notes.append(f"There are no curves: {path.name} {reason}.")
    if broken:
        shown = ", ".join(map(str, broken[:5])) + (" ..." if len(broken) > 5 else "")
        few = "line" if len(broken) == 1 else "lines"
        notes.append(
            f"{path.name}: {len(broken)} unreadable {few} left out (line {shown}). "
            "An incomplete last line is normal for a killed run."
        )
    return {kind: [rows[step] for step in sorted(rows)] for kind, rows in found.items()}
