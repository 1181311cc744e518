"""A source of images: its values, the held-out part, the fingerprint, and what is taken for one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_making import noise, save
from torch.testing import assert_close

from zerosum.domains.images.data import can_open, open_source, to_pixels, to_unit


def test_unit_range_and_exact_inverse() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(pixels)
    assert unit.dtype == torch.float32
    assert_close(unit[[0, 255]], torch.tensor([-1.0, 1.0]), rtol=0, atol=0)
    assert_close(unit, (pixels.double() / 127.5 - 1).float(), rtol=0, atol=1e-7)
    assert torch.equal(to_pixels(unit), pixels)
    assert torch.equal(to_pixels(torch.tensor([-7.0, 7.0])), torch.tensor([0, 255], dtype=torch.uint8))


def test_batch_is_the_rows_asked_for() -> None:
    source = open_source("digits")
    rows = torch.tensor([5, 0, 5])
    batch = source.batch(rows)
    assert_close(batch.data, source.train.pixels[rows].double().div(127.5).sub(1).float())
    assert batch.condition is not None
    assert source.train.labels is not None
    assert torch.equal(batch.condition, source.train.labels[rows])
    assert batch.condition.dtype == torch.int64
    assert open_source("digits", labelled=False).batch(rows).condition is None
    assert source.to("meta").batch(rows).data.device.type == "meta"


def stack_file(path: Path, pixels: Any) -> str:
    np.save(path, pixels)
    return str(path)


def rows_of(images: Any) -> set[bytes]:
    return {row.numpy().tobytes() for row in images.pixels}


def test_held_out_is_a_stable_share(tmp_path: Path) -> None:
    pixels = noise(1000, 8, 8)
    few, many = (open_source(stack_file(tmp_path / f"{n}.npy", pixels[:n])) for n in (500, 1000))
    assert few.heldout is not None
    assert many.heldout is not None
    assert 60 <= len(many.heldout) <= 140
    assert rows_of(few.heldout) <= rows_of(many.heldout)
    assert rows_of(few.train) <= rows_of(many.train)
    assert rows_of(many.train) | rows_of(many.heldout) == {row.tobytes() for row in pixels}
    assert not rows_of(many.train) & rows_of(many.heldout)
    wider = open_source(str(tmp_path / "1000.npy"), heldout=0.3)
    assert wider.heldout is not None
    assert rows_of(many.heldout) < rows_of(wider.heldout)


def test_held_out_of_small_sets(tmp_path: Path) -> None:
    assert open_source(stack_file(tmp_path / "a.npy", noise(19, 8, 8))).heldout is None
    tiny_share = open_source(stack_file(tmp_path / "b.npy", noise(20, 8, 8)), heldout=1e-6)
    assert tiny_share.heldout is not None
    assert (len(tiny_share.train), len(tiny_share.heldout)) == (19, 1)
    copies = open_source(stack_file(tmp_path / "c.npy", np.full((20, 8, 8), 99, np.uint8)))
    assert copies.heldout is None
    assert any("copies" in note for note in copies.notes)


def test_max_images_is_a_fixed_choice(tmp_path: Path) -> None:
    path = stack_file(tmp_path / "a.npy", noise(100, 8, 8))
    small, again, larger = (open_source(path, max_images=n, heldout=0) for n in (10, 10, 20))
    assert len(small.train) == 10
    assert small.fingerprint == again.fingerprint
    assert rows_of(small.train) < rows_of(larger.train)
    assert small.notes[-1].startswith("10 of 100 images are used")


def test_fingerprint_tells_content(tmp_path: Path) -> None:
    images = noise(6, 8, 8)
    labels = np.array([0, 1, 0, 1, 0, 1])
    prints = set()
    for i, (pixels, classes) in enumerate([(images, labels), (images, 1 - labels), (images[::-1], labels)]):
        np.savez(tmp_path / f"{i}.npz", images=pixels, labels=classes)
        prints.add(open_source(str(tmp_path / f"{i}.npz")).fingerprint)
    prints.add(open_source(str(tmp_path / "0.npz"), labelled=False).fingerprint)
    assert len(prints) == 4
    np.savez_compressed(tmp_path / "same.npz", x=images, y=labels)
    assert open_source(str(tmp_path / "same.npz")).fingerprint in prints


def test_recognise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "photos" / "deep" / "a.jpg", noise(8, 8))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("words")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.csv", b"")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "broken.npy").write_bytes(b"\x80\x04K\x01.")
    np.save(tmp_path / "series.npy", np.zeros((50, 24, 3)))
    np.save(tmp_path / "faces.npy", noise(5, 8, 8))
    np.savez(tmp_path / "points.npz", x=np.zeros((5, 2)))
    monkeypatch.chdir(tmp_path)
    yes = ["digits", "mnist", "Fashion_MNIST", "cifar-10", "photos", "photos/deep/a.jpg", "a.zip", "faces.npy"]
    no = ["texts", "texts.zip", "broken.zip", "broken.npy", "series.npy", "points.npz", "absent", "", "\0", "~nobody/x"]
    assert [can_open(word) for word in yes + no] == [True] * len(yes) + [False] * len(no)
