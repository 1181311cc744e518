"""Gradients of the two generator losses: -D in the minimax game, -(1 - D) in the non-saturating one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine import Turn, losses
from zerosum.engine.losses import GANLoss
from zerosum.lessons import dirac_game, drawing
from zerosum.lessons.lesson import Check, Findings

TEXT = """\
With D = sigmoid(logit) of a fake, the slopes of the two generator losses in that logit are
    minimax          log(1 - D):  -D
    non-saturating   -log D:      -(1 - D)
Both losses move the fake towards "real", with equal slopes at D = 1/2. But at the start of training D recognises
the fakes: D is near 0, and so is the slope of the minimax loss, so the generator learns almost nothing. The slope
of the non-saturating loss is near -1 there. That is why fakes are labelled 1 in the generator's turn."""
SOURCE = "Goodfellow et al. 2014, arXiv:1406.2661, section 3; Arjovsky and Bottou 2017, arXiv:1701.04862"

SHARES = (1e-4, 0.01, 0.1, 0.5, 0.9)


def run(seed: int) -> Findings:
    """Computes slopes by autograd on the engine's losses; then the distance by which one turn of the generator moves a fake."""
    d = torch.tensor(SHARES, dtype=torch.float64)
    saturating, other = (slope(pair, d.logit()) for pair in (losses.minimax, losses.non_saturating))
    how = "autograd on the generator's loss"
    lines = [
        Check(f"minimax slope at D = {x:g}", -x, float(s), 1e-14, how) for x, s in zip(SHARES, saturating, strict=True)
    ]
    lines += [
        Check(f"non-saturating slope at D = {x:g}", x - 1, float(s), 1e-14, how)
        for x, s in zip(SHARES, other, strict=True)
    ]
    lines.append(
        Check("ratio of the two at D = 0.0001", 1e-4 / (1 - 1e-4), float(saturating[0] / other[0]), 1e-14, how)
    )
    theta = float(d[1].logit())
    how = "D(x) = x, one turn of G by SGD of rate 1"
    for loss, expected in (("minimax", 0.01), ("non_saturating", 0.99)):
        game = dirac_game.training_loop(loss, step_size=1.0, start=(theta, 1.0))
        path = dirac_game.run_steps(game, 1, [Turn(("generator",), reals=False)])
        lines.append(
            Check(f"{loss}: a fake with D = 0.01 moves by", expected, float(path[1, 0] - path[0, 0]), 1e-6, how)
        )
    return Findings(lines)


def slope(pair: GANLoss, logits: Tensor) -> Tensor:
    """The derivative of the generator's loss in the fake's logit, elementwise."""
    logits = logits.clone().requires_grad_(True)
    (derivative,) = torch.autograd.grad(pair.generator(logits, logits).sum(), logits)
    return derivative


def picture(findings: Findings, path: Path) -> None:
    """The gradient at a fake over D, on linear and on logarithmic axes."""
    figure, panels = drawing.sheet("The gradient that the generator receives", ("over D(G(z))", "on logarithmic axes"))
    linear, logarithmic = torch.linspace(0.002, 0.998, 200), torch.logspace(-5, -0.01, 200)
    for axes, d, dots in zip(
        panels, (linear, logarithmic), (slice(None, None, 18), slice(None, None, 22)), strict=True
    ):
        d = d.double()
        for pair, theory, colour, words in (
            (losses.minimax, d, drawing.DISCRIMINATOR, "minimax: D"),
            (losses.non_saturating, 1 - d, drawing.GENERATOR, "non-saturating: 1 - D"),
        ):
            axes.plot(d, theory, **drawing.AS_THEORY)
            measured = -slope(pair, d.logit())
            axes.plot(d[dots], measured[dots], **drawing.AS_ENGINE, color=colour, label=words)
        drawing.label(axes, "D(G(z))", "minus the slope of G's loss in the logit" if axes is panels[0] else "")
    panels[1].set(xscale="log", yscale="log")
    drawing.save(figure, path)
