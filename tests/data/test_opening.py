"""Regular files alone are read, up to stated sizes; what a parser raises becomes a UserError."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest

from zerosum.data import numpy_files, opening
from zerosum.errors import UserError


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name, kind in (("pipe", "a pipe"), ("endless", "a device"), (".", "a folder")):
        for read in (opening.open_regular, opening.read_bytes, opening.check_regular):
            with pytest.raises(UserError, match=f"{kind}, not a regular file"):
                read(tmp_path / name)
        assert not opening.is_regular(tmp_path / name)
    assert opening.read_bytes(tmp_path / "link") == b"abc"
    assert opening.is_regular(tmp_path / "link")
    assert not opening.is_regular(Path("a\0b"))
    with pytest.raises(OSError, match="No such file"):
        opening.read_bytes(tmp_path / "nowhere")
    assert opening.expand_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_sizes_are_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2049))
    assert len(opening.read_bytes(tmp_path / "file", 2049)) == 2049
    with pytest.raises(UserError, match=r"holds 2\.0 KiB, more than the 2\.0 KiB that are read"):
        opening.read_bytes(tmp_path / "file", 2048)
    packed = gzip.compress(bytes(10**6))
    text = io.TextIOWrapper(opening.limit_size(gzip.GzipFile(fileobj=io.BytesIO(packed)), 10**6, "a.gz"))
    assert len(text.read()) == 10**6
    with pytest.raises(UserError, match=r"a\.gz holds more than the 976\.6 KiB that are read"):
        opening.limit_size(gzip.GzipFile(fileobj=io.BytesIO(packed)), 10**6 - 1, "a.gz").read()


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), MemoryError(), OverflowError("big")])
def test_what_a_parser_raises_is_told(error: Exception) -> None:
    with (
        pytest.raises(UserError, match=r"a\.bin: not a thing, or truncated or damaged"),
        opening.decoding("a.bin", "a thing"),
    ):
        raise error
    with pytest.raises(UserError, match=r"^as it was$"), opening.decoding("a.bin", "a thing"):
        raise UserError("as it was")


def test_unused_arrays_are_not_unpacked_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 MB of zeros in a file of 4 KB: neither unpacked where another array is meant, nor read by name."""
    np.savez_compressed(tmp_path / "a.npz", small=np.arange(6), bomb=np.zeros(4 * 10**6, np.uint8))
    unpacked = []
    read = np.lib.format.read_array
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: unpacked.append(1) or read(*a, **k))
    with numpy_files.open_arrays(tmp_path / "a.npz") as arrays:
        assert arrays.read("small").tolist() == [0, 1, 2, 3, 4, 5]
        assert arrays["bomb"].shape == (4 * 10**6,)
        assert len(arrays.read("bomb")) == 4 * 10**6  # below a size that matters, any ratio may be
        monkeypatch.setattr(numpy_files, "RATIO_MATTERS_BYTES", 2**20)
        with pytest.raises(UserError, match=r"unpacks 3\.\d KiB to 3\.8 MiB, more than 200 times as much"):
            arrays.read("bomb")
        monkeypatch.setattr(numpy_files, "MAX_BYTES", 2**20)
        with pytest.raises(UserError, match=r"takes 3\.8 MiB unpacked, more than the 1\.0 MiB that are read"):
            arrays.read("bomb")
    assert len(unpacked) == 2


def test_a_header_that_claims_to_be_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + bytes(100))
    with pytest.raises(UserError, match="a header of 2147483648 bytes"):
        numpy_files.read_headers(tmp_path / "a.npy")
