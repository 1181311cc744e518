"""Tiles against the whole: the same numbers for any size, no seam, nothing lost at the borders."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from zerosum.domains.translation.tiling import Tiling, apply_in_tiles, reflected_indices

SMALL = Tiling(side=32, margin=4, blend=4, grid=4)


def picture(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def network(x: Tensor) -> Tensor:
    """Sees 3 pixels to each side; zero padding at its borders, as networks have it."""
    kernel = torch.randn(2, 2, 7, 7, generator=torch.Generator().manual_seed(1))
    return conv2d(x, kernel, padding=3).tanh()


def halving(x: Tensor) -> Tensor:
    """Goes down to half the size and up again, so it treats only even places alike. Sees 4 pixels to each side."""
    kernel = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    return interpolate(conv2d(avg_pool2d(x, 2), kernel, padding=1), scale_factor=2, mode="nearest")


SIZES = [(1, 1), (5, 9), (24, 24), (25, 24), (27, 61), (100, 33), (29, 30)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("function", [network, halving])
def test_the_same_as_the_whole_picture_at_once(function: object, height: int, width: int) -> None:
    assert callable(function)
    image = picture(2, height, width)
    found = apply_in_tiles(lambda piece, place: function(piece[None])[0], image, SMALL)
    assert found.shape == (2, height, width)
    side = 8 * SMALL.grid + height // 4 * 4, 8 * SMALL.grid + width // 4 * 4
    whole = image[:, reflected_indices(height, 16, side[0])][:, :, reflected_indices(width, 16, side[1])]
    torch.testing.assert_close(found, function(whole[None])[0][:, 16 : 16 + height, 16 : 16 + width])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_each_pixel_is_made_once_in_all(height: int, width: int) -> None:
    ones = apply_in_tiles(lambda piece, place: torch.ones_like(piece), picture(1, height, width), SMALL)
    torch.testing.assert_close(ones, torch.ones(1, height, width))


def test_places_and_sides_are_on_the_grid_and_tell_where_a_piece_lies() -> None:
    image = picture(1, 70, 41)
    seen = []

    def apply(piece: Tensor, place: tuple[int, int]) -> Tensor:
        seen.append((*place, *piece.shape[1:]))
        rows = reflected_indices(70, 4, 200)[place[0] : place[0] + piece.shape[1]]
        columns = reflected_indices(41, 4, 200)[place[1] : place[1] + piece.shape[2]]
        torch.testing.assert_close(piece, image[:, rows][:, :, columns])
        return piece

    torch.testing.assert_close(apply_in_tiles(apply, image, SMALL), image)
    assert len(seen) == len(SMALL.starts(70)) * len(SMALL.starts(41)) > 4
    assert all(number % SMALL.grid == 0 for row in seen for number in row)


def test_tiles_that_disagree_fade_into_each_other() -> None:
    """Each tile is flat with a value of its own; along a row no step is larger than one part of the ramp."""
    values = iter([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = apply_in_tiles(lambda piece, place: torch.full_like(piece, next(values)), picture(1, 20, 90), SMALL)
    assert float(found.max()) == 1
    assert float(found.diff(dim=2).abs().max()) <= 1 / SMALL.blend + 1e-6


def test_reflection() -> None:
    assert reflected_indices(4, 3, 11).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert reflected_indices(1, 2, 4).tolist() == [0, 0, 0, 0]
    assert reflected_indices(2, 1, 5).tolist() == [1, 0, 1, 0, 1]


def test_a_small_picture_is_one_small_tile() -> None:
    sizes = []

    def apply(piece: Tensor, place: tuple[int, int]) -> Tensor:
        sizes.append(tuple(piece.shape))
        return piece

    apply_in_tiles(apply, picture(3, 100, 90), Tiling())
    assert sizes == [(3, 112 + 96, 96 + 96)]


def test_channels_and_devices_may_change() -> None:
    layer = nn.Conv2d(3, 5, 1)
    with torch.no_grad():
        found = apply_in_tiles(lambda piece, place: layer(piece[None])[0], picture(3, 40, 50), SMALL)
        torch.testing.assert_close(found, layer(picture(3, 40, 50)[None])[0])


def test_tilings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no room"):
        Tiling(side=64, margin=32, blend=16)
    with pytest.raises(ValueError, match="multiples of 16"):
        Tiling(side=200, margin=16, blend=16)
