"""The games of translation: a Duel for pairs and for contrastive generators, two of them for cycles.

Legend: N rows of a micro-batch, K past fakes for each row.
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
from zerosum.domains.translation.networks.upscale import Upscaler
from zerosum.domains.translation.sides import TranslationTask, task_of
from zerosum.engine.duel import Duel
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Batch, Game, MicroBatch, Turn
from zerosum.errors import UserError
from zerosum.recipe import Recipe


def game(recipe: Recipe, info: DatasetInfo) -> Game:
    """The game of a recipe: a Duel, or a Cycle where both networks are of kind `cycle`."""
    if (recipe.generator.kind == "cycle") != (recipe.discriminator.kind == "cycle"):
        raise UserError(
            f"generator.kind = {recipe.generator.kind!r} and discriminator.kind = {recipe.discriminator.kind!r}: `cycle` can "
            "only be combined with `cycle`, because both have a network for each direction."
        )
    task = task_of(info)
    if recipe.generator.kind == "upscale":
        return _upscaling(recipe, task)
    duel = domain.duel(recipe, GENERATORS, DISCRIMINATORS, {}, task, conditional=True, penalties=terms.table())
    return Cycle(duel) if isinstance(duel.generator, CycleGenerator) else duel


def generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    """Only the generator of that game."""
    return domain.generator(recipe, GENERATORS, task_of(info))


def _upscaling(recipe: Recipe, task: TranslationTask) -> UpscaleDuel:
    with domain.seeded(recipe):
        given = domain.condition_sizes(recipe, 0)
        upscaler: Upscaler = domain.network("generator", GENERATORS, recipe.generator, task, given)
        judge = domain.network("discriminator", DISCRIMINATORS, recipe.discriminator, task, given)
    steps = max(1, round(upscaler.phase * recipe.steps))
    return domain.duel_of(
        UpscaleDuel, recipe, upscaler, judge, terms.table(), phase_steps=steps, conditional=True
    )  # fmt: skip


class UpscaleDuel(Duel):
    """A duel that is preceded by `phase_steps` turns of the generator alone, which minimise the distance to the target."""

    def __init__(self, upscaler: Upscaler, discriminator: nn.Module, *, phase_steps: int, **rest: Any) -> None:
        self.phase_steps, self.upscaler = phase_steps, upscaler
        self._alone = False
        super().__init__(upscaler, discriminator, **rest)

    def turns(self, step: int) -> Sequence[Turn]:
        """The generator's turn on real pairs, then the turns of the duel."""
        return (Turn((GENERATOR,)),) if step < self.phase_steps else super().turns(step)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The distance to the targets in the first phase, the terms of the duel in the second."""
        self._alone = player == GENERATOR and batch.step < self.phase_steps
        if not self._alone:
            return super().terms(player, batch)
        assert batch.real is not None
        made = self.upscaler(self.prior.draw(batch.rng), batch.real.condition)
        return {"pixel": terms.distance(made, batch.real.data).mean()}

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """Scores for losses that couple rows; None in the first phase."""
        return None if player == GENERATOR and batch.step < self.phase_steps else super().batch_scores(player, batch)

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Averages the weights of the first phase."""
        super().after_step(player, statistics)
        if self._alone:
            self.upscaler.keep()


PREFIXES = ("", "back/")
"""Prefixes of the terms of the direction from input to target, and of the direction back."""


class Cycle(Game):
    """Two Duels, one for each direction, whose generators are also trained to be inverses of each other.

    The player "generator" holds both generators, "discriminator" both discriminators. A row of a batch has an input
    (its condition) and a target, which need not be a pair. Each discriminator receives past fakes in place of half of the
    new ones (Shrivastava et al. 2017, arXiv:1612.07828, section 2.3).
    """

    def __init__(self, duel: Duel) -> None:
        generator, discriminator = duel.generator, duel.discriminator
        assert isinstance(generator, CycleGenerator)
        assert isinstance(discriminator, CycleDiscriminator)
        if duel.rules.fakes == "previous" and generator.pool:
            raise UserError(
                f'rules.fakes = "previous" and generator.pool = {generator.pool} both select the fakes of the discriminators. '
                "Use --set generator.pool=0 with previous fakes."
            )
        if duel.loss.coupled:
            raise UserError(
                "A cycle does not support losses that couple the rows of a batch. Use relativistic or least_squares."
            )
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self.past = {name: ReplayBuffer(generator.pool) for name in PREFIXES}
        there = _Direction(generator.there, generator.back), discriminator.of_target
        back = _Direction(generator.back, generator.there), discriminator.of_input
        self.directions = {
            name: Duel(
                *networks,
                loss=duel.loss,
                penalties=duel.penalties,
                prior=duel.prior,
                rules=duel.rules,
                conditional=True,
                replay=self.past[name].exchange,
            )
            for name, networks in zip(PREFIXES, (there, back), strict=True)
        }
        self.reals_per_step = duel.reals_per_step

    def turns(self, step: int) -> Sequence[Turn]:
        """As in a Duel; the turn of the generators draws reals too."""
        return self.directions[""].turns(step)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The terms of the direction to the target, and those of the direction back as "back/..."."""
        assert batch.real is not None
        assert batch.real.condition is not None
        swapped = replace(batch, real=Batch(batch.real.condition, batch.real.data))
        return {
            name + term: value
            for name, own in zip(PREFIXES, (batch, swapped), strict=True)
            for term, value in self.directions[name].terms(player, own).items()
        }

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Clips the weights if the rules require it."""
        for direction in self.directions.values():
            direction.after_step(player, {})

    def log_values(self) -> dict[str, Tensor]:
        """The log values of both Duels."""
        return {
            name + key: value
            for name, direction in self.directions.items()
            for key, value in direction.log_values().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The past fakes of both directions: "rows.past", "rows.filled", "rows.back/past", "rows.back/filled"."""
        return {f"rows.{name}{key}": value for name in PREFIXES for key, value in self.past[name].state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for name in PREFIXES:
            own = {key: state[f"rows.{name}{key}"] for key in ("past", "filled") if f"rows.{name}{key}" in state}
            self.past[name].load_state_dict(own, int(state.get("first_row", 0)))


class _Direction(DirectionOfCycle):
    """The generator of one direction; `other` is the generator of the opposite direction."""

    def __init__(self, direction: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.direction, self.other = direction, other

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.direction(noise, condition)
        return y


class ReplayBuffer:
    """Past fakes, stored separately for each row of the batch, so that the result does not depend on the number of
    processes.

    size: capacity in all; a row keeps size / batch fakes, rounded up. Until the places of a row are filled, `exchange`
    returns its new fakes; then, with probability 1/2, a new fake replaces a stored one, which is returned instead.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.first_row = 0
        self.past: Tensor | None = None  # (rows of this process, K, C, H, W)
        self.filled: Tensor | None = None  # (rows of this process,) int64

    def exchange(self, fakes: Batch, batch: MicroBatch) -> Batch:
        """Returns for each row the new fake or a past one of the same row."""
        new = fakes.data
        if not self.size:
            return fakes
        places = -(-self.size // batch.rng.total)
        start = self._allocate(new, batch, places)
        assert self.past is not None
        assert self.filled is not None
        rows = slice(start, start + len(new))
        past, filled = self.past[rows], self.filled[rows]
        full = filled >= places
        replaced = full & (batch.rng.uniform("past fakes: swap") < 0.5)
        place = torch.where(full, batch.rng.integers("past fakes: place", places), filled.clamp(max=places - 1))
        index = torch.arange(len(new), device=new.device), place
        old = past[index].to(new.dtype)
        past[index] = torch.where((replaced | ~full)[:, None, None, None], new, old).to(past.dtype)
        filled += (~full).long()
        return Batch(torch.where(replaced[:, None, None, None], old, new), fakes.condition)

    def _allocate(self, fakes: Tensor, batch: MicroBatch, places: int) -> int:
        """The position of the micro-batch's rows in `past`; allocates them at their first use."""
        if self.past is None or self.filled is None:
            self.first_row = batch.rng.start
            self.past = fakes.new_zeros(0, places, *fakes.shape[1:], dtype=torch.float32)
            self.filled = fakes.new_zeros(0, dtype=torch.int64)
        start = batch.rng.start - self.first_row
        missing = start + len(fakes) - len(self.past)
        if missing > 0:
            self.past = torch.cat([self.past, self.past.new_zeros(missing, *self.past.shape[1:])])
            self.filled = torch.cat([self.filled, self.filled.new_zeros(missing)])
        return start

    def state_dict(self) -> dict[str, Tensor]:
        """The stored fakes and the number of filled places of each row; empty before the first exchange."""
        return {} if self.past is None or self.filled is None else {"past": self.past, "filled": self.filled}

    def load_state_dict(self, state: Mapping[str, Tensor], first_row: int) -> None:
        """The inverse of state_dict."""
        self.past, self.filled, self.first_row = state.get("past"), state.get("filled"), first_row
