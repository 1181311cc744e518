"""Measures samples against held-out people, each measure beside its value for real rows and for controls that must fail.

Legend: N rows, * spatial sizes, F features.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domain.contract import stage
from zerosum.domains.medical import measures, segmentation
from zerosum.domains.medical.data import ScanSource
from zerosum.engine.seeds import generator
from zerosum.metrics.neighbours import diversity, memorisation, unseen_distances
from zerosum.metrics.patches import patch_distances
from zerosum.metrics.record import Record, unclear
from zerosum.nn.layers import require_condition

Judge = Callable[[Tensor, Tensor | None], Tensor]
MAX_ROWS = 200
LEAST_HELDOUT = 16
MAX_SEGMENTED = 2_000
"""Rows on which the network that finds label maps is trained."""
SEGMENTED = (
    ("label_dice", segmentation.dice, "higher",
     "Dice overlap of the label map and of what a network finds in the image, averaged over the largest labels."),
    ("volume_error", segmentation.volume_error, "lower",
     "Relative error of the sizes of the regions that a network finds in the image, averaged over images and labels."),
)  # fmt: skip
QUICK_PATCHES, QUICK_DIRECTIONS = 4_000, 64


class MedicalEvaluator:
    """Compares samples with rows of people who were not trained on, where there are at least 16 such rows; else with half of the
    training rows. Samples of games with inputs are made from the inputs of those rows."""

    def __init__(self, source: ScanSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.held = source.num_heldout >= LEAST_HELDOUT
        self.window = source.payload.window[0], source.payload.window[1]
        self.units = source.payload.stored["units"] or "units"

    @property
    def num_samples(self) -> int:
        """The number of samples that are compared."""
        return len(self._real[0])

    def conditions(self) -> Tensor | None:
        """(num_samples, 1, *): the inputs of the real rows; None in games without inputs."""
        return self._real[1] if self.source.payload.input != "none" else None

    def _rows(self, purpose: str) -> tuple[Tensor, Tensor | None]:
        source = self.source
        if purpose == "real" and self.held:
            order = torch.randperm(source.num_heldout, generator=generator(self.seed, "evaluate", "held"))
            batch = source.heldout_batch(order[:MAX_ROWS])
        else:
            order = torch.randperm(source.num_rows, generator=generator(self.seed, "evaluate", "train"))
            half = min(MAX_ROWS, max(1, source.num_rows // 2))
            batch = source.batch(order[:half] if purpose == "real" else order[-min(half, len(self._real[0])) :])
        return batch.data.cpu(), None if batch.condition is None else batch.condition.cpu()

    @functools.cached_property
    def _real(self) -> tuple[Tensor, Tensor | None]:
        return self._rows("real")

    @functools.cached_property
    def _other(self) -> Tensor:
        """Other real rows, whose values are the references."""
        return self._rows("other")[0]

    @functools.cached_property
    def _controls(self) -> Mapping[str, Tensor]:
        return measures.controls(self._other, generator(self.seed, "evaluate", "controls"))

    @functools.cached_property
    def _measures(self) -> Mapping[str, measures.Measure]:
        return measures.table(self._real[0], self.window, self.units, self.seed)

    @functools.cached_property
    def _references(self) -> Mapping[str, Mapping[str, float]]:
        """Measure -> its value for other real rows, then for each control."""
        rows = {"real": self._other, **self._controls}
        return {
            name: {which: measure.value(some) for which, some in rows.items()}
            for name, measure in self._measures.items()
        }

    @functools.cached_property
    def _segmenter(self) -> tuple[segmentation.Segmenter, segmentation.Regions]:
        """A network that was trained to find label maps in real training rows, and the regions that it distinguishes."""
        source = self.source
        order = torch.randperm(source.num_rows, generator=generator(self.seed, "evaluate", "segmentation"))
        batch = source.batch(order[:MAX_SEGMENTED])
        images, maps = batch.data.cpu(), require_condition(batch.condition).cpu()
        regions = segmentation.Regions.largest(maps, source.payload.codes.index(0))
        return segmentation.trained(images, maps, regions, self.seed), regions

    def prepare(self, log: Callable[[str], None]) -> None:
        """Computes the values of real rows and controls; with label maps trains a network that finds them in images."""
        log("Computing the measures of real rows and of controls.")
        assert self._references
        if self.source.payload.input == "labels":
            log("Training a network that finds label maps in real images.")
            assert self._segmenter

    def evaluate(self, fakes: Tensor, labels: Tensor | None = None, judge: Judge | None = None) -> list[Record]:
        """All records of (num_samples, 1, *) fakes."""
        fakes = fakes.detach().cpu().float().clamp(-1, 1)
        records = []
        for name, measure in self._measures.items():
            if stage(name):
                records.append(self._record(name, measure, measure.value(fakes), len(fakes)))
        if self.conditions() is not None and stage("distance to the targets"):
            records.append(self._error(fakes))
            if self.source.payload.input != "labels":
                records.append(self._psnr(fakes))
        if self.source.payload.input == "labels" and stage("labels found in the images"):
            records += self._labels(fakes)
        if stage("copies of training rows"):
            records.append(self._copies(fakes))
        return records

    def _record(self, name: str, measure: measures.Measure, value: float, num: int) -> Record:
        values = self._references[name]
        failing = {which: value for which, value in values.items() if which in measure.fails}
        protocol = {
            **self._protocol(num),
            **measure.protocol,
            "controls": {k: float(f"{v:.4g}") for k, v in values.items() if k != "real"},
        }
        record = Record(f"{name}[n={num}]", value, protocol, measure.better, measure.meaning, values["real"])
        if measure.better != "lower":
            return record
        return record.mark_unreliable(unclear({"real": values["real"], **failing}, "lower", "real rows"))

    def _error(self, fakes: Tensor) -> Record:
        """Mean absolute difference from the target, in units; that of the mean image of the real rows is the control."""
        real, scale = self._real[0], (self.window[1] - self.window[0]) / 2
        value = float((fakes - real).abs().mean()) * scale
        controls = {"mean image": float((real.mean(0) - real).abs().mean()) * scale}
        controls["outputs exchanged between inputs"] = float((fakes.roll(1, 0) - real).abs().mean()) * scale
        rounded = {name: float(f"{one:.4g}") for name, one in controls.items()}
        return Record(
            f"target_error[n={len(fakes)}]", value, {**self._protocol(len(fakes)), "controls": rounded}, "lower",
            f"Mean absolute difference from the target image in {self.units}. An input does not determine its image, so 0 is not "
            "expected.",
        )  # fmt: skip

    def _labels(self, fakes: Tensor) -> list[Record]:
        """What a network finds in the samples that was trained on real images, against the label maps they were made from."""
        model, regions = self._segmenter
        real, maps = self._real[0], require_condition(self._real[1])
        truth, num = regions.of(maps), len(regions)
        made, true = (segmentation.found_in(model, images) for images in (fakes, real))
        records = []
        for name, measure, better, meaning in SEGMENTED:
            reference, exchanged = measure(true, truth, num), measure(true.roll(1, 0), truth, num)
            if math.isnan(reference):  # no region is large enough in these rows
                continue
            protocol = {
                **self._protocol(len(fakes)),
                "network": f"U-Net trained for {segmentation.STEPS} steps on real training rows",
                "regions": num - 1,
                "least_voxels": segmentation.LEAST_VOXELS,
                "controls": {"real images exchanged between label maps": float(f"{exchanged:.4g}")},
            }
            record = Record(f"{name}[n={len(fakes)}]", measure(made, truth, num), protocol, better, meaning, reference)
            values = {"real": reference, "exchanged": exchanged}
            reason = unclear(values, better, "real rows") if self.held else "No people are held out to compare with."
            records.append(record.mark_unreliable(reason))
        return records

    def _psnr(self, fakes: Tensor) -> Record:
        """10 log10(range^2 / mean squared difference from the target); the input itself is the control."""
        real, given = self._real
        assert given is not None
        values = [10 * math.log10(4 / max(float((x - real).square().mean()), 1e-12)) for x in (fakes, given)]
        protocol = {**self._protocol(len(fakes)), "controls": {"the input itself": round(values[1], 2)}}
        return Record(
            f"psnr[n={len(fakes)}]", values[0], protocol, "higher",
            "Peak signal-to-noise ratio against the target in decibels; the peak is the window's width.",
        )  # fmt: skip

    def _copies(self, fakes: Tensor) -> Record:
        """The share of samples nearer to a training row than 1 in 100 held-out rows is, at a quarter of the size."""
        train = measures.shrunk(self.source.batch(torch.arange(min(2_000, self.source.num_rows))).data.cpu())
        real = measures.shrunk(self._real[0]) if self.held else None
        unseen = unseen_distances(train, real)
        found = memorisation(measures.shrunk(fakes), train, None, unseen)
        controls = {
            "copies of training rows": memorisation(train[: len(fakes)], train, None, unseen).copy_rate,
            "training rows warped": memorisation(
                measures.shrunk(self._controls["warps of one row"]), train, None, unseen
            ).copy_rate,
        }
        protocol = {**self._protocol(len(fakes)), "controls": controls, "p_value": found.p_value}
        record = Record(
            f"copy_rate[n={len(fakes)}]", found.copy_rate, protocol, "near 0.01",
            "Share of samples that lie as near to a training image as only 1 in 100 images of other people does.", 0.01,
        )  # fmt: skip
        return record if self.held else record.mark_unreliable("No people are held out to compare with.")

    def _protocol(self, num: int) -> dict[str, Any]:
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "split": "held-out people" if self.held else "training",
            "num_real": len(self._real[0]),
            "num_fake": num,
            "seed": self.seed,
            "torch": torch.__version__,
        }

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Diversity, contrast, and the distance of patches."""
        fakes = fakes.detach().cpu().float().clamp(-1, 1)
        real = self._real[0]
        side = measures.patch_side(real)
        distances = patch_distances(real, fakes, QUICK_PATCHES, QUICK_DIRECTIONS, self.seed, side)
        spread = (
            diversity(fakes.flatten(1)) / max(diversity(real[: len(fakes)].flatten(1)), 1e-6)
            if len(fakes) > 1
            else None
        )
        return QuickMetrics(
            diversity=spread,
            contrast=float(fakes.flatten(1).std(1).mean() / real.flatten(1).std(1).mean().clamp_min(1e-6)),
            others={"patch_distance": sum(distances.values()) / len(distances)},
        )
