"""Scores of the discriminator of a run's newest checkpoint on samples in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, Domain
from zerosum.domain.info import Label
from zerosum.engine.game import Game
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.evaluation.training_evaluator import judge
from zerosum.generation.sampler import build_within_memory
from zerosum.jsonfile import made_of
from zerosum.metrics.neighbours import nearest
from zerosum.recipe import Recipe
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint

NUM_NEAR, NUM_LEFT, FEWEST_LEFT = 2000, 500, 100
"""Numbers of training rows that inputs are compared with, of real rows that give the usual distance between real rows, and the
least number of held-out rows that are used for the latter."""


def read_samples(
    domain: Domain, paths: Sequence[str | Path], info: DatasetInfo, labels: Sequence[Label] | None
) -> tuple[list[str], Tensor, list[Label] | None]:
    """(names, samples, labels), one of each for every sample in the files; labels: one for each file."""
    if not paths:
        raise UserError("judge needs at least one file of samples.")
    if labels is not None and len(labels) != len(paths):
        raise UserError(f"labels has {len(labels)} entries for {len(paths)} files.")
    missing = [str(path) for path in paths if not Path(path).is_file()]
    if missing:
        raise UserError(f"no such file: {', '.join(missing[:5])}.")
    parts = [domain.media.read([Path(path)], info) for path in paths]
    names = [
        str(path) if len(part) == 1 else f"{path}:{row + 1}"
        for path, part in zip(paths, parts, strict=True)
        for row in range(len(part))
    ]
    conditions = None
    if labels is not None:
        conditions = [label for label, part in zip(labels, parts, strict=True) for _ in range(len(part))]
    return names, torch.cat(parts), conditions


def score_samples(
    folder: RunFolder, recipe: Recipe, domain: Domain, info: DatasetInfo, data: Tensor, condition: Tensor | None
) -> list[float]:
    """D(x) in [0, 1] of each sample. Without a condition, a conditional discriminator gives its highest score over all."""
    game = trained_game(folder, recipe, domain, info)
    health = [line["values"] for line in folder.lines() if line["kind"] == "health"]
    neutral = (health[-1].get("neutral_logit") or 0.0) if health else 0.0
    tried: list[Tensor | None] = [condition]
    if recipe.conditional is True and condition is None:
        tried = [one.expand(len(data), *one.shape[1:]) for one in _candidates(domain, info)]
    logits = torch.stack([judge(game, data, one, recipe) for one in tried])
    return (logits.amax(0) - neutral).sigmoid().tolist()


def trained_game(folder: RunFolder, recipe: Recipe, domain: Domain, info: DatasetInfo) -> Game:
    """The game with the networks of the newest checkpoint. UserError where there is none."""
    state = latest_checkpoint(folder.checkpoints)
    if state is None:
        raise UserError(
            f"{folder.root} has no checkpoint, so its discriminator is gone; `judge` needs the run folder of a training."
        )
    with made_of(folder.checkpoints):
        kept = state["match"]["networks"]
        tensors = [tensor for network in kept.values() for tensor in network.values()]
        game = build_within_memory(lambda: domain.game.build(recipe, info), tensors, folder.checkpoints)
        for name, network in game.players.items():  # a discriminator may share a part of another player
            network.load_state_dict(kept[name])
    return game


def distance_ratios(domain: Domain, recipe: Recipe, data: Tensor) -> list[float] | None:
    """How far each sample lies from the nearest of NUM_NEAR training rows, over the largest such distance of NUM_LEFT real rows
    that are not among them; the largest of all views (`Media.similarity`). Above 1 the sample is unlike all training rows. None
    for a domain without `Media.similarity`.

    The other rows are held out, or, where there are few, training rows. UserError where the data cannot be opened.
    """
    if domain.media.similarity is None:
        return None
    source = domain.data.open(recipe.data, False)
    order = torch.randperm(source.num_rows, generator=generator(recipe.seed, "likeness"))
    num_left = min(NUM_LEFT, source.num_rows // 2)
    if source.num_heldout >= FEWEST_LEFT:
        step = -(-source.num_heldout // NUM_LEFT)
        reals, order = source.heldout_batch(torch.arange(0, source.num_heldout, step)).data, order[:NUM_NEAR]
    else:
        reals, order = source.batch(order[:num_left]).data, order[num_left : num_left + NUM_NEAR]
    views = zip(*(domain.media.similarity(rows) for rows in (source.batch(order).data, reals, data)), strict=True)
    ratios = [
        nearest(given, known)[0] / max(float(nearest(others, known)[0].max()), 1e-12) for known, others, given in views
    ]
    largest: list[float] = torch.stack(ratios).amax(0).tolist()
    return largest


def _candidates(domain: Domain, info: DatasetInfo) -> list[Tensor]:
    """Conditions of one row each, which are tried for a sample without a given condition."""
    found = info.condition.candidates() if info.condition is not None else []
    if not found:
        raise UserError(
            f"judge: this discriminator judges pairs, an input and what was made of it; the domain {domain.name!r} cannot "
            "read pairs for it."
        )
    return found
