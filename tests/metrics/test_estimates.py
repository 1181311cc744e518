"""Fréchet errors and extrapolation, kernel distance, class score, measures within classes: closed forms and repeated draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from zerosum.errors import UserError
from zerosum.metrics import distances as kernels
from zerosum.metrics.classes import class_score, intra_class_diversity, per_class_frechet
from zerosum.metrics.distances import frechet_distance, frechet_estimate, frechet_infinity, kernel_distance
from zerosum.metrics.record import group_of, jackknife, share, spread


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- the jackknife


def test_the_jackknife_of_a_mean_is_its_textbook_error() -> None:
    rows = normal(20)
    value, error = jackknife(lambda part: float(part.mean()), rows, 20)
    assert value == pytest.approx(float(rows.mean()))
    assert error == pytest.approx(float(rows.std()) / math.sqrt(20), rel=1e-9)


def test_groups_differ_by_one_row_at_most() -> None:
    assert set(torch.bincount(group_of(107)).tolist()) == {5, 6}
    assert group_of(3).tolist() == [0, 1, 2]


def test_a_share_has_the_error_of_a_share() -> None:
    """Two more of either kind: 3 of 8. So nothing seen at all is not sure, and many are what the textbook says."""
    flags = torch.tensor([True, False, False, False])
    assert share(flags) == (0.25, pytest.approx(math.sqrt(3 / 8 * 5 / 8 / 8)))
    assert share(flags & False) == (0.0, pytest.approx(math.sqrt(0.25 * 0.75 / 8)))
    many = flags.repeat(25_000)
    assert share(many).error == pytest.approx(math.sqrt(0.25 * 0.75 / 100_000), rel=1e-3)


# --- Fréchet


def test_the_moments_way_leaves_out_what_the_long_way_does() -> None:
    real, fake = normal(200, 5), normal(160, 5, seed=1) * 1.3 + 0.3
    groups = group_of(len(fake))
    without = torch.tensor([frechet_distance(real, fake[groups != group]) for group in range(20)])
    value, error = frechet_estimate(real, fake)
    assert value == frechet_distance(real, fake)
    assert error == pytest.approx(spread(without), rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_error_is_as_large_as_the_scatter_over_draws(shift: float) -> None:
    real = normal(300, 8)
    for measure in (frechet_estimate, frechet_infinity):
        found = torch.tensor([measure(real, normal(300, 8, seed=9 + seed) + shift) for seed in range(40)])
        assert 0.6 < float(found[:, 1].mean() / found[:, 0].std()) < 1.7, measure


def test_the_extrapolation_takes_the_bias_away() -> None:
    """Exact distance of the two Gaussians: |shift|^2 + D (1 - scale)^2 = 16 (0.04 + 0.01)."""
    exact, plain, infinite = 0.8, [], []
    for seed in range(10):
        real, fake = normal(400, 16, seed=seed), normal(400, 16, seed=100 + seed) * 1.1 + 0.2
        plain.append(frechet_estimate(real, fake).value)
        infinite.append(frechet_infinity(real, fake).value)
    assert sum(plain) / 10 == pytest.approx(exact + 16 * 21 / 800, abs=0.15)
    assert sum(infinite) / 10 == pytest.approx(exact, abs=0.07)


def test_the_extrapolation_is_twice_the_whole_less_the_halves() -> None:
    real, fake = normal(200, 4), normal(160, 4, seed=1) * 1.2
    halves = [frechet_distance(a, b) for a in (real[0::2], real[1::2]) for b in (fake[0::2], fake[1::2])]
    expected = 2 * frechet_distance(real, fake) - sum(halves) / 4
    assert frechet_infinity(real, fake).value == pytest.approx(expected, rel=1e-9)


def test_the_extrapolation_does_not_ask_which_fakes_meet_which_reals() -> None:
    real, fake = normal(200, 4), normal(200, 4, seed=1) + 0.2
    assert frechet_infinity(real, fake.flip(0)).value == pytest.approx(frechet_infinity(real, fake).value, rel=1e-9)


# --- kernel distance


def brute_kernel(x: Tensor, y: Tensor) -> float:
    def k(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    off_x, off_y = k(x, x) * (1 - torch.eye(n)), k(y, y) * (1 - torch.eye(m))
    return float(off_x.sum() / (n * (n - 1)) + off_y.sum() / (m * (m - 1)) - 2 * k(x, y).mean())


def test_the_kernel_distance_agrees_with_all_pairs_written_out() -> None:
    x, y = normal(12, 3), normal(9, 3, seed=1) + 0.4
    value, error = kernel_distance(x, y)
    assert value == pytest.approx(brute_kernel(x, y), rel=1e-12)
    no_x = torch.tensor([brute_kernel(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(12)])
    no_y = torch.tensor([brute_kernel(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(9)])
    assert error == pytest.approx(math.hypot(spread(no_x), spread(no_y)), rel=1e-5)


def test_the_kernel_distance_has_a_closed_form_in_one_dimension() -> None:
    """(x y + 1)^3 = sum of C(3, i) x^i y^i: MMD^2 = sum of C(3, i) (E x^i - E y^i)^2; here 3 s^2 + 3 s^4 + (3 s + s^3)^2."""
    s = 0.5
    found = [kernel_distance(normal(400, 1, seed=i), normal(400, 1, seed=500 + i) + s).value for i in range(60)]
    exact = 3 * s**2 + 3 * s**4 + (3 * s + s**3) ** 2
    mean = torch.tensor(found).mean()
    assert float(mean) == pytest.approx(exact, abs=3 * float(torch.tensor(found).std()) / math.sqrt(60))


def test_without_a_difference_it_is_symmetric_around_zero() -> None:
    found = torch.tensor([kernel_distance(normal(60, 8, seed=i), normal(90, 8, seed=900 + i)) for i in range(200)])
    value = found[:, 0]
    assert abs(float(value.mean())) < 3 * float(value.std()) / math.sqrt(200)
    assert 0.3 < float((value < 0).double().mean()) < 0.7
    assert 0.7 < float(found[:, 1].mean() / value.std()) < 1.7


def test_kernel_block_size_order_and_sides_move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(80, 6), normal(70, 6, seed=1) + 0.2
    whole = kernel_distance(x, y)
    assert kernel_distance(y, x) == pytest.approx(whole, rel=1e-12)
    monkeypatch.setattr(kernels, "_BLOCK", 300)
    assert kernel_distance(x.flip(0), y.flip(0)) == pytest.approx(whole, rel=1e-10)
    with pytest.raises(UserError, match="one extractor"):
        kernel_distance(x, y[:, :3])
    with pytest.raises(UserError, match="non-finite"):
        kernel_distance(x, y * math.nan)


# --- class score


@pytest.mark.parametrize("k", [2, 10])
def test_sure_and_even_opinions_score_their_number(k: int) -> None:
    sure = torch.eye(k).repeat(10 * 7, 1)
    assert class_score(sure) == pytest.approx((k, 0), abs=1e-9)
    assert class_score(torch.eye(k)[:1].repeat(50, 1)).value == pytest.approx(1)
    assert class_score(torch.full((50, k), 1 / k)).value == pytest.approx(1)


def test_the_score_is_the_exponential_of_the_mutual_information() -> None:
    """Two opinions, (p, 1-p) and (1-p, p), alike often: log 2 minus the entropy of p."""
    p = 0.8
    rows = torch.tensor([[p, 1 - p], [1 - p, p]], dtype=torch.float64).repeat(10, 1)
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    assert class_score(rows, num_splits=2).value == pytest.approx(math.exp(math.log(2) - entropy), rel=1e-12)
    with pytest.raises(UserError, match="sum 1"):
        class_score(rows * 2)
    with pytest.raises(UserError, match="10 splits"):
        class_score(rows[:5])


# --- within classes


def test_per_class_measures_see_the_one_class_that_fails() -> None:
    labels = torch.arange(600) % 3
    real = normal(600, 4) + labels[:, None] * 10
    fake = normal(600, 4, seed=1) + labels[:, None] * 10
    fake[labels == 2] = 20.0  # one sample for the whole class
    found, spreads = (
        per_class_frechet(real, labels, fake, labels),
        intra_class_diversity(real, labels, fake, labels),
    )
    assert found is not None
    assert spreads is not None
    assert found.num == 200
    assert max(found.values[0], found.values[1]) < 0.3
    assert found.values[2] == pytest.approx(4.0, abs=0.6)  # variance lost in each of four directions
    assert found.mean == pytest.approx(sum(found.values.values()) / 3)
    assert found.error == pytest.approx(float(torch.tensor(list(found.values.values())).std()) / math.sqrt(3), rel=1e-5)
    assert [spreads.values[0], spreads.values[1], spreads.values[2]] == pytest.approx([1, 1, 0], abs=0.1)
    assert per_class_frechet(real, labels, fake[:200], labels[:200]) is None  # 67 a class


def test_classes_are_told_apart_by_label_not_by_place() -> None:
    labels, order = torch.arange(300) % 3, torch.randperm(300, generator=torch.Generator().manual_seed(0))
    real, fake = normal(300, 4) + labels[:, None], normal(300, 4, seed=1) + labels[:, None]
    straight = intra_class_diversity(real, labels, fake, labels)
    mixed = intra_class_diversity(real, labels, fake[order], labels[order])
    assert straight is not None
    assert mixed is not None
    assert_close(torch.tensor(mixed.mean), torch.tensor(straight.mean))
