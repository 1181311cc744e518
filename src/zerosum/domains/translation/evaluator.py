"""Evaluates translations of held-out inputs: their similarity to the target side, and to the scene of the input."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.contract import stage
from zerosum.domains.translation.measures import appearance, structure
from zerosum.domains.translation.measures.appearance import contrast
from zerosum.domains.translation.measures.context import RealSamples, TranslationEvaluation
from zerosum.domains.translation.measures.controls import TranslationControls
from zerosum.domains.translation.measures.label_accuracy import LabelReader
from zerosum.domains.translation.measures.structure import edge_ssim
from zerosum.domains.translation.sides import sides
from zerosum.engine.seeds import generator
from zerosum.metrics.neighbours import diversity, sample_rows
from zerosum.metrics.patches import patch_distances
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.translation.source import PairSource

MAX_ROWS = 256
MIN_HELDOUT = 16
"""With fewer held-out rows, half of the training rows are used instead; each protocol says which were used."""
QUICK_PATCHES, QUICK_DIRECTIONS = 4_000, 64

Judge = Callable[[Tensor, Tensor | None], Tensor]


class TranslationEvaluator:
    """Computes the metrics of a generator on one source.

    The fakes are translations of the held-out inputs, row by row (`conditions`), or of training inputs if fewer than 16
    rows are held out.
    """

    def __init__(self, source: PairSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.info = source.info()
        self.reader = LabelReader(source, self.info)

    @property
    def num_samples(self) -> int:
        """The number of held-out rows, at most 256."""
        return len(self.reals.inputs)

    @functools.cached_property
    def reals(self) -> RealSamples:
        """Inputs that are translated, their targets, and other targets, whose comparison with them gives the reference
        values."""
        source = self.source
        held = source.num_heldout >= MIN_HELDOUT
        num = min(MAX_ROWS, source.num_heldout if held else max(1, source.num_distinct // 2))
        # All rows: first those with distinct inputs, shuffled, then those that repeat an input.
        order = torch.randperm(source.num_distinct, generator=generator(self.seed, "reals"))
        order = torch.cat([order, torch.arange(source.num_distinct, source.num_rows)])
        measured = (
            source.heldout_batch(sample_rows(source.num_heldout, num, self.seed)) if held else source.batch(order[:num])
        )
        spare = source.batch(order[(torch.arange(num) + (0 if held else num)) % len(order)])
        assert measured.condition is not None
        split = "held out" if held else "train"
        return RealSamples(measured.condition.cpu(), measured.data.cpu(), spare.data.cpu(), split)

    @functools.cached_property
    def _controls(self) -> TranslationControls:
        return TranslationControls(
            self.reals, bool(self.info.payload["paired"]), sides(self.info)[1], self.reader, self.seed
        )

    def conditions(self) -> Tensor:
        """(num_samples, C, H, W): the inputs to translate."""
        return self.reals.inputs

    def prepare(self, log: Callable[[str], None]) -> None:
        """Trains the classifier of labels if inputs are label maps; takes some seconds."""
        self.reader.prepare()

    def evaluate(self, fakes: Tensor, labels: Tensor | None = None, judge: Judge | None = None) -> list[Record]:
        """All metrics of (num_samples, C, H, W) fakes, the translations of `conditions`."""
        evaluation = TranslationEvaluation(
            self.source, self.info, self.reals, fakes.detach().cpu().float().clamp(-1, 1), self.seed
        )
        parts = {
            "likeness to the targets": appearance.records,
            "labels found in the images": self.reader.records,
            "structure kept": structure.records,
        }
        records = [record for name, measure in parts.items() if stage(name) for record in measure(evaluation)]
        return [self._controls.add_to(record) for record in records] if stage("controls") else records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values of translations of the examples, in order and repeated: diversity, contrast, distance to the
        targets, and similarity of their edges to those of the inputs."""
        examples = self.source.examples()
        assert examples.condition is not None
        fakes = fakes.detach().cpu().float().clamp(-1, 1)
        real, inputs = examples.data.cpu(), examples.condition.cpu()
        once = fakes[: len(inputs)]  # later rows repeat inputs, so they do not measure diversity
        spread = None
        if len(once) > 1:
            spread = diversity(once.flatten(1)) / max(diversity(real[: len(once)].flatten(1)), 1e-6)
        distances = patch_distances(self.reals.targets, fakes, QUICK_PATCHES, QUICK_DIRECTIONS, self.seed)
        return QuickMetrics(
            diversity=spread,
            contrast=float(contrast(fakes) / contrast(real).clamp_min(1e-6)),
            others={
                "edges_kept": float(edge_ssim(inputs[: len(once)], once).mean()),
                "patch_distance": sum(distances.values()) / len(distances),
            },
        )
