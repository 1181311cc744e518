"""Shapes from names, meshes, clouds and arrays; what is made of them; what is said about bad ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum import catalog
from zerosum.domains.points import builtin_sources, data, files
from zerosum.domains.points.data import CloudSource
from zerosum.errors import UserError
from zerosum.recipe import part

trimesh = pytest.importorskip("trimesh")


def opened(where: str | Path, **options: object) -> CloudSource:
    return data.open_source(part(str(where), **{"points": 32, **options}), False)


def points(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 3, (num, 3)).astype(np.float32)


def furnish(folder: Path) -> None:
    """Two classes, each kind of file once."""
    box, ball = trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=1)
    for name in ("box", "ball"):
        (folder / name).mkdir(parents=True)
    for suffix in (".ply", ".off", ".obj", ".stl"):
        box.export(folder / "box" / f"mesh{suffix}")
    ball.export(folder / "ball" / "mesh.ply")
    trimesh.PointCloud(points(40)).export(folder / "ball" / "cloud.ply")
    np.savetxt(folder / "ball" / "cloud.xyz", points(40))
    np.save(folder / "ball" / "cloud.npy", points(40))
    np.savez(folder / "ball" / "cloud.npz", points=points(40))


def test_a_folder_of_every_kind_of_file(tmp_path: Path) -> None:
    furnish(tmp_path / "things")
    source = opened(tmp_path / "things", heldout=0.0)
    assert source.data.shape == (9, 32, 3)
    assert source.class_names == ("ball", "box")
    assert source.labels is not None
    assert torch.bincount(source.labels).tolist() == [5, 4]
    again = opened(tmp_path / "things", heldout=0.0)
    assert again.fingerprint == source.fingerprint
    assert opened(tmp_path / "things", heldout=0.0, labelled=False).labels is None


def test_meshes_are_sampled_by_area() -> None:
    """A box of 1 x 2 x 3: each pair of faces gets points by its area, 2, 3 and 6 of 11."""
    cloud = builtin_sources._join([builtin_sources._box((0, 1), (0, 2), (0, 3))])
    from zerosum.domains.points.formats import sample_surface

    found = sample_surface(cloud, 20_000, np.random.default_rng(0))
    for axis, (size, area) in enumerate([(1, 6), (2, 3), (3, 2)]):
        on = np.isclose(found[:, axis], 0, atol=1e-6) | np.isclose(found[:, axis], size, atol=1e-6)
        assert on.mean() == pytest.approx(area / 11, abs=0.012)


def test_train_and_test_folders_are_the_split(tmp_path: Path) -> None:
    for kind in ("box", "ball"):
        for split, num in (("train", 3), ("test", 1)):
            (tmp_path / kind / split).mkdir(parents=True)
            for i in range(num):
                np.save(tmp_path / kind / split / f"{i}.npy", points(32, seed=i))
    source = opened(tmp_path)
    assert (source.num_rows, source.num_heldout, source.class_names) == (6, 2, ("ball", "box"))
    assert source.heldout_labels is not None
    assert sorted(source.heldout_labels.tolist()) == [0, 1]


def test_arrays_with_labels_and_bytes(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (6, 40, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", points_u8=raw, labels=np.array([7, 7, 9, 9, 7, 9]))
    with pytest.raises(UserError, match="points reach"):  # corners of the cube lie outside the ball
        opened(tmp_path / "a.npz", points=40, normalise="none", heldout=0.0)
    source = opened(tmp_path / "a.npz", points=40, normalise="global", heldout=0.0)
    assert source.class_names == ("7", "9")
    back = np.sort((source.data * source.radius + torch.tensor(source.centre)).numpy().reshape(-1, 3), 0)
    np.testing.assert_allclose(back, np.sort((raw / 127.5 - 1).reshape(-1, 3), 0), atol=1e-5)


def test_each_shape_fills_the_unit_ball_and_global_keeps_sizes() -> None:
    small, large = torch.rand(1, 50, 3) + 4, torch.rand(1, 50, 3) * 3
    both = torch.cat([small, large])
    alone, *_ = data.normalise_clouds(both, "shape", "test")
    torch.testing.assert_close(alone.norm(dim=2).amax(1), torch.ones(2))
    torch.testing.assert_close(alone.amax(1), -alone.amin(1))
    together, centre, radius, _ = data.normalise_clouds(both, "global", "test")
    assert float(together.norm(dim=2).max()) == pytest.approx(1)
    torch.testing.assert_close(together * radius + torch.tensor(centre), both)
    with pytest.raises(UserError, match="reach"):
        data.normalise_clouds(both, "none", "test")


def test_parametric_shapes_depend_on_their_number_alone() -> None:
    """Two of them are the first two of four; held-out rows are others than those trained on; classes come in turn."""
    assert np.array_equal(
        builtin_sources.parametric_clouds("chair", 4, 16, 0)[:2], builtin_sources.parametric_clouds("chair", 2, 16, 0)
    )
    source = opened("shapes", num=10)
    assert (source.num_rows, source.num_heldout, source.class_names) == (10, 1, ("chair", "table", "lamp", "bottle"))
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    chairs = opened("chairs", num=20)
    assert torch.cdist(chairs.heldout.flatten(1), chairs.data.flatten(1)).min() > 0.1


def test_chairs_have_legs_seat_and_back() -> None:
    """Below the seat there are points only near four corners; the upper third lies at the back."""
    for cloud in builtin_sources.parametric_clouds("chair", 5, 2000, 1):
        low = cloud[cloud[:, 2] < 0.5]
        side, depth = np.abs(cloud[:, 0]).max(), np.abs(cloud[:, 1]).max()
        assert (np.abs(low[:, 0]) > side - 0.14).all()
        assert (np.abs(low[:, 1]) > depth - 0.14).all()
        assert (cloud[cloud[:, 2] > cloud[:, 2].max() - 0.2][:, 1] > 0).all()


def test_the_published_chairs(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (data_root / "modelnet10_voxels").is_dir():
        pytest.skip("no ModelNet10 clouds here")
    monkeypatch.setenv("ZEROSUM_DATA", str(data_root))
    source = opened("modelnet10-chairs", points=64)
    assert source.num_rows + source.num_heldout == 889
    assert source.num_heldout == 89


def test_paths_are_recognised_and_nothing_is_stolen(tmp_path: Path) -> None:
    from PIL import Image

    furnish(tmp_path / "things")
    np.save(tmp_path / "clouds.npy", np.zeros((4, 20, 3), np.float32))
    np.save(tmp_path / "images.npy", np.zeros((4, 16, 16, 3), np.uint8))
    (tmp_path / "photos").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "a.png")
    for name, expected in (
        ("things", "points"),
        ("clouds.npy", "points"),
        ("images.npy", "images"),
        ("photos", "images"),
    ):
        assert catalog.recognise(str(tmp_path / name)).name == expected
    assert catalog.recognise("chairs").name == "points"
    assert not files.can_open(str(tmp_path / "nowhere"))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    assert not files.can_open(str(tmp_path / "broken.npz"))


def bad(folder: Path, name: str, content: str) -> Path:
    """A folder with one good cloud and one that is not."""
    folder.mkdir()
    np.save(folder / "good.npy", points(40))
    (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.off", "OFF\n3 1 0\nthis is no mesh\n", "a.off: not a mesh or a point cloud"),
        ("a.ply", "not a ply file at all", "a.ply: not a mesh or a point cloud"),
        ("a.xyz", "1 2 3\n1 2\n", "a.xyz: not lines of x y z"),
        ("a.xyz", "1 2 3\n4 5 6\n", "a.xyz: 2 points, fewer than the requested 32. Use --set data.points=2 or less."),
        ("a.xyz", "1 2 nan\n" * 40, "a.xyz: some coordinates are not finite"),
        ("a.xyz", "1 2 3\n" * 40, "has all its points at one position"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "a.obj: the faces of this mesh have no area"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(bad(tmp_path / "bad", name, content))
    assert said in str(caught.value)


def test_mixed_sizes_and_single_shapes(tmp_path: Path) -> None:
    mixed = np.empty(2, dtype=object)
    mixed[:] = [points(5), points(6)]
    np.save(tmp_path / "mixed.npy", mixed, allow_pickle=True)
    with pytest.raises(UserError, match="clouds of different sizes"):
        opened(tmp_path / "mixed.npy")
    np.save(tmp_path / "one.npy", points(40))
    with pytest.raises(UserError, match="only one shape"):
        opened(tmp_path / "one.npy")
    with pytest.raises(UserError, match=r"no named source of shapes and no such path\. Did you mean 'chairs'"):
        opened("chair")
    with pytest.raises(UserError, match="points must be at least 16"):
        opened("chairs", points=3)


def test_without_trimesh_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    builtin_sources._primitive.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'zerosum\[points\]'"):
        opened("chairs", num=4)
