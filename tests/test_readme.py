"""The Python of README and of the notebooks runs, and the README's own network learns the data that it is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_own_network_learns_the_covariance(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    (own,) = (block for block in blocks if "zs.Duel" in block)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec("import zerosum as zs\n" + own, names)
    with torch.no_grad():
        samples = names["generator"](torch.randn(20_000, 16))
    data = names["Source"].points
    torch.testing.assert_close(torch.cov(samples.T), torch.cov(data.T), rtol=0, atol=0.25)
    torch.testing.assert_close(samples.mean(0), data.mean(0), rtol=0, atol=0.15)
    assert "1000" in capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_holds_its_pictures(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, with fewer steps of training; the stored outputs are those of a whole run and have no error among them."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    monkeypatch.chdir(tmp_path)
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    for cell in cells:
        source = re.sub(r"steps=\d+", "steps=20", "".join(cell["source"]))
        exec(compile(source, path.name, "exec"), names)
    matplotlib.use(before)
    assert list(tmp_path.glob("runs/*/report.html"))


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_data", "quickstart"]
