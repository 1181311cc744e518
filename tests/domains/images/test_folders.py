"""Folders, zips and arrays of images: order, labels, splits, layouts and ranges."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_making import make_tar, make_zip, noise, png, refused, save
from PIL import Image

from zerosum.data.images import paths
from zerosum.data.images.listing import natural_key
from zerosum.domains.images.data import Shape, open_source


def test_folder_keeps_pixels_and_natural_order(tmp_path: Path) -> None:
    images = {f"a/img{i}.png": noise(6, 5, 3, seed=i) for i in (10, 9, 1)} | {"a/B.PNG": noise(6, 5, 3, seed=4)}
    for name, pixels in images.items():
        save(tmp_path / "photos" / name, pixels)
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    save(tmp_path / "photos" / ".hidden.png", noise(3, 3))
    save(tmp_path / "photos" / ".thumbs" / "x.png", noise(3, 3))
    source = open_source(str(tmp_path / "photos"))
    order = ["a/B.PNG", "a/img1.png", "a/img9.png", "a/img10.png"]
    assert np.array_equal(source.train.pixels, np.stack([images[name].transpose(2, 0, 1) for name in order]))
    assert source.name == "photos"
    assert source.shape == Shape(3, 6, 5, 0)
    assert source.heldout is None
    assert source.notes == ("1 other file(s) without an image suffix were passed over: 1 .txt.",)


def test_a_folder_is_walked_once_to_recognise_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = list[object]()
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: (walked.append(top), walk(top))[1])
    for name in ("a.png", "b/c.png", "b/d.mp4", "b/e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert paths.can_open(str(tmp_path))  # as many videos as images
    assert walked == [tmp_path]
    (tmp_path / "f.webm").write_bytes(b"")
    assert not paths.can_open(str(tmp_path))


def test_natural_order() -> None:
    names = ["b/1.png", "a/10.png", "a/9.png", "a/09.png", "a2/x.png", "a10/x.png", "1/x.png"]
    assert sorted(names, key=natural_key) == [
        "1/x.png", "a/09.png", "a/9.png", "a/10.png", "a2/x.png", "a10/x.png", "b/1.png"
    ]  # fmt: skip


def test_labels_from_sub_folders(tmp_path: Path) -> None:
    for i, name in enumerate(["dog/x/1.png", "cat/1.png", "dog/2.png"]):
        save(tmp_path / name, np.full((4, 4), i, np.uint8))
    source = open_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [0, 1, 1]
    assert source.train.pixels[:, 0, 0, 0].tolist() == [1, 2, 0]


def test_stray_pictures_beside_class_folders_are_named_and_the_classes_kept(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"c{i % 3}" / f"{i}.png", np.full((8, 8), 40 * i, np.uint8))
    save(tmp_path / "0999.png", np.full((8, 8), 255, np.uint8))
    source = open_source(str(tmp_path))
    assert (source.class_names, len(source.train)) == (("c0", "c1", "c2"), 6)
    assert source.notes == ("1 image(s) outside the class folders have no label and are left out: 0999.png.",)
    assert len(open_source(str(tmp_path), labelled=False).train) == 7
    save(tmp_path / "1000.png", np.full((8, 8), 254, np.uint8))
    many = open_source(str(tmp_path))
    assert (many.class_names, len(many.train)) == ((), 8)
    assert "2 of 8 images are outside the 3 folders (0999.png, 1000.png)" in many.notes[0]


@pytest.mark.parametrize(
    ("folders", "train", "heldout", "classes", "said"),
    [
        ("train/a train/b test/a test/b unlabeled", 4, 4, "ab", "of a folder for images without labels are left out"),
        ("train test unsup", 4, 2, "", "held out"),
        ("train/a train/b test/a test/b extra", 4, 4, "ab", "are in no part of the split and are left out: extra/0.png"),
        ("train/a train/b", 4, 0, "ab", ""),
        ("train/a train/b unlabeled", 4, 0, "ab", "data.labelled=false trains on them too"),
        ("Train/a Train/b Valid/a Valid/b", 4, 4, "ab", "4 images of Valid/ are held out"),
        ("a b test/a test/b", 4, 4, "ab", "the other images are for training"),
        (". test", 2, 2, "", "2 images of test/ are held out"),
        ("car bus train", 6, 0, "bus car train", "train/ is not used as a part of a split"),
        ("test val", 4, 0, "", "There is no train/ next to test/, val/: all images are trained on."),
        ("wrapped/a wrapped/b", 4, 0, "ab", ""),
        ("a b unlabelled", 4, 0, "ab", "left out"),
    ],
)  # fmt: skip
def test_folders_that_say_what_their_images_are_for(
    tmp_path: Path, folders: str, train: int, heldout: int, classes: str, said: str
) -> None:
    for i, folder in enumerate(folders.split()):
        for j in range(2):
            save(tmp_path / "set" / folder / f"{j}.png", noise(8, 8, seed=2 * i + j))
    source = open_source(str(tmp_path / "set"))
    assert (len(source.train), source.num_heldout) == (train, heldout)
    assert source.class_names == tuple(classes.split() if " " in classes else classes)
    assert (said in " ".join(source.notes)) if said else source.notes == ()


def test_pictures_of_other_kinds_are_read_as_pillow_does_or_named(tmp_path: Path) -> None:
    pixels = noise(8, 8, 3)
    written = {
        "jfif": "JPEG",
        "jpe": "JPEG",
        "apng": "PNG",
        "tga": "TGA",
        "pnm": "PPM",
        "dib": "BMP",
        "jp2": "JPEG2000",
    }
    for suffix, kind in written.items():
        save(tmp_path / "many" / f"x.{suffix}", pixels, format=kind)
    if "AVIF" in Image.registered_extensions().values():
        save(tmp_path / "many" / "x.avif", pixels, format="AVIF")
    (tmp_path / "many" / "y.heic").write_bytes(b"heic")
    (tmp_path / "many" / "y.svg").write_bytes(b"<svg/>")
    source = open_source(str(tmp_path / "many"))
    assert len(source.train) == len(list((tmp_path / "many").glob("x.*")))
    assert source.notes == ("2 picture(s) of kinds that are not read: 1 .heic, 1 .svg. Convert them to PNG.",)
    lossless = [i for i, name in enumerate(sorted(written)) if written[name] in ("PNG", "TGA", "PPM", "BMP")]
    assert len(lossless) == 4
    assert sum(np.array_equal(row, pixels.transpose(2, 0, 1)) for row in source.train.pixels) >= 4
    for path in (tmp_path / "many").glob("x.*"):
        path.unlink()
    refused(tmp_path / "many", "no images in this folder: 2 picture(s) of kinds that are not read: 1 .heic, 1 .svg")
    assert paths.looks_like(tmp_path / "many")


@pytest.mark.parametrize("held", ["test", "val"])
@pytest.mark.parametrize("classes", [True, False])
def test_split_by_folder(tmp_path: Path, held: str, classes: bool) -> None:
    for i in range(6):
        inner = ("a", "b")[i % 2] if classes else ""
        save(tmp_path / ("train" if i < 4 else held) / inner / f"{i}.png", np.full((4, 4), i, np.uint8))
    source = open_source(str(tmp_path))
    assert source.heldout is not None
    assert sorted(source.train.pixels[:, 0, 0, 0].tolist()) == [0, 1, 2, 3]
    assert sorted(source.heldout.pixels[:, 0, 0, 0].tolist()) == [4, 5]
    assert source.class_names == (("a", "b") if classes else ())
    assert (source.heldout.labels is not None) == classes


def test_links_do_not_leave_the_folder(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", noise(4, 4, seed=i))
    outside = save(tmp_path / "out" / "secret.png", noise(4, 4, seed=9))
    (tmp_path / "in" / "link.png").symlink_to(outside)
    (tmp_path / "in" / "folder").symlink_to(outside.parent)
    (tmp_path / "in" / "same.png").symlink_to(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "in" / "round.png").symlink_to(tmp_path / "in" / "round.png")
    source = open_source(str(tmp_path / "in"))
    assert len(source.train) == 3
    note = "2 link(s) to folders or out of the folder were not followed; data.links=true"
    assert source.notes[1].startswith(note)
    assert len(open_source(str(tmp_path / "in"), links=True).train) == 4
    for name in ("0", "1", "same"):
        (tmp_path / "in" / f"{name}.png").unlink()
    refused(
        tmp_path / "in",
        f"no images in this folder: 2 other file(s) without an image suffix were passed over: 2 .png. {note}",
    )


def test_zip_equals_folder(tmp_path: Path) -> None:
    for i in range(8):
        save(tmp_path / "set" / ("a", "b")[i % 2] / f"{i}.png", noise(4, 4, seed=i))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*.png"), reverse=True):
            archive.write(path, f"wrapped/set/{path.relative_to(tmp_path / 'set')}")
        archive.writestr("wrapped/readme.txt", "hello")
        archive.writestr("__MACOSX/wrapped/._1.png", "junk")
    folder, packed = open_source(str(tmp_path / "set")), open_source(str(tmp_path / "set.zip"))
    assert packed.fingerprint == folder.fingerprint
    assert packed.class_names == ("a", "b")
    assert packed.notes == ("1 other file(s) without an image suffix were passed over: 1 .txt.",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.zip"]


def test_backslashes_in_a_zip_are_folders(tmp_path: Path) -> None:
    """Some programs of Windows write them, against the format."""
    make_zip(tmp_path / "a.zip", {f"set\\c{i % 2}\\{i}.png": png(8, 8, seed=i) for i in range(4)} | {"set\\c0\\": b""})
    source = open_source(str(tmp_path / "a.zip"))
    assert (source.class_names, len(source.train), source.notes) == (("c0", "c1"), 4, ())
    make_tar(tmp_path / "a.tar", {f"set\\c{i % 2}\\{i}.png": png(8, 8, seed=i) for i in range(4)})
    assert open_source(str(tmp_path / "a.tar")).class_names == ("c0", "c1")


@pytest.mark.parametrize("shape", [(6, 8, 9), (6, 8, 9, 1), (6, 1, 8, 9), (6, 8, 9, 3), (6, 3, 8, 9)])
def test_array_layouts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = noise(*shape)
    np.save(tmp_path / "a.npy", values)
    pixels = open_source(str(tmp_path / "a.npy")).train.pixels
    if len(shape) == 3:
        values = values[:, None]
    elif shape[1] not in (1, 3):
        values = values.transpose(0, 3, 1, 2)
    assert np.array_equal(pixels, values)


def test_ambiguous_layout_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(4, 3, 16, 3))
    source = open_source(str(tmp_path / "a.npy"))
    assert source.shape == Shape(3, 3, 16, 0)
    assert any("fits both layouts" in note for note in source.notes)


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda p: (p / 255).astype(np.float32), "[0, 1]"),
        (lambda p: p / 127.5 - 1, "[-1, 1]"),
        (lambda p: p + 0.25 * (p < 255), "[0, 255]"),
        (lambda p: p.astype(np.int64), None),
        (lambda p: p.astype(">u2") * 257, "16-bit"),
    ],
)
def test_ranges_of_arrays(tmp_path: Path, make: Any, note: str | None) -> None:
    pixels = noise(5, 9, 10)
    pixels[0, 0, :2] = 0, 255
    np.save(tmp_path / "a.npy", make(pixels))
    source = open_source(str(tmp_path / "a.npy"))
    assert np.array_equal(source.train.pixels[:, 0], pixels)
    assert (note is None) == (source.notes == ())
    assert note is None or note in source.notes[0]


def test_nearly_black_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(4, 8, 8) % 17)
    assert any("16 of 255" in note for note in open_source(str(tmp_path / "a.npy")).notes)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_files_of_16_are_told_as_in_arrays(tmp_path: Path, suffix: str) -> None:
    values = noise(4, 8, 8).astype(np.uint16) * 16 + 15
    for i, pixels in enumerate(values):
        save(tmp_path / "scans" / f"{i}.{suffix}", pixels)
    np.save(tmp_path / "scans.npy", values)
    files, array = (open_source(str(tmp_path / name)) for name in ("scans", "scans.npy"))
    assert np.array_equal(files.train.pixels, array.train.pixels)
    dark = f"The brightest pixel is {round(values.max() / 257)} of 255, so the images are nearly black"
    for source in (files, array):
        assert any(note.startswith(dark) for note in source.notes)
        assert any("divided by 257" in note for note in source.notes)
    save(tmp_path / "scans" / f"white.{suffix}", np.full((8, 8), 65535, np.uint16))
    assert not any("black" in note for note in open_source(str(tmp_path / "scans")).notes)


def test_npz_names_labels_and_split(tmp_path: Path) -> None:
    images, labels = noise(30, 8, 9), np.arange(30) % 3 * 5
    np.savez_compressed(tmp_path / "a.npz", images=images, subject=labels.astype(np.uint8)[:, None])
    source = open_source(str(tmp_path / "a.npz"), heldout=0)
    assert source.heldout is None
    assert np.array_equal(source.train.labels, labels // 5)
    assert source.class_names == ("0", "5", "10")
    words = np.array(["no", "yes", "maybe"])[np.arange(30) % 3]
    np.savez(tmp_path / "b.npz", x_train=images[:20], y_train=words[:20], x_test=images[20:], y_test=words[20:])
    source = open_source(str(tmp_path / "b.npz"))
    assert source.heldout is not None
    assert source.class_names == ("maybe", "no", "yes")
    assert [source.class_names[i] for i in source.heldout.labels] == list(words[20:])  # type: ignore[union-attr]
    assert np.array_equal(source.heldout.pixels[:, 0], images[20:])
    np.savez(tmp_path / "c.npz", faces=images, size=np.array([8, 9]))
    assert np.array_equal(open_source(str(tmp_path / "c.npz"), heldout=0).train.pixels[:, 0], images)
