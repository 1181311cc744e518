"""Images of any size, grey or colour, from a named data set, a folder, an archive or an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.data.images import film, paths, pictures
from zerosum.data.images.loaded import RGBA, Crop, ImageOptions
from zerosum.domain import (
    SIZE,
    AttributeCondition,
    Baseline,
    ClassCondition,
    Condition,
    Data,
    DatasetInfo,
    Domain,
    Evaluation,
    Games,
    Media,
    Recipes,
    SampleInfo,
    WriteOptions,
    picture_size,
)
from zerosum.domains.images import augments, networks, recipe_rules, recipes
from zerosum.domains.images.data import ImageSource, Shape, can_open, open_images, sources
from zerosum.domains.images.networks.maxout import SigmoidGenerator
from zerosum.engine.duel import Duel
from zerosum.engine.game import Game
from zerosum.engine.loop import TrainingLoop
from zerosum.errors import UserError
from zerosum.metrics.record import Record
from zerosum.recipe import Component, Recipe

NUM_EXAMPLES = 256
FEWEST_IMAGES, SOME_IMAGES = 50, 500
"""Below the first number a network can only memorise the images; from about the second on it can generate variations."""


def _open(data: Component, allow_download: bool) -> ImageSource:
    options = domain.make("data", {data.kind: ImageOptions}, data)
    return open_images(data.kind, options, allow_download=allow_download)


@dataclass(frozen=True)
class ImagePayload:
    """num_images: training images, without mirror images. class_names: of the class folders where the condition is attributes;
    else the condition has them. The others: see ImageSource."""

    num_images: int
    flip: bool
    crop: Crop
    background: str
    measure: str
    class_names: list[str] = field(default_factory=list)


def _info(source: ImageSource) -> DatasetInfo:
    shape = source.shape
    colour = {1: "grey", RGBA: "colour with transparency (4 channels, premultiplied)"}.get(shape.channels, "colour")
    return DatasetInfo(
        source.name,
        source.num_rows,
        source.num_heldout,
        source.fingerprint,
        SampleInfo(
            {"channels": shape.channels, "height": shape.height, "width": shape.width},
            f"{shape.width}x{shape.height} {colour}",
        ),
        (*_held_out(source), *_too_few(source), *_premultiplied(source), *source.notes),
        _condition(source),
        asdict(_payload(source)),
    )


def _payload(source: ImageSource) -> ImagePayload:
    names = list(source.class_names) if source.attribute_names else []
    return ImagePayload(len(source.train), source.flip, source.crop, source.background, source.measure, names)


def _condition(source: ImageSource) -> Condition | None:
    """The attributes of the images, else their classes."""
    labels, num_classes = source.train.labels, source.shape.num_classes
    if source.attribute_names:
        rows = tuple(map(tuple, _examples(source)))
        return AttributeCondition(source.attribute_names, source.attribute_scales, rows)
    if not num_classes or labels is None:
        return None
    return ClassCondition(tuple(source.train.class_counts(num_classes)), source.class_names)


def _examples(source: ImageSource) -> list[list[float]]:
    """Attributes of at most NUM_EXAMPLES evenly spaced training images, which an exported generator uses as conditions."""
    rows = source.train.attributes
    if rows is None:
        return []
    num = min(NUM_EXAMPLES, len(rows))
    found: list[list[float]] = rows.cpu()[torch.arange(num) * len(rows) // num].tolist()
    return found


def _held_out(source: ImageSource) -> list[str]:
    num, held, apart = len(source.train), source.num_heldout, len(source.validation or ())
    if not held:
        return []
    more = f", {apart:,} are kept apart to choose models" if apart else ""
    return [
        f"Of {num + held + apart:,} images {num:,} are trained on, {held:,} are held out: never trained on, used to measure "
        f"what D memorises{more}. Numbers of images in other notes refer to all of them."
    ]


def _too_few(source: ImageSource) -> list[str]:
    num = len(source.train)
    if num >= FEWEST_IMAGES:
        return []
    return [
        f"Only {num} images: a network can memorise them and learns little else, so expect copies and blends of them. For new "
        f"images give at least {FEWEST_IMAGES}, better {SOME_IMAGES} or more."
    ]


def _premultiplied(source: ImageSource) -> list[str]:
    if source.shape.channels != RGBA:
        return []
    return [
        "Networks, `run.sample` and exported generators have 4 channels in [-1, 1]: red, green, blue, each multiplied by alpha, "
        f"and alpha. Files are written as RGBA with colours that are not multiplied; measures see images on {source.background}."
    ]


def shape_of(info: DatasetInfo) -> Shape:
    """The Shape of the images of a data set."""
    axes = info.sample.axes
    return Shape(axes["channels"], axes["height"], axes["width"], info.num_classes)


def _describe(info: DatasetInfo) -> str:
    classes = f", {info.num_classes} classes" if info.num_classes else ", no labels"
    condition = f", {info.num_attributes} attribute(s)" if info.num_attributes else classes
    mirrored = " and their mirror images" if info.payload["flip"] else ""
    return f"{info.payload['num_images']:,} images{mirrored} {info.sample.description}{condition}"


def _read_like(info: DatasetInfo) -> dict[str, Any]:
    axes = info.sample.axes
    return {"size": [axes["height"], axes["width"]], "channels": axes["channels"]}


def _game(recipe: Recipe, info: DatasetInfo) -> Duel:
    game = domain.duel(
        recipe,
        networks.GENERATORS,
        networks.DISCRIMINATORS,
        augments.AUGMENTS,
        shape_of(info),
        info.num_classes,
        info.num_attributes,
    )
    if info.sample.axes["channels"] == RGBA:
        game.augment = augments.BackgroundAugment(game.augment)
    return game


def _generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    return domain.generator(recipe, networks.GENERATORS, shape_of(info), info.num_classes, info.num_attributes)


def _init_from_data(game: Game, source: ImageSource) -> None:
    """Initialises generators that start from the marginal distributions of the training pixels."""
    for network in game.players.values():
        if isinstance(network, SigmoidGenerator):
            network.start_at_marginals(source)


def _extra_metrics(recipe: Recipe, loop: TrainingLoop, fakes: Tensor) -> Sequence[Record]:
    """Records on whether the augmentation leaks into the samples; none without an augmentation."""
    from zerosum.domains.images import augmentation_leak

    game, source = loop.game, loop.source
    if recipe.augment is None or not isinstance(game, Duel) or not isinstance(source, ImageSource) or not game.augment:
        return ()
    strength = game.strength(loop.step)
    augment = game.augment
    if isinstance(augment, augments.BackgroundAugment) and augment.augment:
        augment, fakes = (
            augment.augment,
            pictures.composite_on(pictures.limit_to_alpha(fakes.clamp(-1, 1)), source.background),
        )
    return augmentation_leak.records(
        source.seen, augment, fakes, recipe.seed, strength=strength, name=recipe.augment.kind
    )


def _baselines(source: ImageSource) -> Mapping[str, Callable[[], Baseline]]:
    from zerosum.domains.images.baselines import baselines

    return baselines(source)


def _evaluator(source: ImageSource, seed: int) -> Any:
    from zerosum.domains.images.evaluator import PixelEvaluator

    return PixelEvaluator(source, seed)


def _read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """Image files as input of the discriminator: decoded, cropped and resized like training images."""
    from zerosum.domains.images.data import read_images

    if not paths:
        raise UserError("judge needs at least one image file.")
    return read_images(paths, shape_of(info), info.payload["crop"], info.payload["background"])


def _similarity(samples: Tensor) -> Sequence[Tensor]:
    """Coarse pixels, and normalised features of a fixed random network."""
    from torch.nn.functional import adaptive_avg_pool2d, normalize

    from zerosum.metrics.feature_networks import extract, random_features

    pixels = pictures.to_pixels(samples)
    channels, height, width = pixels.shape[1:]
    features = extract(random_features((channels, height, width)), pixels)
    return adaptive_avg_pool2d(samples, (min(height, 16), min(width, 16))).flatten(1), normalize(features)


def _postprocess(samples: Tensor, recipe: Recipe) -> Tensor:
    """Clamps the samples to [-1, 1] in place, since the last layer may be linear. RGBA: limits each colour to its alpha."""
    samples = samples.clamp_(-1, 1)
    return pictures.limit_to_alpha(samples) if samples.shape[1] == RGBA else samples


def _tile(info: DatasetInfo, options: WriteOptions) -> tuple[int, int]:
    if (size := picture_size(options)) is not None:
        return size.of(info.sample.axes["height"], info.sample.axes["width"])
    return max(info.sample.axes["height"], pictures.TILE), max(info.sample.axes["width"], pictures.TILE)


def _write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    return pictures.save_samples(samples, path, picture_size(options), options.names)


DOMAIN = Domain(
    name="images",
    summary="images of any size, grey or colour: a named data set, a folder, a zip, tar shards, an array",
    data=Data(
        can_open=can_open,
        open=_open,
        info=_info,
        describe=_describe,
        sources=sources,
        payload=ImagePayload,
        looks_like=paths.looks_like,
        paths=("attributes",),
        arrays="(N, H, W), (N, H, W, C) or (N, C, H, W), C = 1, 3 or 4: images; in an .npz named 'images'",
        read_like=_read_like,
        smaller=lambda info: pictures.suggest_half_size(info.sample.axes["height"], info.sample.axes["width"]),
    ),
    game=Games(
        build=_game,
        build_generator=_generator,
        init_from_data=_init_from_data,
        resolve_auto=recipe_rules.resolve_auto,
        parts={
            "generator": networks.GENERATORS,
            "discriminator": networks.DISCRIMINATORS,
            "augment": augments.AUGMENTS,
        },
    ),
    evaluation=Evaluation(
        evaluator=_evaluator,
        extra_metrics=_extra_metrics,
        baselines=_baselines,
        configure=lambda evaluator, options: evaluator.with_options(options),
        historic=lambda evaluator, sample: evaluator.historic(sample(evaluator.num_historic)),
    ),
    media=Media(
        preview=lambda samples, path, context: pictures.save_grid(
            samples, context.columns, path, picture_size(context)
        ),
        write=_write,
        read=_read,
        postprocess=_postprocess,
        tile=_tile,
        film=film.save_film,
        sample_options=(SIZE,),
        pixels=True,
        similarity=_similarity,
        endings=pictures.ENDINGS,
    ),
    recipes=Recipes(recipes.RECIPES, recipe_rules.recommend_recipe),
)
