"""Images that no generator should equal, measured as translations are: what a measure says of them is what it is worth.

Legend: N rows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domains.translation.measures.patch_distance import patch_distances
from zerosum.domains.translation.measures.patch_labels import label_accuracy
from zerosum.domains.translation.measures.ssim import contrast, edge_ssim, ssim
from zerosum.domains.translation.sides import Side
from zerosum.metrics.pyramid import psnr
from zerosum.metrics.record import Record, unclear

if TYPE_CHECKING:
    from zerosum.domains.translation.measures.context import Reals
    from zerosum.domains.translation.measures.labels import Reader

FEWEST_JUDGED = 16
"""Targets below which only errors against the truth are judged by."""
NUM_PATCHES, NUM_DIRECTIONS = 4_000, 64
PART, CLEAR, ERRORS = 0.8, 0.1, 3.0
"""At most so much of a control's patch distance may other targets score; by so much must true targets pass it in the share of
labels found; by so many standard errors of the difference in the edges kept."""

TRUE, OTHERS = "true targets", "other real targets"
UNTRANSLATED, REPEATED = "untranslated input", "one target repeated"
SHUFFLED, NOISE, MEAN = "targets shuffled among inputs", "pixels shuffled", "mean of the targets"
TOLD = {TRUE: "True targets", OTHERS: "Other real targets"}

Values = dict[str, dict[str, float]]
"""Start of a measure's name -> the real images (where there are such) and controls -> value."""


@dataclass(frozen=True)
class Controls:
    """The controls of one evaluation's reals; computed when first asked for, and once. seed: of patches and noise."""

    reals: Reals
    paired: bool
    target: Side
    reader: Reader
    seed: int

    @functools.cached_property
    def images(self) -> Mapping[str, Tensor]:
        """The images (N, C, H, W) of each control. Rows of shuffled targets are those of the next input."""
        targets = self.reals.targets
        pixels = targets.flatten(2)
        order = torch.rand(
            len(targets), 1, pixels.shape[2], generator=torch.Generator().manual_seed(self.seed)
        ).argsort(2)
        found = {
            SHUFFLED: targets.roll(1, 0),
            REPEATED: self.reals.others[:1].expand_as(targets),
            NOISE: pixels.gather(2, order.expand_as(pixels)).view_as(targets),
            MEAN: targets.mean(0, keepdim=True).expand_as(targets),
        }
        return found | ({UNTRANSLATED: self.reals.inputs} if self.reals.inputs.shape == targets.shape else {})

    @functools.cached_property
    def values(self) -> Values:
        """What real images and controls score."""
        if len(self.reals.targets) < 2:
            return {}
        return self._likeness() | self._edges[0] | self._labels() | (self._truth() if self.paired else {})

    def told(self, record: Record) -> Record:
        """The record with its controls, and with a reason where it cannot judge."""
        found = next((own for start, own in self.values.items() if record.name.startswith(start)), {})
        rounded, reason = {name: float(f"{value:.4g}") for name, value in found.items()}, ""
        told = TOLD.get(next(iter(rounded), ""), "")
        if told and len(rounded) > 1:
            clear = {"edges_kept": self._edges[1], "label_accuracy": CLEAR}.get(record.name.partition("[")[0], 0.25)
            reason = unclear(rounded, record.better, told, clear=clear, part=PART)
        if (num := len(self.reals.targets)) < FEWEST_JUDGED and not record.name.startswith(
            ("psnr", "ssim", "label_ag")
        ):
            reason = f"{num} real images are too few; {FEWEST_JUDGED} are needed."
        protocol = {**record.protocol, **({"controls": rounded} if rounded else {})}
        return replace(record, protocol=protocol).doubted(reason)

    def _picked(self, *names: str) -> dict[str, Tensor]:
        return {name: self.images[name] for name in names if name in self.images}

    def _likeness(self) -> Values:
        reals = self.reals
        sides = {OTHERS: reals.others, **self._picked(UNTRANSLATED, REPEATED, NOISE)}
        found: Values = {}
        for name, images in sides.items():
            for level, far in patch_distances(reals.targets, images, NUM_PATCHES, NUM_DIRECTIONS, self.seed).items():
                found.setdefault(f"patch_distance[level={level},", {})[name] = far
        ours = float(contrast(reals.targets).clamp_min(1e-6))
        ratios = {OTHERS: reals.others, **self._picked(MEAN)}
        return found | {"contrast_ratio": {name: float(contrast(images)) / ours for name, images in ratios.items()}}

    @functools.cached_property
    def _edges(self) -> tuple[Values, float]:
        """What true targets and controls score, and by how much the former must pass the latter."""
        inputs = self.reals.inputs
        sides = self._picked(SHUFFLED, REPEATED, NOISE)
        scored = {name: edge_ssim(inputs, images).double() for name, images in sides.items()}
        if not self.paired:
            return {"edges_kept": {name: float(values.mean()) for name, values in scored.items()}}, 0.0
        true = edge_ssim(inputs, self.reals.targets).double()
        error = max(float((true - values).std()) for values in scored.values()) / len(true) ** 0.5
        scored = {TRUE: true, **scored}
        return {"edges_kept": {name: float(values.mean()) for name, values in scored.items()}}, ERRORS * error

    def _labels(self) -> Values:
        if not self.reader.applies:
            return {}
        asked = self.reals.inputs.argmax(1)
        sides = {TRUE: self.reals.targets, **self._picked(SHUFFLED, REPEATED, NOISE)}
        return {
            "label_accuracy": {name: label_accuracy(self.reader.model, images, asked) for name, images in sides.items()}
        }

    def _truth(self) -> Values:
        true, sides = self.reals.targets, self._picked(UNTRANSLATED, SHUFFLED, REPEATED)
        if self.target.kind == "labels":
            right = true.argmax(1)
            return {
                "label_agreement": {name: float((x.argmax(1) == right).double().mean()) for name, x in sides.items()}
            }
        return {
            measure: {name: float(of(images, true).mean()) for name, images in sides.items()}
            for measure, of in (("psnr", psnr), ("ssim", ssim))
        }
