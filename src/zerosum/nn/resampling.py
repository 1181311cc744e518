"""Resizing and a 3x3 convolution in one: the same sums with less than half the products.

Legend: N rows, C channels before, F after, H height, W width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad


def double_then_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """conv of x doubled by its nearest neighbours: (N, C, H, W) -> (N, F, 2H, 2W), as a 4x4 transposed convolution.

    conv: 3x3 with padding 1. Each output sees 4 different inputs, not 9 (Karras et al. 2018, arXiv:1710.10196, fused upscaling).
    """
    return conv_transpose2d(x, four(conv.weight).flip(2, 3).transpose(0, 1), conv.bias, stride=2, padding=1)


def conv_then_halve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The means of 2x2 places of conv of x: (N, C, H, W) -> (N, F, H/2, W/2), as a 4x4 convolution with stride 2.

    conv: 3x3 with padding 1. An output sees 16 inputs once, not 36.
    """
    return conv2d(x, four(conv.weight) / 4, conv.bias, stride=2, padding=1)


def four(weight: Tensor) -> Tensor:
    """(F, C, 3, 3) -> (F, C, 4, 4): the sum of the weight at its four places in a 4x4 square."""
    wide = pad(weight, (1, 1, 1, 1))
    return wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]
