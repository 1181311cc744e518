"""Lessons: predictions of GAN theory compared with the results of the engine's own code, each in seconds on one core.

`load_lesson(name).run(seed)` returns the numbers, `zerosum theory NAME` prints them. A lesson is a row of the table here and a
module with TEXT, SOURCE, `run` and `picture` (see `Lesson`); the module is imported when the lesson is loaded.
"""

from __future__ import annotations

import importlib

from zerosum.errors import known_as
from zerosum.lessons.lesson import Lesson

SUMMARIES = {  # in the recommended reading order; a module is named after its lesson
    "optimal-discriminator": "the best D is p / (p + q)",
    "value": "the value of the game is -log 4 + 2 JSD, smallest where the generator equals the data",
    "figure1": "the four panels of Figure 1 of the 2014 paper, trained with the engine",
    "gradients": "why the gradient of the minimax loss vanishes and that of the non-saturating loss does not",
    "likelihood": "maximum likelihood is minimum KL, and the fits of other divergences",
    "f-gan": "every critic bounds a divergence, and the best one equals it",
    "wasserstein": "a critic of slope 1 measures the distance; the effect of a gradient penalty",
    "dirac": "why the game rotates around its equilibrium, and which penalties damp it",
    "dirac-steps": "simultaneous steps spiral out, alternating ones circle, damped ones converge",
    "damping": "which weight of a gradient penalty converges fastest",
}


def load_lesson(name: str) -> Lesson:
    """The lesson of that name. Raises UserError with the nearest names for an unknown one."""
    summary = known_as(name, SUMMARIES, "lesson")
    module = importlib.import_module(f"zerosum.lessons.{name.replace('-', '_')}")
    formats = getattr(module, "FORMATS", (".png",))
    return Lesson(name, summary, module.TEXT, module.SOURCE, module.run, module.picture, formats)
