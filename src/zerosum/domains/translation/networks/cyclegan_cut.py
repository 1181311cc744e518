"""Networks for both directions, and a generator with heads that compare patches.

Legend: N rows, C channels, H height, W width, L latent size, P places, F features.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn.functional import normalize

from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.networks.task import Task
from zerosum.domains.translation.sides import Side
from zerosum.engine.game import DiscriminatorOutput
from zerosum.errors import UserError
from zerosum.nn.layers import AnyNorm


def reversed_task(task: Task) -> Task:
    """The way back."""
    return replace(task, input=task.target, target=task.input)


class CycleGenerator(nn.Module):
    """Two residual generators, one there and one back: called, it translates inputs to targets; `reverse` the other way.

    pool: so many past fakes are kept a direction, and shown to the discriminators in place of half of the new ones;
    0 for none. The other options are those of `resnet`.
    """

    def __init__(
        self,
        task: Task,
        *,
        latent: int,
        width: int = 32,
        levels: int = 2,
        blocks: int = 4,
        edge: int = 7,
        norm: AnyNorm = "instance",
        pool: int = 50,
    ) -> None:
        super().__init__()
        if pool < 0:
            raise ValueError(f"pool must be at least 0, got {pool}")
        self.there, self.back = (
            ResNet(way, latent=latent, width=width, levels=levels, blocks=blocks, edge=edge, norm=norm)
            for way in (task, reversed_task(task))
        )
        self.pool, self.multiple, self.reach = pool, self.there.multiple, self.there.reach

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), inputs (N, C, H, W) -> (N, C', H, W)."""
        y: Tensor = self.there(noise, condition, origin=origin)
        return y

    def reverse(self, noise: Tensor, target: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), targets (N, C', H, W) -> (N, C, H, W)."""
        y: Tensor = self.back(noise, target, origin=origin)
        return y


class CycleDiscriminator(nn.Module):
    """Two patch discriminators, of targets and of inputs; the options are those of `patch`. Neither sees what a picture was
    made from."""

    def __init__(self, task: Task, *, width: int = 32, levels: int = 2, scales: int = 1) -> None:
        super().__init__()
        self.of_target, self.of_input = (
            PatchDiscriminator(way, width=width, levels=levels, scales=scales, told=False)
            for way in (task, reversed_task(task))
        )

    def forward(self, data: Tensor, condition: Tensor) -> DiscriminatorOutput:
        """The verdict on targets (N, C, H, W)."""
        verdict: DiscriminatorOutput = self.of_target(data, condition)
        return verdict


class ContrastiveGenerator(nn.Module):
    """A residual generator whose own encoder compares places of the input with those of the output.

    features: F of the two-layer heads, one for each depth of the encoder. The other options are those of `resnet`.
    """

    def __init__(
        self,
        task: Task,
        *,
        latent: int,
        width: int = 32,
        levels: int = 2,
        blocks: int = 4,
        edge: int = 7,
        norm: AnyNorm = "instance",
        features: int = 128,
    ) -> None:
        super().__init__()
        if _kind(task.input) != _kind(task.target):
            raise UserError(
                f"The contrastive generator reads its outputs as it reads inputs, so both sides must be of one kind; here "
                f"they are {task.input.describe()} and {task.target.describe()}. Use recipe cyclegan, or pix2pix for pairs."
            )
        self.network = ResNet(task, latent=latent, width=width, levels=levels, blocks=blocks, edge=edge, norm=norm)
        self.heads = nn.ModuleList(_head(width, features) for width in self.network.feature_widths())
        self.multiple, self.reach = self.network.multiple, self.network.reach

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C, H, W)."""
        y: Tensor = self.network(noise, condition, origin=origin)
        return y

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        """For each depth (N, P, F) unit vectors at the places (N, P) float32 in [0, 1), counted along the rows of a picture."""
        found = []
        for head, depth in zip(self.heads, self.network.features(noise, images), strict=True):
            flat = depth.flatten(2).transpose(1, 2)  # (N, H W, C)
            at = (places * flat.shape[1]).long().clamp(max=flat.shape[1] - 1)
            picked = flat.gather(1, at[:, :, None].expand(-1, -1, flat.shape[2]))
            found.append(normalize(head(picked).float(), dim=2))
        return found


def _kind(side: Side) -> tuple[str, int]:
    return side.kind, side.channels


def _head(before: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, features), nn.ReLU(), nn.Linear(features, features))
