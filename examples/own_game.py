"""Your own data, networks, loss and loop, on the engine alone. Runs in a few seconds: python examples/own_game.py"""

import math

import torch
from torch import nn
from torch.nn.functional import softplus

import zerosum as zs
from zerosum.engine import Batch, OptimizerConfig, Stepped
from zerosum.engine.losses import GANLoss


class Ring:
    """Eight Gaussians on a circle. A source is anything with num_rows and batch(indices)."""

    num_rows = 8_000

    def __init__(self) -> None:
        noise = torch.Generator().manual_seed(0)
        angle = torch.arange(self.num_rows) % 8 * (math.pi / 4)
        centres = torch.stack([angle.cos(), angle.sin()], 1)
        self.points = centres + 0.05 * torch.randn(self.num_rows, 2, generator=noise)

    def batch(self, indices: torch.Tensor) -> Batch:
        return Batch(self.points[indices])


def network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


# A loss is two functions over logits, always in the order (real, fake), one value a row. This one is the relativistic
# pairing with a temperature.
warm = GANLoss(
    discriminator=lambda real, fake: softplus((fake - real) / 2),
    generator=lambda real, fake: softplus((real - fake) / 2),
    needs_real=True,
)


def main(steps: int = 1_500) -> float:
    """Plays the game and returns the share of samples within three standard deviations of a centre."""
    torch.manual_seed(0)
    game = zs.Duel(
        network(8, 2), network(2, 1), loss=warm, penalties=[zs.penalties.r1(0.02), zs.penalties.r2(0.02)], prior=8
    )
    learning = OptimizerConfig(lr=2e-3, betas=(0.0, 0.99))
    for event in zs.engine.train(game, Ring(), steps=steps, batch=256, default=learning):
        if isinstance(event, Stepped) and event.step % 500 == 0:
            values = event.values()
            print(f"step {event.step}: D {values['discriminator/loss']:.3f}, G {values['generator/loss']:.3f}")
    with torch.no_grad():
        samples = game.generator(torch.randn(4_000, 8, generator=torch.Generator().manual_seed(1)))
    angle = torch.arange(8) * (math.pi / 4)
    centres = torch.stack([angle.cos(), angle.sin()], 1)
    distance = torch.linalg.vector_norm(samples[:, None] - centres, dim=2)
    near, mode = distance.min(1)
    modes = len(mode[near < 0.15].unique())
    share = float((near < 0.15).float().mean())
    print(f"{modes} of 8 modes, {share:.0%} of the samples within three standard deviations")
    return share


if __name__ == "__main__":
    main()
