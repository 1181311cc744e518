"""Computes inputs from targets, so that plain photographs become pairs.

Legend: C channels, H height, W width; values 0..T, where T is the largest value of the side's bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from zerosum.domains.translation.image_collection import ImageCollection
from zerosum.domains.translation.sides import SCALES, SMALL, Side
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


def small(image: Tensor, scale: int) -> Tensor:
    """(C, H, W) -> the same size: made `scale` times smaller and enlarged again, both by bicubic interpolation, the first with
    antialiasing. Sides that are no multiples are continued by their last pixels."""
    height, width = image.shape[1:]
    whole = pad(image[None], (0, -width % scale, 0, -height % scale), mode="replicate")
    size = whole.shape[2] // scale, whole.shape[3] // scale
    reduced = interpolate(whole, size, mode="bicubic", antialias=True, align_corners=False)
    return enlarged(reduced[0].clamp(0, 1), scale)[:, :height, :width]


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


def derive_inputs(targets: ImageCollection, make: str) -> ImageCollection:
    """Computes the inputs of targets, with the same number of bits."""
    if make not in DERIVED_INPUTS:
        raise UserError(f"data.make = {make!r} is unknown. {nearest(make, DERIVED_INPUTS)}")
    if targets.side.kind == "labels":
        raise UserError(f"data.make = {make!r} needs images as targets, and these are label maps.")
    top = 2**targets.side.bits - 1
    images = tuple(
        (DERIVED_INPUTS[make](image.float() / top).clamp(0, 1) * top).round().to(image.dtype)
        for image in targets.images
    )
    return ImageCollection(images, Side(images[0].shape[0], bits=targets.side.bits))
