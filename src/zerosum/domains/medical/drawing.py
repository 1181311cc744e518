"""Pictures of volumes and slices in radiological orientation: the patient's right is on the left of the picture. Letters mark the
directions, and every sheet of made images says so.

Legend: N rows, * spatial sizes, (X, Y) or (X, Y, Z) in RAS orientation.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zerosum.domain import DatasetInfo

Pixels = NDArray[np.uint8]
AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
"""The axes that run along the rows and up the columns of a picture of a plane."""
LETTERS = ("RL", "AP")
"""What is at the left and at the right end of a row, for the axes x and y: they run towards the left of the picture."""
CELL, GAP, MARGIN, HEAD = 112, 4, 10, 18
PAPER, INK, MARK = (255, 255, 255), (70, 70, 70), (255, 214, 80)


def view(plane_values: Tensor) -> NDArray[np.float32]:
    """A plane (A, B) of two RAS axes -> (B, A) as it is seen: A towards the left, B upwards."""
    seen: NDArray[np.float32] = plane_values.detach().float().cpu().flip(0, 1).T.contiguous().numpy()
    return seen


def grey(plane_values: Tensor) -> Pixels:
    """Values in [-1, 1] -> (B, A, 3)."""
    pixels = np.rint((view(plane_values).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, 2)


def colours(plane_values: Tensor, num: int) -> Pixels:
    """Label numbers -> (B, A, 3): evenly spaced hues, 0 nearly black."""
    hues = [colorsys.hsv_to_rgb(0.618034 * k % 1, 0.65, 0.95 - 0.25 * (k % 3)) for k in range(num)]
    table = np.rint(np.array([(0.1, 0.1, 0.1), *hues[1:]]) * 255).astype(np.uint8)
    shown: Pixels = table[view(plane_values).astype(np.int64).clip(0, num - 1)]
    return shown


def planes(row: Tensor, plane: str) -> list[tuple[str, Tensor]]:
    """The planes by which a row (*) is shown: a slice itself, the middle planes of a volume."""
    if row.dim() == 2:
        return [(plane, row)]
    x, y, z = (side // 2 for side in row.shape)
    return [("axial", row[:, :, z]), ("coronal", row[:, y]), ("sagittal", row[x])]


def tile(row: Tensor, plane: str, cell: int = CELL, num_labels: int = 0, marked: bool = True) -> Image.Image:
    """One row (*) as a picture of its planes side by side, each enlarged by a whole number to about `cell` pixels. num_labels: it
    is a label map with so many labels."""
    shown = planes(row, plane)
    scale = max(1, round(cell / max(max(values.shape) for _, values in shown)))
    pictures = []
    for name, values in shown:
        pixels = colours(values, num_labels) if num_labels else grey(values)
        picture = Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
        if marked:
            _mark(picture, LETTERS[AXES[name][0]])
        pictures.append(picture)
    height = max(picture.height for picture in pictures)
    whole = Image.new("RGB", (sum(picture.width + 1 for picture in pictures) - 1, height))
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, (height - picture.height) // 2))
        left += picture.width + 1
    return whole


def _mark(picture: Image.Image, letters: str) -> None:
    """Writes the letters of both directions at half height."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    middle = picture.height / 2
    draw.text((1, middle), letters[0], MARK, font, anchor="lm")
    draw.text((picture.width - 1, middle), letters[1], MARK, font, anchor="rm")


def sheet(
    columns: Sequence[tuple[Tensor, str, int]],
    across: int,
    info: DatasetInfo,
    made: bool,
    cell: int = CELL,
    notes: str = "",
) -> Image.Image:
    """A sheet of rows, several groups of columns beside each other. columns: (N, 1, *), a header, and the number of labels of a
    label map, 0 for images."""
    plane = info.payload["plane"]
    groups = []
    for index in range(len(columns[0][0])):
        tiles = [tile(rows[index, 0], plane, cell, labels) for rows, _, labels in columns]
        group = Image.new("RGB", (sum(one.width + GAP for one in tiles) - GAP, max(one.height for one in tiles)), PAPER)
        left = 0
        for one in tiles:
            group.paste(one, (left, 0))
            left += one.width + GAP
        groups.append(group)
    across = max(1, min(across, len(groups)))
    down = -(-len(groups) // across)
    width, height = groups[0].size
    page = Image.new(
        "RGB",
        (2 * MARGIN + across * (width + 2 * GAP) - 2 * GAP, 2 * MARGIN + HEAD + down * (height + GAP) - GAP),
        PAPER,
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    said = " | ".join(header for _, header, _ in columns if header)
    title = f"{'SYNTHETIC. ' if made else ''}{said}{'. ' if said else ''}Radiological orientation{notes}"
    for words in (title, "SYNTHETIC, radiological" if made else "radiological"):
        if draw.textlength(words, font) <= page.width - 2 * MARGIN:
            break
    draw.text((MARGIN, MARGIN + HEAD - 6), words, INK, font, anchor="ls")
    for index, group in enumerate(groups):
        left = MARGIN + index % across * (width + 2 * GAP)
        page.paste(group, (left, MARGIN + HEAD + index // across * (height + GAP)))
    return page
