"""Entropies and divergences of tables: known numbers, identities, and what the definitions demand of any two tables."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.theory import divergence

P = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)
Q = torch.full((4,), 0.25, dtype=torch.float64)
LOG2 = math.log(2)


def tables(num: int = 200, symbols: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pairs of random tables, some of them nearly certain."""
    generator = torch.Generator().manual_seed(seed)
    p, q = (4 * torch.randn(2, num, symbols, dtype=torch.float64, generator=generator)).softmax(-1)
    return p, q


def test_known_numbers() -> None:
    half, certain = torch.tensor([0.5, 0.5]).double(), torch.tensor([1.0, 0.0]).double()
    assert divergence.entropy(half).item() == pytest.approx(LOG2)
    assert divergence.entropy(certain).item() == 0
    assert divergence.kl(certain, half).item() == pytest.approx(LOG2)
    assert divergence.kl(half, certain).item() == math.inf
    assert divergence.cross_entropy(certain, half).item() == pytest.approx(LOG2)
    assert divergence.cross_entropy(half, certain).item() == math.inf
    by_hand = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)  # of KL(half || m), m = (3/4, 1/4)
    assert divergence.js(half, certain).item() == pytest.approx(by_hand / 2 + math.log(1 / 0.75) / 2)
    assert divergence.total_variation(P, Q).item() == pytest.approx((0.15 + 0.15 + 0.05 + 0.05) / 2)
    assert divergence.squared_hellinger(certain, half).item() == pytest.approx((1 - 0.5**0.5) ** 2 + 0.5)
    assert divergence.pearson(P, Q).item() == pytest.approx((2 * 0.15**2 + 2 * 0.05**2) / 0.25)
    assert divergence.pearson(half, certain).item() == math.inf
    assert divergence.pearson(certain, half).item() == pytest.approx(1)


@pytest.mark.parametrize("name", ["kl", "js", "total_variation", "squared_hellinger", "pearson"])
def test_nothing_apart_is_exactly_zero(name: str) -> None:
    """Also where a symbol never comes; a tiny residue would show in curves that ought to touch 0."""
    p, _ = tables()
    p[:, 0] = 0
    assert (getattr(divergence, name)(p, p) == 0).all()


def test_identities_of_any_two_tables() -> None:
    p, q = tables()
    torch.testing.assert_close(divergence.cross_entropy(p, q), divergence.entropy(p) + divergence.kl(p, q))
    torch.testing.assert_close(divergence.js(p, q), divergence.js(q, p))
    torch.testing.assert_close(divergence.total_variation(p, q), divergence.total_variation(q, p))
    mixed = divergence.entropy((p + q) / 2) - (divergence.entropy(p) + divergence.entropy(q)) / 2
    torch.testing.assert_close(divergence.js(p, q), mixed)  # a second way
    torch.testing.assert_close(divergence.total_variation(p, q), (p - q).clamp(min=0).sum(-1))
    assert divergence.kl(p, q).shape == (200,)


def test_inequalities_of_any_two_tables() -> None:
    p, q = tables()
    kl, js, tv = divergence.kl(p, q), divergence.js(p, q), divergence.total_variation(p, q)
    hellinger = divergence.squared_hellinger(p, q)
    assert (kl > 0).all()
    assert ((js > 0) & (js <= LOG2)).all()
    assert ((tv > 0) & (tv <= 1)).all()
    assert ((hellinger > 0) & (hellinger <= 2)).all()
    assert (tv <= (kl / 2).sqrt()).all()  # Pinsker
    assert (js <= LOG2 * tv).all()  # Lin 1991
    assert ((hellinger / 2 <= tv) & (tv <= hellinger.sqrt())).all()  # Le Cam
    assert (kl <= divergence.pearson(p, q).log1p()).all()


def test_nothing_in_common() -> None:
    p, q = torch.tensor([[0.3, 0.7, 0, 0], [0, 0, 0.6, 0.4]], dtype=torch.float64)
    assert divergence.js(p, q).item() == pytest.approx(LOG2)
    assert divergence.total_variation(p, q).item() == pytest.approx(1)
    assert divergence.squared_hellinger(p, q).item() == pytest.approx(2)
    assert divergence.optimal_value(p, q).item() == pytest.approx(0, abs=1e-12)


# --- the best discriminator


def test_no_discriminator_is_better_than_the_best() -> None:
    p, q = tables()
    best = divergence.optimal_discriminator(p, q)
    torch.testing.assert_close(divergence.game_value(best, p, q), divergence.optimal_value(p, q))
    others = torch.rand(200, 200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (divergence.game_value(others, p, q) <= divergence.optimal_value(p, q)).all()


def test_the_best_discriminator_at_the_edges() -> None:
    p, q = torch.tensor([0.0, 0.0, 1.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.0, 0.5]).double()
    assert divergence.optimal_discriminator(p, q).tolist() == [0.5, 0.0, 1.0, 0.5]


def test_the_game_is_worth_least_where_the_tables_are_equal() -> None:
    p, q = tables()
    assert (divergence.optimal_value(p, p) == -math.log(4)).all()
    assert (divergence.optimal_value(p, q) > -math.log(4)).all()
