"""A probe: a small classifier trained to tell plain images from changed ones, and what it says of others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.feature_networks import SmallClassifier, train_classifier

STEPS, BATCH = 250, 128
FEWEST = 16
"""Below this many images of a kind there is nothing to learn from, or to judge by."""


@dataclass(frozen=True)
class AugmentationSigns:
    """How many of some images look changed.

    share: of the images judged. false_alarms: the same share of plain images that the probe never saw. caught: of changed
    images that it never saw. error: the standard error of share - false_alarms.
    """

    share: float
    false_alarms: float
    caught: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether more look changed than plain images do, by more than 3 standard errors."""
        return self.share - self.false_alarms > 3 * self.error


def worsened(images: Tensor, seed: int) -> Tensor:
    """Float images (N, C, H, W) in [-1, 1] as a generator that is not perfect might make them: each is, with chances of 1/2,
    mixed with another one (up to a half), blurred (up to a box of about a tenth of its side), and noisy (deviation up to 0.2).

    A probe that learns from such images, plain and changed alike, does not take poor quality for a change.
    """
    random = torch.Generator().manual_seed(seed)

    def draw(most: float) -> Tensor:
        """(N, 1, 1, 1): 0 for about a half of the images, uniform up to `most` for the others."""
        return ((torch.rand(len(images), 1, 1, 1, generator=random) * 2 - 1) * most).clamp(min=0)

    others = images[torch.randperm(len(images), generator=random)]
    mixed = torch.lerp(images, others, draw(0.5))
    border = max(1, min(images.shape[2:]) // 20)
    wide = torch.nn.functional.pad(mixed, [border] * 4, mode="replicate")
    blurred = torch.lerp(mixed, torch.nn.functional.avg_pool2d(wide, 2 * border + 1, 1), draw(1.0))
    return (blurred + draw(0.2) * torch.randn(images.shape, generator=random)).clamp(-1, 1)


def train_probe(plain: Tensor, changed: Tensor, seed: int = 0) -> SmallClassifier:
    """Learns to tell plain from changed uint8 images (N, C, H, W); the rarer kind is repeated until both are as many.

    UserError with fewer than 16 of a kind.
    """
    if min(len(plain), len(changed)) < FEWEST:
        raise UserError(f"probe: {len(plain)} plain and {len(changed)} changed images; give at least {FEWEST} of each")
    count = max(len(plain), len(changed))
    both = [images[torch.arange(count) % len(images)] for images in (plain, changed)]
    labels = torch.arange(2).repeat_interleave(count)
    return train_classifier(torch.cat(both), labels, num_classes=2, seed=seed, steps=STEPS, batch_size=BATCH)


def suspect(probe: SmallClassifier, images: Tensor, plain: Tensor, changed: Tensor) -> AugmentationSigns:
    """What the probe says of uint8 `images`, beside plain and changed ones that it never saw (all (N, C, H, W))."""
    share, false_alarms, caught = (_share(probe, part) for part in (images, plain, changed))
    variances = [_variance(false_alarms, len(plain)), _variance(share, len(images))]
    return AugmentationSigns(share, false_alarms, caught, sum(variances) ** 0.5)


@torch.no_grad()
def _share(probe: SmallClassifier, images: Tensor) -> float:
    """The share that the probe calls changed."""
    return float(torch.cat([probe(part).argmax(1) for part in torch.split(images, 500)]).double().mean())


def _variance(share: float, count: int) -> float:
    """Of a share among `count`, with one more of each kind (Laplace), so that 0 of 20 is not taken for certain."""
    likely = (share * count + 1) / (count + 2)
    return likely * (1 - likely) / count
