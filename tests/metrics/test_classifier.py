"""Feature extractors: accuracy, determinism, any shape, and a cache that cannot lie."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.testing import assert_close

from zerosum.errors import UserError
from zerosum.metrics import feature_networks
from zerosum.metrics.feature_networks import (
    SmallClassifier,
    cached_classifier,
    extract,
    random_features,
    shrunk_size,
    train_classifier,
    weights_sha256,
)


def stripes(num: int, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy images that are bright in the left (0) or the right (1) half."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (num,), generator=generator)
    images = torch.randint(0, 100, (num, *shape), generator=generator)
    half = shape[2] // 2
    images[labels == 0, :, :, :half] += 120
    images[labels == 1, :, :, half:] += 120
    return images.to(torch.uint8), labels


def accuracy(model: SmallClassifier, images: Tensor, labels: Tensor) -> float:
    return float((model(images).argmax(1) == labels).double().mean())


def test_real_digits_are_learned() -> None:
    data = load_digits()
    images = torch.from_numpy((data.images * 255 / 16).round().astype("uint8"))[:, None]
    labels = torch.from_numpy(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, held = order[:1437], order[1437:]
    model = train_classifier(images[train], labels[train], num_classes=10)
    assert accuracy(model, images[held], labels[held]) >= 0.97


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 16, 40), (1, 5, 9), (3, 96, 130)]
)
def test_any_shape_gives_64_features(shape: tuple[int, int, int]) -> None:
    images, _ = stripes(6, shape)
    model = SmallClassifier(shape, 3).eval()
    assert model.features(images).shape == (6, 64)
    assert_close(model.head(model.features(images)), model(images))
    assert random_features(shape).features(images).shape == (6, 64)


def test_training_repeats_bit_for_bit_and_leaves_the_global_random_state_alone() -> None:
    images, labels = stripes(200)
    state = torch.get_rng_state()
    first = train_classifier(images, labels, num_classes=2, steps=20)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert weights_sha256(train_classifier(images, labels, num_classes=2, steps=20)) == weights_sha256(first)
    assert weights_sha256(train_classifier(images, labels, num_classes=2, steps=20, seed=1)) != weights_sha256(first)
    assert accuracy(first, *stripes(100, seed=5)) == 1.0
    assert not first.training


def test_the_weights_do_not_depend_on_the_thread_count() -> None:
    images, labels = stripes(100, (1, 28, 28))
    one = weights_sha256(train_classifier(images, labels, num_classes=2, steps=5))
    torch.set_num_threads(2)
    try:
        two = weights_sha256(train_classifier(images, labels, num_classes=2, steps=5))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert one == two


def test_features_do_not_depend_on_the_batch_or_the_order() -> None:
    images, labels = stripes(130, (3, 16, 16))
    for model in (train_classifier(images, labels, num_classes=2, steps=5), random_features((3, 16, 16))):
        whole = extract(model, images, batch_size=130)
        assert_close(extract(model, images, batch_size=7), whole, rtol=1e-4, atol=1e-5)
        assert_close(extract(model, images.flip(0)).flip(0), whole, rtol=1e-4, atol=1e-5)


def test_large_images_are_shrunk_with_their_proportions() -> None:
    assert shrunk_size(64, 64) == (64, 64)
    assert shrunk_size(128, 96) == (64, 48)
    assert shrunk_size(1000, 1) == (64, 1)


def test_the_random_network_is_fixed_and_named_by_its_weights() -> None:
    state = torch.get_rng_state()
    one, two = random_features((1, 8, 8)), random_features((1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.sha256 == two.sha256
    assert one.name == f"random-conv-v1-{weights_sha256(two)[:8]}"
    assert random_features((1, 8, 8), seed=1).name != one.name


def test_a_second_call_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = stripes(60)
    model, sha256 = cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=3)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    monkeypatch.setattr(feature_networks, "train_classifier", lambda *a, **k: pytest.fail("trained although cached"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, same = cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=3)
    assert same == sha256 == weights_sha256(model)
    assert torch.equal(again(images), model(images))


def test_other_data_and_other_settings_get_their_own_file(tmp_path: Path) -> None:
    images, labels = stripes(60)
    for fingerprint, seed in (("a", 0), ("b", 0), ("a", 1)):
        cached_classifier(images, labels, fingerprint, tmp_path, num_classes=2, seed=seed, steps=2)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncated", "flipped", "renamed", "pickle"])
def test_a_broken_cache_file_is_trained_anew_with_a_warning(tmp_path: Path, damage: str) -> None:
    images, labels = stripes(60)
    _, sha256 = cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=3)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[:-100])
    elif damage == "flipped":
        data[-5] ^= 1
        path.write_bytes(data)
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04\x95\x00")
    else:
        path.unlink()
        cached_classifier(images, labels, "other", tmp_path, num_classes=2, steps=2)
        next(tmp_path.iterdir()).rename(path)
    with pytest.warns(UserWarning, match="broken"):
        _, again = cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=3)
    assert again == sha256
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=3)


def test_a_cache_that_cannot_be_written_costs_a_warning_only(tmp_path: Path) -> None:
    images, labels = stripes(60)
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be stored"):
        cached_classifier(images, labels, "stripes", tmp_path / "file" / "sub", num_classes=2, steps=2)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    images, labels = stripes(60)
    with pytest.warns(UserWarning, match="No space left"):
        cached_classifier(images, labels, "stripes", tmp_path, num_classes=2, steps=2)
    assert list(tmp_path.iterdir()) == []


def test_the_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    assert feature_networks.default_cache_dir() == tmp_path / "classifiers"


def test_bad_input_is_refused() -> None:
    images, labels = stripes(10)
    with pytest.raises(UserError, match=r"0\.\.1"):
        train_classifier(images, labels + 1, num_classes=2)
    with pytest.raises(UserError, match="10 images with 9 labels"):
        train_classifier(images, labels[:9], num_classes=2)
    with pytest.raises(UserError, match="uint8"):
        extract(random_features((1, 8, 8)), images.float())
    with pytest.raises(UserError, match="no images"):
        extract(random_features((1, 8, 8)), images[:0])
