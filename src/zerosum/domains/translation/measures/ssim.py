"""Is the same thing to be seen in two images? Structural similarity of pixels and of edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from zerosum.errors import UserError

WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03
SHARE = 0.99
"""Edges stronger than this share of an image's own are cut off there, so that one glint does not dim all others."""


def ssim(a: Tensor, b: Tensor, span: float = 2.0) -> Tensor:
    """(N,) structural similarity of images (N, C, H, W) in pairs: 1 for equal ones.

    Gaussian window of 11x11 with deviation 1.5, K1 = 0.01, K2 = 0.03, population covariance, windows that lie within the
    image only, mean over places and channels (Wang et al. 2004). span: of the values, 2 for [-1, 1]. The window of images
    whose shorter side is below 11 is the largest odd one that fits.
    """
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"ssim: images of shape {tuple(a.shape)} and {tuple(b.shape)}; give two of one (N, C, H, W)")
    a, b = a.float(), b.float()
    mean_a, mean_b = _local(a), _local(b)
    var_a, var_b = _local(a * a) - mean_a**2, _local(b * b) - mean_b**2
    both = _local(a * b) - mean_a * mean_b
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    shape = (2 * both + c2) / (var_a + var_b + c2)
    return (light * shape).flatten(1).mean(1)


def edges(images: Tensor) -> Tensor:
    """(N, 1, H, W) strength of the edges of images (N, C, H, W), in [0, 1] for each image.

    The length of the Sobel gradient over all channels, so photographs and one-hot label maps are seen alike, over its own
    99 % quantile: neither light nor contrast of the whole image counts.
    """
    channels = images.shape[1]
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(images) / 8
    kernel = torch.stack([sobel, sobel.T])[:, None].repeat(channels, 1, 1, 1)
    slopes = conv2d(pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    strength = slopes.square().sum(1, keepdim=True).sqrt()
    flat = strength.flatten(1)
    most = flat.kthvalue(max(1, round(SHARE * flat.shape[1])), 1).values.view(-1, 1, 1, 1)
    # Where the quantile is 0 (a map with few borders) the strongest edge is the measure.
    most = torch.where(most > 0, most, strength.amax((1, 2, 3), keepdim=True)).clamp_min(1e-12)
    return (strength / most).clamp_max(1)


def edge_ssim(a: Tensor, b: Tensor) -> Tensor:
    """(N,) structural similarity of the edges of two images, (N, C, H, W) and (N, D, H, W): is the structure kept?"""
    return ssim(edges(a), edges(b), 1.0)


def contrast(images: Tensor) -> Tensor:
    """The mean over images and channels of the standard deviation within one image (N, C, H, W); a scalar."""
    return images.flatten(2).std(2).mean()


def _local(images: Tensor) -> Tensor:
    """Means under the window, everywhere it fits."""
    channels, shorter = images.shape[1], min(images.shape[2:])
    side = min(WINDOW, shorter - 1 + shorter % 2)
    places = torch.arange(side, dtype=images.dtype, device=images.device) - side // 2
    bell = torch.exp(-(places**2) / (2 * DEVIATION**2))
    bell = (bell / bell.sum()).repeat(channels, 1)
    along = conv2d(images, bell[:, None, None], groups=channels)
    return conv2d(along, bell[:, None, :, None], groups=channels)
