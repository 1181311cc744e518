"""Terms of the generator's loss in addition to the adversarial one, as penalties on a LossContext.

Legend: N rows, P positions, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerosum.domains.translation.networks.capabilities import DirectionOfCycle, PatchFeatures
from zerosum.engine.game import LossContext
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty, makers

GENERATOR = ("generator",)


def pixel(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference between output and target. Isola et al. 2017 (pix2pix), arXiv:1611.07004, equation 3."""
    return Penalty(
        "pixel", lambda context: distance(_fake(context), _real(context)), weight, every, GENERATOR, second_order=False
    )


def feature_matching(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference between the discriminator's features of the output and of the target, averaged over
    layers and scales. Wang et al. 2018 (pix2pixHD), arXiv:1711.11585, equation 4."""

    def function(context: LossContext) -> Tensor:
        on_real = context.on_real if context.on_real is not context.on_fake else context.judge(_real(context), "real")
        if not on_real.features:
            raise ValueError(
                "the penalty `feature_matching` needs a discriminator that returns features, such as `patch`"
            )
        layers = zip(context.on_fake.features, on_real.features, strict=True)
        return torch.stack([distance(fake, real.detach()) for fake, real in layers]).mean(0)

    return Penalty("feature_matching", function, weight, every, GENERATOR, second_order=False)


def cycle(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference between an input and its translation to the target side and back. Zhu et al. 2017
    (CycleGAN), arXiv:1703.10593, equation 2."""

    def function(context: LossContext) -> Tensor:
        assert context.condition is not None
        assert context.noise is not None
        return distance(_other_generator(context)(context.noise, _fake(context)), context.condition)

    return Penalty("cycle", function, weight, every, GENERATOR, second_order=False)


def identity(weight: float | Schedule = 5.0, every: int = 1) -> Penalty:
    """Mean absolute difference between a real target and its translation when it is given as input, so that images
    of the target side are unchanged, also in their colours. Zhu et al. 2017 (CycleGAN), arXiv:1703.10593, section
    5.2. Both sides must have the same number of channels."""

    def function(context: LossContext) -> Tensor:
        generator: Any = context.generator
        real = _real(context)
        if context.condition is None or context.condition.shape[1] != real.shape[1]:
            raise ValueError("the penalty `identity` needs two sides with the same number of channels")
        return distance(generator(context.noise, real), real)

    return Penalty("identity", function, weight, every, GENERATOR, second_order=False)


def contrast(
    weight: float | Schedule = 1.0, every: int = 1, places: int = 64, temperature: float = 0.07, identity: float = 1.0
) -> Penalty:
    """A contrastive loss: the features at each position of the output must resemble those at the same position of the
    input more than those at other positions; plus `identity` times the same loss of a real target and its translation.
    Park et al. 2020 (CUT), arXiv:2007.15651, equations 3 and 5.

    places: P, positions drawn at random in each step. temperature: of the similarities.
    """
    if places < 2 or not temperature > 0 or not identity >= 0:
        raise ValueError(f"places >= 2, temperature > 0, identity >= 0: got {places}, {temperature}, {identity}")

    def function(context: LossContext) -> Tensor:
        generator = context.generator
        if not isinstance(generator, PatchFeatures):
            raise ValueError("the penalty `contrast` needs a generator of kind `contrastive` or `restyle`")
        assert context.condition is not None
        assert context.noise is not None
        where = context.rng.uniform("places", places)
        loss = _contrastive_loss(generator, context.noise, context.condition, _fake(context), where, temperature)
        if identity:
            real = _real(context)
            same = generator(context.noise, real)
            loss = loss + identity * _contrastive_loss(generator, context.noise, real, same, where, temperature)
        return loss

    return Penalty("contrast", function, weight, every, GENERATOR, second_order=False)


def _contrastive_loss(
    generator: PatchFeatures, noise: Tensor, given: Tensor, output: Tensor, places: Tensor, temperature: float
) -> Tensor:
    """(N,): cross-entropy of matching each position of `output` with those of `given`, averaged over positions and
    layers."""
    loss = []
    for query, key in zip(
        generator.vectors(noise, output, places), generator.vectors(noise, given, places), strict=True
    ):
        similarity = query @ key.detach().transpose(1, 2) / temperature  # (N, P, P)
        matching = torch.arange(similarity.shape[1], device=similarity.device).expand(len(similarity), -1)
        loss.append(cross_entropy(similarity.transpose(1, 2), matching, reduction="none").mean(1))
    return torch.stack(loss).mean(0)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """(N,) float32: mean absolute difference in each row."""
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def _fake(context: LossContext) -> Tensor:
    return context.fake if context.plain_fake is None else context.plain_fake


def _real(context: LossContext) -> Tensor:
    return context.real if context.plain_real is None else context.plain_real


def _other_generator(context: LossContext) -> Callable[[Tensor, Tensor], Tensor]:
    generator = context.generator
    if not isinstance(generator, DirectionOfCycle):
        raise ValueError("the penalty `cycle` needs a generator of kind `cycle`, which also translates back")
    return generator.other


def table() -> Mapping[str, Callable[..., Penalty]]:
    """The penalties of this module by name."""
    return makers(globals())
