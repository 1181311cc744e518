"""The augmentations of adaptive discriminator augmentation: Karras et al. 2020, arXiv:2006.06676, appendix B.

The adaptation of their strength: see `rules.augment_strength`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from zerosum.domains.images.augments.parts import (
    apply_gate,
    colours_only,
    erase_rectangle,
    in_float32,
    reflect_index,
)
from zerosum.domains.images.augments.warp import rotation, warp_affine
from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.pixel_moves import MOVED, axis, gather_pixels

Group = Literal["blit", "geometric", "color", "cutout"]
LN2 = math.log(2)
SCALED, SHIFTED = 0.2 * LN2, 0.125
"""Standard deviations of the logarithm of a scale, and of a fractional shift as a share of the image's side."""
BRIGHTER, CONTRASTED, SATURATED = 0.2, 0.5 * LN2, 1.0 * LN2
"""Standard deviations of the brightness added, and of the logarithms of contrast and saturation."""


def ada(
    *,
    pipe: tuple[Group, ...] = ("blit", "geometric", "color"),
    multipliers: dict[Group, float] = {},  # noqa: B006 (never changed)
) -> Augment:
    """Every transformation is applied to every image by itself with probability p = strength times its group's multiplier.

    blit: mirrored (half of the times), turned by 0 to 3 quarters (rectangular images: by 0 or 2), shifted by up to an eighth
    in whole pixels; pixels are copied. geometric: scale, rotation, stretch along another axis, fractional shift, as one warp.
    color: brightness, contrast, luma flip, hue, saturation, as one matrix; grey images use the first three. cutout: half of
    each side is grey. Always in this order. multipliers: group -> factor of p, 1 by default (R3GAN: color 0.5).
    """
    for group, factor in multipliers.items():
        if not 0 <= factor <= 1:
            raise ValueError(f"multipliers.{group} must lie in [0, 1], got {factor}")
        if group not in pipe:
            raise ValueError(f"multipliers.{group}: the pipe has no group {group!r}; it is {', '.join(pipe)}")
    if not pipe:
        raise ValueError(f"pipe needs at least one of {', '.join(GROUPS)}")

    def augment(images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        for group, transform in GROUPS.items():
            chance = strength * multipliers.get(group, 1.0)
            if group in pipe and chance > 0:
                images = transform(images, rng, f"{purpose} {group}", chance)
        return images

    return in_float32(augment)


def blit(images: Tensor, rng: SeededNoise, purpose: str, chance: float) -> Tensor:
    """Mirrored, turned by quarters, shifted by whole pixels: one lookup of pixels, exact."""
    height, width = images.shape[2:]
    gates, random = rng.uniform(f"{purpose} gates", 3), rng.uniform(f"{purpose} values", 4)
    mirror = apply_gate(gates[:, 0], chance, (random[:, 0] * 2).floor()).bool()
    step = 1 if height == width else 2
    quarters = apply_gate(gates[:, 1], chance, (random[:, 1] * (4 // step)).floor() * step)
    sides = torch.tensor([height, width], device=images.device)
    shifts = (gates[:, 2:] < chance) * ((random[:, 2:] * 2 - 1) * MOVED * sides).round()
    return apply_blit(images, mirror, quarters.long(), shifts.long())


def apply_blit(images: Tensor, mirror: Tensor, quarters: Tensor, shifts: Tensor) -> Tensor:
    """(N, C, H, W): first left and right exchanged where `mirror` (N,), then turned against the clock by `quarters` (N,),
    then moved down and right by `shifts` (N, 2), with the border mirrored. Images that are not square: 0 or 2 quarters."""
    height, width = images.shape[2:]
    mirror, quarters = mirror[:, None, None], quarters[:, None, None]
    rows = reflect_index(axis(height, images, 1) - shifts[:, 0, None, None], height)
    columns = reflect_index(axis(width, images, 2) - shifts[:, 1, None, None], width)
    odd = quarters % 2 == 1
    up, left = torch.where(odd, columns, rows), torch.where(odd, rows, columns)
    up = torch.where(quarters >= 2, height - 1 - up, up)
    left = torch.where((quarters == 1) | (quarters == 2), width - 1 - left, left)
    return gather_pixels(images, up, torch.where(mirror, width - 1 - left, left))


def geometric(images: Tensor, rng: SeededNoise, purpose: str, chance: float) -> Tensor:
    """Scale, rotation, stretch, rotation, fractional shift: composed into one affine warp."""
    gates, random = rng.uniform(f"{purpose} gates", 5), rng.uniform(f"{purpose} angles", 2)
    normal = rng.normal(f"{purpose} values", 4)
    # A turn before and one after the stretch make a stretch along any axis; at least one of them happens with the chance.
    turned = 1 - math.sqrt(1 - chance)
    before, after = (apply_gate(gates[:, 2 + i], turned, (random[:, i] * 2 - 1) * math.pi) for i in (0, 1))
    scale = apply_gate(gates[:, 0], chance, normal[:, 0] * SCALED).exp()
    stretch = apply_gate(gates[:, 1], chance, normal[:, 1] * SCALED).exp()
    sides = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
    shift = (gates[:, 4:] < chance) * normal[:, 2:] * SHIFTED * sides
    return warp_affine(images, *inverse(scale, before, stretch, after, shift))


def inverse(scale: Tensor, before: Tensor, stretch: Tensor, after: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Where the pixels of the result come from: (N, 2, 2) and (N, 2), for `warp_affine`.

    The image is enlarged by `scale`, turned by `before`, made `stretch` times as wide and 1 / stretch as high, turned by
    `after` (all (N,)), moved by `shift` (N, 2). Each is undone, the last one first.
    """
    widths = torch.stack(
        [1 / (scale * stretch), stretch / scale], 1
    )  # what undoes the stretch and the scale, on x and y
    matrix = rotation(-before) @ (widths[:, :, None] * rotation(-after))
    return matrix, -(matrix @ shift[:, :, None]).squeeze(2)


@colours_only
def color(images: Tensor, rng: SeededNoise, purpose: str, chance: float) -> Tensor:
    """Brightness, contrast, luma flip, hue, saturation: composed into one matrix and one vector."""
    gates, random = rng.uniform(f"{purpose} gates", 5), rng.uniform(f"{purpose} values", 2)
    normal = rng.normal(f"{purpose} strengths", 3)
    brightness = apply_gate(gates[:, 0], chance, normal[:, 0] * BRIGHTER)
    contrast = apply_gate(gates[:, 1], chance, normal[:, 1] * CONTRASTED).exp()
    flip = apply_gate(gates[:, 2], chance, (random[:, 0] * 2).floor())
    hue = apply_gate(gates[:, 3], chance, (random[:, 1] * 2 - 1) * math.pi)
    saturation = apply_gate(gates[:, 4], chance, normal[:, 2] * SATURATED).exp()
    luma = contrast * (1 - 2 * flip)
    if images.shape[1] == 1:
        luma, brightness = (value.to(images.dtype)[:, None, None, None] for value in (luma, luma * brightness))
        return images * luma + brightness
    matrix = color_matrix(luma, contrast * saturation, hue).to(images.dtype)
    added = (luma * brightness).to(images.dtype)[:, None, None].expand(-1, 3, 1)
    return torch.baddbmm(added, matrix, images.flatten(2)).view(images.shape)


def color_matrix(luma: Tensor, chroma: Tensor, hue: Tensor) -> Tensor:
    """(N, 3, 3) from three (N,): red, green and blue are split into the part along v = (1, 1, 1) / sqrt(3), multiplied by
    `luma`, and the rest, multiplied by `chroma` and turned around v by `hue` (Rodrigues' formula).

    Contrast, luma flip, hue and saturation are all of this kind, so they commute and one such matrix is their product.
    """
    grey = torch.full((3, 3), 1 / 3, device=hue.device)
    rest = torch.eye(3, device=hue.device) - grey
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=hue.device) / math.sqrt(3)
    luma, chroma, hue = (value[:, None, None] for value in (luma, chroma, hue))
    return luma * grey + chroma * (hue.cos() * rest + hue.sin() * cross)


def cutout(images: Tensor, rng: SeededNoise, purpose: str, chance: float) -> Tensor:
    """A rectangle of half of each side is grey."""
    return erase_rectangle(images, rng.uniform(f"{purpose} centres", 2), rng.uniform(f"{purpose} gates") < chance)


GROUPS: Mapping[Group, Callable[[Tensor, SeededNoise, str, float], Tensor]] = {
    "blit": blit,
    "geometric": geometric,
    "color": color,
    "cutout": cutout,
}
