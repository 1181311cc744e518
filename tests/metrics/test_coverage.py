"""Class shares by hand."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.errors import UserError
from zerosum.metrics.classes import class_coverage


def test_shares_deviation_and_divergence_by_hand() -> None:
    found = class_coverage(torch.tensor([0, 0, 0, 1]), 3, [0.5, 0.25, 0.25])
    assert found.shares == (0.75, 0.25, 0.0)
    assert found.classes_found == 2
    assert found.largest_deviation == pytest.approx(1.0)  # class 2 is missing
    assert found.kl == pytest.approx(0.75 * math.log(1.5))


def test_equal_shares_are_the_default_and_counts_may_be_given() -> None:
    labels = torch.arange(10).repeat(7)
    assert class_coverage(labels, 10) == class_coverage(labels, 10, [7] * 10)
    assert class_coverage(labels, 10).kl == pytest.approx(0, abs=1e-12)
    assert class_coverage(labels, 10).largest_deviation == pytest.approx(0, abs=1e-12)


def test_probabilities_count_by_their_largest_entry() -> None:
    table = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])
    assert class_coverage(table, 3) == class_coverage(torch.tensor([1, 0, 1]), 3)


def test_a_few_slips_do_not_make_a_class() -> None:
    labels = torch.tensor([0] * 990 + [1] * 9 + [2])
    assert class_coverage(labels, 10).classes_found == 1
    assert class_coverage(labels, 10, minimum_share=0.0).classes_found == 3
    assert class_coverage(torch.tensor([0] * 990 + [1] * 10), 10).classes_found == 2  # exactly a tenth of a tenth


def test_a_class_that_the_reference_lacks_is_infinitely_far() -> None:
    found = class_coverage(torch.tensor([0, 1]), 2, [1.0, 0.0])
    assert (found.kl, found.largest_deviation) == (math.inf, 0.5)


def test_bad_labels_are_refused() -> None:
    with pytest.raises(UserError, match=r"0\.\.2"):
        class_coverage(torch.tensor([0, 3]), 3)
    with pytest.raises(UserError, match="at least one"):
        class_coverage(torch.tensor([]), 3)
    with pytest.raises(UserError, match="2 shares for 3"):
        class_coverage(torch.tensor([0]), 3, [0.5, 0.5])
