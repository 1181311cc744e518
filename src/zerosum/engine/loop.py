"""The only training loop in the project. It yields events and has no branch on any game's name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from zerosum.engine.data_order import rows_at
from zerosum.engine.distributed import DistributedContext
from zerosum.engine.ema import WeightAverage
from zerosum.engine.events import Boundary, Event, NonFinite, Stepped
from zerosum.engine.game import Game, MicroBatch, Source, Turn
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.precision import Precision, autocast
from zerosum.engine.schedule import Schedule, at
from zerosum.engine.seeds import SeededNoise, derive
from zerosum.engine.step import Player, StepResult, backward, check_finite, limit, only_learns, remember_buffers
from zerosum.errors import UserError, nearest
from zerosum.nn.rows import part


@dataclass(frozen=True)
class Settings:
    """How a game is trained, whatever the game.

    batch: rows of the global batch of a turn, over all processes. micro_batches: parts it is cut into on each process.
    learning: player -> Learning; players without an entry use `default`.
    average: the player whose weights are averaged, None for none. half_life_images: of that average; a Schedule may be given.
    on_nonfinite: "raise" stops before the update; "skip" leaves the update out and counts it.
    """

    batch: int = 64
    seed: int = 0
    micro_batches: int = 1
    learning: Mapping[str, OptimizerConfig] = field(default_factory=dict)
    default: OptimizerConfig = OptimizerConfig()
    average: str | None = "generator"
    half_life_images: float | Schedule = 10_000.0
    ramp: float | None = 0.05
    average_every: int = 1
    precision: Precision = "float32"
    on_nonfinite: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batches < 1 or self.average_every < 1:
            raise ValueError("batch, micro_batches and average_every must be at least 1")
        if self.micro_batches > self.batch:
            raise ValueError(f"micro_batches ({self.micro_batches}) cannot exceed batch ({self.batch})")


class TrainingLoop:
    """A game in play: players with their optimizers, the average, and the number of steps completed.

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
        self.nonfinite: NonFinite | None = None  # why the newest of them was
        self.rate = 1.0  # a factor on all learning rates; less after a rollback
        self._outcomes: dict[str, StepResult] = {}
        # The newest value of each term: a lazy penalty is not computed in every step, and a log line must not miss it.
        self._noted: dict[str, dict[str, Tensor | float]] = {name: {} for name in self.players}
        self.device = next(iter(self.players.values())).parameters[0].device

    # --- playing

    def play(self, steps: int) -> Iterator[Event]:
        """Plays until `steps` steps are completed, telling of every boundary and every step."""
        while True:
            yield Boundary(self.step, last=self.step >= steps)
            if self.step >= steps:
                return
            self.advance()
            yield Stepped(self.step, self.images, self.values)

    @property
    def images(self) -> int:
        """Steps times rows of a batch, over all processes: the clock of half-lives."""
        return self.step * self.settings.batch

    @property
    def skipped(self) -> int:
        """Updates that were left out because something was not finite, of all players."""
        return sum(self.skips.values())

    def advance(self, turns: Sequence[Turn] | None = None) -> None:
        """Plays one step: the game's own turns, or others in their place (a lone move of one player, say)."""
        draw = 0
        for index, turn in enumerate(self.game.turns(self.step) if turns is None else turns):
            shares = self._shares(index, turn, draw)
            draw += turn.reals
            try:
                self._play_turn(turn, shares)
            except NonFinite as error:
                if self.settings.on_nonfinite == "raise":
                    raise
                self.nonfinite = error.with_traceback(None)  # whose frames hold the tensors of the turn
                for name in turn.players:
                    self.skips[name] += 1
        self.step += 1
        every = self.settings.average_every
        if self.average is not None and self.step % every == 0:
            half_life = at(self.settings.half_life_images, self.step - 1)
            network = self.game.players[self.settings.average or ""]
            self.average.update(network, self.settings.batch * every, self.images, half_life)

    def _play_turn(self, turn: Turn, shares: Sequence[MicroBatch]) -> None:
        movers = [self.players[name] for name in turn.players]
        put_back = remember_buffers(player.network for player in movers)
        for player in movers:
            with only_learns(self.players, player.name):
                self._outcomes[player.name] = backward(self.game, player, shares, self.world, self._context)
        try:
            for player in movers:
                check_finite(player, self._outcomes[player.name], self.step)
        except NonFinite:
            put_back()  # running statistics have seen the numbers at fault
            raise
        for player in movers:
            self._noted[player.name] |= self._outcomes[player.name].terms
            limit(player, self._outcomes[player.name])
            player.learning.schedule(player.optimizer, self.step, self.rate)
            player.optimizer.step()
            self.game.finish(player.name, self._outcomes[player.name].noted)

    def _shares(self, turn_index: int, turn: Turn, draw: int) -> list[MicroBatch]:
        """This process's rows of the turn's batch, cut into micro-batches."""
        total = self.settings.batch
        first, last = self.world.rows(total)
        reals = None
        if turn.reals:
            position = (self.step * self.game.reals_per_step + draw) * total
            reals = self.source.batch(rows_at(position, total, self.source.num_rows, self.settings.seed)[first:last])
        shares = []
        for start, stop in self.world.parts(total, self.settings.micro_batches):
            draws = SeededNoise(self.settings.seed, self.step, turn_index, start, stop, total, self.device)
            shares.append(MicroBatch(reals.rows(start - first, stop - first) if reals else None, draws, self.step))
        return shares

    @contextlib.contextmanager
    def _context(self, share: MicroBatch) -> Iterator[None]:
        """Precision, and what networks draw as a function of the rows; torch's own layers, of the share's first row."""
        draws = share.draws
        batch, own = (derive(self.settings.seed, "dropout", draws.step, draws.turn, row) for row in (0, draws.start))
        torch.default_generator.manual_seed(own)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(own)
        rows = part(draws.start, draws.stop, draws.total, batch)
        with rows, autocast(self.settings.precision, self.device):
            yield

    # --- what is told

    def values(self) -> dict[str, float]:
        """All scalars of the last step, by name: "player/term", the game's own observations, rates."""
        named: dict[str, Tensor | float] = dict(self.game.observed())
        for name, outcome in self._outcomes.items():
            told = self._noted[name] | outcome.values()
            if len(self._noted[name]) == 1:
                del told["total"]  # it would repeat the only term
            named |= {f"{name}/{key}": number for key, number in told.items()}
        for name, player in self.players.items():
            named[f"lr/{name}"] = self.rate * at(player.learning.lr, max(0, self.step - 1))
        if self.skipped:
            named["skipped_updates"] = self.skipped
        return {key: float(number) for key, number in named.items()}

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """Everything that the future depends on beside the settings. All processes must call it together."""
        game = {
            key: self.world.gather_rows(item) if key.startswith("rows.") else item
            for key, item in self.game.state_dict().items()
        }
        return {
            "step": self.step,
            "skipped": dict(self.skips),
            "rate": self.rate,
            "noted": {
                name: {term: float(value) for term, value in terms.items()} for name, terms in self._noted.items()
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
        skips = state["skipped"] if isinstance(state["skipped"], Mapping) else {}  # older checkpoints told no players
        self.step, self.skips = int(state["step"]), {name: int(skips.get(name, 0)) for name in self.players}
        self.rate = float(state.get("rate", 1.0))  # older checkpoints had none
        self._noted = {name: dict(state["noted"][name]) for name in self.players}


def _check_names(game: Game, settings: Settings, world: DistributedContext) -> None:
    for field_name, names in (
        ("learning", settings.learning),
        ("average", [settings.average or next(iter(game.players))]),
    ):
        for name in names:
            if name not in game.players:
                raise UserError(f"{field_name}: the game has no player {name!r}. {nearest(name, game.players)}")
    if settings.batch < world.size:
        raise ValueError(f"batch = {settings.batch} cannot be shared by {world.size} processes")


def train(
    game: Game, source: Source, *, steps: int, world: DistributedContext = DistributedContext(), **settings: Any
) -> Iterator[Event]:
    """Plays a game of your own for `steps` steps; keywords are the fields of Settings.

    `for event in train(game, source, steps=10_000): ...`; leave the loop whenever you like.
    """
    for network in game.players.values():
        network.train()
    yield from TrainingLoop(game, source, Settings(**settings), world).play(steps)
