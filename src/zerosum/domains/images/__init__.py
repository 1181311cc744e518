"""Images of any size, grey or colour, from a named data set, a folder, a zip or an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum import domain
from zerosum.domain import Baseline, Domain, Facts
from zerosum.domains.images import augments, networks, preview, recipes
from zerosum.domains.images.data import ImageSource, Shape, open_source, recognise, sources
from zerosum.domains.images.networks.maxout import SigmoidGenerator
from zerosum.engine.duel import Duel
from zerosum.engine.game import Game
from zerosum.errors import UserError
from zerosum.recipe import Part, Recipe


def _open(data: Part, allow_download: bool) -> ImageSource:
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
        "num_rows": source.num_rows,
        "num_heldout": source.num_heldout,
        "fingerprint": source.fingerprint,
        "notes": [*_held_out(source), *source.notes],
    }


def _held_out(source: ImageSource) -> list[str]:
    held = source.num_heldout
    return [f"{held:,} more images are held out: never trained on, used to see what D remembers."] if held else []


def shape_of(facts: Facts) -> Shape:
    """The Shape in a source's facts."""
    return Shape(facts["channels"], facts["height"], facts["width"], facts["num_classes"])


def _describe(facts: Facts) -> str:
    colour = "grey" if facts["channels"] == 1 else "colour"
    classes = f", {facts['num_classes']} classes" if facts["num_classes"] else ", no labels"
    return f"{facts['num_rows']:,} images {facts['width']}x{facts['height']} {colour}{classes}"


def _game(recipe: Recipe, facts: Facts) -> Duel:
    return domain.duel(
        recipe,
        networks.GENERATORS,
        networks.DISCRIMINATORS,
        augments.AUGMENTS,
        shape_of(facts),
        facts["num_classes"],
    )


def _initialise(game: Game, source: ImageSource) -> None:
    """A generator that begins at the marginals of the pixels looks at the training images."""
    for network in game.players.values():
        if isinstance(network, SigmoidGenerator):
            network.start_at_marginals(source)


def _baselines(source: ImageSource) -> Mapping[str, Callable[[], Baseline]]:
    from zerosum.domains.images.baselines import baselines

    return baselines(source)


def _evaluator(source: ImageSource, seed: int) -> Any:
    from zerosum.domains.images.judged import UnitEvaluator

    return UnitEvaluator(source, seed)


def _read(paths: Sequence[Path], facts: Facts) -> Tensor:
    """Image files as the discriminator wants them: decoded, cropped and resized as training images are."""
    from zerosum.domains.images.judged import read_images

    if not paths:
        raise UserError("judge needs at least one image file.")
    return read_images(paths, shape_of(facts))


def _within(samples: Tensor, recipe: Recipe) -> Tensor:
    """Clamped to [-1, 1] in place; a generator that ends in tanh needs no further pass over its samples."""
    return samples if recipe.generator.options.get("output", "tanh") == "tanh" else samples.clamp_(-1, 1)


DOMAIN = Domain(
    name="images",
    summary="images of any size, grey or colour: a named data set, a folder, a zip, an array",
    recognise=recognise,
    sources=sources,
    open=_open,
    facts=_facts,
    describe=_describe,
    game=_game,
    recipes=recipes.RECIPES,
    choose=recipes.choose,
    evaluator=_evaluator,
    picture=lambda samples, path, scene: preview.grid(samples, scene.columns, path),
    write=lambda samples, path, facts: preview.write(samples, path),
    read=_read,
    within=_within,
    initialise=_initialise,
    baselines=_baselines,
)
