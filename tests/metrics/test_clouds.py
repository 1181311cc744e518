"""Distances between clouds: closed forms, identities, agreement with slower ways, slopes."""

from __future__ import annotations

import itertools

import pytest
import torch

from zerosum.domains.points import distances as clouds
from zerosum.errors import UserError


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_definition(a: torch.Tensor, b: torch.Tensor) -> float:
    """The Chamfer distance of two clouds by two loops."""
    there = sum(min(float((x - y).square().sum()) for y in b) for x in a) / len(a)
    back = sum(min(float((x - y).square().sum()) for x in a) for y in b) / len(b)
    return there + back


def test_chamfer_is_its_definition_for_clouds_of_different_sizes() -> None:
    a, b = drawn(3, 11, 3), drawn(3, 7, 3, seed=1)
    expected = torch.tensor([by_definition(x, y) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(clouds.chamfer(a, b), expected)
    torch.testing.assert_close(clouds.chamfer_matrix(a, b).diagonal().float(), expected)


def test_chamfer_in_closed_form() -> None:
    """One point against two: 1 there, (1 + 9) / 2 back. It is squared, and both ways are summed."""
    a = torch.tensor([[[0.0, 0, 0]]])
    b = torch.tensor([[[1.0, 0, 0], [0, 3, 0]]])
    assert float(clouds.chamfer(a, b)) == 1 + 5
    assert float(clouds.chamfer(b, a)) == 1 + 5


def test_order_of_points_plays_no_part_and_a_cloud_is_at_no_distance_from_itself() -> None:
    a = drawn(2, 32, 3)
    mixed = a[:, torch.randperm(32, generator=torch.Generator().manual_seed(3))]
    torch.testing.assert_close(clouds.chamfer(a, mixed), torch.zeros(2))
    torch.testing.assert_close(clouds.chamfer_matrix(a, mixed).diagonal(), torch.zeros(2).double(), atol=1e-6, rtol=0)
    assert clouds.emd(a[0], mixed[0]) == 0
    assert clouds.emd(a[0], a[1]) > 0


def test_the_slope_of_chamfer_is_that_of_small_steps() -> None:
    a, b = drawn(2, 5, 3).double().requires_grad_(True), drawn(2, 6, 3, seed=1).double().requires_grad_(True)
    assert torch.autograd.gradcheck(clouds.chamfer, (a, b))


def test_trees_find_the_same_neighbours_as_all_pairs() -> None:
    a, b = drawn(4, 40, 3), drawn(4, 30, 3, seed=2)
    to_b, to_a = clouds._nearest(a, b)
    squared = torch.cdist(a, b)
    assert torch.equal(to_b, squared.argmin(2))
    assert torch.equal(to_a, squared.argmin(1))


def test_emd_is_the_best_of_all_pairings() -> None:
    a, b = drawn(5, 3), drawn(5, 3, seed=1)
    cost = torch.cdist(a.double(), b.double())
    best = min(float(cost[range(5), order].mean()) for order in itertools.permutations(range(5)))
    assert clouds.emd(a, b) == pytest.approx(best, abs=1e-9)


def test_emd_of_a_moved_cloud_is_the_length_of_the_move() -> None:
    """Not squared: a shift by (0.3, 0.4, 0) costs 0.5."""
    a = drawn(64, 3)
    assert clouds.emd(a, a + torch.tensor([0.3, 0.4, 0.0])) == pytest.approx(0.5, abs=1e-6)


def test_matrices_hold_every_pair() -> None:
    a, b = drawn(3, 8, 3), drawn(2, 8, 3, seed=1)
    found = clouds.emd_matrix(a, b)
    assert found.shape == (3, 2)
    assert float(found[2, 1]) == clouds.emd(a[2], b[1])
    torch.testing.assert_close(clouds.emd_within(a), clouds.emd_matrix(a, a))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = drawn(3, 8, 3), drawn(5, 9, 3, seed=1)
    whole = clouds.chamfer_matrix(a, b)
    monkeypatch.setattr(clouds, "_BLOCK", 1)
    torch.testing.assert_close(clouds.chamfer_matrix(a, b), whole, atol=1e-6, rtol=1e-6)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(UserError, match="exact assignment supports at most 512"):
        clouds.emd(torch.zeros(513, 3), torch.zeros(513, 3))
    with pytest.raises(UserError, match="give two of one"):
        clouds.emd(torch.zeros(5, 3), torch.zeros(4, 3))
    with pytest.raises(UserError, match="clouds, points, dimensions"):
        clouds.chamfer_matrix(torch.zeros(5, 3), torch.zeros(4, 3))


def test_the_matrices_of_emd_are_as_exact_as_a_single_pair() -> None:
    """In float64, too: moving both clouds far away changes nothing."""
    near = torch.rand(3, 8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    far = near + 2**20
    torch.testing.assert_close(clouds.emd_within(far), clouds.emd_within(near), rtol=0, atol=1e-9)
    torch.testing.assert_close(clouds.emd_matrix(far[:1], far[1:]), clouds.emd_within(near)[:1, 1:], rtol=0, atol=1e-9)
