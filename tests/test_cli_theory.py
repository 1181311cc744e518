"""`zerosum theory`: the list, a lesson as text and as JSON, its picture, what is refused, and the status that tells."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from zerosum import formatting, lessons
from zerosum.cli import app
from zerosum.errors import UserError
from zerosum.lessons import gradients
from zerosum.lessons.lesson import Check, Findings


def run(*arguments: str) -> SimpleNamespace:
    """Status, stdout and stderr; a UserError is raised, as the entry point turns it into status 2."""
    result = CliRunner().invoke(app, ["theory", *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    return SimpleNamespace(status=result.exit_code, out=result.stdout, err=result.stderr)


def test_list() -> None:
    done = run()
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == list(lessons.SUMMARIES)
    assert list(json.loads(run("--json").out)) == list(lessons.SUMMARIES)


def test_lesson_as_text() -> None:
    done = run("gradients")
    assert done.status == 0
    assert gradients.TEXT in done.out
    assert "quantity" in done.out
    assert "NO" not in done.out.split()
    assert done.out.rstrip().splitlines()[-1].startswith("From: Goodfellow et al. 2014")
    assert done.err in ("", "The lesson gradients is running; it takes a few more seconds.\n")  # on a busy machine


def test_lesson_as_json() -> None:
    content = json.loads(run("gradients", "--json").out)
    assert set(content) == {"name", "text", "source", "lines"}
    assert content["name"] == "gradients"
    first = content["lines"][0]
    assert set(first) == {"quantity", "theory", "engine", "tolerance", "measured_by", "holds"}
    assert first["theory"] == pytest.approx(-1e-4)
    assert first["holds"] is True


def test_picture(tmp_path: Path) -> None:
    path = tmp_path / "gradients.png"
    done = run("gradients", "--out", str(path))
    assert str(path) in done.err
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_a_line_that_does_not_hold_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "run", lambda seed: Findings([Check("seed", 5.0, float(seed), 0.5, "")]))
    assert run("gradients", "--seed", "5").status == 0
    done = run("gradients")
    assert done.status == 1
    assert "NO" in done.out.split()
    assert run("gradients", "--json").status == 1


def test_slow_lessons_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatting.threading.Timer, "start", lambda timer: timer.function(*timer.args))
    assert run("gradients").err == "The lesson gradients is running; it takes a few more seconds.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gradient",), "Did you mean 'gradients'"),
        (("--out", "x.png"), "Name it"),
        (("dirac", "--out", "nowhere/x.png"), "no folder nowhere"),
        (("dirac", "--out", "x.bmp"), "is a .png file"),
    ],
)
def test_refusals(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(*arguments)
