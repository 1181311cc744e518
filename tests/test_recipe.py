"""Recipes: to files and back, --set, and errors that name the field, the value and the nearest names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from torch import nn

from zerosum import catalog
from zerosum.domain import duel
from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import OptimizerConfig, Schedule
from zerosum.engine.seeds import Prior
from zerosum.errors import UserError, nearest
from zerosum.recipe import AverageConfig, Intervals, Recipe, differences, dropped_options, override, parse, part, read

PLAIN = Recipe(name="plain", generator=part("mlp"), discriminator=part("mlp"))
FULL = Recipe(
    name="full",
    why="every field is set",
    sources=("arXiv:1406.2661",),
    data=part("folder", path="photos", size=32),
    generator=part("conv", width=64, norm="batch"),
    discriminator=part("conv", width=32, dropout=0.3),
    prior=Prior(100, "truncated_normal", 1.5),
    conditional=True,
    loss="relativistic",
    real_label=0.9,
    penalties={"r1": {"weight": {"start": 1.0, "end": 0.1, "shape": "cosine", "over_steps": 50}, "every": 4}},
    rules=UpdateRules(discriminator_steps=2, fakes="previous", augment_strength=Schedule(0.0, 1.0, "linear", 10)),
    augment=part("shift", pixels=2),
    learning={
        "generator": OptimizerConfig(
            "sgd", lr=Schedule(0.1, warmup_steps=5), momentum=Schedule(0.5, 0.7, "linear", 9), clip_norm=1.0
        ),
        "discriminator": OptimizerConfig(betas=(0.5, Schedule(0.9, 0.99, "linear", 7))),
    },
    ema=AverageConfig(half_life_samples=Schedule(10.0, 20.0, "linear", 5), ramp=None, every=2),
    steps=77,
    batch=33,
    micro_batches=3,
    seed=5,
    precision="float32",
    device="cpu",
    on_nonfinite="skip",
    cadence=Intervals(log=1, preview=2, checkpoint=3, evaluate=4),
)


# --- round trips


@pytest.mark.parametrize("recipe", [PLAIN, FULL], ids=["plain", "full"])
def test_json_round_trip(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_json()), encoding="utf-8")
    again = read(path)
    assert again == recipe
    assert again.to_json() == recipe.to_json()
    assert differences(again, recipe) == []


def test_json_keeps_types_of_the_engine() -> None:
    again = parse(json.loads(json.dumps(FULL.to_json())))
    assert isinstance(again.learning["generator"].lr, Schedule)
    assert again.learning["generator"] == FULL.learning["generator"]
    assert again.learning["discriminator"].betas == (0.5, Schedule(0.9, 0.99, "linear", 7))
    assert again.penalties["r1"].options == {"weight": Schedule(1.0, 0.1, "cosine", 50), "every": 4}
    assert again.rules == FULL.rules
    assert again.prior == FULL.prior
    assert again.generator.options == {"width": 64, "norm": "batch"}


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nsteps = 5\ngenerator.kind = "mlp"\ndiscriminator = {kind = "mlp", dropout = 0.1}\n'
        '[prior]\nsize = 8\nkind = "uniform"\n[learning.generator]\nlr = {start = 0.1, end = 0.0, shape = "linear"}\n'
        "[penalties.r1]\nweight = 2\nevery = 4\n",
        encoding="utf-8",
    )
    recipe = read(path)
    assert (recipe.name, recipe.steps, recipe.prior) == ("mine", 5, Prior(8, "uniform"))
    assert recipe.learning["generator"].lr == Schedule(0.1, 0.0, "linear")
    assert recipe.penalties["r1"].options == {"weight": 2.0, "every": 4}


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read the recipe .*nowhere.toml: No such file"):
        read(tmp_path / "nowhere.toml")
    for name, words in (("a.toml", "not valid TOML"), ("a.json", "not valid JSON")):
        (tmp_path / name).write_text("{", encoding="utf-8")
        with pytest.raises(UserError, match=rf"{name} is {words}"):
            read(tmp_path / name)
    (tmp_path / "b.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError, match=r"b.json"):
        read(tmp_path / "b.json")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match=r"c.json is not valid JSON"):
        read(tmp_path / "c.json")


# --- --set


@pytest.mark.parametrize(
    ("setting", "look", "value"),
    [
        ("batch=32", lambda r: r.batch, 32),
        ("steps=1e3", lambda r: r.steps, 1000),
        ("loss = hinge", lambda r: r.loss, "hinge"),
        ("generator.width=96", lambda r: r.generator.options, {"width": 96}),
        ("generator.norm=none", lambda r: r.generator.options, {"norm": "none"}),
        ("generator.widths=[8, 4]", lambda r: r.generator.options, {"widths": [8, 4]}),
        ("augment=null", lambda r: r.augment, None),
        ("augment.kind=shift", lambda r: r.augment, part("shift")),
        ("augment=ada", lambda r: r.augment, part("ada")),
        ("generator=conv", lambda r: r.generator, part("conv")),
        ("conditional=true", lambda r: r.conditional, True),
        ("learning.generator.lr=1e-3", lambda r: r.learning["generator"], OptimizerConfig(lr=1e-3)),
        ("learning.generator.betas=[0.5, 0.999]", lambda r: r.learning["generator"].betas, (0.5, 0.999)),
        ("penalties.r1=2", lambda r: r.penalties["r1"].options, {"weight": 2.0, "every": 1}),
        ("learning.generator.clip_value=0.1", lambda r: r.learning["generator"].clip_value, 0.1),
        ("penalties.r1.weight=2", lambda r: r.penalties["r1"].options, {"weight": 2.0, "every": 1}),
        ("penalties={}", lambda r: r.penalties, {}),
        ("rules.clip_weights=0.01", lambda r: r.rules, UpdateRules(clip_weights=0.01)),
        ("prior.kind=uniform", lambda r: r.prior, Prior(64, "uniform")),
        ("ema.ramp=null", lambda r: r.ema, AverageConfig(ramp=None)),
        ("data.path=a=b", lambda r: r.data.options, {"path": "a=b"}),
        ('why="3"', lambda r: r.why, "3"),
    ],
)
def test_set(setting: str, look: Any, value: Any) -> None:
    found = look(override(PLAIN, [setting]))
    assert found == value
    assert type(found) is type(value)


def test_set_part_of_a_schedule_and_several_at_once() -> None:
    recipe = override(
        PLAIN,
        [
            "learning.generator.lr.start=0.1",
            "learning.generator.lr.end=0",
            "learning.generator.lr.shape=linear",
            "batch=8",
        ],
    )
    assert recipe.learning["generator"].lr == Schedule(0.1, 0.0, "linear")
    assert recipe.batch == 8
    assert PLAIN.batch == 64
    assert override(PLAIN, ["augment=ada", "augment.target=0.5"]).augment == part("ada", target=0.5)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("batch", "--set wants path=value, for example --set batch=32; got 'batch'"),
        ("=3", "--set wants path=value"),
        ("bach=32", "there is no field 'bach'. Did you mean 'batch'"),
        ("lerning.generator.lr=1", "there is no field 'lerning'. Did you mean 'learning'?"),
        ("learning.generator.lrr=1", "there is no field 'learning.generator.lrr'. Did you mean 'lr'?"),
        ("learning.generator.momentun=1", "no field 'learning.generator.momentun'. Did you mean 'momentum'?"),
        ("rules.clip_wieghts=1", "there is no field 'rules.clip_wieghts'. Did you mean 'clip_weights'?"),
        ("prior.sise=1", "there is no field 'prior.sise'. Did you mean 'size'"),
        ("ema.half_life=1", "there is no field 'ema.half_life'. Did you mean 'half_life_samples'?"),
        ("cadence.previw=1", "there is no field 'cadence.previw'. Did you mean 'preview'?"),
        ("cadence.zzz=1", "Choose from: checkpoint, evaluate, log, preview."),
        ("intervals.checkpoint=15", "there is no field 'intervals'. Did you mean 'cadence.checkpoint'?"),
        ("checkpoint=15", "there is no field 'checkpoint'. Did you mean 'cadence.checkpoint'?"),
        ("cadence.batch=15", "there is no field 'cadence.batch'. Did you mean 'batch'?"),
        ("nonsense.foo=1", "there is no field 'nonsense'. Choose from: augment, batch, beyond_limits, cadence"),
    ],
)
def test_misspelt_fields_offer_the_nearest(setting: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        override(PLAIN, [setting])
    assert words in str(caught.value)


def test_options_of_another_kind_are_dropped_and_noted() -> None:
    """A domain that lists no kinds drops them all; options that were set stay, and are checked against the new kind."""
    before = catalog.recipes()["dcgan"]
    listed = catalog.domain("images").game.options
    for options, lost in ((listed, "down"), (lambda part, kind: None, "norm")):
        after = override(before, ["discriminator.kind=mlp", "discriminator.slope=0.3"], options)
        assert after.discriminator.kind == "mlp"
        assert after.discriminator.options["slope"] == 0.3
        (note,) = dropped_options(before, after)
        assert note.startswith("discriminator.kind is 'mlp' instead of 'conv': of the recipe's options, ")
        assert lost in note
    assert override(before, ["discriminator.kind=conv"], lambda part, kind: None).discriminator == before.discriminator
    assert dropped_options(before, before) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("batch=many", "--set: batch = 'many' is wrong: give a whole number, or 'auto'."),
        ("batch=0", "--set: batch = 0 is wrong: give 1 or more, or 'auto'."),
        ("batch=1.5", "--set: batch = 1.5 is wrong"),
        ("batch.x=1", "--set: batch = {'x': 1} is wrong"),
        ("generator=3", "--set: generator = 3 is wrong: give its fields (kind)."),
        ("cadence=3", "cadence = 3 is wrong: give its fields (log, preview, checkpoint, evaluate)."),
        ("learning.generator.betas=0.9,0.99", "betas = '0.9,0.99' is wrong: give a list, such as [1,2]."),
        ("learning.generator.betas=[1]", "betas.1 = [1] is wrong: give a longer list."),
        ("precision=half", "--set: precision = 'half' is wrong: give 'auto', 'float32' or 'bfloat16'."),
        ("real_label=0.4", "--set: real_label = 0.4 is wrong"),
        ("learning.generator.kind=lion", "learning.generator.kind = 'lion' is wrong: give 'adam'"),
        ("learning.generator.clip_norm=-1", "clip_norm must be more than 0, got -1"),
        ("learning.generator.lr=fast", "= 'fast' is wrong"),
        ("penalties.r1=true", "penalties.r1 = true is wrong: give its fields (weight, every)."),
        ("penalties.r1=-1", "= -1 is wrong: give 0 or more"),
        ("penalties.r1.every=0", "penalties.r1.every = 0 is wrong"),
        ("penalties.r1.weight=-1", "= -1 is wrong: give 0 or more"),
        ("rules.fakes=old", "rules.fakes = 'old' is wrong: give 'fresh' or 'previous'."),
        ("rules.discriminator_steps=0", "discriminator_steps must be at least 1, got 0"),
        ("seed=-1", "--set: seed = -1 is wrong"),
    ],
)
def test_wrong_values_are_named(setting: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        override(PLAIN, [setting])
    assert words in str(caught.value)


def mlp(shape: tuple[int, ...], *, latent: int, num_classes: int, width: int = 4) -> nn.Module:
    """What a domain would offer as a network."""
    return nn.Sequential(nn.Linear(latent, width), nn.Linear(width, shape[0]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["penalties.r1.wieght=2"], "penalties.r1: there is no option 'wieght'. Did you mean 'weight'?"),
        (["penalties.r3.weight=2"], "penalties: there is no 'r3'. Did you mean"),
        (["loss=hing"], "loss: there is no 'hing'. Did you mean 'hinge'?"),
        (["loss=hinge", "real_label=0.9"], "real_label = 0.9: one-sided label smoothing needs a loss with labels"),
        (["generator.kind=mpl"], "generator.kind: there is no 'mpl'. Did you mean 'mlp'?"),
        (["generator.widht=3"], "generator: there is no option 'widht'. Did you mean 'width'?"),
        (["generator.width=wide"], "generator.width = 'wide' is wrong"),
        (["augment.kind=shif"], "augment.kind: there is no 'shif'"),
    ],
)
def test_a_domain_refuses_what_its_makers_do_not_take(settings: list[str], words: str) -> None:
    makers = {"mlp": mlp}
    assert duel(PLAIN, makers, makers, {}, (2,), 0).prior == Prior(64)
    with pytest.raises(UserError) as caught:
        duel(override(PLAIN, settings), makers, makers, {"shift": lambda: None}, (2,), 0)
    assert words in str(caught.value)


# --- the object


def test_a_recipe_is_frozen_and_changed_makes_another() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PLAIN.batch = 3  # type: ignore[misc]
    changed = PLAIN.changed(
        batch=3,
        cadence=Intervals(log=9),
        learning={"generator": OptimizerConfig(lr=0.5)},
        rules=UpdateRules(fakes="previous"),
    )
    assert (changed.batch, changed.cadence.log, changed.learning["generator"].lr) == (3, 9, 0.5)
    assert changed.rules.fakes == "previous"
    assert PLAIN.batch == 64
    with pytest.raises(UserError, match="batch = 0 is wrong"):
        PLAIN.changed(batch=0)
    with pytest.raises(UserError, match=r"no field 'bathc'. Did you mean 'batch'"):
        PLAIN.changed(bathc=3)


def test_differences_are_told_field_by_field() -> None:
    other = PLAIN.changed(batch=32, learning={"generator": OptimizerConfig(lr=0.5)})
    lines = differences(PLAIN, other)
    assert "batch: 64 -> 32" in lines
    assert "learning.generator.lr: None -> 0.5" in lines
    assert differences(PLAIN, PLAIN.changed(batch=64)) == []


def test_nearest() -> None:
    assert nearest("dcgna", ["mlp", "dcgan", "wgan"]).startswith("Did you mean 'dcgan'")
    assert nearest("zzz", ["b", "a"]) == "Choose from: a, b."


def test_recipes_with_names_of_an_earlier_version_are_read() -> None:
    ctgan = catalog.recipes()["ctgan"].changed(data=part("table.csv", condition_share=0.2))
    plain = ctgan.to_json()
    plain["data"]["told"] = plain["data"].pop("condition_share")
    plain["discriminator"]["told"] = plain["discriminator"].pop("condition")
    plain["penalties"]["told_columns"] = plain["penalties"].pop("given_columns")
    plain["ema"]["half_life_images"] = plain["ema"].pop("half_life_samples")
    assert parse(plain) == ctgan
