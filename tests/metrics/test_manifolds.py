"""Precision, recall, density and coverage against their expectations, brute force and repeated draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from zerosum.errors import UserError
from zerosum.metrics import neighbours
from zerosum.metrics.neighbours import density_coverage, expected_coverage, precision_recall
from zerosum.metrics.record import group_of, spread


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(-1).sqrt()


def brute(real: Tensor, fake: Tensor, k: int) -> tuple[float, float, float, float]:
    radii = brute_distances(real, real).sort(1).values[:, k]  # column 0 is the point itself
    inside = brute_distances(fake, real) <= radii
    fake_radii = brute_distances(fake, fake).sort(1).values[:, k]
    recall = (brute_distances(real, fake) <= fake_radii).any(1).double().mean()
    density = float(inside.double().sum()) / (k * len(fake))
    return float(inside.any(1).double().mean()), float(recall), density, float(inside.any(0).double().mean())


def values(real: Tensor, fake: Tensor, k: int) -> tuple[float, ...]:
    return tuple(one.value for one in (*precision_recall(real, fake, k), *density_coverage(real, fake, k)))


def test_small_sets_agree_with_brute_force() -> None:
    real, fake = normal(40, 3, seed=1), normal(30, 3, seed=2) + 0.5
    assert values(real, fake, 3) == pytest.approx(brute(real, fake, 3), rel=1e-12)


@pytest.mark.parametrize("spare", [0, 8])
def test_errors_are_those_of_leaving_each_group_out(spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut (neighbours kept for all groups at once) against doing it all anew without each group."""
    monkeypatch.setattr(neighbours, "_SPARE", spare)
    real, fake = normal(60, 3, seed=1), normal(50, 3, seed=2) * 1.5
    groups = group_of(len(fake))
    without = torch.tensor([brute(real, fake[groups != group], 3) for group in range(20)])
    (_, recall), (_, coverage) = precision_recall(real, fake, 3), density_coverage(real, fake, 3)
    assert recall.error == pytest.approx(spread(without[:, 1]), rel=1e-6)
    assert coverage.error == pytest.approx(spread(without[:, 3]), rel=1e-6)


def test_errors_are_as_large_as_the_scatter_over_draws() -> None:
    """Fakes drawn again and again, the reals kept: each error within a factor of two of what is seen."""
    real, draws = normal(300, 8), [normal(300, 8, seed=9 + seed) * 1.2 + 0.2 for seed in range(24)]
    found = torch.tensor([[*precision_recall(real, fake), *density_coverage(real, fake)] for fake in draws])
    ratio = found[:, :, 1].mean(0) / found[:, :, 0].std(0)
    assert ((ratio > 0.5) & (ratio < 2.2)).all(), ratio


def test_identical_distributions_reach_their_known_expectations() -> None:
    runs = [(normal(1000, 16, seed=i), normal(1000, 16, seed=50 + i)) for i in range(3)]
    precisions = torch.tensor([precision_recall(*pair, k=3) for pair in runs])[:, :, 0].mean(0)
    assert_close(precisions, torch.tensor([0.79, 0.79]), atol=0.02, rtol=0)
    for k, coverage in ((3, 0.8754), (5, 0.9690)):
        assert expected_coverage(1000, 1000, k) == pytest.approx(coverage, abs=1e-4)
        found = torch.tensor([density_coverage(*pair, k=k) for pair in runs])[:, :, 0].mean(0)
        assert_close(found, torch.tensor([1.0, coverage]), atol=0.03, rtol=0)


def test_the_same_set_twice_is_perfect() -> None:
    rows = normal(200, 4)
    precision, recall, _, coverage = values(rows, rows.flip(0), 3)
    assert (precision, recall, coverage) == (1.0, 1.0, 1.0)


def test_a_collapsed_generator_has_precision_without_recall() -> None:
    real, fake = normal(500, 4, seed=1), normal(500, 4, seed=2) * 0.05
    precision, recall, _, coverage = values(real, fake, 5)
    assert precision > 0.95
    assert recall < 0.05
    assert coverage < 0.2


def test_the_balls_are_the_reals() -> None:
    """Real balls at 0, 1 and 3 of radii 1, 1 and 2 hold the fakes 0.5 and 0.6 twice each; the fakes' balls tell another story."""
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [0.6], [10.0], [11.0]])
    (precision, _), (recall, _) = precision_recall(real, fake, 1)
    (density, _), (coverage, _) = density_coverage(real, fake, 1)
    assert (precision, density) == (0.5, 1.0)
    assert (recall, coverage) == (0.0, pytest.approx(2 / 3))
    (density, _), (coverage, _) = density_coverage(fake, real, 1)
    assert (density, coverage) == (0.0, 0.0)


def test_block_size_and_row_order_move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(300, 8, seed=1) + 100, normal(200, 8, seed=2) + 100
    whole = precision_recall(real, fake), density_coverage(real, fake)
    monkeypatch.setattr(neighbours, "_BLOCK", 700)
    for mine, theirs in zip((*precision_recall(real, fake), *density_coverage(real, fake)), (*whole[0], *whole[1])):
        assert mine == pytest.approx(theirs, rel=1e-12)
    assert values(real.flip(0), fake.flip(0), 3) == pytest.approx(values(real, fake, 3), rel=1e-12)


def test_too_few_and_broken_rows_are_refused() -> None:
    with pytest.raises(UserError, match="more than 3 rows"):
        precision_recall(normal(3, 2), normal(10, 2))
    with pytest.raises(UserError, match="not finite"):
        density_coverage(normal(10, 2), torch.full((10, 2), math.nan))
