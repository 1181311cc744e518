"""Classical models of clips: training clips with noise, still training frames, and a normal distribution over small clips.

Legend: N clips, F frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import Baseline
from zerosum.metrics.baselines import Shaped, normal, sample_fit_rows

if TYPE_CHECKING:
    from zerosum.domains.video.data import ClipSource

NOISE = 0.02
"""The standard deviation of the noise on copied clips; pixels lie in [-1, 1]."""


@dataclass(frozen=True)
class Copies:
    """Training clips (N, F, C, H, W) with a little noise. still: one frame of each in place of all."""

    clips: Tensor = field(repr=False)
    still: bool

    @property
    def summary(self) -> str:
        """What is copied."""
        return f"{'still frames' if self.still else 'copies'} of {len(self.clips):,} training clips, with noise of {NOISE:g}"

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, F, C, H, W) float32 in [-1, 1]."""
        rng = torch.Generator().manual_seed(seed)
        found = self.clips[torch.randint(len(self.clips), (num,), generator=rng)]
        found = found[:, found.shape[1] // 2, None].expand_as(found) if self.still else found
        return (found + NOISE * torch.randn(found.shape, generator=rng)).clamp(-1, 1)


def baselines(source: ClipSource) -> dict[str, Callable[[], Baseline]]:
    """Models of the training clips: of all, or of a random choice of at most 2**24 numbers."""

    def clips() -> Tensor:
        size = int(torch.tensor(source.shape).prod())
        return source.batch(sample_fit_rows(source.num_rows, size)).data.cpu()

    return {
        "copies": lambda: Copies(clips(), False),
        "still": lambda: Copies(clips(), True),
        "normal": lambda: Shaped(normal(clips().flatten(1), source.num_rows), source.shape),
    }
