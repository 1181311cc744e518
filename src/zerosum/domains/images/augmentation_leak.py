"""Augmentation leaks: the share of generated images that look augmented, compared with that of real images.

A small classifier, the probe, is trained to distinguish plain images from augmented ones.
"""

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
from zerosum.engine.duel import Augment
from zerosum.engine.game import Batch
from zerosum.engine.seeds import SeededNoise, generator
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import SmallClassifier, extract, random_features, shrunk_size, train_classifier
from zerosum.metrics.neighbours import density_coverage, precision_recall, sample_rows
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource
    from zerosum.metrics.feature_networks import SmallClassifier


STEPS, BATCH = 250, 128
FEWEST = 16
"""Fewest images of a kind for training the probe, and for measuring with it."""


@dataclass(frozen=True)
class AugmentationSigns:
    """The shares of images that the probe classifies as changed.

    share: of the measured images. false_alarms: of plain images that the probe was not trained on. caught: of changed images
    that it was not trained on. error: the standard error of share - false_alarms.
    """

    share: float
    false_alarms: float
    caught: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether `share` exceeds `false_alarms` by more than 3 standard errors."""
        return self.share - self.false_alarms > 3 * self.error


def degrade_images(images: Tensor, seed: int) -> Tensor:
    """Float images (N, C, H, W) in [-1, 1] as a generator that is not perfect might make them: each is, with chances of 1/2,
    mixed with another one (up to a half), blurred (up to a box of about a tenth of its side), and noisy (deviation up to 0.2).

    A probe trained on such images, plain and changed, does not mistake poor quality for a change.
    """
    random = torch.Generator().manual_seed(seed)

    def draw(most: float) -> Tensor:
        """(N, 1, 1, 1): 0 for about a half of the images, uniform up to `most` for the others."""
        return ((torch.rand(len(images), 1, 1, 1, generator=random) * 2 - 1) * most).clamp(min=0)

    others = images[torch.randperm(len(images), generator=random)]
    mixed = torch.lerp(images, others, draw(0.5))
    border = max(1, min(images.shape[2:]) // 20)
    wide = torch.nn.functional.pad(mixed, [border] * 4, mode="replicate")
    blurred = torch.lerp(mixed, torch.nn.functional.avg_pool2d(wide, 2 * border + 1, 1), draw(1.0))
    return (blurred + draw(0.2) * torch.randn(images.shape, generator=random)).clamp(-1, 1)


def train_probe(plain: Tensor, changed: Tensor, seed: int = 0) -> SmallClassifier:
    """Trains a classifier of plain (0) and changed (1) uint8 images (N, C, H, W); the rarer kind is repeated to equal numbers.

    UserError with fewer than 16 of a kind.
    """
    if min(len(plain), len(changed)) < FEWEST:
        raise UserError(f"probe: {len(plain)} plain and {len(changed)} changed images; give at least {FEWEST} of each")
    count = max(len(plain), len(changed))
    both = [images[torch.arange(count) % len(images)] for images in (plain, changed)]
    labels = torch.arange(2).repeat_interleave(count)
    return train_classifier(torch.cat(both), labels, num_classes=2, seed=seed, steps=STEPS, batch_size=BATCH)


def apply_probe(probe: SmallClassifier, images: Tensor, plain: Tensor, changed: Tensor) -> AugmentationSigns:
    """How the probe classifies uint8 `images`, and plain and changed images that it was not trained on (all (N, C, H, W))."""
    share, false_alarms, caught = (_share(probe, part) for part in (images, plain, changed))
    variances = [_variance(false_alarms, len(plain)), _variance(share, len(images))]
    return AugmentationSigns(share, false_alarms, caught, sum(variances) ** 0.5)


@torch.no_grad()
def _share(probe: SmallClassifier, images: Tensor) -> float:
    """The share that the probe calls changed."""
    return float(torch.cat([probe(part).argmax(1) for part in torch.split(images, 500)]).double().mean())


def _variance(share: float, count: int) -> float:
    """Variance of a share among `count`, with one more of each kind (Laplace), so that 0 of 20 does not give 0."""
    likely = (share * count + 1) / (count + 2)
    return likely * (1 - likely) / count


SHOWN = 5000
"""Images that the probe is trained on; if the source has fewer, each is used in several versions."""
MOST_JUDGED = 1000
ENOUGH_HELDOUT = 100
FEWEST_UNSEEN = 64
"""Fewest images that the probe is not trained on; with fewer it memorises its images, and nothing is measured."""
INSIDE, COVERED = 0.6, 0.4
"""Fakes resemble real images, augmented or not, if this share of them is among those, and they cover this share of those.
Measured on digits and faces: at least 0.65 and 0.53 where all or a third of unseen reals were augmented; noise of all kinds
misses one of the two."""
AUGMENTED_AT, SEEN_AT = 64, 32
"""Longer sides: larger images are shrunk to the first before the augmentation, and to the second for the probe."""
ROWS = 500
"""Number of images that are augmented at a time."""
STEP = 0.05
"""Strengths are rounded up to a multiple of this, so that an adaptive one does not need a new probe each time."""
MEANING = (
    "Share of generated images that a small classifier classifies as augmented; the reference is its error on real "
    "images that it was not trained on. Poor images may look augmented too: look at the samples."
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
class _ProbeData:
    """A probe, and images that it was not trained on: plain and augmented."""

    probe: SmallClassifier
    plain: Tensor
    changed: Tensor


def records(
    source: ImageSource, augment: Augment, fakes: Tensor, seed: int, *, strength: float, name: str
) -> list[Record]:
    """One Record `augmentation_leak[name,p=...,n=...]` for fakes (N, C, H, W) in [-1, 1]; none if nothing is augmented.

    The probe is trained to distinguish plain training images from those that the augmentation has changed at the strength
    that the discriminator receives. Its false alarms are counted on held-out images; with fewer than 100 of them, on a third of
    the training images, which it is then not trained on; with fewer than 64 of these, nothing is measured. Fakes that resemble
    neither kind are measured without a warning.
    """
    strength = min(1.0, math.ceil(strength / STEP - 1e-9) * STEP)
    probe_data = _make_probe(source, augment, strength, seed) if strength > 0 else None
    if probe_data is None:
        return []
    measured = _to_probe_pixels(_shrink(fakes[:MOST_JUDGED].cpu(), AUGMENTED_AT))
    found = apply_probe(probe_data.probe, measured, probe_data.plain, probe_data.changed)
    inside, covered = _likeness(measured, probe_data.plain, probe_data.changed)
    meaning, warning = _meaning_and_warning(found, inside, covered)
    protocol = {
        "extractor": f"probe of {STEPS} steps",
        "extractor_sha256": None,
        "num_real": len(probe_data.plain),
        "num_fake": len(measured),
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
    title = f"augmentation_leak[{name},p={strength:g},n={len(measured)}]"
    return [Record(title, found.share, protocol, "near reference", meaning, found.false_alarms, found.error)]


def _meaning_and_warning(found: AugmentationSigns, inside: float, covered: float) -> tuple[str, str | None]:
    """The meaning and the warning of the record."""
    judgeable = inside >= INSIDE and covered >= COVERED
    meaning = MEANING
    if found.caught < 0.5:
        meaning = BLIND.format(found.caught) + meaning
    if not judgeable:
        return UNLIKE.format(inside, covered) + meaning, None
    warning = WARNING.format(found.share, found.false_alarms) if found.clear else None
    return f"{warning} {meaning}" if warning else meaning, warning


@functools.lru_cache(maxsize=4)
def _make_probe(source: ImageSource, augment: Augment, strength: float, seed: int) -> _ProbeData | None:
    """The probe of a source, an augmentation and a strength; None if too few images are changed."""
    shown, unseen = _split_reals(source, seed)
    if len(unseen) < FEWEST_UNSEEN:
        return None
    shown = degrade_images(shown[torch.arange(SHOWN) % len(shown)], seed)
    changed, unseen_changed = (_augment_rows(rows, augment, strength, seed) for rows in (shown, unseen))
    if min(len(changed), len(unseen_changed)) < FEWEST:
        return None
    return _ProbeData(train_probe(_to_probe_pixels(shown), changed, seed), _to_probe_pixels(unseen), unseen_changed)


def _likeness(fakes: Tensor, plain: Tensor, changed: Tensor) -> tuple[float, float]:
    """The share of the fakes among plain and changed images, and the share of those that the fakes cover, with equal numbers."""
    num = min(len(fakes), len(plain), len(changed))
    real = torch.cat([plain[:num], changed[:num]])
    network = random_features((real.shape[1], real.shape[2], real.shape[3]))
    real_features, fake_features = (extract(network, images) for images in (real, fakes[:num]))
    inside, covered = (
        precision_recall(real_features, fake_features)[0],
        density_coverage(real_features, fake_features)[1],
    )
    return inside.value, covered.value


def _held_out(source: ImageSource) -> bool:
    return source.num_heldout >= ENOUGH_HELDOUT


def _split_reals(source: ImageSource, seed: int) -> tuple[Tensor, Tensor]:
    """Reals in [-1, 1] for training the probe, and others for testing it; large images are shrunk."""
    num = len(source.train)
    order = torch.randperm(num, generator=generator(seed, "leak"))
    if _held_out(source):
        unseen = _read(source.heldout_batch, sample_rows(source.num_heldout, MOST_JUDGED, seed))
    else:
        count = min(MOST_JUDGED, num // 3)
        unseen, order = _read(source.batch, order[:count]), order[count:]
    if source.flip:  # an image is shown with its mirror image, or neither is
        order = order[: SHOWN // 2]
        order = torch.cat([order, order + num])
    return _read(source.batch, order[:SHOWN]), unseen


def _read(batch: Callable[[Tensor], Batch], rows: Tensor) -> Tensor:
    return torch.cat([_shrink(batch(part).data.cpu(), AUGMENTED_AT) for part in torch.split(rows, ROWS)])


def _augment_rows(images: Tensor, augment: Augment, strength: float, seed: int) -> Tensor:
    """The augmented images that differ from their originals, as uint8 input of the probe."""
    found = []
    for number, part in enumerate(torch.split(images, ROWS)):
        rng = SeededNoise(seed, number, 0, 0, len(part), len(part), torch.device("cpu"))
        with torch.no_grad():
            after = augment(part, rng, "leak", strength)
        found.append(_to_probe_pixels(after[(to_pixels(after) != to_pixels(part)).flatten(1).any(1)]))
    return torch.cat(found)


def _to_probe_pixels(images: Tensor) -> Tensor:
    """The images as uint8, shrunk for the probe."""
    return to_pixels(_shrink(images, SEEN_AT))


def _shrink(images: Tensor, largest: int) -> Tensor:
    size = shrunk_size(images.shape[2], images.shape[3], largest)
    if size == tuple(images.shape[2:]) or not len(images):
        return images
    return interpolate(images, size=size, mode="bilinear", antialias=True)
