"""Shared layers: dropout by random bytes, and the choice of a normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zerosum.nn.layers import Dropout, norm, row_norm


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("bernoulli", [False, True])
def test_dropout_keeps_its_share_and_the_mean(p: float, bernoulli: bool) -> None:
    """Of 400,000 ones a share round(256 p)/256, or p itself, is dropped (five standard errors), the rest is scaled by its
    inverse."""
    torch.manual_seed(0)
    n, dropped = 400_000, p if bernoulli else round(p * 256) / 256
    y = Dropout(p, bernoulli)(torch.ones(n))
    error = 5 * (dropped * (1 - dropped) / n) ** 0.5
    assert (y == 0).float().mean().item() == pytest.approx(dropped, abs=error)
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([1 / (1 - dropped)]))
    assert y.mean().item() == pytest.approx(1, abs=error / (1 - dropped))


def test_dropout_masks_entries_independently() -> None:
    """Neighbours come from one random word; the share of both dropped must still be p^2."""
    torch.manual_seed(1)
    dropped = (Dropout(0.5)(torch.ones(50_000, 8)) == 0).float()
    together = dropped.T @ dropped / 50_000
    expected = torch.full((8, 8), 0.25).fill_diagonal_(0.5)
    torch.testing.assert_close(together, expected, rtol=0, atol=5 * (0.25 * 0.75 / 50_000) ** 0.5)


def test_dropout_is_the_identity_in_eval_and_at_zero() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.0, bernoulli=True)(x) is x


def test_bernoulli_dropout_is_that_of_torch() -> None:
    """The same numbers from the same generator."""
    results = []
    for layer in (Dropout(0.2, bernoulli=True), nn.Dropout(0.2)):
        torch.manual_seed(5)
        results.append(layer(torch.randn(40, 7, generator=torch.Generator().manual_seed(1))))
    assert torch.equal(*results)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5, 2)])
def test_dropout_is_reproducible_and_passes_its_mask_to_the_gradient(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, requires_grad=True)
    results = []
    for _ in range(2):
        torch.manual_seed(4)
        results.append(Dropout(0.5)(x))
    assert torch.equal(*results)
    assert results[0].shape == shape
    (slope,) = torch.autograd.grad(results[0].sum(), x)
    assert torch.equal(slope, results[0].detach())


def test_dropout_keeps_the_type_and_other_masks_follow() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.5), torch.ones(1000, dtype=torch.bfloat16)
    one, other = layer(x), layer(x)
    assert one.dtype == torch.bfloat16
    assert not torch.equal(one, other)
    assert "p=0.5" in repr(layer)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_refuses_shares_out_of_range(p: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        Dropout(p)


def test_norms() -> None:
    assert isinstance(norm("batch", 6), nn.BatchNorm2d)
    assert isinstance(row_norm("batch", 6), nn.BatchNorm1d)
    assert all(isinstance(make("none", 6), nn.Identity) for make in (norm, row_norm))
    x = torch.randn(3, 32, 4, 4) * 5 + 2
    groups = norm("group", 32)(x).view(3, 2, -1)
    torch.testing.assert_close(groups.mean(2), torch.zeros(3, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(groups.std(2, correction=0), torch.ones(3, 2), rtol=0, atol=1e-4)
    assert norm("group", 6)(torch.randn(2, 6, 3, 3)).shape == (2, 6, 3, 3)  # fewer than one group of 16
    rows = row_norm("group", 10)(torch.randn(4, 10) * 3)
    torch.testing.assert_close(rows.mean(1), torch.zeros(4), rtol=0, atol=1e-5)
