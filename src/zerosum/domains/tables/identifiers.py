"""Identifiers: columns that name rows. They are not learnt; new ones are made for generated rows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.engine.seeds import derive

NAMES = re.compile(r"(^|[\W_])(id|ids|uuid|guid|key|index|idx|rowid|row|nr)$", re.IGNORECASE)
CAMEL = re.compile(r"[a-z](Id|ID|Key)$")
COUNTED = re.compile(r"(?P<before>.*?)(?P<digits>\d+)(?P<after>\D*)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
FEWEST = 20
"""Rows from which whole numbers that are all different can be taken for identifiers."""


def looks_counted(name: str, values: NDArray[Any]) -> bool:
    """Whether whole numbers are identifiers: all differ, and they are consecutive or the column has the name of an identifier."""
    if len(values) < FEWEST or len(np.unique(values)) < len(values):
        return False
    through = values.max() - values.min() == len(values) - 1
    return bool(through) or bool(NAMES.search(name) or CAMEL.search(name))


def rule_of(words: Sequence[str]) -> dict[str, Any] | None:
    """The rule by which new identifiers of this form are made, as plain values; None if there is none."""
    if all(UUID.fullmatch(word) for word in words):
        return {"rule": "uuid", "capitals": any(word != word.lower() for word in words)}
    found = [COUNTED.fullmatch(word) for word in words]
    surroundings = {(match["before"], match["after"]) for match in found if match}
    if not all(found) or len(surroundings) != 1:
        return None
    digits = [match["digits"] for match in found if match]
    padded = any(part != "0" and part.startswith("0") for part in digits)
    before, after = surroundings.pop()
    width = max(map(len, digits)) if padded else 0
    return {"rule": "count", "before": before, "after": after, "width": width, "next": max(map(int, digits)) + 1}


def exceeds_width(rule: Mapping[str, Any], words: Sequence[str]) -> bool:
    """Whether codes with leading zeros that are not consecutive have fewer unused numbers above them than there are codes."""
    if rule["rule"] != "count" or not rule["width"] or rule["before"].strip() or rule["after"].strip():
        return False
    through = rule["next"] - min(map(int, words)) == len(words)
    return not through and 10 ** rule["width"] - rule["next"] < len(words)


def make_identifiers(rule: Mapping[str, Any], start: int, num: int, seed: int) -> list[str]:
    """Identifiers of rows start .. start + num - 1 of a generated table: counted from the last real one, or new UUIDs."""
    rows = range(start, start + num)
    if rule["rule"] == "count":
        return [f"{rule['before']}{rule['next'] + row:0{rule['width']}d}{rule['after']}" for row in rows]
    words = [str(uuid.UUID(int=_bits(seed, row), version=4)) for row in rows]
    return [word.upper() for word in words] if rule["capitals"] else words


def _bits(seed: int, row: int) -> int:
    return derive(seed, "uuid", row, "high") << 64 | derive(seed, "uuid", row, "low")
