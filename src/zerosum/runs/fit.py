"""Does a recipe fit into memory? With --fit: the least number of micro-batches with which it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zerosum.engine.game import Game
from zerosum.engine.loop import Match
from zerosum.errors import UserError
from zerosum.recipe import Recipe, settled
from zerosum.runs import memory, rehearsal

Begin = Callable[[Recipe], Match]


def rehearsed(
    recipe: Recipe, facts: Mapping[str, Any], begin: Begin, fit: bool = False, processes: int = 1
) -> tuple[Recipe, list[str]]:
    """Tries one step with every penalty due; returns the recipe, with more micro-batches where `fit` had to cut the batch,
    and notes: the memory that a training will need, and what a cut changed.

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
            raise UserError(memory.message(recipe, facts, shortage, when, processes, free)) from None
        shortage = None  # it holds the tensors of the step that failed
        recipe = recipe.changed(micro_batches=min(most, 2 * recipe.micro_batches))
    notes = [_cut(recipe, asked, begin)] if recipe.micro_batches != asked else []
    return recipe, notes + _needed(peak, device)


def _try(recipe: Recipe, begin: Begin, device: torch.device) -> tuple[BaseException | None, memory.Peak]:
    """One step on networks that are thrown away: what memory was lacking, and the most that was held."""
    with memory.measured(device) as peak, memory.bounded(device):
        try:
            rehearsal.rehearse(begin(recipe), recipe.steps)
        except UserError:
            raise
        except ArithmeticError:
            return None, peak  # numbers that are not finite: the training will meet and tell them
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if not memory.exhausted(error):
                raise rehearsal.cannot_play(recipe, error) from error
            return error.with_traceback(None), peak
    return None, peak


def _needed(peak: memory.Peak, device: torch.device) -> list[str]:
    free = memory.available(device)
    if peak.num_bytes is None:
        return []
    rest = f"; {memory.size(free)} are free" if free is not None else ""
    return [f"Memory: about {memory.size(peak.num_bytes)} while training, as measured in a step{rest}."]


def _cut(recipe: Recipe, asked: int, begin: Begin) -> str:
    rows = -(-settled(recipe.batch, "batch") // recipe.micro_batches)
    said = (
        f"micro_batches = {recipe.micro_batches} (asked: {asked}): {rows} rows at a time fit into memory, more do not. "
        "The gradients are those of the whole batch"
    )
    mixing = rows_together(begin(recipe).game)
    if not mixing:
        return said + "."
    return f"{said}, except through what looks at the rows together, now {rows} of them: {', '.join(mixing)}."


def rows_together(game: Game) -> list[str]:
    """The modules whose result for a row hangs on the other rows of its micro-batch: BatchNorm in training, and the
    standard deviation over a minibatch. By player and name: "generator.1 (BatchNorm2d)"."""
    return [
        f"{player}.{name} ({type(module).__name__})"
        for player, network in game.players.items()
        for name, module in network.named_modules()
        if _mixes(module)
    ]


def _mixes(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm):
        return module.training or not module.track_running_stats
    return "minibatch" in type(module).__name__.lower()
