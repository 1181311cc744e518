"""Files of a run that were damaged or changed by others: every reader gives a result, or an error that a user can mend."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain_games import CASES, begun, planned
from zerosum import api, formatting, recipe
from zerosum.domain import SampleRequest
from zerosum.engine.devices import DistributedContext
from zerosum.errors import UserError
from zerosum.evaluation import baselines, compare
from zerosum.evaluation.evaluate_saved import SavedEvaluator
from zerosum.generation import sampler
from zerosum.generation.sampler import write_samples
from zerosum.lab import watch
from zerosum.planning import initial_weights
from zerosum.planning.plan import plan_of
from zerosum.report import write_report
from zerosum.run_folder import RunFolder
from zerosum.store import Damaged, latest_checkpoint
from zerosum.training import async_eval, callbacks, checkpointing
from zerosum.training.signals import StopRequest
from zerosum.training.trainer import Trainer

Reader = Callable[[Path], Any]
HOSTILE = [
    "[" * 100_000,
    '{"a":' * 100_000,
    "null",
    "[]",
    "{}",
    '"x"',
    "1",
    "9" * 5_000,
    "{",
    "",
    "\0" * 40,
    "\ufeff{}",
]
ODD = [
    *(None, True, -1, 0, 0.5, 10**30, 10**299, 1e300, float("nan"), float("inf"), 2**63, -(2**63)),
    *("", "x", "../../x", "\0", "\ud800", "9" * 400, [], [[]], [1, 2, 3], ["a", "b"], {}, {"a": 1}, {"$dict": [1]}),
    *({"$tensor": "none"}, {"$tensor": []}, {"$dict": [[[], 1]]}, {"$tuple": 1}, {"$dict": 3}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within a value, itself first."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(value: Any, rng: random.Random) -> Any:
    """The value with one value in it replaced by an odd one, removed, or doubled."""
    value = copy.deepcopy(value)
    *parents, last = rng.choice(list(places(value))[1:] or [("none",)])
    place = value
    for key in parents:
        place = place[key]
    what = rng.random()
    if what < 0.2 and isinstance(place, dict | list):
        del place[last]
    elif what < 0.25 and isinstance(place, list):
        place.append(copy.deepcopy(place[last]))
    elif isinstance(place, dict | list):
        place[last] = copy.deepcopy(rng.choice(ODD))
    return value


def mutated(body: bytes, rng: random.Random, lines: bool = False) -> bytes:
    """A JSON text, or one of lines of JSON, changed: mostly in a value, sometimes in a byte, sometimes altogether."""
    kind = rng.random()
    if kind < 0.12:
        return rng.choice(HOSTILE).encode()
    if kind < 0.3:
        at = rng.randrange(len(body))
        noise = rng.randbytes(rng.randrange(1, 5))
        return rng.choice([body[:at], body[:at] + noise + body[at:], body[:at] + noise + body[at + len(noise) :]])
    if not lines:
        return json.dumps(changed(json.loads(body), rng)).encode()
    rows = body.splitlines()
    at = rng.randrange(len(rows))
    rows[at] = json.dumps(changed(json.loads(rows[at]), rng)).encode()
    return b"\n".join(rows) + b"\n"


BEST = {"step": 4, "value": 0.5, "name": "diversity"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with everything in it that is read again."""
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    small = {"generator.width": 8, "discriminator.width": 8, "data.num": 120, "batch": 16, "threads": 1, "steps": 4}
    api.train(
        "ring", "toy", overrides={**small, "cadence.log": 1, "cadence.preview": 2, "cadence.checkpoint": 2}, out=folder
    )
    baselines.measure_for_run(folder, ["normal"])
    found = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    (folder / "evaluations").mkdir()
    for name, content in {"evaluations/step-00000004.json": found, "best/best.json": BEST}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for name in ("generator.json", "generator.safetensors"):
        shutil.copy(folder / name, folder / "best" / name)
    return folder


def session(folder: Path) -> None:
    """What `resume` reads before its first step."""
    opened = RunFolder.open(folder)
    found = Trainer(plan_of(opened, False), opened, formatting.NoProgress(), DistributedContext(), StopRequest())
    found.restore()
    found.record_resumption()


def aside(folder: Path) -> None:
    """Results of evaluations beside a training, and snapshots."""
    found = async_eval.AsyncEvaluation(
        RunFolder(folder), callbacks.RunLogger(RunFolder(folder), formatting.NoProgress()), lambda text: None
    )
    assert found.steps <= {4}
    found.log_results()


def ranked(folder: Path) -> None:
    """The best generator so far."""
    found = checkpointing.BestCheckpoint(
        RunFolder(folder), callbacks.RunLogger(RunFolder(folder), formatting.NoProgress()), "diversity"
    )
    found.restore(RunFolder(folder).lines())
    found.log_best()


def verdicts(folder: Path) -> None:
    """The discriminator's scores."""
    (folder / "points.csv").write_text("0.1,0.2\n0.3,0.4\n", encoding="utf-8")
    api.load(folder).judge([folder / "points.csv"])


READERS: dict[str, tuple[Reader, ...]] = {
    "run.json": (
        RunFolder.open,
        write_report,
        lambda p: plan_of(RunFolder.open(p), False),
        lambda p: compare._check_same_data([RunFolder(p)] * 2),
        watch.page,
    ),
    "recipe.json": (lambda p: RunFolder(p).recipe(), lambda p: recipe.read(p / "recipe.json"), write_report),
    "status.json": (write_report, watch.page),
    "references.json": (write_report,),
    "baselines.json": (write_report, lambda p: baselines.compare_with_run(RunFolder(p).read("baselines.json"), p)),
    "metrics.jsonl": (write_report, lambda p: api.load(p).metrics, session, verdicts, ranked),
    "generator.json": (
        lambda p: api.load(p).sample(2),
        lambda p: SavedEvaluator(RunFolder(p)).load_generator(),
        initial_weights.load_initial_weights,
    ),
    "checkpoints/step-00000004/manifest.json": (lambda p: latest_checkpoint(p / "checkpoints"),),
    "checkpoints/step-00000004/state.json": (session, verdicts, initial_weights.load_initial_weights),
    "evaluations/step-00000004.json": (aside,),
    "best/best.json": (ranked,),
    "best/generator.json": (ranked, api.load),
}


@pytest.mark.parametrize("name", READERS)
def test_every_file_of_a_run(name: str, trained: Path, tmp_path: Path, rounds: int) -> None:
    body, found = (trained / name).read_bytes(), []
    for seed in range(rounds):
        folder = tmp_path / str(seed)
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("tensorboard", "report.html"))
        write = consistently if name.endswith("state.json") else Path.write_bytes
        write(folder / name, mutated(body, random.Random(f"{name}{seed}"), name.endswith("jsonl")))
        for reader in READERS[name]:
            found += traceback_of(lambda reader=reader, folder=folder: reader(folder), f"{name}, seed {seed}")
    assert found == []


@pytest.mark.parametrize("name", CASES)
def test_the_card_of_every_kind_of_generator(name: str, tmp_path: Path, rounds: int) -> None:
    plan, match = planned(name), begun(name)
    examples = plan.domain.data.examples(plan.source) if plan.domain.data.examples else None
    sampler.publish(tmp_path, match.game.players["generator"], plan.recipe, plan.info, 1, examples)
    body, found = (tmp_path / "generator.json").read_bytes(), []
    ending = "".join(plan.domain.media.sample_file.partition(".")[1:])  # of two parts for .nii.gz

    def use() -> None:
        loaded = api.load(tmp_path)
        write_samples(loaded, loaded.sample(3), tmp_path / f"some{ending}")
        loaded.produce(SampleRequest(3, 0, tmp_path / f"more{ending}"))

    use()
    for seed in range(rounds):
        (tmp_path / "generator.json").write_bytes(mutated(body, random.Random(f"{name}{seed}")))
        found += traceback_of(use, f"{name}, seed {seed}")
    assert found == []


def traceback_of(act: Callable[[], Any], what: str) -> list[str]:
    """What a person would see as a traceback: any error but the two that say what is wrong with the files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            act()
        except (UserError, Damaged):
            return []
        except Exception as error:
            return [f"{what}: {type(error).__name__}: {str(error)[:80]}"]
    return []


def consistently(path: Path, body: bytes) -> None:
    """Writes one file of a checkpoint, and the manifest that vouches for it."""
    path.write_bytes(body)
    manifest = json.loads((path.parent / "manifest.json").read_bytes())
    manifest["files"][path.name] = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    (path.parent / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
