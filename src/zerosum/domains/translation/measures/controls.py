"""Control images: images that are not good translations. A metric that does not rate them clearly worse than real
images is marked as unable to judge.

Legend: N rows.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domains.translation.measures.appearance import contrast
from zerosum.domains.translation.measures.label_accuracy import label_accuracy
from zerosum.domains.translation.measures.structure import edge_ssim, ssim
from zerosum.domains.translation.sides import Side
from zerosum.metrics.feature_networks import psnr
from zerosum.metrics.patches import patch_distances
from zerosum.metrics.record import Record, unclear

if TYPE_CHECKING:
    from zerosum.domains.translation.measures.context import RealSamples
    from zerosum.domains.translation.measures.label_accuracy import LabelReader

MIN_TARGETS = 16
"""With fewer targets only the errors against the true targets can judge."""
NUM_PATCHES, NUM_DIRECTIONS = 4_000, 64
PART, CLEAR, ERRORS = 0.8, 0.1, 3.0
"""Real targets must have at most PART times the patch distance of a control, a label accuracy at least CLEAR above it,
and edges that are more similar by at least ERRORS standard errors of the difference."""

TRUE, OTHERS = "true targets", "other real targets"
UNTRANSLATED, REPEATED = "untranslated input", "one target repeated"
SHUFFLED, NOISE, MEAN = "targets shuffled among inputs", "pixels shuffled", "mean of the targets"
REAL_NAMES = {TRUE: "True targets", OTHERS: "Other real targets"}

Values = dict[str, dict[str, float]]
"""Prefix of a metric's name -> name of the real images (first, where there are any) or of a control -> value."""


@dataclass(frozen=True)
class TranslationControls:
    """The controls of the real images of an evaluation, computed once, at the first use. seed: of patches and noise."""

    reals: RealSamples
    paired: bool
    target: Side
    reader: LabelReader
    seed: int

    @functools.cached_property
    def images(self) -> Mapping[str, Tensor]:
        """The images (N, C, H, W) of each control. In shuffled targets each input has the target of the previous
        one."""
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
        """The values of real images and controls."""
        if len(self.reals.targets) < 2:
            return {}
        return self._appearance() | self._edges[0] | self._labels() | (self._truth() if self.paired else {})

    def add_to(self, record: Record) -> Record:
        """The record with its controls, and with the reason if it cannot judge."""
        found = next((own for start, own in self.values.items() if record.name.startswith(start)), {})
        rounded, reason = {name: float(f"{value:.4g}") for name, value in found.items()}, ""
        real_name = REAL_NAMES.get(next(iter(rounded), ""), "")
        if real_name and len(rounded) > 1:
            clear = {"edges_kept": self._edges[1], "label_accuracy": CLEAR}.get(record.name.partition("[")[0], 0.25)
            reason = unclear(rounded, record.better, real_name, clear=clear, part=PART)
        if (num := len(self.reals.targets)) < MIN_TARGETS and not record.name.startswith(("psnr", "ssim", "label_ag")):
            reason = f"{num} real images are too few; {MIN_TARGETS} are needed."
        protocol = {**record.protocol, **({"controls": rounded} if rounded else {})}
        return replace(record, protocol=protocol).mark_unreliable(reason)

    def _select(self, *names: str) -> dict[str, Tensor]:
        return {name: self.images[name] for name in names if name in self.images}

    def _appearance(self) -> Values:
        reals = self.reals
        sides = {OTHERS: reals.others, **self._select(UNTRANSLATED, REPEATED, NOISE)}
        found: Values = {}
        for name, images in sides.items():
            for level, distance in patch_distances(
                reals.targets, images, NUM_PATCHES, NUM_DIRECTIONS, self.seed
            ).items():
                found.setdefault(f"patch_distance[level={level},", {})[name] = distance
        ours = float(contrast(reals.targets).clamp_min(1e-6))
        ratios = {OTHERS: reals.others, **self._select(MEAN)}
        return found | {"contrast_ratio": {name: float(contrast(images)) / ours for name, images in ratios.items()}}

    @functools.cached_property
    def _edges(self) -> tuple[Values, float]:
        """The values of true targets and controls, and by how much the former must exceed the latter."""
        inputs = self.reals.inputs
        sides = self._select(SHUFFLED, REPEATED, NOISE)
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
        labels = self.reals.inputs.argmax(1)
        sides = {TRUE: self.reals.targets, **self._select(SHUFFLED, REPEATED, NOISE)}
        return {
            "label_accuracy": {
                name: label_accuracy(self.reader.model, images, labels) for name, images in sides.items()
            }
        }

    def _truth(self) -> Values:
        true, sides = self.reals.targets, self._select(UNTRANSLATED, SHUFFLED, REPEATED)
        if self.target.kind == "labels":
            right = true.argmax(1)
            return {
                "label_agreement": {name: float((x.argmax(1) == right).double().mean()) for name, x in sides.items()}
            }
        return {
            measure: {name: float(of(images, true).mean()) for name, images in sides.items()}
            for measure, of in (("psnr[", psnr), ("ssim[", ssim))
        }
