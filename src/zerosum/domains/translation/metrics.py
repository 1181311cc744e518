"""Judging translations of held-out inputs: does the result look like the target side, and is it still the same scene?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.eval_stages import stage
from zerosum.domains.translation.measures import likeness, structure
from zerosum.domains.translation.measures.context import EvalContext, Reals
from zerosum.domains.translation.measures.controls import Controls
from zerosum.domains.translation.measures.labels import Reader
from zerosum.domains.translation.measures.patch_distance import patch_distances
from zerosum.domains.translation.measures.ssim import contrast, edge_ssim
from zerosum.domains.translation.sides import sides
from zerosum.engine.seeds import generator
from zerosum.metrics.neighbours import diversity
from zerosum.metrics.record import Record
from zerosum.metrics.rows import drawn_rows

if TYPE_CHECKING:
    from zerosum.domains.translation.source import PairSource

MOST = 256
FEWEST_HELD_OUT = 16
"""Fewer held-out rows than this, and half of the training rows are measured instead; each protocol says which."""
QUICK_PATCHES, QUICK_DIRECTIONS = 4_000, 64

Judge = Callable[[Tensor, Tensor | None], Tensor]


class TranslationEvaluator:
    """Measures of a generator against one source of pairs, or of two heaps of images.

    The fakes are made of the held-out inputs, row by row (`conditions`); of training inputs where fewer than 16 rows are held
    out.
    """

    def __init__(self, source: PairSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.info = source.info()
        self.reader = Reader(source, self.info)

    @property
    def num_samples(self) -> int:
        """As many as are held out, at most 256."""
        return len(self.reals.inputs)

    @functools.cached_property
    def reals(self) -> Reals:
        """Inputs that are translated, the targets beside them, and other targets that show what real against real gives."""
        source = self.source
        held = source.num_heldout >= FEWEST_HELD_OUT
        num = min(MOST, source.num_heldout if held else max(1, source.num_distinct // 2))
        # Rows of all places: those that show no input twice, shuffled, then those that repeat one.
        order = torch.randperm(source.num_distinct, generator=generator(self.seed, "reals"))
        order = torch.cat([order, torch.arange(source.num_distinct, source.num_rows)])
        measured = (
            source.heldout_batch(drawn_rows(source.num_heldout, num, self.seed)) if held else source.batch(order[:num])
        )
        spare = source.batch(order[(torch.arange(num) + (0 if held else num)) % len(order)])
        assert measured.condition is not None
        split = "held out" if held else "train"
        return Reals(measured.condition.cpu(), measured.data.cpu(), spare.data.cpu(), split)

    @functools.cached_property
    def _controls(self) -> Controls:
        return Controls(self.reals, bool(self.info.payload["paired"]), sides(self.info)[1], self.reader, self.seed)

    def conditions(self) -> Tensor:
        """(num_samples, C, H, W): the inputs of which the fakes are to be made."""
        return self.reals.inputs

    def prepare(self, say: Callable[[str], None]) -> None:
        """Where inputs are label maps, trains the classifier that looks for them in the images; some seconds."""
        self.reader.prepare()

    def evaluate(self, fakes: Tensor, labels: Tensor | None = None, judge: Judge | None = None) -> list[Record]:
        """All measures of (num_samples, C, H, W) fakes, made of `conditions`."""
        at = EvalContext(self.source, self.info, self.reals, fakes.detach().cpu().float().clamp(-1, 1), self.seed)
        parts = {
            "likeness to the targets": likeness.records,
            "labels found in the images": self.reader.records,
            "structure kept": structure.records,
        }
        records = [record for name, measure in parts.items() if stage(name) for record in measure(at)]
        return [self._controls.told(record) for record in records] if stage("controls") else records

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health numbers of fakes made of the examples in turn: how varied, how rich in contrast, how near to the targets,
        how much of the edges of their inputs is kept."""
        examples = self.source.examples()
        assert examples.condition is not None
        fakes = fakes.detach().cpu().float().clamp(-1, 1)
        real, inputs = examples.data.cpu(), examples.condition.cpu()
        once = fakes[: len(inputs)]  # later rows repeat inputs, so they say nothing of variety
        spread = None
        if len(once) > 1:
            spread = diversity(once.flatten(1)) / max(diversity(real[: len(once)].flatten(1)), 1e-6)
        far = patch_distances(self.reals.targets, fakes, QUICK_PATCHES, QUICK_DIRECTIONS, self.seed)
        return QuickMetrics(
            diversity=spread,
            contrast=float(contrast(fakes) / contrast(real).clamp_min(1e-6)),
            others={
                "edges_kept": float(edge_ssim(inputs[: len(once)], once).mean()),
                "patch_distance": sum(far.values()) / len(far),
            },
        )
