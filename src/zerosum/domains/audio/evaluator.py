"""Evaluates generated sounds: Fréchet distances in two kinds of features, classes, modulation, silence, bandwidth, copies.

Legend: N clips, C channels, T samples, D features.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import ClassCondition, QuickMetrics
from zerosum.domain.contract import EvalOptions, stage
from zerosum.domains.audio import controls, measures
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.classes import NUM_SPLITS, class_coverage, class_score, intra_class_diversity
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.feature_networks import cached_classifier, extract, random_features
from zerosum.metrics.neighbours import diversity, memorisation, sample_rows, unseen_distances
from zerosum.metrics.record import CLEAR, PART, MetricInfo, Record, share, share_error

if TYPE_CHECKING:
    from zerosum.domains.audio.data import AudioSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
MOST_SAMPLES = 400
FEWEST_HELDOUT, FEWEST = 64, 16
"""With fewer held-out clips, samples are compared with one half of the training clips; with fewer than FEWEST clips a side no
distances are computed."""
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
class Extractor:
    """Turns spectrograms as pictures, (N, C, H, W) uint8, into features (N, D). logits: features -> (N, K), of classifiers."""

    name: str
    sha256: str
    features: Callable[[Tensor], Tensor] = field(repr=False)
    logits: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)


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


class SoundEvaluator:
    """Computes the metrics of generated clips (N, C, T).

    They are compared with held-out clips; the reference of each metric is the value of as many training clips. With fewer than
    FEWEST_HELDOUT held-out clips, one half of the training clips is compared with, and the other half gives the reference.
    The features of spectrograms are those of a classifier of the source's labels, trained once and kept in `cache_dir`; where
    there are no labels, of a fixed network with random weights.
    """

    def __init__(
        self, source: AudioSource, seed: int, options: EvalOptions = EvalOptions(), cache_dir: Path | None = None
    ) -> None:
        self.source, self.seed, self.options, self.cache_dir = source, seed, options, cache_dir
        self._held = source.num_heldout >= FEWEST_HELDOUT
        most = source.num_heldout if self._held else source.num_rows // 2
        if options.num and not FEWEST <= options.num <= most:
            raise UserError(f"--num {options.num}: as many real clips are compared with; give {FEWEST} to {most:,}.")
        if options.extractor not in ("", "classifier", "random"):
            raise UserError(f"--extractor {options.extractor!r}: sounds have the extractors classifier and random.")
        if options.extractor == "classifier" and self._num_classes < 2:
            raise UserError(f"--extractor classifier: {source.name} has no labels to train one on. Use random.")
        self.num_samples = max(1, min(options.num or MOST_SAMPLES, most))

    @property
    def _log_mel(self) -> str:
        """The name of the log-mel statistics, with their number: "fd-logmel120" of mono sound."""
        return f"fd-logmel{3 * measures.BANDS * self.source.data.shape[1]}"

    @property
    def _num_classes(self) -> int:
        condition = self.source.condition
        return condition.num_classes if isinstance(condition, ClassCondition) else 0

    def prepare(self, log: Callable[[str], None]) -> None:
        """Trains or loads the classifier and computes the features of real clips, once."""
        log("Preparing the measures (up to half a minute, the first time for these data) ...")
        assert len(self._real.features)

    def adjusted(self, options: EvalOptions) -> SoundEvaluator:
        """The same measures with another extractor or another number of samples."""
        return SoundEvaluator(self.source, self.seed, options, self.cache_dir)

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All metrics of (N, C, T) fakes. labels (N,): the requested classes."""
        fakes = fakes[: self.num_samples].detach().cpu().float()
        labels = None if labels is None or labels.dim() != 1 else labels[: len(fakes)].cpu()
        stage("features of the clips", needed=True)
        found = self._features_of(fakes, labels)
        measured = {controls.REAL: self._reference_values}
        measured |= self._control_values if stage("controls", once=True) else {}
        records = []
        for name, value in self._values(found).items():
            values = {group: own[name] for group, own in measured.items() if name in own}
            records.append(self._record(name, value, len(fakes), values))
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

    # --- real clips and controls, computed once

    def _rows(self, held: bool, part: int) -> tuple[Tensor, Tensor | None]:
        """num_samples real clips and their classes. Without held-out clips, part 0 and part 1 are disjoint halves; a single clip
        is both."""
        num = self.source.num_heldout if held else self.source.num_rows
        order = torch.randperm(num, generator=generator(self.seed, "evaluate", "sounds"))
        start = 0 if self._held or num < 2 * self.num_samples else part * self.num_samples
        rows = order[start : start + self.num_samples]
        batch = self.source.heldout_batch(rows) if held else self.source.batch(rows)
        labels = batch.condition.cpu() if batch.condition is not None and self._num_classes else None
        return batch.data.detach().cpu().float(), labels

    @functools.cached_property
    def _extractor(self) -> Extractor:
        shape = (self.source.data.shape[1], measures.PICTURE_BANDS, measures.PICTURE_FRAMES)
        labels = self.source.labels
        if self._num_classes < 2 or labels is None or self.options.extractor == "random":
            network = random_features(shape)
            return Extractor(network.name, network.sha256, network.features)
        stage("classifier of the spectrograms", needed=True, once=True)
        fingerprint = f"sound-{measures.PICTURE_BANDS}x{measures.PICTURE_FRAMES}-{self.source.fingerprint}"
        rows = sample_rows(self.source.num_rows, MOST_LEARNED)
        model, sha256 = cached_classifier(
            measures.pictures(self.source.data[rows], self.source.rate),
            labels[rows].cpu(),
            fingerprint,
            self.cache_dir,
            num_classes=self._num_classes,
            steps=CLASSIFIER_STEPS,
        )
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", self.source.name).strip("-")
        return Extractor(f"{plain}-classifier-{sha256[:8]}", sha256, model.features, model.head)

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
    def _real(self) -> ClipFeatures:
        """The clips that others are compared with."""
        return self._features_of(*self._rows(self._held, 0))

    @functools.cached_property
    def _real_contrast(self) -> float:
        pictures = measures.pictures(self._rows(self._held, 0)[0][:NUM_QUICK], self.source.rate)
        return max(1e-6, float(pictures.float().flatten(1).std(1).mean()))

    @functools.cached_property
    def _class_counts(self) -> tuple[int, ...] | None:
        condition = self.source.condition
        return condition.counts if isinstance(condition, ClassCondition) else None

    @functools.cached_property
    def _reference_values(self) -> Mapping[str, float]:
        """Metric -> the value of training clips, the reference."""
        return self._values(self._features_of(*self._rows(False, 1)))

    @functools.cached_property
    def _control_values(self) -> Mapping[str, Mapping[str, float]]:
        """Control -> metric -> value."""
        waves, labels = self._rows(False, 1)
        if len(waves) < FEWEST:
            return {}
        made = controls.make_controls(waves, labels, self.source.rate, self.seed)
        return {name: self._values(self._features_of(*group)) for name, group in made.items()}

    # --- values

    def _values(self, found: ClipFeatures) -> dict[str, float]:
        """Name of a metric -> its value for these clips, compared with the real ones."""
        real = self._real
        values: dict[str, float] = {}
        if min(len(found.features), len(real.features)) >= FEWEST:
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

    def _record(self, name: str, value: float, num: int, values: Mapping[str, float]) -> Record:
        """values: of training clips, and of controls unless they were left out."""
        tag = self._log_mel if name == "log_mel_distance" else self._extractor.name if name in OF_EXTRACTOR else ""
        better, sentence = MEANINGS[name]
        record = Record(
            f"{name}[{tag + ',' if tag else ''}n={num}]",
            value,
            self._protocol(num, tag),
            better,
            sentence,
            self._reference(name, values),
            share_error(value, num) if name == "class_accuracy" else None,
        )
        if (few := len(self._real.features)) < FEWEST:
            return record.mark_unreliable(f"{few} real clips are too few; {FEWEST} are needed.")
        if name == "class_score":  # starts at 1 and is not a share
            return controls.add_controls(record, name, values, PART * (values[controls.REAL] - 1))
        if name == "classes_found":
            return controls.add_controls(record, name, values, PART * values[controls.REAL])
        return controls.add_controls(record, name, values, CLEAR)

    def _reference(self, name: str, values: Mapping[str, float]) -> float | None:
        """What real clips score: the classifier's accuracy on held-out clips, else the value of training clips."""
        real = self._real
        if name == "class_accuracy" and real.predicted is not None and real.labels is not None:
            return float((real.predicted == real.labels).double().mean())
        if name in ("silence_share", "bandwidth"):
            return float(getattr(real, "silence" if name == "silence_share" else name).mean())
        return values.get(controls.REAL)

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
        return [*records, record.with_controls({controls.REAL: 1 - real[False].value})]

    def _protocol(self, num_fake: int, extractor: str) -> dict[str, Any]:
        own = extractor == self._extractor.name
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "extractor": extractor or None,
            "extractor_sha256": self._extractor.sha256 if own else None,
            "num_real": len(self._real.features),
            "num_fake": num_fake,
            "split": "held out" if self._held else "one half of the training clips",
            "seed": self.seed,
            "torch": torch.__version__,
        }
