"""Maximum likelihood: closed forms against searches, divergences against integrals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zerosum.metrics.transport import wasserstein1_1d
from zerosum.theory import divergence, likelihood, transport

X = torch.linspace(-60, 60, 240_001, dtype=torch.float64)


def sample(seed: int = 0, num: int = 501) -> Tensor:
    return torch.randn(num, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 1.7 + 0.4


def near(best: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Parameters a little away from the best, in each direction."""
    moves = [-0.01, 0.01]
    return [tuple(b + move * (i == j) for j, b in enumerate(best)) for i in range(len(best)) for move in moves]


@pytest.mark.parametrize(
    ("fit", "log_density", "data"),
    [
        (likelihood.fit_normal, likelihood.normal, sample()),
        (likelihood.fit_laplace, likelihood.laplace, sample()),
        (lambda x: (likelihood.fit_exponential(x),), likelihood.exponential, sample().abs()),
    ],
    ids=["normal", "laplace", "exponential"],
)
def test_fits_are_the_most_likely(
    fit: Callable[[Tensor], tuple[Tensor, ...]], log_density: Callable[..., Tensor], data: Tensor
) -> None:
    best = fit(data)
    top = log_density(data, *best).mean()
    for other in near(best):
        assert log_density(data, *other).mean() < top


def test_fit_of_a_table_is_its_shares() -> None:
    counts = torch.tensor([3.0, 0.0, 5.0, 2.0], dtype=torch.float64)
    p = likelihood.fit_categorical(counts)
    assert p.tolist() == [0.3, 0.0, 0.5, 0.2]
    others = torch.rand(500, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    others = others / others.sum(1, keepdim=True)
    assert (divergence.cross_entropy(p, others) > divergence.cross_entropy(p, p)).all()


def test_weighted_fit_is_the_fit_of_repeated_values() -> None:
    x, times = torch.tensor([-1.0, 0.5, 4.0]).double(), torch.tensor([1, 3, 2])
    repeated = likelihood.fit_normal(x.repeat_interleave(times))
    torch.testing.assert_close(likelihood.fit_normal(x, times.double() / 6), repeated)


@pytest.mark.parametrize(
    ("log_density", "parameters", "others", "closed"),
    [
        (likelihood.normal, (0.3, 1.2), (-0.5, 2.0), likelihood.kl_normal),
        (likelihood.laplace, (0.3, 1.2), (-0.5, 2.0), likelihood.kl_laplace),
        (likelihood.laplace, (0.3, 1.2), (0.3, 0.6), likelihood.kl_laplace),
        (likelihood.exponential, (1.2,), (2.0,), likelihood.kl_exponential),
    ],
    ids=["normal", "laplace", "laplace of one place", "exponential"],
)
def test_divergences_against_integrals(
    log_density: Callable[..., Tensor],
    parameters: tuple[float, ...],
    others: tuple[float, ...],
    closed: Callable[..., float],
) -> None:
    x = torch.linspace(0, 60, 120_001, dtype=torch.float64) if len(parameters) == 1 else X
    p, q = log_density(x, *parameters), log_density(x, *others)
    assert torch.trapezoid(p.exp(), x).item() == pytest.approx(1, abs=1e-6)
    assert torch.trapezoid(p.exp() * (p - q), x).item() == pytest.approx(closed(*parameters, *others), abs=1e-6)
    assert closed(*parameters, *parameters) == pytest.approx(0, abs=1e-12)


def test_entropy_of_a_normal_distribution() -> None:
    p = likelihood.normal(X, 0.0, 1.7)
    assert -torch.trapezoid(p.exp() * p, X).item() == pytest.approx(likelihood.entropy_normal(1.7), abs=1e-9)


def test_exponential_has_nothing_below_zero() -> None:
    assert likelihood.exponential(torch.tensor([-0.1]).double(), 1.0).item() == -math.inf


# --- transport


@pytest.mark.parametrize(("mean", "deviation"), [(2.0, 1.0), (0.0, 2.0), (1.0, 2.0), (-3.0, 0.25)])
def test_wasserstein_between_normals(mean: float, deviation: float) -> None:
    """The area between the distribution functions, and the mean distance of equal quantiles."""
    cdf = torch.special.ndtr(X), torch.special.ndtr((X - mean) / deviation)
    closed = transport.w1_normal(0.0, 1.0, mean, deviation)
    assert torch.trapezoid((cdf[0] - cdf[1]).abs(), X).item() == pytest.approx(closed, abs=1e-6)
    share = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    quantiles = torch.special.ndtri(share)
    assert wasserstein1_1d(quantiles, mean + deviation * quantiles) == pytest.approx(closed, abs=1e-4)
    assert transport.w1_normal(mean, deviation, 0.0, 1.0) == pytest.approx(closed)


def test_penalised_critic_by_search() -> None:
    """Between two points D apart, min over the slope s of -s D + w (|s| - 1)^2; below it the wrong minimum, left of 0."""
    slopes = torch.linspace(-3, 3, 600_001, dtype=torch.float64)
    for weight in (5.0, 100.0):
        loss = -2 * slopes + weight * (slopes.abs() - 1) ** 2
        right, wrong = slopes[loss.argmin()], slopes[slopes < 0][loss[slopes < 0].argmin()]
        assert transport.penalised_value(2.0, weight) == pytest.approx(2 * right.item(), abs=1e-4)
        assert transport.penalised_value(2.0, weight, wrong_way=True) == pytest.approx(2 * wrong.item(), abs=1e-4)
