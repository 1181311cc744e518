"""Judging generated shapes: MMD, coverage and 1-NNA under two distances, and occupied space; each beside real shapes' own and
beside controls that must fail."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.eval_stages import stage
from zerosum.domains.points import clouds, controls, shape_sets
from zerosum.domains.points.clouds import ShapeDistance
from zerosum.engine.seeds import generator
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.points.data import CloudSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
NUM_SAMPLES = 200
FEWEST = 16
"""Held-out shapes from which on they are what samples are compared with; below, training shapes are."""
LOOKED_AT, LOOKED_POINTS = 32, 128
"""Shapes and points of each for the health numbers."""


class Meaning(NamedTuple):
    """Which way is better, and one plain sentence."""

    better: str
    sentence: str


MEANINGS: Mapping[str, Meaning] = {
    "1-NNA": Meaning(
        "near 0.5", "How often the nearest other shape is of the same kind, made or real: 0.5 when they mix."
    ),
    "MMD": Meaning("lower", "Mean distance of real shapes to the closest made one."),
    "COV": Meaning("higher", "Share of real shapes that are the closest real one of some made shape."),
    "JSD": Meaning("lower", "Divergence, in bits, of the space that all shapes together fill."),
    "class_kept": Meaning("higher", "Share of made shapes whose closest real shape is of the class asked for."),
}


COMPARED = (ShapeDistance("CD", 100, 256), ShapeDistance("EMD", 50, 128))


class ShapeEvaluator:
    """Measures of a generator against the held-out shapes of a source; the reference is what as many training shapes score."""

    num_samples = NUM_SAMPLES

    def __init__(self, source: CloudSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self._known: dict[tuple[str, int, int], Tensor] = {}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Measures what real shapes score against real ones, once."""
        say("Measuring real shapes against real ones.")
        assert self._training is not None
        assert self._failing is not None

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All measures of (N, P, 3) fakes; labels (N,): the classes that they were asked for."""
        fakes = self._shuffled(fakes.detach().cpu().float(), "fake")
        values = self._values(fakes, labels)
        protocol = self._protocol(len(fakes))
        records = [self._record(name, value, protocol) for name, value in values.items()]
        failing = self._failing if stage("controls") else {}
        return [controls.told(record, failing, len(self._references[0])) for record in records]

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health numbers: the mean distance between fakes, as a share of that between reals."""
        fakes = self._shuffled(fakes[:LOOKED_AT].detach().cpu().float(), "quick")
        return QuickMetrics(diversity=_spread(fakes[:, :LOOKED_POINTS]) / self._real_spread)

    # --- what the fakes are held against

    @functools.cached_property
    def _references(self) -> tuple[Tensor, Tensor | None]:
        """Real shapes (R, P, 3), shuffled, and their labels: held-out ones where there are enough."""
        source = self.source
        held = source.num_heldout >= FEWEST
        rows = torch.randperm(source.num_heldout if held else source.num_rows, generator=self._order("references"))
        batch = (source.heldout_batch if held else source.batch)(rows[:NUM_SAMPLES])
        labels = None if batch.condition is None else batch.condition.cpu()
        return self._shuffled(batch.data.cpu(), "reference"), labels

    @functools.cached_property
    def _training(self) -> dict[str, float]:
        """What training shapes score; nothing where the references are training shapes themselves."""
        if self.source.num_heldout < FEWEST:
            return {}
        rows = torch.randperm(self.source.num_rows, generator=self._order("control"))[:NUM_SAMPLES]
        batch = self.source.batch(rows)
        return self._values(self._shuffled(batch.data.cpu(), "control"), batch.condition)

    @functools.cached_property
    def _failing(self) -> controls.Values:
        """What halves of the references and controls score."""
        (references, labels), draw = self._references, self._order("shapes that must fail")
        found = controls.of_space(references, draw)
        for comparing in COMPARED:
            num, points = min(comparing.num, len(references)), min(comparing.points, references.shape[1])
            within, trained = self._within_references(comparing, num, points), self.source.num_heldout < FEWEST
            found |= controls.of_distances(comparing, references[:num, :points], within, labels, draw, trained)
        return found

    @functools.cached_property
    def _real_spread(self) -> float:
        rows = torch.randperm(self.source.num_rows, generator=self._order("spread"))[:LOOKED_AT]
        return max(_spread(self.source.batch(rows).data.cpu()[:, :LOOKED_POINTS]), 1e-9)

    def _within_references(self, comparing: ShapeDistance, num: int, points: int) -> Tensor:
        if (key := (comparing.name, num, points)) not in self._known:
            self._known[key] = comparing.within(self._references[0][:num, :points])
        return self._known[key]

    def _values(self, samples: Tensor, labels: Tensor | None) -> dict[str, float]:
        references, told = self._references
        values: dict[str, float] = {}
        for comparing in COMPARED:
            if not stage(f"distances between shapes, {comparing.name}"):
                continue
            num = min(comparing.num, len(samples), len(references))
            points = min(comparing.points, samples.shape[1])
            some = samples[:num, :points]
            between = comparing.between(some, references[:num, :points])
            tag = f"{comparing.name},n={num},points={points}"
            values[f"1-NNA[{tag}]"] = shape_sets.one_nearest_neighbour(
                comparing.within(some), self._within_references(comparing, num, points), between
            )
            values[f"COV[{tag}]"] = shape_sets.coverage(between)
            values[f"MMD[{tag}]"] = shape_sets.minimum_matching_distance(between)
            if labels is not None and told is not None and comparing.name == "CD":
                kept = told[:num][between.argmin(1)] == labels.cpu()[:num]
                values[f"class_kept[{tag}]"] = float(kept.double().mean())
        num = min(len(samples), len(references))
        jsd = shape_sets.occupancy_divergence(samples[:num], references[:num])
        return values | {f"JSD[grid={shape_sets.SIDE}^3,n={num}]": jsd}

    # --- what is told

    def _order(self, purpose: str) -> torch.Generator:
        return generator(self.seed, "evaluate", purpose)

    def _shuffled(self, shapes: Tensor, purpose: str) -> Tensor:
        """The points of each shape in a random order of its own, so that the first so many are a fair part of it. One order for
        all would take the same places of a decoder's output from each shape, and so find made shapes too much alike."""
        order = torch.rand(shapes.shape[:2], generator=self._order(purpose)).argsort(1)
        return shapes.gather(1, order[:, :, None].expand(-1, -1, shapes.shape[2]))

    def _record(self, name: str, value: float, protocol: Mapping[str, Any]) -> Record:
        better, sentence = MEANINGS[name.partition("[")[0]]
        return Record(name, value, protocol, better, sentence, self._training.get(name))

    def _protocol(self, num_fake: int) -> dict[str, Any]:
        source = self.source
        return {
            "source": source.name,
            "fingerprint": source.fingerprint,
            "truth": "held-out shapes" if source.num_heldout >= FEWEST else "training shapes: too few are held out",
            "num_real": len(self._references[0]),
            "num_fake": num_fake,
            "reference": "as many training shapes",
            "normalise": source.normalise,
            "CD": "mean squared distance to the nearest point, both ways summed",
            "EMD": f"mean distance under the best pairing, exact (never more than {clouds.MOST_ASSIGNED} points)",
            "JSD": f"base 2, nearest of the {shape_sets.SIDE}^3 grid centres within the unit ball",
            "seed": self.seed,
            "torch": torch.__version__,
        }


def _spread(shapes: Tensor) -> float:
    """The mean root of the Chamfer distance between different shapes."""
    if len(shapes) < 2:
        return 0.0
    between = clouds.chamfer_matrix(shapes, shapes).sqrt()
    return float(between.sum() - between.diagonal().sum()) / (len(shapes) * (len(shapes) - 1))
