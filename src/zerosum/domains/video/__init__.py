"""Video: clips from files or made by code, and a game whose generator moves contents on smooth paths."""

from __future__ import annotations

from torch import nn

from zerosum import domain
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes
from zerosum.domains.video import augmentation, data, files, media, networks, recipes, sampling
from zerosum.domains.video.baselines import baselines
from zerosum.domains.video.evaluator import NUM_QUICK, VideoEvaluator
from zerosum.domains.video.networks import Video
from zerosum.engine.game import Game
from zerosum.recipe import Recipe


def _video(info: DatasetInfo) -> Video:
    axes = info.sample.axes
    return Video(axes["frames"], axes["channels"], axes["height"], axes["width"])


def _build(recipe: Recipe, info: DatasetInfo) -> Game:
    return domain.duel(
        recipe, networks.GENERATORS, networks.DISCRIMINATORS, augmentation.AUGMENTS, _video(info), info.num_classes
    )


def _generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    return domain.generator(recipe, networks.GENERATORS, _video(info), info.num_classes)


DOMAIN = Domain(
    name="video",
    summary="clips of videos: a named source, or a file, folder or zip of videos (.mp4, .webm, .mkv, .gif, .apng ...)",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.ClipSource.info,
        describe=data.describe,
        sources=data.sources,
        payload=data.VideoPayload,
        looks_like=files.looks_like,
        read_like=data.read_like,
        smaller=data.smaller,
    ),
    game=Games(
        build=_build,
        build_generator=_generator,
        parts={
            "generator": networks.GENERATORS,
            "discriminator": networks.DISCRIMINATORS,
            "augment": augmentation.AUGMENTS,
        },
    ),
    evaluation=Evaluation(
        evaluator=VideoEvaluator,
        baselines=baselines,
        configure=lambda evaluator, options: evaluator.adjusted(options),
        num_quick=NUM_QUICK,
    ),
    media=Media(
        preview=media.sheet,
        write=media.write,
        read=media.read,
        num_shown=media.NUM_SHOWN,
        tile=media.tile,
        sample=sampling.sample,
        sample_options=sampling.OPTIONS,
        sample_conditional=True,
        similarity=media.similarity,
        endings=media.ENDINGS,
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
