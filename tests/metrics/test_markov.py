"""Markov chains: transitions are the data's frequencies, for any order, with and without positions."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.domains.images.baselines import markov
from zerosum.errors import UserError

WORDS = torch.tensor([[0, 1, 2, 1], [0, 1, 0, 1], [0, 2, 2, 2]])


def test_first_order_transitions_are_counted() -> None:
    """After 1: 2, 0. After 0: 1, 1, 1, 2. After 2: 1, 2, 2. First symbols: 0, 0, 0."""
    chain = markov(WORDS)
    third = 1 / 3
    for context, expected in (
        ([0], [0, 0.75, 0.25]),
        ([1], [0.5, 0, 0.5]),
        ([2], [0, third, 2 * third]),
        ([], [1, 0, 0]),
    ):
        torch.testing.assert_close(chain.probabilities(context), torch.tensor(expected, dtype=torch.float64))


def test_second_order_looks_at_two_symbols() -> None:
    chain = markov(WORDS, order=2)
    torch.testing.assert_close(chain.probabilities([0, 1]), torch.tensor([0.5, 0, 0.5], dtype=torch.float64))
    torch.testing.assert_close(chain.probabilities([1, 0, 1]), chain.probabilities([0, 1]))
    torch.testing.assert_close(chain.probabilities([0]), torch.tensor([0, 2 / 3, 1 / 3], dtype=torch.float64))


def test_positions_have_transitions_of_their_own() -> None:
    """After a 1 at position 1 came 2 and 0; after the 1 at the end of a sequence nothing did."""
    chain = markov(WORDS, positional=True)
    torch.testing.assert_close(chain.probabilities([0], 1), torch.tensor([0, 2 / 3, 1 / 3], dtype=torch.float64))
    torch.testing.assert_close(chain.probabilities([0], 3), torch.tensor([0, 1.0, 0], dtype=torch.float64))


def test_an_unseen_context_is_answered_by_the_shares_of_all_symbols() -> None:
    expected = torch.bincount(WORDS.flatten()).double() / WORDS.numel()
    for unseen in ([2, 0], [1, 1], [0, 0]):
        torch.testing.assert_close(markov(WORDS, order=2).probabilities(unseen), expected)


@pytest.mark.parametrize("positional", [False, True])
def test_samples_have_the_transitions_of_a_known_chain(positional: bool) -> None:
    """Drawn from P, fitted, drawn again: counts of each transition within 5 standard errors of P; from the start too."""
    truth = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.5, 0.0], [0.2, 0.2, 0.6]])
    rng, num = torch.Generator().manual_seed(0), 5_000
    rows = torch.zeros(num, 6, dtype=torch.int64)
    for place in range(1, 6):
        rows[:, place] = torch.multinomial(truth[rows[:, place - 1]], 1, generator=rng)[:, 0]
    made = markov(rows, positional=positional).sample(num, 1)
    assert made.shape == rows.shape
    assert bool((made[:, 0] == 0).all())
    for symbol in range(3):
        after = made[:, 1:][made[:, :-1] == symbol]
        share = torch.bincount(after, minlength=3) / len(after)
        errors = (truth[symbol] * (1 - truth[symbol]) * 2 / len(after)).sqrt()  # of the fit and of the samples
        assert ((share - truth[symbol]).abs() <= 5 * errors).all()


def test_a_long_context_repeats_the_only_sequence_there_is() -> None:
    row = torch.tensor([[3, 1, 4, 1, 5, 2, 6]])
    assert torch.equal(markov(row, order=2).sample(3, 0), row.expand(3, 7))


def test_a_dead_end_goes_on_with_any_symbol() -> None:
    """0 1 2 0: what follows a second 0 in place 3 is known; a chain that reaches the last pair early goes on all the same."""
    rows = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    made = markov(rows).sample(500, 0)
    assert set(made[:, -1].tolist()) <= {0, 1, 2, 3, 4}
    assert made.unique(dim=0).shape[0] == 2  # 0 1 2 3 and 1 2 3 4: no dead end before the fourth symbol
    longer = markov(torch.tensor([[0, 1, 1, 1], [1, 0, 2, 2], [2, 4, 3, 3]]), order=3).sample(300, 0)
    assert bool((longer < 5).all())


def test_padding_is_learnt_as_a_symbol() -> None:
    """Sequences of two lengths, padded with 2: nothing else ever follows the padding."""
    made = markov(torch.tensor([[0, 1, 2, 2], [1, 0, 1, 2]])).sample(200, 0)
    ends = (made == 2).int().cummax(1).values
    assert torch.equal(ends, (made == 2).int())


def test_samples_repeat_themselves_by_their_seed() -> None:
    rows = torch.randint(5, (40, 8), generator=torch.Generator().manual_seed(2))
    chain = markov(rows.byte(), order=2)
    assert torch.equal(chain.sample(30, 5), markov(rows, order=2).sample(30, 5))
    assert not torch.equal(chain.sample(30, 5), chain.sample(30, 6))


def test_what_is_no_sequence_is_refused() -> None:
    for rows in (torch.zeros(3), torch.zeros(2, 3), torch.zeros(0, 3, dtype=torch.int64), torch.tensor([[-1, 0]])):
        with pytest.raises(UserError, match="no sequences"):
            markov(rows)
    with pytest.raises(UserError, match=f"up to {int(60 / math.log2(101))} is possible"):
        markov(torch.tensor([[0, 99], [1, 2]]), order=20)
