"""Sheets of samples with words on them: class names above the columns, what the sides of a mix mean."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zerosum.data.images.pictures import Size
from zerosum.domain import Domain, Scene

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MOST_COLUMNS = 12
"""Columns with names above them that lie side by side; further ones go on below."""
PAPER, INK = "#ffffff", "#1d2024"
SIZE, PAD = 15, 4
"""Of the letters, and the space around them, in pixels."""


@dataclass(frozen=True)
class Layout:
    """How samples lie on a sheet, row by row. columns: of the sheet; 0 where nothing is laid out.

    names: of the columns; where there are more than MOST_COLUMNS they go on in further bands below. top, left: what the
    samples along the top and down the left side are. each: the class of each sample, fit for the name of a file; () where they
    have none.
    """

    columns: int = 0
    names: tuple[str, ...] = ()
    top: str = ""
    left: str = ""
    each: tuple[str, ...] = ()


def write(
    domain: Domain, samples: Tensor, target: Path, layout: Layout, facts: Mapping[str, Any], size: Size | None = None
) -> None:
    """Writes samples (N, ...) as one picture of that layout. size: of each, None: as the domain likes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (layout.names or layout.top or layout.left):
        domain.picture(samples, target, Scene(layout.columns, facts, size=size))
        return
    rows = len(samples) // layout.columns
    cells = samples[: rows * layout.columns].view(rows, layout.columns, *samples.shape[1:])
    bands = []
    for start in range(0, layout.columns, MOST_COLUMNS if layout.names else layout.columns):
        part = cells[:, start : start + (MOST_COLUMNS if layout.names else layout.columns)]
        sheet = _drawn(domain, part.flatten(0, 1), Scene(part.shape[1], facts, size=size))
        bands.append(_named(sheet, layout.names[start : start + part.shape[1]]) if layout.names else sheet)
    sheet = _stacked(bands)
    if layout.top:
        sheet = _stacked([_line(layout.top, sheet.width), sheet])
    if layout.left:
        side = _line(layout.left, sheet.height).rotate(90, expand=True)
        whole = Image.new("RGB", (side.width + sheet.width, sheet.height), PAPER)
        whole.paste(side, (0, 0))
        whole.paste(sheet, (side.width, 0))
        sheet = whole
    sheet.save(target)


def _drawn(domain: Domain, samples: Tensor, scene: Scene) -> Image.Image:
    """What the domain draws of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        domain.picture(samples, path, scene)
        with Image.open(path) as image:
            return image.convert("RGB")


def _named(sheet: Image.Image, names: Sequence[str]) -> Image.Image:
    """The sheet with a name above each of its columns, cut where it is longer than its column is wide."""
    width = sheet.width / len(names)
    head = Image.new("RGB", (sheet.width, SIZE + 2 * PAD), PAPER)
    draw = ImageDraw.Draw(head)
    for index, name in enumerate(names):
        draw.text(((index + 0.5) * width, PAD), _cut(name, width - PAD), INK, _font(), anchor="ma")
    return _stacked([head, sheet])


def _line(words: str, width: int) -> Image.Image:
    """A line of words of that width, smaller where they would not fit."""
    image = Image.new("RGB", (width, SIZE + 2 * PAD), PAPER)
    size = min(SIZE, max(8, int(SIZE * (width - 2 * PAD) / max(1.0, _font().getlength(words)))))
    ImageDraw.Draw(image).text((width / 2, PAD), words, INK, _font(size), anchor="ma")
    return image


def _stacked(images: Sequence[Image.Image]) -> Image.Image:
    """One below the other, at the left."""
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), PAPER)
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def _cut(name: str, width: float) -> str:
    if _font().getlength(name) <= width:
        return name
    while name and _font().getlength(f"{name}…") > width:
        name = name[:-1]
    return f"{name}…"


def _font(size: int = SIZE) -> Any:
    return ImageFont.load_default(size)
