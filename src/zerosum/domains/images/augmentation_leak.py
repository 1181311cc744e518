"""Does the augmentation leak? The share of fakes that look augmented, beside that of real images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.domains.images.data import to_pixels
from zerosum.domains.images.measures.augmentation_detector import (
    FEWEST,
    STEPS,
    AugmentationSigns,
    suspect,
    train_probe,
    worsened,
)
from zerosum.engine.duel import Augment
from zerosum.engine.game import Batch
from zerosum.engine.seeds import SeededNoise, generator
from zerosum.metrics.feature_networks import extract, random_features, shrunk_size
from zerosum.metrics.neighbours import density_coverage, drawn_rows, precision_recall
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource
    from zerosum.metrics.feature_networks import SmallClassifier

SHOWN = 5000
"""Images that the probe learns from; where the source has fewer, each is shown in several versions."""
MOST_JUDGED = 1000
ENOUGH_HELDOUT = 100
FEWEST_UNSEEN = 64
"""Images that the probe never sees; with fewer it knows its images, not what augmentation does, and nothing is judged."""
INSIDE, COVERED = 0.6, 0.4
"""Fakes are like real images, augmented or not, when this share of them lies among those, and they reach this share of those.
Measured on digits and faces: at least 0.65 and 0.53 where all or a third of unseen reals were augmented; noise of all kinds
misses one of the two."""
AUGMENTED_AT, SEEN_AT = 64, 32
"""Longer sides: larger images are shrunk to the first before the augmentation, and to the second for the probe."""
ROWS = 500
"""Images that are augmented at a time."""
STEP = 0.05
"""Strengths are rounded up to a multiple of this, so that an adaptive one does not need a new probe each time."""
MEANING = (
    "Share of generated images that a small classifier takes for augmented ones; the reference is its error on real images "
    "it never saw. Poor images may look augmented too: look at the samples."
)
WARNING = (
    "WARNING: more generated than real images look augmented ({0:.1%} against {1:.1%}): the augmentation may leak. "
    "See docs/augmentation.md."
)
UNLIKE = (
    "Not judged: the generated images are not yet like real ones, augmented or not ({0:.0%} of them lie among those, and they "
    "reach {1:.0%} of those), and a classifier of these two kinds says nothing about a third. "
)
BLIND = "The classifier finds only {0:.0%} of the augmented real images, so it would miss most leaks. "


@dataclass(frozen=True)
class _Trained:
    """A probe, and images that it never saw: as they are, and augmented."""

    probe: SmallClassifier
    plain: Tensor
    changed: Tensor


def records(
    source: ImageSource, augment: Augment, fakes: Tensor, seed: int, *, strength: float, name: str
) -> list[Record]:
    """One Record `augmentation_leak[name,p=...,n=...]` for fakes (N, C, H, W) in [-1, 1]; none where nothing is augmented.

    The probe learns to tell plain training images from those that the augmentation, at the strength that the discriminator
    meets, has really changed. Its false alarms are counted on held-out images, or where these are fewer than 100 on a third
    of the training images, which it then never sees; where these are fewer than 64, nothing is judged. Fakes that are unlike both
    kinds are measured and not warned of.
    """
    strength = min(1.0, math.ceil(strength / STEP - 1e-9) * STEP)
    trained = _trained(source, augment, strength, seed) if strength > 0 else None
    if trained is None:
        return []
    judged = _seen(_shrunk(fakes[:MOST_JUDGED].cpu(), AUGMENTED_AT))
    found = suspect(trained.probe, judged, trained.plain, trained.changed)
    inside, covered = _likeness(judged, trained.plain, trained.changed)
    meaning, warning = _told(found, inside, covered)
    protocol = {
        "extractor": f"probe of {STEPS} steps",
        "extractor_sha256": None,
        "num_real": len(trained.plain),
        "num_fake": len(judged),
        "split": "held-out" if _held_out(source) else "train, left out",
        "resize": f"to {SEEN_AT} at most, augmented at {AUGMENTED_AT} at most",
        "strength": strength,
        "caught": found.caught,
        "false_alarms": found.false_alarms,
        "inside": inside,
        "covered": covered,
        "warning": warning,
        "fingerprint": source.fingerprint,
        "seed": seed,
        "torch": torch.__version__,
    }
    title = f"augmentation_leak[{name},p={strength:g},n={len(judged)}]"
    return [Record(title, found.share, protocol, "near reference", meaning, found.false_alarms, found.error)]


def _told(found: AugmentationSigns, inside: float, covered: float) -> tuple[str, str | None]:
    """(meaning, warning): what is said of it."""
    judgeable = inside >= INSIDE and covered >= COVERED
    meaning = MEANING
    if found.caught < 0.5:
        meaning = BLIND.format(found.caught) + meaning
    if not judgeable:
        return UNLIKE.format(inside, covered) + meaning, None
    warning = WARNING.format(found.share, found.false_alarms) if found.clear else None
    return f"{warning} {meaning}" if warning else meaning, warning


@functools.lru_cache(maxsize=4)
def _trained(source: ImageSource, augment: Augment, strength: float, seed: int) -> _Trained | None:
    """The probe of a source, an augmentation and a strength; None where too few images are changed to learn from."""
    shown, unseen = _reals(source, seed)
    if len(unseen) < FEWEST_UNSEEN:
        return None
    shown = worsened(shown[torch.arange(SHOWN) % len(shown)], seed)
    changed, unseen_changed = (_changed(rows, augment, strength, seed) for rows in (shown, unseen))
    if min(len(changed), len(unseen_changed)) < FEWEST:
        return None
    return _Trained(train_probe(_seen(shown), changed, seed), _seen(unseen), unseen_changed)


def _likeness(fakes: Tensor, plain: Tensor, changed: Tensor) -> tuple[float, float]:
    """(share of the fakes among plain and changed images, share of those that the fakes reach), as many of each kind."""
    num = min(len(fakes), len(plain), len(changed))
    real = torch.cat([plain[:num], changed[:num]])
    network = random_features((real.shape[1], real.shape[2], real.shape[3]))
    there, here = (extract(network, images) for images in (real, fakes[:num]))
    inside, covered = precision_recall(there, here)[0], density_coverage(there, here)[1]
    return inside.value, covered.value


def _held_out(source: ImageSource) -> bool:
    return source.num_heldout >= ENOUGH_HELDOUT


def _reals(source: ImageSource, seed: int) -> tuple[Tensor, Tensor]:
    """Reals in [-1, 1] to learn from, and others to be judged; shrunk where they are large."""
    num = len(source.train)
    order = torch.randperm(num, generator=generator(seed, "leak"))
    if _held_out(source):
        unseen = _read(source.heldout_batch, drawn_rows(source.num_heldout, MOST_JUDGED, seed))
    else:
        count = min(MOST_JUDGED, num // 3)
        unseen, order = _read(source.batch, order[:count]), order[count:]
    if source.flip:  # an image is shown with its mirror image, or neither is
        order = order[: SHOWN // 2]
        order = torch.cat([order, order + num])
    return _read(source.batch, order[:SHOWN]), unseen


def _read(batch: Callable[[Tensor], Batch], rows: Tensor) -> Tensor:
    return torch.cat([_shrunk(batch(part).data.cpu(), AUGMENTED_AT) for part in torch.split(rows, ROWS)])


def _changed(images: Tensor, augment: Augment, strength: float, seed: int) -> Tensor:
    """uint8 as the probe sees them: the augmented images that differ from those they were made of."""
    found = []
    for number, part in enumerate(torch.split(images, ROWS)):
        draws = SeededNoise(seed, number, 0, 0, len(part), len(part), torch.device("cpu"))
        with torch.no_grad():
            after = augment(part, draws, "leak", strength)
        found.append(_seen(after[(to_pixels(after) != to_pixels(part)).flatten(1).any(1)]))
    return torch.cat(found)


def _seen(images: Tensor) -> Tensor:
    """uint8, shrunk for the probe."""
    return to_pixels(_shrunk(images, SEEN_AT))


def _shrunk(images: Tensor, largest: int) -> Tensor:
    size = shrunk_size(images.shape[2], images.shape[3], largest)
    if size == tuple(images.shape[2:]) or not len(images):
        return images
    return interpolate(images, size=size, mode="bilinear", antialias=True)
