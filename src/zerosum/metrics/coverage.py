"""Which classes a generator makes, and in which shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError


@dataclass(frozen=True)
class ClassCoverage:
    """Class shares of a sample set against their reference.

    classes_found: classes whose share is at least `minimum_share` of their reference share.
    shares: one a class, sum 1.
    largest_deviation: the largest |share - reference| / reference over the classes that occur in the reference.
    kl: Kullback-Leibler divergence of the shares from the reference in nats; inf when a class appears that the
        reference does not have.
    """

    classes_found: int
    shares: tuple[float, ...]
    largest_deviation: float
    kl: float


def class_coverage(
    predicted: Tensor, num_classes: int, reference: Sequence[float] | None = None, minimum_share: float = 0.1
) -> ClassCoverage:
    """Count the classes of predicted labels (N,) or of probabilities or logits (N, num_classes).

    reference: expected share of each class, need not be normalised; None means equal shares. minimum_share: a class
    counts as found from this part of its reference share on, so that a few slips of the classifier do not count.
    Raises UserError on an empty set or labels out of range.
    """
    labels = (predicted.argmax(1) if predicted.ndim == 2 else predicted).detach().cpu().long()
    if labels.ndim != 1 or len(labels) == 0:
        raise UserError(f"class_coverage: labels have shape {tuple(predicted.shape)}; give at least one")
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise UserError(f"class_coverage: labels must lie in 0..{num_classes - 1}, found {int(labels.max())}")
    counts = torch.bincount(labels, minlength=num_classes).double()
    shares = counts / counts.sum()
    expected = torch.as_tensor([1.0] * num_classes if reference is None else reference, dtype=torch.float64)
    if len(expected) != num_classes or float(expected.sum()) <= 0:
        raise UserError(f"class_coverage: reference has {len(expected)} shares for {num_classes} classes")
    expected = expected / expected.sum()
    known = expected > 0
    deviation = ((shares - expected).abs()[known] / expected[known]).max()
    found = (counts > 0) & (shares >= minimum_share * expected - 1e-12)
    present = shares > 0
    if bool((present & ~known).any()):
        kl = math.inf
    else:
        kl = float((shares[present] * (shares[present] / expected[present]).log()).sum())
    return ClassCoverage(int(found.sum()), tuple(shares.tolist()), float(deviation), kl)
