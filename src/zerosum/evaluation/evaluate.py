"""Evaluating a generator: the configured evaluator, new samples for it, and its records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from zerosum.domain import Domain, Evaluator
from zerosum.domain.contract import EvalOptions, Watch, watched
from zerosum.errors import UserError
from zerosum.generation.sampler import Sampler
from zerosum.metrics.record import Record

QUIET_S = 3.0
"""The stages of an evaluation are logged after this time; shorter evaluations log none."""


def configure_evaluator(evaluator: Evaluator, options: EvalOptions, domain: Domain) -> Evaluator:
    """The evaluator with these options; UserError where the domain has none."""
    if options == EvalOptions(download=options.download):
        return evaluator
    if domain.evaluation.configure is None:
        raise UserError(
            f"The domain {domain.name!r} measures its samples as they are: there is no --extractor and no --num to choose."
        )
    return domain.evaluation.configure(evaluator, options)


def draw_samples(domain: Domain, evaluator: Evaluator, sampler: Sampler, seed: int) -> tuple[Tensor, Tensor | None]:
    """As many samples as the evaluator needs, and the condition of each."""
    condition = None
    if domain.evaluation.conditions is not None and sampler.conditional:
        condition = domain.evaluation.conditions(evaluator)
    if condition is None:
        condition = sampler.conditions(evaluator.num_samples, seed)
    return sampler.sample(evaluator.num_samples, seed, condition), condition


def class_labels(condition: Tensor | None) -> Tensor | None:
    """The condition where it is one of class labels (N,), else None: metrics use class labels only."""
    return condition if condition is not None and condition.dim() == 1 and not condition.is_floating_point() else None


def add_to_protocols(records: Iterable[Record], made: Mapping[str, Any]) -> list[Record]:
    """The records with `made`, how the samples were made, added to their protocols."""
    return [replace(record, protocol={**record.protocol, **made}) for record in records]


@contextlib.contextmanager
def log_stages(log: Callable[[str], None], budget_s: float | None = None) -> Iterator[Watch]:
    """Logs the stages of the evaluation in this context that begin after QUIET_S seconds; no stage begins after `budget_s`."""
    begun = time.monotonic()

    def stage(name: str) -> None:
        if time.monotonic() - begun > QUIET_S:
            log(f"  {name} ...")

    with watched(stage, budget_s) as watch:
        yield watch


def merge_records(
    lines: Sequence[Mapping[str, Any]], step: int, records: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """These records, followed by the records of other names in the log for the same step: a second evaluation with another
    extractor adds to the first."""
    names = {record["name"] for record in records}
    before = [line["records"] for line in lines if line["kind"] == "evaluation" and line["step"] == step]
    kept = [dict(record) for record in (before[-1] if before else []) if record["name"] not in names]
    return [*map(dict, records), *kept]
