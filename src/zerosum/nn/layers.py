"""Layers that several domains share: normalisations, perceptrons, dropout, conditions, attention, up- and down-sampling.

Legend: N rows, C channels, F features (or channels after a layer), K classes or attributes, P positions, * spatial sizes: (T),
(H, W) or (D, H, W). `dims` counts the spatial dimensions.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    interpolate,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    normalize,
    pad,
    pixel_unshuffle,
)
from torch.nn.utils import parametrize

# --- random numbers that a network draws in training, as a function of the rows of the global batch
#
# A batch may be computed in parts: micro-batches, and the rows of several processes. A layer that draws its numbers here gets the
# same numbers for a row in any division into parts: each part draws the numbers of the whole batch and keeps those of its own
# rows. The engine enters `batch_part`; outside of it the numbers come from torch's global generator.

Draw = Callable[[int, torch.Generator | None], Tensor]


@dataclass
class _BatchPart:
    start: int
    stop: int
    total: int
    seed: int
    streams: dict[torch.device, torch.Generator] = field(default_factory=dict)

    def stream(self, device: torch.device) -> torch.Generator:
        if device not in self.streams:
            self.streams[device] = torch.Generator(device).manual_seed(self.seed)
        return self.streams[device]


_BATCH_PART: ContextVar[_BatchPart | None] = ContextVar("part", default=None)


@contextlib.contextmanager
def batch_part(start: int, stop: int, total: int, seed: int) -> Iterator[None]:
    """While entered, networks compute rows start..stop-1 of a batch of `total` rows. seed: the same for all parts of a batch."""
    token = _BATCH_PART.set(_BatchPart(start, stop, total, seed))
    try:
        yield
    finally:
        _BATCH_PART.reset(token)


def draw_rows(num: int, device: torch.device, draw: Draw) -> Tensor:
    """(num, ...) random rows on `device`; draw(n, generator) -> (n, ...) draws those of n rows.

    In a part of n rows, num may be k * n (k tensors of n rows, one after the other) or n / k (packs of k consecutive rows).
    For a pack that the part cuts, and for any other number of rows, the numbers do not come from those of the whole batch.
    """
    here = _BATCH_PART.get()
    if here is None:
        return draw(num, None)
    own, stream = here.stop - here.start, here.stream(device)
    times, rest = divmod(num, own)
    if not rest:
        whole = draw(times * here.total, stream)
        if own == here.total:
            return whole
        return whole.view(times, here.total, *whole.shape[1:])[:, here.start : here.stop].flatten(0, 1)
    pack, rest = divmod(own, num)
    if own == here.total or rest or here.start % pack or here.total % pack:
        return draw(num, stream if own == here.total else None)
    return draw(here.total // pack, stream)[here.start // pack : here.stop // pack]


def normal_rows(num: int, device: torch.device, *shape: int) -> Tensor:
    """(num, *shape) of N(0, 1), float32."""
    return draw_rows(num, device, lambda n, stream: torch.randn(n, *shape, device=device, generator=stream))


def draw_shared(device: torch.device, draw: Callable[[torch.Generator | None], Tensor]) -> Tensor:
    """A random tensor that all rows of the batch share, in every part of it."""
    here = _BATCH_PART.get()
    return draw(None if here is None else here.stream(device))


# --- normalisations, perceptrons, widths, dropout

CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""Number of spatial dimensions -> convolution layer."""
CONV_TRANSPOSE: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
CONV_FUNCTION: dict[int, Callable[..., Tensor]] = {1: conv1d, 2: conv2d, 3: conv3d}
CONV_TRANSPOSE_FUNCTION: dict[int, Callable[..., Tensor]] = {
    1: conv_transpose1d,
    2: conv_transpose2d,
    3: conv_transpose3d,
}
BATCH_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}

Norm = Literal["none", "batch", "group"]
AnyNorm = Literal["none", "batch", "group", "instance", "pixel"]


def norm(kind: AnyNorm, channels: int, dims: int = 2, num_groups: int = 0) -> nn.Module:
    """A normalisation over (N, C, *).

    batch: over the batch and all positions. group: over `num_groups` groups of channels (0: one for every 16 channels, at least
    one). instance: over each channel. pixel: see PixelNorm. none: the identity.
    """
    if kind == "batch":
        return BATCH_NORM[dims](channels)
    if kind == "group":
        return nn.GroupNorm(num_groups or max(1, channels // 16), channels)
    if kind == "instance":
        # Groups of one channel. With torch's own InstanceNorm2d (2.13, CPU) the gradients of the contrastive terms changed with
        # the number of rows computed together, in float64 too; with GroupNorm they do not.
        return nn.GroupNorm(channels, channels)
    return PixelNorm(channels, dims) if kind == "pixel" else nn.Identity()


def row_norm(kind: Norm, features: int) -> nn.Module:
    """A normalisation over (N, F): batch, group (layer normalisation), or none."""
    if kind == "batch":
        return nn.BatchNorm1d(features)
    return nn.LayerNorm(features) if kind == "group" else nn.Identity()


class PixelNorm(nn.Module):
    """Scales the channels of each position to mean square 1, then applies a scale and a shift for each channel.

    A position does not depend on any other, so an image made in tiles equals one made whole (Karras et al. 2018,
    arXiv:1710.10196, section 4.2).
    """

    def __init__(self, channels: int, dims: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * dims))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape."""
        length = (
            x.to(torch.promote_types(x.dtype, torch.float32))
            .square()
            .mean(1, keepdim=True)
            .add(1e-6)
            .rsqrt()
            .to(x.dtype)
        )
        return torch.addcmul(self.bias.to(x.dtype), x * length, self.weight.to(x.dtype))


def perceptron(sizes: Sequence[int], after: Callable[[int], Iterable[nn.Module]], last: bool = False) -> nn.Sequential:
    """Linear layers between consecutive `sizes`, with the layers after(width) behind each one.

    last: whether they also follow the last linear layer. ValueError for a size below 1.
    """
    if min(sizes) < 1:
        raise ValueError(f"widths must be at least 1, got {tuple(sizes)}")
    layers: list[nn.Module] = []
    for index, (before, width) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, width))
        if last or index < len(sizes) - 2:
            layers += after(width)
    return nn.Sequential(*layers)


def doubled_widths(width: int, num_levels: int, most: int) -> list[int]:
    """Channels of each level, the full size first: `width`, doubled at each level, at most `most`."""
    return [min(width * 2**level, most) for level in range(num_levels)]


def halved_widths(width: int, sides: Iterable[int], full_size: int, least: int) -> list[int]:
    """Channels of levels with these short sides: `width` where the side is at most full_size, halved for each doubling of the
    side above it, at least `least` (or `width` if that is less). ValueError for a width or full_size below 1."""
    if width < 1 or full_size < 1:
        raise ValueError(f"width = {width} and full_size = {full_size} must be at least 1")
    return [max(width >> max(0, (-(-side // full_size) - 1).bit_length()), min(width, least)) for side in sides]


def channels_last(x: Tensor) -> Tensor:
    """x with the channels last in memory, which is the faster layout for convolutions, on CPUs too; (N, C, T) contiguous.

    (N, C, X, Y, Z) too: in bfloat16 torch 2.13 reads memory that is not set in convolutions of grids with 2 places a side, most
    often with channels last.
    """
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.contiguous_format)


class Dropout(nn.Module):
    """Dropout whose mask depends on the row in the global batch only, for any number of micro-batches and processes.

    p: share of entries set to 0, in [0, 1). The mask comes from random bytes, which on a CPU takes a fraction of the time of
    a Bernoulli mask: the kept share is rounded to 1/256 and kept exact in the mean. bernoulli: p as it is.
    """

    def __init__(self, p: float, bernoulli: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.p, self.bernoulli, self._threshold = p, bernoulli, round(p * 256)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...), same shape; the identity in eval mode."""
        if not self.training or not (self.p if self.bernoulli else self._threshold):
            return x
        if self.bernoulli:
            return x * draw_rows(len(x), x.device, lambda num, stream: self._bernoulli_mask(x, num, stream))
        kept = draw_rows(len(x), x.device, lambda num, stream: self._byte_mask(x, num, stream))
        return x * kept.to(x.dtype) * (256 / (256 - self._threshold))

    def _bernoulli_mask(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        return x.new_empty(num, *x.shape[1:]).bernoulli_(1 - self.p, generator=stream).div_(1 - self.p)

    def _byte_mask(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        shape = num, *x.shape[1:]
        words = torch.empty((math.prod(shape) + 7) // 8, dtype=torch.int64, device=x.device)
        random_bytes = words.random_(-(2**63), None, generator=stream).view(torch.uint8)[: math.prod(shape)]
        return random_bytes.view(shape) >= self._threshold

    def extra_repr(self) -> str:
        """Shown in the network's print."""
        return f"p={self.p}"


# --- conditions: class labels (N,) int64 or attributes (N, K) float32; where there are attributes, labels are ignored


def embedding(num_classes: int, num_attributes: int, features: int) -> nn.Embedding | nn.Linear | None:
    """A learned map from the condition to (N, F): a row for each class, or a linear map of the attributes without bias;
    None for a network without a condition. Its values start as N(0, 1) for standardised attributes and for classes."""
    if num_attributes:
        linear = nn.Linear(num_attributes, features, bias=False)
        nn.init.normal_(linear.weight, std=num_attributes**-0.5)
        return linear
    return nn.Embedding(num_classes, features) if num_classes else None


def embedded_size(embed: nn.Embedding | nn.Linear | None) -> int:
    """F of an embedding; 0 without one."""
    return 0 if embed is None else embed.weight.shape[isinstance(embed, nn.Embedding)]


def require_condition(condition: Tensor | None) -> Tensor:
    """The condition; ValueError where a conditional network was called without one."""
    if condition is None:
        raise ValueError("this network is conditional: it needs labels or attributes")
    return condition


def concat_condition(x: Tensor, embed: nn.Module | None, condition: Tensor | None) -> Tensor:
    """(N, L) -> (N, L + F): x and the embedded condition (Mirza and Osindero 2014, arXiv:1411.1784); x alone without an
    embedding."""
    if embed is None:
        return x
    return torch.cat([x, embed(require_condition(condition)).to(x.dtype)], 1)


class ConditionalNorm(nn.Module):
    """A normalisation whose scale and shift depend on the row: norm(x) * (1 + g(c)) + b(c).

    to_affine maps the condition c of a row to (N, 2C), g and b; None leaves the plain normalisation. With an embedding of
    labels that starts at 0 it is conditional batch normalisation (Dumoulin et al. 2017, arXiv:1610.07629; Miyato and Koyama
    2018), with a linear map of a vector the one of BigGAN (Brock et al. 2019, arXiv:1809.11096).
    """

    def __init__(self, kind: AnyNorm, channels: int, to_affine: nn.Module | None, dims: int = 2) -> None:
        super().__init__()
        self.norm = norm(kind, channels, dims)
        self.to_affine = to_affine

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, *), what `to_affine` takes -> (N, C, *)."""
        x = self.norm(x)
        if self.to_affine is None:
            return x
        affine = self.to_affine(require_condition(condition)).to(x.dtype)
        gain, shift = affine.view(*affine.shape, *[1] * (x.dim() - 2)).chunk(2, 1)
        return torch.addcmul(x + shift, x, gain)


def zero_init(to_affine: nn.Module | None) -> nn.Module | None:
    """The same map with all parameters set to 0: the condition has no effect before training."""
    if to_affine is not None:
        for parameter in to_affine.parameters():
            nn.init.zeros_(parameter)
    return to_affine


# --- self-attention over P positions


MAX_POOL: dict[int, Callable[..., Tensor]] = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


class SelfAttention(nn.Module):
    """x + gate * attention(x), where every position attends to all others (Zhang et al. 2019, arXiv:1805.08318).

    Queries and keys have C/8 channels, values C/2; keys and values are max-pooled by 2 (Brock et al. 2019). The gate starts at
    0, so that a network uses its neighbourhood first and learns to look further. Written as two matrix products and a softmax,
    because it must have a second derivative, which fused attention does not have.
    """

    def __init__(self, channels: int, dims: int = 2) -> None:
        super().__init__()
        inner, outer, conv = max(1, channels // 8), max(1, channels // 2), CONV[dims]
        self.query = conv(channels, inner, 1, bias=False)
        self.key = conv(channels, inner, 1, bias=False)
        self.value = conv(channels, outer, 1, bias=False)
        self.out = conv(outer, channels, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def weights(self, x: Tensor) -> Tensor:
        """(N, C, *) -> (N, P, P'), P' positions after pooling (halved, rounded up): how much each position attends to each;
        rows sum to 1."""
        scores = _positions(self.query(x)) @ _positions(_pooled(self.key(x))).transpose(1, 2)
        return scores.softmax(2)  # in float32 under autocast too

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *)."""
        values = _positions(_pooled(self.value(x)))
        attended = self.weights(x).to(values.dtype) @ values  # (N, P, C/2)
        attended = channels_last(attended.transpose(1, 2).reshape(-1, attended.shape[2], *x.shape[2:]))
        return torch.addcmul(x, self.gate.to(x.dtype), self.out(attended))


def _pooled(x: Tensor) -> Tensor:
    """Halved, rounded up: no position of an odd size is left out."""
    return MAX_POOL[x.dim() - 2](x, 2, ceil_mode=True)


def _positions(x: Tensor) -> Tensor:
    """(N, C, *) -> (N, P, C)."""
    return x.flatten(2).transpose(1, 2)


# --- up- and down-sampling: a size 2* is twice as large along each dimension. All functions and layers have two derivatives, so
# gradient penalties are exact.


FEW_CHANNELS = 4
"""Images, and images with a label plane."""
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


# strided convolutions


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


# resizing and a convolution in one: the same sums with less than half the products


def double_then_conv(x: Tensor, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, kernel: Tensor | None = None) -> Tensor:
    """conv of x doubled by its nearest neighbours: (N, C, *) -> (N, F, 2*), as one transposed convolution with kernel 4.

    conv: kernel 3 with padding 1. Each output of an image sees 4 different inputs, not 9 (Karras et al. 2018, arXiv:1710.10196,
    fused upscaling). kernel: its `doubling_kernel`, where it serves more than once: for a single row it costs more than the rest.
    """
    kernel = doubling_kernel(conv) if kernel is None else kernel
    return CONV_TRANSPOSE_FUNCTION[x.dim() - 2](x, kernel, conv.bias, stride=2, padding=1)


def doubling_kernel(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """(C, F, 4, ...): the kernel of the transposed convolution of `double_then_conv`."""
    return widened(conv.weight).flip(tuple(range(2, conv.weight.dim()))).transpose(0, 1)


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


# low-pass filters


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


# pooling to a given size


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


FIRST_ITERATIONS = 15
"""Iterations of the power method at the start; afterwards one for each turn of a network that learns (see `iterate`)."""
TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
SUPPORTED = nn.Conv1d | nn.Conv2d | nn.Conv3d | TRANSPOSED | nn.Linear | nn.Embedding
NORMS = nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm | PixelNorm
"""Their weights scale channels; they are left as they are."""


class Spectral(nn.Module):
    """weight -> weight / sigma, sigma = u'Wv with the weight as a matrix (out, rest); Miyato et al. 2018, algorithm 1.

    dim: the dimension of the outputs; 0, or 1 for the weight (in, out, ...) of a transposed convolution.

    There are two differences to torch's own parametrization. sigma is computed in float32 under autocast too. And u and v change
    only in `iterate`, which the engine calls once at the start of a turn of the network. So the network is the same for the
    reals, the fakes and the penalties of a turn, for all its micro-batches, in the opponent's turn, in the average and in every
    sample.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        matrix = self._matrix(weight.detach())
        self.register_buffer("u", normalize(matrix.new_empty(len(matrix)).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of norm 1. u and v are constants in the gradient; they are copied, since the next turn changes them."""
        with without_autocast(weight.device.type):
            sigma = torch.dot(self.u.clone(), self._matrix(weight) @ self.v.clone())
            return weight / sigma

    def _matrix(self, weight: Tensor) -> Tensor:
        """(out, rest)."""
        return (weight.transpose(0, self.dim) if self.dim else weight).flatten(1)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One iteration of the power method."""
        matrix = self._matrix(weight.detach())
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def iterate(network: nn.Module) -> None:
    """One iteration of the power method for every weight under spectral normalisation that learns and is in training mode.

    The engine calls it. A training loop of your own must call it before each update."""
    for module in network.modules():
        if not isinstance(module, parametrize.ParametrizationList) or not isinstance(module[0], Spectral):
            continue
        if module.training and module.original.requires_grad:
            module[0].iterate(module.original)


def spectral(network: nn.Module) -> nn.Module:
    """Puts all convolutions (transposed ones too), linear layers and embeddings under spectral normalisation, in place.

    Call it after the weights are initialised: u and v are computed from them. Normalisation layers, biases and scalars stay as
    they are. Raises TypeError for any other layer that has a weight of two or more dimensions, and ValueError for a weight of
    zeros, which has no direction, and for a layer that is parametrized already.
    """
    layers = [(name, module) for name, module in network.named_modules() if not isinstance(module, NORMS)]
    for name, module in layers:
        if isinstance(module, parametrize.ParametrizationList):
            raise ValueError(f"spectral normalisation of {name}: the weight has a parametrization already")
        if not isinstance(module, SUPPORTED):
            _refuse_weights(name, module)
    for name, module in layers:
        if isinstance(module, SUPPORTED):
            if not bool(module.weight.detach().any()):
                raise ValueError(f"spectral normalisation of {name}: all its weights are 0")
            dim = 1 if isinstance(module, TRANSPOSED) else 0
            parametrize.register_parametrization(module, "weight", Spectral(module.weight, dim))
    return network


def _refuse_weights(name: str, module: nn.Module) -> None:
    weights = [key for key, parameter in module.named_parameters(recurse=False) if parameter.dim() > 1]
    if weights:
        known = "Conv1d to Conv3d, ConvTranspose1d to ConvTranspose3d, Linear, Embedding"
        raise TypeError(
            f"spectral normalisation of {name or 'the network'}: the weight {weights[0]} of a {type(module).__name__} is not "
            f"supported. Supported layers: {known}. Build the layer from these, or leave spectral normalisation out."
        )


def without_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    """The context in which autocast, if any, is off. It does nothing where autocast is off already, so that the network can be
    exported."""
    on = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if on else contextlib.nullcontext()
