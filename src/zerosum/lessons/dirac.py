"""The Dirac-GAN: which losses and penalties converge near the equilibrium, from the eigenvalues of the game's Jacobian."""

from __future__ import annotations

from pathlib import Path

import torch

from zerosum.engine import losses
from zerosum.lessons import dirac_game, drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.theory import dirac

TEXT = """\
The data are one point, 0; the generator makes one point, theta; the discriminator is D(x) = psi x. Near the
equilibrium theta = psi = 0 gradient flow is theta' = b psi, psi' = -a theta - d psi, where a and b are the
slopes of the two losses and d is the damping of the penalty on D's gradient. Its eigenvalues are
    -d/2 +- sqrt(d^2/4 - a b).
Without a penalty they are +-i sqrt(a b): the game rotates around the equilibrium and does not approach it at a
linear rate. With a penalty their real part is negative: the game converges. For logistic losses a = b = 1/2, for
Wasserstein and hinge 1; R1 and R2 of weight g damp by g each. Least squares has labels 0 and 1, so it has no
equilibrium with D(x) = psi x (both eigenvalues are 0); with D(x) = 1/2 + psi x it rotates like the others."""
SOURCE = "Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406"

WEIGHT = 0.3


def run(seed: int) -> Findings:
    """Computes the Jacobian of every loss and penalty of the engine at the equilibrium by autograd."""
    lines = []
    classic = [name for name in losses.table() if not name.startswith("fgan")]
    for name in classic:
        found, theory = (
            dirac_game.eigenvalues(dirac_game.jacobian(name)),
            dirac.eigenvalues(dirac_game.slopes(name)),
        )
        derived = "" if name in dirac.LOSSES else ", slopes derived from the loss"
        lines.append(_line(f"{name}: eigenvalues +-i times{derived}", theory[0].imag, found[0].imag))
    for name in ("non_saturating", "wasserstein"):
        for penalty in ("r1", "r2", "r1+r2", "zero_centred"):
            found = dirac_game.eigenvalues(dirac_game.jacobian(name, penalty, WEIGHT))
            theory = dirac.eigenvalues(name, penalty, WEIGHT)
            lines.append(_line(f"{name} with {penalty} {WEIGHT}: real part", theory[0].real, found[0].real))
            if penalty == "r1":
                lines.append(_line(f"{name} with {penalty} {WEIGHT}: imaginary part", theory[0].imag, found[0].imag))
    worst = max(_distance(name, penalty) for name in losses.table() for penalty in dirac.PENALTIES)
    lines.append(_line("largest distance, every loss with every penalty", 0.0, worst))
    nilpotent = dirac_game.eigenvalues(dirac_game.jacobian("least_squares", bias=0.0)).abs().max()
    lines.append(_line("least_squares with a line through 0: |eigenvalues|", 0.0, nilpotent))
    return Findings(lines)


def _line(quantity: str, theory: float | torch.Tensor, engine: float | torch.Tensor) -> Check:
    return Check(quantity, float(theory), float(engine), 1e-7, "Jacobian by autograd on the engine's losses")


def _distance(loss: str, penalty: str) -> float:
    found = dirac_game.eigenvalues(dirac_game.jacobian(loss, penalty, WEIGHT))
    return float((found - dirac.eigenvalues(dirac_game.slopes(loss), penalty, WEIGHT)).abs().max())


def picture(findings: Findings, path: Path) -> None:
    """The flow of the engine's gradients and the path that theory predicts, without and with R1."""
    figure, panels = drawing.sheet(
        "The Dirac-GAN rotates; a gradient penalty damps it", ("no penalty", f"R1, weight {WEIGHT}")
    )
    grid = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64)
    for axes, penalty in zip(panels, ("none", "r1"), strict=True):
        grid_states = torch.cartesian_prod(grid, grid)
        flows = torch.stack([_flow(state, penalty) for state in grid_states])
        axes.quiver(
            *grid_states.T,
            *flows.T,
            color=drawing.DISCRIMINATOR,
            alpha=0.55,
            width=0.004,
            label="the engine's gradients",
        )
        states = dirac.spiral(1.0, 0.0, "non_saturating", penalty, WEIGHT, step_size=0.01, steps=2600)
        axes.plot(*states.T, color=drawing.THEORY, linewidth=1.3, label="linear theory")
        axes.plot(0, 0, "+", color=drawing.REAL, markersize=12, markeredgewidth=2.5, label="equilibrium")
        axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        drawing.label(
            axes, "theta, the generated point", "psi, the slope of D", None if penalty == "none" else "upper right"
        )
    drawing.save(figure, path)


def _flow(state: torch.Tensor, penalty: str) -> torch.Tensor:
    return dirac_game.field(state.clone().requires_grad_(True), "non_saturating", penalty, WEIGHT).detach()
