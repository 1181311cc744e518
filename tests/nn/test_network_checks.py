"""Networks that do not fit the prior, the data or the loss are refused before the first step, and nothing of them changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import zerosum as zs
from zerosum.engine.losses import GANLoss


class Points:
    num_rows = 64

    def batch(self, indices: torch.Tensor) -> zs.Batch:
        return zs.Batch(torch.ones(len(indices), 2))


def generator(inputs: int = 4, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Linear(8, outputs))


def discriminator(*end: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1), *end)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(x)).view(-1)


def first_step(game: zs.Duel) -> None:
    for _ in zs.engine.train(game, Points(), steps=1, batch=8):
        pass


@pytest.mark.parametrize(
    ("game", "told"),
    [
        (lambda: zs.Duel(generator(), discriminator(), prior=6), r"noise of shape \(2, 6\).*use prior=4"),
        (
            lambda: zs.Duel(generator(outputs=3), discriminator(), prior=4),
            r"shape \(3,\), and the data have shape \(2,\)",
        ),
        (lambda: zs.Duel(generator(), nn.Linear(5, 1), prior=4), r"does not take data of shape \(2, 2\)"),
        (lambda: zs.Duel(generator(), discriminator(nn.Flatten(0)), prior=4, loss="hinge"), ""),
        (lambda: zs.Duel(generator(), discriminator(nn.Sigmoid()), prior=4), "ends in a sigmoid"),
        (lambda: zs.Duel(generator(), discriminator(nn.Sigmoid(), nn.Flatten(0)), prior=4), "ends in a sigmoid"),
        (lambda: zs.Duel(generator(), Functional(), prior=4, loss="hinge"), "ends in a sigmoid"),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_step(game: Any, told: str) -> None:
    if not told:
        first_step(game())
        return
    with pytest.raises(zs.UserError, match=told):
        first_step(game())


def test_a_loss_on_probabilities_takes_a_sigmoid() -> None:
    loss = GANLoss(lambda real, fake: -real.log(), lambda real, fake: -fake.log(), on_logits=False)
    first_step(zs.Duel(generator(), discriminator(nn.Sigmoid()), prior=4, loss=loss))


def test_an_unknown_loss_is_named_with_the_nearest() -> None:
    with pytest.raises(zs.UserError, match=r"There is no loss 'hing'\. Did you mean 'hinge'"):
        zs.Duel(generator(), discriminator(), loss="hing")


def test_the_check_and_the_steps_leave_torchs_generator_and_the_game_alone() -> None:
    network = generator()
    running = network[1].running_mean.clone()  # type: ignore[index,union-attr]
    game = zs.Duel(network, discriminator(nn.Dropout(0.5)), prior=4)
    attributes = dict(vars(game))
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    events = zs.engine.train(game, Points(), steps=2, batch=8)
    next(events)
    torch.testing.assert_close(network[1].running_mean, running)  # type: ignore[index]
    for _ in events:
        pass
    torch.testing.assert_close(torch.rand(2), wanted, rtol=0, atol=0)
    assert vars(game).keys() == attributes.keys()
    assert game.terms.__func__ is zs.Duel.terms
