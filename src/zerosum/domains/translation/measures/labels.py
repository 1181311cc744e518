"""Does each place of an image made of a label map look like its label? A fixed classifier of patches looks for them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from zerosum.domain import DatasetInfo
from zerosum.domains.translation.measures.context import EvalContext
from zerosum.domains.translation.measures.patch_labels import (
    STEPS,
    VERSION,
    PatchClassifier,
    label_accuracy,
    train_patch_classifier,
)
from zerosum.domains.translation.sides import sides
from zerosum.metrics.classifier import weights_sha256
from zerosum.metrics.record import Record
from zerosum.metrics.rows import drawn_rows

if TYPE_CHECKING:
    from zerosum.domains.translation.source import PairSource

MOST_ROWS = 2048
MEANING = (
    "Share of the places at which a small classifier, trained on real pairs, sees the label that was asked for; true "
    "targets score the reference."
)


class Reader:
    """Reads labels from images, where the pairs of a source are label maps and images. Trained at the first use, in some
    seconds, from a fixed seed, so that it is the same for all runs on the same data."""

    def __init__(self, source: PairSource, info: DatasetInfo) -> None:
        given, wanted = sides(info)
        self.applies = bool(info.payload["paired"]) and given.kind == "labels" and wanted.kind == "image"
        self.source, self.num_classes = source, given.channels

    @functools.cached_property
    def model(self) -> PatchClassifier:
        """The classifier."""
        batch = self.source.batch(drawn_rows(self.source.num_rows, MOST_ROWS))
        assert batch.condition is not None
        return train_patch_classifier(batch.data.cpu(), batch.condition.argmax(1).cpu(), self.num_classes, steps=STEPS)

    def prepare(self) -> None:
        """Trains it where it applies."""
        if self.applies:
            _ = self.model

    def records(self, at: EvalContext) -> list[Record]:
        """The accuracy of the labels in the fakes, beside that in the true targets."""
        if not self.applies:
            return []
        asked, sha = at.reals.inputs.argmax(1), weights_sha256(self.model)
        accuracy = label_accuracy(self.model, at.fakes, asked)
        how = at.protocol(
            extractor=VERSION,
            extractor_sha256=sha,
            extractor_training=f"{STEPS} steps on at most {MOST_ROWS} training pairs",
            places="every fourth pixel of every fourth row",
        )
        floor = label_accuracy(self.model, at.reals.targets, asked)
        name = f"label_accuracy[{VERSION}-{sha[:8]},n={len(at.fakes)}]"
        return [Record(name, accuracy, how, "higher", MEANING, floor)]
