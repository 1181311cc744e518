"""Whether generated images are copies of training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from zerosum.domains.images.features import for_copies
from zerosum.domains.images.measures.occasion import FEWEST, Occasion
from zerosum.metrics.jackknife import share_error
from zerosum.metrics.neighbours import memorisation, unseen_distances
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

MOST_COMPARED = 1000
"""Fakes and unseen reals whose nearest training image is searched."""

COPY_RATE = "Share of generated images as close to a training image as only 1 % of unseen real images are; more hints at copying."
COPY_P = "Chance of fakes this close to the training set if they were like unseen reals; smooth images also lower it."
SPLIT = (
    "Share of nearest real images that come from the training set rather than the held-out one; more hints at copying."
)
SPLIT_P = "Chance of that share if the generator favoured neither set; below 0.001 it has memorised training images."


@dataclass(frozen=True)
class CopyKeys:
    """Reals as they are compared: trained on, held out or None, and how near unseen ones lie to the training set."""

    train: Tensor
    heldout: Tensor | None
    unseen: Tensor


def copy_keys(source: ImageSource) -> CopyKeys:
    """What does not change from one evaluation of a source to the next."""
    held = source.heldout
    train = for_copies(source.train.pixels)
    rows = None if held is None or len(held.pixels) == 0 else for_copies(held.pixels)
    return CopyKeys(train, rows, unseen_distances(train, rows, MOST_COMPARED))


def records(at: Occasion, keys: CopyKeys) -> list[Record]:
    """Copy rate, how near fakes lie compared with unseen reals, and whose neighbours they are."""
    rows = for_copies(at.fakes[:MOST_COMPARED])
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
    of_share = details | {"error": "standard error of a share"}
    records = [
        Record(
            "copy_rate" + tag,
            found.copy_rate,
            of_share,
            "near 0.01",
            COPY_RATE,
            0.01,
            share_error(found.copy_rate, len(rows)),
        ),
        Record("memorisation_p" + tag, found.p_value, details, "higher", COPY_P),
    ]
    if found.train_share is not None and found.split_p_value is not None:
        expected = found.expected_share
        records += [
            Record("nearest_in_train" + tag, found.train_share, details, "near reference", SPLIT, expected),
            Record("nearest_in_train_p" + tag, found.split_p_value, details, "higher", SPLIT_P),
        ]
    return records


def enough(source: ImageSource, notes: list[str]) -> bool:
    """Whether there are training images enough to compare with; `notes` is told when not."""
    if len(source.train.pixels) < FEWEST:
        notes.append(f"The test for copies needs {FEWEST} training images.")
    return len(source.train.pixels) >= FEWEST
