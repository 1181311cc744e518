"""What a person asks for, as the condition a generator hears: names and numbers of classes, attributes in their own units."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zerosum.errors import UserError
from zerosum.generation import conditions

CLASSES: dict[str, Any] = {
    "num_classes": 4,
    "class_names": ["cat", "dog", "7", "1"],
    "class_counts": [10, 0, 30, 60],
}
ROWS = [[-1.0, 0.5], [0.0, -2.0], [1.0, 1.5]]
PEOPLE: dict[str, Any] = {
    "num_classes": 0,
    "num_attributes": 2,
    "attribute_names": ["smiling", "age"],
    "attribute_scales": [[0.5, 0.5], [40.0, 10.0]],
    "attribute_rows": ROWS,
}


def test_labels_are_drawn_with_the_shares_of_the_data() -> None:
    labels = conditions.drawn(CLASSES, 200, seed=1)
    counts = torch.bincount(labels, minlength=4).tolist()
    assert counts[1] == 0
    assert all(abs(found - share) <= 2 for found, share in zip(counts, [20, 0, 60, 120], strict=True)), counts
    assert not torch.equal(labels, conditions.drawn(CLASSES, 200, seed=2))
    assert torch.equal(labels, conditions.drawn(CLASSES, 200, seed=1))


def test_attributes_are_those_of_real_rows_in_equal_shares() -> None:
    told = conditions.drawn(PEOPLE, 12, seed=0)
    assert told.shape == (12, 2)
    assert told.dtype == torch.float32
    for row in ROWS:
        assert abs(int((told == torch.tensor(row)).all(1).sum()) - 4) <= 1
    assert len(set(map(tuple, conditions.drawn(PEOPLE, 2, seed=0).tolist()))) == 2


@pytest.mark.parametrize("facts", [CLASSES, PEOPLE])
def test_a_condition_depends_on_seed_and_place_alone(facts: dict[str, Any]) -> None:
    many = conditions.drawn(facts, 100, seed=5)
    for num in (1, 2, 7, 64):
        assert torch.equal(conditions.drawn(facts, num, seed=5), many[:num])


def test_single_samples_of_many_seeds_have_the_classes_shares() -> None:
    first = torch.cat([conditions.drawn(CLASSES, 1, seed) for seed in range(1_000)])
    shares = torch.bincount(first, minlength=4) / 1_000
    assert shares[1] == 0
    assert torch.allclose(shares, torch.tensor([0.1, 0.0, 0.3, 0.6]), atol=0.05)


def test_attributes_win_over_labels() -> None:
    assert conditions.drawn(PEOPLE | {"num_classes": 2, "class_counts": [1, 1]}, 4, 0).shape == (4, 2)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("dog", [1, 1, 1]),
        (3, [3, 3, 3]),
        ("3", [3, 3, 3]),
        ("7", [2, 2, 2]),  # a class of that name
        ("1", [3, 3, 3]),
        (1, [1, 1, 1]),
        (["cat", 2, "1"], [0, 2, 3]),
        (torch.tensor([3, 0, 2]), [3, 0, 2]),
        (torch.tensor(2), [2, 2, 2]),
    ],
)
def test_labels_by_name_or_number(asked: Any, meant: list[int]) -> None:
    labels = conditions.labels(CLASSES, asked, 3)
    assert labels.tolist() == meant
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("facts", "asked", "says"),
    [
        (CLASSES, "dgo", "Did you mean 'dog'"),
        (CLASSES, 4, "0..3, got 4: cat, dog, 7, 1"),
        (CLASSES, -1, "0..3, got -1"),
        (CLASSES, [0, 1], "2 entries for 3 samples"),
        (PEOPLE, 0, "It has attributes: smiling, age"),
        ({}, 0, "trained without labels"),
    ],
)
def test_wrong_labels_are_told(facts: dict[str, Any], asked: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        conditions.labels(facts, asked, 3)


def test_attributes_asked_for_are_set_and_the_others_stay_real() -> None:
    plain = conditions.drawn(PEOPLE, 9, seed=5)
    told = conditions.attributes(PEOPLE, {"age": 55}, 9, seed=5)
    torch.testing.assert_close(told[:, 1], torch.full((9,), 1.5))
    torch.testing.assert_close(told[:, 0], plain[:, 0])
    torch.testing.assert_close(conditions.attributes(PEOPLE, {}, 9, seed=5), plain)


def test_wrong_attributes_are_told() -> None:
    with pytest.raises(UserError, match="Did you mean 'smiling'"):
        conditions.attributes(PEOPLE, {"smilng": 1}, 3, 0)
    with pytest.raises(UserError, match="It has classes"):
        conditions.attributes(CLASSES, {"age": 1}, 3, 0)


def test_attributes_as_they_are_written() -> None:
    assert conditions.parsed("smiling=1, age=30.5") == {"smiling": 1.0, "age": 30.5}
    for text in ("smiling", "age=old", "age=1,,", "=3x"):
        with pytest.raises(UserError, match="is not name=number"):
            conditions.parsed(text)


def test_candidates_are_all_classes_or_some_rows() -> None:
    assert [c.tolist() for c in conditions.candidates(CLASSES)] == [[0], [1], [2], [3]]
    found = conditions.candidates(PEOPLE)
    assert [tuple(c.shape) for c in found] == [(1, 2)] * 3
    assert sorted(c[0].tolist() for c in found) == ROWS
    many = PEOPLE | {"attribute_rows": torch.randn(256, 2).tolist()}
    assert len(conditions.candidates(many)) == conditions.NUM_TRIED
