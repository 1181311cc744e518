"""Waves from mel spectrograms: a network of frames that ends in an inverse short-time transform, its critics, and their game.

Legend: N clips, C channels, T samples, B mel bands, K frames, F frequencies, D features of a frame. Every channel of a sound is a
row of its own to the networks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from zerosum.domains.audio.mel import FLOOR, WINDOW_HOPS, MelSpectrogram
from zerosum.domains.audio.signal import Sound, Spectrogram
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch, DiscriminatorOutput, LossContext, MicroBatch
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty, makers
from zerosum.nn.layers import require_condition
from zerosum.nn.sequence_layers import ConvNeXtBlock

FIRST_KERNEL = 7
MOST_GAIN = 4.0
"""The network changes the logarithm of the smooth magnitudes of the mel spectrogram by at most this."""
WAVE_SHARE = 0.1
GENERATOR = ("generator",)


class SpectrumNetwork(nn.Module):
    """Scaled log-mel spectrograms to spectra: ConvNeXt blocks over the frames, then for each bin a phase and a gain on the smooth
    magnitude that the mel spectrogram gives it (after Vocos: Siuzdak 2024, arXiv:2306.00814).

    The phase is relative to that of a sine in the middle of the bin, so that a steady tone there has a steady output. In eval
    mode the magnitudes are changed to have the band means of the mel spectrogram. The output of a frame depends on `halo` frames
    before and after it.
    """

    def __init__(self, mel: MelSpectrogram, width: int, blocks: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.mel = mel
        self.first = nn.Conv1d(mel.bands, width, FIRST_KERNEL, padding=FIRST_KERNEL // 2)
        self.first_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, hidden, kernel) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, 3 * mel.spectrogram.num_frequencies)
        self.halo = FIRST_KERNEL // 2 + blocks * (kernel // 2)

    def forward(self, scaled: Tensor, first_frame: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, B, K) -> magnitudes (N, C, F, K), and cosine and sine of phases (N, C, K, F). first_frame: the number of the
        first frame, for a part of a longer spectrogram."""
        x = self.first_norm(self.first(scaled.flatten(0, 1)).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        parts = self.last(self.norm(x.transpose(1, 2))).float()
        gain, real, imaginary = parts.reshape(*scaled.shape[:2], scaled.shape[3], -1).chunk(3, 3)
        gain = (MOST_GAIN * (gain / MOST_GAIN).tanh()).exp().transpose(2, 3)
        magnitudes = self.mel.magnitudes(scaled) * gain
        if not self.training:
            magnitudes = self.mel.with_bands(magnitudes, scaled)
        length = (real.square() + imaginary.square() + 1e-6).rsqrt()
        real, imaginary = real * length, imaginary * length
        cosine, sine = self._carrier(scaled.shape[3], first_frame, real)
        return magnitudes, real * cosine - imaginary * sine, real * sine + imaginary * cosine

    def _carrier(self, frames: int, first_frame: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (K, F) of the phase that a sine in the middle of each bin has in each frame."""
        window, hop = self.mel.spectrogram.window, self.mel.spectrogram.hop
        frame = (torch.arange(frames, device=like.device)[:, None] + first_frame) % window
        place = torch.arange(window // 2, device=like.device)
        angle = (frame * place * hop % window).to(like.dtype) * (2 * math.pi / window)
        return angle.cos(), angle.sin()


class Vocoder(nn.Module):
    """Mel spectrograms to waves; the noise has no influence.

    width: channels of a frame. blocks: their number. hidden: channels inside a block, 0 for three times the width. kernel: frames
    that the convolution of a block spans. iterations: of the algorithm of Griffin and Lim, which makes the network's phases
    consistent when samples are made; none in training. crop: frames of the parts of clips that are trained on, 0 for whole
    clips.
    """

    def __init__(
        self,
        sound: Sound,
        *,
        latent: int = 1,
        width: int = 192,
        blocks: int = 4,
        hidden: int = 0,
        kernel: int = 7,
        iterations: int = 32,
        crop: int = 32,
    ) -> None:
        super().__init__()
        if min(width, blocks, kernel) < 1 or hidden < 0:
            raise ValueError(
                f"width, blocks and kernel must be at least 1 and hidden at least 0, got {width}, {blocks}, {kernel} and {hidden}"
            )
        if crop < 0 or iterations < 0:
            raise ValueError(f"crop and iterations must be at least 0, got {crop} and {iterations}")
        self.sound, self.iterations, self.crop = sound, iterations, crop
        self.mel = MelSpectrogram.of(sound.rate)
        self._frames = self.mel.spectrogram.num_frames(sound.samples)
        self.spectra = SpectrumNetwork(self.mel, width, blocks, hidden or 3 * width, kernel)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L), (N, C, B, K) -> (N, C, T): T as in the training data for as many frames, else whole hops.

        Rows are computed one by one, see SpectrogramGenerator.forward.
        """
        mel = require_condition(condition)
        rows = [mel] if torch.compiler.is_exporting() or self.training else torch.split(mel, 1)
        made = torch.cat([self.waves(row) for row in rows])
        return made[:, :, : self.sound.samples] if mel.shape[3] == self._frames else made

    def waves(self, scaled: Tensor, first_frame: int = 0) -> Tensor:
        """(N, C, B, K) -> (N, C, K H). first_frame: the number of the first frame, for a part of a longer spectrogram."""
        magnitudes, cosine, sine = self.spectra(scaled, first_frame)
        spectrogram, samples = self.mel.spectrogram, scaled.shape[3] * self.mel.spectrogram.hop
        target = magnitudes.transpose(2, 3)
        iterations = 0 if self.training else self.iterations
        return spectrogram.waves(*spectrogram.made_consistent(target, cosine, sine, iterations), samples)

    def magnitudes_and_waves(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, B, K) -> (magnitudes (N, C, F, K), waves (N, C, K H)) in training.

        A share WAVE_SHARE of the gradient of the waves reaches the magnitudes: as long as the phases do not fit together, waves
        come nearer to real ones by magnitudes that are wrong.
        """
        magnitudes, cosine, sine = self.spectra(scaled)
        target = magnitudes.transpose(2, 3)
        target = torch.lerp(target.detach(), target, WAVE_SHARE)
        samples = scaled.shape[3] * self.mel.spectrogram.hop
        return magnitudes, self.mel.spectrogram.waves(target * cosine, target * sine, samples)

    @property
    def halo(self) -> int:
        """The frames on each side that the samples of a frame depend on."""
        return self.spectra.halo + self.iterations * (WINDOW_HOPS - 1) + WINDOW_HOPS // 2


# --- critics


class PeriodCritic(nn.Module):
    """Waves folded into rows of `period` samples to logits of patches (HiFi-GAN: Kong et al. 2020, arXiv:2010.05646)."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0)) for before, after in itertools.pairwise(widths)
        )
        self.output = nn.Conv2d(4 * width, 1, (3, 1), padding=(1, 0))

    def forward(self, waves: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(M, 1, T) -> logits (M, 1, *), and the outputs of the layers."""
        padded = pad(waves, (0, -waves.shape[2] % self.period))
        folded = padded.reshape(len(waves), 1, -1, self.period)
        return _judged(folded, self.layers, self.output)


class ResolutionCritic(nn.Module):
    """Scaled log magnitudes of one resolution to logits of patches (UnivNet: Jang et al. 2021, arXiv:2106.07889)."""

    def __init__(self, spectrogram: Spectrogram, width: int) -> None:
        super().__init__()
        self.spectrogram = spectrogram
        shapes = [((7, 3), (2, 1)), ((5, 3), (2, 2)), ((5, 3), (2, 2)), ((3, 3), (2, 1))]
        widths = (1, width, width, 2 * width, 2 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(*pair, kernel, stride, (kernel[0] // 2, 1))
            for pair, (kernel, stride) in zip(itertools.pairwise(widths), shapes, strict=True)
        )
        self.output = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, waves: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(M, 1, T) -> logits (M, 1, *), and the outputs of the layers."""
        return _judged(self.spectrogram.scaled(waves), self.layers, self.output)


def _judged(x: Tensor, layers: nn.ModuleList, output: nn.Module) -> tuple[Tensor, list[Tensor]]:
    features = []
    for layer in layers:
        x = leaky_relu(layer(x), 0.1)
        features.append(x)
    return output(x), features


class VocoderDiscriminator(nn.Module):
    """Several critics of waves of any length: one for each period, and one for each resolution of short-time spectra.

    width: channels of the first layers. periods: in samples. resolutions: windows in hops of the mel spectrogram. frames: of the
    part of each training clip that the critics are given, 0 for all.
    """

    ignores_condition = True

    def __init__(
        self,
        sound: Sound,
        *,
        width: int = 8,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        resolutions: tuple[float, ...] = (2, 4, 8),
        frames: int = 8,
    ) -> None:
        super().__init__()
        if min(width, *periods) < 1 or min(resolutions, default=1) <= 0:
            raise ValueError(
                f"width and periods must be at least 1 and resolutions above 0, got {width}, {periods} and {resolutions}"
            )
        if frames < 0:
            raise ValueError(f"frames must be at least 0, got {frames}")
        self.frames = frames
        if not periods and not resolutions:
            raise ValueError("there must be at least one of periods and resolutions")
        hop = MelSpectrogram.of(sound.rate).spectrogram.hop
        self.critics = nn.ModuleList([PeriodCritic(period, width) for period in periods])
        self.critics += [ResolutionCritic(resolution(times, hop), width) for times in resolutions]

    def forward(self, waves: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, C, T) -> logits of patches and features of every critic. The condition is not used."""
        rows, channels = waves.shape[:2]
        outputs = [critic(waves.flatten(0, 1)[:, None]) for critic in self.critics]

        def by_row(x: Tensor) -> Tensor:
            return x if channels == 1 else x.reshape(rows, channels, *x.shape[1:])

        logits = tuple(by_row(logit).flatten(1) for logit, _ in outputs)
        return DiscriminatorOutput(logits, tuple(by_row(part) for _, parts in outputs for part in parts))


def resolution(times: float, hop: int) -> Spectrogram:
    """The spectra whose window is `times` hops of a mel spectrogram, with a quarter of it as hop."""
    window = max(16, 8 * round(times * hop / 8))
    return Spectrogram(window, window // 4)


# --- terms of the vocoder's loss


def mel_l1(weight: float | Schedule = 15.0, every: int = 1) -> Penalty:
    """Mean absolute difference of the scaled log-mel spectrograms of the output and of the real clip. Kong et al. 2020
    (HiFi-GAN), arXiv:2010.05646, equation 6."""

    def function(context: LossContext) -> Tensor:
        scaled = _vocoder(context).mel.scaled
        return _distance(scaled(_fake(context)), scaled(_real(context)))

    return Penalty("mel_l1", function, weight, every, GENERATOR, second_order=False, source="Kong et al. 2020")


def magnitude_l1(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference of the logarithms of the magnitudes that the network gives the frames and of those of the real
    clip. It does not depend on the phases."""

    def function(context: LossContext) -> Tensor:
        made = context.made.get("magnitudes")
        if made is None:
            raise ValueError("the penalty `magnitude_l1` needs a generator of kind `vocoder`")
        real = _vocoder(context).mel.spectrogram.magnitudes(_real(context))
        return _distance((made + FLOOR).log(), (real + FLOOR).log())

    return Penalty("magnitude_l1", function, weight, every, GENERATOR, second_order=False)


def stft(weight: float | Schedule = 3.0, every: int = 1, resolutions: Sequence[float] = (1, 2, 4, 8)) -> Penalty:
    """Spectral convergence plus the mean absolute difference of the log magnitudes, averaged over resolutions of short-time
    spectra. Yamamoto et al. 2020 (Parallel WaveGAN), arXiv:1910.11480, equations 5 and 6.

    resolutions: windows in hops of the mel spectrogram.
    """

    def function(context: LossContext) -> Tensor:
        hop = _vocoder(context).mel.spectrogram.hop
        pairs = [stft_distance(_fake(context), _real(context), resolution(times, hop)) for times in resolutions]
        return torch.stack(pairs).mean(0)

    return Penalty("stft", function, weight, every, GENERATOR, second_order=False, source="Yamamoto et al. 2020")


def stft_distance(fake: Tensor, real: Tensor, spectrogram: Spectrogram) -> Tensor:
    """(N,): |A - B| / |B| plus the mean of |log A - log B| of the magnitudes of waves (N, C, T); magnitudes are at least 1e-5."""
    a, b = (spectrogram.magnitudes(waves).flatten(1).clamp_min(1e-5) for waves in (fake, real))
    convergence: Tensor = torch.linalg.vector_norm(a - b, dim=1) / torch.linalg.vector_norm(b, dim=1)
    return convergence + (a.log() - b.log()).abs().mean(1)


def feature_matching(weight: float | Schedule = 1.0, every: int = 1) -> Penalty:
    """Mean absolute difference of the critics' features of the output and of the real clip, averaged over layers. Kumar et al.
    2019 (MelGAN), arXiv:1910.06711, equation 4."""

    def function(context: LossContext) -> Tensor:
        on_real = context.on_real
        if on_real is context.on_fake:
            with torch.no_grad():
                on_real = context.judge(context.augment(_real(context), "real"), "real")
        layers = zip(context.on_fake.features, on_real.features, strict=True)
        return torch.stack([_distance(fake, real.detach()) for fake, real in layers]).mean(0)

    return Penalty(
        "feature_matching", function, weight, every, GENERATOR, second_order=False, source="Kumar et al. 2019"
    )


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """(N,) float32: the mean absolute difference of each row."""
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def _fake(context: LossContext) -> Tensor:
    return context.fake if context.plain_fake is None else context.plain_fake


def _real(context: LossContext) -> Tensor:
    return context.real if context.plain_real is None else context.plain_real


def _vocoder(context: LossContext) -> Any:
    if not hasattr(context.generator, "mel"):
        raise ValueError(
            "the penalties `mel_l1` and `stft` need a generator that has a mel spectrogram, such as `vocoder`"
        )
    return context.generator


def penalties() -> Mapping[str, Callable[..., Penalty]]:
    """The penalties of this module by name."""
    return makers(globals())


# --- the game


class VocoderDuel(Duel):
    """A duel in which the generator makes a part of each clip from the mel spectrogram of that part, and the critics are given
    a part of that.

    The batches need no condition: it is computed from the waves.
    """

    _made: Mapping[str, Tensor] = MappingProxyType({})

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The duel's terms, on parts of the clips."""
        terms = super().terms(player, self._cropped(batch))
        self._made = {}
        return terms

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """The duel's scores for losses that couple rows, on parts of the clips."""
        return super().batch_scores(player, self._cropped(batch))

    def check(self, batch: Batch) -> None:
        """The duel's check, with the mel spectrograms of the rows."""
        super().check(self._with_mel(batch.data))

    def _generate(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        network: Any = self.generator
        magnitudes, waves = network.magnitudes_and_waves(require_condition(condition))
        self._made = {"magnitudes": magnitudes}
        return waves  # type: ignore[no-any-return]

    def _context(self, *given: Any, **named: Any) -> LossContext:
        return replace(super()._context(*given, **named), made=self._made)

    def _augmented(self, data: Tensor, batch: MicroBatch, side: str) -> Tensor:
        """The part of the waves that the critics are given, the same of real and generated ones."""
        judge: Any = self.discriminator
        length = judge.frames * self._hop
        return data if not length or data.shape[2] <= length else cropped(data, length, batch.rng.uniform("judged"))

    @torch.no_grad()
    def _cropped(self, batch: MicroBatch) -> MicroBatch:
        if batch.real is None:
            return batch
        network: Any = self.generator
        length, waves = network.crop * self._hop, batch.real.data
        if length and waves.shape[2] > length:
            waves = cropped(waves, length, batch.rng.uniform("crop"))
        return replace(batch, real=self._with_mel(waves))

    def _with_mel(self, waves: Tensor) -> Batch:
        """Waves, continued with silence to whole hops, and their mel spectrograms."""
        network: Any = self.generator
        waves = pad(waves, (0, -waves.shape[2] % self._hop))
        return Batch(waves, network.mel.scaled(waves))

    @property
    def _hop(self) -> int:
        network: Any = self.generator
        return int(network.mel.spectrogram.hop)


def cropped(waves: Tensor, length: int, chance: Tensor) -> Tensor:
    """(N, C, T) -> (N, C, length) from a place for each row. chance: (N,) in [0, 1), the share of the latest start."""
    start = (chance * (waves.shape[2] - length + 1)).long()
    places = start[:, None] + torch.arange(length, device=waves.device)
    return waves.gather(2, places[:, None].expand(-1, waves.shape[1], -1))


GENERATORS = {"vocoder": Vocoder}
DISCRIMINATORS = {"vocoder": VocoderDiscriminator}
