"""What a game of the lab is played with: the toy domain's source, density and networks, made from the lab's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from zerosum.domains.toy import DOMAIN, densities
from zerosum.domains.toy.data import PointSource
from zerosum.domains.toy.densities import Density
from zerosum.engine import losses
from zerosum.engine.duel import Duel
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.losses import GANLoss
from zerosum.lab.settings import Settings
from zerosum.planning import plan


class Table(Protocol):
    """Makes matches of one game."""

    def match(self) -> TrainingLoop:
        """At step 0, the same one every time."""

    def place(self, match: TrainingLoop) -> tuple[float, ...]:
        """Where the players stand, in games of two numbers; empty in others."""


@dataclass(frozen=True, eq=False)
class ToyTable:
    """A game over points on the line or in the plane."""

    settings: Settings
    source: PointSource
    density: Density

    @property
    def pair(self) -> GANLoss:
        """The loss of the game."""
        return losses.table()[self.settings.loss]

    def match(self) -> TrainingLoop:
        """The game at step 0."""
        recipe = self.settings.recipe()
        return TrainingLoop(DOMAIN.game.build(recipe, self.source.info()), self.source, plan.settings(recipe))

    def place(self, match: TrainingLoop) -> tuple[float, ...]:
        """Networks have no place worth drawing."""
        return ()


def lay(settings: Settings) -> Table:
    """The table of these settings; UserError when the domain cannot make what they ask for."""
    if settings.mode == "dirac":
        from zerosum.lab.dirac import DiracTable

        return DiracTable(settings)
    source: PointSource = DOMAIN.data.open(settings.recipe().data, False)
    return ToyTable(settings, source, densities.of(source.info()))


def duel(match: TrainingLoop) -> Duel:
    """The game of a match of the lab."""
    assert isinstance(match.game, Duel)
    return match.game


def adopt(match: TrainingLoop, settings: Settings) -> None:
    """Lets the changeable settings rule the moves that follow."""
    game = duel(match)
    for name, player in match.players.items():
        player.learning = settings.learning(name)
    game.rules = settings.rules()
    game.reals_per_step = sum(turn.reals for turn in game.turns(match.step))
    game.penalties = tuple(replace(penalty, weight=settings.weight) for penalty in game.penalties)
