"""The source: split, order, what is told, and that telling changes no distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from table_making import HEADER, rows_of, source_of, text_of, written

from zerosum.domains.tables import data, hashing, layout
from zerosum.domains.tables.data import TableSource, open_source
from zerosum.domains.tables.layout import layout_of
from zerosum.errors import UserError
from zerosum.recipe import part


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    return source_of(written(tmp_path_factory.mktemp("table") / "a.csv", 2000))


def test_layout_covers_the_row_without_gaps(source: TableSource) -> None:
    info, batch = source.info(), source.batch(torch.arange(7))
    blocks = layout_of(info.payload)
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks)][:-1]
    assert [block.column for block in blocks] == [name for name in HEADER if name not in ("id", "fixed")]
    assert batch.data.shape == (7, *info.sample.shape)
    assert batch.condition is not None
    assert batch.condition.shape == (7, *info.condition.shape) == (7, len(blocks) + info.sample.shape[0])
    for block in blocks:
        if block.choice:
            torch.testing.assert_close(batch.data[:, block.choice[0] : block.choice[1]].sum(1), torch.ones(7))


def test_a_batch_is_a_function_of_its_indices(source: TableSource) -> None:
    indices = torch.randperm(source.num_rows, generator=torch.Generator().manual_seed(0))[:300]
    whole, turned = source.batch(indices), source.batch(indices.flip(0))
    torch.testing.assert_close(whole.data, turned.data.flip(0), rtol=0, atol=0)
    assert whole.condition is not None
    assert turned.condition is not None
    torch.testing.assert_close(whole.condition, turned.condition.flip(0), rtol=0, atol=0)


def test_a_table_that_is_opened_again_gives_the_same_rows() -> None:
    one, two = (open_source(part("wine"), False) for _ in range(2))
    torch.testing.assert_close(one.batch(torch.arange(500)).data, two.batch(torch.arange(500)).data, rtol=0, atol=0)


def test_the_split_is_by_seed_and_shares_no_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 500)
    one, two, other = source_of(path), source_of(path), source_of(path, seed=1)
    assert (len(one.train), one.num_heldout) == (400, 100)
    np.testing.assert_array_equal(one.heldout.arrays["age"], two.heldout.arrays["age"])
    assert (one.heldout.arrays["age"] != other.heldout.arrays["age"]).any()
    both = np.sort(np.concatenate([one.train.arrays["price"], one.heldout.arrays["price"]]))
    np.testing.assert_array_equal(both, np.sort(source_of(path, heldout=0.0).train.arrays["price"]))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != source_of(written(tmp_path / "b.csv", 500, seed=1)).fingerprint


def told_of(source: TableSource, num: int = 40_000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Data, mask (N, C) and values told of many rows."""
    batch, blocks = source.batch(torch.arange(num)), source.rows.blocks
    assert batch.condition is not None
    return batch.data, batch.condition[:, : len(blocks)], batch.condition[:, len(blocks) :]


def test_what_is_told_is_true_and_the_rest_is_hidden(source: TableSource) -> None:
    data, mask, values = told_of(source)
    wide = layout.expand_mask(mask, source.rows.blocks)
    torch.testing.assert_close(values, data * wide, rtol=0, atol=0)
    assert abs(float((mask.sum(1) == 0).float().mean()) - 0.5) < 0.01
    counts = torch.bincount(mask.sum(1).long())[1:].double()
    np.testing.assert_allclose((counts / counts.sum())[:4], [0.5, 0.25, 0.125, 0.0625], atol=0.015)
    back, again = layout.split(torch.cat([mask, values], 1), source.rows.blocks)
    torch.testing.assert_close(back, wide)
    torch.testing.assert_close(again, values)
    assert not source.info().condition.sample(5, 0).any()


def test_untold_rows_are_all_rows_equally_often(source: TableSource) -> None:
    data, mask, _ = told_of(source, 20 * len(source.train))
    free = mask.sum(1) == 0
    block = next(block for block in source.rows.blocks if block.column == "city")
    share = data[free, block.start : block.stop].mean(0).numpy()
    real = np.bincount(source.train.arrays["city"]) / len(source.train)
    np.testing.assert_allclose(share, real, atol=0.01)


def test_training_by_sampling_shows_rare_levels_more_often_and_bends_no_conditional(tmp_path: Path) -> None:
    """Of the rows told their city, the rare city is commoner than it is; given the city, the other column is as in the table."""
    draw = np.random.default_rng(0)
    city = draw.choice(["big", "small"], 4000, p=[0.95, 0.05])
    n = np.where(city == "small", draw.integers(0, 40, 4000), draw.integers(20, 90, 4000))
    (tmp_path / "a.csv").write_text(text_of(["city", "n"], list(zip(city, n.astype(str)))))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    data, mask, _ = told_of(source, 80_000)
    knows, small = mask[:, 0] == 1, data[:, 1] == 1
    assert float(small[knows].float().mean()) > 2 * 0.05
    assert abs(float(small[~knows].float().mean()) - (source.train.arrays["city"] == 1).mean()) < 0.01
    only = knows & (mask.sum(1) == 1)
    for level, share in ((True, small), (False, ~small)):
        made = data[only & share, 2].double().numpy()
        real = source.train.arrays["n"][source.train.arrays["city"] == int(level)]
        decoded = source.transform.encodings["n"].decode(made[:, None])
        assert abs(decoded.mean() - real.mean()) < 5 * real.std() / np.sqrt(len(made))


@pytest.mark.parametrize("numeric", ["cdf", "mixture"])
def test_missing_numbers_are_told_more_often_than_they_are_and_bend_no_conditional(
    tmp_path: Path, numeric: str
) -> None:
    """x ~ N(50, 10), y = x + noise, a tenth of y missing at random: whoever is told that y is missing sees the x of all rows."""
    random = np.random.default_rng(0)
    x = random.normal(50, 10, 4000)
    y = ["" if gone else f"{a:.2f}" for a, gone in zip(x + random.normal(0, 3, 4000), random.random(4000) < 0.1)]
    (tmp_path / "a.csv").write_text(text_of(["x", "y"], [(f"{a:.2f}", b) for a, b in zip(x, y)]))
    source = source_of(tmp_path / "a.csv", heldout=0.0, numeric=numeric)
    data, mask, _ = told_of(source, 80_000)
    rows = source.transform.decode(data)
    knows, gone = mask[:, 1].numpy() == 1, np.isnan(rows.arrays["y"])
    assert gone[knows].mean() > 0.15  # a tenth, and the share of 1 to 3 of training by sampling
    assert abs(gone[~knows].mean() - gone.mean()) < 0.1
    alone = knows & (mask.sum(1).numpy() == 1)
    real = np.array([word == "" for word in y])
    for missing in (True, False):
        given = rows.arrays["x"][alone & (gone == missing)]
        assert abs(np.median(given) - np.median(x[real == missing])) < 0.5
    place = source.rows.blocks[1].start
    assert not data[torch.from_numpy(gone), place].any()


def test_hashed_numbers_are_uniform_and_unrelated() -> None:
    keys = torch.arange(100_000)
    table = torch.cat([hashing.uniforms(keys, 3, 1), hashing.uniform(keys, 2)[:, None]], 1)
    assert float(table.min()) > 0
    assert float(table.max()) < 1
    np.testing.assert_allclose(table.mean(0), 0.5, atol=5 * 0.29 / 316)
    np.testing.assert_allclose(np.corrcoef(table.T.numpy()), np.eye(4), atol=0.016)
    near = np.corrcoef(table[:-1, 0].numpy(), table[1:, 0].numpy())[0, 1]
    assert abs(near) < 0.016


def test_splitmix_agrees_with_plain_arithmetic() -> None:
    def by_hand(x: int) -> int:
        limit = (1 << 64) - 1
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & limit
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & limit
        return x ^ (x >> 31)

    numbers = [0, 1, 2**40 + 17, 2**63 - 1]
    made = [int(x) % 2**64 for x in hashing.mix(torch.tensor(numbers))]
    assert made == [by_hand(x) for x in numbers]


# --- notes, options, reading again


def test_notes_name_every_column_and_what_is_unusual(source: TableSource) -> None:
    text = "\n".join(source.notes)
    for words in (
        "age (18 to 90)", "joined (2019-01-01 to 2020-11-30, %Y-%m-%d)",
        "member (no/yes)", "id (new ones are made)", "fixed (always 'CH')",
        "score 18.4%", "400 of 2,000 rows are held out", "city (3 levels)",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heldout": 1.0}, r"heldout must lie in \[0, 1\)"),
        ({"max_levels": 2}, "max_levels must be at least 3"),
        ({"condition_share": 2}, "condition_share must lie"),
        ({"numeric": "rank"}, "data.numeric"),
        ({"tpyes": {}}, "no option 'tpyes'. Did you mean 'types'"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        source_of(written(tmp_path / "a.csv", 50), **options)


def test_a_few_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 5 rows; a distribution needs at least 10"):
        source_of(written(tmp_path / "a.csv", 5))


def test_a_single_row_can_be_read_again_though_not_learnt_from(tmp_path: Path, source: TableSource) -> None:
    (row,) = rows_of(1, seed=9)
    (tmp_path / "one.csv").write_text(text_of(HEADER, [row]), encoding="utf-8")
    back = source.transform.decode(data.read_rows([tmp_path / "one.csv"], source.info()))
    assert [back.column("city").levels[code] for code in back.arrays["city"]] == [row[3]]
    with pytest.raises(UserError, match="has one row; a distribution needs many"):
        source_of(tmp_path / "one.csv")


def test_a_file_is_read_again_in_the_terms_of_the_run(tmp_path: Path, source: TableSource) -> None:
    rows = rows_of(300, seed=9)
    (tmp_path / "b.csv").write_text(text_of(HEADER[::-1], [row[::-1] for row in rows]), encoding="utf-8")
    encoded = data.read_rows([tmp_path / "b.csv"], source.info())
    back = source.transform.decode(encoded)
    column = back.column("city")
    assert [column.levels[code] for code in back.arrays["city"]] == [row[3] for row in rows]
    # A day that no training row has comes back as a neighbour: days are kept exactly where they are few.
    known = set(source.train.format(source.train.column("joined")))
    pairs = [(word, row[5]) for word, row in zip(back.format(back.column("joined")), rows)]
    assert all(word == given for word, given in pairs if given in known)
    assert sum(given in known for _, given in pairs) > 200


def test_a_file_without_a_learnt_column_is_refused(tmp_path: Path, source: TableSource) -> None:
    (tmp_path / "c.csv").write_text(text_of(HEADER[:-3], [row[:-3] for row in rows_of(5)]), encoding="utf-8")
    with pytest.raises(UserError, match="has no column 'score', which this run was trained on"):
        data.read_rows([tmp_path / "c.csv"], source.info())


@pytest.mark.parametrize(
    ("place", "cell", "words"),
    [
        (3, "Paris", "'city' is never 'Paris'"),
        (1, "old", "'age' should hold numbers, and 'old' is none"),
        (5, "1.2.2020", "'joined' should hold dates in the form %Y-%m-%d, unlike '1.2.2020'"),
    ],
)
def test_cells_that_the_run_does_not_know_are_named(
    tmp_path: Path, source: TableSource, place: int, cell: str, words: str
) -> None:
    rows = rows_of(5)
    rows[2][place] = cell
    (tmp_path / "b.csv").write_text(text_of(HEADER, rows), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        data.read_rows([tmp_path / "b.csv"], source.info())
