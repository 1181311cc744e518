"""Controls: clips that are no good samples, measured in the same way as generated ones. A measure that does not score real clips
clearly better than a control that must fail cannot judge; its record says so.

Legend: N clips, F frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

STILL, SHUFFLED, REVERSED, HALF_SPEED, SPLICED = (
    "still frames", "shuffled in time", "reversed", "half speed", "spliced",
)  # fmt: skip
NOISE, ONE_CLASS, BLENDED = "noise", "one class", "blends of two clips"

MUST_FAIL: Mapping[str, tuple[str, ...]] = {
    "frechet": (NOISE, ONE_CLASS, BLENDED),
    "difference_frechet": (STILL, NOISE, SHUFFLED),
    "motion_frechet": (STILL, SHUFFLED, NOISE),
    "jerk": (SHUFFLED, NOISE),
    "class_accuracy": (NOISE, ONE_CLASS),
    "frame_confidence": (NOISE,),
}
"""The controls that a measure must score clearly worse than real clips; the others are shown beside them. A still clip has no
jerk, and motions that look right backwards too are not told from their reversal."""


def make_controls(clips: Tensor, labels: Tensor | None, seed: int) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Control -> (clips (N, F, C, H, W), the classes that are asked for), made of real clips."""
    rng = torch.Generator().manual_seed(seed)
    makers: Mapping[str, Callable[[Tensor], Tensor]] = {
        STILL: lambda x: x[:, x.shape[1] // 2, None].expand_as(x),
        SHUFFLED: lambda x: shuffled(x, rng),
        REVERSED: lambda x: x.flip(1),
        HALF_SPEED: half_speed,
        SPLICED: spliced,
        NOISE: lambda x: (x.mean() + x.std() * torch.randn(x.shape, generator=rng)).clamp(-1, 1),
        BLENDED: lambda x: (x + x.roll(1, 0)) / 2,
    }
    found = {name: (make(clips), labels) for name, make in makers.items()}
    if labels is not None and int(labels.max()) > int(labels.min()):
        alone = clips[labels == labels.mode().values]
        found[ONE_CLASS] = alone[torch.arange(len(clips)) % len(alone)], labels
    return found


def shuffled(clips: Tensor, rng: torch.Generator) -> Tensor:
    """The frames of each clip in a random order of its own."""
    order = torch.rand(clips.shape[:2], generator=rng).argsort(1)
    return clips.gather(1, order[:, :, None, None, None].expand_as(clips))


def half_speed(clips: Tensor) -> Tensor:
    """Each frame of the first half twice."""
    return clips[:, torch.arange(clips.shape[1]) // 2]


def spliced(clips: Tensor) -> Tensor:
    """The first half of each clip with the second half of the next one."""
    half = clips.shape[1] // 2
    return torch.cat([clips[:, :half], clips.roll(1, 0)[:, half:]], 1)
