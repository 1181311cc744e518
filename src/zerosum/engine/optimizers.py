"""How weights change: schedules of numbers over steps, the optimizer of a player with its limits on the gradient, and the average
of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

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
        return warm * self._shaped(min(1.0, step / self.over_steps))

    def resolved(self, steps: int) -> Schedule:
        """The same schedule for a run of `steps` steps: a share of the run becomes a number of steps."""
        if self.over_share is None:
            return self
        return replace(self, over_steps=max(1, round(self.over_share * steps)), over_share=None)

    def _shaped(self, progress: float) -> float:
        if self.shape == "constant" or self.end is None:
            return self.start
        if self.shape == "exponential":
            return float(self.start * (self.end / self.start) ** progress)
        share = progress if self.shape == "linear" else 0.5 - 0.5 * math.cos(math.pi * progress)
        return self.start + (self.end - self.start) * share


def at(value: float | Schedule, step: int) -> float:
    """The number that `value` stands for in step `step`."""
    return value(step) if isinstance(value, Schedule) else value


Number = float | Schedule
USES = {"adam": ("betas", "eps"), "adamw": ("betas", "eps"), "sgd": ("momentum",), "rmsprop": ("momentum", "eps")}
"""Fields of OptimizerConfig that only some kinds have a use for."""


@dataclass(frozen=True)
class OptimizerConfig:
    """One player's optimizer. Numbers marked Number may be a Schedule over steps.

    kind: adam, adamw (both with betas and eps), sgd (with momentum) or rmsprop (with momentum and eps); a number that the kind
    has no use for is refused. lr, betas, momentum: Number.
    clip_value: each gradient entry is clamped to [-c, c]. clip_norm: the whole gradient is scaled to at most this norm.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    kind: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    lr: Number = 2e-4
    betas: tuple[Number, Number] = (0.0, 0.99)
    momentum: Number = 0.0
    weight_decay: float = 0.0
    eps: float = 1e-8
    clip_value: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("adam", "adamw", "sgd", "rmsprop"):
            raise ValueError(f"optimizer kind must be adam, adamw, sgd or rmsprop, got {self.kind!r}")
        for name in ("betas", "momentum", "eps"):
            value, kinds = getattr(self, name), [kind for kind, used in USES.items() if name in used]
            if self.kind not in kinds and value != type(self).__dataclass_fields__[name].default:
                raise ValueError(f"{name} has no use with kind = {self.kind!r}; it goes with {' and '.join(kinds)}")
        for name, limit in (("clip_value", self.clip_value), ("clip_norm", self.clip_norm)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be more than 0, got {limit}; leave it out for no limit")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer, fused where torch has a fused kernel."""
        lr, decay = at(self.lr, 0), self.weight_decay
        if self.kind == "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=at(self.momentum, 0), weight_decay=decay, fused=True)
        if self.kind == "rmsprop":
            return torch.optim.RMSprop(
                parameters,
                lr=lr,
                momentum=at(self.momentum, 0),
                weight_decay=decay,
                eps=self.eps,
                foreach=True,
            )
        make = torch.optim.AdamW if self.kind == "adamw" else torch.optim.Adam
        return make(parameters, lr=lr, betas=self._betas(0), weight_decay=decay, eps=self.eps, fused=True)

    def schedule(self, optimizer: torch.optim.Optimizer, step: int, rate: float = 1.0) -> None:
        """Sets the scheduled values of step `step`; `rate` multiplies the learning rate."""
        for group in optimizer.param_groups:
            group["lr"] = rate * at(self.lr, step)
            if "betas" in group:
                group["betas"] = self._betas(step)
            if "momentum" in group:
                group["momentum"] = at(self.momentum, step)
        if self.kind == "rmsprop" and at(self.momentum, step) > 0:
            for state in optimizer.state.values():  # torch makes the buffer in the first step only
                state.setdefault("momentum_buffer", torch.zeros_like(state["square_avg"]))

    def _betas(self, step: int) -> tuple[float, float]:
        # torch 2.13 refuses integers here.
        return float(at(self.betas[0], step)), float(at(self.betas[1], step))


# --- the average of the weights


class WeightAverage:
    """Follows a network: parameters are averaged, buffers copied.

    With half-life h samples and n samples a step the decay of a step is 0.5 ** (n / h). `ramp` bounds the half-life by
    ramp * samples seen, so that a young average is not held back by the first, untrained weights
    (Karras et al. 2020, the reference implementation's ema_rampup).
    """

    def __init__(self, network: nn.Module, ramp: float | None = 0.05) -> None:
        self.network = copy.deepcopy(network).float().eval().requires_grad_(False)
        self.ramp = ramp
        self._averaged: list[Tensor] = list(self.network.parameters())
        self._copied = list(self.network.buffers())

    @torch.no_grad()
    def update(self, network: nn.Module, samples: int, seen: int, half_life: float) -> None:
        """One step of `samples` rows after `seen` rows in all; half_life in rows, 0 copies the network."""
        limit = half_life if self.ramp is None else min(half_life, self.ramp * seen)
        decay = 0.5 ** (samples / limit) if limit > 0 else 0.0
        current = [parameter.detach().float() for parameter in network.parameters()]
        torch._foreach_lerp_(self._averaged, current, 1 - decay)
        for mine, theirs in zip(self._copied, network.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> Mapping[str, Tensor]:
        """The averaged network's tensors."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of state_dict; raises on missing or foreign names."""
        self.network.load_state_dict(dict(state))
