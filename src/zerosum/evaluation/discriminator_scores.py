"""Scores of the discriminator of a run's newest checkpoint on samples in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, Domain, OtherCondition, Windows
from zerosum.domain.info import Label
from zerosum.engine.game import DISCRIMINATOR, Game
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

BATCH = 256
"""Samples that are scored at once."""

Samples = Tensor | Windows


def samples_in(domain: Domain, path: Path, info: DatasetInfo, step: float) -> Iterator[tuple[str, Samples]]:
    """(name, samples) of a file, or of each recording in it. step: seconds between two windows of a recording, 0 to choose."""
    if domain.media.windows is not None:
        yield from domain.media.windows(path, info, step)
    elif step:
        raise UserError(f"--step: samples of the domain {domain.name!r} have no time.")
    else:
        yield str(path), domain.media.read([path], info)


def names_of(name: str, samples: Samples) -> list[str]:
    """A name for each sample of a file: that of the file, with the number of the sample, or the second at which it begins, where
    there are several."""
    if len(samples) == 1:
        return [name]
    if isinstance(samples, Windows):
        return [f"{name}:{start / samples.rate:.3f}s" for start in samples.starts]
    return [f"{name}:{row + 1}" for row in range(len(samples))]


def check_files(paths: Sequence[str | Path], labels: Sequence[Label] | None) -> None:
    """UserError where there are no files, or not one label for each."""
    if not paths:
        raise UserError("judge needs at least one file of samples.")
    if labels is not None and len(labels) != len(paths):
        raise UserError(f"labels has {len(labels)} entries for {len(paths)} files.")
    missing = [str(path) for path in paths if not Path(path).is_file()]
    if missing:
        raise UserError(f"no such file: {', '.join(missing[:5])}.")


class Scorer:
    """The discriminator of a run's newest checkpoint, with its neutral logit."""

    def __init__(self, folder: RunFolder, recipe: Recipe, domain: Domain, info: DatasetInfo) -> None:
        self.recipe, self._domain, self._info = recipe, domain, info
        self._game = trained_game(folder, recipe, domain, info)
        health = [line["values"] for line in folder.lines() if line["kind"] == "health"]
        self._neutral = (health[-1].get("neutral_logit") or 0.0) if health else 0.0

    def scores(self, samples: Samples, condition: Tensor | None) -> list[float]:
        """D(x) in [0, 1] of each sample. condition: one row, of all of them; without, a conditional discriminator gives its
        highest score over all, unless it ignores conditions (its attribute `ignores_condition`)."""
        tried: list[Tensor | None] = [condition]
        ignored = getattr(self._game.players[DISCRIMINATOR], "ignores_condition", False)
        if self.recipe.conditional is True and condition is None and not ignored:
            tried = [*candidates(self._domain, self._info)]
        found: list[float] = []
        for start in range(0, len(samples), BATCH):
            rows = samples[start : start + BATCH]
            conditions = [one if one is None else one.expand(len(rows), *one.shape[1:]) for one in tried]
            logits = torch.stack([judge(self._game, rows, one, self.recipe) for one in conditions])
            found += (logits.amax(0) - self._neutral).sigmoid().tolist()
        return found


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


def distance_ratios(domain: Domain, recipe: Recipe, parts: Iterable[Samples]) -> list[float] | None:
    """How far each sample of some files lies from the nearest of NUM_NEAR training rows, over the largest such distance of
    NUM_LEFT real rows that are not among them; the largest of all views (`Media.similarity`). Above 1 the sample is unlike all
    training rows. None for a domain without `Media.similarity`.

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
    data = [
        domain.media.similarity(part[start : start + BATCH]) for part in parts for start in range(0, len(part), BATCH)
    ]
    known, others = (domain.media.similarity(rows) for rows in (source.batch(order).data, reals))
    views = zip(known, others, (torch.cat(view) for view in zip(*data, strict=True)), strict=True)
    ratios = [
        nearest(given, known)[0] / max(float(nearest(others, known)[0].max()), 1e-12) for known, others, given in views
    ]
    largest: list[float] = torch.stack(ratios).amax(0).tolist()
    return largest


def candidates(domain: Domain, info: DatasetInfo) -> list[Tensor]:
    """Conditions of one row each, which are tried for a sample without a given condition. UserError where files have none."""
    found = info.condition.candidates() if info.condition is not None else []
    if not found:
        raise UserError(
            f"judge: the discriminator of this run scores samples together with {_given(info)}, which the domain "
            f"{domain.name!r} does not read from files. `zerosum evaluate` measures this run's own samples; files can be judged "
            f"by a run on the same data whose discriminator is not given {_given(info)}."
        )
    return found


def _given(info: DatasetInfo) -> str:
    """What the condition of a data set is, in words."""
    return info.condition.description if isinstance(info.condition, OtherCondition) else "conditions"
