"""Evaluators of 8-bit images and of samples in [-1, 1], which are measured as they would be saved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.data.images.loaded import RGBA
from zerosum.data.images.pictures import composite_on, limit_to_alpha, pixels_on_background
from zerosum.domain import QuickMetrics
from zerosum.domain.contract import EvalOptions, stage
from zerosum.domains.images import controls, measures, parzen_2014, stacked
from zerosum.domains.images.data import ImageSource, to_network_input, to_saved_pixels
from zerosum.domains.images.features import RealFeatures, choose_rows, prepare
from zerosum.domains.images.measures import FEWEST, EvalContext, Judge, common_protocol
from zerosum.errors import UserError
from zerosum.metrics.classes import class_coverage
from zerosum.metrics.feature_networks import extract, random_features
from zerosum.metrics.neighbours import diversity, sample_rows
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource


class ImageEvaluator:
    """Measures of a generator against one source of images.

    options: the extractor (see `extractors`) and the number of samples compared; by default 1,000, or 2,000 from 10,000
    training images on, in the features of a small classifier trained once on the source's own labels (kept in
    `cache_dir`), or of a fixed random network where there are none. It and the features of the reals are made at the first
    use. `num_fakes` is the number of fakes that `evaluate` needs; `num_samples` of them are compared with as many reals. `notes`
    has a sentence for each measure that the last `evaluate` left out.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        num_samples: int | None = None,
        cache_dir: Path | None = None,
        seed: int = 0,
        options: EvalOptions = EvalOptions(),
    ) -> None:
        requested, rows = num_samples or options.num, len(source.train.pixels)
        if requested and requested < FEWEST:
            raise UserError(f"num_samples: {requested} is too few to compare distributions; give {FEWEST} or more")
        if options.num > rows:
            raise UserError(
                f"--num {options.num} is more than the {rows:,} training images; as many reals as fakes are compared. "
                f"Use --num {rows} or less."
            )
        self.source, self.seen = source, source.seen
        self.num_samples = min(requested or (2000 if rows >= 10_000 else 1000), rows)
        self.num_fakes = max(self.num_samples, stacked.NUM_SAMPLES if self.seen.measure == "stacked" else 0)
        self.cache_dir, self.seed, self.options = cache_dir, seed, options
        self.notes: list[str] = []
        self._prepared: RealFeatures | None = None
        self._copy_keys: measures.CopyKeys | None = None

    @property
    def prepared(self) -> RealFeatures:
        """The extractor and the features of the reals; trains or loads the classifier at the first call."""
        if self._prepared is None:
            stage("classifier and features of the real images", needed=True, once=True)
            self._prepared = prepare(self.seen, self.options, self.num_samples, self.seed, self.cache_dir)
        return self._prepared

    @functools.cached_property
    def _controls(self) -> controls.ImageControls:
        return controls.ImageControls(
            self.prepared, choose_rows(self.seen.train, controls.MOST, self.seed)[0], self.seed
        )

    def evaluate(
        self,
        fakes: Tensor,
        fake_labels: Tensor | None = None,
        judge: Judge | None = None,
        *,
        protocol: Mapping[str, Any] | None = None,
    ) -> list[Record]:
        """All measures of `fakes`, each as a Record.

        fakes: uint8 (N, C, H, W) as they would be saved; the first `num_samples` count, all only in counting modes.
        fake_labels: the requested classes (N,), for conditional generators. judge: the discriminator, to
        measure its accuracy. protocol: further entries for every record, e.g. {'weights': 'ema', 'step': 1000}.
        Raises UserError when the fakes do not fit the source.
        """
        self._check(fakes)
        self.notes = []
        fakes = fakes.detach().cpu()
        shown = self.shown(fakes)
        at = self._context(shown[: self.num_samples], fake_labels, protocol or {})
        records = measures.distribution_records(at) if stage("distances between distributions", needed=True) else []
        if records and stage("controls of the distances"):
            records = [self._controls.add_to(record) for record in records]
        if stage("classes"):
            records += measures.class_records(at)
        if self.seen.measure == "stacked" and stage("modes of stacked digits"):
            records = stacked.records(at, shown, self.cache_dir) + records
        if measures.enough_for_copies(self.seen, self.notes) and stage("copies of training images"):
            self._copy_keys = self._copy_keys or measures.copy_keys(self.seen)
            records += measures.copy_records(at, self._copy_keys)
        if judge is not None and stage("the discriminator's scores"):
            plain = {**at.common, "images": "uint8"}  # D receives alpha too
            at = replace(at, source=self.source, fakes=fakes[: self.num_samples], common=plain)
            records += measures.discriminator_records(at, judge, self.num_samples)
        return records

    def _context(self, fakes: Tensor, labels: Tensor | None, protocol: Mapping[str, Any]) -> EvalContext:
        prepared = self.prepared
        common = common_protocol(self.source, prepared, self.seed) | dict(protocol)
        if self.seen is not self.source:
            common["images"] = f"uint8, transparent ones laid on {self.source.background}"
        features = prepared.features(fakes)
        predicted = prepared.classify(fakes, features)
        labels = None if labels is None else labels[: len(fakes)].detach().cpu()
        return EvalContext(self.seen, prepared, fakes, labels, features, predicted, self.seed, common, self.notes)

    def quick(self, fakes: Tensor) -> dict[str, float]:
        """Health numbers for use while training; a few hundredths of a second after the first call.

        fakes: uint8 (N, C, H, W), N >= 2, the first 256 count. Returns 'diversity_ratio' (mean distance between fakes over
        mean distance between reals, in features; near 1 is healthy, near 0 is collapse) and, where the source has
        labels, 'classes_found' and 'largest_class_share'.
        """
        self._check(fakes)
        prepared, images = self.prepared, self.shown(fakes[:256].detach())
        features = prepared.features(images)
        numbers = {"diversity_ratio": diversity(features) / max(prepared.real_diversity, 1e-12)}
        predicted, labels = prepared.classify(images, features), self.source.train.labels
        if predicted is not None and labels is not None:
            num_classes = int(self.source.shape.num_classes)
            found = class_coverage(predicted, num_classes, self.source.train.class_counts(num_classes))
            numbers |= {"classes_found": float(found.classes_found), "largest_class_share": max(found.shares)}
        return numbers

    def shown(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 as measures see them: RGBA images laid on the source's background."""
        return images if self.seen is self.source else pixels_on_background(images, self.source.background)

    def _check(self, fakes: Tensor) -> None:
        expected = tuple(self.source.train.pixels.shape[1:])
        if fakes.dtype != torch.uint8 or tuple(fakes.shape[1:]) != expected or len(fakes) < 2:
            raise UserError(
                f"fakes: {fakes.dtype} {tuple(fakes.shape)} do not fit source {self.source.name!r}; "
                f"give at least 2 uint8 images of shape {expected}"
            )


CHEAP_VALUES = 256
"""Values an image may have for its classifier to be trained before the game begins."""
NUM_REALS = 256
"""Training images, drawn from the seed, whose diversity and contrast the health compares with."""
UnitJudge = Callable[[Tensor, Tensor | None], Tensor]


class PixelEvaluator:
    """ImageEvaluator for samples in [-1, 1]: they are measured as the 8-bit images that would be saved."""

    def __init__(self, source: ImageSource, seed: int, options: EvalOptions = EvalOptions()) -> None:
        self.inner = ImageEvaluator(source, seed=seed, options=options)
        self._num_classes = source.shape.num_classes
        # A classifier of large images takes minutes: it is left to the evaluation, and the health numbers use random features.
        self._at_once = source.train.pixels[0].numel() <= CHEAP_VALUES
        shape = self.inner.seen.shape
        self._extractor = random_features((shape.channels, shape.height, shape.width))

    def _reals(self) -> Tensor:
        pixels = self.inner.seen.train.pixels
        return pixels[sample_rows(len(pixels), NUM_REALS, self.inner.seed).to(pixels.device)]

    @functools.cached_property
    def _real_contrast(self) -> float:
        return float(self._reals().float().flatten(1).std(1).mean())

    @functools.cached_property
    def _real_diversity(self) -> float:
        return diversity(extract(self._extractor, self._reals()))

    @property
    def num_samples(self) -> int:
        """Number of samples that `evaluate` needs."""
        return self.inner.num_fakes

    def with_options(self, options: EvalOptions) -> PixelEvaluator:
        """The same measures with another extractor or another number of samples."""
        return PixelEvaluator(self.inner.source, self.inner.seed, options)

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: UnitJudge | None) -> Sequence[Record]:
        """All measures of (N, C, H, W) samples in [-1, 1]."""
        wrapped = None if judge is None else lambda pixels, condition: judge(to_network_input(pixels), condition)
        return self.inner.evaluate(to_saved_pixels(fakes), labels, wrapped)

    @property
    def num_historic(self) -> int:
        """Number of samples that `historic` needs."""
        return parzen_2014.NUM_CENTRES

    def historic(self, fakes: Tensor) -> Sequence[Record]:
        """The scores of 2014 for (N, C, H, W) samples in [-1, 1], which are not rounded to 8 bits for it."""
        source = self.inner.source
        if source.shape.channels == RGBA:
            fakes = composite_on(limit_to_alpha(fakes.clamp(-1, 1)), source.background)
        return parzen_2014.records(source.seen, (fakes + 1) / 2, self.inner.seed)

    def prepare(self, log: Callable[[str], None]) -> None:
        """Makes the classifier now where it is quick to train; `quick` then sees classes."""
        if self._at_once:
            log("Preparing the measures (a few seconds, the first time for these data) ...")
            self.inner.prepared  # noqa: B018

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values: diversity and contrast relative to the reals, and the classes found if the classifier is available."""
        pixels = to_saved_pixels(fakes)
        contrast = float(self.inner.shown(pixels).float().flatten(1).std(1).mean()) / max(1e-6, self._real_contrast)
        if not self._at_once:
            spread = diversity(extract(self._extractor, self.inner.shown(pixels[:256])))
            return QuickMetrics(spread / max(1e-12, self._real_diversity), contrast)
        numbers = self.inner.quick(pixels)
        spread, found = numbers.pop("diversity_ratio"), numbers.pop("classes_found", None)
        num_classes = None if found is None else float(self._num_classes)
        return QuickMetrics(spread, contrast, found, num_classes, others=numbers)
