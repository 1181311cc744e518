"""Measures of clips that need no trained weights: the track of what moves, its mass, flicker, and the error of block matching.

Legend: N clips, F frames, C channels, H height, W width, D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from zerosum.metrics.feature_networks import weights_sha256

BATCH = 64
"""Clips that are measured at once."""
FAINT = 0.15
"""Weights below this share of a frame's largest one do not count for its track."""
BLOCK, REACH = 8, 4
"""The side of a block and the farthest shift in block matching, in pixels of a picture of 32; in proportion on others."""
CHANGE = 4.0
"""The factor of changes in RandomMotion: most of them are small beside the range of pixels."""


@dataclass(frozen=True)
class Motion:
    """Of N clips. jerk: (N, F - 2) lengths of the second difference of the centre of mass, in pixels. speed: (N, F - 1) lengths
    of the first. mass: (N, F) sum of the weights. flicker: (N,) mean change of the mass over the mean mass. warping: (N,) error
    that the best shifts of blocks leave, over the deviation of the frames."""

    jerk: Tensor
    speed: Tensor
    mass: Tensor
    flicker: Tensor
    warping: Tensor


def in_parts(function: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """A function of clips, computed BATCH clips at a time."""
    return torch.cat([function(part) for part in torch.split(clips, BATCH)])


def weights(clips: Tensor) -> Tensor:
    """(N, F, C, H, W) in [-1, 1] -> (N, F, H, W): how far each pixel is from the ground, the median colour of its clip."""
    ground = clips.transpose(1, 2).flatten(2).median(2).values
    return (clips - ground[:, None, :, None, None]).abs().amax(2) / 2


def track(clips: Tensor) -> tuple[Tensor, Tensor]:
    """(centres of mass (N, F, 2) in pixels, row and column; masses (N, F))."""
    found = weights(clips)
    found = found * (found >= FAINT * found.amax((2, 3), keepdim=True))
    mass = found.sum((2, 3))
    rows, columns = (torch.arange(size, dtype=found.dtype) for size in found.shape[2:])
    total = mass.clamp_min(1e-6)
    return torch.stack([(found.sum(3) * rows).sum(2) / total, (found.sum(2) * columns).sum(2) / total], 2), mass


def motion(clips: Tensor) -> Motion:
    """What moves in clips (N, F, C, H, W) in [-1, 1]."""
    found = [_motion(part) for part in torch.split(clips.detach().cpu().float(), BATCH)]
    return Motion(*(torch.cat([getattr(one, name) for one in found]) for name in Motion.__dataclass_fields__))


def _motion(clips: Tensor) -> Motion:
    centres, mass = track(clips)
    step = centres.diff(dim=1)
    flicker = mass.diff(dim=1).abs().mean(1) / mass.mean(1).clamp_min(1e-6)
    return Motion(step.diff(dim=1).norm(dim=2), step.norm(dim=2), mass, flicker, warping_error(clips))


def warping_error(clips: Tensor) -> Tensor:
    """(N,): the root of the mean squared error of each frame that is put together from blocks of the frame before it, each with
    its best whole shift, over the standard deviation of the clip. 0 for stills and for whole shifts."""
    height, width = clips.shape[3:]
    scale = max(1, round(min(height, width) / 32))
    block, reach = BLOCK * scale, REACH * scale
    before, after = clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)
    grow = -height % block, -width % block
    before, after = (pad(part, (0, grow[1], 0, grow[0]), mode="replicate") for part in (before, after))
    rows, columns = after.shape[2:]
    wide = pad(before, (reach,) * 4, mode="replicate")
    least = None
    for down in range(0, 2 * reach + 1, scale):
        for right in range(0, 2 * reach + 1, scale):
            error = (wide[:, :, down : down + rows, right : right + columns] - after).square().mean(1, keepdim=True)
            blocks = nn.functional.avg_pool2d(error, block)
            least = blocks if least is None else torch.minimum(least, blocks)
    assert least is not None
    left = least.flatten(1).mean(1).view(len(clips), -1).mean(1)
    root: Tensor = (left / clips.flatten(1).var(1).clamp_min(1e-6)).sqrt()
    return root


class RandomMotion(nn.Module):
    """Fixed random 3-D convolutions of the changes from frame to frame: clips (N, F, C, H, W) -> (N, 64). Nothing is trained.

    Three layers of kernel 3x4x4 and stride (1, 2, 2), LeakyReLU 0.2, and the mean over time and places. They see eight frames,
    and so the order of frames, which features of single frames do not. Of the frames themselves, or with places kept apart, most
    of the distance between two sets of real clips comes from what they show and where, and clips shuffled in time are not
    distinguished from real ones.
    """

    def __init__(self, channels: int, seed: int = 0) -> None:
        super().__init__()
        widths = [channels, 16, 32, 64]
        self.layers = nn.ModuleList(
            nn.Conv3d(before, after, (3, 4, 4), stride=(1, 2, 2), padding=(1, 1, 1))
            for before, after in itertools.pairwise(widths)
        )
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                spread = (2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0.1
                weight.copy_(torch.randn(weight.shape, generator=rng) * spread)
        self.eval().requires_grad_(False)
        self.sha256 = weights_sha256(self)
        self.name = f"random-conv3d-v2-{self.sha256[:8]}"

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
        """(N, F, C, H, W) in [-1, 1] -> (N, 64)."""
        x = CHANGE * clips.diff(dim=1).transpose(1, 2)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        return x.mean((2, 3, 4))


def difference_pictures(clips: Tensor) -> Tensor:
    """(N (F - 1), C, H, W) uint8: the changes from frame to frame, grey where nothing changes."""
    change = (clips[:, 1:] - clips[:, :-1]).flatten(0, 1)
    return (change * 127.5 + 127.5).round().clamp(0, 255).byte()
