"""Augmentations of reals and fakes in training: twice differentiable, and the same on any number of processes.

Each is a factory: options -> augment(images (N, C, H, W), rng, purpose, strength) -> images of the same shape. With
strength 0 images are unchanged.
"""

from collections.abc import Callable, Mapping

from zerosum.domains.images.augments.ada import ada
from zerosum.domains.images.augments.backgrounds import BackgroundAugment
from zerosum.domains.images.augments.diffaugment import diffaugment
from zerosum.domains.images.augments.shift import shift
from zerosum.engine.duel import Augment

__all__ = ["AUGMENTS", "BackgroundAugment"]

AUGMENTS: Mapping[str, Callable[..., Augment]] = {"shift": shift, "diffaugment": diffaugment, "ada": ada}
