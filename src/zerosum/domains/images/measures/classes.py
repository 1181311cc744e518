"""What classes the generated images show, and how well those asked for are met."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zerosum.domains.images.measures.context import EvalContext
from zerosum.metrics.classes import PerClass, class_coverage, intra_class_diversity, per_class_frechet
from zerosum.metrics.record import NUM_GROUPS, Record, jackknife, share

ONE = "one class alone"
FOUND = (
    "Classes that make up at least a tenth of their usual share; the reference is the number of classes in the data."
)
DEVIATION = "Largest deviation of a class's share from its share in the training data, relative to that share."
ASKED = (
    "Share of generated images that the classifier puts in the class asked for; the reference is its accuracy on reals."
)
EACH = "Fréchet distance within each class asked for, mean over the classes; the protocol holds each."
INTRA = "Mean distance of generated images of one class over that of real ones, mean over the classes; low is collapse."
OF_CLASSES = "standard error of the mean over the classes"


def reference_shares(labels: Tensor, num_classes: int) -> list[float]:
    """How many of (N,) labels each class has."""
    counts: list[float] = labels.cpu().long().bincount(minlength=num_classes).double().tolist()
    return counts


def records(at: EvalContext) -> list[Record]:
    """Class shares; for generators that are told a class also its accuracy, distance and diversity within the classes."""
    if at.predicted is None or at.source.train.labels is None or at.prepared.labeller is None:
        at.notes.append("Class coverage needs labels; this source has none.")
        return []
    labeller = at.prepared.labeller
    common = at.sides(0, len(at.fakes)) | {"extractor": labeller.name, "extractor_sha256": labeller.sha256}
    tag = f"[{labeller.name},n={len(at.fakes)}]"
    found = _shares(
        at, at.predicted, reference_shares(at.source.train.labels, at.source.shape.num_classes), common, tag
    )
    if at.labels is None or at.labels.is_floating_point() or at.labels.ndim != 1:
        return found
    right, error = share(at.predicted == at.labels)
    details = common | {"error": "standard error of a share"}
    found.append(Record("class_accuracy" + tag, right, details, "higher", ASKED, at.prepared.accuracy, error))
    return found + _within(at, at.labels)


def _shares(
    at: EvalContext, predicted: Tensor, shares: list[float], common: dict[str, object], tag: str
) -> list[Record]:
    num_classes = len(shares)
    seen = class_coverage(predicted, num_classes, shares)
    details = common | {"shares": list(seen.shares), "minimum_share": 0.1}
    held = at.prepared.heldout_classes
    floor = None
    if held is not None and len(held) >= len(predicted):
        floor = class_coverage(held[: len(predicted)], num_classes, shares).largest_deviation
    error = jackknife(lambda rows: class_coverage(rows, num_classes, shares).largest_deviation, predicted).error
    about = details | {"error": f"standard error over the generated images, {NUM_GROUPS} groups left out in turn"}
    alone = class_coverage(torch.zeros_like(predicted), num_classes, shares)
    details["controls"] = {ONE: float(alone.classes_found)}
    about["controls"] = {ONE: alone.largest_deviation}
    present = float(sum(one > 0 for one in shares))
    return [
        Record("classes_found" + tag, float(seen.classes_found), details, "higher", FOUND, present),
        Record("class_deviation" + tag, seen.largest_deviation, about, "lower", DEVIATION, floor, error),
    ]


def _within(at: EvalContext, asked: Tensor) -> list[Record]:
    """Measures within the classes asked for, in the chosen extractor's features."""
    labels, num = at.prepared.real_labels, at.num
    if labels is None:
        return []
    sides = (at.prepared.real[:num], labels[:num], at.features[:num], asked[:num])
    names, found = at.source.class_names, []
    distances, spreads = per_class_frechet(*sides), intra_class_diversity(*sides)
    if distances is not None:
        details = at.sides(distances.num, distances.num, error=OF_CLASSES)
        details["classes"] = _named(distances, names)
        name = f"class_frechet[{at.prepared.name},n={distances.num} a class]"
        found.append(Record(name, distances.mean, details, "lower", EACH, None, distances.error))
    else:
        at.notes.append("The distance within classes needs 100 images of each class on both sides; use a larger --num.")
    if spreads is not None:
        details = at.sides(num, num, error=OF_CLASSES)
        details["classes"] = _named(spreads, names)
        name = f"class_diversity[{at.prepared.name},n={num}]"
        found.append(Record(name, spreads.mean, details, "near 1", INTRA, 1.0, spreads.error))
    return found


def _named(found: PerClass, names: Sequence[str]) -> dict[str, float]:
    return {names[one] if names else str(one): round(value, 4) for one, value in found.values.items()}
