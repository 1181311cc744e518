"""Lessons: what the theory says of the game beside what the engine's own code does, each in seconds on one core.

`lesson(name).run(seed)` gives the numbers, `zerosum theory NAME` prints them. A lesson is a module with a `LESSON`, and a
row of the table here; it is imported when it is asked for.
"""

from __future__ import annotations

import importlib

from zerosum.errors import known_as

# Imported before the function `lesson` below takes its module's name.
from zerosum.lessons.lesson import Lesson

_MODULES = {  # in the order in which they are best read
    "optimal-discriminator": "optimal_discriminator",
    "value": "value",
    "figure1": "figure1",
    "gradients": "gradients",
    "likelihood": "likelihood",
    "f-gan": "f_gan",
    "wasserstein": "wasserstein",
    "dirac": "dirac",
    "dirac-steps": "dirac_steps",
    "damping": "damping",
}


def names() -> list[str]:
    """The lessons, in the order in which they are best read."""
    return list(_MODULES)


def lesson(name: str) -> Lesson:
    """The lesson of that name; UserError with the nearest names when there is none."""
    module = importlib.import_module(f"zerosum.lessons.{known_as(name, _MODULES, 'lesson')}")
    return module.LESSON  # type: ignore[no-any-return]
