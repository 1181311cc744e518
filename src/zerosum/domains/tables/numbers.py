"""Numbers in text: finds the format of a column's numbers, reads them and writes numbers in that format.

Spellings may have a currency, a unit or a per cent sign, blanks around them, thousands in groups (marked by a comma, a point, a
blank or an apostrophe), a point or a comma as decimal mark, an exponent.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|CZK|BRL|MXN|RUB|TRY|ZAR|R$|US$|Rs|kr".replace("$", r"\$")
SIGNS = r"$€£¥₹₩₽₺฿"
UNITS = "kg|g|mg|µg|lbs?|oz|km|m|cm|mm|mi|ft|l|ml|h|min|s|ms|kWh|kW|W|Hz|MHz|GHz|kB|MB|GB|TB|px|pt|°C|°F|x"
BEFORE = re.compile(rf"\s*(?:(?:{CODES})(?![A-Za-z]))?[\s{SIGNS}]*")
AFTER = re.compile(
    rf"(?:(?<=\d)(?:\s+[^\W\d_µ°/.]{{1,8}}|\s+[^\W\d_µ°/]+/[^\W\d_]+|\s*(?:{UNITS}))|[\s%‰°{SIGNS}]*)\s*$"
)
"""A unit follows a blank, or is one of UNITS."""
MINUS = re.compile(rf"\s*-\s*(?=[{SIGNS}]|(?:{CODES})[\s\d])")
"""A minus before a currency."""
EXPONENT = r"(?P<exponent>[eE][+-]?\d+)?"
ZEROS = re.compile(r"[+-]?0\d+")
BRACKETS = re.compile(r"\s*\((?P<inner>[^()+-]+)\)\s*")
"""A negative number as bookkeepers write it."""
INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
TWOFOLD = re.compile(r"[^\d.,]*(?:[1-9]\d{0,2}(?P<mark>[.,])\d{3}|\d{1,3})[^\d.,]*")
"""A number that can be read with a comma or with a point as decimal mark, or has fewer than four digits."""
FEWEST_GROUPED = 30
"""With so many cells with three digits after the mark, cells without a mark show that it groups thousands: if zeros at the end
were left out, one decimal number in ten would have fewer digits."""
MOST_DECIMALS, MOST_DIGITS = 12, 15
"""Numbers with more decimals or digits than these are written with the fewest digits that distinguish them."""
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are spelled.

    before, after: text around each of them. point: the decimal mark. group: between groups of three digits; "" without groups.
    fewest, most: decimals. free: whether they have the fewest digits that distinguish them. brackets: whether negative ones are
    in brackets. outside: whether the minus comes before `before`. plus: whether numbers above 0 carry a plus. offset: of whole
    numbers of more digits than a double holds; arrays hold the differences from it.
    """

    before: str = ""
    after: str = ""
    point: str = "."
    group: str = ""
    fewest: int = 0
    most: int = 0
    free: bool = False
    brackets: bool = False
    outside: bool = False
    plus: bool = False
    offset: int = 0

    @property
    def scale(self) -> float:
        """Numbers are whole multiples of 1 / scale; 0 when they are free."""
        return 0.0 if self.free else 10.0**self.most

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> NumberFormat:
        """The inverse of to_json; older files have "grouped" for commas between groups."""
        given: dict[str, Any] = {name: value for name, value in plain.items() if name != "grouped"}
        return cls(**given | ({"group": ","} if plain.get("grouped") else {}))

    def parse(self, spellings: Sequence[str]) -> Floats | None:
        """(N,) numbers of this column, as its arrays hold them, from similar spellings; None when one is no number."""
        found = parse(spellings, self.point)
        return None if found is None else found[0] + float(found[1].offset - self.offset)

    def format(self, numbers: Floats) -> list[str]:
        """Each number's spelling; the numbers are finite."""
        distinct, codes = np.unique(numbers, return_inverse=True)
        words = [self._word(value + 0.0) for value in distinct.tolist()]
        return [words[code] for code in codes.tolist()]

    def _word(self, value: float) -> str:
        number = self.offset + round(value) if self.offset else value
        sign = "-" if self.outside and number < 0 else ""
        plus = "+" if self.plus and number > 0 else ""
        inside = self.brackets and number < 0
        word = sign + self.before + plus + self._digits(-number if inside or sign else number) + self.after
        return f"({word})" if inside else word

    def _digits(self, value: float) -> str:
        if self.free:
            text = repr(value)
            text = text.removesuffix(".0") if self.fewest == 0 else text
            return text.replace(".", self.point)
        text = f"{value:{',' if self.group else ''}{'d' if self.offset else f'.{self.most}f'}}"
        if self.fewest < self.most:
            whole, _, decimals = text.partition(".")
            kept = decimals.rstrip("0").ljust(self.fewest, "0")
            text = f"{whole}.{kept}" if kept else whole
        return text.translate({ord(","): self.group, ord("."): self.point})


@dataclass(frozen=True)
class _Marks:
    """A way to read digits. point: the decimal mark. group: between groups of three digits, "" without groups."""

    point: str
    group: str

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        point, group = re.escape(self.point), re.escape(self.group)
        if not self.group:
            return re.compile(rf"[+-]?(?:\d+{point}?(?P<decimals>\d*)|{point}(?P<only>\d+)){EXPONENT}")
        return re.compile(rf"[+-]?(?:0|[1-9]\d{{0,2}}(?:{group}\d{{3}})*)(?:{point}(?P<decimals>\d+))?")

    def plain(self, text: str) -> str:
        """The number as Python writes it."""
        text = text.replace(self.group, "") if self.group else text
        return text.replace(self.point, ".")


OTHERS = ("", " ", "'", "’", "\xa0", "\u202f")
POINTS = [_Marks(".", group) for group in (OTHERS[0], ",", *OTHERS[1:])]
COMMAS = [_Marks(",", group) for group in (OTHERS[0], ".", *OTHERS[1:])]
"""With a point, and with a comma as decimal mark: first without groups."""


def parse(spellings: Sequence[str], decimal: str = ".") -> tuple[Floats, NumberFormat] | None:
    """The numbers and their format; None if one of them is not a number, or if they are codes with leading zeros.

    decimal: the mark that is tried first, which matters only where both are possible.
    """
    if not spellings or not any(map(str.isdigit, spellings[0])):
        return None
    signs, brackets, outside, inner = _signs(spellings)
    before, after, bare = _bare(inner)
    for marks in [*COMMAS, *POINTS] if decimal == "," else [*POINTS, *COMMAS]:
        if marks.pattern.fullmatch(bare[0]) and all(found := [marks.pattern.fullmatch(text) for text in bare]):
            break
    else:
        return None
    if any(ZEROS.fullmatch(text) for text in bare):
        return None
    parts = [match.groupdict() for match in found if match]
    plain = bare if marks.point == "." and not marks.group else [marks.plain(text) for text in bare]
    numbers = np.array([float(text) for text in plain], dtype=np.float64) * signs
    decimals = [len(part.get("only") or part["decimals"] or "") for part in parts]
    digits = max(sum(map(str.isdigit, text)) for text in plain)
    exponents = any(part.get("exponent") for part in parts)
    free = exponents or max(decimals) > MOST_DECIMALS or (digits > MOST_DIGITS and max(decimals) > 0)
    offset, plus = 0, any(text.startswith("+") for text in bare)
    if digits > MOST_DIGITS and not free:
        whole = [int(text.rstrip(".")) * int(sign) for text, sign in zip(plain, signs.tolist())]
        offset = min(whole)
        if max(map(abs, whole)) > LARGEST:  # codes, not amounts
            return None
        numbers = np.array([float(number - offset) for number in whole])
    if not np.isfinite(numbers).all():
        return None
    fewest, most = min(decimals), max(decimals)
    return numbers, NumberFormat(
        before, after, marks.point, marks.group, fewest, most, free, brackets, outside, plus, offset
    )


def misfits(spellings: Sequence[str]) -> list[str]:
    """The smallest set of spellings without which all others are numbers of one format."""
    bare = _bare(_signs(spellings)[3])[2]
    best = list(spellings)
    for marks in [*POINTS[:2], *COMMAS[:2]]:
        pairs = zip(spellings, bare)
        odd = [word for word, text in pairs if not marks.pattern.fullmatch(text) or ZEROS.fullmatch(text)]
        best = odd if len(odd) < len(best) else best
    return best


def in_doubt(spellings: Sequence[str]) -> str:
    """The mark, a comma or a point, of numbers that can be read with either as the decimal mark; "" where they cannot."""
    found = [TWOFOLD.fullmatch(text) for text in spellings]
    marks: set[str] = {match["mark"] for match in found if match} - {None}
    return marks.pop() if len(marks) == 1 and all(found) else ""


def groups(spellings: Sequence[str], mark: str) -> bool:
    """Whether a mark in doubt groups thousands: there are numbers below a thousand and many with exactly three digits after
    it."""
    num = sum(mark in text for text in spellings)
    return FEWEST_GROUPED <= num < len(spellings)


def _signs(spellings: Sequence[str]) -> tuple[Floats, bool, bool, Sequence[str]]:
    """(N,) -1 for numbers in brackets or with a minus before the currency; whether there are such; the texts without them."""
    begins = {text[:2] if text[:1] == "-" else text[:1] for text in spellings}
    if all(begin.lstrip("-+.")[:1].isdigit() or begin in (".", "-.") for begin in begins):
        return np.ones(len(spellings)), False, False, spellings
    bracketed = [BRACKETS.fullmatch(text) for text in spellings]
    if any(bracketed):
        inner = [match["inner"] if match else text for match, text in zip(bracketed, spellings)]
        return np.where([match is not None for match in bracketed], -1.0, 1.0), True, False, inner
    minus = [MINUS.match(text) for text in spellings]
    if any(minus):
        inner = [text[match.end() :] if match else text for match, text in zip(minus, spellings)]
        return np.where([match is not None for match in minus], -1.0, 1.0), False, True, inner
    return np.ones(len(spellings)), False, False, spellings


def _bare(spellings: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """The text before and after most numbers, and the numbers alone."""
    if all(text[-1:].isdigit() and text[0] in "+-.0123456789" for text in spellings):
        return "", "", spellings
    before, after = (_commonest(map(find, spellings)) for find in (BEFORE.match, AFTER.search))
    # Signs must be on every number: "$5" among plain numbers is no number. Blanks may vary.
    bare = [text.strip().removeprefix(before.strip()).removesuffix(after.strip()).strip() for text in spellings]
    return before, after, bare


def _commonest(matches: Iterable[re.Match[str] | None]) -> str:
    return Counter(match.group() if match else "" for match in matches).most_common(1)[0][0]


def padded(text: str) -> bool:
    """Whether a cell is a number with leading zeros."""
    return ZEROS.fullmatch(text.strip()) is not None


def infinite(spellings: Sequence[str]) -> str | None:
    """The first spelling of infinity among numbers; None when there is none, or when the others are no numbers."""
    found = [text for text in spellings if "inf" in text.lower() and INFINITE.fullmatch(text)]
    if not found:
        return None
    others = [text for text in spellings if text not in found]
    return found[0] if not others or parse(others) is not None else None
