"""Small parts of the page's HTML: escaped text, lists of names and values, marks of a level."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from typing import Any

from zerosum.report.read import Json

LEVELS = {"alarm": ("Alarm", "✕"), "warning": ("Warning", "!"), "ok": ("OK", "✓")}


def text(value: object) -> str:
    """Any value as HTML-safe text."""
    return html.escape(str(value), quote=True)


def badge(level: str) -> str:
    """A level as a sign and a word, never as a colour alone."""
    word, sign = LEVELS.get(level, (level.capitalize() or "Note", "·"))
    return f'<span class="badge"><span aria-hidden="true">{sign}</span> {text(word)}</span>'


def embedded_json(data: Mapping[str, Any]) -> str:
    """JSON that is safe inside a script element."""
    plain = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy_hash(content: str) -> str:
    """The source expression by which a Content-Security-Policy allows an inline style or script."""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


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
