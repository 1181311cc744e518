"""f-GANs: every critic bounds a divergence from below; the optimal critic, f'(p/q), and a trained critic reach it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine import losses
from zerosum.engine.seeds import generator
from zerosum.lessons import drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import P, Q, expected_loss, optimal_logits
from zerosum.theory.fdivergence import FDIVERGENCES

TEXT = """\
Every convex f with f(1) = 0 defines a divergence, D_f(p || q) = E_q f(p/q), and every critic T bounds it from
below:
    E_p T(x) - E_q f*(T(x)) <= D_f(p || q),
where f* is the conjugate, f*(t) = max over u of u t - f(u). The bound is tight at T* = f'(p/q). So a critic
that maximises the bound estimates the divergence, and a generator that minimises the bound makes the divergence
small. The 2014 game is one case: its f gives 2 JSD - log 4."""
SOURCE = "Nowozin, Cseke and Tomioka 2016, arXiv:1606.00709"

NUM_RANDOM = 1000


def run(seed: int) -> Findings:
    """Computes the bound of each divergence at T*, for a trained critic and for random critics, on a table."""
    lines, bounds = [], {}
    for name, divergence in FDIVERGENCES.items():
        pair, exact = losses.table()[f"fgan_{name}"], float(divergence.exact(P, Q))
        best = divergence.best_number(P / Q).clamp(-20, 20)  # total variation's best logits are infinite
        trained = optimal_logits(pair, P, Q)
        how = "minus the engine's D loss"
        lines.append(Check(f"{name}: bound at T* = f'(p/q)", exact, -_loss(pair, best), 1e-15, how))
        lines.append(Check(f"{name}: bound of a trained critic", exact, -_loss(pair, trained), 5e-13, f"{how}, L-BFGS"))
        spread = torch.linspace(0.1, 3, NUM_RANDOM, dtype=torch.float64)[:, None]
        random = (pair.neutral or 0.0) + spread * torch.randn(
            NUM_RANDOM, len(P), dtype=torch.float64, generator=generator(seed, name)
        )
        bounds[name] = [-_loss(pair, logits) for logits in random], exact
    above = sum(bound > exact + 1e-12 for found, exact in bounds.values() for bound in found)
    num = NUM_RANDOM * len(FDIVERGENCES)
    lines.append(
        Check(f"random critics above the divergence, of {num:,}", 0.0, float(above), 0.0, "minus the engine's D loss")
    )
    return Findings(lines, {"bounds": bounds})


def _loss(pair: losses.GANLoss, logits: Tensor) -> float:
    return float(expected_loss(pair.discriminator, logits, P, Q))


def picture(findings: Findings, path: Path) -> None:
    """One column for each divergence: bounds of random critics, the exact value, the trained critic."""
    figure, (axes,) = drawing.sheet("No critic exceeds the divergence; the best one reaches it")
    names = list(FDIVERGENCES)
    trained = {line.quantity.partition(":")[0]: line.engine for line in findings.lines if "trained" in line.quantity}
    low = -2.2
    for position, name in enumerate(names):
        found, exact = findings.data["bounds"][name]
        shown = [bound for bound in found if bound > low]
        labels = {"random critics": "", "the divergence": "", "trained critic": ""} if position else {}
        across = position + 0.3 * torch.linspace(-1, 1, len(shown))
        for words, x, y, style in (
            (
                "random critics",
                across,
                shown,
                {"color": drawing.MUTED, "marker": ".", "ls": "none", "alpha": 0.35, "ms": 3},
            ),
            (
                "the divergence",
                (position - 0.42, position + 0.42),
                (exact, exact),
                {"color": drawing.THEORY, "linewidth": 1.5},
            ),
            ("trained critic", position, trained[name], drawing.AS_ENGINE | {"color": drawing.DISCRIMINATOR}),
        ):
            axes.plot(x, y, label=labels.get(words, words), **style)
        axes.annotate(
            f"{exact:.3f}", (position, exact), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set(ylim=(low, 0.45), xticks=range(len(names)))
    axes.set_xticklabels([name.replace("_", " ") for name in names])
    drawing.label(axes, "", "E_p T - E_q f*(T), nats", "lower left")
    drawing.save(figure, path)
