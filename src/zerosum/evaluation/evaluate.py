"""Measuring a generator: the evaluator that was chosen, fresh samples for it, and the records it gives."""

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
"""An evaluation that is over sooner needs no word of its stages."""


def chosen(evaluator: Evaluator, options: EvalOptions, domain: Domain) -> Evaluator:
    """The evaluator as chosen; UserError where nothing can be chosen."""
    if options == EvalOptions(download=options.download):
        return evaluator
    if domain.evaluation.configure is None:
        raise UserError(
            f"The domain {domain.name!r} measures its samples as they are: there is no --extractor and no --num to choose."
        )
    return domain.evaluation.configure(evaluator, options)


def fresh(domain: Domain, evaluator: Evaluator, sampler: Sampler, seed: int) -> tuple[Tensor, Tensor | None]:
    """As many samples as the evaluator wants, and the condition under which each was made."""
    if domain.evaluation.conditions is not None and sampler.conditional:
        condition: Tensor | None = domain.evaluation.conditions(evaluator)
    else:
        condition = sampler.conditions(evaluator.num_samples, seed)
    return sampler.sample(evaluator.num_samples, seed, condition), condition


def asked(condition: Tensor | None) -> Tensor | None:
    """The classes asked for, where the condition is one of classes: measures know no other."""
    return condition if condition is not None and condition.dim() == 1 and not condition.is_floating_point() else None


def add_to_protocols(records: Iterable[Record], made: Mapping[str, Any]) -> list[Record]:
    """The records, their protocols telling also how the samples were made."""
    return [replace(record, protocol={**record.protocol, **made}) for record in records]


@contextlib.contextmanager
def announced(log: Callable[[str], None], budget_s: float | None = None) -> Iterator[Watch]:
    """Tells the stages of the evaluation within, from the first that begins after QUIET_S seconds on; none begins after
    `budget_s`."""
    begun = time.monotonic()

    def stage(name: str) -> None:
        if time.monotonic() - begun > QUIET_S:
            log(f"  {name} ...")

    with watched(stage, budget_s) as watch:
        yield watch


def joined(lines: Sequence[Mapping[str, Any]], step: int, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """These records, and behind them those of other names that the log has of the same step: a second evaluation with
    another extractor adds to the first."""
    names = {record["name"] for record in records}
    before = [line["records"] for line in lines if line["kind"] == "evaluation" and line["step"] == step]
    kept = [dict(record) for record in (before[-1] if before else []) if record["name"] not in names]
    return [*map(dict, records), *kept]
