"""The verbs that look at a trained run: judge, evaluate, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli.common import Download, Extractor, Folder, Json, MovedData, Trust, Weights, app, say, show
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.domain.eval_options import EvalOptions

MOST_LISTED, NUM_LOWEST = 40, 10
"""Verdicts printed one by one; of more only so many of the lowest."""


@app.command()
def judge(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="Samples to judge, or folders of them.", show_default=False)],
    label: Annotated[
        str | None, typer.Option(help="Their class, a name or a number; by default the class that fits best.")
    ] = None,
    json: Json = False,
) -> None:
    """The discriminator's verdict on given samples: D(x) in [0, 1], 1 for real."""
    from zerosum import api

    files = api.files_in(files)
    trained = api.load(folder)
    scores = trained.verdicts(files, None if label is None else [label] * len(files))
    show(dict(scores), json, verdicts_told(scores))
    try:
        found = trained.unlike(files)
    except UserError as error:
        say(f"Whether these samples are like the training data cannot be told: {error}")
    else:
        say(*unlike_told(found, len(scores)))


def unlike_told(found: Sequence[tuple[str, float]], num: int) -> list[str]:
    """A sentence on samples that are unlike anything trained on, where there are any."""
    if not found:
        return []
    named = ", ".join(f"{name} ({ratio:.1f} times)" for name, ratio in found[:NUM_LOWEST])
    return [
        f"{len(found)} of {num} samples are unlike anything trained on: farther from their nearest training row than any other "
        f"real row is: {named}{' ...' if len(found) > NUM_LOWEST else ''}. The discriminator never saw "
        "such inputs, so its verdict on them means little."
    ]


def verdicts_told(scores: Sequence[tuple[str, float]]) -> str:
    """A line for each verdict, of many only the lowest; below several a summary."""
    lowest = sorted(scores, key=lambda one: one[1])
    many = len(scores) > MOST_LISTED
    lines = [f"{score:.3f}  {name}" for name, score in (lowest[:NUM_LOWEST] if many else scores)]
    if many:
        lines.insert(0, f"The {NUM_LOWEST} lowest (all of them: --json):")
    if len(scores) > 1:
        values = [score for _, score in lowest]
        low, middle, high = quantiles(values, n=4, method="inclusive")
        lines.append(
            f"{len(values):,} samples: mean {fmean(values):.3f}, quartiles {low:.3f} {middle:.3f} {high:.3f}, "
            f"lowest {values[0]:.3f} ({lowest[0][0]})"
        )
    return "\n".join(lines)


@app.command()
def evaluate(
    folder: Folder,
    historic: Annotated[
        bool,
        typer.Option(
            "--historic", help="Also the Parzen-window score of 2014, with proof that it misleads (a minute more)."
        ),
    ] = False,
    num: Annotated[int, typer.Option(min=0, help="Samples on each side; 0: what the data suggest.")] = 0,
    extractor: Extractor = "",
    weights: Weights = None,
    trust: Trust = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Follow a training at work: measure it so often, until it ends."),
    ] = None,
    data: MovedData = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Measure a trained generator; every number with its protocol."""
    from zerosum import api
    from zerosum.domain.eval_options import EvalOptions
    from zerosum.evaluation import evaluate
    from zerosum.progress import measures

    choice = EvalOptions(extractor, num, weights, trust, download)
    if every is not None:
        _follow(folder, every, choice, historic, json, data)
        return
    loaded = api.load(folder)
    if loaded.folder.busy:
        say("A training is at work here: its newest checkpoint is measured, and nothing is logged.")
    with evaluate.announced(say):
        records = loaded.evaluate(download, historic, choice, data)
    show(records, json, measures(records))


def _follow(folder: Path, minutes: float, choice: EvalOptions, historic: bool, json: bool, data: Path | None) -> None:
    from zerosum.evaluation.evaluate_saved import SavedScores
    from zerosum.planning.timing import refuse_minutes
    from zerosum.progress import measures
    from zerosum.run_folder import RunFolder
    from zerosum.training.watch_evaluation import follow

    refuse_minutes("--every", minutes)
    if historic:
        raise UserError(
            "--every and --historic do not go together: the scores of 2014 take too long beside a training."
        )

    def tell(found: SavedScores) -> None:
        records = found.plain()
        show({"step": found.step, "records": records}, json, f"step {found.step:,}\n{measures(records)}")

    follow(RunFolder.open(folder), 60 * minutes, choice, tell, say, data)


@app.command()
def report(folder: Folder, json: Json = False) -> None:
    """Write the report page of a run anew."""
    from zerosum.report import write_report

    path = write_report(folder)
    show({"report": str(path)}, json, str(path))
