"""Evaluates waves that were made from mel spectrograms of held-out clips, each against its real clip and beside Griffin-Lim.

Legend: N clips, C channels, T samples, B mel bands, K frames.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.contract import EvalOptions, stage
from zerosum.domains.audio import controls
from zerosum.domains.audio import vocoder_measures as measures
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.neighbours import diversity, sample_rows
from zerosum.metrics.record import MetricInfo, Record, unclear

if TYPE_CHECKING:
    from zerosum.domains.audio.data import AudioSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
MOST_SAMPLES, FEWEST_HELDOUT = 64, 8
"""Clips that are measured; with fewer held-out clips than FEWEST_HELDOUT, training clips are."""
ITERATIONS = 60
"""Of Griffin-Lim."""
GRIFFIN_LIM, NOISE, SHUFFLED, OTHER = (
    "Griffin-Lim of the same mel spectrogram",
    "noise",
    "parts in another order",
    "another clip",
)
PART_SECONDS = 0.05
"""The parts of a clip that are put in another order."""

MEANINGS: Mapping[str, MetricInfo] = {
    "stft_distance": MetricInfo(
        "lower",
        "Spectral convergence plus mean difference of the log magnitudes, the mean of short-time spectra of 10, 25 and 50 ms.",
    ),
    "log_mel_l1": MetricInfo("lower", "Mean absolute difference of the natural logarithms of the mel spectrograms."),
    "stoi": MetricInfo("higher", "Short-time objective intelligibility, 1 for the real clip."),
    "mcd13": MetricInfo(
        "lower", "Mel-cepstral distortion of 13 coefficients in decibels, aligned by dynamic time warping."
    ),
    "pesq": MetricInfo(
        "higher", "PESQ: a model of how listeners rate speech, up to 4.5 (narrow band) or 4.6 (wide band)."
    ),
}
PERFECT = {"stft_distance": 0.0, "log_mel_l1": 0.0, "stoi": 1.0, "mcd13": 0.0}
"""The values of the real clips themselves."""


class VocoderEvaluator:
    """Computes the metrics of waves (N, C, T) that were made from the mel spectrograms of `conditions`, in their order."""

    def __init__(self, source: AudioSource, seed: int, options: EvalOptions = EvalOptions()) -> None:
        self.source, self.seed, self.options = source, seed, options
        self.mel = MelSpectrogram.of(source.rate)
        self._held = source.num_heldout >= FEWEST_HELDOUT
        most = source.num_heldout if self._held else source.num_rows
        if options.extractor:
            raise UserError("--extractor: waves from mel spectrograms are measured without features.")
        if options.num and not 1 <= options.num <= most:
            raise UserError(f"--num {options.num}: there are {most:,} clips to measure.")
        self.num_samples = min(options.num or MOST_SAMPLES, most)

    def adjusted(self, options: EvalOptions) -> VocoderEvaluator:
        """The same measures with another number of samples."""
        return VocoderEvaluator(self.source, self.seed, options)

    @functools.cached_property
    def real(self) -> Tensor:
        """(num_samples, C, T): the clips that are made again."""
        num = self.source.num_heldout if self._held else self.source.num_rows
        rows = sample_rows(num, self.num_samples, self.seed)
        batch = self.source.heldout_batch(rows) if self._held else self.source.batch(rows)
        return batch.data.detach().cpu().float()

    def conditions(self) -> Tensor:
        """(num_samples, C, B, K): their mel spectrograms."""
        return self.mel.scaled(self.real)

    def prepare(self, log: Callable[[str], None]) -> None:
        """Nothing is computed before the first evaluation."""

    def evaluate(self, fakes: Tensor, labels: Tensor | None = None, judge: Judge | None = None) -> list[Record]:
        """All metrics of (num_samples, C, T) fakes."""
        fakes, records = fakes.detach().cpu().float(), list[Record]()
        stage("waves beside the real ones", needed=True)
        found = self._values(fakes)
        others = self._control_values if stage("controls", once=True) else {}
        for name, values in found.items():
            kept = values[~values.isnan()]
            if not len(kept):
                continue
            better, sentence = MEANINGS[name]
            error = float(kept.std() / len(kept) ** 0.5) if len(kept) > 1 else None
            record = Record(
                f"{name}[n={len(kept)}]",
                float(kept.mean()),
                self._protocol(),
                better,
                sentence,
                PERFECT.get(name),
                error,
            ).with_controls({control: one[name] for control, one in others.items() if name in one})
            records.append(record.mark_unreliable(_reason(name, better, others)))
        return records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values of waves from the mel spectrograms of the examples, in order and repeated."""
        examples = self.source.examples()  # type: ignore[attr-defined]
        real = examples.data.detach().cpu().float()
        fakes = fakes[: len(real)].detach().cpu().float()
        own, true = (measures.log_mels(waves, self.source.rate).flatten(1) for waves in (fakes, real[: len(fakes)]))
        return QuickMetrics(
            diversity=diversity(own) / max(diversity(true), 1e-6) if len(own) > 1 else None,
            contrast=float(own.std(1).mean() / true.std(1).mean().clamp_min(1e-6)),
            others={
                "stft_distance": float(measures.stft_distances(fakes, real[: len(fakes)], self.source.rate).mean()),
                "log_mel_l1": float((own - true).abs().mean()),
            },
        )

    def _values(self, fakes: Tensor) -> dict[str, Tensor]:
        """Name of a metric -> (N,) values."""
        real, rate = self.real, self.source.rate
        values = {
            "stft_distance": measures.stft_distances(fakes, real, rate),
            "log_mel_l1": measures.log_mel_distances(fakes, real, rate),
            "stoi": measures.intelligibilities(fakes, real, rate),
            "mcd13": measures.mel_cepstral_distortions(fakes, real, rate),
            "pesq": measures.perceived_qualities(fakes, real, rate),
        }
        return {name: value for name, value in values.items() if value is not None}

    @functools.cached_property
    def _control_values(self) -> Mapping[str, Mapping[str, float]]:
        """Control -> metric -> mean over the clips."""
        rng = generator(self.seed, "evaluate", "controls")
        real = self.real
        made = {
            GRIFFIN_LIM: griffin_lim(self.mel, self.conditions(), real.shape[2]),
            NOISE: controls.noise(real, rng),
            SHUFFLED: shuffled(real, max(1, round(PART_SECONDS * self.source.rate)), rng),
        }
        if len(real) > 1:
            made[OTHER] = real.roll(1, 0)
        return {
            name: {metric: float(values.nanmean()) for metric, values in self._values(waves).items()}
            for name, waves in made.items()
        }

    def _protocol(self) -> dict[str, Any]:
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "split": "held out" if self._held else "training clips",
            "num_real": len(self.real),
            "griffin_lim_iterations": ITERATIONS,
            "seed": self.seed,
            "torch": torch.__version__,
        }


def _reason(name: str, better: Any, others: Mapping[str, Mapping[str, float]]) -> str:
    """Why a metric cannot judge: Griffin-Lim does not score clearly better than the controls that must fail; "" if it does."""
    values = {control: one[name] for control, one in others.items() if name in one}
    return unclear(values, better, "Griffin-Lim", clear=0.1) if GRIFFIN_LIM in values else ""


def griffin_lim(mel: MelSpectrogram, scaled: Tensor, samples: int, iterations: int = ITERATIONS) -> Tensor:
    """(N, C, B, K) scaled mel spectrograms -> waves (N, C, T), by the fast algorithm of Griffin and Lim."""
    return mel.spectrogram.griffin_lim(mel.nearest_magnitudes(scaled), samples, iterations)


def shuffled(waves: Tensor, part: int, rng: torch.Generator) -> Tensor:
    """(N, C, T) with parts of so many samples in another order, the same for all clips."""
    num = waves.shape[2] // part
    order = torch.randperm(num, generator=rng)
    parts = waves[:, :, : num * part].reshape(*waves.shape[:2], num, part)
    return torch.cat([parts[:, :, order].flatten(2), waves[:, :, num * part :]], 2)
