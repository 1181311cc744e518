"""A game with attributes, from a folder with its attributes.csv to samples on request, through files and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_making import save
from typer.testing import CliRunner

import zerosum as zs
from zerosum import catalog
from zerosum.api import Run
from zerosum.cli import app
from zerosum.domain import AttributeCondition
from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks import DISCRIMINATORS, GENERATORS
from zerosum.errors import UserError
from zerosum.recipe import part
from zerosum.report.read import RunContents
from zerosum.report.sections import data_section

QUICK = [
    "batch=16",
    "threads=1",
    "device=cpu",
    "precision=float32",
    "generator.widths=[64]",
    "discriminator.widths=[64]",
]


def folder(where: Path, num: int = 60) -> Path:
    """Flat grey 8x8 images; their brightness, 0 to 255, is an attribute, and another one has nothing to do with them."""
    rng = np.random.default_rng(0)
    lines = ["file,bright,luck"]
    for index in range(num):
        level = int(rng.integers(20, 236))
        save(where / f"{index:03d}.png", np.clip(level + rng.normal(0, 4, (8, 8)), 0, 255).astype(np.uint8))
        lines.append(f"{index:03d}.png,{level},{int(rng.integers(0, 2))}")
    (where / "attributes.csv").write_text("\n".join(lines) + "\n")
    return where


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    where = tmp_path_factory.mktemp("attributes")
    learning = [f"learning.{player}.lr=0.002" for player in ("generator", "discriminator")]
    settings = [*QUICK, *learning, "conditional=true", "steps=400", "ema.half_life_samples=500"]
    return zs.train(str(folder(where / "photos")), recipe="mlp", out=where / "run", overrides=settings)


def test_the_description_knows_the_attributes(trained: Run) -> None:
    info = trained.sampler.info
    assert info.num_attributes == 2
    assert info.attribute_names == ("bright", "luck")
    assert isinstance(info.condition, AttributeCondition)
    assert np.shape(info.condition.rows) == (info.num_rows, 2)


def test_the_generator_obeys(trained: Run) -> None:
    """Brightness asked for and brightness made go together; luck has no effect to speak of."""
    made = [float(trained.sample(40, seed=1, attributes={"bright": level}).mean()) for level in (40, 130, 220)]
    assert made[0] + 0.3 < made[1] < made[2] - 0.3
    wanted = torch.tensor([40.0, 130, 220]) / 127.5 - 1
    torch.testing.assert_close(torch.tensor(made), wanted, rtol=0.0, atol=0.25)
    lucky, not_so = (trained.sample(40, seed=1, attributes={"luck": value}) for value in (1, 0))
    assert abs(float(lucky.mean() - not_so.mean())) < 0.2


def test_samples_are_those_of_the_condition_worked_out_by_hand(trained: Run) -> None:
    info = trained.sampler.info
    mean, deviation = info.condition.scales[0]
    condition = trained.sampler.conditions(10, 4)
    assert condition is not None
    assert all(row in np.float32(info.condition.rows).tolist() for row in condition.tolist())
    condition[:, 0] = (100 - mean) / deviation
    by_hand = trained.domain.media.postprocess(trained.sampler.sample(10, 4, condition), trained.recipe)
    assert torch.equal(trained.sample(10, 4, attributes={"bright": 100}), by_hand)
    assert torch.equal(
        trained.sample(10, 4), trained.domain.media.postprocess(trained.sampler.sample(10, 4), trained.recipe)
    )


def test_a_published_generator_needs_no_data(trained: Run, tmp_path: Path) -> None:
    for name in ("generator.safetensors", "generator.json"):
        (tmp_path / name).write_bytes((trained.path / name).read_bytes())
    again = zs.load(tmp_path)
    assert torch.equal(again.sample(7, 2, attributes={"bright": 60}), trained.sample(7, 2, attributes={"bright": 60}))


def test_refusals(trained: Run) -> None:
    with pytest.raises(UserError, match="It has attributes: bright, luck"):
        trained.sample(4, labels=1)
    with pytest.raises(UserError, match="Did you mean 'bright'"):
        trained.sample(4, attributes={"brigth": 1})


def test_judging_without_attributes_takes_what_suits_best(trained: Run, tmp_path: Path) -> None:
    image = save(tmp_path / "new.png", np.full((8, 8), 128, dtype=np.uint8))
    (score,) = trained.judge([image])
    assert 0 <= score <= 1


def test_resuming_is_equal_to_the_last_bit(tmp_path: Path) -> None:
    source = str(folder(tmp_path / "photos", 20))
    steady = [
        f"learning.{player}.lr=0.001" for player in ("generator", "discriminator")
    ]  # whatever the number of steps
    quick = [*QUICK, *steady, "conditional=true"]
    whole = zs.train(source, recipe="mlp", out=tmp_path / "whole", overrides=[*quick, "steps=8"])
    zs.train(source, recipe="mlp", out=tmp_path / "part", overrides=[*quick, "steps=5"])
    resumed = zs.resume(tmp_path / "part", steps=8)
    assert torch.equal(resumed.sample(5), whole.sample(5))


def zerosum(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line(trained: Run, tmp_path: Path) -> None:
    out = tmp_path / "bright.npy"
    done = zerosum("sample", trained.path, "--num", 6, "--seed", 3, "--attributes", "bright=200,luck=1", "--out", out)
    assert done.exit_code == 0, done.output
    expected = trained.sample(6, 3, attributes={"bright": 200, "luck": 1})
    assert np.abs(np.load(out).astype(float).mean() - (float(expected.mean()) + 1) * 127.5) < 1
    for words, says in (("bright", "not name=number"), ("brigth=1", "Did you mean 'bright'")):
        done = zerosum("sample", trained.path, "--attributes", words)
        assert isinstance(done.exception, UserError)
        assert says in str(done.exception)


def test_the_report_lists_the_classes_beside_the_attributes(tmp_path: Path) -> None:
    names = [f"{kind}/{index}.png" for kind in ("cat", "dog") for index in range(10)]
    for index, name in enumerate(names):
        save(tmp_path / "pets" / name, np.full((8, 8), 10 * index, dtype=np.uint8))
    lines = [f"{name},{index}" for index, name in enumerate(names)]
    (tmp_path / "pets" / "attributes.csv").write_text("\n".join(["file,age", *lines]) + "\n")
    images = catalog.domain("images")
    _, info = images.open(part(str(tmp_path / "pets")), False)
    assert (info.attribute_names, info.num_classes) == (("age",), 0)
    source = json.loads(json.dumps(info.to_json()))
    section = data_section(RunContents(tmp_path, {"source": source}))
    assert "<dt>attributes</dt><dd>age</dd>" in section
    assert "<dt>classes</dt><dd>cat, dog</dd>" in section
    del source["payload"]["class_names"]  # as earlier versions wrote it
    assert images.info_from_json(source, "generator.json").attribute_names == ("age",)


def test_labels_by_name_on_the_command_line(tmp_path: Path) -> None:
    for index, name in enumerate(("cat", "dog")):
        for number in range(10):
            save(tmp_path / "pets" / name / f"{number}.png", np.full((8, 8), 60 + 130 * index + number, dtype=np.uint8))
    run = zs.train(
        str(tmp_path / "pets"), recipe="sngan", out=tmp_path / "run",
        overrides=["steps=2", "batch=8", "generator.width=4", "discriminator.width=4", "threads=1"],
    )  # fmt: skip
    done = zerosum("sample", run.path, "--num", 4, "--label", "dog", "--out", tmp_path / "dogs.npy", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num"] == 4
    zerosum("sample", run.path, "--num", 4, "--label", 1, "--out", tmp_path / "ones.npy")
    assert np.array_equal(np.load(tmp_path / "dogs.npy"), np.load(tmp_path / "ones.npy"))
    zerosum("sample", run.path, "--num", 4, "--label", "cat", "--label", "dog", "--out", tmp_path / "both.npy")
    assert torch.equal(run.sample(4, labels=["cat", "dog", "cat", "dog"]), run.sample(4, labels=[0, 1, 0, 1]))
    wrong = zerosum("sample", run.path, "--label", "dgo")
    assert "Did you mean 'dog'" in str(wrong.exception)
    both = zerosum("sample", run.path, "--label", "dog", "--attributes", "age=3")
    assert "do not go together" in str(both.exception)
    judged = zerosum("judge", run.path, tmp_path / "pets" / "dog" / "0.png", "--label", "dog")
    assert judged.exit_code == 0, judged.output
    assert "class 'cow'" in str(zerosum("judge", run.path, tmp_path / "pets" / "dog", "--label", "cow").exception)


# --- every kind of network


@pytest.mark.parametrize("kind", ["mlp", "conv", "sigmoid", "resnet", "biggan"])
def test_generators_listen_to_attributes(kind: str) -> None:
    torch.manual_seed(0)
    network = GENERATORS[kind](Shape(1, 8, 8), latent=20, num_attributes=3).eval()  # type: ignore[operator]
    if kind == "resnet":  # its map from the condition begins at 0
        for block in network.body.stages:
            torch.nn.init.normal_(block.norm1.to_affine.weight)
    noise, condition = torch.randn(4, 20), torch.randn(4, 3)
    changes = (network(noise, condition) - network(noise, condition + 1)).abs().flatten(1).amax(1)
    assert changes.min() > 1e-4
    torch.testing.assert_close(
        network(noise, condition)[1:2], network(noise[1:2], condition[1:2]), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="needs labels or attributes"):
        network(noise)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mlp", {"condition": "concat"}),
        ("mlp", {"condition": "projection"}),
        ("conv", {"condition": "concat"}),
        ("conv", {"condition": "projection"}),
        ("maxout", {}),
        ("resnet", {}),
        ("biggan", {}),
    ],
)
def test_discriminators_listen_to_attributes(kind: str, options: dict[str, str]) -> None:
    torch.manual_seed(0)
    network = DISCRIMINATORS[kind](Shape(1, 8, 8), num_attributes=3, **options).eval()  # type: ignore[operator]
    images, condition = torch.randn(4, 1, 8, 8), torch.randn(4, 3)
    assert (network(images, condition) - network(images, condition + 1)).abs().min() > 1e-6
    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(images, condition).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    with pytest.raises(ValueError, match="needs labels or attributes"):
        network(images)
