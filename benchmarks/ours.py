"""Our side: the same pairs of networks, played by the engine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from zerosum.domains.images.data import ImageSource, Shape
from zerosum.domains.images.networks import ConvDiscriminator, ConvGenerator, MlpDiscriminator, MlpGenerator
from zerosum.engine import Duel, Event, OptimizerConfig, Settings, Stepped, TrainingLoop, UpdateRules
from zerosum.engine.devices import Precision

LATENT = 100
READ_EVERY = 32
"""Our runs read their losses about 250 times a run (every 32nd step of 8,000), so this side does too."""


def plain(shape: Shape) -> Shape:
    """The same shape without classes: these games use no labels."""
    return Shape(shape.channels, shape.height, shape.width)


def mlp_pair(shape: Shape) -> tuple[nn.Module, nn.Module]:
    """100-256-512-1024-CHW and CHW-1024-512-256-1."""
    return MlpGenerator(plain(shape), latent=LATENT), MlpDiscriminator(plain(shape))


def dcgan_pair(shape: Shape, width: int = 64, norm: str = "batch") -> tuple[nn.Module, nn.Module]:
    """The DCGAN pair; norm: of the discriminator, "batch" or "none"."""
    generator = ConvGenerator(plain(shape), latent=LATENT, width=width)
    return generator, ConvDiscriminator(plain(shape), width=width, norm="batch" if norm == "batch" else "none")


class Engine:
    """A match that plays on request and reads its values now and then."""

    def __init__(
        self,
        pair: tuple[nn.Module, nn.Module],
        source: ImageSource,
        *,
        batch: int,
        rules: UpdateRules,
        learning: OptimizerConfig,
        precision: Precision,
        device: str = "cpu",
        half_life_samples: float | None = None,
        read_every: int = READ_EVERY,
    ) -> None:
        generator, discriminator = (network.to(device).train() for network in pair)
        settings = Settings(
            batch=batch,
            default=learning,
            average=None if half_life_samples is None else "generator",
            half_life_samples=half_life_samples or 0.0,
            precision=precision,
        )
        duel = Duel(generator, discriminator, prior=LATENT, rules=rules)
        self.match = TrainingLoop(duel, source.to(device), settings)
        self.read_every, self.values = read_every, dict[str, float]()
        self._events: Iterator[Event] = self.match.run(10**12)

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images seen."""
        done = 0
        while done < steps:
            event = next(self._events)
            if isinstance(event, Stepped):
                done += 1
                if event.step % self.read_every == 0:
                    self.values = event.values()
        return steps * self.match.settings.batch

    def finite(self) -> bool:
        """Whether all weights are."""
        return all(
            bool(torch.isfinite(parameter).all())
            for player in self.match.players.values()
            for parameter in player.parameters
        )
