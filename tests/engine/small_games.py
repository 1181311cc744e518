"""Small games for the engine's tests: generated rows, small networks, and a way to compare two matches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine.devices import DistributedContext
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch, DiscriminatorOutput
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.seeds import SeededNoise
from zerosum.store import split

LATENT, FEATURES, CLASSES = 3, 4, 5
SGD = OptimizerConfig("sgd", lr=0.05, momentum=0.5)


class Rows:
    """Rows of N(1, 0.5), labelled by their number modulo CLASSES; remembers what was asked for."""

    def __init__(self, num_rows: int = 20, labelled: bool = False) -> None:
        self.data = torch.randn(num_rows, FEATURES, generator=torch.Generator().manual_seed(7)) / 2 + 1
        self.labels = torch.arange(num_rows) % CLASSES if labelled else None
        self.asked: list[Tensor] = []

    @property
    def num_rows(self) -> int:
        return len(self.data)

    def batch(self, indices: Tensor) -> Batch:
        self.asked.append(indices)
        return Batch(self.data[indices], None if self.labels is None else self.labels[indices])


class Conditional(nn.Module):
    """A linear network that hears a class label."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body, self.words = nn.Linear(inputs, outputs), nn.Embedding(CLASSES, outputs)
        self.heard: list[Tensor] = []

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        self.heard.append(condition)
        return self.body(x) + self.words(condition)


class Heads(nn.Module):
    """A critic with one head of (N,) and one of (N, 3) patches."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.patches = nn.Linear(FEATURES, 6), nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        hidden = torch.tanh(self.body(x))
        return DiscriminatorOutput((self.one(hidden).squeeze(1), self.patches(hidden)), (hidden,))


def generator(seed: int = 1, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """(N, LATENT) -> (N, FEATURES)."""
    torch.manual_seed(seed)
    middle: list[nn.Module] = [nn.BatchNorm1d(6)] if norm else []
    return nn.Sequential(nn.Linear(LATENT, 6), *middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, FEATURES))


def critic(seed: int = 2, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """(N, FEATURES) -> (N, 1)."""
    torch.manual_seed(seed)
    middle: list[nn.Module] = [nn.BatchNorm1d(6)] if norm else []
    return nn.Sequential(nn.Linear(FEATURES, 6), *middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 1))


def heads(seed: int = 2) -> Heads:
    """A seeded critic of two heads."""
    torch.manual_seed(seed)
    return Heads()


def duel(**options: Any) -> Duel:
    """A game of fresh plain networks."""
    return Duel(options.pop("g", None) or generator(), options.pop("d", None) or critic(), prior=LATENT, **options)


def match(
    game: Duel | None = None, source: Any = None, world: DistributedContext = DistributedContext(), **settings: Any
) -> TrainingLoop:
    """A match with SGD and a batch of 8, unless told otherwise."""
    return TrainingLoop(game or duel(), source or Rows(), Settings(**({"batch": 8, "default": SGD} | settings)), world)


def play(game: TrainingLoop, steps: int) -> TrainingLoop:
    """Plays until `steps` steps are completed."""
    for _ in game.run(steps):
        pass
    return game


def noise(step: int, turn: int, rows: int = 8, seed: int = 0) -> Tensor:
    """The noise of a turn: (rows, LATENT)."""
    return SeededNoise(seed, step, turn, 0, rows, rows, torch.device("cpu")).normal("noise", LATENT)


def copied(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal to the last bit."""
    (tensors, plain), (others, others_plain) = split(one), split(other)
    return (
        plain == others_plain
        and tensors.keys() == others.keys()
        and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    )
