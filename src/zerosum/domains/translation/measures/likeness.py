"""Does a translation look like the target side, whatever it shows? Patches and contrast."""

from __future__ import annotations

from zerosum.domains.translation.measures.context import EvalContext
from zerosum.domains.translation.measures.patch_distance import NUM_DIRECTIONS, NUM_PATCHES, SIDE, patch_distances
from zerosum.domains.translation.measures.ssim import contrast
from zerosum.metrics.record import Record

MEANINGS = {
    "1": "How unlike real ones the finest details of the translations are; other real images score the reference.",
    "2": "The same for details twice as large.",
    "rest": "The same for what remains without details: shading, colour and large shapes.",
}
CONTRAST = "Mean deviation of the values within a translation over that within real targets; below 1 is washed out."


def records(at: EvalContext) -> list[Record]:
    """Patch distances of each level beside real against real, and the contrast ratio."""
    reals, num = at.reals, len(at.fakes)
    far = patch_distances(reals.targets, at.fakes, seed=at.seed)
    floor = patch_distances(reals.targets, reals.others, seed=at.seed)
    how = at.protocol(
        patches=f"{NUM_PATCHES} of {SIDE}x{SIDE} in all channels, over the deviation of the real ones",
        pyramid="Laplacian, halved by the mean of 2x2, enlarged bilinearly",
        distance=f"1000 x mean W1 over {NUM_DIRECTIONS} random directions",
        reference="as many other real targets",
    )
    found = [
        Record(f"patch_distance[level={level},n={num}]", value, how, "lower", MEANINGS[level], floor[level])
        for level, value in far.items()
    ]
    ours, theirs, other = (float(contrast(images)) for images in (reals.targets, at.fakes, reals.others))
    ratio, level = theirs / max(ours, 1e-6), other / max(ours, 1e-6)
    return [*found, Record(f"contrast_ratio[n={num}]", ratio, at.protocol(), "near 1", CONTRAST, level)]
