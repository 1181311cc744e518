"""Where a discriminator cannot tell: the logit around which its scores are read."""

from __future__ import annotations

import pytest
import torch

from zerosum.engine import losses

REAL, FAKE = torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 0.0])


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average", "wasserstein"])
def test_losses_of_differences_are_read_around_the_middle(name: str) -> None:
    """(mean of 3, 1 + mean of -1, 0) / 2 = 0.75; a common shift of all logits moves it along and changes no loss."""
    pair = losses.table()[name]
    torch.testing.assert_close(pair.centre(REAL, FAKE), torch.tensor(0.75))
    torch.testing.assert_close(pair.centre(REAL + 5, FAKE + 5), torch.tensor(5.75))
    torch.testing.assert_close(pair.discriminator(REAL + 5, FAKE + 5), pair.discriminator(REAL, FAKE))


@pytest.mark.parametrize(
    ("name", "neutral"), [("minimax", 0.0), ("non_saturating", 0.0), ("hinge", 0.0), ("least_squares", 0.5)]
)
def test_losses_of_values_are_read_around_a_fixed_logit(name: str, neutral: float) -> None:
    pair = losses.table()[name]
    torch.testing.assert_close(pair.centre(REAL, FAKE), torch.tensor(neutral))
    at, shifted = pair.discriminator(REAL, FAKE), pair.discriminator(REAL + 5, FAKE + 5)
    assert (at - shifted).abs().max() > 0.1
