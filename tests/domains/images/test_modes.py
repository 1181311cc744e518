"""Single images of every mode and size: upright, on white, 8 bits, at one size; and what was changed is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from image_making import noise, one, save
from PIL import Image
from torch.testing import assert_close

from zerosum.data.images import loader
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.data import Shape, open_source, read_images, to_pixels
from zerosum.errors import UserError


def test_grey_stays_grey_and_rgb_stays_rgb(tmp_path: Path) -> None:
    grey, colour = noise(4, 5), noise(4, 5, 3)
    assert np.array_equal(one(save(tmp_path / "g" / "a.png", grey))[0], grey)
    assert np.array_equal(one(save(tmp_path / "c" / "a.bmp", colour)), colour.transpose(2, 0, 1))
    assert np.array_equal(one(save(tmp_path / "p" / "a.pgm", grey))[0], grey)
    assert np.array_equal(one(save(tmp_path / "w" / "a.webp", colour, lossless=True)), colour.transpose(2, 0, 1))
    assert np.array_equal(one(save(tmp_path / "t" / "a.tiff", colour)), colour.transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    deep = np.array([[0, 257, 256 * 128, 65535], [128, 129, 1000, 40000]], np.uint16)
    assert np.array_equal(one(save(tmp_path / f"a.{suffix}", deep))[0], np.rint(deep / 257))


def test_one_bit(tmp_path: Path) -> None:
    bits = noise(8, 8) > 127
    assert np.array_equal(one(save(tmp_path / "a.png", bits))[0], bits * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    pixels = noise(6, 6, 4 if mode == "RGBA" else 2)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    alpha = pixels[..., -1:] / 255.0
    expected = pixels[..., :-1] * alpha + 255 * (1 - alpha)
    got = one(tmp_path / "a.png").permute(1, 2, 0).double()
    assert_close(got, torch.from_numpy(expected), rtol=0, atol=1.0)
    assert (
        "2 of 2 images with transparency were laid on white; data.background=COLOUR chooses another colour, "
        "data.alpha=keep keeps the transparency." in open_source(str(tmp_path)).notes
    )


def test_palette_and_transparent_palette(tmp_path: Path) -> None:
    image = Image.fromarray(noise(5, 5) % 3)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for name, options, index0 in (("plain", {}, [255, 0, 0]), ("clear", {"transparency": 0}, [255, 255, 255])):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png", **options)
        table = np.array([index0, [0, 255, 0], [0, 0, 255]])
        assert np.array_equal(one(tmp_path / name / "a.png").permute(1, 2, 0), table[np.asarray(image)])


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 255, 0)).save(tmp_path / "a.tif")
    assert one(tmp_path / "a.tif")[:, 4, 4].tolist() == [0, 255, 0]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_rotation(tmp_path: Path, suffix: str) -> None:
    upright = np.zeros((16, 8), np.uint8)
    upright[:8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    save(tmp_path / f"a.{suffix}", np.rot90(upright).copy(), exif=exif)
    got = one(tmp_path / f"a.{suffix}")
    assert_close(got[0].double(), torch.from_numpy(upright).double(), rtol=0, atol=3.0)
    assert open_source(str(tmp_path)).notes == ("2 of 2 images were turned upright as their EXIF data say.",)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("L", (6, 6), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert one(tmp_path / "a.gif").unique().tolist() == [10]


def test_grey_among_colour_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(4, 4))
    save(tmp_path / "b.png", noise(4, 4, 3))
    source = open_source(str(tmp_path))
    assert source.shape.channels == 3
    assert source.notes == ("1 of 2 images were grey and were made RGB.",)
    assert torch.equal(source.train.pixels[0, 0], source.train.pixels[0, 2])
    grey = open_source(str(tmp_path), channels=1)
    assert grey.notes == ("1 of 2 images were coloured and were made grey.",)
    assert np.array_equal(grey.train.pixels[1, 0], np.asarray(Image.open(tmp_path / "b.png").convert("L")))


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.png", np.repeat(noise(4, 4, 1, seed=i), 3, axis=2))
    source = open_source(str(tmp_path))
    assert source.shape.channels == 1
    assert np.array_equal(source.train.pixels[1, 0], noise(4, 4, seed=1))
    assert open_source(str(tmp_path), channels=3).shape.channels == 3


def test_mixed_sizes_become_a_square_and_are_told(tmp_path: Path) -> None:
    for i, (height, width) in enumerate([(40, 50), (33, 90), (32, 32)]):
        save(tmp_path / f"{i}.png", noise(height, width))
    source = open_source(str(tmp_path))
    assert source.shape == Shape(1, 32, 32, 0)
    assert "2 of 3 images were resized to 32x32 (centre cut out, Lanczos)." in source.notes
    assert any("3 different sizes" in note for note in source.notes)


@pytest.mark.parametrize(
    ("sides", "expected"), [((300, 310), 64), ((20, 24), 16), ((8, 24), 16), ((5, 6), 8), ((64, 65), 64)]
)
def test_default_square(tmp_path: Path, sides: tuple[int, int], expected: int) -> None:
    for i, side in enumerate(sides):
        save(tmp_path / f"{i}.png", noise(side, side))
    assert open_source(str(tmp_path)).shape.height == expected


def test_one_common_size_is_kept_unless_large(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "kept" / f"{i}.png", noise(100, 300))
        save(tmp_path / "large" / f"{i}.png", noise(300, 400))
    assert open_source(str(tmp_path / "kept")).shape == Shape(1, 100, 300, 0)
    large = open_source(str(tmp_path / "large"))
    assert large.shape == Shape(1, loader.DEFAULT_SIDE, loader.DEFAULT_SIDE, 0)
    assert any("are large" in note for note in large.notes)


def test_resize_cuts_the_centre_and_averages(tmp_path: Path) -> None:
    wide = np.zeros((32, 96), np.uint8)
    wide[:, 32:64] = 200  # the centre square; what lies beside it must not be seen
    checks = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", checks)
    source = open_source(str(tmp_path), size=(8, 8))
    middle = source.train.pixels[0, 0, :, 2:6].double()
    assert_close(middle, torch.full((8, 4), 200, dtype=torch.float64), rtol=0, atol=3.0)
    assert source.train.pixels[0].min() > 150
    # Antialiased: a fine chequerboard turns to even grey, not to stripes.
    inner = source.train.pixels[1, 0, 2:6, 2:6].double()
    assert_close(inner, torch.full((4, 4), 127.5, dtype=torch.float64), rtol=0, atol=1.0)


def test_rectangle_is_height_by_width(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.png", noise(20, 20))
    assert tuple(open_source(str(tmp_path), size=(9, 12)).train.pixels.shape[2:]) == (9, 12)


def test_transparent_images_are_laid_on_the_colour_asked_for(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", np.full((8, 8, 4), (0, 0, 255, 51 * i), np.uint8))
    black = open_source(str(tmp_path / "in"), background="black")
    assert black.train.pixels[:, :, 0, 0].tolist() == [[0, 0, 0], [0, 0, 51]]
    assert any("2 of 2 images with transparency were laid on black" in note for note in black.notes)
    assert open_source(str(tmp_path / "in")).train.pixels[:, :, 0, 0].tolist() == [[255, 255, 255], [204, 204, 255]]
    judged = read_images(
        [tmp_path / "in" / "1.png"], black.shape, background=DOMAIN.info_of(black).payload["background"]
    )
    assert torch.equal(to_pixels(judged), black.train.pixels[1:])
    for wrong in ("blurple", "#00ff0080"):
        with pytest.raises(UserError, match="give a colour such as white"):
            open_source(str(tmp_path / "in"), background=wrong)


def test_the_numbers_of_a_plan_add_up() -> None:
    source = open_source("digits", validation=0.1)
    (held_out_note,) = [note for note in DOMAIN.info_of(source).notes if "held out" in note]
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", held_out_note)]
    assert numbers[0] == sum(numbers[1:]) == 1797
