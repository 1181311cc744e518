"""The commands that measure: judge, evaluate, report, compare, baseline."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zerosum.cli.common import Download, Extractor, Folder, Json, MovedData, Trust, Weights, app, print_message, show
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.domain.contract import EvalOptions

MOST_LISTED, NUM_LOWEST = 40, 10
"""At most so many scores are printed one by one; of more only the lowest ones."""


@app.command()
def judge(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="Samples to judge, or folders of them.", show_default=False)],
    label: Annotated[
        str | None, typer.Option(help="Their class, a name or a number; default: the class with the highest score.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write a picture (.png) of the scores; of recordings over time, below the spectrogram."),
    ] = None,
    step: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds between two scores of a recording; default: an eighth of a clip.", show_default=False
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Score given samples with the discriminator: D(x) in [0, 1], 1 for real."""
    from zerosum.api import files_in, load

    files = files_in(files)
    trained = load(folder)
    scores = trained.verdicts(files, None if label is None else [label] * len(files), out, step)
    show(dict(scores), json, format_scores(scores) + (f"\n{out}" if out is not None else ""))
    try:
        found = trained.unlike(files, step)
    except UserError as error:
        print_message(f"It is not known whether these samples resemble the training data: {error}")
    else:
        print_message(*format_unlike(found, len(scores)))


def format_unlike(found: Sequence[tuple[str, float]], num: int) -> list[str]:
    """A sentence about samples that are unlike all training data, if there are any."""
    if not found:
        return []
    named = ", ".join(f"{name} ({ratio:.1f} times)" for name, ratio in found[:NUM_LOWEST])
    return [
        f"{len(found)} of {num} samples are unlike anything trained on: farther from their nearest training row than any real "
        f"row is from its own: {named}{' ...' if len(found) > NUM_LOWEST else ''}. The discriminator was not trained on such "
        "inputs, so its scores for them mean little."
    ]


def format_scores(scores: Sequence[tuple[str, float]]) -> str:
    """One line for each score, of many only the lowest; then a summary of several."""
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
            "--historic",
            help="Also compute the Parzen-window score of 2014, with evidence that it misleads (one minute more).",
        ),
    ] = False,
    num: Annotated[
        int, typer.Option(min=0, help="Number of real and of generated samples; 0: chosen by the data.")
    ] = 0,
    extractor: Extractor = "",
    weights: Weights = None,
    trust: Trust = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Watch a running training: measure it at this interval until it ends."),
    ] = None,
    data: MovedData = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Compute metrics of a trained generator, each with its protocol."""
    from zerosum.api import load
    from zerosum.domain.contract import EvalOptions
    from zerosum.evaluation import evaluate
    from zerosum.formatting import format_records

    options = EvalOptions(extractor, num, weights, trust, download)
    if every is not None:
        _watch(folder, every, options, historic, json, data)
        return
    loaded = load(folder)
    if loaded.folder.busy:
        print_message("A training is running here: its newest checkpoint is measured, and nothing is logged.")
    with evaluate.log_stages(print_message):
        records = loaded.evaluate(download, historic, options, data)
    show(records, json, format_records(records))


def _watch(folder: Path, minutes: float, options: EvalOptions, historic: bool, json: bool, data: Path | None) -> None:
    from zerosum.evaluation.evaluate_saved import SavedScores
    from zerosum.formatting import format_records
    from zerosum.planning.trial_step import check_minutes
    from zerosum.run_folder import RunFolder
    from zerosum.training.async_eval import follow

    check_minutes("--every", minutes)
    if historic:
        raise UserError(
            "--every and --historic cannot be combined: the scores of 2014 take too long next to a training. Leave one out."
        )

    def announce(found: SavedScores) -> None:
        records = found.plain()
        show({"step": found.step, "records": records}, json, f"step {found.step:,}\n{format_records(records)}")

    follow(RunFolder.open(folder), 60 * minutes, options, announce, print_message, data)


@app.command()
def report(folder: Folder, json: Json = False) -> None:
    """Write the report page of a run again."""
    from zerosum.report import write_report

    path = write_report(folder)
    show({"report": str(path)}, json, str(path))


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders.", show_default=False)],
    num: Annotated[int, typer.Option(min=0, help="Samples of each run; 0: chosen by the data.")] = 0,
    extractor: Extractor = "",
    weights: Weights = None,
    trust: Trust = False,
    out: Annotated[
        Path,
        typer.Option(
            help="The picture, a .png; a .json, to keep every record with its protocol instead; or a folder for both."
        ),
    ] = Path("compare.png"),
    download: Download = False,
    json: Json = False,
) -> None:
    """Measure several runs on the same data with one protocol: a table and a picture, the best marked where it is significant."""
    from zerosum.report.comparison import check_out, comparison_table

    check_out(out)
    from zerosum.domain.contract import EvalOptions
    from zerosum.evaluation import compare as contests

    found = contests.compare_runs(
        folders, EvalOptions(extractor, num, weights, trust, download), print_message, out.suffix == ".png"
    )
    written = [str(path) for path in contests.save(found, out)]
    starred = "  * the best of its row; values within its 95 % interval share the star; no star where all are equal"
    lines = [
        comparison_table(found.table),
        starred,
        "",
        found.table.sentence,
        *found.table.notes,
        f"written  {', '.join(written)}",
    ]
    show(found.to_json() | {"written": str(out)}, json, "\n".join(lines))


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
    """Fit classical models to the data and measure them like a run, as a baseline for generators.

    With a run folder, the results are kept there and shown in its report.
    """
    from zerosum.evaluation import baselines
    from zerosum.report.comparison import comparison_table
    from zerosum.store import writing

    if out:  # before anything slow
        if out.suffix.lower() != ".json" or out.is_dir():
            raise UserError(f"--out {out}: the result is written to a file whose name ends in .json.")
        with writing(out):
            pass
    run = Path(where) if (Path(where) / "run.json").is_file() else None
    arguments: dict[str, Any] = {"only": only or [], "allow_download": download, "log": print_message}
    content = baselines.measure_for_run(run, **arguments) if run else baselines.measure(where, **arguments)
    found = baselines.compare_with_run(content, run)
    result = {**content, "sentence": found.sentence, "notes": list(found.notes)}
    if out:
        with writing(out) as aside:
            aside.write_text(jsonlib.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [f"  {one['name']}: {one['summary']}" for one in content["baselines"]]
    text_lines = [comparison_table(found), "  * the best of its row", "", *lines, "", found.sentence, *found.notes]
    text_lines += [f"report   {run / 'report.html'}"] if run else []
    show(result, json, "\n".join(text_lines))
