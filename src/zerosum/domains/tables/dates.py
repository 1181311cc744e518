"""Dates and times as people write them: the format found, the moments as whole numbers, and moments written in that format.

A format is a text with the fields of `strftime`: %Y %m %d %H %M %S %b %B %y, and %3f, %6f for parts of a second; %-d is
without leading zeros; %I is the hour on a clock of twelve, %p its AM or PM, %P the same in small letters. Moments are whole
numbers of the smallest field of the format (months, days, minutes, seconds ...) from 1970 on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
SHORT = tuple(name[:3] for name in MONTHS)
FIELDS = {
    "%Y": r"(?P<Y>[12]\d{3})", "%y": r"(?P<y>\d\d)", "%m": r"(?P<m>0[1-9]|1[0-2])", "%-m": r"(?P<m>[1-9]|1[0-2])",
    "%d": r"(?P<d>0[1-9]|[12]\d|3[01])", "%-d": r"(?P<d>[1-9]|[12]\d|3[01])", "%b": f"(?P<b>{'|'.join(SHORT)})",
    "%B": f"(?P<B>{'|'.join(MONTHS)})", "%H": r"(?P<H>[01]\d|2[0-3])", "%-H": r"(?P<H>1?\d|2[0-3])",
    "%I": r"(?P<I>0[1-9]|1[0-2])", "%-I": r"(?P<I>[1-9]|1[0-2])", "%p": r"(?P<p>AM|PM)", "%P": r"(?P<p>am|pm)",
    "%M": r"(?P<M>[0-5]\d)", "%S": r"(?P<S>[0-5]\d)", "%3f": r"(?P<f>\d{3})", "%6f": r"(?P<f>\d{6})",
}  # fmt: skip
UNITS = (("%6f", "us"), ("%3f", "ms"), ("%S", "s"), ("%M", "m"), ("%H", "h"), ("%-H", "h"), ("d", "D"))
DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%-d.%-m.%Y", "%m/%d/%Y", "%-m/%-d/%Y", "%d/%m/%Y",
    "%-d/%-m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%-m/%-d/%y", "%d.%m.%y", "%d %b %Y", "%-d %b %Y", "%d-%b-%Y",
    "%d-%b-%y", "%-d-%b-%y", "%-d %B %Y", "%d %B %Y", "%b %d, %Y", "%b %-d, %Y", "%B %-d, %Y", "%B %d, %Y",
)  # fmt: skip
CLOCKS = ("%H:%M:%S", "%H:%M", "%-H:%M", "%-H:%M:%S", "%H:%M:%S.%3f", "%H:%M:%S.%6f")
HALVES = tuple(
    clock + half for half in (" %p", "%p", " %P", "%P") for clock in ("%I:%M:%S", "%I:%M", "%-I:%M:%S", "%-I:%M")
)
"""Times on a clock of twelve."""
TIMES = (*CLOCKS, *HALVES)
JOINTS, ZONES = (" ", "T"), ("", "Z", "+00:00")
FORMATS = (
    *DAYS,
    *(day + joint + time + zone for day in DAYS for joint in JOINTS for time in CLOCKS for zone in ZONES),
    *(day + joint + time for day in DAYS for joint in (" ", ", ") for time in HALVES),
    *TIMES,
    "%Y-%m",
    "%b %Y",
    "%B %Y",
)
TOKEN = re.compile(r"%-?\d?[A-Za-z]")
NUM_TRIED = 100
"""Spellings that a format is tried on before it is held against all of them."""
Moments = NDArray[np.float64]


@dataclass(frozen=True)
class DateFormat:
    """A format, with the blanks before it if there are any."""

    pattern: str

    @property
    def unit(self) -> str:
        """numpy's code of the smallest field."""
        return next((unit for field, unit in UNITS if field in TOKEN.findall(self.pattern) or _holds(self, field)), "M")

    @property
    def scale(self) -> float:
        """Moments are whole numbers."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the constructor."""
        return asdict(self)

    def moments(self, spellings: Sequence[str]) -> Moments | None:
        """(N,) whole numbers as float64 (exact below 2**53); None when a spelling has another format or is no date."""
        regex = _regex(self.pattern)
        found = [regex.fullmatch(text) for text in spellings]
        if not all(found):
            return None
        try:
            texts = [_iso(match.groupdict()) for match in found if match]
            return (
                np.array(texts, dtype="datetime64[us]")
                .astype(f"datetime64[{self.unit}]")
                .astype(np.int64)
                .astype(np.float64)
            )
        except ValueError:  # 30 February
            return None

    def spelled(self, moments: Moments) -> list[str]:
        """Each moment in the format."""
        distinct, codes = np.unique(moments, return_inverse=True)
        times = distinct.astype(np.int64).astype(f"datetime64[{self.unit}]")
        words = [_written(self.pattern, str(time)) for time in times.astype("datetime64[us]").tolist()]
        return [words[code] for code in codes.tolist()]

    def times(self, moments: Moments) -> NDArray[np.datetime64]:
        """(N,) numpy times; NaN becomes NaT."""
        known = ~np.isnan(moments)
        found = np.full(len(moments), np.datetime64("NaT"), dtype="datetime64[us]")
        found[known] = moments[known].astype(np.int64).astype(f"datetime64[{self.unit}]").astype("datetime64[us]")
        return found


def _holds(form: DateFormat, field: str) -> bool:
    return field == "d" and any(token in ("%d", "%-d") for token in TOKEN.findall(form.pattern))


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts, end = [], 0
    for token in TOKEN.finditer(pattern):
        parts += [re.escape(pattern[end : token.start()]), FIELDS[token.group()]]
        end = token.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]))


def _iso(parts: Mapping[str, str]) -> str:
    """The fields found as an ISO date and time; what is missing is the first of its kind."""
    year = parts.get("Y") or _century(parts.get("y"))
    month = parts.get("m") or _month(parts)
    hour = parts.get("H") or _hour(parts)
    time = ":".join([hour.zfill(2), *((parts.get(field) or "0").zfill(2) for field in "MS")])
    return f"{year}-{month.zfill(2)}-{(parts.get('d') or '1').zfill(2)}T{time}.{(parts.get('f') or '0').ljust(6, '0')}"


def _hour(parts: Mapping[str, str]) -> str:
    """The hour of a clock of twelve, on which 12 comes before 1."""
    return str(int(parts.get("I") or 0) % 12 + 12 * ((parts.get("p") or "").upper() == "PM"))


def _century(two: str | None) -> str:
    """Two digits of a year as POSIX reads them: 69 to 99 are of the last century."""
    if two is None:
        return "1970"
    return f"{'19' if two >= '69' else '20'}{two}"


def _month(parts: Mapping[str, str]) -> str:
    if short := parts.get("b"):
        return str(SHORT.index(short) + 1)
    full = parts.get("B")
    return str(MONTHS.index(full) + 1) if full else "1"


def _written(pattern: str, time: str) -> str:
    """An ISO time "2020-01-31 12:00:00[.ffffff]" in the format."""
    day, _, clock = time.partition(" ")
    (year, month, date), (hour, minute, rest) = day.split("-"), clock.split(":")
    second, _, fraction = rest.partition(".")
    micro, twelve, half = fraction.ljust(6, "0"), (int(hour) - 1) % 12 + 1, "PM" if int(hour) >= 12 else "AM"
    fields = {
        "%Y": year, "%y": year[2:], "%m": month, "%-m": str(int(month)), "%d": date, "%-d": str(int(date)),
        "%b": SHORT[int(month) - 1], "%B": MONTHS[int(month) - 1], "%H": hour, "%-H": str(int(hour)), "%M": minute,
        "%I": f"{twelve:02d}", "%-I": str(twelve), "%p": half, "%P": half.lower(), "%S": second, "%3f": micro[:3], "%6f": micro,
    }  # fmt: skip
    return TOKEN.sub(lambda token: fields[token.group()], pattern)


def _shape(text: str) -> str:
    """A text with a 9 for each run of digits and an a for each run of letters."""
    return re.sub("[A-Za-z]+", "a", re.sub("[0-9]+", "9", text))


@functools.cache
def _by_shape() -> Mapping[str, list[str]]:
    """The formats that spell dates of a shape; of all that fit, the first is meant."""
    found: dict[str, list[str]] = {}
    for pattern in FORMATS:
        example = TOKEN.sub(lambda token: "a" if token.group() in ("%b", "%B", "%p", "%P") else "9", pattern)
        found.setdefault(_shape(example), []).append(pattern)
    return found


def dated(spellings: Sequence[str]) -> tuple[Moments, DateFormat] | None:
    """The moments and their format; None when the spellings have no format in common that is known here."""
    if not spellings:
        return None
    bare = spellings[0].strip()
    blanks = spellings[0][: len(spellings[0]) - len(spellings[0].lstrip())]
    for pattern in _by_shape().get(_shape(bare), ()):
        form = DateFormat(blanks + pattern)
        if form.moments(spellings[:NUM_TRIED]) is not None:
            moments = form.moments(spellings)
            if moments is not None and not _rather_numbers(pattern, moments):
                return moments, form
    return None


def _rather_numbers(pattern: str, moments: Moments) -> bool:
    """Eight digits are a date only where all lie between 1900 and 2100."""
    if pattern != "%Y%m%d":
        return False
    first, last = (np.datetime64(text, "D").astype(np.int64) for text in ("1900-01-01", "2100-12-31"))
    return bool((moments < first).any() or (moments > last).any())
