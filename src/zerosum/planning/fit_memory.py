"""Does a recipe fit into memory? With --fit: the least number of micro-batches with which it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from zerosum import memory
from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.distributed import DistributedContext
from zerosum.engine.game import Game
from zerosum.engine.loop import TrainingLoop
from zerosum.errors import UserError
from zerosum.planning import timing, trial_step
from zerosum.recipe import Recipe, settled

Begin = Callable[[Recipe], TrainingLoop]
NAMED = 3
"""Modules that are named in a note."""


@dataclass(frozen=True)
class Trial:
    """A trial that was played to its end. loop: it was played on; its weights are still those of step 0. recipe: with as many
    micro-batches as memory asks for. notes: on the number of micro-batches, whether they play the game of the whole batch, and
    the memory that is needed."""

    loop: TrainingLoop
    recipe: Recipe
    notes: list[str]


def play_trial(
    recipe: Recipe, domain: Domain, info: DatasetInfo, begin: Begin, fit: bool = False, processes: int = 1
) -> Trial:
    """Tries one step with every penalty due; where memory does not suffice and `fit` allows it, with more micro-batches.

    begin: makes the training loop of a recipe. UserError says what cannot work, or that the memory does not suffice and what
    to change.
    """
    device, requested = torch.device(recipe.device), recipe.micro_batches
    most = max(1, settled(recipe.batch, "batch") // processes)
    while True:
        memory.release(device)
        free = memory.available(device)
        loop, shortage, peak = _try(recipe, begin, device)
        if loop is not None:
            break
        if not fit or recipe.micro_batches >= most:
            when = "in the first step" + (", even one row at a time" if fit else "")
            assert shortage is not None
            raise UserError(memory.message(recipe, domain, info, shortage, when, processes, free)) from None
        shortage = None  # it holds the tensors of the step that failed
        recipe = recipe.changed(micro_batches=min(most, 2 * recipe.micro_batches))
    notes = []
    if recipe.micro_batches != requested:
        rows = -(-settled(recipe.batch, "batch") // recipe.micro_batches)
        notes.append(
            f"micro_batches = {recipe.micro_batches} (asked: {requested}): {rows} rows at a time fit into memory, more do not."
        )
    if recipe.micro_batches > 1 or processes > 1:
        notes += cut(recipe, loop.game, processes)
    return Trial(loop, recipe, notes + _needed(peak, device, timing.known_evaluation(info)))


def _try(
    recipe: Recipe, begin: Begin, device: torch.device
) -> tuple[TrainingLoop | None, BaseException | None, memory.Peak]:
    """One trial step: the loop that it was played on, or what memory was lacking, and the most that was held.

    At rate 0 no weight changes, so that whatever is tried or measured on the loop afterwards begins like the training.
    """
    with memory.measured(device) as peak, memory.bounded(device):
        try:
            loop = begin(recipe)
            loop.rate = 0.0
            trial_step.play_trial_steps(loop, recipe.steps)
        except UserError:
            raise
        except ArithmeticError:
            pass  # numbers that are not finite: the training will meet them and say so
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if not memory.exhausted(error):
                raise trial_step.cannot_play(recipe, error) from error
            return None, error.with_traceback(None), peak
    return loop, None, peak


def _needed(peak: memory.Peak, device: torch.device, evaluation: timing.EvaluationCost | None) -> list[str]:
    free = memory.available(device)
    if peak.num_bytes is None:
        return []
    rest = f"; {memory.size(free)} are free" if free is not None else ""
    took = 0 if evaluation is None else evaluation.num_bytes
    after = f"the evaluation took {memory.size(took)} last time" if took else "the evaluation may take more"
    return [f"Memory: about {memory.size(peak.num_bytes)} while training, as measured in a step; {after}{rest}."]


def cut(recipe: Recipe, game: Game, processes: int = 1) -> list[str]:
    """A note where the game is cut into parts, micro-batches or processes, that do not play the game of the whole batch."""
    batch = settled(recipe.batch, "batch")
    parts = [
        part
        for rank in range(processes)
        for part in DistributedContext(rank, processes).parts(batch, recipe.micro_batches)
    ]
    found = rows_together(game, parts)
    if not found:
        return []
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    kinds = {name.rpartition(" ")[2] for name in found}
    advice = "Group normalisation (norm = group) plays the same game" if any("Norm" in kind for kind in kinds) else ""
    return [
        f"This is NOT the game of the whole batch of {batch} rows, which is played in {len(parts)} parts of about "
        f"{-(-batch // len(parts))}: {', '.join(found[:NAMED])}{more} see only the rows of a part.{advice and f' {advice}.'}"
    ]


def rows_together(game: Game, parts: Sequence[tuple[int, int]]) -> list[str]:
    """The modules whose result for a row depends on how the batch is cut into `parts` (first and last+1 row of each), by player
    and name: "generator.1 (BatchNorm2d)". None where there is one part.

    BatchNorm in training; torch's own dropout, which draws its mask for each part; modules that look at `rows_together`
    consecutive rows, an attribute of theirs, where a part cuts such a group.
    """
    return [
        f"{player}.{name} ({type(module).__name__})".replace(". ", " ")
        for player, network in game.players.items()
        for name, module in network.named_modules()
        if len(parts) > 1 and _depends(module, parts)
    ]


def _depends(module: nn.Module, parts: Sequence[tuple[int, int]]) -> bool:
    if isinstance(module, _BatchNorm):
        return module.training or not module.track_running_stats
    if isinstance(module, _DropoutNd):
        return module.training and module.p > 0
    together = getattr(module, "rows_together", 1)
    return module.training and any(stop % together for _, stop in parts)
