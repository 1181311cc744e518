"""Evaluation of a run between two steps: previews, scores of the discriminator, values of the health check, all metrics."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.domain import ClassCondition, DatasetInfo, Domain, PreviewContext
from zerosum.domain.contract import SOUND_ENDING, EvalOptions, stage
from zerosum.engine.devices import DistributedContext, autocast
from zerosum.engine.game import Batch, DiscriminatorOutput, Game
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.seeds import rows_at
from zerosum.errors import UserError
from zerosum.evaluation import evaluate
from zerosum.generation.sampler import Sampler
from zerosum.metrics.neighbours import sample_rows
from zerosum.metrics.record import Record
from zerosum.planning.plan import Plan
from zerosum.recipe import Recipe, resolved_number

ROWS, COLUMNS, MOST_COLUMNS, FEWEST_COLUMNS = 8, 10, 16, 4
NUM_SCORED = 256
"""Rows of each kind (training, held-out, generated) whose scores the health check uses; drawn once from the seed of the run."""
FEWEST_JUDGED, MOST_JUDGED = 16, 500
"""Rows that the discriminator scores at once."""
MOST_SEARCHED = 5_000  # rows that are searched for rows of each class
NUM_BINS = 20
FEWEST_HELD_OUT = 16
"""Least number of held-out rows from which memorisation by the discriminator is estimated."""


class TrainingEvaluator:
    """Evaluates one run. It does not change the players: samples come from the average generator; D scores in eval mode."""

    def __init__(self, plan: Plan, loop: TrainingLoop) -> None:
        self.plan, self.loop = plan, loop
        self.evaluator = plan.domain.evaluation.evaluator(plan.source, plan.recipe.seed)
        network = loop.average.network if loop.average else loop.game.players["generator"]
        conditional = plan.recipe.conditional is True
        examples = plan.domain.data.examples
        self.examples = examples(plan.source) if conditional and examples else None
        self.sampler = Sampler(network, plan.recipe.prior, plan.info, conditional, self.examples)
        self.columns, self.shown = self._layout()
        self.neutral = 0.0
        self._heard: Tensor | None = None
        self._train_rows = sample_rows(plan.source.num_rows, NUM_SCORED, plan.recipe.seed)
        self._heldout_rows = sample_rows(plan.source.num_heldout, NUM_SCORED, plan.recipe.seed)

    def _layout(self) -> tuple[int, Tensor | None]:
        """Columns of the grid, and the condition of each sample: as many columns for each class where there are few classes,
        attributes of real rows. A medium with its own number of samples gets the classes in turn."""
        condition = self.plan.info.condition if self.sampler.conditional else None
        if condition is not None and not isinstance(condition, ClassCondition):
            num = self.plan.domain.media.num_shown or ROWS * COLUMNS
            return COLUMNS, self.sampler.conditions(num, self.plan.recipe.seed)
        classes = condition.num_classes if condition is not None else 0
        if classes and (num := self.plan.domain.media.num_shown):
            return classes if FEWEST_COLUMNS <= classes < COLUMNS else COLUMNS, torch.arange(num) % classes
        if not 2 <= classes <= MOST_COLUMNS:
            return COLUMNS, torch.arange(ROWS * COLUMNS) % classes if classes else None
        each = max(1, COLUMNS // classes)
        return classes * each, (torch.arange(classes).repeat_interleave(each)).repeat(ROWS)

    def prepare(self, log: Callable[[str], None]) -> None:
        """Prepares the metrics once (a classifier, features of the reals), before the time of the training is measured."""
        self.evaluator.prepare(log)

    def write_preview(self, path: Path) -> None:
        """Writes the preview: samples of the same noise during the whole run, and what the domain adds to them."""
        count, seed = self._num_shown(), self.plan.recipe.seed
        samples, self._heard = self._shown_samples(), None

        def judged(data: Tensor) -> Tensor:
            self.scores(samples[:NUM_SCORED], None)  # updates the neutral logit
            return self.judge(data, None)

        opinion = self.loop.game.loss is not None and not self.sampler.conditional
        noise = self.sampler.noise(count, seed)
        self.plan.domain.media.preview(
            samples, path, PreviewContext(self.columns, self.plan.info, noise, judged if opinion else None, self.shown)
        )

    def write_sound(self, path: Path) -> None:
        """Writes the first samples of the preview as sound; for a domain with `Media.sound`. The preview that is written next
        shows the same samples."""
        self._heard = None
        samples = self._heard = self._shown_samples()
        noise = self.sampler.noise(self._num_shown(), self.plan.recipe.seed)
        write_sound(self.plan.domain, samples, path, self.plan.info, self.shown, noise)

    def _shown_samples(self) -> Tensor:
        """The samples of the preview; those of the sound that was written just before."""
        if self._heard is not None:
            return self._heard
        return self.sampler.sample(self._num_shown(), self.plan.recipe.seed, self.shown)

    def write_real_sound(self, path: Path) -> None:
        """Writes the first real rows in the layout of the preview as sound."""
        real = self._reals()
        write_sound(self.plan.domain, real.data.cpu(), path, self.plan.info, real.condition)

    def write_real_preview(self, path: Path) -> None:
        """Writes real rows in the layout of the preview."""
        real = self._reals()
        self.plan.domain.media.preview(
            real.data.cpu(), path, PreviewContext(self.columns, self.plan.info, condition=real.condition)
        )

    def _num_shown(self) -> int:
        return self.plan.domain.media.num_shown or ROWS * self.columns

    def _reals(self) -> Batch:
        count, source = self._num_shown(), self.plan.source
        if self.examples is not None:
            return self.examples.picked(torch.arange(count) % len(self.examples))
        order = rows_at(0, min(MOST_SEARCHED, source.num_rows), source.num_rows, self.plan.recipe.seed)
        if self.shown is not None and self.shown.dim() == 1:
            batch = source.batch(order)
            assert batch.condition is not None
            found = {int(label): order[batch.condition.cpu() == label].tolist() for label in set(self.shown.tolist())}
            used = dict.fromkeys(found, 0)
            picks = []
            for label in self.shown.tolist():
                rows = found[label] or order.tolist()  # no row of a rare class was found
                picks.append(rows[used[label] % len(rows)])
                used[label] += 1
            order = torch.tensor(picks)
        picked = order[torch.arange(count) % len(order)]
        real: Batch = source.batch(picked)
        return real

    def health_values(self) -> tuple[dict[str, float], dict[str, Any]]:
        """Numbers for the health rules, and histograms of D's probability on train reals, held-out reals and fakes."""
        num, seed = self.plan.domain.evaluation.num_quick_of(self.plan.info), self.plan.recipe.seed + 7
        condition = self.sampler.conditions(num, seed)
        fakes = self.sampler.sample(num, seed, condition)
        values = self.evaluator.quick(fakes).values()
        scores = self.scores(fakes, condition)
        if "train" in scores:
            values["accuracy/real"] = float((scores["train"] > 0).float().mean())
            values["accuracy/fake"] = float((scores["fake"] < 0).float().mean())
        if "heldout" in scores and len(scores["heldout"]) >= FEWEST_HELD_OUT:
            values["accuracy/heldout"] = float((scores["heldout"] > 0).float().mean())
            apart = float(scores["train"].mean() - scores["fake"].mean())
            # The gap is not meaningful where the scores hardly differ.
            if apart > 0.25 * float(scores["train"].std() + scores["fake"].std()):
                values["heldout_gap"] = float(scores["train"].mean() - scores["heldout"].mean()) / apart
        edges = torch.linspace(0, 1, NUM_BINS + 1)
        bins = {name: torch.histogram(s.sigmoid(), edges)[0].int().tolist() for name, s in scores.items()}
        values["neutral_logit"] = self.neutral
        return values, bins | {"edges": [round(x, 4) for x in edges.tolist()]}

    def evaluate(self, historic: bool = False, options: EvalOptions = EvalOptions()) -> Sequence[Record]:
        """All metrics on new samples; the protocol of each record contains weights, step and seeds.

        historic: also the scores of old papers, for which a domain without them raises UserError. options: of the extractor
        and the number of samples.
        """
        scores = self.plan.domain.evaluation.historic if historic else None
        if historic and scores is None:
            raise UserError(f"--historic: the domain {self.plan.domain.name!r} has no historic scores.")
        evaluator, seed = (
            evaluate.configure_evaluator(self.evaluator, options, self.plan.domain),
            self.plan.recipe.seed + 1,
        )
        stage("samples", needed=True)
        fakes, condition = evaluate.draw_samples(self.plan.domain, evaluator, self.sampler, seed)
        weights = "average" if self.loop.average else "generator"
        made = {"weights": weights, "step": self.loop.step, "sample_seed": seed}
        self.scores(fakes[:NUM_SCORED], None if condition is None else condition[:NUM_SCORED])
        # Metrics use class labels only: they cannot give D the attributes of a real row.
        judge = self.judge if condition is None or condition.dim() == 1 else None
        records = [*evaluator.evaluate(fakes, evaluate.class_labels(condition), judge)]
        if scores is not None:
            records += scores(self.evaluator, lambda num: self.sampler.sample(num, seed))
        if stage("measures of the game itself"):
            records += self.plan.domain.evaluation.extra_metrics(self.plan.recipe, self.loop, fakes)
        return evaluate.add_to_protocols(records, made)

    # --- scores of the discriminator

    def judge(self, data: Tensor, labels: Tensor | None) -> Tensor:
        """(N,) logits of the discriminator in eval mode, above the neutral logit."""
        return judge(self.loop.game, data.to(self.loop.device), labels, self.plan.recipe) - self.neutral

    def scores(self, fakes: Tensor, fake_labels: Tensor | None) -> dict[str, Tensor]:
        """Logits on training reals, held-out reals and fakes, minus the neutral logit, which is estimated again here."""
        game = self.loop.game
        if game.loss is None:
            return {}
        source, scores, self.neutral = self.plan.source, {}, 0.0
        train = source.batch(self._train_rows)
        scores["train"] = self.judge(train.data, train.condition)
        if source.num_heldout:
            heldout = source.heldout_batch(self._heldout_rows)
            scores["heldout"] = self.judge(heldout.data, heldout.condition)
        scores["fake"] = self.judge(fakes, fake_labels)
        self.neutral = float(game.loss.centre(scores["train"], scores["fake"]))
        return {name: logits - self.neutral for name, logits in scores.items()}


def write_sound(
    domain: Domain,
    samples: Tensor,
    path: Path,
    info: DatasetInfo,
    condition: Tensor | None = None,
    noise: Tensor | None = None,
) -> None:
    """Writes the first `Media.num_heard` of some samples one after the other, in a domain with `Media.sound`. noise: see
    PreviewContext."""
    assert domain.media.sound is not None
    num = min(domain.media.num_heard, len(samples))
    condition, noise = (None if rows is None else rows[:num] for rows in (condition, noise))
    domain.media.sound(samples[:num], path, PreviewContext(num, info, noise, condition=condition))


def preview_seconds(plan: Plan, trial: TrainingLoop, world: DistributedContext) -> float:
    """Seconds that a preview and the scores of its samples take, measured by the first process; used by `planning.plan.make`.

    trial: a loop that is discarded afterwards.
    """
    evaluator = TrainingEvaluator(plan, trial)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        if plan.domain.media.sound is not None:  # first, as in a training: the picture shows the samples of the sound
            evaluator.write_sound(Path(folder) / f"preview{SOUND_ENDING}")
        evaluator.write_preview(Path(folder) / f"preview{plan.domain.media.preview_ending}")
        num = plan.domain.evaluation.num_quick_of(plan.info)
        condition = evaluator.sampler.conditions(num, plan.recipe.seed)
        fakes = evaluator.sampler.sample(num, plan.recipe.seed, condition)
        evaluator.scores(fakes, condition)
        spent = torch.tensor([time.perf_counter() - begun if world.rank == 0 else 0.0], device=trial.device)
    world.sum_([spent])
    return float(spent)


@torch.no_grad()
def judge(game: Game, data: Tensor, labels: Tensor | None, recipe: Recipe) -> Tensor:
    """(N,) float32 logits of the game's discriminator, in eval mode; its own mode is restored."""
    network = game.players["discriminator"]
    # As many rows as in training: more of them take memory, and time where their features leave the caches.
    batch = min(MOST_JUDGED, max(FEWEST_JUDGED, resolved_number(recipe.batch, "batch")))
    training, parts = network.training, []
    network.eval()
    for start in range(0, len(data), batch):
        rows = data[start : start + batch]
        with autocast("bfloat16" if recipe.precision == "bfloat16" else "float32", rows.device):
            if recipe.conditional is True and labels is not None:
                verdict = DiscriminatorOutput.of(network(rows, labels[start : start + batch].to(rows.device)))
            else:
                verdict = DiscriminatorOutput.of(network(rows))
        parts.append(verdict.score().cpu())
    network.train(training)
    return torch.cat(parts)
