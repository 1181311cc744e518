"""The short table of measures: names are short, and no two of them alike."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from zerosum.formatting import format_records, in_shell


def record(name: str) -> dict[str, object]:
    return {"name": name, "value": 0.5, "reference": None, "better": "lower", "protocol": {}}


def test_measures_of_one_name_are_told_apart() -> None:
    names = [
        "1-NNA[CD,n=100,points=256]",
        "1-NNA[EMD,n=50,points=128]",
        "frechet[own-12ab,n=2000]",
        "frechet[own-12ab,n=90]",
    ]
    lines = format_records([record(name) for name in names]).splitlines()[1:]
    firsts = [line.split("  ")[1].strip() if line.startswith("  ") else line.split("  ")[0] for line in lines]
    assert firsts == ["1-NNA CD n=100 points=256", "1-NNA EMD n=50 points=128", "Fréchet n=2000", "Fréchet n=90"]


@pytest.mark.parametrize("path", ["runs/a", "运行/一", "my runs/a", "a'b", "$HOME", "C:\\runs"])
def test_a_path_in_a_command_can_be_copied(path: str) -> None:
    """One word for a shell, and as it is where nothing has to be quoted."""
    shown = in_shell(Path(path))
    if "\\" not in path:
        assert shlex.split(f"zerosum resume {shown}")[2:] == [path]
    assert (shown == path) is (path in {"runs/a", "运行/一", "C:\\runs"})
