"""Adaptive augmentation: the strength p rises while the discriminator overfits the training reals.

Karras et al. 2020, "Training generative adversarial networks with limited data", arXiv:2006.06676, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Adaptive:
    """p rises while r = E[sign(D(x))] over the training reals lies above `target`, and falls while r lies below.

    over_images: reals that p needs to travel from 0 to 1. every: discriminator turns between two changes.
    initial, most: where p begins, and its upper bound; 0 <= initial <= most <= 1.
    """

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    target: float = 0.6
    over_images: float = 500_000.0
    every: int = 4
    initial: float = 0.0
    most: float = 0.9

    def __post_init__(self) -> None:
        if not -1 < self.target < 1 or not self.over_images > 0 or self.every < 1:
            raise ValueError("adaptive augmentation: target in (-1, 1), over_images > 0 and every >= 1 are needed")
        if not 0 <= self.initial <= self.most <= 1:
            raise ValueError(f"adaptive augmentation: 0 <= initial <= most <= 1, got {self.initial} and {self.most}")


class Controller:
    """Adjusts p during training. Its state is p and the sums since the last change of p."""

    def __init__(self, rule: Adaptive) -> None:
        self.rule, self.strength, self.sign = rule, rule.initial, 0.0
        self._sum: Tensor | float = 0.0
        self._turns, self._rows = 0, 0

    def update(self, sign: Tensor, rows: int) -> None:
        """Adds the mean sign of D on the `rows` reals of one turn, over all processes; every `every` turns p changes."""
        # Summed on its device: reading the value in every turn would synchronise the GPU.
        self._sum, self._turns, self._rows = self._sum + sign.detach().double(), self._turns + 1, self._rows + rows
        if self._turns < self.rule.every:
            return
        self.sign = float(self._sum) / self._turns
        change = self._rows / self.rule.over_images
        moved = self.strength + (change if self.sign > self.rule.target else -change)
        self.strength = min(self.rule.most, max(0.0, moved))
        self._sum, self._turns, self._rows = 0.0, 0, 0

    def state_dict(self) -> dict[str, float]:
        """Plain numbers."""
        kept = {"strength": self.strength, "sign": self.sign}
        return kept | {"sum": float(self._sum), "turns": self._turns, "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """The inverse of state_dict."""
        self.strength, self.sign, self._sum = state["strength"], state["sign"], state["sum"]
        self._turns, self._rows = int(state["turns"]), int(state["rows"])
