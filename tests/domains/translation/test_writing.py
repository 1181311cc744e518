"""Files written and read again: every bit, transparency, channels, metadata."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from zerosum.data.images.lossless_io import read
from zerosum.domains.translation.writing import Metadata, deep_png, metadata_of, suitable_path, write


def values(bits: int, channels: int, seed: int = 0) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**bits, (9, 13, channels))
    return found.astype(np.uint8) if bits == 8 else found.astype(np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("bits", [8, 16])
def test_round_trip(suffix: str, channels: int, bits: int, tmp_path: Path) -> None:
    picture = values(bits, channels)
    path = suitable_path(tmp_path / f"a{suffix}", picture, None)
    write(path, picture)
    found = read(path)
    assert found.values.dtype == picture.dtype
    np.testing.assert_array_equal(found.values, picture)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_transparency(channels: int, bits: int, tmp_path: Path) -> None:
    picture, alpha = values(bits, channels), values(bits, 1, seed=1)[..., 0]
    path = suitable_path(tmp_path / "a.png", picture, alpha)
    write(path, picture, alpha)
    found = read(path)
    assert found.alpha is not None
    np.testing.assert_array_equal(found.values, picture)
    np.testing.assert_array_equal(found.alpha, alpha)


def test_the_ending_can_hold_the_picture() -> None:
    grey, colour, deep, many = values(8, 1), values(8, 3), values(16, 3), values(8, 4)
    alpha = grey[..., 0]
    assert suitable_path(Path("a.jpg"), colour, None) == Path("a.jpg")
    assert suitable_path(Path("a.jpg"), colour, alpha) == Path("a.png")
    assert suitable_path(Path("a.jpg"), deep, None) == Path("a.png")
    assert suitable_path(Path("a.tif"), deep, None) == Path("a.png")
    assert suitable_path(Path("a.tif"), values(16, 1), None) == Path("a.tif")
    assert suitable_path(Path("a.gif"), colour, None) == Path("a.png")
    assert suitable_path(Path("a.PNG"), colour, alpha) == Path("a.PNG")
    assert suitable_path(Path("a.png"), many, None) == Path("a.npy")


def test_the_deep_png_is_one_to_others_too() -> None:
    """Pillow reads the upper bytes of each value, and the block of colours is where it should be."""
    picture = values(16, 3)
    with Image.open(io.BytesIO(deep_png(picture, Metadata(), None))) as image:
        image.load()
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), picture >> 8)


def photograph(path: Path, mode: str = "RGB") -> bytes:
    """A file with an EXIF block, a profile and a resolution; the profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x9003] = "a hill", 6, "2026:01:02 03:04:05"
    image = Image.fromarray(values(8, 3)).convert(mode)
    image.save(path, exif=exif, icc_profile=profile, dpi=(300, 300))
    return profile


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_are_kept(suffix: str, tmp_path: Path) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    profile = photograph(source)
    write(target, values(8, 3), None, metadata_of(source))
    with Image.open(target) as image:
        exif = image.getexif()
        assert exif[0x010E] == "a hill"
        assert exif.get(0x0112, 1) == 1  # pictures are written upright
        assert image.info["icc_profile"] == profile
        if suffix != ".webp":  # which knows no resolution
            assert tuple(map(round, map(float, image.info["dpi"]))) == (300, 300)
        assert image.size == (13, 9)


def test_metadata_of_a_deep_png(tmp_path: Path) -> None:
    source, target = tmp_path / "a.tif", tmp_path / "b.png"
    profile = photograph(source)
    write(target, values(16, 3), None, metadata_of(source))
    with Image.open(target) as image:
        assert image.getexif()[0x010E] == "a hill"
        assert image.info["icc_profile"] == profile
        assert tuple(map(round, image.info["dpi"])) == (300, 300)
    np.testing.assert_array_equal(read(target).values, values(16, 3))


def test_a_profile_of_other_channels_is_left_out(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    photograph(source, "L")
    write(target, values(8, 3), None, metadata_of(source))
    with Image.open(target) as image:
        assert "icc_profile" not in image.info
        assert image.getexif()[0x010E] == "a hill"
