"""Style mixing and closed-form directions: against explicit latents and explicit weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import published
from zerosum.errors import UserError
from zerosum.generation.labelled_grid import Layout
from zerosum.generation.latents import directions, mix
from zerosum.generation.latents.sampling import SampleOptions, make_samples
from zerosum.generation.latents.space import Space
from zerosum.nn.latent import closed_form

# --- mixing


def test_styles_are_mixed_layer_by_layer(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "style", classes=2)
    space = Space(run)
    count = mix.num_layers(space)
    rows, columns = space.keys(["1", "2"]), space.keys(["3", "4", "5"])
    sheet, layout = mix.mix_sheet(space, rows, columns, mix.parse_layers("0-1", count))
    assert layout == Layout(
        4, top="from the top, coarse: layers 0-1", left=f"from the left, fine: layers 2-{count - 1}"
    )
    tiles = sheet.unflatten(0, (3, 4))
    torch.testing.assert_close(tiles[0, 1:], space.render(columns))
    torch.testing.assert_close(tiles[1:, 0], space.render(rows))
    assert not tiles[0, 0].any()
    ws = torch.cat([columns.values[2, :2], rows.values[1, 2:]])[None]
    with torch.no_grad():
        expected = run.sampler.network.synthesis(ws)[0].clamp(-1, 1)
    torch.testing.assert_close(tiles[2, 3], expected, rtol=1e-4, atol=1e-5)
    # All layers from above give the column's sample, whatever the row.
    everything = space.render(mix.mix_latents(space, rows, columns, tuple(range(count))))
    torch.testing.assert_close(everything, space.render(columns).repeat(2, 1, 1, 1), rtol=1e-4, atol=1e-5)


def test_the_sides_of_a_mix_are_told() -> None:
    assert mix.describe_sides((0, 1, 2, 3), 4) == ("from the top, all: layers 0-3", "from the left, nothing")
    assert mix.describe_sides((2, 3), 4) == ("from the top, fine: layers 2-3", "from the left, coarse: layers 0-1")
    assert mix.describe_sides((1,), 4) == ("from the top, layers 1", "from the left, layers 0, 2, 3")


def test_split_noise_is_mixed_part_by_part(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "biggan", classes=2, latent=30)
    space = Space(run)
    sizes = run.sampler.network.parts
    assert mix.num_layers(space) == len(sizes) > 1
    rows, columns = space.keys(["1"], [0]), space.keys(["2"], [1])
    made = mix.mix_latents(space, rows, columns, (0,))
    expected = torch.cat([columns.values[:, : sizes[0]], rows.values[:, sizes[0] :]], 1)
    torch.testing.assert_close(made.values, expected)
    assert made.condition is not None
    assert made.condition.tolist() == [0]


def test_noise_in_one_piece_cannot_be_mixed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in one piece"):
        mix.num_layers(Space(published.generator(tmp_path, "conv")))


def test_words_for_layers() -> None:
    assert mix.parse_layers("0-3", 6) == (0, 1, 2, 3)
    assert mix.parse_layers("5,0,2-3", 6) == (0, 2, 3, 5)
    for text in ("6", "x", "1-", "3-1", ""):
        with pytest.raises(UserError, match="--layers"):
            mix.parse_layers(text, 6)


# --- directions


@pytest.mark.parametrize("of", [{}, {"classes": 3}, {"attributes": 2}])
def test_directions_of_a_first_linear_layer_are_those_of_its_weights(tmp_path: Path, of: dict[str, int]) -> None:
    run = published.generator(tmp_path, "conv", **of)
    space = Space(run)
    found = directions.find_directions(space, 5)
    weight = run.sampler.network.stem.weight[:, : run.sampler.prior.size].detach()
    vectors, strengths = closed_form(weight, 5)
    torch.testing.assert_close(found.strengths, strengths, rtol=1e-3, atol=0)
    torch.testing.assert_close((found.vectors * vectors).sum(1).abs(), torch.ones(5), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.deviations, torch.ones(5), rtol=0.1, atol=0)  # of normal noise


def test_directions_of_styles_are_those_of_all_affine_maps(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "style")
    space = Space(run)
    network = run.sampler.network
    readers = [m for m in network.modules() if hasattr(m, "scale") and getattr(m, "weight", torch.zeros(1)).dim() == 2]
    inside = {id(m) for m in network.to_style.modules()}
    maps = [(m.weight * m.scale).detach() for m in readers if id(m) not in inside]
    assert len(maps) > 3
    torch.testing.assert_close(
        directions.affine_maps(space).square().sum(), torch.cat(maps).square().sum(), rtol=1e-3, atol=0
    )
    gram = sum(m.T @ m for m in maps)
    torch.testing.assert_close(
        directions.affine_maps(space).T @ directions.affine_maps(space), gram, rtol=1e-2, atol=1e-3
    )
    fewer = directions.affine_maps(space, (0,))
    assert len(fewer) < len(directions.affine_maps(space))


def test_split_noise_and_spectral_normalisation_are_seen_through(tmp_path: Path) -> None:
    """Each part of the noise is read by its own layers: the matrix has a row block for each, and nothing between."""
    run = published.generator(tmp_path, "biggan", classes=2)
    matrix, sizes = directions.affine_maps(Space(run)), run.sampler.network.parts
    power = torch.stack([part.square().sum(1) for part in matrix.split(sizes, 1)], 1)  # (O, parts)
    assert bool(((power > 1e-9).sum(1) <= 1).all())
    assert bool((power.sum(0) > 0).all())


def test_a_normalised_noise_has_no_closed_form(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no linear layer that reads the z latent"):
        directions.find_directions(Space(published.generator(tmp_path, "style"), "z"), 2)


@pytest.mark.parametrize("kind", ["conv", "style"])
def test_saved_directions_move_samples_as_explicit_latents_do(tmp_path: Path, kind: str) -> None:
    run = published.generator(tmp_path, kind, classes=2)
    space = Space(run)
    found = directions.find_directions(space, 4)
    before, _ = make_samples(run, SampleOptions(num=3, seed=1, moves=("1=2", "3=-1")))  # found on the way
    found.save(tmp_path, space)
    after, _ = make_samples(run, SampleOptions(num=3, seed=1, moves=("1=2", "3=-1")))
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    condition = run.condition(3, 1)
    points = space.points(run.sampler.noise(3, 1), condition)
    points.values.add_(2 * found.deviations[1] * found.vectors[1] - found.deviations[3] * found.vectors[3])
    torch.testing.assert_close(after, space.render(points), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, run.sample(3, 1), atol=1e-3)
    back, _ = make_samples(run, SampleOptions(num=3, seed=1, moves=("1=2", "1=-2")))
    torch.testing.assert_close(back, run.sample(3, 1), rtol=1e-4, atol=1e-4)


def test_directions_of_other_weights_are_not_used(tmp_path: Path) -> None:
    one = published.generator(tmp_path / "one", "conv")
    other = published.generator(tmp_path / "other", "conv", seed=1)
    directions.find_directions(Space(one), 2).save(tmp_path / "other", Space(one))
    assert directions.load_directions(tmp_path / "other", Space(other)) is None
    directions.find_directions(Space(other), 2).save(tmp_path / "other", Space(other))
    assert directions.load_directions(tmp_path / "other", Space(other)) is not None
    (tmp_path / "other" / "directions.json").write_text("[]")
    with pytest.raises(UserError, match="cannot be read"):
        directions.load_directions(tmp_path / "other", Space(other))


def test_directions_of_some_styles_act_on_these_alone(tmp_path: Path) -> None:
    space = Space(published.generator(tmp_path, "style"))
    found = directions.find_directions(space, 2, (0, 2))
    keys = space.keys(["1"])
    moved = found.move(keys, {0: 1.0})
    changed = (moved.values != keys.values).any(2)[0].nonzero().flatten().tolist()
    assert changed == [0, 2]


def test_strips_pass_through_the_sample(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv", classes=2)
    space = Space(run)
    found, keys = directions.find_directions(space, 3), space.keys(["1", "2"])
    rows = space.render(directions.direction_strips(space, found, keys, 2.0, 5)).unflatten(0, (3, 2, 5))
    for k in range(3):
        torch.testing.assert_close(rows[k, :, 2], space.render(keys), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rows[1, 0, 4], space.render(found.move(keys[:1], {1: 2.0}))[0], rtol=1e-4, atol=1e-5)
