"""A critic of slope at most 1 measures the Wasserstein distance from below; the effect of a gradient penalty on that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zerosum.engine import Duel, OptimizerConfig, Penalty, Settings, TrainingLoop, Turn, losses, penalties
from zerosum.engine.seeds import generator
from zerosum.lessons import drawing
from zerosum.lessons.dirac_game import LineDiscriminator, PointGenerator, state
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import NormalGenerator, RowSource, density, evaluate_critic, train_critic
from zerosum.metrics.distances import wasserstein1_1d
from zerosum.theory import divergence

TEXT = """\
The Wasserstein distance is the largest value that a critic of slope at most 1 can reach,
    W1(p, q) = max E_p f - E_q f over all f with |f'| <= 1,
so the value of every such critic is an underestimate. A penalty w (|f'| - 1)^2 does not enforce that slope.
Between two points at the distance W1 the best critic then has the slope 1 + W1 / (2 w), and its value is an
overestimate:
    W1 + W1^2 / (2 w).
Divided by its steepest slope it is an underestimate again. In one dimension the two-sided penalty is also zero at
the slope -1, and a critic that starts with the wrong sign stays there. The one-sided penalty, which counts only
slopes above 1, does not hold it there."""
SOURCE = "Arjovsky et al. 2017, arXiv:1701.07875; Gulrajani et al. 2017, arXiv:1704.00028; Petzka et al. 2018, arXiv:1709.08894"

APART, STEPS, WEIGHT, NUM = 2.0, 300, 100.0, 100_000
CASES = {  # the data are N(0, 1); of the generator: mean, deviation, the critic's activation, twice the worst error of 12 seeds
    "N(0,1), N(2,1)": (2.0, 1.0, nn.Softplus, 0.3),
    "N(0,1), N(1,4)": (1.0, 2.0, nn.LeakyReLU, 0.15),
}
X = torch.linspace(-7, 9, 3201, dtype=torch.float64)


def run(seed: int) -> Findings:
    """Measures with sorted samples, a linear critic between two points, and networks between normal distributions."""
    lines = []
    noise = torch.randn(2, NUM, dtype=torch.float64, generator=generator(seed, "samples"))
    for words, (mean, deviation, _, _) in CASES.items():
        found = wasserstein1_1d(noise[0], mean + deviation * noise[1])
        how = f"{NUM:,} sorted samples each"
        lines.append(Check(f"W1 of {words}", divergence.w1_normal(0, 1, mean, deviation), found, 0.03, how))
    two_sided_penalty, one_sided_penalty = (
        penalties.gradient_penalty(10.0),
        penalties.gradient_penalty(10.0, one_sided=True),
    )
    for words, penalty, start, wrong in (
        ("right sign, two-sided", two_sided_penalty, -0.5, False),
        ("wrong sign, two-sided", two_sided_penalty, 0.5, True),
        ("wrong sign, one-sided", one_sided_penalty, 0.5, False),
    ):
        theory = divergence.penalised_value(APART, 10.0, wrong)
        how = "D(x) = psi x between 0 and 2, 300 turns of D"
        lines.append(
            Check(f"value after a start with {words}", theory, _linear_critic_value(penalty, start), 1e-5, how)
        )
    critics = {words: _train_logits(mean, deviation, kind, seed) for words, (mean, deviation, kind, _) in CASES.items()}
    return Findings([*lines, *_networks(critics)], {"critics": critics})


def _networks(critics: Mapping[str, Tensor]) -> list[Check]:
    """The distances that the trained critics give."""
    lines, above = [], 0
    how = f"a network, {STEPS} turns of D, one-sided {WEIGHT:g}"
    for words, (mean, deviation, _, tolerance) in CASES.items():
        exact, value = divergence.w1_normal(0, 1, mean, deviation), _value(critics[words], mean, deviation)
        if deviation == 1:  # the optimal critic is linear, as between two points
            lines.append(Check(f"value, {words}", divergence.penalised_value(exact, WEIGHT), value, 0.005, how))
        found = value / _largest_slope(critics[words])
        lines.append(Check(f"value / steepest slope, {words}", exact, found, tolerance, how))
        above += found > exact
    return [*lines, Check("number of these two above W1", 0.0, float(above), 0.0, "the two networks")]


def _train_logits(mean: float, deviation: float, activation: type[nn.Module], seed: int) -> Tensor:
    """The logits over X of a network trained between N(0, 1) and that normal distribution."""
    penalty = penalties.gradient_penalty(WEIGHT, one_sided=True)
    net_g = NormalGenerator(mean, deviation)
    return evaluate_critic(train_critic(losses.wasserstein, net_g, seed, STEPS, (penalty,), activation), X)


def _linear_critic_value(penalty: Penalty, psi: float) -> float:
    """E D(real) - E D(fake) of the critic psi x, trained between a real point at 0 and a fake one at 2."""
    game = Duel(
        PointGenerator(APART), LineDiscriminator(psi, 0.0), loss=losses.wasserstein, penalties=[penalty], prior=1
    )
    learning = OptimizerConfig("sgd", lr=0.02)
    loop = TrainingLoop(
        game, RowSource(torch.zeros(1, 1, dtype=torch.float64)), Settings(1, default=learning, average=None)
    )
    for _ in range(300):
        loop.train_step(turns=[Turn(("discriminator",))])
    return -APART * float(state(loop)[1])


def _value(logits: Tensor, mean: float, deviation: float) -> float:
    """E D(real) - E D(fake) by the trapezoid rule."""
    return float(torch.trapezoid((density(X) - density(X, mean, deviation)) * logits, X))


def _largest_slope(logits: Tensor) -> float:
    return float((logits.diff() / X.diff()).abs().max())


def picture(findings: Findings, path: Path) -> None:
    """The two trained critics over the densities of data and fakes."""
    figure, panels = drawing.sheet("A critic of slope 1 measures the distance that the mass must move", list(CASES))
    for axes, (words, logits) in zip(panels, findings.data["critics"].items(), strict=True):
        mean, deviation, _, _ = CASES[words]
        shown = X.abs() <= 5
        q = density(X, mean, deviation)
        axes.fill_between(X[shown], 4 * density(X)[shown], color=drawing.REAL, alpha=0.2, label="data")
        axes.fill_between(X[shown], 4 * q[shown], color=drawing.GENERATOR, alpha=0.2, label="generated")
        critic = (logits - logits[X.abs().argmin()])[shown]
        axes.plot(X[shown], critic, color=drawing.DISCRIMINATOR, linewidth=2.4, label="critic")
        # The slope of the optimal critic changes sign where both distributions have the same quantile: nowhere, or at -1.
        theory = -X[shown] if deviation == 1 else 1 - (X[shown] + 1).abs()
        axes.plot(X[shown], theory, **drawing.AS_THEORY, label="optimal critic of slope 1")
        axes.set(ylim=(-5.5, 5.5))
        drawing.label(axes, "x", "D(x)" if axes is panels[0] else "", "lower left")
    drawing.save(figure, path)
