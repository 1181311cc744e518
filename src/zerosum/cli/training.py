"""The verbs that train: train, resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zerosum import catalog
from zerosum.cli.common import (
    NUMBER,
    WHOLE,
    Devices,
    Download,
    Folder,
    Json,
    MovedData,
    Settings,
    app,
    print_message,
    show,
)
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.planning.plan import TrainRequest

Where = Annotated[str | None, typer.Argument(help="A source's name, a folder, a zip or an array; default: digits.")]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A recipe's name or a .toml/.json file; default: chosen from the data.")
]
Minutes = Annotated[
    float | None, typer.Option(**NUMBER, help="Train for about this long: the steps are chosen to fit.")
]
Steps = Annotated[int | None, typer.Option(**WHOLE, help="Number of steps.")]
Epochs = Annotated[
    float | None, typer.Option(**NUMBER, help="Train for so many passes over the data: steps x batch / rows.")
]
DomainName = Annotated[
    str | None,
    typer.Option("--domain", help="Whose data these are, where their files do not say it: images, tables ..."),
]
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log", metavar="tensorboard|wandb|mlflow", help="Copy the log there too; may be repeated.", show_default=False
    ),
]
Out = Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name of the data>.")]
Seed = Annotated[int | None, typer.Option(**WHOLE, help="Seed of everything random.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
Start = Annotated[
    str | None, typer.Option(help="Begin with the weights of this run, or of a folder with a published generator.")
]
Freeze = Annotated[
    int | None, typer.Option(help="With --start: so many of the discriminator's first layers stay as they are.")
]
OnNonfinite = Annotated[
    str | None,
    typer.Option(
        metavar="raise|skip|rollback",
        help="After a loss or gradient that is not finite: stop, leave the update out, or go back to the newest checkpoint "
        "with half the rates.",
    ),
]
Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Cut the batch into micro-batches until a step fits into memory. The game stays the same, except with batch "
        "normalisation, which is told before it begins.",
    ),
]
EvaluateEvery = Annotated[
    int | None,
    typer.Option(min=1, help="Measure it every so many steps too, beside the training (see docs/metrics.md)."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and stop; with --json print the full recipe.")
]


@app.command()
def train(
    where: Where = None,
    recipe: RecipeName = None,
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Epochs = None,
    domain: DomainName = None,
    log: Log = None,
    out: Out = None,
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
    start: Start = None,
    freeze: Freeze = None,
    fit: Fit = False,
    on_nonfinite: OnNonfinite = None,
    evaluate_every: EvaluateEvery = None,
    settings: Settings = None,
    devices: Devices = 1,
    download: Download = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a generator. Without arguments: on the real handwritten digits that come along.

    Ctrl-C or SIGTERM saves and stops; `zerosum resume` goes on. Exit status: 0 finished, 130 stopped by Ctrl-C,
    143 by SIGTERM, 2 for an error that you can mend.
    """
    _one_length(minutes, steps, epochs)
    catalog.refuse_missing(where)
    catalog.refuse_recipe(recipe)
    from zerosum.api import train as train_run
    from zerosum.formatting import progress_for_terminal
    from zerosum.planning import plan
    from zerosum.training import launch

    named = {"steps": steps, "seed": seed, "precision": precision, "device": device, "cadence.evaluate": evaluate_every}
    named |= {"start.from": start, "start.freeze": freeze, "on_nonfinite": on_nonfinite}
    changes = [f"{name}={value}" for name, value in named.items() if value is not None] + list(settings or [])
    if dry_run:
        return _dry(plan.TrainRequest(where, recipe, minutes, tuple(changes), download, fit, domain, epochs), json)
    if devices > 1 and launch.should_launch(devices):
        raise typer.Exit(launch.run_processes(devices, sys.argv[1:]))
    bar = progress_for_terminal()
    options: dict[str, Any] = {"minutes": minutes, "epochs": epochs, "domain": domain, "log": log or ()}
    options |= {"out": out, "overrides": changes, "allow_download": download, "fit": fit}
    _finish(train_run(where, recipe, **options, progress=bar, on_plan=_plan), json)


def _one_length(minutes: float | None, steps: int | None, epochs: float | None = None) -> None:
    lengths = {"--minutes": minutes, "--steps": steps, "--epochs": epochs}
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both set the length; give one of them.")


def _dry(request: TrainRequest, json: bool) -> None:
    """What would be done, on stderr; on stdout what of the recipe was asked to be otherwise, or with --json all of it."""
    from zerosum.api import PLANNING
    from zerosum.evaluation.training_evaluator import preview_seconds
    from zerosum.formatting import patience
    from zerosum.planning import plan

    with patience(print_message, PLANNING):
        planned = plan.make(request, preview_seconds=preview_seconds)
    _plan(planned)
    changed = [f"  {line}" for line in plan.changed_fields(request, planned.recipe)]
    heading = f"Changed in the recipe {planned.recipe.name} (all of it: --json):"
    text = (
        "\n".join([heading, *changed])
        if changed
        else f"The recipe {planned.recipe.name} as it comes (all of it: --json)."
    )
    show(planned.recipe.to_json(), json, text)


@app.command()
def resume(
    folder: Folder,
    steps: Annotated[int | None, typer.Option(help="Extend the run to this many steps in all.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(**NUMBER, help="Extend the run by about this long, at the mean speed that it had so far."),
    ] = None,
    data: MovedData = None,
    log: Log = None,
    settings: Settings = None,
    devices: Devices = 1,
    download: Download = False,
    json: Json = False,
) -> None:
    """Go on with a stopped or killed run as if it had never stopped; or extend a finished one.

    Exit status as with train: 0 finished, 130 stopped by Ctrl-C, 143 by SIGTERM, 2 for an error that you can mend.
    """
    _one_length(minutes, steps)
    from zerosum.api import resume as resume_run
    from zerosum.formatting import progress_for_terminal
    from zerosum.training import launch

    if devices > 1 and launch.should_launch(devices):
        raise typer.Exit(launch.run_processes(devices, sys.argv[1:]))
    options: dict[str, Any] = {"steps": steps, "minutes": minutes, "overrides": settings or [], "log": log or ()}
    options |= {"allow_download": download, "data": data}
    _finish(resume_run(folder, **options, progress=progress_for_terminal()), json)


def _plan(plan: Any) -> None:
    print_message(plan.sentence(), *(f"  {note}" for note in plan.notes))


def _finish(done: Any, json: bool) -> None:
    """What a training leaves: metrics, grid, report. A stopped run has told already how it goes on."""
    from zerosum.engine.devices import environment, leave
    from zerosum.formatting import format_records
    from zerosum.store import step_files
    from zerosum.training.signals import status

    leave()
    if environment()[0] == 0:
        previews = step_files(done.folder.previews)
        newest = [
            path for step, path in previews if step == previews[-1][0]
        ]  # a picture, and its sound where it has one
        state = done.folder.read("status.json")
        content = {
            "folder": str(done.path),
            "state": state["state"],
            "step": state["step"],
            "samples": str(newest[0]) if newest else None,
            "report": str(done.folder.report),
            "metrics": done.metrics,
        }
        lines = [format_records(content["metrics"])] if content["metrics"] else []
        lines += [f"samples  {content['samples']}", *(f"sound    {path}" for path in newest[1:])]
        lines.append(f"report   {content['report']}")
        show(content, json, "\n".join(lines))
    if done.stopped_by:
        raise typer.Exit(status(done.stopped_by))
