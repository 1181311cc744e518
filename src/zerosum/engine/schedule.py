"""Values that change over a run, as pure functions of the step: lr, betas, momentum, weights, half-lives, augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Shape = Literal["constant", "linear", "cosine", "exponential"]


@dataclass(frozen=True)
class Schedule:
    """From `start` to `end` over `over_steps` steps, then held; times an optional linear warm-up from 0 at the beginning.

    shape: constant (start only), linear, cosine (half a wave, Loshchilov and Hutter 2017, arXiv:1608.03983), or
    exponential (equal ratios; start and end must have the same sign and not be 0).
    over_share: instead of over_steps, a share of the whole run in (0, 1], for `resolved` to turn into steps.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    start: float
    end: float | None = None
    shape: Shape = "constant"
    over_steps: int = 1
    warmup_steps: int = 0
    over_share: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in ("constant", "linear", "cosine", "exponential"):
            raise ValueError(f"shape must be constant, linear, cosine or exponential, got {self.shape!r}")
        if self.shape != "constant" and self.end is None:
            raise ValueError(f"a {self.shape} schedule needs an end value")
        if self.shape == "constant" and self.end is not None:
            raise ValueError("a constant schedule has no end value; set shape to linear, cosine or exponential")
        if self.shape == "constant" and (self.over_steps != 1 or self.over_share is not None):
            raise ValueError("a constant schedule has no use for over_steps or over_share; set shape and end")
        if self.over_share is not None and self.over_steps != 1:
            raise ValueError("over_steps and over_share both say how long a schedule takes; give one of them")
        if self.over_steps < 1 or self.warmup_steps < 0:
            raise ValueError(
                f"over_steps must be >= 1 and warmup_steps >= 0, got {self.over_steps}, {self.warmup_steps}"
            )
        if self.over_share is not None and not 0 < self.over_share <= 1:
            raise ValueError(f"over_share must lie in (0, 1], got {self.over_share}")
        if self.shape == "exponential" and self.start * (self.end or 0.0) <= 0:
            raise ValueError(f"an exponential schedule needs two values of one sign, got {self.start} and {self.end}")

    def __call__(self, step: int) -> float:
        """The value in step `step`, counted from 0."""
        if self.over_share is not None:
            raise ValueError("this schedule is a share of a run: give it the run's steps by resolved(steps)")
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warm * self._settled(min(1.0, step / self.over_steps))

    def resolved(self, steps: int) -> Schedule:
        """The same schedule for a run of `steps` steps: a share of the run becomes a number of steps."""
        if self.over_share is None:
            return self
        return replace(self, over_steps=max(1, round(self.over_share * steps)), over_share=None)

    def _settled(self, progress: float) -> float:
        if self.shape == "constant" or self.end is None:
            return self.start
        if self.shape == "exponential":
            return float(self.start * (self.end / self.start) ** progress)
        share = progress if self.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * progress)
        return self.start + (self.end - self.start) * share


def at(value: float | Schedule, step: int) -> float:
    """The number that `value` stands for in step `step`."""
    return value(step) if isinstance(value, Schedule) else value
