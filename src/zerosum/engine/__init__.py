"""The adversarial engine: the two-player game, whatever is played for. It knows no domain."""

from zerosum.engine import losses, penalties, terms
from zerosum.engine.adaptive import Adaptive
from zerosum.engine.duel import Duel
from zerosum.engine.events import Boundary, Event, NonFinite, Stepped
from zerosum.engine.game import Batch, Game, Play, Share, Source, Turn, Verdict
from zerosum.engine.loop import Match, Settings, train
from zerosum.engine.optimizers import Learning
from zerosum.engine.penalties import Penalty
from zerosum.engine.rules import Prior, Rules
from zerosum.engine.schedule import Schedule

__all__ = [
    "Adaptive",
    "Batch",
    "Boundary",
    "Duel",
    "Event",
    "Game",
    "Learning",
    "Match",
    "NonFinite",
    "Penalty",
    "Play",
    "Prior",
    "Rules",
    "Schedule",
    "Settings",
    "Share",
    "Source",
    "Stepped",
    "Turn",
    "Verdict",
    "losses",
    "penalties",
    "terms",
    "train",
]
