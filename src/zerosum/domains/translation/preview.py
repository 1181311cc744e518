"""Sheets of translations: for each example a row with its input, its output and, if there is one, its target.

Legend: N rows, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zerosum.data.images.pictures import Size, enlarge, grid_metadata, resize_array, to_pixels
from zerosum.domain import DatasetInfo, PreviewContext, picture_size
from zerosum.domains.translation.sides import Side, sides, to_displayable

NUM_SHOWN = 16
CELL, MOST_ACROSS, WIDE = 112, 1200, 1.6
"""Images are enlarged to about CELL pixels; the greatest width of a sheet; the preferred ratio of its width to its
height."""
GAP, SPACE, MARGIN, HEAD = 3, 22, 14, 26
PAPER, INK = (255, 255, 255), (70, 70, 70)


def picture(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """Writes a sheet of generated samples with their inputs, or of real targets with their inputs."""
    generated = context.noise is not None
    paired = bool(context.info.payload["paired"])
    columns = [(samples, 1, "output" if generated else "target" if paired else "targets (no pairs)")]
    if context.condition is not None:
        columns = [(context.condition[: len(samples)].cpu(), 0, "input"), *columns]
    write_sheet(columns, context.info, path, picture_size(context))


def write_sheet(
    columns: Sequence[tuple[Tensor, int, str]], info: DatasetInfo, path: Path, size: Size | None = None
) -> None:
    """Writes one PNG (or JPEG or WebP, by the suffix). columns: images (N, C, H, W) in [-1, 1], their side (0 input, 1 target)
    and a header. The columns of one example are adjacent; examples are arranged in several groups of columns if the
    sheet would be too tall. size: of each image; None: enlarged to about CELL pixels."""
    both = sides(info)
    cells = [_make_cells(images, both[which], size) for images, which, _ in columns]
    headers = [header for *_, header in columns]
    width, height = cells[0][0].size
    num, group = len(cells[0]), len(cells) * (width + GAP) - GAP
    across = _groups_per_row(num, group + SPACE, height + GAP)
    down = -(-num // across)
    whole = 2 * MARGIN + across * (group + SPACE) - SPACE, 2 * MARGIN + HEAD + down * (height + GAP) - GAP
    page = Image.new("RGB", whole, PAPER)
    _draw_headers(page, headers, across, width, group)
    for index in range(num):
        left, top = MARGIN + index % across * (group + SPACE), MARGIN + HEAD + index // across * (height + GAP)
        for place, column in enumerate(cells):
            page.paste(column[index], (left + place * (width + GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    about = {"pnginfo": grid_metadata(across * len(cells), down)} if kind == "PNG" else {}
    page.save(path, format=kind, **about)


def _groups_per_row(num: int, width: int, height: int) -> int:
    """The number of groups of this size in a row: the sheet is somewhat wider than tall, at most MOST_ACROSS wide, with full
    rows if possible."""
    most = max(1, min(num, (MOST_ACROSS - 2 * MARGIN + SPACE) // width))
    wide = (WIDE * num * height / width) ** 0.5
    full = [count for count in range(1, most + 1) if num % count == 0 and wide / 2 <= count <= 2 * wide]
    return min(full or range(1, most + 1), key=lambda count: abs(count - wide))


def _make_cells(images: Tensor, side: Side, size: Size | None) -> list[Image.Image]:
    """Each image in colour, of that size, or about CELL pixels tall."""
    pixels = to_pixels(to_displayable(images.detach().float().cpu(), side))
    if size is None:
        return [enlarge(row, CELL).convert("RGB") for row in pixels]
    to, smooth = size.of(*pixels.shape[2:]), side.kind != "labels"
    whole = [resize_array(row.permute(1, 2, 0).numpy(), to, smooth) for row in pixels.expand(-1, 3, -1, -1)]
    return [Image.fromarray(values) for values in whole]


def _draw_headers(page: Image.Image, headers: Sequence[str], across: int, width: int, group: int) -> None:
    """A header above the middle of each column, smaller if a column is narrow."""
    draw = ImageDraw.Draw(page)
    for size in (15, 13, 11, 9):
        font = ImageFont.load_default(size)
        if all(draw.textlength(header, font) <= width for header in headers):
            break
    for block in range(across):
        for place, header in enumerate(headers):
            middle = MARGIN + block * (group + SPACE) + place * (width + GAP) + width / 2
            draw.text((middle, MARGIN + HEAD - 9), header, INK, font, anchor="ms")


def write_triples(
    inputs: Tensor,
    outputs: Tensor,
    targets: Tensor,
    info: DatasetInfo,
    path: Path,
    reverse: bool = False,
    size: Size | None = None,
) -> None:
    """Input | output | target of some rows; without pairs the third column shows other images of the target side.

    reverse: inputs are of the target side, outputs and targets of the input side.
    """
    first, second = (1, 0) if reverse else (0, 1)
    third = "target" if info.payload["paired"] else "like these"
    write_sheet([(inputs, first, "input"), (outputs, second, "output"), (targets, second, third)], info, path, size)
