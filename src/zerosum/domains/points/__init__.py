"""Shapes as point clouds: meshes and clouds from files, a game on points, and a game on the codes of an
auto-encoder."""

from __future__ import annotations

from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes
from zerosum.domains.points import data, files, game, media, networks, recipes
from zerosum.domains.points.evaluator import ShapeEvaluator


def _describe(info: DatasetInfo) -> str:
    classes = f" in {info.num_classes} classes" if info.num_classes else ""
    return f"{info.num_rows:,} shapes of {info.sample.axes['points']} points{classes}"


DOMAIN = Domain(
    name="points",
    summary="shapes as point clouds: a named source, a folder of .ply .off .obj .stl .xyz .npy files, or an array (N, P, 3)",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.CloudSource.info,
        describe=_describe,
        sources=data.sources,
        payload=data.CloudPayload,
        looks_like=files.looks_like,
        arrays="(N, P, 3): N shapes of P points",
    ),
    game=Games(
        build=game.build,
        build_generator=game.generator,
        init_from_data=game.init_from_data,
        parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    ),
    evaluation=Evaluation(evaluator=ShapeEvaluator),
    media=Media(
        preview=media.picture,
        write=media.write,
        read=media.read,
        tile=lambda info, options: (media.TILE, media.TILE),
        film=media.film,
        endings=(*media.SUFFIXES, ""),
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
