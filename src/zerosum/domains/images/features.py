"""The feature extractor of a source of images, and the features of its reals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zerosum.metrics.classifier import Extractor, SmallClassifier, cached_classifier, extract, shrunk_size
from zerosum.metrics.neighbours import diversity
from zerosum.metrics.random_features import random_features

if TYPE_CHECKING:
    from zerosum.domains.images.data import Images, ImageSource


MOST_VALUES = 784  # values per image up to which copies are searched at full size


@dataclass(frozen=True)
class Prepared:
    """The feature extractor and everything about the reals that does not change from one evaluation to the next.

    real, heldout: features (n, 64) of a fixed random choice; accuracy: of the classifier on held-out reals.
    """

    extractor: Extractor
    name: str
    sha256: str
    accuracy: float | None
    real: Tensor
    heldout: Tensor | None
    real_diversity: float

    def classify(self, features: Tensor) -> Tensor | None:
        """Predicted labels (N,), or None when the extractor is not a classifier."""
        if not isinstance(self.extractor, SmallClassifier):
            return None
        predicted: Tensor = self.extractor.head(features).argmax(1)
        return predicted


def some(images: Images, num: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """A fixed random choice of at most `num` rows: (pixels, labels or None)."""
    order = torch.randperm(len(images.pixels), generator=torch.Generator().manual_seed(seed))[:num]
    return images.pixels[order], None if images.labels is None else images.labels[order]


def prepare(source: ImageSource, num_samples: int, seed: int, cache_dir: Path | None) -> Prepared:
    """Train or load the classifier of the source (a random network where it has no labels) and extract the reals."""
    train, held = source.train, source.heldout
    num_classes = int(source.shape.num_classes)
    extractor: Extractor
    if train.labels is not None and num_classes > 1:
        extractor, sha256 = cached_classifier(
            train.pixels, train.labels, source.fingerprint, cache_dir, num_classes=num_classes
        )
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", source.name).strip("-")
        name = f"{plain}-classifier-{sha256[:8]}"
    else:
        channels, height, width = train.pixels.shape[1:]
        random = random_features((channels, height, width))
        extractor, name, sha256 = random, random.name, random.sha256
    real = extract(extractor, some(train, num_samples, seed)[0])
    heldout, accuracy = None, None
    if held is not None and len(held.pixels) > 0:
        pixels, labels = some(held, num_samples, seed)
        heldout = extract(extractor, pixels)
        if labels is not None and isinstance(extractor, SmallClassifier):
            accuracy = float((extractor.head(heldout).argmax(1) == labels.cpu()).double().mean())
    spread = diversity(real[:500]) if len(real) > 1 else 0.0
    return Prepared(extractor, name, sha256, accuracy, real, heldout, spread)


def for_copies(images: Tensor) -> Tensor:
    """Images as they are compared for copies: as given up to 784 values, else shrunk to a longer side of 16."""
    if images[0].numel() <= MOST_VALUES:
        return images.cpu()
    size = shrunk_size(images.shape[2], images.shape[3], 16)
    parts = [
        nn.functional.interpolate(part.cpu().float(), size=size, mode="bilinear", antialias=True)
        .round()
        .to(torch.uint8)
        for part in torch.split(images, 1000)
    ]
    return torch.cat(parts)
