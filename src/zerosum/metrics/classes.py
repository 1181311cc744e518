"""Measures of classes: class shares, the confidence of a classifier, and measures within each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.neighbours import diversity
from zerosum.metrics.record import Estimate, spread

NUM_SPLITS = 10


def class_score(probabilities: Tensor, num_splits: int = NUM_SPLITS) -> Estimate:
    """exp E KL(p(class | sample) || p(class)) of probabilities (N, K): the mean over consecutive splits of the samples.

    Between 1 (the same prediction for every sample) and K (each prediction certain, all classes equally frequent). With the
    standard Inception network this is the Inception Score (Salimans et al. 2016, arXiv:1606.03498); with any other classifier it
    is not, and is not called so. error: deviation over the splits / sqrt(splits). The value is biased by the number of samples in
    a split: compare at equal N and splits only. UserError unless rows are probabilities and there is one for each split.
    """
    rows = probabilities.detach().to("cpu", torch.float64)
    if rows.ndim != 2 or len(rows) < num_splits or num_splits < 2:
        raise UserError(
            f"class_score: probabilities have shape {tuple(rows.shape)} for {num_splits} splits; "
            "give (N, K) with N at least the number of splits, which is 2 or more"
        )
    if not bool((rows >= 0).all()) or not torch.allclose(rows.sum(1), torch.ones(len(rows), dtype=torch.float64)):
        raise UserError("class_score: rows must be probabilities: not negative, with sum 1")
    scores = torch.stack([_split_score(part) for part in torch.tensor_split(rows, num_splits)])
    return Estimate(float(scores.mean()), float(scores.std() / num_splits**0.5))


def _split_score(rows: Tensor) -> Tensor:
    return (torch.xlogy(rows, rows) - torch.xlogy(rows, rows.mean(0))).sum(1).mean().exp()


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
    counts as found from this part of its reference share on, so that a few errors of the classifier do not count.
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
    in_reference = expected > 0
    deviation = ((shares - expected).abs()[in_reference] / expected[in_reference]).max()
    found = (counts > 0) & (shares >= minimum_share * expected - 1e-12)
    present = shares > 0
    if bool((present & ~in_reference).any()):
        kl = math.inf
    else:
        kl = float((shares[present] * (shares[present] / expected[present]).log()).sum())
    return ClassCoverage(int(found.sum()), tuple(shares.tolist()), float(deviation), kl)


@dataclass(frozen=True)
class PerClass:
    """One value for each class that had enough samples. num: rows a side and class; error: of the mean over the classes."""

    values: dict[int, float]
    num: int
    error: float

    @property
    def mean(self) -> float:
        """The mean over the classes."""
        return sum(self.values.values()) / len(self.values)


def per_class_frechet(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, fewest: int = 100
) -> PerClass | None:
    """Fréchet distance within each class, from equally many rows of every class; None when some class has below `fewest`.

    real (N, D), fake (M, D): features; labels (N,), (M,). Classes are those of the reals; the error is over them.
    """
    classes = torch.unique(real_labels).tolist()
    num = min(int((labels == label).sum()) for labels in (real_labels, fake_labels) for label in classes)
    if num < max(fewest, 2):
        return None
    found = {
        label: frechet_distance(real[real_labels == label][:num], fake[fake_labels == label][:num]) for label in classes
    }
    return PerClass(found, num, _class_error(found))


def intra_class_diversity(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, fewest: int = 8
) -> PerClass | None:
    """Mean distance between fakes of a class over that between its reals, for each class with `fewest` of both.

    1 is as varied as the data; 0 is one sample for each class. `num` is the smallest number of rows used; the result is
    None without such a class.
    """
    found, smallest = {}, []
    for label in torch.unique(real_labels).tolist():
        reals, fakes = real[real_labels == label], fake[fake_labels == label]
        if min(len(reals), len(fakes)) >= max(fewest, 2):
            found[label] = diversity(fakes) / max(diversity(reals), 1e-12)
            smallest.append(min(len(reals), len(fakes)))
    return PerClass(found, min(smallest), _class_error(found)) if found else None


def _class_error(found: dict[int, float]) -> float:
    """The standard error of a mean over classes (the classes taken as drawn from many)."""
    values = torch.tensor(list(found.values()), dtype=torch.float64)
    if len(values) < 2:
        return 0.0
    return spread((values.sum() - values) / (len(values) - 1))
