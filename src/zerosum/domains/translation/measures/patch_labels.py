"""Does each place of an image look like its label? A small fixed classifier of patches answers, trained on real images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerosum.errors import UserError
from zerosum.metrics.classifier import one_thread

VERSION = "patch-classifier-v1"
STEPS, BATCH = 300, 16
STRIDE = 4
"""Verdicts are given for every fourth pixel of every fourth row."""


class PatchClassifier(nn.Module):
    """Four convolutions that see 33x33 pixels, then a label for every fourth one: (N, C, H, W) -> logits (N, K, H / 4, W / 4)."""

    def __init__(self, channels: int, num_classes: int, width: int = 24) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(2 * width, num_classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images in [-1, 1]."""
        logits: Tensor = self.body(images)
        return logits


def coarse(labels: Tensor) -> Tensor:
    """Every fourth label of every fourth row of maps (N, H, W) int64: what the classifier is asked for."""
    return labels[:, ::STRIDE, ::STRIDE]


def train_patch_classifier(
    images: Tensor, labels: Tensor, num_classes: int, seed: int = 0, steps: int = STEPS
) -> PatchClassifier:
    """Trained on images (N, C, H, W) in [-1, 1] and label maps (N, H, W); in eval mode, frozen.

    Adam at 2e-3 falling to 0, batches of 16. One CPU thread: the same arguments give the same weights. The global random
    state is left alone.
    """
    if len(images) != len(labels) or images.shape[2:] != labels.shape[1:]:
        raise UserError(f"patch classifier: images {tuple(images.shape)} with maps {tuple(labels.shape)} do not fit")
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise UserError(f"patch classifier: labels must lie in 0..{num_classes - 1}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchClassifier(images.shape[1], num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    draws = torch.Generator().manual_seed(seed)
    with torch.enable_grad(), one_thread():
        for step in range(steps):
            rows = torch.randint(len(images), (BATCH,), generator=draws)
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps)
            optimizer.zero_grad()
            cross_entropy(model(images[rows].float()), coarse(labels[rows])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval().requires_grad_(False)


@torch.no_grad()
def label_accuracy(model: PatchClassifier, images: Tensor, labels: Tensor, batch: int = 64) -> float:
    """The share of places of images (N, C, H, W) at which the classifier sees the label of the maps (N, H, W)."""
    right = [
        (model(image.float()).argmax(1) == coarse(label)).float().mean((1, 2))
        for image, label in zip(torch.split(images, batch), torch.split(labels, batch), strict=True)
    ]
    return float(torch.cat(right).mean())
