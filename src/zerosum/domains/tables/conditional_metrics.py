"""Scores of conditional samples: whether they have the given values, and how similar the other columns are to real rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.encodings import Categories
from zerosum.domains.tables.layout import condition_on, no_conditions
from zerosum.domains.tables.scores import ranks
from zerosum.domains.tables.table import Mask
from zerosum.domains.tables.table_similarity import NumericMatrix, mean, shapes
from zerosum.engine.seeds import Prior, SeededNoise, generator
from zerosum.metrics.record import Record

NUM_MADE, FEWEST, MOST_QUERIES, MOST_OTHERS = 500, 40, 24, 12
"""Rows generated for a query, least number of training rows with the values, and greatest number of queries: for categories, and
for each other kind."""
AROUND = 0.02
"""The part of the training rows (at least FEWEST) whose numbers count as near a number."""
SUBJECTS = {
    "shapes": "one value of one category",
    "numbers": "a number or date",
    "missing": "a column that is missing",
    "pairs": "values of two columns",
}
"""What is given, by the name of the score of the other columns."""
Make = Callable[[Tensor, Tensor], Tensor]
"""((N, L) noise, (N, K) condition) -> (N, D)."""


@dataclass(frozen=True, eq=False)
class ConditionQuery:
    """Columns whose values are given, and the training rows with these or near values, which are used as the given values.

    kind: of SUBJECTS. words: description. numbers: indices of the columns in the mask. salt: of the random order of rows.
    """

    kind: str
    words: str
    numbers: tuple[int, ...]
    rows: NDArray[np.int64]
    salt: int | str = ""


def queries(source: TableSource, seed: int = 0) -> list[ConditionQuery]:
    """Queries for the commonest, the middle and the rarest level with enough rows of each categorical column; for low, middle and
    high numbers; for columns with enough missing values; for pairs of columns at random rows. The number of each is limited."""
    kinds = (
        (_level_queries(source), MOST_QUERIES),
        (_number_queries(source), MOST_OTHERS),
        (_missing_queries(source), MOST_OTHERS),
    )
    every = [one for found, most in kinds for one in found[:: max(1, -(-len(found) // most))]]
    return [*every, *_pair_queries(source, seed)]


def _level_queries(source: TableSource) -> list[ConditionQuery]:
    found = []
    for number, block in enumerate(source.rows.blocks):
        encoding = source.transform.encodings[block.column]
        if isinstance(encoding, Categories):
            usable = [level for level in range(encoding.kept) if encoding.counts[level] >= FEWEST]
            picked = sorted({usable[at] for at in (0, len(usable) // 2, -1)}) if len(usable) > 1 else []
            for level in picked:
                rows = np.flatnonzero(source.train.arrays[block.column] == level)
                words = f"{block.column} = level {level}"
                found.append(ConditionQuery("shapes", words, (number,), rows, block.start + level))
    return found


def _numeric(source: TableSource) -> dict[str, int]:
    """The columns of numbers and dates that can be given by themselves, and their numbers in the mask."""
    relative, blocks = source.transform.relative, enumerate(source.rows.blocks)
    return {block.column: at for at, block in blocks if block.kind != "category" and block.column not in relative}


def _number_queries(source: TableSource) -> list[ConditionQuery]:
    found, size = [], _size(source)
    for column, number in _numeric(source).items():
        values = source.train.arrays[column]
        order = np.argsort(values, kind="stable")[: len(values) - int(np.isnan(values).sum())]
        if len(order) < 3 * size:
            continue
        for name, share in (("low", 0.1), ("middle", 0.5), ("high", 0.9)):
            first = int(np.clip(share * len(order) - size / 2, 0, len(order) - size))
            found.append(ConditionQuery("numbers", f"{column} {name}", (number,), order[first : first + size]))
    return found


def _missing_queries(source: TableSource) -> list[ConditionQuery]:
    found = []
    for number, block in enumerate(source.rows.blocks):
        if block.missing:
            rows = np.flatnonzero(np.isnan(source.train.arrays[block.column]))
            found.append(ConditionQuery("missing", f"{block.column} missing", (number,), rows))
    return [one for one in found if len(one.rows) >= FEWEST]


def _pair_queries(source: TableSource, seed: int) -> list[ConditionQuery]:
    """Pairs of columns, each at a drawn row, with the rows nearest to it: by rank in numbers, of the same level in categories."""
    numeric, blocks, size = _numeric(source), enumerate(source.rows.blocks), _size(source)
    usable = {block.column: at for at, block in blocks if block.kind == "category" or block.column in numeric}
    if len(source.train.arrays) < 3 or len(usable) < 2 or len(source.train) < 3 * size:
        return []
    draw = np.random.default_rng(seed)
    found: list[ConditionQuery] = []
    for _ in range(4 * MOST_OTHERS):
        pair = sorted(draw.choice(list(usable), 2, replace=False).tolist(), key=lambda name: usable[name])
        row = int(draw.integers(len(source.train)))
        far = np.max([_distance(source.train.arrays[name], row, name in numeric) for name in pair], axis=0)
        nearest = np.argsort(far, kind="stable")[:size]
        if far[nearest[-1]] < 0.25 and len(found) < MOST_OTHERS:
            words = f"{' and '.join(pair)} as in training row {row + 1}"
            found.append(ConditionQuery("pairs", words, tuple(usable[name] for name in pair), nearest))
    return found


def _distance(values: NDArray[Any], row: int, numeric: bool) -> NDArray[np.float64]:
    """(N,) the distances of the ranks of numbers from that of a row, 0 to 1; infinite for other codes, and between missing and
    known."""
    if not numeric:
        return np.where(values == values[row], 0.0, np.inf)
    places, gone = ranks(values, values), np.isnan(values)
    far = np.abs(places - places[row])
    return np.where(gone == gone[row], np.where(gone & gone[row], 0.0, far), np.inf)


def _size(source: TableSource) -> int:
    return max(FEWEST, round(AROUND * len(source.train)))


def conditions_for(query: ConditionQuery, source: TableSource, num: int) -> Tensor:
    """(num, K): conditions with the values of the query's rows, which are repeated cyclically."""
    blocks, keys = source.rows.blocks, torch.arange(num)
    device = source.rows.choices.device
    rows = torch.from_numpy(query.rows)[keys % len(query.rows)].to(device)
    data, mask = source.rows.data(rows, keys.to(device)).cpu(), torch.zeros(num, len(blocks))
    mask[:, list(query.numbers)] = 1.0
    return condition_on(data, mask, blocks)


def make_sampler(network: nn.Module, device: torch.device) -> Make:
    """A function that calls the network in eval mode, without gradients, and restores its mode."""

    def make(noise: Tensor, condition: Tensor) -> Tensor:
        training = network.training
        network.eval()
        with torch.no_grad():
            rows: Tensor = network(noise.to(device), condition.to(device)).float().cpu()
        network.train(training)
        return rows

    return make


def answers(
    source: TableSource, make: Make, prior: Prior, seed: int
) -> Iterator[tuple[ConditionQuery, Mapping[str, float]]]:
    """Each query with: returned (share of the rows that have the values given), shapes (of the other columns against the
    training rows of the query), floor (the same of half those rows against the other half), ignoring (of rows generated without
    conditions)."""
    train = NumericMatrix.of(source.train)
    noise = prior.draw(SeededNoise(seed, 0, 0, 0, NUM_MADE, NUM_MADE, torch.device("cpu")))

    def sample_with(condition: Tensor, allowed: Mapping[str, Mask] | None = None) -> NumericMatrix:
        return NumericMatrix.of(source.transform.decode(make(noise, condition), allowed=allowed))

    unconditional = sample_with(no_conditions({"layout": source.transform.layout}, NUM_MADE))
    for query in queries(source, seed):
        made = sample_with(conditions_for(query, source, NUM_MADE), _levels_given(query, source))
        at = [train.names.index(source.rows.blocks[number].column) for number in query.numbers]
        given, found = train.values[query.rows[np.arange(NUM_MADE) % len(query.rows)]][:, at], made.values[:, at]
        same = (found == given) | (np.isnan(found) & np.isnan(given))
        order = torch.randperm(len(query.rows), generator=generator(seed, "asked", query.salt or query.words)).numpy()
        half, other = (train.rows(query.rows[part]) for part in (order[::2], order[1::2][:NUM_MADE]))
        compared = {"shapes": made, "floor": other, "ignoring": unconditional}
        alike = {name: mean(np.delete(shapes(half, rows), at)) for name, rows in compared.items()}
        yield query, {"returned": float(same.all(1).mean()), **alike}


def _levels_given(query: ConditionQuery, source: TableSource) -> dict[str, Mask]:
    """The given levels of the categories of a query, which decoding must not change."""
    found = {}
    for name in [source.rows.blocks[number].column for number in query.numbers]:
        if isinstance(encoding := source.transform.encodings[name], Categories):
            found[name] = np.isin(np.arange(len(encoding.counts)), source.train.arrays[name][query.rows])
    return found


def records(source: TableSource, make: Make, prior: Prior, seed: int) -> list[Record]:
    """The share of rows with the requested values over all queries, and the shapes of the other columns for each kind of
    query."""
    found = list(answers(source, make, prior, seed))
    if not found:
        return []
    protocol = {"num_fake": NUM_MADE, "against": "training rows with these values, or near them", "seed": seed}

    def record(name: str, some: Sequence[tuple[ConditionQuery, Mapping[str, float]]], kind: str = "") -> Record:
        means = {key: mean(np.array([answer[key] for _, answer in some])) for key in some[0][1]}
        key = "shapes" if kind else "returned"
        shown = {query.words: round(answer[key], 4) for query, answer in some}
        sentence = "Share of rows that have the requested values, over all queries."
        if kind:
            sentence = (
                f"How similar the other columns are to real rows where {SUBJECTS[kind]} is given; 1 is equal. "
                f"Rows generated without the condition: {means['ignoring']:.3f}."
            )
        full = f"asked_{name}[questions={len(some)},n={NUM_MADE}]"
        reference = means["floor"] if kind else 1.0
        return Record(full, means[key], {**protocol, "questions": shown}, "higher", sentence, reference)

    by_kind = {kind: [pair for pair in found if pair[0].kind == kind] for kind in SUBJECTS}
    return [record("returned", found), *(record(kind, some, kind) for kind, some in by_kind.items() if some)]
