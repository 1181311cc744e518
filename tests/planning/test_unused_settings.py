"""Settings that change nothing are told or refused, and what a setting leaves without a use is dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zerosum import catalog
from zerosum.data.images import pictures
from zerosum.errors import UserError
from zerosum.planning import plan, trial_step
from zerosum.planning.plan import TrainRequest
from zerosum.recipe import Recipe, override

QUICK = ("batch=8", "steps=2", "threads=1", "device=cpu")


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_step, "best_threads", lambda *given: trial_step.StepTime(1, 0.001, 0.001))


def notes_of(recipe: str, *settings: str, where: str | None = "digits") -> list[str]:
    """The notes of a plan that say that a setting changes nothing."""
    made = plan.make(TrainRequest(where, recipe, settings=(*QUICK, *settings)))
    return [note for note in made.notes if "changes nothing" in note]


def changed(name: str, *settings: str) -> Recipe:
    recipe = catalog.recipes()[name]
    return override(recipe, settings, catalog.domain(recipe.domain).game.options)


def test_options_without_an_effect_on_these_data_are_told() -> None:
    """At 8x8 there is no stage that would hold the dropout, nor a norm of the discriminator; digits are square."""
    notes = notes_of(
        "dcgan", "discriminator.dropout=0.5", "discriminator.norm=group", "data.crop=pad", "generator.width=8"
    )
    assert [note.partition(" = ")[0] for note in notes] == ["data.crop", "discriminator.dropout", "discriminator.norm"]
    assert "for these data the discriminator is the same without it" in notes[1]


def test_a_crop_that_cuts_is_not_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name in range(12):
        pictures.save_samples(torch.rand(1, 3, 12, 16 if name else 12) * 2 - 1, tmp_path / f"{name}.png")
    assert notes_of("dcgan", "data.crop=pad", "data.size=8", where=str(tmp_path)) == []


def test_noise_that_nobody_hears_is_told() -> None:
    small = ("generator.width=4", "generator.blocks=1", "discriminator.width=4")
    (note,) = notes_of("cyclegan", *small, "prior.kind=uniform", where=None)
    assert note == "prior.kind changes nothing: a generator of kind 'cycle' makes no use of noise."


def test_another_kind_drops_what_it_does_not_take() -> None:
    """rpgan's pair has width, up and init, which the perceptron has not; slope and output are taken over."""
    generator = changed("rpgan", "generator.kind=mlp").generator
    assert generator.kind == "mlp"
    assert generator.options == {"norm": "none", "slope": 0.2, "output": "linear"}
    assert changed("rpgan", "generator.kind=mlp", "generator.width=8").generator.options["width"] == 8  # refused later
    assert changed("fewshot", "augment.kind=ada").augment.options == {}  # type: ignore[union-attr]
    assert notes_of("rpgan", "generator.kind=mlp", "discriminator.kind=mlp") == []
    with pytest.raises(UserError, match="there is no option 'width'"):
        notes_of("rpgan", "generator.kind=mlp", "generator.width=8")


def test_another_optimizer_or_prior_drops_its_numbers() -> None:
    learning = changed("dcgan", "learning.generator.kind=sgd", "learning.generator.momentum=0.5").learning
    assert (learning["generator"].betas, learning["generator"].momentum) == ((0.0, 0.99), 0.5)
    assert learning["discriminator"].betas == (0.5, 0.99)
    truncated = override(changed("dcgan"), ["prior.kind=truncated_normal", "prior.limit=3"])
    assert truncated.prior.limit == 3
    assert override(truncated, ["prior.kind=normal"]).prior.limit == 2


def test_what_belongs_to_an_augmentation_goes_with_it() -> None:
    plain = changed("r3gan", "augment=null")
    assert plain.rules.augment_strength == 1.0
    assert "through_augment" not in plain.penalties["r1"].options
    assert changed("r3gan", "ema.half_life_samples=0").ema.ramp == 0.05
    with pytest.raises(UserError, match="augment_strength has no use without an augmentation"):
        notes_of("r3gan", "augment=null", "rules.augment_strength=0.5", "generator.width=16", "discriminator.width=16")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("prior.limit=3", "limit has no use with kind = 'normal'"),
        ("learning.generator.momentum=0.5", "momentum has no use with kind = 'adam'; it goes with sgd and rmsprop"),
        ("penalties.r1.through_augment=true", "through_augment has no use without an augmentation"),
        ("rules.augment_strength=0.5", "augment_strength has no use without an augmentation"),
        ('learning.generator.lr={"start":0.1,"over_steps":5}', "a constant schedule has no use for over_steps"),
    ],
)
def test_settings_that_can_never_have_an_effect_are_refused(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        notes_of("dcgan", setting)


def test_an_average_that_is_off_has_no_ramp() -> None:
    with pytest.raises(UserError, match="ramp and every have no use without an average"):
        notes_of("toy-2014", "ema.ramp=0.5", where="ring")
