"""Does a recipe fit into memory? With --fit: the least number of micro-batches with which it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from zerosum.planning import evaluation_cost, trial_step
from zerosum.recipe import Recipe, settled

Begin = Callable[[Recipe], TrainingLoop]
NAMED = 3
"""Modules that are named in a note."""


def rehearsed(
    recipe: Recipe, domain: Domain, info: DatasetInfo, begin: Begin, fit: bool = False, processes: int = 1
) -> tuple[Recipe, list[str]]:
    """Tries one step with every penalty due; returns the recipe, with more micro-batches where `fit` had to cut the batch,
    and notes: the number of micro-batches, whether they play the game of the whole batch, and the memory that is needed.

    UserError says what cannot work, or that the memory does not suffice and what to change.
    """
    device, asked = torch.device(recipe.device), recipe.micro_batches
    most = max(1, settled(recipe.batch, "batch") // processes)
    while True:
        memory.release(device)
        free = memory.available(device)
        shortage, peak = _try(recipe, begin, device)
        if shortage is None:
            break
        if not fit or recipe.micro_batches >= most:
            when = "in the first step" + (", even one row at a time" if fit else "")
            raise UserError(memory.message(recipe, domain, info, shortage, when, processes, free)) from None
        shortage = None  # it holds the tensors of the step that failed
        recipe = recipe.changed(micro_batches=min(most, 2 * recipe.micro_batches))
    notes = []
    if recipe.micro_batches != asked:
        rows = -(-settled(recipe.batch, "batch") // recipe.micro_batches)
        notes.append(
            f"micro_batches = {recipe.micro_batches} (asked: {asked}): {rows} rows at a time fit into memory, more do not."
        )
    if recipe.micro_batches > 1 or processes > 1:
        notes += cut(recipe, begin(recipe).game, processes)
    return recipe, notes + _needed(peak, device, evaluation_cost.known(info))


def _try(recipe: Recipe, begin: Begin, device: torch.device) -> tuple[BaseException | None, memory.Peak]:
    """One step on networks that are thrown away: what memory was lacking, and the most that was held."""
    with memory.measured(device) as peak, memory.bounded(device):
        try:
            trial_step.rehearse(begin(recipe), recipe.steps)
        except UserError:
            raise
        except ArithmeticError:
            return None, peak  # numbers that are not finite: the training will meet and tell them
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if not memory.exhausted(error):
                raise trial_step.cannot_play(recipe, error) from error
            return error.with_traceback(None), peak
    return None, peak


def _needed(peak: memory.Peak, device: torch.device, evaluation: evaluation_cost.EvaluationCost | None) -> list[str]:
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
