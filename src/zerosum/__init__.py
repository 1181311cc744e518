"""zerosum: generative adversarial networks, trained by one small engine, for several kinds of data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # the names below, for type checkers; at run time __getattr__ imports them
    from zerosum import engine as engine
    from zerosum.api import Run as Run
    from zerosum.api import baseline as baseline
    from zerosum.api import compare as compare
    from zerosum.api import doctor as doctor
    from zerosum.api import evaluate as evaluate
    from zerosum.api import load as load
    from zerosum.api import recipes as recipes
    from zerosum.api import resume as resume
    from zerosum.api import sample as sample
    from zerosum.api import sources as sources
    from zerosum.api import train as train
    from zerosum.catalog import register as register
    from zerosum.engine import Batch as Batch
    from zerosum.engine import Duel as Duel
    from zerosum.engine import Game as Game
    from zerosum.engine import losses as losses
    from zerosum.engine import penalties as penalties
    from zerosum.errors import UserError as UserError
    from zerosum.estimators.tables import TableGAN as TableGAN
    from zerosum.recipe import Recipe as Recipe
    from zerosum.training import callbacks as callbacks
    from zerosum.training.callbacks import STOP as STOP

_HOME = {
    "engine": "zerosum.engine",
    "Batch": "zerosum.engine.game",
    "losses": "zerosum.engine.losses",
    "penalties": "zerosum.engine.penalties",
    "Duel": "zerosum.engine.duel",
    "Game": "zerosum.engine.game",
    "UserError": "zerosum.errors",
    "TableGAN": "zerosum.estimators.tables",
    "Recipe": "zerosum.recipe",
    "Run": "zerosum.api",
    "baseline": "zerosum.api",
    "compare": "zerosum.api",
    "doctor": "zerosum.api",
    "evaluate": "zerosum.api",
    "recipes": "zerosum.api",
    "sample": "zerosum.api",
    "sources": "zerosum.api",
    "callbacks": "zerosum.training.callbacks",
    "STOP": "zerosum.training.callbacks",
    "register": "zerosum.catalog",
    "load": "zerosum.api",
    "resume": "zerosum.api",
    "train": "zerosum.api",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import zerosum` and `zerosum --help` do not wait for torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'zerosum' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    return module if module.__name__.rsplit(".", 1)[-1] == name else getattr(module, name)


def __dir__() -> list[str]:
    """The public names, for completion; nothing is imported."""
    return sorted(__all__)
