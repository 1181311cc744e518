"""Latent geometry against closed forms: truncated moments, great circles, eigenvalues."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from zerosum.nn.latent import closed_form, lerp, path_positions, slerp, truncate


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def variance_within(limit: float) -> float:
    """Of N(0, 1) given |z| <= limit: 1 - 2 limit phi(limit) / (2 Phi(limit) - 1)."""
    density = math.exp(-limit * limit / 2) / math.sqrt(2 * math.pi)
    return 1 - 2 * limit * density / math.erf(limit / math.sqrt(2))


@pytest.mark.parametrize("by", [0.25, 0.5, 0.9])
def test_truncated_normal_noise_has_the_bounds_and_the_variance_of_the_truncated_normal(by: float) -> None:
    z = normal(200_000)
    tame = truncate(z, "normal", 2.0, by)
    assert float(tame.abs().max()) <= 2 * by
    assert float(tame.abs().max()) > 2 * by * 0.999
    torch.testing.assert_close(float(tame.var()), variance_within(2 * by), rtol=0.01, atol=0)
    assert float(tame[z.argsort()].diff().min()) >= 0  # every number keeps its quantile


def test_other_priors_are_truncated_within_their_own_bounds() -> None:
    box = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(truncate(box, "uniform", 2.0, 0.3), 0.3 * box)
    z = normal(400_000)
    z = z[z.abs() <= 1.5]
    tame = truncate(z, "truncated_normal", 1.5, 0.6)
    torch.testing.assert_close(float(tame.var()), variance_within(0.9), rtol=0.02, atol=0)
    # Hardly any truncation is hardly any change.
    torch.testing.assert_close(truncate(z, "truncated_normal", 1.5, 0.999999), z, rtol=1e-4, atol=1e-4)


def test_the_ends_of_truncation() -> None:
    z = normal(5, 7)
    for kind in ("normal", "uniform", "truncated_normal"):
        assert truncate(z, kind, 2.0, 1.0) is z
        torch.testing.assert_close(truncate(z, kind, 2.0, 0.0), torch.zeros_like(z))
    for by in (-0.1, 1.1):
        with pytest.raises(ValueError, match="truncation"):
            truncate(z, "normal", 2.0, by)


def test_slerp_reaches_its_ends_keeps_norms_and_turns_evenly() -> None:
    a, b = normal(6, 32), 2 * normal(6, 32, seed=1)
    torch.testing.assert_close(slerp(a, b, torch.zeros(6)), a)
    torch.testing.assert_close(slerp(a, b, torch.ones(6)), b)
    steps = [slerp(a, b, torch.full((6,), t / 10)) for t in range(11)]
    for t, row in enumerate(steps):
        torch.testing.assert_close(row.norm(dim=1), (1 - t / 10) * a.norm(dim=1) + t / 10 * b.norm(dim=1))
    angles = [
        torch.nn.functional.cosine_similarity(p.double(), q.double()).acos() for p, q in itertools.pairwise(steps)
    ]
    whole = torch.nn.functional.cosine_similarity(a.double(), b.double()).acos()
    for angle in angles:
        torch.testing.assert_close(angle, whole / 10, rtol=1e-4, atol=1e-6)


def test_a_quarter_circle() -> None:
    half = slerp(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([1 / 3]))
    torch.testing.assert_close(half, 2 * torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]]))


def test_slerp_without_a_circle_is_straight() -> None:
    a, t = normal(3, 4), torch.tensor([0.25, 0.5, 1.0])
    torch.testing.assert_close(slerp(a, a, t), a)
    torch.testing.assert_close(slerp(a, -a, t), a * (1 - 2 * t)[:, None])
    torch.testing.assert_close(slerp(a, torch.zeros_like(a), t), a * (1 - t)[:, None])
    near = a + 1e-4
    torch.testing.assert_close(slerp(a, near, t), lerp(a, near, t), rtol=1e-5, atol=1e-5)


def test_lerp_of_styles() -> None:
    a, b = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    t = torch.tensor([0.25, 0.75])
    expected = torch.stack([0.75 * a[0] + 0.25 * b[0], 0.25 * a[1] + 0.75 * b[1]])
    torch.testing.assert_close(lerp(a, b, t), expected)


def test_times_of_open_and_closed_paths() -> None:
    first, second, t = path_positions(3, 5, loop=False)
    places = first + t
    torch.testing.assert_close(places, torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0], dtype=torch.float64))
    assert bool((second[t > 0] == first[t > 0] + 1).all())
    first, second, t = path_positions(3, 6, loop=True)
    torch.testing.assert_close(first + t, torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], dtype=torch.float64))
    assert second.tolist() == [1, 1, 2, 2, 0, 0]
    for loop in (False, True):
        first, second, t = path_positions(1, 4, loop)
        assert (first.tolist(), second.tolist()) == ([0] * 4, [0] * 4)
    assert [x.tolist() for x in path_positions(4, 1, loop=False)] == [[0], [1], [0.0]]


def test_closed_form_directions_are_the_eigenvectors_of_the_gram_matrix() -> None:
    turn, _ = torch.linalg.qr(normal(6, 6))
    left, _ = torch.linalg.qr(normal(9, 6, seed=1))
    sizes = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
    directions, strengths = closed_form(left * sizes @ turn.T, 4)
    torch.testing.assert_close(strengths, sizes[:4].square())
    torch.testing.assert_close((directions @ turn[:, :4]).abs(), torch.eye(4), rtol=0, atol=1e-5)
    torch.testing.assert_close((left * sizes @ turn.T @ directions.T).norm(dim=0).square(), strengths)
    peaks = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    assert bool((peaks > 0).all())
