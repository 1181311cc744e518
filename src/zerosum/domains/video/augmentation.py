"""Augmentations of clips: each clip is changed in the same way in all of its frames, so that its motion stays what it is.

Legend: N clips, F frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.pixel_moves import farthest, translate_pixels

Policy = Literal["color", "translation", "mirror"]


def clips(*, policy: tuple[Policy, ...] = ("color", "translation")) -> Augment:
    """Each clip that is chosen passes through the whole policy; strength is the share of clips that are chosen.

    color: brightness + U(-0.25, 0.25) and contrast * U(0.75, 1.25) about the clip's mean. translation: by up to an eighth of each
    side in whole pixels, grey (0) beyond the border. mirror: left and right exchanged in half of the clips.
    """

    def augment(samples: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        which = rng.uniform(f"{purpose} which") < strength
        if "color" in policy:
            samples = _recoloured(samples, rng.uniform(f"{purpose} color", 2).to(samples.dtype), which)
        if "translation" in policy:
            most = farthest(samples.shape[3:])
            shifts = [
                rng.integers(f"{purpose} shift {axis}", 2 * m + 1) - m for axis, m in zip("hw", most, strict=True)
            ]
            moved = translate_pixels(samples.flatten(1, 2), torch.stack(shifts, 1) * which[:, None])
            samples = moved.view_as(samples)
        if "mirror" in policy:
            flipped = which & (rng.uniform(f"{purpose} mirror") < 0.5)
            samples = torch.where(flipped[:, None, None, None, None], samples.flip(4), samples)
        return samples

    if not policy:
        raise ValueError("policy needs at least one of color, translation, mirror")
    return augment


def _recoloured(samples: Tensor, random: Tensor, which: Tensor) -> Tensor:
    """Brightness and contrast from random (N, 2) in [0, 1), the same for all frames of a clip."""
    plain = torch.full_like(random, 0.5)
    random = torch.where(which[:, None], random, plain)
    brightness, contrast = ((value - 0.5)[:, None, None, None, None] for value in random.unbind(1))
    mean = samples.mean((1, 2, 3, 4), keepdim=True)
    return (samples - mean) * (1 + contrast / 2) + mean + brightness / 2


AUGMENTS: Mapping[str, Callable[..., Augment]] = {"clips": clips}
