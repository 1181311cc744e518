"""Medical images and volumes: slices, patches and whole small volumes, unconditional, by class, or from label maps and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes
from zerosum.domains.medical import data, game, media, networks, recipes, sampling


def _describe(info: DatasetInfo) -> str:
    train, _ = info.payload["num_scans"]
    given = {"labels": ", from label maps", "image": ", from other images", "thick": ", from thick slices"}
    classes = f" in {info.num_classes} classes" if info.num_classes else ""
    return f"{info.num_rows:,} rows of {train:,} scans{classes}: {info.sample.description}{given.get(info.payload['input'], '')}"


def _evaluator(source: data.ScanSource, seed: int) -> Any:
    from zerosum.domains.medical.evaluator import MedicalEvaluator

    return MedicalEvaluator(source, seed)


def _baselines(source: data.ScanSource) -> Any:
    from zerosum.domains.medical.baselines import baselines

    return baselines(source)


def _looks_like(path: Path) -> bool:
    from zerosum.domains.medical import files

    return files.looks_like(path)


def _num_quick(info: DatasetInfo) -> int:
    slow = len(info.sample.shape) == 4 or info.payload["input"] != "none"
    return 32 if slow else 128


DOMAIN = Domain(
    name="medical",
    summary="medical images and volumes: phantoms, NIfTI files, DICOM series, .npz of MedMNIST; with label maps or classes",
    data=Data(
        can_open=data.can_open,
        open=data.open_source,
        info=data.ScanSource.info,
        describe=_describe,
        sources=data.sources,
        payload=data.MedicalPayload,
        looks_like=_looks_like,
        paths=("table",),
        examples=data.ScanSource.examples,
    ),
    game=Games(
        build=game.build,
        build_generator=game.generator,
        resolve_auto=recipes.resolve_auto,
        parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    ),
    evaluation=Evaluation(
        evaluator=_evaluator,
        baselines=_baselines,
        conditions=lambda evaluator: evaluator.conditions(),
        best_metric="patch_distance",
        num_quick=_num_quick,
    ),
    media=Media(
        preview=media.preview,
        write=media.write,
        read=media.read,
        num_shown=16,
        postprocess=lambda samples, recipe: samples.clamp_(-1, 1),  # in place: generators end linearly
        sample=sampling.sample,
        transform=sampling.transform,
        sample_options=(sampling.INPUT, media.LIKE, media.DICOM),
        endings=media.ENDINGS,
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
