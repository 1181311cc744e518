"""From files to files: training on scans with label maps, and scans made from the label maps of new files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scan_making import head, save, series
from typer.testing import CliRunner

import zerosum as zs
from zerosum.cli import app
from zerosum.domain import PairedBaseline
from zerosum.domains.medical import DOMAIN, drawing, measures, networks, sampling
from zerosum.domains.medical.networks import Form, MapUNet
from zerosum.metrics.patches import bands
from zerosum.report.comparison import compare

SMALL = {"batch": 4, "threads": 1, "generator.width": 4, "generator.levels": 2, "discriminator.width": 4}


def sampled(run: zs.Run, out: Path, *options: object) -> str:
    """What `zerosum sample` writes to; the message of one that is refused."""
    done = CliRunner().invoke(app, ["sample", str(run.path), "--out", str(out), *map(str, options)])
    return f"{done.output} {done.exception}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zs.Run:
    """Two steps on slices of six people with label maps."""
    folder = tmp_path_factory.mktemp("people")
    for index in range(6):
        volume = head(index, (20, 18, 8))
        save(folder / "data" / "t1" / f"p{index}.nii.gz", volume)
        save(folder / "data" / "seg" / f"p{index}.nii.gz", (volume > 0).astype("uint8") * 7)
    changes = SMALL | {"steps": 2, "data.rows": "slices", "data.size": 16}
    return zs.train(folder / "data", out=folder / "run", overrides=changes)


def test_a_scan_is_made_on_the_grid_of_its_label_map(run: zs.Run, tmp_path: Path) -> None:
    labels = (head(9, (17, 21, 5)) > 0).astype("uint8") * 7
    affine = np.array([[0, 2.0, 0, 5], [-2.0, 0, 0, 3], [0, 0, -3.0, 1], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "new.nii.gz")
    sampled(run, tmp_path / "made.nii.gz", "--input", tmp_path / "new.nii.gz")
    made = nibabel.load(tmp_path / "made.nii.gz")
    assert made.shape == labels.shape
    np.testing.assert_allclose(made.affine, affine, atol=1e-5)
    assert made.get_data_dtype() == np.int16
    assert made.header["descrip"].item().startswith(b"SYNTHETIC")


def test_a_scan_is_made_from_a_series_of_dicom_files(run: zs.Run, tmp_path: Path) -> None:
    labels = (head(9, (5, 21, 17)) > 0).astype("uint8") * 7  # slices, rows, columns
    series(tmp_path / "maps" / "p9", labels, RescaleIntercept=0)
    series(tmp_path / "maps" / "p10", labels[:4], RescaleIntercept=0, name="4.5", PatientID="p10")
    sampled(run, tmp_path / "made", "--input", tmp_path / "maps")
    sampled(run, tmp_path / "dicom", "--input", tmp_path / "maps" / "p9", "--dicom")
    assert [path.name for path in sorted((tmp_path / "made").iterdir())] == ["p10.nii.gz", "p9.nii.gz"]
    made = nibabel.load(tmp_path / "made" / "p9.nii.gz")
    assert made.shape == (17, 21, 5)
    assert made.header.get_zooms() == pytest.approx((2, 1.5, 2.5))
    assert len(list((tmp_path / "dicom" / "p9").iterdir())) == 5
    before = (tmp_path / "maps" / "p9" / "03.dcm").read_bytes()
    said = sampled(run, tmp_path / "maps", "--input", tmp_path / "maps" / "p9", "--dicom")
    assert "would be overwritten" in said
    assert (tmp_path / "maps" / "p9" / "03.dcm").read_bytes() == before


def test_a_volume_in_memory_gives_what_a_file_gives(run: zs.Run, tmp_path: Path) -> None:
    labels = (head(9, (17, 21, 5)) > 0).astype("uint8") * 7
    spacing = np.diag([*run.sampler.info.payload["spacing"], 1.0])
    nibabel.save(nibabel.Nifti1Image(labels, spacing), tmp_path / "new.nii.gz")
    sampled(run, tmp_path / "made.nii.gz", "--input", tmp_path / "new.nii.gz")
    made = run.transform(labels)
    assert made.shape == labels.shape
    np.testing.assert_array_equal(np.rint(made), nibabel.load(tmp_path / "made.nii.gz").get_fdata())
    with pytest.raises(zs.UserError, match=r"an array \(X, Y, Z\) of finite numbers, got \(17, 21\)"):
        run.transform(labels[:, :, 0])
    with pytest.raises(zs.UserError, match="values that no label map of the training had"):
        run.transform(labels + 1)


def test_a_scan_of_a_label_map_is_drawn_beside_it(run: zs.Run, tmp_path: Path) -> None:
    new = save(tmp_path / "new.nii.gz", (head(9, (17, 21, 5)) > 0).astype("uint8") * 7)
    sampled(run, tmp_path / "made.png", "--input", new)
    pixels = np.asarray(Image.open(tmp_path / "made.png").convert("RGB"), int)
    middle = pixels.shape[1] // 2
    coloured = np.ptp(pixels, axis=2) > 100
    assert coloured[:, :middle].sum() > 500 > coloured[:, middle:].sum()  # labels in colour, the scan in grey
    assert len(list(tmp_path.iterdir())) == 2
    assert "with --input scans are written" in sampled(run, tmp_path / "made.npy", "--input", new)
    assert "--like does not go with --input" in sampled(run, tmp_path / "a.nii", "--input", new, "--like", new)
    assert "--dicom is for scans" in sampled(run, tmp_path / "made.png", "--input", new, "--dicom")


def test_labels_of_no_training_map_are_refused(run: zs.Run, tmp_path: Path) -> None:
    save(tmp_path / "new.nii", np.full((9, 9, 3), 8, np.uint8))
    said = sampled(run, tmp_path / "made.nii", "--input", tmp_path / "new.nii")
    assert "1 values that no label map of the training had, for example 8. The labels are 0, 7." in said


@pytest.mark.parametrize("shape", [(33, 20, 41), (16, 64, 16)])
def test_blocks_equal_the_whole(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = MapUNet(Form((16, 16, 16), 3, False), latent=4, width=4, levels=2).eval()
    given = torch.randint(0, 3, shape).float()
    noise = torch.randn(1, 4)
    whole = sampling._volume(network, given, noise, torch.device("cpu"), 256)
    parts = sampling._volume(network, given, noise, torch.device("cpu"), 16)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)
    assert whole.std() > 1e-3


def test_a_halo_that_is_too_short_is_noticed() -> None:
    torch.manual_seed(0)
    network = MapUNet(Form((16, 16, 16), 3, False), latent=4, width=4, levels=2).eval()
    given, noise = torch.randint(0, 3, (48, 16, 16)).float(), torch.randn(1, 4)
    whole = sampling._volume(network, given, noise, torch.device("cpu"), 256)
    network.reach = 1
    parts = sampling._volume(network, given, noise, torch.device("cpu"), 16)
    assert (whole - parts).abs().max() > 1e-4


def test_the_right_side_is_on_the_left_of_a_picture() -> None:
    plane = torch.full((4, 3), -1.0)
    plane[3, 2] = 1  # right and front
    pixels = drawing.grey(plane)
    assert pixels.shape == (3, 4, 3)
    assert pixels[0, 0, 0] == 255
    assert int(pixels.astype(int).sum()) == 3 * 255


def test_samples_are_written_in_every_form(tmp_path: Path) -> None:
    small = {
        "steps": 1,
        "batch": 4,
        "threads": 1,
        "data.num": 12,
        "data.heldout": 4,
        "data.size": [16, 16, 12],
        "generator.widths": [8, 4, 4, 4],
        "discriminator.widths": [4, 4, 4],
    }
    run = zs.train("phantoms", out=tmp_path / "run", overrides=small)
    sampled(run, tmp_path / "many", "--num", 2)
    one, two = (nibabel.load(path) for path in sorted((tmp_path / "many").iterdir()))
    assert one.shape == (16, 16, 12)
    assert len(set(one.header.get_zooms())) == 1
    assert not np.array_equal(one.get_fdata(), two.get_fdata())
    sampled(run, tmp_path / "a.png", "--num", 2)
    assert Image.open(tmp_path / "a.png").width > 100
    sampled(run, tmp_path / "dicom", "--num", 1, "--dicom")
    assert len(list((tmp_path / "dicom" / "00000").iterdir())) == 12
    like = save(tmp_path / "like.nii", np.zeros((16, 16, 12), np.uint8), (1.0, 2.0, 3.0))
    sampled(run, tmp_path / "b.nii", "--num", 1, "--like", like)
    assert nibabel.load(tmp_path / "b.nii").get_data_dtype() == np.uint8
    assert nibabel.load(tmp_path / "b.nii").header.get_zooms() == pytest.approx((1, 2, 3))
    assert "--like and --dicom are for scans" in sampled(run, tmp_path / "c.png", "--num", 1, "--dicom")
    assert "from noise alone" in sampled(run, tmp_path / "c.nii", "--input", like)


def test_every_measure_ranks_its_controls_behind_real_rows() -> None:
    from zerosum.domains.medical.phantoms import phantoms

    volumes, _, _ = phantoms(48, shape=(16, 16, 12))
    rows = torch.from_numpy(volumes)[:, None] / 500 - 1
    rows = rows.clamp(-1, 1)
    real, other = rows[:24], rows[24:]
    controls = measures.controls(other, torch.Generator().manual_seed(0))
    for name, measure in measures.table(real, (0.0, 1000.0), "units", 0).items():
        value = measure.value(other)
        for control in measure.fails:
            assert measure.value(controls[control]) > 1.3 * value, (name, control)
    table = measures.table(real, (0.0, 1000.0), "units", 0)
    assert table["pair_similarity"].value(controls["warps of one row"]) > table["pair_similarity"].value(other) + 0.05
    assert table["through_plane"].value(controls["slices of different rows"]) > 1.15
    assert table["histogram"].value((other + 0.2).clamp(-1, 1)) > 3 * table["histogram"].value(other)


def test_baselines_of_pairs_are_measured_on_the_inputs_of_the_evaluator() -> None:
    from zerosum.evaluation import baselines
    from zerosum.recipe import part

    source = DOMAIN.data.open(part("phantoms", num=8, heldout=20, rows="slices", size=16, input="labels"), False)
    found = baselines._measure_all(DOMAIN, source, 0, (), baselines.silent, lambda name, samples: None)
    errors = {one["name"]: one["records"] for one in found}
    error = {name: next(r for r in rs if r["name"].startswith("target_error")) for name, rs in errors.items()}
    assert error["label-means"]["value"] < 0.5 * error["label-means"]["protocol"]["controls"]["mean image"]
    assert error["label-means"]["value"] < error["label-normals"]["value"]
    assert compare({"baselines": found}, errors["label-means"], True).notes == compare({"baselines": found}).notes
    unpaired = [{**one, "paired": False} for one in found]
    assert "gets a class" in str(compare({"baselines": unpaired}, errors["label-means"], True).notes)


def test_interpolation_is_the_baseline_of_thick_slices() -> None:
    from zerosum.recipe import part

    source = DOMAIN.data.open(part("phantoms", num=4, heldout=2, input="thick", thick=2), False)
    (model,) = (fit() for fit in DOMAIN.evaluation.baselines(source).values())
    batch = source.batch(torch.arange(4))
    assert isinstance(model, PairedBaseline)
    torch.testing.assert_close(model.outputs(batch.condition, 0), batch.condition)


@pytest.mark.parametrize("kind", ["normal", "kernel"])
def test_baselines_of_volumes_have_their_shape(kind: str) -> None:
    from zerosum.recipe import part

    source = DOMAIN.data.open(part("phantoms", num=8, heldout=2, size=8), False)
    model = DOMAIN.evaluation.baselines(source)[kind]()
    assert not isinstance(model, PairedBaseline)
    samples = model.sample(3, 0)
    assert samples.shape == (3, 1, 8, 8, 8)
    assert samples.abs().max() <= 1


def test_the_weight_of_the_difference_suits_the_input() -> None:
    from zerosum.recipe import part

    weights = {}
    for kind in ("labels", "thick"):
        source = DOMAIN.data.open(part("phantoms", num=4, heldout=2, input=kind, thick=2), False)
        resolved, (note,) = DOMAIN.game.resolve_auto(DOMAIN.recipes.table["labels"], source.info())
        weights[kind] = resolved.penalties["pixel"].weight
        assert f" {weights[kind]:g}:" in note
        assert DOMAIN.game.resolve_auto(resolved, source.info()) == (resolved, ())
    assert weights == {"labels": 1.0, "thick": 40.0}


@pytest.mark.parametrize("size", [(16, 14), (7, 9), (8, 6, 10)])
def test_the_finest_detail_is_the_first_level_of_a_pyramid(size: tuple[int, ...]) -> None:
    x = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    fine = networks.finest(x)
    assert fine.shape == x.shape
    assert networks.finest(torch.ones_like(x)).abs().max() < 1e-6
    if min(size) >= 14:
        torch.testing.assert_close(fine, bands(x)["1"])


def test_a_discriminator_sees_fine_grain_within_a_few_steps() -> None:
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.randn(32, 1, 6, 6), scale_factor=4.0, mode="bilinear")
    grainy = smooth + 0.1 * torch.randn(smooth.shape)
    labels = torch.randint(0, 40, smooth.shape).float()
    losses = {}
    for detail in (0.0, 8.0):
        network = networks.MapDiscriminator(Form((24, 24), 40), width=8, levels=2, detail=detail)
        optimizer = torch.optim.Adam(network.parameters(), 8e-4, (0.0, 0.99))
        for _ in range(30):
            real, fake = (network(rows, labels).logits[0] for rows in (grainy, smooth))
            loss = torch.nn.functional.softplus(fake - real).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[detail] = float(loss.detach())
    assert losses[8.0] < 0.5 < losses[0.0]


def test_psnr_is_measured_beside_that_of_the_input() -> None:
    from zerosum.recipe import part

    source = DOMAIN.data.open(part("phantoms", num=4, heldout=16, size=12, input="thick", thick=2), False)
    evaluator = DOMAIN.evaluation.evaluator(source, 0)
    given, real = evaluator.conditions(), evaluator._real[0]
    assert given is not None
    record = next(one for one in evaluator.evaluate((given + real) / 2) if one.name.startswith("psnr"))
    assert record.protocol["controls"]["the input itself"] == pytest.approx(record.value - 6.02, abs=0.02)
