"""Optimal transport against closed forms, every pairing tried, and another package."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from zerosum.errors import UserError
from zerosum.metrics.distances import wasserstein1_1d, wasserstein2


def test_w1_on_the_line_by_hand() -> None:
    assert wasserstein1_1d(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 5.0])) == pytest.approx(3.5)
    assert wasserstein1_1d(torch.tensor([2.0, 0.0, 1.0]), torch.tensor([1.0, 2.0, 0.0])) == 0
    # One point shared out over two: half of it moves by 1, half by 3.
    assert wasserstein1_1d(torch.tensor([0.0]), torch.tensor([-1.0, 3.0])) == pytest.approx(2.0)
    assert wasserstein1_1d(torch.tensor([0.0, 0.0, 6.0]), torch.tensor([0.0, 3.0])) == pytest.approx(1.5)


def test_w1_of_a_shift_is_the_shift_and_equal_sizes_are_sorted_pairs() -> None:
    x = torch.randn(1001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.rand(1001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert wasserstein1_1d(x, x - 0.75) == pytest.approx(0.75)
    assert wasserstein1_1d(x, y) == pytest.approx(float((x.sort().values - y.sort().values).abs().mean()))
    assert wasserstein1_1d(x, y) == pytest.approx(wasserstein1_1d(y, x))


def test_w2_is_the_best_of_all_pairings() -> None:
    rng = torch.Generator().manual_seed(3)
    x, y = torch.randn(6, 2, generator=rng), torch.randn(6, 2, generator=rng) + 1
    tried = [float((x - y[list(order)]).square().sum(1).mean()) for order in itertools.permutations(range(6))]
    assert wasserstein2(x, y) == pytest.approx(math.sqrt(min(tried)), rel=1e-6)
    line_x, line_y = x[:, :1], y[:, :1]
    tried = [float((line_x - line_y[list(order)]).square().mean()) for order in itertools.permutations(range(6))]
    assert wasserstein2(line_x, line_y) == pytest.approx(math.sqrt(min(tried)), rel=1e-6)


def test_w2_of_a_shift_and_of_itself() -> None:
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(4))
    assert wasserstein2(x, x[torch.randperm(300)]) == pytest.approx(0, abs=1e-6)
    assert wasserstein2(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5.0, rel=1e-5)
    # The plane's way and the line's way agree where the second coordinate is constant.
    flat = torch.cat([x[:, :1], torch.zeros(300, 1)], 1)
    other = torch.cat([x[:, 1:] * 2, torch.zeros(300, 1)], 1)
    assert wasserstein2(flat, other) == pytest.approx(wasserstein2(flat[:, :1], other[:, :1]), rel=1e-6)


def test_w2_agrees_with_pot() -> None:
    ot = pytest.importorskip("ot")
    rng = torch.Generator().manual_seed(5)
    x, y = torch.randn(200, 2, generator=rng).double(), torch.rand(200, 2, generator=rng).double() * 3
    expected = math.sqrt(ot.emd2([], [], ot.dist(x.numpy(), y.numpy())))
    assert wasserstein2(x, y) == pytest.approx(expected, rel=1e-9)


def test_w2_of_normals_approaches_the_closed_form() -> None:
    """W2^2 = |m1 - m2|^2 + sum (s1 - s2)^2 for normals with diagonal covariances, here at evenly spaced quantiles."""
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    z = torch.special.ndtri(u)[:, None]
    assert wasserstein2(z, 1.0 + 2.5 * z) == pytest.approx(math.sqrt(1 + 1.5**2), rel=1e-3)


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((3, 2), (3, 1)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_w2_refuses_what_it_cannot_pair(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match="two of one"):
        wasserstein2(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_w1_refuses_what_is_no_line() -> None:
    with pytest.raises(UserError, match="y has shape"):
        wasserstein1_1d(torch.zeros(3), torch.zeros(3, 1))


def test_w1_is_float64_throughout() -> None:
    """4,999 against 5,000 points: shares of 1/N are no float32 numbers, and the error of rounding them adds up."""
    x = torch.rand(4_999, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    y = torch.rand(5_000, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * 1.5 - 0.2
    places = np.sort(np.concatenate([x, y]))
    below = [np.searchsorted(np.sort(side.numpy()), places[:-1], side="right") / len(side) for side in (x, y)]
    assert wasserstein1_1d(x, y) == pytest.approx(float(np.abs(below[0] - below[1]) @ np.diff(places)), rel=1e-13)
