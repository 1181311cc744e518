"""The distance for projections: zero at the target alone, seen at every scale, differentiable; PSNR by its formula."""

from __future__ import annotations

import pytest
import torch

from zerosum.metrics.feature_networks import Pyramid, psnr


def images(num: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(num, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 20, 32), (1, 8, 100), (3, 64, 64)])
def test_zero_at_the_target_and_only_there(shape: tuple[int, int, int]) -> None:
    target = images(1, *shape)
    distance = Pyramid(target)
    others = torch.cat([target, target + 0.01, target.flip(-1), images(1, *shape, seed=1)])
    far = distance(others)
    torch.testing.assert_close(far[0], torch.tensor(0.0))
    assert bool((far[1:] > 0).all())
    assert float(far[1]) < float(far[2])  # a breath of light is nearer than the mirror image


def test_rows_are_independent_and_the_seed_fixes_the_filters() -> None:
    target, others = images(1, 3, 16, 16), images(5, 3, 16, 16, seed=1)
    whole = Pyramid(target)(others)
    torch.testing.assert_close(torch.stack([Pyramid(target)(row[None])[0] for row in others]), whole)
    assert not torch.allclose(Pyramid(target, seed=1)(others), whole)


def test_coarse_differences_weigh_more_than_fine_ones_of_the_same_energy() -> None:
    """What is seen at every size counts at every size; a checkerboard is gone after one halving."""
    target = torch.zeros(1, 1, 32, 32) + 0.2
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1)[None, None] * 0.1
    flat = torch.full_like(board, 0.1)
    distance = Pyramid(target)
    assert float(distance(target + flat)) > 1.5 * float(distance(target + board))


def test_its_gradient_leads_to_the_target() -> None:
    target = images(1, 1, 12, 12)
    distance, x = Pyramid(target), torch.zeros(1, 1, 12, 12, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        distance(x).sum().backward()
        optimizer.step()
    assert float(psnr(x.detach(), target)) > 35


def test_psnr_by_its_formula() -> None:
    target = images(2, 3, 5, 5)
    shifted = target + torch.tensor([0.1, 0.02]).view(2, 1, 1, 1)
    torch.testing.assert_close(
        psnr(shifted, target), 20 * torch.log10(2 / torch.tensor([0.1, 0.02])), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(psnr(target, target), torch.full((2,), 10 * torch.log10(torch.tensor(4e12)).item()))
