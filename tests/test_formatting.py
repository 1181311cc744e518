"""The short table of measures: names are short, and no two of them alike."""

from __future__ import annotations

from zerosum.formatting import format_records


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
