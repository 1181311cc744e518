"""Layers of style-based networks (Karras et al. 2019, arXiv:1812.04948; 2020, arXiv:1912.04958), in plain torch.

Legend: N rows, C channels, I inputs, O outputs, F features, S length of a style vector, * spatial sizes: (T), (H, W) or
(D, H, W); `dims` counts them. All layers have two derivatives, so gradient penalties and path lengths are exact. Activations
may be bfloat16; styles, demodulation, linear layers and statistics are computed in float32 (float64 for float64 weights).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from zerosum.nn.layers import CONV_FUNCTION, CONV_TRANSPOSE_FUNCTION, Blur, normal_rows, without_autocast

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Leaky ReLU divides the root mean square of a normal input by about this factor. The gain is folded into the layer before it:
leaky ReLU of a positive multiple is that multiple of leaky ReLU."""
EPS = 1e-8


def unit_rows(x: Tensor) -> Tensor:
    """(N, F) -> rows with a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()


# --- equalised learning rate: weights are N(0, 1) and scaled in use, so that Adam moves all of them alike


class EqualLinear(nn.Module):
    """(N, I) -> (N, O), computed in float32. rate: multiplier of the learning rate. start: initial bias.

    active: whether leaky ReLU (0.2) and its gain follow. Karras et al. 2018, arXiv:1710.10196, section 4.1.
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
        with without_autocast(x.device.type):
            y = linear(x.to(self.weight.dtype), self.weight * self.scale, self.bias * self.rate)
        return leaky_relu(y, SLOPE) if self.active else y


def mapping_network(before: int, after: int, depth: int, rate: float) -> nn.Sequential:
    """`depth` active linear layers, (N, I) -> (N, O)."""
    sizes = [before] + [after] * depth
    return nn.Sequential(*(EqualLinear(a, b, rate=rate, active=True) for a, b in itertools.pairwise(sizes)))


class EqualConv(nn.Module):
    """Convolution with a kernel of `size` along each dimension: (N, I, *) -> (N, O, *).

    down: halves the sizes, after the [1, 3, 3, 1] filter. active: whether leaky ReLU (0.2) and its gain follow. gain: of the
    output.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        *,
        down: bool = False,
        active: bool = False,
        gain: float = 1.0,
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, *[size] * dims))
        self.bias = nn.Parameter(torch.zeros(after)) if active else None
        self.scale = gain * (GAIN if active else 1.0) / math.sqrt(before * size**dims)
        self.active, self.stride, self.padding = active, 1, size // 2
        self.blur: nn.Module = nn.Identity()
        if down and size == 1:  # only the kept positions are used, so only these are filtered
            self.blur = Blur(before, padding=1, stride=2, dims=dims)
        elif down:
            self.blur, self.stride, self.padding = Blur(before, padding=size // 2 + 1, dims=dims), 2, 0

    def forward(self, x: Tensor) -> Tensor:
        """The sizes must be even with `down`."""
        conv = CONV_FUNCTION[x.dim() - 2]
        y = conv(self.blur(x), self.weight * self.scale, self.bias, self.stride, self.padding)
        return leaky_relu(y, SLOPE) if self.active else y


# --- modulation


class ModulatedConv(nn.Module):
    """Convolution with kernel 3 whose input channels a style scales, and whose outputs are scaled back to unit variance.

    (N, I, *), (N, S) -> (N, O, *), or (N, O, 2*) with `up`. Karras et al. 2020, equations 1 and 3, with one weight for all
    rows: channels are scaled before and after the convolution, which is the same map as N scaled weights in a grouped
    convolution. gain: of the output; a bias follows.
    """

    def __init__(
        self, before: int, after: int, style: int, *, up: bool = False, gain: float = 1.0, dims: int = 2
    ) -> None:
        super().__init__()
        self.affine = EqualLinear(style, before, start=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, *[3] * dims))
        self.bias = nn.Parameter(torch.zeros(after))
        # Only one of 2^dims positions holds an input, the others are zero; the gain makes up for them.
        self.blur = Blur(after, padding=1, gain=2.0**dims, dims=dims) if up else None
        self.gain = gain

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Sizes of at least 1."""
        scales, dims = self.affine(w), x.dim() - 2
        x = x * _per_channel(scales, x)
        if self.blur is None:
            y = CONV_FUNCTION[dims](x, self.weight, padding=1)
        else:
            y = self.blur(CONV_TRANSPOSE_FUNCTION[dims](x, self.weight.transpose(0, 1), stride=2))
        return torch.addcmul(_per_channel(self.bias[None], y), y, _per_channel(self.demodulation(scales), y))

    def demodulation(self, scales: Tensor) -> Tensor:
        """(N, I) -> (N, O): gain over the norm of each output's scaled weights."""
        with without_autocast(scales.device.type):
            squares = scales.square() @ self.weight.square().sum(tuple(range(2, self.weight.dim()))).T
            return self.gain * (squares + EPS).rsqrt()


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU: (N, I, *), (N, S) -> (N, O, *size).

    In training each row gets its own N(0, 1) noise, one number for each position. In eval mode one stored noise serves all rows,
    so that a sample depends on its style only. The strength of the noise is learned and starts at 0; without `noise` there is
    none.
    """

    noise: Tensor

    def __init__(
        self, before: int, after: int, style: int, size: Sequence[int], *, up: bool = False, noise: bool = True
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, after, style, up=up, gain=GAIN, dims=len(size))
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
    """Modulated convolution with kernel 1 and without demodulation: (N, I, *), (N, S) -> (N, C, *).

    With so few outputs it is cheaper to scale N small weights than the activations.
    """

    def __init__(self, before: int, channels: int, style: int) -> None:
        super().__init__()
        self.affine = EqualLinear(style, before, start=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Float32 under autocast too, because the outputs of all sizes are summed to the sample."""
        n, before, *size = x.shape
        weights = self.affine(w)[:, None] * (self.weight / math.sqrt(before))  # (N, C, I)
        positions = x.movedim(1, -1).reshape(n, math.prod(size), before)  # a view of channels-last activations
        y: Tensor = (positions @ weights.transpose(1, 2)).to(self.bias.dtype) + self.bias
        return y.view(n, *size, -1).movedim(-1, 1)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, ...) of the type and with as many dimensions as `like`."""
    return values.to(like.dtype).view(*values.shape, *[1] * (like.dim() - 2))


# --- statistics of the minibatch


class MinibatchDeviation(nn.Module):
    """(N, C, *) -> (N, C + 1, *): the deviation between the rows of a group, one number, as a further channel.

    Karras et al. 2018, arXiv:1710.10196, section 3. A group is `group` consecutive rows; rows left over get the number of the
    last `group` rows. So a row depends on its group only, and micro-batches of whole groups give the numbers of the whole
    batch. rows_together: the size of a group, from which the plan finds out whether a micro-batch would cut one.
    In eval mode the number is its running mean over training, so that a row does not depend on the other rows.
    """

    mean: Tensor

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 2:
            raise ValueError(f"a group needs at least 2 rows to differ, got {group}")
        self.group = self.rows_together = group
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any N; the deviation of a single row is 0."""
        if self.training:
            number = self.deviation(x)
            with torch.no_grad():
                self.mean.lerp_(number.mean().to(self.mean.dtype), 0.05)
        else:
            number = self.mean.expand(len(x))
        return torch.cat([x, number.to(x.dtype).view(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])], 1)

    def deviation(self, x: Tensor) -> Tensor:
        """(N,): standard deviation over the rows of the group, averaged over channels and positions."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        size = min(self.group, len(x))
        left = len(x) % size
        numbers = _deviations(x[: len(x) - left], size)
        return torch.cat([numbers, _deviations(x[-size:], size)[size - left :]]) if left else numbers


def _deviations(x: Tensor, size: int) -> Tensor:
    groups = x.view(-1, size, *x.shape[1:])
    variances = (groups - groups.mean(1, keepdim=True)).square().mean(1)  # torch.var is far slower along this dimension
    numbers: Tensor = (variances + EPS).sqrt().mean(tuple(range(1, x.dim()))).repeat_interleave(size)
    return numbers
