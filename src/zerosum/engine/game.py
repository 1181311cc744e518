"""The words of the game: what a discriminator says, what a turn is made of, what every game must offer.

Legend of shapes: N rows of one share of a batch, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zerosum.engine.seeds import SeededNoise


@dataclass(frozen=True)
class Batch:
    """Rows of real data, on the device of the game.

    data: (N, ...) float32 in the domain's range.
    condition: what the players are told of each row: (N,) int64 class labels, (N, K) float32 attributes, (N, ...) anything
        else, or None.
    """

    data: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, start: int, stop: int) -> Batch:
        """Rows start..stop-1."""
        return self.picked(slice(start, stop))

    def picked(self, rows: Tensor | slice) -> Batch:
        """These rows, in that order."""
        return Batch(self.data[rows], None if self.condition is None else self.condition[rows])


class Source(Protocol):
    """Random access to real data. Nothing is remembered between calls, so a run can stop anywhere."""

    @property
    def num_rows(self) -> int:
        """Number of rows that can be drawn."""

    def batch(self, indices: Tensor) -> Batch:
        """The rows of `indices` (int64, any device), in that order."""


@dataclass(frozen=True)
class DiscriminatorOutput:
    """What a discriminator says of N samples.

    logits: one tensor a head, each (N,) or (N, ...) for patch and multi-scale critics; positive means "real".
    features: intermediate activations for feature matching; may be empty.
    outputs: what else it says, by name, rows first: "classes" (N, K) logits of an auxiliary classifier,
        "reconstruction" (N,) errors of a decoder inside it.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...] = ()
    outputs: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(output: Any) -> DiscriminatorOutput:
        """Accepts a Verdict, a tensor or a tuple of tensors, so that any module can be a discriminator."""
        if isinstance(output, DiscriminatorOutput):
            return output
        if isinstance(output, Tensor):
            return DiscriminatorOutput((output,))
        return DiscriminatorOutput(tuple(output))

    def rows(self, start: int, stop: int) -> DiscriminatorOutput:
        """Rows start..stop-1 of every tensor."""
        return DiscriminatorOutput(
            tuple(logit[start:stop] for logit in self.logits),
            tuple(part[start:stop] for part in self.features),
            {name: part[start:stop] for name, part in self.outputs.items()},
        )

    def detach(self) -> DiscriminatorOutput:
        """The logits alone, without their graph."""
        return DiscriminatorOutput(tuple(logit.detach() for logit in self.logits))

    def score(self) -> Tensor:
        """(N,) float32: the mean logit of each sample over heads and patches."""
        rows = [logit.float().flatten(1).mean(1) if logit.dim() > 1 else logit.float() for logit in self.logits]
        return rows[0] if len(rows) == 1 else torch.stack(rows).mean(0)


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of one process in one turn: all that a game may use to compute its terms.

    real: the reals of this share, or None when the turn draws none.
    draws: random numbers; row i of the global batch gets the same numbers on any number of processes and micro-batches.
    step: steps completed so far, counted from 0.
    """

    real: Batch | None
    draws: SeededNoise
    step: int

    def __len__(self) -> int:
        return self.draws.num_rows


@dataclass(frozen=True)
class LossContext:
    """What penalties and extra terms receive: one share of a player's turn, judged.

    real, fake: (N, ...) data as the discriminator saw them (augmented when there is an augmentation); plain_real,
    plain_fake: before that. Where the generator's turn judges no reals its fakes stand in their place, in plain_real only
    when the turn draws none.
    on_real, on_fake: the discriminator's verdicts. judge(points, side): the discriminator on other points under the
    conditions of the "real" or the "fake" rows. see(points, side): that side's augmentation once more, the very same.
    player: whose turn it is. condition, fake_condition: of the rows, or None. generator: the network, with the `noise`
    (N, L) of this share.
    """

    real: Tensor
    fake: Tensor
    on_real: DiscriminatorOutput
    on_fake: DiscriminatorOutput
    judge: Callable[[Tensor, str], DiscriminatorOutput]
    draws: SeededNoise
    step: int
    player: str = "discriminator"
    condition: Tensor | None = None
    fake_condition: Tensor | None = None
    noise: Tensor | None = None
    generator: nn.Module | None = None
    plain_real: Tensor | None = None
    plain_fake: Tensor | None = None
    see: Callable[[Tensor, str], Tensor] = lambda points, side: points


@dataclass(frozen=True)
class Turn:
    """One move: these players learn together from the same parameters. More than one is a simultaneous update.

    reals: whether the turn draws fresh rows of real data.
    """

    players: tuple[str, ...]
    reals: bool = True


class Game:
    """Any game the engine can play. `players`, `turns` and `terms` must be given; the other hooks do nothing unless filled.

    players: name -> network; a player is one optimizer's worth of parameters.
    reals_per_step: how many turns of a step draw real rows (fixed, so that the data order is a function of the step).
    """

    players: Mapping[str, nn.Module]
    reals_per_step: int = 1

    def turns(self, step: int) -> Sequence[Turn]:
        """Who moves in this step, in order. k discriminator steps, phases and pretraining are data here."""
        raise NotImplementedError

    def terms(self, player: str, share: MicroBatch) -> dict[str, Tensor]:
        """Named scalar terms, each a mean over the share's rows; their sum is what `player` minimises."""
        raise NotImplementedError

    def noted(self, player: str) -> dict[str, Tensor]:
        """Scalars of the share whose terms were computed last, each a mean over its rows, that the game wants to know of the
        whole batch, over all shares and processes; always under the same names."""
        return {}

    def finish(self, player: str, noted: Mapping[str, Tensor]) -> None:
        """Called after the player's optimizer step, for constraints on the weights themselves. noted: the means over the
        global batch of what `noted` gave."""

    def observed(self) -> dict[str, Tensor]:
        """Named scalars of the last turns (D(x), V ...), computed only when somebody asks; may be empty."""
        return {}

    def rehearse(self, player: str, share: MicroBatch) -> Tensor | None:
        """(N, K) values of the share that other shares' rows need (losses that couple rows), or None. No gradients here."""
        return None

    def meet(self, rows: Tensor | None) -> None:
        """Receives what `rehearse` gave for the whole global batch, in row order, before `terms`; None when rows are alone."""

    def state_dict(self) -> dict[str, Any]:
        """What the game remembers between steps: plain values and tensors; tensors under keys "rows.*" hold this
        process's rows of a batch and are gathered over processes."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
