"""What the loop tells its caller. The caller owns the `for`: it may look, save, evaluate, or leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Boundary:
    """Between two steps: nothing is in flight, so this is the place to evaluate, preview, save or stop.

    step: steps completed, 0 before the first. last: no step follows.
    """

    step: int
    last: bool


@dataclass(frozen=True)
class Stepped:
    """A step was played. `values()` reads all logged scalars; call it before the next step, and only when needed.

    step: steps completed. samples: steps times rows of a batch, over all processes.
    """

    step: int
    samples: int
    values: Callable[[], dict[str, float]]


Event = Boundary | Stepped


class NonFinite(ArithmeticError):
    """A loss or a gradient is not finite. Raised before the update, so the weights are still those of `step` steps."""

    def __init__(self, player: str, term: str, step: int, values: dict[str, float]) -> None:
        self.player, self.term, self.step, self.values = player, term, step, values
        shown = ", ".join(f"{name} = {number:.4g}" for name, number in values.items())
        super().__init__(f"{player}'s {term} is not finite in step {step + 1} ({shown}); the update was not made")
