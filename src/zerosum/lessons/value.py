"""The value of the game: V(D*, G) = -log 4 + 2 JSD, smallest where the generator equals the data."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine.losses import minimax
from zerosum.lessons import drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import (
    NormalGenerator,
    P,
    density,
    evaluate_critic,
    expected_loss,
    optimal_logits,
    train_critic,
)
from zerosum.theory import divergence

TEXT = """\
With the best discriminator the value of the game is
    V(D*, G) = -log 4 + 2 JSD(p, q),
and JSD, the Jensen-Shannon divergence, is 0 only where q = p. So a generator that minimises V against the
best discriminator reaches the distribution of the data: there V = -log 4 = -1.3863, and D* = 1/2 everywhere,
because reals and fakes have the same distribution."""
SOURCE = "Goodfellow et al. 2014, arXiv:1406.2661, theorem 1"

FAR = torch.tensor([0.6, 0.1, 0.05, 0.25], dtype=torch.float64)
PLACES = (-0.2, 0.0, 0.25, 0.5, 0.75, 1.0)
STEPS = 400


def run(seed: int) -> Findings:
    """Measures on a line through p, after training a generator, and with a network where p = q."""
    line = [P + t * (FAR - P) for t in PLACES]
    values = [_value(q, optimal_logits(minimax, P, q)) for q in line]
    lines = [
        Check(
            f"V(D*, G) at q = p + {t:g} (r - p)",
            float(divergence.optimal_value(P, q)),
            value,
            1e-12,
            "L-BFGS on D's loss",
        )
        for t, q, value in zip(PLACES, line, values, strict=True)
    ]
    q, logits, history = _train_generator()
    how = "4 logits of G against the best D"
    lines += [
        Check("V where G stops", -math.log(4), _value(q, logits), 1e-12, how),
        Check("largest |q - p| there", 0.0, float((q - P).abs().max()), 1e-6, how),
        Check("largest |D - 1/2| there", 0.0, float((logits.sigmoid() - 0.5).abs().max()), 1e-6, how),
    ]
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    d = evaluate_critic(train_critic(minimax, NormalGenerator(0.0), seed, STEPS), x).sigmoid()
    p = density(x)
    value = float(torch.trapezoid(p * (d.log() + (1 - d).log()), x))
    how = f"a network, {STEPS} turns of D, p = q = N(0, 1)"
    lines += [
        Check("largest |D - 1/2| on [-2, 2]", 0.0, float((d - 0.5)[x.abs() <= 2].abs().max()), 0.02, how),
        Check("V of that network", -math.log(4), value, 5e-4, how),
    ]
    return Findings(lines, {"values": values, "way": history})


def _value(q: Tensor, logits: Tensor) -> float:
    """V(D, G), minus the loss of D."""
    return -float(expected_loss(minimax.discriminator, logits, P, q))


def _train_generator() -> tuple[Tensor, Tensor, list[float]]:
    """q and D's best logits after gradient descent on the generator's loss from FAR, and V at each step."""
    weights = FAR.log().requires_grad_(True)
    history = []
    for _ in range(150):
        q = weights.softmax(0)
        logits = optimal_logits(minimax, P, q.detach())
        history.append(_value(q.detach(), logits))
        (slope,) = torch.autograd.grad(expected_loss(minimax.generator, logits, P, q), weights)
        weights = (weights - 4 * slope).detach().requires_grad_(True)
    q = weights.softmax(0).detach()
    return q, optimal_logits(minimax, P, q), history


def picture(findings: Findings, path: Path) -> None:
    """The value along a line of distributions on the left, over the steps of G on the right."""
    figure, (line, steps) = drawing.sheet(
        "The value of the game is -log 4 + 2 JSD, smallest where q = p",
        ("q on a line through p", "G against the optimal D"),
    )
    t = torch.linspace(-0.2, 1, 200, dtype=torch.float64)
    line.plot(
        t, divergence.optimal_value(P, P + t[:, None] * (FAR - P)), **drawing.AS_THEORY, label="-log 4 + 2 JSD(p, q)"
    )
    line.plot(
        PLACES,
        findings.data["values"],
        **drawing.AS_ENGINE,
        color=drawing.DISCRIMINATOR,
        label="V, best D of the engine",
    )
    drawing.label(line, "t in q = p + t (r - p)", "V(D*, G)", "upper left")
    history = findings.data["way"][:21]
    steps.plot(range(len(history)), history, color=drawing.GENERATOR, linewidth=2.4, label="V of the engine's G")
    steps.axhline(-math.log(4), **drawing.AS_THEORY, label="-log 4")
    drawing.label(steps, "steps of G", "", "upper right")
    drawing.save(figure, path)
