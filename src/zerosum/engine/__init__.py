"""The adversarial engine: the two-player game, whatever is played for. It knows no domain."""

from zerosum.engine import losses, penalties
from zerosum.engine.duel import Adaptive, Duel, UpdateRules
from zerosum.engine.game import Batch, DiscriminatorOutput, Game, LossContext, MicroBatch, Source, Turn
from zerosum.engine.loop import Boundary, Event, NonFinite, Settings, Stepped, TrainingLoop, train
from zerosum.engine.optimizers import OptimizerConfig, Schedule
from zerosum.engine.penalties import Penalty
from zerosum.engine.phases import Phases, Together
from zerosum.engine.seeds import Prior

__all__ = [
    "Adaptive",
    "Batch",
    "Boundary",
    "DiscriminatorOutput",
    "Duel",
    "Event",
    "Game",
    "LossContext",
    "MicroBatch",
    "NonFinite",
    "OptimizerConfig",
    "Penalty",
    "Phases",
    "Prior",
    "Schedule",
    "Settings",
    "Source",
    "Stepped",
    "Together",
    "TrainingLoop",
    "Turn",
    "UpdateRules",
    "losses",
    "penalties",
    "train",
]
