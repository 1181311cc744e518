"""Gradient steps instead of flow: simultaneous steps spiral out, alternating steps circle, damped steps converge."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine import UpdateRules
from zerosum.lessons import dirac_game, drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.theory import dirac

TEXT = """\
One step of size h on the Dirac-GAN is a linear map near the equilibrium. Its spectral radius r is the factor by
which the distance from the equilibrium grows in each of many steps.
    simultaneous   r = sqrt(1 + h^2 a b) > 1: the distance grows, however small h is
    alternating    r = 1 for h sqrt(a b) <= 2: the game circles; r > 1 for larger h
    with R1        r < 1: the game converges at the rate r
(a = b = 1/2 for logistic losses, 1 for Wasserstein.) Where r = 1 the terms that the linear theory leaves out
decide. The non-saturating game then approaches the equilibrium slowly; after n steps its distance is
    (1 / r0^2 + h n / 8)^(-1/2).
Simultaneous steps end at a circle of radius sqrt(2 h), where this approach equals their outward drift."""
SOURCE = "Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406; the slow approach: zerosum.theory.dirac"

SIZE, WEIGHT, START = 0.1, 0.3, (1.0, 1.0)


def run(seed: int) -> Findings:
    """Compares spectral radii of single training steps, then whole paths, with the predictions."""
    lines = []
    for loss, size, simultaneous in (
        ("non_saturating", 0.1, True),
        ("non_saturating", 3.9, False),
        ("non_saturating", 4.1, False),
        ("wasserstein", 0.1, True),
        ("wasserstein", 1.9, False),
        ("wasserstein", 2.1, False),
    ):
        theory = dirac.radius(dirac.step_matrix(loss, step_size=size, simultaneous=simultaneous))
        engine = dirac.radius(
            dirac_game.step_matrix(loss, step_size=size, rules=UpdateRules(simultaneous=simultaneous))
        )
        words = f"spectral radius, {loss}, {_scheme(simultaneous)}, h = {size}"
        lines.append(Check(words, theory, engine, 5e-5, "one step from 1/1000 away"))
    paths: dict[tuple[str, bool], Tensor] = {}
    for penalty, simultaneous in (("none", True), ("none", False), ("r1", True), ("r1", False)):
        paths[penalty, simultaneous], check = _wasserstein(penalty, simultaneous)
        lines.append(check)
    creep, checks = _non_saturating()
    return Findings(lines + checks, {"paths": paths, "creep": creep})


def _scheme(simultaneous: bool) -> str:
    return "simultaneous" if simultaneous else "alternating"


def _wasserstein(penalty: str, simultaneous: bool, steps: int = 400) -> tuple[Tensor, Check]:
    """The Wasserstein game is linear everywhere, so the whole path is predicted."""
    rules = UpdateRules(simultaneous=simultaneous)
    states = dirac_game.run_steps(dirac_game.training_loop("wasserstein", penalty, WEIGHT, SIZE, rules, START), steps)
    predicted = dirac.spiral(*START, "wasserstein", penalty, WEIGHT, SIZE, steps, simultaneous)
    words = f"wasserstein, {'no penalty' if penalty == 'none' else 'R1'}, {_scheme(simultaneous)}"
    return states, _distance(words, predicted, states)


def _distance(words: str, predicted: Tensor, states: Tensor) -> Check:
    """Compares the logarithms of the distances at the end of two paths."""
    theory, engine = (math.log10(float(states[-1].norm())) for states in (predicted, states))
    steps = len(states) - 1
    start = ", ".join(f"{number:g}" for number in states[0].tolist())
    how = f"{steps} steps from ({start}), h = {SIZE}"
    return Check(f"{words}: log10 distance after {steps}", theory, engine, 1e-5, how)


def _non_saturating() -> tuple[Tensor, list[Check]]:
    """No linear rate without a penalty, but the slow approach and the circle of the theory; a linear rate with R1."""
    free = dirac_game.run_steps(dirac_game.training_loop("non_saturating", step_size=SIZE, start=START), 2000)
    how = "2000 alternating steps from (1, 1), h = 0.1"
    lines = [
        Check("non_saturating: log growth per step, 1000 to 2000", 0.0, dirac_game.rate(free, 1000, 2000), 5e-4, how)
    ]
    for step in (1000, 2000):
        expected = dirac.creep(math.hypot(*START), step * SIZE)
        lines.append(Check(f"non_saturating: distance after {step}", expected, float(free[step].norm()), 0.006, how))
    game = dirac_game.training_loop(
        "non_saturating", step_size=SIZE, rules=UpdateRules(simultaneous=True), start=(0.31, 0.31)
    )
    turning = dirac_game.run_steps(game, 600)[-60:].norm(dim=1).mean()
    how = "600 simultaneous steps from (0.31, 0.31)"
    lines.append(Check("non_saturating: radius of the circle", dirac.cycle(SIZE), float(turning), 0.01, how))
    start = (0.001, 0.001)
    damped = dirac_game.run_steps(dirac_game.training_loop("non_saturating", "r1", WEIGHT, SIZE, start=start), 300)
    predicted = dirac.spiral(*start, "non_saturating", "r1", WEIGHT, SIZE, 300)
    return free, [*lines, _distance("non_saturating, R1, alternating", predicted, damped)]


def picture(findings: Findings, path: Path) -> None:
    """The paths of the Wasserstein game, and the distances over the steps."""
    paths = findings.data["paths"]
    figure, (plane, distances) = drawing.sheet(
        f"Steps of size {SIZE} on the Dirac-GAN",
        ("Wasserstein, the first 150 steps", "distance from the equilibrium"),
        (5, 6),
    )
    for (penalty, simultaneous), colour, words in (
        (("none", True), drawing.GENERATOR, "simultaneous"),
        (("none", False), drawing.DISCRIMINATOR, "alternating"),
        (("r1", False), drawing.REAL, "alternating, R1"),
    ):
        states = paths[penalty, simultaneous]
        plane.plot(*states[:150:2].T, ".", color=colour, markersize=4)
        predicted = dirac.spiral(*START, "wasserstein", penalty, WEIGHT, SIZE, 400, simultaneous)
        plane.plot(*predicted[:150].T, **drawing.AS_THEORY | {"linewidth": 0.8})
        distances.plot(states.norm(dim=1), color=colour, linewidth=2.4, label=f"Wasserstein, {words}")
        distances.plot(predicted.norm(dim=1), **drawing.AS_THEORY)
    creep = findings.data["creep"].norm(dim=1)
    distances.plot(creep, color=drawing.OTHER, linewidth=2.4, label="non-saturating, alternating")
    times = torch.arange(401)
    distances.plot(
        [dirac.creep(math.hypot(*START), SIZE * float(n)) for n in times], **drawing.AS_THEORY, label="theory"
    )
    plane.plot(0, 0, "+", color=drawing.THEORY, markersize=10)
    plane.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    distances.set(yscale="log", xlim=(0, 400), ylim=(3e-3, 30))
    drawing.label(plane, "theta", "psi", None)
    drawing.label(distances, "steps", "", "lower left")
    drawing.save(figure, path)
