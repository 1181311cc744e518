"""A generator that begins as the identity and remembers how it began, so that its effect can be dosed afterwards.

Legend: N rows, C channels, H height, W width, L latent size, P places, F features.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zerosum.domains.translation.networks.cyclegan_cut import ContrastiveGenerator
from zerosum.domains.translation.networks.task import Task
from zerosum.nn.layers import AnyNorm

MARK = "begun_"


class ResidualIdentity(nn.Module):
    """x + r(x), r a contrastive generator whose last layer begins at zero: at step 0 the output is the input, exactly.

    The weights of that moment stay with it as buffers. Between them and the trained weights w lies the line
    w(s) = w(0) + s (w - w(0)), along which loss mostly falls steadily (Goodfellow, Vinyals and Saxe 2015, arXiv:1412.6544); see
    `at`. Both sides must be images of the same channels. norm: "pixel" and "none" look at no other place, so that a
    picture made in tiles is the same as one made whole.
    """

    def __init__(
        self,
        task: Task,
        *,
        latent: int,
        width: int = 16,
        levels: int = 2,
        blocks: int = 2,
        edge: int = 5,
        norm: AnyNorm = "pixel",
        features: int = 64,
    ) -> None:
        super().__init__()
        if task.input.kind != "image":
            raise ValueError("the generator `restyle` changes an image; label maps go with `unet` or `resnet`")
        self.change = ContrastiveGenerator(
            task, latent=latent, width=width, levels=levels, blocks=blocks, edge=edge, norm=norm, features=features
        )
        nn.init.zeros_(self.change.network.last.weight)
        assert self.change.network.last.bias is not None
        nn.init.zeros_(self.change.network.last.bias)
        self.multiple, self.reach = self.change.multiple, self.change.reach
        for name, weight in self.change.network.named_parameters():
            self.register_buffer(MARK + name.replace(".", "/"), weight.detach().clone())

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C, H, W)."""
        change: Tensor = self.change(noise, condition, origin=origin)
        return condition.to(change.dtype) + change

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        """What tells places apart: (N, P, F) unit vectors a depth, at the places (N, P)."""
        return self.change.vectors(noise, images, places)

    @torch.no_grad()
    def at(self, strength: float) -> ResidualIdentity:
        """A copy at w(strength): 0 is the identity, 1 as trained."""
        made = copy.deepcopy(self)
        begun = dict(made.named_buffers())
        for name, weight in made.change.network.named_parameters():
            weight.copy_(torch.lerp(begun[MARK + name.replace(".", "/")], weight, strength))
        return made
