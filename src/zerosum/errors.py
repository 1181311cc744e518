"""Errors for users: what was given, what is accepted, what to do next."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """An error that the user can correct. Its text names the field, the value and the choices; no traceback is shown."""


class Damaged(ValueError):
    """A file that does not match its manifest or its format."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A sentence that offers the names closest to `word`, or lists all of them when none is close."""
    names = sorted(choices)
    return near(word, names) or "Choose from: " + ", ".join(names) + "."


def near(word: str, choices: Iterable[str]) -> str:
    """A sentence that offers the names closest to `word`; empty when none is close."""
    close = difflib.get_close_matches(word, sorted(choices), n=3, cutoff=0.5)
    return "Did you mean " + " or ".join(repr(name) for name in close) + "?" if close else ""


def known_as(name: str, known: Mapping[str, T], what: str) -> T:
    """known[name]; UserError with the nearest names when there is none. what: "recipe", "source" ..."""
    if name not in known:
        raise UserError(f"There is no {what} {name!r}. {nearest(name, known)}")
    return known[name]


def within(name: str, value: float, least: float, most: float, above: bool = False) -> None:
    """UserError, which names the range, unless value is finite and in [least, most]; with `above` in (least, most]."""
    try:
        fits = math.isfinite(value) and least <= value <= most and not (above and value == least)
    except OverflowError:  # a whole number beyond all floats
        fits = False
    if not fits:
        low, high = (f"{bound:,}" for bound in (least, most))
        lower_bound = f"more than {low}" if above else f"at least {low}"
        raise UserError(f"{name} must be {lower_bound} and at most {high}, got {_short(value)}.")


def _short(value: float) -> str:
    """A number in at most about 24 characters."""
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}... ({len(text):,} digits)"


# Kinds of problems that the validation of recipes finds, and the values that are accepted.
WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a number that is finite",
    "bool": "true or false",
    "string_too_short": "a text that is not empty",
    "string": "a text",
    "list": "a list, such as [1,2]",
    "tuple": "a list, such as [1,2]",
    "too_long": "a shorter list",
    "too_short": "a longer list",
    "missing": "a longer list",
    "model": "{fields}",
    "dict": "{fields}",
    "dataclass": "{fields}",
    "mapping": "{fields}",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "literal": "{expected}",
}


def wanted(problems: Iterable[Mapping[str, Any]], fields: Iterable[str] = ()) -> str:
    """The values that are accepted instead of a wrong one: "give a whole number, or 'auto'".

    problems: those that pydantic found with it, one for each type that it might have had; reasons that are sentences of ours
    already stay as they are. fields: that it has, where it is no single value.
    """
    names = ", ".join(fields)
    given, reasons = [], []
    for problem in problems:
        kind = next((k for k in WANTED if problem["type"].startswith(k)), None)
        if kind is None:
            reasons.append(str(problem["msg"]).removeprefix("Value error, "))
        else:
            words = {"fields": f"its fields ({names})" if names else "its fields"}
            given.append(WANTED[kind].format(**words | dict(problem.get("ctx", {}))))
    asked = f"give {', or '.join(dict.fromkeys(given))}" if given else ""
    return "; ".join(dict.fromkeys([*reasons, *([asked] if asked else [])]))


def shown(value: Any) -> str:
    """A value as it is written in a recipe: true and null for True and None."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
