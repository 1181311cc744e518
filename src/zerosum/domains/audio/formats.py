"""One recording as bytes: decoding and encoding. WAV is read and written here, every other format by soundfile (libsndfile).

scipy.io.wavfile is not used for WAV: it neither states how many bits a sample has nor writes 24, and it refuses files that are
cut off. Waves are (C, T) float32; the greatest whole number of a format is a little less than 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from zerosum.data.opening import decoding
from zerosum.errors import UserError

Wave = NDArray[np.float32]

SAME = {".wave": ".wav", ".aif": ".aiff", ".aifc": ".aiff", ".oga": ".ogg"}
"""Endings that mean the same as others."""
SUBTYPES: Mapping[str, tuple[str, ...]] = {
    ".wav": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    ".flac": ("PCM_S8", "PCM_16", "PCM_24"),
    ".aiff": ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    ".ogg": ("VORBIS", "OPUS"),
    ".opus": ("OPUS",),
    ".mp3": ("MPEG_LAYER_III",),
}
"""Ending -> the sample formats that are written, by libsndfile's names."""
ENDINGS = (*SUBTYPES, *SAME)
"""Of the files that are read."""
UNREAD = (
    ".m4a",
    ".aac",
    ".mp4",
    ".m4b",
    ".wma",
    ".amr",
    ".ape",
    ".wv",
    ".mka",
    ".webm",
    ".ra",
    ".dsf",
    ".caf",
    ".au",
    ".ac3",
)
"""Endings of recordings that are not read."""
CONVERT = "Convert them to .wav or .flac: ffmpeg -i in.m4a out.wav"
BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 25, "DOUBLE": 54}
"""Bits of a sample; of floats those of the mantissa and the sign. Formats that are not listed decode to floats."""
DEPTH_OF_FLOAT = 25
RATES = {
    "OPUS": (8_000, 12_000, 16_000, 24_000, 48_000),
    "MPEG_LAYER_III": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
}
"""Sample formats that have one of these rates only."""
MOST_CHANNELS = {".mp3": 2, ".flac": 8}
FORMATS = {".flac": "FLAC", ".aiff": "AIFF", ".ogg": "OGG", ".opus": "OGG", ".mp3": "MP3"}
"""libsndfile's name of the container."""
BLOCK = 65_536
"""Frames that are encoded at once: libsndfile's encoder of Vorbis keeps all of a call on the stack; a long one ends Python."""
DAMAGED_BLOCK = 512
"""Frames of a damaged file that are decoded at once: libsndfile gives nothing of a call in which it meets the damage."""
MOST_RATE = 768_000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TO_THE_END = (0, 0xFFFFFFFF)
"""Sizes of the data that programs write which do not know the length in advance."""


@dataclass(frozen=True, eq=False)
class Recording:
    """wave: (C, T) float32. cut: whether the file ends before the length that it states. more: whether the file goes on."""

    wave: Wave
    rate: int
    subtype: str
    cut: bool = False
    more: bool = False


def ending_of(name: str) -> str:
    """The ending of a file name as a key of SUBTYPES, or as it is where the file is no recording."""
    dot = name.rfind(".")
    ending = name[dot:].lower() if dot >= 0 and "/" not in name[dot:] else ""
    return SAME.get(ending, ending)


class MissingExtraError(UserError):
    """A package of the extra `audio` is not installed."""


def require(module: str, use: str) -> Any:
    """The module; MissingExtraError names the extra that installs it. use: what it is needed for."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):  # OSError: soundfile without its library
        raise MissingExtraError(
            f"{use} needs {module}, which is not installed: pip install 'zerosum[audio]'."
        ) from None


# --- decoding


def decode(file: BinaryIO, where: str, most: int) -> Recording:
    """The recording in a file that can be sought. most: samples (of all channels together) that are read.

    UserError says what is wrong with the file. Numbers that are NaN or infinite are left as they are.
    """
    if ending_of(where) == ".wav" and (found := _read_wav(file, where, most)) is not None:
        return found
    soundfile = require("soundfile", f"Reading {where}")
    with decoding(where, "a recording"):
        found = _read_blocks(soundfile, file, most, 2**20)
        return _read_blocks(soundfile, file, most, DAMAGED_BLOCK) if found.cut else found


class _Tolerant(io.RawIOBase):
    """A file that stays where it is when libsndfile seeks before its beginning, as it does in damaged files."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        part = self._file.read(len(room))
        room[: len(part)] = part
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with contextlib.suppress(ValueError, OSError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


def _read_blocks(soundfile: Any, file: BinaryIO, most: int, block: int) -> Recording:
    """What libsndfile decodes of a file, up to the block of frames in which it is damaged."""
    file.seek(0)
    with soundfile.SoundFile(_Tolerant(file)) as opened:
        return _decoded_blocks(opened, most, block)


def _decoded_blocks(opened: Any, most: int, block: int) -> Recording:
    left = frames = max(1, most // opened.channels)
    parts, cut = [np.zeros((0, opened.channels), dtype=np.float32)], False
    while left > 0:
        try:
            part = opened.read(min(left, block), dtype="float32", always_2d=True)
        except Exception:
            cut = True
            break
        if not len(part):
            break
        parts.append(part)
        left -= len(part)
    wave = np.concatenate(parts)
    # The number of frames that the header of an MP3 file states is not exact.
    cut = cut or (len(wave) < min(opened.frames, frames) and opened.format != "MP3")
    more = left <= 0 and opened.frames > frames
    return Recording(np.ascontiguousarray(wave.T), opened.samplerate, opened.subtype, cut, more)


def _read_wav(file: BinaryIO, where: str, most: int) -> Recording | None:
    """A WAV file of whole numbers or floats; None for one in another coding. UserError for one that is damaged."""
    file.seek(0, io.SEEK_END)
    total = file.tell()
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    layout = None
    while len(chunk := file.read(8)) == 8:
        kind, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if kind == b"data" and layout is not None:
            return _read_samples(file, layout, size, total - file.tell(), most)
        if kind == b"fmt ":
            layout = _layout(file.read(min(size, 64)), where)
            if layout is None:
                return None
            size -= min(size, 64)
        file.seek(size + size % 2, io.SEEK_CUR)
    raise UserError(f"{where}: a WAV file without samples, or cut off in its header.")


@dataclass(frozen=True)
class _Layout:
    """floats: whether samples are floats, else whole numbers. width: bytes of a sample."""

    floats: bool
    width: int
    channels: int
    rate: int

    @property
    def subtype(self) -> str:
        if self.floats:
            return "FLOAT" if self.width == 4 else "DOUBLE"
        return "PCM_U8" if self.width == 1 else f"PCM_{8 * self.width}"


def _layout(chunk: bytes, where: str) -> _Layout | None:
    """The layout of samples in a "fmt " chunk; None for another coding than whole numbers and floats."""
    if len(chunk) < 16:
        raise UserError(f"{where}: a WAV file that is cut off in its header.")
    tag, channels, rate, _, align, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack("<H", chunk[24:26])[0]
    if tag not in (_PCM, _FLOAT):
        return None
    width = align // channels if channels else 0
    if not 1 <= channels <= 256 or not 1 <= rate <= MOST_RATE or align % channels or not 0 < bits <= 8 * width:
        raise UserError(f"{where}: a WAV file with a damaged header ({channels} channels, {rate} Hz, {bits} bits).")
    if width not in ((4, 8) if tag == _FLOAT else (1, 2, 3, 4)):
        return None
    return _Layout(tag == _FLOAT, width, channels, rate)


def _read_samples(file: BinaryIO, layout: _Layout, stated: int, there: int, most: int) -> Recording:
    cut = stated > there and stated not in _TO_THE_END
    if stated in _TO_THE_END or cut:
        stated = there
    step = layout.width * layout.channels
    frames = min(stated // step, max(1, most // layout.channels))
    flat = _as_floats(file.read(frames * step), layout)
    wave = np.ascontiguousarray(flat.reshape(-1, layout.channels).T)
    return Recording(wave, layout.rate, layout.subtype, cut, stated // step > frames)


def _as_floats(data: bytes, layout: _Layout) -> Wave:
    if layout.floats:
        with np.errstate(over="ignore"):
            return np.frombuffer(data, dtype=f"<f{layout.width}").astype(np.float32)
    if layout.width == 1:
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128) / np.float32(128)
    if layout.width == 3:
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        return _scaled(wide.view("<i4").reshape(-1), 32)
    return _scaled(np.frombuffer(data, dtype=f"<i{layout.width}"), 8 * layout.width)


def _scaled(numbers: NDArray[Any], bits: int) -> Wave:
    found: Wave = numbers.astype(np.float32) * np.float32(2.0 ** (1 - bits))
    return found


# --- encoding


def choose_subtype(ending: str, wanted: str, source: str) -> str:
    """The sample format to write: the wanted one ("" for the source's), or the one with the fewest bits that holds the source's.

    UserError for a wanted one that files with this ending cannot have.
    """
    known = SUBTYPES[ending]
    if wanted:
        name = wanted.upper().replace("-", "_")
        name = name if name in known or name != "PCM_8" else ("PCM_U8" if ending == ".wav" else "PCM_S8")
        if name not in known:
            raise UserError(f"--subtype {wanted}: the sample format of {ending} files is {' or '.join(known)}.")
        return name
    if source in known or not set(known) & set(BITS):
        return source if source in known else known[0]
    bits = BITS.get(source, 16)
    return next((name for name in known if BITS[name] >= bits), known[-1])


def writable_rate(subtype: str, rate: int) -> int:
    """The rate at which a recording is written: its own, else the next higher one of the sample format, else its highest."""
    rates = RATES.get(subtype, (rate,))
    return min((one for one in rates if one >= rate), default=rates[-1])


def rate_note(subtype: str, rate: int) -> str:
    """The rate at which recordings of another rate are written, in words."""
    return f"written at {writable_rate(subtype, rate):,} Hz: {subtype} has no {rate:,} Hz. .wav and .flac keep the rate"


def refuse_unwritable(ending: str, channels: int) -> None:
    """UserError for a number of channels that such files cannot have."""
    if channels > MOST_CHANNELS.get(ending, channels):
        raise UserError(f"{ending} files have at most {MOST_CHANNELS[ending]} channels, not {channels}. Use .wav.")


def encode(wave: Wave, rate: int, ending: str, subtype: str, source: str) -> bytes:
    """A file of a wave (C, T); values beyond full scale are clipped. source: the sample format of the recordings trained on.

    Whole numbers with fewer bits than the source's are dithered (triangular noise of one step each way). The noise follows from
    the wave alone, so the same wave gives the same file.
    """
    frames = _numbers(wave, subtype, source)
    if ending == ".wav":
        return _wav(frames, rate, subtype)
    soundfile = require("soundfile", f"Writing {ending}")
    if subtype in BITS and frames.dtype.kind == "i":
        frames = frames << (32 - BITS[subtype])  # libsndfile takes the upper bits
    file = io.BytesIO()
    with (
        decoding(ending, "a format that can be written with these settings"),
        soundfile.SoundFile(file, "w", rate, frames.shape[1], subtype, format=FORMATS[ending]) as opened,
    ):
        for start in range(0, len(frames), BLOCK):
            opened.write(frames[start : start + BLOCK])
    return (
        _with_odd_length(file.getvalue(), len(frames)) if subtype == "PCM_S8" and ending == ".aiff" else file.getvalue()
    )


def frames_of(wave: Wave, subtype: str, source: str) -> NDArray[Any]:
    """(T, C): what soundfile writes of a wave (C, T) in a sample format; see `encode`."""
    frames = _numbers(wave, subtype, source)
    return frames << (32 - BITS[subtype]) if frames.dtype.kind == "i" else frames


def _numbers(wave: Wave, subtype: str, source: str) -> NDArray[Any]:
    limited = np.ascontiguousarray(np.clip(np.nan_to_num(wave), -1, 1).T)
    if subtype in ("FLOAT", "DOUBLE"):
        return limited.astype("<f4" if subtype == "FLOAT" else "<f8")
    if bits := BITS.get(subtype):
        return whole_numbers(limited, bits, dithered=bits < BITS.get(source, DEPTH_OF_FLOAT))
    return limited


def _with_odd_length(content: bytes, frames: int) -> bytes:
    """An AIFF file of 8 bits in which libsndfile counted the byte that pads an odd number of them as a sample."""
    length, data = content.index(b"COMM") + 10, content.index(b"SSND") + 4
    channels = struct.unpack(">H", content[length - 2 : length])[0]
    changed = bytearray(content)
    changed[length : length + 4] = struct.pack(">I", frames)
    changed[data : data + 4] = struct.pack(">I", 8 + frames * channels)
    return bytes(changed)


def whole_numbers(values: Wave, bits: int, dithered: bool) -> NDArray[np.int32]:
    """Values in [-1, 1] as whole numbers of so many bits."""
    scaled = values.astype(np.float64) * 2.0 ** (bits - 1)
    if dithered:
        digest = hashlib.sha256(values.tobytes()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        scaled += rng.random(scaled.shape) - rng.random(scaled.shape)
    rounded = np.clip(np.rint(scaled), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return rounded.astype(np.int32)


def _wav(frames: NDArray[Any], rate: int, subtype: str) -> bytes:
    """A WAV file of frames (T, C): floats, or whole numbers of the subtype's bits."""
    channels = frames.shape[1]
    floats = frames.dtype.kind == "f"
    if floats:
        data, width = frames.tobytes(), frames.dtype.itemsize
    else:
        width = BITS[subtype] // 8
        low = (frames + 128 if width == 1 else frames).astype("<i4").view(np.uint8).reshape(*frames.shape, 4)
        data = low[:, :, :width].tobytes()
    step = width * channels
    layout = struct.pack("<HHIIHH", _FLOAT if floats else _PCM, channels, rate, rate * step, step, 8 * width)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout
    if floats:
        chunks += b"fact" + struct.pack("<II", 4, len(frames))
    chunks += b"data" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    if len(chunks) > 0xFFFFFFF0:
        raise UserError("A .wav file holds at most 4 GiB. Write fewer or shorter samples.")
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
