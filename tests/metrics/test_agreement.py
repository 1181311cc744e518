"""The same numbers as torchmetrics 1.9.0 and torch-fidelity 0.4.0, which gave the values kept here, and as these packages, where
they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from zerosum.domains.images.inception import Inception, load_inception
from zerosum.metrics.classes import class_score
from zerosum.metrics.distances import frechet_distance, kernel_distance

FRECHET, KERNEL_DISTANCE = 0.3536539108909902, 0.3282317975864535
INCEPTION_SCORE = 2.556711438522961, 0.17063896223302566
"""Mean and standard deviation over four splits."""
FEATURES = [
    [0.016101, 1.097633, 0.0, 1.539082, 0.28134, 0.28992, 2.142286, 0.440124],
    [0.016074, 1.097592, 0.0, 1.538358, 0.280913, 0.289995, 2.142138, 0.440379],
]
LOGITS = [
    [-1.387185, 1.750481, 0.490638, -1.007545, 2.459179, 0.801617, -2.207357],
    [-1.387168, 1.751544, 0.490684, -1.007097, 2.45923, 0.80169, -2.207022],
]
"""Every 256th feature and every 144th logit of the two images of `pictures`."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Flat(nn.Module):
    num_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double()


def sides() -> tuple[Tensor, Tensor]:
    """Two samples of small images."""
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(300, 3, 2, 2, generator=generator)
    return real, torch.rand(200, 3, 2, 2, generator=generator) ** 2


def test_frechet() -> None:
    real, fake = sides()
    assert frechet_distance(real.flatten(1), fake.flatten(1)) == pytest.approx(FRECHET, rel=1e-9)


def test_kernel_distance() -> None:
    assert kernel_distance(normal(100, 12), normal(100, 12, seed=1) + 0.3).value == pytest.approx(
        KERNEL_DISTANCE, rel=1e-9
    )


def test_class_score() -> None:
    value, error = class_score((normal(120, 12) * 2).softmax(1), num_splits=4)
    assert (value, 2 * error) == pytest.approx(INCEPTION_SCORE, rel=1e-9)


def test_frechet_is_that_of_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid", exc_type=ImportError)
    real, fake = sides()
    theirs = fid.FrechetInceptionDistance(feature=Flat(), normalize=True, input_img_size=(3, 2, 2))
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    assert float(theirs.compute()) == pytest.approx(frechet_distance(real.flatten(1), fake.flatten(1)), rel=1e-9)


def test_kernel_distance_is_that_of_torchmetrics() -> None:
    kid = pytest.importorskip("torchmetrics.image.kid", exc_type=ImportError)
    x, y = normal(100, 12), normal(100, 12, seed=1) + 0.3
    assert float(kid.poly_mmd(x, y)) == pytest.approx(kernel_distance(x, y).value, rel=1e-9)


def test_class_score_is_the_inception_score_of_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    inception = pytest.importorskip("torchmetrics.image.inception", exc_type=ImportError)
    logits = normal(120, 12) * 2
    theirs = inception.InceptionScore(feature=Flat(), splits=4)
    theirs.set_dtype(torch.float64)
    theirs.update(logits)
    monkeypatch.setattr(torch, "randperm", torch.arange)  # it shuffles; the splits must be the same
    mean, deviation = theirs.compute()
    value, error = class_score(logits.softmax(1), num_splits=4)
    assert float(mean) == pytest.approx(value, rel=1e-9)
    assert float(deviation) / 2 == pytest.approx(error, rel=1e-9)


def pictures() -> Tensor:
    """An image of noise and one of a slope."""
    made = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made[1] = torch.arange(299)[:, None] * torch.arange(299) // 351
    return made


def test_the_network(tmp_path: Path) -> None:
    """On weights drawn at random: every layer, pool and padding the same."""
    torch.save(with_random_weights(Inception()).state_dict(), tmp_path / "weights.pth")
    network = load_inception(tmp_path / "weights.pth")[0]
    with torch.no_grad():
        features = network.features(pictures())
        logits = network.logits(features)
    torch.testing.assert_close(features[:, ::256], torch.tensor(FEATURES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[:, ::144], torch.tensor(LOGITS), rtol=1e-4, atol=1e-4)


def test_the_network_is_that_of_torch_fidelity(tmp_path: Path) -> None:
    """The package needs torchvision, which cannot be imported beside a torch for the CPU alone."""
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", exc_type=ImportError)
    mine = with_random_weights(Inception())
    path = tmp_path / "weights.pth"
    torch.save(mine.state_dict(), path)
    extractor = theirs.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    images = pictures()
    with torch.no_grad():
        features, logits = extractor(images)
        found = load_inception(path)[0]
        torch.testing.assert_close(found.features(images), features)
        torch.testing.assert_close(found.logits(features), logits)


def with_random_weights(network: Inception) -> Inception:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            drawn = torch.randn(value.shape, generator=generator)
            value.copy_(drawn * (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else drawn.abs() * 0.1 + 0.5)
    return network.eval()


def test_a_file_of_weights_is_read_whatever_its_kind(tmp_path: Path) -> None:
    state = with_random_weights(Inception()).state_dict()
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "b.safetensors")
    one, two = load_inception(tmp_path / "a.pth")[0], load_inception(tmp_path / "b.safetensors")[0]
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
