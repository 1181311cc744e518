"""Lessons: every line of every lesson holds, for the engine's own code; pictures are drawn and can be told from blank."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum import lessons
from zerosum.errors import UserError
from zerosum.lessons.figure1 import Frame
from zerosum.lessons.lesson import Check, Findings

NAMES = list(lessons.SUMMARIES)


@cache
def findings(name: str) -> Findings:
    """Played once for all tests."""
    return lessons.load_lesson(name).run(0)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_holds(name: str) -> None:
    lines = findings(name).lines
    assert [line for line in lines if not line.holds] == []
    assert 3 <= len(lines) <= 20
    assert len({line.quantity for line in lines}) == len(lines)
    assert all(line.measured_by for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_lessons_say_what_they_teach(name: str) -> None:
    lesson = lessons.load_lesson(name)
    assert lesson.name == name
    assert max(map(len, lesson.text.splitlines())) <= 120
    assert lesson.text.count(".") >= 2
    assert lesson.source
    assert len(lesson.summary) <= 90


@pytest.mark.parametrize("name", NAMES)
def test_pictures(name: str, tmp_path: Path) -> None:
    lesson = lessons.load_lesson(name)
    assert lesson.formats[0] == ".png"
    path = tmp_path / "picture.png"
    lesson.picture(findings(name), path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
        assert min(image.size) >= 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_picture_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    def half(findings: Findings, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    lesson, target = dataclasses.replace(lessons.load_lesson("value"), picture=half), tmp_path / "value.png"
    with pytest.raises(UserError, match=f"Cannot write {target}: No space left on device"):
        lesson.draw(Findings(()), target)
    assert list(tmp_path.iterdir()) == []
    lessons.load_lesson("value").draw(findings("value"), target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["optimal-discriminator", "value", "wasserstein"])
def test_another_seed_is_another_game_that_holds_too(name: str) -> None:
    other = lessons.load_lesson(name).run(1).lines
    assert [line for line in other if not line.holds] == []
    assert [line.engine for line in other] != [line.engine for line in findings(name).lines]


@pytest.mark.parametrize("name", ["gradients", "f-gan", "likelihood", "dirac", "damping"])
def test_what_is_exact_is_the_same_for_every_seed(name: str) -> None:
    for seed in (1, 2):
        assert lessons.load_lesson(name).run(seed).lines == findings(name).lines


def test_a_lesson_can_fail() -> None:
    assert Check("one", 1.0, 1.0 + 1e-7, 1e-6, "").holds
    assert not Check("one", 1.0, 1.0 + 1e-5, 1e-6, "").holds
    assert not Check("one", 1.0, math.nan, 1e-6, "").holds


def test_unknown_lesson() -> None:
    with pytest.raises(UserError, match="Did you mean 'gradients'"):
        lessons.load_lesson("gradient")


# --- figure 1 of Goodfellow et al. 2014


def panels(found: Findings) -> list[Frame]:
    return [found.data["frames"][end] for end in found.data["ends"]]


def test_each_act_of_figure_1_does_what_its_title_says() -> None:
    found = findings("figure1")
    begun, trained, moved, last = panels(found)
    gap = lambda frame: frame.bound - frame.value  # noqa: E731
    assert gap(begun) > 10 * gap(trained) > 0  # (b): D comes to its bound and never passes it
    assert torch.equal(begun.curves.q, trained.curves.q)  # while G rests
    assert trained.curves.d is not None
    assert moved.curves.d is not None
    assert torch.equal(trained.curves.d, moved.curves.d)  # (c): D rests
    assert moved.bound < trained.bound - 0.02  # and G is nearer to the data
    assert last.bound < moved.bound - 0.3  # (d)
    assert all(frame.value <= frame.bound + 1e-9 for frame in found.data["frames"])


def test_p_g_of_figure_1_is_a_distribution_and_lies_where_the_arrows_end() -> None:
    found = findings("figure1")
    for frame in panels(found):
        curves = frame.curves
        assert float(torch.trapezoid(curves.q, curves.x)) == pytest.approx(1, abs=1e-3)
        assert curves.arrows is not None
        mean = float(torch.trapezoid(curves.q * curves.x, curves.x))
        assert float(curves.arrows[:, 1].mean()) == pytest.approx(mean, abs=0.05)


def test_pictures_of_figure_1(tmp_path: Path) -> None:
    found = findings("figure1")
    assert len(found.lines) == 5
    assert lessons.load_lesson("figure1").picture is not None
    lessons.load_lesson("figure1").picture(found, tmp_path / "panels.png")
    assert Image.open(tmp_path / "panels.png").size == (1280, 400)
    few = Findings(found.lines, {"frames": panels(found), "ends": [0, 1, 2, 3]})
    lessons.load_lesson("figure1").picture(few, tmp_path / "play.gif")
    film = Image.open(tmp_path / "play.gif")
    assert (film.n_frames, film.size) == (4, (640, 520))
    assert (tmp_path / "play.gif").stat().st_size < 200_000
