"""The verb that sets runs beside each other: compare."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli.common import Download, Extractor, Json, Trust, Weights, app, say, show
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.report.comparison import Comparison


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders.", show_default=False)],
    num: Annotated[int, typer.Option(min=0, help="Samples of each run; 0: what the data suggest.")] = 0,
    extractor: Extractor = "",
    weights: Weights = None,
    trust: Trust = False,
    out: Annotated[
        Path, typer.Option(help="The picture, a .png; or a .json, to keep every record with its protocol instead.")
    ] = Path("compare.png"),
    download: Download = False,
    json: Json = False,
) -> None:
    """Measure runs on the same data by one protocol: one table and one picture, the best marked where it is sure."""
    if out.suffix not in (".png", ".json"):
        raise UserError(f"--out {out}: give a name that ends in .png (picture) or .json (all records).")
    from zerosum.domain.eval_options import EvalOptions
    from zerosum.evaluation import compare as contests
    from zerosum.evaluation.compare_picture import draw

    found = contests.hold(folders, EvalOptions(extractor, num, weights, trust, download), say)
    content = {
        "source": found.info.name,
        "fingerprint": found.info.fingerprint,
        "sentence": found.table.sentence,
        "notes": list(found.table.notes),
        "runs": [entry.plain() for entry in found.entries],
    }
    from zerosum.store import write_durably

    try:
        if out.suffix == ".png":
            draw(found, out)
        else:
            write_durably(out, (jsonlib.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror or error}. Choose another place with --out.") from None
    starred = "  * the best of its row; those within its 95 % interval share the star, and where all do, none has it"
    lines = [_table(found.table), starred, "", found.table.sentence, *found.table.notes, f"written  {out}"]
    show(content | {"written": str(out)}, json, "\n".join(lines))


def _table(found: Comparison) -> str:
    from zerosum.progress import table
    from zerosum.report.words import with_error

    rows = [("measure", *found.columns, "reference", "wanted")]
    for row in found.rows:
        num = next((part for part in row.tag.strip("[]").split(",") if part.startswith("n=")), "")
        cells = (
            "-" if cell is None else with_error(cell, error) + ("*" if index in row.best else "")
            for index, (cell, error) in enumerate(zip(row.cells, row.errors, strict=True))
        )
        rows.append((f"{row.kind} {num}".strip(), *cells, row.reference, row.better))
    return table(rows)
