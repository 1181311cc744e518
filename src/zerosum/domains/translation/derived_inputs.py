"""Computes inputs from targets, so that plain photographs become pairs.

Legend: C channels, H height, W width; values 0..T, where T is the largest value of the side's bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from zerosum.domains.translation.degradations import DEGRADATIONS, check_channels, reduced
from zerosum.domains.translation.image_collection import ImageCollection
from zerosum.domains.translation.sides import SCALES, SMALL, Side, scale_of
from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest

LUMA = (0.299, 0.587, 0.114)
EDGE_MIN, EDGE_MAX = 0.03, 0.15
"""Gradients of the brightness, as a share of white per pixel: below the first a pixel stays white, from the second on
it is black."""
BLOCK = 8


def grey(image: Tensor) -> Tensor:
    """(C, H, W) float -> (1, H, W): brightness of three channels (BT.601), else their mean."""
    weights = image.new_tensor(LUMA) if image.shape[0] == 3 else image.new_full((image.shape[0],), 1 / image.shape[0])
    return (image * weights[:, None, None]).sum(0, keepdim=True)


def edges(image: Tensor) -> Tensor:
    """(C, H, W) float in [0, 1] -> (1, H, W): black lines on white where the brightness changes, by Sobel gradients."""
    across = image.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
    both = torch.stack([across, across.T])[:, None]
    slopes = conv2d(pad(grey(image)[None], (1, 1, 1, 1), mode="replicate"), both)[0]
    strength = slopes.square().sum(0, keepdim=True).sqrt()
    return 1 - ((strength - EDGE_MIN) / (EDGE_MAX - EDGE_MIN)).clamp(0, 1)


def blocks(image: Tensor) -> Tensor:
    """(C, H, W) -> the same size: means over squares of BLOCK x BLOCK pixels; squares at the right and lower edges may
    be smaller."""
    small = avg_pool2d(image[None], BLOCK, ceil_mode=True, count_include_pad=False)
    whole = interpolate(small, scale_factor=BLOCK, mode="nearest")[0]
    return whole[:, : image.shape[1], : image.shape[2]]


def small(image: Tensor, scale: int, degradation: str = "bicubic", draw: torch.Generator | None = None) -> Tensor:
    """(C, H, W) -> the same size: made `scale` times smaller in a named way and enlarged again by bicubic interpolation. draw:
    for random ways. Sides that are no multiples are continued by their last pixels."""
    height, width = image.shape[1:]
    made = reduced(image, scale, degradation, draw or torch.Generator().manual_seed(0))
    return enlarged(made, scale)[:, :height, :width]


def enlarged(image: Tensor, scale: int) -> Tensor:
    """(C, H, W) -> (C, scale H, scale W) by bicubic interpolation."""
    size = image.shape[1] * scale, image.shape[2] * scale
    return interpolate(image[None], size, mode="bicubic", align_corners=False)[0]


DERIVED_INPUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "grey": grey,
    "edges": edges,
    "blocks": blocks,
    **{f"{SMALL}{scale}": functools.partial(small, scale=scale) for scale in SCALES},
}
"""The values of `data.make`."""


MAX_VARIANTS, MAX_VARIED = 16, 256
"""Small images of each large one where they are random, and how many there are in all at most."""


def derive_inputs(
    targets: ImageCollection, make: str, degradation: str = "bicubic", varied: bool = True
) -> ImageCollection:
    """Computes the inputs of targets, with the same number of bits.

    degradation: how images are made smaller, for super-resolution. With a random one and `varied` there are several inputs for
    each target: input i belongs to target i modulo their number.
    """
    if make not in DERIVED_INPUTS:
        raise UserError(f"data.make = {make!r} is unknown. {nearest(make, DERIVED_INPUTS)}")
    if targets.side.kind == "labels":
        raise UserError(f"data.make = {make!r} needs images as targets, and these are label maps.")
    how, random = DERIVED_INPUTS[make], scale_of(make) > 1 and DEGRADATIONS[degradation].random
    if random:
        check_channels(degradation, targets.side.channels)
    num = len(targets) * (max(1, min(MAX_VARIANTS, MAX_VARIED // len(targets))) if random and varied else 1)
    top = 2**targets.side.bits - 1
    images = []
    for row in range(num):
        target = targets.images[row % len(targets)]
        unit = target.float() / top
        made = small(unit, scale_of(make), degradation, generator(row, degradation)) if random else how(unit)
        images.append((made.clamp(0, 1) * top).round().to(target.dtype))
    return ImageCollection(tuple(images), Side(images[0].shape[0], bits=targets.side.bits))
