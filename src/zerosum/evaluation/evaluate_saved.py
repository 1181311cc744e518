"""Measuring the published generator of a run: no game and no discriminator are needed, and a training may go on beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.domain.contract import EvalOptions
from zerosum.evaluation.evaluate import add_to_protocols, class_labels, configure_evaluator, draw_samples
from zerosum.generation.sampler import CARD, EXAMPLES, WEIGHTS, Sampler, load
from zerosum.jsonfile import made_of, read_object
from zerosum.metrics.record import Record
from zerosum.planning.plan import plan_of, with_data_at
from zerosum.planning.trial_step import cpu_threads
from zerosum.recipe import Recipe
from zerosum.run_folder import RunFolder, finite


@dataclass(frozen=True)
class SavedScores:
    """The records of a generator at a step."""

    step: int
    records: Sequence[Record]

    def plain(self) -> list[dict[str, Any]]:
        """The records as plain values, ready for a log."""
        return [finite(record.to_json()) for record in self.records]


class SavedEvaluator:
    """Evaluates generators of one run; data, extractor and features of the reals are prepared once.

    threads: of the CPU; by default as many as the run was trained with.
    """

    def __init__(
        self,
        folder: RunFolder,
        options: EvalOptions = EvalOptions(),
        seed: int | None = None,
        data: str | Path | None = None,
        threads: int | None = None,
    ) -> None:
        self.folder = folder
        self.plan = plan_of(folder, options.download, anywhere=True, recipe=with_data_at(folder.recipe(), data))
        self.threads = self.plan.recipe.threads if threads is None else threads
        domain, self.seed = self.plan.domain, self.plan.recipe.seed if seed is None else seed
        self.evaluator = configure_evaluator(domain.evaluation.evaluator(self.plan.source, self.seed), options, domain)

    def load_generator(self, where: Path | None = None) -> tuple[int, Sampler, Recipe]:
        """Step, sampler and recipe of the generator published at `where`, by default in the run folder.

        Copied first: a training may publish the next one while this one is read.
        """
        where = where or self.folder.root
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name)
            for file in (WEIGHTS, EXAMPLES, CARD):  # a card that is read after the weights lists their SHA-256
                if (where / file).exists():
                    (copy / file).write_bytes((where / file).read_bytes())
            source = copy if (copy / WEIGHTS).exists() else where
            sampler, recipe, _ = load(source, self.plan.recipe.device)
            with made_of(source / CARD):
                step = int(read_object(source / CARD)["step"])
        return step, sampler, recipe

    def measure(self, where: Path | None = None) -> SavedScores:
        """All metrics that need no discriminator, of the generator published at `where`, on new samples."""
        return self.measure_sampler(*self.load_generator(where))

    def measure_sampler(self, step: int, sampler: Sampler, recipe: Recipe) -> SavedScores:
        """The same for a loaded generator."""
        seed = self.seed + 1
        with cpu_threads(self.threads):
            fakes, condition = draw_samples(self.plan.domain, self.evaluator, sampler, seed)
            records = self.evaluator.evaluate(fakes, class_labels(condition), None)
        weights = "average" if recipe.ema.half_life_samples != 0 else "generator"
        made = {"weights": weights, "step": step, "sample_seed": seed}
        return SavedScores(step, add_to_protocols(records, made))
