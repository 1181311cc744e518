"""The Parzen-window score against closed forms and scikit-learn's kernel density."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from zerosum.errors import UserError
from zerosum.metrics.parzen import WIDTHS, log_densities, parzen


def rows(num: int, dims: int, seed: int = 0) -> Tensor:
    return torch.rand(num, dims, generator=torch.Generator().manual_seed(seed))


def test_one_centre_is_a_normal() -> None:
    points, centre = rows(50, 784), rows(1, 784, seed=1)
    for width in (0.1, 1.0):
        exact = torch.distributions.Normal(centre[0].double(), width).log_prob(points.double()).sum(1)
        assert_close(log_densities(points, centre, [width])[0], exact, rtol=0, atol=1e-9)
    # At its own place the density is that of the peak, also far from the origin.
    peak = -4 * math.log(0.1 * math.sqrt(2 * math.pi))
    far = torch.full((1, 4), 1e4)
    assert float(log_densities(far, far, [0.1])) == pytest.approx(peak, abs=1e-12)


def test_equals_the_kernel_density_of_scikit_learn() -> None:
    from sklearn.neighbors import KernelDensity

    points, centres = rows(40, 6), rows(70, 6, seed=1)
    for width in (0.1, 0.5):
        theirs = KernelDensity(kernel="gaussian", bandwidth=width).fit(centres.double()).score_samples(points.double())
        assert_close(log_densities(points, centres, [width])[0], torch.from_numpy(theirs), rtol=0, atol=1e-9)


def test_distances_keep_their_digits_at_the_size_of_an_image() -> None:
    """Against differences taken one by one: what the matrix product costs in digits is far below what is shown."""
    points, centres = rows(5, 784), rows(30, 784, seed=1)
    direct = (points.double()[:, None] - centres.double()).square().sum(2)
    constant = 784 * math.log(0.1 * math.sqrt(2 * math.pi)) + math.log(30)
    exact = torch.logsumexp(direct / (-2 * 0.1**2), 1) - constant
    assert_close(log_densities(points, centres, [0.1])[0], exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_blocks_and_order_change_nothing(block: int) -> None:
    points, centres = rows(37, 12), rows(20, 12, seed=1)
    whole = log_densities(points, centres, [0.1, 0.3])
    assert_close(log_densities(points, centres, [0.1, 0.3], block=block), whole, rtol=0, atol=1e-10)
    assert_close(log_densities(points.flip(0), centres.flip(0), [0.1, 0.3]).flip(1), whole, rtol=0, atol=1e-10)


def test_it_integrates_to_one() -> None:
    centres, line = rows(5, 1), torch.linspace(-3, 4, 20_001)[:, None]
    density = log_densities(line, centres, [0.2])[0].exp()
    assert float(torch.trapezoid(density, line[:, 0].double())) == pytest.approx(1, abs=1e-9)


def test_a_nearer_centre_raises_the_score_and_one_too_many_far_away_lowers_it_by_its_share() -> None:
    points, centre = torch.zeros(1, 8), torch.full((1, 8), 0.5)
    scores = [float(log_densities(points, centre * share, [0.2])) for share in (1.0, 0.5, 0.25, 0.0)]
    assert scores == sorted(scores)
    far = torch.cat([centre, torch.full((1, 8), 50.0)])
    assert float(log_densities(points, far, [0.2])) == pytest.approx(scores[0] - math.log(2), abs=1e-9)


def test_the_width_is_that_of_the_best_validation_mean_and_the_error_that_of_the_test_points() -> None:
    centres, validation, test = (rows(n, 5, seed=n) for n in (40, 30, 25))
    score = parzen(centres, validation, test)
    means = log_densities(validation, centres, WIDTHS).mean(1)
    assert_close(torch.tensor(score.validation), means.float())
    best = int(means.argmax())
    assert 0 < best < 9
    assert score.width == WIDTHS[best]
    found = log_densities(test, centres, [score.width])[0].numpy()
    assert score.mean == pytest.approx(found.mean(), abs=1e-12)
    assert score.error == pytest.approx(found.std() / np.sqrt(25), abs=1e-12)
    assert (score.num_centres, score.num_points) == (40, 25)


def test_the_widths_are_ten_equal_ratios() -> None:
    assert_close(torch.tensor(WIDTHS, dtype=torch.float64), torch.logspace(-1, 0, 10, dtype=torch.float64))


@pytest.mark.parametrize(
    ("points", "centres", "widths", "said"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 5), [0.1], "do not fit"),
        (torch.zeros(0, 4), torch.zeros(3, 4), [0.1], "do not fit"),
        (torch.zeros(3, 4), torch.zeros(3, 4), [0.1, 0.0], "more than 0"),
        (torch.zeros(3, 4), torch.full((3, 4), torch.nan), [0.1], "non-finite"),
    ],
)
def test_what_makes_no_density_is_refused(points: Tensor, centres: Tensor, widths: list[float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        log_densities(points, centres, widths)
