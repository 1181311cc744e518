"""Text files, Parquet files and DataFrames become tables of spellings; what is wrong with a file is said, with its place."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from table_making import HEADER, rows_of, text_of, written

from zerosum.domains.tables import reading
from zerosum.domains.tables.reading import RawTable, frames
from zerosum.domains.tables.reading.text import find_delimiter
from zerosum.errors import UserError


def cells(table: RawTable) -> list[list[str | None]]:
    """The rows as they were."""
    columns = [[column.spellings[code] for code in column.codes.tolist()] for column in table.columns]
    return [list(row) for row in zip(*columns)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_cell_comes_as_it_was_written(tmp_path: Path, delimiter: str) -> None:
    rows = rows_of(60)
    (tmp_path / "a.csv").write_text(text_of(HEADER, rows, delimiter), encoding="utf-8")
    table = reading.read(str(tmp_path / "a.csv"))
    assert table.style.delimiter == delimiter
    assert [column.name for column in table.columns] == HEADER
    assert cells(table) == rows


def test_gzip_byte_order_mark_line_ends_and_blank_lines(tmp_path: Path) -> None:
    text = "﻿a,b\r\n1,x\r\n\r\n2,y\r\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert cells(reading.read(str(tmp_path / "a.csv.gz"))) == [["1", "x"], ["2", "y"]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    """Spreadsheets write "Unicode text" in UTF-16."""
    (tmp_path / "a.csv").write_bytes("town\tn\nZürich\t1\nŁódź\t2\n".encode(encoding))
    table = reading.read(str(tmp_path / "a.csv"))
    assert cells(table) == [["Zürich", "1"], ["Łódź", "2"]]
    assert table.style == reading.TextStyle("\t", True, "\n", encoding.removesuffix("-sig"))
    assert reading.can_open(str(tmp_path / "a.csv"))


def test_utf_16_without_a_mark_is_told_from_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("town,n\nBern,1\nOslo,2\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"looks like UTF-16 text. Use --set data.encoding=utf-16-le"):
        reading.read(str(tmp_path / "a.csv"))
    assert cells(reading.read(str(tmp_path / "a.csv"), encoding="utf-16-le"))[0] == ["Bern", "1"]


@pytest.mark.parametrize("mark", [";", ",", "\t", "~"])
def test_a_first_line_that_declares_the_separating_mark(tmp_path: Path, mark: str) -> None:
    (tmp_path / "a.csv").write_text(f"sep={mark}\r\n" + text_of(["a", "b;c,d"], [["1", "x;y,z"], ["2", "w"]], mark))
    table = reading.read(str(tmp_path / "a.csv"))
    assert [column.name for column in table.columns] == ["a", "b;c,d"]
    assert cells(table) == [["1", "x;y,z"], ["2", "w"]]
    assert table.style.delimiter == mark
    assert reading.can_open(str(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text("sep=;\na;b\n1;2\n1\n")
    with pytest.raises(UserError, match="line 4: 1 cells where"):
        reading.read(str(tmp_path / "a.csv"))


def test_columns_without_name_and_contents_are_dropped_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,, \n1,x,,\n2,y, ,\n")
    table = reading.read(str(tmp_path / "a.csv"))
    assert [column.name for column in table.columns] == ["a", "b"]
    assert table.notes == ("Left out: 2 columns that have neither a name nor contents.",)
    (tmp_path / "a.csv").write_text("a,b,,,\n1,x,5,,\n2,y,,7,\n")
    with pytest.raises(UserError, match=r"columns 3, 4 have contents and no name\. Give each column a name"):
        reading.read(str(tmp_path / "a.csv"))


def test_in_a_table_of_one_column_an_empty_line_is_a_missing_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("town\nBern\n\nOslo\n")
    assert cells(reading.read(str(tmp_path / "a.csv"))) == [["Bern"], [""], ["Oslo"]]


def test_the_mark_that_cuts_all_lines_alike_separates() -> None:
    assert find_delimiter(["a;b;c", "1,5;2,5;x", "2,0;1,0;y"]) == ";"
    assert find_delimiter(["name,said", '"Bern","a; b; c"', '"Oslo","d; e"']) == ","
    assert find_delimiter(["alone", "1", "2"]) == ","
    assert find_delimiter(["anteil", "0,5", "1,25"]) == ";"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n1,2,3\n", r"line 3: 3 cells where the first line names 2 columns"),
        ('a,b\n"1\n2",3\n4\n5,6\n', r"line 4: 1 cells where"),
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,x\n", "one row"),
        ("a,b,a\n1,2,3\n4,5,6\n", r"column name 'a' occurs 2 times"),
        ("39, Male,1.5\n40, Female,2\n39, Male,2\n", "looks like a row"),
    ],
)
def test_a_file_at_fault_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        reading.read(str(tmp_path / "a.csv"))


def test_a_ragged_line_deep_in_a_long_file_is_named(tmp_path: Path) -> None:
    lines = ["a,b", *[f"{i},x" for i in range(25_000)], "1,2,3", *["5,y"] * 10]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"line 25002: 3 cells"):
        reading.read(str(tmp_path / "a.csv"))


def test_undecodable_text_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("town,n\nZürich,1\nBern,2\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"is not utf-8 text: byte 0xfc .*data.encoding=latin-1"):
        reading.read(str(tmp_path / "a.csv"))
    assert cells(reading.read(str(tmp_path / "a.csv"), encoding="latin-1"))[0] == ["Zürich", "1"]
    for encoding, word in (("cp1252", "€5"), ("shift_jis", "東京")):
        (tmp_path / "b.csv").write_bytes(f"town,n\n{word},1\nBern,2\n".encode(encoding))
        with pytest.raises(UserError, match=rf"The word there reads .*'{word}' in {encoding}") as caught:
            reading.read(str(tmp_path / "b.csv"))
        assert "latin-1" not in str(caught.value)
    with pytest.raises(UserError, match="no such encoding"):
        reading.read(str(tmp_path / "a.csv"), encoding="nonsense")


def test_what_a_spreadsheet_saves_with_tabs_is_read_and_its_workbook_is_not(tmp_path: Path) -> None:
    (tmp_path / "sheet.txt").write_text("town\tn\nBern, CH\t3\nOslo\t4\n", encoding="utf-16")
    table = reading.read(str(tmp_path / "sheet.txt"))
    assert [(column.name, column.spellings) for column in table.columns] == [
        ("town", ("Bern, CH", "Oslo")),
        ("n", ("3", "4")),
    ]
    assert table.style.delimiter == "\t"
    (tmp_path / "ansi.txt").write_text("town\tn\nZürich\t3\nOslo\t4\n", encoding="latin-1")
    assert reading.can_open(str(tmp_path / "ansi.txt"))
    assert reading.read(str(tmp_path / "ansi.txt"), encoding="latin-1").columns[0].spellings == ("Zürich", "Oslo")
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    assert reading.looks_like(tmp_path / "book.xlsx")
    with pytest.raises(UserError, match="is a workbook"):
        reading.read(str(tmp_path / "book.xlsx"))


def test_damaged_files_missing_files_and_folders(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n1,x\n2,y\n" * 500)
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.parquet").write_bytes(b"not at all")
    for name in ("a.csv.gz", "b.parquet", "c.csv", "."):
        with pytest.raises(UserError, match=r"cannot be read|not a Parquet file|neither|a folder"):
            reading.read(str(tmp_path / name))


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(frames.importlib, "import_module", refuse)
    (tmp_path / "b.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"needs pandas, which is not installed: pip install 'zerosum\[tables\]'"):
        reading.read(str(tmp_path / "b.parquet"))


def test_parquet_keeps_values_types_and_gaps(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "n": pandas.array([1, None, 3], dtype="Int64"),
            "x": [0.1, float("nan"), 1e-7],
            "t": pandas.to_datetime(["2020-01-01 10:00", None, "2021-05-06 00:00"]),
            "c": pandas.Categorical(["a", "b", "a"]),
            "b": [True, False, True],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    table = reading.read(str(tmp_path / "a.parquet"))
    assert cells(table) == [
        ["1", "0.1", "2020-01-01 10:00:00", "a", "True"],
        [None, None, None, "b", "False"],
        ["3", "1e-07", "2021-05-06 00:00:00", "a", "True"],
    ]
    assert [column.dtype.split("[")[0] for column in table.columns] == [
        "Int64",
        "float64",
        "datetime64",
        "category",
        "bool",
    ]


def test_lists_in_cells_are_refused_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(UserError, match=r"column 'tags' holds list objects"):
        frames.from_frame(pandas.DataFrame({"tags": [[1], [2]]}))


def test_what_is_a_table_and_what_a_list_of_points(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n")
    (tmp_path / "wide.csv").write_text("x,y,z\n1,2,3\n3,4,5\n")
    (tmp_path / "named.csv").write_text("town,n\nBern,3\nOslo,4\n")
    (tmp_path / "notes.txt").write_text("x,y,z\n1,2,3\n")
    (tmp_path / "sheet.txt").write_text("town\tn\nBern\t3\nOslo\t4\n")
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    found = {path.name: reading.can_open(str(path)) for path in sorted(tmp_path.iterdir())}
    assert found == {
        "bare.csv": False, "broken.csv.gz": False, "named.csv": True, "notes.txt": False, "points.csv": False, "sheet.txt": True,
        "wide.csv": True,
    }  # fmt: skip
    assert reading.can_open("wine")
    assert not reading.can_open("no such thing")
    assert not reading.can_open("x" * 5000)


@pytest.mark.parametrize("name", sorted(reading.SOURCES))
def test_bundled_tables_are_what_their_description_says(name: str) -> None:
    from sklearn import datasets

    table, info = reading.read(name), reading.SOURCES[name]
    assert (table.num_rows, len(table.columns), table.columns[-1].name) == (
        info.num_train,
        info.details["num_columns"],
        info.details["target"],
    )
    bunch = {"wine": datasets.load_wine, "breast-cancer": datasets.load_breast_cancer}.get(name, datasets.load_diabetes)
    given = bunch(scaled=False).data if name == "diabetes" else bunch().data
    read = np.array([[float(cell or "nan") for cell in row[:-1]] for row in cells(table)])
    np.testing.assert_allclose(read, given, rtol=1e-11)


def test_a_file_of_everything_can_be_read(tmp_path: Path) -> None:
    assert reading.read(str(written(tmp_path / "a.csv"))).num_rows == 600


def test_advice_on_a_very_long_word_takes_no_time(tmp_path: Path) -> None:
    """64 KiB without a blank: the time grows with the length, not with its square (some 40 s)."""
    (tmp_path / "a.csv").write_bytes(b"name,x\n" + b"a" * 2**16 + b"\xe9,1\n")
    begun = time.process_time()
    with pytest.raises(UserError, match="is not utf-8 text"):
        reading.read(str(tmp_path / "a.csv"))
    assert time.process_time() - begun < 5
