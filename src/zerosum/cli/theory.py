"""The verb that sets theory beside the engine: theory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli.common import Json, app, say, show

if TYPE_CHECKING:
    from zerosum.lessons.lesson import Findings, Lesson


@app.command()
def theory(
    name: Annotated[str | None, typer.Argument(help="The lesson; without one, all are listed.")] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the lesson's picture, a .png; figure1 also as .gif. May be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random in the lesson.")] = 0,
    json: Json = False,
) -> None:
    """Set what theory says of the game beside what the engine does.

    Ends with status 1 if a line of the lesson does not hold.
    """
    from zerosum import lessons
    from zerosum.errors import UserError
    from zerosum.progress import table

    if name is None:
        if out:
            raise UserError("--out: a picture belongs to one lesson. Name it: zerosum theory NAME --out FILE.")
        known = {each: lessons.lesson(each).summary for each in lessons.names()}
        show(known, json, table(list(known.items())))
        return
    lesson = lessons.lesson(name)
    for path in out or []:
        _check(path, lesson)
    findings = _played(lesson, seed)
    told = {"name": lesson.name, "text": lesson.text, "source": lesson.source}
    show(told | {"lines": [line.to_json() for line in findings.lines]}, json, _text(lesson, findings))
    for path in out or []:
        if lesson.picture is not None:
            lesson.draw(findings, path)
            say(f"The picture is in {path}.")
    if not all(line.holds for line in findings.lines):
        raise typer.Exit(1)


def _played(lesson: Lesson, seed: int) -> Findings:
    """The lesson's findings; whoever waits for long is told."""
    from zerosum.progress import patience

    with patience(say, f"{lesson.name} is being played; some seconds more."):
        return lesson.run(seed)


def _check(out: Path, lesson: Lesson) -> None:
    """Before the lesson is played: whether its picture can be written there."""
    from zerosum.errors import UserError

    if lesson.picture is None:
        raise UserError(f"--out: the lesson {lesson.name!r} has no picture.")
    if out.suffix not in lesson.formats:
        raise UserError(f"--out {out}: the picture of {lesson.name!r} is a {' or '.join(lesson.formats)} file.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}. Make it first, or choose another.")


def _text(lesson: Lesson, findings: Findings) -> str:
    """The statement, the table, the source."""
    from zerosum.progress import table

    rows = [("quantity", "theory", "engine", "difference", "holds")]
    for line in findings.lines:
        apart = f"{abs(line.theory - line.engine):.1e} of {line.tolerance:.0e}"
        rows.append((line.quantity, f"{line.theory:.7g}", f"{line.engine:.7g}", apart, "yes" if line.holds else "NO"))
    return f"{lesson.text}\n\n{table(rows)}\n\nFrom: {lesson.source}"
