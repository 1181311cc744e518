"""Measures of what a generator makes of each class that it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.metrics.frechet import frechet_distance
from zerosum.metrics.jackknife import spread
from zerosum.metrics.neighbours import diversity


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
    num = min(int((labels == one).sum()) for labels in (real_labels, fake_labels) for one in classes)
    if num < max(fewest, 2):
        return None
    found = {one: frechet_distance(real[real_labels == one][:num], fake[fake_labels == one][:num]) for one in classes}
    return PerClass(found, num, _error(found))


def intra_class_diversity(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, fewest: int = 8
) -> PerClass | None:
    """Mean distance between fakes of a class over that between its reals, for each class with `fewest` of both.

    1 is as varied as the data, 0 one sample a class. `num` is the smallest number of rows used. None without such a class.
    """
    found, least = {}, []
    for one in torch.unique(real_labels).tolist():
        reals, fakes = real[real_labels == one], fake[fake_labels == one]
        if min(len(reals), len(fakes)) >= max(fewest, 2):
            found[one] = diversity(fakes) / max(diversity(reals), 1e-12)
            least.append(min(len(reals), len(fakes)))
    return PerClass(found, min(least), _error(found)) if found else None


def _error(found: dict[int, float]) -> float:
    """The standard error of a mean over classes (the classes taken as drawn from many)."""
    values = torch.tensor(list(found.values()), dtype=torch.float64)
    if len(values) < 2:
        return 0.0
    return spread((values.sum() - values) / (len(values) - 1))
