"""Whether translations look like images of the target side: a distance between their patches, and their contrast.

The patch distance is a sliced Wasserstein distance at several scales; it uses no trained weights.
Legend: N, M rows, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.domains.translation.measures.context import TranslationEvaluation
from zerosum.errors import UserError
from zerosum.metrics.record import Record

PATCH_SIDE = 7
NUM_PATCHES, NUM_DIRECTIONS = 20_000, 256
HALVINGS = 2


def contrast(images: Tensor) -> Tensor:
    """The mean over images and channels of the standard deviation within one image (N, C, H, W); a scalar."""
    return images.flatten(2).std(2).mean()


def bands(images: Tensor) -> dict[str, Tensor]:
    """(N, C, H, W) -> its levels by name: "1", the detail that one halving removes, "2", what the next one removes, and
    "rest", the remainder: shading and colour. Images are halved only while a patch fits into the result.

    A Laplacian pyramid: halving by the mean of 2x2, back by bilinear interpolation. Burt and Adelson 1983.
    """
    found = {}
    for level in range(HALVINGS):
        if min(images.shape[2:]) < 2 * PATCH_SIDE:
            break
        small = avg_pool2d(images, 2)
        found[str(level + 1)] = images - interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
        images = small
    return found | {"rest": images}


def patches(images: Tensor, num: int, seed: int) -> Tensor:
    """(num, C * 49): patches of 7x7 at random positions of images (N, C, H, W), equally many of each image."""
    rows, channels, height, width = images.shape
    if min(height, width) < PATCH_SIDE:
        raise UserError(f"patches of {PATCH_SIDE}x{PATCH_SIDE} do not fit into images of {height}x{width}")
    rng = torch.Generator().manual_seed(seed)
    row = torch.arange(num) % rows
    top = torch.randint(height - PATCH_SIDE + 1, (num,), generator=rng)
    left = torch.randint(width - PATCH_SIDE + 1, (num,), generator=rng)
    steps = torch.arange(PATCH_SIDE)
    found = images.permute(0, 2, 3, 1)[
        row[:, None, None], top[:, None, None] + steps[:, None], left[:, None, None] + steps
    ]
    return found.reshape(num, PATCH_SIDE * PATCH_SIDE * channels)


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
    real: Tensor, fake: Tensor, num: int = NUM_PATCHES, num_directions: int = NUM_DIRECTIONS, seed: int = 0
) -> dict[str, float]:
    """1,000 times the sliced distance of the patches of two sets of images, (N, C, H, W) and (M, C, H, W), at
    each level.

    Patches are divided by the standard deviation of the real ones at that level, so that a loss of contrast
    counts. 0 for equal distributions up to the noise of sampling: compare it with the distance of other real images.
    """
    found, fake_bands = {}, bands(fake)
    for name, band in bands(real).items():
        real_patches = patches(band, num, seed)
        scale = real_patches.std().clamp_min(1e-6)
        fake_patches = patches(fake_bands[name], num, seed + 1)
        found[name] = 1000 * sliced_distance(real_patches / scale, fake_patches / scale, num_directions, seed)
    return found


MEANINGS = {
    "1": "Distance of the finest details of translations to those of real images; the reference is that of other real images.",
    "2": "The same for details twice as large.",
    "rest": "The same for the remainder without details: shading, colour and large shapes.",
}
CONTRAST = (
    "Mean standard deviation of the values within a translation over that within real targets; below 1 is too pale."
)


def records(evaluation: TranslationEvaluation) -> list[Record]:
    """The patch distance at each level, with that of other real images as reference, and the contrast ratio."""
    reals, num = evaluation.reals, len(evaluation.fakes)
    distances = patch_distances(reals.targets, evaluation.fakes, seed=evaluation.seed)
    floor = patch_distances(reals.targets, reals.others, seed=evaluation.seed)
    how = evaluation.protocol(
        patches=f"{NUM_PATCHES} of {PATCH_SIDE}x{PATCH_SIDE} in all channels, over the deviation of the real ones",
        pyramid="Laplacian, halved by the mean of 2x2, enlarged bilinearly",
        distance=f"1000 x mean W1 over {NUM_DIRECTIONS} random directions",
        reference="as many other real targets",
    )
    found = [
        Record(f"patch_distance[level={level},n={num}]", value, how, "lower", MEANINGS[level], floor[level])
        for level, value in distances.items()
    ]
    real_contrast, fake_contrast, other = (
        float(contrast(images)) for images in (reals.targets, evaluation.fakes, reals.others)
    )
    ratio, level = fake_contrast / max(real_contrast, 1e-6), other / max(real_contrast, 1e-6)
    return [*found, Record(f"contrast_ratio[n={num}]", ratio, evaluation.protocol(), "near 1", CONTRAST, level)]
