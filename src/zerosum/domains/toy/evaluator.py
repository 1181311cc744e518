"""Evaluates generated points. The reference of each metric is its value for fresh real points."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domains.toy import densities, measures
from zerosum.domains.toy.densities import modes_found
from zerosum.domains.toy.measures import MEANINGS, SMOOTHING, DensityCells, ReferencePoints
from zerosum.engine.seeds import generator
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.toy.data import PointSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
"""(N, D) points and None -> (N,) logits relative to the neutral one."""

NUM_SAMPLES = 50_000
NUM_CONTROL, EVENLY = 1_000, "evenly over the picture"
MIN_FRESH = 100
"""At least so many held-out rows of a file are needed to use them as fresh real points."""
SIDES = {1: 100, 2: 40}
"""Cells along each dimension; fewer for files of few rows."""


class PointEvaluator:
    """Computes the metrics of a generator on one source of points.

    For a named density the reference data and fresh points are drawn from it; for a file the reference data are the
    training rows and the fresh points are the held-out rows.
    """

    num_samples = NUM_SAMPLES

    def __init__(self, source: PointSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.density = densities.of(source.info())

    def prepare(self, log: Callable[[str], None]) -> None:
        """Nothing is needed before the first measurement."""

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All metrics of (N, D) fakes. judge: the discriminator, to compute its distance from the optimal one; or
        None."""
        fakes, truth = fakes.detach().cpu(), self._truth
        values = measures.of_points(fakes, truth)
        if judge is not None:
            values |= measures.of_discriminator(fakes, judge(fakes, None), judge(truth.points, None), truth)
        protocol = self._protocol(len(fakes))
        return [self._record(name, value, protocol) for name, value in values.items()]

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values: the diversity of the fakes and, if there are modes, how many of them are modes_found."""
        fakes, reals = fakes.detach().cpu(), self.source.data[: len(fakes)].cpu()
        diversity = float(torch.pdist(fakes).mean() / torch.pdist(reals).mean())
        if self.density.modes is None:
            return QuickMetrics(diversity)
        num_found = float(modes_found(fakes, self.density).sum())
        return QuickMetrics(diversity, modes_found=num_found, num_modes=float(len(self.density.modes)))

    # --- reference data and values

    @functools.cached_property
    def _truth(self) -> ReferencePoints:
        source, fresh = self.source, self._fresh
        most, rows = SIDES[self.density.num_dims], source.num_rows
        side = most if source.exact else max(4, min(most, round(2 * rows ** (1 / (2 + self.density.num_dims)))))
        cells = DensityCells(self.density.box, side)
        if source.exact:
            points = self.density.sample(NUM_SAMPLES, generator(self.seed, "evaluate", "truth"))
            return ReferencePoints(points, cells, self.density, NUM_SAMPLES)
        return ReferencePoints(source.data.cpu(), cells, None, rows if fresh is None else min(rows, len(fresh)))

    @functools.cached_property
    def _fresh(self) -> Tensor | None:
        """Real points that are in neither the training data nor the reference data; None if there are too few."""
        if self.source.exact:
            return self.density.sample(NUM_SAMPLES, generator(self.seed, "evaluate", "fresh"))
        return self.source.heldout.cpu() if self.source.num_heldout >= MIN_FRESH else None

    @functools.cached_property
    def _references(self) -> dict[str, float]:
        """The values of fresh real points, and of a D that is 1/2 everywhere."""
        if self._fresh is None:
            return {}
        even = torch.zeros(max(len(self._fresh), len(self._truth.points)))
        on_fake, on_real = even[: len(self._fresh)], even[: len(self._truth.points)]
        return measures.of_points(self._fresh, self._truth) | measures.of_discriminator(
            self._fresh, on_fake, on_real, self._truth
        )

    @functools.cached_property
    def _control(self) -> dict[str, float]:
        """The values of points distributed evenly over the box, by base name; no metric should rate them well."""
        low, high = torch.tensor(self.density.box).T
        shares = torch.rand(NUM_CONTROL, len(low), generator=generator(self.seed, "evaluate", "control"))
        values = measures.of_points(low + (high - low) * shares, self._truth)
        return {name.partition("[")[0]: value for name, value in values.items()}

    # --- records

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
