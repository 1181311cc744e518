"""Evaluates speech of held-out texts: which words a recogniser of the corpus hears, the lengths, and the mel spectrograms.

Legend: N recordings, C channels, T samples, B mel bands, K frames.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.contract import EvalOptions, stage
from zerosum.domains.audio import controls, recogniser, texts
from zerosum.domains.audio import vocoder_measures as measures
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.domains.audio.recogniser import Listener, lengths_of, word_accuracy
from zerosum.domains.audio.vocoder_evaluator import griffin_lim
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.neighbours import diversity, sample_rows
from zerosum.metrics.record import MetricInfo, Record, share_error, unclear

if TYPE_CHECKING:
    from zerosum.domains.audio.data import SpeechSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
MOST_SAMPLES, FEWEST_HELDOUT = 64, 8
"""Texts that are measured; with fewer held-out recordings than FEWEST_HELDOUT, training recordings are."""
MOST_WARPED, NUM_QUICK = 32, 8
"""Recordings that are aligned with the real ones, and those of a preview."""
MOST_LEARNED = 2_000
"""Recordings that the recogniser is trained on."""
TO_DECIBELS = 20 / math.log(10)
QUIET = 0.05
"""Frames this far above silence, in the scale of `mel`, count in the sharpness."""
REAL, GRIFFIN_LIM, OTHER, NOISE = (
    "real recordings",
    "Griffin-Lim of real mel spectrograms",
    "recordings of other texts",
    "noise",
)
MUST_FAIL: Mapping[str, tuple[str, ...]] = {
    "word_accuracy": (OTHER, NOISE),
    "length_error": (OTHER,),
    "mel_distance": (OTHER, NOISE),
}
MEANINGS: Mapping[str, MetricInfo] = {
    "word_accuracy": MetricInfo(
        "higher",
        "1 minus the wrong, missing and surplus words over all words, as transcribed by a recogniser trained on the real "
        "training recordings.",
    ),
    "length_error": MetricInfo("lower", "Mean absolute logarithm of the length over that of the real recording."),
    "length_ratio": MetricInfo("near 1", "Mean length over that of the real recordings of the same texts."),
    "mel_distance": MetricInfo(
        "lower",
        "Mean difference, in decibels, of the mel spectrogram from that of the real recording, aligned by dynamic time warping.",
    ),
    "mel_sharpness": MetricInfo(
        "near 1",
        "Mean difference of neighbouring bands of the mel spectrograms over that of real recordings: below 1 they are blurred.",
    ),
}


class SpeechEvaluator:
    """Computes the metrics of waves (N, C, T) of the texts of `conditions`, in their order."""

    def __init__(
        self, source: SpeechSource, seed: int, options: EvalOptions = EvalOptions(), cache_dir: Path | None = None
    ) -> None:
        self.source, self.seed, self.options, self.cache_dir = source, seed, options, cache_dir
        self.mel = MelSpectrogram.of(source.rate)
        self._held = source.num_heldout >= FEWEST_HELDOUT
        most = source.num_heldout if self._held else source.num_rows
        if options.extractor:
            raise UserError("--extractor: speech is measured with the recogniser of its corpus.")
        if options.num and not 1 <= options.num <= most:
            raise UserError(f"--num {options.num}: there are {most:,} texts to measure.")
        self.num_samples = min(options.num or MOST_SAMPLES, most)

    def adjusted(self, options: EvalOptions) -> SpeechEvaluator:
        """The same measures with another number of texts."""
        return SpeechEvaluator(self.source, self.seed, options, self.cache_dir)

    @functools.cached_property
    def _rows(self) -> tuple[Tensor, Tensor]:
        """The recordings (num_samples, C, T) and their texts."""
        rows = sample_rows(self.source.num_heldout if self._held else self.source.num_rows, self.num_samples, self.seed)
        batch = (self.source.heldout_batch if self._held else self.source.batch)(rows)
        assert batch.condition is not None
        return batch.data.detach().cpu().float(), batch.condition.cpu()

    @property
    def texts(self) -> list[str]:
        """The texts that are measured."""
        return texts.decoded(self._rows[1], self.source.alphabet)

    def conditions(self) -> Tensor:
        """Their rows of `texts.encoded`, without the lengths of the recordings."""
        return texts.of_unknown_length(self._rows[1])

    def prepare(self, log: Callable[[str], None]) -> None:
        """Trains the recogniser, the first time for these data."""
        log("Preparing the recogniser of the words of this corpus (some minutes, the first time for these data) ...")
        assert self._listener is not None

    @functools.cached_property
    def _listener(self) -> Listener:
        stage("recogniser of the words", needed=True, once=True)
        rows = sample_rows(self.source.num_rows, MOST_LEARNED)
        batch = self.source.batch(rows)
        assert batch.condition is not None
        spoken = texts.decoded(batch.condition.cpu(), self.source.alphabet)
        return recogniser.listener(
            batch.data.cpu().float(), spoken, self.source.rate, self.source.fingerprint, self.cache_dir
        )

    def evaluate(self, fakes: Tensor, labels: Tensor | None = None, judge: Judge | None = None) -> list[Record]:
        """All metrics of (num_samples, C, T) fakes."""
        fakes, records = fakes.detach().cpu().float(), list[Record]()
        stage("speech beside the real recordings", needed=True)
        found = self._values(fakes, self.texts)
        others = self._control_values if stage("controls", once=True) else {}
        references = {"word_accuracy": others[REAL]["word_accuracy"]} if others else {}
        references |= {"length_error": 0.0, "length_ratio": 1.0, "mel_distance": 0.0, "mel_sharpness": 1.0}
        for name, value in found.items():
            better, sentence = MEANINGS[name]
            num = min(len(fakes), MOST_WARPED) if name == "mel_distance" else len(fakes)
            tag = f"recogniser-{self._listener.sha256[:8]}," if name == "word_accuracy" else ""
            words = sum(len(text.split()) for text in self.texts)
            error = share_error(value, words) if name == "word_accuracy" else None
            own = {control: values[name] for control, values in others.items() if name in values and control != REAL}
            record = Record(
                f"{name}[{tag}n={num}]", value, self._protocol(), better, sentence, references.get(name), error
            ).with_controls(own)
            records.append(record.mark_unreliable(_reason(name, better, others)))
        return records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values of speech of the example texts, in order and repeated."""
        examples = self.source.examples()
        real = examples.data.detach().cpu().float()[: len(fakes)]
        fakes = fakes[: len(real)].detach().cpu().float()
        own, true = (self.mel.scaled(waves).mean(1) for waves in (fakes, real))
        few = slice(0, NUM_QUICK)
        return QuickMetrics(
            diversity=diversity(own.flatten(1)) / max(diversity(true.flatten(1)), 1e-6) if len(own) > 1 else None,
            contrast=float(own.flatten(1).std(1).mean() / true.flatten(1).std(1).mean().clamp_min(1e-6)),
            others={
                "mel_distance": self._mel_distance(fakes[few], real[few]),
                "length_ratio": float((lengths_of(fakes) / lengths_of(real)).mean()),
            },
        )

    # --- values

    def _values(self, waves: Tensor, wanted: list[str]) -> dict[str, float]:
        """Name of a metric -> its value for recordings (N, C, T) that stand for the measured texts."""
        real = self._rows[0][: len(waves)]
        ratio = lengths_of(waves).float() / lengths_of(real)
        return {
            "word_accuracy": word_accuracy(self._listener.texts(waves), wanted)[0],
            "length_error": float(ratio.log().abs().mean()),
            "length_ratio": float(ratio.mean()),
            "mel_distance": self._mel_distance(waves[:MOST_WARPED], real[:MOST_WARPED]),
            "mel_sharpness": self._sharpness(waves) / self._sharpness(real),
        }

    @functools.cached_property
    def _control_values(self) -> Mapping[str, Mapping[str, float]]:
        """Control -> metric -> value."""
        real, rng = self._rows[0], generator(self.seed, "evaluate", "controls")
        ends = torch.arange(real.shape[2]) < lengths_of(real)[:, None]
        made = {
            REAL: real,
            GRIFFIN_LIM: griffin_lim(self.mel, self.mel.scaled(real), real.shape[2]) * ends[:, None],
            NOISE: controls.noise(real, rng) * ends[:, None],
        }
        if len(real) > 1:
            made[OTHER] = real.roll(1, 0)
        return {name: self._values(waves, self.texts) for name, waves in made.items()}

    def _mel_distance(self, waves: Tensor, real: Tensor) -> float:
        """Decibels: the mean over pairs of recordings, each up to its last sound."""
        values = []
        for one, other in zip(waves, real, strict=True):
            own, true = (self._log_mel(wave) for wave in (one, other))
            costs = torch.cdist(own[None], true[None], p=1) / own.shape[1]
            values.append(float(measures.warped_means(costs)[0]) * TO_DECIBELS)
        return sum(values) / max(1, len(values))

    def _log_mel(self, wave: Tensor) -> Tensor:
        """(K, B) of a recording (C, T) up to its last sound."""
        samples = max(int(lengths_of(wave[None])[0]), self.mel.spectrogram.window)
        return measures.log_mels(wave[None, :, :samples], self.source.rate)[0].mean(0).T

    def _sharpness(self, waves: Tensor) -> float:
        """The mean absolute difference of neighbouring bands in frames that are not silent."""
        scaled = self.mel.scaled(waves).mean(1)
        loud = scaled.mean(1) > QUIET - 1
        return float(scaled.diff(dim=1).abs().mean(1)[loud].mean()) if bool(loud.any()) else 0.0

    def _protocol(self) -> dict[str, Any]:
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "recogniser_sha256": self._listener.sha256,
            "split": "held out" if self._held else "training recordings",
            "num_real": len(self._rows[0]),
            "seed": self.seed,
            "torch": torch.__version__,
        }


def _reason(name: str, better: str, others: Mapping[str, Mapping[str, float]]) -> str:
    """Why a metric cannot judge: real recordings (of the distance, which is 0 for them: those after Griffin-Lim) do not score
    clearly better than the controls that must fail; "" if they do."""
    if name not in MUST_FAIL or not others:
        return ""
    first = GRIFFIN_LIM if name == "mel_distance" else REAL
    values = {control: others[control][name] for control in (first, *MUST_FAIL[name]) if control in others}
    return unclear(values, better, first)
