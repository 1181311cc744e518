"""The game under control: played, stopped, changed and come back to, by moves of the real engine. No web in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zerosum.engine.duel import DISCRIMINATOR, GENERATOR
from zerosum.engine.events import NonFinite
from zerosum.engine.game import Turn
from zerosum.errors import UserError, nearest
from zerosum.lab import log as logs
from zerosum.lab.log import KINDS, Log
from zerosum.lab.settings import Settings
from zerosum.lab.snapshots import Snapshots
from zerosum.lab.table import adopt, duel, lay


class LabGame:
    """One game. `match` is the engine's own; it is made anew when the game goes back.

    error: why the last move could not be made, None when it could. moved: what the last move was, None before the first.
    trail: where the players stood at each step up to this one, in games of two numbers.
    timeline: how often a future was given up for another.
    """

    def __init__(self, settings: Settings) -> None:
        self._begin(Log(settings))

    @classmethod
    def of(cls, plain: Any) -> LabGame:
        """A lab at step 0 whose future is a saved log: `rewind` to its last step plays it. UserError when it is none."""
        lab = cls.__new__(cls)
        lab._begin(logs.read(plain))
        return lab

    @classmethod
    def replay(cls, plain: Any) -> LabGame:
        """A saved log, played to its end: the same tensors, bit for bit, on the same torch and one thread."""
        lab = cls.of(plain)
        lab.rewind(lab.last)
        return lab

    def _begin(self, log: Log) -> None:
        self.log, self.settings = log, log.settings_at(0)
        self.table = lay(log.start)
        self.snapshots = Snapshots()
        self.error: str | None = None
        self.timeline = 0
        self._restart()
        self.trail = [self.table.place(self.match)]
        self.snapshots.keep(0, self.match.state_dict())

    def _restart(self) -> None:
        self.match = self.table.match()
        self.moved: str | None = None
        adopt(self.match, self.settings)

    @property
    def step(self) -> int:
        """Moves made so far."""
        return self.match.step

    @property
    def last(self) -> int:
        """The furthest step played. It can be come back to until another move is made in its place."""
        return self.log.length

    # --- moves

    def move(self, kind: str = "step") -> bool:
        """Makes one move: a whole "step", or a lone one of the "discriminator" or "generator".

        False when it could not be made, because a number was not finite: `error` tells, and nothing has changed.
        """
        if kind not in KINDS:
            raise UserError(f"There is no move {kind!r}. {nearest(kind, KINDS)}")
        self._forget_future()
        if not self._advance(kind):
            return False
        self.log.add(kind)
        return True

    def next_turn(self) -> str:
        """Whose move is next when the usual order, k times D and then G, is played move by move; "step" for both at once."""
        if self.settings.simultaneous:
            return "step"
        recent = list(self.log.moves(max(0, self.step - self.settings.k), self.step))
        only_d = len(recent) == self.settings.k and set(recent) == {DISCRIMINATOR}
        return GENERATOR if only_d else DISCRIMINATOR

    def _advance(self, kind: str) -> bool:
        """Makes the move; False when a number was not finite, and then the game stands where it stood before."""
        self.error = None
        try:
            self.match.train_step(self._turns(kind))
        except NonFinite as fault:
            self.rewind(self.step, afresh=True)  # a step's first turns may have been played
            said = str(fault)
            self.error = (
                f"{said[0].upper()}{said[1:]}. The game stands before that move. Rewind to an earlier step, "
                "or lower the learning rates, and go on."
            )
            return False
        self.moved = kind
        self.trail[self.step :] = [self.table.place(self.match)]
        if self.snapshots.due(self.step):
            self.snapshots.keep(self.step, self.match.state_dict())
        return True

    def _turns(self, kind: str) -> Sequence[Turn] | None:
        if kind == "step":
            return None
        reals = kind == DISCRIMINATOR or duel(self.match).loss.needs_real
        return (Turn((kind,), reals=reals),)

    # --- changes and time

    def change(self, name: str, value: Any) -> None:
        """Changes lr_g, lr_d, k or weight from here on; UserError when that cannot be. What lay ahead is forgotten."""
        settings = self.settings.changed(name, value)
        self._forget_future()
        self.log.change(self.step, name, getattr(settings, name))
        self.settings, self.error = settings, None
        adopt(self.match, settings)

    def _forget_future(self) -> None:
        if self.step < self.last:
            self.log.truncate(self.step)
            self.snapshots.truncate(self.step)
            self.timeline += 1

    def rewind(self, step: int, *, afresh: bool = False) -> None:
        """Goes to any step played so far, backwards or forwards, and is bit for bit what it was there.

        The moves since the nearest snapshot are played again. afresh: do not go on from where the game stands.
        """
        if not 0 <= step <= self.last:
            raise UserError(f"to = {step}: steps 0 to {self.last} were played.")
        base = self.snapshots.before(step)
        if afresh or not base <= self.step <= step:
            self._restore(base)
        self.error = None
        for kind in self.log.moves(self.step, step):
            if not self._advance(kind):
                return
            self._meet_changes()

    def _restore(self, step: int) -> None:
        self.settings = self.log.settings_at(step)
        self._restart()
        self.match.load_state_dict(self.snapshots.state(step))
        adopt(self.match, self.settings)

    def _meet_changes(self) -> None:
        """After a replayed move: what was changed when the game stood here."""
        for name, value in self.log.changes_at(self.step).items():
            self.settings = self.settings.changed(name, value)
            adopt(self.match, self.settings)
