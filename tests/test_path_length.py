"""How much of the project a training and a sampling walk through, counted as `benchmarks/path_length.py` defines it.

At most 45 files for a training of the digits up to its first step and 25 for a sampling, 2 builds of the networks and 3 checks
of a recipe.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from small_process import ended, started

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "path_length.py"
MOST_FILES = {"train": 45, "sample": 25}
MOST_BUILDS, MOST_VALIDATIONS = 2, 3


def counted(*arguments: str, cwd: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_the_path_of_a_training(tmp_path: Path) -> None:
    found = counted("train", "digits", "--out", "run", cwd=tmp_path)
    assert found["reached"]
    assert found["files"] <= MOST_FILES["train"]
    assert found["generators"] <= MOST_BUILDS
    assert found["discriminators"] <= MOST_BUILDS
    assert 1 <= found["validations"] <= MOST_VALIDATIONS
    assert found["domains"] == ["images"]


def test_the_path_of_a_sampling(tmp_path: Path) -> None:
    small = ["--recipe", "mlp", "--steps", "1", "--set", "batch=8", "--set", "threads=1"]
    status, _, error = ended(started("train", "digits", *small, "--out", "run", folder=tmp_path))
    assert status == 0, error[-2000:]
    found = counted("sample", "run", cwd=tmp_path)
    assert found["files"] <= MOST_FILES["sample"]
    assert (found["generators"], found["discriminators"]) == (1, 0)
    assert 1 <= found["validations"] <= MOST_VALIDATIONS
    assert found["domains"] == ["images"]
