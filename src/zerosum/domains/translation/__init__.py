"""Image-to-image translation, trained on pairs of images or on two sets of images without pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.data.images import pictures
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes, WriteOptions, picture_size
from zerosum.domains.translation import data, inference, preview, recipes
from zerosum.domains.translation.game import game, generator
from zerosum.domains.translation.image_collection import read_collection
from zerosum.domains.translation.networks import DISCRIMINATORS, GENERATORS
from zerosum.domains.translation.sides import sides, size_of, to_displayable
from zerosum.domains.translation.source import PairSource, TranslationPayload
from zerosum.errors import UserError


def _describe(info: DatasetInfo) -> str:
    given, target = sides(info)
    a, b = info.payload["num_images"]
    num = f"{a:,} pairs" if info.payload["paired"] else f"{a:,} and {b:,} images without pairs"
    height, width = size_of(info)
    return f"{num}, {given.describe()} to {target.describe()}, in rows of {width}x{height}"


def _evaluator(source: PairSource, seed: int) -> Any:
    from zerosum.domains.translation.evaluator import TranslationEvaluator

    return TranslationEvaluator(source, seed)


def _num_quick(info: DatasetInfo) -> int:
    """Fewer where rows are large, so that a preview takes a few seconds."""
    height, width = size_of(info)
    return max(32, min(256, 256 * 64 * 64 // (height * width)))


def _read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """Reads images of the target side as the discriminator takes them, at the size of the training rows."""
    if not paths:
        raise UserError("judge needs at least one image file.")
    collection = read_collection(list(paths), like=sides(info)[1], size=size_of(info))
    return torch.stack([collection.whole(row) for row in range(len(collection))])


def _write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    return pictures.save_samples(to_displayable(samples, sides(info)[1]), path, picture_size(options), options.names)


DOMAIN = Domain(
    name="translation",
    summary="images into images: label maps, outlines, another season or style; pairs of images, or two sets without pairs",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=PairSource.info,
        describe=_describe,
        sources=data.sources,
        payload=TranslationPayload,
        looks_like=data.looks_like,
        examples=PairSource.examples,
        smaller=lambda info: pictures.suggest_half_size(*size_of(info)),
    ),
    game=Games(
        build=game,
        build_generator=generator,
        resolve_auto=recipes.resolve_auto,
        parts={"generator": GENERATORS, "discriminator": DISCRIMINATORS},
    ),
    evaluation=Evaluation(
        evaluator=_evaluator,
        conditions=lambda evaluator: evaluator.conditions(),
        best_metric="patch_distance",
        num_quick=_num_quick,
    ),
    media=Media(
        preview=preview.picture,
        write=_write,
        read=_read,
        num_shown=preview.NUM_SHOWN,
        postprocess=lambda samples, recipe: samples.clamp_(-1, 1),  # in place: generators end linearly
        sample=inference.sample,
        transform=inference.transform,
        sample_options=inference.OPTIONS,
        pixels=True,
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
