"""Sample grids of a run as data: addresses, evenly chosen so that a long run still fits one page."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

MOST = 40
MOST_BYTES = 24_000_000
SHEET_FROM = 1000  # px; a third of the page is too little for what such a picture shows
SMOOTH_FROM = 700  # px; narrower grids are enlarged on most screens, where smoothing would blur single pixels
_NAME = re.compile(r"step-(\d+)\.png")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """One PNG: its step (None for real data), data: address, width and height in pixels."""

    step: int | None
    address: str
    width: int
    height: int

    @property
    def tiny(self) -> bool:
        """True when enlarging must keep pixels sharp."""
        return self.width < SMOOTH_FROM

    @property
    def sheet(self) -> bool:
        """True when it wants the full width of the page."""
        return self.width >= SHEET_FROM


@dataclass(frozen=True)
class Gallery:
    """The pictures of a run, by rising step, and a sentence for each thing left out."""

    fakes: list[Picture] = field(default_factory=list)
    real: Picture | None = None
    notes: list[str] = field(default_factory=list)


def spread(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` items (1 or more), evenly chosen; the last is always kept, the first too when limit is 2 or more."""
    if limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    if len(items) <= limit:
        return list(items)
    if limit == 1:
        return [items[-1]]
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]


def gather(folder: Path, most: int = MOST, most_bytes: int = MOST_BYTES) -> Gallery:
    """The pictures of `folder` (previews/ of a run): at most `most`, and fewer when they are heavy in bytes."""
    if not folder.is_dir():
        return Gallery(notes=["There are no sample pictures: previews/ is missing."])
    steps = {int(found[1]): path for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))}
    every = sorted(steps)
    chosen = spread(every, most)
    while len(chosen) > 2 and sum(steps[step].stat().st_size for step in chosen) > most_bytes:
        chosen = spread(every, max(2, len(chosen) * 3 // 4))
    notes: list[str] = []
    fakes = [picture for step in chosen if (picture := read_picture(steps[step], step, notes))]
    real = read_picture(folder / "real.png", None, notes) if (folder / "real.png").is_file() else None
    if len(chosen) < len(every):
        notes.append(f"{len(chosen)} of {len(every)} previews are shown, evenly chosen; all lie in previews/.")
    if not every:
        notes.append("No samples were drawn yet: previews/ holds no step-*.png.")
    return Gallery(fakes, real, notes)


def read_picture(path: Path, step: int | None, notes: list[str]) -> Picture | None:
    """The PNG at `path`; None when it cannot be shown, and `notes` gains a sentence that says why."""
    try:
        data = path.read_bytes()
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error}); it is left out.")
        return None
    if len(data) < 24 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        notes.append(f"{path.name} is not a complete PNG picture; it is left out.")
        return None
    width, height = struct.unpack(">II", data[16:24])
    return Picture(step, "data:image/png;base64," + base64.b64encode(data).decode("ascii"), width, height)
