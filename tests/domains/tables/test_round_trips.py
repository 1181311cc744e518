"""What goes in comes out: tables are read, understood and written again in every format, and compared with what was there."""

from __future__ import annotations

import csv
import gzip
import resource
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from table_making import source_of

from zerosum.domains.tables import data, writing
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.reading import frames
from zerosum.errors import UserError

NUM = 120
WORDS = {
    "utf-8": ["Zürich", "東京; 1", 'say "x"', "two\nlines"],
    "latin-1": ["Zürich", "Genève, CH", 'say "x"', "two\nlines"],
    "cp1250": ["Łódź", "Świętochłowice", "a,b;c", "d"],
    "cp1251": ["Москва", "Казань; 1", "a,b", "d"],
    "gbk": ["上海", "北京，市", "a,b;c", '"x"'],
    "big5": ["臺北市", "高雄", "a,b;c", "d"],
    "euc_kr": ["서울", "부산", "a,b;c", "d"],
    "shift_jis": ["東京", "おおさか", "a,b;c", "d"],
    "utf-16": ["Zürich", "東京", "a,b;c", "d"],
}


def rows_of(encoding: str, comma: bool) -> list[list[str]]:
    draw = np.random.default_rng(0)
    words = WORDS.get(encoding, WORDS["utf-8"])
    rows = []
    for place in range(NUM):
        price = f"{draw.uniform(0, 3000):,.2f}"
        rows.append(
            [
                words[place % 4],
                price.translate({44: ".", 46: ","}) if comma else price,
                f"{draw.uniform(0, 1):.3f}".replace(".", "," if comma else "."),
                "" if place % 9 == 0 else str(draw.integers(0, 500)),
                f"{1 + place % 28:02d}.{1 + place % 12:02d}.2020",
                f"2021-03-28T0{place % 3}:{place % 60:02d}:00+0{place % 2 + 1}:00",
                f"{draw.integers(0, 40):03d}",
                f"-${draw.integers(1, 9)}.50" if place % 3 else f"${draw.integers(1, 9)}.25",
            ]
        )
    return rows


HEADER = ["Ort", "Preis", "Anteil", "n", "Tag", "Zeit", "Code", "Geld"]


def written_again(source: TableSource, path: Path) -> Path:
    return writing.write_table(source.train, path, source.info())[0]


def cells_in(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode(encoding)
    return list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter))


@pytest.mark.parametrize("encoding", [*WORDS, "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_text_files_come_back_in_every_encoding_and_with_every_mark(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    comma = delimiter in ";\t"
    quoting = csv.QUOTE_ALL if delimiter == "|" else csv.QUOTE_MINIMAL
    path = tmp_path / "a.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        out = csv.writer(file, delimiter=delimiter, lineterminator="\r\n" if comma else "\n", quoting=quoting)
        out.writerows([HEADER, *rows_of(encoding, comma)])
    options = {} if encoding.startswith("utf") else {"encoding": encoding}
    source = source_of(path, heldout=0.0, **options)
    back = written_again(source, tmp_path / "b.csv")
    assert cells_in(back, encoding, delimiter) == cells_in(path, encoding, delimiter)
    if quoting == csv.QUOTE_MINIMAL:
        assert back.read_bytes() == path.read_bytes()
    data.read_rows([back], source.info())


@pytest.mark.parametrize("name", ["a.tsv", "a.csv.gz", "a.tsv.gz", "a.txt"])
def test_other_endings(tmp_path: Path, name: str) -> None:
    mark = "," if name.startswith("a.csv") else "\t"
    path, back = tmp_path / name, tmp_path / name.replace("a.", "b.").replace("txt", "tsv")
    with gzip.open(path, "wt", newline="") if name.endswith(".gz") else path.open("w", newline="") as file:
        csv.writer(file, delimiter=mark, lineterminator="\n").writerows([HEADER, *rows_of("utf-8", False)])
    assert cells_in(written_again(source_of(path, heldout=0.0), back), "utf-8", mark) == cells_in(path, "utf-8", mark)


def test_files_without_names_of_columns_come_back_without(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(f"{n % 40},{n * 7 % 50}.5,{'ab'[n % 2]}" for n in range(NUM)) + "\n")
    with pytest.raises(UserError, match=r"looks like a row.*--set data.header=true.*--set data.header=false"):
        source_of(path)
    source = source_of(path, heldout=0.0, header=False)
    assert [column.name for column in source.train.columns] == ["c1", "c2", "c3"]
    back = written_again(source, tmp_path / "b.csv")
    assert back.read_text() == path.read_text()
    assert len(data.read_rows([back], source.info())) == NUM


def test_years_can_name_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    years = ",".join(map(str, range(2010, 2018)))
    path.write_text(
        f"region,{years}\n"
        + "".join(f"{'ab'[n % 2]}{',' + str(n * 7 % 50)}" * 1 + f",{n}" * 7 + "\n" for n in range(NUM))
    )
    with pytest.raises(UserError, match="looks like a row"):
        source_of(path)
    source = source_of(path, heldout=0.0, header=True, types={str(year): "integer" for year in range(2010, 2018)})
    assert written_again(source, tmp_path / "b.csv").read_text() == path.read_text()
    data.read_rows([path], source.info())


# --- typed tables


def typed() -> Any:
    """A DataFrame with a column of every type that is read."""
    pandas = pytest.importorskip("pandas")
    import datetime

    draw = np.random.default_rng(0)
    some = draw.random(NUM) < 0.2

    def gaps(values: list[Any]) -> list[Any]:
        return [None if gap else value for value, gap in zip(values, some)]

    whole = draw.integers(0, 60, NUM)
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(n)) for n in whole]
    times = [datetime.time(int(n) % 24, int(n), 0, int(n) * 1000 % 7 * 1000) for n in whole]
    cents = [Decimal(int(n)).scaleb(-2) for n in draw.integers(0, 10**6, NUM)]
    stamps = pandas.to_datetime("2020-01-01") + pandas.to_timedelta(draw.integers(0, 10**6, NUM), unit="s")
    return pandas.DataFrame(
        {
            "int64": draw.integers(0, 500, NUM),
            "int8": draw.integers(0, 100, NUM).astype(np.int8),
            "uint16": draw.integers(0, 500, NUM).astype(np.uint16),
            "ns": 1_612_345_678_901_234_567 + draw.integers(0, 10**12, NUM),
            "Int64": pandas.array(gaps(whole.tolist()), dtype="Int64"),
            "float64": draw.normal(size=NUM),
            "gaps": np.where(some, np.nan, draw.normal(size=NUM)),
            "float32": draw.normal(size=NUM).astype(np.float32),
            "bool": draw.random(NUM) < 0.5,
            "bool or none": pandas.Series(gaps((whole < 30).tolist()), dtype=object),
            "boolean": pandas.array(gaps((whole < 30).tolist()), dtype="boolean"),
            "text": [["Bern", "Oslo", "Rome"][n % 3] for n in whole],
            "text or none": gaps([["Bern", "Oslo", "Rome"][n % 3] for n in whole]),
            "string": pandas.array(gaps([["a", "b"][n % 2] for n in whole]), dtype="string"),
            "category": pandas.Categorical(draw.choice(["b", "a"], NUM), categories=["b", "never", "a"]),
            "grade": pandas.Categorical(
                draw.choice(["low", "high"], NUM), categories=["low", "mid", "high"], ordered=True
            ),
            "decimal": gaps(cents),
            "date": gaps(days),
            "time": times,
            "bytes": [[b"ab", b"cd"][n % 2] for n in whole],
            "duration": pandas.to_timedelta(draw.integers(0, 10**5, NUM) * 250, unit="ms").astype("timedelta64[ms]"),
            "wait": pandas.Series(pandas.to_timedelta(gaps((whole * 60).tolist()), unit="s")).astype("timedelta64[ns]"),
            "stamp": stamps,
            "zoned": stamps.tz_localize("Europe/Oslo", nonexistent="shift_forward", ambiguous="NaT").fillna(
                pandas.Timestamp("2020-01-01", tz="Europe/Oslo")
            ),
            "period": pandas.PeriodIndex([f"20{n % 20:02d}-{1 + n % 12:02d}" for n in whole], freq="M"),
            "arrow int": pandas.array(gaps(whole.tolist()), dtype="int64[pyarrow]"),
            "arrow double": pandas.array(gaps((whole / 7).tolist()), dtype="double[pyarrow]"),
            "arrow text": pandas.array(gaps([["a", "b"][n % 2] for n in whole]), dtype="string[pyarrow]"),
        }
    )  # fmt: skip


def test_typed_tables_come_back_with_their_types_and_values(tmp_path: Path) -> None:
    frame = typed()
    from pandas.testing import assert_frame_equal
    from pyarrow import parquet

    frame.to_parquet(tmp_path / "a.parquet")
    source = source_of(tmp_path / "a.parquet", heldout=0.0)
    assert not [column.name for column in source.train.columns if column.left_out]
    back = written_again(source, tmp_path / "b.parquet")
    for name in frame.columns:
        one, two = (parquet.read_table(path, columns=[name]).to_pandas() for path in (tmp_path / "a.parquet", back))
        assert_frame_equal(one, two)
    assert parquet.read_schema(back).remove_metadata() == parquet.read_schema(tmp_path / "a.parquet").remove_metadata()
    data.read_rows([back], source.info())


def test_rows_that_are_made_have_the_types_of_the_table(tmp_path: Path) -> None:
    frame = typed()
    from pyarrow import parquet

    frame.to_parquet(tmp_path / "a.parquet")
    source = source_of(tmp_path / "a.parquet")
    made = [source.transform.decode(source.batch(torch.arange(part, 2000, 7)).data, part) for part in range(3)]
    for name in ("b.parquet", "b.csv"):
        with writing.open_writer(tmp_path / name, source.train.columns, source.style) as file:
            for part in made:
                file.add(part)
    schema = parquet.read_schema(tmp_path / "b.parquet")
    assert schema.remove_metadata() == parquet.read_schema(tmp_path / "a.parquet").remove_metadata()
    assert parquet.read_metadata(tmp_path / "b.parquet").num_rows == sum(map(len, made))
    assert writing.to_frame(made[0]).dtypes.equals(frame.dtypes)
    source_of(tmp_path / "b.csv")


def test_categories_of_numbers_and_days_come_back_in_their_order(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from pandas.testing import assert_frame_equal

    draw = np.random.default_rng(0)
    days = pandas.to_datetime(["2021-05-01", "2020-01-01", "2022-01-01"])
    frame = pandas.DataFrame(
        {
            "size": pandas.Categorical(draw.choice([5, 1], NUM), categories=[5, 3, 1], ordered=True),
            "day": pandas.Categorical(days[draw.integers(0, 2, NUM)], categories=days),
            "x": draw.normal(size=NUM),
        }
    )
    frames.save_frame(frame, tmp_path / "a.parquet")
    assert_frame_equal(writing.to_frame(source_of(tmp_path / "a.parquet", heldout=0.0).train), frame)
    frame.to_parquet(tmp_path / "b.parquet")  # which forgets what was never used
    made = writing.to_frame(source_of(tmp_path / "b.parquet", heldout=0.0).train)
    assert made["size"].dtype == pandas.CategoricalDtype([1, 5])


def test_whole_numbers_name_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(NUM, 3)), columns=[2010, 2011, 2012])
    frame.to_parquet(tmp_path / "a.parquet")
    source = source_of(tmp_path / "a.parquet", heldout=0.0, drop=["2011"])
    back = pandas.read_parquet(written_again(source, tmp_path / "b.parquet"))
    assert (back.columns.tolist(), str(back.columns.dtype)) == ([2010, 2012], "int64")
    with writing.open_writer(tmp_path / "c.parquet", source.train.columns, source.style) as file:
        file.add(source.train)
        file.add(source.train)
    assert pandas.read_parquet(tmp_path / "c.parquet").equals(pandas.concat([back, back], ignore_index=True))
    for names in ([1, "a", 2], [("a", 1), ("b", 2), ("c", 3)], [True, False, 2]):
        with pytest.raises(UserError, match="The names must be either all texts or all integers"):
            frames.from_frame(frame.set_axis(names, axis=1))


def test_types_that_are_not_read_are_refused_by_name_and_can_be_dropped(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    odd = {
        "list": [[1, 2]] * NUM,
        "struct": [{"a": 1}] * NUM,
        "bytes": [b"\xff\xfe"] * NUM,
        "complex": np.ones(NUM, dtype=complex),
        "interval": pandas.interval_range(0, NUM),
        "sparse": pandas.arrays.SparseArray(np.zeros(NUM)),
    }
    frame = pandas.DataFrame({"x": np.random.default_rng(0).normal(size=NUM), "y": range(NUM)})
    for name, values in odd.items():
        with pytest.raises(UserError, match=rf"the DataFrame: column '{name}' .*Leave it out with data.drop"):
            frames.from_frame(frame.assign(**{name: values}))
    frame.assign(list=odd["list"], bytes=odd["bytes"]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="column 'list' holds ndarray objects"):
        source_of(tmp_path / "a.parquet")
    source = source_of(tmp_path / "a.parquet", drop=["list", "bytes"])
    assert [column.name for column in source.train.columns] == ["x", "y"]


@pytest.mark.parametrize("name", ["made.csv", "made.csv.gz", "made.parquet"])
def test_a_full_disk_ends_in_one_message_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    given = tmp_path / "given.csv"
    given.write_text("\n".join(["x", *(str(place * 37 % 1009 / 8) for place in range(9000))]))
    source = source_of(given)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(UserError, match=rf"Cannot write .*{name}: .*[Ff]ile too large"):
            written_again(source, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [given]
