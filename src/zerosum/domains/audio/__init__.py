"""Sound: recordings from files, and a game on their spectrograms that makes new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.data.images import pictures
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, PreviewContext, Recipes, kit
from zerosum.domains.audio import data, files, game, networks, recipes
from zerosum.domains.audio.signal import Spectrogram, mel_filters

BANDS = 40
"""Mel bands of the features that clips are measured in."""


def _log_mel(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N, 3 BANDS): mean and deviation over time of the log mel magnitudes, and the deviation of their steps."""
    spectrogram = Spectrogram(512, 128)
    logs = (mel_filters(rate, 512, BANDS) @ spectrogram.magnitudes(waves.cpu()).mean(1) + 1e-3).log()
    return torch.cat([logs.mean(2), logs.std(2), logs.diff(dim=2).std(2)], 1)


def _evaluator(source: Any, seed: int) -> kit.FeatureEvaluator:
    return kit.FeatureEvaluator(source, lambda waves: _log_mel(waves, source.rate), "log-mel", seed=seed)


def _preview(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """The spectrograms of the first channel, low frequencies at the bottom."""
    spectrogram = networks.spectrogram_of(game.sound_of(context.info))
    pictures.save_grid(spectrogram.scaled(samples[:, :1]).flip(2), context.columns, path)


def _read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    return kit.read_numbers(paths, info)


DOMAIN = Domain(
    name="audio",
    summary="sounds: a named source",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.AudioSource.info,
        describe=data.describe,
        sources=data.sources,
        payload=data.AudioPayload,
        looks_like=lambda path: files.can_open(str(path)),
    ),
    game=Games(
        build=game.build,
        build_generator=game.generator,
        resolve_auto=recipes.resolve_auto,
        parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    ),
    evaluation=Evaluation(evaluator=_evaluator),
    media=Media(preview=_preview, write=kit.write_numbers, read=_read, endings=kit.ENDINGS),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
