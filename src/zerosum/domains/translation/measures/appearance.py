"""Whether translations look like images of the target side: a distance between their patches, and their contrast.

The patch distance is that of metrics/patches.py.
Legend: N, M rows, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor

from zerosum.domains.translation.measures.context import TranslationEvaluation
from zerosum.metrics.patches import NUM_DIRECTIONS, NUM_PATCHES, PATCH_SIDE, patch_distances
from zerosum.metrics.record import Record


def contrast(images: Tensor) -> Tensor:
    """The mean over images and channels of the standard deviation within one image (N, C, H, W); a scalar."""
    return images.flatten(2).std(2).mean()


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
