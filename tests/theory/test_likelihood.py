"""Maximum likelihood: closed forms against searches, divergences against integrals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.metrics.distances import wasserstein1_1d
from zerosum.theory import divergence

X = torch.linspace(-60, 60, 240_001, dtype=torch.float64)


def sample(seed: int = 0, num: int = 501) -> Tensor:
    return torch.randn(num, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 1.7 + 0.4


def near(best: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Parameters a little away from the best, in each direction."""
    moves = [-0.01, 0.01]
    return [tuple(b + move * (i == j) for j, b in enumerate(best)) for i in range(len(best)) for move in moves]


def test_the_fit_is_the_most_likely() -> None:
    data = sample()
    best = divergence.fit_normal(data)
    top = divergence.normal_log_density(data, *best).mean()
    for other in near(best):
        assert divergence.normal_log_density(data, *other).mean() < top


def test_weighted_fit_is_the_fit_of_repeated_values() -> None:
    x, times = torch.tensor([-1.0, 0.5, 4.0]).double(), torch.tensor([1, 3, 2])
    repeated = divergence.fit_normal(x.repeat_interleave(times))
    torch.testing.assert_close(divergence.fit_normal(x, times.double() / 6), repeated)


def test_the_normal_density_has_its_mass_and_its_entropy() -> None:
    """Against integrals: 1, and log s + (1 + log 2 pi) / 2."""
    p = divergence.normal_log_density(X, 0.3, 1.7)
    assert torch.trapezoid(p.exp(), X).item() == pytest.approx(1, abs=1e-6)
    entropy = math.log(1.7) + 0.5 * (1 + math.log(2 * math.pi))
    assert -torch.trapezoid(p.exp() * p, X).item() == pytest.approx(entropy, abs=1e-9)


# --- transport


@pytest.mark.parametrize(("mean", "deviation"), [(2.0, 1.0), (0.0, 2.0), (1.0, 2.0), (-3.0, 0.25)])
def test_wasserstein_between_normals(mean: float, deviation: float) -> None:
    """The area between the distribution functions, and the mean distance of equal quantiles."""
    cdf = torch.special.ndtr(X), torch.special.ndtr((X - mean) / deviation)
    closed = divergence.w1_normal(0.0, 1.0, mean, deviation)
    assert torch.trapezoid((cdf[0] - cdf[1]).abs(), X).item() == pytest.approx(closed, abs=1e-6)
    share = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    quantiles = torch.special.ndtri(share)
    assert wasserstein1_1d(quantiles, mean + deviation * quantiles) == pytest.approx(closed, abs=1e-4)
    assert divergence.w1_normal(mean, deviation, 0.0, 1.0) == pytest.approx(closed)


def test_penalised_critic_by_search() -> None:
    """Between two points D apart, min over the slope s of -s D + w (|s| - 1)^2; below it the wrong minimum, left of 0."""
    slopes = torch.linspace(-3, 3, 600_001, dtype=torch.float64)
    for weight in (5.0, 100.0):
        loss = -2 * slopes + weight * (slopes.abs() - 1) ** 2
        right, wrong = slopes[loss.argmin()], slopes[slopes < 0][loss[slopes < 0].argmin()]
        assert divergence.penalised_value(2.0, weight) == pytest.approx(2 * right.item(), abs=1e-4)
        assert divergence.penalised_value(2.0, weight, wrong_way=True) == pytest.approx(2 * wrong.item(), abs=1e-4)
