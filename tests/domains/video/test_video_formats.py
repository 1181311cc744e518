"""What went into a video file comes out of it: frames, size, rate."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clip_making import save, square
from PIL import Image

from zerosum.domains.video import formats
from zerosum.domains.video.formats import Shown
from zerosum.errors import UserError


def decoded(path: Path) -> tuple[formats.About, np.ndarray]:
    with path.open("rb") as file, formats.opened(file, path.name, path.suffix) as reader:
        return reader.about, np.stack([np.asarray(frame.image) for frame in reader.frames()])


@pytest.mark.parametrize("rate", [10.0, 25.0, 23.976])
@pytest.mark.parametrize("size", [(16, 16), (17, 15), (16, 33)])
@pytest.mark.parametrize("ending", formats.WRITTEN)
def test_every_codec_keeps_frames_sizes_and_rates(
    ending: str, size: tuple[int, int], rate: float, tmp_path: Path
) -> None:
    frames = square(9, *size)
    about, found = decoded(save(tmp_path / f"a{ending}", frames, rate))
    assert found.shape == frames.shape
    assert (about.height, about.width, about.num_frames) == (*size, 9)
    if ending in (".mp4", ".mkv", ".webm"):
        assert about.rate == pytest.approx(rate, rel=2e-3)
    else:  # whole milliseconds or hundredths of a second
        assert about.rate == pytest.approx(rate, rel=0.08)
    if ending in formats.LOSSLESS:
        np.testing.assert_array_equal(found, frames)
    else:
        assert np.abs(found.astype(int) - frames).mean() < 4


@pytest.mark.parametrize("ending", [*formats.LOSSLESS, ".gif"])
def test_grey_is_kept_exactly(ending: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 11, 13), dtype=np.uint8)
    _, found = decoded(save(tmp_path / f"a{ending}", frames))
    np.testing.assert_array_equal(found, np.repeat(frames[..., None], 3, 3))


def test_times_count_and_not_the_number_of_frames() -> None:
    pictures = [Image.new("L", (2, 2), value) for value in (10, 20, 30)]
    frames = [Shown(0.0, 0.1, pictures[0]), Shown(0.1, 0.5, pictures[1]), Shown(0.5, 0.6, pictures[2])]
    shown = [image.getpixel((0, 0)) for image in formats.resampled(frames, 10, 10)]
    assert shown == [10, 20, 20, 20, 20, 30]
    shown = [image.getpixel((0, 0)) for image in formats.resampled(frames, 5, 10)]
    assert shown == [10, 20, 20]


def test_a_variable_rate_is_found(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in square(4)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 400, 100, 100], loop=0
    )
    about, _ = decoded(tmp_path / "a.gif")
    assert about.variable
    assert not decoded(save(tmp_path / "b.gif", square(4)))[0].variable


def encoded(frames: np.ndarray, aspect: int = 1) -> bytearray:
    """An .mp4 of frames (F, H, W, 3), whose pixels are so many times as wide as high."""
    body = io.BytesIO()
    with av.open(body, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.sample_aspect_ratio = "yuv420p", Fraction(aspect)
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return bytearray(body.getvalue())


def turned(video: bytearray, degrees: int) -> bytearray:
    """The .mp4 with the mark that it is to be shown turned clockwise: the display matrix in its tkhd box (ISO/IEC 14496-12)."""
    a, b = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    box = video.index(b"tkhd")
    assert video[box + 4] == 0  # the version in which times have 4 bytes
    place = box + 4 + 4 + 20 + 16  # the name, version and flags, times and numbers, layer and volume
    struct.pack_into(">9i", video, place, a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    return video


def kept(video: bytearray, folder: Path) -> Path:
    (folder / "a.mp4").write_bytes(video)
    return folder / "a.mp4"


@pytest.mark.parametrize("aspect", [1, 2])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_rotation_mark_is_applied(degrees: int, aspect: int, tmp_path: Path) -> None:
    """Also where pixels are not square: the mark turns the picture as it is shown."""
    frames = square(4, 16, 32)
    frames[:, :6, :6] = (250, 90, 20)  # one corner tells all four ways of turning apart
    _, plain = decoded(kept(encoded(frames, aspect), tmp_path))
    about, found = decoded(kept(turned(encoded(frames, aspect), degrees), tmp_path))
    assert plain.shape == (4, 16, 32 * aspect, 3)
    assert np.abs(plain[:, :, ::aspect].astype(int) - frames).mean() < 8
    expected = np.rot90(plain, -degrees // 90, (1, 2))
    assert about.rotation == -degrees % 360  # counter-clockwise
    assert (about.height, about.width) == expected.shape[1:3]
    np.testing.assert_array_equal(found, expected)


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    video = encoded(square(4, 16, 32), 2)
    about, found = decoded(kept(video, tmp_path))
    assert (about.aspect, about.width, found.shape[1:3]) == (2.0, 64, (16, 64))
    # The aspect of the container wins over that of the stream, as in FFmpeg and other players.
    struct.pack_into(">2I", video, video.index(b"pasp") + 4, 3, 2)
    about, found = decoded(kept(video, tmp_path))
    assert (about.aspect, about.width, found.shape[1:3]) == (1.5, 48, (16, 48))


@pytest.mark.parametrize("ending", formats.READ)
def test_what_is_no_video_is_refused(ending: str, tmp_path: Path) -> None:
    for content in (b"", b"nothing at all" * 40):
        (tmp_path / f"a{ending}").write_bytes(content)
        with pytest.raises(UserError, match="a"):
            decoded(tmp_path / f"a{ending}")


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
    with pytest.raises(UserError, match="has no pictures, only audio"):
        decoded(tmp_path / "a.mkv")


def test_the_beginning_of_a_damaged_file_is_read(tmp_path: Path) -> None:
    whole = formats.encode(iter(square(40, 64, 64)), ".mkv", 10)
    with formats.opened(io.BytesIO(whole[: len(whole) // 2]), "a.mkv", ".mkv") as reader:
        assert len(list(reader.frames())) > 5


def test_rates_that_a_format_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 10 ms"):
        formats.check_rate(".gif", 200)
    assert "hundredths" in formats.check_rate(".gif", 24)
    assert formats.check_rate(".gif", 25) == ""
    assert formats.check_rate(".mp4", 240) == ""
