"""Stacked digits: how many of the 1,000 combinations of three digits a generator makes, and how evenly.

The protocol of Lin et al. 2018 (PacGAN, arXiv:1712.04086), after Metz et al. 2017 and Srivastava et al. 2017: 26,000
samples, each channel read by a classifier of single digits.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from zerosum.domains.images.features import choose_rows
from zerosum.domains.images.measures import EvalContext
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import SmallClassifier, cached_classifier
from zerosum.metrics.record import Estimate, Record, group_of, spread

NUM_SAMPLES = 26_000
NUM_MODES = 1_000


def modes_of(digits: Tensor) -> Tensor:
    """(N,) int64 in 0..999: the number that the three digits (N, 3), each 0..9, are read as."""
    rows = digits.detach().cpu().long()
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or int(rows.min()) < 0 or int(rows.max()) > 9:
        raise UserError(f"stacked digits: labels {tuple(rows.shape)} must be (N, 3), each digit in 0..9")
    return rows @ torch.tensor([100, 10, 1])


def modes_and_divergence(digits: Tensor) -> tuple[int, Estimate]:
    """Combinations seen at least once, and KL(share of each || 1/1000) in nats, of digits (N, 3).

    0 if all combinations are equally frequent; log 1000 if there is only one. N samples of perfectly uniform combinations have
    about 999 / (2 N): 0.0192 at 26,000.
    """
    modes = modes_of(digits)
    counts = torch.bincount(modes, minlength=NUM_MODES).double()
    groups = group_of(len(modes))
    parts = [torch.bincount(modes[groups == group], minlength=NUM_MODES) for group in range(int(groups.max()) + 1)]
    without = torch.stack([_from_uniform(counts - part) for part in parts])
    return int((counts > 0).sum()), Estimate(float(_from_uniform(counts)), spread(without))


def expected_divergence(num: int) -> float:
    """The divergence that `num` samples of perfectly even combinations show, to first order in 1 / num."""
    return (NUM_MODES - 1) / (2 * num)


def _from_uniform(counts: Tensor) -> Tensor:
    shares = counts / counts.sum()
    return torch.xlogy(shares, shares).sum() + math.log(NUM_MODES)


DIGITS = "mnist"
"""The source on whose training images the classifier of the channels is trained."""
MODES = "Combinations of three digits, of 1,000, that were seen among the generated images."
KL = "KL(shares of the combinations || uniform), in nats; the reference is the value of as many real stacks."
OF_FAKES = "standard error over the generated images, 20 groups left out in turn"


def records(at: EvalContext, fakes: Tensor, cache_dir: Path | None) -> list[Record]:
    """Modes and divergence of fakes (N, 3, H, W), more than those of the context; the protocol has 26,000."""
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
    reals, _ = choose_rows(at.source.train, num, at.seed)
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
