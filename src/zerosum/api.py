"""The Python API: train, resume, load, and what can be done with a run; a function for each command of the command line."""

from __future__ import annotations

import base64
import contextlib
import html
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import catalog, report
from zerosum.data import in_memory
from zerosum.domain.contract import EvalOptions, ScoredFile, Windows
from zerosum.domain.info import Label
from zerosum.engine.devices import DistributedContext, join
from zerosum.errors import UserError
from zerosum.evaluation import baselines, discriminator_scores
from zerosum.evaluation import compare as comparing
from zerosum.evaluation.training_evaluator import preview_seconds
from zerosum.formatting import NoProgress, Progress, patience
from zerosum.generation.sampler import Sampler, TrainedGenerator
from zerosum.jsonfile import parse_json
from zerosum.planning import plan as plans
from zerosum.planning import trial_step
from zerosum.planning.plan import Plan, TrainRequest, plan_of, with_data_at
from zerosum.recipe import Recipe, differences, override
from zerosum.report.comparison import check_out
from zerosum.run_folder import IN_MEMORY, RunFolder, free_folder, new_run_folder, refuse_exported
from zerosum.store import steps_in, writing
from zerosum.training.callbacks import Callback, check_loggers, loggers
from zerosum.training.signals import StopRequest
from zerosum.training.trainer import Trainer

PLANNING = "Reading the data, trying the first step, measuring its time (longer for large networks) ..."


class Run(TrainedGenerator):
    """A run folder with its trained generator. Sampling needs the published generator only, not the data.

    stopped_by: the signal that stopped the training that returned this run; 0 when it came to its end.
    """

    def __init__(self, folder: RunFolder, device: str = "cpu") -> None:
        super().__init__(folder.root, device)
        self.folder = folder
        self.stopped_by = 0

    def __repr__(self) -> str:
        """<Run photos: r3gan-s, step 4,000 of 4,000, finished>"""
        name = f"{self.path.resolve().name}: {self.recipe.name}"
        if not self.folder.has_status:
            return f"<Run {name}, a published generator>"
        status = self.folder.read("status.json")
        return f"<Run {name}, step {status['step']:,} of {status.get('steps', self.recipe.steps):,}, {status['state']}>"

    def _repr_html_(self) -> str:
        """The same for a notebook, with the newest preview of samples."""
        text = f"<div>{html.escape(repr(self))}</div>"
        previews = list(steps_in(self.folder.previews, ".png").values())
        if not previews:
            return text
        picture = base64.b64encode(previews[-1].read_bytes()).decode()
        return f'{text}<img alt="samples" src="data:image/png;base64,{picture}">'

    # --- the parts of the run

    @property
    def generator(self) -> nn.Module:
        """The trained generator (the average of its weights), in eval mode; noise (N, L) [, condition] -> samples (N, ...)."""
        return self.sampler.network.eval()

    @property
    def discriminator(self) -> nn.Module:
        """The discriminator of the newest checkpoint, in eval mode; samples (N, ...) [, condition] -> logits. UserError where the
        folder holds no checkpoint."""
        game = discriminator_scores.trained_game(self.folder, self.recipe, self.domain, self.sampler.info)
        players = [player for name, player in game.players.items() if name.startswith("discriminator")]
        return players[0].to(self.sampler.device).eval()

    @property
    def history(self) -> Any:
        """The log of the training, a row for each logged step with step, samples, seconds and all scalars: a pandas DataFrame
        where pandas is installed, else a list of dicts."""
        rows = [
            {"step": line["step"], "samples": line["samples"], "seconds": line["seconds"], **line["values"]}
            for line in self.folder.lines()
            if line["kind"] == "train"
        ]
        if importlib.util.find_spec("pandas") is None:
            return rows
        import pandas

        return pandas.DataFrame(rows)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of the last evaluation, each with its value, error and protocol; empty when there was none."""
        return self.folder.last_records()

    # --- the commands

    def resume(self, **options: Any) -> Run:
        """`zerosum.resume` of this run."""
        return resume(self, **options)

    def judge(self, paths: Sequence[str | Path], labels: Sequence[Label] | None = None) -> list[float]:
        """D(x) in [0, 1] of each sample in the files: the sigmoid of its logit minus the neutral logit.

        labels: one for each file, numbers or names. It says how real a sample looks to this run's discriminator at its last
        step; it is no probability beyond that.
        """
        return [score for _, score in self.verdicts(paths, labels)]

    def verdicts(
        self,
        paths: Sequence[str | Path],
        labels: Sequence[Label] | None = None,
        out: str | Path | None = None,
        step: float = 0.0,
    ) -> list[tuple[str, float]]:
        """The same with the name of each sample: that of the file, and its number where a file has several samples, or the second
        at which it begins where they are windows of a recording.

        out: a .png of the samples with their scores, in a domain that has such pictures. step: seconds between the beginnings of
        two windows of a recording; 0 to choose them.
        """
        draw = self.domain.media.scored
        if out is not None and (draw is None or Path(out).suffix.lower() != ".png"):
            reason = (
                "give a name that ends in .png" if draw else f"the domain {self.domain.name!r} has no picture of scores"
            )
            raise UserError(f"--out {out}: {reason}.")
        discriminator_scores.check_files(paths, labels)
        conditions = [None] * len(paths) if labels is None else torch.split(self.labels(labels, len(paths)), 1)
        found = list[tuple[str, float]]()

        def scored() -> Iterator[ScoredFile]:
            scorer = discriminator_scores.Scorer(self.folder, self.recipe, self.domain, self.sampler.info)
            for path, condition in zip(paths, conditions, strict=True):
                for name, samples in self._samples_in(path, step):
                    scores = scorer.scores(samples, condition)
                    found.extend(zip(discriminator_scores.names_of(name, samples), scores, strict=True))
                    if isinstance(samples, Windows):
                        yield ScoredFile(name, samples, scores)

        if out is not None and draw is not None:
            with writing(Path(out)) as aside:
                draw(scored(), aside, self.sampler.info)
        else:
            for _ in scored():
                pass
        return found

    def _samples_in(self, path: str | Path, step: float) -> Iterator[tuple[str, discriminator_scores.Samples]]:
        return discriminator_scores.samples_in(self.domain, Path(path), self.sampler.info, step)

    def unlike(self, paths: Sequence[str | Path], step: float = 0.0) -> list[tuple[str, float]]:
        """The samples in the files that are unlike all training rows, each with its distance from the nearest training row
        divided by the largest such distance of other real rows. UserError where the training data cannot be opened. step: as in
        `verdicts`."""
        names = list[str]()

        def parts() -> Iterator[discriminator_scores.Samples]:
            for path in paths:
                for name, samples in self._samples_in(path, step):
                    names.extend(discriminator_scores.names_of(name, samples))
                    yield samples

        ratios = discriminator_scores.distance_ratios(self.domain, self.recipe, parts()) or []
        return [(name, ratio) for name, ratio in zip(names, ratios, strict=False) if ratio > 1]

    def evaluate(
        self,
        allow_download: bool = False,
        historic: bool = False,
        options: EvalOptions = EvalOptions(),
        data: str | Path | None = None,
    ) -> list[dict[str, Any]]:
        """All metrics of the generator at the newest checkpoint; a list of records. historic: also those of old papers.
        options: of the feature extractor and of the number of samples. data: where the data have moved to.

        They are logged and the report is written anew, unless a training is at work in the folder.
        """
        folder = RunFolder.open(self.path)
        recipe = with_data_at(folder.recipe(), data)
        with trial_step.cpu_threads(recipe.threads):
            return self._evaluate(folder, recipe, allow_download, historic, options)

    def _evaluate(
        self, folder: RunFolder, recipe: Recipe, allow_download: bool, historic: bool, options: EvalOptions
    ) -> list[dict[str, Any]]:
        plan = plan_of(folder, allow_download, anywhere=True, recipe=recipe)
        trainer = Trainer(plan, folder, NoProgress(), DistributedContext(), StopRequest())
        trainer.restore(rewind=False)
        busy = folder.busy
        with contextlib.nullcontext() if busy else folder.locked():
            records = trainer.evaluate(write=not busy, historic=historic, options=options)
            if not busy:
                trainer.write_report_page()
        return records

    def report(self) -> Path:
        """Writes report.html again and returns its path."""
        return report.write_report(self.path)

    def interpolate(
        self,
        seeds: Sequence[int | str] = (1, 2, 3),
        num: int = 24,
        *,
        loop: bool = False,
        space: str | None = None,
        labels: Sequence[int | str] | None = None,
        truncation: float = 1.0,
        out: str | Path | None = None,
        frames_per_second: float = 24.0,
    ) -> Tensor:
        """(num, ...) samples along a path through the latent space, from seed to seed. out: also written there, as a strip or,
        by the ending .gif, .apng or .mp4, as a film.

        seeds: S or "S:I", sample number I of `sample(seed=S)`. space: "z" or "w"; by default w where the generator has it.
        """
        from zerosum.generation.latents.space import Space

        latents = Space(self, space)
        path = latents.walk(latents.keys([str(s) for s in seeds], labels, truncation), num, loop)
        samples = latents.render(path)
        if out is not None and Path(out).suffix.lower() in (".gif", ".apng", ".mp4"):
            latents.film(samples, Path(out), frames_per_second)
        elif out is not None:
            latents.write(samples, Path(out), min(num, 18), path.condition)
        return samples

    def mix(
        self,
        rows: Sequence[int | str] = (1, 2, 3, 4),
        columns: Sequence[int | str] = (5, 6, 7, 8, 9),
        layers: Sequence[int] | None = None,
        *,
        labels: Sequence[int | str] | None = None,
        truncation: float = 1.0,
        out: str | Path | None = None,
    ) -> Tensor:
        """A sheet of samples, by rows; its first row and column are the sources. Each other sample has the styles of its row, and
        in `layers` (by default the coarse half) those of its column. out: also written there, as a picture."""
        from zerosum.generation.latents import mix
        from zerosum.generation.latents.space import Space

        space = Space(self)
        count = mix.num_layers(space)
        chosen = tuple(layers) if layers is not None else tuple(range(max(1, count // 2)))
        left, top = (space.keys([str(s) for s in seeds], labels, truncation) for seeds in (rows, columns))
        samples, layout = mix.mix_sheet(space, left, top, mix.parse_layers(",".join(map(str, chosen)), count))
        if out is not None:
            space.write(samples, Path(out), layout)
        return samples

    def directions(self, num: int = 8, layers: Sequence[int] | None = None, space: str | None = None) -> Any:
        """The latent directions along which samples change most, with `strengths` and `deviations`; stored in the run folder,
        where `zerosum sample --direction` finds them."""
        from zerosum.generation.latents import directions
        from zerosum.generation.latents.space import Space

        room = Space(self, space)
        found = directions.find_directions(room, num, None if layers is None else tuple(layers))
        found.save(self.path, room)
        return found

    def project(
        self,
        pictures: Tensor | Sequence[str | Path],
        steps: int = 300,
        *,
        seed: int = 0,
        space: str | None = None,
        labels: Sequence[int | str] | None = None,
    ) -> Any:
        """The latents whose samples are nearest to the given pictures: files, or a tensor (N, C, H, W) in [-1, 1]. The result has
        `latents`, `targets`, `samples` and `psnr` in dB."""
        from zerosum.generation.latents.project import project
        from zerosum.generation.latents.space import Space

        if not isinstance(pictures, Tensor):
            pictures = self.domain.media.read(files_in(pictures), self.sampler.info)
        return project(Space(self, space), pictures, steps=steps, seed=seed, labels=labels)

    def export(self, format: str = "onnx", out: str | Path | None = None, licence: str | None = None) -> list[Path]:
        """Writes the generator for other programs and returns the files. format: onnx, torch or huggingface; each is compared
        with the original on several batches. out: a new folder, by default export-FORMAT in the run folder."""
        from zerosum.generation.export.exporting import export

        return list(export(self, format, Path(out or self.path / f"export-{format}"), licence).paths)


def train(
    data: Any = None,
    recipe: str | Recipe | None = None,
    *,
    domain: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    devices: int = 1,
    overrides: Settings = (),
    callbacks: Sequence[Callback] = (),
    log: str | Sequence[str] = (),
    out: str | Path | None = None,
    allow_download: bool = False,
    fit: bool = False,
    progress: Progress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> Run:
    """Trains a generator on `data` and returns the run.

    data: the name of a source, a path, a numpy array or a tensor with one row per sample, a pair (data, labels), a list of PIL
        images, a pandas DataFrame, a torch Dataset or DataLoader; by default the bundled digits. Data in memory are
        written once into the run folder, as plain files, so that the run can be resumed and evaluated.
    recipe: a name of `zerosum.recipes()`, a .toml or .json file, or a Recipe; by default chosen from the data.
    domain: whose data these are, where their shape does not say it: a name such as "images" or "tables".
    steps, minutes, epochs: the length; give one of them. minutes: as many steps as take about that long here. epochs: passes
        over the data, steps x batch / rows.
    devices: processes on this machine that share the batch; callbacks need 1.
    overrides: changes to the recipe, {"generator.width": 32} or ["generator.width=32"].
    callbacks: functions that receive the events of the training (zerosum.training.callbacks).
    log: loggers by name: "tensorboard", "wandb", "mlflow".
    out: the run folder, by default runs/NAME. allow_download: of a named data set. fit: cut the batch into micro-batches until a
        step fits into memory.
    progress: receives messages and values. on_plan: called with the plan before training.
    Ctrl-C and SIGTERM save and stop; the run returned then has `stopped_by` set.
    """
    names = _logger_names(log)
    _one_length(steps=steps, minutes=minutes, epochs=epochs)
    named = {"steps": steps, "seed": seed, "precision": precision, "device": device}
    settings = [f"{name}={value}" for name, value in named.items() if value is not None] + _settings(overrides)
    progress = progress or NoProgress()
    world = _world(settings)
    if out is not None and world.rank == 0:
        RunFolder(Path(out)).refuse_unless_free()  # before anything takes time
    with _as_path(data, out, domain, progress) as (where, out):
        request = TrainRequest(where, recipe, minutes, tuple(settings), allow_download, fit, domain, epochs)
        if devices > 1 and world.size == 1:
            return _in_processes(devices, request, names, callbacks, out)
        with patience(progress.log if world.rank == 0 else NoProgress().log, PLANNING):
            plan = plans.make(request, world, preview_seconds)
        if on_plan and world.rank == 0:
            on_plan(plan)
        with (
            trial_step.cpu_threads(plan.recipe.threads),
            StopRequest() as stop,
            new_run_folder(plan.info.name, out, world, plan.recipe.device) as folder,
        ):
            try:
                chief = world.rank == 0
                called = [*loggers(names, progress.log), *callbacks] if chief else []
                trainer = Trainer(plan, folder, progress if chief else NoProgress(), world, stop, called)
                trainer.prepare()
                trainer.write_run_files()
            except BaseException:
                if world.rank == 0:
                    folder.remove_incomplete()
                raise
            return _run_to_end(trainer)


def resume(
    run: Run | str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    overrides: Settings = (),
    callbacks: Sequence[Callback] = (),
    log: str | Sequence[str] = (),
    allow_download: bool = False,
    progress: Progress | None = None,
    data: str | Path | None = None,
) -> Run:
    """Continues a run, a Run or its folder, bit for bit as if it had never stopped. `steps` extends it to so many steps in all,
    `minutes` by about that long at its mean speed so far; `data` is the new place of data that have moved. Any other change is
    refused."""
    folder = RunFolder.open(run.path if isinstance(run, Run) else Path(run))
    names = _logger_names(log)
    _one_length(steps=steps, minutes=minutes)
    old = folder.recipe()
    if minutes is not None:
        steps = _steps_after(folder, minutes)
    wanted = override(old, _settings(overrides))
    steps = _steps_wanted(folder, old, wanted, steps)
    recipe = with_data_at(wanted, data)
    world = _world([f"device={old.device}"])
    progress = (progress or NoProgress()) if world.rank == 0 else NoProgress()
    called = [*loggers(names, progress.log), *callbacks] if world.rank == 0 else []
    held = folder.locked() if world.rank == 0 else contextlib.nullcontext()
    with trial_step.cpu_threads(recipe.threads), StopRequest() as stop, held:
        plan = plan_of(folder, allow_download, steps, recipe=recipe)
        trainer = Trainer(plan, folder, progress, world, stop, called)
        trainer.restore()
        world.barrier()
        trainer.record_resumption()
        if world.any(trainer.complete):
            return Run(folder)
        trainer.prepare()
        return _run_to_end(trainer)


def _steps_after(folder: RunFolder, minutes: float) -> int:
    """The total steps of a run that continues for so many more minutes."""
    trial_step.check_minutes("--minutes", minutes)
    lines = folder.lines()
    known = folder.read("status.json") if folder.has_status or not lines else lines[-1]  # the log has its progress, too
    step, seconds = known.get("step"), known.get("seconds")
    if not (isinstance(step, int) and isinstance(seconds, int | float) and step > 0 and seconds > 0):
        raise UserError(f"{folder} has no speed recorded yet, so --minutes cannot become steps. Give --steps instead.")
    return step + max(1, int(60 * minutes * step / seconds))


def _steps_wanted(folder: RunFolder, old: Recipe, wanted: Recipe, steps: int | None) -> int:
    """The requested total steps of the run; UserError for any other change, and for fewer steps."""
    free = ("steps:", *(f"data.{name}:" for name in catalog.domain(old.domain).data.paths))  # a path may have moved
    changed = [line for line in differences(old, wanted) if not line.startswith(free)]
    if changed:
        raise UserError(
            f"{folder} cannot be resumed with other settings:\n  "
            + "\n  ".join(changed)
            + "\nOnly the number of steps and the place of the data (--data) can be changed. For other settings start a new run "
            "with `zerosum train --out`."
        )
    steps = wanted.steps if steps is None else steps
    if steps < old.steps:
        raise UserError(
            f"{folder} was planned for {old.steps:,} steps; {steps:,} would be fewer. Only more steps are possible."
        )
    return steps


def load(path: str | Path, device: str = "cpu") -> Run:
    """A trained run, or a published generator: a folder with generator.safetensors and generator.json."""
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Runs lie where `zerosum train` said, by default in runs/.")
    refuse_exported(root)
    return Run(RunFolder(root), device)


def files_in(paths: Sequence[str | Path]) -> list[Path]:
    """The named files, and for each folder its visible files, by name."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".") if path.is_dir() else [path]
    return found


# --- functions of the other commands


def sample(run: Run | str | Path, num: int = 64, seed: int = 0, **options: Any) -> Tensor:
    """`Run.sample` of a run or its folder."""
    return _run(run).sample(num, seed, **options)


def evaluate(run: Run | str | Path, **options: Any) -> list[dict[str, Any]]:
    """`Run.evaluate` of a run or its folder."""
    return _run(run).evaluate(**options)


def compare(
    runs: Sequence[Run | str | Path], options: EvalOptions = EvalOptions(), out: str | Path | None = None
) -> comparing.RunComparison:
    """Evaluates runs on the same data by one protocol; the result has a `table` and the `entries` of the runs. out: a .png with
    the table and samples of each, a .json with all records, or a folder for both."""
    if out is not None:
        check_out(Path(out))
    picture = out is not None and Path(out).suffix == ".png"
    found = comparing.compare_runs([_run(run).path for run in runs], options, NoProgress().log, picture)
    if out is not None:
        comparing.save(found, Path(out))
    return found


def baseline(data: Run | str | Path, only: Sequence[str] = (), allow_download: bool = False) -> dict[str, Any]:
    """Fits classical models to the data of a run, or of a source or path, and evaluates them as a generator is; of a run they are
    also kept in its folder and shown in its report."""
    path = data.path if isinstance(data, Run) else Path(data)
    if (path / "run.json").is_file():
        return baselines.measure_for_run(path, only, allow_download)
    return baselines.measure(str(data), only, allow_download)


def recipes() -> Mapping[str, Recipe]:
    """All recipes of all domains by name."""
    return catalog.recipes()


def sources() -> Mapping[str, Any]:
    """All named sources of all domains by name."""
    return catalog.sources()


def doctor() -> dict[str, Any]:
    """The devices and packages of this machine, and what is missing."""
    from zerosum.machine import examine

    return examine()


# --- parts

Settings = Mapping[str, Any] | Sequence[str]


def _run(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else load(run)


def _settings(overrides: Settings) -> list[str]:
    if isinstance(overrides, Mapping):
        return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in overrides.items()]
    return list(overrides)


def _logger_names(log: str | Sequence[str]) -> list[str]:
    """The requested loggers; UserError for one that is unknown or not installed."""
    names = [log] if isinstance(log, str) else list(log)
    check_loggers(names)
    return names


def _one_length(**lengths: float | None) -> None:
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both set the length; give one of them.")


def _world(settings: Sequence[str]) -> DistributedContext:
    wanted = next((s.partition("=")[2] for s in reversed(settings) if s.startswith("device=")), "auto")
    on_gpu = wanted.startswith("cuda") or (wanted == "auto" and torch.cuda.is_available())
    return join("cuda" if on_gpu else "cpu")


@contextlib.contextmanager
def _as_path(
    data: Any, out: str | Path | None, domain: str | None, progress: Progress
) -> Iterator[tuple[str | None, str | Path | None]]:
    """(name or path of the data, run folder). Data in memory are written into the run folder, which is chosen here; both are
    removed when the training fails before its first step."""
    if data is None or isinstance(data, str | Path):
        yield None if data is None else str(data), out
        return
    held = in_memory.read(data)
    folder = RunFolder(Path(out)) if out is not None else free_folder(held.name)
    try:
        where = held.write(folder.root / IN_MEMORY, as_table=domain == "tables")
        _refuse_unknown(held, where, domain)
        progress.log(f"The data, {held.summary}, are in {where}.")
        yield str(where), folder.root
    except BaseException:
        folder.remove_incomplete()
        raise


def _refuse_unknown(held: in_memory.InMemory, where: Path, domain: str | None) -> None:
    """UserError that describes the given data, when no domain reads such data."""
    if domain is not None:
        catalog.domain(domain)
        return
    try:
        if where.suffix in (".npy", ".npz") and held.rows.ndim == 2:
            raise UserError("a matrix is data of no domain by its shape alone")
        catalog.recognise(str(where))
    except UserError:
        every = [catalog.domain(name) for name in catalog.domain_names()]
        read = "\n".join(f"  {one.data.arrays}" for one in every if one.data.arrays)
        raise UserError(
            f"data: {held.summary} is not recognised. Arrays that can be trained on:\n{read}\n"
            "An array (N, columns) of numbers is a table with domain='tables'."
        ) from None


def _in_processes(
    devices: int, request: TrainRequest, log: Sequence[str], callbacks: Sequence[Callback], out: str | Path | None
) -> Run:
    """The same training by the command line, in several processes."""
    if callbacks:
        raise UserError("callbacks run in one process; with devices > 1 use log='tensorboard', 'wandb' or 'mlflow'.")
    with tempfile.TemporaryDirectory() as folder:
        recipe = request.recipe
        if isinstance(recipe, Recipe):
            file = Path(folder) / "recipe.json"
            file.write_text(json.dumps(recipe.to_json()), encoding="utf-8")
            recipe = str(file)
        options: dict[str, Any] = {
            "recipe": recipe,
            "minutes": request.minutes,
            "epochs": request.epochs,
            "domain": request.domain,
        }
        options |= {"out": out, "devices": devices}
        command = [sys.executable, "-m", "zerosum", "train", *([request.where] if request.where else []), "--json"]
        command += [f"--{name}={value}" for name, value in options.items() if value is not None]
        command += [f"--set={setting}" for setting in request.settings] + [f"--log={name}" for name in log]
        command += ["--download"] * request.allow_download + ["--fit"] * request.fit
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 130, 143):
        raise UserError(done.stderr.strip().removeprefix("zerosum: "))
    run = load(parse_json(done.stdout, "the result of zerosum train")["folder"])
    run.stopped_by = max(0, done.returncode - 128)
    return run


def _run_to_end(trainer: Trainer) -> Run:
    """Trains, with the folder's lock held, then evaluates and reports."""
    state = trainer.train()
    if trainer.chief:
        trainer.finish(state)
    trainer.world.barrier()
    run = Run(trainer.folder)
    if state == "stopped" and not trainer.callbacks.stopping:
        run.stopped_by = trainer.stop.number or signal.SIGTERM
    return run


__all__ = [
    "Run",
    "Sampler",
    "baseline",
    "compare",
    "doctor",
    "evaluate",
    "load",
    "recipes",
    "resume",
    "sample",
    "sources",
    "train",
]
