"""Augmentations inside the game: reals and fakes alike, differentiable twice, the same on any number of processes.

Each is a maker: options -> augment(images (N, C, H, W), draws, purpose, strength) -> images of the same shape. Strength 0
leaves every image as it is.
"""

from zerosum.domains.images.augments.shift import shift

AUGMENTS = {"shift": shift}
