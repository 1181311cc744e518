"""DatasetInfo: what is known of a data set once it has been read, and what a generator can be told about a sample: its class, its
attributes, or a condition of another form. With a recipe the info is enough to build the networks.

Legend: N samples, A attributes. Conditions are (N,) int64 labels, (N, A) float32 standardised attributes, or (N, ...) float32.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest, wanted
from zerosum.jsonfile import FINITE, non_finite
from zerosum.store import class_file_names

# --- conditions

Label = int | str
NUM_NAMED = 20
"""Classes that an error message names."""
GOLDEN = (5**0.5 - 1) / 2
"""The step between the cumulated shares of consecutive conditions."""
NUM_TRIED = 64
"""Attribute rows that are tried when a sample is to be scored and its attributes are not given."""


@dataclass(frozen=True)
class ClassCondition:
    """Each row has one class. counts: training rows of each class. names: of the classes; () if they have none."""

    counts: tuple[int, ...]
    names: tuple[str, ...] = ()
    kind: Literal["classes"] = "classes"

    def __post_init__(self) -> None:
        if not self.counts:
            raise ValueError("counts must have an entry for each class")
        if self.names and len(self.names) != len(self.counts):
            raise ValueError(f"names has {len(self.names)} entries for {len(self.counts)} classes")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The name of each class, or its number where classes have no names."""
        return self.names or tuple(map(str, range(self.num_classes)))

    def sample(self, num: int, seed: int) -> Tensor:
        """(num,) labels with the class frequencies of the training data, see `_spread`."""
        return _spread(self.counts, num, seed)

    def file_names(self, labels: Tensor) -> tuple[str, ...]:
        """The class of each of (N,) labels, as a part of a file name (`store.class_file_names`)."""
        words = class_file_names(self.shown_names)
        return tuple(words[int(label)] for label in labels)

    def candidates(self) -> list[Tensor]:
        """All classes, each as a condition of one row."""
        return list(torch.split(torch.arange(self.num_classes), 1))

    def number(self, label: Label) -> int:
        """The number of one class, see `numbers`; UserError for a label that means several classes too."""
        found = self.numbers(label)
        if len(found) > 1:
            raise UserError(f"labels: {label!r} is {len(found)} classes: {self._listed(found)}. Give one of them.")
        return found[0]

    def numbers(self, label: Label) -> tuple[int, ...]:
        """The numbers of the classes that a label means: a name, the value of one field where all names consist of several, or
        the number of a class. UserError for an unknown one.

        A name wins over a value, and a value over a number: in a source with a class "7", the text "7" is that class; with the
        classes "3 anna", "3 ben" and "4 ben", the texts "3" and "ben" are two classes each, and "3,ben" is one.
        """
        names = [str(name) for name in self.names]
        each = [part.strip() for part in str(label).split(",")]
        if isinstance(label, str):
            for name in (label, " ".join(each)):
                if name in names:
                    return (names.index(name),)
            if found := self._with_values(label, [part for part in each if part]):
                return found
        try:
            number = int(label)
        except ValueError:
            if len(each) > 1 and all(part in names or part.isdecimal() for part in each):
                several = " ".join(f"--label {part}" for part in each)
                raise UserError(
                    f"labels: there is no class {label!r}. Give each class by itself: {several}; in Python labels={each}."
                ) from None
            raise UserError(f"labels: there is no class {label!r}. {nearest(str(label), names)}") from None
        if not 0 <= number < self.num_classes:
            listed = self._listed(range(len(names)))
            raise UserError(f"labels must lie in 0..{self.num_classes - 1}, got {number}: {listed}.")
        return (number,)

    def _with_values(self, label: str, values: Sequence[str]) -> tuple[int, ...]:
        """The classes whose names have these values; () for values that no name has. UserError where a value may be that of two
        fields, or a part of some names and the number of a class."""
        names = [str(name).split(" ") for name in self.names]
        found = tuple(number for number, name in enumerate(names) if values and all(one in name for one in values))
        if not found:
            return ()
        fields = [{place for name in names for place, one in enumerate(name) if one == value} for value in values]
        if len(set(map(len, names))) > 1 or len(names[0]) == 1:
            if not label.isdecimal() or found == (int(label),):
                return ()
        elif all(len(places) == 1 for places in fields):
            return found
        raise UserError(f"labels: {label!r} is ambiguous. Give the name of a class: {self._listed(found)}.")

    def _listed(self, numbers: Sequence[int]) -> str:
        """The names of some classes for a message."""
        return ", ".join([self.names[one] for one in numbers[:NUM_NAMED]] + ["..."] * (len(numbers) > NUM_NAMED))


@dataclass(frozen=True)
class AttributeCondition:
    """Each row has the same A numeric attributes.

    names: of the attributes. scales: mean and standard deviation of each before it was standardised. rows: standardised
    attributes of some training rows; a published generator samples under them.
    """

    names: tuple[str, ...]
    scales: tuple[tuple[float, float], ...]
    rows: tuple[tuple[float, ...], ...]
    kind: Literal["attributes"] = "attributes"

    def __post_init__(self) -> None:
        if not self.names or not self.rows:
            raise ValueError("names and rows must not be empty")
        if len(self.scales) != len(self.names) or any(len(row) != len(self.names) for row in self.rows):
            raise ValueError("scales and every row must have an entry for each of names")

    @property
    def num_attributes(self) -> int:
        """Number of attributes."""
        return len(self.names)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, A) attributes of `rows` with equal frequencies, see `_spread`."""
        return torch.tensor(self.rows, dtype=torch.float32)[_spread([1] * len(self.rows), num, seed)]

    def candidates(self) -> list[Tensor]:
        """The attributes of at most NUM_TRIED rows, each as a condition of one row."""
        return list(torch.split(self.sample(min(NUM_TRIED, len(self.rows)), 0), 1))


@dataclass(frozen=True)
class OtherCondition:
    """A condition that is neither a class nor attributes: an image to be translated, the values wanted of a table's columns.

    description: in words. shape: of the condition of one row. examples: True if samples need conditions of real rows; the
    domain's `Data.examples` gives some, and they are stored with the published generator. False if all zeros mean "nothing
    is requested".
    """

    description: str
    shape: tuple[int, ...]
    examples: bool = False
    kind: Literal["other"] = "other"

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, ...) zeros: nothing is requested. UserError if this condition needs examples."""
        if self.examples:
            raise UserError(f"This generator needs a condition ({self.description}), and its examples are missing.")
        return torch.zeros(num, *self.shape)

    def candidates(self) -> list[Tensor]:
        """The condition that requests nothing; none if this condition needs examples."""
        return [] if self.examples else [torch.zeros(1, *self.shape)]


Condition = ClassCondition | AttributeCondition | OtherCondition


def _spread(counts: Sequence[int], num: int, seed: int) -> Tensor:
    """(num,) int64 indices with frequencies `counts`.

    Index i depends on the seed and i alone, so more samples begin with the same indices. It is the place in the cumulated
    shares of u_i = frac(u_0 + i * golden ratio): in any `num` consecutive ones, each index has its share to within a few
    (Kronecker sequence; the golden ratio is the irrational number that is approximated worst by fractions).
    """
    weights = torch.tensor(counts, dtype=torch.float64)
    begin = torch.rand(1, generator=generator(seed, "labels"), dtype=torch.float64)
    places = (begin + torch.arange(num, dtype=torch.float64) * GOLDEN) % 1
    # right: a place on a border belongs to the next index, so that one with count 0 is never chosen.
    return torch.searchsorted(weights.cumsum(0) / weights.sum(), places, right=True)


def requested_labels(
    condition: Condition | None, requested: Label | Sequence[Label] | Tensor, num: int, several: bool = False
) -> Tensor:
    """(N,) labels from numbers or names of classes, one for all samples or one each; UserError without classes.

    several: whether a label may be the value of a field that several classes have; its samples take them in turn.
    """
    if not isinstance(condition, ClassCondition):
        raise UserError(
            f"labels: this generator was trained without labels, so none can be asked for.{_other_condition_hint(condition)}"
        )
    if isinstance(requested, Tensor):
        requested = requested.tolist()
    given = [requested] * num if isinstance(requested, int | str) else list(requested)
    if len(given) != num:
        raise UserError(f"labels has {len(given)} entries for {num} samples.")
    if not several:
        return torch.tensor([condition.number(one) for one in given], dtype=torch.int64)
    turns = {one: itertools.cycle(condition.numbers(one)) for one in dict.fromkeys(given)}
    return torch.tensor([next(turns[one]) for one in given], dtype=torch.int64)


def requested_attributes(condition: Condition | None, requested: Mapping[str, float], num: int, seed: int) -> Tensor:
    """(N, A) attributes: the requested ones in the units of the data; the others as real rows have them."""
    if not isinstance(condition, AttributeCondition):
        raise UserError(f"attributes: this generator was trained without attributes.{_other_condition_hint(condition)}")
    rows = condition.sample(num, seed)
    for name, value in requested.items():
        if name not in condition.names:
            raise UserError(f"attributes: there is no attribute {name!r}. {nearest(name, condition.names)}")
        column = condition.names.index(name)
        mean, deviation = condition.scales[column]
        rows[:, column] = (value - mean) / deviation
    return rows


def parse_attributes(text: str) -> dict[str, float]:
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


def _other_condition_hint(condition: Condition | None) -> str:
    if isinstance(condition, AttributeCondition):
        return f" It has attributes: {', '.join(condition.names)}."
    return " It has classes: ask for labels." if isinstance(condition, ClassCondition) else ""


# --- the data set


@dataclass(frozen=True)
class SampleInfo:
    """One sample. axes: the size of each axis of its tensor by name, in order. description: what it is, in words."""

    axes: dict[str, int]
    description: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its tensor."""
        return tuple(self.axes.values())


@dataclass(frozen=True)
class DatasetInfo:
    """A data set, as its domain read it. It is stored with every published generator, in generator.json.

    name: of the source. num_rows, num_heldout: training rows, and rows that are never trained on. fingerprint: SHA-256 of the
    training data; a run is only resumed on data with the same fingerprint. notes: sentences for the user to read before
    training. condition: what the players can be conditioned on, for each row; None if nothing. payload: the domain's own
    plain JSON values, typed by the domain's `Data.payload`.
    """

    name: str
    num_rows: int
    num_heldout: int
    fingerprint: str
    sample: SampleInfo
    notes: tuple[str, ...] = ()
    condition: Annotated[Condition, Field(discriminator="kind")] | None = None
    payload: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without."""
        return self.condition.num_classes if isinstance(self.condition, ClassCondition) else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, () without."""
        return self.condition.names if isinstance(self.condition, ClassCondition) else ()

    @property
    def num_attributes(self) -> int:
        """Number of attributes, 0 without."""
        return self.condition.num_attributes if isinstance(self.condition, AttributeCondition) else 0

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the attributes, () without."""
        return self.condition.names if isinstance(self.condition, AttributeCondition) else ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(plain: object, payload: Any = dict) -> DatasetInfo:
        """The inverse of `to_json`. payload: the type of the domain's payload. ValueError names the field that is missing,
        ill-typed, or a number that is not finite."""
        if place := non_finite(plain):
            raise ValueError(f"{place} {FINITE}")
        text = json.dumps(plain)
        info: DatasetInfo = _parse(_adapter(DatasetInfo), text)
        if payload is not dict:
            _parse(_adapter(payload), json.dumps(info.payload), "payload")
        return info


def check(info: object, payload: Any = dict) -> DatasetInfo:
    """The same info, if each of its fields has its type and all of the payload is plain JSON. ValueError names the field.

    Bytes of file names that are no characters, which may stand in notes and in names of classes, are written as "\\udcff".
    payload: the type of the domain's payload, a dataclass with a field for each key.
    """
    if not isinstance(info, DatasetInfo):
        raise ValueError(f"it is a {type(info).__name__}; give a DatasetInfo")
    plain = info.to_json()
    for name, value in [*plain.items(), *((f"payload.{key}", value) for key, value in info.payload.items())]:
        if name != "payload":
            _check_plain(name, value)
    storable = _storable(plain)
    found = DatasetInfo.from_json(storable, payload)
    return info if storable == plain else found


def _storable(value: Any) -> Any:
    """Plain values in which lone surrogates are written as text: no file can hold them."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return type(value)(map(_storable, value)) if isinstance(value, list | tuple) else value


def _check_plain(name: str, value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not plain JSON ({error})") from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _parse(adapter: TypeAdapter[Any], text: str, where: str = "") -> Any:
    """The value of a JSON text, strictly of the adapter's type; ValueError names the first field that is wrong."""
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors()
    loc = problems[0]["loc"]
    name = ".".join([where] * bool(where) + [str(part) for part in loc]) or "it"
    if problems[0]["type"] == "missing":
        raise ValueError(f"{name} is missing") from None
    raise ValueError(f"{name} is wrong: {wanted(p for p in problems if p['loc'] == loc)}")
