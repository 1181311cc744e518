"""A recipe with each kind of generator, with one command, on a folder of photographs of mixed sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from image_making import save
from test_recipes import SMOKE

import zerosum as zs
from zerosum.domains.images import DOMAIN


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 colour pictures, each a coloured disc before a slope, of many sizes and both orientations."""
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for index in range(48):
        height, width = (int(side) for side in random.integers(40, 90, 2))
        rows, columns = np.mgrid[:height, :width]
        picture = np.stack([rows * 200 // height, columns * 200 // width, np.full_like(rows, 30)], 2)
        far = (rows - height * random.uniform(0.3, 0.7)) ** 2 + (columns - width * random.uniform(0.3, 0.7)) ** 2
        picture[far < (min(height, width) / 4) ** 2] = random.integers(0, 256, 3)
        save(folder / f"{index:02d}.{'jpg' if index % 2 else 'png'}", picture.astype(np.uint8))
    return folder


KINDS = {recipe.generator.kind: name for name, recipe in DOMAIN.recipes.table.items()}
"""A recipe with each kind of generator."""


@pytest.mark.parametrize("name", KINDS.values())
def test_one_command_on_photographs_of_mixed_sizes(name: str, photographs: Path, tmp_path: Path) -> None:
    kind = DOMAIN.recipes.table[name].generator.kind
    settings = [*SMOKE[kind], "steps=3", "batch=8", "data.size=32", "cadence.preview=3", "conditional=auto"]
    run = zs.train(str(photographs), name, out=tmp_path / "run", overrides=settings)
    samples = run.sample(4, seed=1)
    assert samples.shape == (4, 3, 32, 32)
    assert torch.isfinite(samples).all()
    assert (samples.abs() <= 1).all()
    torch.testing.assert_close(run.sample(4, seed=1, batch=1), samples, rtol=1e-3, atol=1e-3)
    assert any(record["name"].startswith("frechet[") for record in run.metrics)
    assert "data:image/png;base64," in (tmp_path / "run" / "report.html").read_text()
