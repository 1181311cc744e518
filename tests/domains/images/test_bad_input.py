"""Bad names, folders and images: one clear error that names the thing, the value and the way out."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_making import encoded, noise, refused
from PIL import Image

from zerosum.data.images import cifar, files, loaded
from zerosum.domains.images.data import open_source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three good images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        (folder / f"good{i}.png").write_bytes(encoded("PNG"))
    return folder


def test_missing_path_and_name(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused("minst", "'minst'", "Did you mean 'mnist'?", "./name")
    refused("zzzzz", "Choose from: cifar10, digits, fashion-mnist, mnist, olivetti-faces, stacked-mnist.")
    refused(tmp_path / "photo", "no such file or folder", f"Did you mean {photos}?")
    refused("./absent", "'./absent'", "no such file")
    refused("absent.npz", "no such file")
    refused("", "''")
    refused("https://example.org/a.zip", "addresses are not fetched")
    refused("a" * 5000, "cannot be read")
    (tmp_path / "table.csv").write_text("1,2")
    refused(tmp_path / "table.csv", "table.csv", "not a kind of file")


def test_files_of_a_named_source_are_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path / "data"))
    refused("mnist", str(tmp_path / "data" / "mnist"), str(tmp_path / "home/.cache/zerosum/mnist"), "--download")
    refused("cifar10", "ZEROSUM_DATA", cifar.TARBALL)
    (tmp_path / "data/cifar10/cifar-10-batches-py").mkdir(parents=True)
    refused("cifar10", "pickles, which are never loaded")
    refused(tmp_path / "data/cifar10", "pickles, which are never loaded")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": (0, 8)}, "size = 0x8"),
        ({"size": (7, 64)}, "size = 7x64: give one number, or height and width, of at least 8 pixels"),
        ({"size": (8, -1)}, "size = 8x-1"),
        ({"channels": 2}, "channels = 2: choose 1 (grey) or 3 (RGB)"),
        ({"channels": 0}, "channels = 0"),
        ({"max_images": 1}, "max_images = 1"),
        ({"heldout": 1.0}, "heldout = 1.0"),
        ({"heldout": -0.1}, "heldout = -0.1"),
        ({"heldout": float("nan")}, "heldout = nan"),
    ],
)
def test_options(photos: Path, options: dict[str, Any], said: str) -> None:
    refused(photos, said, **options)
    refused("digits", said, **options)


def test_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "no images in this folder. Images are files", ".png")
    (tmp_path / "a.txt").write_text("words")
    np.savez(tmp_path / "faces.npz", images=noise(4, 8, 8))
    refused(tmp_path, "2 other file(s)", "It holds faces.npz")


def test_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    refused(tmp_path, "only one image (a.png)", "at least 2")
    refused(tmp_path / "a.png", "only one image", "at least 2")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "train" / "a.png")
    (tmp_path / "test" / "b.png").write_bytes(encoded("PNG"))
    refused(tmp_path, "only one training image")


def test_text_named_png(photos: Path) -> None:
    (photos / "text.png").write_text("this is no picture")
    refused(photos, "1 of 4 images", "text.png: not an image of a known format", "remove")


def test_empty_image(photos: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    refused(photos, "empty.jpg: not an image")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_image(photos: Path) -> None:
    (photos / "good1.png").chmod(0)
    refused(photos, "good1.png: cannot be read", "Permission denied")


def test_image_that_cannot_be_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def failing(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "good1.png":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(Path, "open", failing)
    refused(photos, "1 of 3", "good1.png: cannot be read", "Permission denied")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_image(photos: Path, kind: str, share: float) -> None:
    whole = encoded(kind, 64, 64, 3)
    (photos / f"cut.{kind.lower()}").write_bytes(whole[: int(len(whole) * share)])
    refused(photos, "1 of 4", f"cut.{kind.lower()}: ", size=(8, 8))


def test_flipped_byte_in_a_png(photos: Path) -> None:
    whole = bytearray(encoded("PNG"))
    whole[len(whole) // 2] ^= 0xFF
    (photos / "good1.png").write_bytes(whole)
    refused(photos, "good1.png: damaged")


def test_all_bad_images_are_counted_and_five_shown(photos: Path) -> None:
    for i in range(7):
        (photos / f"bad{i}.png").write_text("no")
    cut = encoded("PNG")
    (photos / "zcut.png").write_bytes(cut[: len(cut) // 2])  # its header is good: found only by decoding
    text = refused(photos, "8 of 11 images", "bad0.png", "bad4.png", "and 3 more")
    assert "bad5.png" not in text
    assert "good" not in text


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be large, with no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data, b"IEND")
    )


@pytest.mark.parametrize("side", [8_001, 11_000, 60_000])
def test_decompression_bomb(photos: Path, side: int) -> None:
    (photos / "bomb.png").write_bytes(png_header(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(photos, "bomb.png: ", "decompression bomb", "64 million")


def test_bomb_is_refused_before_it_is_decoded(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_PIXELS", 1_000)
    loaded = []
    monkeypatch.setattr(Image.Image, "load", lambda image: loaded.append(image))
    refused(photos, "3 of 3 images", "decompression bomb")
    assert loaded == []


def test_floating_and_deep_images(photos: Path) -> None:
    Image.fromarray(np.ones((40, 40), np.float32)).save(photos / "f.tif")
    refused(photos, "f.tif: a floating-point image", ".npy")
    (photos / "f.tif").unlink()
    Image.fromarray(np.full((40, 40), 70_000, np.int32)).save(photos / "i.tif")
    refused(photos, "i.tif: integers from 70000 to 70000")


def test_held_out_class_without_training_images(tmp_path: Path) -> None:
    for name in ("train/a/1", "train/b/1", "train/b/2", "test/a/1", "test/c/1"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("PNG"))
    refused(tmp_path, "'c' has no training images", "a, b")


def test_too_much_for_the_memory(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "MAX_BYTES", 2 * 40 * 40 * 3)
    refused(photos, "3 images of 40x40 with 3 channel(s)", "GiB", "smaller size", "max_images")
    assert len(open_source(str(photos), max_images=2).train) == 2
    np.save(tmp_path / "a.npy", noise(10, 40, 40))
    refused(tmp_path / "a.npy", "10 images of 40x40", "max_images")
