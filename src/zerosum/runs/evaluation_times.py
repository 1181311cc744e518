"""How long the last evaluation took on data of the same fingerprint, on this machine: what a plan can foretell."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zerosum.metrics.classifier import default_cache_dir
from zerosum.store import write_durably

MOST = 200
"""Entries that are kept, the newest."""


def _file() -> Path:
    return default_cache_dir().parent / "evaluation-seconds.json"


def _key(facts: Mapping[str, Any]) -> str:
    return f"{facts['fingerprint']} threads={torch.get_num_threads()}"


def _entries() -> dict[str, float]:
    """All entries, the oldest first; none where the file is missing or damaged: it is only a forecast."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and 0 < v < 1e9}
    return {}


def known(facts: Mapping[str, Any]) -> float | None:
    """Seconds of the last evaluation on these data with as many threads; None when there was none."""
    return _entries().get(_key(facts))


def remember(facts: Mapping[str, Any], seconds: float) -> None:
    """Keeps the time of an evaluation; a folder that cannot be written is no fault."""
    entries = {k: v for k, v in _entries().items() if k != _key(facts)} | {_key(facts): round(seconds, 2)}
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_durably(_file(), json.dumps(dict([*entries.items()][-MOST:])).encode())
