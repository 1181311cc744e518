"""Games that consist of other games: one after the other, or side by side in the same steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from zerosum.engine.game import Batch, Game, MicroBatch, Turn
from zerosum.errors import UserError

ROWS = "rows."


class CompositeGame(Game):
    """A game whose turns are those of several games. The players are those of all games together; games may have the same
    players, which must then be the same networks."""

    def __init__(self, games: Sequence[Game]) -> None:
        self.games = tuple(games)
        if not self.games:
            raise ValueError("a game of several games needs at least one")
        players: dict[str, nn.Module] = {}
        for game in self.games:
            for name, network in game.players.items():
                if players.setdefault(name, network) is not network:
                    raise UserError(f"The player {name!r} is not the same network in all phases of the game.")
        self.players = players
        self.penalties = tuple({id(penalty): penalty for game in self.games for penalty in game.penalties}.values())
        self.loss = next((game.loss for game in self.games if game.loss is not None), None)
        self._current = self.games[0]

    @abstractmethod
    def _game_of(self, batch: MicroBatch) -> Game:
        """The game that the turn of a micro-batch belongs to."""

    def _enter(self, batch: MicroBatch) -> Game:
        self._current = self._game_of(batch)
        return self._current

    def check(self, batch: Batch) -> None:
        """The checks of all games."""
        for game in self.games:
            game.check(batch)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The terms of the game that plays."""
        return self._enter(batch).terms(player, batch)

    def statistics(self, player: str) -> dict[str, Tensor]:
        """The statistics of the game that plays."""
        return self._current.statistics(player)

    def after_step(self, player: str, statistics: Mapping[str, Tensor]) -> None:
        """What the game that plays does after a step."""
        self._current.after_step(player, statistics)

    def log_values(self) -> dict[str, Tensor]:
        """The values of the game that plays."""
        return self._current.log_values()

    def batch_scores(self, player: str, batch: MicroBatch) -> Tensor | None:
        """The scores of the game that plays."""
        return self._enter(batch).batch_scores(player, batch)

    def set_batch_scores(self, rows: Tensor | None) -> None:
        """Passes the scores to every game; only the one that plays uses them."""
        for game in self.games:
            game.set_batch_scores(rows)

    def state_dict(self) -> dict[str, Any]:
        """The states of all games: "0/key", and "rows.0/key" for rows."""
        return {
            _key(number, name): value
            for number, game in enumerate(self.games)
            for name, value in game.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for number, game in enumerate(self.games):
            begin = f"{number}/"
            own = {
                name.replace(begin, "", 1): value
                for name, value in state.items()
                if name.removeprefix(ROWS).startswith(begin)
            }
            game.load_state_dict(own | {"first_row": state.get("first_row", 0)})


class Phases(CompositeGame):
    """A game in phases. Each step is played by the game of its phase.

    phases: (steps, game) in order. The last game is played from its first step on for any number of steps; the other numbers
    are at least 1. A player that the game of a phase does not have is not updated in that phase.
    """

    def __init__(self, phases: Sequence[tuple[int, Game]]) -> None:
        if not phases or any(steps < 1 for steps, _ in phases[:-1]):
            raise ValueError("a game in phases needs at least one game, and at least one step of each but the last")
        super().__init__([game for _, game in phases])
        first = [0]
        for steps, _ in phases[:-1]:
            first.append(first[-1] + steps)
        self.first_steps = tuple(first)

    def phase(self, step: int) -> int:
        """The number of the phase that step `step` belongs to, from 0."""
        return sum(step >= first for first in self.first_steps) - 1

    def turns(self, step: int) -> Sequence[Turn]:
        """The turns of the phase's game, which carry the number of the phase."""
        number = self.phase(step)
        return tuple(replace(turn, phase=number) for turn in self.games[number].turns(step))

    def reals_before(self, step: int) -> int:
        """The turns with real rows before step `step`, over all phases."""
        ends = (*(min(step, first) for first in self.first_steps[1:]), step)
        return sum(
            game.reals_before(end) - game.reals_before(first)
            for game, first, end in zip(self.games, self.first_steps, ends, strict=True)
            if end > first
        )

    def _game_of(self, batch: MicroBatch) -> Game:
        return self.games[self.phase(batch.step)]


class Together(CompositeGame):
    """Several games in one step: the turns of each, one game after the other.

    games: (every, game); a game is played in the steps whose number is divisible by `every`. prefixes: of the names of the terms
    of each.
    """

    def __init__(self, games: Sequence[tuple[int, Game]], prefixes: Sequence[str]) -> None:
        super().__init__([game for _, game in games])
        self.every, self.prefixes = tuple(every for every, _ in games), tuple(prefixes)

    def turns(self, step: int) -> Sequence[Turn]:
        """The turns of all games of this step."""
        return tuple(turn for game in self._games_at(step) for turn in game.turns(step))

    def reals_before(self, step: int) -> int:
        """The turns with real rows before step `step`, of all games."""
        return sum(game.reals_before(-(-step // every)) for every, game in zip(self.every, self.games, strict=True))

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        """The terms of the game that the turn belongs to, with its prefix."""
        prefix = self.prefixes[self.games.index(self._game_of(batch))]
        return {prefix + name: term for name, term in super().terms(player, batch).items()}

    def log_values(self) -> dict[str, Tensor]:
        """The values of the first game that has some."""
        return next((values for game in self.games if (values := game.log_values())), {})

    def _games_at(self, step: int) -> list[Game]:
        return [game for every, game in zip(self.every, self.games, strict=True) if step % every == 0]

    def _game_of(self, batch: MicroBatch) -> Game:
        turn = batch.rng.turn
        for game in self._games_at(batch.step):
            if turn < (num := len(game.turns(batch.step))):
                return game
            turn -= num
        raise ValueError(f"step {batch.step} has no turn {batch.rng.turn}")


def _key(number: int, name: str) -> str:
    """The name of a value of game `number` in the state of all."""
    rows, rest = (ROWS, name.removeprefix(ROWS)) if name.startswith(ROWS) else ("", name)
    return f"{rows}{number}/{rest}"
