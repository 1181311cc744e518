"""What goes into files comes out of them, in its own place and precision; what is not read is named."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum import catalog
from zerosum.data import numpy_files
from zerosum.domains.points import data, files, formats, media
from zerosum.domains.points.data import CloudSource
from zerosum.errors import UserError
from zerosum.recipe import part

trimesh = pytest.importorskip("trimesh")

FAR = np.array([500_000.0, 5_600_000.0, 120.0])
"""Where a place of UTM zone 32 lies, in metres."""


def opened(where: Path, **options: object) -> CloudSource:
    return data.open_source(part(str(where), **{"points": 64, "heldout": 0.0, **options}), False)


def sphere(seed: int, num: int = 64) -> np.ndarray:
    """Points of a sphere of radius 1 about FAR."""
    points = np.random.default_rng(seed).normal(size=(num, 3))
    return FAR + points / np.linalg.norm(points, axis=1, keepdims=True)


def values(clouds: np.ndarray) -> np.ndarray:
    """All x, all y and all z in ascending order: sources keep neither the order of shapes nor that of points."""
    return np.sort(clouds.reshape(-1, 3), 0)


def icosphere() -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(mesh.vertices) + FAR, np.asarray(mesh.faces)


def row(values: np.ndarray, mark: str = " ") -> str:
    """Numbers with all their digits."""
    return mark.join(f"{value:.17g}" for value in values)


def as_ply(path: Path, points: np.ndarray) -> None:
    axes = "".join(f"property double {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n{axes}end_header\n"
    path.write_text(head + "".join(f"{row(point)}\n" for point in points))


def as_obj(path: Path, points: np.ndarray) -> None:
    path.write_text("".join(f"v {row(point)}\n" for point in points))


CLOUDS: dict[str, Callable[[Path, np.ndarray], None]] = {
    ".npy": np.save,
    ".npz": lambda path, points: np.savez(path, points=points),
    ".xyz": lambda path, points: np.savetxt(path, points, fmt="%.17g"),
    ".ply": as_ply,
    ".obj": as_obj,
}


def as_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """A text file of triangles with all digits."""
    lines = [row(vertex) for vertex in vertices]
    if path.suffix == ".off":
        text = ["OFF", f"{len(vertices)} {len(faces)} 0", *lines, *(f"3 {row(face)}" for face in faces)]
    elif path.suffix == ".obj":
        text = [*(f"v {line}" for line in lines), *(f"f {row(face + 1)}" for face in faces)]
    elif path.suffix == ".stl":
        corners = ["\n".join(f"vertex {lines[i]}" for i in face) for face in faces]
        text = ["solid a", *(f"facet normal 0 0 0\nouter loop\n{c}\nendloop\nendfacet" for c in corners), "endsolid a"]
    else:
        axes = [f"property double {axis}" for axis in "xyz"]
        head = ["ply", "format ascii 1.0", f"element vertex {len(vertices)}", *axes]
        head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
        text = [*head, *lines, *(f"3 {row(face)}" for face in faces)]
    path.write_text("\n".join(text) + "\n")


def written(source: CloudSource, path: Path) -> list[np.ndarray]:
    """Its shapes as they lie in files that the domain writes."""
    paths = media.write(source.data, path, source.info())
    if path.suffix == ".npy":
        return list(np.load(path))
    if path.suffix == ".xyz":
        return [np.loadtxt(each) for each in paths]
    return [np.asarray(trimesh.load(each, process=False).vertices) for each in paths]


@pytest.mark.parametrize("suffix", [".npy", ".xyz", ".ply", ""])
@pytest.mark.parametrize("kind", sorted(CLOUDS))
def test_clouds_far_from_the_origin_come_out_as_they_went_in(tmp_path: Path, kind: str, suffix: str) -> None:
    clouds = [sphere(seed) for seed in range(3)]
    (tmp_path / "in").mkdir()
    for index, points in enumerate(clouds):
        CLOUDS[kind](tmp_path / "in" / f"{index}{kind}", points)
    source = opened(tmp_path / "in", normalise="global")
    assert (source.data.dtype, source.dtype) == (torch.float32, "float64")
    assert [len(np.unique(cloud[:, 1])) for cloud in source.data.numpy()] == [
        64,
        64,
        64,
    ]  # float32 of them has 5 values
    for points, back in zip(clouds, written(source, tmp_path / f"out{suffix}")[-3:], strict=True):
        close = [np.abs(shape - back[:, None]).max(2).min(1).max() for shape in clouds]
        assert min(close) < 2e-7
        assert len(np.unique(back[:, 1])) == len(points)
    again = media.read(media.write(source.data, tmp_path / f"again{suffix}", source.info()), source.info())
    torch.testing.assert_close(again.sort(1).values, source.data.sort(1).values, rtol=0, atol=5e-7)


def test_arrays_of_clouds_far_from_the_origin(tmp_path: Path) -> None:
    clouds = np.stack([sphere(seed) for seed in range(4)])
    np.save(tmp_path / "a.npy", clouds)
    np.savez(tmp_path / "a.npz", points=clouds, labels=np.array([0, 1, 0, 1]))
    np.save(tmp_path / "whole.npy", (1000 * clouds).astype(np.int64))  # millimetres in whole numbers
    for name, unit in (("a.npy", 1), ("a.npz", 1), ("whole.npy", 1000)):
        source = opened(tmp_path / name, normalise="global")
        back = np.stack(written(source, tmp_path / "out.npy")) / unit
        np.testing.assert_allclose(values(back), values(clouds), rtol=0, atol=1.1e-3 if unit > 1 else 2e-7)
        shaped = opened(tmp_path / name)
        torch.testing.assert_close(shaped.data.norm(dim=2).amax(1), torch.ones(4))
        assert len(np.unique(shaped.data[0, :, 1])) == 64


def test_numbers_of_float32_stay_what_they_were(tmp_path: Path) -> None:
    """Centred in their own precision, and written in it; but far away float32 would not hold what is made."""
    clouds = np.random.default_rng(0).uniform(-2, 3, (4, 64, 3)).astype(np.float32)
    np.save(tmp_path / "near.npy", clouds)
    near = opened(tmp_path / "near.npy", normalise="global")
    assert near.dtype == "float32"
    boxes = (torch.from_numpy(clouds).amax(1) + torch.from_numpy(clouds).amin(1)) / 2
    assert near.centre == tuple(boxes.mean(0).tolist())
    back = np.stack(written(near, tmp_path / "out.npy"))
    assert back.dtype == np.float32
    np.testing.assert_allclose(values(back), values(clouds), rtol=0, atol=5e-7)
    np.save(tmp_path / "far.npy", (clouds + FAR).astype(np.float32))
    far = opened(tmp_path / "far.npy", normalise="global")
    assert np.stack(written(far, tmp_path / "out.npy")).dtype == np.float64


@pytest.mark.parametrize("suffix", [".off", ".obj", ".stl", ".ply"])
def test_meshes_far_from_the_origin_are_sampled_on_their_surface(tmp_path: Path, suffix: str) -> None:
    for index in range(2):
        as_mesh(tmp_path / f"{index}{suffix}", *icosphere())
    source = opened(tmp_path, points=500, normalise="global")
    for back in written(source, tmp_path / "out.npy"):
        distance = np.linalg.norm(back - FAR, axis=1)
        assert 0.98 < distance.min() < distance.max() < 1 + 1e-6
        assert len(np.unique(back[:, 1])) > 490


@pytest.mark.parametrize(
    ("line", "head", "notes"),
    [
        ("{0:.9f} {1:.9f} {2:.9f}", "", ()),
        ("{0:.9f},{1:.9f},{2:.9f}", "", ()),
        ("{0:.9f}, {1:.9f}, {2:.9f}", "x,y,z\n", (formats.NAMED,)),
        ("{0:.9f};{1:.9f};{2:.9f}", "# made by a scanner\n\n", ()),
        ("{0:.9f}\t{1:.9f}\t{2:.9f}\t7", "//X Y Z intensity\n", (formats.NAMED, formats.MORE)),
        ("7,{2:.9f},{0:.9f},{1:.9f}", "id,Z,X,Y\n", (formats.NAMED, formats.MORE)),
        ("{2:.9f} {0:.9f} {1:.9f} 255", "# z x y red\n", (formats.MORE,)),
        ("{0:.9f} {1:.9f} {2:.9f}", "64\n", (formats.NAMED,)),
        ("{0:.9f};{1:.9f};{2:.9f}", "\ufeff", ()),
    ],
)
def test_text_in_many_spellings(tmp_path: Path, line: str, head: str, notes: tuple[str, ...]) -> None:
    points = sphere(0)
    (tmp_path / "a.xyz").write_text(head + "".join(line.format(*point) + "\n" for point in points), encoding="utf-8")
    found, said = formats.read_text(tmp_path / "a.xyz")
    np.testing.assert_allclose(found, points, rtol=0, atol=1e-9)
    assert said == notes


@pytest.mark.parametrize("mark", [" ", ";", "\t"])
def test_decimal_commas(tmp_path: Path, mark: str) -> None:
    points = sphere(0)
    lines = [mark.join(f"{value:.9f}".replace(".", ",") for value in point) for point in points]
    (tmp_path / "a.xyz").write_text("\n".join(lines))
    found, said = formats.read_text(tmp_path / "a.xyz")
    np.testing.assert_allclose(found, points, rtol=0, atol=1e-9)
    assert said == (formats.COMMAS,)


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            (tmp_path / name / f"{index}.xyz").write_text("".join(f"{row(p, ',')},9\n" for p in sphere(index)))
    np.save(tmp_path / "a" / "normals.npy", np.random.default_rng(0).normal(size=(64, 6)))
    np.save(tmp_path / "stray.npy", sphere(9))
    (tmp_path / "a" / "scan.pcd").write_text("VERSION .7")
    (tmp_path / "b" / "scan2.pcd").write_text("VERSION .7")
    (tmp_path / "readme.txt").write_text("words")
    source = opened(tmp_path)
    assert (source.num_rows, source.class_names) == (7, ("a", "b"))
    notes = " ".join(source.notes)
    assert "Left out: 1 file(s) outside the folders of the classes (stray.npy)." in notes
    assert "Skipped: 1 .txt (readme.txt), 2 .pcd (scan.pcd, ...)." in notes
    assert "7 file(s) have columns beyond x, y and z, which are not read (the first: 0.xyz)." in notes
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.pcd").write_text("VERSION .7")
    assert catalog.recognise(str(tmp_path / "only")).name == "points"
    with pytest.raises(UserError, match=r"Skipped: 1 \.pcd \(a\.pcd\)\. Convert them to one of \.ply"):
        opened(tmp_path / "only")
    assert catalog.recognise(str(tmp_path / "only" / "a.pcd")).name == "points"
    with pytest.raises(UserError, match=r"\.pcd files are not read\. Convert"):
        opened(tmp_path / "only" / "a.pcd")


def test_words_for_held_out_parts_are_no_classes(tmp_path: Path) -> None:
    for split, num in (("train", 3), ("Val", 2)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(num):
                np.save(tmp_path / split / name / f"{index}.npy", sphere(index))
    source = opened(tmp_path)
    assert (source.num_rows, source.num_heldout, source.class_names) == (6, 4, ("a", "b"))


def test_arrays_of_six_columns(tmp_path: Path) -> None:
    rows = np.concatenate([np.stack([sphere(seed) for seed in range(4)]), np.zeros((4, 64, 3))], 2)
    np.save(tmp_path / "a.npy", rows)
    assert catalog.recognise(str(tmp_path / "a.npy")).name == "points"
    source = opened(tmp_path / "a.npy", normalise="global")
    assert "The first three of the 6 numbers of each point are read as x, y and z." in source.notes
    assert source.centre == pytest.approx(tuple(FAR), abs=0.1)


def test_unused_arrays_are_told_and_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = np.stack([sphere(seed) for seed in range(4)])
    np.savez_compressed(tmp_path / "a.npz", points=clouds, bomb=np.zeros(10**7, np.uint8))
    monkeypatch.setattr(numpy_files, "MAX_BYTES", 10**6)  # the unused one would be refused
    source = opened(tmp_path / "a.npz")
    assert "Not read: the array(s) bomb." in source.notes
    np.savez_compressed(tmp_path / "b.npz", points=np.zeros((4, 10**5, 3)))
    with pytest.raises(UserError, match=r"b\.npz\[points\] takes 9\.2 MiB unpacked, more than the 976\.6 KiB"):
        opened(tmp_path / "b.npz")


@pytest.mark.parametrize("suffix", [*files.SINGLE, *files.ARRAYS])
def test_devices_and_pipes_are_refused(tmp_path: Path, suffix: str) -> None:
    np.save(tmp_path / "good.npy", sphere(0))
    endless, pipe = tmp_path / f"endless{suffix}", tmp_path / f"pipe{suffix}"
    endless.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    for path, kind in ((endless, "a device"), (pipe, "a pipe")):
        assert not files.can_open(str(path))
        assert not files.looks_like(path)
        with pytest.raises(UserError, match=rf"{path.name}: {kind}, not a regular file"):
            files.read_cloud(path, 64, 0)
    with pytest.raises(UserError, match=r"endless.*: a device"):
        opened(tmp_path)


def test_meshes_open_no_other_files(tmp_path: Path) -> None:
    """An .obj names a file of materials and a picture; neither is looked for."""
    os.mkfifo(tmp_path / "a.mtl")
    box = trimesh.creation.box()
    as_mesh(tmp_path / "a.obj", np.asarray(box.vertices), np.asarray(box.faces))
    (tmp_path / "a.obj").write_text(
        "mtllib a.mtl\nusemtl wood\n# caf\xe9\n" + (tmp_path / "a.obj").read_text(), "latin-1"
    )
    assert files.read_cloud(tmp_path / "a.obj", 64, 0).shape == (64, 3)


@pytest.mark.parametrize("method", [1, 6, 9, 14])
def test_other_compressions_do_not_stop_recognition(tmp_path: Path, method: int) -> None:
    np.savez_compressed(tmp_path / "a.npz", points=np.stack([sphere(seed) for seed in range(4)]))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    whole[8:10] = whole[whole.rindex(b"PK\x01\x02") + 10 :][:2] = method.to_bytes(2, "little")
    start = whole.rindex(b"PK\x01\x02")
    whole[start + 10 : start + 12] = method.to_bytes(2, "little")
    (tmp_path / "a.npz").write_bytes(whole)
    assert not files.can_open(str(tmp_path / "a.npz"))
    assert not files.looks_like(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz"):
        files.load(tmp_path / "a.npz", 64, 0)
    assert zipfile.is_zipfile(tmp_path / "a.npz")


def test_many_files_beside_the_folders_mean_no_labels(tmp_path: Path) -> None:
    for name in ("a", "b", "."):
        (tmp_path / name).mkdir(exist_ok=True)
        for index in range(2):
            np.save(tmp_path / name / f"{index}.npy", sphere(index))
    source = opened(tmp_path)
    assert (source.num_rows, source.class_names) == (6, ())
    assert "There are no labels: 2 of 6 files are in no sub-folder." in source.notes
