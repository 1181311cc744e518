"""What comes back when a value is asked for: that value, and the other columns as they lie where it occurs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zerosum.domains.tables import conditions
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.levels import Levels
from zerosum.domains.tables.plain import plain
from zerosum.engine.rules import Prior
from zerosum.engine.seeds import generator
from zerosum.metrics.mixed import Mixed, mean, shapes
from zerosum.metrics.record import Record

NUM_ASKED, FEWEST, MOST_QUESTIONS = 500, 40, 24
"""Rows made for a question, training rows that have the value at least, and questions at most."""
Make = Callable[[Tensor, Tensor], Tensor]
"""((N, L) noise, (N, K) condition) -> (N, D)."""


@dataclass(frozen=True)
class Question:
    """One level of one column. number: of the column. place: in the encoded row."""

    column: str
    number: int
    level: int
    place: int


def questions(source: TableSource) -> list[Question]:
    """Of each categorical column its commonest, its middle and its rarest level with enough rows; all alike where too many."""
    found = []
    for number, block in enumerate(source.rows.blocks):
        encoding = source.transform.encodings[block.column]
        if not isinstance(encoding, Levels):
            continue
        usable = [level for level in range(encoding.kept) if encoding.counts[level] >= FEWEST]
        picked = sorted({usable[at] for at in (0, len(usable) // 2, len(usable) - 1)}) if len(usable) > 1 else []
        found += [Question(block.column, number, level, block.start + level) for level in picked]
    every = max(1, -(-len(found) // MOST_QUESTIONS))
    return found[::every]


def conditions_for(question: Question, source: TableSource, num: int) -> Tensor:
    """(num, K): this value is told, nothing else."""
    blocks = source.rows.blocks
    data, mask = torch.zeros(num, blocks[-1].stop), torch.zeros(num, len(blocks))
    data[:, question.place], mask[:, question.number] = 1.0, 1.0
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
    from zerosum.engine.seeds import Draws

    return prior.draw(Draws(seed, 0, 0, 0, num, num, torch.device("cpu")))


def answers(source: TableSource, make: Make, prior: Prior, seed: int) -> Iterator[tuple[Question, Mapping[str, float]]]:
    """Each question with: returned (share of the rows that have the value), shapes (of the other columns against training rows
    that have it), floor (the same of half those rows against the other half), ignoring (of rows made without the question)."""
    train = plain(source.train)
    noise = noise_of(prior, NUM_ASKED, seed)
    plainly = _decoded(source, make(noise, conditions.nothing({"layout": source.transform.layout}, NUM_ASKED)))
    for question in questions(source):
        made = _decoded(source, make(noise, conditions_for(question, source, NUM_ASKED)))
        at = train.names.index(question.column)
        real = train.rows(train.values[:, at] == question.level)
        order = torch.randperm(len(real), generator=generator(seed, "asked", question.place)).numpy()
        half, other = real.rows(order[::2]), real.rows(order[1::2][:NUM_ASKED])
        yield (
            question,
            {
                "returned": float((made.values[:, at] == question.level).mean()),
                "shapes": _others(half, made, at),
                "floor": _others(half, other, at),
                "ignoring": _others(half, plainly, at),
            },
        )


def _decoded(source: TableSource, rows: Tensor) -> Mixed:
    return plain(source.transform.decoded(rows))


def _others(real: Mixed, made: Mixed, at: int) -> float:
    scores: NDArray[Any] = np.delete(shapes(real, made), at)
    return mean(scores)


def records(source: TableSource, make: Make, prior: Prior, seed: int) -> list[Record]:
    """Two records over all questions: the share returned as asked, and the other columns' shapes."""
    found = list(answers(source, make, prior, seed))
    if not found:
        return []
    table = {name: [answer[name] for _, answer in found] for name in ("returned", "shapes", "floor", "ignoring")}
    middle = {name: mean(np.array(values)) for name, values in table.items()}
    asked = {f"{q.column} = level {q.level}": round(answer["shapes"], 4) for q, answer in found}
    protocol = {"questions": asked, "num_fake": NUM_ASKED, "against": "training rows with the value", "seed": seed}
    size = f"questions={len(found)},n={NUM_ASKED}"
    return [
        Record(
            f"asked_returned[{size}]", middle["returned"], protocol, "higher",
            "Share of rows that have the value that was asked for, over questions for one value of one column.", 1.0,
        ),
        Record(
            f"asked_shapes[{size}]", middle["shapes"], protocol, "higher",
            "How alike the other columns lie to real rows that have the value asked for; 1 is equal. "
            f"Rows made without the question: {middle['ignoring']:.3f}.", middle["floor"],
        ),
    ]  # fmt: skip
