"""Files that are too large, never end, or unpack to much more than they are, and encodings that are only guessed at."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from zerosum.domains.tables import reading
from zerosum.domains.tables.reading import text
from zerosum.errors import UserError


def test_a_packed_table_is_unpacked_up_to_stated_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,c\n" + b"1,x,3\n2,y,4\n" * 100_000, 1))
    assert reading.read(str(path)).num_rows == 200_000
    with pytest.raises(UserError, match=r"holds more than 1.0 MiB of text.*--set data.max_gib=16"):
        reading.read(str(path), most=2**20)
    monkeypatch.setattr(text, "RATIO_MATTERS_BYTES", 2**20)
    monkeypatch.setattr(text, "MAX_RATIO", 100)
    with pytest.raises(UserError, match=r"holds more than 1\.0 MiB of text"):
        reading.read(str(path))
    assert reading.read(str(path), most=2**24).num_rows == 200_000


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv"])
def test_a_line_without_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A first line of 32 MiB, and a later one; both by looking for a table, too."""
    monkeypatch.setattr(text, "LONGEST_LINE", 2**21)
    pack = gzip.compress if name.endswith(".gz") else bytes
    path = tmp_path / name
    for content in (b"a" * 2**25, b"a,b,c\n1,2,x\n" * 100 + b'"' + b"x" * 2**25):
        path.write_bytes(pack(content))
        tracemalloc.start()
        with pytest.raises(UserError, match=r"line is longer than [12]\.0 MiB|field larger than field limit"):
            reading.read(str(path))
        reading.can_open(str(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**24


def test_devices_and_pipes_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("zero.csv", "pipe.csv"):
        assert not reading.can_open(str(tmp_path / name))
        with pytest.raises(UserError, match=r"a (device|pipe), not a regular file\. Copy its contents to a file"):
            reading.read(str(tmp_path / name))


def test_a_parquet_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [1.5] * 400_000, "b": 7}).to_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 2**16
    with pytest.raises(UserError, match=r"takes, unpacked, 6.1 MiB, more than the 1.0 MiB that are read"):
        reading.read(str(tmp_path / "a.parquet"), most=2**20)
    assert reading.read(str(tmp_path / "a.parquet")).num_rows == 400_000


@pytest.mark.parametrize("delimiter", ["", ";;", "\n", '"'])
def test_a_mark_that_cannot_separate_is_refused(tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(UserError, match="the delimiter is a single character"):
        reading.read(str(tmp_path / "a.csv"), delimiter=delimiter)


def test_codecs_that_are_no_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    for encoding in ("hex", "undefined", "rot13", "", "a\0b"):
        with pytest.raises(UserError, match=r"no such encoding|cannot be read as a table"):
            reading.read(str(tmp_path / "a.csv"), encoding=encoding)


TEXTS = {
    "gbk": "城市,数量\n上海市,1\n北京,2\n广州市天河区,3\n",
    "gb18030": "城市,数量\n上海㐀,1\n北京,2\n",
    "big5": "城市,數量\n臺北市,1\n高雄,2\n",
    "euc_kr": "도시,수량\n서울특별시,1\n부산,2\n",
    "shift_jis": "都市,数\n東京,1\nおおさか,2\nカタカナ,3\n",
    "euc_jp": "都市,数\n東京,1\nおおさか,2\nカタカナ,3\n",
    "cp1251": "Город,n\nМосква,1\nСанкт-Петербург,2\n",
    "koi8-r": "Город,n\nМосква,1\nКазань,2\n",
    "cp1253": "πόλη,n\nΑθήνα,1\nΠάτρα,2\n",
    "latin-1": "town,n\nZürich,1\nGenève,2\n",
    "cp1252": "town,n\n€5,1\nx,2\n",
    "cp1250": "town,n\nŁódź,1\nŚwiętochłowice,2\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_of_a_text_is_found_and_advised_first(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(TEXTS[encoding].encode(encoding))
    with pytest.raises(
        UserError, match=rf"Choose the encoding in which it is right: --set data.encoding={encoding}, or"
    ) as caught:
        reading.read(str(tmp_path / "a.csv"))
    word = next(cell for cell in TEXTS[encoding].replace("\n", ",").split(",") if not cell.isascii())
    assert f"{word!r} in {encoding}" in str(caught.value)
    assert reading.read(str(tmp_path / "a.csv"), encoding=encoding).columns[0].name == TEXTS[encoding].split(",")[0]
