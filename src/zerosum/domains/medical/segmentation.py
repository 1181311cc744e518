"""A small U-Net that finds label maps in images, and the comparison of what it finds with the true maps.

Legend: N rows, * spatial sizes (X, Y) or (X, Y, Z), K regions, of which region 0 is everything that is not one of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerosum.domains.medical.networks import Stage, cut, halved, pad_last
from zerosum.engine.seeds import generator
from zerosum.nn.layers import CONV, Halve, upsample_linear

MAX_REGIONS = 20
"""The largest labels are distinguished; all others belong to region 0."""
LEAST_VOXELS = 20
"""Regions with fewer voxels in a true map are not compared in that row."""
STEPS, BATCH, RATE = 400, 8, 5e-3
POWER = -0.25
NORM: Literal["batch"] = "batch"
WIDTH, LEVELS = 24, 2


class Segmenter(nn.Module):
    """An image (N, 1, *) -> logits (N, K, *): a U-Net (Ronneberger et al. 2015, arXiv:1505.04597) from half the
    size on, with the positions as further channels."""

    def __init__(self, num_regions: int, dims: int, width: int = WIDTH, levels: int = LEVELS) -> None:
        super().__init__()
        widths, conv = [width * 2**level for level in range(levels + 1)], CONV[dims]
        self.first = Halve(1 + dims, width, dims)
        self.second = Stage(width, width, 1, NORM, dims)
        self.down = nn.ModuleList(Stage(widths[i], widths[i + 1], 1, NORM, dims) for i in range(levels))
        self.narrow = nn.ModuleList(conv(widths[i + 1], widths[i], 1) for i in range(levels))
        self.back = nn.ModuleList(Stage(widths[i], widths[i], 1, NORM, dims) for i in range(levels))
        self.last = conv(width, num_regions, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, *) -> (N, K, *), any size."""
        size, multiple = images.shape[2:], 2 ** (len(self.down) + 1)
        places = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in size), indexing="ij")
        given = torch.cat([images, torch.stack(places).expand(len(images), -1, *size)], 1)
        x = self.second(self.first(pad_last(given, [-(-side // multiple) * multiple for side in size])).relu())
        kept = [x]
        for stage in self.down:
            x = stage(halved(x))
            kept.append(x)
        for level in reversed(range(len(self.back))):
            x = self.back[level](kept[level] + upsample_linear(self.narrow[level](x)))
        return cut(upsample_linear(self.last(x)), size)


@dataclass(frozen=True)
class Regions:
    """labels: (K - 1,) the label numbers that are distinguished, the largest first; empty if maps show the background alone."""

    labels: Tensor

    @classmethod
    def largest(cls, maps: Tensor, background: int = 0) -> Regions:
        """The MAX_REGIONS labels with the most voxels in maps (N, 1, *), but for the background."""
        counts = torch.bincount(maps.flatten().long())
        counts[background] = 0
        order = counts.argsort(descending=True, stable=True)[:MAX_REGIONS]
        return cls(order[counts[order] > 0])

    def __len__(self) -> int:
        return len(self.labels) + 1

    def of(self, maps: Tensor) -> Tensor:
        """Label maps (N, 1, *) -> regions (N, *) int64."""
        number = torch.zeros(int(max([*self.labels.tolist(), int(maps.max())])) + 1, dtype=torch.int64)
        number[self.labels] = torch.arange(1, len(self))
        return number[maps.squeeze(1).long()]


def trained(images: Tensor, maps: Tensor, regions: Regions, seed: int, steps: int = 0) -> Segmenter:
    """A segmenter of images (N, 1, *) with their label maps (N, 1, *), trained with cross entropy and Adam."""
    truth, draw = regions.of(maps), generator(seed, "segmentation")
    steps = steps or STEPS
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = Segmenter(len(regions), images.dim() - 2).train()
        shares = torch.bincount(truth.flatten(), minlength=len(regions)) / truth.numel()
        weights = shares.clamp_min(1e-6) ** POWER
        optimizer = torch.optim.Adam(model.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            rows = torch.randint(len(images), (BATCH,), generator=draw)
            loss = cross_entropy(model(images[rows]), truth[rows], weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def found_in(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """(N, 1, *) -> regions (N, *) int64."""
    return torch.cat([model(some).argmax(1) for some in torch.split(images, 16)])


def dice(found: Tensor, truth: Tensor, num_regions: int) -> float:
    """2 |A and B| / (|A| + |B|) of each region over all rows, averaged over regions with LEAST_VOXELS or more in the truth,
    without region 0. Dice 1945. Nan where no region is large enough."""
    values = []
    for region in range(1, num_regions):
        a, b = found == region, truth == region
        if int(b.sum()) >= LEAST_VOXELS:
            values.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return sum(values) / len(values) if values else float("nan")


def volume_error(found: Tensor, truth: Tensor, num_regions: int) -> float:
    """The mean of |volume found - true volume| / true volume over rows and their regions with LEAST_VOXELS or more, without
    region 0."""
    sizes = [torch.stack([(maps == k).flatten(1).sum(1) for k in range(1, num_regions)], 1) for maps in (found, truth)]
    there = sizes[1] >= LEAST_VOXELS
    if not bool(there.any()):
        return float("nan")
    return float(((sizes[0] - sizes[1]).abs().double() / sizes[1].clamp_min(1))[there].mean())
