"""The training loop. It yields events; the caller owns the `for`. It knows no game by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from zerosum.engine.distributed import DistributedContext
from zerosum.engine.events import Boundary, Event, NonFinite, Stepped
from zerosum.engine.game import Game, MicroBatch, Source, Turn
from zerosum.engine.optimizers import OptimizerConfig, Schedule, WeightAverage, at
from zerosum.engine.seeds import SeededNoise, derive, rows_at
from zerosum.engine.step import Player, StepResult, TermsObserver, backward, save_buffers, train_only
from zerosum.errors import UserError, nearest
from zerosum.nn.precision import Precision, autocast
from zerosum.nn.random_rows import batch_part

OnNonFinite = Literal["raise", "skip"]


@dataclass(frozen=True)
class Settings:
    """How a game is trained.

    batch: rows of the global batch of a turn, over all processes. micro_batches: parts into which each process cuts its rows.
    learning: player -> OptimizerConfig; players without an entry use `default`.
    average: the player whose weights are averaged; None for none. half_life_samples: of that average, in samples.
    on_nonfinite: "raise" stops before the update; "skip" leaves the update out and counts it.
    """

    batch: int = 64
    seed: int = 0
    micro_batches: int = 1
    learning: Mapping[str, OptimizerConfig] = field(default_factory=dict)
    default: OptimizerConfig = OptimizerConfig()
    average: str | None = "generator"
    half_life_samples: float | Schedule = 10_000.0
    ramp: float | None = 0.05
    average_every: int = 1
    precision: Precision = "float32"
    on_nonfinite: OnNonFinite = "raise"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batches < 1 or self.average_every < 1:
            raise ValueError("batch, micro_batches and average_every must be at least 1")
        if self.micro_batches > self.batch:
            raise ValueError(f"micro_batches ({self.micro_batches}) cannot exceed batch ({self.batch})")


class TrainingLoop:
    """A game during training: players with their optimizers, the average, and the number of steps completed.

    Everything else (order of the data, noise, dropout, schedules) is a function of the settings and that number.
    """

    def __init__(
        self,
        game: Game,
        source: Source,
        settings: Settings = Settings(),
        world: DistributedContext = DistributedContext(),
    ) -> None:
        self.game, self.source, self.settings, self.world = game, source, settings, world
        _check_names(game, settings, world)
        self.players = {
            name: Player(name, network, settings.learning.get(name, settings.default))
            for name, network in game.players.items()
        }
        self.average = WeightAverage(game.players[settings.average], settings.ramp) if settings.average else None
        self.step = 0
        self.skips = dict.fromkeys(self.players, 0)  # updates that were left out, of each player
        self.nonfinite: NonFinite | None = None  # the reason for the newest of them
        self.rate = 1.0  # a factor on all learning rates; less after a rollback
        self._results: dict[str, StepResult] = {}
        # The newest value of each term: a lazy penalty is not computed in every step, and each log line must hold it.
        self._terms: dict[str, dict[str, Tensor | float]] = {name: {} for name in self.players}
        self.device = next(iter(self.players.values())).parameters[0].device

    # --- training

    def run(self, steps: int) -> Iterator[Event]:
        """Trains until `steps` steps are completed; yields a Boundary before each step and at the end, a Stepped after each."""
        while True:
            yield Boundary(self.step, last=self.step >= steps)
            if self.step >= steps:
                return
            self.train_step()
            yield Stepped(self.step, self.samples, self.values)

    @property
    def samples(self) -> int:
        """Samples trained on: steps times rows of a batch, over all processes. Half-lives are counted in it."""
        return self.step * self.settings.batch

    @property
    def skipped(self) -> int:
        """Updates that were left out because something was not finite, of all players."""
        return sum(self.skips.values())

    def train_step(self, turns: Sequence[Turn] | None = None, observer: TermsObserver | None = None) -> None:
        """One step: the game's turns, or `turns` in their place (the update of one player alone, say).

        observer: called with (player, micro-batch, terms) whenever terms are computed. torch's global random generators are
        afterwards as they were before.
        """
        drawn = 0
        with _preserved_rng(self.device):
            for index, turn in enumerate(self.game.turns(self.step) if turns is None else turns):
                micro_batches = self._micro_batches(index, turn, drawn)
                drawn += turn.reals
                try:
                    self._run_turn(turn, micro_batches, observer)
                except NonFinite as error:
                    if self.settings.on_nonfinite == "raise":
                        raise
                    self.nonfinite = error.with_traceback(None)  # its frames hold the tensors of the turn
                    for name in turn.players:
                        self.skips[name] += 1
        self.step += 1
        every = self.settings.average_every
        if self.average is not None and self.step % every == 0:
            half_life = at(self.settings.half_life_samples, self.step - 1)
            network = self.game.players[self.settings.average or ""]
            self.average.update(network, self.settings.batch * every, self.samples, half_life)

    def _run_turn(self, turn: Turn, micro_batches: Sequence[MicroBatch], observer: TermsObserver | None = None) -> None:
        updated = [self.players[name] for name in turn.players]
        restore = save_buffers(player.network for player in updated)
        for player in updated:
            with train_only(self.players, player.name):
                self._results[player.name] = backward(
                    self.game, player, micro_batches, self.world, self._context, observer
                )
        try:
            for player in updated:
                self._results[player.name].check_finite(player.name, self.step)
        except NonFinite:
            restore()  # running statistics hold the numbers that are not finite
            raise
        for player in updated:
            result = self._results[player.name]
            self._terms[player.name] |= result.terms
            player.clip_gradient(result)
            player.learning.schedule(player.optimizer, self.step, self.rate)
            player.optimizer.step()
            self.game.after_step(player.name, result.statistics)

    def _micro_batches(self, turn_index: int, turn: Turn, drawn: int) -> list[MicroBatch]:
        """This process's rows of the turn's batch, cut into micro-batches. drawn: turns of this step that drew reals before."""
        total = self.settings.batch
        first, last = self.world.rows(total)
        reals = None
        if turn.reals:
            position = (self.step * self.game.reals_per_step + drawn) * total
            reals = self.source.batch(rows_at(position, total, self.source.num_rows, self.settings.seed)[first:last])
        micro_batches = []
        for start, stop in self.world.parts(total, self.settings.micro_batches):
            draws = SeededNoise(self.settings.seed, self.step, turn_index, start, stop, total, self.device)
            rows = reals.rows(start - first, stop - first) if reals else None
            micro_batches.append(MicroBatch(rows, draws, self.step))
        return micro_batches

    @contextlib.contextmanager
    def _context(self, micro_batch: MicroBatch) -> Iterator[None]:
        """Autocast, and seeds: layers of zerosum.nn draw by the row, torch's own layers by the first row of the micro-batch."""
        draws = micro_batch.draws
        batch, own = (derive(self.settings.seed, "dropout", draws.step, draws.turn, row) for row in (0, draws.start))
        torch.default_generator.manual_seed(own)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(own)
        rows = batch_part(draws.start, draws.stop, draws.total, batch)
        with rows, autocast(self.settings.precision, self.device):
            yield

    # --- the log

    def values(self) -> dict[str, float]:
        """All scalars of the last step by name: "player/term", `Game.log_values`, learning rates."""
        named: dict[str, Tensor | float] = dict(self.game.log_values())
        for name, result in self._results.items():
            terms = self._terms[name] | result.values()
            if len(self._terms[name]) == 1:
                del terms["total"]  # it would repeat the only term
            named |= {f"{name}/{key}": number for key, number in terms.items()}
        for name, player in self.players.items():
            named[f"lr/{name}"] = self.rate * at(player.learning.lr, max(0, self.step - 1))
        if self.skipped:
            named["skipped_updates"] = self.skipped
        return {key: float(number) for key, number in named.items()}

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """The complete state beside the settings. All processes must call it together."""
        game = {
            key: self.world.gather_rows(item) if key.startswith("rows.") else item
            for key, item in self.game.state_dict().items()
        }
        return {
            "step": self.step,
            "skipped": dict(self.skips),
            "rate": self.rate,
            "terms": {
                name: {term: float(value) for term, value in terms.items()} for name, terms in self._terms.items()
            },
            "networks": {name: dict(player.network.state_dict()) for name, player in self.players.items()},
            "optimizers": {name: player.optimizer.state_dict() for name, player in self.players.items()},
            "average": dict(self.average.state_dict()) if self.average else {},
            "game": game,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for name, player in self.players.items():
            player.network.load_state_dict(state["networks"][name])
            player.optimizer.load_state_dict(state["optimizers"][name])
        if self.average:
            self.average.load_state_dict(state["average"])
        first, last = self.world.rows(self.settings.batch)
        game = {
            key: item[first:last].to(self.device) if key.startswith("rows.") else item
            for key, item in state["game"].items()
        }
        self.game.load_state_dict(game | {"first_row": first})
        skips = state["skipped"] if isinstance(state["skipped"], Mapping) else {}  # older checkpoints named no players
        self.step, self.skips = int(state["step"]), {name: int(skips.get(name, 0)) for name in self.players}
        self.rate = float(state.get("rate", 1.0))  # older checkpoints had none
        terms = state["terms"] if "terms" in state else state["noted"]  # its name in older checkpoints
        self._terms = {name: dict(terms[name]) for name in self.players}


def _check_names(game: Game, settings: Settings, world: DistributedContext) -> None:
    for field_name, names in (("learning", settings.learning), ("average", [settings.average])):
        for name in names:
            if name is not None and name not in game.players:
                raise UserError(f"{field_name}: the game has no player {name!r}. {nearest(name, game.players)}")
    if settings.batch < world.size:
        raise ValueError(f"batch = {settings.batch} cannot be shared by {world.size} processes")


def train(
    game: Game,
    source: Source,
    *,
    steps: int,
    batch: int = Settings.batch,
    seed: int = Settings.seed,
    micro_batches: int = Settings.micro_batches,
    learning: Mapping[str, OptimizerConfig] | None = None,
    default: OptimizerConfig = Settings.default,
    average: str | None = Settings.average,
    half_life_samples: float | Schedule = Settings.half_life_samples,
    ramp: float | None = Settings.ramp,
    average_every: int = Settings.average_every,
    precision: Precision = Settings.precision,
    on_nonfinite: OnNonFinite = Settings.on_nonfinite,
    world: DistributedContext = DistributedContext(),
) -> Iterator[Event]:
    """Trains a game for `steps` steps and yields its events; the other keywords are the fields of Settings.

    `for event in train(game, source, steps=10_000): ...`; leave the loop whenever you like. The networks are set to training
    mode and trained in place, on their device. UserError before the first step where networks and data do not fit.
    """
    rates = average, half_life_samples, ramp, average_every
    settings = Settings(batch, seed, micro_batches, learning or {}, default, *rates, precision, on_nonfinite)
    loop = TrainingLoop(game, source, settings, world)
    for network in game.players.values():
        network.train()
    restore = save_buffers(game.players.values())
    with _preserved_rng(loop.device), autocast(precision, loop.device):
        game.check(source.batch(torch.arange(min(2, source.num_rows))))
    restore()
    yield from loop.run(steps)


def _preserved_rng(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """torch's global random generators are afterwards as they were before."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
