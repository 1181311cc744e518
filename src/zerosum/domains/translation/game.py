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
from zerosum.domains.translation import terms
from zerosum.domains.translation.networks import DISCRIMINATORS, GENERATORS
from zerosum.domains.translation.networks.both import CycleDiscriminator, CycleGenerator
from zerosum.domains.translation.networks.task import task_of
from zerosum.engine.duel import DISCRIMINATOR, GENERATOR, Duel
from zerosum.engine.game import Batch, Game, Share, Turn
from zerosum.errors import UserError
from zerosum.recipe import Recipe


def game(recipe: Recipe, facts: Mapping[str, Any]) -> Game:
    """The game of a recipe: a Duel, or a Cycle where both networks are of kind `cycle`."""
    if (recipe.generator.kind == "cycle") != (recipe.discriminator.kind == "cycle"):
        raise UserError(
            f"generator.kind = {recipe.generator.kind!r} and discriminator.kind = {recipe.discriminator.kind!r}: `cycle` goes "
            "with `cycle` alone, for both have a part in each direction."
        )
    task = task_of(facts)
    plain = domain.duel(recipe, GENERATORS, DISCRIMINATORS, {}, task, conditional=True, penalties=terms.table())
    return Cycle(plain) if isinstance(plain.generator, CycleGenerator) else plain


class Cycle(Game):
    """Two ordinary games, there and back, whose generators also have to undo one another.

    The player "generator" holds both generators, "discriminator" both discriminators. A row of a batch has an input (its
    condition) and a target that need not belong together. Each discriminator sees past fakes in place of half of the new
    ones (Shrivastava et al. 2017, arXiv:1612.07828, section 2.3).
    """

    def __init__(self, plain: Duel) -> None:
        generator, discriminator = plain.generator, plain.discriminator
        assert isinstance(generator, CycleGenerator) and isinstance(discriminator, CycleDiscriminator)
        if plain.loss.coupled:
            raise UserError("The loss of a cycle must not couple the rows of a batch. Use relativistic or least_squares.")
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        ways = (generator.there, generator.back, discriminator.of_target), (
            generator.back,
            generator.there,
            discriminator.of_input,
        )
        self.ways = {name: _Way(*parts, plain, generator.pool) for name, parts in zip(("", "back/"), ways, strict=True)}
        self.reals_per_step = plain.reals_per_step

    def turns(self, step: int) -> Sequence[Turn]:
        """As in the ordinary game; the generators' turn draws reals too."""
        return self.ways[""].duel.turns(step)

    def terms(self, player: str, share: Share) -> dict[str, Tensor]:
        """The terms of the way there, and those of the way back as "back/..."."""
        assert share.real is not None and share.real.condition is not None
        swapped = replace(share, real=Batch(share.real.condition, share.real.data))
        shares = (share, swapped)
        return {
            name + term: value
            for (name, way), real in zip(self.ways.items(), shares, strict=True)
            for term, value in way.terms(player, real).items()
        }

    def finish(self, player: str, noted: Mapping[str, Tensor]) -> None:
        """Weight clipping, where the rules ask for it."""
        for way in self.ways.values():
            way.duel.finish(player, {})

    def observed(self) -> dict[str, Tensor]:
        """What the ordinary game tells, for each way."""
        return {name + key: value for name, way in self.ways.items() for key, value in way.shown.observed().items()}

    def state_dict(self) -> dict[str, Any]:
        """The past fakes of both ways: "rows.past", "rows.filled" and the same with "back"."""
        return {
            f"rows.{name.replace('/', '.')}{key}": value
            for name, way in self.ways.items()
            for key, value in way.past.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for name, way in self.ways.items():
            prefix = f"rows.{name.replace('/', '.')}"
            own = {key: state[prefix + key] for key in ("past", "filled") if prefix + key in state}
            way.past.load_state_dict(own, int(state.get("first_row", 0)))


class _Way:
    """One direction: the ordinary game for the generators' turn, and the same one with past fakes for the discriminators'."""

    def __init__(self, way: nn.Module, other: nn.Module, judge: nn.Module, plain: Duel, pool: int) -> None:
        self.past, self.given = Past(pool), _Given()
        self.direction = _Direction(way, other)
        self.duel, self.shown = (
            Duel(
                network,
                judge,
                loss=plain.loss,
                penalties=plain.penalties,
                prior=plain.prior,
                rules=plain.rules,
                conditional=True,
            )
            for network in (self.direction, self.given)
        )

    def terms(self, player: str, share: Share) -> dict[str, Tensor]:
        if player == GENERATOR:
            return self.duel.terms(player, share)
        assert share.real is not None
        with torch.no_grad():
            fakes = self.direction(self.duel.prior.draw(share.draws), share.real.condition)
        self.given.fakes = self.past.exchanged(fakes, share)
        return self.shown.terms(player, share)


class _Direction(nn.Module):
    """A generator that knows the one of the way back, as `other`."""

    def __init__(self, way: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.way, self.other = way, other

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.way(noise, condition)
        return y


class _Given(nn.Module):
    """Stands where a generator would, and gives the fakes that were laid into it."""

    fakes: Tensor

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        return self.fakes


class Past:
    """Past fakes, kept for each row of the batch apart, so that N processes play the game of one.

    size: how many in all; a row keeps size / batch, rounded up. While a row's places are being filled its fakes are shown as
    they are; then half of them take the place of a past one, which is shown instead.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.first_row = 0
        self.past: Tensor | None = None  # (rows of this process, K, C, H, W)
        self.filled: Tensor | None = None  # (rows of this process,) int64

    def exchanged(self, fakes: Tensor, share: Share) -> Tensor:
        """(N, C, H, W) -> the same shape: for each row the new fake, or a past one of this row."""
        if not self.size:
            return fakes
        places = -(-self.size // share.draws.total)
        start = self._room(fakes, share, places)
        assert self.past is not None and self.filled is not None
        rows = slice(start, start + len(fakes))
        past, filled = self.past[rows], self.filled[rows]
        full = filled >= places
        swap = full & (share.draws.uniform("past fakes: swap") < 0.5)
        place = torch.where(full, share.draws.integers("past fakes: place", places), filled.clamp(max=places - 1))
        index = torch.arange(len(fakes), device=fakes.device), place
        shown = torch.where(swap[:, None, None, None], past[index].to(fakes.dtype), fakes)
        kept = torch.where((swap | ~full)[:, None, None, None], fakes.to(past.dtype), past[index])
        past[index] = kept
        filled += (~full).long()
        return shown

    def _room(self, fakes: Tensor, share: Share, places: int) -> int:
        """Where the share's rows lie here; makes room for them when they come for the first time."""
        if self.past is None or self.filled is None:
            self.first_row = share.draws.start
            self.past, self.filled = fakes.new_zeros(0, places, *fakes.shape[1:]).float(), share.draws.integers("", 1)[:0]
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
