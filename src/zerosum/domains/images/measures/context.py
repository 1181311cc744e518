"""What every measure of one evaluation looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domains.images.features import Prepared

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

FEWEST = 16
"""Below this many samples a side no distribution is worth comparing."""


@dataclass(frozen=True)
class EvalContext:
    """One evaluation. fakes: uint8 (N, C, H, W); labels: the classes asked for (N,), or None; features: (N, D) of the
    fakes; predicted: the class in which the source's classifier puts each fake, or None. common: what all protocols share.
    notes: gains a sentence for each measure that had to be left out.
    """

    source: ImageSource
    prepared: Prepared
    fakes: Tensor
    labels: Tensor | None
    features: Tensor
    predicted: Tensor | None
    seed: int
    common: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def num(self) -> int:
        """Samples a side in the measures of distributions."""
        return min(len(self.features), len(self.prepared.real))

    def sides(self, num_real: int, num_fake: int, **more: Any) -> dict[str, Any]:
        """The protocol of a record with so many samples."""
        return {**self.common, "num_real": num_real, "num_fake": num_fake, **more}


def common_protocol(source: ImageSource, prepared: Prepared, seed: int) -> dict[str, Any]:
    """What the protocols of all records of one evaluator share."""
    return {
        "source": source.name,
        "fingerprint": source.fingerprint,
        "extractor": prepared.name,
        "extractor_sha256": prepared.sha256,
        "extractor_accuracy_heldout": prepared.accuracy,
        "split": "train",
        "images": "uint8",
        "resize": prepared.extractor.resize,
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
