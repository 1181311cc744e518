"""What a person asks for, as the condition a generator hears: names and numbers of classes, attributes in their own units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from zerosum.domain.info import (
    NUM_TRIED,
    AttributeCondition,
    ClassCondition,
    OtherCondition,
    parse_attributes,
    requested_attributes,
    requested_labels,
)
from zerosum.errors import UserError

CLASSES = ClassCondition((10, 0, 30, 60), ("cat", "dog", "7", "1"))
ROWS = ((-1.0, 0.5), (0.0, -2.0), (1.0, 1.5))
PEOPLE = AttributeCondition(("smiling", "age"), ((0.5, 0.5), (40.0, 10.0)), ROWS)


def test_labels_are_drawn_with_the_shares_of_the_data() -> None:
    labels = CLASSES.sample(200, seed=1)
    counts = torch.bincount(labels, minlength=4).tolist()
    assert counts[1] == 0
    assert all(abs(found - share) <= 2 for found, share in zip(counts, [20, 0, 60, 120], strict=True)), counts
    assert not torch.equal(labels, CLASSES.sample(200, seed=2))
    assert torch.equal(labels, CLASSES.sample(200, seed=1))


def test_attributes_are_those_of_real_rows_in_equal_shares() -> None:
    sampled = PEOPLE.sample(12, seed=0)
    assert sampled.shape == (12, 2)
    assert sampled.dtype == torch.float32
    for row in ROWS:
        assert abs(int((sampled == torch.tensor(row)).all(1).sum()) - 4) <= 1
    assert len(set(map(tuple, PEOPLE.sample(2, seed=0).tolist()))) == 2


@pytest.mark.parametrize("condition", [CLASSES, PEOPLE])
def test_a_condition_depends_on_seed_and_place_alone(condition: Any) -> None:
    many = condition.sample(100, seed=5)
    for num in (1, 2, 7, 64):
        assert torch.equal(condition.sample(num, seed=5), many[:num])


def test_single_samples_of_many_seeds_have_the_classes_shares() -> None:
    first = torch.cat([CLASSES.sample(1, seed) for seed in range(1_000)])
    shares = torch.bincount(first, minlength=4) / 1_000
    assert shares[1] == 0
    assert torch.allclose(shares, torch.tensor([0.1, 0.0, 0.3, 0.6]), atol=0.05)


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
    labels = requested_labels(CLASSES, asked, 3)
    assert labels.tolist() == meant
    assert labels.dtype == torch.int64


def test_a_class_of_several_fields_is_named_with_spaces_or_commas() -> None:
    condition = ClassCondition((1, 1), ("3 anna", "3 ben"))
    assert requested_labels(condition, ["3 ben", "3,anna", "3, ben"], 3).tolist() == [1, 0, 1]


FIELDS = ClassCondition((1,) * 5, ("3 anna", "4 anna", "3 ben", "4 ben", "1 2"))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("3", [0, 2, 0, 2, 0]),
        ("ben", [2, 3, 2, 3, 2]),
        (["3", "ben", "3", "4,ben", 3], [0, 2, 2, 3, 3]),
        ("0", [0] * 5),  # no name has this value: the number of a class
        ("anna,4", [1] * 5),
    ],
)
def test_a_value_of_a_field_is_every_class_with_it_in_turn(asked: Any, meant: list[int]) -> None:
    assert requested_labels(FIELDS, asked, 5, several=True).tolist() == meant


def test_a_label_of_several_classes_is_refused_where_one_is_needed() -> None:
    with pytest.raises(UserError, match=r"labels: '3' is 2 classes: 3 anna, 3 ben\. Give one of them\."):
        requested_labels(FIELDS, "3", 1)
    assert requested_labels(FIELDS, 3, 1).tolist() == [3]


@pytest.mark.parametrize(
    ("names", "asked", "listed"),
    [
        (("3 4", "4 3", "5 5"), "4", "3 4, 4 3"),  # of which field?
        (("type 1", "other"), "1", "type 1"),  # or class number 1, "other"?
    ],
)
def test_an_ambiguous_label_is_refused_with_the_names(names: tuple[str, ...], asked: str, listed: str) -> None:
    condition = ClassCondition((1,) * len(names), names)
    with pytest.raises(UserError, match=rf"labels: '{asked}' is ambiguous\. Give the name of a class: {listed}\."):
        requested_labels(condition, asked, 1, several=True)


@pytest.mark.parametrize(
    ("condition", "asked", "says"),
    [
        (CLASSES, "dgo", "Did you mean 'dog'"),
        (CLASSES, "cat, 2", r"no class 'cat, 2'\. Give each class by itself: --label cat --label 2; in Python labels="),
        (CLASSES, 4, "0..3, got 4: cat, dog, 7, 1"),
        (CLASSES, -1, "0..3, got -1"),
        (CLASSES, [0, 1], "2 entries for 3 samples"),
        (PEOPLE, 0, "It has attributes: smiling, age"),
        (None, 0, "trained without labels"),
    ],
)
def test_wrong_labels_are_told(condition: Any, asked: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        requested_labels(condition, asked, 3)


def test_attributes_asked_for_are_set_and_the_others_stay_real() -> None:
    plain = PEOPLE.sample(9, seed=5)
    sampled = requested_attributes(PEOPLE, {"age": 55}, 9, seed=5)
    torch.testing.assert_close(sampled[:, 1], torch.full((9,), 1.5))
    torch.testing.assert_close(sampled[:, 0], plain[:, 0])
    torch.testing.assert_close(requested_attributes(PEOPLE, {}, 9, seed=5), plain)


def test_wrong_attributes_are_told() -> None:
    with pytest.raises(UserError, match="Did you mean 'smiling'"):
        requested_attributes(PEOPLE, {"smilng": 1}, 3, 0)
    with pytest.raises(UserError, match="It has classes"):
        requested_attributes(CLASSES, {"age": 1}, 3, 0)


def test_attributes_as_they_are_written() -> None:
    assert parse_attributes("smiling=1, age=30.5") == {"smiling": 1.0, "age": 30.5}
    for text in ("smiling", "age=old", "age=1,,", "=3x"):
        with pytest.raises(UserError, match="is not name=number"):
            parse_attributes(text)


def test_candidates_are_all_classes_or_some_rows() -> None:
    assert [c.tolist() for c in CLASSES.candidates()] == [[0], [1], [2], [3]]
    found = PEOPLE.candidates()
    assert [tuple(c.shape) for c in found] == [(1, 2)] * 3
    assert sorted(tuple(c[0].tolist()) for c in found) == list(ROWS)
    many = replace(PEOPLE, rows=tuple(map(tuple, torch.randn(256, 2).tolist())))
    assert len(many.candidates()) == NUM_TRIED


def test_another_condition_requests_nothing_or_needs_examples() -> None:
    values = OtherCondition("values of columns", (3,))
    assert torch.equal(values.sample(2, seed=9), torch.zeros(2, 3))
    assert [tuple(c.shape) for c in values.candidates()] == [(1, 3)]
    pictures = OtherCondition("a picture", (1, 8, 8), examples=True)
    assert pictures.candidates() == []
    with pytest.raises(UserError, match=r"needs a condition \(a picture\)"):
        pictures.sample(2, seed=0)
