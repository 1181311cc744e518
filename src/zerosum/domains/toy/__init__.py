"""Points on the line and in the plane: small games whose data distribution is known, so that results can be checked."""

from __future__ import annotations

from torch import nn

from zerosum import domain
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes
from zerosum.domains.toy import data, files, networks, preview, recipes
from zerosum.domains.toy.evaluator import PointEvaluator
from zerosum.engine.duel import Duel
from zerosum.metrics.baselines import classical
from zerosum.recipe import Recipe


def _describe(info: DatasetInfo) -> str:
    where = "on the line" if info.sample.shape == (1,) else "in the plane"
    return f"{info.num_rows:,} points {where}"


def _game(recipe: Recipe, info: DatasetInfo) -> Duel:
    return domain.duel(recipe, networks.GENERATORS, networks.DISCRIMINATORS, {}, info.sample.shape[0])


def _generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    return domain.generator(recipe, networks.GENERATORS, info.sample.shape[0])


DOMAIN = Domain(
    name="toy",
    summary="points on the line or in the plane: a named density, or a CSV file of one or two columns",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.PointSource.info,
        describe=_describe,
        sources=data.sources,
        payload=data.PointPayload,
        arrays="(N, 1) or (N, 2): points; save them as a CSV file of one or two columns",
    ),
    game=Games(
        build=_game,
        build_generator=_generator,
        parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    ),
    evaluation=Evaluation(evaluator=PointEvaluator, baselines=lambda source: classical(source.data.cpu())),
    media=Media(
        preview=preview.picture,
        write=files.write,
        read=files.read,
        num_shown=preview.NUM_SHOWN,
        sample_name="samples.png",
        endings=files.ENDINGS,
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
