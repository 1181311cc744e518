"""Networks of medical images for two and three dimensions: generator and discriminator of whole images or volumes, and those of
label maps or images to images.

Legend: N rows, C channels, * spatial sizes (X, Y) or (X, Y, Z), L latent size. The first argument is the Form of a row.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, leaky_relu_, pad

from zerosum.engine.game import DiscriminatorOutput
from zerosum.errors import UserError
from zerosum.nn.layers import (
    CONV,
    AnyNorm,
    Halve,
    channels_last,
    concat_condition,
    doubled_widths,
    embedded_size,
    embedding,
    from_grid,
    norm,
    require_condition,
    to_vector,
    upsample_linear,
)

SLOPE = 0.2
SMALLEST = 4
"""The least side of the smallest grid."""
EMBEDDED = 8
"""Channels of an embedded label map."""


@dataclass(frozen=True)
class Form:
    """One row. size: spatial sizes. labels: number of labels of the input map, 0 if the input is an image or there is none.
    image: whether the input is an image."""

    size: tuple[int, ...]
    labels: int = 0
    image: bool = False

    @property
    def dims(self) -> int:
        """Number of spatial dimensions."""
        return len(self.size)


def grids(size: Sequence[int]) -> list[tuple[int, ...]]:
    """The grids from the smallest to the full size, each at most twice the one before, rounded up."""
    found = [tuple(size)]
    while min(found[0]) >= 2 * SMALLEST - 1:
        found.insert(0, tuple(-(-side // 2) for side in found[0]))
    return found


def cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first voxels of each axis."""
    for axis, side in enumerate(size, start=2):
        x = x.narrow(axis, 0, side)
    return x


def float32_volumes(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward function that computes volumes in float32 on a CPU also under bfloat16 autocast: torch 2.13 reads memory that is
    not set in bfloat16 convolutions of grids with 2 places a side, and their gradients become NaN now and then."""

    @functools.wraps(forward)
    def wrapped(self: nn.Module, first: Tensor, *rest: Any, **named: Any) -> Any:
        if self.dims != 3 or first.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return forward(self, first, *rest, **named)
        with torch.autocast("cpu", enabled=False):
            return forward(self, first, *rest, **named)

    return wrapped


def pad_last(x: Tensor, size: Sequence[int]) -> Tensor:
    """The last voxels of each axis repeated up to this size."""
    missing = [side - have for side, have in zip(size, x.shape[2:], strict=True)]
    flat = list(itertools.chain.from_iterable((0, num) for num in reversed(missing)))
    return pad(x, flat, mode="replicate") if any(flat) else x


def _scaled(width: int, level: int, widths: Sequence[int]) -> int:
    return widths[min(level, len(widths) - 1)] if widths else width


class VolumeGenerator(nn.Module):
    """Noise to a small grid of features, then doublings by linear interpolation with a convolution each; the last layer is
    linear.

    widths: channels of the grids, the smallest first; the last number holds for all further ones. depth: convolutions of a grid
    after the first. The sum of the noise's embedding scales the channels of each grid (style).
    """

    def __init__(
        self,
        form: Form,
        *,
        latent: int,
        num_classes: int = 0,
        widths: tuple[int, ...] = (128, 64, 32, 32),
        depth: int = 1,
    ) -> None:
        super().__init__()
        self.dims = form.dims
        self.grids, dims = grids(form.size), form.dims
        channels = [_scaled(0, level, widths) for level in range(len(self.grids))]
        self.embed = embedding(num_classes, 0, 16)
        features = latent + embedded_size(self.embed)
        self.first = nn.Linear(features, channels[0] * math.prod(self.grids[0]))
        self.stages, self.styles = nn.ModuleList(), nn.ModuleList()
        for before, after in itertools.pairwise([channels[0], *channels]):
            convs = [CONV[dims](before if i == 0 else after, after, 3, padding=1) for i in range(depth)]
            self.stages.append(nn.ModuleList(convs))
            self.styles.append(_style(features, after))
        self.last = CONV[dims](channels[-1], 1, 3, padding=1)

    @float32_volumes
    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N,) classes] -> (N, 1, *)."""
        z = concat_condition(noise, self.embed, condition)
        x = from_grid(leaky_relu(self.first(z), SLOPE), self.grids[0])
        for level, (stage, style) in enumerate(zip(self.stages, self.styles, strict=True)):
            if level:
                x = cut(upsample_linear(x), self.grids[level])
            for conv in stage:  # type: ignore[attr-defined]
                x = leaky_relu_(conv(channels_last(x)), SLOPE)
            gain = style(z).to(x.dtype)
            x = x * (1 + gain.view(*gain.shape, *[1] * (x.dim() - 2)))
        y: Tensor = self.last(x)
        return y


def _style(features: int, channels: int) -> nn.Linear:
    linear = nn.Linear(features, channels, bias=False)
    nn.init.normal_(linear.weight, std=0.3 * features**-0.5)
    return linear


class VolumeDiscriminator(nn.Module):
    """A 3-wide convolution, then halvings by convolutions of width 4, and a linear layer; classes by projection (Miyato and
    Koyama 2018). No normalisation. widths: channels of the grids, the full size first; the last number holds for all further
    ones."""

    def __init__(self, form: Form, *, num_classes: int = 0, widths: tuple[int, ...] = (32, 32, 64, 128)) -> None:
        super().__init__()
        self.dims = form.dims
        self.grids, dims = grids(form.size)[::-1], form.dims
        channels = [_scaled(0, level, widths) for level in range(len(self.grids))]
        self.first = CONV[dims](1, channels[0], 3, padding=1)
        self.halvings = nn.ModuleList(Halve(a, b, dims) for a, b in itertools.pairwise(channels))
        self.mix = CONV[dims](channels[-1], channels[-1], 3, padding=1)
        features = channels[-1] * math.prod(self.grids[-1])
        self.output = nn.Linear(features, 1)
        self.classes = embedding(num_classes, 0, features)

    @float32_volumes
    def forward(self, data: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, 1, *) [, (N,) classes] -> (N,) logits."""
        x = leaky_relu_(self.first(channels_last(data)), SLOPE)
        for halving, grid in zip(self.halvings, self.grids[1:], strict=True):
            x = leaky_relu_(halving(pad_last(x, [2 * side for side in grid])), SLOPE)
        features = to_vector(leaky_relu_(self.mix(x), SLOPE))
        logits: Tensor = self.output(features).squeeze(1)
        if self.classes is not None:
            vector = self.classes(require_condition(condition)).to(features.dtype)
            logits = logits + (vector * features).sum(1) * features.shape[1] ** -0.5
        return logits


# --- label maps or images to images


class LabelInput(nn.Module):
    """The input as channels: a label map (N, 1, *) of whole numbers is embedded, an image is used as it is. deviation: of the
    embedding before training."""

    def __init__(self, form: Form, deviation: float = 1.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(form.labels, EMBEDDED) if form.labels else None
        if self.embed is not None and deviation != 1:
            nn.init.normal_(self.embed.weight, std=deviation)
        self.channels = EMBEDDED if form.labels else 1

    def forward(self, condition: Tensor) -> Tensor:
        """(N, 1, *) -> (N, channels, *)."""
        if self.embed is None:
            return condition
        return self.embed(condition.squeeze(1).long()).movedim(-1, 1)  # type: ignore[no-any-return]


class PositionNoise(nn.Module):
    """White noise (N, C, *) as a function of the absolute position: a stored field that repeats after a prime number of voxels
    along each axis, moved by an amount that the row's noise gives. So a volume made in blocks equals one that is made whole, and
    one seed has the same grain at any size."""

    PERIODS = (97, 89, 83)

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.channels, self.dims = channels, dims
        periods = self.PERIODS[:dims] if dims == 2 else (37, 31, 29)
        self.register_buffer("field", torch.randn(channels, *periods))
        self.field: Tensor

    def forward(self, noise: Tensor, size: Sequence[int], origin: Sequence[int]) -> Tensor:
        """(N, L), the size and the position of the block -> (N, C, *)."""
        shares = (torch.special.ndtr(noise.float()) * 65536).long()
        places = []
        for axis, (side, start) in enumerate(zip(size, origin, strict=True)):
            moved = shares[:, axis % noise.shape[1], None] + torch.arange(side, device=noise.device) + start
            shape = [side if at == axis else 1 for at in range(len(size))]
            places.append((moved % self.field.shape[axis + 1]).view(-1, *shape))
        return self.field[:, *places].movedim(1, 0)


class MapUNet(nn.Module):
    """A U-Net from a label map or an image to an image, for any size; no normalisation over positions, so that blocks equal the
    whole. The last layer is linear.

    width: channels at full size, doubled at each level up to width * widest. levels: halvings. depth: convolutions of a level on
    each side. grain: channels of white noise at full size. multiple: sides and positions of blocks are multiples of it. reach:
    voxels around a position on which its value depends.
    """

    def __init__(
        self,
        form: Form,
        *,
        latent: int,
        width: int = 24,
        levels: int = 3,
        widest: int = 4,
        depth: int = 1,
        grain: int = 1,
        norm: AnyNorm = "pixel",
    ) -> None:
        super().__init__()
        self.dims = form.dims
        if min(width, levels, widest, depth) < 1 or grain < 0:
            raise ValueError(
                f"width, levels, widest and depth must be at least 1: {width}, {levels}, {widest}, {depth}"
            )
        if norm not in ("pixel", "none"):
            raise ValueError(f"norm must be pixel or none, so that blocks equal the whole; got {norm!r}")
        dims, conv = form.dims, CONV[form.dims]
        widths = doubled_widths(width, levels + 1, width * widest)
        self.multiple = 2**levels
        self.source = LabelInput(form)
        self.noise = PositionNoise(grain, dims) if grain else None
        self.residual = form.image
        self.first = Stage(self.source.channels + grain, width, depth, norm, dims)
        self.down = nn.ModuleList(Stage(widths[i], widths[i + 1], depth, norm, dims) for i in range(levels))
        self.style = nn.Linear(latent, widths[-1], bias=False)
        self.narrow = nn.ModuleList(conv(widths[i + 1], widths[i], 1) for i in range(levels))
        self.back = nn.ModuleList(Stage(widths[i], widths[i], depth, norm, dims) for i in range(levels))
        self.last = conv(width, 1, 3, padding=1)
        # A convolution at level l reaches 2**l voxels; a linear upsampling from level l as many; blocks begin anywhere in a mean.
        around = sum(2 * depth * 2**level for level in range(levels)) + depth * 2**levels
        self.reach = 1 + around + sum(2 * 2**level for level in range(1, levels + 1))

    @float32_volumes
    def forward(self, noise: Tensor, condition: Tensor, *, origin: Sequence[int] = ()) -> Tensor:
        """(N, L), (N, 1, *) -> (N, 1, *), any size. origin: the position of this block in the whole, multiples of `multiple`."""
        size = condition.shape[2:]
        given = pad_last(condition, [-(-side // self.multiple) * self.multiple for side in size])
        x = self.source(given).to(noise.dtype)
        if self.noise is not None:
            x = torch.cat([x, self.noise(noise, given.shape[2:], origin or (0,) * (given.dim() - 2)).to(x.dtype)], 1)
        x = self.first(channels_last(x))
        kept = [x]
        for stage in self.down:
            x = stage(halved(x))
            kept.append(x)
        style = self.style(noise).to(x.dtype)
        x = x * (1 + style.view(*style.shape, *[1] * (x.dim() - 2)))
        for level in reversed(range(len(self.back))):
            x = self.back[level](kept[level] + upsample_linear(self.narrow[level](x)))
        y: Tensor = self.last(x)
        return cut(y + given if self.residual else y, size)


def halved(x: Tensor) -> Tensor:
    """Means of blocks of side 2."""
    return interpolate(x, scale_factor=0.5, mode="area")


def finest(x: Tensor) -> Tensor:
    """(N, C, *) -> the detail that a halving removes, of the same size: the first level of a Laplacian pyramid."""
    size = x.shape[2:]
    padded = pad_last(x, [-(-side // 2) * 2 for side in size])
    return x - cut(upsample_linear(halved(padded)), size)


class Stage(nn.Module):
    """`depth` convolutions of width 3, each with a normalisation and a leaky ReLU."""

    def __init__(self, before: int, after: int, depth: int, kind: AnyNorm, dims: int) -> None:
        super().__init__()
        sizes = [before, *[after] * depth]
        self.convs = nn.ModuleList(CONV[dims](a, b, 3, padding=1) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(norm(kind, after, dims) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for conv, normalise in zip(self.convs, self.norms, strict=True):
            x = leaky_relu(normalise(conv(x)), SLOPE)
        return x


class MapDiscriminator(nn.Module):
    """One logit for each overlapping patch of image and input (Isola et al. 2017, arXiv:1611.07004, section 3.2.2), at several
    scales (Wang et al. 2018, arXiv:1711.11585). No normalisation.

    width: channels of the first layer, doubled in each further one. levels: halvings. scales: discriminators, each further one on
    an image halved once more. detail: gain of the finest detail, the image less its halved version, which is a further channel;
    0 for none. Detail is about a tenth of the image in size: without a gain the discriminator distinguishes images that lack it
    from real ones only after hundreds of steps, and beside embedded labels of unit deviation not at all.
    """

    LABELS = 0.2
    """Deviation of the embedded labels before training."""

    def __init__(self, form: Form, *, width: int = 32, levels: int = 2, scales: int = 1, detail: float = 8.0) -> None:
        super().__init__()
        self.dims, self.detail = form.dims, detail
        if min(width, levels, scales) < 1 or detail < 0:
            raise ValueError(
                f"width, levels and scales must be at least 1, detail at least 0: {width}, {levels}, {scales}, {detail}"
            )
        self.source = LabelInput(form, self.LABELS)
        widths = doubled_widths(width, levels + 1, 8 * width)
        before, conv = [1 + bool(detail) + self.source.channels, *widths], CONV[form.dims]
        self.parts, self.outputs = nn.ModuleList(), nn.ModuleList()
        for _ in range(scales):
            layers: list[nn.Module] = [Halve(before[i], widths[i], form.dims) for i in range(levels)]
            self.parts.append(nn.ModuleList([*layers, conv(before[levels], widths[levels], 3, padding=1)]))
            self.outputs.append(conv(widths[levels], 1, 1))

    @float32_volumes
    def forward(self, data: Tensor, condition: Tensor) -> DiscriminatorOutput:
        """(N, 1, *), (N, 1, *) -> logits (N, *) for each scale, and the features of each layer."""
        fine = [self.detail * finest(data)] if self.detail else []
        x = torch.cat([data, *fine, self.source(condition).to(data.dtype)], 1)
        logits, features = list[Tensor](), list[Tensor]()
        for scale, (part, output) in enumerate(zip(self.parts, self.outputs, strict=True)):
            x = halved(x) if scale else x
            y = channels_last(x)
            for layer in part:  # type: ignore[attr-defined]
                y = leaky_relu(layer(y), SLOPE)
                features.append(y)
            logits.append(output(y).squeeze(1))
        return DiscriminatorOutput(tuple(logits), tuple(features))


def refuse_mixed(generator: str, discriminator: str, form: Form) -> None:
    """UserError unless both networks are for the same task, and the data have what the task needs."""
    if (generator == "unet") != (discriminator == "patch"):
        raise UserError(
            f"generator.kind = {generator!r} and discriminator.kind = {discriminator!r}: `unet` and `patch` only go together."
        )
    paired = bool(form.labels or form.image)
    if (generator == "unet") != paired:
        needs = (
            "label maps or images as inputs: --set data.input=labels"
            if not paired
            else "no inputs: --set data.input=none"
        )
        raise UserError(f"generator.kind = {generator!r} needs {needs}.")


GENERATORS = {"volume": VolumeGenerator, "unet": MapUNet}
DISCRIMINATORS = {"volume": VolumeDiscriminator, "patch": MapDiscriminator}
