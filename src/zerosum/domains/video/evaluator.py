"""Evaluates generated clips: Fréchet distances of frames, of their changes and of random 3-D features, motion, classes, copies.

Legend: N clips, F frames, C channels, H height, W width, D features.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.data.images.pictures import to_pixels
from zerosum.domain import ClassCondition, QuickMetrics
from zerosum.domain.contract import EvalOptions, stage
from zerosum.domains.video import controls, measures
from zerosum.domains.video.media import similarity
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.feature_networks import (
    FeatureNetwork,
    SmallClassifier,
    cached_classifier,
    extract,
    random_features,
)
from zerosum.metrics.neighbours import diversity, memorisation, sample_rows, unseen_distances
from zerosum.metrics.record import CLEAR, MetricInfo, Record, share_error

if TYPE_CHECKING:
    from zerosum.domains.video.data import ClipSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
MOST_SAMPLES = 200
FEWEST_HELDOUT, FEWEST = 64, 16
"""With fewer held-out clips, samples are compared with one half of the training clips; with fewer than FEWEST clips a side no
distances are computed."""
CLASSIFIER_STEPS, MOST_LEARNED, LEARNED_OF_CLIP = 500, 2_000, 3
"""Steps of the classifier of frames, and the clips and the frames of each that it learns from."""
MOST_SEARCHED = 4_000
NUM_QUICK = 64

MEANINGS: Mapping[str, MetricInfo] = {
    "frechet": MetricInfo("lower", "Fréchet distance of the distributions of features of single frames."),
    "difference_frechet": MetricInfo(
        "lower", "Fréchet distance of the distributions of features of the changes from frame to frame."
    ),
    "motion_frechet": MetricInfo(
        "lower", "Fréchet distance of the distributions of random 3-D features, which see seven frames at once."
    ),
    "jerk": MetricInfo("lower", "Median second difference of the centre of mass of a clip, in pixels: 0 for steady motion."),
    "speed": MetricInfo("near reference", "Mean step of the centre of mass from frame to frame, in pixels."),
    "mass": MetricInfo("near reference", "Mean sum, over the pixels of a frame, of the distance to the ground."),
    "flicker": MetricInfo("near reference", "Mean change of the mass from frame to frame, over the mean mass."),
    "warping_error": MetricInfo(
        "near reference", "What the best shifts of blocks of the frame before leave of a frame, over the deviation of the clip."
    ),
    "class_accuracy": MetricInfo("higher", "Share of single frames that the classifier puts in the class asked for."),
    "frame_confidence": MetricInfo("higher", "Mean probability of the classifier's own class for single frames."),
    "copy_rate": MetricInfo(
        "near 0.01", "Share of clips that lie as near to a training clip as only 1 in 100 held-out clips does."
    ),
}  # fmt: skip
OF_FRAMES = ("frechet", "class_accuracy", "frame_confidence")


@dataclass(frozen=True)
class ClipFeatures:
    """What is compared of N clips: frames (N F, D), changes (N (F - 1), D) and motion (N, D) features, the motion itself, and the
    classifier's probabilities (N F, K) of frames, None without classes. labels: (N,) those asked for."""

    frames: Tensor
    changes: Tensor
    motion: Tensor
    measured: measures.Motion
    probabilities: Tensor | None
    labels: Tensor | None


class VideoEvaluator:
    """Computes the metrics of generated clips (N, F, C, H, W).

    They are compared with held-out clips; the reference of each metric is the value of as many training clips. With fewer than
    FEWEST_HELDOUT held-out clips, one half of the training clips is compared with, and the other half gives the reference.
    Features of frames are those of a classifier of the source's labels, trained once and kept in `cache_dir`; where there are no
    labels, of a fixed network with random weights.
    """

    def __init__(
        self, source: ClipSource, seed: int, options: EvalOptions = EvalOptions(), cache_dir: Path | None = None
    ) -> None:
        self.source, self.seed, self.options, self.cache_dir = source, seed, options, cache_dir
        self._held = source.num_heldout >= FEWEST_HELDOUT
        most = source.num_heldout if self._held else source.num_rows // 2
        if options.num and not FEWEST <= options.num <= most:
            raise UserError(f"--num {options.num}: as many real clips are compared with; give {FEWEST} to {most:,}.")
        if options.extractor not in ("", "classifier", "random"):
            raise UserError(f"--extractor {options.extractor!r}: clips have the extractors classifier and random.")
        if options.extractor == "classifier" and self._num_classes < 2:
            raise UserError(f"--extractor classifier: {source.name} has no labels to train one on. Use random.")
        self.num_samples = max(1, min(options.num or MOST_SAMPLES, most))

    @property
    def _num_classes(self) -> int:
        condition = self.source.condition
        return condition.num_classes if isinstance(condition, ClassCondition) else 0

    def prepare(self, log: Callable[[str], None]) -> None:
        """Trains or loads the classifier and measures real clips, once."""
        log("Preparing the measures (up to half a minute, the first time for these data) ...")
        assert len(self._real.motion)

    def adjusted(self, options: EvalOptions) -> VideoEvaluator:
        """The same measures with another extractor or another number of samples."""
        return VideoEvaluator(self.source, self.seed, options, self.cache_dir)

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All metrics of (N, F, C, H, W) fakes. labels (N,): the requested classes."""
        fakes = fakes[: self.num_samples].detach().cpu().float()
        labels = None if labels is None or labels.dim() != 1 else labels[: len(fakes)].cpu()
        stage("features of the clips", needed=True)
        found = self._values(self._features_of(fakes, labels))
        measured = {controls.REAL: self._reference_values}
        measured |= self._control_values if stage("controls", once=True) else {}
        records = []
        for name, value in found.items():
            values = {group: own[name] for group, own in measured.items() if name in own}
            records.append(self._record(name, value, len(fakes), values))
        if self._held and stage("copies of training clips"):
            records.append(self._copies(fakes))
        return records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values: diversity and contrast relative to real clips, jerk and speed, the distance of random 3-D features."""
        fakes = fakes[:NUM_QUICK].detach().cpu().float()
        features, real = measures.in_parts(self._random_motion, fakes), self._real.motion
        moved = measures.motion(fakes)
        others = {"jerk": float(moved.jerk.median()), "speed": float(moved.speed.mean())}
        if min(len(features), len(real)) >= 2:
            others["motion_frechet"] = frechet_distance(real, features)
        return QuickMetrics(
            diversity(features) / max(diversity(real[: len(fakes)]), 1e-12) if len(real) > 1 else None,
            float(fakes.flatten(1).std(1).mean()) / self._real_contrast,
            others=others,
        )

    # --- real clips and controls, computed once

    def _rows(self, held: bool, part: int) -> tuple[Tensor, Tensor | None]:
        """num_samples real clips and their classes. Without held-out clips, part 0 and part 1 are disjoint halves, in the order
        of their beginnings, so that clips of one half share as few frames as possible with those of the other."""
        num = self.source.num_heldout if held else self.source.num_rows
        if self._held:
            rows = torch.randperm(num, generator=generator(self.seed, "evaluate", "clips"))[: self.num_samples]
        else:
            half = range(0, num - num // 2) if part == 0 else range(num - num // 2, num)
            order = torch.randperm(len(half), generator=generator(self.seed, "evaluate", "clips"))
            rows = (
                torch.tensor(list(half), dtype=torch.int64)[order][: self.num_samples]
                if len(half)
                else torch.arange(num)
            )
        batch = self.source.heldout_batch(rows) if held else self.source.batch(rows)
        labels = batch.condition.cpu() if batch.condition is not None and self._num_classes else None
        return batch.data.detach().cpu().float(), labels

    @functools.cached_property
    def _random_motion(self) -> measures.RandomMotion:
        return measures.RandomMotion(self.source.shape[1])

    @functools.cached_property
    def _random_frames(self) -> FeatureNetwork:
        return random_features(self.source.shape[1:])

    @functools.cached_property
    def _classifier(self) -> tuple[SmallClassifier, str] | None:
        """The classifier of frames and its SHA-256; None where there are no classes or random features are asked for."""
        labels = self.source.labels
        if self._num_classes < 2 or labels is None or self.options.extractor == "random":
            return None
        stage("classifier of frames", needed=True, once=True)
        rows = sample_rows(self.source.num_rows, MOST_LEARNED)
        frames = torch.linspace(0, self.source.length - 1, LEARNED_OF_CLIP).round().long()
        parts = [to_pixels(self.source.batch(part).data[:, frames].cpu()) for part in torch.split(rows, measures.BATCH)]
        return cached_classifier(
            torch.cat(parts).flatten(0, 1),
            labels[rows].cpu().repeat_interleave(len(frames)),
            f"frames-{self.source.fingerprint}",
            self.cache_dir,
            num_classes=self._num_classes,
            steps=CLASSIFIER_STEPS,
        )

    @property
    def _extractor(self) -> tuple[str, str]:
        """(name, SHA-256) of what gives the features of frames."""
        if self._classifier is None:
            network = random_features(self.source.shape[1:])
            return network.name, network.sha256
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", self.source.name).strip("-")
        return f"{plain}-frames-classifier-{self._classifier[1][:8]}", self._classifier[1]

    def _features_of(self, clips: Tensor, labels: Tensor | None) -> ClipFeatures:
        pixels = to_pixels(clips).flatten(0, 1)
        network = self._classifier[0] if self._classifier else self._random_frames
        frames = extract(network, pixels)
        with torch.no_grad():
            probabilities = self._classifier[0].head(frames).double().softmax(1) if self._classifier else None
        return ClipFeatures(
            frames,
            extract(self._random_frames, measures.difference_pictures(clips)),
            measures.in_parts(self._random_motion, clips),
            measures.motion(clips),
            probabilities,
            labels,
        )

    @functools.cached_property
    def _real(self) -> ClipFeatures:
        """The clips that others are compared with."""
        return self._features_of(*self._rows(self._held, 0))

    @functools.cached_property
    def _real_contrast(self) -> float:
        return max(1e-6, float(self._rows(self._held, 0)[0].flatten(1).std(1).mean()))

    @functools.cached_property
    def _reference_values(self) -> Mapping[str, float]:
        """Metric -> the value of training clips, the reference."""
        return self._values(self._features_of(*self._rows(False, 1)))

    @functools.cached_property
    def _control_values(self) -> Mapping[str, Mapping[str, float]]:
        """Control -> metric -> value."""
        clips, labels = self._rows(False, 1)
        if len(clips) < FEWEST:
            return {}
        made = controls.make_controls(clips, labels, self.seed)
        return {name: self._values(self._features_of(*group)) for name, group in made.items()}

    # --- values

    def _values(self, found: ClipFeatures) -> dict[str, float]:
        """Name of a metric -> its value for these clips, compared with the real ones."""
        real, values = self._real, dict[str, float]()
        if min(len(found.motion), len(real.motion)) >= FEWEST:
            values["frechet"] = frechet_distance(real.frames, found.frames)
            values["difference_frechet"] = frechet_distance(real.changes, found.changes)
            values["motion_frechet"] = frechet_distance(real.motion, found.motion)
        moved = found.measured
        values["jerk"], values["speed"] = float(moved.jerk.median()), float(moved.speed.mean())
        values["mass"], values["flicker"] = float(moved.mass.mean()), float(moved.flicker.mean())
        values["warping_error"] = float(moved.warping.mean())
        if found.probabilities is None:
            return values
        values["frame_confidence"] = float(found.probabilities.amax(1).mean())
        if found.labels is not None:
            each = found.labels.repeat_interleave(len(found.frames) // len(found.labels))
            values["class_accuracy"] = float((found.probabilities.argmax(1) == each).double().mean())
        return values

    def _record(self, name: str, value: float, num: int, values: Mapping[str, float]) -> Record:
        """values: of training clips, and of controls unless they were left out."""
        tag = {"motion_frechet": self._random_motion.name, "difference_frechet": "random-conv-v1"}.get(name, "")
        tag = self._extractor[0] if name in OF_FRAMES else tag
        better, sentence = MEANINGS[name]
        reference = values.get(controls.REAL)
        if name in ("speed", "mass", "flicker", "warping_error", "jerk", "class_accuracy", "frame_confidence"):
            reference = self._values(self._real)[name]
        record = Record(
            f"{name}[{tag + ',' if tag else ''}frames={self.source.length},n={num}]",
            value,
            self._protocol(num, tag),
            better,
            sentence,
            reference,
            share_error(value, num) if name == "class_accuracy" else None,
        )
        if (few := len(self._real.motion)) < FEWEST:
            return record.mark_unreliable(f"{few} real clips are too few; {FEWEST} are needed.")
        return controls.add_controls(record, name, values, CLEAR)

    @functools.cached_property
    def _train(self) -> Tensor:
        rows = sample_rows(self.source.num_rows, MOST_SEARCHED, self.seed)
        return torch.cat(
            [similarity(self.source.batch(part).data.cpu())[0] for part in torch.split(rows, measures.BATCH)]
        )

    def _copies(self, fakes: Tensor) -> Record:
        real, train = similarity(self._rows(True, 0)[0])[0], self._train
        unseen = unseen_distances(train, real)
        copies = train[: len(fakes)] + 0.01 * torch.randn(
            train[: len(fakes)].shape, generator=torch.Generator().manual_seed(0)
        )
        held = memorisation(real, train, None, unseen).copy_rate
        found = memorisation(similarity(fakes)[0], train, None, unseen).copy_rate
        caught = memorisation(copies, train, None, unseen).copy_rate
        better, sentence = MEANINGS["copy_rate"]
        record = Record(
            f"copy_rate[frames={self.source.length},n={len(fakes)}]", found, self._protocol(len(fakes), "8x8"), better, sentence,
            held, share_error(found, len(fakes)),
        ).with_controls({"training clips with noise": caught})  # fmt: skip
        return record.mark_unreliable("" if caught >= held + CLEAR else "Copies of training clips would not be found.")

    def _protocol(self, num_fake: int, extractor: str) -> dict[str, Any]:
        name, sha256 = self._extractor
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "extractor": extractor or None,
            "extractor_sha256": sha256 if extractor == name else None,
            "num_real": len(self._real.motion),
            "num_fake": num_fake,
            "frames": self.source.length,
            "rate": self.source.rate,
            "split": "held out" if self._held else "one half of the training clips",
            "seed": self.seed,
            "torch": torch.__version__,
        }
