"""Two processes play the very game that one process plays: one start of two gloo processes serves all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_games import match, play
from torch import Tensor
from two_processes import GAMES, STEPS, outcome

from process_pair import played_in_two
from zerosum.engine import devices
from zerosum.engine.devices import DistributedContext

Found = list[dict[str, Tensor]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each of two processes wrote."""
    return played_in_two(Path(__file__).with_name("two_processes.py"), tmp_path_factory.mktemp("two"), 120)


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under a name."""
    return {key.removeprefix(f"{name}|"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}|")}


@pytest.mark.parametrize("name", GAMES)
def test_two_processes_play_the_game_of_one(found: Found, name: str) -> None:
    """Weights, average, terms, gradient norms and clipped shares after four steps, in both processes."""
    alone = outcome(play(GAMES[name](DistributedContext()), STEPS))
    for rank in range(2):
        theirs = part(found[rank], name)
        assert theirs.keys() == alone.keys()
        for key, tensor in alone.items():
            torch.testing.assert_close(theirs[key], tensor, rtol=1e-6, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")


def test_batch_statistics_are_the_same_in_both_processes(found: Found) -> None:
    one, other = (part(tensors, "statistics") for tensors in found)
    assert {"generator.1.running_var", "discriminator.1.running_mean"} <= one.keys()
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_rows_are_gathered_in_order_from_unequal_parts(found: Found) -> None:
    assert all(torch.equal(tensors["rows"], torch.arange(10.0).view(5, 2)) for tensors in found)


def test_any_is_heard_by_all(found: Found) -> None:
    assert all(tensors["any"].tolist() == [True, False] for tensors in found)


def test_previous_fakes_are_saved_and_restored_across_processes(found: Found) -> None:
    for tensors in found:
        straight, restored = part(tensors, "straight"), part(tensors, "restored")
        assert straight.keys() == restored.keys()
        assert all(torch.equal(tensor, restored[key]) for key, tensor in straight.items())


def test_numbers_that_are_not_finite_in_one_process_stop_both(found: Found) -> None:
    assert all(tensors["guard"].item() for tensors in found)


# --- without processes


def test_rows_of_the_batch_are_shared_out_completely() -> None:
    for size, total in ((1, 8), (2, 9), (3, 8), (4, 4)):
        edges = [DistributedContext(rank, size).rows(total) for rank in range(size)]
        assert [row for first, last in edges for row in range(first, last)] == list(range(total))
        assert max(b - a for a, b in edges) - min(b - a for a, b in edges) <= 1


def test_one_process_is_the_identity() -> None:
    rows = torch.arange(3.0)
    world = DistributedContext()
    world.sum_([rows])
    world.barrier()
    assert world.gather_rows(rows) is rows
    assert torch.equal(rows, torch.arange(3.0))
    assert (world.any(True), world.any(False)) == (True, False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (3, 8, 1)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "2"}, (2, 4, 2)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (1, 2, 0)),
    ],
)
def test_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: tuple[int, int, int]
) -> None:
    for prefix in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"):
        monkeypatch.delenv(prefix, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert devices.environment() == expected
    if expected[1] == 1:
        assert devices.join("cpu") == DistributedContext()


def test_a_batch_smaller_than_the_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="batch = 1 cannot be shared by 2 processes"):
        match(batch=1, world=DistributedContext(0, 2))
