"""Evaluation of generated rows: each score with that of real rows, its controls and its protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domain import QuickMetrics
from zerosum.domains.tables import conditional_metrics
from zerosum.domains.tables.scores import MEANINGS, Controls, ReferenceData, scores_of, shapes_by_column, target_of
from zerosum.domains.tables.table_similarity import NumericMatrix, mean, shapes
from zerosum.engine.loop import TrainingLoop
from zerosum.metrics.neighbours import sample_rows
from zerosum.metrics.record import Record
from zerosum.recipe import Recipe

if TYPE_CHECKING:
    from zerosum.domains.tables.data import TableSource

Judge = Callable[[Tensor, Tensor | None], Tensor]
MOST, LEAST, MOST_QUICK = 20_000, 1_000, 2_000


class TableEvaluator:
    """Scores of a generator against one source of tables: as many generated rows as training rows, within bounds, are decoded and
    compared with the held-out rows."""

    def __init__(self, source: TableSource, seed: int) -> None:
        self.source, self.seed = source, seed
        self.num_samples = min(MOST, max(LEAST, len(source.train)))

    def prepare(self, log: Callable[[str], None]) -> None:
        """Nothing is needed before the first evaluation."""

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All scores of (N, D) encoded rows that were generated without conditions."""
        return self.evaluate_rows(self._decode(fakes))

    def evaluate_rows(self, made: NumericMatrix) -> list[Record]:
        """All scores of decoded rows, also of other programs."""
        protocol = self._protocol(len(made)) | {"column_shapes": shapes_by_column(made, self._reference_data)}
        if shares := self._reference_data.constraints(made):
            protocol |= {"constraints": {words: round(share, 4) for words, share in shares.items()}}
        return [
            self._make_record(name, value, protocol) for name, value in scores_of(made, self._reference_data).items()
        ]

    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health numbers: the diversity of the rows, and the similarity of their columns to the real ones."""
        num, device = len(self.source.train), self.source.rows.choices.device
        rows = sample_rows(num, len(fakes), self.seed).to(device)
        reals = self.source.rows.data(rows, rows).cpu()
        known = self._reference_data.train.rows(sample_rows(num, MOST_QUICK, self.seed).numpy())
        diversity = float(torch.pdist(fakes.detach().cpu()).mean() / torch.pdist(reals).mean())
        return QuickMetrics(diversity, others={"column_shapes": mean(shapes(known, self._decode(fakes)))})

    def _decode(self, fakes: Tensor) -> NumericMatrix:
        return NumericMatrix.of(self.source.transform.decode(fakes.detach().cpu(), self.seed))

    @functools.cached_property
    def _reference_data(self) -> ReferenceData:
        train, heldout = NumericMatrix.of(self.source.train), NumericMatrix.of(self.source.heldout)
        return ReferenceData(train, heldout, target_of(train, heldout), self.seed, self.source.transform.shares_kept)

    @functools.cached_property
    def _controls(self) -> Controls:
        return Controls(self._reference_data, self.num_samples)

    def _make_record(self, full: str, value: float, protocol: Mapping[str, Any]) -> Record:
        name = full.partition("[")[0]
        better, sentence = MEANINGS[name]
        if name == "learnt_from":
            levels = protocol["target_levels"]
            sentence += f" Target: {protocol['target']}" + (f" ({levels})." if levels else ".")
        controls = {one: found[name] for one, found in self._controls.values.items() if name in found}
        sentence += self._controls.words(name)
        return Record(full, value, {**protocol, "controls": controls}, better, sentence, self._controls.reference(name))

    def _protocol(self, num_fake: int) -> dict[str, Any]:
        import sklearn

        truth = self._reference_data
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "against": truth.where,
            "num_real": len(truth.fresh),
            "num_train": len(truth.train),
            "num_fake": num_fake,
            "target": truth.target,
            "target_levels": truth.levels_tested,
            "trees": f"histogram gradient boosting of scikit-learn {sklearn.__version__}, its defaults; two-sample: two folds",
            "reference": "training rows; for copied_rows held-out ones; for closer_to_training their part of all rows",
            "seed": self.seed,
            "torch": torch.__version__,
        }


def extra_metrics(recipe: Recipe, loop: TrainingLoop, fakes: Tensor) -> Sequence[Record]:
    """The scores of conditional samples; none for a generator without conditions."""
    if recipe.conditional is not True:
        return ()
    network = loop.average.network if loop.average else loop.game.players["generator"]
    source: Any = loop.source
    return conditional_metrics.records(
        source, conditional_metrics.make_sampler(network, loop.device), recipe.prior, recipe.seed
    )
