"""Differentiable augmentation with fixed policies: Zhao et al. 2020, arXiv:2006.10738."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zerosum.domains.images.augments.parts import colours_only, erase_rectangle, in_float32
from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.pixel_moves import farthest, translate_pixels

Policy = Literal["color", "translation", "cutout"]


def diffaugment(*, policy: tuple[Policy, ...] = ("color", "translation", "cutout")) -> Augment:
    """Each image that is chosen passes through the whole policy; strength is the share of images chosen.

    color: brightness + U(-0.5, 0.5), saturation * U(0, 2) (colour images), contrast * U(0.5, 1.5). translation: by up to an
    eighth of each side in whole pixels, grey (0) beyond the border. cutout: a rectangle of half of each side, anywhere, is
    grey. Applied in this order whatever the order of the list.
    """

    def augment(images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        which = rng.uniform(f"{purpose} which") < strength
        if "color" in policy:
            images = change_colours(images, rng.uniform(f"{purpose} color", 3).to(images.dtype), which)
        if "translation" in policy:
            most = farthest(images.shape[2:])
            shifts = [
                rng.integers(f"{purpose} shift {size}", 2 * m + 1) - m for size, m in zip("hw", most, strict=True)
            ]
            images = translate_pixels(images, torch.stack(shifts, 1) * which[:, None])
        if "cutout" in policy:
            images = erase_rectangle(images, rng.uniform(f"{purpose} cutout", 2), which)
        return images

    if not policy:
        raise ValueError("policy needs at least one of color, translation, cutout")
    return in_float32(augment)


@colours_only
def change_colours(images: Tensor, random: Tensor, which: Tensor) -> Tensor:
    """(N, C, H, W): with random (N, 3) uniform on [0, 1), brightness, saturation and contrast where `which` (N,) is true.

    With luma l (the mean over channels) and mean m of an image, the three in a row are, for brightness b, saturation s and
    contrast c, one sum: c s x + c (1 - s) l + (1 - c) m + b.
    """
    plain = torch.tensor([0.5, 0.5, 0.5], dtype=images.dtype, device=images.device)  # gives b = 0, s = 1, c = 1
    random = torch.where(which[:, None], random, plain)
    b, s, c = (value.view(-1, 1, 1, 1) for value in (random[:, 0] - 0.5, random[:, 1] * 2, random[:, 2] + 0.5))
    luma = images.mean(1, keepdim=True)
    mean = luma.mean((2, 3), keepdim=True)
    rest = (1 - c) * mean + b
    if images.shape[1] > 1:
        rest = rest + c * (1 - s) * luma
        c = c * s
    return torch.addcmul(rest, c, images)
