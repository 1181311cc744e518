"""What a generator of pictures is asked for beside fooling the discriminator, as functions of a Play.

Legend: N rows, P places, F features.
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
    """Mean absolute difference to the target. Isola et al. 2017 (pix2pix), arXiv:1611.07004, equation 3."""
    return Penalty(
        "pixel", lambda play: distance(_fake(play), _real(play)), weight, every, GENERATOR, second_order=False
    )


def feature_matching(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference of the discriminator's features to those of the target, averaged over layers and scales.
    Wang et al. 2018 (pix2pixHD), arXiv:1711.11585, equation 4."""

    def function(play: LossContext) -> Tensor:
        wanted = play.on_real if play.on_real is not play.on_fake else play.judge(_real(play), "real")
        if not wanted.features:
            raise ValueError(
                "the penalty `feature_matching` needs a discriminator that returns features, such as `patch`"
            )
        layers = zip(play.on_fake.features, wanted.features, strict=True)
        return torch.stack([distance(fake, real.detach()) for fake, real in layers]).mean(0)

    return Penalty("feature_matching", function, weight, every, GENERATOR, second_order=False)


def cycle(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference of an input to what comes back of its translation. Zhu et al. 2017 (CycleGAN),
    arXiv:1703.10593, equation 2."""

    def function(play: LossContext) -> Tensor:
        assert play.condition is not None
        assert play.noise is not None
        return distance(_other(play)(play.noise, _fake(play)), play.condition)

    return Penalty("cycle", function, weight, every, GENERATOR, second_order=False)


def identity(weight: float | Schedule = 5.0, every: int = 1) -> Penalty:
    """Mean absolute difference of a real target to its translation as if it were an input: what is right already stays, its
    colours too. Zhu et al. 2017 (CycleGAN), arXiv:1703.10593, section 5.2. Both sides must have the same channels."""

    def function(play: LossContext) -> Tensor:
        generator: Any = play.generator
        real = _real(play)
        if play.condition is None or play.condition.shape[1] != real.shape[1]:
            raise ValueError("the penalty `identity` needs two sides of the same number of channels")
        return distance(generator(play.noise, real), real)

    return Penalty("identity", function, weight, every, GENERATOR, second_order=False)


def contrast(
    weight: float | Schedule = 1.0, every: int = 1, places: int = 64, temperature: float = 0.07, identity: float = 1.0
) -> Penalty:
    """Each place of the output must be told from the other places of the picture by its like in the input, and (times
    `identity`) the same for a real target and its translation. Park et al. 2020 (CUT), arXiv:2007.15651, equations 3 and 5.

    places: P, drawn anew each time. temperature: of the similarities.
    """
    if places < 2 or not temperature > 0 or not identity >= 0:
        raise ValueError(f"places >= 2, temperature > 0, identity >= 0: got {places}, {temperature}, {identity}")

    def function(play: LossContext) -> Tensor:
        generator = play.generator
        if not isinstance(generator, PatchFeatures):
            raise ValueError("the penalty `contrast` needs a generator of kind `contrastive`")
        assert play.condition is not None
        assert play.noise is not None
        where = play.draws.uniform("places", places)
        lost = _told_apart(generator, play.noise, play.condition, _fake(play), where, temperature)
        if identity:
            real = _real(play)
            same = generator(play.noise, real)
            lost = lost + identity * _told_apart(generator, play.noise, real, same, where, temperature)
        return lost

    return Penalty("contrast", function, weight, every, GENERATOR, second_order=False)


def _told_apart(
    generator: PatchFeatures, noise: Tensor, given: Tensor, made: Tensor, places: Tensor, temperature: float
) -> Tensor:
    """(N,): cross-entropy of finding each place of `made` among those of `given`, averaged over places and depths."""
    lost = []
    for query, key in zip(generator.vectors(noise, made, places), generator.vectors(noise, given, places), strict=True):
        alike = query @ key.detach().transpose(1, 2) / temperature  # (N, P, P)
        right = torch.arange(alike.shape[1], device=alike.device).expand(len(alike), -1)
        lost.append(cross_entropy(alike.transpose(1, 2), right, reduction="none").mean(1))
    return torch.stack(lost).mean(0)


def distance(one: Tensor, other: Tensor) -> Tensor:
    """(N,) float32: mean absolute difference of each row."""
    return (one.float() - other.float()).abs().flatten(1).mean(1)


def _fake(play: LossContext) -> Tensor:
    return play.fake if play.plain_fake is None else play.plain_fake


def _real(play: LossContext) -> Tensor:
    return play.real if play.plain_real is None else play.plain_real


def _other(play: LossContext) -> Callable[[Tensor, Tensor], Tensor]:
    generator = play.generator
    if not isinstance(generator, DirectionOfCycle):
        raise ValueError("the penalty `cycle` needs a generator of kind `cycle`, which also translates back")
    return generator.other


def table() -> Mapping[str, Callable[..., Penalty]]:
    """The terms of this module by name."""
    return makers(globals())
