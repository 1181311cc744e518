"""Evaluates generated shapes: MMD, coverage and 1-NNA under two distances, and the divergence of the occupied space."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.contract import stage
from zerosum.domains.points import controls, distances
from zerosum.domains.points.distances import ShapeDistance
from zerosum.engine.seeds import generator
from zerosum.metrics.record import MetricInfo, Record

if TYPE_CHECKING:
    from zerosum.domains.points.data import CloudSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
NUM_SAMPLES = 200
MIN_HELDOUT = 16
"""With fewer held-out shapes, samples are compared with training shapes."""
QUICK_SHAPES, QUICK_POINTS = 32, 128
"""The number of shapes, and of points of each, for the health values."""


MEANINGS: Mapping[str, MetricInfo] = {
    "1-NNA": MetricInfo(
        "near 0.5",
        "How often the nearest other shape is of the same set, generated or real: 0.5 for equal distributions.",
    ),
    "MMD": MetricInfo("lower", "Mean distance of real shapes to the closest generated one."),
    "COV": MetricInfo("higher", "Share of real shapes that are the closest real shape of some generated one."),
    "JSD": MetricInfo("lower", "Divergence, in bits, of the space that all shapes occupy together."),
    "class_kept": MetricInfo("higher", "Share of generated shapes whose closest real shape is of the requested class."),
}


DISTANCES = (ShapeDistance("CD", 100, 256), ShapeDistance("EMD", 50, 128))


class ShapeEvaluator:
    """Computes the metrics of a generator on the held-out shapes of a source; references are the values of as many
    training shapes."""

    num_samples = NUM_SAMPLES

    def __init__(self, source: CloudSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self._distance_cache: dict[tuple[str, int, int], Tensor] = {}

    def prepare(self, log: Callable[[str], None]) -> None:
        """Computes the values of real shapes and of controls, once."""
        log("Measuring real shapes against real ones.")
        assert self._training_values is not None
        assert self._controls is not None

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All metrics of (N, P, 3) fakes; labels (N,): the requested classes."""
        fakes = self._shuffle_points(fakes.detach().cpu().float(), "fake")
        values = self._values(fakes, labels)
        protocol = self._protocol(len(fakes))
        records = [self._make_record(name, value, protocol) for name, value in values.items()]
        control_values = self._controls if stage("controls") else {}
        return [controls.add_controls(record, control_values, len(self._references[0])) for record in records]

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values: the mean distance between fakes, relative to that between reals."""
        fakes = self._shuffle_points(fakes[:QUICK_SHAPES].detach().cpu().float(), "quick")
        return QuickMetrics(diversity=_spread(fakes[:, :QUICK_POINTS]) / self._real_spread)

    # --- reference data and values

    @functools.cached_property
    def _references(self) -> tuple[Tensor, Tensor | None]:
        """Real shapes (R, P, 3), shuffled, and their labels: held-out ones if there are enough."""
        source = self.source
        held = source.num_heldout >= MIN_HELDOUT
        rows = torch.randperm(
            source.num_heldout if held else source.num_rows, generator=self._seeded_generator("references")
        )
        batch = (source.heldout_batch if held else source.batch)(rows[:NUM_SAMPLES])
        labels = None if batch.condition is None else batch.condition.cpu()
        return self._shuffle_points(batch.data.cpu(), "reference"), labels

    @functools.cached_property
    def _training_values(self) -> dict[str, float]:
        """The values of training shapes; empty if the references are training shapes themselves."""
        if self.source.num_heldout < MIN_HELDOUT:
            return {}
        rows = torch.randperm(self.source.num_rows, generator=self._seeded_generator("control"))[:NUM_SAMPLES]
        batch = self.source.batch(rows)
        return self._values(self._shuffle_points(batch.data.cpu(), "control"), batch.condition)

    @functools.cached_property
    def _controls(self) -> controls.Values:
        """The values of halves of the references and of controls."""
        (references, labels), draw = self._references, self._seeded_generator("shapes that must fail")
        found = controls.occupancy_controls(references, draw)
        for distance in DISTANCES:
            num, points = min(distance.num, len(references)), min(distance.points, references.shape[1])
            within, trained = self._within_references(distance, num, points), self.source.num_heldout < MIN_HELDOUT
            found |= controls.distance_controls(distance, references[:num, :points], within, labels, draw, trained)
        return found

    @functools.cached_property
    def _real_spread(self) -> float:
        rows = torch.randperm(self.source.num_rows, generator=self._seeded_generator("spread"))[:QUICK_SHAPES]
        return max(_spread(self.source.batch(rows).data.cpu()[:, :QUICK_POINTS]), 1e-9)

    def _within_references(self, distance: ShapeDistance, num: int, points: int) -> Tensor:
        if (key := (distance.name, num, points)) not in self._distance_cache:
            self._distance_cache[key] = distance.within(self._references[0][:num, :points])
        return self._distance_cache[key]

    def _values(self, samples: Tensor, labels: Tensor | None) -> dict[str, float]:
        references, real_labels = self._references
        values: dict[str, float] = {}
        for distance in DISTANCES:
            if not stage(f"distances between shapes, {distance.name}"):
                continue
            num = min(distance.num, len(samples), len(references))
            points = min(distance.points, samples.shape[1])
            subset = samples[:num, :points]
            between = distance.between(subset, references[:num, :points])
            tag = f"{distance.name},n={num},points={points}"
            values[f"1-NNA[{tag}]"] = distances.one_nearest_neighbour(
                distance.within(subset), self._within_references(distance, num, points), between
            )
            values[f"COV[{tag}]"] = distances.coverage(between)
            values[f"MMD[{tag}]"] = distances.minimum_matching_distance(between)
            if labels is not None and real_labels is not None and distance.name == "CD":
                kept = real_labels[:num][between.argmin(1)] == labels.cpu()[:num]
                values[f"class_kept[{tag}]"] = float(kept.double().mean())
        num = min(len(samples), len(references))
        jsd = distances.occupancy_divergence(samples[:num], references[:num])
        return values | {f"JSD[grid={distances.GRID_SIDE}^3,n={num}]": jsd}

    # --- records

    def _seeded_generator(self, purpose: str) -> torch.Generator:
        return generator(self.seed, "evaluate", purpose)

    def _shuffle_points(self, shapes: Tensor, purpose: str) -> Tensor:
        """Shuffles the points of each shape, so that the first points are a random part of it. The order
        differs between shapes; with one order the same outputs of a decoder would be compared, which are more similar
        than random points."""
        order = torch.rand(shapes.shape[:2], generator=self._seeded_generator(purpose)).argsort(1)
        return shapes.gather(1, order[:, :, None].expand(-1, -1, shapes.shape[2]))

    def _make_record(self, name: str, value: float, protocol: Mapping[str, Any]) -> Record:
        better, sentence = MEANINGS[name.partition("[")[0]]
        return Record(name, value, protocol, better, sentence, self._training_values.get(name))

    def _protocol(self, num_fake: int) -> dict[str, Any]:
        source = self.source
        return {
            "source": source.name,
            "fingerprint": source.fingerprint,
            "truth": "held-out shapes"
            if source.num_heldout >= MIN_HELDOUT
            else "training shapes: too few are held out",
            "num_real": len(self._references[0]),
            "num_fake": num_fake,
            "reference": "as many training shapes",
            "normalise": source.normalise,
            "CD": "mean squared distance to the nearest point, both ways summed",
            "EMD": f"mean distance under the best pairing, exact (never more than {distances.MAX_ASSIGNED} points)",
            "JSD": f"base 2, nearest of the {distances.GRID_SIDE}^3 grid centres within the unit ball",
            "seed": self.seed,
            "torch": torch.__version__,
        }


def _spread(shapes: Tensor) -> float:
    """The mean root of the Chamfer distance between different shapes."""
    if len(shapes) < 2:
        return 0.0
    between = distances.chamfer_matrix(shapes, shapes).sqrt()
    return float(between.sum() - between.diagonal().sum()) / (len(shapes) * (len(shapes) - 1))
