"""Tar shards: as a packed folder and as WebDataset writes them; hostile ones; nothing is unpacked, nothing followed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from image_making import make_tar, noise, png, refused, save

from zerosum.data.images import files, tar
from zerosum.domains.images.data import can_open, open_source


def webdataset(folder: Path, per_shard: int = 4, num_shards: int = 3, stem: str = "train") -> Path:
    for shard in range(num_shards):
        members: dict[str, bytes] = {}
        for i in range(per_shard):
            number = shard * per_shard + i
            members[f"{number:06d}.png"] = png(8, 8, 3, seed=number)
            members[f"{number:06d}.cls"] = str(10 * (number % 3)).encode()
            members[f"{number:06d}.json"] = json.dumps({"attributes": {"age": number, "tilt": -0.5 * number}}).encode()
        make_tar(folder / f"{stem}-{shard:06d}.tar", members)
    return folder


def test_a_packed_folder_is_the_folder(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "set" / ("a", "b")[i % 2] / f"{i}.png", noise(6, 6, seed=i))
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*"), reverse=True):
            archive.add(path, f"./{path.relative_to(tmp_path)}", recursive=False)
    folder, packed = open_source(str(tmp_path / "set")), open_source(str(tmp_path / "set.tar"))
    assert packed.fingerprint == folder.fingerprint
    assert packed.class_names == ("a", "b")
    assert packed.notes == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.tar"]


def test_shards_with_labels(tmp_path: Path) -> None:
    source = open_source(str(webdataset(tmp_path)), attributes=False)
    assert source.class_names == ("0", "10", "20")
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [i % 3 for i in range(12)]
    expected = np.stack([noise(8, 8, 3, seed=i).transpose(2, 0, 1) for i in range(12)])
    assert np.array_equal(source.train.pixels, expected)


def test_shards_with_attributes(tmp_path: Path) -> None:
    source = open_source(str(webdataset(tmp_path)))
    assert source.attribute_names == ("age", "tilt")
    assert source.shape.num_classes == 0
    assert any("classes are not used" in note for note in source.notes)
    rows = np.arange(12) - 5.5
    scaled = torch.from_numpy((rows / rows.std()).astype(np.float32))
    assert source.train.attributes is not None
    torch.testing.assert_close(source.train.attributes, torch.stack([scaled, -scaled], 1))


def test_labels_in_json_and_missing_labels(tmp_path: Path) -> None:
    members = {f"{i}.png": png(8, 8, seed=i) for i in range(4)}
    sides = {f"{i}.json": json.dumps({"label": "cat" if i % 2 else "dog", "url": "x"}).encode() for i in range(4)}
    source = open_source(str(make_tar(tmp_path / "a.tar", members | sides)))
    assert source.class_names == ("cat", "dog")
    assert source.train.labels is not None
    assert source.train.labels.tolist() == [1, 0, 1, 0]
    del sides["2.json"]
    source = open_source(str(make_tar(tmp_path / "b.tar", members | sides)))
    assert source.train.labels is None
    assert any("1 image(s) have no label (the first is 2.png)" in note for note in source.notes)


@pytest.mark.parametrize("inside", [True, False])
def test_split_by_the_names_of_shards(tmp_path: Path, inside: bool) -> None:
    for word, seed in (("train", 0), ("val", 100)):
        members = {f"{word}{i}.png": png(8, 8, seed=seed + i) for i in range(3)}
        make_tar(tmp_path / (f"{word}/000.tar" if inside else f"{word}-000.tar"), members)
    source = open_source(str(tmp_path))
    assert source.heldout is not None
    assert np.array_equal(source.train.pixels[:, 0], np.stack([noise(8, 8, seed=i) for i in range(3)]))
    assert np.array_equal(source.heldout.pixels[:, 0], np.stack([noise(8, 8, seed=100 + i) for i in range(3)]))


def test_recognised(tmp_path: Path) -> None:
    shards = webdataset(tmp_path / "shards")
    texts = make_tar(tmp_path / "texts.tar", {"a.txt": b"words"})
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    found = [can_open(str(path)) for path in (shards, shards / "train-000000.tar", texts, tmp_path / "bad.tar")]
    assert found == [True, True, False, False]


def test_labels_and_the_split(tmp_path: Path) -> None:
    for word, labels in (("train", "aab"), ("test", "ac")):
        members = {f"{i}.png": png(8, 8, seed=i) for i in range(len(labels))}
        sides = {f"{i}.cls": label.encode() for i, label in enumerate(labels)}
        make_tar(tmp_path / f"{word}-0.tar", members | sides)
    refused(tmp_path, "the held-out class 'c' has no training images")
    (tmp_path / "test-0.tar").unlink()
    assert open_source(str(tmp_path)).class_names == ("a", "b")
    make_tar(tmp_path / "one" / "a.tar", {"0.png": png(8, 8), "0.cls": b"x", "1.png": png(8, 8, seed=1), "1.cls": b"x"})
    alone = open_source(str(tmp_path / "one"))
    assert alone.train.labels is None
    assert alone.notes == ("All images have the label 'x', which is not used.",)


# --- hostile archives


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png"])
def test_traversal(tmp_path: Path, name: str) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.png": png(8, 8), "b.png": png(8, 8), name: png(8, 8)})
    refused(path, f"member {name!r} points outside the archive", "Make the tar again")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


def test_links_devices_and_holes_are_passed_over(tmp_path: Path) -> None:
    secret = save(tmp_path / "secret.png", noise(8, 8, seed=9))
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "link.png"),
            (tarfile.LNKTYPE, "hard.png"),
            (tarfile.CHRTYPE, "device.png"),
            (tarfile.FIFOTYPE, "pipe.png"),
            (tarfile.GNUTYPE_SPARSE, "sparse.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
        for i in range(2):
            info = tarfile.TarInfo(f"{i}.png")
            info.size = len(png(8, 8, seed=i))
            archive.addfile(info, io.BytesIO(png(8, 8, seed=i)))
    source = open_source(str(path))
    assert np.array_equal(source.train.pixels[:, 0], np.stack([noise(8, 8, seed=i) for i in range(2)]))
    assert source.notes == ("5 link(s), device(s) or sparse file(s) were skipped.",)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_tar(tmp_path / "a.tar", {f"{i}.png": png(40, 40, seed=i) for i in range(3)})
    with monkeypatch.context() as patch:
        patch.setattr(tar, "MAX_MEMBER_BYTES", 100)
        refused(path, "member '0.png' has", "beyond 100")
    monkeypatch.setattr(files, "MAX_PIXELS", 1000)
    refused(path, "3 of 3 images", "decompression bomb")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_lying_headers(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "a.tar", {f"{i}.png": png(40, 40, seed=i) for i in range(3)}).read_bytes()
    path = tmp_path / "b.tar"
    for data, said in (
        (b"", "not a tar archive"),
        (b"no tar" * 400, "not a tar archive"),
        (whole[:3000], "damaged"),
        (header("a.png", 10**12), "a.png ends at byte 1000000000512 of 512"),
        (header("long", 10**9, tarfile.GNUTYPE_LONGNAME) + bytes(1024), "a header of"),
        (header("long", 10**9, tarfile.XHDTYPE) + bytes(1024), "a header of"),
        (header("a.png", -(10**9)) + bytes(2048), "damaged"),
    ):
        path.write_bytes(data)
        refused(path, str(path), "not a tar archive, or truncated or damaged", said)


def test_damage_between_members_is_found(tmp_path: Path) -> None:
    whole = bytearray(make_tar(tmp_path / "a.tar", {f"{i}.png": png(40, 40, seed=i) for i in range(3)}).read_bytes())
    second = 512 + -(-len(png(40, 40, seed=0)) // 512) * 512
    assert whole[second : second + 5] == b"1.png"
    whole[second + 100] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(whole)
    refused(tmp_path / "a.tar", f"the bytes at {second} are not a header")


def test_compressed_and_empty_shards(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "a.tar", {"a.png": png(8, 8), "b.png": png(8, 8)}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    refused(tmp_path / "a.tar.gz", "compressed shards cannot be read in place", "gunzip")
    refused(make_tar(tmp_path / "t" / "b.tar", {"a.txt": b"words"}), "no images in 1 tar archive(s): 1 other file(s)")
    refused(make_tar(tmp_path / "t" / "c.tar", {"a.png": png(8, 8)}), "only one image (a.png)")


def test_bad_sides(tmp_path: Path) -> None:
    images = {f"{i}.png": png(8, 8, seed=i) for i in range(2)}
    for i, (sides, said) in enumerate(
        [
            ({"0.json": b"{"}, "a0.tar[0.json] is not valid JSON"),
            ({"0.cls": b"\xff"}, "a1.tar[0.cls]: not text"),
            ({"0.json": b'{"attributes": {"age": "old"}}'}, '"attributes" must be an object of numbers'),
            ({"0.json": b'{"attributes": {"age": 1}}'}, "1.png has no attribute 'age'"),
        ]
    ):
        refused(make_tar(tmp_path / f"a{i}.tar", images | sides), said)


def test_only_headers_are_held(tmp_path: Path) -> None:
    """Walking through a shard keeps no header that was seen, and reads no image."""
    path = make_tar(tmp_path / "a.tar", {f"{i}.bmp": bytes(4096) for i in range(50)})
    seen = tar._members(path)
    infos = [next(seen) for _ in range(50)]
    assert len(infos) == 50
    assert next(seen, None) is None
    listing = tar.list_shards([path], path)
    assert [member.name for member in listing.members] == [f"{i}.bmp" for i in range(50)]
    assert listing.num_bytes == 50 * 4096
