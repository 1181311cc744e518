"""Grids and files hold the very pixels; the augmentation moves, mirrors and differentiates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.data.images import pictures
from zerosum.domains.images.augments import AUGMENTS, shift
from zerosum.domains.images.data import to_unit
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError


def samples(n: int, channels: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(
        256, (n, channels, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return pixels, to_unit(pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_places_each_image_and_keeps_its_pixels(tmp_path: Path, channels: int) -> None:
    pixels, unit = samples(7, channels, 60)
    pictures.save_grid(unit, 3, tmp_path / "grid.png")
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    step = 60 + pictures.GAP
    assert sheet.shape[:2] == (3 * step + pictures.GAP, 3 * step + pictures.GAP)
    fifth = sheet[pictures.GAP + step : step + step, pictures.GAP + step : step + step]  # row 1, column 1: index 4
    expected = pixels[4].permute(1, 2, 0).squeeze(-1).numpy()
    np.testing.assert_array_equal(fifth, expected)
    assert (sheet[-5:, -5:] == pictures.GREY).all()


def test_single_files_are_never_enlarged_and_hold_the_very_pixels(tmp_path: Path) -> None:
    pixels, unit = samples(3, 3, 8)
    paths = pictures.save_samples(unit, tmp_path / "many")
    assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
    for path, row in zip(paths, pixels, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), row.permute(1, 2, 0).numpy())
    pictures.save_samples(unit, tmp_path / "all.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), pixels.permute(0, 2, 3, 1).numpy())


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write \.mp3"):
        pictures.save_samples(samples(2, 1, 8)[1], tmp_path / "x.mp3")


def rng(start: int, stop: int, total: int) -> SeededNoise:
    return SeededNoise(3, 5, 1, start, stop, total, torch.device("cpu"))


def test_shift_moves_each_image_by_whole_pixels_within_its_bounds() -> None:
    image = torch.arange(36.0).view(1, 1, 6, 6).expand(40, 1, 6, 6)
    moved = shift(pixels=1)(image, rng(0, 40, 40), "real", 1.0)
    padded = torch.nn.functional.pad(image[:1], (1, 1, 1, 1), mode="replicate")
    possible = [padded[0, :, r : r + 6, c : c + 6] for r in range(3) for c in range(3)]
    found = {next(i for i, p in enumerate(possible) if torch.equal(p, row)) for row in moved}
    assert len(found) > 5
    torch.testing.assert_close(shift(pixels=1)(image, rng(0, 40, 40), "real", 0.0), image)


def test_shift_mirrors_half_of_the_images_and_rows_do_not_depend_on_the_cut() -> None:
    image = torch.randn(64, 2, 5, 7)
    augment = shift(pixels=1, flip=True)
    whole = augment(image, rng(0, 64, 64), "fake", 1.0)
    parts = [augment(image[a:b], rng(a, b, 64), "fake", 1.0) for a, b in ((0, 10), (10, 64))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)
    mirrored = shift(pixels=0, flip=True)(image, rng(0, 64, 64), "fake", 1.0)
    flipped = sum(torch.equal(row, before.flip(-1)) for row, before in zip(mirrored, image, strict=True))
    assert 16 < flipped < 48


def test_shift_passes_first_and_second_derivatives() -> None:
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: shift(pixels=1, flip=True)(y, rng(0, 3, 3), "real", 1.0), (x,))
    assert torch.autograd.gradgradcheck(lambda y: shift(pixels=1)(y, rng(0, 3, 3), "real", 1.0) ** 2, (x,))


@pytest.mark.parametrize(("name", "options"), [("shift", {"flip": True}), ("diffaugment", {}), ("ada", {})])
def test_strength_0_leaves_every_image_as_it_is_and_half_leaves_half(name: str, options: dict[str, bool]) -> None:
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    augment = AUGMENTS[name](**options)
    assert torch.equal(augment(images, rng(0, 64, 64), "real", 0.0), images)
    changed = (augment(images, rng(0, 64, 64), "real", 0.5) != images).flatten(1).any(1).sum()
    assert changed <= (64 if name == "ada" else 42)  # ada: each of its transformations has the chance


def test_every_augmentation_is_among_those_tried_at_strength_0() -> None:
    assert set(AUGMENTS) == {"shift", "diffaugment", "ada"}


def test_pictures_are_resized_as_previews_enlarge_them_or_by_lanczos() -> None:
    wide = samples(1, 3, 30)[0][0, :, :, :20]  # 30 rows, 20 columns
    doubled = pictures.resize_pixels(wide, pictures.Size(60))
    assert torch.equal(doubled, wide.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert torch.equal(pictures.resize_pixels(wide, None), wide)
    assert torch.equal(pictures.resize_pixels(wide, pictures.Size(30)), wide)
    lanczos = Image.Resampling.LANCZOS
    for pixels, size, shape in (
        (wide, pictures.Size(45), (45, 30)),
        (wide, pictures.Size(15), (15, 10)),
        (wide, pictures.Size(60, 60), (60, 60)),
        (samples(1, 3, 8)[0][0], pictures.Size(80), (80, 80)),
        (samples(1, 1, 200)[0][0], pictures.Size(400), (400, 400)),
    ):
        expected = np.asarray(pictures.to_pillow(pixels).resize(shape[::-1], lanczos))
        np.testing.assert_array_equal(pictures.to_pillow(pictures.resize_pixels(pixels, size)), expected)
    assert pictures.Size.parsed("40X30") == pictures.Size(40, 30)


def test_deep_values_and_class_numbers_are_resized_as_such() -> None:
    deep = np.linspace(0, 65535, 40 * 50 * 2).reshape(40, 50, 2).astype(np.uint16)
    half = pictures.resize_array(deep, (20, 25))
    assert half.dtype == np.uint16
    np.testing.assert_allclose(half.mean(), deep.mean(), rtol=1e-3)
    assert len(np.unique(half)) == half.size  # not 256 of them
    numbers = np.random.default_rng(0).choice([3, 90, 250], (40, 50, 1)).astype(np.uint8)
    assert set(np.unique(pictures.resize_array(numbers, (33, 71), smooth=False))) == {3, 90, 250}
