"""States of a game, kept so that any step can be come back to: densely for what has just been, sparsely for long ago."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any

import torch

EVERY = 25
"""Steps between the newest snapshots."""
DENSE = 12
"""How many snapshots stay at one spacing before it doubles."""


def copied(state: Any) -> Any:
    """The same nest of mappings, lists and tensors, sharing no memory."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: copied(item) for key, item in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(item) for item in state)
    return state


class Snapshots:
    """Keeps the state of step 0 and of steps that are multiples of `every`, thinned by age.

    A snapshot of age a stays where its step is a multiple of every * 2^j, with 2^j the largest power of two up to
    a / (dense * every). So the number kept grows with the logarithm of the steps (about dense more for each doubling, at
    most 2 dense for the newest), and the way from a snapshot to any step is at most 1/dense of that step's age.
    """

    def __init__(self, every: int = EVERY, dense: int = DENSE) -> None:
        self.every, self.dense = every, dense
        self._kept: dict[int, Any] = {}

    @property
    def steps(self) -> list[int]:
        """The steps of which there is a snapshot, rising."""
        return sorted(self._kept)

    def due(self, step: int) -> bool:
        """Whether a snapshot of this step is wanted."""
        return step % self.every == 0

    def keep(self, step: int, state: Any) -> None:
        """Copies a state; older ones are thinned."""
        self._kept[step] = copied(state)
        self._kept = {old: state for old, state in self._kept.items() if old % self._spacing(step - old) == 0}

    def _spacing(self, age: int) -> int:
        ratio = max(0, age) // (self.dense * self.every)  # while moves are played again, later ones are kept
        return self.every << max(0, ratio.bit_length() - 1)

    def before(self, step: int) -> int:
        """The newest step below `step` (0 for step 0) of which there is a snapshot."""
        steps = self.steps
        return steps[max(0, bisect.bisect_left(steps, step) - 1)]

    def state(self, step: int) -> Any:
        """A copy of the state kept of exactly this step."""
        return copied(self._kept[step])

    def truncate(self, step: int) -> None:
        """Forgets what came after `step`."""
        self._kept = {old: state for old, state in self._kept.items() if old <= step}
