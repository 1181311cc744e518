"""Monotonic alignment search: the best of all alignments, for rows of different lengths."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from zerosum.domains.audio.alignment import durations_of


def best_of_all(scores: Tensor) -> tuple[float, list[int]]:
    """The greatest sum of scores (L, K) and its durations, by trying every way to cut K frames into L parts."""
    length, frames = scores.shape
    found = []
    for cuts in itertools.combinations(range(1, frames), length - 1):
        edges = (0, *cuts, frames)
        total = sum(float(scores[place, edges[place] : edges[place + 1]].sum()) for place in range(length))
        found.append((total, [edges[place + 1] - edges[place] for place in range(length)]))
    return max(found)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_alignment_is_found(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    characters, frames = torch.tensor([4, 1, 3, 6]), torch.tensor([9, 5, 3, 8])
    scores = torch.randn(4, 6, 9, generator=rng, dtype=torch.float64)
    durations = durations_of(scores, characters, frames)
    assert durations.sum(1).tolist() == frames.tolist()
    for row, (length, end) in enumerate(zip(characters.tolist(), frames.tolist(), strict=True)):
        own = scores[row, :length, :end]
        total, expected = best_of_all(own)
        assert durations[row, :length].tolist() == expected
        assert durations[row, length:].sum() == 0
        index = torch.repeat_interleave(torch.arange(length), durations[row, :length])
        assert float(own[index, torch.arange(end)].sum()) == pytest.approx(total)


def test_what_lies_beyond_a_row_has_no_influence() -> None:
    scores = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0))
    padded = torch.full((1, 5, 9), 1e6)
    padded[:, :3, :6] = scores
    found = durations_of(padded, torch.tensor([3]), torch.tensor([6]))
    assert found[:, :3].tolist() == durations_of(scores, torch.tensor([3]), torch.tensor([6])).tolist()


def test_fewer_frames_than_characters() -> None:
    durations = durations_of(torch.zeros(1, 5, 4), torch.tensor([5]), torch.tensor([3]))
    assert durations.tolist() == [[1, 1, 1, 0, 0]]


def test_of_equal_alignments_the_one_that_stays_longer_is_taken() -> None:
    assert durations_of(torch.zeros(1, 2, 5), torch.tensor([2]), torch.tensor([5])).tolist() == [[1, 4]]
