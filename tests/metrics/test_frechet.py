"""The Fréchet distance against closed forms and a second way of computing it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.distances import frechet_distance, frechet_from_moments


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_moments(real: Tensor, fake: Tensor) -> float:
    return frechet_from_moments(real.mean(0), torch.cov(real.T), fake.mean(0), torch.cov(fake.T))


def test_diagonal_gaussians_have_the_textbook_distance() -> None:
    mean1, mean2 = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, -1.0, 2.0])
    sd1, sd2 = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.5, 3.0])
    exact = float((mean1 - mean2).square().sum() + (sd1 - sd2).square().sum())  # 5 + 3.25
    assert exact == 8.25
    assert frechet_from_moments(mean1, sd1.square().diag(), mean2, sd2.square().diag()) == pytest.approx(
        8.25, abs=1e-12
    )


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 8), (50, 200, 64), (40, 30, 64), (200, 40, 64)])
def test_every_shape_agrees_with_the_moments(n: int, m: int, d: int) -> None:
    mix = normal(d, d, seed=3)
    real, fake = normal(n, d, seed=1), normal(m, d, seed=2) @ mix * 0.3 + 0.5
    assert frechet_distance(real, fake) == pytest.approx(by_moments(real, fake), rel=1e-6)


def test_a_set_has_no_distance_to_itself_in_any_order() -> None:
    for rows in (normal(500, 16), normal(20, 64)):
        assert frechet_distance(rows, rows.flip(0)) == pytest.approx(0, abs=1e-10)


def test_a_shift_costs_its_squared_length() -> None:
    rows, shift = normal(300, 8), torch.tensor([3.0, 4.0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    assert frechet_distance(rows, rows + shift) == pytest.approx(25, rel=1e-9)


def test_a_rotation_of_both_changes_nothing_and_a_scale_acts_squared() -> None:
    real, fake = normal(300, 8, seed=1), normal(300, 8, seed=2) * 1.5 + 0.3
    rotation = torch.linalg.qr(normal(8, 8, seed=5)).Q
    base = frechet_distance(real, fake)
    assert frechet_distance(real @ rotation, fake @ rotation) == pytest.approx(base, rel=1e-9)
    assert frechet_distance(real * 3, fake * 3) == pytest.approx(base * 9, rel=1e-9)
    assert frechet_distance(fake, real) == pytest.approx(base, rel=1e-9)


def test_the_order_of_rows_does_not_matter() -> None:
    real, fake = normal(300, 8, seed=1), normal(200, 8, seed=2)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(real[order], fake.flip(0)) == pytest.approx(frechet_distance(real, fake), rel=1e-9)


def test_two_samples_of_one_distribution_are_about_d_squared_over_2n_apart() -> None:
    d, n = 32, 2000  # d (d + 1) / 2n from the covariances, 2 d / n from the means
    values = [frechet_distance(normal(n, d, seed=2 * i), normal(n, d, seed=2 * i + 1)) for i in range(8)]
    assert sum(values) / 8 == pytest.approx(d * (d + 5) / (2 * n), rel=0.1)


def test_float32_features_are_computed_in_float64() -> None:
    real, fake = normal(40, 64, seed=1).float(), normal(40, 64, seed=2).float()
    assert frechet_distance(real, fake) == frechet_distance(real.double(), fake.double())


def test_bad_features_are_refused() -> None:
    with pytest.raises(UserError, match="non-finite"):
        frechet_distance(normal(5, 2), torch.full((5, 2), float("nan")))
    with pytest.raises(UserError, match="at least 2 rows"):
        frechet_distance(normal(1, 2), normal(5, 2))
    with pytest.raises(UserError, match="one extractor"):
        frechet_distance(normal(5, 3), normal(5, 2))
