"""Whether each place of an image shows its label: a small classifier of patches, trained on real pairs, predicts the
labels.

Legend: N rows, C channels, K classes, H height, W width.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerosum.domain import DatasetInfo
from zerosum.domains.translation.measures.context import TranslationEvaluation
from zerosum.domains.translation.sides import sides
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import one_thread, weights_sha256
from zerosum.metrics.neighbours import sample_rows
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.translation.source import PairSource

VERSION = "patch-classifier-v1"
STEPS, BATCH = 300, 16
STRIDE = 4
"""Labels are predicted for every fourth pixel of every fourth row."""


class PatchClassifier(nn.Module):
    """Four convolutions with a receptive field of 33x33 pixels, then logits for every fourth pixel: (N, C, H, W) ->
    logits (N, K, H / 4, W / 4)."""

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


def subsample_labels(labels: Tensor) -> Tensor:
    """Every fourth label of every fourth row of maps (N, H, W) int64: the targets of the classifier."""
    return labels[:, ::STRIDE, ::STRIDE]


def train_patch_classifier(
    images: Tensor, labels: Tensor, num_classes: int, seed: int = 0, steps: int = STEPS
) -> PatchClassifier:
    """Trains a classifier on images (N, C, H, W) in [-1, 1] and label maps (N, H, W); returned in eval mode, frozen.

    Adam with a rate that falls from 2e-3 to 0, batches of 16. It uses one CPU thread, so that equal arguments give equal
    weights.
    The global random state is not changed.
    """
    if len(images) != len(labels) or images.shape[2:] != labels.shape[1:]:
        raise UserError(f"patch classifier: images {tuple(images.shape)} with maps {tuple(labels.shape)} do not fit")
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise UserError(f"patch classifier: labels must lie in 0..{num_classes - 1}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PatchClassifier(images.shape[1], num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    rng = torch.Generator().manual_seed(seed)
    with torch.enable_grad(), one_thread():
        for step in range(steps):
            rows = torch.randint(len(images), (BATCH,), generator=rng)
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps)
            optimizer.zero_grad()
            cross_entropy(model(images[rows].float()), subsample_labels(labels[rows])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval().requires_grad_(False)


@torch.no_grad()
def label_accuracy(model: PatchClassifier, images: Tensor, labels: Tensor, batch: int = 64) -> float:
    """The share of positions of images (N, C, H, W) at which the classifier predicts the label of the maps (N,
    H, W)."""
    correct = [
        (model(image.float()).argmax(1) == subsample_labels(label)).float().mean((1, 2))
        for image, label in zip(torch.split(images, batch), torch.split(labels, batch), strict=True)
    ]
    return float(torch.cat(correct).mean())


MAX_ROWS = 2048
MEANING = (
    "Share of the positions at which a small classifier, trained on real pairs, predicts the label of the input; the "
    "reference is that of true targets."
)


class LabelReader:
    """Predicts labels from images if a source has pairs of label maps and images. Trained at the first use, in
    some seconds, with a fixed seed, so that it is the same for all runs on the same data."""

    def __init__(self, source: PairSource, info: DatasetInfo) -> None:
        given, target = sides(info)
        self.applies = bool(info.payload["paired"]) and given.kind == "labels" and target.kind == "image"
        self.source, self.num_classes = source, given.channels

    @functools.cached_property
    def model(self) -> PatchClassifier:
        """The classifier."""
        batch = self.source.batch(sample_rows(self.source.num_rows, MAX_ROWS))
        assert batch.condition is not None
        return train_patch_classifier(batch.data.cpu(), batch.condition.argmax(1).cpu(), self.num_classes, steps=STEPS)

    def prepare(self) -> None:
        """Trains the classifier if it applies."""
        if self.applies:
            _ = self.model

    def records(self, evaluation: TranslationEvaluation) -> list[Record]:
        """The label accuracy of the fakes, with that of the true targets as reference."""
        if not self.applies:
            return []
        labels, sha = evaluation.reals.inputs.argmax(1), weights_sha256(self.model)
        accuracy = label_accuracy(self.model, evaluation.fakes, labels)
        how = evaluation.protocol(
            extractor=VERSION,
            extractor_sha256=sha,
            extractor_training=f"{STEPS} steps on at most {MAX_ROWS} training pairs",
            places="every fourth pixel of every fourth row",
        )
        floor = label_accuracy(self.model, evaluation.reals.targets, labels)
        name = f"label_accuracy[{VERSION}-{sha[:8]},n={len(evaluation.fakes)}]"
        return [Record(name, accuracy, how, "higher", MEANING, floor)]
