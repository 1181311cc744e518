"""Grids of samples with text: class names above the columns, descriptions at the top and the left side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zerosum.domain import DatasetInfo, Domain, PreviewContext
from zerosum.domain.glyphs import glyphs_for

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MOST_COLUMNS = 12
"""Most named columns side by side; further ones continue in a band below."""
PAPER, INK = "#ffffff", "#1d2024"
SIZE, SMALL, PAD = 15, 10, 4
"""Sizes in pixels: of the letters, of the letters of a legend, and the space around them."""


@dataclass(frozen=True)
class Layout:
    """How samples are arranged on a sheet, row by row. columns: of the sheet; 0 for no sheet.

    names: of the columns; more than MOST_COLUMNS continue in further bands below. instead: the text above a column whose name
    no font can draw. top, left: descriptions of the samples at the top and at the left side. each: the class of each sample as a
    part of a file name; () where they have none. condition: (N, ...) of the samples, see PreviewContext.
    """

    columns: int = 0
    names: tuple[str, ...] = ()
    top: str = ""
    left: str = ""
    each: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    condition: Tensor | None = field(default=None, compare=False)


Word = tuple[str, str | None]
"""A text, and the file of the font that can draw it; None for the default font."""
NUMBERED = (
    "No font here has the signs of some names. A number is that of a class, from 0, in the order of the training data."
)


def write(
    domain: Domain,
    samples: Tensor,
    target: Path,
    layout: Layout,
    info: DatasetInfo,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes generated samples (N, ...) as one picture of that layout. options: see PreviewContext."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (layout.names or layout.top or layout.left):
        noise = samples.new_zeros(len(samples), 0)
        context = PreviewContext(layout.columns, info, noise, condition=layout.condition, options=options)
        domain.media.preview(samples, target, context)
        return
    rows = len(samples) // layout.columns
    cells, conditions = (_as_grid(each, rows, layout.columns) for each in (samples, layout.condition))
    assert cells is not None
    bands, (words, numbered) = [], _column_words(layout)
    for start in range(0, layout.columns, MOST_COLUMNS if layout.names else layout.columns):
        band = slice(start, start + (MOST_COLUMNS if layout.names else layout.columns))
        part, under = cells[:, band], None if conditions is None else conditions[:, band].flatten(0, 1)
        shown = part.flatten(0, 1)
        context = PreviewContext(part.shape[1], info, shown.new_zeros(len(shown), 0), condition=under, options=options)
        sheet = _draw_sheet(domain, shown, context)
        bands.append(_with_names(sheet, words[start : start + part.shape[1]]) if layout.names else sheet)
    legend = _wrap(NUMBERED, bands[0].width) if numbered else []
    sheet = _stack([*bands, *(_text_line(line, bands[0].width, SMALL) for line in legend)])
    if layout.top:
        sheet = _stack([_text_line(layout.top, sheet.width), sheet])
    if layout.left:
        side = _text_line(layout.left, sheet.height).rotate(90, expand=True)
        whole = Image.new("RGB", (side.width + sheet.width, sheet.height), PAPER)
        whole.paste(side, (0, 0))
        whole.paste(sheet, (side.width, 0))
        sheet = whole
    sheet.save(target)


def _as_grid(values: Tensor | None, rows: int, columns: int) -> Tensor | None:
    """(N, ...) -> (rows, columns, ...), without those of a last row that is not full."""
    return None if values is None else values[: rows * columns].view(rows, columns, *values.shape[1:])


def _draw_sheet(domain: Domain, samples: Tensor, scene: PreviewContext) -> Image.Image:
    """The preview of the domain, as an image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sheet{domain.media.preview_ending}"
        domain.media.preview(samples, path, scene)
        with Image.open(path) as image:
            return image.convert("RGB")


def _column_words(layout: Layout) -> tuple[list[Word], bool]:
    """The texts above the columns with the fonts that can draw them, and whether some names could not be drawn."""
    glyphs, words, numbered = glyphs_for(layout.names), list[Word](), False
    for name, other in zip(layout.names, layout.instead or layout.names, strict=True):
        file = None if name.isascii() else glyphs.file_for(name)
        lacking = file is None and not name.isascii()
        words.append((other if lacking else " ".join(name.split()), file))
        numbered = numbered or lacking
    return words, numbered


def _with_names(sheet: Image.Image, names: Sequence[Word]) -> Image.Image:
    """The sheet with a name above each of its columns, cut where it is longer than its column is wide."""
    width = sheet.width / len(names)
    head = Image.new("RGB", (sheet.width, SIZE + 2 * PAD), PAPER)
    draw = ImageDraw.Draw(head)
    for index, (name, file) in enumerate(names):
        font = _font(file=file)
        draw.text(((index + 0.5) * width, PAD), _shorten(name, width - PAD, font), INK, font, anchor="ma")
    return _stack([head, sheet])


def _text_line(words: str, width: int, most: int = SIZE) -> Image.Image:
    """A line of words of that width, smaller where they would not fit. most: the size of the letters."""
    image = Image.new("RGB", (width, most + 2 * PAD), PAPER)
    size = min(most, max(8, int(SIZE * (width - 2 * PAD) / max(1.0, _font().getlength(words)))))
    ImageDraw.Draw(image).text((width / 2, PAD), words, INK, _font(size), anchor="ma")
    return image


def _stack(images: Sequence[Image.Image]) -> Image.Image:
    """Images below each other, aligned at the left."""
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), PAPER)
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def _wrap(words: str, width: int) -> list[str]:
    """Lines that fit into the width in small letters."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if _font(SMALL).getlength(longer) <= width - 2 * PAD else [*lines, word]
    return lines


def _shorten(name: str, width: float, font: Any) -> str:
    if font.getlength(name) <= width:
        return name
    while name and font.getlength(f"{name}…") > width:
        name = name[:-1]
    return f"{name}…"


def _font(size: int = SIZE, file: str | None = None) -> Any:
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
