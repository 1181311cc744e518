"""A step of every recipe, the previews and the evaluation, on a pretended device that refuses tensors of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from domain_games import CASES, RECIPES, begun, planned, weights
from pretend_device import Mixed, OnDevice, pretended
from zerosum.engine.loop import TrainingLoop
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.planning import plan, trial_step
from zerosum.planning.plan import Plan

PARTS_OF_THEIR_OWN = ("image with transparency", "table, packed", "points in phases", "cycle")
EVALUATED = ("toy", "image", "table", "points", "pairs")


@pytest.fixture
def device() -> Iterator[torch.device]:
    with pretended() as found:
        yield found


def planned_on(name: str, device: torch.device) -> Plan:
    """The plan of a case, on the device."""
    made = planned(name)
    return replace(made, recipe=made.recipe.changed(device=str(device)), source=made.source.to(device))


def held(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values of tensors, all of which must be on the device."""
    assert {type(tensor) for tensor in tensors.values()} <= {OnDevice}
    return {name: tensor.held for name, tensor in tensors.items() if isinstance(tensor, OnDevice)}


@pytest.mark.parametrize("name", [*RECIPES, *PARTS_OF_THEIR_OWN])
def test_a_step_on_another_device(name: str, device: torch.device) -> None:
    """One step ends with the weights of a step on the CPU; it is logged and saved."""
    here = begun(name)
    here.train_step()
    chosen = planned_on(name, device)
    loop = plan.training_loop(chosen)
    loop.train_step()
    found = held(weights(loop))
    for key, tensor in weights(here).items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda said, key=key: f"{key}: {said}")
    assert loop.values().keys() == here.values().keys()
    again = plan.training_loop(chosen)
    again.load_state_dict(loop.state_dict())
    assert all(torch.equal(tensor, found[key]) for key, tensor in held(weights(again)).items())


@pytest.mark.parametrize("name", CASES)
def test_a_preview_from_another_device(name: str, device: torch.device, tmp_path: Path) -> None:
    chosen = planned_on(name, device)
    look(plan.training_loop(chosen), chosen, tmp_path)


def look(loop: TrainingLoop, chosen: Plan, folder: Path) -> TrainingEvaluator:
    """Takes a preview and the numbers of the health rules."""
    evaluator = TrainingEvaluator(chosen, loop)
    evaluator.health_values()
    evaluator.write_preview(folder / "preview.png")
    return evaluator


@pytest.mark.parametrize("name", CASES)
def test_the_trial_step_on_another_device(name: str, device: torch.device) -> None:
    trial_step.play_trial_steps(plan.training_loop(planned_on(name, device)))


@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_on_another_device(name: str, device: torch.device) -> None:
    chosen = planned_on(name, device)
    evaluator = TrainingEvaluator(chosen, plan.training_loop(chosen))
    evaluator.prepare(lambda text: None)
    assert evaluator.evaluate()


# --- the device itself

ROWS, COLUMNS = torch.ones(3, 2), torch.ones(2)


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: there + COLUMNS,
        lambda there: there.add_(COLUMNS),
        lambda there: ROWS + there,
        lambda there: ROWS.add_(there),
        lambda there: ROWS @ there[0],
        lambda there: torch.cat([there[0], COLUMNS]),
        lambda there: torch.stack([there[0, 0], torch.tensor(1.0)]),
        lambda there: torch.where(there > 0, there, COLUMNS),
        lambda there: nn.Linear(2, 1)(there),
        lambda there: ROWS[there.long()],
        lambda there: there.index_select(0, torch.tensor([0])),
        lambda there: there.numpy(),
    ],
)
def test_tensors_of_two_devices_do_not_mix(mix: Callable[[Tensor], Any], device: torch.device) -> None:
    there = ROWS.to(device)
    with pytest.raises((Mixed, TypeError)):
        mix(there)


def test_what_a_gpu_allows_is_allowed(device: torch.device) -> None:
    there = ROWS.to(device)
    assert (there.device, ROWS.device.type) == (device, "cpu")
    made = [
        there * torch.tensor(2.0),
        there[torch.tensor([0, 1])],
        torch.zeros(2, 2, device=device),
        torch.tensor([1.0, 2.0], device=device),
        there.new_tensor([1.0]),
        torch.randn(2, device=device, generator=torch.Generator(device).manual_seed(0)),
        there.clone().copy_(ROWS),
        nn.Linear(2, 1).to(device)(there),
    ]
    assert all(isinstance(one, OnDevice) for one in made)
    assert type(there.cpu()) is Tensor
    assert (there.tolist(), float(there.sum())) == (ROWS.tolist(), 6.0)
    learned = nn.Parameter(there)
    (learned**2).sum().backward()
    assert isinstance(learned.grad, OnDevice)
    assert learned.grad.tolist() == (2 * ROWS).tolist()
