"""Names and values as a list on the page."""

from __future__ import annotations

import json

from zerosum.report.read import Json
from zerosum.report.words import text


def pairs(values: Json) -> str:
    """A two-column list of names and values; empty for none."""
    if not values:
        return ""
    rows = "".join(f"<div><dt>{text(key)}</dt><dd>{text(_plain(value))}</dd></div>" for key, value in values.items())
    return f'<dl class="pairs">{rows}</dl>'


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) if any(isinstance(one, dict) for one in value) else _row(value)
    return value if isinstance(value, str) else json.dumps(value)


def _row(values: list[object]) -> str:
    return ", ".join(map(_plain, values)) or "none"
