"""Transfer: the weights arrive, what does not fit is told or refused, frozen layers stay, resuming is exact."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import zerosum
from zerosum import catalog
from zerosum.cli import app
from zerosum.domains.images import networks
from zerosum.domains.images.data import Shape
from zerosum.errors import UserError
from zerosum.planning import initial_weights
from zerosum.planning import plan as plans
from zerosum.planning.plan import Plan, TrainRequest, plan_of
from zerosum.recipe import resolved_number
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint

SMALL = ["generator.width=8", "discriminator.width=8", "batch=8", "threads=1", "steps=2"]


def stripes(path: Path, shape: tuple[int, ...], num_classes: int = 0) -> Path:
    """Images with a bright bar each, as .npz: uint8, with labels where classes are asked for."""
    rng = np.random.default_rng(len(shape) + shape[1])
    images = rng.integers(0, 30, (40, *shape)).astype(np.uint8)
    for row, image in enumerate(images):
        image[:, row % shape[1]] = 220
    arrays = {"images": images} | ({"labels": np.arange(40) % num_classes} if num_classes else {})
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transfer")


@pytest.fixture(scope="module")
def start(folder: Path) -> Path:
    """A whole run on 8x8 grey images."""
    zerosum.train(str(stripes(folder / "first.npz", (8, 8))), recipe="dcgan", out=folder / "start", overrides=SMALL)
    return folder / "start"


@pytest.fixture(scope="module")
def photos(folder: Path) -> Path:
    """Other images: larger and in colour."""
    return stripes(folder / "photos.npz", (16, 12, 3))


def planned(where: Path, start: Path, *settings: str, recipe: str | None = None) -> Plan:
    return plans.make(TrainRequest(str(where), recipe, None, (f"start.from={start}", "threads=1", *settings)))


def tensors(folder: Path, player: str = "discriminator") -> Mapping[str, Tensor]:
    state = latest_checkpoint(folder / "checkpoints")
    assert state is not None
    found: Mapping[str, Tensor] = state["match"]["networks"][player]
    return found


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_begins_with_the_published_generator_and_the_discriminator(start: Path, photos: Path) -> None:
    plan = planned(photos, start)
    assert plan.info.sample.shape == (1, 8, 8)  # read as the start does
    assert plan.recipe.name == "dcgan"
    assert plan.recipe.generator.options["width"] == 8
    assert "Recipe dcgan: that of" in "\n".join(plan.notes)
    assert sum("all of it" in note for note in plan.notes) == 2
    match = plans.training_loop(plan)
    published = zerosum.load(start).sampler.network.state_dict()
    assert same(match.game.players["generator"].state_dict(), published)
    assert match.average is not None
    assert same(match.average.network.state_dict(), published)
    assert same(match.game.players["discriminator"].state_dict(), tensors(start))


def test_what_hung_on_the_length_of_the_old_run_is_found_anew(start: Path, photos: Path) -> None:
    old = RunFolder.open(start).recipe()
    usual = catalog.recipes()[old.name]
    assert old.steps != usual.steps
    recipe = planned(photos, start).recipe
    assert recipe.steps == usual.steps
    assert resolved_number(recipe.batch, "batch") == min(
        resolved_number(usual.batch, "batch"), 34
    )  # all rows there are
    assert recipe.learning == usual.learning
    assert recipe.generator == old.generator


def test_frozen_layers_stay_through_a_training_with_diffaugment(start: Path, photos: Path, tmp_path: Path) -> None:
    settings = {"start": {"from": str(start), "freeze": 1}, "augment": {"kind": "diffaugment"}, "steps": 2}
    run = zerosum.train(str(photos), out=tmp_path / "run", overrides=settings)
    before, after = tensors(start), tensors(run.path)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {name for name in before if name.startswith("stages.0.")}
    start_record = json.loads((run.path / "run.json").read_text())["start"]
    assert start_record["from"] == str(start)
    assert (
        start_record["sha256"]["generator"]
        == hashlib.sha256((start / "generator.safetensors").read_bytes()).hexdigest()
    )
    assert json.loads((run.path / "recipe.json").read_text())["start"]["freeze"] == 1


def test_a_resumed_run_is_bit_equal_and_needs_its_start_no_more(start: Path, photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "start"
    shutil.copytree(start, moved)
    settings = [f"start.from={moved}", "start.freeze=1"]
    whole = zerosum.train(str(photos), out=tmp_path / "whole", overrides=[*settings, "steps=4"])
    zerosum.train(str(photos), out=tmp_path / "half", overrides=[*settings, "steps=2"])
    shutil.rmtree(moved)
    half = zerosum.resume(tmp_path / "half", steps=4)
    for player in ("generator", "discriminator"):
        assert same(tensors(whole.path, player), tensors(half.path, player))


def test_a_run_without_a_checkpoint_asks_its_start_again_and_knows_it(
    start: Path, photos: Path, tmp_path: Path
) -> None:
    moved, run = tmp_path / "start", tmp_path / "run"
    shutil.copytree(start, moved)
    zerosum.train(str(photos), out=run, overrides=[f"start.from={moved}", "steps=1"])
    assert plan_of(RunFolder(run), False).weights is None  # it has weights of its own
    shutil.rmtree(run / "checkpoints")
    beginning = plan_of(RunFolder(run), False).weights
    assert beginning is not None
    assert same(beginning.states["discriminator"], tensors(start))
    shutil.rmtree(moved / "checkpoints")
    with pytest.raises(UserError, match="no longer those that it started with"):
        plan_of(RunFolder(run), False)


def test_without_a_checkpoint_the_discriminator_begins_anew_and_cannot_be_frozen(
    start: Path, photos: Path, tmp_path: Path
) -> None:
    for name in ("generator.safetensors", "generator.json"):
        shutil.copy(start / name, tmp_path / name)
    plan = planned(photos, tmp_path)
    assert any("the discriminator begins anew" in note for note in plan.notes)
    match = plans.training_loop(plan)
    assert not same(match.game.players["discriminator"].state_dict(), tensors(start))
    with pytest.raises(UserError, match="its discriminator is gone"):
        planned(photos, tmp_path, "start.freeze=1")


def test_what_does_not_fit_is_refused_with_the_way_out(start: Path, photos: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        planned(photos, folder / "nowhere")
    with pytest.raises(UserError, match="no published generator"):
        planned(photos, folder)
    with pytest.raises(UserError, match=r"8x8 grey .*these are 10x10 colour .*--set data.size=\[8,8\]"):
        planned(photos, start, "data.size=10", "data.channels=3")
    with pytest.raises(UserError, match=r"(?s)generator is another network.*16 here.*start\.partial=true"):
        planned(photos, start, "generator.width=16")
    with pytest.raises(UserError, match="generator is another network") as caught:
        planned(photos, start, recipe="mlp")
    assert "partial" not in str(caught.value)  # there is nothing in common
    with pytest.raises(UserError, match=r"freeze = 2 is too many.*2 layers \(stages\.0, head\)"):
        planned(photos, start, "start.freeze=2")
    labelled = stripes(folder / "labelled.npz", (8, 8), num_classes=4)
    with pytest.raises(UserError, match=r"conditioned on nothing, these on labels of 4 classes.*conditional=false"):
        planned(labelled, start, "conditional=true")


def test_the_way_out_of_other_classes_is_none_that_is_refused_next(folder: Path) -> None:
    four, two = (stripes(folder / f"{n}-classes.npz", (8, 8), num_classes=n) for n in (4, 2))
    start = folder / "told"
    zerosum.train(str(four), recipe="cgan", out=start, overrides=SMALL)
    with pytest.raises(UserError, match="conditioned on labels of 4 classes, these on labels of 2 classes") as caught:
        planned(two, start)
    assert "conditional=false" not in str(caught.value)
    assert "start.partial=true" in str(caught.value)
    assert any("not taken" in note for note in planned(two, start, "start.partial=true").notes)


def test_shares_are_rounded_down() -> None:
    """What is left out must be seen: 99.96 % of a network is not all of it."""
    shares = {0.9996: "99%", 1.0: "100%", 0.5: "50%", 0.004: "less than 1%", 0.0: "0%"}
    assert {share: initial_weights._percent(share) for share in shares} == shares


def test_a_partial_start_takes_what_fits_and_tells_what_not(start: Path, folder: Path) -> None:
    labelled = stripes(folder / "labels.npz", (8, 8), num_classes=4)
    plan = planned(labelled, start, "conditional=true", "start.partial=true")
    (generator, discriminator) = (note for note in plan.notes if note.startswith("Start:"))
    assert "not taken: embed.weight (4x16 here, none there); stem.weight (128x116 here, 128x100 there)." in generator
    assert "head.project.weight (4x128 here, none there)" in discriminator
    players, given = plans.training_loop(plan).game.players, tensors(start)
    taken = players["discriminator"].state_dict()
    assert all(torch.equal(taken[name], given[name]) for name in given)
    fresh = plan.domain.game.build(plan.recipe, plan.info).players["discriminator"].state_dict()
    assert torch.equal(taken["head.project.weight"], fresh["head.project.weight"])


def test_the_command_line(start: Path, photos: Path) -> None:
    arguments = ["train", str(photos), "--start", str(start), "--freeze", "1", "--dry-run", "--set", "threads=1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["start"] == {"from": str(start), "freeze": 1, "partial": False}
    assert "keep the weights they begin with: stages.0." in result.stderr
    short = CliRunner().invoke(app, arguments)
    assert "Changed in the recipe dcgan (all of it: --json):" in short.stdout
    assert f"start.from: None -> '{start}'" in short.stdout
    assert "generator.width: 32 -> 8" in short.stdout
    assert "cadence." not in short.stdout  # what the plan chose by itself
    assert len(short.stdout.splitlines()) < 30


# --- which layers


@pytest.mark.parametrize("kind", sorted(networks.DISCRIMINATORS))
@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_family_has_layers_that_freeze_from_the_image_on(kind: str, num_classes: int) -> None:
    """With the first layer frozen, the first weights that the image meets learn nothing, and all the others do."""
    shape, options = Shape(3, 16, 16, num_classes), {"num_classes": num_classes}
    kinds: Mapping[str, Any] = networks.DISCRIMINATORS
    network: nn.Module = kinds[kind](shape, **options).train()
    names = [name for name, _ in initial_weights.freezable_layers(network)]
    assert len(names) >= 3
    assert not any(name.startswith("embed") for name in names)
    assert initial_weights.freeze_layers(network, 1) == names[:1]
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith(f"{names[0]}.") for name in frozen)
    everything = initial_weights.freeze_layers(network, len(names) - 1)
    assert everything == names[:-1]
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert names[-1].split(".")[0] in learning
    with pytest.raises(ValueError, match="the last must learn"):
        initial_weights.freeze_layers(network, len(names))


def test_norms_between_frozen_layers_are_frozen_with_them_and_embeddings_learn() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed: Any = nn.Linear(4, 8)
            self.stages = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
            self.head = nn.Linear(8, 1)

    network = Net()
    assert initial_weights.freeze_layers(network, 1) == ["stages.0"]
    learning = {name.rsplit(".", 1)[0] for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {"embed", "stages.3", "head"}
