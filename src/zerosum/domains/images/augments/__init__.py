"""Augmentations inside the game: reals and fakes alike, differentiable twice, the same on any number of processes.

Each is a maker: options -> augment(images (N, C, H, W), rng, purpose, strength) -> images of the same shape. Strength 0
leaves every image as it is.
"""

from collections.abc import Callable, Mapping

from zerosum.domains.images.augments.ada import ada
from zerosum.domains.images.augments.backgrounds import BackgroundAugment
from zerosum.domains.images.augments.diffaugment import diffaugment
from zerosum.domains.images.augments.shift import shift
from zerosum.engine.duel import Augment

__all__ = ["AUGMENTS", "BackgroundAugment"]

AUGMENTS: Mapping[str, Callable[..., Augment]] = {"shift": shift, "diffaugment": diffaugment, "ada": ada}
