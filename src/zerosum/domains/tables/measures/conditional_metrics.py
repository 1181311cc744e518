"""What comes back when values are asked for: those values, and the other columns as they lie where they occur."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerosum.domains.tables import conditions
from zerosum.domains.tables.categories import Categories
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.linear import OutOfRange
from zerosum.domains.tables.measures.table_similarity import Mixed, mean, shapes
from zerosum.domains.tables.numeric_matrix import plain
from zerosum.engine.seeds import generator
from zerosum.engine.update_rules import Prior
from zerosum.metrics.record import Record

NUM_ASKED, FEWEST, MOST_QUESTIONS, MOST_OTHERS = 500, 40, 24, 12
"""Rows made for a question, training rows that have the values at least, and questions at most: for categories, and for each
other kind."""
AROUND = 0.02
"""The part of the training rows whose numbers count as near a number, FEWEST at least."""
SUBJECTS = {
    "shapes": "one value of one category",
    "numbers": "a number or date",
    "missing": "a column that is missing",
    "pairs": "values of two columns",
}
"""What is asked for, by the name of the measure of the other columns."""
Make = Callable[[Tensor, Tensor], Tensor]
"""((N, L) noise, (N, K) condition) -> (N, D)."""
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ConditionQuery:
    """Columns of which values are told, and the training rows that have them or others near them, whose values are told.

    kind: of SUBJECTS. words: for a person. numbers: of the columns in the mask. salt: of chance.
    """

    kind: str
    words: str
    numbers: tuple[int, ...]
    rows: Rows
    salt: int | str = ""


def questions(source: TableSource, seed: int = 0) -> list[ConditionQuery]:
    """Of each categorical column its commonest, its middle and its rarest level with enough rows; of each column of numbers low,
    middle and high ones; each column that is missing often enough; pairs of columns at drawn rows. Fewer where too many."""
    found = {"shapes": _of_levels(source), "numbers": _of_numbers(source), "missing": _of_missing(source)}
    every = [
        one
        for kind, some in found.items()
        for one in _thinned(some, MOST_QUESTIONS if kind == "shapes" else MOST_OTHERS)
    ]
    return [*every, *_of_pairs(source, seed)]


def _thinned(found: Sequence[ConditionQuery], most: int) -> Sequence[ConditionQuery]:
    return found[:: max(1, -(-len(found) // most))]


def _of_levels(source: TableSource) -> list[ConditionQuery]:
    found = []
    for number, block in enumerate(source.rows.blocks):
        encoding = source.transform.encodings[block.column]
        if not isinstance(encoding, Categories):
            continue
        values = source.train.arrays[block.column]
        usable = [level for level in range(encoding.kept) if encoding.counts[level] >= FEWEST]
        picked = sorted({usable[at] for at in (0, len(usable) // 2, len(usable) - 1)}) if len(usable) > 1 else []
        for level in picked:
            words, rows = f"{block.column} = level {level}", np.flatnonzero(values == level)
            found.append(ConditionQuery("shapes", words, (number,), rows, block.start + level))
    return found


def _numeric(source: TableSource) -> dict[str, int]:
    """The columns of numbers and dates that can be told by themselves, and their numbers in the mask."""
    near = {rule.target for rule in source.transform.rules if isinstance(rule, OutOfRange) and rule.near}
    blocks = enumerate(source.rows.blocks)
    return {block.column: at for at, block in blocks if block.kind != "category" and block.column not in near}


def _of_numbers(source: TableSource) -> list[ConditionQuery]:
    found = []
    for column, number in _numeric(source).items():
        order = np.argsort(source.train.arrays[column], kind="stable")
        order = order[: len(order) - int(np.isnan(source.train.arrays[column]).sum())]
        size = _size(source)
        if len(order) < 3 * size:
            continue
        for name, share in (("low", 0.1), ("middle", 0.5), ("high", 0.9)):
            first = int(np.clip(share * len(order) - size / 2, 0, len(order) - size))
            found.append(ConditionQuery("numbers", f"{column} {name}", (number,), order[first : first + size]))
    return found


def _of_missing(source: TableSource) -> list[ConditionQuery]:
    found = []
    for number, block in enumerate(source.rows.blocks):
        if block.missing:
            gone = np.flatnonzero(np.isnan(source.train.arrays[block.column]))
            found += (
                [ConditionQuery("missing", f"{block.column} missing", (number,), gone)] if len(gone) >= FEWEST else []
            )
    return found


def _of_pairs(source: TableSource, seed: int) -> list[ConditionQuery]:
    """Pairs of columns, each at a drawn row, with the rows nearest to it: by rank in numbers, of the same level in categories."""
    numeric, blocks, size = _numeric(source), source.rows.blocks, _size(source)
    usable = {
        block.column: at for at, block in enumerate(blocks) if block.kind == "category" or block.column in numeric
    }
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
    """(N,) how far the ranks of numbers lie from that of a row, 0 to 1; infinitely far other codes, and missing from known."""
    if not numeric:
        return np.where(values == values[row], 0.0, np.inf)
    known = np.sort(values[~np.isnan(values)])
    ranks = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / (
        2 * max(1, len(known))
    )
    gone = np.isnan(values)
    far = np.where(gone, 0.0, np.abs(ranks - ranks[row])) if gone[row] else np.abs(ranks - ranks[row])
    return np.where(gone == gone[row], far, np.inf)


def _size(source: TableSource) -> int:
    return max(FEWEST, round(AROUND * len(source.train)))


def conditions_for(question: ConditionQuery, source: TableSource, num: int) -> Tensor:
    """(num, K): the values of the question's rows are told, as often as they fit, nothing else."""
    blocks, keys = source.rows.blocks, torch.arange(num)
    device = source.rows.choices.device
    rows = torch.from_numpy(question.rows)[keys % len(question.rows)].to(device)
    data, mask = source.rows.data(rows, keys.to(device)).cpu(), torch.zeros(num, len(blocks))
    mask[:, list(question.numbers)] = 1.0
    return conditions.told(data, mask, blocks)


def maker(network: nn.Module, device: torch.device) -> Make:
    """The network in eval mode, without gradients; its own mode is restored."""

    def make(noise: Tensor, condition: Tensor) -> Tensor:
        training = network.training
        network.eval()
        with torch.no_grad():
            rows: Tensor = network(noise.to(device), condition.to(device)).float().cpu()
        network.train(training)
        return rows

    return make


def noise_of(prior: Prior, num: int, seed: int) -> Tensor:
    """(num, L) float32 of the prior."""
    from zerosum.engine.seeds import SeededNoise

    return prior.draw(SeededNoise(seed, 0, 0, 0, num, num, torch.device("cpu")))


def answers(
    source: TableSource, make: Make, prior: Prior, seed: int
) -> Iterator[tuple[ConditionQuery, Mapping[str, float]]]:
    """Each question with: returned (share of the rows that have what was told), shapes (of the other columns against the training
    rows of the question), floor (the same of half those rows against the other half), ignoring (of rows made without it)."""
    train = plain(source.train)
    noise = noise_of(prior, NUM_ASKED, seed)
    plainly = _decoded(source, make(noise, conditions.nothing({"layout": source.transform.layout}, NUM_ASKED)))
    for question in questions(source, seed):
        made = _decoded(
            source, make(noise, conditions_for(question, source, NUM_ASKED)), _levels_told(question, source)
        )
        at = [train.names.index(source.rows.blocks[number].column) for number in question.numbers]
        told = train.values[question.rows[np.arange(NUM_ASKED) % len(question.rows)]][:, at]
        same = (made.values[:, at] == told) | (np.isnan(made.values[:, at]) & np.isnan(told))
        order = torch.randperm(
            len(question.rows), generator=generator(seed, "asked", question.salt or question.words)
        ).numpy()
        half, other = (train.rows(question.rows[part]) for part in (order[::2], order[1::2][:NUM_ASKED]))
        yield (
            question,
            {
                "returned": float(same.all(1).mean()),
                "shapes": _others(half, made, at),
                "floor": _others(half, other, at),
                "ignoring": _others(half, plainly, at),
            },
        )


def _decoded(source: TableSource, rows: Tensor, allowed: Mapping[str, NDArray[np.bool_]] | None = None) -> Mixed:
    return plain(source.transform.decoded(rows, allowed=allowed))


def _levels_told(question: ConditionQuery, source: TableSource) -> dict[str, NDArray[np.bool_]]:
    """Of the categories of a question the levels that are told, which decoding must not change."""
    found = {}
    for block in (source.rows.blocks[number] for number in question.numbers):
        encoding = source.transform.encodings[block.column]
        if isinstance(encoding, Categories):
            found[block.column] = np.isin(
                np.arange(len(encoding.counts)), source.train.arrays[block.column][question.rows]
            )
    return found


def _others(real: Mixed, made: Mixed, at: Sequence[int]) -> float:
    scores: NDArray[Any] = np.delete(shapes(real, made), at)
    return mean(scores)


def records(source: TableSource, make: Make, prior: Prior, seed: int) -> list[Record]:
    """The share returned as asked over all questions, and for each kind of question the other columns' shapes."""
    found = list(answers(source, make, prior, seed))
    if not found:
        return []
    protocol = {"num_fake": NUM_ASKED, "against": "training rows with these values, or near them", "seed": seed}
    returned = {question.words: round(answer["returned"], 4) for question, answer in found}
    made = [
        Record(
            f"asked_returned[questions={len(found)},n={NUM_ASKED}]",
            mean(np.array([answer["returned"] for _, answer in found])), {**protocol, "questions": returned}, "higher",
            "Share of rows that have the values that were asked for, over all questions.", 1.0,
        )
    ]  # fmt: skip
    for kind, subject in SUBJECTS.items():
        some = [(question, answer) for question, answer in found if question.kind == kind]
        if some:
            made.append(_of_kind(kind, subject, some, protocol))
    return made


def _of_kind(
    kind: str, subject: str, found: Sequence[tuple[ConditionQuery, Mapping[str, float]]], protocol: Mapping[str, Any]
) -> Record:
    middle = {name: mean(np.array([answer[name] for _, answer in found])) for name in ("shapes", "floor", "ignoring")}
    shown = {question.words: round(answer["shapes"], 4) for question, answer in found}
    return Record(
        f"asked_{kind}[questions={len(found)},n={NUM_ASKED}]", middle["shapes"], {**protocol, "questions": shown}, "higher",
        f"How alike the other columns lie to real rows where {subject} is asked for; 1 is equal. "
        f"Rows made without the question: {middle['ignoring']:.3f}.", middle["floor"],
    )  # fmt: skip
