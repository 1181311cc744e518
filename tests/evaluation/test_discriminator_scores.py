"""D(x) of files: the discriminator of the checkpoint above its neutral logit, conditions, and what is unlike the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum
from small_run import begun
from zerosum.api import Run
from zerosum.errors import UserError
from zerosum.evaluation import discriminator_scores
from zerosum.store import latest_checkpoint

POINTS = "x,y\n0.5,-1\n1,1\n0,0\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return begun(tmp_path_factory.mktemp("runs") / "run", 4, **{"data.num": 500})


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(POINTS)
    return path


def test_scores_are_those_of_the_checkpoint(run: Run, points: Path) -> None:
    """sigmoid(D(x) - neutral), with D built and loaded here, and the neutral logit of the last line of the log."""
    state = latest_checkpoint(run.folder.checkpoints)
    assert state is not None
    network = run.domain.game.build(run.recipe, run.sampler.info).players["discriminator"].eval()
    network.load_state_dict(state["match"]["networks"]["discriminator"])
    data = run.domain.media.read([points], run.sampler.info)
    neutral = [line["values"] for line in run.folder.lines() if line["kind"] == "health"][-1]["neutral_logit"] or 0.0
    with torch.no_grad():
        expected = (network(data).flatten() - neutral).sigmoid()
    names, found = zip(*run.verdicts([points]), strict=True)
    assert names == tuple(f"{points}:{row}" for row in (1, 2, 3))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(set(found)) == 3


def test_files_and_labels_that_do_not_fit(run: Run, points: Path) -> None:
    with pytest.raises(UserError, match="at least one file"):
        run.judge([])
    with pytest.raises(UserError, match=r"no such file: .*gone\.csv\."):
        run.judge([points, points.with_name("gone.csv")])
    with pytest.raises(UserError, match="labels has 1 entries for 2 files"):
        run.judge([points, points], labels=[0])


def test_only_recordings_are_scored_over_time(run: Run, points: Path) -> None:
    with pytest.raises(UserError, match=r"--step: samples of the domain 'toy' have no time"):
        run.verdicts([points], step=0.1)


def test_a_run_without_its_checkpoints_has_no_discriminator(run: Run, points: Path, tmp_path: Path) -> None:
    for path in run.path.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="has no checkpoint, so its discriminator is gone"):
        zerosum.load(tmp_path).judge([points])


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Run:
    small = {"steps": 2, "batch": 8, "generator.width": 4, "discriminator.width": 4, "threads": 1}
    return zerosum.train("digits", "cgan", overrides=small, out=tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three images of noise."""
    paths = [tmp_path / f"{row}.png" for row in range(3)]
    for path, image in zip(paths, np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8), strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_without_a_label_the_most_favourable_speaks(conditional: Run, pictures: list[Path]) -> None:
    each = [conditional.judge(pictures, labels=[label] * 3) for label in range(10)]
    assert conditional.judge(pictures) == pytest.approx(np.max(each, axis=0))
    assert np.ptp(each, axis=0).min() > 0


def test_what_lies_far_from_all_data_is_unlike_them(conditional: Run, pictures: list[Path]) -> None:
    """Training rows are among those compared, so that their ratio is 0; noise lies further away than any real row."""
    source = conditional.domain.data.open(conditional.recipe.data, False)
    rows = source.batch(torch.arange(50)).data
    noise = conditional.domain.media.read(pictures, conditional.sampler.info)
    ratios = discriminator_scores.distance_ratios(conditional.domain, conditional.recipe, [rows, noise])
    assert ratios is not None
    assert max(ratios[:50]) == pytest.approx(0, abs=1e-3)
    assert min(ratios[50:]) > 1
    assert conditional.unlike(pictures) == [
        (str(path), pytest.approx(ratio, rel=1e-4)) for path, ratio in zip(pictures, ratios[50:], strict=True)
    ]


def test_a_domain_without_a_similarity_says_nothing(run: Run, points: Path) -> None:
    assert run.domain.media.similarity is None
    assert run.unlike([points]) == []
