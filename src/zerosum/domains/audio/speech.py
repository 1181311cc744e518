"""Speech from text: an encoder of characters, an alignment that is searched, durations, a decoder to mel spectrograms, and the
games that train them.

Legend: N rows, C channels of waves, T samples, B mel bands, K frames, L characters of a text with its two edges, D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from zerosum import domain
from zerosum.domains.audio import vocoder
from zerosum.domains.audio.alignment import durations_of
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.domains.audio.signal import Sound
from zerosum.domains.audio.vocoder import Vocoder, VocoderDiscriminator, VocoderDuel, cropped
from zerosum.engine.duel import Duel
from zerosum.engine.game import (
    DISCRIMINATOR,
    GENERATOR,
    Batch,
    DiscriminatorOutput,
    Game,
    LossContext,
    MicroBatch,
    Turn,
)
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty, makers
from zerosum.engine.phases import Phases, Together
from zerosum.errors import UserError
from zerosum.nn.layers import require_condition, without_autocast
from zerosum.nn.sequence_layers import ConvNeXtBlock
from zerosum.recipe import Recipe

MEAN, SPREAD = -0.4, 0.3
"""About the mean and the deviation of scaled log-mel spectrograms of speech, by which they are standardised."""
SILENCE = -1.0
"""The value of a scaled log-mel spectrogram beyond the end of a recording."""
LEAST_LOG, MOST_LOG = -2.0, 5.0
"""Bounds of predicted logarithms of frames for a character."""
MOST_SPOKEN_SECONDS = 60
"""A text is spoken in at most so many seconds."""
EDGES = 2
"""Characters that are added to a text: one for the silence before it, one for that after it."""
ENCODER_KERNEL = 5


@dataclass(frozen=True)
class Voice:
    """What is spoken: the form of the waves, and how many characters the alphabet has."""

    sound: Sound
    characters: int


@dataclass(frozen=True, eq=False)
class Spoken:
    """Texts and their recordings in one micro-batch, standardised.

    real, made: (N, C, B, K) the mel spectrogram of the recording, and that which the decoder makes for the aligned durations.
    means: (N, C B, L) what the encoder expects in the frames of each character. durations: (N, L) aligned; predicted: (N, L)
    logarithms. characters: (N, 1, L), mask: (N, 1, K): 1 for what belongs to a row, else 0. frames: (N,).
    """

    real: Tensor
    made: Tensor
    means: Tensor
    durations: Tensor
    predicted: Tensor
    characters: Tensor
    mask: Tensor
    frames: Tensor


class SpeechGenerator(nn.Module):
    """Texts to waves; the noise has no influence.

    width, blocks: features and blocks of the decoder, which makes mel spectrograms. text_width, text_blocks: of the encoder of
    characters. duration_blocks: of the network that predicts durations from the encoder's output. kernel: frames that the
    convolution of a block of the decoder spans. phase: the share of a run without a discriminator. crop: frames of the parts of
    spectrograms that the discriminator receives. vocoder_width, vocoder_blocks: of the vocoder that makes the waves; width 0:
    Griffin-Lim alone makes them. iterations: of Griffin-Lim, which begin with the vocoder's phases where there is one.
    vocoder_every: steps from one turn of the vocoder to the next.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        latent: int = 1,
        width: int = 160,
        blocks: int = 6,
        text_width: int = 128,
        text_blocks: int = 4,
        duration_blocks: int = 2,
        kernel: int = 7,
        phase: float = 0.6,
        crop: int = 64,
        vocoder_width: int = 128,
        vocoder_blocks: int = 4,
        vocoder_every: int = 2,
        iterations: int = 32,
    ) -> None:
        super().__init__()
        if min(width, blocks, text_width, text_blocks, duration_blocks) < 1 or vocoder_width < 0:
            raise ValueError(
                "width, blocks, text_width, text_blocks and duration_blocks must be at least 1 and vocoder_width at least 0, got "
                f"{width}, {blocks}, {text_width}, {text_blocks}, {duration_blocks} and {vocoder_width}"
            )
        if not 0 < phase <= 1:
            raise ValueError(f"phase must lie in (0, 1], got {phase}")
        if min(crop, iterations, vocoder_every) < 1:
            raise ValueError(
                f"crop, iterations and vocoder_every must be at least 1, got {crop}, {iterations} and {vocoder_every}"
            )
        self.voice, self.sound, self.phase, self.crop, self.iterations = voice, voice.sound, phase, crop, iterations
        self.mel = MelSpectrogram.of(voice.sound.rate)
        bands = voice.sound.channels * self.mel.bands
        self.letters = nn.Embedding(voice.characters + 2, text_width)
        self.encoder = nn.ModuleList(
            ConvNeXtBlock(text_width, 2 * text_width, ENCODER_KERNEL) for _ in range(text_blocks)
        )
        self.means = nn.Conv1d(text_width, bands, 1)
        self.durations = nn.ModuleList(
            ConvNeXtBlock(text_width, 2 * text_width, ENCODER_KERNEL) for _ in range(duration_blocks)
        )
        self.duration = nn.Conv1d(text_width, 1, 1)
        nn.init.constant_(self.duration.bias, 1.5)  # type: ignore[arg-type]  # about four frames
        self.first = nn.Conv1d(text_width + 4, width, 1)
        self.decoder = nn.ModuleList(ConvNeXtBlock(width, 2 * width, kernel) for _ in range(blocks))
        self.last = nn.Conv1d(width, bands, 1)
        self.vocoder_every = vocoder_every
        self.vocoder = (
            Vocoder(voice.sound, width=vocoder_width, blocks=vocoder_blocks, iterations=iterations)
            if vocoder_width
            else None
        )

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """Noise (N, L), rows of `texts.encoded` (N, 1 + L') -> (N, C, T) in [-1, 1], with zeros after the end of a text."""
        rows = require_condition(condition)
        samples = self.sound.samples
        if torch.compiler.is_exporting() and self.vocoder is None:
            raise ValueError("speech without a vocoder cannot be exported; train with generator.vocoder_width > 0")
        if torch.compiler.is_exporting() or self.training:
            x, mask = self.encode(rows)
            frames = self.mel.spectrogram.num_frames(samples)
            durations = self.spoken_durations(rows, x, mask, frames)
            return self._waves(self.decode(x, durations, frames)[0], durations.sum(1), samples)
        spoken = [self.speak(row, self.mel.spectrogram.num_frames(samples)) for row in torch.split(rows, 1)]
        return torch.cat([pad(wave[..., :samples], (0, max(0, samples - wave.shape[2]))) for wave in spoken])

    def speak(self, row: Tensor, most: int = 0) -> Tensor:
        """One row of `texts.encoded` (1, 1 + L') -> (1, C, its own samples), at most `most` frames."""
        x, mask = self.encode(row)
        most = most or round(MOST_SPOKEN_SECONDS * self.sound.rate / self.mel.spectrogram.hop)
        durations = self.spoken_durations(row, x, mask, most)
        frames = max(1, int(durations.sum()))
        made, _ = self.decode(x, durations, frames)
        return self._waves(made, durations.sum(1), frames * self.mel.spectrogram.hop)

    # --- parts

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of `texts.encoded` -> features (N, D, L) and the mask (N, 1, L) of the characters and the two edges."""
        numbers = pad(rows[:, 1:].long().clamp(0, self.voice.characters), (1, 1))
        length = (numbers > 0).sum(1, keepdim=True)
        place = torch.arange(numbers.shape[1], device=rows.device)
        edge = (place == 0) | (place == length + 1)
        numbers = torch.where(edge, self.voice.characters + 1, numbers)
        mask = (place < length + EDGES)[:, None].to(self.letters.weight.dtype)
        x = self.letters(numbers).transpose(1, 2) * mask
        for block in self.encoder:
            x = block(x, mask)
        return x, mask

    def log_durations(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, L): predicted logarithms of the frames of each character; the encoder gets no gradient from them."""
        x = x.detach()
        for block in self.durations:
            x = block(x, mask)
        return self.duration(x)[:, 0].float().clamp(LEAST_LOG, MOST_LOG)  # type: ignore[no-any-return]

    def spoken_durations(self, rows: Tensor, x: Tensor, mask: Tensor, most: int) -> Tensor:
        """(N, L) int64: the predicted durations, at most `most` frames together; where a row has a number of samples, stretched
        to it. The sums are rounded, so that the length of a text is not changed by rounding each character."""
        frames = self.log_durations(x, mask).exp() * mask[:, 0]
        wanted = (rows[:, :1] / self.mel.spectrogram.hop).ceil()
        total = frames.sum(1, keepdim=True)
        ends = (frames * torch.where(wanted > 0, wanted / total, 1.0)).cumsum(1).round().long().clamp(0, most)
        ends = torch.cat([ends[:, :-1], ends[:, -1:].clamp_min(1)], 1)
        return ends - pad(ends[:, :-1], (1, 0))

    def decode(self, x: Tensor, durations: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Features (N, D, L) of characters and their durations (N, L) -> standardised mel spectrograms (N, C, B, frames) and the
        mask (N, 1, frames)."""
        frame = torch.arange(frames, device=x.device)
        ends = durations.cumsum(1)
        index = (frame >= ends[:, :, None]).sum(1).clamp_max(x.shape[2] - 1)  # (N, K): the character of each frame
        own, end = durations.gather(1, index).clamp_min(1), ends.gather(1, index)
        total = ends[:, -1:].clamp_min(1)
        place = (frame - (end - own) + 0.5) / own
        clocks = torch.stack(
            [place, own.log(), (frame + 0.5) / total, (total / frame.new_tensor(100)).expand_as(own)], 1
        )
        mask = (frame < ends[:, -1:])[:, None].to(x.dtype)
        spread = x.gather(2, index[:, None].expand(-1, x.shape[1], -1))
        h = self.first(torch.cat([spread, clocks.to(x.dtype)], 1)) * mask
        for block in self.decoder:
            h = block(h, mask)
        made = self.last(h).float().unflatten(1, (self.sound.channels, -1))
        return made, mask

    def _waves(self, made: Tensor, frames: Tensor, samples: int) -> Tensor:
        """Standardised mel spectrograms (N, C, B, K) -> (N, C, samples), zeros after so many frames."""
        spectrogram = self.mel.spectrogram
        inside = (torch.arange(made.shape[3], device=made.device) < frames[:, None])[:, None, None]
        scaled = torch.where(inside, made * SPREAD + MEAN, SILENCE).clamp(-1, 1)
        if self.vocoder is not None:
            # Silence beyond the end, so that the waves do not depend on how many frames follow.
            waves = self.vocoder.waves(pad(scaled, (0, self.vocoder.halo), value=SILENCE))
            waves = waves[..., : made.shape[3] * spectrogram.hop]
        else:
            magnitudes = self.mel.nearest_magnitudes(scaled)
            waves = spectrogram.griffin_lim(magnitudes, made.shape[3] * spectrogram.hop, self.iterations)
        waves = waves * (torch.arange(waves.shape[2], device=made.device) < frames[:, None] * spectrogram.hop)[:, None]
        # A recording that leaves [-1, 1] is scaled as a whole: clamping its peaks would add clicks.
        return (waves / waves.abs().amax((1, 2), keepdim=True).clamp_min(1))[..., :samples]

    # --- training

    def spoken(self, real: Batch) -> Spoken:
        """Aligns texts with their recordings (N, C, T), and makes the mel spectrograms of the texts for that alignment."""
        rows = require_condition(real.condition)
        hop, samples = self.mel.spectrogram.hop, real.data.shape[2]
        lengths = torch.where(rows[:, 0] > 0, rows[:, 0], samples)
        frames = (lengths / hop).ceil().long().clamp(1, self.mel.spectrogram.num_frames(samples))
        most = int(frames.max())
        with torch.no_grad():
            # A window more than the longest recording: its mirrored end must not depend on the other rows.
            scaled = self.mel.scaled(real.data[..., : most * hop + self.mel.spectrogram.window])[..., :most]
            target = (scaled - MEAN) / SPREAD
        x, characters = self.encode(rows)
        means = self.means(x).float()
        with torch.no_grad(), without_autocast(x.device.type):
            flat = target.flatten(1, 2)
            scores = means.transpose(1, 2) @ flat - 0.5 * means.square().sum(1)[:, :, None]
            durations = durations_of(scores, characters.sum((1, 2)).long(), frames)
        made, mask = self.decode(x, durations, most)
        return Spoken(target, made, means, durations, self.log_durations(x, characters), characters, mask, frames)


class MelDiscriminator(nn.Module):
    """Mel spectrograms of any length to logits of patches. Waves are analysed first, so that recordings can be scored.

    widths: channels of the layers, each of which halves frequencies and frames.
    """

    def __init__(self, voice: Voice, *, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        if min(widths, default=1) < 1:
            raise ValueError(f"widths must be at least 1, got {widths}")
        self.mel = MelSpectrogram.of(voice.sound.rate)
        sizes = (voice.sound.channels + 1, *widths)
        self.layers = nn.ModuleList(nn.Conv2d(*pair, 4, 2, 1) for pair in itertools.pairwise(sizes))
        self.output = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, data: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, C, B, K) standardised, or waves (N, C, T) -> logits (N, *). The condition is not used."""
        if data.dim() == 3:
            data = (self.mel.scaled(data) - MEAN) / SPREAD
        step = 2 ** len(self.layers)
        data = pad(data, (0, -data.shape[3] % step, 0, -data.shape[2] % step), value=(SILENCE - MEAN) / SPREAD)
        height = torch.linspace(-1, 1, data.shape[2], device=data.device, dtype=data.dtype)[:, None]
        x = torch.cat([data, height.expand(len(data), 1, *data.shape[2:])], 1)
        features = []
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
            features.append(x)
        return DiscriminatorOutput((self.output(x).flatten(1),), tuple(features))


class SpeechDiscriminator(nn.Module):
    """A discriminator of mel spectrograms and critics of waves, see MelDiscriminator and VocoderDiscriminator. The first gives
    recordings their score.

    widths: of the first. vocoder_width, periods, resolutions: of the critics.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        widths: tuple[int, ...] = (32, 64, 128),
        vocoder_width: int = 8,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        resolutions: tuple[float, ...] = (2, 4, 8),
    ) -> None:
        super().__init__()
        self.mel = MelDiscriminator(voice, widths=widths)
        self.waves = VocoderDiscriminator(voice.sound, width=vocoder_width, periods=periods, resolutions=resolutions)

    def forward(self, data: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """As MelDiscriminator."""
        return self.mel(data, condition)  # type: ignore[no-any-return]


# --- terms


@dataclass(frozen=True)
class SpeechContext(LossContext):
    """The context of a penalty in a game of speech."""

    spoken: Spoken | None = None


def speech_mel(weight: float | Schedule = 1.0, every: int = 1) -> Penalty:
    """Mean absolute difference of the standardised mel spectrograms that are made of a text and of its recording, for the aligned
    durations. Ren et al. 2021 (FastSpeech 2), arXiv:2006.04558, section 2.2."""

    def function(context: LossContext) -> Tensor:
        spoken = _spoken(context)
        difference = (spoken.made - spoken.real).abs().mean((1, 2))
        return (difference * spoken.mask[:, 0]).sum(1) / spoken.frames

    return Penalty("speech_mel", function, weight, every, (GENERATOR,), second_order=False, source="Ren et al. 2021")


def speech_alignment(weight: float | Schedule = 0.5, every: int = 1) -> Penalty:
    """Mean squared difference of the mel spectrogram of a recording and what the encoder expects for the character of each frame:
    the Gaussian likelihood that the alignment maximises. Kim et al. 2020 (Glow-TTS), arXiv:2005.11129, equation 3."""

    def function(context: LossContext) -> Tensor:
        spoken = _spoken(context)
        ends = spoken.durations.cumsum(1)
        frame = torch.arange(spoken.real.shape[3], device=ends.device)
        index = (frame >= ends[:, :, None]).sum(1).clamp_max(ends.shape[1] - 1)
        expected = spoken.means.gather(2, index[:, None].expand(-1, spoken.means.shape[1], -1))
        difference = (expected - spoken.real.flatten(1, 2)).square().mean(1)
        return (difference * spoken.mask[:, 0]).sum(1) / spoken.frames

    return Penalty(
        "speech_alignment", function, weight, every, (GENERATOR,), second_order=False, source="Kim et al. 2020"
    )


def speech_durations(weight: float | Schedule = 0.1, every: int = 1) -> Penalty:
    """Mean squared difference of the predicted logarithms of the durations and those of the alignment. Kim et al. 2020
    (Glow-TTS), arXiv:2005.11129, equation 7."""

    def function(context: LossContext) -> Tensor:
        spoken = _spoken(context)
        aligned = spoken.durations.clamp_min(1).to(spoken.predicted.dtype).log()
        characters = spoken.characters[:, 0]
        return ((spoken.predicted - aligned).square() * characters).sum(1) / characters.sum(1)

    return Penalty(
        "speech_durations", function, weight, every, (GENERATOR,), second_order=False, source="Kim et al. 2020"
    )


def _spoken(context: LossContext) -> Spoken:
    if not isinstance(context, SpeechContext) or context.spoken is None:
        raise ValueError("the penalties of speech need a game that is conditional on texts; use the recipe speech")
    return context.spoken


def penalties() -> Mapping[str, Callable[..., Penalty]]:
    """The penalties of this module by name."""
    return makers(globals())


# --- the games


class SpeechLearning(Game):
    """The first phase, without a discriminator: alignment, durations and mel spectrograms are learnt together."""

    def __init__(self, generator: SpeechGenerator, penalties: Sequence[Penalty]) -> None:
        self.generator, self.penalties = generator, tuple(penalties)
        self.players = {GENERATOR: generator}

    def turns(self, step: int) -> Sequence[Turn]:
        """One turn of the generator on recordings and their texts."""
        return (Turn((GENERATOR,)),)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The penalties that need no discriminator."""
        assert batch.real is not None
        spoken, nothing = self.generator.spoken(batch.real), DiscriminatorOutput(())
        context = SpeechContext(
            spoken.real, spoken.made, nothing, nothing, _no_judge, batch.rng, batch.step, player, spoken=spoken
        )
        return {one.name: one.term(context).mean() for one in self.penalties if one.due(batch.step)}


def _no_judge(points: Tensor, side: str) -> DiscriminatorOutput:
    raise ValueError("the first phase of speech has no discriminator")


class SpeechDuel(Duel):
    """The second phase: the same, and a discriminator that sees parts of real and of made mel spectrograms.

    Both are of the same text with the same durations, so that each pair differs only by what the decoder does not reproduce.
    """

    generator: SpeechGenerator

    def __init__(self, generator: SpeechGenerator, discriminator: SpeechDiscriminator, **rest: Any) -> None:
        super().__init__(generator, discriminator.mel, conditional=True, **rest)
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}
        self._now: Spoken | None = None

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The duel's terms on parts of mel spectrograms, and those of the first phase."""
        return super().terms(player, self._parts(player, batch))

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """The duel's scores for losses that couple rows."""
        return super().batch_scores(player, self._parts(player, batch))

    def _parts(self, player: str, batch: MicroBatch) -> MicroBatch:
        """The micro-batch with parts of the real mel spectrograms as data; the texts with their recordings are kept for
        `_generate` and for penalties."""
        assert batch.real is not None, "every turn draws recordings"
        with torch.set_grad_enabled(torch.is_grad_enabled() and player == GENERATOR):
            self._now = self.generator.spoken(batch.real)
        crop, frames = self.generator.crop, self._now.frames
        start = (batch.rng.uniform("crop") * ((frames - crop).clamp_min(0) + 1)).long()
        self._start = start
        return MicroBatch(Batch(self._part(self._now.real), batch.real.condition), batch.rng, batch.step)

    def _part(self, mel: Tensor) -> Tensor:
        """(N, C, B, K) -> (N, C, B, crop), silence beyond the end of a row."""
        assert self._now is not None
        places = self._start[:, None] + torch.arange(self.generator.crop, device=mel.device)
        inside = (places < self._now.frames[:, None])[:, None, None]
        index = places.clamp_max(mel.shape[3] - 1)[:, None, None].expand(-1, *mel.shape[1:3], -1)
        return torch.where(inside, mel.gather(3, index), (SILENCE - MEAN) / SPREAD)

    def _generate(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        return self.generator(noise, condition) if self._now is None else self._part(self._now.made)

    def _context(self, *given: Any, **named: Any) -> LossContext:
        context = super()._context(*given, **named)
        return SpeechContext(**{one.name: getattr(context, one.name) for one in fields(context)}, spoken=self._now)


class SpeechVocoderDuel(VocoderDuel):
    """The duel of the vocoder and its critics on real recordings, whose parts are taken from before their ends."""

    def __init__(self, generator: SpeechGenerator, discriminator: SpeechDiscriminator, **rest: Any) -> None:
        assert generator.vocoder is not None
        super().__init__(generator.vocoder, discriminator.waves, conditional=True, **rest)
        self.players = {DISCRIMINATOR: discriminator, GENERATOR: generator}

    @torch.no_grad()
    def _cropped(self, batch: MicroBatch) -> MicroBatch:
        assert batch.real is not None, "every turn draws recordings"
        network: Any = self.generator
        waves = batch.real.data
        length, samples = network.crop * network.mel.spectrogram.hop, require_condition(batch.real.condition)[:, 0]
        if waves.shape[2] > length:
            latest = torch.where(samples > 0, samples, waves.shape[2]).sub(length).clamp_min(0)
            waves = cropped(waves, length, batch.rng.uniform("crop") * (latest + 1) / (waves.shape[2] - length + 1))
        return replace(batch, real=self._with_mel(waves))


GENERATORS = {"speech": SpeechGenerator}
DISCRIMINATORS = {"speech": SpeechDiscriminator}


def voice_of(info: domain.DatasetInfo) -> Voice:
    """The form of a data set of speech, from which the networks are built."""
    sound = Sound(info.sample.axes["channels"], info.sample.axes["samples"], int(info.payload["rate"]))
    return Voice(sound, len(info.payload["alphabet"]))


def build(recipe: Recipe, info: domain.DatasetInfo) -> Phases:
    """The game in phases of a recipe for speech."""
    if recipe.augment:
        raise UserError("augment: speech from text has no augmentations; use --set augment=null.")
    if recipe.conditional is not True:
        raise UserError(
            "conditional: speech needs texts; use --set conditional=true. Clips without texts: --set data.condition=class."
        )
    given = domain.condition_sizes(recipe, 0)
    with domain.seeded(recipe):
        whole = domain.network("generator", GENERATORS, recipe.generator, voice_of(info), given)
        judge = domain.network("discriminator", DISCRIMINATORS, recipe.discriminator, voice_of(info), given)
    of_waves = {name: one for name, one in recipe.penalties.items() if name in vocoder.penalties()}
    of_mel = {name: one for name, one in recipe.penalties.items() if name not in of_waves}
    duel = domain.duel_of(SpeechDuel, recipe.changed(penalties=of_mel), whole, judge, penalties())
    learning: Game = SpeechLearning(whole, [one for one in duel.penalties if one.name in penalties()])
    phases: list[Game] = [learning, duel]
    if whole.vocoder is not None:
        voiced = recipe.changed(penalties=of_waves)
        waves = domain.duel_of(SpeechVocoderDuel, voiced, whole, judge, vocoder.penalties())
        phases = [Together([(1, game), (whole.vocoder_every, waves)], ("", "waves/")) for game in phases]
    return Phases([(max(1, round(whole.phase * recipe.steps)), phases[0]), (1, phases[1])])


def generator(recipe: Recipe, info: domain.DatasetInfo) -> nn.Module:
    """Only the generator of that game."""
    return domain.generator(recipe, GENERATORS, voice_of(info))
