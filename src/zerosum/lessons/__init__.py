"""Lessons: what the theory says of the game beside what the engine's own code does, each in seconds on one core.

`lesson(name).run(seed)` gives the numbers, `zerosum theory NAME` prints them. A lesson is a row of the table here and a module
with TEXT, SOURCE, `run` and `picture` (see `Lesson`); the module is imported when the lesson is asked for.
"""

from __future__ import annotations

import importlib

from zerosum.errors import known_as
from zerosum.lessons.lesson import Lesson

SUMMARIES = {  # in the order in which they are best read; a module is named after its lesson
    "optimal-discriminator": "the best D is p / (p + q)",
    "value": "the game is worth -log 4 + 2 JSD, least where the generator equals the data",
    "figure1": "the four panels of the first paper's Figure 1, played by the engine",
    "gradients": "why the generator's first loss vanishes and its second does not",
    "likelihood": "maximum likelihood is minimum KL, and what other divergences fit instead",
    "f-gan": "every critic bounds a divergence, and the best one equals it",
    "wasserstein": "a critic of slope 1 measures the distance; what a gradient penalty makes of it",
    "dirac": "why the game turns around its equilibrium, and which penalties stop it",
    "dirac-steps": "simultaneous steps spiral out, alternating ones circle, damped ones converge",
    "damping": "how much of a gradient penalty is right",
}


def lesson(name: str) -> Lesson:
    """The lesson of that name; UserError with the nearest names when there is none."""
    summary = known_as(name, SUMMARIES, "lesson")
    found = importlib.import_module(f"zerosum.lessons.{name.replace('-', '_')}")
    formats = getattr(found, "FORMATS", (".png",))
    return Lesson(name, summary, found.TEXT, found.SOURCE, found.run, found.picture, formats)
