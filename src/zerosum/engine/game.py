"""The words of the game: what a discriminator says, what a turn is made of, what every game must offer.

Legend of shapes: N rows of one share of a batch, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zerosum.engine.seeds import Draws


@dataclass(frozen=True)
class Batch:
    """Rows of real data, on the device of the game.

    data: (N, ...) float32 in the domain's range.
    condition: (N,) int64 class labels, (N, K) float32 attributes, or None.
    """

    data: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, start: int, stop: int) -> Batch:
        """Rows start..stop-1."""
        return Batch(self.data[start:stop], None if self.condition is None else self.condition[start:stop])


class Source(Protocol):
    """Random access to real data. Nothing is remembered between calls, so a run can stop anywhere."""

    @property
    def num_rows(self) -> int:
        """Number of rows that can be drawn."""

    def batch(self, indices: Tensor) -> Batch:
        """The rows of `indices` (int64, any device), in that order."""


@dataclass(frozen=True)
class Verdict:
    """What a discriminator says of N samples.

    logits: one tensor a head, each (N,) or (N, ...) for patch and multi-scale critics; positive means "real".
    features: intermediate activations for feature matching; may be empty.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...] = ()

    @staticmethod
    def of(output: Any) -> Verdict:
        """Accepts a Verdict, a tensor or a tuple of tensors, so that any module can be a discriminator."""
        if isinstance(output, Verdict):
            return output
        if isinstance(output, Tensor):
            return Verdict((output,))
        return Verdict(tuple(output))

    def rows(self, start: int, stop: int) -> Verdict:
        """Rows start..stop-1 of every tensor."""
        return Verdict(
            tuple(logit[start:stop] for logit in self.logits), tuple(part[start:stop] for part in self.features)
        )

    def score(self) -> Tensor:
        """(N,) float32: the mean logit of each sample over heads and patches."""
        return torch.stack([logit.float().flatten(1).mean(1) if logit.dim() > 1 else logit.float() for logit in self.logits]).mean(0)


@dataclass(frozen=True)
class Share:
    """One micro-batch of one process in one turn: all that a game may use to compute its terms.

    real: the reals of this share, or None when the turn draws none.
    draws: random numbers; row i of the global batch gets the same numbers on any number of processes and micro-batches.
    step: steps completed so far, counted from 0.
    """

    real: Batch | None
    draws: Draws
    step: int

    def __len__(self) -> int:
        return self.draws.num_rows


@dataclass(frozen=True)
class Play:
    """What penalties and extra terms receive: one share, judged.

    real, fake: (N, ...) data as the discriminator saw them (augmented when there is an augmentation).
    on_real, on_fake: the discriminator's verdicts. judge(x): the discriminator on other points, same conditions.
    """

    real: Tensor
    fake: Tensor
    on_real: Verdict
    on_fake: Verdict
    judge: Any
    draws: Draws
    step: int


@dataclass(frozen=True)
class Turn:
    """One move: these players learn together from the same parameters. More than one is a simultaneous update.

    reals: whether the turn draws fresh rows of real data.
    """

    players: tuple[str, ...]
    reals: bool = True


@dataclass
class Observed:
    """Numbers that a game notes beside its terms (D(x), V, ...): named scalars, detached."""

    values: dict[str, Tensor] = field(default_factory=dict)


class Game(Protocol):
    """Any game the engine can play."""

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Name -> network. A player is one optimizer's worth of parameters."""

    def turns(self, step: int) -> Sequence[Turn]:
        """Who moves in this step, in order. k discriminator steps, phases and pretraining are data here."""

    def terms(self, player: str, share: Share) -> Mapping[str, Tensor]:
        """Named scalar terms, each a mean over the share's rows; their sum is what `player` minimises."""

    def observed(self) -> Mapping[str, Tensor]:
        """Named scalars noted during the last `terms` call (means over the share); may be empty."""

    def rehearse(self, player: str, shares: Sequence[Share]) -> None:
        """Called before the shares of a turn, without gradients: for losses that couple rows of different shares."""

    def state_dict(self) -> dict[str, Any]:
        """Whatever the game remembers between steps: tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
