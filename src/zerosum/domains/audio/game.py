"""The game of sound: the duel of a generator and a discriminator on the spectrograms of the clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.domains.audio import networks, speech, vocoder
from zerosum.domains.audio.augmentation import AUGMENTS
from zerosum.domains.audio.networks import SpectrogramDiscriminator, SpectrogramGenerator
from zerosum.domains.audio.signal import Sound
from zerosum.engine.duel import Duel
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Batch, Game, MicroBatch
from zerosum.errors import UserError
from zerosum.recipe import Recipe


class SpectrogramDuel(Duel):
    """A duel on scaled log magnitudes. The reals of a turn are the spectrograms of its clips, each shifted in time at random.

    The player "generator" is the whole generator, which makes waves; in the game its inner network `codes` makes spectrograms.
    """

    def __init__(self, whole: SpectrogramGenerator, discriminator: SpectrogramDiscriminator, **rest: Any) -> None:
        super().__init__(whole.codes, discriminator, **rest)
        self.whole = whole
        self.players: Mapping[str, nn.Module] = {DISCRIMINATOR: discriminator, GENERATOR: whole}
        discriminator.show(whole)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The duel's terms, on spectrograms."""
        return super().terms(player, self._on_spectrograms(batch))

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """The duel's scores for losses that couple rows, on spectrograms."""
        return super().batch_scores(player, self._on_spectrograms(batch))

    @torch.no_grad()
    def _on_spectrograms(self, batch: MicroBatch) -> MicroBatch:
        if batch.real is None or batch.real.data.dim() != 3:
            return batch
        shifted = shift_in_time(batch.real.data, self.whole.shift, batch.rng.uniform("shift"))
        return replace(batch, real=Batch(self.whole.spectrogram.scaled(shifted), batch.real.condition))


def shift_in_time(waves: Tensor, most: float, chance: Tensor) -> Tensor:
    """Each row of waves (N, C, T) made up to `most` T samples later; it begins with silence, and what leaves at the end is lost.

    Never earlier, and never around the end: the attack with which many clips begin would be heard at their end, and the tail of
    a clip that sounds until its end at its beginning. chance: (N,) in [0, 1), the share of the farthest shift.
    """
    samples = waves.shape[2]
    farthest = round(most * samples)
    if not farthest:
        return waves
    shift = (chance * (farthest + 1)).long()
    places = (torch.arange(samples, device=waves.device) - shift[:, None])[:, None]
    return waves.gather(2, places.clamp_min(0).expand_as(waves)) * (places >= 0)


def sound_of(info: domain.DatasetInfo) -> Sound:
    """The form of the waves of a data set, from which the networks are built."""
    return Sound(info.sample.axes["channels"], info.sample.axes["samples"], int(info.payload["rate"]))


def build(recipe: Recipe, info: domain.DatasetInfo) -> Game:
    """The game of a recipe, by the kind of its networks. Both are of the same kind, which is made for one kind of condition."""
    kinds = recipe.generator.kind, recipe.discriminator.kind
    for kind in set(kinds) & TASKS.keys():
        if kinds != (kind, kind):
            raise UserError(f"generator.kind and discriminator.kind: `{kind}` can only be combined with `{kind}`.")
    given, needed = info.payload.get("condition", "class"), TASKS.get(kinds[0], "class")
    if given != needed:
        raise UserError(
            f"generator.kind = {kinds[0]!r} needs data.condition = {needed!r}, which is {given!r}. Use --set "
            f"data.condition={needed}, or another recipe."
        )
    if needed in BUILDERS:
        return BUILDERS[needed](recipe, info)
    given_sizes, sound = domain.condition_sizes(recipe, info.num_classes), sound_of(info)
    with domain.seeded(recipe):
        whole = domain.network("generator", GENERATORS, recipe.generator, sound, given_sizes)
        form = whole.grid if isinstance(whole, SpectrogramGenerator) else sound
        judge = domain.network("discriminator", DISCRIMINATORS, recipe.discriminator, form, given_sizes)
    floor = whole.spectrogram.floor if isinstance(whole, SpectrogramGenerator) else 0.0
    return domain.duel_of(
        SpectrogramDuel if isinstance(whole, SpectrogramGenerator) else Duel,
        recipe,
        whole,
        judge,
        conditional=bool(given_sizes["num_classes"]),
        augment=domain.make("augment", AUGMENTS, recipe.augment, floor) if recipe.augment else None,
    )


def _from_mel(recipe: Recipe, info: domain.DatasetInfo) -> Duel:
    """The game of waves from mel spectrograms."""
    if recipe.augment:
        raise UserError("augment: a vocoder has no augmentations; use --set augment=null.")
    if recipe.conditional is not True:
        raise UserError(
            "conditional: a vocoder needs mel spectrograms; use --set conditional=true. Clips of no class: --recipe clips."
        )
    sizes, sound = domain.condition_sizes(recipe, 0), sound_of(info)
    with domain.seeded(recipe):
        made = domain.network("generator", GENERATORS, recipe.generator, sound, sizes)
        judge = domain.network("discriminator", DISCRIMINATORS, recipe.discriminator, sound, sizes)
    return domain.duel_of(vocoder.VocoderDuel, recipe, made, judge, vocoder.penalties(), conditional=True)


def generator(recipe: Recipe, info: domain.DatasetInfo) -> nn.Module:
    """The generator of that game alone."""
    form: Any = speech.voice_of(info) if recipe.generator.kind in speech.GENERATORS else sound_of(info)
    return domain.generator(recipe, GENERATORS, form, info.num_classes)


GENERATORS = {**networks.GENERATORS, **vocoder.GENERATORS, **speech.GENERATORS}
DISCRIMINATORS = {**networks.DISCRIMINATORS, **vocoder.DISCRIMINATORS, **speech.DISCRIMINATORS}
TASKS = {"wavegan": "class", "vocoder": "mel", "speech": "text"}
"""Kinds of networks that only go with their like, and what the data must be conditioned on."""
BUILDERS: Mapping[str, Callable[[Recipe, domain.DatasetInfo], Game]] = {"mel": _from_mel, "text": speech.build}
"""For conditions other than classes: what builds the game."""
