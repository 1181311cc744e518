"""Standard errors by leaving out a part of the samples at a time: the delete-a-group jackknife.

The bootstrap is not used: drawing with replacement repeats rows, and rows repeated make nearest-neighbour balls of radius 0
and a Fréchet distance biased as if there were a third fewer samples. Sources: Quenouille 1956; Tukey 1958; Shao and Tu 1995.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

NUM_GROUPS = 20


class Estimate(NamedTuple):
    """A measured number and its standard error."""

    value: float
    error: float


def group_of(num_rows: int, num_groups: int = NUM_GROUPS) -> Tensor:
    """(N,) int64: the group that each row is dealt to, in turn; sizes differ by one at most."""
    return torch.arange(num_rows) % min(num_groups, num_rows)


def spread(without: Tensor) -> float:
    """The standard error of a value from the values (G,) that were found without each of G groups in turn."""
    count = len(without)
    return float(((count - 1) / count * (without.double() - without.double().mean()).square().sum()).sqrt())


def jackknife(measure: Callable[[Tensor], float], rows: Tensor, num_groups: int = NUM_GROUPS) -> Estimate:
    """`measure` of all rows (N, ...), with the standard error that comes from which rows were drawn."""
    groups = group_of(len(rows), num_groups)
    without = [measure(rows[groups != group]) for group in range(int(groups.max()) + 1)]
    return Estimate(measure(rows), spread(torch.tensor(without, dtype=torch.float64)))


def share(flags: Tensor) -> Estimate:
    """The share of (N,) flags that are set, with its standard error."""
    mean = float(flags.double().mean())
    return Estimate(mean, share_error(mean, len(flags)))


def share_error(rate: float, num: int) -> float:
    """The standard error of a share of `num`: sqrt(p (1 - p) / n) with two more of either kind counted in, so that shares of
    0 and 1 are not sure. Source: Agresti and Coull 1998."""
    total = num + 4
    smoothed = (rate * num + 2) / total
    return float((smoothed * (1 - smoothed) / total) ** 0.5)
