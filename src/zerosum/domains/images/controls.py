"""Controls: images that no generator should produce, measured in the same way as generated images.

Legend: M rows of a control. If a measure does not score halves of the real images clearly better than a control that must
fail, it cannot distinguish real images from the control; its record then states that the value is unreliable.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from zerosum.domains.images.features import Extractor, RealFeatures
from zerosum.metrics.classes import NUM_SPLITS, class_score
from zerosum.metrics.distances import frechet_distance, kernel_distance
from zerosum.metrics.neighbours import density_coverage, precision_recall
from zerosum.metrics.record import CLEAR, PART, Record, unclear

FEWEST_JUDGED = 64
"""Fewest real images for which distances and neighbourhoods are reliable."""
MOST = 200
"""Number of rows of a control."""
MOST_FEATURES = 512
"""Largest number of features for which the Fréchet distances of controls are computed; beyond it each takes seconds."""

HALVES, NOISE, STRIPES, REPEATED = "real halves", "pixels shuffled", "stripes", "one image repeated"
MUST_FAIL: Mapping[str, tuple[str, ...]] = {
    "frechet": (NOISE, STRIPES, REPEATED),
    "kernel_distance": (NOISE, STRIPES, REPEATED),
    "precision": (NOISE, STRIPES),
    "density": (NOISE, STRIPES),
    "recall": (REPEATED,),
    "coverage": (NOISE, STRIPES, REPEATED),
    "class_score": (NOISE, STRIPES, REPEATED),
}
KIND = {"fid": "frechet", "kid": "kernel_distance", "inception_score": "class_score"}


def noise(images: Tensor, seed: int) -> dict[str, Tensor]:
    """Controls (M, C, H, W) uint8 computed from images of that shape: the pixels of each image in random order; and stripes
    along both axes, with one value of the image for each row and each column."""
    draw = torch.Generator().manual_seed(seed)
    flat, (num, channels, height, width) = images.cpu().flatten(2), images.shape
    order = torch.rand(num, 1, height * width, generator=draw).argsort(2).expand(-1, channels, -1)
    shuffled = flat.gather(2, order)
    rows, columns = shuffled[:, :, :height].float(), shuffled[:, :, -width:].float()
    stripes = (rows[:, :, :, None] + columns[:, :, None, :]) / 2
    return {NOISE: shuffled.view_as(images), STRIPES: stripes.round().to(torch.uint8)}


class ImageControls:
    """The controls of one extractor and its real images, computed once, at the first use."""

    def __init__(self, prepared: RealFeatures, images: Tensor, seed: int) -> None:
        self.prepared, self.num = prepared, min(MOST, len(prepared.real) // 2)
        self._images, self._seed = images[: self.num], seed

    @functools.cached_property
    def values(self) -> Mapping[str, Mapping[str, float]]:
        """Base name of a measure -> control -> value, each of `num` rows against as many reals."""
        real, num = self.prepared.real, self.num
        sides = {HALVES: real[num : 2 * num], REPEATED: real[num : num + 1].repeat(num, 1)}
        sides |= {name: self.prepared.features(images) for name, images in noise(self._images, self._seed).items()}
        scored = {name: _scores(real[:num], rows, self.prepared.extractor) for name, rows in sides.items()}
        return {
            measure: {name: scored[name][measure] for name in (HALVES, *failing)}
            for measure, failing in MUST_FAIL.items()
            if measure in scored[HALVES]
        }

    def add_to(self, record: Record) -> Record:
        """The record with its controls, marked as unreliable if they are scored too well."""
        base = record.name.partition("[")[0]
        measure = KIND.get(base, base)
        if measure not in MUST_FAIL:
            return record
        protocol, reason = dict(record.protocol), ""
        if len(self.prepared.real) < FEWEST_JUDGED:
            reason = f"{len(self.prepared.real)} real images are too few; {FEWEST_JUDGED} are needed."
        if measure in self.values:
            values = {name: round(value, 4) for name, value in self.values[measure].items()}
            protocol |= {"controls": values, "controls_rows": self.num}
            # A class score starts at 1 and is not a share: the controls must stay below half of the part above 1.
            clear = PART * (values[HALVES] - 1) if measure == "class_score" else CLEAR
            reason = reason or unclear(values, record.better, "Halves of the real images", clear=clear)
        return replace(record, protocol=protocol).mark_unreliable(reason)


def _scores(real: Tensor, rows: Tensor, extractor: Extractor) -> dict[str, float]:
    (precision, _), (recall, _) = precision_recall(real, rows)
    (density, _), (coverage, _) = density_coverage(real, rows)
    scale = 1.0 if extractor.standard else float(real.double().square().mean().sqrt()) or 1.0
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    found["kernel_distance"] = kernel_distance(real / scale, rows / scale).value
    probabilities = extractor.probabilities(rows) if len(rows) >= NUM_SPLITS else None
    if probabilities is not None:
        found["class_score"] = class_score(probabilities).value
    return found | ({"frechet": frechet_distance(real, rows)} if real.shape[1] <= MOST_FEATURES else {})
