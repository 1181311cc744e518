"""Pictures of tables: the numbers behind the bars, and that every kind of column can be drawn."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.domain import PreviewContext, glyphs
from zerosum.domains.tables import baselines, preview
from zerosum.domains.tables.data import TableSource, open_source
from zerosum.domains.tables.preview import MOST_COLUMNS, bars, summary
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.recipe import part


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    """Every kind of column that is learnt: spikes and gaps, whole numbers, dates, few and many levels."""
    random = np.random.default_rng(0)
    num = 400
    gain = np.where(random.random(num) < 0.8, 0, random.lognormal(8, 2, num)).round(2)
    lines = []
    for row in range(num):
        gap = "" if row % 7 == 0 else f"{gain[row]}"
        day = f"20{10 + row % 12}-{1 + row % 12:02d}-15"
        lines.append(f"{gap},{row % 13},{day},{'north' if row % 3 else 'south'},word{row * row % 23}")
    path: Path = tmp_path_factory.mktemp("pictures") / "kinds.csv"
    path.write_text("gain,a very long name of a column that counts,day,side,word\n" + "\n".join(lines) + "\n")
    return open_source(part(str(path)), False)


def test_shares_of_a_summary_are_those_of_the_rows(source: TableSource) -> None:
    found = summary(source.train)
    json.dumps(found, allow_nan=False)
    rows = NumericMatrix.of(source.train)
    for c, column in enumerate(found["columns"]):
        assert sum(column["shares"]) + column["missing"] == pytest.approx(1, abs=2e-4), column["name"]
        again, missing = bars(rows.values[:, c], column)
        np.testing.assert_allclose(again, column["shares"], atol=1e-5)
        assert missing == pytest.approx(column["missing"], abs=1e-5)
    gain, whole, _, side, word = found["columns"]
    assert gain["missing"] == pytest.approx(np.isnan(rows.values[:, 0]).mean(), abs=1e-5)
    assert whole["edges"] == [x - 0.5 for x in range(14)]
    assert side["levels"] == [0, 1]
    assert word["levels"][-1] is None
    assert word["shares"][-1] == pytest.approx(1 - sum(word["shares"][:-1]), abs=1e-4)


def test_values_beyond_the_edges_count_in_the_outermost_bars() -> None:
    column = {"edges": [0.0, 1.0, 2.0]}
    shares, missing = bars(np.array([-5.0, 0.5, 1.5, 99.0, np.nan]), column)
    assert shares.tolist() == [0.4, 0.4]
    assert missing == pytest.approx(0.2)


def test_a_picture_of_made_and_of_real_rows(source: TableSource, tmp_path: Path) -> None:
    info = source.info()
    rows = baselines.encoded_rows(source)
    for name, noise in (("made", torch.zeros(len(rows), 4)), ("real", None), ("again", torch.zeros(len(rows), 4))):
        preview.picture(rows, tmp_path / f"{name}.png", PreviewContext(10, info, noise))
    with Image.open(tmp_path / "made.png") as picture:
        assert picture.size == (preview.ACROSS * preview.WIDE, preview.TOP + 2 * preview.HIGH + preview.MAPS)
    assert (tmp_path / "made.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert (tmp_path / "made.png").read_bytes() != (tmp_path / "real.png").read_bytes()


def test_of_few_rows_the_picture_shows_no_associations(source: TableSource, tmp_path: Path) -> None:
    info, rows = source.info(), baselines.encoded_rows(source)
    nums = (1, preview.FEWEST_MAPPED - 1, preview.FEWEST_MAPPED)
    for num in nums:
        preview.picture(rows[:num], tmp_path / f"{num}.png", PreviewContext(0, info, torch.zeros(num, 4)))
    shares = {
        num: float((np.asarray(Image.open(tmp_path / f"{num}.png"))[-280:, 690:920] == 255).mean()) for num in nums
    }
    assert shares[1] > 0.95
    assert shares[nums[1]] > 0.95
    assert shares[nums[2]] < 0.9


def test_one_column_has_no_maps_and_many_columns_are_cut(tmp_path: Path) -> None:
    lines = [",".join(str((row * (c + 3)) % 11 + row / 50) for c in range(MOST_COLUMNS + 3)) for row in range(60)]
    wide, narrow = tmp_path / "wide.csv", tmp_path / "narrow.csv"
    wide.write_text(",".join(f"c{c}" for c in range(MOST_COLUMNS + 3)) + "\n" + "\n".join(lines) + "\n")
    narrow.write_text("colour\n" + "\n".join(["red", "blue", "green"] * 20) + "\n")
    sizes = []
    for path in (wide, narrow):
        source = open_source(part(str(path)), False)
        info = source.info()
        preview.picture(baselines.encoded_rows(source), tmp_path / "picture.png", PreviewContext(10, info))
        with Image.open(tmp_path / "picture.png") as picture:
            sizes.append(picture.size[1])
    assert sizes == [
        preview.TOP + MOST_COLUMNS // preview.ACROSS * preview.HIGH + preview.MAPS,
        preview.TOP + preview.HIGH,
    ]


# --- names in other scripts


CHINESE = ["城市", "年龄", "price ($) of $x_$"]


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    draw = np.random.default_rng(0)
    rows = [
        [["上海", "北京", "ab"][draw.integers(3)], str(draw.integers(18, 80)), f"{draw.normal():.3f}"]
        for _ in range(200)
    ]
    path: Path = tmp_path_factory.mktemp("chinese") / "a.csv"
    path.write_text("\n".join(map(",".join, [CHINESE, *rows])) + "\n", encoding="utf-8")
    return open_source(part(str(path)), False)


def drawn_words(source: TableSource, path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """All words of a picture, drawn without a warning."""
    from matplotlib.text import Text

    figures: list[Any] = []
    plain_drawn = preview._draw_figure
    monkeypatch.setattr(preview, "_draw_figure", lambda *given: figures.append(plain_drawn(*given)) or figures[-1])
    info = source.info()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preview.picture(source.batch(torch.arange(150)).data, path, PreviewContext(0, info, torch.zeros(150, 0)))
    return {text.get_text() for text in figures[0].findobj(Text)}


def test_without_a_font_of_their_signs_names_are_numbered_and_that_is_told(
    chinese: TableSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glyphs, "_fonts", list)
    words = drawn_words(chinese, tmp_path / "a.png", monkeypatch)
    assert {"column 1", "column 2", "price ($) of $x_$", "ab"} <= words
    assert len({word for word in words if word.startswith("level ")}) == 2
    assert any(word.startswith("No installed font has the characters of some names") for word in words)
    assert all(map(str.isascii, words - {word for word in words if "−" in word or "…" in word}))


def test_a_font_of_the_system_that_has_the_signs_is_taken(
    chinese: TableSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such font is at hand everywhere: one that comes with matplotlib is said to have the signs."""
    known = glyphs._signs_of
    monkeypatch.setattr(glyphs, "_fonts", lambda: [("STIXGeneral", "stix"), ("cmr10", "cm")])
    monkeypatch.setattr(
        glyphs, "_signs_of", lambda path: frozenset(range(0x4E00, 0x9FFF)) if path == "stix" else known(path)
    )
    found = glyphs.glyphs_for(CHINESE)
    assert (found.families, found.lacking) == ((glyphs.USUAL, "STIXGeneral"), frozenset())
    with found.drawing():
        from matplotlib.font_manager import FontProperties

        assert FontProperties().get_family() == [glyphs.USUAL, "STIXGeneral"]
    assert found.shown(" two\nlines ", "x") == "two lines"


def test_the_fonts_of_the_system_are_asked_for_the_signs_they_have() -> None:
    assert glyphs.glyphs_for(["town", "Zürich", "Город", "πόλη"]).families == (glyphs.USUAL,)
    assert ord("⃒") not in glyphs._signs_of(glyphs._path(glyphs.USUAL))
    found = glyphs.glyphs_for(["a⃒"])  # which STIX has, of the fonts that come with matplotlib
    assert len(found.families) == 2
    assert not found.lacking
    assert glyphs.glyphs_for(["\U0010fffd"]).lacking == {"\U0010fffd"}
