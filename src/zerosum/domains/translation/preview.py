"""Sheets that show a translation beside its input and, where there is one, the target: a row of cells for each example.

Legend: N rows, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zerosum.data.images.pictures import Size, enlarged, marked, resized, to_pixels
from zerosum.domain import DatasetInfo, PreviewContext
from zerosum.domains.translation.sides import Side, shown, sides

NUM_SHOWN = 16
CELL, MOST_ACROSS, WIDE = 112, 1200, 1.6
"""Images are enlarged to about CELL rows; a sheet is at most so wide, and WIDE times as wide as tall where it can."""
GAP, SPACE, MARGIN, HEAD = 3, 22, 14, 26
PAPER, INK = (255, 255, 255), (70, 70, 70)


def picture(samples: Tensor, path: Path, scene: PreviewContext) -> None:
    """Inputs and what was made of them (real rows: and their targets), as `domain.Scene` gives them."""
    made = scene.noise is not None
    paired = bool(scene.info.payload["paired"])
    columns = [(samples, 1, "output" if made else "target" if paired else "targets (no pairs)")]
    if scene.condition is not None:
        columns = [(scene.condition[: len(samples)].cpu(), 0, "input"), *columns]
    sheet(columns, scene.info, path, scene.size)


def sheet(columns: Sequence[tuple[Tensor, int, str]], info: DatasetInfo, path: Path, size: Size | None = None) -> None:
    """One PNG (or JPEG, by the path's ending). columns: images (N, C, H, W) in [-1, 1], their side (0 input, 1 target) and a
    word for the header. The columns of one row stand together; rows go on beside them where the sheet would be too tall.
    size: of each image; None: enlarged to about CELL rows."""
    both = sides(info)
    cells = [_cells(images, both[which], size) for images, which, _ in columns]
    words = [word for *_, word in columns]
    width, height = cells[0][0].size
    num, group = len(cells[0]), len(cells) * (width + GAP) - GAP
    across = _across(num, group + SPACE, height + GAP)
    down = -(-num // across)
    whole = 2 * MARGIN + across * (group + SPACE) - SPACE, 2 * MARGIN + HEAD + down * (height + GAP) - GAP
    page = Image.new("RGB", whole, PAPER)
    _headers(page, words, across, width, group)
    for index in range(num):
        left, top = MARGIN + index % across * (group + SPACE), MARGIN + HEAD + index // across * (height + GAP)
        for place, column in enumerate(cells):
            page.paste(column[index], (left + place * (width + GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    about = {"pnginfo": marked(across * len(cells), down)} if kind == "PNG" else {}
    page.save(path, format=kind, **about)


def _across(num: int, width: int, height: int) -> int:
    """How many groups of this size stand side by side: somewhat wider than tall, within MOST_ACROSS, full rows if possible."""
    most = max(1, min(num, (MOST_ACROSS - 2 * MARGIN + SPACE) // width))
    wide = (WIDE * num * height / width) ** 0.5
    full = [count for count in range(1, most + 1) if num % count == 0 and wide / 2 <= count <= 2 * wide]
    return min(full or range(1, most + 1), key=lambda count: abs(count - wide))


def _cells(images: Tensor, side: Side, size: Size | None) -> list[Image.Image]:
    """Each image in colours, of that size, or about CELL rows tall."""
    pixels = to_pixels(shown(images.detach().float().cpu(), side))
    if size is None:
        return [enlarged(row, CELL).convert("RGB") for row in pixels]
    to, smooth = size.of(*pixels.shape[2:]), side.kind != "labels"
    whole = [resized(row.permute(1, 2, 0).numpy(), to, smooth) for row in pixels.expand(-1, 3, -1, -1)]
    return [Image.fromarray(values) for values in whole]


def _headers(page: Image.Image, words: Sequence[str], across: int, width: int, group: int) -> None:
    """A word above the middle of each column, smaller where a column is narrow."""
    draw = ImageDraw.Draw(page)
    for size in (15, 13, 11, 9):
        font = ImageFont.load_default(size)
        if all(draw.textlength(word, font) <= width for word in words):
            break
    for block in range(across):
        for place, word in enumerate(words):
            middle = MARGIN + block * (group + SPACE) + place * (width + GAP) + width / 2
            draw.text((middle, MARGIN + HEAD - 9), word, INK, font, anchor="ms")


def triples(
    inputs: Tensor,
    outputs: Tensor,
    targets: Tensor,
    info: DatasetInfo,
    path: Path,
    reverse: bool = False,
    size: Size | None = None,
) -> None:
    """Input | output | target of some rows; the third column is another image of the target side where there are no pairs.

    reverse: inputs are of the target side, outputs and targets of the input side.
    """
    first, second = (1, 0) if reverse else (0, 1)
    truth = "target" if info.payload["paired"] else "like these"
    sheet([(inputs, first, "input"), (outputs, second, "output"), (targets, second, truth)], info, path, size)
