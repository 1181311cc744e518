"""The types of a game: batches, the discriminator's output, turns, and the base class of all games.

Shapes: N rows of a micro-batch, ``...`` the data's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zerosum.engine.losses import GANLoss
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.network_checks import check_batch, check_source

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
"""Names of the players of the ordinary game."""


@dataclass(frozen=True)
class Batch:
    """Rows of real data, on the device of the game.

    data: (N, ...) float32 in the domain's range.
    condition: what the networks are conditioned on: (N,) int64 class labels, (N, K) float32 attributes, (N, ...) anything
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


def as_batch(given: Batch | Tensor | tuple[Tensor, Tensor]) -> Batch:
    """A Batch of a Batch, of a tensor of data, or of a pair (data, condition); UserError for anything else."""
    if not isinstance(given, Batch):
        given = Batch(*given) if isinstance(given, tuple) and len(given) == 2 else Batch(given)
    check_batch(given.data, given.condition)
    return given


@dataclass(frozen=True)
class RowsSource:
    """All rows in memory as a source; batches are copied to `device`."""

    rows: Batch
    device: torch.device

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def batch(self, indices: Tensor) -> Batch:
        """The rows of `indices`, in that order."""
        picked = self.rows.picked(indices.cpu())
        condition = None if picked.condition is None else picked.condition.to(self.device)
        return Batch(picked.data.to(self.device), condition)


@dataclass(frozen=True)
class UserSource:
    """A source whose batches may also be a tensor, or a pair (data, condition)."""

    source: Source

    @property
    def num_rows(self) -> int:
        """Number of rows that can be drawn."""
        return self.source.num_rows

    def batch(self, indices: Tensor) -> Batch:
        """The rows of `indices`, in that order, as a Batch."""
        return as_batch(self.source.batch(indices))


def as_source(given: Any, device: torch.device) -> Source:
    """A source of a tensor (N, ...), of a pair (data, condition), of a Batch of all rows, or of a user's source; UserError for
    anything else."""
    if isinstance(given, Batch | Tensor | tuple):
        given = RowsSource(as_batch(given), device)
    check_source(given)
    return UserSource(given)


@dataclass(frozen=True)
class DiscriminatorOutput:
    """The output of a discriminator for N samples.

    logits: one tensor a head, each (N,) or (N, ...) for patch and multi-scale critics; positive means "real".
    features: intermediate activations for feature matching; may be empty.
    outputs: further outputs by name, rows first: "classes" (N, K) logits of an auxiliary classifier,
        "reconstruction" (N,) errors of a decoder inside it.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...] = ()
    outputs: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(output: Any) -> DiscriminatorOutput:
        """Accepts a DiscriminatorOutput, a tensor or a tuple of tensors, so that any module can be a discriminator."""
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
    """One micro-batch of one process in one turn: the inputs from which a game computes its terms.

    real: the real rows, or None when the turn uses none.
    rng: random numbers; row i of the global batch gets the same numbers on any number of processes and micro-batches.
    step: steps completed so far, counted from 0.
    """

    real: Batch | None
    rng: SeededNoise
    step: int

    def __len__(self) -> int:
        return self.rng.num_rows


@dataclass(frozen=True)
class LossContext:
    """The input of penalties and extra loss terms: one micro-batch of a player's turn with the outputs of the discriminator.

    real, fake: (N, ...) data as the discriminator saw them (augmented when there is an augmentation); plain_real,
    plain_fake: before that. Where the generator's loss needs no reals, the fakes stand in for them, and in plain_real too
    when the turn draws no reals.
    on_real, on_fake: the discriminator's outputs. judge(points, side): the discriminator on other points under the
    conditions of the "real" or the "fake" rows. augment(points, side): applies that side's augmentation with the same random
    numbers again.
    player: the player whose terms are computed. condition, fake_condition: of the rows, or None. generator: the network;
    noise: (N, L), its input. made: further outputs of the generator for the fakes, by name, in games that have some.
    """

    real: Tensor
    fake: Tensor
    on_real: DiscriminatorOutput
    on_fake: DiscriminatorOutput
    judge: Callable[[Tensor, str], DiscriminatorOutput]
    rng: SeededNoise
    step: int
    player: str = "discriminator"
    condition: Tensor | None = None
    fake_condition: Tensor | None = None
    noise: Tensor | None = None
    generator: nn.Module | None = None
    plain_real: Tensor | None = None
    plain_fake: Tensor | None = None
    made: Mapping[str, Tensor] = field(default_factory=dict)
    augment: Callable[[Tensor, str], Tensor] = lambda points, side: points


@dataclass(frozen=True)
class Turn:
    """One update of the named players, all computed at the same parameters; more than one is a simultaneous update.

    reals: whether the turn draws new rows of real data. phase: the number of its phase in a game of several ones, by which
    planning tells phases apart whose turns are otherwise equal.
    """

    players: tuple[str, ...]
    reals: bool = True
    phase: int = 0


class Game:
    """Base class of all games. `players`, `turns` and `terms` must be given; the other methods do nothing by default.

    players: name -> network; each has one optimizer.
    penalties: the engine's Penalty objects that the game adds to its losses; planning reads their periods. () without.
    reals_per_step: how many turns of a step draw real rows (fixed, so that the data order is a function of the step).
    loss: under which the player "discriminator" gives data a score; None if it gives none.
    """

    players: Mapping[str, nn.Module]
    penalties: Sequence[Any] = ()
    reals_per_step: int = 1
    loss: GANLoss | None = None

    def turns(self, step: int) -> Sequence[Turn]:
        """The updates of this step, in order: k discriminator steps, phases and pretraining are stated here."""
        raise NotImplementedError

    def reals_before(self, step: int) -> int:
        """How many turns before step `step` drew real rows."""
        return step * self.reals_per_step

    def check(self, batch: Batch) -> None:
        """Called by `zerosum.engine.train` with two real rows before the first step: raises UserError where the networks do
        not fit the data or each other."""

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """Named scalar loss terms, each a mean over the rows; `player` minimises their sum."""
        raise NotImplementedError

    def statistics(self, player: str) -> dict[str, Tensor]:
        """Scalars of the micro-batch whose terms were computed last, each a mean over its rows and always under the same names.
        Their means over the global batch are given to `after_step`."""
        return {}

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """Called after the player's optimizer step, for constraints on weights and adaptive rules. statistics: means over the
        global batch of what `statistics` gave."""

    def log_values(self) -> dict[str, Tensor]:
        """Named scalars of the last turns for the log (D(x), V ...); called only for steps that are logged."""
        return {}

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """(N, K) values of this micro-batch that the terms of other micro-batches need (losses that couple rows), or None.
        Called without gradients."""
        return None

    def set_batch_scores(self, rows: Tensor | None) -> None:
        """Receives `batch_scores` of the global batch, in row order, before `terms`; None where the micro-batch is the batch, or
        rows are independent."""

    def state_dict(self) -> dict[str, Any]:
        """The state that the game keeps between steps: plain values and tensors; tensors under keys "rows.*" hold this
        process's rows of a batch and are gathered over processes."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
