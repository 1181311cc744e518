"""The measures of generated images: distances in features, classes, copies of training images, scores of the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domains.images.controls import MOST, NOISE, noise
from zerosum.domains.images.features import RealFeatures, choose_rows, to_copy_space
from zerosum.metrics.classes import (
    NUM_SPLITS,
    PerClass,
    class_coverage,
    class_score,
    intra_class_diversity,
    per_class_frechet,
)
from zerosum.metrics.distances import frechet_distance, frechet_estimate, frechet_infinity, kernel_distance
from zerosum.metrics.neighbours import (
    Memorisation,
    density_coverage,
    memorisation,
    precision_recall,
    sample_rows,
    unseen_distances,
)
from zerosum.metrics.record import NUM_GROUPS, Estimate, Record, jackknife, share, share_error

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource


FEWEST = 16
"""Fewest samples a side for which distributions are compared."""


@dataclass(frozen=True)
class EvalContext:
    """One evaluation. fakes: uint8 (N, C, H, W); labels: the requested classes (N,), or None; features: (N, D) of the
    fakes; predicted: the class in which the source's classifier puts each fake, or None. common: what all protocols share.
    notes: gains a sentence for each measure that had to be left out.
    """

    source: ImageSource
    prepared: RealFeatures
    fakes: Tensor
    labels: Tensor | None
    features: Tensor
    predicted: Tensor | None
    seed: int
    common: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def num(self) -> int:
        """Samples a side in the measures of distributions."""
        return min(len(self.features), len(self.prepared.real))

    def sides(self, num_real: int, num_fake: int, **more: Any) -> dict[str, Any]:
        """The protocol of a record with so many samples."""
        return {**self.common, "num_real": num_real, "num_fake": num_fake, **more}


def common_protocol(source: ImageSource, prepared: RealFeatures, seed: int) -> dict[str, Any]:
    """The protocol entries that all records of an evaluator share."""
    return {
        "source": source.name,
        "fingerprint": source.fingerprint,
        "extractor": prepared.name,
        "extractor_sha256": prepared.sha256,
        "extractor_accuracy_heldout": prepared.accuracy,
        "split": "train",
        "images": "uint8",
        "resize": prepared.extractor.resize,
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


FEWEST_FOR_FLOOR = 100  # fewest held-out images for a reference of the Fréchet distance
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


def distribution_records(at: EvalContext) -> list[Record]:
    """Fréchet, kernel distance, score of the extractor's classes, precision, recall, density and coverage."""
    if at.num < FEWEST:
        at.notes.append(f"Fréchet distance, precision and recall need {FEWEST} samples a side; there are {at.num}.")
        return []
    held = at.prepared.heldout
    found = [_frechet(at, at.num)]
    if held is not None and FEWEST_FOR_FLOOR <= len(held) < at.num:
        found.append(_frechet(at, len(held)))  # at this size the noise floor can be measured
    return [*found, *_infinity(at), _kernel(at), *_score(at), *_neighbours(at)]


def metric_name(at: EvalContext, plain: str, standard: str) -> str:
    """The usual name of a number only where its extractor is the usual one."""
    return standard if at.prepared.extractor.standard else plain


def _frechet(at: EvalContext, num: int) -> Record:
    real, held = at.prepared.real[:num], at.prepared.heldout
    floor = frechet_distance(real, held[:num]) if held is not None and len(held) >= num else None
    value, error = frechet_estimate(real, at.features[:num])
    name = f"{metric_name(at, 'frechet', 'fid')}[{at.prepared.name},n={num}]"
    bias = "grows with 1/n: compare at this n only"
    return Record(name, value, at.sides(num, num, error=OF_FAKES, bias=bias), "lower", FRECHET, floor, error)


def _infinity(at: EvalContext) -> list[Record]:
    dims = at.features.shape[1]
    if at.num < ROWS_A_FEATURE * dims or dims > MOST_FEATURES:
        return []
    value, error = frechet_infinity(at.prepared.real[: at.num], at.features[: at.num])
    name = f"{metric_name(at, 'frechet', 'fid')}_infinity[{at.prepared.name},n={at.num}]"
    how = "2 F(n) - F(n/2), all pairs of halves"
    return [Record(name, value, at.sides(at.num, at.num, error=OF_FAKES, bias=how), "lower", INFINITY, 0.0, error)]


def _kernel(at: EvalContext) -> Record:
    # The kernel assumes features of order 1, as those of the standard network are; others are rescaled.
    standard = at.prepared.extractor.standard
    scale = 1.0 if standard else float(at.prepared.real[: at.num].double().square().mean().sqrt()) or 1.0
    real = at.prepared.real[: at.num] / scale
    value, error = kernel_distance(real, at.features[: at.num] / scale)
    kernel = "(x.y / D + 1)^3, all pairs" + ("" if standard else ", features over the root mean square of the reals'")
    name = f"{metric_name(at, 'kernel_distance', 'kid')}[{at.prepared.name},n={at.num}]"
    floor = _floor(at, lambda held: kernel_distance(real, held / scale).value)
    return Record(name, value, at.sides(at.num, at.num, error=OF_BOTH, kernel=kernel), "lower", KERNEL, floor, error)


def _score(at: EvalContext) -> list[Record]:
    extractor = at.prepared.extractor
    probabilities = extractor.probabilities(at.features[: at.num])
    if probabilities is None:
        return []
    value, error = class_score(probabilities)
    name = f"{metric_name(at, 'class_score', 'inception_score')}[{at.prepared.name},splits={NUM_SPLITS},n={at.num}]"

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


ONE_CLASS = "one class alone"
CLASSES_FOUND = (
    "Classes that make up at least a tenth of their usual share; the reference is the number of classes in the data."
)
CLASS_DEVIATION = "Largest deviation of a class's share from its share in the training data, relative to that share."
CLASS_ACCURACY = (
    "Share of generated images that the classifier puts in the requested class; the reference is its accuracy on reals."
)
CLASS_FRECHET = "Fréchet distance within each requested class, mean over the classes; the protocol holds each."
CLASS_DIVERSITY = (
    "Mean distance of generated images of one class over that of real ones, mean over the classes; low is collapse."
)
OF_CLASSES = "standard error of the mean over the classes"


def class_records(at: EvalContext) -> list[Record]:
    """Class shares; for conditional generators also the accuracy of the class, and distance and diversity within classes."""
    if at.predicted is None or at.source.train.labels is None or at.prepared.labeller is None:
        at.notes.append("Class coverage needs labels; this source has none.")
        return []
    labeller = at.prepared.labeller
    common = at.sides(0, len(at.fakes)) | {"extractor": labeller.name, "extractor_sha256": labeller.sha256}
    tag = f"[{labeller.name},n={len(at.fakes)}]"
    found = _class_shares(at, at.predicted, at.source.train.class_counts(at.source.shape.num_classes), common, tag)
    if at.labels is None or at.labels.is_floating_point() or at.labels.ndim != 1:
        return found
    right, error = share(at.predicted == at.labels)
    details = common | {"error": "standard error of a share"}
    found.append(Record("class_accuracy" + tag, right, details, "higher", CLASS_ACCURACY, at.prepared.accuracy, error))
    return found + _within_classes(at, at.labels)


def _class_shares(
    at: EvalContext, predicted: Tensor, shares: Sequence[float], common: dict[str, object], tag: str
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
    details["controls"] = {ONE_CLASS: float(alone.classes_found)}
    about["controls"] = {ONE_CLASS: alone.largest_deviation}
    present = float(sum(one > 0 for one in shares))
    return [
        Record("classes_found" + tag, float(seen.classes_found), details, "higher", CLASSES_FOUND, present),
        Record("class_deviation" + tag, seen.largest_deviation, about, "lower", CLASS_DEVIATION, floor, error),
    ]


def _within_classes(at: EvalContext, requested: Tensor) -> list[Record]:
    """Measures within the requested classes, in the chosen extractor's features."""
    labels, num = at.prepared.real_labels, at.num
    if labels is None:
        return []
    sides = (at.prepared.real[:num], labels[:num], at.features[:num], requested[:num])
    names, found = at.source.class_names, []
    distances, spreads = per_class_frechet(*sides), intra_class_diversity(*sides)
    if distances is not None:
        details = at.sides(distances.num, distances.num, error=OF_CLASSES)
        details["classes"] = _by_name(distances, names)
        name = f"class_frechet[{at.prepared.name},n={distances.num} a class]"
        found.append(Record(name, distances.mean, details, "lower", CLASS_FRECHET, None, distances.error))
    else:
        at.notes.append("The distance within classes needs 100 images of each class on both sides; use a larger --num.")
    if spreads is not None:
        details = at.sides(num, num, error=OF_CLASSES)
        details["classes"] = _by_name(spreads, names)
        name = f"class_diversity[{at.prepared.name},n={num}]"
        found.append(Record(name, spreads.mean, details, "near 1", CLASS_DIVERSITY, 1.0, spreads.error))
    return found


def _by_name(found: PerClass, names: Sequence[str]) -> dict[str, float]:
    return {names[index] if names else str(index): round(value, 4) for index, value in found.values.items()}


MOST_COMPARED = 1000
"""Number of fakes and of unseen reals whose nearest training image is searched."""

NUM_COPIES, DETECTED_BELOW = 200, 0.001
"""Number of training images that are measured as if they were generated, and the p-value below which copies are detected."""
COPIES = "training copies"

COPY_RATE = "Share of generated images as close to a training image as only 1 % of unseen real images are; more hints at copying."
MEMORISATION_P = (
    "Chance of fakes this close to the training set if they were like unseen reals; smooth images also lower it."
)
NEAREST_IN_TRAIN = (
    "Share of nearest real images that come from the training set rather than the held-out one; more hints at copying."
)
NEAREST_IN_TRAIN_P = (
    "Chance of that share if the generator favoured neither set; below 0.001 it has memorised training images."
)


@dataclass(frozen=True)
class CopyKeys:
    """Reals prepared for the comparison: training images, held-out images or None, and the distances of unseen ones to
    training."""

    train: Tensor
    heldout: Tensor | None
    unseen: Tensor
    copied: Memorisation
    """The scores of copies of training images."""


def copy_keys(source: ImageSource) -> CopyKeys:
    """Everything about copies that does not change between evaluations of a source."""
    held = source.heldout
    train = to_copy_space(source.train.pixels)
    rows = None if held is None or len(held.pixels) == 0 else to_copy_space(held.pixels)
    unseen = unseen_distances(train, rows, MOST_COMPARED)
    return CopyKeys(train, rows, unseen, memorisation(train[sample_rows(len(train), NUM_COPIES)], train, rows, unseen))


def copy_records(at: EvalContext, keys: CopyKeys) -> list[Record]:
    """The copy rate, the distance of fakes compared with unseen reals, and the share of fakes nearest to training images."""
    rows = to_copy_space(at.fakes[:MOST_COMPARED])
    found = memorisation(rows, keys.train, keys.heldout, keys.unseen)
    space = f"pixels {rows.shape[2]}x{rows.shape[3]}"
    details = at.sides(
        len(keys.train),
        len(rows),
        extractor=space,
        extractor_sha256=None,
        num_reference=len(keys.unseen),
        reference_split="train, left out" if keys.heldout is None else "held-out",
        fake_distance=found.fake_distance,
        reference_distance=found.reference_distance,
    )
    tag = f"[{space.replace(' ', '-')},n={len(rows)}]"
    of_share = details | {"error": "standard error of a share", "controls": {COPIES: keys.copied.copy_rate}}
    error = share_error(found.copy_rate, len(rows))
    return [
        Record("copy_rate" + tag, found.copy_rate, of_share, "near 0.01", COPY_RATE, 0.01, error),
        _with_copies(
            Record("memorisation_p" + tag, found.p_value, details, "higher", MEMORISATION_P), keys.copied.p_value
        ),
        *_nearest_sides(found, keys.copied, tag, details),
    ]


def _nearest_sides(found: Memorisation, copied: Memorisation, tag: str, details: dict[str, Any]) -> list[Record]:
    """The share of fakes nearest to training images, and its p-value, if images are held out."""
    if found.train_share is None or found.split_p_value is None:
        return []
    of_share = details | {"controls": {COPIES: copied.train_share}}
    chance = Record("nearest_in_train_p" + tag, found.split_p_value, details, "higher", NEAREST_IN_TRAIN_P)
    return [
        Record(
            "nearest_in_train" + tag,
            found.train_share,
            of_share,
            "near reference",
            NEAREST_IN_TRAIN,
            found.expected_share,
        ),
        _with_copies(chance, copied.split_p_value or 0.0),
    ]


def _with_copies(record: Record, of_copies: float) -> Record:
    """The record with the same probability of copies as its control, which must be small."""
    unseen = of_copies >= DETECTED_BELOW
    record = replace(record, protocol={**record.protocol, "controls": {COPIES: of_copies}})
    return record.mark_unreliable(
        f"Copies of training images score {of_copies:.2g} and would not be detected." if unseen else ""
    )


def enough_for_copies(source: ImageSource, notes: list[str]) -> bool:
    """Whether there are enough training images to search for copies; if not, a sentence is added to `notes`."""
    if len(source.train.pixels) < FEWEST:
        notes.append(f"The test for copies needs {FEWEST} training images.")
    return len(source.train.pixels) >= FEWEST


Judge = Callable[[Tensor, Tensor | None], Tensor]
"""uint8 images (N, C, H, W) and labels (N,) or None -> the discriminator's logits (N,)."""

TRAINING_IMAGES = "training images"
D_ON_HELDOUT = (
    "Share of held-out reals the discriminator calls real; far below that of training images it has overfitted."
)
D_ON_TRAIN = "Share of training images that the discriminator calls real."
D_ON_FAKES = "Share of generated images that the discriminator calls fake; near 1 it overpowers the generator."


def discriminator_records(at: EvalContext, judge: Judge, num: int) -> list[Record]:
    """The accuracy of the discriminator on at most `num` images of each kind."""
    details = {
        **at.common,
        "extractor": "discriminator",
        "extractor_sha256": None,
        "error": "standard error of a share",
    }
    train, held = at.source.train, at.source.heldout
    on_train = share(_judge_scores(judge, *choose_rows(train, num, at.seed)) > 0)
    pixels, own = choose_rows(train, min(num, MOST), at.seed)
    as_real = {NOISE: share(_judge_scores(judge, noise(pixels, at.seed)[NOISE], own) > 0).value}
    trained = min(num, len(train.pixels))
    found = []
    if held is not None and len(held.pixels) > 0:
        seen = _judge_scores(judge, *choose_rows(held, num, at.seed)) > 0
        about = details | {"num_real": len(seen), "split": "held-out", "controls": as_real}
        name = f"discriminator_heldout[n={len(seen)}]"
        right, error = share(seen)
        found.append(Record(name, right, about, "near reference", D_ON_HELDOUT, on_train.value, error))
    else:
        about = details | {"num_real": trained, "controls": as_real}
        name = f"discriminator_train[n={trained}]"
        found.append(Record(name, on_train.value, about, "near 0.5", D_ON_TRAIN, None, on_train.error))
        at.notes.append("The discriminator was judged on training images only; no images are held out.")
    fakes, labels = at.fakes[:num], None if at.labels is None else at.labels[:num]
    caught, error = share(_judge_scores(judge, fakes, labels) <= 0)
    about = details | {"num_fake": len(fakes), "controls": {TRAINING_IMAGES: 1 - on_train.value}}
    found.append(Record(f"discriminator_fakes[n={len(fakes)}]", caught, about, "near 0.5", D_ON_FAKES, None, error))
    return found


@torch.no_grad()
def _judge_scores(judge: Judge, images: Tensor, labels: Tensor | None, batch_size: int = 250) -> Tensor:
    """The judge's logits (N,), in batches."""
    parts = [
        judge(images[rows : rows + batch_size], None if labels is None else labels[rows : rows + batch_size])
        for rows in range(0, len(images), batch_size)
    ]
    return torch.cat([part.detach().cpu().flatten() for part in parts])
