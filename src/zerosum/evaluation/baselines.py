"""Classical models as baselines of a run: fitted to its data, sampled, and evaluated by the same evaluator and protocol."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from zerosum import catalog
from zerosum.domain import Baseline, Domain, Evaluator, PairedBaseline, PreviewContext
from zerosum.domain.contract import SOUND_ENDING
from zerosum.errors import UserError, known_as
from zerosum.evaluation.training_evaluator import COLUMNS, ROWS, write_sound
from zerosum.planning.plan import plan_of
from zerosum.planning.trial_step import cpu_threads
from zerosum.recipe import part
from zerosum.report import write_report
from zerosum.report.comparison import Comparison, compare
from zerosum.run_folder import RunFolder, finite

FILE, PICTURES = "baselines.json", "baselines"
FORMAT = 1
LogFunction = Callable[[str], None]
Draw = Callable[[str, Tensor], None]
"""(name of a model, samples) -> None: writes a picture of the samples."""


def silent(text: str) -> None:
    """Ignores the message."""


def measure(
    where: str, only: Sequence[str] = (), allow_download: bool = False, log: LogFunction = silent
) -> dict[str, Any]:
    """The content of `baselines.json` for a source's name or path; nothing is written. only: these models, default all."""
    domain = catalog.recognise(where)
    source = domain.data.open(part(where), allow_download)
    return _content(source, 0, _measure_all(domain, source, 0, only, log, lambda name, samples: None))


def measure_for_run(
    path: Path, only: Sequence[str] = (), allow_download: bool = False, log: LogFunction = silent
) -> dict[str, Any]:
    """Fits models to the data of a run, writes `baselines.json` and their pictures into its folder, and the report again.

    UserError when the data are no longer those of the run. Models that were measured earlier stay, unless fitted again.
    """
    folder = RunFolder.open(path)
    plan = plan_of(folder, allow_download, anywhere=True)

    def draw(name: str, samples: Tensor) -> None:
        target = folder.root / PICTURES / f"{name}{plan.domain.media.preview_ending}"
        target.parent.mkdir(exist_ok=True)
        noise = samples.new_empty(len(samples), 0)
        with _written_aside(target) as aside:
            plan.domain.media.preview(samples, aside, PreviewContext(COLUMNS, plan.info, noise))
        if plan.domain.media.sound is not None:
            with _written_aside(target.with_suffix(SOUND_ENDING)) as aside:
                write_sound(plan.domain, samples, aside, plan.info, noise=noise)

    try:
        with cpu_threads(plan.recipe.threads):
            fitted = _measure_all(plan.domain, plan.source, plan.recipe.seed, only, log, draw)
        content = _content(plan.source, plan.recipe.seed, [*_earlier_models(folder, plan.source, fitted), *fitted])
        folder.write(FILE, content)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror or error}. Free space, then try again.") from None
    write_report(folder.root)
    return content


def compare_with_run(content: Mapping[str, Any], path: Path | None = None) -> Comparison:
    """The models compared with each other and with the newest metrics of the run at `path`."""
    if path is None:
        return compare(dict(content))
    folder = RunFolder.open(path)
    found = [line["records"] for line in folder.lines() if line["kind"] == "evaluation"]
    return compare(dict(content), found[-1] if found else [], folder.recipe().conditional is True)


@contextlib.contextmanager
def _written_aside(target: Path) -> Iterator[Path]:
    """A path to write to, which is renamed to `target` at the end."""
    aside = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield aside
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def _content(source: Any, seed: int, fitted: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": source.name,
        "fingerprint": source.fingerprint,
        "seed": seed,
        "baselines": fitted,
    }


def _earlier_models(folder: RunFolder, source: Any, fitted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Models that were measured in this folder on the same data, other than those fitted now."""
    if not (folder.root / FILE).is_file():
        return []
    old, names = folder.read(FILE), {one["name"] for one in fitted}
    if (old.get("format"), old.get("fingerprint")) != (FORMAT, source.fingerprint):
        return []
    return [one for one in old["baselines"] if one["name"] not in names]


def _measure_all(
    domain: Domain, source: Any, seed: int, only: Sequence[str], log: LogFunction, draw: Draw
) -> list[dict[str, Any]]:
    fits = domain.evaluation.baselines(source)
    if not fits:
        raise UserError(f"The domain {domain.name!r} has no classical baselines.")
    wanted = {name: known_as(name, fits, "baseline") for name in only} or fits
    evaluator = domain.evaluation.evaluator(source, seed)
    evaluator.prepare(log)
    return [_measure_one(name, fit, evaluator, domain, seed, log, draw) for name, fit in wanted.items()]


def _measure_one(
    name: str,
    fit: Callable[[], Baseline | PairedBaseline],
    evaluator: Evaluator,
    domain: Domain,
    seed: int,
    log: LogFunction,
    draw: Draw,
) -> dict[str, Any]:
    """Fits one model, samples it with the seed that the evaluation of a run uses, writes a picture and evaluates it.
    "paired" in the result: the model gets the conditions of the evaluator."""
    begun = time.perf_counter()
    model = fit()
    fit_s = time.perf_counter() - begun
    paired = isinstance(model, PairedBaseline)
    if isinstance(model, PairedBaseline):
        conditions = domain.evaluation.conditions(evaluator) if domain.evaluation.conditions else None
        assert conditions is not None, name
        samples = model.outputs(conditions, seed + 1)
    else:
        samples = model.sample(evaluator.num_samples, seed + 1)
    draw(name, samples[: domain.media.num_shown or ROWS * COLUMNS])
    records = evaluator.evaluate(samples, None, None)
    log(f"{name}: fitted in {fit_s:.1f} s, measured in {time.perf_counter() - begun - fit_s:.1f} s.")
    made = {"weights": f"baseline {name}", "sample_seed": seed + 1}
    return {
        "name": name,
        "summary": model.summary,
        "fit_s": round(fit_s, 3),
        **({"paired": True} if paired else {}),
        "picture": f"{PICTURES}/{name}{domain.media.preview_ending}",
        "records": [finite(replace(one, protocol={**one.protocol, **made}).to_json()) for one in records],
    }
