"""Whether generated images are copies of training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerosum.domains.images.features import for_copies
from zerosum.domains.images.measures.context import FEWEST, EvalContext
from zerosum.metrics.neighbours import Memorisation, drawn_rows, memorisation, unseen_distances
from zerosum.metrics.record import Record, share_error

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

MOST_COMPARED = 1000
"""Fakes and unseen reals whose nearest training image is searched."""

NUM_COPIES, FOUND_OUT = 200, 0.001
"""Training images that are measured as if they were made, and the chance below which copies are found out."""
COPIES = "training copies"

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
    copied: Memorisation
    """What copies of training images score."""


def copy_keys(source: ImageSource) -> CopyKeys:
    """What does not change from one evaluation of a source to the next."""
    held = source.heldout
    train = for_copies(source.train.pixels)
    rows = None if held is None or len(held.pixels) == 0 else for_copies(held.pixels)
    unseen = unseen_distances(train, rows, MOST_COMPARED)
    return CopyKeys(train, rows, unseen, memorisation(train[drawn_rows(len(train), NUM_COPIES)], train, rows, unseen))


def records(at: EvalContext, keys: CopyKeys) -> list[Record]:
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
    of_share = details | {"error": "standard error of a share", "controls": {COPIES: keys.copied.copy_rate}}
    error = share_error(found.copy_rate, len(rows))
    return [
        Record("copy_rate" + tag, found.copy_rate, of_share, "near 0.01", COPY_RATE, 0.01, error),
        _checked(Record("memorisation_p" + tag, found.p_value, details, "higher", COPY_P), keys.copied.p_value),
        *_neighbours(found, keys.copied, tag, details),
    ]


def _neighbours(found: Memorisation, copied: Memorisation, tag: str, details: dict[str, Any]) -> list[Record]:
    """Whose neighbours the fakes are, where images are held out."""
    if found.train_share is None or found.split_p_value is None:
        return []
    of_share = details | {"controls": {COPIES: copied.train_share}}
    chance = Record("nearest_in_train_p" + tag, found.split_p_value, details, "higher", SPLIT_P)
    return [
        Record("nearest_in_train" + tag, found.train_share, of_share, "near reference", SPLIT, found.expected_share),
        _checked(chance, copied.split_p_value or 0.0),
    ]


def _checked(record: Record, of_copies: float) -> Record:
    """The chance with that of copies beside it, which must be small."""
    unseen = of_copies >= FOUND_OUT
    record = replace(record, protocol={**record.protocol, "controls": {COPIES: of_copies}})
    return record.doubted(
        f"Copies of training images score {of_copies:.2g} and would not be found out." if unseen else ""
    )


def enough(source: ImageSource, notes: list[str]) -> bool:
    """Whether there are training images enough to compare with; `notes` is told when not."""
    if len(source.train.pixels) < FEWEST:
        notes.append(f"The test for copies needs {FEWEST} training images.")
    return len(source.train.pixels) >= FEWEST
