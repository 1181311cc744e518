"""How far the features of generated images lie from those of real ones: distances, and balls of neighbours."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from zerosum.domains.images.measures.context import FEWEST, EvalContext
from zerosum.metrics.classes import NUM_SPLITS, class_score
from zerosum.metrics.distances import frechet_distance, frechet_estimate, frechet_infinity, kernel_distance
from zerosum.metrics.neighbours import density_coverage, precision_recall
from zerosum.metrics.record import NUM_GROUPS, Estimate, Record

FEWEST_FOR_FLOOR = 100  # held-out images from which a reference of the Fréchet distance says something
ROWS_A_FEATURE = 4  # below so many samples a feature the bias of a Fréchet distance does not fall like 1 / n yet
MOST_FEATURES = 512  # above, twenty more Fréchet distances take minutes

OF_FAKES = f"standard error over the generated images, {NUM_GROUPS} groups left out in turn; the reals stay"
OF_BOTH = "standard error over generated and real images, each left out in turn"
OF_SPLITS = f"standard error over {NUM_SPLITS} splits"

NEIGHBOURS = {
    "precision": (3, "higher", "Share of generated images that lie among the real ones; low means implausible images."),
    "recall": (3, "higher", "Share of real images that lie among the generated ones; low means missing variety."),
    "density": (5, "near 1", "How densely real neighbourhoods are filled with generated images; 1 is like real data."),
    "coverage": (5, "higher", "Share of real images with a generated one nearby; low means missing variety."),
}
FRECHET = (
    "Distance between the feature distributions of generated and real images; unseen real images score the reference."
)
INFINITY = "The same distance extrapolated to infinitely many images; 0 for a perfect generator, and may fall below."
KERNEL = (
    "Distance of the two feature distributions under a cubic kernel, without bias: around 0 for a perfect generator."
)
SCORE = "How sure and how varied the extractor's classes of generated images are, from 1 to the number of classes."


def records(at: EvalContext) -> list[Record]:
    """Fréchet, kernel distance, score of the extractor's classes, precision, recall, density and coverage."""
    if at.num < FEWEST:
        at.notes.append(f"Fréchet distance, precision and recall need {FEWEST} samples a side; there are {at.num}.")
        return []
    held = at.prepared.heldout
    found = [_frechet(at, at.num)]
    if held is not None and FEWEST_FOR_FLOOR <= len(held) < at.num:
        found.append(_frechet(at, len(held)))  # at this size the noise floor can be measured
    return [*found, *_infinity(at), _kernel(at), *_score(at), *_neighbours(at)]


def named(at: EvalContext, plain: str, standard: str) -> str:
    """The usual name of a number only where its extractor is the usual one."""
    return standard if at.prepared.extractor.standard else plain


def _frechet(at: EvalContext, num: int) -> Record:
    real, held = at.prepared.real[:num], at.prepared.heldout
    floor = frechet_distance(real, held[:num]) if held is not None and len(held) >= num else None
    value, error = frechet_estimate(real, at.features[:num])
    name = f"{named(at, 'frechet', 'fid')}[{at.prepared.name},n={num}]"
    bias = "grows with 1/n: compare at this n only"
    return Record(name, value, at.sides(num, num, error=OF_FAKES, bias=bias), "lower", FRECHET, floor, error)


def _infinity(at: EvalContext) -> list[Record]:
    dims = at.features.shape[1]
    if at.num < ROWS_A_FEATURE * dims or dims > MOST_FEATURES:
        return []
    value, error = frechet_infinity(at.prepared.real[: at.num], at.features[: at.num])
    name = f"{named(at, 'frechet', 'fid')}_infinity[{at.prepared.name},n={at.num}]"
    how = "2 F(n) - F(n/2), all pairs of halves"
    return [Record(name, value, at.sides(at.num, at.num, error=OF_FAKES, bias=how), "lower", INFINITY, 0.0, error)]


def _kernel(at: EvalContext) -> Record:
    # The kernel is made for features of order 1, as those of the standard network are; others are brought there.
    standard = at.prepared.extractor.standard
    scale = 1.0 if standard else float(at.prepared.real[: at.num].double().square().mean().sqrt()) or 1.0
    real = at.prepared.real[: at.num] / scale
    value, error = kernel_distance(real, at.features[: at.num] / scale)
    kernel = "(x.y / D + 1)^3, all pairs" + ("" if standard else ", features over the root mean square of the reals'")
    name = f"{named(at, 'kernel_distance', 'kid')}[{at.prepared.name},n={at.num}]"
    floor = _floor(at, lambda held: kernel_distance(real, held / scale).value)
    return Record(name, value, at.sides(at.num, at.num, error=OF_BOTH, kernel=kernel), "lower", KERNEL, floor, error)


def _score(at: EvalContext) -> list[Record]:
    extractor = at.prepared.extractor
    probabilities = extractor.probabilities(at.features[: at.num])
    if probabilities is None:
        return []
    value, error = class_score(probabilities)
    name = f"{named(at, 'class_score', 'inception_score')}[{at.prepared.name},splits={NUM_SPLITS},n={at.num}]"

    def of_reals(held: Tensor) -> float:
        seen = extractor.probabilities(held)
        assert seen is not None
        return class_score(seen).value

    return [Record(name, value, at.sides(0, at.num, error=OF_SPLITS), "higher", SCORE, _floor(at, of_reals), error)]


def _floor(at: EvalContext, measure: Callable[[Tensor], float]) -> float | None:
    """The measure of as many held-out reals, where there are so many."""
    held = at.prepared.heldout
    return measure(held[: at.num]) if held is not None and len(held) >= at.num else None


def _neighbours(at: EvalContext) -> list[Record]:
    real, held = at.prepared.real[: at.num], at.prepared.heldout
    floors = _estimates(real, held[: at.num]) if held is not None and len(held) >= at.num else {}
    found = []
    for name, estimate in _estimates(real, at.features[: at.num]).items():
        k, better, meaning = NEIGHBOURS[name]
        title = f"{name}[{at.prepared.name},k={k},n={at.num}]"
        floor = floors[name].value if floors else None
        details = at.sides(at.num, at.num, k=k, error=OF_FAKES)
        found.append(Record(title, estimate.value, details, better, meaning, floor, estimate.error))
    return found


def _estimates(real: Tensor, fake: Tensor) -> dict[str, Estimate]:
    both = (
        *precision_recall(real, fake, NEIGHBOURS["precision"][0]),
        *density_coverage(real, fake, NEIGHBOURS["density"][0]),
    )
    return dict(zip(NEIGHBOURS, both, strict=True))
