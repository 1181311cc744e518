"""The best discriminator against a fixed generator is p / (p + q): over four symbols, and for a network in one dimension."""

from __future__ import annotations

from pathlib import Path

import torch

from zerosum.engine import losses
from zerosum.lessons import drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import (
    NormalGenerator,
    P,
    Q,
    density,
    evaluate_critic,
    expected_loss,
    optimal_logits,
    train_critic,
)
from zerosum.theory import divergence

TEXT = """\
For a fixed generator the best discriminator is
    D*(x) = p(x) / (p(x) + q(x)),
where p is the density of the data and q that of the generator: at every x this D maximises
p log D + q log(1 - D). The value of the game is then V(D*, G) = -log 4 + 2 JSD(p, q). For N(0, 1) and N(1, 1),
D*(x) = sigmoid(1/2 - x)."""
SOURCE = "Goodfellow et al. 2014, arXiv:1406.2661, proposition 1"

STEPS = 500


def run(seed: int) -> Findings:
    """Optimises a table by L-BFGS, and trains a network on one-dimensional data with the engine's turns of D."""
    pair = losses.non_saturating
    logits = optimal_logits(pair, P, Q)
    best = divergence.optimal_discriminator(P, Q)
    lines = [
        Check(f"D*({x}) of a table", float(best[x]), float(logits[x].sigmoid()), 1e-8, "4 logits, L-BFGS on D's loss")
        for x in range(len(P))
    ]
    value_of_table = -float(expected_loss(pair.discriminator, logits, P, Q))
    lines.append(
        Check(
            "V(D*, G) of the table",
            float(divergence.optimal_value(P, Q)),
            value_of_table,
            1e-13,
            "minus D's loss there",
        )
    )

    x = torch.linspace(-8, 9, 4001, dtype=torch.float64)
    p, q = density(x), density(x, 1.0)
    network_logits = evaluate_critic(train_critic(pair, NormalGenerator(1.0), seed, STEPS), x)
    d, d_star = network_logits.sigmoid(), divergence.optimal_discriminator(p, q)
    interior = (x >= -2) & (x <= 3)
    how = f"a network, {STEPS} turns of D, batch 1024"
    worst = float((d - d_star)[interior].abs().max())
    lines.append(Check("largest |D - D*| on [-2, 3], N(0,1) and N(1,1)", 0.0, worst, 0.02, how))
    value, best_value = (
        float(torch.trapezoid(divergence.game_value(e[:, None], p[:, None], q[:, None]), x)) for e in (d, d_star)
    )
    lines.append(Check("V(D*, G), N(0,1) and N(1,1)", best_value, value, 1e-3, how))
    return Findings(lines, {"x": x, "p": p, "q": q, "d": d, "d_star": d_star, "table": logits.sigmoid(), "best": best})


def picture(findings: Findings, path: Path) -> None:
    """The one-dimensional densities on the left, the table on the right."""
    data = findings.data
    figure, (line, table) = drawing.sheet(
        "The best discriminator is p / (p + q)", ("two normal distributions", "a table of four symbols"), (2, 1)
    )
    line.fill_between(data["x"], data["p"], color=drawing.REAL, alpha=0.18, label="p, the data")
    line.fill_between(data["x"], data["q"], color=drawing.GENERATOR, alpha=0.18, label="q, the generator")
    line.plot(data["x"], data["d"], color=drawing.DISCRIMINATOR, linewidth=2.4, label="D, trained by the engine")
    line.plot(data["x"], data["d_star"], **drawing.AS_THEORY, label="D* = p / (p + q)")
    line.set(xlim=(-4, 5), ylim=(0, 1.02))
    drawing.label(line, "x", "D(x), densities", "upper right")
    positions = torch.arange(len(P)).numpy()
    table.bar(positions - 0.2, P.numpy(), 0.36, color=drawing.REAL, alpha=0.3, label="p")
    table.bar(positions + 0.2, Q.numpy(), 0.36, color=drawing.GENERATOR, alpha=0.3, label="q")
    table.plot(positions, data["table"], **drawing.AS_ENGINE, color=drawing.DISCRIMINATOR, label="D")
    table.hlines(
        data["best"].numpy(), positions - 0.4, positions + 0.4, color=drawing.THEORY, linewidth=1.3, label="D*"
    )
    table.set(ylim=(0, 1.02), xticks=positions)
    drawing.label(table, "symbol", "", "upper right")
    drawing.save(figure, path)
