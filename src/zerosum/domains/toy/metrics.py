"""Judging generated points: every measure beside what fresh real points score, each with its protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domains.toy import densities, measures
from zerosum.domains.toy.cells import SMOOTHING, Cells
from zerosum.domains.toy.measures import MEANINGS, ReferenceData
from zerosum.domains.toy.modes import found
from zerosum.engine.seeds import generator
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.toy.data import PointSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
"""(N, D) points and None -> (N,) logits above the neutral one."""

NUM_SAMPLES = 50_000
NUM_CONTROL, EVENLY = 1_000, "evenly over the picture"
FEWEST = 100
"""Held-out rows of a file from which on they serve as fresh real points."""
SIDES = {1: 100, 2: 40}
"""Cells along each dimension; fewer for files of few rows."""


class PointEvaluator:
    """Measures of a generator against one source of points.

    A named density is the truth itself, and fresh points are drawn from it; of a file, the training rows stand for the
    truth and the held-out ones are fresh.
    """

    num_samples = NUM_SAMPLES

    def __init__(self, source: PointSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.density = densities.of(source.info())

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing is needed before the first measurement."""

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All measures of (N, D) fakes. judge: the discriminator, if its distance from the best one is wanted."""
        fakes, truth = fakes.detach().cpu(), self._truth
        values = measures.of_points(fakes, truth)
        if judge is not None:
            values |= measures.of_discriminator(fakes, judge(fakes, None), judge(truth.points, None), truth)
        protocol = self._protocol(len(fakes))
        return [self._record(name, value, protocol) for name, value in values.items()]

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health numbers: how varied the fakes are, and where there are modes how many of them are found."""
        fakes, reals = fakes.detach().cpu(), self.source.data[: len(fakes)].cpu()
        diversity = float(torch.pdist(fakes).mean() / torch.pdist(reals).mean())
        if self.density.modes is None:
            return QuickMetrics(diversity)
        num_found = float(found(fakes, self.density).sum())
        return QuickMetrics(diversity, modes_found=num_found, num_modes=float(len(self.density.modes)))

    # --- what the fakes are held against

    @functools.cached_property
    def _truth(self) -> ReferenceData:
        source, fresh = self.source, self._fresh
        most, rows = SIDES[self.density.num_dims], source.num_rows
        side = most if source.exact else max(4, min(most, round(2 * rows ** (1 / (2 + self.density.num_dims)))))
        cells = Cells(self.density.box, side)
        if source.exact:
            points = self.density.sample(NUM_SAMPLES, generator(self.seed, "evaluate", "truth"))
            return ReferenceData(points, cells, self.density, NUM_SAMPLES)
        return ReferenceData(source.data.cpu(), cells, None, rows if fresh is None else min(rows, len(fresh)))

    @functools.cached_property
    def _fresh(self) -> Tensor | None:
        """Real points of which neither the training nor the truth knows."""
        if self.source.exact:
            return self.density.sample(NUM_SAMPLES, generator(self.seed, "evaluate", "fresh"))
        return self.source.heldout.cpu() if self.source.num_heldout >= FEWEST else None

    @functools.cached_property
    def _references(self) -> dict[str, float]:
        """What fresh real points score, and a D that says 1/2 to everything against them."""
        if self._fresh is None:
            return {}
        even = torch.zeros(max(len(self._fresh), len(self._truth.points)))
        on_fake, on_real = even[: len(self._fresh)], even[: len(self._truth.points)]
        return measures.of_points(self._fresh, self._truth) | measures.of_discriminator(
            self._fresh, on_fake, on_real, self._truth
        )

    @functools.cached_property
    def _control(self) -> dict[str, float]:
        """What points that lie evenly over the whole picture score, by base name: no measure should be content with them."""
        low, high = torch.tensor(self.density.box).T
        shares = torch.rand(NUM_CONTROL, len(low), generator=generator(self.seed, "evaluate", "control"))
        found = measures.of_points(low + (high - low) * shares, self._truth)
        return {name.partition("[")[0]: value for name, value in found.items()}

    # --- what is told

    def _record(self, name: str, value: float, protocol: Mapping[str, Any]) -> Record:
        base = name.partition("[")[0]
        better, sentence = MEANINGS[base]
        if base in self._control:
            protocol = {**protocol, "controls": {EVENLY: self._control[base]}, "controls_rows": NUM_CONTROL}
        return Record(name, value, protocol, better, sentence, self._references.get(name))

    def _protocol(self, num_fake: int) -> dict[str, Any]:
        source = self.source
        return {
            "source": source.name,
            "fingerprint": source.fingerprint,
            "truth": f"density {self.density.name}" if source.exact else "training rows",
            "num_real": len(self._truth.points),
            "num_fake": num_fake,
            "reference": "fresh real points; for D, 1/2 everywhere",
            "cells": f"{self._truth.cells.tag} over {self.density.box}, the outermost reach to infinity",
            "smoothing": f"both KL: {SMOOTHING} added to each cell's (expected) count, on both sides",
            "mmd_kernel": f"mean of Gaussians of widths {measures.WIDTHS}",
            "seed": self.seed,
            "torch": torch.__version__,
        }
