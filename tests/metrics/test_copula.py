"""The Gaussian copula: columns stay as they are, correlations come back, and independence is told."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.domains.tables.baselines import Copula
from zerosum.errors import UserError


def normals(num: int, correlation: float) -> torch.Tensor:
    draws = torch.randn(num, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    second = correlation * draws[:, 0] + math.sqrt(1 - correlation**2) * draws[:, 1]
    return torch.stack([draws[:, 0].exp(), second], 1)  # the first log-normal: its ranks are a normal's


def test_the_correlation_of_normal_scores_comes_back_whatever_the_columns_are() -> None:
    values = normals(20_000, 0.7)
    found = Copula.fit(values)
    correlation = found.root @ found.root.T
    assert float(correlation[0, 1]) == pytest.approx(0.7, abs=0.01)
    picked = found.sample(20_000, seed=1)
    made = values.gather(0, picked)
    again = torch.corrcoef(torch.stack([made[:, 0].log(), made[:, 1]]))[0, 1]
    assert float(again) == pytest.approx(0.7, abs=0.015)


def test_every_row_is_as_likely_in_every_column() -> None:
    picked = Copula.fit(normals(50, 0.5)).sample(100_000, seed=2)
    shares = torch.stack([torch.bincount(column, minlength=50) for column in picked.unbind(1)]) / 100_000
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 50), atol=0.003, rtol=0)


def test_independent_columns() -> None:
    values = normals(5_000, 0.9)
    made = values.gather(0, Copula.independent(values).sample(5_000, seed=0))
    assert abs(float(torch.corrcoef(torch.stack([made[:, 0].log(), made[:, 1]]))[0, 1])) < 0.05
    assert torch.equal(Copula.independent(values).sample(9, seed=3), Copula.independent(values).sample(9, seed=3))


def test_codes_and_columns_that_repeat_one_another() -> None:
    code = torch.tensor([0.0, 0, 0, 1, 1, 2]).repeat(200)
    values = torch.stack([code, code * 10, torch.zeros(1_200)], 1)
    found = Copula.fit(values)
    assert torch.isfinite(found.root).all()  # singular where columns say the same
    shares = torch.bincount(values.gather(0, found.sample(30_000, seed=0))[:, 0].long()) / 30_000
    torch.testing.assert_close(shares, torch.tensor([1 / 2, 1 / 3, 1 / 6]), atol=0.01, rtol=0)
    single = Copula.fit(code[:, None])
    torch.testing.assert_close(single.root.square(), torch.ones(1, 1, dtype=torch.float64))


def test_equal_values_are_ranked_by_chance() -> None:
    """In the order of the rows a constant would hang together with whatever rises with them."""
    rising = torch.arange(4_000.0)
    correlation = Copula.fit(torch.stack([rising, torch.zeros(4_000)], 1))
    assert abs(float((correlation.root @ correlation.root.T)[0, 1])) < 0.06


def test_one_row_is_refused() -> None:
    with pytest.raises(UserError, match="two or more rows"):
        Copula.fit(torch.zeros(1, 3))
