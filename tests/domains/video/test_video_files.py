"""Folders, zips and files of videos: clips do not cross cuts, held-out frames are no training frames, odd files are told."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_making import save, square
from PIL import Image

from zerosum import catalog
from zerosum.domains.video import data, loading
from zerosum.errors import UserError
from zerosum.recipe import part


def opened(path: Path, **options: Any) -> data.ClipSource:
    return data.open_source(part(str(path), **({"frames": 4} | options)), False)


def test_a_folder_with_classes_in_every_form(tmp_path: Path) -> None:
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        for index, ending in enumerate((".gif", ".mp4", ".mkv")):
            save(tmp_path / name / f"{index}{ending}", square(12, start=index, colour=colour))
    assert catalog.recognise(str(tmp_path)).name == "video"
    source = opened(tmp_path, heldout=0)
    assert source.info().class_names == ("blue", "red")
    batch = source.batch(torch.arange(source.num_rows))
    reddish = batch.data[:, :, 0].amax((1, 2, 3)) > batch.data[:, :, 2].amax((1, 2, 3))
    assert batch.condition is not None
    assert torch.equal(reddish.long(), batch.condition)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in tmp_path.glob("*/*.gif"):
            archive.write(path, path.relative_to(tmp_path))
    assert opened(tmp_path / "all.zip", heldout=0).info().class_names == ("blue", "red")


def test_frames_in_a_folder_are_a_video(tmp_path: Path) -> None:
    frames = square(12)
    for index, frame in enumerate(frames):
        (tmp_path / "walk").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "walk" / f"{index}.png")  # 10 comes after 9
    source = opened(tmp_path / "walk", heldout=0, stride=1)
    assert any("no rate" in note for note in source.notes)
    first = (source.batch(torch.tensor([0])).data + 1) * 127.5
    np.testing.assert_allclose(first[0, :, 0].numpy(), frames[:4, ..., 0], atol=0.51)


def test_no_clip_crosses_a_cut(tmp_path: Path) -> None:
    other = 255 - square(12)
    save(tmp_path / "a.mkv", np.concatenate([square(12), other]))
    source = opened(tmp_path / "a.mkv", heldout=0, stride=1)
    assert any("1 change(s) of scene" in note for note in source.notes)
    brightness = source.batch(torch.arange(source.num_rows)).data.mean((2, 3, 4))
    assert float((brightness.amax(1) - brightness.amin(1)).max()) < 0.5
    ignoring = opened(tmp_path / "a.mkv", heldout=0, stride=1, cuts=False)
    assert ignoring.num_rows == source.num_rows + 3


def test_motion_alone_is_no_cut() -> None:
    assert loading.scenes(square(30)) == [(0, 30)]


def test_held_out_frames_are_no_training_frames(tmp_path: Path) -> None:
    save(tmp_path / "one" / "a.mkv", square(60))
    source = opened(tmp_path / "one", heldout=0.2, stride=1)
    train = {int(start) + step for start in source.training for step in range(4)}
    held = {int(start) + step for start in source.held for step in range(4)}
    assert held
    assert not train & held
    for index in range(6):
        save(tmp_path / "six" / f"{index}.mkv", square(20, start=index))
    source = opened(tmp_path / "six", heldout=0.3)
    assert any("2 of 6 videos are held out as a whole" in note for note in source.notes)


def test_rates_are_made_equal_by_time(tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / f"slow{index}.mkv", square(12), 10.0)
    save(tmp_path / "fast.mkv", np.repeat(square(12), 3, 0), 30.0)
    source = opened(tmp_path, heldout=0, stride=1)
    assert source.rate == 10
    assert source.num_rows == 27
    assert any("Rates of the videos: 10 (2), 30 (1)" in note for note in source.notes)


def test_odd_files_are_told(tmp_path: Path) -> None:
    save(tmp_path / "good.mkv", square(20))
    save(tmp_path / "short.mkv", square(3))
    save(tmp_path / "one.mkv", square(1))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("x")
    notes = " ".join(opened(tmp_path).notes)
    for said in (
        "have fewer than 4 frames",
        "short.mkv",
        "have one frame",
        "are empty",
        "cannot be read",
        "text.mp4",
        ".txt",
    ):
        assert said in notes, said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frames": 2}, "frames"),
        ({"frames": 50}, "no video is long enough for a clip of 50 frames"),
        ({"fps": 0.001}, "fps"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"heldout": 1.0}, "heldout"),
        ({"size": 4}, "size"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    save(tmp_path / "a.gif", square(20))
    with pytest.raises((UserError, ValueError), match=said):
        opened(tmp_path / "a.gif", **options)


def test_memory_is_bounded_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.gif", square(40))
    monkeypatch.setattr(loading, "MOST_BYTES", 20 * 16 * 16 * 3)
    source = opened(tmp_path / "a.gif", heldout=0)
    assert len(source.array) == 20 - 4 + 1
    assert any("longer than the memory allows" in note for note in source.notes)


@pytest.mark.parametrize("channels", [0, 1])
def test_decoded_frames_are_in_memory_once(channels: int, tmp_path: Path) -> None:
    frames = np.repeat(square(120, 64, 64, colour=(250, 40, 90)), 8, 0)
    for index in range(2):
        save(tmp_path / f"{index}.mkv", frames)
    opened(tmp_path / "0.mkv")  # what is loaded with the first video is not counted
    tracemalloc.start()
    try:
        source = opened(tmp_path, channels=channels, cuts=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kept = 2 * frames.nbytes
    assert len(source.array) == 2 * len(frames) - 3
    assert peak < 1.35 * kept, peak / kept


def test_grey_takes_the_place_of_colours_exactly(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (150, 16, 16, 3), dtype=np.uint8)
    save(tmp_path / "a.mkv", frames)
    source = opened(tmp_path / "a.mkv", channels=1, cuts=False, heldout=0)
    made = np.stack([np.asarray(Image.fromarray(frame).convert("L")) for frame in frames])
    np.testing.assert_array_equal(source.array[:, 0, 0], made[:-3])


def test_a_folder_of_videos_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2")
    assert catalog.recognise(str(tmp_path)).name == "video"
    with pytest.raises(UserError, match="Convert them with ffmpeg"):
        opened(tmp_path)
