"""Translation: pictures of one kind into pictures of another, from pairs or without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.data.images import pictures
from zerosum.domain import Domain, Facts, WriteOptions
from zerosum.domains.translation import data, inference, preview, recipes
from zerosum.domains.translation.facts import shown, sides
from zerosum.domains.translation.game import game, generator
from zerosum.domains.translation.image_collection import read_album
from zerosum.domains.translation.networks import DISCRIMINATORS, GENERATORS
from zerosum.domains.translation.source import PairSource
from zerosum.errors import UserError
from zerosum.recipe import Recipe


def _describe(facts: Facts) -> str:
    given, wanted = sides(facts)
    a, b = facts["num_images"]
    num = f"{a:,} pairs" if facts["paired"] else f"{a:,} and {b:,} images without pairs"
    height, width = facts["size"]
    return f"{num}, {given.describe()} to {wanted.describe()}, in rows of {width}x{height}"


def _evaluator(source: PairSource, seed: int) -> Any:
    from zerosum.domains.translation.metrics import TranslationEvaluator

    return TranslationEvaluator(source, seed)


def _read(paths: Sequence[Path], facts: Facts) -> Tensor:
    """Files of the target side as the discriminator wants them, at the size of the training rows."""
    if not paths:
        raise UserError("judge needs at least one image file.")
    height, width = facts["size"]
    album = read_album(list(paths), like=sides(facts)[1], size=(height, width))
    return torch.stack([album.whole(row) for row in range(len(album))])


def _within(samples: Tensor, recipe: Recipe) -> Tensor:
    """Clamped to [-1, 1] in place: generators end linearly."""
    return samples.clamp_(-1, 1)


DOMAIN = Domain(
    name="translation",
    summary="pictures into pictures: label maps, outlines, another season or style; pairs, or two heaps without pairs",
    recognise=data.recognise,
    sources=data.sources,
    open=data.open_source,
    facts=PairSource.facts,
    describe=_describe,
    game=game,
    generator=generator,
    parts={"generator": GENERATORS, "discriminator": DISCRIMINATORS},
    recipes=recipes.RECIPES,
    choose=recipes.choose,
    tuned=recipes.tuned,
    evaluator=_evaluator,
    picture=preview.picture,
    write=lambda samples, path, facts, form=WriteOptions(): pictures.write(
        shown(samples, sides(facts)[1]), path, form.size, form.names
    ),
    read=_read,
    within=_within,
    examples=PairSource.examples,
    produce=inference.produce,
    num_shown=preview.NUM_SHOWN,
    pixels=True,
    claims=data.claims,
)
