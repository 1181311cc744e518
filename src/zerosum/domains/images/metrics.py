"""Judging generated images without downloaded weights: every number with its protocol and, where it exists, its noise floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domains.images.features import Prepared, for_copies, prepare, some
from zerosum.errors import UserError
from zerosum.metrics.classifier import extract, shrunk_size
from zerosum.metrics.coverage import class_coverage
from zerosum.metrics.frechet import frechet_distance
from zerosum.metrics.neighbours import density_coverage, diversity, memorisation, precision_recall, unseen_distances
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
"""uint8 images (N, C, H, W) and labels (N,) or None -> the discriminator's logits (N,)."""

FEWEST_FOR_FLOOR = 100  # held-out images from which a reference of the Fréchet distance says something
FEWEST = 16  # below this many samples a side no distribution is worth comparing
MOST_COMPARED = 1000  # fakes and unseen reals whose nearest training image is searched


class ImageEvaluator:
    """Measures of a generator against one source of images.

    The extractor is a small classifier trained once on the source's own labels (kept in `cache_dir`), or a fixed random
    network where there are none; it and the features of the reals are made at the first use. `num_samples` is how many
    fakes and reals are compared: None means 1,000, or 2,000 from 10,000 training images on. `notes` tells in sentences
    which measures the last `evaluate` had to leave out.
    """

    def __init__(
        self, source: ImageSource, *, num_samples: int | None = None, cache_dir: Path | None = None, seed: int = 0
    ) -> None:
        if num_samples is not None and num_samples < FEWEST:
            raise UserError(f"num_samples: {num_samples} is too few to compare distributions; give {FEWEST} or more")
        self.source = source
        default = 2000 if len(source.train.pixels) >= 10_000 else 1000
        self.num_samples = min(num_samples or default, len(source.train.pixels))
        self.cache_dir = cache_dir
        self.seed = seed
        self.notes: list[str] = []
        self._prepared: Prepared | None = None
        self._copy_keys: tuple[Tensor, Tensor | None, Tensor] | None = None

    @property
    def prepared(self) -> Prepared:
        """The extractor and the features of the reals; trains or loads the classifier at the first call."""
        if self._prepared is None:
            self._prepared = prepare(self.source, self.num_samples, self.seed, self.cache_dir)
        return self._prepared

    def evaluate(
        self,
        fakes: Tensor,
        fake_labels: Tensor | None = None,
        judge: Judge | None = None,
        *,
        protocol: Mapping[str, Any] | None = None,
    ) -> list[Record]:
        """All measures of `fakes`, each as a Record.

        fakes: uint8 (N, C, H, W) as they would be saved; at most `num_samples` enter the distribution measures.
        fake_labels: the classes asked for (N,), for conditional generators. judge: the discriminator, if its
        accuracy is wanted. protocol: further entries for every record, e.g. {'weights': 'ema', 'step': 1000}.
        Raises UserError when the fakes do not fit the source.
        """
        self._check(fakes)
        self.notes = []
        fakes = fakes.detach().cpu()
        common = self._common() | dict(protocol or {})
        records = self._distribution(fakes[: self.num_samples], common)
        records += self._classes(fakes, fake_labels, common)
        records += self._copies(fakes[:MOST_COMPARED], common)
        if judge is not None:
            records += self._judged(fakes, fake_labels, judge, common)
        return records

    def quick(self, fakes: Tensor) -> dict[str, float]:
        """Health numbers for use while training; a few hundredths of a second after the first call.

        fakes: uint8 (N, C, H, W), N >= 2, the first 256 count. Returns 'diversity_ratio' (mean distance between fakes over
        mean distance between reals, in features; near 1 is healthy, near 0 is collapse) and, where the source has
        labels, 'classes_found' and 'largest_class_share'.
        """
        self._check(fakes)
        prepared = self.prepared
        features = extract(prepared.extractor, fakes[:256].detach())
        numbers = {"diversity_ratio": diversity(features) / max(prepared.real_diversity, 1e-12)}
        predicted = prepared.classify(features)
        if predicted is not None:
            found = class_coverage(predicted, self._num_classes(), self._reference_shares())
            numbers |= {"classes_found": float(found.classes_found), "largest_class_share": max(found.shares)}
        return numbers

    def _check(self, fakes: Tensor) -> None:
        expected = tuple(self.source.train.pixels.shape[1:])
        if fakes.dtype != torch.uint8 or tuple(fakes.shape[1:]) != expected or len(fakes) < 2:
            raise UserError(
                f"fakes: {fakes.dtype} {tuple(fakes.shape)} do not fit source {self.source.name!r}; "
                f"give at least 2 uint8 images of shape {expected}"
            )

    def _num_classes(self) -> int:
        return int(self.source.shape.num_classes)

    def _reference_shares(self) -> list[float]:
        labels = self.source.train.labels
        assert labels is not None
        return torch.bincount(labels.cpu().long(), minlength=self._num_classes()).double().tolist()

    def _common(self) -> dict[str, Any]:
        height, width = self.source.train.pixels.shape[2:]
        small = shrunk_size(height, width)
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "extractor": self.prepared.name,
            "extractor_sha256": self.prepared.sha256,
            "extractor_accuracy_heldout": self.prepared.accuracy,
            "split": "train",
            "images": "uint8",
            "resize": "none" if small == (height, width) else f"bilinear, antialiased, to {small[0]}x{small[1]}",
            "seed": self.seed,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }

    def _distribution(self, fakes: Tensor, common: dict[str, Any]) -> list[Record]:
        prepared = self.prepared
        num = min(len(fakes), len(prepared.real))
        if num < FEWEST:
            self.notes.append(f"Fréchet distance, precision and recall need {FEWEST} samples a side; there are {num}.")
            return []
        features = extract(prepared.extractor, fakes[:num])
        records = [self._frechet(features, num, common)]
        held = prepared.heldout
        if held is not None and FEWEST_FOR_FLOOR <= len(held) < num:
            records.append(self._frechet(features, len(held), common))  # at this size the noise floor can be measured
        reference: dict[str, float] = {}
        if held is not None and len(held) >= num:
            reference = _neighbour_measures(prepared.real[:num], held[:num])
        for name, value in _neighbour_measures(prepared.real[:num], features).items():
            k, better, meaning = NEIGHBOUR_TEXTS[name]
            details = common | {"num_real": num, "num_fake": num, "k": k}
            title = f"{name}[{prepared.name},k={k},n={num}]"
            records.append(Record(title, value, details, better, meaning, reference.get(name)))
        return records

    def _frechet(self, features: Tensor, num: int, common: dict[str, Any]) -> Record:
        real, held = self.prepared.real[:num], self.prepared.heldout
        floor = frechet_distance(real, held[:num]) if held is not None and len(held) >= num else None
        return Record(
            f"frechet[{self.prepared.name},n={num}]",
            frechet_distance(real, features[:num]),
            common | {"num_real": num, "num_fake": num},
            "lower",
            "Distance between the feature distributions of generated and real images; unseen real images score the reference.",
            floor,
        )

    def _classes(self, fakes: Tensor, labels: Tensor | None, common: dict[str, Any]) -> list[Record]:
        prepared = self.prepared
        predicted = prepared.classify(extract(prepared.extractor, fakes))
        if predicted is None:
            self.notes.append("Class coverage needs labels; this source has none.")
            return []
        num, tag = len(fakes), f"[{prepared.name},n={len(fakes)}]"
        shares = self._reference_shares()
        found = class_coverage(predicted, self._num_classes(), shares)
        details = common | {"num_fake": num, "shares": list(found.shares), "minimum_share": 0.1}
        floor = None
        if prepared.heldout is not None and len(prepared.heldout) >= num:
            real = prepared.classify(prepared.heldout[:num])
            assert real is not None
            floor = class_coverage(real, self._num_classes(), shares).largest_deviation
        present = float(sum(share > 0 for share in shares))
        records = [
            Record("classes_found" + tag, float(found.classes_found), details, "higher", FOUND, present),
            Record("class_deviation" + tag, found.largest_deviation, details, "lower", DEVIATION, floor),
        ]
        if labels is not None:
            right = _share(predicted == labels.detach().cpu())
            records.append(Record("class_accuracy" + tag, right, details, "higher", ASKED, prepared.accuracy))
        return records

    def _copies(self, fakes: Tensor, common: dict[str, Any]) -> list[Record]:
        if len(self.source.train.pixels) < FEWEST:
            self.notes.append(f"The test for copies needs {FEWEST} training images.")
            return []
        if self._copy_keys is None:
            held = self.source.heldout
            train = for_copies(self.source.train.pixels)
            held_rows = None if held is None or len(held.pixels) == 0 else for_copies(held.pixels)
            self._copy_keys = train, held_rows, unseen_distances(train, held_rows, MOST_COMPARED)
        train, held_rows, unseen = self._copy_keys
        rows = for_copies(fakes)
        found = memorisation(rows, train, held_rows, unseen)
        space = f"pixels {rows.shape[2]}x{rows.shape[3]}"
        details = common | {
            "extractor": space,
            "extractor_sha256": None,
            "num_real": len(train),
            "num_fake": len(fakes),
        }
        details |= {
            "num_reference": len(unseen),
            "reference_split": "train, left out" if held_rows is None else "held-out",
        }
        details |= {"fake_distance": found.fake_distance, "reference_distance": found.reference_distance}
        tag = f"[{space.replace(' ', '-')},n={len(fakes)}]"
        records = [
            Record("copy_rate" + tag, found.copy_rate, details, "near 0.01", COPY_RATE, 0.01),
            Record("memorisation_p" + tag, found.p_value, details, "higher", COPY_P),
        ]
        if found.train_share is not None and found.split_p_value is not None:
            expected = found.expected_share
            records += [
                Record("nearest_in_train" + tag, found.train_share, details, "near reference", SPLIT, expected),
                Record("nearest_in_train_p" + tag, found.split_p_value, details, "higher", SPLIT_P),
            ]
        return records

    def _judged(self, fakes: Tensor, labels: Tensor | None, judge: Judge, common: dict[str, Any]) -> list[Record]:
        details = common | {"extractor": "discriminator", "extractor_sha256": None}
        train, held = self.source.train, self.source.heldout
        on_train = _scores(judge, *some(train, self.num_samples, self.seed)) > 0
        num = len(on_train)
        records = []
        if held is not None and len(held.pixels) > 0:
            seen = _scores(judge, *some(held, self.num_samples, self.seed)) > 0
            name, about = (
                f"discriminator_heldout[n={len(seen)}]",
                details | {"num_real": len(seen), "split": "held-out"},
            )
            records.append(Record(name, _share(seen), about, "near reference", JUDGE_HELDOUT, _share(on_train)))
        else:
            about = details | {"num_real": num}
            records.append(Record(f"discriminator_train[n={num}]", _share(on_train), about, "near 0.5", JUDGE_TRAIN))
            self.notes.append("The discriminator was judged on training images only; no images are held out.")
        caught = _share(_scores(judge, fakes, labels) <= 0)
        about = details | {"num_fake": len(fakes)}
        records.append(Record(f"discriminator_fakes[n={len(fakes)}]", caught, about, "near 0.5", JUDGE_FAKES))
        return records


NEIGHBOUR_TEXTS = {
    "precision": (3, "higher", "Share of generated images that lie among the real ones; low means implausible images."),
    "recall": (3, "higher", "Share of real images that lie among the generated ones; low means missing variety."),
    "density": (5, "near 1", "How densely real neighbourhoods are filled with generated images; 1 is like real data."),
    "coverage": (5, "higher", "Share of real images with a generated one nearby; low means missing variety."),
}
FOUND = (
    "Classes that make up at least a tenth of their usual share; the reference is the number of classes in the data."
)
DEVIATION = "Largest deviation of a class's share from its share in the training data, relative to that share."
ASKED = (
    "Share of generated images that the classifier puts in the class asked for; the reference is its accuracy on reals."
)
COPY_RATE = "Share of generated images as close to a training image as only 1 % of unseen real images are; more hints at copying."
COPY_P = "Chance of fakes this close to the training set if they were like unseen reals; smooth images also lower it."
SPLIT = (
    "Share of nearest real images that come from the training set rather than the held-out one; more hints at copying."
)
SPLIT_P = "Chance of that share if the generator favoured neither set; below 0.001 it has memorised training images."
JUDGE_HELDOUT = (
    "Share of held-out reals the discriminator calls real; far below that of training images it has overfitted."
)
JUDGE_TRAIN = "Share of training images that the discriminator calls real."
JUDGE_FAKES = "Share of generated images that the discriminator calls fake; near 1 it overpowers the generator."


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())


def _neighbour_measures(real: Tensor, fake: Tensor) -> dict[str, float]:
    precision, recall = precision_recall(real, fake, NEIGHBOUR_TEXTS["precision"][0])
    density, coverage = density_coverage(real, fake, NEIGHBOUR_TEXTS["density"][0])
    return {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


@torch.no_grad()
def _scores(judge: Judge, images: Tensor, labels: Tensor | None, batch_size: int = 250) -> Tensor:
    """The judge's logits (N,), in batches."""
    parts = [
        judge(images[rows : rows + batch_size], None if labels is None else labels[rows : rows + batch_size])
        for rows in range(0, len(images), batch_size)
    ]
    return torch.cat([part.detach().cpu().flatten() for part in parts])
