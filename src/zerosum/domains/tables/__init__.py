"""Tables of numbers, categories, dates: rows are learnt with their missing values and come back spelled as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zerosum import domain
from zerosum.domain import Domain, Facts, PreviewContext, WriteOptions
from zerosum.domains.tables import (
    baselines,
    choice,
    conditional_sampling,
    conditions,
    encode_file,
    networks,
    preview,
    reading,
    recipes,
    terms,
    transform,
    writing,
)
from zerosum.domains.tables.columns import CATEGORICAL, NUMERIC
from zerosum.domains.tables.data import TableSource, open_source
from zerosum.domains.tables.layout import condition_width, layout_of
from zerosum.domains.tables.metrics import TableEvaluator, beside
from zerosum.domains.tables.summary import summary
from zerosum.engine.duel import Duel
from zerosum.recipe import Recipe


def _describe(facts: Facts) -> str:
    kinds = [column["kind"] for column in facts["columns"] if column["kind"] in (*NUMERIC, *CATEGORICAL)]
    found = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return (
        f"{facts['num_rows']:,} rows of {len(kinds)} columns (" + ", ".join(f"{n} {k}" for k, n in found.items()) + ")"
    )


def _facts(source: TableSource) -> dict[str, Any]:
    return source.facts() | {"summary": summary(source)}


def _game(recipe: Recipe, facts: Facts) -> Duel:
    return domain.duel(
        recipe,
        networks.GENERATORS,
        networks.DISCRIMINATORS,
        {},
        layout_of(facts),
        num_classes=0,
        num_attributes=condition_width(facts),
        penalties=terms.TERMS,
    )


def _generator(recipe: Recipe, facts: Facts) -> nn.Module:
    return domain.generator(recipe, networks.GENERATORS, layout_of(facts), num_attributes=condition_width(facts))


def _write(samples: Tensor, path: Path, facts: Facts, form: WriteOptions = WriteOptions()) -> list[Path]:
    if path.suffix.lower() == ".png":
        preview.picture(samples, path, PreviewContext(0, facts, samples.new_zeros(len(samples), 0)))
        return [path]
    return writing.written(transform.of_facts(facts).decoded(samples), path, facts)


DOMAIN = Domain(
    name="tables",
    summary="tables: a CSV or Parquet file of numbers, categories, dates, or a table that comes with scikit-learn",
    recognise=reading.recognise,
    sources=lambda: reading.SOURCES,
    open=open_source,
    facts=_facts,
    describe=_describe,
    game=_game,
    parts={"generator": networks.GENERATORS, "discriminator": networks.DISCRIMINATORS},
    generator=_generator,
    recipes=recipes.RECIPES,
    choose=choice.choose,
    evaluator=TableEvaluator,
    picture=preview.picture,
    write=_write,
    read=encode_file.read,
    tuned=choice.tuned,
    beside=beside,
    baselines=baselines.fits,
    num_shown=preview.NUM_SHOWN,
    draw=conditions.draw,
    produce=conditional_sampling.produce,
    sample_name="samples.csv",
    endings=(*writing.ENDINGS, ".png"),
    claims=reading.claims,
)
