"""Small games made to fail in one way each, healthy ones, and what the health says of them.

`python tests/health_games.py 8` counts misses and false alarms over eight seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from zerosum.engine.loop import Boundary
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.planning import plan
from zerosum.training.diagnostics import TROUBLE, monitor_of

LOOKS, LOG = 10, 5


class Case(NamedTuple):
    """A game. expected: what must be found by the end; allowed: what may be found beside it."""

    source: str
    recipe: str
    settings: str
    expected: str = ""
    allowed: tuple[str, ...] = ()


SMALL = "batch=64 generator.width=32 discriminator.width=32"
BARE = f"{SMALL} penalties={{}} loss=non_saturating prior.size=1"
DIGITS = "generator.width=16 discriminator.width=16 batch=32"
RISING = '{"start":1e-4,"end":0.1,"shape":"exponential","over_share":1.0}'
COLLAPSE = ("Mode collapse", "Low diversity", "Missing modes", "Missing classes", "Flat samples")
CASES: Mapping[str, Case] = {
    "points on the line": Case("normal", "toy-line", f"{SMALL} steps=400"),
    "a mixture": Case("mixture", "toy-line", f"{SMALL} steps=500"),
    "a ring": Case("ring", "toy", "batch=64 steps=500"),
    "digits": Case("digits", "cgan", f"{DIGITS} steps=300"),
    "collapse": Case(
        "grid",
        "toy-minimax",
        f"{SMALL} learning.generator.lr=0.01 steps=400",
        "Missing modes",
        ("Oscillation", *COLLAPSE),
    ),
    "overpowering": Case(
        "normal",
        "toy-2014",
        f"{BARE} learning.generator.lr=1e-5 learning.discriminator.lr=0.005 steps=400",
        "Overpowering discriminator",
        COLLAPSE,
    ),
    "memorising": Case(
        "digits",
        "dcgan",
        "data.max_images=90 data.heldout=0.3 batch=32 penalties={} generator.width=16 discriminator.width=32 steps=700",
        "Discriminator overfitting",
        (*COLLAPSE, "Overpowering discriminator"),
    ),
    "diverging": Case(
        "ring",
        "toy-wgan-gp",
        f"{SMALL} penalties={{}} learning.discriminator.lr={RISING} steps=300",
        "Growing gradients",
        ("Oscillation", *COLLAPSE),
    ),
    "oscillating": Case(
        "ring", "toy-wgan-gp", f"{SMALL} penalties={{}} steps=350", "Oscillation", ("Growing gradients", *COLLAPSE)
    ),
}


def play(case: Case, seed: int) -> dict[str, list[int]]:
    """Title of each trouble that was found -> the steps at which it was."""
    planned = plan.make(plan.TrainRequest(case.source, case.recipe, settings=[*case.settings.split(), f"seed={seed}"]))
    match, steps = plan.training_loop(planned), planned.recipe.steps
    observer, checkup = TrainingEvaluator(planned, match), monitor_of(planned.recipe, match.game)
    found: dict[str, list[int]] = {}
    for event in match.run(steps):
        if isinstance(event, Boundary):
            if event.step % (steps // LOOKS) == 0:
                for one in checkup.check(event.step, observer.health_values()[0]):
                    if one.level in TROUBLE:
                        found.setdefault(one.title, []).append(event.step)
        elif event.step % LOG == 0:
            checkup.update(event.values())
    return found


def judged(case: Case, seed: int) -> tuple[bool, list[str]]:
    """(whether what should have been found was not, what was found in the second half and should not have been)."""
    found = play(case, seed)
    half = int(case.settings.rpartition("steps=")[2]) // 2
    false = [
        title for title, steps in found.items() if title not in (case.expected, *case.allowed) and steps[-1] > half
    ]
    return bool(case.expected) and case.expected not in found, false


if __name__ == "__main__":
    for name, case in CASES.items():
        results = [judged(case, seed) for seed in range(int(sys.argv[1]))]
        missed, false = sum(miss for miss, _ in results), [one for _, titles in results for one in titles]
        print(
            f"{name}: {len(results)} games, {missed} missed, {len(false)} false alarms {sorted(set(false))}", flush=True
        )
