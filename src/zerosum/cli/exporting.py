"""The verb that takes a generator elsewhere: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zerosum.cli.common import Folder, Json, app, say, show


@app.command()
def export(
    folder: Folder,
    format: Annotated[str, typer.Option("--format", help="onnx, torch (torch.export) or huggingface.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: FOLDER/export-FORMAT.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence named in the model card (huggingface), such as cc-by-4.0.")
    ] = None,
    json: Json = False,
) -> None:
    """Export a generator for other programs, checked against the original.

    The batch size stays free; noise (and labels) go in, samples come out, for images in [-1, 1].
    """
    from zerosum.errors import UserError
    from zerosum.generation.export.formats import FORMATS

    if licence is not None and format != "huggingface":
        raise UserError("--license is written into the model card of --format huggingface alone.")
    if format not in FORMATS:
        raise UserError(f"--format {format}: choose {', '.join(FORMATS)}.")
    from zerosum import api
    from zerosum.generation.export.exporting import export as exported

    done = exported(api.load(folder), format, out or folder / f"export-{format}", licence)
    if format == "huggingface" and licence is None:
        say("The model card names the licence `unknown`; choose one with --license, mindful of the data's.")
    batches = ", ".join(map(str, done.check["batches"]))
    told = (
        f"Checked by {done.check['by']} on batches of {batches}: the largest difference from the original is "
        f"{done.check['largest_difference']:.2g}, allowed are {done.check['tolerance']:g}."
    )
    paths = [str(path) for path in done.paths]
    show({"paths": paths, **done.check}, json, "\n".join([*paths, told]))
