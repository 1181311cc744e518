"""Networks that translate in both directions (CycleGAN, Zhu et al. 2017, arXiv:1703.10593).

Legend: N rows, C channels, H height, W width, L latent size.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from zerosum.domains.translation.networks.capabilities import ReversibleGenerator
from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.sides import TranslationTask
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import AnyNorm


def reversed_task(task: TranslationTask) -> TranslationTask:
    """The task of the opposite direction."""
    return replace(task, input=task.target, target=task.input)


class CycleGenerator(ReversibleGenerator):
    """Two residual generators, one for each direction: a call translates inputs to targets, `reverse` targets to inputs.

    pool: number of past fakes that are kept for each direction and that replace half of the new ones in the steps of
    the discriminators; 0 for none. The other options are those of `resnet`.
    """

    def __init__(
        self,
        task: TranslationTask,
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
    """Two patch discriminators, of targets and of inputs; the options are those of `patch`. Neither receives the
    input of a translation."""

    def __init__(self, task: TranslationTask, *, width: int = 32, levels: int = 2, scales: int = 1) -> None:
        super().__init__()
        self.of_target, self.of_input = (
            PatchDiscriminator(way, width=width, levels=levels, scales=scales, condition=False)
            for way in (task, reversed_task(task))
        )

    def forward(self, data: Tensor, condition: Tensor) -> DiscriminatorOutput:
        """Targets (N, C, H, W) -> logits and features."""
        output: DiscriminatorOutput = self.of_target(data, condition)
        return output
