"""Maximum likelihood is minimum KL; other divergences have other fits where the model cannot represent the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from zerosum.engine import losses
from zerosum.lessons import drawing
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import P, Q, density, expected_loss, optimal_logits
from zerosum.theory import divergence
from zerosum.theory.fdivergence import FDIVERGENCES

TEXT = """\
The mean log-likelihood of data under a model q is minus the cross-entropy, and
    H(p, q) = H(p) + KL(p || q).
H(p) does not depend on the model: the model of maximum likelihood is the one of minimum KL. A GAN whose D
estimates KL (f-GAN's KL) therefore fits the maximum-likelihood model. When one normal distribution is fitted to
two modes, minimum KL covers both, because data to which the model gives no probability make KL infinite. The
reverse, KL(q || p), selects one mode, because samples where there are no data make it infinite. JS, the divergence
of the 2014 game, has a minimum of either kind; the starting point of the fit decides which one is found."""
SOURCE = "Cover and Thomas 2006, chapters 2 and 11; Nowozin et al. 2016, arXiv:1606.00709, section 2.4"

GRID = torch.linspace(-12, 12, 241, dtype=torch.float64)
DATA = 0.7 * density(GRID, -2.0, 0.6) + 0.3 * density(GRID, 2.0, 0.6)
DATA = DATA / DATA.sum()
BROAD, NARROW = (-1.0, 0.0), (-2.0, -0.3)  # mean and log deviation at the start of a fit
RATE = 0.4
FITS = {
    "kl": ("kl", BROAD),
    "reverse_kl": ("reverse_kl", BROAD),
    "js": ("js", BROAD),
    "js, narrow start": ("js", NARROW),
}


def run(seed: int) -> Findings:
    """Checks the identity on a table, then fits one normal to two modes: in closed form, by divergences, and by the game."""
    kl = -float(expected_loss(losses.fgan_kl.discriminator, optimal_logits(losses.fgan_kl, P, Q), P, Q))
    cross = float(divergence.cross_entropy(P, Q))
    lines = [Check("H(p, q) of a table", cross, float(divergence.entropy(P)) + kl, 1e-12, "H(p) + KL by fgan_kl's D")]
    fits, worst = {}, 0.0
    for words, (name, start) in FITS.items():
        least, fits[words] = _fit(_target(name), start), _fit(partial(_game, name=name), start)
        worst = max(worst, _slope_of_discriminator(name, fits[words]))
        what, how = ("maximum likelihood" if name == "kl" else f"least {words}"), f"G against the best D, fgan_{name}"
        lines += [
            Check(f"{what}: mean", float(least[0]), float(fits[words][0]), 1e-8, how),
            Check(f"{what}: deviation", float(least[1].exp()), float(fits[words][1].exp()), 1e-8, how),
        ]
    closed = divergence.fit_normal(GRID, DATA)
    for words, theory, found in zip(("mean", "deviation"), closed, (fits["kl"][0], fits["kl"][1].exp()), strict=True):
        how = "G against the best D, fgan_kl"
        lines.append(Check(f"maximum likelihood, closed form: {words}", float(theory), float(found), 1e-5, how))
    lines.append(Check("slope of D's loss at that best D", 0.0, worst, 1e-12, "autograd on the engine's losses"))
    return Findings(lines, {"fits": {words: model(parameters) for words, parameters in fits.items()}})


def _target(name: str) -> Callable[[Tensor], Tensor]:
    """The objective that a fit minimises by theory: minus the mean log-likelihood for "kl", else the divergence."""
    if name == "kl":
        return lambda parameters: divergence.cross_entropy(DATA, model(parameters))
    return lambda parameters: FDIVERGENCES[name].exact(DATA, model(parameters))


def model(parameters: Tensor) -> Tensor:
    """The normal distribution of parameters (mean, log deviation) as a table over the grid."""
    return divergence.normal_log_density(GRID, parameters[0], parameters[1].exp()).softmax(0)


def _best(name: str, q: Tensor) -> Tensor:
    """The logits of the best discriminator, T* = f'(p/q)."""
    return FDIVERGENCES[name].best_number(DATA / q)


def _game(parameters: Tensor, name: str) -> Tensor:
    """The engine's generator loss at these parameters, against the optimal discriminator, which is held fixed."""
    q = model(parameters)
    return expected_loss(losses.table()[f"fgan_{name}"].generator, _best(name, q.detach()), DATA, q)


def _slope_of_discriminator(name: str, parameters: Tensor) -> float:
    """The largest derivative of the engine's D loss by a logit at the best D of the theory."""
    q = model(parameters)
    logits = _best(name, q).requires_grad_(True)
    loss = expected_loss(losses.table()[f"fgan_{name}"].discriminator, logits, DATA, q)
    (slope,) = torch.autograd.grad(loss, logits)
    return float(slope.abs().max())


def _fit(target: Callable[[Tensor], Tensor], start: tuple[float, float], steps: int = 400) -> Tensor:
    """(mean, log deviation) to which gradient descent on the target converges."""
    parameters = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(target(parameters), parameters)
        parameters = (parameters - RATE * slope).detach().requires_grad_(True)
    return parameters.detach()


def picture(findings: Findings, path: Path) -> None:
    """The data and the three fits."""
    figure, (axes,) = drawing.sheet("One normal distribution for two modes: the divergence decides")
    width = float(GRID[1] - GRID[0])
    axes.fill_between(GRID, DATA / width, color=drawing.REAL, alpha=0.2, label="the data")
    for name, colour, line, words in (
        ("kl", drawing.GENERATOR, "-", "KL(p || q), maximum likelihood: covers both"),
        ("reverse_kl", drawing.DISCRIMINATOR, "-", "KL(q || p): picks one"),
        ("js", drawing.OTHER, "--", "JS, the 2014 game, from a broad start"),
        ("js, narrow start", drawing.OTHER, ":", "JS from a narrow start"),
    ):
        axes.plot(GRID, findings.data["fits"][name] / width, color=colour, ls=line, linewidth=2.4, label=words)
    axes.set(xlim=(-5, 6), ylim=(0, 0.78))
    drawing.label(axes, "x", "density", "upper right")
    drawing.save(figure, path)
