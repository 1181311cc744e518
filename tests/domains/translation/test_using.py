"""Whole pictures through a generator: size, depth, transparency, names, the other direction, the dose; what cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import infos
from zerosum.data.images.lossless_io import read
from zerosum.data.opening import distinct_names
from zerosum.domain import DatasetInfo, SampleRequest
from zerosum.domains.translation import inference, preview
from zerosum.domains.translation.inference import sample
from zerosum.domains.translation.networks.capabilities import ReversibleGenerator
from zerosum.domains.translation.sides import Side
from zerosum.domains.translation.writing import write
from zerosum.engine.game import Batch
from zerosum.engine.seeds import Prior
from zerosum.errors import UserError


class Negative(ReversibleGenerator):
    """Turns light and dark around at each place; the way back does nothing but dim."""

    reach, multiple = 0, 1

    def __init__(self, channels: int = 0) -> None:
        super().__init__()
        self.weight, self.channels = nn.Parameter(-torch.ones(1)), channels

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        assert len(noise) == len(condition)
        made: Tensor = self.weight * condition
        return made.mean(1, keepdim=True).expand(-1, self.channels, -1, -1) if self.channels else made

    def reverse(self, noise: Tensor, target: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        return target / 2


@dataclass
class Hand:
    """A generator at hand."""

    network: nn.Module
    info: DatasetInfo
    examples: Batch | None = None
    prior: Prior = field(default_factory=lambda: Prior(2))
    device: torch.device = torch.device("cpu")

    def noise(self, num: int, seed: int = 0) -> Tensor:
        return torch.zeros(num, 2)

    def conditions(self, num: int, seed: int) -> Tensor | None:
        return None

    def make(self, noise: Tensor, condition: Tensor | None, batch: int = 512) -> Tensor:
        raise AssertionError("pieces are told where they lie, which only the network itself can hear")


def hand(given: Side = Side(3), target: Side = Side(3), network: nn.Module | None = None, **more: Any) -> Hand:
    return Hand(network or Negative(), infos.of_pairs(given, target, directions=2, **more))


def run(maker: Hand, out: Path, *inputs: Path, **more: Any) -> list[Path]:
    made = sample(maker, maker.info, SampleRequest(None, 0, out, {"input": inputs, **more}))
    assert made is not None
    assert made.num == len(made.paths)
    return list(made.paths)


def saved(path: Path, channels: int, bits: int = 8, size: tuple[int, int] = (21, 34), alpha: bool = False) -> Any:
    rng = np.random.default_rng(0)
    kind = np.uint8 if bits == 8 else np.uint16
    values = rng.integers(0, 2**bits, (*size, channels)).astype(kind)
    cover = rng.integers(0, 2**bits, size).astype(kind) if alpha else None
    write(path, values, cover)
    return values, cover


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_bit_and_the_transparency(channels: int, alpha: bool, bits: int, tmp_path: Path) -> None:
    values, cover = saved(tmp_path / "a.png", channels, bits, alpha=alpha)
    (path,) = run(hand(Side(channels), Side(channels)), tmp_path / "b.png", tmp_path / "a.png")
    found = read(path)
    assert found.values.dtype == values.dtype
    np.testing.assert_array_equal(found.values, 2**bits - 1 - values)
    assert (found.alpha is None) == (not alpha)
    if alpha:
        assert found.alpha is not None
        np.testing.assert_array_equal(found.alpha, cover)


def test_larger_than_a_tile(tmp_path: Path) -> None:
    values, _ = saved(tmp_path / "a.png", 3, size=(40, 1300))
    (path,) = run(hand(), tmp_path / "b.png", tmp_path / "a.png")
    np.testing.assert_array_equal(read(path).values, 255 - values)


def test_folders_keep_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("x.png", "x.bmp", "y.jpg"):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (10, 20, 30)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"\x89PNG no picture")
    maker = hand()
    made = sample(maker, maker.info, SampleRequest(None, 0, tmp_path / "out", options={"input": (folder,)}))
    assert made is not None
    assert [path.name for path in made.paths] == ["x.bmp", "x-2.png", "y.jpg"]
    assert [note for note in made.notes if note.startswith("Left out") and "broken.png" in note]
    assert read(tmp_path / "out" / "x-2.png").values[0, 0].tolist() == [245, 235, 225]


def test_the_default_sheet_name_becomes_a_folder_for_several_files(tmp_path: Path) -> None:
    for name in ("x.png", "y.png"):
        saved(tmp_path / name, 3)
    paths = run(hand(), tmp_path / "samples.png", tmp_path / "x.png", tmp_path / "y.png")
    assert paths == [tmp_path / "samples" / "x.png", tmp_path / "samples" / "y.png"]


def test_label_maps(tmp_path: Path) -> None:
    """One-hot channels reach the network: class k is painted as -k by taking channel numbers as weights."""

    class Paint(Negative):
        def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
            assert bool((condition.sum(1) == 1).all())
            return (condition * torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1)).sum(1, keepdim=True)

    labels = Side(3, "labels", ((0,), (7,), (200,)))
    numbers = np.array([[0, 7, 200] * 7] * 5, np.uint8)[..., None]
    write(tmp_path / "a.png", numbers)
    (path,) = run(hand(labels, Side(1), Paint()), tmp_path / "b.png", tmp_path / "a.png")
    np.testing.assert_array_equal(read(path).values, np.array([[0, 128, 255] * 7] * 5)[..., None])
    write(tmp_path / "strange.png", numbers + 1)
    with pytest.raises(UserError, match=r"strange\.png: a label map holds the value 1, which is not one of the 3"):
        run(hand(labels, Side(1), Paint()), tmp_path / "b.png", tmp_path / "strange.png")
    saved(tmp_path / "photo.png", 3)
    with pytest.raises(UserError, match="one number per pixel"):
        run(hand(labels, Side(1), Paint()), tmp_path / "b.png", tmp_path / "photo.png")


def test_images_to_label_maps_are_written_as_codes(tmp_path: Path) -> None:
    class Threshold(Negative):
        def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
            return torch.cat([-condition, condition], 1)

    values, _ = saved(tmp_path / "a.png", 1)
    classes = Side(2, "labels", ((3,), (9,)))
    (path,) = run(hand(Side(1), classes, Threshold()), tmp_path / "b.png", tmp_path / "a.png")
    np.testing.assert_array_equal(read(path).values, np.where(values > 127, 9, 3))


def test_grey_in_colour_files_and_the_other_way(tmp_path: Path) -> None:
    grey, _ = saved(tmp_path / "grey.png", 1)
    write(tmp_path / "same.png", np.repeat(grey, 3, 2))
    one = hand(Side(1), Side(1))
    (path,) = run(one, tmp_path / "b.png", tmp_path / "same.png")
    np.testing.assert_array_equal(read(path).values, 255 - grey)
    (path,) = run(hand(Side(3), Side(3)), tmp_path / "c.png", tmp_path / "grey.png")
    np.testing.assert_array_equal(read(path).values, np.repeat(255 - grey, 3, 2))
    saved(tmp_path / "colour.png", 3)
    with pytest.raises(UserError, match=r"colour\.png: 3 channels, but this generator was trained on grey"):
        run(one, tmp_path / "b.png", tmp_path / "colour.png")


def test_inputs_are_made_as_in_training(tmp_path: Path) -> None:
    """A generator trained on the brightness of photographs takes a photograph: the brightness is computed."""
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    image.save(tmp_path / "a.png")
    (path,) = run(hand(Side(1), Side(3), Negative(3), make="grey"), tmp_path / "b.png", tmp_path / "a.png")
    bright = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    np.testing.assert_allclose(read(path).values, 255 - bright, atol=1)


def test_the_other_direction(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.full((20, 20, 3), 255, np.uint8))
    (path,) = run(hand(), tmp_path / "b.png", tmp_path / "a.png", reverse=True)
    np.testing.assert_array_equal(read(path).values, np.full((20, 20, 3), 191))  # (0.5 + 1) * 127.5


def test_without_files_the_examples_are_shown(tmp_path: Path) -> None:
    maker = hand()
    maker.examples = Batch(torch.zeros(5, 3, 16, 16), torch.ones(5, 3, 16, 16))
    (sheet,) = run_all(maker, tmp_path / "sheet.png", 5)
    colours = set(map(tuple, np.asarray(Image.open(sheet)).reshape(-1, 3).tolist()))
    assert {(255, 255, 255), (0, 0, 0), (128, 128, 128)} <= colours  # input, output, target
    paths = run_all(maker, tmp_path / "files", 5)
    assert [path.name for path in paths] == [f"{k:05d}.png" for k in range(5)]
    np.testing.assert_array_equal(read(paths[0]).values, np.zeros((16, 16, 3)))


def run_all(maker: Hand, out: Path, num: int) -> list[Path]:
    made = sample(maker, maker.info, SampleRequest(None, 0, out))
    assert made is not None
    assert made.num == num
    return list(made.paths)


def refused(words: str, maker: Hand, out: Path, *inputs: Path, **more: Any) -> None:
    with pytest.raises(UserError, match=words):
        sample(maker, maker.info, SampleRequest(more.pop("num", None), 0, out, {"input": inputs, **more}))


def test_what_cannot_be(tmp_path: Path) -> None:
    out, maker = tmp_path / "b.png", hand()
    saved(tmp_path / "a.png", 3)
    there = tmp_path / "a.png"
    refused("no such file or folder", maker, out, tmp_path / "missing.png")
    (tmp_path / "empty").mkdir()
    refused("no images in this folder", maker, out, tmp_path / "empty")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    refused(r"broken\.jpg: not an image", maker, out, tmp_path / "broken.jpg")
    refused("would be overwritten", maker, there, there)
    refused("--num applies to the stored examples", maker, out, there, num=3)
    refused(r"--strength must lie in \[0, 1\]", maker, out, there, strength=1.5)
    refused("a fixed strength", maker, out, there, strength=0.5)
    refused("No examples are stored with", maker, out)
    one_way = hand(network=nn.Conv2d(3, 3, 1))
    refused("one direction only", one_way, out, there, reverse=True)
    undeclared = nn.Conv2d(3, 3, 1)
    undeclared.reverse = undeclared.at = lambda *given: undeclared  # type: ignore[assignment]
    refused("one direction only", hand(network=undeclared), out, there, reverse=True)
    refused("a fixed strength", hand(network=undeclared), out, there, strength=0.5)
    maker.examples = Batch(torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16))
    refused("--keep-metadata copies the metadata of files", maker, out, keep_metadata=True)
    refused("a sheet is", maker, tmp_path / "b.npz")


def test_no_file_is_overwritten_that_was_not_named(tmp_path: Path) -> None:
    """A picture with transparency asked for as .jpg is written as .png."""
    Image.fromarray(np.full((8, 8, 4), 200, np.uint8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    before = (tmp_path / "x.png").read_bytes()
    refused(r"x\.png would be overwritten \(the output for x\.jpg", hand(), tmp_path / "x.jpg", tmp_path / "a.png")
    assert (tmp_path / "x.png").read_bytes() == before
    assert run(hand(), tmp_path / "y.jpg", tmp_path / "a.png") == [tmp_path / "y.png"]
    assert run(hand(), tmp_path / "x.png", tmp_path / "a.png") == [tmp_path / "x.png"]


def test_16_bits_into_a_generator_of_8_are_told(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.heic").write_bytes(b"heic")
    Image.fromarray(np.full((8, 8), 65535, np.uint16)).save(tmp_path / "in" / "b.png")
    maker = hand(Side(1), Side(1))
    one = sample(
        maker, maker.info, SampleRequest(None, 0, tmp_path / "o.png", options={"input": (tmp_path / "a.png",)})
    )
    many = sample(maker, maker.info, SampleRequest(None, 0, tmp_path / "out", options={"input": (tmp_path / "in",)}))
    assert one is not None
    assert many is not None
    assert (
        "Inputs with 16 bits are converted to the 8 bits of the training data; the output is written with 16 bits."
        in one.notes
    )
    assert any("brightest pixel is 4095 of 65535" in note for note in one.notes)
    assert any("1 .heic" in note for note in many.notes)
    assert not any("brightest" in note for note in many.notes)


def test_metadata_are_kept_where_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a hill", 6
    Image.new("RGB", (30, 20), (10, 20, 30)).save(tmp_path / "a.jpg", exif=exif)
    for keep in (True, False):
        (path,) = run(hand(), tmp_path / f"{keep}.jpg", tmp_path / "a.jpg", keep_metadata=keep)
        with Image.open(path) as image:
            assert image.size == (20, 30)  # upright
            assert (image.getexif().get(0x010E) == "a hill") is keep
            assert image.getexif().get(0x0112, 1) == 1


def test_translations_are_written_at_the_size_that_is_asked_for(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", 3, bits=16, alpha=True)
    (path,) = run(hand(), tmp_path / "b.png", tmp_path / "a.png", size="17")
    image = read(path)
    assert image.values.shape == (10, 17, 3)  # of 21 x 34
    assert image.values.dtype == np.uint16
    assert image.alpha is not None
    assert image.alpha.shape == (10, 17)
    labels = Side(3, "labels", ((0,), (100,), (200,)))
    maker = hand(target=labels, network=Negative(3))
    saved(tmp_path / "c.png", 3)
    (path,) = run(maker, tmp_path / "d.png", tmp_path / "c.png", size="30x31")
    assert read(path).values.shape == (30, 31, 1)
    assert set(np.unique(read(path).values)) <= {0, 100, 200}
    maker = hand()
    maker.examples = Batch(torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16))
    sheet = [SampleRequest(None, 0, tmp_path / "sheet.png", options={"size": size}) for size in ("50", "70")]
    sizes = []
    for wanted in sheet:
        sample(maker, maker.info, wanted)
        with Image.open(wanted.out) as picture:
            sizes.append(picture.size)
    assert sizes[1][0] - sizes[0][0] == 3 * 20
    assert sizes[1][1] - sizes[0][1] == 2 * 20
    with pytest.raises(UserError, match="one picture of 300,000 samples"):
        sample(maker, maker.info, SampleRequest(100_000, 0, tmp_path / "sheet.png"))


def test_a_sheet_of_examples_that_cannot_be_written_whole_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        Path(arguments[4]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preview, "write_triples", full)
    maker = hand()
    maker.examples = Batch(torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16))
    with pytest.raises(UserError, match=r"sheet\.png: No space left on device"):
        sample(maker, maker.info, SampleRequest(None, 0, tmp_path / "sheet.png"))
    assert list(tmp_path.iterdir()) == []


def test_no_two_inputs_have_one_output(tmp_path: Path) -> None:
    """A number that is added to a name may be that of another input."""
    names = ["a", "a", "a-2", "A"]
    assert distinct_names(names, [".png"] * 4) == ["a.png", "a-2.png", "a-2-2.png", "A-3.png"]
    assert distinct_names(["a", "a"], [".wav", ".flac"]) == ["a.wav", "a.flac"]
    paths = inference._output_paths([Path("x/a.png"), Path("y/a.jpg"), Path("z/a-2.png")], tmp_path)
    assert [path.name for path in paths] == ["a.png", "a-2.jpg", "a-2-2.png"]
