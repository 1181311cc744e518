"""Nearest neighbours of rows: diversity, copies of training samples, precision and recall, density and coverage.

Distances are Euclidean and computed block by block, so memory stays bounded for any number of rows. No value depends on the
order of rows; the standard errors of precision, recall, density and coverage do, as any estimate of an error does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.record import Estimate, group_of, share, spread

_BLOCK = 4_000_000  # distances held at once (32 MB in float64)


def slices(num_rows: int, width: int) -> Iterator[slice]:
    """Slices of `num_rows` rows that are `width` values wide, of about four million values each."""
    step = max(_BLOCK // max(width, 1), 1)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of all pairs of (Q, D) and (K, D), as (slice of queries, (rows, K) block) that may be written to."""
    norms = keys.square().sum(1)
    for part in slices(len(queries), len(keys)):
        rows = queries[part]
        yield part, torch.addmm(norms[None], rows, keys.T, alpha=-2).add_(rows.square().sum(1)[:, None]).clamp_min_(0)


def blocks_within(rows: Tensor, skip_rows: float) -> Iterator[tuple[slice, Tensor]]:
    """The same within one set (N, D); the distance of a row to itself counts as `skip_rows`."""
    for part, squared in blocks(rows, rows):
        squared[torch.arange(len(squared)), torch.arange(part.start, part.start + len(squared))] = skip_rows
        yield part, squared


def sample_rows(num_rows: int, most: int, seed: int = 0) -> Tensor:
    """(n,) int64 indices in increasing order: all rows, or `most` of them, drawn without replacement from the seed.

    Data are often sorted by class, so the first rows are not a random sample.
    """
    if num_rows <= most:
        return torch.arange(num_rows)
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))[:most].sort().values


def nearest(queries: Tensor, keys: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For each query its nearest key: (distance float64 (Q,), index int64 (Q,)).

    queries: (Q, ...), keys: (K, ...), any number type (uint8 images too), rows flattened. skip: one key index a query
    that does not count, for queries that are themselves among the keys.
    """
    if len(queries) == 0 or len(keys) <= (skip is not None):
        raise UserError(f"nearest: {len(queries)} queries and {len(keys)} keys; both need at least one")
    queries, keys = queries.detach().cpu().flatten(1), keys.detach().cpu().flatten(1)
    _, index = _nearest_squared(queries, keys, skip)
    # The expansion |q|^2 - 2qk + |k|^2 loses digits for near copies, so the distances found are computed again directly.
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
    """How close samples are to the training set, compared with unseen reals.

    copy_rate: share of fakes no farther from the training set than the nearest 1 % of unseen reals (expected: 0.01).
    p_value: one-sided Mann-Whitney test; small if fakes are closer to the training set than unseen reals are. Smooth
        fakes or fakes of low variety are close too, so use it together with the split test.
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
        return nearest(heldout[sample_rows(len(heldout), limit)], train)[0]
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
    """(share, expected share, p-value). Distinct neighbours are counted, so a collapsed generator is not taken for a
    copying one."""
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
        for query_rows, squared in blocks(rows, block):
            if skip is not None:
                skip_rows = skip[query_rows] - part.start
                inside = (skip_rows >= 0) & (skip_rows < len(block))
                squared[inside.nonzero()[:, 0], skip_rows[inside]] = math.inf
            value, place = squared.min(1)
            better = value < best[query_rows]
            best[query_rows] = torch.where(better, value, best[query_rows])
            index[query_rows] = torch.where(better, place + part.start, index[query_rows])
    return best, index


# Two blocks of different shape may round the same distance differently; ties are decided for the neighbour.
_SLACK = 1e-9
_SPARE = 8  # neighbours beyond the k-th that are searched first when a group is left out


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Estimate, Estimate]:
    """Improved precision (fakes within the real manifold) and recall (reals within the fake manifold).

    real: (N, D), fake: (M, D) features. A set's manifold is the union of balls around its points, each reaching to
    the k-th neighbour in the same set (the point itself not counted; the boundary counts). Two shares in [0, 1].
    For two samples of one distribution they are below 1: 0.79 at k=3, N=M=1000, 16 dimensions.
    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991.
    """
    real, fake = _centre_pair(real, fake, k)
    inside = _count_balls(fake, real, _inflate(_radii(real, k), real)) > 0
    groups = group_of(len(fake))
    limits = _inflate(_radii_without(fake, k, groups), fake)
    limits[torch.arange(len(fake)), groups] = -1  # a left-out ball contains nothing
    found = torch.empty(len(real), limits.shape[1], dtype=torch.bool)
    for part, squared in blocks(real, fake):
        for column, limit in enumerate(limits.T.contiguous()):
            found[part, column] = (squared <= limit).any(1)
    shares = found.double().mean(0)
    return share(inside), Estimate(float(shares[-1]), spread(shares[:-1]))


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[Estimate, Estimate]:
    """Density (number of real balls that contain a fake, over k; may exceed 1) and coverage (share of real balls with a fake).

    real: (N, D), fake: (M, D). For two samples of one distribution the density is 1 and the coverage `expected_coverage`.
    Source: Naeem et al. 2020, arXiv:2002.09797, equations 4 and 5.
    """
    real, fake = _centre_pair(real, fake, k)
    limits = _inflate(_radii(real, k), real)
    groups = group_of(len(fake))
    member = torch.nn.functional.one_hot(groups).float()
    held, by_group = torch.zeros(len(fake), dtype=torch.float64), []
    for part, squared in blocks(real, fake):
        within = (squared <= limits[part, None]).float()
        held += within.sum(0)
        by_group.append(within @ member)  # whole numbers below 2**24: exact in float32
    counts = torch.cat(by_group)
    total = counts.sum(1, keepdim=True)
    density = Estimate(float(held.mean()) / k, float(held.std()) / k / len(fake) ** 0.5)
    without = (total - counts > 0).double().mean(0)
    return density, Estimate(float((total > 0).double().mean()), spread(without))


def expected_coverage(num_real: int, num_fake: int, k: int = 5) -> float:
    """The mean coverage when both sets come from one distribution: 1 - prod_{i=1..k} (N-i) / (N+M-i)."""
    return 1 - math.prod((num_real - i) / (num_real + num_fake - i) for i in range(1, k + 1))


def _centre_pair(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets in float64, moved by one common vector so that the expanded squares keep their digits."""
    for name, rows in (("real", real), ("fake", fake)):
        if rows.ndim != 2 or len(rows) <= k:
            raise UserError(f"{name} features have shape {tuple(rows.shape)}; k={k} neighbours need more than {k} rows")
        if not bool(torch.isfinite(rows).all()):
            raise UserError(f"{name} features are not finite; look at the samples first")
    centre = real.detach().cpu().double().mean(0)
    return real.detach().cpu().double() - centre, fake.detach().cpu().double() - centre


def _radii(rows: Tensor, k: int) -> Tensor:
    """(N,) squared distance of each row to its k-th neighbour in the same set."""
    return torch.cat([squared.kthvalue(k, dim=1).values for _, squared in blocks_within(rows, math.inf)])


def _radii_without(rows: Tensor, k: int, groups: Tensor) -> Tensor:
    """(N, G + 1): the same without the rows of each group in turn, and last among all rows. inf: too few are left."""
    num_groups, found = int(groups.max()) + 1, []
    for _, squared in blocks_within(rows, math.inf):
        near, index = squared.topk(min(k + _SPARE, len(rows)), dim=1, largest=False)
        radii = near[:, k - 1, None].repeat(1, num_groups + 1)
        for group in range(num_groups):
            left = near.masked_fill(groups[index] == group, math.inf).kthvalue(k, dim=1).values
            few = left.isinf().nonzero()[:, 0]
            if len(few) and int((groups != group).sum()) > k:
                left[few] = squared[few][:, groups != group].kthvalue(k, dim=1).values
            radii[:, group] = left
        found.append(radii)
    return torch.cat(found)


def _inflate(radii: Tensor, rows: Tensor) -> Tensor:
    return radii * (1 + _SLACK) + 1e-12 * rows.square().sum(1).mean()


def _count_balls(queries: Tensor, centres: Tensor, limits: Tensor) -> Tensor:
    """For each query the number of balls (centre, squared radius) that hold it."""
    return torch.cat([(squared <= limits).sum(1) for _, squared in blocks(queries, centres)])
