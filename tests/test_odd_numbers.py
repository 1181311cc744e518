"""Numbers that are not finite, or beyond all use, are refused with the range; on the command line and in Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import published
import zerosum as zs
from zerosum.cli import app
from zerosum.data.images.film import check_speed
from zerosum.domain.factory import network
from zerosum.domains.tables.filters import parse_filters
from zerosum.errors import UserError, within
from zerosum.generation.latents.directions import Directions, direction_strips
from zerosum.generation.latents.project import project
from zerosum.generation.latents.space import Latents, Space
from zerosum.recipe import part

ODD = [float("nan"), float("inf"), float("-inf"), 1e30, 10**400]


@pytest.mark.parametrize("value", ODD)
def test_a_number_in_a_range(value: float) -> None:
    within("--x", 3, 3, 5)
    within("--x", 5, 3, 5)
    within("--x", 3.1, 3, 5, above=True)
    with pytest.raises(UserError, match=r"^--x must be at least 3 and at most 50,000, got .{1,40}\.$"):
        within("--x", value, 3, 50_000)
    with pytest.raises(UserError, match=r"^--x must be more than 3 and at most 5, got 3\.$"):
        within("--x", 3, 3, 5, above=True)


def _refused(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, UserError), (result.exception, result.output)
    return str(result.exception)


@pytest.mark.parametrize("value", ["nan", "inf", "1e30", "0"])
def test_minutes(tmp_path: Path, value: str) -> None:
    words = "must be more than 0 and at most 525,600, got"
    assert f"--minutes {words}" in _refused("train", "ring", "--minutes", value, "--dry-run")
    assert f"--every {words}" in _refused("evaluate", str(tmp_path), "--every", value)
    with pytest.raises(UserError, match=f"--minutes {words}"):
        zs.train("ring", minutes=float(value), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--steps=99999999999999999999", "--set=cadence.preview=1000000000001"])
def test_steps_have_a_most(option: str) -> None:
    result = _refused("train", "ring", option, "--dry-run")
    assert "1e+12 or less" in result
    assert option.rpartition("=")[2] in result  # every digit, as it was given


@pytest.mark.parametrize(
    "setting",
    ["penalties.r1.weight=Infinity", "ema.half_life_samples=Infinity", "ema.ramp=NaN"],
)
def test_numbers_of_a_recipe_are_finite(setting: str) -> None:
    result = _refused("train", "ring", "--set", setting, "--dry-run")
    assert f"--set: {setting.partition('=')[0]} = " in result
    assert "a number that is finite" in result


def test_a_seed_has_a_most() -> None:
    assert "less than 9.22337e+18" in _refused("train", "ring", "--seed", "1e30", "--dry-run")


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_layers_have_a_most(player: str) -> None:
    result = _refused("train", "ring", "--set", f"{player}.depth=1001", "--dry-run")
    assert result == f"{player}.depth must be at least 0 and at most 1,000, got 1001."
    with pytest.raises(UserError, match=rf"{player}\.blocks must be at least 0 and at most 1,000, got 1000000000"):
        network(player, {}, part("r3", blocks=[1, 10**9]), (1, 16, 16), {})


def test_samples_and_frames_have_a_most(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv")
    for num in ("1000000000000", "99999999999999999999"):
        result = _refused("sample", str(run.path), "--num", num, "--out", str(tmp_path / "a.npy"))
        assert result == f"--num must be at least 1 and at most 1,000,000,000, got {num}."
        result = _refused("interpolate", str(run.path), "--frames", num)
        assert result == f"--frames must be at least 1 and at most 100,000, got {num}."
    with pytest.raises(UserError, match="num must be at least 1 and at most"):
        run.sample(10**12)


def test_memory_that_is_not_there_is_told_with_its_size(tmp_path: Path) -> None:
    result = _refused("sample", str(published.generator(tmp_path, "conv").path), "--num", "900000000", "--out", "a.npy")
    assert re.match(
        r"Out of memory\. It asked for \d.* GB\. \d.* are free\. Make fewer at once: a smaller --num\.$", result
    )
    result = _refused("train", "ring", "--set", "generator.width=100000000000", "--dry-run")
    assert re.match(
        r"Out of memory\. It asked for 800\.0 GB\. .* are free\. Make the networks or the batch smaller", result
    )


def test_a_where_without_conditions() -> None:
    with pytest.raises(UserError, match="where: ',,,' contains no condition"):
        parse_filters(",,,", [])
    assert parse_filters("", []) == ()
    assert "an unset shell variable" in _refused("sample", "run", "--where", "")


@pytest.mark.parametrize("value", ODD)
def test_moves_and_strips(tmp_path: Path, value: float) -> None:
    space = Space(published.generator(tmp_path, "conv"))
    keys = space.keys(["1"])
    size = keys.values.shape[1]
    found = Directions("z", torch.eye(size)[:1], torch.ones(1), torch.ones(1))
    with pytest.raises(UserError, match="--direction 0: the deviations must be at least -1,000 and at most 1,000"):
        found.move(Latents("z", keys.values), {0: value})
    with pytest.raises(UserError, match="--reach must be more than 0 and at most 1,000"):
        direction_strips(space, found, keys, value, 3)
    with pytest.raises(UserError, match=r"--fps must be at least 0\.02 and at most 100"):
        check_speed(value)


def test_counts_of_steps(tmp_path: Path) -> None:
    run = published.generator(tmp_path, "conv")
    space = Space(run)
    with pytest.raises(UserError, match="--steps must be at least 1 and at most 1,000,000, got 1000000000"):
        project(space, torch.zeros(1, 1, 8, 8), steps=10**9)
    result = _refused("directions", str(run.path), "--steps", "1000000000")
    assert result == "--steps must be at least 2 and at most 1,000, got 1000000000."
    result = _refused("directions", str(run.path), "--reach", "nan")
    assert result == "--reach must be more than 0 and at most 1,000, got nan."
    result = _refused("interpolate", str(run.path), "--fps", "1e-30")
    assert result == "--fps must be at least 0.02 and at most 100, got 1e-30."
