"""Evaluates generated points. The reference of each metric is its value for fresh real points."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domains.toy import densities, measures
from zerosum.domains.toy.densities import Density, modes_found
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


@dataclass(frozen=True, eq=False)
class Reference:
    """What fakes are compared with. fresh: real points that are in neither the training data nor `truth`; None if there are too
    few."""

    truth: ReferencePoints
    fresh: Tensor | None
    density: Density
    seed: int

    @functools.cached_property
    def values(self) -> dict[str, float]:
        """The values of fresh real points, and of a D that is 1/2 everywhere."""
        if self.fresh is None:
            return {}
        even = torch.zeros(max(len(self.fresh), len(self.truth.points)))
        on_fake, on_real = even[: len(self.fresh)], even[: len(self.truth.points)]
        return measures.of_points(self.fresh, self.truth) | measures.of_discriminator(
            self.fresh, on_fake, on_real, self.truth
        )

    @functools.cached_property
    def control(self) -> dict[str, float]:
        """The values of points distributed evenly over the box, by base name; no metric should rate them well."""
        low, high = torch.tensor(self.density.box).T
        shares = torch.rand(NUM_CONTROL, len(low), generator=generator(self.seed, "evaluate", "control"))
        values = measures.of_points(low + (high - low) * shares, self.truth)
        return {name.partition("[")[0]: value for name, value in values.items()}


_EXACT: dict[tuple[str, int, tuple[int, ...]], Reference] = {}
MOST_KEPT = 4


def _exact_reference(density: Density, description: str, seed: int) -> Reference:
    """The reference of a named density, which does not depend on the training data: computed once in a process. description: of
    the density with its options."""
    key = description, seed, measures.sizes()
    if key not in _EXACT:
        cells = DensityCells(density.box, SIDES[density.num_dims])
        truth, fresh = (density.sample(NUM_SAMPLES, generator(seed, "evaluate", side)) for side in ("truth", "fresh"))
        for old in list(_EXACT)[: len(_EXACT) + 1 - MOST_KEPT]:
            del _EXACT[old]
        _EXACT[key] = Reference(ReferencePoints(truth, cells, density, NUM_SAMPLES), fresh, density, seed)
    return _EXACT[key]


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

    @property
    def _truth(self) -> ReferencePoints:
        return self._reference.truth

    @functools.cached_property
    def _reference(self) -> Reference:
        source, most = self.source, SIDES[self.density.num_dims]
        if source.exact:
            return _exact_reference(self.density, repr(source.info().payload["density"]), self.seed)
        side = max(4, min(most, round(2 * source.num_rows ** (1 / (2 + self.density.num_dims)))))
        fresh = source.heldout.cpu() if source.num_heldout >= MIN_FRESH else None
        num = source.num_rows if fresh is None else min(source.num_rows, len(fresh))
        truth = ReferencePoints(source.data.cpu(), DensityCells(self.density.box, side), None, num)
        return Reference(truth, fresh, self.density, self.seed)

    # --- records

    def _record(self, name: str, value: float, protocol: Mapping[str, Any]) -> Record:
        base = name.partition("[")[0]
        better, sentence = MEANINGS[base]
        control = self._reference.control
        if base in control:
            protocol = {**protocol, "controls": {EVENLY: control[base]}, "controls_rows": NUM_CONTROL}
        return Record(name, value, protocol, better, sentence, self._reference.values.get(name))

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
