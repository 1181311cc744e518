"""Shared settings of the tests: one thread (the suite shares a small machine), and where real data may lie."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from process_pair import played_in_two
from zerosum.domains.medical import segmentation
from zerosum.domains.toy import measures
from zerosum.planning import trial_step

torch.set_num_threads(1)
# The usual thresholds make thousands of collections over the objects of torch and pytest, a tenth of the time of the tests.
gc.set_threshold(50_000, 10, 10)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data-root",
        default=os.environ.get("ZEROSUM_DATA", str(Path(__file__).parents[2] / "shared" / "data")),
        help="folder with mnist/, fashion_mnist/, cifar10/ ...; tests that need it skip when it is missing",
    )
    parser.addoption("--fuzz", type=int, default=10, help="damaged copies of each kind of file that readers are given")
    parser.addoption("--kills", type=int, default=3, help="moments at which a training is killed")


def pytest_collection_finish() -> None:
    """Objects that exist before the first test are not looked at by collections."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _small_measures_of_points() -> Iterator[None]:
    """Transport between fifty points: that of the thousand that a run is measured by takes seconds of each of many runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "W2_POINTS", 50)
        patch.setattr(measures, "MMD_POINTS", 100)
        yield


@pytest.fixture(scope="session", autouse=True)
def _segmentation_is_short() -> Iterator[None]:
    """Twenty steps in place of hundreds of the network that finds label maps in medical images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmentation, "STEPS", 20)
        yield


@pytest.fixture(scope="session", autouse=True)
def _steps_are_timed_twice() -> Iterator[None]:
    """Instead of 16 times before each of many trainings; tests assert nothing about seconds. With one thread, because a number of
    threads that is chosen by measured times may differ between two trainings whose weights are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_step, "MOST_ROUNDS", 2)
        patch.setattr(trial_step, "THREADS", 1)
        yield


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """How many damaged copies of each file of a run are read."""
    return int(request.config.getoption("--fuzz")) // 2


@pytest.fixture(scope="session")
def data_root(request: pytest.FixtureRequest) -> Path:
    """The folder of real data sets; skips the test when there is none."""
    root = Path(request.config.getoption("--data-root"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root} (set ZEROSUM_DATA or --data-root)")
    return root


@pytest.fixture(scope="module")
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes wrote that play the games of domain_games.py which the test file names as GAMES."""
    program = Path(__file__).with_name("domain_games.py")
    return played_in_two(program, tmp_path_factory.mktemp("two"), 300, request.module.GAMES)
