"""Sample i is a function of the seed and i alone: the number of samples asked for changes none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from published import generator
from zerosum.generation.latents.space import Space

NUMS = (1, 2, 3, 5, 6, 7, 16, 33)


@pytest.mark.parametrize("kind", ["normal", "uniform", "truncated_normal"])
@pytest.mark.parametrize("latent", [3, 7, 32])
def test_noise_does_not_depend_on_the_number(tmp_path: Path, kind: str, latent: int) -> None:
    sampler = generator(tmp_path, "mlp", latent=latent, prior={"kind": kind}).sampler
    many = sampler.noise(64, seed=3)
    assert len(set(map(tuple, many.tolist()))) == 64
    for num in NUMS:
        assert torch.equal(sampler.noise(num, seed=3), many[:num])


@pytest.mark.parametrize("of", [{"classes": 10}, {"attributes": 2}, {}])
def test_samples_do_not_depend_on_the_number(tmp_path: Path, of: dict[str, int]) -> None:
    run = generator(tmp_path, "conv", **of)
    many = run.sample(64, seed=3)
    for num in NUMS:
        torch.testing.assert_close(run.sample(num, seed=3), many[:num], rtol=0, atol=1e-5)


def test_a_sample_of_many_seeds_is_of_every_class(tmp_path: Path) -> None:
    run = generator(tmp_path, "mlp", classes=10)
    found = [int(condition[0]) for s in range(40) if (condition := run.condition(1, s)) is not None]
    assert len(found) == 40
    assert len(set(found)) >= 8


@pytest.mark.parametrize("num", [1, 18, 64])
def test_interpolation_begins_at_the_samples_that_its_seeds_name(tmp_path: Path, num: int) -> None:
    """`--seeds 3` is the first sample of `zerosum sample --seed 3`, `0:17` is number 17 of seed 0, for any --num."""
    run = generator(tmp_path, "conv", classes=10)
    space = Space(run)
    keys = space.render(space.keys(["3", f"0:{num - 1}"]))
    torch.testing.assert_close(keys[0], run.sample(num, seed=3)[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(keys[1], run.sample(num, seed=0)[num - 1], rtol=0, atol=1e-5)
