"""The games that are played by one process and by two; run as a program it is one of the two.

Usage: RANK=.. WORLD_SIZE=2 MASTER_ADDR=.. MASTER_PORT=.. python two_processes.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_games import Rows, critic, duel, generator, heads, match, play
from torch import Tensor

from zerosum.engine import devices, losses, penalties
from zerosum.engine.devices import DistributedContext
from zerosum.engine.duel import UpdateRules
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.store import encode, read_checkpoint, save_checkpoint

STEPS = 4


def lazy(loss: str, **options: Any) -> Callable[[DistributedContext], TrainingLoop]:
    """R1 and R2 in every second step, two micro-batches, a batch of 9 (4 rows and 5), clipping by norm in D."""

    def make(world: DistributedContext) -> TrainingLoop:
        parts = [penalties.r1(0.5, every=2), penalties.r2(0.5, every=2)]
        game = duel(d=heads(), loss=losses.table()[loss], penalties=parts, rules=UpdateRules(**options))
        learning = {"discriminator": OptimizerConfig("sgd", lr=0.05, momentum=0.5, clip_norm=0.8)}
        return match(game, Rows(), world=world, batch=9, micro_batches=2, learning=learning)

    return make


def penalised(name: str) -> Callable[[DistributedContext], TrainingLoop]:
    """Another penalty, every second step, with the mean-coupled loss, which needs the whole batch's logits."""

    def make(world: DistributedContext) -> TrainingLoop:
        game = duel(loss=losses.relativistic_average, penalties=[penalties.table()[name](0.5, every=2)])
        return match(game, Rows(), world=world, batch=9, micro_batches=2)

    return make


GAMES: dict[str, Callable[[DistributedContext], TrainingLoop]] = {
    **{f"loss {name}": lazy(name) for name in losses.table()},
    **{f"penalty {name}": penalised(name) for name in penalties.table(any_game=True)},
    "one batch": lazy("relativistic", batches="one"),
    "previous fakes": lazy("non_saturating", fakes="previous"),
    "two steps of D": lazy("hinge", discriminator_steps=2),
    "simultaneous": lazy("relativistic_average", simultaneous=True),
}


def outcome(game: TrainingLoop) -> dict[str, Tensor]:
    """Weights, the average's weights and the global terms of the last step."""
    found = {f"{name}.{key}": t for name, net in game.game.players.items() for key, t in net.state_dict().items()}
    if game.average:
        found |= {f"average.{key}": tensor for key, tensor in game.average.state_dict().items()}
    for name, player in game._results.items():
        found |= {f"{name}/{key}": value.detach() for key, value in player.values().items()}
    return found


def main(folder: Path) -> None:
    """Plays everything as one of the processes and writes what came out."""
    torch.set_num_threads(1)
    world = devices.join("cpu")
    found = {f"{name}|{key}": t for name, make in GAMES.items() for key, t in outcome(play(make(world), STEPS)).items()}
    found["rows"] = world.gather_rows(torch.arange(10.0).view(5, 2)[slice(*world.rows(5))])
    found["any"] = torch.tensor([world.any(world.rank == 1), world.any(False)])
    found |= {f"statistics|{key}": t for key, t in outcome(play(with_batch_norm(world), 3)).items()}
    found |= restored(world, folder)
    found["guard"] = guarded(world)
    (folder / f"rank{world.rank}.safetensors").write_bytes(encode(found))
    world.barrier()
    devices.leave()


def with_batch_norm(world: DistributedContext) -> TrainingLoop:
    """Batch statistics differ between the processes; the running ones may not."""
    return match(duel(g=generator(norm=True), d=critic(norm=True)), world=world)


def restored(world: DistributedContext, folder: Path) -> dict[str, Tensor]:
    """Steps 3 and 4 of the game with previous fakes, once straight on and once from a checkpoint after step 2."""
    halted = play(GAMES["previous fakes"](world), 2)
    state = halted.state_dict()
    if world.rank == 0:
        save_checkpoint(folder, 2, state)
    world.barrier()
    fresh = GAMES["previous fakes"](world)
    fresh.load_state_dict(read_checkpoint(folder / "step-00000002"))
    ends = {"straight": play(halted, STEPS), "restored": play(fresh, STEPS)}
    return {f"{end}|{key}": tensor for end, game in ends.items() for key, tensor in outcome(game).items()}


def guarded(world: DistributedContext) -> Tensor:
    """1 where this process stopped: NaN weights in the second process's rows alone must stop both."""
    game = with_batch_norm(world)
    if world.rank == 1:
        game.game.players["discriminator"].register_forward_hook(lambda *call: call[2] * float("nan"))
    try:
        play(game, 1)
    except NonFinite as error:
        return torch.tensor([error.player == "discriminator"])
    return torch.tensor([False])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
