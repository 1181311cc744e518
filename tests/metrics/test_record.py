"""Records survive JSON, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from zerosum.errors import UserError
from zerosum.metrics.record import Record


@pytest.mark.parametrize("reference", [None, 0.25])
def test_a_record_survives_json(reference: float | None) -> None:
    record = Record("frechet[x,n=10]", 1.5, {"num_real": 10, "shares": [0.5, 0.5]}, "lower", "A distance.", reference)
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_unknown_and_missing_fields_are_named() -> None:
    plain = Record("x", 1.0, {}, "lower", "A number.").to_json()
    with pytest.raises(UserError, match=r"'valeu'.*value"):
        Record.from_json(plain | {"valeu": 1})
    del plain["better"]
    with pytest.raises(UserError, match="'better' is missing"):
        Record.from_json(plain)
