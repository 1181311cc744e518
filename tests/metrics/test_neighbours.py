"""Neighbour measures against their expectations, brute force and scipy."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from zerosum.errors import UserError
from zerosum.metrics import neighbours
from zerosum.metrics.neighbours import diversity, mann_whitney_less, memorisation, nearest, unseen_distances


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b[None]).square().sum(-1).sqrt()


def test_block_size_and_row_order_move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(300, 8, seed=1) + 100, normal(200, 8, seed=2) + 100
    whole = nearest(fake, real), diversity(real)
    monkeypatch.setattr(neighbours, "_BLOCK", 700)
    assert_close(nearest(fake, real), whole[0])
    assert diversity(real) == pytest.approx(whole[1], rel=1e-12)
    assert diversity(real.flip(0)) == pytest.approx(whole[1], rel=1e-12)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_nearest_agrees_with_brute_force_and_finds_copies_exactly(kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(0, 256, (500, 1, 6, 6), generator=generator).to(kind)
    queries = torch.randint(0, 256, (50, 1, 6, 6), generator=generator).to(kind)
    queries[0] = keys[123]
    table = brute_distances(queries.flatten(1).double(), keys.flatten(1).double())
    distance, index = nearest(queries, keys)
    assert_close(distance, table.min(1).values)
    assert torch.equal(index, table.argmin(1))
    assert (distance[0], index[0]) == (0, 123)
    apart, other = nearest(keys[:5], keys, skip=torch.arange(5))
    table = brute_distances(keys.flatten(1).double(), keys.flatten(1).double()).fill_diagonal_(math.inf)
    assert_close(apart, table[:5].min(1).values)
    assert torch.equal(other, table[:5].argmin(1))


def test_diversity_is_the_mean_distance_of_all_pairs() -> None:
    assert diversity(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3, rel=1e-12)
    assert diversity(torch.full((50, 4), 1e6)) == 0.0
    d = 256  # the distance of two normal samples concentrates at sqrt(2 d)
    assert diversity(normal(300, d)) == pytest.approx(math.sqrt(2 * d), rel=0.01)


def test_mann_whitney_agrees_with_scipy_with_and_without_ties() -> None:
    from scipy.stats import mannwhitneyu

    for a, b in ((normal(80), normal(60, seed=1) + 0.2), (normal(80).round(), normal(60, seed=1).round() + 1)):
        exact = mannwhitneyu(a.numpy(), b.numpy(), alternative="less", method="asymptotic").pvalue
        assert mann_whitney_less(a, b) == pytest.approx(float(exact), rel=1e-9)
    assert mann_whitney_less(torch.ones(20), torch.ones(20)) == 1.0


def test_copies_are_found() -> None:
    train, held = normal(400, 8, seed=1), normal(200, 8, seed=2)
    found = memorisation(train[:150], train, held)
    assert found.copy_rate == 1.0
    assert found.fake_distance == 0.0
    assert found.p_value < 1e-20
    assert found.train_share == 1.0
    # 150 distinct neighbours, all of them from the 400 of 600: choose(400, 150) / choose(600, 150)
    logs = [math.lgamma(n + 1) - math.lgamma(n - 150 + 1) for n in (400, 600)]
    assert found.split_p_value == pytest.approx(math.exp(logs[0] - logs[1]), rel=1e-6)


def test_fresh_samples_are_no_copies() -> None:
    train, held = normal(2000, 8, seed=1), normal(1000, 8, seed=2)
    found = memorisation(normal(1000, 8, seed=3), train, held)
    assert found.copy_rate == pytest.approx(0.01, abs=0.01)
    assert found.p_value > 0.01
    assert found.expected_share == pytest.approx(2 / 3)
    assert found.train_share == pytest.approx(2 / 3, abs=0.05)
    assert found.split_p_value is not None
    assert found.split_p_value > 0.01


def test_timid_samples_fool_the_distance_test_but_not_the_split_test() -> None:
    train, held = normal(2000, 8, seed=1), normal(1000, 8, seed=2)
    found = memorisation(normal(500, 8, seed=3) * 0.5, train, held)
    assert found.p_value < 1e-6
    assert found.split_p_value is not None
    assert found.split_p_value > 0.01


def test_without_heldout_data_training_rows_are_left_out_in_turn() -> None:
    train = normal(300, 4)
    table = brute_distances(train, train).fill_diagonal_(math.inf)
    assert_close(unseen_distances(train, None), table.min(1).values)
    found = memorisation(train[:100], train, None)
    assert (found.copy_rate, found.train_share) == (1.0, None)


def test_exact_copies_count_even_where_the_data_repeat_themselves() -> None:
    train = normal(100, 4).repeat(2, 1)
    assert memorisation(train[:50], train, None).copy_rate == 1.0


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UserError, match="0 queries"):
        nearest(normal(0, 2), normal(10, 2))
    with pytest.raises(UserError, match="at least one"):
        nearest(normal(3, 2), normal(0, 2))
    with pytest.raises(UserError, match="at least 2"):
        diversity(normal(1, 2))
