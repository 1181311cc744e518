"""Shapes as point clouds: meshes and clouds in files, a game on points, and a game in phases on an auto-encoder's codes."""

from __future__ import annotations

from zerosum.domain import Domain, Facts
from zerosum.domains.points import data, export, files, game, networks, recipes
from zerosum.domains.points.evaluator import ShapeEvaluator


def _describe(facts: Facts) -> str:
    classes = f" in {facts['num_classes']} classes" if facts["num_classes"] else ""
    return f"{facts['num_rows']:,} shapes of {facts['num_points']} points{classes}"


DOMAIN = Domain(
    name="points",
    summary="shapes as point clouds: a named source, a folder of .ply .off .obj .stl .xyz .npy files, or an array (N, P, 3)",
    recognise=data.recognise,
    sources=data.sources,
    open=data.open_source,
    facts=data.CloudSource.facts,
    describe=_describe,
    game=game.build,
    parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    generator=game.generator,
    recipes=recipes.RECIPES,
    choose=recipes.choose,
    evaluator=ShapeEvaluator,
    picture=export.picture,
    write=export.write,
    tile=lambda facts: (export.TILE, export.TILE),
    read=export.read,
    initialise=game.initialise,
    film=export.film,
    endings=(*export.SUFFIXES, ""),
    claims=files.claims,
    arrays="(N, P, 3): N shapes of P points",
)
