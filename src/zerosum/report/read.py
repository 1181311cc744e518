"""The files of a run folder, read with care: what is missing or broken becomes a sentence, not a crash."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import read_log, read_object

FORMAT = 1
Json = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """What a run folder says. `rows` maps a kind of log line to its lines, by rising step, one line a step."""

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


def read_folder(folder: Path) -> RunFolder:
    """Read the plain files of a run folder.

    Raises UserError when `folder` is no run folder, or was written by a newer format than this one reads.
    """
    run = _read_run(folder)
    notes: list[str] = []
    recipe = _optional(folder / "recipe.json", "The recipe cannot be shown", notes)
    status = _optional(folder / "status.json", "The state of the run is not known", notes)
    references = _optional(folder / "references.json", "Charts carry no reference lines", notes)
    baselines = folder / "baselines.json"
    fitted = _optional(baselines, "The baselines cannot be shown", notes) if baselines.exists() else {}
    rows = _read_log(folder / "metrics.jsonl", notes)
    return RunFolder(folder, run, recipe, status, references, fitted, rows, notes)


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


def _read_run(folder: Path) -> Json:
    path = folder / "run.json"
    try:
        run = read_object(path)
    except (FileNotFoundError, NotADirectoryError):
        what = "has no run.json" if folder.is_dir() else "is not a folder"
        raise UserError(
            f"{folder} {what}, so it is not a run folder. A run folder is what `zerosum train` makes: it holds run.json, "
            "recipe.json, metrics.jsonl, previews/ and checkpoints/. Give the path of one, for example runs/digits."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy, or train again.") from None
    except Damaged as error:
        raise UserError(f"{error}. Restore it from a copy, or train again.") from None
    if run.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"{path}: format is {run['format']!r}; this zerosum reads format {FORMAT}. "
            f"Use the version that wrote the run (zerosum {run.get('zerosum', 'unknown')})."
        )
    return run


def _optional(path: Path, loss: str, notes: list[str]) -> Json:
    """One JSON object; when it cannot be read, empty, and `notes` gains a sentence that says what is lost."""
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
            "A last line cut short is what a killed run leaves."
        )
    return {kind: [rows[step] for step in sorted(rows)] for kind, rows in found.items()}
