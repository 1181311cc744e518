"""Evaluates generated clips: Fréchet distances of frames, of their changes and of random 3-D features, motion, classes, copies.

Legend: N clips, F frames, C channels, H height, W width, D features.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zerosum.data.images.pictures import to_pixels
from zerosum.domain import QuickMetrics
from zerosum.domain.clip_evaluator import FEWEST, ClipEvaluator, Controls, Judge, Lesson
from zerosum.domain.contract import stage
from zerosum.domains.video import controls, measures
from zerosum.domains.video.data import ClipSource
from zerosum.domains.video.media import similarity
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.feature_networks import FeatureNetwork, extract, random_features
from zerosum.metrics.neighbours import diversity, memorisation, sample_rows, unseen_distances
from zerosum.metrics.record import CLEAR, MetricInfo, Record, share_error

MOST_SAMPLES = 200
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
        "lower", "Fréchet distance of the distributions of random 3-D features of the changes, which see eight frames at once."
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

    def __len__(self) -> int:
        return len(self.motion)


class VideoEvaluator(ClipEvaluator[ClipSource, ClipFeatures]):
    """Computes the metrics of generated clips (N, F, C, H, W), see ClipEvaluator; its classifier sees single frames."""

    noun = "clips"
    most_samples = MOST_SAMPLES
    overlapping = True
    classifier = "frames-classifier"
    classifier_steps = CLASSIFIER_STEPS
    learns_from = "frames"
    meanings = MEANINGS
    must_fail = controls.MUST_FAIL
    of_heldout = ("speed", "mass", "flicker", "warping_error", "jerk", "class_accuracy", "frame_confidence")

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

    # --- features

    @functools.cached_property
    def _random_motion(self) -> measures.RandomMotion:
        return measures.RandomMotion(self.source.shape[1])

    @functools.cached_property
    def _random_frames(self) -> FeatureNetwork:
        return random_features(self.source.shape[1:])

    @property
    def _picture_shape(self) -> tuple[int, int, int]:
        return self.source.shape[1:]

    def _lesson(self) -> Lesson:
        """The frames of some clips, evenly spaced."""
        rows = sample_rows(self.source.num_rows, MOST_LEARNED)
        places = torch.linspace(0, self.source.length - 1, LEARNED_OF_CLIP).round().long()
        frames, labels = [], []
        for part in torch.split(rows, measures.BATCH):
            batch = self.source.batch(part)
            assert batch.condition is not None
            frames.append(to_pixels(batch.data[:, places].cpu()))
            labels.append(batch.condition.cpu().repeat_interleave(len(places)))
        return Lesson(torch.cat(frames).flatten(0, 1), torch.cat(labels), f"frames-{self.source.fingerprint}")

    def _features_of(self, clips: Tensor, labels: Tensor | None) -> ClipFeatures:
        logits = self._extractor.logits
        frames = extract(self._extractor, to_pixels(clips).flatten(0, 1))
        with torch.no_grad():
            probabilities = None if logits is None else logits(frames).double().softmax(1)
        return ClipFeatures(
            frames,
            extract(self._random_frames, measures.difference_pictures(clips)),
            measures.in_parts(self._random_motion, clips),
            measures.motion(clips),
            probabilities,
            labels,
        )

    @functools.cached_property
    def _real_contrast(self) -> float:
        return max(1e-6, float(self._rows(self._held, 0)[0].flatten(1).std(1).mean()))

    def _make_controls(self, clips: Tensor, labels: Tensor | None) -> Controls:
        return controls.make_controls(clips, labels, self.seed)

    # --- values

    def _values(self, found: ClipFeatures) -> dict[str, float]:
        """Name of a metric -> its value for these clips, compared with the real ones."""
        real, values = self._real, dict[str, float]()
        if min(len(found), len(real)) >= FEWEST:
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

    def _extractor_of(self, name: str) -> str:
        own = {"motion_frechet": self._random_motion.name, "difference_frechet": "random-conv-v1"}
        return self._extractor.name if name in OF_FRAMES else own.get(name, "")

    @property
    def _length(self) -> str:
        return f"frames={self.source.length},"

    @property
    def _facts(self) -> Mapping[str, Any]:
        return {"frames": self.source.length, "rate": self.source.rate}

    def _finished(
        self, records: list[Record], fakes: Tensor, labels: Tensor | None, found: ClipFeatures, judge: Judge | None
    ) -> list[Record]:
        if self._held and stage("copies of training clips"):
            records.append(self._copies(fakes))
        return records

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
            f"copy_rate[{self._length}n={len(fakes)}]", found, self._protocol(len(fakes), "8x8"), better, sentence,
            held, share_error(found, len(fakes)),
        ).with_controls({"training clips with noise": caught})  # fmt: skip
        return record.mark_unreliable("" if caught >= held + CLEAR else "Copies of training clips would not be found.")
