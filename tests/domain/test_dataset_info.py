"""What a domain says of its data is checked when they are opened, and comes back from a file as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import infos
import published
from zerosum import api, catalog
from zerosum.domain import ClassCondition, DatasetInfo, OtherCondition, SampleInfo
from zerosum.domain.info import check
from zerosum.errors import UserError
from zerosum.recipe import part

SMALL = {
    "audio": "beeps",
    "images": "digits",
    "points": "shapes",
    "tables": "wine",
    "toy": "ring",
    "translation": "digit-outlines",
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_description_comes_back_from_json(name: str) -> None:
    domain = catalog.domain(name)
    options = {"num": 20, "points": 16} if name == "points" else {}
    source, info = domain.open(part(SMALL[name], **options), False)
    assert domain.info_from_json(json.loads(json.dumps(info.to_json())), "x") == replace(info, notes=tuple(info.notes))
    assert info.sample.shape == tuple(source.batch(torch.arange(1)).data.shape[1:])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_rows": "3"}, "num_rows is wrong: give a whole number"),
        ({"fingerprint": None}, "fingerprint is wrong: give a text"),
        ({"payload": {"flip": False}}, "payload.num_images is missing"),
        ({"payload": infos.of_images().payload | {"flip": 3}}, "payload.flip is wrong: give true or false"),
        ({"payload": infos.of_images().payload | {"note": {1}}}, "payload.note is not plain JSON"),
        ({"condition": "classes"}, "condition is wrong"),
        ({"condition": OtherCondition("a picture", (3,), examples=True)}, "condition.examples is true, but it has no"),
    ],
)
def test_a_wrong_description_names_the_domain_and_the_field(change: dict[str, Any], says: str) -> None:
    images = catalog.domain("images")
    wrong = replace(images, data=replace(images.data, info=lambda source: replace(infos.of_images(), **change)))
    with pytest.raises(UserError, match=f"The domain 'images' describes its data wrongly: {says}"):
        wrong.info_of(None)


def floats_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of the floats in a JSON value."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [path] * isinstance(value, float) + [at for key, one in within for at in floats_of(one, (*path, key))]


@pytest.mark.parametrize("name", ["audio", "images", "points", "tables"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_in_a_file_are_finite(name: str, number: str) -> None:
    domain = catalog.domain(name)
    options = {"num": 20, "points": 16} if name == "points" else {}
    info = domain.open(part(SMALL[name], **options), False)[1] if name != "images" else infos.of_images()
    if name == "images":
        info = replace(info, condition=infos.attributes(2))
    plain = json.loads(json.dumps(info.to_json()))
    places = floats_of(plain)
    assert places
    for place in places[:40]:
        changed = json.loads(json.dumps(plain))
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = json.loads(number)
        with pytest.raises(UserError, match=r"x/generator\.json: in .*is wrong: give a number that is finite") as error:
            domain.info_from_json(changed, "x/generator.json")
        assert f" {'.'.join(map(str, place))} is wrong" in str(error.value)


def test_numbers_that_a_domain_describes_are_finite() -> None:
    images = catalog.domain("images")
    wrong = replace(images, data=replace(images.data, info=lambda source: infos.of_images(mean=float("nan"))))
    with pytest.raises(UserError, match=r"its data wrongly: payload\.mean is wrong: give a number that is finite"):
        wrong.info_of(None)


def test_numbers_of_a_published_recipe_are_finite(tmp_path: Path) -> None:
    published.generator(tmp_path / "run")
    card = tmp_path / "run" / "generator.json"
    about = json.loads(card.read_text())
    for change in ({"generator": about["recipe"]["generator"] | {"slope": float("nan")}}, {"batch": float("inf")}):
        card.write_text(json.dumps(about | {"recipe": about["recipe"] | change}))
        with pytest.raises(UserError, match=r"generator\.json.*a number that is finite|whole number"):
            api.load(tmp_path / "run")
    card.write_text(json.dumps(about | {"step": float("nan")}))
    with pytest.raises(UserError, match=r"generator\.json: step is wrong: give a number that is finite"):
        api.load(tmp_path / "run")


def test_a_field_that_was_left_out_is_named() -> None:
    images = catalog.domain("images")
    wrong = replace(images, data=replace(images.data, info=lambda source: DatasetInfo("a", 3, 0)))  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"describes its data wrongly: .*'fingerprint'"):
        wrong.info_of(None)


def test_conditions_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match=r"names has 1 entries for 2 classes"):
        ClassCondition((1, 2), ("a",))
    plain = infos.of_images(condition=infos.classes(2)).to_json()
    plain["condition"]["names"] = ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"condition.classes is wrong: names has 3 entries for 2 classes"):
        DatasetInfo.from_json(plain)
    info = infos.of_images(condition=infos.attributes(2))
    assert check(info) is info


def test_a_card_of_another_format_says_what_to_do(tmp_path: Path) -> None:
    published.generator(tmp_path / "run")
    card = tmp_path / "run" / "generator.json"
    about = json.loads(card.read_text())
    card.write_text(json.dumps(about | {"format": 1}))
    with pytest.raises(
        UserError, match=r"has format 1; .* reads format 2. An earlier version wrote it: .*zerosum resume"
    ):
        api.load(tmp_path / "run")
    card.write_text(json.dumps(about | {"format": 3}))
    with pytest.raises(UserError, match=r"has format 3; this version of zerosum reads format 2.$"):
        api.load(tmp_path / "run")
    del about["dataset"]["payload"]["flip"]
    card.write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"generator.json: in the description of its data payload.flip is missing"):
        api.load(tmp_path / "run")


def test_names_with_bytes_that_are_no_characters_can_be_stored() -> None:
    """File systems allow such names; they stand in notes and in names of classes."""
    odd = "k\udcff"
    condition = ClassCondition((2, 2), (odd, "b"))
    info = DatasetInfo("x", 4, 0, "0", SampleInfo({"x": 1}, ""), notes=(f"the first: {odd}",), condition=condition)
    found = check(info)
    assert found.class_names == (r"k\udcff", "b")
    assert found.notes == (r"the first: k\udcff",)
    assert DatasetInfo.from_json(found.to_json()) == found
