"""Stacked MNIST and the faces: named sources that are put together from files at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from image_making import noise, refused, write_idx

from zerosum.data.images import idx, named_datasets
from zerosum.domains.images.data import Shape, open_source, sources


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Small files in the layout of MNIST; every digit is filled with its own number."""
    place = tmp_path / "mnist"
    place.mkdir()
    for stem, num, first in zip(idx.STEMS[::2], (50, 20), (0, 100), strict=True):
        rows = np.arange(first, first + num, dtype=np.uint8)
        write_idx(place / f"{stem}.gz", np.broadcast_to(rows[:, None, None], (num, 4, 4)).copy())
        write_idx(place / f"{stem.replace('images-idx3', 'labels-idx1')}.gz", rows % 10)
    return tmp_path


def test_stacks_are_three_digits_the_same_every_time(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_datasets, "NUM_STACKS_TRAIN", 2000)
    monkeypatch.setattr(named_datasets, "NUM_STACKS_HELDOUT", 300)
    source, again = (open_source("Stacked_MNIST", data_root=str(mnist)) for _ in range(2))
    assert source.fingerprint == again.fingerprint
    assert source.shape == Shape(3, 4, 4, 0)
    assert source.measure == "stacked"
    assert source.heldout is not None
    assert (len(source.train), source.num_heldout) == (2000, 300)
    for images, num, seed, first in ((source.train, 50, 0, 0), (source.heldout, 20, 1, 100)):
        drawn = named_datasets.stacked_triples(num, len(images), seed)
        assert images.labels is None
        assert torch.equal(images.pixels.amax((2, 3)), images.pixels.amin((2, 3)))
        assert np.array_equal(images.pixels[:, :, 0, 0], drawn + first)
        # Each digit about equally often in each channel: 5 deviations of a binomial count.
        counts = np.stack([np.bincount(drawn[:, i], minlength=num) for i in range(3)])
        mean = len(images) / num
        assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)


def test_stacks_at_another_number_and_size(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_datasets, "NUM_STACKS_TRAIN", 2000)
    source = open_source("stacked-mnist", data_root=str(mnist), size=(8, 8), max_images=100)
    assert source.shape == Shape(3, 8, 8, 0)
    assert len(source.train) == 100


def test_stacks_of_the_real_digits(data_root: Path) -> None:
    if not (data_root / "mnist").is_dir():
        pytest.skip("no mnist/ in the data root")
    source, digits = (open_source(name, data_root=str(data_root)) for name in ("stacked-mnist", "mnist"))
    info = sources()["stacked-mnist"]
    assert (len(source.train), source.num_heldout) == (info.num_train, info.num_heldout) == (128_000, 10_000)
    drawn = named_datasets.stacked_triples(60_000, 128_000, 0)
    for row in (0, 77_777, 127_999):
        assert torch.equal(source.train.pixels[row], digits.train.pixels[drawn[row], 0])
    assert digits.train.labels is not None
    classes = digits.train.labels.numpy()[drawn] @ [100, 10, 1]
    assert len(np.unique(classes)) == 1000
    rows = torch.randperm(60_000)[:1000]
    assert not (
        set(map(bytes, digits.train.pixels[rows].numpy())) & set(map(bytes, source.heldout.pixels[:, 0].numpy()))
    )  # type: ignore[union-attr]


def test_faces_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    said = refused("olivetti-faces", str(tmp_path / "olivetti_faces"), "ZEROSUM_DATA", data_root=str(tmp_path))
    assert "--download" not in said  # there is nowhere to get them from
    refused("olivetti_faces", "olivetti_faces.npz", data_root=str(tmp_path), allow_download=True)
    (tmp_path / "olivetti_faces").mkdir()
    subjects = (np.arange(40) // 10).astype(np.uint8)
    np.savez(tmp_path / "olivetti_faces" / "olivetti_faces.npz", images=noise(40, 64, 64), subject=subjects)
    source = open_source("olivetti-faces", data_root=str(tmp_path), heldout=0)
    assert source.shape == Shape(1, 64, 64, 4)
    assert np.array_equal(source.train.pixels[:, 0], noise(40, 64, 64))
    assert any("is not the published file" in note for note in source.notes)


def test_real_faces(data_root: Path) -> None:
    if not (data_root / "olivetti_faces").is_dir():
        pytest.skip("no olivetti_faces/ in the data root")
    source = open_source("olivetti-faces", data_root=str(data_root))
    assert source.notes == ()
    assert len(source.train) + source.num_heldout == 400
    assert source.shape == sources()["olivetti-faces"].details["shape"]
