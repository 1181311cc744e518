"""One affine warp of a batch of images: bilinear, mirrored at the borders, filtered where it shrinks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

MOST = 0.25
"""The widest filter of three taps: 1/4, 1/2, 1/4."""


def rotation(angle: Tensor) -> Tensor:
    """(N,) radians -> (N, 2, 2): [[cos, -sin], [sin, cos]]."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def warp_affine(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """(N, C, H, W): output pixel p shows the source at matrix p + offset; p = (x right, y down) in pixels from the centre.

    matrix: (N, 2, 2); offset: (N, 2), pixels. Values between pixels are bilinear; beyond the border the image is mirrored.
    Anti-aliasing: see `smooth`; with the identity every pixel keeps its value to rounding.
    """
    height, width = images.shape[2:]
    matrix, offset = matrix.to(images.dtype), offset.to(images.dtype)
    images = smooth(images, taps(matrix))
    x = _centred_positions(width, images)[None, None, :]
    y = _centred_positions(height, images)[None, :, None]
    m, t = matrix[:, :, :, None, None], offset[:, :, None, None]
    # grid_sample counts from -1 to 1 between the outer edges of the first and the last pixel.
    across = (m[:, 0, 0] * x + m[:, 0, 1] * y + t[:, 0]) * (2 / width)
    down = (m[:, 1, 0] * x + m[:, 1, 1] * y + t[:, 1]) * (2 / height)
    grid = torch.stack([across, down], 3)
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def taps(matrix: Tensor) -> Tensor:
    """(N, 2): the outer tap of the filter along x and along y of the source, in [0, 1/4].

    A step of one output pixel covers d source pixels along an axis: the norm of the matrix's row. Bilinear interpolation
    is a tent of variance 1/6; one that is d times as wide has d^2/6. The filter a, 1 - 2a, a has variance 2a and makes up
    for the difference: a = (d^2 - 1) / 12, and 0 where the image is not shrunk (d <= 1).
    """
    return ((matrix.square().sum(2) - 1) / 12).clamp(0, MOST)


def smooth(images: Tensor, outer: Tensor) -> Tensor:
    """(N, C, H, W) filtered with the taps a, 1 - 2a, a along x (a = outer[:, 0]) and y (outer[:, 1]); borders are repeated,
    which is what a mirrored image has there."""
    for axis, dim in ((0, 3), (1, 2)):
        last = images.shape[dim] - 1
        # What flows between two neighbours: one gains what the other loses, and nothing flows over the border.
        flow = (images.narrow(dim, 1, last) - images.narrow(dim, 0, last)) * outer[:, axis, None, None, None]
        gain, loss = ((0, 1), (1, 0)) if dim == 3 else ((0, 0, 0, 1), (0, 0, 1, 0))
        images = images + pad(flow, gain) - pad(flow, loss)
    return images


def _centred_positions(size: int, like: Tensor) -> Tensor:
    """Places of the pixels from the image's centre."""
    return torch.arange(size, device=like.device, dtype=like.dtype) - (size - 1) / 2
