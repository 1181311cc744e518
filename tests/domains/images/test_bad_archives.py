"""Bad zips, arrays and data files: nothing leaves its place, nothing is run, nothing is believed unread."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_making import encoded, make_zip, noise, refused, write_idx

from zerosum.data import numpy_files
from zerosum.data.images import cifar, idx, listing
from zerosum.domains.images.data import open_source


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png", "../x"]
)
def test_zip_traversal(tmp_path: Path, name: str) -> None:
    path = make_zip(tmp_path / "a.zip", {"good.png": encoded("PNG"), "b.png": encoded("PNG"), name: encoded("PNG")})
    refused(path, f"member {name!r} points outside the archive")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"a.png": encoded("PNG"), "b.png": encoded("PNG")}
    zeros = {"zeros.bmp": bytes(listing.RATIO_MATTERS_BYTES + 1)}
    bomb = make_zip(tmp_path / "a.zip", good | zeros, compression=zipfile.ZIP_DEFLATED)
    refused(bomb, "'zeros.bmp'", "a zip bomb?")
    plain = make_zip(tmp_path / "b.zip", good)
    assert len(open_source(str(plain)).train) == 2
    for name, value in (("MAX_ZIP_BYTES", 100), ("MAX_ZIP_MEMBERS", 1), ("MAX_MEMBER_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(listing, name, value)
            refused(plain, "beyond", str(value))


def test_bad_zips(tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", {"a.txt": b"words"}), "no images in this archive: 1 other file(s)")
    refused(make_zip(tmp_path / "b.zip", {"a.png": encoded("PNG")}), "only one image (a.png)")
    (tmp_path / "c.zip").write_bytes(b"PK but no more")
    refused(tmp_path / "c.zip", "not a zip archive")
    whole = make_zip(tmp_path / "d.zip", {"a.png": encoded("PNG"), "b.png": encoded("PNG")}).read_bytes()
    (tmp_path / "d.zip").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "d.zip", "not a zip archive, or truncated or damaged")
    future = bytearray(whole)
    future[whole.index(b"PK\x01\x02") + 6] = 99
    for name in ("f.zip", "f.npz"):
        (tmp_path / name).write_bytes(future)
        refused(tmp_path / name, "zip file version 9.9")
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 0xFF
    (tmp_path / "e.zip").write_bytes(flipped)
    refused(tmp_path / "e.zip", "1 of 2 images", "a.png: cannot be read", "CRC")


def test_not_finite(tmp_path: Path) -> None:
    values = np.zeros((1500, 8, 8), np.float32)
    values[1200, 3, 4], values[1300, 0, 0], values[1400, 7, 7] = np.nan, np.inf, -np.inf
    np.save(tmp_path / "a.npy", values)
    refused(tmp_path / "a.npy", "3 value(s) are not finite", "(1200, 3, 4)")
    np.savez(tmp_path / "a.npz", images=values)
    refused(tmp_path / "a.npz", "3 value(s) are not finite", "a.npz[images]")


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("ran",)


def test_pickles_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = np.array([Evil(), Evil()], dtype=object)
    np.save("a.npy", evil, allow_pickle=True)
    np.savez("a.npz", images=evil)
    np.savez("b.npz", images=noise(4, 8, 8), labels=evil)
    for name in ("c.npy", "c.npz"):
        Path(name).write_bytes(pickle.dumps(Evil()))
    for name in ("a.npy", "a.npz", "b.npz", "c.npy", "c.npz"):
        refused(name, name, "Pickles are never loaded", "np.savez")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((5, 784), np.uint8), "shape (5, 784)"),
        (np.zeros((64, 64, 3), np.uint8), "looks like one single image"),
        (np.zeros((5, 8, 8, 5), np.uint8), "no axis of 1, 3 or 4 channels"),
        (np.zeros((1, 8, 8), np.uint8), "1 image(s)"),
        (np.zeros((0, 8, 8), np.uint8), "0 image(s)"),
        (np.zeros((5, 0, 8), np.uint8), "not a set of images"),
        (np.zeros((5, 8, 8), np.complex64), "complex64"),
        (np.full((5, 8, 8), -3.0), "pixels from -3 to -3"),
        (np.full((5, 8, 8), 300.0), "expected [0, 1], [-1, 1] or [0, 255]"),
        (np.full((5, 8, 8), -1), "expected 0..255 or 0..65535"),
        (np.full((5, 8, 8), 70_000), "pixels from 70000"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, values: Any, said: str) -> None:
    np.save(tmp_path / "a.npy", values)
    refused(tmp_path / "a.npy", "a.npy", said)
    np.savez(tmp_path / "a.npz", images=values)
    refused(tmp_path / "a.npz", "a.npz", said)


def test_labels_of_another_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=noise(6, 8, 8), labels=np.zeros(5, int))
    refused(tmp_path / "a.npz", "labels of shape (5,) for 6 images")
    np.savez(tmp_path / "a.npz", images=noise(6, 8, 8), labels=np.zeros(6))
    refused(tmp_path / "a.npz", "labels of type float64")
    np.savez(
        tmp_path / "a.npz", train_x=noise(6, 8, 8), train_y=np.arange(6) % 2, test_x=noise(6, 8, 8), test_y=np.arange(6)
    )
    refused(tmp_path / "a.npz", "held-out label 2 has no training images")


def test_which_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", left=noise(6, 8, 8), right=noise(6, 8, 8))
    refused(tmp_path / "a.npz", "which array holds the images?", "left, right", "'images'")


def test_lying_headers(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, noise(4, 8, 8))
    whole = stream.getvalue()
    (tmp_path / "open.npy").write_bytes(whole.replace(b"(4, 8, 8)", b"(4, 8, 8 "))
    refused(tmp_path / "open.npy", "not a NumPy array file")
    (tmp_path / "short.npy").write_bytes(whole[:-1])
    refused(tmp_path / "short.npy", "states 256 bytes", "truncated")
    (tmp_path / "long.npy").write_bytes(whole + b"x")
    refused(tmp_path / "long.npy", "states 256 bytes")
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 8000, 8000), }\n"
    claim = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    (tmp_path / "claim.npy").write_bytes(claim + bytes(64))
    refused(tmp_path / "claim.npy", "states 256000000000000000 bytes")
    refused(make_zip(tmp_path / "claim.npz", {"images.npy": claim + bytes(64)}), "states", "damaged")


def test_damaged_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", images=noise(40, 8, 8))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "not an .npz archive")
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "flip.npz").write_bytes(whole)
    refused(tmp_path / "flip.npz", "truncated or damaged", "CRC")
    monkeypatch.setattr(numpy_files, "MAX_BYTES", 100)
    refused(tmp_path / "a.npz", "takes 2.5 KiB unpacked, more than the 100 bytes that are read", ".npy")


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem in idx.STEMS:
        values = noise(6, 4, 4) if "images" in stem else noise(6) % 10
        write_idx(folder / f"{stem}.gz", values)
    return folder


def test_idx_headers(idx_folder: Path) -> None:
    images, labels = (idx_folder / f"{stem}.gz" for stem in idx.STEMS[:2])
    for shape, said in (
        ((7, 4, 4), "holds less"),
        ((5, 4, 4), "holds more"),
        ((4_000_000_000, 28, 28), "cannot hold"),
        ((0, 4, 4), "cannot hold"),
        ((6, 16), "00 00 08 02, expected 00 00 08 03"),
    ):
        write_idx(images, noise(6, 4, 4), shape)
        refused(idx_folder, images.name, said)
    write_idx(images, noise(6, 4, 4), kind=13)
    refused(idx_folder, "00 00 0d 03")
    write_idx(images, noise(5, 4, 4))
    refused(idx_folder, labels.name, "6 labels for the 5 images")
    whole = gzip.compress(noise(6, 4, 4).tobytes())
    images.write_bytes(whole[: len(whole) // 2])
    refused(idx_folder, images.name)
    images.write_bytes(b"\x1f\x8b")
    refused(idx_folder, images.name, "truncated or damaged")
    images.write_bytes(b"no gzip at all")
    refused(idx_folder, images.name, "truncated or damaged")


def test_idx_raw_size_and_missing_file_and_labels(idx_folder: Path) -> None:
    images, labels, _, test_labels = (idx_folder / f"{stem}.gz" for stem in idx.STEMS)
    write_idx(labels, np.full(6, 10, np.uint8))
    refused(idx_folder, "labels up to 10, expected 0 to 9")
    images.unlink()
    write_idx(idx_folder / idx.STEMS[0], noise(6, 4, 4), (60_000, 28, 28))
    refused(idx_folder, "states shape (60000, 28, 28), which a file of 112 bytes cannot hold")
    test_labels.unlink()
    refused(idx_folder, "t10k-labels-idx1-ubyte(.gz) is missing")


def test_cifar_batches(tmp_path: Path) -> None:
    for name in (*cifar.TRAIN, cifar.TEST):
        (tmp_path / name).write_bytes(bytes(2 * cifar.RECORD_BYTES))
    (tmp_path / cifar.TRAIN[2]).write_bytes(bytes(cifar.RECORD_BYTES + 1))
    refused(tmp_path, "data_batch_3.bin: 3074 bytes")
    (tmp_path / cifar.TRAIN[2]).write_bytes(b"\x0a" * cifar.RECORD_BYTES)
    refused(tmp_path, "labels up to 10")
    (tmp_path / cifar.TRAIN[2]).unlink()
    refused(tmp_path, "data_batch_3.bin is missing")
    tarball = tmp_path / "t" / cifar.TARBALL
    tarball.parent.mkdir()
    tarball.write_bytes(b"no tarball")
    refused(tarball, "truncated or damaged")
    refused(tarball.parent, "truncated or damaged")
