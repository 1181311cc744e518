"""A game in phases: each step belongs to one game, and stopping, cutting or one phase alone change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import Rows, critic, duel, generator, match, play, same
from torch import Tensor

from zerosum.engine import losses, penalties
from zerosum.engine.duel import Duel, UpdateRules
from zerosum.engine.game import GENERATOR, Batch, Game, MicroBatch, Turn
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.phases import Phases
from zerosum.errors import UserError
from zerosum.planning import trial_step
from zerosum.store import read_checkpoint, save_checkpoint

STEPS, FIRST, SECOND = 9, 3, 2


class Means(Game):
    """The generator learns the mean of the rows; its one turn draws rows."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.players = {GENERATOR: network}
        self.seen: list[int] = []

    def turns(self, step: int) -> tuple[Turn, ...]:
        return (Turn((GENERATOR,)),)

    def terms(self, player: str, batch: MicroBatch) -> dict[str, Tensor]:
        assert batch.real is not None
        self.seen.append(batch.step)
        fake = self.players[GENERATOR](batch.rng.normal("noise", 3))
        return {"mean": (fake - batch.real.data).square().mean(1).mean()}

    def log_values(self) -> dict[str, Tensor]:
        return {"means": torch.ones(())}


def phased(rows: int = 30, **settings: Any) -> TrainingLoop:
    """Three phases over the same networks: a mean, a duel that keeps fakes, a duel whose loss couples rows."""
    networks = {"g": generator(norm=True), "d": critic()}
    games = (
        Means(networks["g"]),
        duel(
            **networks,
            rules=UpdateRules(fakes="previous", discriminator_steps=2),
            penalties=[penalties.r1(0.5, every=2)],
        ),
        duel(**networks, loss=losses.relativistic_average),
    )
    return match(
        Phases(list(zip((FIRST, SECOND, 1), games, strict=True))), Rows(rows), half_life_samples=40.0, **settings
    )  # type: ignore[arg-type]


def test_a_step_is_played_by_the_game_of_its_phase() -> None:
    loop = phased()
    game = loop.game
    assert isinstance(game, Phases)
    assert [game.phase(step) for step in range(STEPS)] == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert [len(game.turns(step)) for step in (0, 3, 5)] == [1, 3, 2]
    judge = {name: tensor.clone() for name, tensor in game.players["discriminator"].state_dict().items()}
    play(loop, FIRST)
    assert loop.values()["means"] == 1
    assert same(judge, dict(game.players["discriminator"].state_dict()))  # it has no turn in the first phase
    play(loop, STEPS)
    assert "means" not in loop.values()
    assert "D(x)" in loop.values()
    assert game.games[0].seen == [0, 1, 2]  # type: ignore[attr-defined]
    assert not same(judge, dict(game.players["discriminator"].state_dict()))
    assert [penalty.name for penalty in game.penalties] == ["r1"]
    assert game.loss is game.games[1].loss


@pytest.mark.parametrize("stop", [1, FIRST, FIRST + 1, FIRST + SECOND, FIRST + SECOND + 2])
def test_a_run_resumes_in_every_phase(tmp_path: Path, stop: int) -> None:
    whole = play(phased(), STEPS).state_dict()
    save_checkpoint(tmp_path, stop, play(phased(), stop).state_dict())
    again = phased()
    again.load_state_dict(read_checkpoint(tmp_path / f"step-{stop:08d}"))
    assert same(play(again, STEPS).state_dict(), whole)


def test_the_state_of_each_phase_is_kept_apart() -> None:
    state = play(phased(), STEPS).game.state_dict()
    assert list(state) == ["rows.1/fakes"]
    fresh = phased().game
    fresh.load_state_dict(state)
    assert same(dict(fresh.state_dict()), dict(state))


def test_micro_batches_change_nothing() -> None:
    def plain(micro_batches: int) -> dict[str, Any]:
        networks = {"g": generator(), "d": critic()}
        games = Means(networks["g"]), duel(**networks, loss=losses.relativistic_average)
        loop = match(Phases([(2, games[0]), (1, games[1])]), Rows(30), micro_batches=micro_batches)
        return play(loop, 5).state_dict()["networks"]  # type: ignore[no-any-return]

    torch.testing.assert_close(plain(3), plain(1), rtol=1e-5, atol=1e-7)


def test_one_phase_is_the_game_itself() -> None:
    def game() -> Duel:
        return duel(rules=UpdateRules(fakes="previous"), penalties=[penalties.r1(0.5, every=2)])

    alone, phases = play(match(game()), 6).state_dict(), play(match(Phases([(1, game())])), 6).state_dict()  # type: ignore[arg-type]
    assert same(
        {name: alone[name] for name in ("networks", "optimizers", "average", "step")},
        {name: phases[name] for name in ("networks", "optimizers", "average", "step")},
    )


def test_no_row_is_dropped_where_phases_draw_different_numbers_of_rows() -> None:
    """30 rows and batches of 8: the stream goes on over a change of phases without a gap."""
    loop = phased()
    source: Any = loop.source
    play(loop, STEPS)
    drawn = torch.cat(source.asked)
    draws = [1] * FIRST + [2] * SECOND + [2] * (STEPS - FIRST - SECOND)
    assert len(drawn) == 8 * sum(draws)
    assert all(sorted(drawn[start : start + 30].tolist()) == list(range(30)) for start in range(0, len(drawn) - 30, 30))


def test_planning_finds_phases_with_equal_turns() -> None:
    networks = {"g": generator(), "d": critic()}
    game = Phases([(4, duel(**networks)), (1, duel(**networks, loss="hinge"))])
    assert trial_step.phases(game, 8) == [0, 4]


def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one game"):
        Phases([])
    with pytest.raises(ValueError, match="at least one step"):
        Phases([(0, duel()), (1, duel())])
    with pytest.raises(UserError, match="'discriminator' is not the same network"):
        Phases([(1, duel(g=(g := generator()))), (1, duel(g=g))])


def test_all_games_are_checked() -> None:
    networks = {"g": generator(), "d": critic()}
    game = Phases([(1, duel(**networks)), (1, Duel(networks["g"], networks["d"], prior=7))])
    with pytest.raises(UserError):
        game.check(Batch(torch.zeros(2, 4)))
