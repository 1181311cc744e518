"""Tables of numbers, categories and dates: rows are generated with missing values and in the format of the original table."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from zerosum import domain
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, PreviewContext, Recipes, WriteOptions
from zerosum.domains.tables import (
    baselines,
    conditional_sampling,
    data,
    metrics,
    networks,
    preview,
    reading,
    recipes,
    terms,
    transform,
    writing,
)
from zerosum.domains.tables.layout import condition_width, layout_of
from zerosum.domains.tables.table import CATEGORICAL, NUMERIC
from zerosum.engine.duel import Duel
from zerosum.recipe import Recipe


def _describe(info: DatasetInfo) -> str:
    kinds = [column["kind"] for column in info.payload["columns"] if column["kind"] in (*NUMERIC, *CATEGORICAL)]
    found = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return f"{info.num_rows:,} rows of {len(kinds)} columns (" + ", ".join(f"{n} {k}" for k, n in found.items()) + ")"


def _game(recipe: Recipe, info: DatasetInfo) -> Duel:
    return domain.duel(
        recipe,
        networks.GENERATORS,
        networks.DISCRIMINATORS,
        {},
        layout_of(info.payload),
        num_classes=0,
        num_attributes=condition_width(info.payload),
        penalties=terms.TERMS,
    )


def _generator(recipe: Recipe, info: DatasetInfo) -> nn.Module:
    return domain.generator(
        recipe, networks.GENERATORS, layout_of(info.payload), num_attributes=condition_width(info.payload)
    )


def _write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    if path.suffix.lower() == ".png":
        preview.picture(samples, path, PreviewContext(0, info, samples.new_zeros(len(samples), 0)))
        return [path]
    return writing.write_table(transform.from_payload(info.payload).decode(samples), path, info)


DOMAIN = Domain(
    name="tables",
    summary="tables: a CSV or Parquet file of numbers, categories, dates, or a table that comes with scikit-learn",
    data=Data(
        can_open=reading.can_open,
        open=data.open_source,
        info=data.TableSource.info,
        describe=_describe,
        sources=lambda: reading.SOURCES,
        payload=data.Payload,
        looks_like=reading.looks_like,
    ),
    game=Games(
        build=_game,
        build_generator=_generator,
        resolve_auto=recipes.resolve_auto,
        parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    ),
    evaluation=Evaluation(
        evaluator=metrics.TableEvaluator, extra_metrics=metrics.extra_metrics, baselines=baselines.fits
    ),
    media=Media(
        preview=preview.picture,
        write=_write,
        read=data.read_rows,
        num_shown=preview.NUM_SHOWN,
        sample=conditional_sampling.sample_file,
        sample_options=(conditional_sampling.WHERE,),
        sample_name="samples.csv",
        endings=(*writing.ENDINGS, ".png"),
    ),
    recipes=Recipes(recipes.RECIPES, recipes.recommend_recipe),
)
