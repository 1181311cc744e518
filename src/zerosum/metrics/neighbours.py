"""Nearest neighbours, and what they tell: copies of training samples, and diversity.

Distances are Euclidean and computed block by block, so memory stays bounded for any number of rows, and no value
depends on the order of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.rows import blocks, blocks_within, drawn_rows, slices


def nearest(queries: Tensor, keys: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each query its nearest key: (distance float64 (Q,), index int64 (Q,)).

    queries: (Q, ...), keys: (K, ...), any number type (uint8 images too), rows flattened. skip: one key index a query
    that does not count, for queries that are themselves among the keys.
    """
    if len(queries) == 0 or len(keys) <= (skip is not None):
        raise UserError(f"nearest: {len(queries)} queries and {len(keys)} keys; both need at least one")
    queries, keys = queries.detach().cpu().flatten(1), keys.detach().cpu().flatten(1)
    _, index = _nearest_squared(queries, keys, skip)
    # The expansion |q|^2 - 2qk + |k|^2 loses digits for near copies, the very rows that matter: measure them directly.
    found = [
        (queries[rows].double() - keys[index[rows]].double()).square().sum(1).sqrt()
        for rows in slices(len(queries), queries.shape[1])
    ]
    return torch.cat(found), index


def diversity(features: Tensor) -> float:
    """Mean Euclidean distance over all pairs of different rows of (N, D); 0 when all samples are the same."""
    if len(features) < 2:
        raise UserError(f"diversity: {len(features)} samples; give at least 2")
    rows = features.detach().cpu().flatten(1).double()
    rows = rows - rows.mean(0)
    total = 0.0
    for _, squared in blocks_within(rows, 0.0):  # a row's distance to itself is 0; rounding would make it 1e-8
        total += float(squared.sqrt().sum())
    return total / (len(rows) * (len(rows) - 1))


@dataclass(frozen=True)
class Memorisation:
    """How close samples lie to the training set, against how close unseen reals lie.

    copy_rate: share of fakes no farther from the training set than the nearest 1 % of unseen reals (expected: 0.01).
    p_value: one-sided Mann-Whitney test; small when fakes lie closer to the training set than unseen reals do. Smooth
        or timid fakes also lie close, so read it together with the split test.
    fake_distance, reference_distance: medians of the distance to the nearest training sample.
    train_share, expected_share, split_p_value: among the distinct reals that are some fake's nearest neighbour in
        training and held-out data together, the share from the training set, its expectation when the generator
        favours neither, and the exact (hypergeometric) p-value; None without held-out data.
    """

    copy_rate: float
    p_value: float
    fake_distance: float
    reference_distance: float
    train_share: float | None
    expected_share: float | None
    split_p_value: float | None


def unseen_distances(train: Tensor, heldout: Tensor | None, limit: int = 2000) -> Tensor:
    """Distances of real samples to the nearest (other) training sample: held-out ones, else training ones left out in turn."""
    if heldout is not None and len(heldout) > 0:
        return nearest(heldout[drawn_rows(len(heldout), limit)], train)[0]
    index = torch.linspace(0, len(train) - 1, min(limit, len(train))).long()
    return nearest(train[index], train, skip=index)[0]


def memorisation(fake: Tensor, train: Tensor, heldout: Tensor | None, reference: Tensor | None = None) -> Memorisation:
    """Test whether fakes are copies of training samples.

    fake (F, ...), train (N, ...), heldout (H, ...) or None: rows of one space (pixels or features), any number type.
    reference: the result of `unseen_distances`, to save computing it again. Without held-out data each training sample is
    compared with the others. Source: the split test follows Meehan et al. 2020, arXiv:2004.05675, in spirit.
    """
    unseen = unseen_distances(train, heldout) if reference is None else reference
    distance, index = nearest(fake, train)
    threshold = torch.quantile(unseen, 0.01, interpolation="lower")
    split: tuple[float | None, float | None, float | None] = (None, None, None)
    if heldout is not None and len(heldout) > 0:
        split = _split_test(distance, index, *nearest(fake, heldout), len(train), len(heldout))
    return Memorisation(
        float((distance <= threshold).double().mean()),
        mann_whitney_less(distance, unseen),
        float(distance.median()),
        float(unseen.median()),
        *split,
    )


def mann_whitney_less(a: Tensor, b: Tensor) -> float:
    """One-sided p-value that `a` is not stochastically smaller than `b` (normal approximation, ties and continuity corrected).

    a: (N,), b: (M,); good from about 10 values a side. Returns 1 when all values are equal.
    Source: Mann and Whitney 1947.
    """
    n, m = len(a), len(b)
    _, inverse, counts = torch.unique(torch.cat([a, b]).double(), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0).double() - (counts.double() - 1) / 2)[inverse]
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = float((counts.double() ** 3 - counts.double()).sum())
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return 1.0
    return 0.5 * math.erfc(-(u - n * m / 2 + 0.5) / math.sqrt(2 * variance))


def _split_test(
    to_train: Tensor, in_train: Tensor, to_held: Tensor, in_held: Tensor, num_train: int, num_held: int
) -> tuple[float, float, float]:
    """(share, expected share, p-value). Distinct neighbours are counted, so a collapsed generator proves nothing."""
    a = len(set(in_train[to_train < to_held].tolist()))
    b = len(set(in_held[to_held < to_train].tolist()))
    expected = num_train / (num_train + num_held)
    if a + b == 0:
        return expected, expected, 1.0
    log_all = _log_choose(num_train + num_held, a + b)
    tail = sum(
        math.exp(_log_choose(num_train, i) + _log_choose(num_held, a + b - i) - log_all)
        for i in range(a, min(num_train, a + b) + 1)
        if a + b - i <= num_held
    )
    return a / (a + b), expected, min(tail, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _nearest_squared(queries: Tensor, keys: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Smallest squared distance and its key, over blocks of keys; number types below float64 are searched in float32."""
    kind = torch.float64 if queries.dtype == torch.float64 else torch.float32
    best = torch.full((len(queries),), math.inf, dtype=kind)
    index = torch.zeros(len(queries), dtype=torch.long)
    centre = keys[:10_000].to(torch.float64).mean(0).to(kind)
    rows = queries.to(kind) - centre
    for part in slices(len(keys), keys.shape[1]):
        block = keys[part].to(kind) - centre
        for some, squared in blocks(rows, block):
            if skip is not None:
                own = skip[some] - part.start
                here = (own >= 0) & (own < len(block))
                squared[here.nonzero()[:, 0], own[here]] = math.inf
            value, place = squared.min(1)
            better = value < best[some]
            best[some] = torch.where(better, value, best[some])
            index[some] = torch.where(better, place + part.start, index[some])
    return best, index
