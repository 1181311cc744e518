"""Every recipe of tables plays, with every kind of column; and a short game learns what is between two columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum import recipe as recipes
from zerosum.domains.tables import DOMAIN, layout
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.table_similarity import NumericMatrix, associations
from zerosum.engine import Stepped, TrainingLoop
from zerosum.planning.plan import settings
from zerosum.recipe import Recipe, part

SMOKE = ["generator.width=8", "discriminator.width=8", "batch=20", "steps=5", "conditional=true"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A number that decides a code, with gaps, beside a date."""
    random = np.random.default_rng(0)
    x = random.normal(size=600)
    code = np.where(x > 0.4, "high", np.where(x < -0.4, "low", "middle"))
    lines = [f"{'' if i % 20 == 0 else f'{a:.3f}'},{c},2024-0{1 + i % 9}-01" for i, (a, c) in enumerate(zip(x, code))]
    found = tmp_path_factory.mktemp("recipes") / "rows.csv"
    found.write_text("x,code,day\n" + "\n".join(lines) + "\n")
    return found


def opened(path: Path, **options: object) -> TableSource:
    source: TableSource = DOMAIN.data.open(part(str(path), **options), False)
    return source


def match_of(recipe: Recipe, source: TableSource) -> TrainingLoop:
    recipe = DOMAIN.game.resolve_auto(recipe, DOMAIN.info_of(source))[0].with_schedules_in_steps()
    return TrainingLoop(DOMAIN.game.build(recipe, DOMAIN.info_of(source)), source, settings(recipe))


@pytest.mark.parametrize("numeric", ["cdf", "mixture"])
@pytest.mark.parametrize("name", sorted(DOMAIN.recipes.table))
def test_recipe_trains_at_smoke_size(name: str, numeric: str, path: Path) -> None:
    recipe = recipes.override(DOMAIN.recipes.table[name], SMOKE)
    assert recipe.why
    assert recipe.sources
    match = match_of(recipe, opened(path, numeric=numeric))
    before = {key: [p.clone() for p in network.parameters()] for key, network in match.game.players.items()}
    values = {}
    for event in match.run(recipe.steps):
        if isinstance(event, Stepped):
            values = event.values()
    assert all(np.isfinite(number) for number in values.values())
    assert ("generator/given_columns" in values) == (name == "ctgan")
    for key, network in match.game.players.items():
        assert any(not torch.equal(p, old) for p, old in zip(network.parameters(), before[key], strict=True)), key


def test_a_game_without_conditions(path: Path) -> None:
    recipe = recipes.override(DOMAIN.recipes.table["table"], [*SMOKE, "conditional=false"])
    match = match_of(recipe, opened(path))
    assert [event.step for event in match.run(2) if isinstance(event, Stepped)] == [1, 2]
    assert DOMAIN.evaluation.extra_metrics(recipe, match, torch.zeros(1)) == ()


def test_what_is_between_two_columns_is_learnt(path: Path) -> None:
    source = opened(path)
    quick = ["generator.width=32", "discriminator.width=32", "batch=128", "steps=250", "conditional=true"]
    quick += [f"learning.{player}.lr=0.003" for player in ("generator", "discriminator")]
    recipe = recipes.override(DOMAIN.recipes.table["table"], quick)
    match, found = match_of(recipe, source), []
    noise = torch.randn(1_000, recipe.prior.size, generator=torch.Generator().manual_seed(0))
    for event in match.run(recipe.steps):
        if event.step in (0, recipe.steps) and not isinstance(event, Stepped):
            network = (
                match.average.network if event.step and match.average else match.game.players["generator"]
            ).eval()
            with torch.no_grad():
                rows = network(noise, layout.no_conditions(DOMAIN.info_of(source).payload, 1_000))
            network.train(not event.step)
            found.append(associations(NumericMatrix.of(source.transform.decode(rows)))[0, 1])
    real = associations(NumericMatrix.of(source.train))[0, 1]
    assert real > 0.85
    assert found[0] < 0.3
    assert found[1] > 0.7


def test_what_goes_with_a_missing_number_is_learnt(tmp_path: Path) -> None:
    """x ~ N(50, 10), y = x + noise, a tenth of y missing at random. Asked for y missing, x is that of all rows; when missing
    was the least of the numbers, its median came out at 37."""
    random = np.random.default_rng(0)
    x = random.normal(50, 10, 3_000)
    gone = random.random(3_000) < 0.1
    lines = [f"{a:.2f},{'' if g else format(b, '.2f')}" for a, b, g in zip(x, x + random.normal(0, 3, 3_000), gone)]
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(lines))
    source = opened(tmp_path / "a.csv")
    quick = ["generator.width=32", "discriminator.width=32", "batch=128", "steps=300", "conditional=true"]
    quick += [f"learning.{player}.lr=0.003" for player in ("generator", "discriminator")]
    recipe = recipes.override(DOMAIN.recipes.table["table"], quick)
    match = match_of(recipe, source)
    for _ in match.run(recipe.steps):
        pass
    blocks = source.rows.blocks
    data, mask = torch.zeros(2_000, blocks[-1].stop), torch.zeros(2_000, 2)
    data[:, blocks[1].stop - 1], mask[:, 1] = 1.0, 1.0
    noise = torch.randn(2_000, recipe.prior.size, generator=torch.Generator().manual_seed(0))
    assert match.average is not None
    with torch.no_grad():
        rows = match.average.network.eval()(noise, layout.condition_on(data, mask, blocks))
    made = source.transform.decode(rows)
    assert np.isnan(made.arrays["y"]).all()
    assert np.median(made.arrays["x"]) == pytest.approx(np.median(x[gone]), abs=3)


def test_beside_asks_the_average_generator(path: Path) -> None:
    source = opened(path)
    recipe = recipes.override(DOMAIN.recipes.table["table"], SMOKE)
    match = match_of(recipe, source)
    records = DOMAIN.evaluation.extra_metrics(recipe, match, torch.zeros(1))
    assert [one.name.partition("[")[0] for one in records] == [
        *("asked_returned", "asked_shapes", "asked_numbers"),
        "asked_pairs",
    ]
    assert records[0].value == 1  # told columns are kept, however little was learnt
    assert records[1].reference is not None
    assert records[1].value < records[1].reference
