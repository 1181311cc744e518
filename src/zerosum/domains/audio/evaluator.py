"""Evaluates generated sounds: Fréchet distances in two kinds of features, classes, modulation, silence, bandwidth, copies.

Legend: N clips, C channels, T samples, D features.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from zerosum.domain import ClassCondition, QuickMetrics
from zerosum.domain.clip_evaluator import FEWEST, REAL, ClipEvaluator, Controls, Judge, Lesson
from zerosum.domain.contract import stage
from zerosum.domains.audio import controls, measures
from zerosum.domains.audio.data import AudioSource
from zerosum.engine.seeds import generator
from zerosum.metrics.classes import NUM_SPLITS, class_coverage, class_score, intra_class_diversity
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.feature_networks import extract
from zerosum.metrics.neighbours import diversity, memorisation, sample_rows, unseen_distances
from zerosum.metrics.record import CLEAR, PART, MetricInfo, Record, share, share_error

MOST_SAMPLES = 400
CLASSIFIER_STEPS, MOST_LEARNED = 250, 10_000
COPIED = 100
"""Training clips that are measured as if they were made."""
OF_EXTRACTOR = ("frechet", "class_accuracy", "class_score", "classes_found", "class_diversity")
NUM_QUICK = 256
MOST_SEARCHED = 4_000
"""Training clips among which copies are searched."""

MEANINGS: Mapping[str, MetricInfo] = {
    "log_mel_distance": MetricInfo(
        "lower",
        "Fréchet distance of log-mel statistics (mean, deviation and steps of 40 bands) of generated and real "
        "clips. It does not depend on the direction of time.",
    ),
    "frechet": MetricInfo(
        "lower", "Fréchet distance of the distributions of features of the spectrograms of generated and real clips."
    ),
    "modulation_distance": MetricInfo(
        "lower",
        "Difference, in decibels, of how the loudness of generated and real clips moves, from 4 to 512 times a second.",
    ),
    "modulation_peak": MetricInfo(
        "lower",
        "The largest excess, in decibels, of the movement of loudness at one rate over that of real clips: a buzz.",
    ),
    "silence_share": MetricInfo(
        "near reference",
        f"Share of the time that is {-measures.SILENT_DB:.0f} dB below the loudest moment of its clip.",
    ),
    "bandwidth": MetricInfo(
        "near reference", f"The frequency in Hz below which {measures.ROLL_OFF:.0%} of the energy of a clip lies, mean."
    ),
    "class_accuracy": MetricInfo("higher", "Share of generated clips that the classifier puts in the class asked for."),
    "class_score": MetricInfo(
        "higher",
        "How sure and how varied the classifier's classes of generated clips are, from 1 to the number of classes.",
    ),
    "classes_found": MetricInfo("higher", "Classes that make up at least a tenth of their usual share."),
    "class_diversity": MetricInfo(
        "near 1", "Mean distance of generated clips of one class over that of real ones, mean over the classes."
    ),
    "copy_rate": MetricInfo(
        "near 0.01",
        "Share of generated clips whose log-mel statistics are as near to those of a training clip as only 1 in 100 held-out "
        "clips'.",
    ),
    "discriminator_heldout": MetricInfo(
        "near reference",
        "Share of held-out clips that the discriminator calls real; the reference is that of training clips.",
    ),
    "discriminator_fakes": MetricInfo("near 0.5", "Share of generated clips that the discriminator calls fake."),
}


@dataclass(frozen=True)
class ClipFeatures:
    """What is compared of N clips. statistics: (N, D) of log-mel spectrograms; features: (N, E) of the extractor. thirds, peaks:
    the mean modulation spectrum in decibels. silence, bandwidth: (N,). predicted: (N,) the classifier's classes, and
    probabilities (N, K); None without classes. labels: (N,) the requested classes, or those of real clips."""

    statistics: Tensor
    features: Tensor
    thirds: Tensor
    peaks: Tensor
    silence: Tensor
    bandwidth: Tensor
    predicted: Tensor | None
    probabilities: Tensor | None
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.features)


class SoundEvaluator(ClipEvaluator[AudioSource, ClipFeatures]):
    """Computes the metrics of generated clips (N, C, T), see ClipEvaluator; its classifier sees spectrograms."""

    noun = "sounds"
    most_samples = MOST_SAMPLES
    overlapping = False
    classifier = "classifier"
    classifier_steps = CLASSIFIER_STEPS
    learns_from = "the spectrograms"
    meanings = MEANINGS
    must_fail = controls.MUST_FAIL
    of_heldout = ("class_accuracy", "silence_share", "bandwidth")
    clear: ClassVar = {
        "class_score": lambda real: PART * (real - 1),  # starts at 1 and is not a share
        "classes_found": lambda real: PART * real,
    }

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values: diversity and contrast relative to real clips, classes found, the Fréchet distance of the features."""
        pictures = measures.pictures(fakes[:NUM_QUICK], self.source.rate)
        features = extract(self._extractor, pictures)
        real, others = self._real.features[:NUM_QUICK], {}
        if min(len(features), len(real)) >= 2:
            others["frechet"] = frechet_distance(self._real.features, features)
        found = None
        if self._extractor.logits is not None:
            predicted = self._extractor.logits(features).argmax(1)
            coverage = class_coverage(predicted, self._num_classes, self._class_counts)
            found, others["largest_class_share"] = float(coverage.classes_found), max(coverage.shares)
        return QuickMetrics(
            diversity(features) / max(diversity(real), 1e-12) if len(real) > 1 else None,
            float(pictures.float().flatten(1).std(1).mean()) / self._real_contrast,
            found,
            None if found is None else float(self._num_classes),
            others=others,
        )

    # --- features

    @property
    def _picture_shape(self) -> tuple[int, int, int]:
        return self.source.data.shape[1], measures.PICTURE_BANDS, measures.PICTURE_FRAMES

    def _lesson(self) -> Lesson:
        batch = self.source.batch(sample_rows(self.source.num_rows, MOST_LEARNED))
        assert batch.condition is not None
        shown = f"{measures.PICTURE_BANDS}x{measures.PICTURE_FRAMES}"
        pictures = measures.pictures(batch.data, self.source.rate)
        return Lesson(pictures, batch.condition.cpu(), f"sound-{shown}-{self.source.fingerprint}")

    def _features_of(self, waves: Tensor, labels: Tensor | None) -> ClipFeatures:
        rate, extractor = self.source.rate, self._extractor
        features = extract(extractor, measures.pictures(waves, rate))
        thirds, peaks = measures.modulation_spectrum(waves, rate)
        with torch.no_grad():
            probabilities = None if extractor.logits is None else extractor.logits(features).double().softmax(1)
        return ClipFeatures(
            measures.log_mel_statistics(waves, rate),
            features,
            thirds.mean(0),
            peaks.mean(0),
            measures.silence_share(waves, rate),
            measures.bandwidth(waves, rate),
            None if probabilities is None else probabilities.argmax(1),
            probabilities,
            labels,
        )

    @functools.cached_property
    def _real_contrast(self) -> float:
        pictures = measures.pictures(self._rows(self._held, 0)[0][:NUM_QUICK], self.source.rate)
        return max(1e-6, float(pictures.float().flatten(1).std(1).mean()))

    @functools.cached_property
    def _class_counts(self) -> tuple[int, ...] | None:
        condition = self.source.condition
        return condition.counts if isinstance(condition, ClassCondition) else None

    def _make_controls(self, clips: Tensor, labels: Tensor | None) -> Controls:
        return controls.make_controls(clips, labels, self.source.rate, self.seed)

    # --- values

    def _values(self, found: ClipFeatures) -> dict[str, float]:
        """Name of a metric -> its value for these clips, compared with the real ones."""
        real = self._real
        values: dict[str, float] = {}
        if min(len(found), len(real)) >= FEWEST:
            values["frechet"] = frechet_distance(real.features, found.features)
            values["log_mel_distance"] = frechet_distance(real.statistics, found.statistics)
        values["modulation_distance"] = float((found.thirds - real.thirds).square().mean().sqrt())
        values["modulation_peak"] = float((found.peaks - real.peaks).max())
        values["silence_share"] = float(found.silence.mean())
        values["bandwidth"] = float(found.bandwidth.mean())
        if found.predicted is None or found.probabilities is None:
            return values
        if found.labels is not None:
            values["class_accuracy"] = float((found.predicted == found.labels).double().mean())
        if len(found.probabilities) >= NUM_SPLITS:
            mixed = torch.randperm(len(found.probabilities), generator=torch.Generator().manual_seed(0))
            values["class_score"] = class_score(found.probabilities[mixed]).value  # of consecutive splits
        coverage = class_coverage(found.predicted, self._num_classes, self._class_counts)
        values["classes_found"] = float(coverage.classes_found)
        return values

    def _extractor_of(self, name: str) -> str:
        return self._log_mel if name == "log_mel_distance" else self._extractor.name if name in OF_EXTRACTOR else ""

    @property
    def _log_mel(self) -> str:
        """The name of the log-mel statistics, with their number: "fd-logmel120" of mono sound."""
        return f"fd-logmel{3 * measures.BANDS * self.source.data.shape[1]}"

    @property
    def _length(self) -> str:
        return ""

    @property
    def _facts(self) -> Mapping[str, Any]:
        return {}

    def _finished(
        self, records: list[Record], fakes: Tensor, labels: Tensor | None, found: ClipFeatures, judge: Judge | None
    ) -> list[Record]:
        excess = found.peaks - self._real.peaks
        at_hz = sum(measures.PEAKS[int(excess.argmax()) :][:2]) / 2
        records = [
            replace(one, protocol={**one.protocol, "at_hz": at_hz}) if one.name.startswith("modulation_peak") else one
            for one in records
        ]
        if labels is not None and (spread := self._class_diversity(found)) is not None:
            records.append(spread)
        if self._held and stage("copies of training clips"):
            records.append(self._copies(found))
        if judge is not None and stage("the discriminator's scores"):
            records += self._of_discriminator(fakes, labels, judge)
        return records

    def _class_diversity(self, found: ClipFeatures) -> Record | None:
        real = self._real
        if real.labels is None or found.labels is None:
            return None
        spread = intra_class_diversity(real.features, real.labels, found.features, found.labels)
        if spread is None:
            return None
        num, (better, sentence) = len(found.features), MEANINGS["class_diversity"]
        name, protocol = f"class_diversity[{self._extractor.name},n={num}]", self._protocol(num, self._extractor.name)
        return Record(name, spread.mean, protocol, better, sentence, 1.0, spread.error)

    @functools.cached_property
    def _train(self) -> Tensor:
        """Log-mel statistics of the training clips among which copies are searched."""
        rows = sample_rows(self.source.num_rows, MOST_SEARCHED, self.seed)
        return measures.log_mel_statistics(self.source.batch(rows).data, self.source.rate)

    @functools.cached_property
    def _copy_controls(self) -> tuple[Tensor, dict[str, float]]:
        """Distances of held-out clips to the nearest training clip, and the copy rates of copies that are not exact."""
        unseen = unseen_distances(self._train, self._real.statistics)
        rows = sample_rows(self.source.num_rows, MOST_SEARCHED, self.seed)[: self.num_samples]
        waves = self.source.batch(rows).data.cpu().float()
        copies = {
            "training clips, resynthesised": controls.griffin_lim(waves[:COPIED], self.source.rate),
            "training clips, shifted in time": waves[:COPIED].roll(waves.shape[2] // 20, 2),
        }
        rates = {"held-out clips": memorisation(self._real.statistics, self._train, None, unseen).copy_rate}
        for name, made in copies.items():
            statistics = measures.log_mel_statistics(made, self.source.rate)
            rates[name] = memorisation(statistics, self._train, None, unseen).copy_rate
        return unseen, rates

    def _copies(self, found: ClipFeatures) -> Record:
        unseen, rates = self._copy_controls
        rate, num = memorisation(found.statistics, self._train, None, unseen).copy_rate, len(found.statistics)
        better, sentence = MEANINGS["copy_rate"]
        held = rates["held-out clips"]
        record = Record(
            f"copy_rate[{self._log_mel},n={num}]", rate, self._protocol(num, self._log_mel), better, sentence, held,
            share_error(rate, num),
        ).with_controls({name: value for name, value in rates.items() if value is not held})  # fmt: skip
        missed = next((name for name, value in rates.items() if name != "held-out clips" and value < held + CLEAR), "")
        reason = f"{missed[0].upper()}{missed[1:]} score {rates[missed]:.2g} and would not be found." if missed else ""
        return record.mark_unreliable(reason)

    def _of_discriminator(self, fakes: Tensor, labels: Tensor | None, judge: Judge) -> list[Record]:
        """The shares of training, held-out and generated clips that the discriminator judges as it should."""
        protocol = {**self._protocol(len(fakes), "discriminator"), "extractor_sha256": None}
        real = {held: share(judge(*self._rows(held, 1)) > 0) for held in ([False, True] if self._held else [False])}
        noise = controls.noise(self._rows(False, 1)[0], generator(self.seed, "evaluate", "noise"))
        as_real = {controls.NOISE: float((judge(noise, self._rows(False, 1)[1]) > 0).double().mean())}
        records = []
        if self._held:
            better, sentence = MEANINGS["discriminator_heldout"]
            name = f"discriminator_heldout[n={self.num_samples}]"
            value, error = real[True]
            records.append(
                Record(name, value, protocol, better, sentence, real[False].value, error).with_controls(as_real)
            )
        caught, error = share(judge(fakes, labels) <= 0)
        better, sentence = MEANINGS["discriminator_fakes"]
        name = f"discriminator_fakes[n={len(fakes)}]"
        record = Record(name, caught, protocol, better, sentence, None, error)
        return [*records, record.with_controls({REAL: 1 - real[False].value})]
