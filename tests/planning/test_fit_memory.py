"""Memory: what was held at most, running out of it for real, the message with settings, and the cut that fits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import infos
from zerosum import memory
from zerosum.api import resume, train
from zerosum.domains.images import DOMAIN as IMAGES
from zerosum.domains.toy import DOMAIN
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.errors import UserError
from zerosum.nn import layers as layers_of_ours
from zerosum.nn.style_layers import MinibatchDeviation
from zerosum.planning import trial_step
from zerosum.recipe import Recipe, part
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint, split

CPU = torch.device("cpu")
MB = 1_000_000
ROW = MB
"""Bytes that the big layer takes for each row, in float32."""


class Rows:
    """Numbers of one feature."""

    num_rows = 64
    data = torch.linspace(-1, 1, 64)[:, None]

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.data[indices])


class Big(nn.Module):
    """A linear score through one large activation."""

    def __init__(self, norm: bool = False, row: int = ROW) -> None:
        super().__init__()
        self.inside = nn.Linear(1, row // 4)
        self.norm = nn.BatchNorm1d(1) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inside(self.norm(x))).mean(1, keepdim=True)


RECIPE = Recipe(
    name="big",
    generator=part("mlp", width=40),
    discriminator=part("mlp", width=64),
    batch=64,
    device="cpu",
    precision="float32",
)
INFO = infos.of_images((32, 48), channels=3, rows=64)


def beginner(norm: bool = False, row: int = ROW) -> tuple[Callable[[Recipe], TrainingLoop], list[int]]:
    """A way to begin the game of a recipe, and the micro-batches that were tried."""
    tried: list[int] = []

    def begin(recipe: Recipe) -> TrainingLoop:
        tried.append(recipe.micro_batches)
        torch.manual_seed(1)
        game = Duel(nn.Linear(3, 1), Big(norm, row), prior=3)
        return TrainingLoop(game, Rows(), Settings(batch=64, micro_batches=recipe.micro_batches))

    return begin, tried


# --- measuring


def test_the_peak_is_that_of_the_work_inside() -> None:
    with memory.measured(CPU) as small:
        pass
    with memory.measured(CPU) as large:
        torch.ones(50 * MB)  # 200 MB, freed at once
    if small.num_bytes is None or large.num_bytes is None:
        pytest.skip("this system does not tell")
    assert 190 * MB < large.num_bytes - small.num_bytes < 230 * MB
    with memory.measured(CPU) as after:
        pass
    assert after.num_bytes is not None
    assert after.num_bytes < large.num_bytes - 150 * MB  # a new mark was begun


def test_a_bound_makes_the_allocator_fail_and_is_lifted_again() -> None:
    with pytest.raises(RuntimeError) as caught, memory.bounded(CPU, 100 * MB):
        torch.ones(100 * MB)
    assert memory.exhausted(caught.value)
    assert torch.ones(100 * MB).sum() == 100 * MB


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you ..."), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_speak_of_memory(error: Exception, is_one: bool) -> None:
    assert memory.exhausted(error) is is_one


@pytest.mark.parametrize(
    ("num", "text"), [(412_400_000, "412 MB"), (999_999_999, "1000 MB"), (3_240_000_000, "3.2 GB")]
)
def test_sizes_are_read_by_people(num: int, text: str) -> None:
    assert memory.size(num) == text


# --- what is told


def test_the_message_has_settings_with_this_recipes_numbers() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
    said = memory.message(RECIPE.changed(micro_batches=4), IMAGES, INFO, error, "in the first step")
    assert said.startswith("Out of memory in the first step: recipe big, 64 rows in 4 micro-batches of 3x32x48 on cpu")
    assert "It asked for 20.00 GiB more." in said
    for setting in (
        "--fit ",
        "--set micro_batches=8 ",
        "8 rows at a time",
        "--set batch=32 ",
        "--set generator.width=20 --set discriminator.width=32 ",
        "--set data.size=[16,24] ",
    ):
        assert setting in said, setting


def test_no_setting_is_named_that_cannot_help() -> None:
    tiny = RECIPE.changed(batch=1, generator=part("mlp"), discriminator=part("mlp", width=4))
    said = memory.advice(tiny, IMAGES, infos.of_images(8))
    assert said == ""


# --- finding what fits


@pytest.mark.parametrize(("room_mb", "cut"), [(1_000, False), (110, True)])
def test_the_batch_is_cut_until_a_step_fits(monkeypatch: pytest.MonkeyPatch, room_mb: int, cut: bool) -> None:
    """A row takes about 4 MB in a forward and backward pass: real allocations fail beyond the bound, and the first power of
    two that succeeds is taken."""
    monkeypatch.setattr(memory, "available", lambda device: room_mb * MB)
    begin, tried = beginner()
    trial = trial_step.play_trial(RECIPE, IMAGES, INFO, begin, fit=True)
    recipe, notes = trial.recipe, trial.notes
    parts = recipe.micro_batches
    assert parts in ((2, 4, 8) if cut else (1,))
    powers = [1, 2, 4, 8]
    assert tried == powers[: powers.index(parts) + 1]
    assert notes[-1].startswith("Memory: about ")
    messages = [
        note for note in notes if note.startswith(f"micro_batches = {parts} (asked: 1): {64 // parts} rows at a time")
    ]
    assert len(messages) == cut


def test_the_cut_changes_no_gradient() -> None:
    begin, _ = beginner()
    whole, cut = begin(RECIPE), begin(RECIPE.changed(micro_batches=4))
    for game in (whole, cut):
        game.train_step()
    for name, player in whole.players.items():
        for one, other in zip(player.parameters, cut.players[name].parameters, strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_without_fit_the_message_comes_and_nothing_is_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 110 * MB)
    begin, tried = beginner()
    with pytest.raises(UserError, match=r"Out of memory in the first step: .* 110 MB are free"):
        trial_step.play_trial(RECIPE, IMAGES, INFO, begin)
    assert tried == [1]


def test_what_does_not_fit_row_by_row_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 3 * MB)
    begin, tried = beginner(row=4 * ROW)  # pieces of 64 MB: the allocator never has one left over from earlier work
    with pytest.raises(UserError, match="even one row at a time") as caught:
        trial_step.play_trial(RECIPE.changed(batch=4), IMAGES, INFO, begin, fit=True)
    assert tried == [1, 2, 4]
    assert "--fit" not in str(caught.value)
    assert "--set batch" not in str(caught.value)  # it would not help
    assert "--set generator.width=20" in str(caught.value)


def test_layers_that_look_at_the_rows_together_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 110 * MB)
    notes = trial_step.play_trial(RECIPE, IMAGES, INFO, beginner(norm=True)[0], fit=True).notes
    assert re.search(
        r"NOT the game of the whole batch of 64 rows, which is played in \d parts of about \d+: discriminator.norm "
        r"\(BatchNorm1d\) see only the rows of a part\. Group normalisation \(norm = group\) plays the same game\.",
        notes[1],
    )
    frozen = Big(norm=True).eval()
    assert trial_step.batch_dependent_modules(Duel(nn.Linear(3, 1), frozen, prior=3), [(0, 32), (32, 64)]) == []


def test_a_cut_that_was_asked_for_is_told_too() -> None:
    """With micro-batches and with processes, before anything is trained."""
    begin = beginner(norm=True)[0]
    for recipe, processes in ((RECIPE.changed(micro_batches=2), 1), (RECIPE, 2)):
        notes = trial_step.play_trial(recipe, IMAGES, INFO, begin, processes=processes).notes
        assert "in 2 parts of about 32: discriminator.norm (BatchNorm1d)" in notes[0]
    notes = trial_step.play_trial(RECIPE, IMAGES, INFO, begin).notes
    assert not any("NOT the game" in note for note in notes)
    notes = trial_step.play_trial(RECIPE.changed(micro_batches=2), IMAGES, INFO, beginner()[0]).notes
    assert not any("NOT the game" in note for note in notes)


def test_groups_of_rows_that_a_part_cuts_and_dropout_of_torch_are_named() -> None:
    layers = [MinibatchDeviation(4), nn.Dropout(0.5), nn.Dropout(0.0), layers_of_ours.Dropout(0.5)]
    game = Duel(nn.Linear(3, 1), nn.Sequential(*layers, nn.Linear(1, 1)), prior=3)
    deviation, dropout = "discriminator.0 (MinibatchDeviation)", "discriminator.1 (Dropout)"
    assert trial_step.batch_dependent_modules(game, [(0, 4), (4, 12)]) == [dropout]
    assert trial_step.batch_dependent_modules(game, [(0, 6), (6, 12)]) == [deviation, dropout]
    assert trial_step.batch_dependent_modules(game, [(0, 7)]) == []


# --- in the middle of a training

SMALL = {"steps": 8, "batch": 16, "threads": 1, "data.num": 600, "generator.width": 8, "discriminator.width": 8}
SMALL |= {"cadence.checkpoint": 3, "cadence.preview": 100}


def test_a_training_that_runs_out_of_memory_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = DOMAIN.recipes.table["toy"]
    play = TrainingLoop.train_step

    def failing(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        if self.step == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        play(self, turns, observer)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "train_step", failing)
        with pytest.raises(UserError) as caught:
            train(recipe=toy, out=tmp_path / "run", overrides=SMALL)
    said = str(caught.value)
    assert said.startswith("Out of memory after step 5: recipe toy, 16 rows of 2 on cpu")
    assert "--set micro_batches=2" in said
    assert said.endswith(f"Newest checkpoint in {tmp_path / 'run'}: step 3.")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "Out of memory" in status["message"]
    resumed = resume(tmp_path / "run")
    straight = train(recipe=toy, out=tmp_path / "straight", overrides=SMALL)
    assert _weights(resumed.folder).keys() == _weights(straight.folder).keys()
    for name, tensor in _weights(resumed.folder).items():
        assert torch.equal(tensor, _weights(straight.folder)[name]), name


def _weights(folder: RunFolder) -> dict[str, Tensor]:
    state = latest_checkpoint(folder.checkpoints)
    assert state is not None
    return split(state["match"]["networks"])[0]
