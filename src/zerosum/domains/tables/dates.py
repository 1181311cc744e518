"""Dates and times in text: finds the format, reads moments as whole numbers, and writes moments in that format.

A format is a text with the fields of `strftime`: %Y %m %d %H %M %S %b %B %y; %3f for a part of a second of three digits, %.3f for
one that is left out, with its point, where it is zero, %.f for one without zeros at its end; %-d is without leading zeros; %I is
the hour on a clock of twelve, %p its AM or PM, %P the same in small letters; %:z, %z and %-z are offsets from UTC such as +02:00,
+0200 and +02. Moments are whole numbers of the smallest field of the format (months, days, minutes, seconds ...) from 1970 on, in
UTC where the format has an offset, else as written.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
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
    "%Y": r"(?P<Y>(?!0000)\d{4})", "%y": r"(?P<y>\d\d)", "%m": r"(?P<m>0[1-9]|1[0-2])", "%-m": r"(?P<m>[1-9]|1[0-2])",
    "%d": r"(?P<d>0[1-9]|[12]\d|3[01])", "%-d": r"(?P<d>[1-9]|[12]\d|3[01])", "%b": f"(?P<b>{'|'.join(SHORT)})",
    "%B": f"(?P<B>{'|'.join(MONTHS)})", "%H": r"(?P<H>[01]\d|2[0-3])", "%-H": r"(?P<H>1?\d|2[0-3])",
    "%I": r"(?P<I>0[1-9]|1[0-2])", "%-I": r"(?P<I>[1-9]|1[0-2])", "%p": r"(?P<p>AM|PM)", "%P": r"(?P<p>am|pm)",
    "%M": r"(?P<M>[0-5]\d)", "%S": r"(?P<S>[0-5]\d)", "%:z": r"(?P<z>[+-]\d\d:[0-5]\d)", "%z": r"(?P<z>[+-]\d\d[0-5]\d)",
    "%-z": r"(?P<z>[+-]\d\d)", "%.f": r"(?:\.(?P<f>\d{1,9}))?", "%,f": r"(?:,(?P<f>\d{1,9}))?",
    **{f"%{n}f": rf"(?P<f>\d{{{n}}})" for n in range(1, 10)},
    **{f"%{mark}{n}f": rf"(?:{re.escape(mark)}(?P<f>\d{{{n}}}))?" for n in range(1, 10) for mark in ".,"},
}  # fmt: skip
UNITS = (("S", "s"), ("M", "m"), ("H", "h"), ("I", "h"), ("d", "D"))
DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%-d.%-m.%Y", "%m/%d/%Y", "%-m/%-d/%Y", "%d/%m/%Y",
    "%-d/%-m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%-m/%-d/%y", "%d.%m.%y", "%d %b %Y", "%-d %b %Y", "%d-%b-%Y",
    "%d-%b-%y", "%-d-%b-%y", "%-d %B %Y", "%d %B %Y", "%b %d, %Y", "%b %-d, %Y", "%B %-d, %Y", "%B %d, %Y",
)  # fmt: skip
CLOCKS = ("%H:%M:%S", "%H:%M", "%-H:%M", "%-H:%M:%S")
HALVES = tuple(
    clock + half for half in (" %p", "%p", " %P", "%P") for clock in ("%I:%M:%S", "%I:%M", "%-I:%M:%S", "%-I:%M")
)
"""Times on a clock of twelve."""
TIMES = (*CLOCKS, *HALVES)
JOINTS = (" ", "T")
FORMATS = (
    *DAYS,
    *(day + joint + time for day in DAYS for joint in JOINTS for time in CLOCKS),
    *(day + joint + time for day in DAYS for joint in (" ", ", ") for time in HALVES),
    *TIMES,
    "%Y-%m",
    "%b %Y",
    "%B %Y",
)
"""After those that end in a clock of 24 hours, parts of a second and an offset may follow, see TAIL."""
TAIL = re.compile(
    r"(?<=\d:\d\d)(?:(?<=:\d\d:\d\d)(?P<mark>[.,])(?P<fraction>\d{1,9}))?"
    r"(?P<blank> ?)(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?[0-5]\d)?)?$"
)
ZONES = {6: "%:z", 5: "%z", 3: "%-z"}
"""The field of an offset of so many characters."""
TOKEN = re.compile(r"%[-:.,]?\d?[A-Za-z]")
NUM_TRIED = 100
"""Spellings that a format is tried on before all of them."""
MOST_SWITCHES = 256
"""How often the offset from UTC may change along a column so that each moment keeps its own, as with daylight saving time."""
EXACT_DIGITS = 6
"""Of a part of a second; finer parts are dropped."""
Moments = NDArray[np.float64]


@dataclass(frozen=True)
class DateFormat:
    """A format, with the blanks before it if there are any. zones: where the pattern has an offset, "moment:minutes ...", the
    offsets in minutes and the moments from which they are in use, rising."""

    pattern: str
    zones: str = ""

    @functools.cached_property
    def tokens(self) -> list[str]:
        """The fields."""
        return TOKEN.findall(self.pattern)

    @functools.cached_property
    def digits(self) -> int:
        """Digits of the parts of a second; 9 where they vary."""
        found = next((token for token in self.tokens if token[-1] == "f"), "%0f")
        return int(found[-2]) if found[-2].isdigit() else 9

    @property
    def inexact(self) -> bool:
        """Whether a cell may come back spelled differently: parts of a second and offsets vary, or are too fine."""
        return self.digits > EXACT_DIGITS or any(token[-1] == "z" for token in self.tokens)

    @property
    def unit(self) -> str:
        """numpy's code of the smallest field."""
        if self.digits:
            return "ms" if self.digits <= 3 else "us"
        letters = {token[-1] for token in self.tokens}
        return next((unit for letter, unit in UNITS if letter in letters), "M")

    @property
    def scale(self) -> float:
        """Moments are whole numbers."""
        return 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the constructor."""
        return asdict(self)

    def parse(self, spellings: Sequence[str]) -> Moments | None:
        """(N,) whole numbers as float64 (exact below 2**53); None when a spelling has another format or is no date."""
        found = [match.groupdict() for match in map(_regex(self.pattern).fullmatch, spellings) if match]
        if len(found) < len(spellings):
            return None
        try:
            times = np.array([_iso(parts) for parts in found], dtype="datetime64[us]")
        except ValueError:  # 30 February
            return None
        if found and "z" in found[0]:
            times = times - np.array([_minutes(parts["z"]) for parts in found], dtype="timedelta64[m]")
        return times.astype(f"datetime64[{self.unit}]").astype(np.int64).astype(np.float64)

    def format(self, moments: Moments) -> list[str]:
        """Each moment in the format."""
        distinct, codes = np.unique(moments, return_inverse=True)
        offsets = self._offsets(distinct)
        times = distinct.astype(np.int64).astype(f"datetime64[{self.unit}]").astype("datetime64[us]")
        times = np.clip(times + offsets.astype("timedelta64[m]"), *EXTREMES)
        pairs = zip(times.tolist(), offsets.astype(int).tolist())
        words = [_format_time(self.pattern, str(time), offset) for time, offset in pairs]
        return [words[code] for code in codes.tolist()]

    def _offsets(self, moments: Moments) -> NDArray[np.int64]:
        """(N,) minutes from UTC."""
        pairs = [part.split(":") for part in self.zones.split()] or [["0", "0"]]
        first, minutes = (np.array(column, dtype=np.int64) for column in zip(*pairs))
        return minutes[np.clip(np.searchsorted(first, moments, side="right") - 1, 0, None)]

    def times(self, moments: Moments) -> NDArray[np.datetime64]:
        """(N,) numpy times; NaN becomes NaT."""
        known = ~np.isnan(moments)
        found = np.full(len(moments), np.datetime64("NaT"), dtype="datetime64[us]")
        there = moments[known].astype(np.int64).astype(f"datetime64[{self.unit}]").astype("datetime64[us]")
        found[known] = np.clip(there, *EXTREMES)
        return found


EXTREMES = (np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us"))
"""What a year of four digits can be; a double may lie beyond by its rounding."""


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts, end = [], 0
    for token in TOKEN.finditer(pattern):
        parts += [re.escape(pattern[end : token.start()]), FIELDS[token.group()]]
        end = token.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]))


def _iso(parts: Mapping[str, str]) -> str:
    """The fields found as an ISO date and time; what is missing is the first of its kind."""
    year, month, hour = parts.get("Y", "1970"), parts.get("m", "1"), parts.get("H")
    if two := parts.get("y"):  # as POSIX reads two digits: 69 to 99 are of the last century
        year = f"{'19' if two >= '69' else '20'}{two}"
    if name := parts.get("b") or parts.get("B"):
        month = str(SHORT.index(name[:3]) + 1)
    if hour is None:  # of a clock of twelve, on which 12 comes before 1
        hour = str(int(parts.get("I", 0)) % 12 + 12 * (parts.get("p", "").upper() == "PM"))
    time = ":".join([hour.zfill(2), *(parts.get(field, "0").zfill(2) for field in "MS")])
    part = (parts.get("f") or "0").ljust(EXACT_DIGITS, "0")[:EXACT_DIGITS]
    return f"{year}-{month.zfill(2)}-{parts.get('d', '1').zfill(2)}T{time}.{part}"


def _minutes(offset: str) -> int:
    """An offset from UTC such as +02:00."""
    minutes = 60 * int(offset[1:3]) + int(offset[-2:] if len(offset) > 3 else 0)
    return -minutes if offset[0] == "-" else minutes


def _format_time(pattern: str, time: str, offset: int) -> str:
    """An ISO time "2020-01-31 12:00:00[.ffffff]" in the format. offset: from UTC, in minutes."""
    day, _, clock = time.partition(" ")
    (year, month, date), (hour, minute, rest) = day.split("-"), clock.split(":")
    second, _, fraction = rest.partition(".")
    twelve, half = (int(hour) - 1) % 12 + 1, "PM" if int(hour) >= 12 else "AM"
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}"
    fields = {
        "%Y": year, "%y": year[2:], "%m": month, "%-m": str(int(month)), "%d": date, "%-d": str(int(date)),
        "%b": SHORT[int(month) - 1], "%B": MONTHS[int(month) - 1], "%H": hour, "%-H": str(int(hour)), "%M": minute,
        "%I": f"{twelve:02d}", "%-I": str(twelve), "%p": half, "%P": half.lower(), "%S": second,
        "%:z": f"{zone}:{abs(offset) % 60:02d}", "%z": f"{zone}{abs(offset) % 60:02d}", "%-z": zone,
    }  # fmt: skip
    return TOKEN.sub(lambda token: fields.get(token.group()) or _part(token.group(), fraction), pattern)


def _part(token: str, fraction: str) -> str:
    """The part of a second of up to six digits as a field has it."""
    num = int(token[-2]) if token[-2].isdigit() else 0
    digits = fraction.ljust(num, "0")[:num] if num else fraction.rstrip("0")
    if token[1].isdigit():
        return digits
    return token[1] + digits if digits.strip("0") else ""


def _shape(text: str) -> str:
    """A text with a 9 for each run of digits and an a for each run of letters."""
    return re.sub("[A-Za-z]+", "a", re.sub("[0-9]+", "9", text))


@functools.cache
def _by_shape() -> Mapping[str, list[str]]:
    """Shape -> the formats of that shape; the first one that fits is meant."""
    found: dict[str, list[str]] = {}
    for pattern in FORMATS:
        example = TOKEN.sub(lambda token: "a" if token.group() in ("%b", "%B", "%p", "%P") else "9", pattern)
        found.setdefault(_shape(example), []).append(pattern)
    return found


def parse(spellings: Sequence[str]) -> tuple[Moments, DateFormat] | None:
    """The moments and their format; None when the spellings have no known format in common."""
    if not spellings:
        return None
    bare = spellings[0].strip()
    blanks = spellings[0][: len(spellings[0]) - len(spellings[0].lstrip())]
    tail = TAIL.search(bare)
    if (tail is None or not tail.group()) and (found := _in_format(spellings, blanks, bare, "")):
        return found
    if tail is None:
        return None
    end = _end([match.groupdict() for match in map(TAIL.search, spellings) if match])
    return None if end is None else _in_format(spellings, blanks, bare[: tail.start()], end)


def _in_format(spellings: Sequence[str], blanks: str, bare: str, end: str) -> tuple[Moments, DateFormat] | None:
    """The same by the formats of the shape of `bare`, with blanks before and `end` after them."""
    for pattern in _by_shape().get(_shape(bare), ()):
        form = DateFormat(blanks + pattern + end)
        if form.parse(spellings[:NUM_TRIED]) is not None:
            moments = form.parse(spellings)
            if moments is not None and not _are_numbers(pattern, moments):
                return moments, _with_zones(form, moments, spellings)
    return None


def _end(tails: Sequence[Mapping[str, str]]) -> str | None:
    """The parts of a second and the offset after the clocks of a column, as fields; None where they have no form in common."""
    zones = {tail["blank"] + (tail["zone"] or "") for tail in tails}
    zone: str | None = zones.pop() if len(zones) == 1 else None
    if zone is None:
        forms = {(text.count(" "), len(text.strip())) for text in [*zones]}
        if len(forms) > 1 or any(text.strip()[:1] not in ("+", "-") for text in zones):
            return None
        blank, length = forms.pop()
        zone = " " * blank + ZONES[length]
    marks = {tail["mark"] for tail in tails} - {None}
    if len(marks) != 1:
        return None if marks else zone
    parts = {tail["fraction"] or "" for tail in tails}
    lengths = {len(part) for part in parts}
    mark, longest = marks.pop(), max(lengths)
    if lengths == {longest}:
        return f"{mark}%{longest}f{zone}"
    fixed = lengths == {0, longest} and all(part.strip("0") for part in parts if part)
    return f"%{mark}{longest if fixed else ''}f{zone}"


def _with_zones(form: DateFormat, moments: Moments, spellings: Sequence[str]) -> DateFormat:
    """The format with its offsets: by moment, or where they change too often, the commonest alone."""
    if not any(token[-1] == "z" for token in form.tokens):
        return form
    regex = _regex(form.pattern)
    offsets = np.array([_minutes(match["z"]) for match in map(regex.fullmatch, spellings) if match])
    order = np.lexsort((offsets, moments))
    offsets, starts = offsets[order], moments[order].astype(np.int64)
    changes = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 1))
    if len(changes) > MOST_SWITCHES:
        values, counts = np.unique(offsets, return_counts=True)
        return DateFormat(form.pattern, f"0:{values[counts.argmax()]}")
    return DateFormat(form.pattern, " ".join(f"{starts[place]}:{offsets[place]}" for place in changes))


def sentinel(form: DateFormat, moments: Moments) -> int | None:
    """The place of a moment in the first year or from 9000 on, which programs write for "none" or "for ever", if all others are
    in other years; None if there is none."""
    years = form.times(moments).astype("datetime64[Y]").astype(np.int64) + 1970
    odd = (years >= 9000) | (years == 1)
    return int(np.flatnonzero(odd)[0]) if odd.any() and len(np.unique(moments[odd])) == 1 < len(moments) else None


def misfits(spellings: Sequence[str]) -> list[str]:
    """The spellings without which all others are dates of one format; all of them if there is no known format."""
    shapes = [_shape(TAIL.sub("", text.strip())) for text in spellings]
    common = Counter(shapes).most_common(1)[0][0] if shapes else ""
    if parse([text for text, shape in zip(spellings, shapes) if shape == common]) is None:
        return [*spellings]
    return [text for text, shape in zip(spellings, shapes) if shape != common]


def _are_numbers(pattern: str, moments: Moments) -> bool:
    """Eight digits are dates only if all are between 1900 and 2100; a year and a month only if most are from 1000 to 2999."""
    ranges = {"%Y-%m": ("M", "1000-01", "2999-12", 0.5), "%Y%m%d": ("D", "1900-01-01", "2100-12-31", 0.0)}
    if pattern not in ranges:
        return False
    unit, *ends, most = ranges[pattern]
    first, last = (np.datetime64(text, unit).astype(np.int64) for text in ends)  # type: ignore[call-overload]
    return bool(((moments < first) | (moments > last)).mean() > most)
