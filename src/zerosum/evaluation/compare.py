"""Several runs measured by one protocol: the same data, reals, extractor, number of samples and seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zerosum.domain import DatasetInfo, Domain
from zerosum.domain.eval_options import EvalOptions
from zerosum.errors import UserError
from zerosum.evaluation.evaluate_saved import SavedEvaluator
from zerosum.generation.sampler import Sampler
from zerosum.report.comparison import Comparison, side_by_side
from zerosum.report.read import as_dict
from zerosum.run_folder import RunFolder

SEED = 0
"""Of the choice of reals; samples have the next one. The same for all, whatever the runs' own seeds."""
NUM_SHOWN, COLUMNS = 36, 6


@dataclass(frozen=True)
class ComparedRun:
    """One run: its short name, step, recipe, records as plain values, and samples to show."""

    name: str
    path: Path
    step: int
    recipe: str
    records: list[dict[str, Any]]
    samples: Tensor

    def plain(self) -> dict[str, Any]:
        """What a program may read of it."""
        return {
            "name": self.name,
            "path": str(self.path),
            "step": self.step,
            "recipe": self.recipe,
            "records": self.records,
        }


@dataclass(frozen=True)
class RunComparison:
    """The runs and their table."""

    domain: Domain
    info: DatasetInfo
    entries: tuple[ComparedRun, ...]
    table: Comparison


def hold(paths: Sequence[Path], choice: EvalOptions, say: Callable[[str], None]) -> RunComparison:
    """Measures the published generator of each run. UserError for fewer than two runs, and for runs on different data."""
    if len(paths) < 2:
        raise UserError("compare needs at least two runs.")
    folders = [RunFolder.open(path) for path in paths]
    _refuse_different(folders)
    measurer = SavedEvaluator(folders[0], choice, SEED)
    names, entries = _names(paths), []
    for name, folder in zip(names, folders, strict=True):
        say(f"{name}: measuring {measurer.evaluator.num_samples:,} samples ...")
        step, sampler, recipe = measurer.generator(folder.root)
        records = measurer.measured(step, sampler, recipe).plain()
        samples = measurer.plan.domain.media.postprocess(_shown(measurer.plan.domain, sampler), recipe)
        entries.append(ComparedRun(name, folder.root, step, recipe.name, records, samples))
    table = side_by_side(names, [entry.records for entry in entries])
    return RunComparison(measurer.plan.domain, measurer.plan.info, tuple(entries), table)


def _shown(domain: Domain, sampler: Sampler) -> Tensor:
    num = domain.media.num_shown or NUM_SHOWN
    return sampler.sample(num, SEED, sampler.conditions(num, SEED))


def _refuse_different(folders: Sequence[RunFolder]) -> None:
    """UserError names the first pair of runs whose data differ, and in what."""
    told = [folder.read("run.json") for folder in folders]
    first = told[0]
    for folder, other in zip(folders[1:], told[1:], strict=True):
        one, two = as_dict(first.get("source")), as_dict(other.get("source"))
        if first.get("domain") != other.get("domain"):
            why = f"one makes {first.get('domain')}, the other {other.get('domain')}"
        elif one.get("shape") != two.get("shape"):
            why = f"{one.get('summary')} against {two.get('summary')}"
        elif one.get("fingerprint") != two.get("fingerprint"):
            prints = (str(one.get("fingerprint"))[:12], str(two.get("fingerprint"))[:12])
            why = f"{one.get('name')} (fingerprint {prints[0]}) against {two.get('name')} (fingerprint {prints[1]})"
        else:
            continue
        raise UserError(
            f"{folders[0]} and {folder} were trained on different data: {why}. Their numbers say nothing about each other; "
            "train both on the same data, with the same data.* settings."
        )


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the runs apart; the same run given twice is refused."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise UserError("compare: a run is given twice.")
    for length in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names
