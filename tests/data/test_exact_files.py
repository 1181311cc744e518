"""Files are read to the very values they hold."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from zerosum.data.images import lossless_io
from zerosum.data.images.files import BadImageError


def deep_png(values: npt.NDArray[np.uint16], kind: int, filters: tuple[int, ...]) -> bytes:
    """A PNG of 16 bits, line y written with filters[y % len(filters)], straight from the specification."""
    height, width, channels = values.shape
    step = channels * 2
    rows = values.astype(">u2").tobytes()
    lines = [
        np.frombuffer(rows[y * width * step : (y + 1) * width * step], np.uint8).astype(int) for y in range(height)
    ]
    body, above = b"", np.zeros(width * step, int)
    for y, line in enumerate(lines):
        left = np.concatenate([np.zeros(step, int), line[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        choice = filters[y % len(filters)]
        if choice == 4:
            guess = []
            for a, b, c in zip(left, above, corner, strict=True):
                p = a + b - c
                guess.append(min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2])
            predicted = np.array(guess)
        else:
            predicted = [np.zeros_like(line), left, above, (left + above) // 2][choice]
        body += bytes([choice]) + ((line - predicted) % 256).astype(np.uint8).tobytes()
        above = line
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in ((b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    )


def deep_tiff() -> bytes:
    """A TIFF of 4 x 3 pixels in colour with 16 bits a channel, straight from the specification."""
    data, tags = b"\x34\x12" * 36, 9
    behind = 8 + len(data) + 2 + 12 * tags + 4
    short, long = 3, 4
    entries = [
        (256, long, 1, 4), (257, long, 1, 3), (258, short, 3, behind), (259, short, 1, 1), (262, short, 1, 2),
        (273, long, 1, 8), (277, short, 1, 3), (278, long, 1, 3), (279, long, 1, len(data)),
    ]  # fmt: skip
    directory = struct.pack("<H", tags) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + bytes(4) + struct.pack("<3H", 16, 16, 16)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_every_bit_of_a_deep_png_comes_back(tmp_path: Path, kind: int, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (10, 7, channels)).astype(np.uint16)
    values[:, 2] = values[:, 1]  # some filters only differ on smooth rows
    (tmp_path / "deep.png").write_bytes(deep_png(values, kind, (0, 1, 2, 3, 4)))
    found = lossless_io.read(tmp_path / "deep.png")
    colours = channels if kind == 2 else channels - 1
    np.testing.assert_array_equal(found.values, values[..., :colours])
    assert found.values.dtype == np.uint16
    if kind == 2:
        assert found.alpha is None
    else:
        assert found.alpha is not None
        np.testing.assert_array_equal(found.alpha, values[..., -1])


def test_pillow_agrees_on_the_upper_bytes(tmp_path: Path) -> None:
    """A second reader: Pillow keeps the upper eight bits of such a file."""
    values = np.random.default_rng(1).integers(0, 65536, (9, 5, 3)).astype(np.uint16)
    data = deep_png(values, 2, (4, 3, 2, 1, 0))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), values >> 8)


def test_grey_palette_alpha_pages_and_arrays(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    deep = draw.integers(0, 65536, (6, 5)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    for name in ("deep.png", "deep.tif"):
        np.testing.assert_array_equal(lossless_io.read(tmp_path / name).values[..., 0], deep)
    numbers = draw.integers(0, 3, (6, 5)).astype(np.uint8)
    coded = Image.fromarray(numbers, "P")
    coded.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    coded.save(tmp_path / "coded.png")
    found = lossless_io.read(tmp_path / "coded.png")
    np.testing.assert_array_equal(found.values[..., 0], numbers)
    np.testing.assert_array_equal(found.to_colours(), np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[numbers])
    pages = [Image.fromarray(draw.integers(0, 255, (6, 5)).astype(np.uint8)) for _ in range(5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(
        lossless_io.read(tmp_path / "pages.tif").values, np.stack([np.asarray(p) for p in pages], 2)
    )
    np.save(tmp_path / "many.npy", draw.integers(0, 65536, (6, 5, 7)).astype(np.uint16))
    np.testing.assert_array_equal(lossless_io.read(tmp_path / "many.npy").values, np.load(tmp_path / "many.npy"))


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, :, 3], rgba[1, :, :3] = (255, 51), 200
    rgba[1, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    painted = lossless_io.read(tmp_path / "clear.png").to_colours()
    assert painted[0, 0].tolist() == [0, 0, 0]
    assert painted[0, 1].tolist() == [204, 204, 204]  # a fifth of black on white
    assert painted[1, 0].tolist() == [200, 200, 200]


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    good = deep_png(np.zeros((4, 4, 3), np.uint16), 2, (0,))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "short.png").write_bytes(good.replace(zlib.compress(bytes(4 * 25)), zlib.compress(bytes(40))))
    np.save(tmp_path / "float.npy", np.zeros((4, 4)))
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "deep.tif").write_bytes(deep_tiff())
    pages = [Image.fromarray(np.zeros((4, size), np.uint8)) for size in (4, 5)]
    pages[0].save(tmp_path / "uneven.tif", save_all=True, append_images=pages[1:])
    for name, words in (
        ("text.png", "not an image"),
        ("short.png", "damaged or truncated"),
        ("float.npy", "expected"),
        ("float.tif", "floating-point"),
        ("uneven.tif", "pages differ"),
        ("deep.tif", "of 16 bits a channel, of which 8 would be lost"),
    ):
        with pytest.raises(BadImageError, match=words):
            lossless_io.read(tmp_path / name)


@pytest.mark.parametrize(("limit", "value"), [("MAX_PAGES", 4), ("MAX_VALUES", 100)])
def test_a_tiff_of_very_many_pages_is_refused(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number of pages or of their pixels, before any page is decoded."""
    pages = [Image.fromarray(np.full((6, 5), number, np.uint8)) for number in range(5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert lossless_io.read(tmp_path / "pages.tif").values[0, 0].tolist() == [0, 1, 2, 3, 4]
    monkeypatch.setattr(lossless_io, limit, value)
    monkeypatch.setattr(lossless_io, "_read_page", None)
    with pytest.raises(BadImageError, match="pages are read as the channels of one image"):
        lossless_io.read(tmp_path / "pages.tif")
