"""The verbs that use a trained run: sample, judge, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zerosum.cli.common import Download, Folder, Json, app, say, show
from zerosum.errors import UserError


@app.command()
def sample(
    folder: Folder,
    num: Annotated[int, typer.Option(help="How many samples.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
    label: Annotated[list[int] | None, typer.Option(help="Only this class (a number); may be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A .png grid, a .npy array, or a folder of files; default: FOLDER/samples.png.")
    ] = None,
    json: Json = False,
) -> None:
    """Make samples with a trained generator."""
    from zerosum.runs import run
    from zerosum.runs.progress import few

    loaded = run.load(folder)
    labels = [label[i % len(label)] for i in range(num)] if label else None
    target = out or folder / "samples.png"
    try:
        paths = loaded.domain.write(loaded.sample(num, seed, labels), target, loaded.sampler.facts)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {error.strerror or error}. Choose another place with --out.") from None
    show({"paths": [str(path) for path in paths], "num": num, "seed": seed}, json, few(paths))


@app.command()
def judge(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="Samples to judge, or folders of them.", show_default=False)],
    label: Annotated[
        int | None, typer.Option(help="Their class (a number); by default the class that fits best.")
    ] = None,
    json: Json = False,
) -> None:
    """The discriminator's verdict on given samples: D(x) in [0, 1], 1 for real."""
    from zerosum.runs import run

    files = run.files_in(files)
    scores = run.load(folder).verdicts(files, None if label is None else [label] * len(files))
    show(dict(scores), json, "\n".join(f"{score:.3f}  {name}" for name, score in scores))


@app.command()
def evaluate(
    folder: Folder,
    historic: Annotated[
        bool,
        typer.Option(
            "--historic", help="Also the Parzen-window score of 2014, with proof that it misleads (a minute more)."
        ),
    ] = False,
    download: Download = False,
    json: Json = False,
) -> None:
    """Measure a trained generator; every number with its protocol."""
    from zerosum.runs import run
    from zerosum.runs.progress import measures

    loaded = run.load(folder)
    if loaded.folder.busy:
        say("A training is at work here: its newest checkpoint is measured, and nothing is logged.")
    records = loaded.evaluate(download, historic)
    show(records, json, measures(records))


@app.command()
def report(folder: Folder, json: Json = False) -> None:
    """Write the report page of a run anew."""
    from zerosum.report import write_report

    path = write_report(folder)
    show({"report": str(path)}, json, str(path))
