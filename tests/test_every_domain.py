"""Promises that hold in every domain: resume, micro-batches, processes, precision, a published generator that stands alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from domain_games import CASES, EXACT, STEPS, begun, close, exactly, planned, played, weights
from forked import Forked
from small_process import ended
from zerosum import catalog
from zerosum.api import load
from zerosum.domain import SampleRequest
from zerosum.errors import UserError
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.generation import sampler
from zerosum.generation.export import exporting, huggingface
from zerosum.planning import trial_step
from zerosum.store import read_checkpoint, save_checkpoint

GAMES = "cases"


def test_every_domain_has_a_game_here() -> None:
    assert {catalog.recipes()[case.recipe].domain for case in CASES.values()} == set(catalog.domain_names())


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_match_is_bit_equal(name: str, tmp_path: Path) -> None:
    """Stopped in the middle, stored, loaded into fresh networks, played on."""
    straight = played(begun(name))
    half = played(begun(name), STEPS // 2)
    path = save_checkpoint(tmp_path, half.step, half.state_dict())
    again = begun(name)
    again.load_state_dict(read_checkpoint(path))
    assert again.step == STEPS // 2
    close(weights(played(again, STEPS - STEPS // 2)), weights(straight), rtol=0, atol=0)


@pytest.mark.parametrize("name", EXACT)
def test_micro_batches_play_the_same_game(name: str) -> None:
    close(exactly(name, "micro_batches=3"), exactly(name), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_two_processes_play_the_game_of_one(name: str, two: list[dict[str, Tensor]]) -> None:
    mine, others = ({k.partition("|")[2]: t for k, t in found.items() if k.startswith(f"{name}|")} for found in two)
    close(mine, others, rtol=0, atol=0)
    close(mine, exactly(name), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_plays_too(name: str) -> None:
    """Coarser, and finite; the weights stay float32."""
    found = weights(played(begun(name, "precision=bfloat16"), 2))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in found.values())
    assert {tensor.dtype for tensor in found.values() if tensor.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("name", CASES)
def test_every_phase_is_rehearsed(name: str) -> None:
    """Penalties reach weights, and every network can be differentiated as often as its game wants."""
    trial_step.play_trial_steps(begun(name), STEPS)


@pytest.mark.parametrize("name", CASES)
def test_a_published_generator_stands_alone(name: str, tmp_path: Path) -> None:
    """From its folder alone it makes the samples of the run, whatever the batch."""
    plan, match = planned(name), played(begun(name), 2)
    observer = TrainingEvaluator(plan, match)
    network = match.average.network if match.average else match.game.players["generator"]
    sampler.publish(tmp_path, network, plan.recipe, plan.info, match.step, observer.examples)
    loaded, _, _ = sampler.load(tmp_path)
    samples = observer.sampler.sample(7, seed=5)
    torch.testing.assert_close(loaded.sample(7, seed=5), samples, rtol=0, atol=0)
    torch.testing.assert_close(loaded.sample(7, seed=5, batch=3), samples, rtol=1e-4, atol=1e-5)
    assert torch.equal(loaded.sample(7, seed=6), samples) is not CASES[name].noisy


@pytest.mark.parametrize("name", ["image", "table", "points", "pairs"])
def test_the_card_of_an_exported_generator_tells_how_to_use_it(name: str, tmp_path: Path) -> None:
    """The code that stands in the model card runs as it is, in the folder, and makes samples."""
    plan, match = planned(name), played(begun(name), 1)
    observer = TrainingEvaluator(plan, match)
    network = match.average.network if match.average else match.game.players["generator"]
    (tmp_path / "run").mkdir()
    (tmp_path / "hub").mkdir()
    sampler.publish(tmp_path / "run", network, plan.recipe, plan.info, match.step, observer.examples)
    huggingface.write(load(tmp_path / "run"), tmp_path / "hub", None)
    code = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8").split("```python\n")[2].partition("```")[0]
    status, out, error = ended(Forked("-c", f"{code}\nprint(tuple(samples.shape))", folder=tmp_path / "hub"))
    assert status == 0, error
    assert out.startswith("(")


@pytest.mark.parametrize("name", ["table", "pairs", "sound from mel spectrograms", "clips", "slices"])
def test_conditions_are_exported_too(name: str, tmp_path: Path) -> None:
    """As ONNX, checked against the original on batches of several sizes by the export itself."""
    plan, match = planned(name), played(begun(name), 1)
    observer = TrainingEvaluator(plan, match)
    network = match.average.network if match.average else match.game.players["generator"]
    sampler.publish(tmp_path, network, plan.recipe, plan.info, match.step, observer.examples)
    made = exporting.export(load(tmp_path), "onnx", tmp_path / "onnx")
    assert {path.name for path in made.paths} >= {"generator.onnx", "generator.json"}


def test_options_of_the_usual_way_lead_there(tmp_path: Path) -> None:
    """A table has its own way to make samples; truncated ones are made the usual way, and `--where` does not go with that."""
    plan, match = planned("table"), begun("table")
    sampler.publish(tmp_path, match.game.players["generator"], plan.recipe, plan.info, 0)
    made = load(tmp_path)
    plainly = SampleRequest(5, 0, tmp_path / "rows.csv")
    assert made.produce(plainly) is not None
    assert made.produce(plainly, usual=True) is None
    with pytest.raises(UserError, match=r"^--where: --label, .* and --latent do not go with it"):
        made.produce(SampleRequest(5, 0, tmp_path / "rows.csv", {"where": "alcohol>13"}), usual=True)
