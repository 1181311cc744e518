"""The data of one evaluation, which every metric takes.

Legend: N rows, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo
from zerosum.domains.translation.sides import Side, sides, size_of
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.translation.source import PairSource

OVER_IMAGES = "standard error over the images"


@dataclass(frozen=True)
class RealSamples:
    """inputs: (N, C, H, W), to be translated. targets: their targets if rows are pairs, else rows of the target side.
    others: as many further targets, which are compared with `targets` for reference values. split: the part of the data
    that inputs belong to."""

    inputs: Tensor
    targets: Tensor
    others: Tensor
    split: str


@dataclass(frozen=True)
class TranslationEvaluation:
    """One evaluation. fakes: (N, C, H, W) in [-1, 1], the translations of the inputs of `reals`, row by row."""

    source: PairSource
    info: DatasetInfo
    reals: RealSamples
    fakes: Tensor
    seed: int

    @property
    def sides(self) -> tuple[Side, Side]:
        """Input and target."""
        return sides(self.info)

    @property
    def paired(self) -> bool:
        """Whether row i of the targets is the true translation of input i."""
        return bool(self.info.payload["paired"])

    def protocol(self, **more: Any) -> dict[str, Any]:
        """The protocol of a record, with the entries `more`."""
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "split": self.reals.split,
            "num_real": len(self.reals.targets),
            "num_fake": len(self.fakes),
            "size": list(size_of(self.info)),
            "resize": "none",
            "values": "[-1, 1], clamped, not rounded",
            "seed": self.seed,
            "torch": torch.__version__,
            **more,
        }

    def mean(
        self, name: str, values: Tensor, better: str, meaning: str, real: Tensor | None = None, **more: Any
    ) -> Record:
        """The mean of (N,) values, one for each image, with its standard error. real: the values of the true
        targets."""
        values = values.double()
        error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
        protocol = self.protocol(error=OVER_IMAGES, **more)
        floor = None if real is None else float(real.double().mean())
        return Record(f"{name},n={len(values)}]", float(values.mean()), protocol, better, meaning, floor, error)
