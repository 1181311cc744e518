"""The game of a recipe: the duel of a generator and a discriminator on volumes, slices or patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from zerosum import domain
from zerosum.domain import DatasetInfo
from zerosum.domains.medical.networks import DISCRIMINATORS, GENERATORS, Form, refuse_mixed
from zerosum.engine.game import Game, LossContext
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty
from zerosum.recipe import Recipe


def pixel(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """Mean absolute difference between output and target. Isola et al. 2017 (pix2pix), arXiv:1611.07004, equation 3."""

    def function(context: LossContext) -> Tensor:
        fake = context.fake if context.plain_fake is None else context.plain_fake
        real = context.real if context.plain_real is None else context.plain_real
        return (fake.float() - real.float()).abs().flatten(1).mean(1)

    return Penalty("pixel", function, weight, every, ("generator",), second_order=False)


PENALTIES: Mapping[str, Callable[..., Penalty]] = {"pixel": pixel}


def form_of(info: DatasetInfo) -> Form:
    """The form of a row, from which the networks are built."""
    kind = info.payload["input"]
    labels = len(info.payload["codes"]) if kind == "labels" else 0
    return Form(info.sample.shape[1:], labels, kind in ("image", "thick"))


def build(recipe: Recipe, info: DatasetInfo) -> Game:
    """The game of a recipe. UserError where its networks do not fit the data or each other."""
    form = form_of(info)
    refuse_mixed(recipe.generator.kind, recipe.discriminator.kind, form)
    paired = bool(form.labels or form.image)
    return domain.duel(
        recipe,
        GENERATORS,
        DISCRIMINATORS,
        {},
        form,
        info.num_classes,
        conditional=True if paired else None,
        penalties=PENALTIES,
    )


def generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    """The generator of that game alone."""
    return domain.generator(recipe, GENERATORS, form_of(info), info.num_classes)
