"""The verb that sets classical models beside a run: baseline."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zerosum.cli.common import Download, Json, app, say, show
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.report.comparison import Comparison


@app.command()
def baseline(
    where: Annotated[
        str, typer.Argument(help="A run folder, or a source's name or path as for train.", show_default=False)
    ],
    only: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the whole result, as JSON, to this .json file.")] = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Fit classical models to the data and measure them as a run is measured: what a generator must beat.

    Beside a run they are kept in its folder and shown in its report.
    """
    from zerosum.evaluation import baselines
    from zerosum.store import writing

    if out:  # before anything takes time
        if out.suffix.lower() != ".json" or out.is_dir():
            raise UserError(f"--out {out}: the result is written to a file whose name ends in .json.")
        with writing(out):
            pass
    run = Path(where) if (Path(where) / "run.json").is_file() else None
    asked: dict[str, Any] = {"only": only or [], "allow_download": download, "say": say}
    content = baselines.beside(run, **asked) if run else baselines.measure(where, **asked)
    found = baselines.compared(content, run)
    result = {**content, "sentence": found.sentence, "notes": list(found.notes)}
    if out:
        with writing(out) as aside:
            aside.write_text(jsonlib.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [f"  {one['name']}: {one['summary']}" for one in content["baselines"]]
    told = [_table(found), "  * the best of its row", "", *lines, "", found.sentence, *found.notes]
    told += [f"report   {run / 'report.html'}"] if run else []
    show(result, json, "\n".join(told))


def _table(found: Comparison) -> str:
    from zerosum.progress import table
    from zerosum.report.words import figure

    rows = [("measure", *found.columns, "reference", "wanted")]
    for row in found.rows:
        num = next((part for part in row.tag.strip("[]").split(",") if part.startswith("n=")), "")
        cells = (
            "-" if cell is None else figure(cell) + ("*" if index in row.best else "")
            for index, cell in enumerate(row.cells)
        )
        rows.append((f"{row.kind} {num}".strip(), *cells, row.reference, row.better))
    return table(rows)
