"""The condition that a generator hears, from the facts of its source: drawn as in the data, or as a person asks for it.

Legend: N samples, A attributes. Conditions are (N,) int64 labels or (N, A) float32 standardised attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest

Facts = Mapping[str, Any]
Label = int | str
Draw = Callable[[Facts, int, int], Tensor | None]
NUM_NAMED = 20
"""Classes that an error message names."""
GOLDEN = (5**0.5 - 1) / 2
"""The step between the cumulated shares of conditions in a row."""
NUM_TRIED = 64
"""Conditions that are tried when a sample is to be judged and none is told."""


def drawn(facts: Facts, num: int, seed: int) -> Tensor:
    """(num,) labels in the classes' shares of the training data, or (num, A) attributes of real rows in equal shares.

    Condition i depends on the seed and i alone, so more samples begin with the same conditions. It is the class at the
    cumulated share u_i = frac(u_0 + i * golden ratio): of any `num` in a row, each class has its share to within a few
    samples (Kronecker sequence; the golden ratio is the irrational number that is approximated worst by fractions).
    """
    rows = _rows(facts)
    counts = torch.tensor([1] * len(rows) if len(rows) else facts["class_counts"], dtype=torch.float64)
    begin = torch.rand(1, generator=generator(seed, "labels"), dtype=torch.float64)
    places = (begin + torch.arange(num, dtype=torch.float64) * GOLDEN) % 1
    # right: a place on a border belongs to the next class, so that a class without rows is never drawn.
    picked = torch.searchsorted(counts.cumsum(0) / counts.sum(), places, right=True)
    return rows[picked] if len(rows) else picked


def labels(facts: Facts, asked: Label | Sequence[Label] | Tensor, num: int) -> Tensor:
    """(N,) labels from numbers or names of classes, one for all samples or one each. A name wins over a number: in a source
    with a class "7", the text "7" is that class."""
    count, names = facts.get("num_classes", 0), [str(name) for name in facts.get("class_names", ())]
    if not count or facts.get("num_attributes"):
        raise UserError(f"labels: this generator was trained without labels, so none can be asked for.{_other(facts)}")
    if isinstance(asked, Tensor):
        asked = asked.tolist()
    given = [asked] * num if isinstance(asked, int | str) else list(asked)
    if len(given) != num:
        raise UserError(f"labels has {len(given)} entries for {num} samples.")
    return torch.tensor([_label(one, names, count) for one in given], dtype=torch.int64)


def _label(asked: Label, names: Sequence[str], count: int) -> int:
    if isinstance(asked, str) and asked in names:
        return names.index(asked)
    try:
        number = int(asked)
    except ValueError:
        raise UserError(f"labels: there is no class {asked!r}. {nearest(str(asked), names)}") from None
    if not 0 <= number < count:
        listed = ", ".join([*names[:NUM_NAMED], *(["..."] if len(names) > NUM_NAMED else [])])
        raise UserError(f"labels must lie in 0..{count - 1}, got {number}: {listed}.")
    return number


def attributes(facts: Facts, asked: Mapping[str, float], num: int, seed: int) -> Tensor:
    """(N, A) attributes: those that are asked for as they are, in the units of the data; the others as real rows have them."""
    names = list(facts.get("attribute_names", ()))
    if not facts.get("num_attributes"):
        raise UserError(f"attributes: this generator was trained without attributes.{_other(facts)}")
    told = drawn(facts, num, seed)
    for name, value in asked.items():
        if name not in names:
            raise UserError(f"attributes: there is no attribute {name!r}. {nearest(name, names)}")
        column = names.index(name)
        mean, deviation = facts["attribute_scales"][column]
        told[:, column] = (value - mean) / deviation
    return told


def parsed(text: str) -> dict[str, float]:
    """{"smiling": 1.0, "age": 30.0} from "smiling=1,age=30"."""
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            if not equals:
                raise ValueError
            found[name.strip()] = float(value)
        except ValueError:
            raise UserError(
                f'attributes: {part.strip()!r} is not name=number. Write them as in --attributes "smiling=1,age=30".'
            ) from None
    return found


def candidates(facts: Facts) -> list[Tensor]:
    """Conditions of one row each, to find the one that suits a sample best: all classes, or some real rows' attributes."""
    if not facts.get("num_attributes"):
        return list(torch.split(torch.arange(facts["num_classes"]), 1))
    return list(torch.split(drawn(facts, min(NUM_TRIED, len(facts["attribute_rows"])), 0), 1))


def _rows(facts: Facts) -> Tensor:
    """(R, A) attributes of example rows; (0,) where there are none."""
    return torch.tensor(facts["attribute_rows"] if facts.get("num_attributes") else [], dtype=torch.float32)


def _other(facts: Facts) -> str:
    if facts.get("num_attributes"):
        return f" It has attributes: {', '.join(facts['attribute_names'])}."
    return " It has classes: ask for labels." if facts.get("num_classes") else ""
