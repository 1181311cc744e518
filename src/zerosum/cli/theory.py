"""The command `theory`: theory and engine side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli.common import Json, app, print_message, show

if TYPE_CHECKING:
    from zerosum.lessons.lesson import Findings, Lesson


@app.command()
def theory(
    name: Annotated[str | None, typer.Argument(help="The lesson; default: list all.")] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the lesson's picture, a .png; figure1 also as .gif. May be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers in the lesson.")] = 0,
    json: Json = False,
) -> None:
    """Compare predictions of GAN theory with the engine's results.

    Exit status 1 if a line of the lesson does not hold.
    """
    from zerosum import lessons
    from zerosum.errors import UserError
    from zerosum.formatting import format_table

    if name is None:
        if out:
            raise UserError("--out: a picture belongs to one lesson. Name it: zerosum theory NAME --out FILE.")
        show(lessons.SUMMARIES, json, format_table(list(lessons.SUMMARIES.items())))
        return
    lesson = lessons.load_lesson(name)
    for path in out or []:
        _check(path, lesson)
    findings = _run(lesson, seed)
    summary = {"name": lesson.name, "text": lesson.text, "source": lesson.source}
    show(summary | {"lines": [line.to_json() for line in findings.lines]}, json, _text(lesson, findings))
    for path in out or []:
        lesson.draw(findings, path)
        print_message(f"The picture is in {path}.")
    if not all(line.holds for line in findings.lines):
        raise typer.Exit(1)


def _run(lesson: Lesson, seed: int) -> Findings:
    """The lesson's findings; a message appears if it takes long."""
    from zerosum.formatting import patience

    with patience(print_message, f"The lesson {lesson.name} is running; it takes a few more seconds."):
        return lesson.run(seed)


def _check(out: Path, lesson: Lesson) -> None:
    """UserError if the picture cannot be written there; called before the lesson runs."""
    from zerosum.errors import UserError

    if out.suffix not in lesson.formats:
        raise UserError(f"--out {out}: the picture of {lesson.name!r} is a {' or '.join(lesson.formats)} file.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}. Make it first, or choose another.")


def _text(lesson: Lesson, findings: Findings) -> str:
    """The statement, the table and the source."""
    from zerosum.formatting import format_table

    rows = [("quantity", "theory", "engine", "difference", "holds")]
    for line in findings.lines:
        apart = f"{abs(line.theory - line.engine):.1e} of {line.tolerance:.0e}"
        rows.append((line.quantity, f"{line.theory:.7g}", f"{line.engine:.7g}", apart, "yes" if line.holds else "NO"))
    return f"{lesson.text}\n\n{format_table(rows)}\n\nFrom: {lesson.source}"
