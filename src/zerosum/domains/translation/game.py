"""The games of translation: the ordinary one for pairs and for contrastive generators, two at once for cycles.

Legend: N rows of a share, K past fakes a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.domain import DatasetInfo
from zerosum.domains.translation import terms
from zerosum.domains.translation.networks import DISCRIMINATORS, GENERATORS
from zerosum.domains.translation.networks.capabilities import DirectionOfCycle
from zerosum.domains.translation.networks.cyclegan import CycleDiscriminator, CycleGenerator
from zerosum.domains.translation.sides import task_of
from zerosum.engine.duel import DISCRIMINATOR, GENERATOR, Duel
from zerosum.engine.game import Batch, Game, MicroBatch, Turn
from zerosum.errors import UserError
from zerosum.recipe import Recipe


def game(recipe: Recipe, info: DatasetInfo) -> Game:
    """The game of a recipe: a Duel, or a Cycle where both networks are of kind `cycle`."""
    if (recipe.generator.kind == "cycle") != (recipe.discriminator.kind == "cycle"):
        raise UserError(
            f"generator.kind = {recipe.generator.kind!r} and discriminator.kind = {recipe.discriminator.kind!r}: `cycle` goes "
            "with `cycle` alone, for both have a part in each direction."
        )
    task = task_of(info)
    plain = domain.duel(recipe, GENERATORS, DISCRIMINATORS, {}, task, conditional=True, penalties=terms.table())
    return Cycle(plain) if isinstance(plain.generator, CycleGenerator) else plain


def generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    """The generator of that game alone."""
    return domain.generator(recipe, GENERATORS, task_of(info))


WAYS = ("", "back/")
"""What the terms of the way there, and of the way back, are called by."""


class Cycle(Game):
    """Two ordinary games, there and back, whose generators also have to undo one another.

    The player "generator" holds both generators, "discriminator" both discriminators. A row of a batch has an input (its
    condition) and a target that need not belong together. Each discriminator sees past fakes in place of half of the new
    ones (Shrivastava et al. 2017, arXiv:1612.07828, section 2.3).
    """

    def __init__(self, plain: Duel) -> None:
        generator, discriminator = plain.generator, plain.discriminator
        assert isinstance(generator, CycleGenerator)
        assert isinstance(discriminator, CycleDiscriminator)
        if plain.rules.fakes == "previous" and generator.pool:
            raise UserError(
                f'rules.fakes = "previous" and generator.pool = {generator.pool} both say which fakes the discriminators see. '
                "Use --set generator.pool=0 with previous fakes."
            )
        if plain.loss.coupled:
            raise UserError(
                "The loss of a cycle must not couple the rows of a batch. Use relativistic or least_squares."
            )
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self.past = {name: ReplayBuffer(generator.pool) for name in WAYS}
        there = _Direction(generator.there, generator.back), discriminator.of_target
        back = _Direction(generator.back, generator.there), discriminator.of_input
        self.ways = {
            name: Duel(
                *networks,
                loss=plain.loss,
                penalties=plain.penalties,
                prior=plain.prior,
                rules=plain.rules,
                conditional=True,
                replay=self.past[name].exchanged,
            )
            for name, networks in zip(WAYS, (there, back), strict=True)
        }
        self.reals_per_step = plain.reals_per_step

    def turns(self, step: int) -> Sequence[Turn]:
        """As in the ordinary game; the generators' turn draws reals too."""
        return self.ways[""].turns(step)

    def terms(self, player: str, share: MicroBatch) -> dict[str, Tensor]:
        """The terms of the way there, and those of the way back as "back/..."."""
        assert share.real is not None
        assert share.real.condition is not None
        swapped = replace(share, real=Batch(share.real.condition, share.real.data))
        return {
            name + term: value
            for name, own in zip(WAYS, (share, swapped), strict=True)
            for term, value in self.ways[name].terms(player, own).items()
        }

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Weight clipping, where the rules ask for it."""
        for way in self.ways.values():
            way.after_step(player, {})

    def log_values(self) -> dict[str, Tensor]:
        """What the ordinary game tells, for each way."""
        return {name + key: value for name, way in self.ways.items() for key, value in way.log_values().items()}

    def state_dict(self) -> dict[str, Any]:
        """The past fakes of both ways: "rows.past", "rows.filled", "rows.back/past", "rows.back/filled"."""
        return {f"rows.{name}{key}": value for name in WAYS for key, value in self.past[name].state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for name in WAYS:
            own = {key: state[f"rows.{name}{key}"] for key in ("past", "filled") if f"rows.{name}{key}" in state}
            self.past[name].load_state_dict(own, int(state.get("first_row", 0)))


class _Direction(DirectionOfCycle):
    """A generator that knows the one of the way back, as `other`."""

    def __init__(self, way: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.way, self.other = way, other

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.way(noise, condition)
        return y


class ReplayBuffer:
    """Past fakes, kept for each row of the batch apart, so that N processes play the game of one.

    size: how many in all; a row keeps size / batch, rounded up. While a row's places are being filled its fakes are shown as
    they are; then half of them take the place of a past one, which is shown instead.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.first_row = 0
        self.past: Tensor | None = None  # (rows of this process, K, C, H, W)
        self.filled: Tensor | None = None  # (rows of this process,) int64

    def exchanged(self, fakes: Batch, share: MicroBatch) -> Batch:
        """For each row the new fake, or a past one of this row."""
        new = fakes.data
        if not self.size:
            return fakes
        places = -(-self.size // share.draws.total)
        start = self._room(new, share, places)
        assert self.past is not None
        assert self.filled is not None
        rows = slice(start, start + len(new))
        past, filled = self.past[rows], self.filled[rows]
        full = filled >= places
        swap = full & (share.draws.uniform("past fakes: swap") < 0.5)
        place = torch.where(full, share.draws.integers("past fakes: place", places), filled.clamp(max=places - 1))
        at = torch.arange(len(new), device=new.device), place
        old = past[at].to(new.dtype)
        past[at] = torch.where((swap | ~full)[:, None, None, None], new, old).to(past.dtype)
        filled += (~full).long()
        return Batch(torch.where(swap[:, None, None, None], old, new), fakes.condition)

    def _room(self, fakes: Tensor, share: MicroBatch, places: int) -> int:
        """Where the share's rows lie here; makes room for them when they come for the first time."""
        if self.past is None or self.filled is None:
            self.first_row = share.draws.start
            self.past = fakes.new_zeros(0, places, *fakes.shape[1:], dtype=torch.float32)
            self.filled = fakes.new_zeros(0, dtype=torch.int64)
        start = share.draws.start - self.first_row
        missing = start + len(fakes) - len(self.past)
        if missing > 0:
            self.past = torch.cat([self.past, self.past.new_zeros(missing, *self.past.shape[1:])])
            self.filled = torch.cat([self.filled, self.filled.new_zeros(missing)])
        return start

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors, rows first; nothing before the first exchange."""
        return {} if self.past is None or self.filled is None else {"past": self.past, "filled": self.filled}

    def load_state_dict(self, state: Mapping[str, Tensor], first_row: int) -> None:
        """The inverse of state_dict."""
        self.past, self.filled, self.first_row = state.get("past"), state.get("filled"), first_row
