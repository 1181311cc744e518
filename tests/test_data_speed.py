"""The benchmark of reading runs at its smallest size and says what it measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from zerosum.data.images import loader


def test_it_prepares_reads_and_compares(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "untouched"))
    monkeypatch.setattr(loader, "MIN_CACHED_BYTES", loader.MIN_CACHED_BYTES)
    file = tmp_path / "line.json"
    returned = importlib.import_module("data_speed").main(["--smoke", "--threads", "1", "--json", str(file)])
    line = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert line == json.loads(file.read_text()) == json.loads(json.dumps(returned))
    assert line["benchmark"] == "data_speed"
    assert set(line["preparing"]) == {"folder to 8 px", "folder to 16 px", "zip to 8 px", "shards to 8 px"}
    for side in (8, 16):
        found = line["reading"][f"{side} px"]
        assert found["mib"] == pytest.approx(256 * 3 * side * side / 2**20, abs=0.01)
        assert min(found[way] for way in ("memory", "mapped, warm", "mapped, cold", "dcgan consumes")) > 0
    assert not (tmp_path / "untouched").exists()
