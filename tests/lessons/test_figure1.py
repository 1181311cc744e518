"""The four panels: the lines hold, each act does what its title says, and the pictures are pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from zerosum import lessons
from zerosum.lessons.figure1 import Frame
from zerosum.lessons.lesson import Findings


@pytest.fixture(scope="module")
def findings() -> Findings:
    return lessons.load_lesson("figure1").run(0)


def panels(findings: Findings) -> list[Frame]:
    return [findings.data["frames"][end] for end in findings.data["ends"]]


def test_every_line_holds(findings: Findings) -> None:
    assert [line.quantity for line in findings.lines if not line.holds] == []
    assert len(findings.lines) == 5


def test_each_act_does_what_its_title_says(findings: Findings) -> None:
    begun, trained, moved, last = panels(findings)
    gap = lambda frame: frame.bound - frame.value  # noqa: E731
    assert gap(begun) > 10 * gap(trained) > 0  # (b): D comes to its bound and never passes it
    assert torch.equal(begun.curves.q, trained.curves.q)  # while G rests
    assert trained.curves.d is not None
    assert moved.curves.d is not None
    assert torch.equal(trained.curves.d, moved.curves.d)  # (c): D rests
    assert moved.bound < trained.bound - 0.02  # and G is nearer to the data
    assert last.bound < moved.bound - 0.3  # (d)
    assert all(frame.value <= frame.bound + 1e-9 for frame in findings.data["frames"])


def test_p_g_is_a_distribution_and_lies_where_the_arrows_end(findings: Findings) -> None:
    for frame in panels(findings):
        curves = frame.curves
        assert float(torch.trapezoid(curves.q, curves.x)) == pytest.approx(1, abs=1e-3)
        assert curves.arrows is not None
        mean = float(torch.trapezoid(curves.q * curves.x, curves.x))
        assert float(curves.arrows[:, 1].mean()) == pytest.approx(mean, abs=0.05)


def test_pictures(findings: Findings, tmp_path: Path) -> None:
    assert lessons.load_lesson("figure1").picture is not None
    lessons.load_lesson("figure1").picture(findings, tmp_path / "panels.png")
    assert Image.open(tmp_path / "panels.png").size == (1280, 400)
    few = Findings(findings.lines, {"frames": panels(findings), "ends": [0, 1, 2, 3]})
    lessons.load_lesson("figure1").picture(few, tmp_path / "play.gif")
    film = Image.open(tmp_path / "play.gif")
    assert (film.n_frames, film.size) == (4, (640, 520))
    assert (tmp_path / "play.gif").stat().st_size < 200_000
