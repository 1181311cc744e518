"""Mirror images as further rows, attributes from tables, the crop rules; what of them may not happen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_making import encoded, make_tar, make_zip, noise, png, refused, save
from PIL import Image
from torch.testing import assert_close

from zerosum.data.images.pictures import fit
from zerosum.domain import DatasetInfo
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.data import open_source, read_images
from zerosum.recipe import part


def photos(folder: Path, num: int, size: tuple[int, ...] = (8, 8)) -> Path:
    for i in range(num):
        save(folder / f"{i}.png", noise(*size, seed=i))
    return folder


# --- mirror images


def test_mirror_images_are_further_rows(tmp_path: Path) -> None:
    path = str(photos(tmp_path / "photos", 30))
    source = open_source(path, flip=True)
    num = len(source.train)
    assert source.num_rows == 2 * num
    rows = torch.tensor([0, num, 2 * num - 1, num - 1, 3, 3])
    data = source.batch(rows).data
    expected = torch.stack([source.train.pixels[i] for i in (0, 0, num - 1, num - 1, 3, 3)])
    expected[1], expected[2] = expected[1].flip(2), expected[2].flip(2)
    assert_close(data, expected.double().div(127.5).sub(1).float())
    assert source.heldout is not None
    held = source.heldout_batch(torch.arange(source.num_heldout)).data
    assert_close(held, source.heldout.pixels.double().div(127.5).sub(1).float())
    info = DOMAIN.info_of(source)
    assert (info.num_rows, info.payload["num_images"]) == (2 * num, num)
    assert "and their mirror images" in DOMAIN.data.describe(info)
    assert DatasetInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_labels_follow_the_mirror_images() -> None:
    source = open_source("digits", flip=True)
    num = len(source.train)
    assert source.train.labels is not None
    found = source.batch(torch.tensor([5, num + 5])).condition
    assert found is not None
    assert found.tolist() == [int(source.train.labels[5])] * 2


@pytest.mark.parametrize("cached", [False, True])
def test_no_mirror_image_of_a_held_out_one_is_trained_on(
    tmp_path: Path, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr("zerosum.data.images.loader.MIN_CACHED_BYTES", 0 if cached else 10**9)
    for i in range(200):
        pixels = noise(6, 6, seed=i)
        save(tmp_path / "photos" / f"{i}.png", pixels)
        save(tmp_path / "photos" / f"{i}m.png", pixels[:, ::-1].copy())
    source = open_source(str(tmp_path / "photos"), flip=True, heldout=0.2, validation=0.2)
    assert source.heldout is not None
    assert source.validation is not None

    def both_ways(pixels: torch.Tensor) -> set[bytes]:
        return {row.numpy().tobytes() for row in torch.cat([pixels, pixels.flip(3)])}

    parts = [both_ways(part.pixels) for part in (source.train, source.heldout, source.validation)]
    assert min(map(len, parts)) > 50
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    plain = open_source(str(tmp_path / "photos"), heldout=0.2)
    assert plain.heldout is not None
    assert both_ways(plain.train.pixels) & both_ways(plain.heldout.pixels)  # without flip, nobody asked for it


# --- attributes


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


AGES = ["file,age,smile", *(f"{i}.png,{20 + i},{i % 2}" for i in range(30))]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "path"])
def test_attributes_reach_the_batch(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {}
    files = {f"{i}.png": png(8, 8, seed=i) for i in range(30)}
    data = "\n".join(reversed(AGES[1:]))
    if kind in ("folder", "path"):
        where = photos(tmp_path / "photos", 30)
        placed = table(where / "attributes.csv" if kind == "folder" else tmp_path / "x.csv", [AGES[0], data])
        options = {"attributes": str(placed)} if kind == "path" else {}
    elif kind == "zip":
        where = make_zip(
            tmp_path / "a.zip",
            {f"in/{n}": d for n, d in files.items()} | {"in/attributes.csv": f"{AGES[0]}\n{data}".encode()},
        )
    else:
        where = make_tar(tmp_path / "a.tar", files | {"attributes.csv": f"{AGES[0]}\n{data}".encode()})
    source = open_source(str(where), **options)
    assert source.attribute_names == ("age", "smile")
    index = {noise(8, 8, seed=i).tobytes(): i for i in range(30)}
    numbers = np.array([index[row[0].numpy().tobytes()] for row in source.train.pixels])
    values = np.stack([20 + numbers, numbers % 2], 1).astype(float)
    assert np.allclose(source.attribute_scales, np.stack([values.mean(0), values.std(0)], 1))
    rows = torch.tensor([7, 2])
    condition = source.batch(rows).condition
    assert condition is not None
    assert condition.dtype == torch.float32
    assert_close(condition.double().numpy(), ((values - values.mean(0)) / values.std(0))[rows], rtol=0, atol=1e-6)
    assert source.num_heldout > 0
    held = source.heldout_batch(torch.tensor([0])).condition
    assert held is not None
    number = index[source.heldout.pixels[0, 0].numpy().tobytes()]  # type: ignore[union-attr]
    assert_close(float(held[0, 0]), (20 + number - values.mean(0)[0]) / values.std(0)[0], rtol=0, atol=1e-6)
    info = DOMAIN.info_of(source)
    assert info.num_attributes == 2
    assert len(info.condition.rows) == len(source.train)
    assert info.num_classes == 0
    assert "2 attribute(s)" in DOMAIN.data.describe(info)


def test_attributes_win_over_labels_and_can_be_left_out(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "p" / ("a", "b")[i % 2] / f"{i}.png", noise(8, 8, seed=i))
    plain = open_source(str(tmp_path / "p"))
    table(tmp_path / "p" / "attributes.csv", ["name,x", *(f"{('a', 'b')[i % 2]}/{i}.png,{i}" for i in range(6))])
    source = open_source(str(tmp_path / "p"))
    assert source.train.labels is None
    assert source.shape.num_classes == 0
    assert any("the 2 classes are not used" in note for note in source.notes)
    assert not any("passed over" in note for note in source.notes)
    without = open_source(str(tmp_path / "p"), attributes=False)
    assert without.fingerprint == plain.fingerprint != source.fingerprint
    assert without.shape.num_classes == 2
    refused("digits", "there is no attributes.csv", attributes=True)


def test_constant_columns_and_needless_rows_are_told(tmp_path: Path) -> None:
    path = photos(tmp_path / "p", 4)
    table(
        path / "attributes.csv", ["name,x,same", *(f"{i}.png,{i},5" for i in range(4)), "other.png,1,2", "more.png,1,2"]
    )
    source = open_source(str(path))
    assert source.attribute_names == ("x",)
    assert any("'same' has one value" in note for note in source.notes)
    assert any("2 row(s)" in note for note in source.notes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["name", "0.png"], "the first line is 'name'; expected a header"),
        (["name,x,x", "0.png,1,2"], "all different"),
        (["name,x", "0.png,1", "1.png,", "2.png,3"], "line 3, column 'x': no value"),
        (["name,x", "0.png,1", "1.png,tall", "2.png,3"], "line 3, column 'x': 'tall' is not a finite number"),
        (["name,x", "0.png,1", "1.png,nan", "2.png,3"], "'nan' is not a finite number"),
        (["name,x", "0.png,1", "1.png,2,3", "2.png,3"], "line 3: 2 values for the 1 columns x"),
        (["name,x", "0.png,1", "0.png,2", "2.png,3"], "line 3: a second row for '0.png'"),
        (["name,x", "0.png,1", "2.png,3"], "no row for 1 image(s): 1.png. "),
        (["name,x", "0.png,1", "1.png,1", "2.png,1"], "every column has one value"),
        (["name,x", '0.png,"1'], "not a CSV file"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: list[str], said: str) -> None:
    path = photos(tmp_path / "p", 3)
    table(path / "attributes.csv", rows)
    refused(path, str(path / "attributes.csv"), said)


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    path = photos(tmp_path / "p", 3)
    refused(path, "absent.csv: cannot be read", attributes=str(tmp_path / "absent.csv"))
    (tmp_path / "b.csv").write_bytes(b"name,x\n\xff,1\n")
    refused(path, "not a CSV file in UTF-8", attributes=str(tmp_path / "b.csv"))
    placed = table(tmp_path / "c.csv", ["name,x", "0,1"])
    refused("digits", "attributes go with image files", attributes=str(placed))


# --- crop and resize


def test_pad_keeps_the_whole_image(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "p" / f"{i}.png", np.full((20, 40), 200, np.uint8))
    source = open_source(str(tmp_path / "p"), size=(10, 10), crop="pad")
    expected = np.zeros((10, 10), np.uint8)
    expected[2:7] = 200  # 40x20 becomes 10x5, laid in the middle
    assert np.array_equal(source.train.pixels[0, 0], expected) or np.array_equal(
        source.train.pixels[0, 0], np.roll(expected, 1, 0)
    )
    assert any("(whole, on black, Lanczos)" in note for note in source.notes)
    judged = read_images([tmp_path / "p" / "0.png"], source.shape, "pad")
    assert_close(judged[0], source.batch(torch.tensor([0])).data[0])
    refused(tmp_path / "p", "crop = 'stretch': choose from centre, pad", crop="stretch")
    refused(tmp_path / "p", "on_bad = 'ignore': choose from stop, skip", on_bad="ignore")


def lanczos(values: np.ndarray, size: int) -> np.ndarray:
    """Resizes the last axis with the antialiased Lanczos kernel of three lobes, in float64: Pillow's rule written down."""
    scale = values.shape[-1] / size
    wide = max(1.0, scale)
    out = np.empty((*values.shape[:-1], size))
    for i in range(size):
        centre = (i + 0.5) * scale
        first, last = max(0, int(centre - 3 * wide + 0.5)), min(values.shape[-1], int(centre + 3 * wide + 0.5))
        x = (np.arange(first, last) + 0.5 - centre) / wide
        weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
        out[..., i] = values[..., first:last] @ (weights / weights.sum())
    return out


@pytest.mark.parametrize(("height", "width", "side"), [(96, 96, 32), (50, 61, 16), (20, 20, 33)])
def test_resize_is_antialiased_lanczos(height: int, width: int, side: int) -> None:
    """Against the kernel's definition; Pillow rounds to whole grey levels after each of its two passes."""
    pixels = noise(height, width)
    ours = np.asarray(fit(Image.fromarray(pixels), (side, side)), dtype=float)
    cut = min(height, width)
    top, left = (height - cut) / 2, (width - cut) / 2
    if top % 1 or left % 1:
        pixels = pixels[:cut, :cut]
        ours, (top, left) = np.asarray(fit(Image.fromarray(pixels), (side, side)), dtype=float), (0, 0)
    square = pixels[int(top) : int(top) + cut, int(left) : int(left) + cut].astype(float)
    once = np.clip(np.rint(lanczos(square, side)), 0, 255)
    twice = np.clip(lanczos(once.T, side).T, 0, 255)
    assert np.abs(ours - twice).max() < 0.5 + 1e-2


def test_default_size_looks_at_the_lower_quartile(tmp_path: Path) -> None:
    for i, side in enumerate([60, 20, 60, 20, 60]):
        save(tmp_path / "small" / f"{i}.png", noise(side, side))
    assert open_source(str(tmp_path / "small")).shape.height == 16
    for i, side in enumerate([400, 400, 400, 12]):
        save(tmp_path / "large" / f"{i}.png", noise(side, side))
    tmp_path = tmp_path / "large"
    source = open_source(str(tmp_path), cache=False)
    assert source.shape.height == 64
    assert any("up to 256" in note for note in source.notes)
    (tmp_path / "text.png").write_text("no")
    refused(tmp_path, "1 of 5")
    assert len(open_source(str(tmp_path), on_bad="skip").train) == 4


def test_options_of_a_recipe(tmp_path: Path) -> None:
    path = photos(tmp_path / "p", 30)
    (path / "bad.png").write_bytes(encoded("PNG")[:-20])
    source = DOMAIN.data.open(
        part(str(path), flip=True, crop="pad", on_bad="skip", cache=False, attributes=False), False
    )
    assert source.num_rows == 2 * len(source.train)
    info = DOMAIN.info_of(source)
    assert (info.payload["crop"], info.payload["flip"], info.payload["measure"]) == ("pad", True, "")
    read = DOMAIN.media.read([path / "0.png"], info)
    assert read.shape == (1, *source.train.pixels.shape[1:])
