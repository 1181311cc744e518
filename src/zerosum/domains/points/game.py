"""A game in two phases: first an auto-encoder of clouds is trained, then a generator and a discriminator on its
codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.domains.points import networks
from zerosum.domains.points.distances import chamfer
from zerosum.domains.points.networks import LatentDiscriminator, LatentGenerator
from zerosum.engine.duel import Duel
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Batch, Game, MicroBatch, Source, Turn
from zerosum.engine.seeds import generator as seeded_generator
from zerosum.errors import UserError
from zerosum.recipe import Recipe

CHUNK = 256
"""The number of clouds that are encoded at once."""


class LatentDuel(Duel):
    """A duel on standardised codes, preceded by `phase_steps` turns that train only the generator's auto-encoder.

    The player "generator" consists of auto-encoder and code generator, so that the weight average includes both. In the
    first phase it minimises the Chamfer distance between a cloud and its reconstruction from some of its points. In the
    second phase encoder and decoder do not change. The codes of all training shapes are therefore computed once, when
    it begins (or is resumed); the reals of a turn are rows of them, so that a step computes two small perceptrons and
    no encoder.
    """

    def __init__(
        self, latent_generator: LatentGenerator, discriminator: LatentDiscriminator, *, phase_steps: int, **rest: Any
    ) -> None:
        self.phase_steps = phase_steps
        super().__init__(latent_generator.codes, discriminator, **rest)
        self.latent_generator = latent_generator
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: latent_generator}
        self.source: Source | None = None
        self._codes: Batch | None = None
        self._code_statistics: tuple[Tensor, Tensor] | None = None
        discriminator.set_encoder(latent_generator)

    def turns(self, step: int) -> Sequence[Turn]:
        """The auto-encoder's turn on real clouds; in the second phase the duel's turns, whose reals are stored
        codes."""
        if step < self.phase_steps:
            return (Turn((GENERATOR,)),)
        return tuple(Turn(turn.players, reals=False) for turn in super().turns(step))

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The Chamfer distance in the first phase, the duel's terms on codes in the second."""
        if player == GENERATOR and batch.step < self.phase_steps:
            self._codes = None  # stored codes belong to older weights
            return {"chamfer": self._reconstruction(batch)}
        return super().terms(player, self._on_codes(batch))

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """Scores for losses that couple rows; None in the first phase."""
        if player == GENERATOR and batch.step < self.phase_steps:
            return None
        return super().batch_scores(player, self._on_codes(batch))

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Stores in the decoder the mean and the standard deviation by which codes are standardised."""
        super().after_step(player, statistics)
        if player == GENERATOR and self._codes is not None and self._code_statistics is not None:
            buffers = self.latent_generator.mean, self.latent_generator.spread
            for buffer, value in zip(buffers, self._code_statistics, strict=True):
                buffer.copy_(value)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads the state; stored codes belong to the previous weights and are dropped."""
        super().load_state_dict(state)
        self._codes = None

    def _reconstruction(self, batch: MicroBatch) -> Tensor:
        """The mean Chamfer distance between clouds and their reconstructions from `seen` random points of each."""
        assert batch.real is not None, "the auto-encoder's turn draws reals"
        clouds = batch.real.data
        order = batch.rng.uniform("seen", clouds.shape[1]).argsort(1)[:, : self.latent_generator.seen]
        seen = clouds.gather(1, order[:, :, None].expand(-1, -1, clouds.shape[2]))
        return chamfer(self.latent_generator.rebuild(self.latent_generator.encode(seen)).float(), clouds).mean()

    def _on_codes(self, batch: MicroBatch) -> MicroBatch:
        """The micro-batch with rows of the stored codes as its reals."""
        codes = self._stored_codes()
        rows = batch.rng.integers("rows", len(codes))
        condition = None if codes.condition is None else codes.condition[rows]
        return replace(batch, real=Batch(codes.data[rows], condition))

    @torch.no_grad()
    def _stored_codes(self) -> Batch:
        """The standardised codes of all training shapes, encoded from `seen` points of each, with their labels."""
        if self._codes is None:
            if self.source is None:
                raise UserError("The codes of the training shapes are needed, and this game has no source.")
            device = self.latent_generator.mean.device
            with torch.autocast(device.type, enabled=False):
                parts = [self._encode_rows(rows) for rows in torch.split(torch.arange(self.source.num_rows), CHUNK)]
            codes = torch.cat([part.data for part in parts])
            labels = [part.condition for part in parts if part.condition is not None]
            self._code_statistics = codes.mean(0), codes.std(0, correction=0).clamp_min(1e-4)
            standard = (codes - self._code_statistics[0]) / self._code_statistics[1]
            self._codes = Batch(standard, torch.cat(labels) if labels else None)
        return self._codes

    def _encode_rows(self, rows: Tensor) -> Batch:
        assert self.source is not None, "set by init_from_data"
        batch = self.source.batch(rows)
        picked = torch.randperm(batch.data.shape[1], generator=seeded_generator(int(rows[0]), "seen"))[
            : self.latent_generator.seen
        ]
        return Batch(self.latent_generator.encode(batch.data[:, picked.to(batch.data.device)]), batch.condition)


def build(recipe: Recipe, info: domain.DatasetInfo) -> Duel:
    """The game of a recipe: in phases for the generator kind "latent", else the ordinary duel on points."""
    num_points, num_classes = info.sample.axes["points"], info.num_classes
    latent = [part.kind == "latent" for part in (recipe.generator, recipe.discriminator)]
    if not any(latent):
        return domain.duel(
            recipe, networks.GENERATORS, networks.DISCRIMINATORS, {}, num_points, num_classes=num_classes
        )
    if not all(latent):
        raise UserError("generator.kind and discriminator.kind: `latent` can only be combined with `latent`.")
    if recipe.augment:
        raise UserError("augment: codes have no augmentations; use --set augment=null.")
    given = domain.condition_sizes(recipe, num_classes)
    with domain.seeded(recipe):
        latent_generator: LatentGenerator = domain.network(
            "generator", networks.GENERATORS, recipe.generator, num_points, given
        )
        given["code"] = latent_generator.code
        judge = domain.network("discriminator", networks.DISCRIMINATORS, recipe.discriminator, num_points, given)
    return domain.duel_of(
        LatentDuel,
        recipe,
        latent_generator,
        judge,
        phase_steps=max(1, round(latent_generator.phase * recipe.steps)),
        conditional=bool(given["num_classes"]),
    )


def generator(recipe: Recipe, info: domain.DatasetInfo) -> nn.Module:
    """Only the generator of that game."""
    return domain.generator(recipe, networks.GENERATORS, info.sample.axes["points"], info.num_classes)


def init_from_data(game: Game, source: Source) -> None:
    """Sets the source whose shapes a game on codes encodes."""
    if isinstance(game, LatentDuel):
        game.source = source
