"""Between the run, whose samples lie in [-1, 1], and the measures and readers, which see images as they are saved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.data.images.files import BadImageError, decode
from zerosum.data.images.loaded import RGBA, WHITE, Crop
from zerosum.data.images.pictures import limit_to_alpha, on_background
from zerosum.data.opening import opened
from zerosum.domain import QuickMetrics
from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images import parzen_2014
from zerosum.domains.images.data import ImageSource, Shape, as_played, as_saved
from zerosum.domains.images.metrics import ImageEvaluator
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import extract, random_features
from zerosum.metrics.neighbours import diversity, drawn_rows
from zerosum.metrics.record import Record

CHEAP_VALUES = 256
"""Values an image may have for its classifier to be trained before the game begins."""
NUM_REALS = 256
"""Training images, drawn from the seed, whose diversity and contrast the health compares with."""
UnitJudge = Callable[[Tensor, Tensor | None], Tensor]


class PixelEvaluator:
    """ImageEvaluator for samples in [-1, 1]: they are measured as the 8-bit images that would be saved."""

    def __init__(self, source: ImageSource, seed: int, choice: EvalOptions = EvalOptions()) -> None:
        self.inner = ImageEvaluator(source, seed=seed, choice=choice)
        self._num_classes = source.shape.num_classes
        # A classifier of large images takes minutes: it is then left to the evaluation, and health looks with random features.
        self._at_once = source.train.pixels[0].numel() <= CHEAP_VALUES
        shape = self.inner.seen.shape
        self._extractor = random_features((shape.channels, shape.height, shape.width))

    def _reals(self) -> Tensor:
        pixels = self.inner.seen.train.pixels
        return pixels[drawn_rows(len(pixels), NUM_REALS, self.inner.seed).to(pixels.device)]

    @functools.cached_property
    def _real_contrast(self) -> float:
        return float(self._reals().float().flatten(1).std(1).mean())

    @functools.cached_property
    def _real_diversity(self) -> float:
        return diversity(extract(self._extractor, self._reals()))

    @property
    def num_samples(self) -> int:
        """How many samples `evaluate` wants."""
        return self.inner.num_fakes

    def adjusted(self, choice: EvalOptions) -> PixelEvaluator:
        """The same measures with another extractor or another number of samples."""
        return PixelEvaluator(self.inner.source, self.inner.seed, choice)

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: UnitJudge | None) -> Sequence[Record]:
        """All measures of (N, C, H, W) samples in [-1, 1]."""
        wrapped = None if judge is None else lambda pixels, asked: judge(as_played(pixels), asked)
        return self.inner.evaluate(as_saved(fakes), labels, wrapped)

    @property
    def num_historic(self) -> int:
        """How many samples `historic` wants."""
        return parzen_2014.NUM_CENTRES

    def historic(self, fakes: Tensor) -> Sequence[Record]:
        """The scores of 2014 for (N, C, H, W) samples in [-1, 1], which are not rounded to 8 bits for it."""
        source = self.inner.source
        if source.shape.channels == RGBA:
            fakes = on_background(limit_to_alpha(fakes.clamp(-1, 1)), source.background)
        return parzen_2014.records(source.seen, (fakes + 1) / 2, self.inner.seed)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Makes the classifier now where it is quick to train; `quick` then sees classes."""
        if self._at_once:
            say("Preparing the measures (a few seconds, the first time for these data) ...")
            self.inner.prepared  # noqa: B018

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health numbers: diversity and contrast as shares of the reals', classes found where the classifier is at hand."""
        pixels = as_saved(fakes)
        contrast = float(self.inner.shown(pixels).float().flatten(1).std(1).mean()) / max(1e-6, self._real_contrast)
        if not self._at_once:
            spread = diversity(extract(self._extractor, self.inner.shown(pixels[:256])))
            return QuickMetrics(spread / max(1e-12, self._real_diversity), contrast)
        numbers = self.inner.quick(pixels)
        spread, found = numbers.pop("diversity_ratio"), numbers.pop("classes_found", None)
        num_classes = None if found is None else float(self._num_classes)
        return QuickMetrics(spread, contrast, found, num_classes, others=numbers)


def read_images(paths: Sequence[Path], shape: Shape, crop: Crop = "centre", background: str = WHITE) -> Tensor:
    """(N, C, H, W) in [-1, 1]: image files cropped and resized as training images are; UserError names a bad one."""
    rows = []
    for path in paths:
        try:
            with opened(path) as stream:
                rows.append(decode(stream, shape.channels, (shape.height, shape.width), crop, background).pixels)
        except BadImageError as error:
            raise UserError(f"{path}: {error}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return as_played(torch.stack([torch.tensor(row) for row in rows]))
