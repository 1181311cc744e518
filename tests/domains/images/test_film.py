"""Moving pictures have the frames, the pace and the pixels that were asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.data.images import film as films
from zerosum.data.images.film import save_film
from zerosum.domains.images.data import to_unit
from zerosum.errors import UserError


def frames(num: int, channels: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (num, channels, height, width), generator=rng, dtype=torch.uint8)
    return pixels, to_unit(pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_apng_keeps_every_frame_and_pixel(tmp_path: Path, channels: int) -> None:
    pixels, unit = frames(7, channels, 200, 100)
    save_film(unit, tmp_path / "walk.apng", 20)
    with Image.open(tmp_path / "walk.apng") as shown:
        assert shown.n_frames == 7
        for index in range(7):
            shown.seek(index)
            assert shown.info["duration"] == 50
            found = np.asarray(shown.convert("L" if channels == 1 else "RGB"))
            np.testing.assert_array_equal(found, pixels[index].permute(1, 2, 0).squeeze(-1).numpy())


def test_gif_loops_and_is_enlarged_by_a_whole_factor(tmp_path: Path) -> None:
    pixels, unit = frames(5, 1, 32, 28)
    save_film(unit, tmp_path / "walk.gif", 10)
    with Image.open(tmp_path / "walk.gif") as shown:
        assert (shown.n_frames, shown.size, shown.info["loop"]) == (5, (28 * 8, 32 * 8), 0)
        shown.seek(3)
        assert shown.info["duration"] == 100
        np.testing.assert_array_equal(np.asarray(shown.convert("L"))[4::8, 4::8], pixels[3, 0].numpy())


def test_mp4_has_the_frames_and_the_pace(tmp_path: Path) -> None:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg is not installed")
    save_film(frames(9, 3, 129, 131)[1], tmp_path / "walk.mp4", 12.5)
    asked = "stream=nb_read_frames,r_frame_rate,width,height,pix_fmt"
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_entries", asked, "-of", "json", str(tmp_path / "walk.mp4")],
        capture_output=True,
        check=True,
    )
    stream = json.loads(probe.stdout)["streams"][0]
    # 129 x 131 is enlarged to 258 x 262, which is even already.
    assert (stream["width"], stream["height"], stream["pix_fmt"]) == (262, 258, "yuv420p")
    assert (stream["nb_read_frames"], stream["r_frame_rate"]) == ("9", "25/2")


def test_odd_sizes_are_padded_for_mp4(tmp_path: Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    save_film(frames(2, 1, 401, 301)[1], tmp_path / "walk.mp4", 10)
    assert (tmp_path / "walk.mp4").stat().st_size > 1000


def test_without_ffmpeg_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"ffmpeg, which is not installed.*\.apng or \.gif"):
        save_film(frames(2, 1, 8, 8)[1], tmp_path / "walk.mp4", 10)


def test_other_endings_and_paces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write moving pictures as \.avi"):
        save_film(frames(2, 1, 8, 8)[1], tmp_path / "walk.avi", 10)
    with pytest.raises(UserError, match="--fps"):
        save_film(frames(2, 1, 8, 8)[1], tmp_path / "walk.gif", 0)
