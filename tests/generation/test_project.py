"""Projection finds the latent again of a sample the generator made, and says so in dB."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import published
from zerosum.errors import UserError
from zerosum.generation.latents.project import project
from zerosum.generation.latents.sampling import SampleOptions, make_samples
from zerosum.generation.latents.space import Space
from zerosum.metrics.feature_networks import psnr


@pytest.mark.parametrize(
    ("kind", "of"),
    [("mlp", {}), ("conv", {"classes": 3}), ("conv", {"prior": {"kind": "uniform"}}), ("style", {"attributes": 2})],
)
def test_own_samples_are_found_again(tmp_path: Path, kind: str, of: dict[str, object]) -> None:
    run = published.generator(tmp_path / "run", kind, latent=8, **of)
    samples = run.sample(1, 77)
    space = Space(run)
    found = project(space, samples, steps=120)
    assert float(found.psnr[0]) > 40
    # The number told is that of the samples given back, which the saved latents make again.
    torch.testing.assert_close(found.psnr, psnr(found.samples, samples))
    found.latents.save(tmp_path / "found.safetensors")
    again, _ = make_samples(run, SampleOptions(latent=tmp_path / "found.safetensors"))
    torch.testing.assert_close(again, found.samples, rtol=1e-4, atol=1e-5)
    # It beats the best of plain sampling by far.
    nearest = float(psnr(run.sample(512, 1), samples.expand(512, -1, -1, -1)).max())
    assert float(found.psnr[0]) > nearest + 5


def test_the_class_is_found_too(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv", latent=8, classes=3, options={"label_features": 64})
    space = Space(run)
    found = project(space, run.sample(1, 5, [2]), steps=60)
    assert found.latents.condition is not None
    assert found.latents.condition.tolist() == [2]
    labelled = project(space, run.sample(1, 5, [2]), steps=60, labels=["class0"])
    assert labelled.latents.condition is not None
    assert labelled.latents.condition.tolist() == [0]
    assert float(labelled.psnr[0]) < float(found.psnr[0])


def test_noise_keeps_to_its_prior(tmp_path: Path) -> None:
    """A picture that the generator cannot make draws the latents away; the penalty holds them."""
    run = published.generator(tmp_path, "conv", latent=16)
    picture = torch.ones(1, 1, 16, 16)
    found = project(Space(run), picture, steps=100)
    assert 0.4 < float(found.latents.values.square().mean()) < 2.5


def test_the_same_seed_finds_the_same_and_networks_stay_untouched(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "style", latent=8)
    before = {name: tensor.clone() for name, tensor in run.sampler.network.state_dict().items()}
    pictures = run.sample(2, 3)
    one, two = (project(Space(run), pictures, steps=20, seed=4) for _ in range(2))
    torch.testing.assert_close(one.latents.values, two.latents.values)
    alone = project(Space(run), pictures[1:], steps=20, seed=4)
    torch.testing.assert_close(alone.latents.values, one.latents.values[1:])
    torch.testing.assert_close(run.sampler.network.state_dict(), before)
    assert all(weight.grad is None for weight in run.sampler.network.parameters())


def test_bad_wishes_are_told(tmp_path: Path) -> None:
    space = Space(published.generator(tmp_path, "conv"))
    with pytest.raises(UserError, match="--steps"):
        project(space, torch.zeros(1, 1, 16, 16), steps=0)
    with pytest.raises(UserError, match="only pictures"):
        project(space, torch.zeros(1, 16))
