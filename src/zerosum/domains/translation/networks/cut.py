"""Generators whose encoder compares patches of input and output (CUT, Park et al. 2020, arXiv:2007.15651), and
one that starts as the identity and stores its initial weights, so that the strength of its effect can be chosen after
training.

Legend: N rows, C channels, H height, W width, L latent size, P positions, F features.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from zerosum.domains.translation.networks.capabilities import AdjustableGenerator, PatchFeatures
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.sides import Side, TranslationTask
from zerosum.errors import UserError
from zerosum.nn.layers import AnyNorm

INITIAL = "begun_"
"""Prefix of the buffers that hold the initial weights."""


class ContrastiveGenerator(PatchFeatures):
    """A residual generator whose own encoder compares positions of the input with those of the output.

    features: F of the two-layer heads, one for each depth of the encoder. The other options are those of `resnet`.
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
        features: int = 128,
    ) -> None:
        super().__init__()
        if _side_kind(task.input) != _side_kind(task.target):
            raise UserError(
                f"The contrastive generator encodes outputs and inputs with one encoder, so both sides must be of one kind; here "
                f"they are {task.input.describe()} and {task.target.describe()}. Use recipe cyclegan, or pix2pix for pairs."
            )
        self.network = ResNet(task, latent=latent, width=width, levels=levels, blocks=blocks, edge=edge, norm=norm)
        self.heads = nn.ModuleList(_feature_head(width, features) for width in self.network.feature_widths())
        self.multiple, self.reach = self.network.multiple, self.network.reach

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C, H, W)."""
        y: Tensor = self.network(noise, condition, origin=origin)
        return y

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        """For each depth unit vectors (N, P, F) at the positions `places` (N, P) float32 in [0, 1), counted along the
        rows."""
        vectors = []
        for head, depth in zip(self.heads, self.network.features(noise, images), strict=True):
            flat = depth.flatten(2).transpose(1, 2)  # (N, H W, C)
            index = (places * flat.shape[1]).long().clamp(max=flat.shape[1] - 1)
            picked = flat.gather(1, index[:, :, None].expand(-1, -1, flat.shape[2]))
            vectors.append(normalize(head(picked).float(), dim=2))
        return vectors


class ResidualIdentity(PatchFeatures, AdjustableGenerator):
    """x + r(x), r a contrastive generator whose last layer starts at zero: at step 0 the output equals the input exactly.

    The initial weights are stored as buffers. On the line w(s) = w(0) + s (w - w(0)) between them and the trained
    weights w the loss mostly falls steadily (Goodfellow, Vinyals and Saxe 2015, arXiv:1412.6544); see `with_strength`. Both sides
    must be images with the same channels. norm: with "pixel" and "none" a position depends on no distant one, so that a
    picture made in tiles equals one made whole.
    """

    def __init__(
        self,
        task: TranslationTask,
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
            raise ValueError("the generator `restyle` changes an image; for label maps use `unet` or `resnet`")
        self.change = ContrastiveGenerator(
            task, latent=latent, width=width, levels=levels, blocks=blocks, edge=edge, norm=norm, features=features
        )
        nn.init.zeros_(self.change.network.last.weight)
        assert self.change.network.last.bias is not None
        nn.init.zeros_(self.change.network.last.bias)
        self.multiple, self.reach = self.change.multiple, self.change.reach
        for name, weight in self.change.network.named_parameters():
            self.register_buffer(INITIAL + name.replace(".", "/"), weight.detach().clone())

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C, H, W)."""
        change: Tensor = self.change(noise, condition, origin=origin)
        return condition.to(change.dtype) + change

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        """As in ContrastiveGenerator."""
        return self.change.vectors(noise, images, places)

    @torch.no_grad()
    def with_strength(self, strength: float) -> ResidualIdentity:
        """A copy with the weights w(strength): 0 is the identity, 1 the trained generator."""
        adjusted = copy.deepcopy(self)
        initial = dict(adjusted.named_buffers())
        for name, weight in adjusted.change.network.named_parameters():
            weight.copy_(torch.lerp(initial[INITIAL + name.replace(".", "/")], weight, strength))
        return adjusted


def _side_kind(side: Side) -> tuple[str, int]:
    return side.kind, side.channels


def _feature_head(before: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, features), nn.ReLU(), nn.Linear(features, features))
