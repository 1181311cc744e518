"""The command line itself: fast help, no torch before it is needed, signals while importing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from small_process import PATIENCE_S

VERBS = (
    "train",
    "resume",
    "sample",
    "interpolate",
    "mix",
    "directions",
    "project",
    "export",
    "judge",
    "evaluate",
    "report",
    "compare",
    "baseline",
    "recipes",
    "sources",
    "doctor",
    "theory",
    "lab",
)


def zerosum(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zerosum", *arguments], capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize("arguments", [(), *((verb,) for verb in VERBS)])
def test_help_imports_no_torch(arguments: tuple[str, ...]) -> None:
    heavy = "('torch', 'numpy', 'sklearn', 'PIL')"
    code = (
        f"import sys; sys.argv = ['zerosum', *{arguments!r}, '--help']\n"
        "from zerosum.cli import main\n"
        "try:\n    main()\nfinally:\n"
        f"    found = [name for name in {heavy} if name in sys.modules]\n"
        "    assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in arguments or VERBS:
        assert word in done.stdout


MOST_MODULES = 450
"""Modules of all packages that `zerosum --help` may import; 380 when this was written. torch alone has 1,100."""


def test_help_is_quick() -> None:
    """Half a second is promised. Imports are counted, for seconds depend on what else the machine does."""
    code = (
        "import sys; sys.argv = ['zerosum', '--help']\n"
        "from zerosum.cli import main\n"
        "try:\n    main()\nfinally:\n    print(len(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(done.stderr) < MOST_MODULES


def test_usage_errors_are_short() -> None:
    done = zerosum("trian")
    assert done.returncode == 2
    assert "train" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["typer", "pydantic", "torch.nn"])
def test_interrupted_while_importing(number: int, module: str) -> None:
    """A signal at the moment when a module is being imported: the right status, no traceback."""
    code = (
        "import os, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Strike())\n"
        "sys.argv = ['zerosum', 'train']\n"
        "from zerosum.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("recipes", "--json"), ("sources",), ("--help",)])
def test_a_full_stdout_is_one_line(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zerosum", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
        )
    assert done.stderr == "zerosum: Cannot write the result to stdout: No space left on device.\n"
    assert done.returncode == 1


def test_a_source_is_shown_with_its_domain() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zerosum", "sources", "mnist"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout.splitlines()[0].split() == ["domain", "images"], done.stderr
