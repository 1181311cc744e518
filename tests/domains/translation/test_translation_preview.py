"""Sheets: what stands where, in which colours, under which word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import infos
from zerosum.domain import PreviewContext
from zerosum.domains.translation import preview
from zerosum.domains.translation.sides import Side, class_colours

MAP = Side(3, "labels", ((0,), (1,), (2,)))


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(path).convert("RGB"))


def test_label_maps_in_colours_beside_what_was_made(tmp_path: Path) -> None:
    labels = torch.nn.functional.one_hot(torch.full((4, 16, 16), 2), 3).permute(0, 3, 1, 2).float()
    made = torch.ones(4, 1, 16, 16) * -1
    scene = PreviewContext(10, infos.of_pairs(MAP, Side(1)), torch.zeros(4, 1), None, labels)
    preview.picture(made, tmp_path / "a.png", scene)
    page = pixels(tmp_path / "a.png")
    colour = ((class_colours(MAP)[2] + 1) * 127.5).round().int().tolist()
    is_label, is_made = (page == colour).all(2), (page == 0).all(2)
    side = 16 * round(preview.CELL / 16)
    assert is_label.sum() == is_made.sum() == 4 * side * side
    first_label, first_made = (np.argwhere(mask).min(0) for mask in (is_label, is_made))
    assert tuple(first_made - first_label) == (0, side + preview.GAP)


@pytest.mark.parametrize("num", [1, 2, 5, 16, 17])
def test_every_row_is_there_and_the_sheet_stays_narrow(num: int, tmp_path: Path) -> None:
    """Each input has a grey level of its own."""
    levels = torch.linspace(-0.8, 0.8, num)
    given = levels[:, None, None, None].expand(num, 1, 8, 40)
    white = torch.ones(num, 3, 8, 40) * 0.9
    preview.write_triples(given, white, white, infos.of_pairs(Side(1), Side(3)), tmp_path / "a.png")
    page = pixels(tmp_path / "a.png")
    assert page.shape[1] <= max(preview.MOST_ACROSS, 3 * 40 * 14 + 60)
    found = {int(level) for level in np.unique(page[(page[..., 0] == page[..., 1]) & (page[..., 1] == page[..., 2])])}
    assert {int(x) for x in ((levels + 1) * 127.5).round()} <= found


def test_groups_fill_their_rows(tmp_path: Path) -> None:
    """16 examples of two square cells stand in four rows of four."""
    cells = torch.zeros(16, 3, 64, 64)
    preview.picture(
        cells, tmp_path / "a.png", PreviewContext(10, infos.of_pairs(Side(3), Side(3)), torch.zeros(16, 1), None, cells)
    )
    width, height = Image.open(tmp_path / "a.png").size
    side = 128
    assert height == 2 * preview.MARGIN + preview.HEAD + 4 * (side + preview.GAP) - preview.GAP
    assert width == 2 * preview.MARGIN + 4 * (2 * side + preview.GAP + preview.SPACE) - preview.SPACE


def test_sixteen_bits_and_many_channels_can_be_looked_at(tmp_path: Path) -> None:
    given, made = torch.zeros(2, 5, 16, 16), torch.full((2, 1, 16, 16), 1.4)
    scene = PreviewContext(10, infos.of_pairs(Side(5), Side(1, bits=16)), torch.zeros(2, 1), None, given)
    preview.picture(made, tmp_path / "a.png", scene)
    assert {0, 128, 255} & set(np.unique(pixels(tmp_path / "a.png")).tolist()) >= {128, 255}


def test_the_ending_decides_the_kind(tmp_path: Path) -> None:
    cells = torch.zeros(2, 3, 16, 16)
    preview.write_triples(cells, cells, cells, infos.of_pairs(Side(3), Side(3)), tmp_path / "sub" / "a.jpg")
    assert Image.open(tmp_path / "sub" / "a.jpg").format == "JPEG"
