"""Networks for clips: a generator of still contents on smooth paths, and a discriminator of frames and of their changes.

Legend: N clips, F frames, C channels, H height, W width, L latent size, K objects, D motion codes, M times of frames.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pad

from zerosum.nn.layers import Halve, channels_last, concat_condition, embedded_size, embedding, require_condition

SMALLEST = 4
"""The side from which contents are doubled, and to which the discriminator halves, in pixels at most."""
HARMONICS = 5
"""Odd harmonics of the waveform of a path."""
FASTEST = 0.9
"""The largest change of a phase from frame to frame, in radians."""
FAR = 4096
"""Times from which angles are computed in float64."""
SLOPE = 0.2


@dataclass(frozen=True)
class Video:
    """The form of a clip."""

    frames: int
    channels: int
    height: int
    width: int


def _levels(height: int, width: int) -> int:
    """How often a picture is halved until its longer side is at most SMALLEST."""
    return max(1, math.ceil(math.log2(max(height, width) / SMALLEST)))


def _smooth(x: Tensor) -> Tensor:
    return leaky_relu(x, SLOPE)


# --- generator


class Path(nn.Module):
    """Where the objects of a clip are and how it looks over time: functions of a real time, smooth by construction.

    The position of an object along each axis is centre + reach * wave(phase + rate * time): it goes to and fro. The waveform is a
    sum of HARMONICS odd sines with learned weights, at first those of a triangle, which is a constant speed between two turning
    points. Motion codes are sines of lower rates. Phases come from the noise alone and are uniform; the rest from the content.
    A time is counted in frames of the training data; any real time is possible, also far beyond the clips.
    """

    def __init__(self, features: int, objects: int, codes: int, frames: int) -> None:
        super().__init__()
        self.objects, self.codes = objects, codes
        self.motion = nn.Linear(features, objects * 6)
        with torch.no_grad():
            self.motion.weight.mul_(0.5)
            self.motion.bias.zero_()
        orders = torch.arange(HARMONICS)
        self.register_buffer("orders", (2 * orders + 1).float(), persistent=False)
        self.orders: Tensor
        self.waveform = nn.Parameter((-1.0) ** orders / (2 * orders + 1).float() ** 2 * (8 / math.pi**2))
        rates = 2 * math.pi / frames * torch.linspace(0.25, 1.0, max(codes, 1))[:codes]
        self.log_rates = nn.Parameter(rates.log())

    @property
    def phases(self) -> int:
        """Numbers of the noise that give phases."""
        return 2 * (2 * self.objects + self.codes)

    def forward(self, noise: Tensor, content: Tensor, times: Tensor, far: bool = False) -> tuple[Tensor, Tensor]:
        """far: whether times are so large that angles need float64. phases' noise (N, phases), content (N, features), times (M,)
        float64 -> positions (N, M, K, 2), codes (N, M, D).

        A position is that of the object's canvas, in halves of the picture: 0 is the middle, 1 the lower or right border.
        """
        noise = noise.float().view(len(noise), -1, 2)
        phases = torch.atan2(noise[:, :, 0], noise[:, :, 1])
        speed, reach, centre = self.motion(content).float().view(-1, self.objects, 2, 3).unbind(3)
        reach = 0.5 * reach.exp().clamp(0.01, 4.0)
        rate = (0.06 * speed.exp() * math.pi / 2 / reach).clamp_max(FASTEST)
        own = phases[:, : 2 * self.objects].view(-1, self.objects, 2)
        angle = self._angle(own, rate, times, far)
        wave = (angle[..., None] * self.orders).sin() @ self.waveform.float()
        positions = 0.5 * centre[:, None] + reach[:, None] * wave
        rates = self.log_rates.float().exp().clamp_max(FASTEST).expand(len(noise), -1)
        return positions, self._angle(phases[:, 2 * self.objects :], rates, times, far).sin()

    @staticmethod
    def _angle(phases: Tensor, rates: Tensor, times: Tensor, far: bool) -> Tensor:
        """(N, M, ...) angles in [0, 2 pi) of phases and rates (N, ...); far times keep their digits."""
        shape = (1, len(times), *(1,) * (phases.dim() - 1))
        if not far:
            return phases[:, None] + rates[:, None] * times.to(phases.dtype).view(shape)
        angle = phases.double()[:, None] + rates.double()[:, None] * times.view(shape)
        return angle.remainder(2 * math.pi).to(phases.dtype)


def shifted(canvas: Tensor, positions: Tensor) -> Tensor:
    """Canvases (N, E, H, W) moved to positions (N, M, 2), in halves of the picture: (N, M, E, H, W), zero from outside.

    Bilinear between pixels, as two products with matrices of hats, whose gradients are the same on every device.
    """
    height, width = canvas.shape[2:]

    def hats(size: int, position: Tensor) -> Tensor:
        places = torch.arange(size, device=canvas.device, dtype=position.dtype)
        distance = places[:, None] - places - position[..., None, None] * (size / 2)
        return (1 - distance.abs()).clamp_min(0).to(canvas.dtype)

    down, right = hats(height, positions[..., 0]), hats(width, positions[..., 1])
    moved = torch.einsum("nmwx,neyx->nmeyw", right, canvas)
    return torch.einsum("nmhy,nmeyw->nmehw", down, moved)


class Content(nn.Module):
    """A content (N, features) -> maps (N, E, H, W), by doubling a small one."""

    def __init__(self, video: Video, features: int, width: int, channels: int) -> None:
        super().__init__()
        levels = _levels(video.height, video.width)
        self.size = video.height, video.width
        self.start = -(-video.height // 2**levels), -(-video.width // 2**levels)
        widths = [min(8, 2 ** (levels - level)) * width for level in range(levels + 1)]
        self.first = nn.Linear(features, widths[0] * self.start[0] * self.start[1])
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, content: Tensor) -> Tensor:
        """(N, features) -> (N, E, H, W)."""
        x = channels_last(_smooth(self.first(content)).view(len(content), -1, *self.start))
        for layer in self.layers:
            x = _smooth(layer(interpolate(x, scale_factor=2.0, mode="nearest")))
        x = x[:, :, : self.size[0], : self.size[1]]
        made: Tensor = self.last(x)
        return made


class PathGenerator(nn.Module):
    """Noise (N, L) -> clips (N, F, C, H, W): a content that is made once, moved on a smooth path, and drawn for each frame.

    The first numbers of the noise are the phases of the path (`Path.phases`), the others become the content. Each of `objects`
    canvases is moved as a whole; a background stays. Two convolutions draw a frame of them, in half and in full resolution,
    scaled by the motion codes, so that shapes can change over time too. width: channels of a canvas. hidden: features of a
    content.
    """

    def __init__(
        self,
        video: Video,
        *,
        latent: int,
        num_classes: int = 0,
        width: int = 12,
        hidden: int = 128,
        objects: int = 1,
        codes: int = 4,
    ) -> None:
        super().__init__()
        if objects < 1 or codes < 0 or width < 1:
            raise ValueError(f"objects = {objects} and width = {width} must be at least 1, codes = {codes} at least 0")
        self.video = video
        self.path = Path(hidden, objects, codes, video.frames)
        if latent <= self.path.phases:
            raise ValueError(
                f"{objects} objects and {codes} codes take {self.path.phases} numbers of the noise as phases, and the prior has "
                f"{latent}; use a larger prior"
            )
        self.embed = embedding(num_classes, 0, hidden // 2)
        self.mapping = nn.Sequential(
            nn.Linear(latent - self.path.phases + embedded_size(self.embed), hidden), nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.parts = [max(1, width // 2), *[width] * objects]
        seen = sum(self.parts)
        self.contents = Content(video, hidden, width, seen)
        self.coarse = nn.Conv2d(seen, width, 3, padding=1)
        self.fine = nn.Conv2d(seen + width, width, 3, padding=1)
        self.draw = nn.Conv2d(width, video.channels, 3, padding=1)
        self.gains = nn.Linear(codes, 4 * width) if codes else None
        if self.gains is not None:
            nn.init.zeros_(self.gains.weight)
            nn.init.zeros_(self.gains.bias)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N,) labels] -> (N, F, C, H, W): the frames at the times 0 to F - 1."""
        times = torch.arange(self.video.frames, dtype=torch.float64, device=noise.device)
        return self._render(noise, self.content_of(noise, condition), times, False)

    def film(self, noise: Tensor, times: Tensor, condition: Tensor | None = None) -> Tensor:
        """The frames (N, M, C, H, W) at any times (M,), float64, counted in frames of the training data."""
        return self.render(noise, self.content_of(noise, condition), times)

    def content_of(self, noise: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What of a clip does not depend on the time: (its features, its canvases)."""
        features = self.mapping(concat_condition(noise[:, self.path.phases :], self.embed, condition))
        return features, self.contents(features)

    def render(self, noise: Tensor, content: tuple[Tensor, Tensor], times: Tensor) -> Tensor:
        """`film` of a content that was made before."""
        return self._render(noise, content, times, bool(len(times)) and float(times.abs().max()) >= FAR)

    def _render(self, noise: Tensor, content: tuple[Tensor, Tensor], times: Tensor, far: bool) -> Tensor:
        features, canvases = content
        positions, codes = self.path(noise[:, : self.path.phases], features, times, far)
        parts = torch.split(canvases, self.parts, 1)
        moved = [shifted(part, positions[:, :, i]) for i, part in enumerate(parts[1:])]
        still = parts[0][:, None].expand(-1, len(times), -1, -1, -1)
        seen = channels_last(torch.cat([still, *moved], 2).flatten(0, 1))
        gains = self.gains(codes.to(features.dtype)).flatten(0, 1).chunk(4, 1) if self.gains is not None else None
        low = self._scaled(self.coarse(avg_pool2d(seen, 2, ceil_mode=True)), gains, 0)
        back = interpolate(low, size=seen.shape[2:], mode="nearest")
        full = self._scaled(self.fine(torch.cat([seen, back], 1)), gains, 2)
        made: Tensor = self.draw(full)
        return made.view(len(noise), len(times), *made.shape[1:])

    @staticmethod
    def _scaled(x: Tensor, gains: Sequence[Tensor] | None, which: int) -> Tensor:
        if gains is not None:
            x = x * (1 + gains[which][:, :, None, None]) + gains[which + 1][:, :, None, None]
        return _smooth(x)


# --- discriminator


class _Halving(nn.Module):
    """(N, C, H, W) -> (N, features): convolutions of stride 2 down to SMALLEST pixels, and a linear map."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, most: int, features: int) -> None:
        super().__init__()
        levels = _levels(*size)
        widths = [channels, *(min(most, width * 2**level) for level in range(levels))]
        self.layers = nn.ModuleList(Halve(a, b) for a, b in itertools.pairwise(widths))
        for _ in range(levels):
            size = max(1, size[0] // 2), max(1, size[1] // 2)
        self.last = nn.Linear(widths[-1] * size[0] * size[1], features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, features)."""
        x = channels_last(x)
        for layer in self.layers:
            grow = [max(0, 2 - side) for side in (x.shape[3], x.shape[2])]
            x = _smooth(layer(pad(x, (0, grow[0], 0, grow[1])) if any(grow) else x))
        return _smooth(self.last(x.flatten(1)))


class ClipDiscriminator(nn.Module):
    """Clips (N, F, C, H, W) -> two logits (N,): of the motion and of the frames.

    motion: all frames and their differences (times `change`) as channels of one picture. frames: `looks` frames, evenly spaced,
    each by itself; their features are averaged. width, most: channels of the first and of the last layers.
    Classes are compared by a product with the features (Miyato and Koyama 2018, arXiv:1802.05637).
    """

    def __init__(
        self,
        video: Video,
        *,
        num_classes: int = 0,
        width: int = 32,
        most: int = 128,
        features: int = 128,
        looks: int = 4,
        change: float = 4.0,
    ) -> None:
        super().__init__()
        if looks < 1:
            raise ValueError(f"looks must be at least 1, got {looks}")
        size = video.height, video.width
        self.change = change
        self.looks = torch.linspace(0, video.frames - 1, min(looks, video.frames)).round().long().tolist()
        self.motion = _Halving((2 * video.frames - 1) * video.channels, size, width, most, features)
        self.frames = _Halving(video.channels, size, width, most, features)
        self.heads = nn.ModuleList(nn.Linear(features, 1) for _ in range(2))
        self.embeds = nn.ModuleList(nn.Embedding(num_classes, features) for _ in range(2)) if num_classes else None

    def forward(self, clips: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, F, C, H, W) [, (N,) labels] -> ((N,), (N,))."""
        differences = self.change * (clips[:, 1:] - clips[:, :-1])
        motion = self.motion(torch.cat([clips, differences], 1).flatten(1, 2))
        seen = torch.stack([clips[:, place] for place in self.looks], 1)
        frames = self.frames(seen.flatten(0, 1)).view(*seen.shape[:2], -1).mean(1)
        return self._logit(0, motion, condition), self._logit(1, frames, condition)

    def _logit(self, which: int, features: Tensor, condition: Tensor | None) -> Tensor:
        logit: Tensor = self.heads[which](features)[:, 0]
        if self.embeds is not None:
            own = self.embeds[which](require_condition(condition)).to(features.dtype)
            logit = logit + (own * features).sum(1) / features.shape[1] ** 0.5
        return logit


GENERATORS: Mapping[str, Callable[..., Any]] = {"path": PathGenerator}
DISCRIMINATORS: Mapping[str, Callable[..., Any]] = {"clips": ClipDiscriminator}
