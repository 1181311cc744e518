"""Networks that do not fit the prior, the data or the loss are refused before the first step, and nothing of them changes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
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
    ("game", "message"),
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
def test_what_does_not_fit_is_told_before_the_first_step(game: Any, message: str) -> None:
    if not message:
        first_step(game())
        return
    with pytest.raises(zs.UserError, match=message):
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


# --- what is given as source, data, penalties and networks


def train_on(source: Any, game: zs.Duel | None = None) -> None:
    game = game or zs.Duel(generator(), discriminator(), prior=4)
    for _ in zs.engine.train(game, source, steps=1, batch=8):
        pass


class Batches:
    num_rows = 64

    def __init__(self, convert: Any) -> None:
        self.convert = convert

    def batch(self, indices: torch.Tensor) -> Any:
        return self.convert(torch.ones(len(indices), 2))


class Conditional(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + y[:, None].float()


def test_rows_in_memory_and_batches_that_are_tensors_are_taken() -> None:
    rows = torch.ones(64, 2)
    train_on(rows)
    train_on(Batches(lambda x: x))
    for source in ((rows, torch.zeros(64, dtype=torch.int64)), Batches(lambda x: (x, x[:, 0].long()))):
        train_on(source, zs.Duel(Conditional(4, 2), Conditional(2, 1), prior=4, conditional=True))


def test_rows_in_memory_are_trained_on_as_from_a_source() -> None:
    weights = []
    for source in (torch.ones(64, 2), Points()):
        torch.manual_seed(0)
        game = zs.Duel(generator(), discriminator(), prior=4)
        train_on(source, game)
        weights.append(torch.cat([p.detach().flatten() for p in game.generator.parameters()]))
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (torch.utils.data.TensorDataset(torch.ones(64, 2)), r"source: got TensorDataset\..*num_rows.*torch\.stack"),
        (np.ones((64, 2)), r"source: got ndarray\..*torch\.from_numpy"),
        (None, r"source: got NoneType\. Give a float32 tensor"),
        (
            Batches(lambda x: x.numpy()),
            r"must be a torch tensor, got ndarray of float32.*torch\.from_numpy\(array\)\.float",
        ),
        (Batches(lambda x: zs.Batch(x.double().numpy())), r"must be a torch tensor, got ndarray of float64"),
        (Batches(lambda x: x.tolist()), r"the data of a batch must be a torch tensor, got list"),
        ((torch.ones(64, 2), torch.ones(63)), "the condition has 63 rows, and the data have 64"),
        (torch.ones(0, 2), "no rows"),
        (
            torch.ones(64, 2).double(),
            r"data are of type float64.*weights of float32: convert the data with \.float\(\)",
        ),
        (torch.ones(64, 2).byte(), r"data are of type uint8"),
    ],
)
def test_what_is_no_source_is_told_with_what_to_give(source: Any, message: str) -> None:
    with pytest.raises(zs.UserError, match=message):
        train_on(source)


def test_a_generator_of_float64_is_told_to_be_converted() -> None:
    with pytest.raises(
        zs.UserError, match=r"noise is of type float32.*generator's weights of float64.*generator\.float"
    ):
        first_step(zs.Duel(generator().double(), discriminator(), prior=4))


def test_penalties_are_taken_by_name() -> None:
    def game(penalties: Any) -> zs.Duel:
        return zs.Duel(generator(), discriminator(), prior=4, penalties=penalties)

    assert [(each.name, each.weight) for each in game(["r1", zs.penalties.r2(3.0)]).penalties] == [
        ("r1", 1.0),
        ("r2", 3.0),
    ]
    assert [(each.name, each.weight) for each in game({"r1": 0.5}).penalties] == [("r1", 0.5)]
    assert [each.name for each in game("r1").penalties] == ["r1"]
    first_step(game(["r1"]))
    with pytest.raises(zs.UserError, match=r"There is no penalty 'r3'\. Did you mean"):
        game(["r3"])
    for given in ([zs.penalties.r1], zs.penalties.r1):
        with pytest.raises(zs.UserError, match=r"penalties: got <function r1.*Call it: r1\(weight\)"):
            game(given)


def test_one_module_for_both_players_is_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(zs.UserError, match="same module"):
        zs.Duel(network, network, prior=2)


def test_a_frozen_generator_is_refused() -> None:
    with pytest.raises(zs.UserError, match=r"'generator' has no parameter.*requires_grad_\(True\)"):
        first_step(zs.Duel(generator().requires_grad_(False), discriminator(), prior=4))


def test_several_logits_of_flat_data_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="gives 2 logits for each sample"):
        first_step(zs.Duel(generator(), nn.Linear(2, 2), prior=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first_step(zs.Duel(generator(), discriminator(), prior=4))
