"""Densities against quadrature, against their samples, and against closed forms."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor

from zerosum.domains.toy import densities
from zerosum.domains.toy.densities import DENSITIES, Density
from zerosum.domains.toy.measures import DensityCells
from zerosum.errors import UserError

POINTS = {"points": [[-1.0, 0.5], [0.3, 0.2], [0.4, -1.0]], "spread": 0.2}
NAMES = sorted(DENSITIES)
SIDE = 9
ON_THE_LINE = ("normal", "uniform", "exponential", "laplace", "mixture", "discrete")


def made(name: str) -> Density:
    return densities.build(name, **(POINTS if name == "drawn" else {}))


@functools.lru_cache
def quadrature(name: str) -> tuple[Tensor, Tensor]:
    """Places (N, D) over the box and a margin, and the probability of the small square around each, by midpoints.

    The box is SIDE cells wide and the margin whole cells, so that the edges of cells are edges of squares.
    """
    density = made(name)
    margin, fine = (3 * SIDE, 1_000) if density.num_dims == 1 else (1, 15)
    num = (SIDE + 2 * margin) * fine
    sides = [(low - margin * (high - low) / SIDE, high + margin * (high - low) / SIDE) for low, high in density.box]
    middles = [low + (torch.arange(num, dtype=torch.float64) + 0.5) * (high - low) / num for low, high in sides]
    places = torch.cartesian_prod(*middles).view(-1, density.num_dims)
    return places, density.log_prob(places).exp() * math.prod((high - low) / num for low, high in sides)


@pytest.mark.parametrize("name", NAMES)
def test_density_integrates_to_one_and_so_do_its_cells(name: str) -> None:
    density = made(name)
    places, mass = quadrature(name)
    edge = 2e-2 if name == "checkerboard" else 2e-3  # a sharp edge is found to the width of a square
    torch.testing.assert_close(float(mass.sum()), 1.0, atol=edge, rtol=0)
    cells = DensityCells(density.box, SIDE)
    by_sum = torch.zeros(cells.num, dtype=torch.float64).index_add(0, cells.index(places), mass)
    torch.testing.assert_close(cells.probabilities(density), by_sum, atol=edge, rtol=0)
    torch.testing.assert_close(float(cells.probabilities(density).sum()), 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_the_density(name: str) -> None:
    """Chi-squared over the cells; those of fewer than 10 expected points are taken together."""
    density, num = made(name), 50_000
    cells = DensityCells(density.box, 60 if made(name).num_dims == 1 else 16)
    expected = cells.probabilities(density) * num
    counts = cells.counts(density.sample(num, torch.Generator().manual_seed(5)))
    rare = expected < 10
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    freedom = len(counts) - 1
    statistic = float(((counts - expected).square() / expected.clamp(min=1)).sum())
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)
    assert float(expected[-1]) < 0.02 * num  # the box holds nearly all


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_distribution_function_and_quantile(name: str) -> None:
    density = made(name)
    places, mass = quadrature(name)
    chosen = torch.arange(1000, len(places) - 1, 777)
    upper_edges = (places[chosen, 0] + places[chosen + 1, 0]) / 2
    torch.testing.assert_close(density.cdf(upper_edges), mass.cumsum(0)[chosen], atol=2e-3, rtol=0)
    u = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    torch.testing.assert_close(density.cdf(density.quantile(u)), u, atol=1e-9, rtol=0)
    points = density.sample(20_000, torch.Generator().manual_seed(2))[:, 0].double().sort().values
    steps = torch.arange(1, 20_001, dtype=torch.float64) / 20_000
    assert float((density.cdf(points) - steps).abs().max()) < 1.95 / math.sqrt(20_000)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("name", [name for name in NAMES if name != "drawn"])
def test_deviation_is_about_one(name: str) -> None:
    places, mass = quadrature(name)
    mean = (places * mass[:, None]).sum(0)
    deviation = ((places - mean).square() * mass[:, None]).sum(0).sqrt()
    assert bool(((deviation > 0.65) & (deviation < 1.35)).all()), deviation


def test_closed_forms() -> None:
    x = torch.tensor([[0.3], [1.7]], dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor(0.5, dtype=torch.float64), 2.0)
    torch.testing.assert_close(densities.normal(mean=0.5, deviation=2.0).log_prob(x), normal.log_prob(x[:, 0]))
    torch.testing.assert_close(densities.exponential().log_prob(x), -x[:, 0])
    laplace = torch.distributions.Laplace(torch.tensor(0.0, dtype=torch.float64), math.sqrt(0.5))
    torch.testing.assert_close(densities.laplace().log_prob(x), laplace.log_prob(x[:, 0]))
    torch.testing.assert_close(densities.uniform().log_prob(x), torch.full((2,), -math.log(2 * math.sqrt(3))).double())
    assert densities.uniform().log_prob(torch.tensor([[1.8]])).item() == -math.inf
    assert densities.exponential().log_prob(torch.tensor([[-1e-6]])).item() == -math.inf


def test_modes_of_ring_grid_and_drawn_points() -> None:
    ring, grid = densities.ring(), densities.grid()
    assert ring.modes is not None
    assert grid.modes is not None
    torch.testing.assert_close(ring.modes.norm(dim=1), torch.full((8,), math.sqrt(2)).double())
    assert (len(grid.modes), ring.spread, densities.moons().modes) == (25, 0.05, None)
    assert densities.drawn(points=((0.0,), (1.0,)), spread=0.1).modes is not None
    assert densities.drawn(points=((0.0,), (0.5,)), spread=0.1).modes is None  # they run into each other
    middle = torch.zeros(1, 2)
    by_hand = math.log(math.exp(-0.5 / 0.04) / (2 * math.pi * 0.04))  # both points lie 1 away, at equal weights
    drawn = densities.drawn(points=((1.0, 0.0), (-1.0, 0.0)), spread=0.2)
    torch.testing.assert_close(drawn.log_prob(middle).item(), by_hand)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rong", {}, "Did you mean 'ring'"),
        ("ring", {"spread": 0.0}, "spread must be more than 0"),
        ("mixture", {"weights": (1.0, 2.0)}, "weights must be 3 numbers above 0"),
        ("drawn", {}, "points must be a list"),
        ("drawn", {"points": ((1.0, 2.0), (3.0,))}, "points must be a list"),
    ],
)
def test_what_cannot_be_built_is_named(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        densities.build(name, **options)


def test_the_plane_has_no_distribution_function() -> None:
    with pytest.raises(ValueError, match="one dimension; ring has 2"):
        densities.ring().cdf(torch.zeros(1))
