"""The picture of a game over points, computed for every frame: curves on the line, a map in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv2d

from zerosum.domains.toy import densities
from zerosum.domains.toy.densities import Density
from zerosum.engine import losses
from zerosum.engine.duel import Duel
from zerosum.engine.game import DiscriminatorOutput
from zerosum.lab.lab_game import ToySetup
from zerosum.lab.measurements import OptimalD, even_noise, even_points, from_shares, lattice

COLUMNS, BLUR = 240, 1.5  # points of a curve; smoothing of q in steps between them
NUM_NOISE, NUM_REALS = 4096, 1024
NUM_SHOWN, NUM_ARROWS, NUM_LINES = 300, 60, 41
CELLS, WARP = 40, 17
LEAST = 0.1
"""Share of one point that is added to both densities everywhere, so that D* is 1/2 where neither has points."""


def plain(values: Tensor, digits: int = 4) -> Any:
    """Nested lists of rounded numbers for JSON; numbers that are not finite become 0."""
    array = np.nan_to_num(values.detach().cpu().numpy().astype(np.float64), posinf=0.0, neginf=0.0)
    return np.round(array, digits).tolist()


def _bell(deviation: float) -> Tensor:
    reach = int(4 * deviation + 0.5)
    weights = (-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2).exp()
    return weights / weights.sum()


@dataclass(frozen=True)
class Drawing:
    """parts: entries of the frame. fakes: (NUM_NOISE, D) of the fixed noise. values: numbers of the current step."""

    parts: dict[str, Any]
    fakes: Tensor
    values: dict[str, float]


class LineView:
    """Figure 1 of the 2014 paper at this step: p, q, D and D* over x, and arrows from z to x."""

    def __init__(self, setup: ToySetup) -> None:
        prior, density = setup.settings.recipe().prior, setup.density
        self.optimal_d, self.density = OptimalD(setup.pair), density
        (self.low, self.high) = density.box[0]
        self.x = torch.linspace(self.low, self.high, COLUMNS)
        self.p = density.log_prob(self.x[:, None]).exp()
        self.noise, self.real = even_noise(prior, NUM_NOISE), even_points(density, NUM_REALS)
        lines = torch.zeros(NUM_LINES, prior.size)
        lines[:, 0] = from_shares(prior, (torch.arange(NUM_LINES, dtype=torch.float64) + 0.5) / NUM_LINES)
        self.lines, self.bell = lines, _bell(BLUR)
        self.step = (self.high - self.low) / (COLUMNS - 1)
        self.least = LEAST / (NUM_NOISE * self.step)
        self.fixed: Mapping[str, Any] = {
            "dims": 1,
            "x": plain(self.x),
            "p": plain(self.p),
            "z_range": plain(lines[[0, -1], 0]),
        }

    def draw(self, game: Duel) -> Drawing:
        """The arrows vary the first coordinate of z; the others are 0."""
        with torch.no_grad():
            fakes = game.generator(self.noise)
            on_real, on_fake = score(game, self.real), score(game, fakes)
            middle = self.optimal_d.middle(on_real, on_fake)
            d = (score(game, self.x[:, None]) - middle).sigmoid()
            q = self._density(fakes[:, 0])
            best = self.optimal_d.best(self.p + self.least, q + self.least)
            lines = torch.stack([self.lines[:, 0], game.generator(self.lines)[:, 0]], 1)
        parts = {**self.fixed, "q": plain(q), "d": plain(d), "d_star": None if best is None else plain(best)}
        parts |= {"arrows": plain(lines), "modes": mode_table(fakes, self.density)}
        gradient = GeneratorGradient.of(game, self.real[:NUM_ARROWS], fakes[:NUM_ARROWS], middle)
        return Drawing(parts, fakes, values(on_real, on_fake, middle, fakes, gradient, parts["modes"]))

    def _density(self, points: Tensor) -> Tensor:
        """(COLUMNS,) the density of points on the line, smoothed by 1.5 steps between columns."""
        counts = torch.histc(points, COLUMNS, self.low - self.step / 2, self.high + self.step / 2)
        smooth = conv1d(counts[None, None], self.bell[None, None], padding=len(self.bell) // 2)[0, 0]
        return smooth / (len(points) * self.step)


class PlaneView:
    """Real and fake points, D and D* as a map, the warped grid, arrows of the generator's gradient, modes."""

    def __init__(self, setup: ToySetup) -> None:
        prior, self.density = setup.settings.recipe().prior, setup.density
        self.optimal_d = OptimalD(setup.pair)
        self.noise, self.real = even_noise(prior, NUM_NOISE), even_points(self.density, NUM_REALS)
        self.lattice = lattice(prior, WARP) if prior.size > 1 else None
        edges = [torch.linspace(low, high, CELLS + 1, dtype=torch.float64) for low, high in self.density.box]
        middles = [(edge[1:] + edge[:-1]).float() / 2 for edge in edges]
        # Row by row from the lowest y: y is the slow coordinate.
        self.cells = torch.stack([middles[0].repeat(CELLS), middles[1].repeat_interleave(CELLS)], 1)
        inner = self.density.cells(edges)[1:-1, 1:-1].T  # the outermost cells reach to infinity
        self.p = self._smooth(inner.float())
        self.fixed: Mapping[str, Any] = {"dims": 2, "box": self.density.box, "real": plain(self.real[:NUM_SHOWN], 3)}

    def draw(self, game: Duel) -> Drawing:
        """The picture in the plane."""
        with torch.no_grad():
            fakes = game.generator(self.noise)
            on_real, on_fake = score(game, self.real), score(game, fakes)
            middle = self.optimal_d.middle(on_real, on_fake)
            d = (score(game, self.cells) - middle).sigmoid()
            best = self.optimal_d.best(self.p, self._smooth(self._counts(fakes)))
            warp = None if self.lattice is None else {"n": WARP, "points": plain(game.generator(self.lattice), 3)}
        gradient = GeneratorGradient.of(game, self.real[:NUM_ARROWS], fakes[:NUM_ARROWS], middle)
        parts = {
            **self.fixed,
            "fake": plain(fakes[:NUM_SHOWN], 3),
            "heat": {"n": CELLS, "d": plain(d, 3), "d_star": None if best is None else plain(best.flatten(), 3)},
            "warp": warp,
            "arrows": {"logit": gradient.by_loss, "probability": gradient.by_probability},
            "modes": mode_table(fakes, self.density),
        }
        return Drawing(parts, fakes, values(on_real, on_fake, middle, fakes, gradient, parts["modes"]))

    def _counts(self, points: Tensor) -> Tensor:
        """(CELLS, CELLS) shares of the points in the cells, y down the rows."""
        (x0, x1), (y0, y1) = self.density.box
        place = (points - torch.tensor([x0, y0])) / torch.tensor([x1 - x0, y1 - y0]) * CELLS
        inside = place[((place >= 0) & (place < CELLS)).all(1)].long()
        counts = torch.bincount(inside[:, 1] * CELLS + inside[:, 0], minlength=CELLS * CELLS)
        return counts.view(CELLS, CELLS) / len(points)

    def _smooth(self, shares: Tensor) -> Tensor:
        """Blurs shares slightly; both densities are blurred alike."""
        row = torch.tensor([0.25, 0.5, 0.25])
        return (
            conv2d(shares[None, None].float(), torch.outer(row, row)[None, None], padding=1)[0, 0] + LEAST / NUM_NOISE
        )


def score(game: Duel, points: Tensor) -> Tensor:
    """(N,) logits."""
    return DiscriminatorOutput.of(game.discriminator(points)).score()


def mode_table(fakes: Tensor, density: Density) -> dict[str, Any] | None:
    """The modes that the fakes cover, and their shares; None for a density without modes."""
    if density.modes is None:
        return None
    found, hits = densities.modes_found(fakes, density), densities.mode_shares(fakes, density)
    return {"found": int(found.sum()), "total": len(found), "hits": plain(hits), "centres": plain(density.modes, 3)}


@dataclass(frozen=True)
class GeneratorGradient:
    """The directions in which G's loss moves M fakes. by_loss: [[x ..., dx ...]], minus the gradient of the loss by each fake.
    by_probability: the gradient of D in [0, 1], which vanishes where D is certain. slope: mean absolute derivative of the
    loss by the fake logit: D for log(1 - D), 1 - D for -log D."""

    by_loss: Any
    by_probability: Any
    slope: float

    @classmethod
    def of(cls, game: Duel, real: Tensor, fake: Tensor, middle: float) -> GeneratorGradient:
        """At the fakes given; reals (M, D) for losses of pairs."""
        points = fake.detach().requires_grad_(True)
        on_fake, on_real = (
            DiscriminatorOutput.of(game.discriminator(points)),
            DiscriminatorOutput.of(game.discriminator(real)).detach(),
        )
        loss = losses.apply(game.loss.generator, on_real.logits, on_fake.logits).sum()
        by_loss, by_logit = torch.autograd.grad(loss, [points, *on_fake.logits], retain_graph=True)
        (by_d,) = torch.autograd.grad((on_fake.score() - middle).sigmoid().sum(), points)
        rows = [plain(torch.cat([fake.detach(), push], 1)) for push in (-by_loss, by_d)]
        return cls(rows[0], rows[1], float(by_logit.abs().mean()))


def values(
    on_real: Tensor,
    on_fake: Tensor,
    middle: float,
    fakes: Tensor,
    gradient: GeneratorGradient,
    table: dict[str, Any] | None,
) -> dict[str, float]:
    """Numbers of the current step, by the names that the page and the findings use."""
    found = {
        "D(x)": float((on_real - middle).sigmoid().mean()),
        "D(G(z))": float((on_fake - middle).sigmoid().mean()),
        "accuracy/fake": float((on_fake < middle).float().mean()),
        "accuracy": float(((on_real > middle).float().mean() + (on_fake < middle).float().mean()) / 2),
        "slope": gradient.slope,
        "spread": float(fakes.std(0).mean()),
    }
    found |= {f"mean_{axis}": float(value) for axis, value in zip("xy", fakes.mean(0))}
    return found if table is None else found | {"modes": float(table["found"]), "num_modes": float(table["total"])}
