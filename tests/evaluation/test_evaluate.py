"""The parts of an evaluation: the evaluator that was chosen, samples for it, protocols, and two evaluations of one step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from zerosum import catalog
from zerosum.domain import Domain
from zerosum.domain.contract import EvalOptions
from zerosum.errors import UserError
from zerosum.evaluation import evaluate
from zerosum.metrics.record import Record

TOY = catalog.domain("toy")


@dataclass
class Plain:
    """An evaluator with nothing but its number of samples."""

    num_samples: int = 6


def domain(**parts: Any) -> Domain:
    """The toy domain with these parts of its evaluation."""
    return replace(TOY, evaluation=replace(TOY.evaluation, **parts))


def test_an_evaluator_as_chosen() -> None:
    plain: Any = Plain()
    open_to_choice = domain(configure=lambda evaluator, options: Plain(options.num))
    for one in (TOY, open_to_choice):
        assert evaluate.configure_evaluator(plain, EvalOptions(), one) is plain
        assert evaluate.configure_evaluator(plain, EvalOptions(download=True), one) is plain  # it fetches nothing
    assert evaluate.configure_evaluator(plain, EvalOptions(num=50), open_to_choice).num_samples == 50
    with pytest.raises(UserError, match="The domain 'toy' measures its samples as they are: there is no --extractor"):
        evaluate.configure_evaluator(plain, EvalOptions(num=50), domain(configure=None))


@dataclass
class Samples:
    """A sampler that keeps what it was asked for."""

    conditional: bool = False
    wanted: list[Any] = field(default_factory=list)

    def conditions(self, num: int, seed: int) -> Tensor | None:
        return torch.full((num,), seed) if self.conditional else None

    def sample(self, num: int, seed: int, condition: Tensor | None) -> Tensor:
        self.wanted.append((num, seed))
        return torch.zeros(num, 2) if condition is None else condition[:, None].float()


def test_as_many_samples_as_the_evaluator_wants() -> None:
    """Under the domain's own conditions where it has some and the generator takes them, else under the sampler's."""
    plain: Any = Plain()
    of_its_own = domain(conditions=lambda evaluator: torch.arange(evaluator.num_samples))
    for one in (TOY, of_its_own):
        sampler: Any = Samples()
        samples, condition = evaluate.draw_samples(one, plain, sampler, 3)
        assert (samples.shape, condition, sampler.wanted) == ((6, 2), None, [(6, 3)])
    for one, expected in ((domain(conditions=None), [3] * 6), (of_its_own, list(range(6)))):
        samples, condition = evaluate.draw_samples(one, plain, cast(Any, Samples(conditional=True)), 3)
        assert condition is not None
        assert samples.flatten().tolist() == condition.tolist() == expected


def record(name: str, value: float, **protocol: Any) -> Record:
    return Record(name, value, better="lower", meaning="A distance.", protocol=protocol)


def test_protocols_tell_how_the_samples_were_made() -> None:
    (found,) = evaluate.add_to_protocols(
        [record("distance", 1.0, num_fake=6, step=0)], {"step": 7, "weights": "average"}
    )
    assert found.protocol == {"num_fake": 6, "step": 7, "weights": "average"}
    assert (found.name, found.value) == ("distance", 1.0)


def test_measures_are_told_of_classes_alone() -> None:
    """Not of attributes, which are numbers, nor of inputs, which have more dimensions."""
    classes = torch.tensor([1, 2])
    assert evaluate.class_labels(classes) is classes
    for other in (None, torch.tensor([1.0, 2.0]), torch.zeros(2, 3, dtype=torch.long)):
        assert evaluate.class_labels(other) is None


def test_a_second_evaluation_of_a_step_adds_to_the_first() -> None:
    def line(step: int, kind: str = "evaluation", **values: float) -> dict[str, Any]:
        return {
            "step": step,
            "kind": kind,
            "records": [{"name": name, "value": value} for name, value in values.items()],
        }

    lines = [line(4, a=1.0), line(8, a=2.0, b=3.0), line(8, kind="other", c=9.0)]
    found = evaluate.merge_records(lines, 8, [{"name": "b", "value": 5.0}, {"name": "d", "value": 6.0}])
    assert {one["name"]: one["value"] for one in found} == {"b": 5.0, "d": 6.0, "a": 2.0}
    assert [one["name"] for one in found] == ["b", "d", "a"]
    assert evaluate.merge_records([], 8, found) == found
