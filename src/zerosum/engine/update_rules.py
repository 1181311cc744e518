"""The rules of the ordinary game: where the noise comes from, and how the turns are played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from zerosum.engine.adaptive import Adaptive
from zerosum.engine.schedule import Schedule
from zerosum.engine.seeds import SeededNoise

LARGEST = 65_536
"""Numbers of noise a row: a description that asks for more asks for memory."""


@dataclass(frozen=True)
class Prior:
    """The distribution of the noise z, (N, L) float32: normal, uniform on [-1, 1], or truncated normal (|z| <= limit)."""

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    size: int
    kind: Literal["normal", "uniform", "truncated_normal"] = "normal"
    limit: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in ("normal", "uniform", "truncated_normal"):
            raise ValueError(f"prior kind must be normal, uniform or truncated_normal, got {self.kind!r}")
        if not 1 <= self.size <= LARGEST or not self.limit > 0:
            raise ValueError(
                f"prior size must lie in 1 to {LARGEST:,} and its limit above 0, got {self.size} and {self.limit}"
            )
        if self.kind != "truncated_normal" and self.limit != Prior.limit:
            raise ValueError(f"a prior limit has no use with kind = {self.kind!r}; it goes with truncated_normal")

    def draw(self, draws: SeededNoise, purpose: str = "noise") -> Tensor:
        """(N, L) float32."""
        if self.kind == "uniform":
            return draws.uniform(purpose, self.size) * 2 - 1
        if self.kind == "truncated_normal":
            return draws.truncated_normal(purpose, self.size, limit=self.limit)
        return draws.normal(purpose, self.size)


@dataclass(frozen=True)
class UpdateRules:
    """How the turns are played.

    discriminator_steps: k, discriminator turns before each generator turn.
    simultaneous: both players' gradients are taken at the same parameters (k must be 1).
    fakes: "fresh" noise in every turn, or the "previous" generator turn's samples for the discriminator.
    batches: real and fake through the discriminator as "two" batches or as "one" concatenated batch.
    clip_weights: every discriminator weight is clamped to [-c, c] after its step.
    augment_strength: handed to the augmentation: a number, a Schedule, or Adaptive, which follows D's overfitting.
    augment_role: "shown": D sees reals and fakes augmented; "compared": D sees them plain, and only a penalty of that
        role (`consistency`) looks at augmented ones.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    discriminator_steps: int = 1
    simultaneous: bool = False
    fakes: Literal["fresh", "previous"] = "fresh"
    batches: Literal["two", "one"] = "two"
    clip_weights: float | None = None
    augment_strength: float | Schedule | Adaptive = 1.0
    augment_role: Literal["shown", "compared"] = "shown"

    def __post_init__(self) -> None:
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be at least 1, got {self.discriminator_steps}")
        if self.simultaneous and self.discriminator_steps != 1:
            raise ValueError("a simultaneous update has one discriminator step; set discriminator_steps = 1")
        if self.fakes not in ("fresh", "previous"):
            raise ValueError(f"fakes must be fresh or previous, got {self.fakes!r}")
        if self.batches not in ("two", "one"):
            raise ValueError(f"batches must be two or one, got {self.batches!r}")
        if self.augment_role not in ("shown", "compared"):
            raise ValueError(f"augment_role must be shown or compared, got {self.augment_role!r}")
        if self.clip_weights is not None and not self.clip_weights > 0:
            raise ValueError(f"clip_weights must be more than 0, got {self.clip_weights}; leave it out for no clipping")
