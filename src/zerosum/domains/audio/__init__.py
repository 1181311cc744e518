"""Sound: recordings from files, and a game on their spectrograms that makes new ones."""

from __future__ import annotations

from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes, WriteOptions
from zerosum.domains.audio import augmentation, data, files, game, media, recipes, speaking, streaming, tasks, writing
from zerosum.domains.audio.baselines import baselines


def _tile(info: DatasetInfo, options: WriteOptions) -> tuple[int, int]:
    return media.tile(info)


DOMAIN = Domain(
    name="audio",
    summary="sounds: a named source, or a folder, zip or tar of recordings (.wav, .flac, .ogg, .opus, .mp3, .aiff)",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.AudioSource.info,
        describe=data.describe,
        sources=data.sources,
        payload=data.AudioPayload,
        looks_like=files.looks_like,
        read_like=data.read_like,
        smaller=data.smaller,
        examples=data.examples,
    ),
    game=Games(
        build=game.build,
        build_generator=game.generator,
        resolve_auto=recipes.resolve_auto,
        parts={
            "generator": game.GENERATORS,
            "discriminator": game.DISCRIMINATORS,
            "augment": augmentation.AUGMENTS,
        },
    ),
    evaluation=Evaluation(
        evaluator=tasks.evaluator,
        baselines=baselines,
        configure=tasks.adjusted,
        conditions=tasks.conditions,
        best_metric=tasks.best_metric,
        num_quick=tasks.num_quick,
    ),
    media=Media(
        preview=media.sheet,
        write=media.write,
        read=writing.read_sounds,
        num_shown=media.NUM_SHOWN,
        tile=_tile,
        sound=media.sound,
        sample=tasks.sample,
        num_heard=media.NUM_HEARD,
        windows=writing.windows_of,
        scored=media.scored,
        sample_name="samples",
        sample_options=(streaming.INPUT, *speaking.OPTIONS, writing.SUBTYPE),
        similarity=media.similarity,
        endings=(*writing.WRITTEN[:-1], ".png", ""),
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
