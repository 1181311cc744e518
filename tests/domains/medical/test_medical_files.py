"""Folders, arrays, pictures and tables of scans; damaged ones are told or refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scan_making import SHAPE, head, save, series

from zerosum import catalog
from zerosum.domains.medical import data, files, nifti
from zerosum.errors import UserError
from zerosum.recipe import part


def folder_of(path: Path, num: int = 6, **others: str) -> Path:
    """t1/ with `num` people, and further folders of the same names: folder -> "labels" or "image"."""
    for index in range(num):
        volume = head(index)
        save(path / "t1" / f"p{index}_T1.nii.gz", volume)
        for name, kind in others.items():
            save(
                path / name / f"p{index}_x.nii.gz",
                (volume > 0).astype("uint8") * 7 if kind == "labels" else volume[::-1].copy(),
            )
    return path


def opened(path: Path, **options: Any) -> data.ScanSource:
    return data.open_source(part(str(path), **options), False)


def test_a_folder_is_recognised_and_split_by_person(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 6)
    save(folder / "t1" / "p3_again.nii.gz", head(3))
    assert catalog.recognise(str(folder)).name == "medical"
    source = opened(folder, heldout=0.5, rows="slices")
    assert source.payload.num_scans in ([3, 4], [4, 3])
    assert any("7 scans of 6 people" in note for note in source.notes)


def test_label_maps_lie_beside_the_images(tmp_path: Path) -> None:
    source = opened(folder_of(tmp_path, seg="labels"), rows="slices", heldout=0.2)
    assert source.payload.input == "labels"
    assert source.payload.codes == [0, 7]
    batch = source.batch(torch.arange(4))
    assert batch.condition is not None
    assert set(batch.condition.unique().tolist()) == {0.0, 1.0}
    inside = batch.data[batch.condition == 1]
    assert inside.mean() > batch.data[batch.condition == 0].mean()


def test_files_belong_together_by_their_whole_names_first(tmp_path: Path) -> None:
    for index, name in enumerate(("case_001", "case_002", "sub-01_ses-1", "sub-01_ses-2", "p7_x")):
        volume = np.full(SHAPE, 10 + index, np.int16)
        volume[0] = 0
        save(tmp_path / "t1" / f"{name}.nii.gz", volume)
        save(
            tmp_path / "seg" / f"{name.replace('p7_x', 'p7_labels')}.nii.gz", (volume > 0).astype("uint8") * (index + 1)
        )
    for scan in files.load(tmp_path).scans:
        assert scan.labels is not None
        assert int(scan.labels.max()) == int(scan.numbers.max()) - 9  # type: ignore[call-overload]
    (tmp_path / "seg" / "sub-01_ses-1.nii.gz").rename(tmp_path / "seg" / "sub-01_first.nii.gz")
    with pytest.raises(
        UserError, match=r"sub-01_ses-1\.nii\.gz: which of 2 label maps of 'sub-01' belongs to it is unclear"
    ):
        files.load(tmp_path)


@pytest.mark.parametrize("named", ["folder", "patient", "dicom"])
def test_label_maps_lie_beside_dicom_series(named: str, tmp_path: Path) -> None:
    for index in range(4):
        volume = head(index).transpose(2, 1, 0)
        series(tmp_path / "ct" / f"case{index}", volume, f"1.2.{index}", PatientID=f"x{index}")
        marked = (volume > 0).astype("uint8") * (index + 1)
        if named == "dicom":
            series(tmp_path / "seg" / f"x{index}", marked, f"1.3.{index}", PatientID=f"x{index}", RescaleIntercept=0)
        else:
            name = {"folder": f"case{index}", "patient": f"x{index}_map"}[named]
            affine = np.array([[-2.0, 0, 0, 9], [0, -1.5, 0, 7], [0, 0, 2.5, 0], [0, 0, 0, 1]])
            (tmp_path / "seg").mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(marked.transpose(2, 1, 0), affine), tmp_path / "seg" / f"{name}.nii.gz")
    found = files.load(tmp_path).scans
    assert [int(np.max(scan.labels)) for scan in found] == [1, 2, 3, 4]
    for scan in found:
        assert scan.labels is not None
        assert np.array_equal(scan.labels > 0, scan.numbers > 0)
    source = opened(tmp_path, rows="slices", heldout=0.25)
    assert source.payload.input == "labels"
    assert source.payload.codes == [0, 1, 2, 3, 4]


def test_other_images_are_the_inputs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, t2="image")
    source = opened(folder, rows="slices")
    assert source.payload.input == "image"
    assert any("Images of t1/ are the inputs, those of t2/ are made" in note for note in source.notes)
    assert any("those of t1/ are made" in note for note in opened(folder, rows="slices", images="t1").notes)
    with pytest.raises(UserError, match="no folder 't3'"):
        opened(folder, images="t3")


def test_a_label_map_on_another_grid_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, seg="labels")
    save(folder / "seg" / "p2_x.nii.gz", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(UserError, match=r"p2_x\.nii\.gz .4x4x4 voxels. is not on the grid of p2_T1\.nii\.gz"):
        opened(folder)


def test_some_without_label_maps_are_refused_when_these_are_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, seg="labels")
    (folder / "seg" / "p2_x.nii.gz").unlink()
    with pytest.raises(UserError, match="1 of 6 scans have none"):
        opened(folder, input="labels")


def test_subfolders_and_tables_are_classes(tmp_path: Path) -> None:
    for name in ("sick", "well"):
        for index in range(3):
            save(tmp_path / name / f"{name}{index}.nii", head(index))
    assert opened(tmp_path, heldout=0).info().class_names == ("sick", "well")
    table = folder_of(tmp_path / "b")
    rows = "".join(f"p{index},{'FM'[index % 2]}\n" for index in range(6))
    (table / "people.csv").write_text("id,sex\n" + rows, encoding="utf-8")
    source = opened(table, class_column="sex", heldout=0)
    assert source.info().class_names == ("F", "M")
    assert source.batch(torch.arange(6)).condition.tolist() == [0, 1, 0, 1, 0, 1]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no column 'age'"):
        opened(table, class_column="age")
    (table / "people.csv").write_text("id,sex\np0,F\n", encoding="utf-8")
    with pytest.raises(UserError, match="no row for 5 of 6 scans"):
        opened(table, class_column="sex")


def test_damaged_files_are_left_out_and_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    whole = (folder / "t1" / "p1_T1.nii.gz").read_bytes()
    (folder / "t1" / "p1_T1.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "t1" / "p2_T1.nii.gz").write_bytes(b"")
    source = opened(folder)
    assert any(note.startswith("2 of 6 files are left out, the first one:") for note in source.notes)


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "a.nii")
    (tmp_path / "endless").symlink_to("/dev/zero")
    assert not files.can_open(tmp_path / "pipe")
    save(tmp_path / "b.nii", head(0))
    assert len(files.load(tmp_path).scans) == 1
    with pytest.raises(UserError, match="a pipe, not a regular file"):
        nifti.read(tmp_path / "a.nii")


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004")
    assert catalog.recognise(str(tmp_path)).name == "medical"
    with pytest.raises(UserError, match="NRRD files are not read; convert them to NIfTI"):
        opened(tmp_path)


def test_arrays_with_their_split(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 12, 10), dtype=np.uint8)
    labels = (np.arange(20) % 2)[:, None]
    np.savez(
        tmp_path / "a.npz", train_images=images[:12], train_labels=labels[:12], test_images=images[12:], test_labels=labels[12:]
    )  # fmt: skip
    source = opened(tmp_path / "a.npz", window=(0, 255), size=(10, 12), centre=False)
    assert (source.num_rows, source.num_heldout) == (12, 8)
    assert source.info().class_names == ("0", "1")
    back = (source.batch(torch.arange(1)).data[0, 0] + 1) * 127.5
    np.testing.assert_allclose(back.numpy(), images[0][::-1, ::-1].T, atol=1e-3)
    np.savez(tmp_path / "b.npz", images=np.zeros((4, 9, 9, 9), np.uint8))
    assert catalog.recognise(str(tmp_path / "b.npz")).name == "medical"
    np.savez(tmp_path / "c.npz", other=images)
    with pytest.raises(UserError, match="no array of images; it has other"):
        opened(tmp_path / "c.npz")


@pytest.mark.parametrize("bits", [8, 16])
def test_pictures(bits: int, tmp_path: Path) -> None:
    values = np.arange(12 * 9).reshape(12, 9).astype(np.uint16 if bits == 16 else np.uint8) * (600 if bits == 16 else 2)
    for index in range(3):
        Image.fromarray(values).save(tmp_path / f"{index}.png")
    scan = files.load(tmp_path).scans[0]
    assert scan.numbers.shape == (9, 12, 1)
    np.testing.assert_array_equal(scan.numbers[::-1, ::-1, 0].T, values)
    Image.fromarray(np.stack([values, values // 2, values], 2).astype(np.uint8)).save(tmp_path / "0.png")
    assert any("1 of 3 files are left out" in note and "colour" in note for note in files.load(tmp_path).notes)


def test_windows_by_name_and_by_numbers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert opened(folder, window="lung").payload.window == [-1350, 150]
    assert opened(folder, window=(10, 90)).payload.window == [10, 90]
    with pytest.raises(UserError, match=r"no window 'lungs'\. Did you mean .lung"):
        opened(folder, window="lungs")
    with pytest.raises(UserError, match="larger"):
        opened(folder, window=(5, 5))


def test_values_on_the_grid_of_the_files_are_exact(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    source = opened(folder, window=(0, 120), size=SHAPE, heldout=0)
    back = (source.batch(torch.tensor([2])).data[0, 0].double() + 1) * 60
    np.testing.assert_allclose(back.numpy(), head(2), atol=1e-5)


def test_left_and_right_are_only_exchanged_when_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    plain, mirrored = (opened(folder, heldout=0, flip_left_right=flip) for flip in (False, True))
    assert (plain.num_rows, mirrored.num_rows) == (6, 12)
    torch.testing.assert_close(mirrored.train.scans[1], plain.train.scans[0].flip(0))
    assert any("Mirror images are added" in note for note in mirrored.notes)
