"""Walks through the latent space, truncation, class grids: each against what plain sampling gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import published
from zerosum.errors import UserError
from zerosum.generation.labelled_grid import PAD, SIZE, Layout
from zerosum.generation.latents.class_interpolation import blended_embeddings, interpolate_conditions
from zerosum.generation.latents.sampling import SampleOptions, make_samples
from zerosum.generation.latents.space import Latents, Space
from zerosum.generation.sampler import write_samples

KINDS = ("conv", "style")


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_begins_and_ends_at_its_samples(tmp_path: Path, kind: str) -> None:
    run = published.generator(tmp_path, kind, classes=3)
    for name in ("z", "w") if kind == "style" else ("z",):
        space = Space(run, name)
        keys = space.keys(["1", "2:5", "2"])
        frames = space.render(space.walk(keys, 9))
        torch.testing.assert_close(frames[[0, 4, 8]], space.render(keys), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(frames[0], run.sample(64, 1)[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(frames[4], run.sample(64, 2)[5], rtol=1e-4, atol=1e-5)
        steps = frames.diff(dim=0).flatten(1).norm(dim=1)
        assert float(steps.min()) > 0
        closed = space.render(space.walk(keys, 9, loop=True))
        torch.testing.assert_close(closed[[0, 3, 6]], space.render(keys), rtol=1e-4, atol=1e-5)


def test_noise_turns_on_the_sphere_and_styles_go_straight(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "z", "conv")
    keys = Space(run).keys(["1", "2"])
    middle = Space(run).walk(keys, 3).values[1]
    torch.testing.assert_close(middle.norm(), keys.values.norm(dim=1).mean())
    flat = published.generator(tmp_path / "u", "conv", prior={"kind": "uniform"})
    keys = Space(flat).keys(["1", "2"])
    torch.testing.assert_close(Space(flat).walk(keys, 3).values[1], keys.values.mean(0))
    style = published.generator(tmp_path / "w", "style")
    keys = Space(style).keys(["1", "2"])
    assert keys.values.shape == (2, style.sampler.network.num_ws, 32)
    torch.testing.assert_close(Space(style).walk(keys, 3).values[1], keys.values.mean(0))


@pytest.mark.parametrize("kind", ["conv", "resnet", "biggan", "light", "r3"])
def test_blended_classes_agree_with_labels_at_the_corners(tmp_path: Path, kind: str) -> None:
    run = published.generator(tmp_path, kind, classes=3)
    network, noise, labels = run.sampler.network, run.sampler.noise(4, 0), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        plain = network(noise, labels)
        with blended_embeddings(network, torch.nn.functional.one_hot(labels, 3).float()) as condition:
            torch.testing.assert_close(network(noise, condition), plain)
        with blended_embeddings(network, torch.full((4, 3), 1 / 3)) as condition:
            third = network(noise, condition)
        assert not torch.allclose(third, plain, atol=1e-3)
        torch.testing.assert_close(network(noise, labels), plain)  # nothing is left behind


def test_a_class_between_classes_is_the_blend_of_their_embeddings(tmp_path: Path) -> None:
    """A second way: the embedding's row replaced by the mean of two rows."""
    run = published.generator(tmp_path, "conv", classes=3)
    space = Space(run)
    noise = run.sampler.noise(1, 0)
    keys = Latents("z", noise.expand(2, -1), torch.tensor([0, 2]))
    middle = space.render(space.walk(keys, 3))[1]
    with torch.no_grad():
        table = run.sampler.network.embed.weight
        table[1] = (table[0] + table[2]) / 2
    expected = run.sampler.make(noise, torch.tensor([1]))[0]
    torch.testing.assert_close(middle, expected, rtol=1e-4, atol=1e-5)


def test_between_conditions() -> None:
    same = torch.tensor([1, 1])
    assert interpolate_conditions(same, same, torch.tensor([0.0, 0.5]), 3) is same
    blend = interpolate_conditions(torch.tensor([0, 1]), torch.tensor([2, 1]), torch.tensor([0.25, 0.5]), 3)
    torch.testing.assert_close(blend, torch.tensor([[0.75, 0, 0.25], [0, 1, 0]]))
    a, b = torch.zeros(1, 2), torch.ones(1, 2)
    torch.testing.assert_close(interpolate_conditions(a, b, torch.tensor([0.25]), 0), torch.full((1, 2), 0.25))
    with pytest.raises(UserError, match="no embedding"), blended_embeddings(torch.nn.Linear(3, 3), torch.eye(3)):
        pass


def test_attributes_are_walked_through(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv", attributes=2)
    space = Space(run)
    keys = space.keys(["1", "2"])
    walked = space.walk(keys, 5)
    assert keys.condition is not None
    assert walked.condition is not None
    torch.testing.assert_close(walked.condition[2], keys.condition.mean(0))
    torch.testing.assert_close(space.render(walked)[4], run.sample(64, 2)[0], rtol=1e-4, atol=1e-5)


# --- truncation


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_narrows_the_samples_to_one(tmp_path: Path, kind: str) -> None:
    run = published.generator(tmp_path, kind)
    spreads = [float(run.sample(64, 3, truncation=by).var(0).mean()) for by in (1.0, 0.6, 0.2, 0.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 2 * spreads[2] > 0
    assert spreads[3] < 1e-10
    torch.testing.assert_close(run.sample(8, 3, truncation=1.0), run.sample(8, 3))
    space = Space(run)
    points = space.points(run.sampler.noise(8, 3), None, 0.6)
    torch.testing.assert_close(space.render(points), run.sample(8, 3, truncation=0.6), rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="truncation must lie in"):
        run.sample(1, truncation=1.5)


def test_styles_are_truncated_towards_their_mean(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "style")
    network = run.sampler.network
    assert float(network.w_mean.abs().max()) > 0
    mean = network.w_mean.expand(1, network.num_ws, -1)
    with torch.no_grad():
        expected = network.synthesis(mean)
    torch.testing.assert_close(run.sample(1, truncation=0.0), expected.clamp(-1, 1), rtol=1e-4, atol=1e-5)


# --- grids


def test_a_column_of_a_class_grid_is_the_samples_of_that_class(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv", classes=3)
    samples, layout = make_samples(run, SampleOptions(num=4, seed=9, grid="classes"))
    names = ("class0", "class1", "class2")
    assert layout == Layout(3, names, each=names * 4, instead=("0", "1", "2"))
    for label in range(3):
        torch.testing.assert_close(samples[label::3], run.sample(4, 9, [label] * 4))
    chosen, layout = make_samples(
        run, SampleOptions(num=2, seed=9, grid="classes", labels=("class2", 0), truncation=0.5)
    )
    assert layout == Layout(2, ("class2", "class0"), each=("class2", "class0") * 2, instead=("2", "0"))
    torch.testing.assert_close(chosen[0::2], run.sample(2, 9, [2, 2], truncation=0.5))
    assert len(make_samples(run, SampleOptions(grid="classes"))[0]) == 8 * 3


def test_a_grid_of_many_classes_goes_on_below_under_its_names(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "conv", classes=30, latent=4)
    samples, layout = make_samples(run, SampleOptions(num=2, grid="classes"))
    assert len(samples) == 60
    (path,) = write_samples(run, samples, tmp_path / "grid.png", layout)
    (narrow,) = write_samples(run, samples[:12], tmp_path / "plain.png", 12)
    with Image.open(path) as grid, Image.open(narrow) as plain:
        assert grid.width == plain.width  # 12 columns side by side, not 30
        pixels, tile = np.asarray(grid.convert("L")), (plain.height - 3)  # a row of tiles with its gap
        bands = [row for row in range(grid.height - 1) if pixels[row, 0] == 255 and pixels[row + 1, 0] != 255]
        assert len(bands) == 3  # 12, 12 and 6 classes, each band below a line of names
        assert bands[1] - bands[0] == 2 * tile + 3 + SIZE + 2 * PAD
        heads = [pixels[row - SIZE - 2 * PAD + 1 : row, :].min(0) < 128 for row in bands]  # where letters are
        each = grid.width // 12
        assert [head[:each].any() for head in heads] == [True] * 3
        assert not heads[2][6 * each + each // 2 :].any()  # no names where there are no columns
    (array,) = write_samples(run, samples, tmp_path / "grid.npy", layout)
    assert len(np.load(array)) == 60


def test_what_cannot_be_asked_for_is_told(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv")
    for options, words in (
        (SampleOptions(grid="classes"), "without classes"),
        (SampleOptions(grid="rows"), "the only grid is classes"),
        (SampleOptions(moves=("x=1",)), "NUMBER=DEVIATIONS"),
        (SampleOptions(num=2, moves=("99=1",)), "there are 32 directions"),
        (SampleOptions(latent=tmp_path / "none.safetensors"), "cannot be read"),
        (SampleOptions(latent=tmp_path / "x", num=3), "as they are"),
    ):
        with pytest.raises(UserError, match=words):
            make_samples(run, options)
    with pytest.raises(UserError, match="no mapping network"):
        Space(run, "w")
    for key in ("a", "1:64", "1:x", ""):
        with pytest.raises(UserError, match="names no sample"):
            Space(run).keys([key])


# --- saved latents


@pytest.mark.parametrize(("kind", "of"), [("conv", {}), ("conv", {"classes": 3}), ("style", {"attributes": 2})])
def test_saved_latents_give_the_same_samples(tmp_path: Path, kind: str, of: dict[str, int]) -> None:
    run = published.generator(tmp_path / "run", kind, **of)
    space = Space(run)
    keys = space.keys(["1", "2"])
    keys.save(tmp_path / "keys.safetensors")
    again, layout = make_samples(run, SampleOptions(latent=tmp_path / "keys.safetensors"))
    assert layout.columns == 0
    torch.testing.assert_close(again, space.render(keys))


def test_latents_of_another_generator_are_refused(tmp_path: Path) -> None:
    conv = published.generator(tmp_path / "conv", "conv", classes=2)
    style = published.generator(tmp_path / "style", "style")
    other = published.generator(tmp_path / "other", "conv", latent=16)
    for made, shown, words in (
        (style, conv, "no mapping network"),
        (conv, other, "this generator needs"),
        (conv, style, "trained without"),
    ):
        with pytest.raises(UserError, match=words):
            Space(shown).render(Space(made).keys(["1"]))
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04nothing")
    with pytest.raises(UserError, match="not a safetensors file"):
        Latents.load(tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match="holds no latents"):
        Latents.load(tmp_path / "conv" / "generator.safetensors")
