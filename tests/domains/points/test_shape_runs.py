"""From a source or a folder of meshes to a report; the published generator alone; pictures and files of shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import infos
from zerosum.api import train
from zerosum.domain import PreviewContext
from zerosum.domains.points import DOMAIN, drawing, evaluator, media
from zerosum.domains.points.distances import ShapeDistance
from zerosum.errors import UserError
from zerosum.generation import sampler
from zerosum.recipe import part

trimesh = pytest.importorskip("trimesh")

SMALL = [
    "steps=6", "batch=6", "threads=1", "data.points=24", "prior.size=4", "generator.phase=0.5", "generator.code=6",
    "generator.encoder=[8]", "generator.decoder=[8]", "generator.widths=[8]", "discriminator.widths=[8]",
]  # fmt: skip
INFO = infos.of_shapes(24, normalise="global", centre=[1.0, 0.0, 0.0], radius=2.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "DISTANCES", (ShapeDistance("CD", 8, 16), ShapeDistance("EMD", 6, 16)))
    monkeypatch.setattr(evaluator, "NUM_SAMPLES", 12)


def meshes(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("box", "cone"):
        (folder / kind).mkdir(parents=True)
        for i in range(8):
            a, b, c = rng.uniform(0.5, 2, 3)
            mesh = trimesh.creation.box((a, b, c)) if kind == "box" else trimesh.creation.cone(a, b, sections=8)
            mesh.export(folder / kind / f"{i}.off")
    return folder


@pytest.mark.parametrize("where", ["chairs", "meshes"])
def test_a_run_of_shapes_from_end_to_end(where: str, tmp_path: Path) -> None:
    folder = where == "meshes"
    data = [] if folder else ["data.num=200"]
    run = train(str(meshes(tmp_path / where)) if folder else where, out=tmp_path / "run", overrides=[*SMALL, *data])
    assert run.recipe.name == "points-latent"
    assert run.recipe.conditional is folder
    records = {record["name"]: record for record in run.metrics}
    kinds = {name.partition("[")[0] for name in records}
    assert kinds == {"1-NNA", "COV", "MMD", "JSD"} | ({"class_kept"} if folder else set())
    assert all(
        (record["reference"] is None) is folder for record in records.values()
    )  # two meshes are too few to hold out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "1-NNA" in page
    # The published generator needs neither the run nor its data, and its samples not their batch.
    alone, _, _ = sampler.load(tmp_path / "run")
    whole = alone.sample(7, seed=3)
    assert whole.shape == (7, 24, 3)
    torch.testing.assert_close(alone.sample(7, seed=3, batch=2), whole)
    torch.testing.assert_close(run.sample(7, seed=3), whole)
    written = media.write(whole, tmp_path / "new", alone.info)
    assert len(written) == 7
    assert all(0 <= score <= 1 for score in run.judge(written))


def scene(made: bool) -> PreviewContext:
    return PreviewContext(3, INFO, torch.zeros(5, 2) if made else None)


def test_pictures_show_what_is_there(tmp_path: Path) -> None:
    """One point high up, one low down: ink in the upper and in the lower part of its tile only, in the colour of its kind."""
    cloud = torch.tensor([[[0.0, 0.0, 0.9], [0.0, 0.0, -0.9]]])
    for made, channel in ((True, 0), (False, 1)):
        media.picture(cloud.expand(5, -1, -1), tmp_path / "p.png", scene(made))
        pixels = np.asarray(Image.open(tmp_path / "p.png")).astype(int)
        assert pixels.shape == (2 * 256, 3 * 256, 3)
        inked = np.argwhere(pixels[:256, :256].min(2) < 250)
        assert (np.abs(inked[:, 0] - 128) > 60).all()
        assert {True, False} == set((inked[:, 0] > 128).tolist())
        ink = pixels[:256, :256][tuple(inked.T)].mean(0)
        assert ink.argmax() == channel
        assert (pixels[256:, 512:] == 255).all()  # the sixth tile of five samples


def test_the_nearer_ball_hides_the_farther() -> None:
    """Two points on one line of sight: turning by half a turn swaps them, and the nearer one is darker."""
    a = np.radians(drawing.TURN)
    tilt = np.radians(drawing.TILT)
    eye = np.array([np.sin(a) * np.cos(tilt), -np.cos(a) * np.cos(tilt), np.sin(tilt)])
    near, far = torch.tensor(0.8 * eye).float(), torch.tensor(-0.8 * eye).float()
    both = drawing.view(torch.stack([far, near]), "z", True, 128)
    assert np.array_equal(both, drawing.view(torch.stack([near, far]), "z", True, 128))
    alone = drawing.view(torch.stack([near, near]), "z", True, 128)
    assert np.array_equal(both, alone)


def test_turning_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "FRAMES", 5)
    made = torch.rand(14, 24, 3) - 0.5
    (gif,) = media.write(made, tmp_path / "turn.gif", INFO)
    with Image.open(gif) as film:
        assert getattr(film, "n_frames", 1) == media.FRAMES
    # A whole turn ends where it began.
    assert np.array_equal(drawing.view(made[0], "z", True, 64, 10), drawing.view(made[0], "z", True, 64, 370))
    media.film(made[:4], tmp_path / "walk.gif", 8)
    with Image.open(tmp_path / "walk.gif") as film:
        assert getattr(film, "n_frames", 1) == 4


@pytest.mark.parametrize("name", ["a.npy", "a.ply", "a.xyz", "folder"])
def test_files_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    """Written in the data's own units, read again as the game has them; the order of points is free."""
    made = torch.rand(3, 24, 3) - 0.5
    written = media.write(made, tmp_path / name, INFO)
    assert len(written) == (1 if name == "a.npy" else 3)
    back = media.read(written, INFO)
    torch.testing.assert_close(back.sort(1).values, made.sort(1).values, atol=1e-5, rtol=0)
    if name == "a.xyz":
        own = np.loadtxt(written[0])
        np.testing.assert_allclose(np.sort(own, 0), np.sort(made[0].numpy() * 2 + [1, 0, 0], 0), atol=1e-5)


def test_unknown_endings_name_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .jpg. Use .png, .ply"):
        media.write(torch.zeros(1, 24, 3), tmp_path / "a.jpg", INFO)
    with pytest.raises(UserError, match="not a file of shapes"):
        media.read([tmp_path / "a.txt"], INFO)


def test_measures_of_real_and_of_bad_shapes() -> None:
    """Training shapes score as the control does; one shape over and over, or noise, scores far worse."""
    source = DOMAIN.data.open(part("chairs", num=200, points=24), False)
    judge = DOMAIN.evaluation.evaluator(source, 0)

    def scored(fakes: torch.Tensor) -> dict[str, float]:
        return {record.name.partition(",")[0]: record.value for record in judge.evaluate(fakes, None, None)}

    real, one = source.batch(torch.arange(12)).data, source.data[:1].expand(12, -1, -1)
    noise = torch.rand(12, 24, 3) * 2 - 1
    assert scored(one)["COV[CD"] <= 0.25 < scored(real)["COV[CD"]
    assert scored(noise)["MMD[EMD"] > 1.2 * scored(real)["MMD[EMD"]
    for distance in ("CD", "EMD"):  # shapes that stand apart are always told apart
        assert scored(real + 3)[f"1-NNA[{distance}"] == 1
    assert judge.quick(one).values()["diversity"] < 0.1 < judge.quick(real).values()["diversity"]
    assert judge.quick(source.data[:32]).values()["diversity"] == pytest.approx(1, abs=0.2)
    again = DOMAIN.evaluation.evaluator(source, 0).evaluate(real, None, None)
    assert [r.value for r in again] == [r.value for r in judge.evaluate(real, None, None)]


def test_each_shape_is_measured_at_points_drawn_for_it_alone() -> None:
    """A decoder's places are the same parts of each shape: one order for all would compare like with like."""
    source = DOMAIN.data.open(part("chairs"), False)
    shapes = torch.arange(40.0).reshape(1, 40, 1).expand(30, 40, 3)
    mixed = evaluator.ShapeEvaluator(source, 0)._shuffle_points(shapes, "fake")
    torch.testing.assert_close(mixed.sort(1).values, shapes)
    assert len({tuple(row.tolist()) for row in mixed[:, :10, 0]}) == 30
    torch.testing.assert_close(mixed, evaluator.ShapeEvaluator(source, 0)._shuffle_points(shapes, "fake"))
