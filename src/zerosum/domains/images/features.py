"""The features of a source's reals, and images as they are compared for copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors import Extractor, chosen, labeller
from zerosum.metrics.feature_networks import extract, shrunk_size
from zerosum.metrics.neighbours import diversity

if TYPE_CHECKING:
    from zerosum.domains.images.data import Images, ImageSource


MOST_VALUES = 784  # values per image up to which copies are searched at full size


@dataclass(frozen=True)
class Prepared:
    """The feature extractor and everything about the reals that does not change from one evaluation to the next.

    real, heldout: features (n, D) of a fixed random choice, with the reals' labels; labeller: the classifier of the source's
    own labels, or None; accuracy: of it on held-out reals, whose predicted labels are `heldout_classes`.
    """

    extractor: Extractor
    labeller: Extractor | None
    accuracy: float | None
    real: Tensor
    real_labels: Tensor | None
    heldout: Tensor | None
    heldout_classes: Tensor | None
    real_diversity: float

    @property
    def name(self) -> str:
        """Of the extractor."""
        return self.extractor.name

    @property
    def sha256(self) -> str:
        """Of the extractor's weights."""
        return self.extractor.sha256

    def features(self, images: Tensor) -> Tensor:
        """(N, D) of uint8 images."""
        return extract(self.extractor, images, self.extractor.batch)

    def classify(self, images: Tensor, features: Tensor) -> Tensor | None:
        """Labels (N,) that the source's classifier gives to images with these features; None without one."""
        if self.labeller is None:
            return None
        same = self.labeller.sha256 == self.extractor.sha256
        return self.labeller.labels(features if same else extract(self.labeller, images))


def some(images: Images, num: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """A fixed random choice of at most `num` rows: (pixels, labels or None)."""
    order = torch.randperm(len(images.pixels), generator=torch.Generator().manual_seed(seed))[:num]
    return images.pixels[order], None if images.labels is None else images.labels[order]


def prepare(source: ImageSource, choice: EvalOptions, num: int, seed: int, cache_dir: Path | None) -> Prepared:
    """Makes the extractor, and the classifier where there are labels, and extracts `num` reals, trained on and held out."""
    extractor, own = chosen(source, choice, cache_dir), labeller(source, cache_dir)
    pixels, labels = some(source.train, num, seed)
    real = extract(extractor, pixels, extractor.batch)
    heldout, classes, accuracy = None, None, None
    if source.heldout is not None and len(source.heldout.pixels) > 0:
        pixels, held_labels = some(source.heldout, num, seed)
        heldout = extract(extractor, pixels, extractor.batch)
        if own is not None:
            classes = own.labels(heldout if own.sha256 == extractor.sha256 else extract(own, pixels))
            if held_labels is not None:
                accuracy = float((classes == held_labels.cpu()).double().mean())
    spread = diversity(real[:500]) if len(real) > 1 else 0.0
    return Prepared(extractor, own, accuracy, real, None if labels is None else labels.cpu(), heldout, classes, spread)


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
