"""A distance between the small patches of two sets of images or volumes: a sliced Wasserstein distance at several scales, which
uses no trained weights.

Legend: N, M rows, C channels, * spatial sizes: (H, W) or (X, Y, Z).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d, interpolate

from zerosum.errors import UserError

PATCH_SIDE = 7
NUM_PATCHES, NUM_DIRECTIONS = 20_000, 256
HALVINGS = 2
_HALVE = {2: avg_pool2d, 3: avg_pool3d}


def bands(images: Tensor, side: int = PATCH_SIDE) -> dict[str, Tensor]:
    """(N, C, *) -> its levels by name: "1", the detail that one halving removes, "2", what the next one removes, and
    "rest", the remainder: shading and colour. Images are halved only while a patch fits into the result.

    A Laplacian pyramid: halving by the mean of blocks of side 2, back by linear interpolation. Burt and Adelson 1983.
    """
    found, dims = {}, images.dim() - 2
    for level in range(HALVINGS):
        if min(images.shape[2:]) < 2 * side:
            break
        small = _HALVE[dims](images, 2)
        found[str(level + 1)] = images - interpolate(
            small, size=images.shape[2:], mode="bilinear" if dims == 2 else "trilinear", align_corners=False
        )
        images = small
    return found | {"rest": images}


def patches(images: Tensor, num: int, seed: int, side: int = PATCH_SIDE) -> Tensor:
    """(num, C * side ** dims): patches at random positions of images (N, C, *), equally many of each image."""
    rows, channels, *sizes = images.shape
    if min(sizes) < side:
        raise UserError(
            f"patches of {'x'.join([str(side)] * len(sizes))} do not fit into images of {'x'.join(map(str, sizes))}"
        )
    rng = torch.Generator().manual_seed(seed)
    row = torch.arange(num) % rows
    corners = [torch.randint(size - side + 1, (num,), generator=rng) for size in sizes]
    steps, dims = torch.arange(side), len(sizes)
    places = [
        corner.view(num, *[1] * dims) + steps.view(*[side if axis == at else 1 for axis in range(dims)])
        for at, corner in enumerate(corners)
    ]
    found = images.movedim(1, -1)[row.view(num, *[1] * dims), *places]
    return found.reshape(num, side**dims * channels)


def sliced_distance(real: Tensor, fake: Tensor, num_directions: int = NUM_DIRECTIONS, seed: int = 0) -> float:
    """The mean over random directions of W1 between the projections of two samples of one size, (N, D) each.

    Rabin et al. 2011; for images Karras et al. 2018 (arXiv:1710.10196, section 5).
    """
    if real.shape != fake.shape:
        raise UserError(
            f"sliced_distance: samples of shape {tuple(real.shape)} and {tuple(fake.shape)}; give one shape"
        )
    rng = torch.Generator().manual_seed(seed)
    directions = torch.randn(num_directions, real.shape[1], generator=rng)
    directions = (directions / directions.norm(dim=1, keepdim=True)).to(real)
    total = 0.0
    for part in directions.split(32):  # bounds the memory
        total += float(np.abs(_sort_rows(part @ real.T) - _sort_rows(part @ fake.T)).mean(1).sum())
    return total / num_directions


def _sort_rows(values: Tensor) -> npt.NDArray[np.float32]:
    """Sorts each row; numpy is several times faster than torch here."""
    return np.sort(values.cpu().numpy(), axis=1)


def patch_distances(
    real: Tensor,
    fake: Tensor,
    num: int = NUM_PATCHES,
    num_directions: int = NUM_DIRECTIONS,
    seed: int = 0,
    side: int = PATCH_SIDE,
) -> dict[str, float]:
    """1,000 times the sliced distance of the patches of two sets of images, (N, C, *) and (M, C, *), at each level.

    Patches are divided by the standard deviation of the real ones at that level, so that a loss of contrast
    counts. 0 for equal distributions up to the noise of sampling: compare it with the distance of other real images.
    """
    found, fake_bands = {}, bands(fake, side)
    for name, band in bands(real, side).items():
        real_patches = patches(band, num, seed, side)
        scale = real_patches.std().clamp_min(1e-6)
        fake_patches = patches(fake_bands[name], num, seed + 1, side)
        found[name] = 1000 * sliced_distance(real_patches / scale, fake_patches / scale, num_directions, seed)
    return found
