"""The verbs: parse, call, print. Progress goes to stderr, results to stdout; heavy imports happen inside the verbs."""

from __future__ import annotations

import dataclasses
import json as jsonlib
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from zerosum.errors import UserError, known_as

app = typer.Typer(
    help="Generative adversarial networks: train, resume, sample, judge, evaluate, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON for a program to read.")]
Folder = Annotated[Path, typer.Argument(help="A run folder, for example runs/digits.", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        import zerosum

        print(zerosum.__version__)
        raise typer.Exit


@app.callback()
def _zerosum(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one field of the recipe; may be repeated. See `zerosum recipes NAME`.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Allow a named data set to be downloaded (checked by SHA-256).")
]
Devices = Annotated[
    int, typer.Option("--devices", min=1, help="Processes on this machine; the batch is shared among them.")
]


Where = Annotated[str | None, typer.Argument(help="A source's name, a folder, a zip or an array; default: digits.")]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A recipe's name or a .toml/.json file; default: chosen from the data.")
]
Minutes = Annotated[float | None, typer.Option(help="Train for about this long: the steps are chosen to fit.")]
Steps = Annotated[int | None, typer.Option(help="Number of steps.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; default: runs/<name of the data>.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, print the full recipe, and stop.")]


@app.command()
def train(
    where: Where = None,
    recipe: RecipeName = None,
    minutes: Minutes = None,
    steps: Steps = None,
    out: Out = None,
    seed: Seed = None,
    precision: Precision = None,
    device: Device = None,
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
    from zerosum.runs import launch, plan, progress, run

    if minutes is not None and steps is not None:
        raise UserError("--minutes and --steps both set the length; give one of them.")
    named = {"steps": steps, "seed": seed, "precision": precision, "device": device}
    changes = [f"{name}={value}" for name, value in named.items() if value is not None] + list(settings or [])
    if dry_run:
        planned = plan.make(plan.Wish(where, recipe, minutes, tuple(changes), download))
        _say(planned.sentence(), *planned.notes)
        _print(planned.recipe.to_json(), True)
        return
    if launch.needed(devices):
        raise typer.Exit(launch.processes(devices, sys.argv[1:]))
    bar = progress.for_terminal()
    options: dict[str, Any] = {"minutes": minutes, "out": out, "set": changes, "allow_download": download}
    _finish(run.train(where, recipe, **options, progress=bar, on_plan=_plan), json)


@app.command()
def resume(
    folder: Folder,
    steps: Annotated[int | None, typer.Option(help="Extend the run to this many steps in all.")] = None,
    settings: Settings = None,
    devices: Devices = 1,
    download: Download = False,
    json: Json = False,
) -> None:
    """Go on with a stopped or killed run as if it had never stopped; or extend a finished one.

    Exit status as with train: 0 finished, 130 stopped by Ctrl-C, 143 by SIGTERM, 2 for an error that you can mend.
    """
    from zerosum.runs import launch, progress, run

    if launch.needed(devices):
        raise typer.Exit(launch.processes(devices, sys.argv[1:]))
    done = run.resume(
        folder, steps=steps, set=settings or [], allow_download=download, progress=progress.for_terminal()
    )
    _finish(done, json)


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
        paths = loaded.domain.write(loaded.sample(num, seed, labels), target)
    except OSError as error:
        raise UserError(f"Cannot write {target}: {error.strerror or error}. Choose another place with --out.") from None
    _print({"paths": [str(path) for path in paths], "num": num, "seed": seed}, json, few(paths))


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
    scores = run.load(folder).judge(files, None if label is None else [label] * len(files))
    text = "\n".join(f"{score:.3f}  {path}" for path, score in zip(files, scores, strict=True))
    _print({str(path): score for path, score in zip(files, scores, strict=True)}, json, text)


@app.command()
def evaluate(folder: Folder, download: Download = False, json: Json = False) -> None:
    """Measure a trained generator; every number with its protocol."""
    from zerosum.runs import run
    from zerosum.runs.progress import measures

    loaded = run.load(folder)
    if loaded.folder.busy:
        _say("A training is at work here: its newest checkpoint is measured, and nothing is logged.")
    records = loaded.evaluate(download)
    _print(records, json, measures(records))


@app.command()
def report(folder: Folder, json: Json = False) -> None:
    """Write the report page of a run anew."""
    from zerosum.report import write_report

    path = write_report(folder)
    _print({"report": str(path)}, json, str(path))


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe whole.")] = None, json: Json = False
) -> None:
    """List the recipes, or show one."""
    from zerosum import catalog
    from zerosum.runs.progress import table

    known = catalog.recipes()
    if name is None:
        _print(
            {key: each.to_json() for key, each in known.items()},
            json,
            table([(key, each.why) for key, each in known.items()]),
        )
        return
    _print(known_as(name, known, "recipe").to_json(), True)


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Show this source.")] = None, json: Json = False) -> None:
    """List the named data sets, or show one."""
    from zerosum import catalog
    from zerosum.runs.progress import shown, table

    known = {key: dataclasses.asdict(info) for key, info in catalog.sources().items()}
    if name is None:
        _print(known, json, table([(key, str(info["summary"])) for key, info in known.items()]))
        return
    info = known_as(name, known, "source")
    _print(info, json, table([(key, shown(value)) for key, value in info.items() if value]))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine offers and what is missing."""
    from zerosum.runs.doctor import examine
    from zerosum.runs.progress import table

    found = examine()
    _print(found, json, table([(key, str(value)) for key, value in found.items()]))


# --- printing


def _say(*texts: str) -> None:
    for text in texts:
        print(text, file=sys.stderr, flush=True)


def _print(content: Any, json: bool, text: str = "") -> None:
    print(jsonlib.dumps(content, indent=1, ensure_ascii=False) if json else text)


def _plan(plan: Any) -> None:
    _say(plan.sentence(), *(f"  {note}" for note in plan.notes))


def _finish(done: Any, json: bool) -> None:
    """What a training leaves: metrics, grid, report. A stopped run has told already how it goes on."""
    from zerosum.engine.processes import environment, leave
    from zerosum.runs.progress import measures
    from zerosum.runs.signals import status

    leave()
    if environment()[0] == 0:
        previews = sorted(done.folder.previews.glob("step-*.png"))
        state = done.folder.read("status.json")
        content = {
            "folder": str(done.path),
            "state": state["state"],
            "step": state["step"],
            "samples": str(previews[-1]) if previews else None,
            "report": str(done.folder.report),
            "metrics": done.metrics(),
        }
        lines = [measures(content["metrics"])] if content["metrics"] else []
        lines += [f"samples  {content['samples']}", f"report   {content['report']}"]
        _print(content, json, "\n".join(lines))
    if done.stopped_by:
        raise typer.Exit(status(done.stopped_by))


def main() -> None:
    """The entry point: errors a user can mend are one message and status 2, Ctrl-C is status 130 and SIGTERM 143."""
    from zerosum.runs import signals

    signals.end_on_signal()
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        app()
    except UserError as error:
        print(f"zerosum: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except signals.Stopped as stopped:
        print(f"zerosum: {signals.name(stopped.number)}: ended.", file=sys.stderr)
        raise SystemExit(signals.status(stopped.number)) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
