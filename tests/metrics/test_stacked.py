"""Modes and divergence of stacked digits: counts that are known beforehand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.domains.images.stacked import NUM_MODES, expected_divergence, modes_and_divergence, modes_of
from zerosum.errors import UserError


def digits_of(modes: Tensor) -> Tensor:
    return torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)


def test_every_combination_is_one_number() -> None:
    every = torch.arange(NUM_MODES)
    assert torch.equal(modes_of(digits_of(every)), every)


def test_all_modes_alike_often_diverge_by_nothing() -> None:
    found, (divergence, error) = modes_and_divergence(digits_of(torch.arange(NUM_MODES).repeat(26)))
    assert found == 1000
    assert divergence == pytest.approx(0, abs=1e-12)
    assert error < 1e-3


@pytest.mark.parametrize("count", [1, 8, 250])
def test_some_modes_alike_often_diverge_by_the_log_of_what_is_missing(count: int) -> None:
    found, (divergence, _) = modes_and_divergence(digits_of(torch.arange(count).repeat(40)))
    assert found == count
    assert divergence == pytest.approx(math.log(1000 / count), rel=1e-9)


def test_samples_of_even_modes_leave_the_expected_divergence() -> None:
    drawn = torch.randint(0, NUM_MODES, (26_000,), generator=torch.Generator().manual_seed(0))
    _, (divergence, error) = modes_and_divergence(digits_of(drawn))
    assert expected_divergence(26_000) == pytest.approx(0.0192, abs=1e-4)
    assert divergence == pytest.approx(expected_divergence(26_000), abs=0.002)
    assert 0.0003 < error < 0.003


def test_what_is_no_digit_is_refused() -> None:
    for wrong in (torch.zeros(5, 2), torch.full((5, 3), 10), torch.zeros(0, 3)):
        with pytest.raises(UserError, match=r"0\.\.9"):
            modes_of(wrong)
