"""Two sets of shapes by their distances: hand-made matrices, identities, and which way round they go."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.domains.points import distances as shape_sets
from zerosum.errors import UserError


def line(*places: float) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float64)


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a[:, None] - b[None]).abs()


SAMPLES, REFERENCES = line(0, 0.1, 0.2), line(0.05, 5, 9)


def test_matching_and_coverage_of_a_hand_made_set() -> None:
    """All samples are nearest to the first reference: a third is covered; the others are 4.8 and 8.8 from any sample."""
    between = apart(SAMPLES, REFERENCES)
    assert shape_sets.minimum_matching_distance(between) == pytest.approx((0.05 + 4.8 + 8.8) / 3)
    assert shape_sets.coverage(between) == pytest.approx(1 / 3)


def test_samples_come_first() -> None:
    """The other way round both are other numbers: every sample then is near some reference, and two of three are covered."""
    between = apart(SAMPLES, REFERENCES).T
    assert shape_sets.minimum_matching_distance(between) == pytest.approx((0.05 + 0.05 + 0.15) / 3)
    assert shape_sets.coverage(between) == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="give"):
        shape_sets.one_nearest_neighbour(torch.zeros(2, 2), torch.zeros(3, 3), torch.zeros(3, 2))


def test_a_set_against_itself() -> None:
    between = apart(REFERENCES, REFERENCES)
    assert shape_sets.minimum_matching_distance(between) == 0
    assert shape_sets.coverage(between) == 1
    # Each reference has its own copy at distance 0: the classifier is always wrong, which is how copies show.
    assert shape_sets.one_nearest_neighbour(between, between, between) == 0


def one_nearest(samples: torch.Tensor, references: torch.Tensor) -> float:
    return shape_sets.one_nearest_neighbour(
        apart(samples, samples), apart(references, references), apart(samples, references)
    )


def test_neighbours_of_hand_made_sets() -> None:
    assert one_nearest(line(0, 1, 2), line(100, 101, 102)) == 1  # two clusters
    assert one_nearest(line(0, 2, 4), line(1.1, 3.2, 5.3)) == 0  # they alternate
    # 0 and 1 find each other; 4 finds 5, its only near one; 5 finds 4; 20 and 21 find each other: 4 of 6 are right.
    assert one_nearest(line(0, 1, 4), line(5, 20, 21)) == pytest.approx(4 / 6)


def test_sets_of_different_sizes() -> None:
    assert one_nearest(line(0, 1, 2, 3), line(100, 101)) == 1


def test_equal_distributions_score_a_half() -> None:
    torch.manual_seed(0)
    scores = [one_nearest(torch.rand(200).double(), torch.rand(200).double()) for _ in range(10)]
    assert sum(scores) / len(scores) == pytest.approx(0.5, abs=0.03)


def test_occupancy_of_known_places() -> None:
    centres = shape_sets._grid_centres()
    assert bool((centres.norm(dim=1) <= 1).all())
    assert len(centres) == pytest.approx(4 / 3 * math.pi / (2 / 27) ** 3, rel=0.03)  # the ball's volume over a cell's
    found = shape_sets.occupancy(centres[[3, 3, 3, 70]].reshape(2, 2, 3))
    assert found[3] == 0.75
    assert found[70] == 0.25
    assert float(found.sum()) == 1


def test_divergence_of_occupied_space() -> None:
    """Equal space 0; space apart 1 bit; half of the points elsewhere: 1 - H(1/4 : 3/4) + ... = 0.311 bits."""
    centres = shape_sets._grid_centres().float()
    here, there = centres[[0, 0]][None], centres[[9, 9]][None]
    half = centres[[0, 9]][None]
    assert shape_sets.occupancy_divergence(here, here) == 0
    assert shape_sets.occupancy_divergence(here, there) == pytest.approx(1.0)
    middle = -0.75 * math.log2(0.75) - 0.25 * math.log2(0.25)  # H of the mixture, less the mean of H = 0 and 1
    assert shape_sets.occupancy_divergence(here, half) == pytest.approx(middle - 0.5)
    assert shape_sets.occupancy_divergence(half, here) == pytest.approx(middle - 0.5)


def test_points_outside_the_ball_go_to_its_edge() -> None:
    far = torch.tensor([[[9.0, 0, 0]]])
    assert float(shape_sets.occupancy(far).max()) == 1


def test_strange_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="samples, references"):
        shape_sets.coverage(torch.zeros(3))
    with pytest.raises(UserError, match="N, P, 3"):
        shape_sets.occupancy(torch.zeros(3, 3))
