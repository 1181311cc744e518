"""What a person may choose about a measurement: the feature extractor, and how many samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvalOptions:
    """extractor: its name, empty for the source's own. num: samples on each side, 0 for the source's own number.

    weights: a file for extractors that need one. trust: whether such a file may be one that runs code. download: whether
    weights may be fetched.
    """

    extractor: str = ""
    num: int = 0
    weights: Path | None = None
    trust: bool = False
    download: bool = False
