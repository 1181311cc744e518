"""JSON from files that may be damaged or foreign: bounds on size, depth and numbers; Damaged says what is wrong with it.

RunFiles reads the small files of a run folder without torch, for the report too.
"""

from __future__ import annotations

import contextlib
import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from zerosum.errors import Damaged, UserError

MOST_BYTES = 32 << 20
"""Of one file, and of one line of a log; a run writes some kilobytes."""
MOST_DEPTH = 100
"""Of lists and objects within each other; a checkpoint's plain values have about 30."""
MOST_DIGITS = 300
"""Of a whole number: what is longer is no float either."""


def parse_json(text: str | bytes, where: object) -> Any:
    """The value of a JSON text; Damaged, which names `where` it stood, for anything else."""
    if len(text) > MOST_BYTES:
        raise Damaged(f"{where} holds {len(text):,} bytes of JSON; at most {MOST_BYTES:,} are read")
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError:
        raise Damaged(f"{where} is nested more than {MOST_DEPTH} levels deep") from None
    except ValueError as error:
        raise Damaged(f"{where} is not valid JSON ({error})") from None
    half = b"\\ud" if isinstance(text, bytes) else "\\ud"
    if half in text.lower() and not encodable(value):  # type: ignore[operator]
        raise Damaged(f"{where} holds half a character (a lone surrogate)")
    opening = (b"[", b"{") if isinstance(text, bytes) else ("[", "{")
    if sum(map(text.count, opening)) > MOST_DEPTH and _deeper(value):  # type: ignore[arg-type]
        raise Damaged(f"{where} is nested more than {MOST_DEPTH} levels deep")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits")
    return int(digits)


def encodable(value: Any) -> bool:
    """Whether all its texts can be written to a file again."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _deeper(value: Any) -> bool:
    """Whether the value has more than MOST_DEPTH levels; not by recursion, which has a limit of its own."""
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        within: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                within.extend(item.values())
            elif isinstance(item, list):
                within.extend(item)
        if not within:
            return False
        level = within
    return True


FINITE = "is wrong: give a number that is finite"


def non_finite(value: Any) -> str:
    """The place of the first number in a JSON value that is NaN or infinite, such as "payload.level"; "" without one.

    Python reads NaN, Infinity and 1e999 as numbers.
    """
    if isinstance(value, float):
        return "" if math.isfinite(value) else "it"
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, one in within:
        if place := non_finite(one):
            return f"{key}" if place == "it" else f"{key}.{place}"
    return ""


def read_json(path: Path) -> Any:
    """The value in a JSON file. OSError when it cannot be read, Damaged when it holds no JSON."""
    return parse_json(read_bytes(path), path)


def read_object(path: Path) -> dict[str, Any]:
    """The same of a file that must hold a JSON object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise Damaged(f"{path} holds no JSON object")
    return value


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file of at most `most` bytes; Damaged for a longer one, and for what is no file (a device, a pipe)."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise Damaged(f"{path} is no file")
    with open(path, "rb") as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise Damaged(f"{path} has more than {most:,} bytes, the most that is read")
    return body


# --- logs: one object a line


def read_log(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The lines of metrics.jsonl that are not blank, as (number from 1, object); None for a line that is broken: cut off by a
    kill or a full disk, or no line of a log (see `is_log_line`). OSError when the file cannot be read."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no file")
    with open(path, "rb") as file:
        number = 0
        while text := file.readline(MOST_BYTES):
            number += 1
            if not text.strip():
                continue
            found = None
            with contextlib.suppress(Damaged):
                found = with_present_names(parse_json(text, path))
            yield number, found if is_log_line(found) else None


def with_present_names(line: Any) -> Any:
    """A log line of version 0.1.0, which counted "images", in the present names."""
    if isinstance(line, dict) and "images" in line and "samples" not in line:
        line["samples"] = line.pop("images")
        if isinstance(line.get("values"), dict) and "images_per_s" in line["values"]:
            line["values"]["samples_per_s"] = line["values"].pop("images_per_s")
    return line


CONTENT = {"train": ("values", dict), "health": ("values", dict), "evaluation": ("records", list)}


def is_log_line(line: Any) -> bool:
    """Whether a value is a log line: an object with a whole "step" of 0 or more, a text as "kind", numbers for "samples" and
    "seconds", numbers or null as "values", and objects with a "name" as "records"."""
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        return False
    step, (field, kind) = line.get("step"), CONTENT.get(line["kind"], ("kind", str))
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53:
        return False
    if not isinstance(line.get(field), kind) or not all(_is_number(line.get(key, 0)) for key in ("samples", "seconds")):
        return False
    values, records = line.get("values", {}), line.get("records", [])
    return (
        isinstance(values, dict)
        and isinstance(records, list)
        and all(value is None or _is_number(value) for value in values.values())
        and all(isinstance(record, dict) and isinstance(record.get("name"), str) for record in records)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- what is made of them


@contextlib.contextmanager
def made_of(path: object, advice: str = "Restore it from a copy, or train again.") -> Iterator[None]:
    """For code that makes something of values in a file which others may have changed: a value that does not belong there ends
    in a UserError that names the file, not in the error of whatever met it first."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and "memory" in str(error):  # torch's word for a machine that is too small
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise UserError(f"{path} holds a value that does not belong there ({reason}). {advice}") from error


# --- the files of a run folder, for reading


RUN_FORMAT = 1
_RUN_FOLDERS = (
    "A run folder is written by `zerosum train`, by default in runs/; give the path of one, such as runs/digits."
)


class RunFiles:
    """Paths of one run, and its small files as plain values."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.previews = root / "previews"
        self.log_file = root / "metrics.jsonl"
        self.report = root / "report.html"

    def __str__(self) -> str:
        return str(self.root)

    def __fspath__(self) -> str:
        return str(self.root)

    @classmethod
    def open(cls, root: Path) -> Self:
        """An existing run folder of this format; UserError when `root` is none."""
        folder = cls(root)
        if not root.is_dir():
            raise UserError(f"There is no folder {root}. {_RUN_FOLDERS}")
        if not (root / "run.json").is_file():
            raise UserError(f"{root} is not a run folder: it has no run.json. {_RUN_FOLDERS}")
        about = folder.read("run.json")
        if about.get("format") != RUN_FORMAT:
            raise UserError(
                f"{root} was written in run format {about.get('format')!r}; this version of zerosum reads format {RUN_FORMAT}. "
                f"Use the version that wrote it (zerosum {about.get('zerosum', 'unknown')})."
            )
        if place := non_finite(about):
            raise UserError(f"{root / 'run.json'}: {place} {FINITE}. Restore it from a copy, or train again.")
        return folder

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file; UserError when it is missing or broken."""
        path = self.root / name
        try:
            return read_object(path)
        except FileNotFoundError:
            raise UserError(
                f"{path} is missing: the run folder is incomplete. Restore it from a copy, or train again."
            ) from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}. Restore it from a copy, or train again.") from None
        except Damaged as error:
            raise UserError(f"{error}. Restore it from a copy, or train again.") from None
