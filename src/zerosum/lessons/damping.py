"""How much damping is best: the eigenvalues of the Dirac-GAN over the weight of R1, R1 + R2 and instance noise."""

from __future__ import annotations

from pathlib import Path

import torch

from zerosum.lessons import dirac_game, drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.theory import dirac

TEXT = """\
R1 of weight g moves the eigenvalues of the Dirac-GAN from +-i f' to
    -g/2 +- sqrt(g^2/4 - f'^2),
where f' is the slope of the loss, 1/2 for logistic ones. Below g = 2 f' the real part is -g/2 and the game
rotates. At g = 2 f' both eigenvalues are -f', which is the fastest convergence. Above it one of them goes back to
0, and convergence is slow again. R1 and R2 together have the effect of either at twice the weight. Noise of
standard deviation s on reals and fakes damps like R1 of weight s^2/2."""
SOURCE = "Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406"

WEIGHTS = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0)
LOSS = "non_saturating"


def run(seed: int) -> Findings:
    """Computes the Jacobian of the engine's loss and penalties at the equilibrium by autograd."""
    lines, found = [], {}
    for weight in WEIGHTS:
        found[weight] = engine = dirac_game.eigenvalues(dirac_game.jacobian(LOSS, "r1", weight))
        theory = dirac.eigenvalues(LOSS, "r1", weight)
        lines.append(_line(f"R1 {weight:g}: slower real part", theory[0].real, engine[0].real))
        if weight <= 1:
            lines.append(_line(f"R1 {weight:g}: imaginary part", theory[0].imag, engine[0].imag))
    both = dirac_game.eigenvalues(dirac_game.jacobian(LOSS, "r1+r2", 0.3))
    lines.append(_line("R1 + R2 0.3 against R1 0.6: real part", found[0.6][0].real, both[0].real))
    lines.append(_line("R1 + R2 0.3 against R1 0.6: imaginary part", found[0.6][0].imag, both[0].imag))
    for noise in (1.0, 2.0):
        theory = dirac.eigenvalues(LOSS, noise=noise)
        engine = dirac_game.eigenvalues(dirac_game.jacobian(LOSS, noise=noise))
        lines.append(_line(f"noise of deviation {noise:g}: slower real part", theory[0].real, engine[0].real))
        lines.append(_line(f"noise of deviation {noise:g}: imaginary part", theory[0].imag, engine[0].imag))
    return Findings(lines, {"found": found})


def _line(quantity: str, theory: torch.Tensor, engine: torch.Tensor) -> Check:
    return Check(quantity, float(theory), float(engine), 1e-7, "Jacobian by autograd on the engine's losses")


def picture(findings: Findings, path: Path) -> None:
    """The eigenvalues in the plane, and the real parts over the weight."""
    figure, (plane, over) = drawing.sheet(
        "R1 damps the Dirac-GAN, best at weight 2 f'", ("the eigenvalues, by weight", "their real parts")
    )
    weights = torch.linspace(0, 2, 400, dtype=torch.float64)
    theory = torch.stack([dirac.eigenvalues(LOSS, "r1", float(weight)) for weight in weights])
    for branch in range(2):
        plane.plot(theory[:, branch].real, theory[:, branch].imag, **drawing.AS_THEORY)
        over.plot(weights, theory[:, branch].real, **drawing.AS_THEORY, label="theory" if branch == 0 else "")
    for weight, colour in zip(WEIGHTS, drawing.SERIES, strict=False):
        engine = findings.data["found"][weight]
        plane.plot(engine.real, engine.imag, **drawing.AS_ENGINE, color=colour, label=f"R1 {weight:g}")
        over.plot([weight] * 2, engine.real, **drawing.AS_ENGINE, color=colour)
    plane.set(xticks=(-2.0, -1.5, -1.0, -0.5, 0.0))
    over.axvline(1.0, color=drawing.MUTED, linewidth=0.8)
    over.annotate("2 f'", (1.0, -1.9), xytext=(4, 0), textcoords="offset points", color=drawing.MUTED)
    drawing.label(plane, "real part: rate of convergence", "imaginary part: speed of rotation", "upper left")
    drawing.label(over, "weight of R1", "", "lower left")
    drawing.save(figure, path)
