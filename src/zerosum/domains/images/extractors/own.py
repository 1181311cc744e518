"""`classifier`: trained once on the source's own labels, then kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors.extractor import Extractor
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import cached_classifier, shrunk_size

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource


def possible(source: ImageSource) -> bool:
    """Whether the source has labels to learn."""
    return source.train.labels is not None and int(source.shape.num_classes) > 1


def make(source: ImageSource, choice: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The classifier of this source. UserError when it has no labels."""
    labels = source.train.labels
    if labels is None or not possible(source):
        raise UserError(
            f"--extractor classifier: {source.name} has no labels to train one on. Use random, inception or file:PATH."
        )
    num_classes = int(source.shape.num_classes)
    model, sha256 = cached_classifier(
        source.train.pixels, labels, source.fingerprint, cache_dir, num_classes=num_classes
    )
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", source.name).strip("-")
    resize = resize_of(source.shape.height, source.shape.width)
    return Extractor(f"{plain}-classifier-{sha256[:8]}", sha256, resize, model.features, model.head)


def resize_of(height: int, width: int) -> str:
    """What the small networks do to images of this size."""
    small = shrunk_size(height, width)
    return "none" if small == (height, width) else f"bilinear, antialiased, to {small[0]}x{small[1]}"
