"""Folders, files and photographs become rows (input, target); whatever does not fit is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from zerosum.catalog import recognise
from zerosum.domains.images.data import open_source
from zerosum.domains.translation import data
from zerosum.domains.translation.sides import Side, class_colours, from_unit, size_of, to_displayable, to_unit
from zerosum.domains.translation.source import PairSource
from zerosum.errors import UserError
from zerosum.recipe import part

DRAW = np.random.default_rng(0)


def save(path: Path, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze(2) if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)
    return pixels


def noise(height: int = 12, width: int = 16, channels: int = 3) -> npt.NDArray[np.uint8]:
    return DRAW.integers(0, 256, (height, width, channels)).astype(np.uint8)


def opened(where: Path | str, **options: Any) -> PairSource:
    return data.open_source(part(str(where), **options), False)


def unit(pixels: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1


# --- values


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_values_come_back_exactly(bits: int, channels: int) -> None:
    where = Side(channels, bits=bits)
    values = DRAW.integers(0, 2**bits, (9, 7, channels)).astype(np.uint8 if bits == 8 else np.uint16)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    rows = to_unit(values, where)
    assert (float(rows.min()), float(rows.max())) == (-1, 1)
    np.testing.assert_array_equal(from_unit(rows, where), values)
    assert Side.from_dict(where.to_dict()) == where


def test_labels_are_one_hot_and_keep_their_codes() -> None:
    where = Side(3, "labels", ((0, 0, 255), (255, 0, 0), (255, 255, 0)))
    codes = np.array(where.classes, np.uint8)
    chosen = DRAW.integers(0, 3, (5, 6))
    rows = to_unit(codes[chosen], where)
    assert rows.shape == (3, 5, 6)
    torch.testing.assert_close(rows.sum(0), torch.ones(5, 6))
    np.testing.assert_array_equal(rows.argmax(0).numpy(), chosen)
    np.testing.assert_array_equal(from_unit(rows + 0.1 * torch.randn(3, 5, 6), where), codes[chosen])
    np.testing.assert_array_equal(
        from_unit(to_displayable(rows[None], where)[0], Side(3)), codes[chosen]
    )  # their own colours
    with pytest.raises(UserError, match=r"\(1, 2, 3\), which is not one of the 3 classes"):
        to_unit(np.full((2, 2, 3), (1, 2, 3), np.uint8), where)


def test_colours_of_many_classes_differ() -> None:
    palette = class_colours(Side(12, "labels", tuple((k,) for k in range(12))))
    assert float(torch.cdist(palette, palette).add(torch.eye(12) * 9).min()) > 0.1


# --- two folders


def test_pairs_by_name_in_two_folders(tmp_path: Path) -> None:
    a = [save(tmp_path / "A" / f"{i}.png", noise(channels=1)) for i in (2, 10, 1)]
    b = [save(tmp_path / "B" / f"{i}.png", noise()) for i in (2, 10, 1)]
    source = opened(tmp_path, heldout=0)
    info = source.info()
    assert (source.paired, source.num_rows, size_of(info), info.payload["directions"]) == (True, 3, (12, 16), 1)
    assert (info.payload["input"]["channels"], info.payload["target"]["channels"]) == (1, 3)
    rows = source.batch(torch.tensor([0, 1, 2]))  # natural order: 1, 2, 10
    assert rows.condition is not None
    for row, (given, wanted) in enumerate(zip((a[2], a[0], a[1]), (b[2], b[0], b[1]), strict=True)):
        torch.testing.assert_close(rows.condition[row], unit(given))
        torch.testing.assert_close(rows.data[row], unit(wanted))
    assert recognise(str(tmp_path)).name == "translation"
    swapped = opened(tmp_path, heldout=0, swap=True).batch(torch.tensor([1]))
    torch.testing.assert_close(swapped.data[0], unit(a[0]))


def test_12_bits_in_files_of_16_are_told(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "A" / f"{i}.png", noise())
        save(tmp_path / "B" / f"{i}.png", noise(channels=1).astype(np.uint16) * 16)
    assert [note for note in opened(tmp_path).notes if "black" in note] == [
        "The brightest pixel is 4080 of 65535, so the targets are nearly black; scale their values and save them again if this "
        "is not intended."
    ]


def _drawing(kind: str) -> npt.NDArray[np.uint8]:
    """A disk, black on white."""
    y, x = np.mgrid[:24, :24] - DRAW.uniform(10, 13)
    ink = np.hypot(y, x) - 7
    share = np.clip(np.round(ink * 4) / 4 + 0.5, 0, 1) if kind == "smooth" else (ink > 0).astype(float)
    values = (share * 255).astype(np.uint8)
    return np.repeat(values[..., None], 3, 2) if kind == "colour" else values


@pytest.mark.parametrize("kind", ["hard", "smooth", "colour", "jpg"])
def test_black_and_white_drawings_are_pictures_unless_told(tmp_path: Path, kind: str) -> None:
    for i in range(4):
        save(tmp_path / "A" / f"{i}.{'jpg' if kind == 'jpg' else 'png'}", _drawing(kind))
        save(tmp_path / "B" / f"{i}.png", noise(24, 24))
    source = opened(tmp_path, heldout=0)
    info = source.info()
    assert info.payload["input"]["kind"] == "image"
    if kind in ("hard", "colour"):
        payload = opened(tmp_path, heldout=0, labels="input").info().payload
        assert (payload["input"]["kind"], payload["input"]["channels"]) == ("labels", 2)


def test_label_maps_that_look_a_little_like_drawings_stay_label_maps(tmp_path: Path) -> None:
    """0 and 255 are classes there, too: 255 stands for the unknown in well-known data."""
    for i in range(4):
        values = np.zeros((24, 24), np.uint8)
        values[4:12], values[12:20], values[20:] = 7, 11, 255
        save(tmp_path / "A" / f"{i}.png", values)
        save(tmp_path / "B" / f"{i}.png", noise(24, 24))
    source = opened(tmp_path, heldout=0)
    assert source.info().payload["input"]["kind"] == "labels"
    assert (
        "Inputs with 4 distinct values are read as label maps; use data.labels=none to read them as images."
        in source.notes
    )


def test_what_lies_beside_the_sides_is_told(tmp_path: Path) -> None:
    for name in ("trainA", "trainB", "valA", "valB", "moreA"):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", noise())
    (tmp_path / "trainA" / "4.heic").write_bytes(b"heic")
    source = opened(tmp_path)
    assert (source.num_heldout, len(source.train[0])) == (3, 3)
    assert "1 picture(s) of kinds that are not read: 1 .heic. Convert them to PNG." in source.notes
    assert "Skipped next to trainA, trainB, valA, valB: moreA." in source.notes
    for name in ("train", "valid", "extra"):
        for i in range(2):
            save(tmp_path / "whole" / name / f"{i}.png", noise(8, 16))
    source = opened(tmp_path / "whole", side_by_side=True)
    assert (len(source.train[0]), source.num_heldout) == (2, 2)
    assert any(
        "2 image(s) are in no part of the split and are left out: extra/0.png, extra/1.png." in n for n in source.notes
    )


def test_a_folder_of_pairs_side_by_side_gets_a_hint_among_images(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "all" / f"{i}.png", noise(16, 32))
    assert any("--set data.side_by_side=true" in note for note in open_source(str(tmp_path / "all")).notes)
    save(tmp_path / "all" / "9.png", noise(16, 16))
    assert not any("side_by_side" in note for note in open_source(str(tmp_path / "all")).notes)


def test_heaps_without_pairs_meet_anew_in_every_row(tmp_path: Path) -> None:
    for i in range(5):
        save(tmp_path / "trainA" / f"a{i}.png", np.full((8, 8, 3), 10 * i, np.uint8))
    for i in range(3):
        save(tmp_path / "trainB" / f"b{i}.png", np.full((8, 8, 3), 100 + 10 * i, np.uint8))
        save(tmp_path / "testA" / f"t{i}.png", np.full((8, 8, 3), 200, np.uint8))
        save(tmp_path / "testB" / f"t{i}.png", np.full((8, 8, 3), 201, np.uint8))
    source = opened(tmp_path, labels="none")
    assert not source.paired
    assert source.info().payload["directions"] == 2
    assert recognise(str(tmp_path)).name == "translation"
    whole = source.batch(torch.arange(source.num_rows))
    assert whole.condition is not None
    a, b = ((side[:, 0, 0, 0] + 1) * 127.5 for side in (whole.condition, whole.data))
    met = {(round(float(x)), round(float(y))) for x, y in zip(a, b, strict=True)}
    assert met == {(10 * i, 100 + 10 * j) for i in range(5) for j in range(3)}
    assert torch.bincount((a / 10).round().long()).unique().numel() == 1  # every input equally often
    again = opened(tmp_path, labels="none").batch(torch.arange(source.num_rows))
    assert torch.equal(again.data, whole.data)
    held = source.heldout_batch(torch.tensor([0, 2]))
    assert held.condition is not None
    assert (source.num_heldout, int((held.condition[0, 0, 0, 0] + 1) * 127.5)) == (3, 200)
    assert int((held.data[0, 0, 0, 0] + 1) * 127.5) == 201


def test_same_names_in_train_folders_are_pairs_unless_told(tmp_path: Path) -> None:
    for folder in ("trainA", "trainB"):
        for i in range(4):
            save(tmp_path / folder / f"{i}.png", noise())
    assert opened(tmp_path).paired
    assert not opened(tmp_path, paired=False).paired


@pytest.mark.parametrize(
    ("a", "b", "options", "words"),
    [
        (["1", "2"], ["1", "3"], {}, r"Only in A/: 2\. Only in B/: 3\."),
        (["1", "2"], [], {}, "no sides to translate|no images in this folder"),
        (["1"], ["1"], {"crop": 40}, r"data\.crop = 40x40 .* larger than an image of 12x16"),
        (["1"], ["1"], {"size": 7}, "size must be at least 8 pixels, got 7"),
        (["1"], ["1"], {"heldout": 1.0}, "heldout must lie in"),
        (["1"], ["1"], {"make": "sketch"}, "make"),
        (["1"], ["1"], {"colour": 1}, "no option 'colour'"),
        (["1"], ["1"], {"make": "grey", "side_by_side": True}, "cannot be combined"),
        (["1", "2"], ["1", "2"], {"labels": "input"}, "not label maps"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, a: list[str], b: list[str], options: dict[str, Any], words: str
) -> None:
    for folder, names in (("A", a), ("B", b)):
        (tmp_path / folder).mkdir()
        for name in names:
            save(tmp_path / folder / f"{name}.png", noise())
    with pytest.raises(UserError, match=words):
        opened(tmp_path, **options)


def test_unequal_sizes_and_names_are_told(tmp_path: Path) -> None:
    save(tmp_path / "A" / "one.png", noise(12, 16))
    save(tmp_path / "B" / "one.png", noise(12, 20))
    with pytest.raises(UserError, match=r"one\.png 16x12 and one\.png 20x12"):
        opened(tmp_path)
    assert opened(tmp_path, size=[8, 8]).size == (8, 8)
    for i in range(9):
        save(tmp_path / "A" / f"more{i}.png", noise())
    with pytest.raises(UserError, match=r"more0, more1, .* and 3 more"):
        opened(tmp_path)
    save(tmp_path / "other" / "trainA" / "x.png", noise())
    (tmp_path / "other" / "trainB").mkdir()
    with pytest.raises(UserError, match=r"trainB: no images"):
        opened(tmp_path / "other")
    with pytest.raises(UserError, match="no such folder"):
        opened(tmp_path / "nowhere")
    (tmp_path / "A" / "one.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"one\.png: not an image"):
        opened(tmp_path, paired=False)


def test_classes_named_a_and_b_stay_images(tmp_path: Path) -> None:
    for folder in ("A", "B"):
        for i in range(3):
            save(tmp_path / folder / f"{folder}{i}.png", noise(8, 8))
    assert recognise(str(tmp_path)).name == "images"


# --- depth, channels, labels


def test_sixteen_bits_and_many_channels(tmp_path: Path) -> None:
    deep = DRAW.integers(0, 65536, (8, 8)).astype(np.uint16)
    many = DRAW.integers(0, 65536, (8, 8, 5)).astype(np.uint16)
    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    Image.fromarray(deep).save(tmp_path / "A" / "1.tif")
    Image.fromarray((deep >> 8).astype(np.uint8)).save(tmp_path / "A" / "2.png")
    for i in (1, 2):
        np.save(tmp_path / "B" / f"{i}.npy", many)
    source = opened(tmp_path, heldout=0)
    info = source.info()
    assert (info.payload["input"]["bits"], info.payload["target"]["channels"], info.payload["target"]["bits"]) == (
        16,
        5,
        16,
    )
    rows = source.batch(torch.tensor([0, 1]))
    assert rows.condition is not None
    np.testing.assert_array_equal(from_unit(rows.condition[0], Side(1, bits=16))[..., 0], deep)
    np.testing.assert_array_equal(from_unit(rows.condition[1], Side(1, bits=16))[..., 0], (deep >> 8) * 257)
    np.testing.assert_array_equal(from_unit(rows.data[0], Side(5, bits=16)), many)


@pytest.mark.parametrize("how", ["palette", "numbers", "colours"])
def test_label_maps_are_found(tmp_path: Path, how: str) -> None:
    palette = np.array([(9, 9, 9), (250, 0, 0), (0, 0, 250)], np.uint8)
    chosen = [DRAW.integers(0, 3, (8, 8)).astype(np.uint8) for _ in range(3)]
    for i, one in enumerate(chosen):
        save(tmp_path / "B" / f"{i}.png", noise(8, 8))
        if how == "palette":
            image = Image.fromarray(one, "P")
            image.putpalette(palette.reshape(-1).tolist())
            image.save(tmp_path / "A.png")
            (tmp_path / "A").mkdir(exist_ok=True)
            (tmp_path / "A.png").rename(tmp_path / "A" / f"{i}.png")
        else:
            save(tmp_path / "A" / f"{i}.png", one * 50 if how == "numbers" else palette[one])
    source = opened(tmp_path, heldout=0)
    info = source.info()
    assert (info.payload["input"]["kind"], info.payload["input"]["channels"]) == ("labels", 3)
    rows = source.batch(torch.tensor([1]))
    assert rows.condition is not None
    codes = np.array(info.payload["input"]["classes"])
    expected = {"palette": chosen[1][..., None], "numbers": chosen[1][..., None] * 50, "colours": palette[chosen[1]]}[
        how
    ]
    np.testing.assert_array_equal(codes[rows.condition[0].argmax(0).numpy()], expected)
    assert opened(tmp_path, heldout=0, labels="none").info().payload["input"]["kind"] == "image"
    photo = opened(tmp_path, heldout=0, swap=True).info().payload
    assert photo["input"]["kind"] == "image"  # noise has too many values for a map


# --- one file a pair, computed inputs, pieces


def test_label_maps_are_resized_to_the_nearest_value(tmp_path: Path) -> None:
    codes = np.repeat(np.repeat(DRAW.integers(0, 3, (6, 8, 1)), 4, 0), 4, 1).astype(np.uint8)
    for name in ("1", "2"):
        save(tmp_path / "A" / f"{name}.png", codes)
        save(tmp_path / "B" / f"{name}.png", noise(24, 32))
    source = opened(tmp_path, heldout=0, labels="input", size=(12, 16))
    classes = {int(code[0]): index for index, code in enumerate(source.train[0].side.classes)}
    expected = np.vectorize(classes.get)(codes[::2, ::2, 0])
    np.testing.assert_array_equal(source.train[0].images[0][0].numpy(), expected)


def test_side_by_side_halves(tmp_path: Path) -> None:
    both = [save(tmp_path / f"{i}.png", noise(10, 24)) for i in range(3)]
    rows = opened(tmp_path, side_by_side=True, heldout=0).batch(torch.tensor([2]))
    assert rows.condition is not None
    torch.testing.assert_close(rows.condition[0], unit(both[2][:, :12]))
    torch.testing.assert_close(rows.data[0], unit(both[2][:, 12:]))
    swapped = opened(tmp_path, side_by_side=True, swap=True, heldout=0).batch(torch.tensor([2]))
    torch.testing.assert_close(swapped.data, rows.condition)
    save(tmp_path / "odd.png", noise(10, 23))
    with pytest.raises(UserError, match=r"odd\.png: 23 pixels wide"):
        opened(tmp_path, side_by_side=True)


@pytest.mark.parametrize(("make", "channels"), [("grey", 1), ("edges", 1), ("blocks", 3)])
def test_inputs_computed_from_photographs(tmp_path: Path, make: str, channels: int) -> None:
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    flat[:, 8:] = (0, 0, 255)
    save(tmp_path / "train" / "1.png", flat)
    save(tmp_path / "test" / "2.png", flat)
    source = opened(tmp_path, make=make)
    rows = source.batch(torch.tensor([0]))
    assert rows.condition is not None
    torch.testing.assert_close(rows.data[0], unit(flat))
    given = from_unit(rows.condition[0], Side(channels))
    assert given.shape == (16, 16, channels)
    assert source.num_heldout == 1
    if make == "grey":
        assert given[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    if make == "edges":
        assert (given[:, 7:9] < 100).all()
        assert (given[:, :6] == 255).all()
    if make == "blocks":
        np.testing.assert_array_equal(given, flat)  # squares of 8 pixels, so their means are the colours


def test_pieces_depend_on_the_row_alone_and_pairs_stay_aligned(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :50].astype(np.uint8)
    for i in range(3):
        place = np.stack([y * 5, x * 5, np.full_like(x, 80 * i)], 2)
        save(tmp_path / "A" / f"{i}.png", place)
        save(tmp_path / "B" / f"{i}.png", 255 - place)
    source = opened(tmp_path, crop=8, flip=True, heldout=0)
    assert source.num_rows >= 3 * 16
    rows = source.batch(torch.tensor([5, 400, 5, 77]))
    assert rows.condition is not None
    torch.testing.assert_close(rows.data, -rows.condition, atol=1e-6, rtol=0)
    assert torch.equal(rows.data[0], rows.data[2])
    assert not torch.equal(rows.data[0], rows.data[1])
    assert torch.equal(source.batch(torch.tensor([77])).data[0], rows.data[3])  # whatever rows come beside it
    corners = {tuple(row[:2, 0, 0].tolist()) for row in source.batch(torch.arange(300)).data}
    assert len(corners) > 200


def test_the_split_is_by_content_and_keeps_pairs_together(tmp_path: Path) -> None:
    for i in range(60):
        pixels = save(tmp_path / "A" / f"{i}.png", noise(8, 8))
        save(tmp_path / "B" / f"{i}.png", 255 - pixels)
    source = opened(tmp_path, heldout=0.3)
    assert 5 < source.num_heldout < 35
    assert source.num_heldout + len(source.train[0]) == 60
    held = source.heldout_batch(torch.arange(source.num_heldout))
    assert held.condition is not None
    torch.testing.assert_close(held.data, -held.condition, atol=1e-6, rtol=0)


# --- named sources


def test_textures_are_pieces_of_their_photographs() -> None:
    pytest.importorskip("skimage")
    from zerosum.domains.translation.builtin_sources import photographs

    source = opened("textures", num=40, heldout=20, size=32)
    rows = source.heldout_batch(torch.arange(20))
    assert rows.condition is not None
    assert rows.condition.shape == (20, 3, 32, 32)
    assert (rows.condition.flatten(2).sum(2) > 0).sum(1).min() >= 2  # never one texture alone
    photos = photographs()
    right = photos[:, :, 192:].round() / 127.5 - 1
    for kind in range(3):  # every held-out pixel lies in the right quarter, row for row
        mask = rows.condition[0, kind] > 0
        if not mask.any():
            continue
        pieces = right[kind].unfold(0, 32, 1).unfold(1, 32, 1)
        far = ((pieces - rows.data[0, 0]).abs() * mask).sum((2, 3))
        assert float(far.min()) < 1e-3
        left = photos[kind, :, :192].round().div(127.5).sub(1).unfold(0, 32, 1).unfold(1, 32, 1)
        assert float(((left - rows.data[0, 0]).abs() * mask).sum((2, 3)).min()) > 1


def test_digits_are_outlines_and_styles() -> None:
    pairs = opened("digit-outlines")
    rows = pairs.batch(torch.tensor([0]))
    assert rows.condition is not None
    ink, line = (rows.data[0] + 1) / 2, (rows.condition[0] + 1) / 2
    wide = torch.nn.functional.max_pool2d(ink, 3, 1, 1)
    torch.testing.assert_close(line, wide + torch.nn.functional.max_pool2d(-ink, 3, 1, 1), atol=0.01, rtol=0)
    styles = opened("digit-styles")
    assert (styles.paired, styles.info().payload["input"]["channels"]) == (False, 3)
    other = styles.batch(torch.arange(64))
    assert other.condition is not None
    assert float(other.condition.mean()) < -0.5 < 0.5 < float(other.data.mean())  # black paper, light paper


def test_two_photographs_are_rows_of_pieces() -> None:
    source = opened("two-photos", size=100, crop=32)
    assert (source.num_heldout, source.size, source.train[0].sizes) == (0, (32, 32), {(100, 150)})
    assert source.examples().data.shape == (16, 3, 32, 32)


def test_rows_that_show_no_input_twice(tmp_path: Path) -> None:
    """Without pairs an input meets many targets; as many rows are measured as there are inputs, not as there are meetings."""
    draw = np.random.default_rng(0)
    for name, num in (("trainA", 12), ("trainB", 9)):
        (tmp_path / name).mkdir()
        for place in range(num):
            image = Image.fromarray(draw.integers(0, 256, (32, 32), dtype=np.uint8))
            image.save(tmp_path / name / f"{name}{place}.png")
    source = opened(str(tmp_path))
    assert source.num_rows > 100
    assert source.num_distinct == 12
    inputs = source.batch(torch.arange(13)).condition
    assert inputs is not None
    assert [len({image.numpy().tobytes() for image in inputs[:num]}) for num in (12, 13)] == [12, 12]
    assert opened(str(tmp_path), crop=16).num_distinct == opened(str(tmp_path), crop=16).num_rows
