"""What the last evaluation of data with the same fingerprint cost on this machine: the forecast of a plan."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zerosum.domain import DatasetInfo
from zerosum.errors import Damaged
from zerosum.jsonfile import read_object
from zerosum.metrics.classifier import default_cache_dir
from zerosum.store import write_durably

MOST = 200
"""Entries that are kept, the newest."""


@dataclass(frozen=True)
class EvaluationCost:
    """seconds: of the evaluation by the clock. num_bytes: the most memory that the process held meanwhile, 0 if unknown."""

    seconds: float
    num_bytes: int = 0


def _file() -> Path:
    return default_cache_dir().parent / "evaluation-cost.json"


def _key(info: DatasetInfo) -> str:
    return f"{info.fingerprint} threads={torch.get_num_threads()}"


def _entries() -> dict[str, list[float]]:
    """All entries, the oldest first; none where the file is missing or damaged: it is only a forecast."""
    with contextlib.suppress(OSError, Damaged):
        return {key: value for key, value in read_object(_file()).items() if _is_cost(value)}
    return {}


def _is_cost(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(isinstance(x, int | float) for x in value)
    return numbers and 0 < value[0] < 1e9 and 0 <= value[1] < 1e18


def known(info: DatasetInfo) -> EvaluationCost | None:
    """The last evaluation of these data with as many threads; None when there was none."""
    found = _entries().get(_key(info))
    return None if found is None else EvaluationCost(float(found[0]), int(found[1]))


def remember(info: DatasetInfo, cost: EvaluationCost) -> None:
    """Keeps the cost of an evaluation; a folder that cannot be written is no fault."""
    entries = {key: value for key, value in _entries().items() if key != _key(info)}
    entries[_key(info)] = [round(cost.seconds, 2), cost.num_bytes]
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_durably(_file(), json.dumps(dict([*entries.items()][-MOST:])).encode())
