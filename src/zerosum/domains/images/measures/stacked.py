"""Stacked digits: which of the 1,000 combinations a generator makes, read by a classifier of single digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domains.images.features import some
from zerosum.domains.images.measures.context import EvalContext
from zerosum.domains.images.measures.mode_coverage import (
    NUM_MODES,
    NUM_SAMPLES,
    expected_divergence,
    modes_and_divergence,
)
from zerosum.metrics.feature_networks import SmallClassifier, cached_classifier
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

DIGITS = "mnist"
"""The source whose training images the reader of the channels learns."""
MODES = "Combinations of three digits, of 1,000, that were seen among the generated images."
KL = "KL(shares of the combinations || all alike often), in nats; the reference is what as many real stacks score."
OF_FAKES = "standard error over the generated images, 20 groups left out in turn"


def is_stacked(source: ImageSource) -> bool:
    """Whether the source is one of stacked digits."""
    return getattr(source, "measure", "") == "stacked"


def records(at: EvalContext, fakes: Tensor, cache_dir: Path | None) -> list[Record]:
    """Modes and divergence of fakes (N, 3, H, W), which are more than those of the occasion; 26,000 are the protocol."""
    reader, name, sha256, accuracy = digit_reader(cache_dir)
    digits = read_digits(reader, fakes)
    found, (divergence, error) = modes_and_divergence(digits)
    num = len(fakes)
    details = at.sides(
        0, num, extractor=name, extractor_sha256=sha256, extractor_accuracy_heldout=accuracy, resize="none"
    )
    details |= {
        "protocol": "each channel read by itself" + ("" if num == NUM_SAMPLES else f"; {num:,} samples, not 26,000")
    }
    reals, _ = some(at.source.train, num, at.seed)
    floor = modes_and_divergence(read_digits(reader, reals))[1].value
    details["perfectly_even"] = round(expected_divergence(num), 4)
    return [
        Record(f"modes[{name},n={num}]", float(found), details, "higher", MODES, float(NUM_MODES)),
        Record(f"mode_kl[{name},n={num}]", divergence, details | {"error": OF_FAKES}, "lower", KL, floor, error),
    ]


def digit_reader(cache_dir: Path | None) -> tuple[SmallClassifier, str, str, float]:
    """The classifier of single digits, its name, the SHA-256 of its weights, and its accuracy on held-out digits."""
    from zerosum.domains.images.data import open_source

    source = open_source(DIGITS)
    labels, held = source.train.labels, source.heldout
    assert labels is not None
    assert held is not None
    assert held.labels is not None
    model, sha256 = cached_classifier(
        source.train.pixels, labels, source.fingerprint, cache_dir, num_classes=source.shape.num_classes
    )
    right = _read(model, held.pixels) == held.labels
    return model, f"{DIGITS}-classifier-{sha256[:8]}", sha256, float(right.double().mean())


def read_digits(reader: SmallClassifier, images: Tensor) -> Tensor:
    """(N, 3) digits of uint8 images (N, 3, H, W), a channel at a time."""
    return _read(reader, images.flatten(0, 1)[:, None]).view(len(images), -1)


@torch.no_grad()
def _read(reader: SmallClassifier, images: Tensor) -> Tensor:
    return torch.cat([reader(part.cpu()).argmax(1) for part in torch.split(images, 1000)])
