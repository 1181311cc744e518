"""A game that runs move by move: it can be stopped, rewound exactly, and its settings changed. Independent of the web server."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from zerosum.domains.toy import DOMAIN, densities
from zerosum.domains.toy.data import PointSource
from zerosum.domains.toy.densities import Density
from zerosum.engine import losses
from zerosum.engine.duel import Duel
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, Turn
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.engine.losses import GANLoss
from zerosum.errors import UserError, nearest
from zerosum.lab.dirac import DiracSetup
from zerosum.lab.game_log import KINDS, GameLog, read_log
from zerosum.lab.settings import LabSettings
from zerosum.planning import plan

EVERY = 25
"""Steps between the newest snapshots."""
DENSE = 12
"""Number of snapshots kept at one spacing before it doubles."""


# --- from settings to a game


class GameSetup(Protocol):
    """Builds the game of some settings."""

    def loop(self) -> TrainingLoop:
        """The training loop at step 0; equal in every call."""

    def position(self, loop: TrainingLoop) -> tuple[float, ...]:
        """(theta, psi) in the Dirac-GAN; empty in other games."""


@dataclass(frozen=True, eq=False)
class ToySetup:
    """A game over points on the line or in the plane."""

    settings: LabSettings
    source: PointSource
    density: Density

    @property
    def pair(self) -> GANLoss:
        """The loss of the game."""
        return losses.table()[self.settings.loss]

    def loop(self) -> TrainingLoop:
        """The game at step 0."""
        recipe = self.settings.recipe()
        return TrainingLoop(DOMAIN.game.build(recipe, self.source.info()), self.source, plan.settings(recipe))

    def position(self, loop: TrainingLoop) -> tuple[float, ...]:
        """Empty for networks."""
        return ()


def make_setup(settings: LabSettings) -> GameSetup:
    """The setup of these settings; UserError when the domain cannot make such a game."""
    if settings.mode == "dirac":
        return DiracSetup(settings)
    source: PointSource = DOMAIN.data.open(settings.recipe().data, False)
    return ToySetup(settings, source, densities.of(source.info()))


def game_of(loop: TrainingLoop) -> Duel:
    """The game of a training loop of the lab."""
    assert isinstance(loop.game, Duel)
    return loop.game


def apply_settings(loop: TrainingLoop, settings: LabSettings) -> None:
    """Applies the changeable settings to the moves that follow."""
    game = game_of(loop)
    for name, player in loop.players.items():
        player.learning = settings.learning(name)
    game.rules = settings.rules()
    game.reals_per_step = sum(turn.reals for turn in game.turns(loop.step))
    game.penalties = tuple(replace(penalty, weight=settings.weight) for penalty in game.penalties)


# --- snapshots


def copy_state(state: Any) -> Any:
    """A deep copy of nested mappings, lists and tensors."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: copy_state(item) for key, item in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copy_state(item) for item in state)
    return state


class Snapshots:
    """Keeps the state of step 0 and of steps that are multiples of `every`, thinned by age.

    A snapshot of age a stays where its step is a multiple of every * 2^j, with 2^j the largest power of two up to
    a / (dense * every). So the number kept grows with the logarithm of the steps (about `dense` more for each doubling, at
    most 2 dense for the newest), and the distance from a snapshot to any step is at most 1/dense of the age of that step.
    """

    def __init__(self, every: int = EVERY, dense: int = DENSE) -> None:
        self.every, self.dense = every, dense
        self._kept: dict[int, Any] = {}

    @property
    def steps(self) -> list[int]:
        """The steps that have a snapshot, in ascending order."""
        return sorted(self._kept)

    def due(self, step: int) -> bool:
        """Whether this step gets a snapshot."""
        return step % self.every == 0

    def keep(self, step: int, state: Any) -> None:
        """Keeps a copy of a state, and thins older ones."""
        self._kept[step] = copy_state(state)
        self._kept = {old: state for old, state in self._kept.items() if old % self._spacing(step - old) == 0}

    def _spacing(self, age: int) -> int:
        ratio = max(0, age) // (self.dense * self.every)  # while moves are repeated, later ones are kept
        return self.every << max(0, ratio.bit_length() - 1)

    def before(self, step: int) -> int:
        """The newest step below `step` (0 for step 0) that has a snapshot."""
        steps = self.steps
        return steps[max(0, bisect.bisect_left(steps, step) - 1)]

    def state(self, step: int) -> Any:
        """A copy of the state kept for exactly this step."""
        return copy_state(self._kept[step])

    def truncate(self, step: int) -> None:
        """Drops the snapshots after `step`."""
        self._kept = {old: state for old, state in self._kept.items() if old <= step}


# --- the game


class LabGame:
    """One game. `loop` is the engine's training loop; it is replaced when the game is rewound.

    error: the reason why the last move failed, or None. moved: the last move, None before the first.
    trail: (theta, psi) at each step up to the current one, in the Dirac-GAN.
    timeline: number of times that later moves were discarded because of a new move.
    """

    def __init__(self, settings: LabSettings) -> None:
        self._begin(GameLog(settings))

    @classmethod
    def of(cls, plain: Any) -> LabGame:
        """A game at step 0 with the moves of a saved log, which `rewind` to its last step executes. UserError if it is not a
        log."""
        lab = cls.__new__(cls)
        lab._begin(read_log(plain))
        return lab

    @classmethod
    def replay(cls, plain: Any) -> LabGame:
        """Executes a saved log to its end; the tensors are bit-equal with the same version of torch and one thread."""
        lab = cls.of(plain)
        lab.rewind(lab.last)
        return lab

    def _begin(self, log: GameLog) -> None:
        self.log, self.settings = log, log.settings_at(0)
        self.setup = make_setup(log.start)
        self.snapshots = Snapshots()
        self.error: str | None = None
        self.timeline = 0
        self._restart()
        self.trail = [self.setup.position(self.loop)]
        self.snapshots.keep(0, self.loop.state_dict())

    def _restart(self) -> None:
        self.loop = self.setup.loop()
        self.moved: str | None = None
        apply_settings(self.loop, self.settings)

    @property
    def step(self) -> int:
        """Moves made so far."""
        return self.loop.step

    @property
    def last(self) -> int:
        """The furthest step; `rewind` can reach it until a new move is made before it."""
        return self.log.length

    # --- moves

    def move(self, kind: str = "step") -> bool:
        """Makes one move: a whole "step", or one of the "discriminator" or "generator" alone.

        Returns False if a number was not finite: `error` names it, and nothing has changed.
        """
        if kind not in KINDS:
            raise UserError(f"There is no move {kind!r}. {nearest(kind, KINDS)}")
        self._discard_future()
        if not self._advance(kind):
            return False
        self.log.add(kind)
        return True

    def next_turn(self) -> str:
        """The player of the next single move in the usual order, k times D and then G; "step" for simultaneous steps."""
        if self.settings.simultaneous:
            return "step"
        recent = list(self.log.moves(max(0, self.step - self.settings.k), self.step))
        only_d = len(recent) == self.settings.k and set(recent) == {DISCRIMINATOR}
        return GENERATOR if only_d else DISCRIMINATOR

    def _advance(self, kind: str) -> bool:
        """Makes the move; if a number is not finite, restores the previous state and returns False."""
        self.error = None
        try:
            self.loop.train_step(self._turns(kind))
        except NonFinite as fault:
            self.rewind(self.step, afresh=True)  # the first turns of the step may have been made
            message = str(fault)
            self.error = (
                f"{message[0].upper()}{message[1:]}. The game is as it was before that move. Rewind to an earlier step, "
                "or lower the learning rates, and continue."
            )
            return False
        self.moved = kind
        self.trail[self.step :] = [self.setup.position(self.loop)]
        if self.snapshots.due(self.step):
            self.snapshots.keep(self.step, self.loop.state_dict())
        return True

    def _turns(self, kind: str) -> Sequence[Turn] | None:
        if kind == "step":
            return None
        reals = kind == DISCRIMINATOR or game_of(self.loop).loss.needs_real
        return (Turn((kind,), reals=reals),)

    # --- changes and time

    def change(self, name: str, value: Any) -> None:
        """Changes lr_g, lr_d, k or weight from here on; UserError when that is not possible. Later moves are discarded."""
        settings = self.settings.changed(name, value)
        self._discard_future()
        self.log.change(self.step, name, getattr(settings, name))
        self.settings, self.error = settings, None
        apply_settings(self.loop, settings)

    def _discard_future(self) -> None:
        if self.step < self.last:
            self.log.truncate(self.step)
            self.snapshots.truncate(self.step)
            self.timeline += 1

    def rewind(self, step: int, *, afresh: bool = False) -> None:
        """Goes to any previous step, backwards or forwards; the state is bit-equal to the one at that step.

        The moves since the nearest snapshot are repeated. afresh: start from a snapshot even if the game is closer.
        """
        if not 0 <= step <= self.last:
            raise UserError(f"to = {step}: only steps 0 to {self.last} were made. Choose one of them.")
        base = self.snapshots.before(step)
        if afresh or not base <= self.step <= step:
            self._restore(base)
        self.error = None
        for kind in self.log.moves(self.step, step):
            if not self._advance(kind):
                return
            self._apply_changes()

    def _restore(self, step: int) -> None:
        self.settings = self.log.settings_at(step)
        self._restart()
        self.loop.load_state_dict(self.snapshots.state(step))
        apply_settings(self.loop, self.settings)

    def _apply_changes(self) -> None:
        """After a replayed move: applies the changes that were made at this step."""
        for name, value in self.log.changes_at(self.step).items():
            self.settings = self.settings.changed(name, value)
            apply_settings(self.loop, self.settings)
