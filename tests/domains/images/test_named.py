"""The named sources: files of every layout, where they are looked for, and the real ones where they lie at hand."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from image_making import noise, save, write_idx
from torch.testing import assert_close

from zerosum.data.images import cifar, idx, named_datasets
from zerosum.data.sources import data_roots
from zerosum.domains.images.data import Shape, open_source, sources


def test_digits_equal_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert source.shape == Shape(1, 8, 8, 10)
    assert source.heldout is not None
    assert len(source.train) + len(source.heldout) == 1797 == sources()["digits"].num_train
    assert 0.08 < len(source.heldout) / 1797 < 0.12
    ours = np.concatenate([source.train.pixels.numpy(), source.heldout.pixels.numpy()]).reshape(1797, -1)
    theirs = np.rint(load_digits().data * 255 / 16)
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert source.train.pixels.max() == 255


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
def test_idx_files(tmp_path: Path, suffix: str, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True)
    arrays = [noise(12, 5, 4), noise(12, seed=1) % 3, noise(7, 5, 4, seed=2), noise(7, seed=3) % 3]
    for stem, values in zip(idx.STEMS, arrays, strict=True):
        write_idx(place / (stem + suffix), values)
    source = open_source("mnist", data_root=str(tmp_path))
    assert source.heldout is not None
    assert np.array_equal(source.train.pixels[:, 0], arrays[0])
    assert np.array_equal(source.train.labels, arrays[1])
    assert np.array_equal(source.heldout.pixels[:, 0], arrays[2])
    assert np.array_equal(source.heldout.labels, arrays[3])
    assert source.shape == Shape(1, 5, 4, 10)
    assert len(source.notes) == (4 if suffix else 0)
    by_path = open_source(str(place))
    assert torch.equal(by_path.train.pixels, source.train.pixels)
    assert by_path.shape.num_classes == (10 if folder == "mnist" else 3)


def cifar_batches() -> dict[str, bytes]:
    records = {name: noise(4, cifar.RECORD_BYTES, seed=i) for i, name in enumerate((*cifar.TRAIN, cifar.TEST))}
    for values in records.values():
        values[:, 0] %= 10
    return {name: values.tobytes() for name, values in records.items()}


@pytest.mark.parametrize("layout", ["flat", "folder", "tarball"])
def test_cifar_binary(tmp_path: Path, layout: str) -> None:
    batches, place = cifar_batches(), tmp_path / "cifar10"
    inner = place / cifar.SUBFOLDER if layout == "folder" else place
    inner.mkdir(parents=True)
    if layout == "tarball":
        with tarfile.open(place / cifar.TARBALL, "w:gz") as archive:
            for name, data in batches.items():
                info = tarfile.TarInfo(f"{cifar.SUBFOLDER}/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        for name, data in batches.items():
            (inner / name).write_bytes(data)
    source = open_source("cifar10", data_root=str(tmp_path))
    records = np.frombuffer(b"".join(batches[name] for name in cifar.TRAIN), np.uint8).reshape(20, -1)
    assert np.array_equal(source.train.labels, records[:, 0])
    assert np.array_equal(source.train.pixels[7, 2, 31], records[7, -32:])
    assert source.heldout is not None
    assert len(source.heldout) == 4
    assert source.shape == Shape(3, 32, 32, 10)
    assert source.class_names[9] == "truck"


def test_cifar_sheets(tmp_path: Path) -> None:
    tiles = noise(6, 12, 3, 32, 32)
    for i, name in enumerate((*cifar.SHEETS, cifar.TEST_SHEET)):
        sheet = tiles[i].reshape(3, 4, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(96, 128, 3)
        save(tmp_path / "cifar10" / name, sheet, lossless=True)
    labels = noise(72) % 10
    np.savez(tmp_path / "cifar10" / "labels.npz", train=labels[:60], test_first1000=labels[60:])
    source = open_source(str(tmp_path / "cifar10"))
    assert source.heldout is not None
    assert np.array_equal(source.train.pixels, tiles[:5].reshape(60, 3, 32, 32))
    assert np.array_equal(source.heldout.pixels, tiles[5])
    assert np.array_equal(source.heldout.labels, labels[60:])


def test_real_mnist_is_quick_and_whole(data_root: Path) -> None:
    if not (data_root / "mnist").is_dir():
        pytest.skip("no mnist/ in the data root")
    begun = time.process_time()
    source = open_source("mnist", data_root=str(data_root))
    assert time.process_time() - begun < 1.5  # 0.4 s was measured
    assert source.shape == Shape(1, 28, 28, 10)
    assert source.notes == ()
    assert source.heldout is not None
    assert (len(source.train), len(source.heldout)) == (60_000, 10_000)
    assert source.train.pixels.dtype == torch.uint8
    # The well-known mean and deviation of the training images.
    values = source.train.pixels.float() / 255
    assert_close(torch.stack([values.mean(), values.std()]), torch.tensor([0.1307, 0.3081]), rtol=0, atol=1e-4)
    assert source.train.labels is not None
    assert source.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_real_cifar_has_its_known_mean(data_root: Path) -> None:
    if not (data_root / "cifar10").is_dir():
        pytest.skip("no cifar10/ in the data root")
    source = open_source("cifar10", data_root=str(data_root))
    means = torch.stack([source.train.pixels[:, i].float().mean() / 255 for i in range(3)])
    assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]), rtol=0, atol=1e-4)
    assert torch.equal(torch.bincount(source.train.labels), torch.full((10,), 5000))  # type: ignore[arg-type]


def test_published_files_are_named_in_full() -> None:
    for info in sources().values():
        assert info.origin
        assert info.licence
        for file in info.files:
            assert len(file.sha256) == 64
            assert all(url.endswith("/" + file.name) for url in file.urls)


def test_data_root_before_environment_before_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZEROSUM_DATA", "/from/environment")
    cache = tmp_path / ".cache" / "zerosum"
    assert data_roots("/given") == (Path("/given"), cache)
    assert data_roots() == (Path("/from/environment"), cache)
    monkeypatch.delenv("ZEROSUM_DATA")
    assert data_roots() == (cache,)


def test_download_only_when_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = []

    def fake(urls: tuple[str, ...], target: Path, sha256: str, size_limit: int) -> Path:
        asked.append(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_idx(target, noise(6, 4, 4) if "images" in target.name else noise(6) % 10)
        return target

    monkeypatch.setattr(named_datasets, "fetch", fake)
    with pytest.raises(ValueError, match="--download"):
        open_source("mnist", data_root=str(tmp_path))
    assert asked == []
    assert len(open_source("mnist", data_root=str(tmp_path), allow_download=True).train) == 6
    assert asked == [tmp_path / "mnist" / f"{stem}.gz" for stem in idx.STEMS]


def test_name_wins_over_folder_unless_it_has_a_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(2):
        save(tmp_path / "digits" / f"{i}.png", noise(4, 6, seed=i))
    monkeypatch.chdir(tmp_path)
    assert open_source("digits").shape.height == 8
    assert open_source("./digits").shape == Shape(1, 4, 6, 0)


def test_named_source_at_another_size_and_colour() -> None:
    source = open_source("digits", size=(16, 12), channels=3, max_images=40)
    assert source.shape == Shape(3, 16, 12, 10)
    assert source.heldout is not None
    assert len(source.train) + len(source.heldout) == 40
    assert torch.equal(source.train.pixels[:, 0], source.train.pixels[:, 2])
    assert any("40 of 1797" in note for note in source.notes)
    assert any("8x8 to 16x12" in note for note in source.notes)


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    part = named_datasets._digits()
    np.testing.assert_array_equal(part.pixels[:, 0], np.rint(bundle.images * (255 / 16)).astype(np.uint8))
    np.testing.assert_array_equal(part.labels, bundle.target)
