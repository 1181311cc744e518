"""Layers of style-based networks (Karras et al. 2019, arXiv:1812.04948; 2020, arXiv:1912.04958), in plain torch.

Legend: N rows, C channels, H height, W width, I inputs, O outputs, F features, S length of a style vector. All have two
derivatives, so gradient penalties and path lengths are exact. Activations may be bfloat16; styles, demodulation, linear
layers and statistics are computed in float32 (float64 for float64 weights).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, leaky_relu, linear

from zerosum.nn.rows import normal_rows

SLOPE = 0.2
GAIN = math.sqrt(2)
"""What leaky ReLU takes from the root mean square of a normal input, about. It is folded into what comes before: leaky ReLU
of a positive multiple is that multiple of leaky ReLU."""
EPS = 1e-8


def full_precision(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """The context in which autocast, if any, is off."""
    kind = x.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else contextlib.nullcontext()


def normalised(x: Tensor) -> Tensor:
    """(N, F) -> rows with a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()


def doubled(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W) through the [1, 3, 3, 1] filter, which is bilinear interpolation."""
    return interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


# --- equalised learning rate: weights are N(0, 1) and scaled in use, so that Adam moves all of them alike


class EqualLinear(nn.Module):
    """(N, I) -> (N, O), computed in float32. rate: multiplier of the learning rate; start: the bias at the beginning.

    active: leaky ReLU (0.2) and its gain follow. Karras et al. 2018, arXiv:1710.10196, section 4.1.
    """

    def __init__(self, before: int, after: int, *, rate: float = 1.0, start: float = 0.0, active: bool = False) -> None:
        super().__init__()
        if not rate > 0:
            raise ValueError(f"the multiplier of a learning rate must be more than 0, got {rate}")
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), start / rate))
        self.rate, self.active = rate, active
        self.scale = rate * (GAIN if active else 1.0) / math.sqrt(before)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I) -> (N, O)."""
        with full_precision(x):
            y = linear(x.to(self.weight.dtype), self.weight * self.scale, self.bias * self.rate)
        return leaky_relu(y, SLOPE) if self.active else y


def mapping(before: int, after: int, depth: int, rate: float) -> nn.Sequential:
    """`depth` active linear layers, (N, I) -> (N, O)."""
    sizes = [before] + [after] * depth
    return nn.Sequential(*(EqualLinear(a, b, rate=rate, active=True) for a, b in itertools.pairwise(sizes)))


class EqualConv(nn.Module):
    """size x size convolution, (N, I, H, W) -> (N, O, H, W), or half of H and W with `down`, after the [1, 3, 3, 1] filter.

    active: leaky ReLU (0.2) and its gain follow. gain: of the output.
    """

    def __init__(
        self, before: int, after: int, size: int, *, down: bool = False, active: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, size, size))
        self.bias = nn.Parameter(torch.zeros(after)) if active else None
        self.scale = gain * (GAIN if active else 1.0) / math.sqrt(before * size * size)
        self.active, self.stride, self.padding = active, 1, size // 2
        self.blur: nn.Module = nn.Identity()
        if down and size == 1:  # where nothing is looked at beside the kept places, only these need be filtered
            self.blur = Blur(before, padding=1, stride=2)
        elif down:
            self.blur, self.stride, self.padding = Blur(before, padding=size // 2 + 1), 2, 0

    def forward(self, x: Tensor) -> Tensor:
        """H and W must be even with `down`."""
        y = conv2d(self.blur(x), self.weight * self.scale, self.bias, self.stride, self.padding)
        return leaky_relu(y, SLOPE) if self.active else y


# --- the low-pass filter


class Blur(nn.Module):
    """The [1, 3, 3, 1] x [1, 3, 3, 1] filter on each channel, zeros beyond the edges; gain: of a constant image.

    (N, C, H, W) -> H + 2 * padding - 3 rows, W alike, every `stride`-th of them. The adjoint of a symmetric filter is a filter
    again: said so, the second derivative takes a third of the time of the convolution's own.
    """

    kernel: Tensor

    def __init__(self, channels: int, *, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = (taps[:, None] * taps * gain).expand(channels, 1, 4, 4)
        self.register_buffer("kernel", kernel.clone(), persistent=False)
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        """Same type as x; H and W must be even for a stride of 2."""
        kernel = self.kernel.to(x.dtype)
        if not x.requires_grad:
            return _filtered(x, kernel, self.padding, self.stride, False)
        filtered: Tensor = _Filter.apply(x, kernel, self.padding, self.stride, False)  # type: ignore[no-untyped-call]
        return filtered


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int, stride: int, adjoint: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = padding, stride, not adjoint
        return _filtered(x, kernel, padding, stride, adjoint)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(slopes[0], kernel, *ctx.how), None, None, None, None  # type: ignore[no-untyped-call]


def _filtered(x: Tensor, kernel: Tensor, padding: int, stride: int, adjoint: bool) -> Tensor:
    if adjoint and stride == 1:
        return conv2d(x, kernel, padding=3 - padding, groups=len(kernel))
    if adjoint:
        return conv_transpose2d(x, kernel, stride=stride, padding=padding, groups=len(kernel))
    return conv2d(x, kernel, stride=stride, padding=padding, groups=len(kernel))


# --- modulation


class ModulatedConv(nn.Module):
    """3x3 convolution whose input channels a style scales, and whose outputs are scaled back to unit variance.

    (N, I, H, W), (N, S) -> (N, O, H, W), twice H and W with `up`. Karras et al. 2020, equations 1 and 3, with one weight for
    all rows: channels are scaled before and after the convolution, which is the same map as N scaled weights in a grouped
    convolution. gain: of the output; a bias follows.
    """

    def __init__(self, before: int, after: int, style: int, *, up: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.affine = EqualLinear(style, before, start=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias = nn.Parameter(torch.zeros(after))
        self.blur = (
            Blur(after, padding=1, gain=4.0) if up else None
        )  # three of four places between the inputs are empty
        self.gain = gain

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """H and W of at least 1."""
        scales = self.affine(w)
        x = x * _planes(scales, x)
        if self.blur is None:
            y = conv2d(x, self.weight, padding=1)
        else:
            y = self.blur(conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
        return torch.addcmul(_planes(self.bias[None], y), y, _planes(self.demodulation(scales), y))

    def demodulation(self, scales: Tensor) -> Tensor:
        """(N, I) -> (N, O): gain over the norm of each output's scaled weights."""
        with full_precision(scales):
            squares = scales.square() @ self.weight.square().sum((2, 3)).T
            return self.gain * (squares + EPS).rsqrt()


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU: (N, I, h, w), (N, S) -> (N, O, H, W) with (H, W) = size.

    One plane of N(0, 1) noise a row is drawn in training; in eval mode one kept plane serves all rows, so that a sample is a
    function of its style alone. Its strength is learned and begins at 0; without `noise` there is none.
    """

    noise: Tensor

    def __init__(
        self, before: int, after: int, style: int, size: tuple[int, int], *, up: bool = False, noise: bool = True
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, after, style, up=up, gain=GAIN)
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        self.register_buffer("noise", torch.randn(1, 1, *size) if noise else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """In training each row of the global batch has its own noise."""
        y: Tensor = self.conv(x, w)
        if self.strength is not None:
            noise = normal_rows(len(y), y.device, *self.noise.shape[1:]) if self.training else self.noise
            y = y + (self.strength * noise).to(y.dtype)
        return leaky_relu(y, SLOPE)


class ToImage(nn.Module):
    """Modulated 1x1 convolution without demodulation: (N, I, H, W), (N, S) -> (N, C, H, W).

    With so few outputs it is cheaper to scale N small weights than the activations.
    """

    def __init__(self, before: int, channels: int, style: int) -> None:
        super().__init__()
        self.affine = EqualLinear(style, before, start=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Float32 under autocast too: what is summed over sizes is the image."""
        n, before, height, width = x.shape
        weights = self.affine(w)[:, None] * (self.weight / math.sqrt(before))  # (N, C, I)
        places = x.permute(0, 2, 3, 1).reshape(n, height * width, before)  # a view of channels-last activations
        image: Tensor = (places @ weights.transpose(1, 2)).to(self.bias.dtype) + self.bias
        return image.view(n, height, width, -1).permute(0, 3, 1, 2)


def _planes(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype)[:, :, None, None]


# --- the discriminator's look at its neighbours


class MinibatchDeviation(nn.Module):
    """(N, C, H, W) -> (N, C + 1, H, W): how much the rows of a group differ, one number, as a further channel.

    Karras et al. 2018, arXiv:1710.10196, section 3. A group is `group` consecutive rows; rows left over join the last `group`
    rows' number. So rows depend on their group alone, and micro-batches of whole groups give the numbers of the whole batch.
    rows_together: the group, for the plan to tell where a batch is cut within one.
    In eval mode the number is its running mean over training: a row is judged by itself.
    """

    mean: Tensor

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 2:
            raise ValueError(f"a group needs at least 2 rows to differ, got {group}")
        self.group = self.rows_together = group
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any N; a single row differs from nobody."""
        if self.training:
            number = self.deviation(x)
            with torch.no_grad():
                self.mean.lerp_(number.mean().to(self.mean.dtype), 0.05)
        else:
            number = self.mean.expand(len(x))
        return torch.cat([x, number.to(x.dtype).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)

    def deviation(self, x: Tensor) -> Tensor:
        """(N,): standard deviation over the rows of the group, averaged over channels and places."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        size = min(self.group, len(x))
        left = len(x) % size
        numbers = _deviations(x[: len(x) - left], size)
        return torch.cat([numbers, _deviations(x[-size:], size)[size - left :]]) if left else numbers


def _deviations(x: Tensor, size: int) -> Tensor:
    groups = x.view(-1, size, *x.shape[1:])
    variances = (
        (groups - groups.mean(1, keepdim=True)).square().mean(1)
    )  # torch's own var is far slower along this axis
    numbers: Tensor = (variances + EPS).sqrt().mean((1, 2, 3)).repeat_interleave(size)
    return numbers
