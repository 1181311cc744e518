"""DatasetInfo: what is known of a data set once it has been read. With a recipe it is enough to build the networks."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from zerosum.domain.conditions import AttributeCondition, ClassCondition, Condition, OtherCondition
from zerosum.errors import wanted


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
    training. condition: what is known of each row that the players can be told; None if nothing. payload: the domain's own
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
        """The inverse of `to_json`. payload: the type of the domain's payload. ValueError names the field that is missing or
        ill-typed."""
        text = json.dumps(plain)
        info: DatasetInfo = _parsed(_adapter(DatasetInfo), text)
        if payload is not dict:
            _parsed(_adapter(payload), json.dumps(info.payload), "payload")
        return info


def check(info: object, payload: Any = dict) -> DatasetInfo:
    """The same info, if each of its fields has its type and all of the payload is plain JSON. ValueError names the field.

    payload: the type of the domain's payload, a dataclass with a field for each key.
    """
    if not isinstance(info, DatasetInfo):
        raise ValueError(f"it is a {type(info).__name__}; give a DatasetInfo")
    plain = info.to_json()
    for name, value in [*plain.items(), *((f"payload.{key}", value) for key, value in info.payload.items())]:
        if name != "payload":
            _refuse_unless_plain(name, value)
    DatasetInfo.from_json(plain, payload)
    return info


def _refuse_unless_plain(name: str, value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not plain JSON ({error})") from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _parsed(adapter: TypeAdapter[Any], text: str, where: str = "") -> Any:
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


__all__ = [
    "AttributeCondition",
    "ClassCondition",
    "Condition",
    "DatasetInfo",
    "OtherCondition",
    "SampleInfo",
    "check",
]
