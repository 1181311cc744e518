"""Points on the line and in the plane: the smallest games, where the truth is known and everything can be checked."""

from __future__ import annotations

from torch import nn

from zerosum import domain
from zerosum.domain import Domain, Facts
from zerosum.domains.toy import data, files, networks, preview, recipes
from zerosum.domains.toy.metrics import PointEvaluator
from zerosum.engine.duel import Duel
from zerosum.metrics.baselines import classical
from zerosum.recipe import Recipe


def _describe(facts: Facts) -> str:
    where = "on the line" if facts["num_dims"] == 1 else "in the plane"
    return f"{facts['num_rows']:,} points {where}"


def _game(recipe: Recipe, facts: Facts) -> Duel:
    return domain.duel(recipe, networks.GENERATORS, networks.DISCRIMINATORS, {}, facts["num_dims"], num_classes=0)


def _generator(recipe: Recipe, facts: Facts) -> nn.Module:
    return domain.generator(recipe, networks.GENERATORS, facts["num_dims"])


DOMAIN = Domain(
    name="toy",
    summary="points on the line or in the plane: a named density, or a CSV file of one or two columns",
    recognise=data.recognise,
    sources=data.sources,
    open=data.open_source,
    facts=data.PointSource.facts,
    describe=_describe,
    game=_game,
    parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    generator=_generator,
    recipes=recipes.RECIPES,
    choose=recipes.choose,
    evaluator=PointEvaluator,
    picture=preview.picture,
    write=files.write,
    read=files.read,
    num_shown=preview.NUM_SHOWN,
    endings=files.ENDINGS,
    arrays="(N, 1) or (N, 2): points; save them as a CSV file of one or two columns",
    baselines=lambda source: classical(source.points.cpu()),
)
