"""The one error a user is meant to read: what was given, what is accepted, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """Something the user can mend. Its text names the field, the value and the choices; it is shown without a traceback."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A sentence that offers the names closest to `word`, or lists all of them when none is close."""
    names = sorted(choices)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "Choose from: " + ", ".join(names) + "."


def known_as(name: str, known: Mapping[str, T], what: str) -> T:
    """known[name]; UserError with the nearest names when there is none. what: "recipe", "source" ..."""
    if name not in known:
        raise UserError(f"There is no {what} {name!r}. {nearest(name, known)}")
    return known[name]
