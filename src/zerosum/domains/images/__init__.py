"""Images of any size, grey or colour, from a named data set, a folder, an archive or an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import domain
from zerosum.data.images import film, paths, pictures, transparency
from zerosum.data.images.types import RGBA, WHITE, Alpha, Crop, OnBad
from zerosum.domain import Baseline, Domain, Facts, WriteOptions
from zerosum.domains.images import augments, networks, recipes
from zerosum.domains.images.data import ImageSource, Shape, open_source, recognise, sources
from zerosum.domains.images.networks.maxout import SigmoidGenerator
from zerosum.engine.duel import Duel
from zerosum.engine.game import Game
from zerosum.engine.loop import TrainingLoop
from zerosum.errors import UserError
from zerosum.metrics.record import Record
from zerosum.recipe import Component, Recipe

NUM_EXAMPLES = 256
FEWEST_IMAGES, SOME_IMAGES = 50, 500
"""Below the first a network can only learn images by heart; from about the second on it has something to vary."""


def _open(data: Component, allow_download: bool) -> ImageSource:
    return domain.make("data", {data.kind: _opener}, data, data.kind, allow_download)  # type: ignore[no-any-return]


def _opener(
    where: str,
    allow_download: bool,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    labelled: bool = True,
    heldout: float = 0.1,
    validation: float = 0.0,
    max_images: int | None = None,
    crop: Crop = "centre",
    flip: bool = False,
    attributes: str | bool | None = None,
    on_bad: OnBad = "stop",
    cache: bool = True,
    links: bool = False,
    background: str = WHITE,
    alpha: Alpha = "flatten",
) -> ImageSource:
    """The options of `data` in an image recipe; size is one number or [height, width]."""
    both = (size, size) if isinstance(size, int) else size
    return open_source(
        where,
        size=both,
        channels=channels,
        labelled=labelled,
        heldout=heldout,
        validation=validation,
        max_images=max_images,
        crop=crop,
        flip=flip,
        attributes=attributes,
        on_bad=on_bad,
        cache=cache,
        links=links,
        background=background,
        alpha=alpha,
        allow_download=allow_download,
    )


def _facts(source: ImageSource) -> dict[str, Any]:
    shape, labels = source.shape, source.train.labels
    counts = torch.bincount(labels, minlength=shape.num_classes).tolist() if labels is not None else []
    return {
        "name": source.name,
        "channels": shape.channels,
        "height": shape.height,
        "width": shape.width,
        "num_classes": shape.num_classes,
        "class_names": list(source.class_names),
        "class_counts": counts,
        "num_attributes": len(source.attribute_names),
        "attribute_names": list(source.attribute_names),
        "attribute_scales": [list(scale) for scale in source.attribute_scales],
        "attribute_rows": _examples(source),
        "num_rows": source.num_rows,
        "num_images": len(source.train),
        "flip": source.flip,
        "crop": source.crop,
        "background": source.background,
        "measure": source.measure,
        "num_heldout": source.num_heldout,
        "fingerprint": source.fingerprint,
        "notes": [*_held_out(source), *_too_few(source), *_premultiplied(source), *source.notes],
    }


def _examples(source: ImageSource) -> list[list[float]]:
    """Attributes of at most NUM_EXAMPLES training images at even distances: a published generator samples under them."""
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
    more = f", {apart:,} are set apart to choose by" if apart else ""
    return [
        f"Of {num + held + apart:,} images {num:,} are trained on, {held:,} are held out: never trained on, used to see what D "
        f"remembers{more}. Numbers of images in other notes are of all of them."
    ]


def _too_few(source: ImageSource) -> list[str]:
    num = len(source.train)
    if num >= FEWEST_IMAGES:
        return []
    return [
        f"Only {num} images: they can be learnt by heart and little else, so expect copies of them and blends. For new "
        f"images give {FEWEST_IMAGES} at least, better {SOME_IMAGES} or more."
    ]


def _premultiplied(source: ImageSource) -> list[str]:
    if source.shape.channels != RGBA:
        return []
    return [
        "Networks, `run.sample` and exported generators have 4 channels in [-1, 1]: red, green, blue, each multiplied by alpha, "
        f"and alpha. Files are written as RGBA with colours that are not multiplied; measures see images on {source.background}."
    ]


def shape_of(facts: Facts) -> Shape:
    """The Shape in a source's facts."""
    return Shape(facts["channels"], facts["height"], facts["width"], facts["num_classes"])


def _describe(facts: Facts) -> str:
    colour = {1: "grey", RGBA: "colour with transparency (4 channels, premultiplied)"}.get(facts["channels"], "colour")
    classes = f", {facts['num_classes']} classes" if facts["num_classes"] else ", no labels"
    told = f", {facts['num_attributes']} attribute(s)" if facts.get("num_attributes") else classes
    mirrored = " and their mirror images" if facts.get("flip") else ""
    num = facts.get("num_images", facts["num_rows"])
    return f"{num:,} images{mirrored} {facts['width']}x{facts['height']} {colour}{told}"


def _game(recipe: Recipe, facts: Facts) -> Duel:
    game = domain.duel(
        recipe,
        networks.GENERATORS,
        networks.DISCRIMINATORS,
        augments.AUGMENTS,
        shape_of(facts),
        facts["num_classes"],
        facts.get("num_attributes", 0),
    )
    if facts["channels"] == RGBA:
        game.augment = augments.BackgroundAugment(game.augment)
    return game


def _generator(recipe: Recipe, facts: Facts) -> nn.Module:
    return domain.generator(
        recipe, networks.GENERATORS, shape_of(facts), facts["num_classes"], facts.get("num_attributes", 0)
    )


def _initialise(game: Game, source: ImageSource) -> None:
    """A generator that begins at the marginals of the pixels looks at the training images."""
    for network in game.players.values():
        if isinstance(network, SigmoidGenerator):
            network.start_at_marginals(source)


def _beside(recipe: Recipe, match: TrainingLoop, fakes: Tensor) -> Sequence[Record]:
    """Whether the augmentation leaks, where there is one."""
    from zerosum.domains.images import augmentation_leak

    game, source = match.game, match.source
    if recipe.augment is None or not isinstance(game, Duel) or not isinstance(source, ImageSource) or not game.augment:
        return ()
    strength = game.strength(match.step)
    augment = game.augment
    if isinstance(augment, augments.BackgroundAugment) and augment.augment:
        augment, fakes = (
            augment.augment,
            transparency.laid(transparency.possible(fakes.clamp(-1, 1)), source.background),
        )
    return augmentation_leak.records(
        source.seen, augment, fakes, recipe.seed, strength=strength, name=recipe.augment.kind
    )


def _baselines(source: ImageSource) -> Mapping[str, Callable[[], Baseline]]:
    from zerosum.domains.images.baselines import baselines

    return baselines(source)


def _evaluator(source: ImageSource, seed: int) -> Any:
    from zerosum.domains.images.pixel_evaluator import PixelEvaluator

    return PixelEvaluator(source, seed)


def _read(paths: Sequence[Path], facts: Facts) -> Tensor:
    """Image files as the discriminator wants them: decoded, cropped and resized as training images are."""
    from zerosum.domains.images.pixel_evaluator import read_images

    if not paths:
        raise UserError("judge needs at least one image file.")
    return read_images(paths, shape_of(facts), facts.get("crop", "centre"), facts.get("background", WHITE))


def _likeness(samples: Tensor) -> Sequence[Tensor]:
    """Coarse pixels, and the direction of the features of a fixed random network, which knows no data set."""
    from torch.nn.functional import adaptive_avg_pool2d, normalize

    from zerosum.metrics.classifier import extract
    from zerosum.metrics.random_features import random_features

    pixels = pictures.to_pixels(samples)
    channels, height, width = pixels.shape[1:]
    features = extract(random_features((channels, height, width)), pixels)
    return adaptive_avg_pool2d(samples, (min(height, 16), min(width, 16))).flatten(1), normalize(features)


def _within(samples: Tensor, recipe: Recipe) -> Tensor:
    """Clamped to [-1, 1] in place: a generator may end linearly. RGBA: no colour is above its alpha."""
    samples = samples.clamp_(-1, 1)
    return transparency.possible(samples) if samples.shape[1] == RGBA else samples


DOMAIN = Domain(
    name="images",
    summary="images of any size, grey or colour: a named data set, a folder, a zip, tar shards, an array",
    recognise=recognise,
    sources=sources,
    open=_open,
    facts=_facts,
    describe=_describe,
    game=_game,
    parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS, "augment": augments.AUGMENTS},
    generator=_generator,
    recipes=recipes.RECIPES,
    choose=recipes.choose,
    tuned=recipes.tuned,
    evaluator=_evaluator,
    picture=lambda samples, path, scene: pictures.grid(samples, scene.columns, path, scene.size),
    write=lambda samples, path, facts, form=WriteOptions(): pictures.write(samples, path, form.size, form.names),
    tile=lambda facts: (max(int(facts["height"]), pictures.TILE), max(int(facts["width"]), pictures.TILE)),
    read=_read,
    within=_within,
    initialise=_initialise,
    beside=_beside,
    baselines=_baselines,
    film=film.film,
    pixels=True,
    likeness=_likeness,
    endings=pictures.ENDINGS,
    claims=paths.claims,
    paths=("attributes",),
    arrays="(N, H, W), (N, H, W, C) or (N, C, H, W), C = 1, 3 or 4: images; in an .npz named 'images'",
)
