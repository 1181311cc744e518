"""Up- and down-sampling with 1, 2 or 3 spatial dimensions: low-pass filters, strided convolutions, pooling.

Legend: N rows, C channels before, F after, * spatial sizes: (T), (H, W) or (D, H, W). A size 2* is twice as large along each
dimension. All functions and layers have two derivatives, so gradient penalties are exact.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold, interpolate, pad, pixel_unshuffle

from zerosum.nn.layers import CONV, CONV_FUNCTION, CONV_TRANSPOSE, CONV_TRANSPOSE_FUNCTION

FEW_CHANNELS = 4
"""Images, and images with a label plane."""
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


# --- strided convolutions


class Halve(nn.Module):
    """Convolution with kernel 4, stride 2 and padding 1: (N, C, *) -> (N, F, */2).

    With few input channels (an image) the CPU's direct kernel leaves most of its lanes idle; the same sums are then computed
    as a 2x2 convolution over 2x2 blocks, about twice as fast forwards and backwards.
    """

    def __init__(self, before: int, after: int, dims: int = 2) -> None:
        super().__init__()
        self.conv = CONV[dims](before, after, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The block form needs even H and W; other sizes take the plain one."""
        blocks_fit = x.dim() == 4 and not (x.shape[2] % 2 or x.shape[3] % 2)
        if self.conv.in_channels > FEW_CHANNELS or x.device.type != "cpu" or not blocks_fit:
            y: Tensor = self.conv(x)
            return y
        blocks = pixel_unshuffle(pad(x, (1, 1, 1, 1)), 2).contiguous(memory_format=torch.channels_last)
        return conv2d(blocks, pixel_unshuffle(self.conv.weight, 2), self.conv.bias)


class Double(nn.Module):
    """Transposed convolution with kernel 4, stride 2 and padding 1: (N, C, *) -> (N, F, 2*).

    An image with one output channel is computed as one matrix product and a fold, about twice as fast on a CPU.
    """

    def __init__(self, before: int, after: int, bias: bool = True, dims: int = 2) -> None:
        super().__init__()
        self.conv = CONV_TRANSPOSE[dims](before, after, 4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Any size."""
        if self.conv.out_channels > 1 or x.device.type != "cpu" or x.dim() != 4:
            y: Tensor = self.conv(x)
            return y
        n, channels, height, width = x.shape
        patches = x.permute(0, 2, 3, 1).reshape(n, height * width, channels) @ self.conv.weight.view(channels, -1)
        image = fold(patches.transpose(1, 2), (2 * height, 2 * width), 4, padding=1, stride=2)
        return image if self.conv.bias is None else image + self.conv.bias.view(1, -1, 1, 1)


# --- resizing and a convolution in one: the same sums with less than half the products


def double_then_conv(x: Tensor, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """conv of x doubled by its nearest neighbours: (N, C, *) -> (N, F, 2*), as one transposed convolution with kernel 4.

    conv: kernel 3 with padding 1. Each output of an image sees 4 different inputs, not 9 (Karras et al. 2018, arXiv:1710.10196,
    fused upscaling).
    """
    dims = x.dim() - 2
    weight = widened(conv.weight).flip(tuple(range(2, 2 + dims))).transpose(0, 1)
    return CONV_TRANSPOSE_FUNCTION[dims](x, weight, conv.bias, stride=2, padding=1)


def conv_then_halve(x: Tensor, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """The means of blocks of side 2 of conv of x: (N, C, *) -> (N, F, */2), as one convolution with kernel 4 and stride 2.

    conv: kernel 3 with padding 1. An output of an image sees 16 inputs once, not 36.
    """
    dims = x.dim() - 2
    return CONV_FUNCTION[dims](x, widened(conv.weight) / 2**dims, conv.bias, stride=2, padding=1)


def widened(weight: Tensor) -> Tensor:
    """(F, C, 3, ...) -> (F, C, 4, ...): the sum of the weight shifted by 0 and 1 along every spatial dimension."""
    dims = weight.dim() - 2
    padded = pad(weight, (1, 1) * dims)
    ends = slice(1, None), slice(None, -1)
    shifts = (padded[:, :, *reversed(shift)] for shift in itertools.product(ends, repeat=dims))
    return functools.reduce(operator.add, shifts)


# --- low-pass filters


def outer_power(taps: Tensor, dims: int) -> Tensor:
    """The outer product of the taps (K,) with themselves: (K,), (K, K) or (K, K, K)."""
    return functools.reduce(lambda kernel, _: kernel[..., None] * taps, range(dims - 1), taps)


def upsample_linear(x: Tensor) -> Tensor:
    """(N, C, *) -> (N, C, 2*) by linear interpolation between positions, which is the [1, 3, 3, 1] filter."""
    return interpolate(x, scale_factor=2, mode=LINEAR[x.dim() - 2], align_corners=False)


def upsample_binomial(x: Tensor) -> Tensor:
    """(N, C, *) -> (N, C, 2*) by the [1, 2, 1] filter: the inputs are kept, and the positions between them are interpolated."""
    dims = x.dim() - 2
    kernel = 2**dims * _binomial(x)
    return CONV_TRANSPOSE_FUNCTION[dims](x, kernel, stride=2, padding=1, output_padding=1, groups=x.shape[1])


def downsample_binomial(x: Tensor) -> Tensor:
    """(N, C, 2*) -> (N, C, *) by the [1, 2, 1] filter, zeros beyond the edges."""
    return CONV_FUNCTION[x.dim() - 2](x, _binomial(x), stride=2, padding=1, groups=x.shape[1])


def _binomial(x: Tensor) -> Tensor:
    """(C, 1, 3, ...): the [1, 2, 1] / 4 filter, once for each channel of x."""
    dims = x.dim() - 2
    return outer_power(x.new_tensor([0.25, 0.5, 0.25]), dims).expand(x.shape[1], 1, *[3] * dims).contiguous()


class Blur(nn.Module):
    """The [1, 3, 3, 1] low-pass filter on each channel along every spatial dimension, zeros beyond the edges.

    (N, C, *) -> size + 2 * padding - 3 along each dimension, of which every `stride`-th is kept. gain: of a constant input. The
    adjoint of a symmetric filter is a filter again: stated to autograd, the second derivative takes a third of the time of the
    convolution's own.
    """

    kernel: Tensor

    def __init__(self, channels: int, *, padding: int, stride: int = 1, gain: float = 1.0, dims: int = 2) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = (outer_power(taps, dims) * gain).expand(channels, 1, *[4] * dims)
        self.register_buffer("kernel", kernel.clone(), persistent=False)
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """Same type as x; sizes must be even for a stride of 2."""
        kernel = self.kernel.to(x.dtype)
        if not x.requires_grad:
            return _filtered(x, kernel, self.padding, self.stride, False)
        filtered: Tensor = _Filter.apply(x, kernel, self.padding, self.stride, False)  # type: ignore[no-untyped-call]
        return filtered


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int, stride: int, adjoint: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.options = padding, stride, not adjoint
        return _filtered(x, kernel, padding, stride, adjoint)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(slopes[0], kernel, *ctx.options), None, None, None, None  # type: ignore[no-untyped-call]


def _filtered(x: Tensor, kernel: Tensor, padding: int, stride: int, adjoint: bool) -> Tensor:
    dims = x.dim() - 2
    if adjoint and stride == 1:
        return CONV_FUNCTION[dims](x, kernel, padding=3 - padding, groups=len(kernel))
    if adjoint:
        return CONV_TRANSPOSE_FUNCTION[dims](x, kernel, stride=stride, padding=padding, groups=len(kernel))
    return CONV_FUNCTION[dims](x, kernel, stride=stride, padding=padding, groups=len(kernel))


# --- pooling to a given size


def adaptive_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, *) -> (N, C, *size): means over regions of whole positions that may overlap by one.

    As matrix products, one for each dimension: torch's adaptive pooling has no deterministic backward pass on GPUs.
    """
    *others, columns = (_regions(before, after, x) for before, after in zip(x.shape[2:], size, strict=True))
    if len(others) == 1:
        return others[0].T @ x @ columns
    x = x @ columns
    for dim, regions in enumerate(others, 2):
        x = torch.movedim(torch.movedim(x, dim, -1) @ regions, -1, dim)
    return x


def _regions(before: int, after: int, like: Tensor) -> Tensor:
    """(before, after): column j is the mean of positions floor(j before / after) to ceil((j + 1) before / after) - 1."""
    position = torch.arange(before, device=like.device)[:, None]
    region = torch.arange(after, device=like.device)
    inside = (position >= region * before // after) & (position < ((region + 1) * before + after - 1) // after)
    return inside.to(like.dtype) / inside.sum(0)


def from_grid(x: Tensor, grid: Sequence[int]) -> Tensor:
    """(N, prod(grid) * C), positions before channels -> (N, C, *grid), channels last in memory."""
    return x.view(len(x), *grid, -1).movedim(-1, 1)


def to_vector(x: Tensor) -> Tensor:
    """(N, C, *) -> (N, prod(*) * C), positions before channels: the order of channels-last memory, so no copy."""
    return x.movedim(1, -1).flatten(1)
