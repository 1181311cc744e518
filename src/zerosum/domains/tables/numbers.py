"""Numbers as people write them: what their spelling is made of, and numbers spelled in the same way.

Spellings may carry a currency or per cent sign, blanks around them, thousands in groups, a comma as decimal mark, an exponent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BEFORE, AFTER = re.compile(r"[\s$€£¥]*"), re.compile(r"[\s%$€£¥]*$")
PLAIN = re.compile(r"[+-]?(?:\d+\.?(?P<decimals>\d*)|\.(?P<only>\d+))(?P<exponent>[eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})*(?:\.(?P<decimals>\d+))?")
COMMA = re.compile(r"[+-]?\d+(?:,(?P<decimals>\d+))?")
ZEROS = re.compile(r"[+-]?0\d+")
BRACKETS = re.compile(r"\s*\((?P<inner>[^()+-]+)\)\s*")
"""A negative number as bookkeepers write it."""
INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
MOST_DECIMALS, MOST_DIGITS = 12, 15
"""Numbers with more decimals or digits than these are spelled by as many digits as tell them apart."""


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are spelled.

    before, after: around each of them. point: the decimal mark. grouped: whether thousands are grouped by commas.
    fewest, most: decimals. free: whether they are spelled by as many digits as tell them apart. brackets: whether negative ones
    stand in brackets.
    """

    before: str = ""
    after: str = ""
    point: str = "."
    grouped: bool = False
    fewest: int = 0
    most: int = 0
    free: bool = False
    brackets: bool = False

    @property
    def scale(self) -> float:
        """Numbers are whole multiples of 1 / scale; 0 when they are free."""
        return 0.0 if self.free else 10.0**self.most

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the constructor."""
        return asdict(self)

    def spelled(self, numbers: Floats) -> list[str]:
        """Each number's spelling; the numbers are finite."""
        distinct, codes = np.unique(numbers, return_inverse=True)
        words = [self._word(value + 0.0) for value in distinct.tolist()]
        return [words[code] for code in codes.tolist()]

    def _word(self, value: float) -> str:
        inside = self.brackets and value < 0
        word = self.before + self._digits(-value if inside else value) + self.after
        return f"({word})" if inside else word

    def _digits(self, value: float) -> str:
        if self.free:
            text = repr(value)
            return text.removesuffix(".0") if self.fewest == 0 else text
        text = f"{value:{',' if self.grouped else ''}.{self.most}f}"
        if self.fewest < self.most:
            whole, _, decimals = text.partition(".")
            kept = decimals.rstrip("0").ljust(self.fewest, "0")
            text = f"{whole}.{kept}" if kept else whole
        return text.replace(".", ",") if self.point == "," else text


def parsed(spellings: Sequence[str]) -> tuple[Floats, NumberFormat] | None:
    """The numbers, and how they are spelled; None when one of them is no number, or when leading zeros make them codes."""
    if not spellings:
        return None
    bracketed = [BRACKETS.fullmatch(text) for text in spellings]
    brackets = any(bracketed)
    if brackets:
        spellings = [match["inner"] if match else text for match, text in zip(bracketed, spellings)]
    before, after, bare = _bare(spellings)
    for pattern in (PLAIN, GROUPED, COMMA):
        found = [pattern.fullmatch(text) for text in bare]
        if all(found):
            break
    else:
        return None
    if any(ZEROS.fullmatch(text) for text in bare):
        return None
    parts = [match.groupdict() for match in found if match]
    grouped, point = pattern is GROUPED, "," if pattern is COMMA else "."
    numbers = np.array([_number(text, grouped, point) for text in bare], dtype=np.float64)
    numbers = np.where([match is not None for match in bracketed], -numbers, numbers)
    decimals = [len(part.get("only") or part["decimals"] or "") for part in parts]
    digits = max(sum(map(str.isdigit, text)) for text in bare)
    exponents = any(part.get("exponent") for part in parts)
    free = exponents or max(decimals) > MOST_DECIMALS or (digits > MOST_DIGITS and max(decimals) > 0)
    if not np.isfinite(numbers).all() or (digits > MOST_DIGITS and not free):  # beyond a double: codes, no amounts
        return None
    return numbers, NumberFormat(before, after, point, grouped, min(decimals), max(decimals), free, brackets)


def _bare(spellings: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """What stands before and after most numbers, and the numbers alone."""
    if all(text[-1:].isdigit() and text[0] in "+-.0123456789" for text in spellings):
        return "", "", spellings
    before = _common([_found(BEFORE.match(text)) for text in spellings])
    after = _common([_found(AFTER.search(text)) for text in spellings])
    # Signs must be on every number: a "$5" among plain numbers is no number of theirs. Blanks may come and go.
    bare = [text.strip().removeprefix(before.strip()).removesuffix(after.strip()).strip() for text in spellings]
    return before, after, bare


def _found(match: re.Match[str] | None) -> str:
    return match.group() if match else ""


def _common(parts: Sequence[str]) -> str:
    return Counter(parts).most_common(1)[0][0]


def _number(text: str, grouped: bool, point: str) -> float:
    if grouped:
        text = text.replace(",", "")
    return float(text.replace(",", ".") if point == "," else text)


def padded(text: str) -> bool:
    """Whether a cell is a number with leading zeros."""
    return ZEROS.fullmatch(text.strip()) is not None


def infinite(spellings: Sequence[str]) -> str | None:
    """The first spelling of infinity among numbers; None when there is none, or when the others are no numbers."""
    found = [text for text in spellings if "inf" in text.lower() and INFINITE.fullmatch(text)]
    if not found:
        return None
    others = [text for text in spellings if text not in found]
    return found[0] if not others or parsed(others) is not None else None


def format_of(plain: Mapping[str, Any]) -> NumberFormat:
    """The inverse of NumberFormat.to_json."""
    return NumberFormat(**plain)
