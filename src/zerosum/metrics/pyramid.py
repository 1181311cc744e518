"""A distance between images that sees coarse and fine structure, without downloaded weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu

SMALLEST = 4
WIDTHS = (32, 64)


class Pyramid:
    """The distance of images to fixed targets: squared differences of pixels and of random features, at several sizes.

    targets: (M, C, H, W) float32 in [-1, 1]. Images are halved as long as the shorter side stays at 4 or more; at each size
    the pixels and two layers of fixed random 3x3 filters are compared, the features relative to the targets' own power.
    Random filters tell edges and texture apart well enough to follow their gradient (as in random-feature style losses,
    Ustyuzhaninov et al. 2017, arXiv:1606.00021); the distance is for optimising, not for reporting.
    """

    def __init__(self, targets: Tensor, seed: int = 0) -> None:
        channels, draws = targets.shape[1], torch.Generator().manual_seed(seed)
        self.filters: list[Tensor] = []
        for width in WIDTHS:
            filters = torch.randn(width, channels, 3, 3, generator=draws) * (2 / (9 * channels)) ** 0.5
            self.filters.append(filters.to(targets))
            channels = width
        self.levels = min(targets.shape[2:]).bit_length() - SMALLEST.bit_length() + 1
        self.targets = self._views(targets)
        self.powers = [view.square().mean().clamp_min(1e-6) for view in self.targets]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N,) distances; one target is held against all images, M = N pairwise."""
        views = self._views(images)
        parts = zip(views, self.targets, self.powers, strict=True)
        return torch.stack([(view - target).square().flatten(1).mean(1) / power for view, target, power in parts]).mean(
            0
        )

    def _views(self, images: Tensor) -> list[Tensor]:
        """Pixels and features at each size, large to small."""
        views = []
        for level in range(max(1, self.levels)):
            images = avg_pool2d(images, 2) if level else images
            features = images
            views.append(images)
            for filters in self.filters:
                features = leaky_relu(conv2d(features, filters, padding=1), 0.2)
                views.append(features)
        return views


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """(N,) peak signal-to-noise ratio in dB of images (N, ...) in [-1, 1]: 10 log10(2^2 / mean squared difference)."""
    return 10 * torch.log10(4 / (a - b).double().square().flatten(1).mean(1).clamp_min(1e-12)).float()
