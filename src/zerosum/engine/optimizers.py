"""How one player learns: optimizer, its scheduled settings, and the limits on its gradient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from zerosum.engine.schedule import Schedule, at

Number = float | Schedule
USES = {"adam": ("betas", "eps"), "adamw": ("betas", "eps"), "sgd": ("momentum",), "rmsprop": ("momentum", "eps")}
"""Fields of Learning that only some kinds have a use for."""


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
