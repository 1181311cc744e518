"""The game in phases: an auto-encoder of clouds is learnt first, then a generator and a discriminator play on its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.domains.points import networks
from zerosum.domains.points.clouds import chamfer
from zerosum.domains.points.networks import LatentDiscriminator, LatentGenerator
from zerosum.engine.duel import Duel
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Batch, Game, MicroBatch, Source, Turn
from zerosum.engine.seeds import generator as seeded_generator
from zerosum.errors import UserError
from zerosum.recipe import Recipe

CHUNK = 256
"""Clouds that are encoded at once."""


class LatentDuel(Duel):
    """A duel on standardised codes, preceded by `phase_steps` turns in which the generator's auto-encoder learns alone.

    The player "generator" is the whole of auto-encoder and code generator, so that its average is what is published. In the
    first phase it minimises the Chamfer distance between a cloud and what it rebuilds of some points of it. From then on
    encoder and decoder stay as they are. The codes of all training shapes are therefore computed once, when the second phase
    begins (or is resumed); a turn's reals are rows of them, so a step costs two small perceptrons and no encoder.
    """

    def __init__(
        self, whole: LatentGenerator, discriminator: LatentDiscriminator, *, phase_steps: int, **rest: Any
    ) -> None:
        self.phase_steps = phase_steps
        super().__init__(whole.codes, discriminator, **rest)
        self.whole = whole
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: whole}
        self.source: Source | None = None
        self._bank: Batch | None = None
        self._scales: tuple[Tensor, Tensor] | None = None
        discriminator.show(whole)

    def turns(self, step: int) -> Sequence[Turn]:
        """The auto-encoder's turn on real clouds; later the duel's turns, whose reals come from the kept codes."""
        if step < self.phase_steps:
            return (Turn((GENERATOR,)),)
        return tuple(Turn(turn.players, reals=False) for turn in super().turns(step))

    def terms(self, player: str, share: MicroBatch) -> dict[str, Tensor]:
        """The Chamfer distance in the first phase, the duel's terms on codes in the second."""
        if player == GENERATOR and share.step < self.phase_steps:
            self._bank = None  # what was kept is of older weights
            return {"chamfer": self._rebuilding(share)}
        return super().terms(player, self._on_codes(share))

    def batch_scores(self, player: str, share: MicroBatch) -> Tensor | None:
        """Scores for losses that couple rows; in the first phase there are none."""
        if player == GENERATOR and share.step < self.phase_steps:
            return None
        return super().batch_scores(player, self._on_codes(share))

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """The decoder learns by which mean and spread its codes were standardised."""
        super().after_step(player, statistics)
        if player == GENERATOR and self._bank is not None and self._scales is not None:
            for mine, found in zip((self.whole.mean, self.whole.spread), self._scales, strict=True):
                mine.copy_(found)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What was kept belongs to the weights before."""
        super().load_state_dict(state)
        self._bank = None

    def _rebuilding(self, share: MicroBatch) -> Tensor:
        """The mean Chamfer distance between clouds and what is rebuilt of `seen` random points of each."""
        assert share.real is not None, "the auto-encoder's turn draws reals"
        clouds = share.real.data
        order = share.draws.uniform("seen", clouds.shape[1]).argsort(1)[:, : self.whole.seen]
        seen = clouds.gather(1, order[:, :, None].expand(-1, -1, clouds.shape[2]))
        return chamfer(self.whole.rebuild(self.whole.encode(seen)).float(), clouds).mean()

    def _on_codes(self, share: MicroBatch) -> MicroBatch:
        """The share with rows of the kept codes for its reals."""
        bank = self._kept()
        rows = share.draws.integers("rows", len(bank))
        condition = None if bank.condition is None else bank.condition[rows]
        return replace(share, real=Batch(bank.data[rows], condition))

    @torch.no_grad()
    def _kept(self) -> Batch:
        """The standardised codes of all training shapes, of `seen` points of each, with their labels."""
        if self._bank is None:
            if self.source is None:
                raise UserError("The codes of the training shapes are needed, and this game was given no source.")
            device = self.whole.mean.device
            with torch.autocast(device.type, enabled=False):
                parts = [self._encoded(rows) for rows in torch.split(torch.arange(self.source.num_rows), CHUNK)]
            codes = torch.cat([part.data for part in parts])
            labels = [part.condition for part in parts if part.condition is not None]
            self._scales = codes.mean(0), codes.std(0, correction=0).clamp_min(1e-4)
            standard = (codes - self._scales[0]) / self._scales[1]
            self._bank = Batch(standard, torch.cat(labels) if labels else None)
        return self._bank

    def _encoded(self, rows: Tensor) -> Batch:
        assert self.source is not None, "asked for before"
        batch = self.source.batch(rows)
        picked = torch.randperm(batch.data.shape[1], generator=seeded_generator(int(rows[0]), "seen"))[
            : self.whole.seen
        ]
        return Batch(self.whole.encode(batch.data[:, picked.to(batch.data.device)]), batch.condition)


def build(recipe: Recipe, info: domain.DatasetInfo) -> Duel:
    """The game of a recipe: in phases for the generator kind "latent", else the ordinary duel on points."""
    num_points, num_classes = info.sample.axes["points"], info.num_classes
    latent = [part.kind == "latent" for part in (recipe.generator, recipe.discriminator)]
    if not any(latent):
        return domain.duel(
            recipe, networks.GENERATORS, networks.DISCRIMINATORS, {}, num_points, num_classes=num_classes
        )
    if not all(latent):
        raise UserError("generator.kind and discriminator.kind: `latent` plays against `latent` only.")
    if recipe.augment:
        raise UserError("augment: codes have no augmentations; use --set augment=null.")
    given = {
        "latent": recipe.prior.size,
        "num_classes": num_classes if recipe.conditional is True else 0,
        "num_attributes": 0,
    }
    with domain.seeded(recipe):
        whole: LatentGenerator = domain.network("generator", networks.GENERATORS, recipe.generator, num_points, given)
        given["code"] = whole.code
        judge = domain.network("discriminator", networks.DISCRIMINATORS, recipe.discriminator, num_points, given)
    try:
        return LatentDuel(
            whole,
            judge,
            phase_steps=max(1, round(whole.phase * recipe.steps)),
            loss=domain.pair(recipe),
            penalties=domain.penalties_of(recipe),
            prior=recipe.prior,
            rules=recipe.rules,
            conditional=bool(given["num_classes"]),
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"Recipe {recipe.name}: {error}.") from None


def generator(recipe: Recipe, info: domain.DatasetInfo) -> nn.Module:
    """The generator of that game alone."""
    return domain.generator(recipe, networks.GENERATORS, info.sample.axes["points"], info.num_classes)


def init_from_data(game: Game, source: Source) -> None:
    """A game on codes is told of the shapes that it will encode."""
    if isinstance(game, LatentDuel):
        game.source = source
