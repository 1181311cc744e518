"""Distances of patches: closed forms for shifted and scaled noise, equal sets, the split into bands."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.patches import bands, patch_distances, patches, sliced_distance


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_bands_add_up_to_the_image() -> None:
    images = noise(2, 3, 32, 48)
    found = bands(images)
    up = torch.nn.functional.interpolate
    middle = found["2"] + up(found["rest"], size=(16, 24), mode="bilinear")
    torch.testing.assert_close(found["1"] + up(middle, size=(32, 48), mode="bilinear"), images)


def test_a_flat_image_is_all_in_the_rest() -> None:
    found = bands(torch.full((1, 1, 32, 32), 0.3))
    torch.testing.assert_close(found["1"], torch.zeros(1, 1, 32, 32))
    torch.testing.assert_close(found["2"], torch.zeros(1, 1, 16, 16))
    torch.testing.assert_close(found["rest"], torch.full((1, 1, 8, 8), 0.3))


def test_patches_are_cut_where_they_lie() -> None:
    """Each pixel holds its own number, so a patch tells where it was cut."""
    rows, height, width = 3, 9, 11
    images = torch.arange(rows * height * width, dtype=torch.float32).view(rows, 1, height, width)
    found = patches(images, 30, seed=0).view(30, 7, 7)
    first = found[:, 0, 0].long()
    torch.testing.assert_close(first // (height * width), torch.arange(30) % rows)
    steps = torch.arange(7)
    torch.testing.assert_close(found, (first[:, None, None] + steps[:, None] * width + steps).float())
    tops = first % (height * width) // width
    assert set(tops.tolist()) == {0, 1, 2}


def test_sliced_distance_of_a_shift() -> None:
    """A shift by v moves each projection by u.v; over the sphere in 2 dimensions E|u.v| = 2 |v| / pi."""
    x = noise(500, 2)
    found = sliced_distance(x, x + torch.tensor([3.0, 4.0]), num_directions=20_000)
    assert found == pytest.approx(5 * 2 / math.pi, rel=0.01)
    assert sliced_distance(x, x[torch.randperm(500)]) < 1e-6


def test_distance_of_lost_contrast() -> None:
    """White noise at 40 % of its strength: projections N(0, 1) and N(0, 0.16), so W1 = 0.6 E|z| = 0.6 sqrt(2 / pi)."""
    real = noise(40, 1, 32, 32)
    found = patch_distances(real, 0.4 * noise(40, 1, 32, 32, seed=1))
    for value in found.values():
        assert value == pytest.approx(600 * math.sqrt(2 / math.pi), rel=0.1)


def test_equal_distributions_are_near_and_blur_is_far() -> None:
    real, other = noise(40, 3, 32, 32), noise(40, 3, 32, 32, seed=1)
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    floor, far = patch_distances(real, other), patch_distances(real, blurred)
    assert set(floor) == {"1", "2", "rest"}
    assert floor["1"] < 25
    assert far["1"] > 10 * floor["1"]
    assert patch_distances(real, other) == floor


def test_a_cast_of_colour_shows_in_the_rest_alone() -> None:
    real, other = noise(40, 3, 32, 32), noise(40, 3, 32, 32, seed=1)
    floor, cast = patch_distances(real, other), patch_distances(real, other + torch.tensor([1.0, 0, 0]).view(3, 1, 1))
    assert cast["rest"] > 5 * floor["rest"]
    assert cast["1"] == pytest.approx(floor["1"], abs=1e-3)


@pytest.mark.parametrize(
    ("side", "levels"), [(7, ["rest"]), (13, ["rest"]), (14, ["1", "rest"]), (28, ["1", "2", "rest"])]
)
def test_small_images_have_fewer_levels(side: int, levels: list[str]) -> None:
    images = noise(20, 1, side, side + 3)
    assert list(bands(images)) == levels
    assert list(patch_distances(images, images, 100)) == levels


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="5x40"):
        patch_distances(noise(2, 1, 5, 40), noise(2, 1, 5, 40))
    with pytest.raises(UserError, match="6x9"):
        patches(noise(1, 1, 6, 9), 4, 0)
    with pytest.raises(UserError, match="one shape"):
        sliced_distance(noise(4, 2), noise(5, 2))


def test_volumes_have_patches_too() -> None:
    """Each voxel holds its own number; the bands of a volume add up to it."""
    volumes = torch.arange(2 * 9 * 10 * 11, dtype=torch.float32).view(2, 1, 9, 10, 11)
    found = patches(volumes, 8, seed=0, side=5).view(8, 5, 5, 5)
    steps = torch.arange(5)
    inside = steps[:, None, None] * 110 + steps[:, None] * 11 + steps
    torch.testing.assert_close(found, found[:, :1, :1, :1] + inside)
    fine = noise(2, 1, 12, 12, 12)
    levels = bands(fine, 5)
    up = torch.nn.functional.interpolate(levels["rest"], size=(12, 12, 12), mode="trilinear")
    torch.testing.assert_close(levels["1"] + up, fine)
