"""The dear numbers of a game over points: divergences, transport, the value of the game and its bound, D's distance from D*.

Measured beside the game, on copies of its networks, about once a second, on 32,768 evenly spread points of the noise and as
many points of the data. Divergences are those of the shares of cells (100 on the line, 40 x 40 in the plane): the data's
are exact, the generator's are counted.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zerosum.domains.toy.cells import Cells, divergences
from zerosum.engine.duel import DISCRIMINATOR, GENERATOR
from zerosum.engine.game import DiscriminatorOutput
from zerosum.engine.loop import TrainingLoop
from zerosum.lab.optimal_d import OptimalDReading
from zerosum.lab.sampling import even_noise, even_points
from zerosum.lab.table import ToyTable
from zerosum.metrics import transport
from zerosum.theory import optimal

NUM = 32_768
NUM_TRANSPORT = 512
CELLS = {1: 100, 2: 40}  # as in the evaluation of a run
CHUNK = 8_192


@dataclass(frozen=True)
class MeasureSession:
    """The networks of a step, copied so that the game can go on meanwhile."""

    step: int
    generator: nn.Module
    discriminator: nn.Module

    @classmethod
    def of(cls, match: TrainingLoop) -> MeasureSession:
        """The networks as they are now."""
        return cls(
            match.step, copy.deepcopy(match.game.players[GENERATOR]), copy.deepcopy(match.game.players[DISCRIMINATOR])
        )


class Measure:
    """Measures networks against the density of a table. floor: the distance w of fresh data, what a perfect G would get."""

    def __init__(self, table: ToyTable) -> None:
        self.density, self.reading = table.density, OptimalDReading(table.pair)
        self.on_line = self.density.num_dims == 1
        self.noise = even_noise(table.settings.recipe().prior, NUM)
        self.real = even_points(self.density, NUM)
        self.cells = Cells(self.density.box, CELLS[self.density.num_dims])
        self.p = self.cells.probabilities(self.density)
        self.of_real = self.cells.index(self.real)
        shares = (torch.arange(NUM, dtype=torch.float64) + 0.5) / NUM
        self.quantiles = self.density.quantile(shares) if self.on_line else shares
        self.floor = self._distance(even_points(self.density, NUM, seed=1))

    @torch.no_grad()
    def __call__(self, sitting: MeasureSession) -> dict[str, float]:
        """Every number by its key; V and bound where D estimates a probability, gap (in per cent) where there is a best D."""
        fakes = torch.nan_to_num(torch.cat([sitting.generator(rows) for rows in torch.split(self.noise, CHUNK)]))
        of_fake = self.cells.index(fakes)
        counts = torch.bincount(of_fake, minlength=self.cells.num).double()
        apart = divergences(self.p, counts)
        found = {"kl": apart["KL"], "kl_reverse": apart["KL_reverse"], "js": apart["JS"], "w": self._distance(fakes)}
        on_real, on_fake = (self._scores(sitting.discriminator, rows) for rows in (self.real, fakes))
        middle = self.reading.middle(on_real, on_fake)
        value = self.reading.value(on_real, on_fake, middle)
        if value is not None:
            found |= {"V": value, "bound": float(optimal.optimal_value(self.p, counts / counts.sum()))}
        best = self.reading.best(self.p, counts / counts.sum())
        if best is not None:
            both = ((on_real, self.of_real), (on_fake, of_fake))
            distances = [((logits - middle).sigmoid() - best[cells]).abs().mean() for logits, cells in both]
            found["gap"] = 50 * float(distances[0] + distances[1])
        return found

    def _scores(self, discriminator: nn.Module, points: Tensor) -> Tensor:
        return torch.cat([DiscriminatorOutput.of(discriminator(rows)).score() for rows in torch.split(points, CHUNK)])

    def _distance(self, points: Tensor) -> float:
        """W1 to the exact quantiles on the line; W2 between 512 points of each in the plane."""
        if self.on_line:
            return transport.wasserstein1_1d(points[:, 0], self.quantiles)
        return transport.wasserstein2(points[:NUM_TRANSPORT], self.real[:NUM_TRANSPORT])
