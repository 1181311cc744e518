"""The run beside classical models: what may be compared, who is better and by how much, and how the page shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zerosum.report import write_report
from zerosum.report.comparison import compare, side_by_side

NASTY = "</script><script>alert('x')</script>"


def save(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def record(name: str, value: float | None, better: str = "lower", **protocol: Any) -> dict[str, Any]:
    reference = 3.5 if "reference" in better or better == "lower" else None
    plain = {"name": name, "value": value, "better": better, "meaning": "A number.", "reference": reference}
    return plain | {"protocol": {"num_fake": 2000, "split": "train", **protocol}}


def content(**models: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [
        {"name": name, "summary": f"fine {name}: in detail", "fit_s": 2.5, "records": records, "picture": f"{name}.png"}
        for name, records in models.items()
    ]
    return {"format": 1, "baselines": listed}


def test_the_sentence_says_by_how_much() -> None:
    models = content(a=[record("frechet[x]", 9.0)], b=[record("frechet[x]", 4.0)], c=[record("frechet[x]", 8.0)])
    found = compare(models, [record("frechet[x]", 6.0)])
    assert found.columns == ("this run", "a", "b", "c")
    assert found.rows[0].cells == (6.0, 9.0, 4.0, 8.0)
    assert found.rows[0].best == {2}
    assert found.sentence == (
        "By Fréchet, where the run scores 6 (unseen real data 3.5), it is better than the fine c by 2 and the fine a by 3; "
        "worse than the fine b by 2."
    )
    level = compare(content(a=[record("frechet[x]", 6.0)]), [record("frechet[x]", 6.0)])
    assert level.sentence.endswith("it is equal to the fine a (6).")
    assert compare(models).sentence == "The best by Fréchet is the fine b with 4; unseen real data score 3.5."


def test_what_both_reach_of_real_data_is_level() -> None:
    """Below the reference, 3.5 here, differences are chance."""
    models = content(a=[record("frechet[x]", 3.4)], b=[record("frechet[x]", 4.0)])
    found = compare(models, [record("frechet[x]", 3.0)])
    assert found.sentence.endswith("it is better than the fine b by 1; equal to the fine a (3.4).")


def test_the_sentence_calls_level_what_shares_the_star() -> None:
    """A difference of 1.5 between values with standard errors of 1 is within its 95 % interval, 1.96 sqrt(2)."""
    plain = {"better": "lower", "meaning": "A number.", "reference": None, "protocol": {}}
    own, near, far = (
        {"name": "frechet[x,n=1000]", "value": value, "error": 1.0, **plain} for value in (6.0, 7.5, 12.0)
    )
    found = compare(content(near=[near], far=[far]), [own])
    assert found.rows[0].best == {0, 1}
    assert found.sentence == (
        "By Fréchet, where the run scores 6, it is better than the fine far by 6; equal to the fine near (7.5)."
    )
    assert compare(content(near=[near], far=[own])).sentence == "By Fréchet these models are equal."
    twice = [own, {**own, "name": "frechet[x,n=90]"}]
    assert compare(content(near=[near, {**near, "name": "frechet[x,n=90]"}]), twice).sentence == (
        "By Fréchet of 1,000 samples, where the run scores 6, it is equal to the fine near (7.5)."
    )
    ranked = compare(content(near=[near], own=[own], far=[far])).sentence
    assert ranked == "The best by Fréchet are, equal to each other, the fine own with 6 and the fine near with 7.5."


def test_what_cannot_judge_ranks_nothing() -> None:
    """Neither a star nor "better" comes of a measure that says that it cannot judge, of the run or of a model."""
    unsure = {"cannot_judge": "39 real images are too few."}
    models = content(a=[record("frechet[x]", 9.0, **unsure), record("kid[x]", 2.0)])
    own = [record("frechet[x]", 6.0), record("kid[x]", 5.0)]
    found = compare(models, own)
    assert [row.best for row in found.rows] == [set(), {1}]
    assert found.rows[0].better == "cannot judge"
    assert found.sentence.startswith("By KID, where the run scores 5")
    assert "worse than the fine a" in found.sentence
    assert found.notes == ("Cannot judge, and are not ranked: Fréchet. The reasons are in their protocols.",)
    alone = compare(content(a=[record("frechet[x]", 9.0)]), [record("frechet[x]", 6.0, **unsure)])
    assert alone.sentence == "None of the measures that rank the run and these models can judge."
    assert "None of the measures ranks" in compare(content(a=[record("frechet[x]", 9.0, **unsure)])).sentence
    sure = [[record("frechet[x,n=9]", value, **unsure) | {"error": 0.1}] for value in (6.0, 9.0)]
    table = side_by_side(["a", "b"], sure)
    assert table.rows[0].best == set()
    assert "better" not in table.sentence
    assert table.rows[0].cells == (6.0, 9.0)
    assert "Cannot judge" in table.notes[0]


def test_runs_are_not_called_level_where_no_error_is_known() -> None:
    found = side_by_side(["a", "b"], [[record("m[n=9]", 6.0)], [record("m[n=9]", 4.0)]])
    assert found.rows[0].best == set()
    assert found.sentence == "By M: a 6, b 4. Its error is not known, so they are not ranked."


@pytest.mark.parametrize("change", [{"extractor_sha256": "other"}, {"num_fake": 1000}, {"fingerprint": "other"}])
def test_only_equal_protocols_are_compared(change: dict[str, Any]) -> None:
    found = compare(content(a=[record("frechet[x]", 9.0)]), [record("frechet[x]", 6.0, **change)])
    assert found.rows[0].cells == (None, 9.0)
    assert found.rows[0].best == set()
    assert "another protocol" in found.sentence
    assert "zerosum evaluate" in found.sentence


def test_how_the_samples_were_made_may_differ() -> None:
    model = record("frechet[x]", 9.0, weights="baseline a", sample_seed=1)
    found = compare(content(a=[model]), [record("frechet[x]", 6.0, weights="average", step=10, sample_seed=4)])
    assert found.rows[0].cells == (6.0, 9.0)


def test_other_names_are_not_compared() -> None:
    found = compare(content(a=[record("frechet[x]", 9.0)]), [record("frechet[y]", 6.0)])
    assert found.rows[0].cells == (None, 9.0)


def test_a_run_without_metrics() -> None:
    found = compare(content(a=[record("frechet[x]", 9.0)]), [])
    assert found.sentence == "The run has no metrics yet: zerosum evaluate measures it."


@pytest.mark.parametrize(
    ("better", "values", "best"),
    [
        ("lower", (4.0, 5.0, 3.0), {2}),
        ("lower", (1.0, -3.0, 9.0), {0, 1}),  # beyond what real data reach, nothing is better
        ("higher", (1.0, 2.0, -3.0), {1}),
        ("near 1", (1.5, 0.6, -3.0), {1}),
        ("near reference", (1.0, 3.0, 9.0), {1}),
        ("higher", (0.99996, 0.99997, 0.5), {0, 1}),
        ("higher", (1.0, 1.0, 1.0), set()),
        ("as you like", (1.0, 2.0, 3.0), set()),
        ("lower", (None, 6.0, 7.0), {1}),
    ],
)
def test_the_better_ones_are_found(better: str, values: tuple[float | None, ...], best: set[int]) -> None:
    models = content(**{name: [record("m", value, better)] for name, value in zip("abc", values, strict=True)})
    assert compare(models).rows[0].best == best


def test_labels_are_told() -> None:
    models, own = content(a=[record("m", 1.0)]), [record("m", 2.0)]
    assert "gets a class" in compare(models, own, conditional=True).notes[0]
    assert compare(models, own).notes == ()


def test_the_page_shows_them(folder: Path) -> None:
    """Sentence, table and pictures; strings are harmless; the run's own value is the one in its log."""
    save(folder / "baselines.json", content(normal=[record("frechet_digits", 9.25)], **{NASTY: []}))
    (folder / "baselines").mkdir()
    Image.new("L", (16, 8), 7).save(folder / "baselines" / "normal.png")
    (folder / "baselines" / "normal.wav").write_bytes(bytes(100))
    page = write_report(folder).read_text()
    part = page[page.index('<section id="baselines"') : page.index('<section id="recipe"')]
    assert '<a href="#baselines">Baselines</a>' in page
    assert (
        "By Fréchet digits, where the run scores 6.25 (unseen real data 3.5), it is better than the fine normal by 3"
        in part
    )
    assert '<td data-label="This run"><b>6.25</b><small>best</small></td><td data-label="Normal">9.25</td>' in part
    assert part.count("<img") == 2  # the run's newest samples and the normal's
    assert part.count("<audio") == 1
    assert 'alt="Samples: normal"' in part
    assert "Fine normal: in detail. Fitted in 2 s." in part
    assert NASTY not in page


def test_without_them_the_page_says_nothing(folder: Path) -> None:
    assert (
        "baselines"
        not in write_report(folder).read_text().replace("zerosum baseline", "").split("<script")[0].split("<body>")[1]
    )


def test_a_broken_file_is_told(folder: Path) -> None:
    (folder / "baselines.json").write_text("{broken")
    page = write_report(folder).read_text()
    assert "The baselines cannot be shown: baselines.json cannot be read" in page
    assert '<section id="baselines"' not in page


def test_pictures_come_from_the_folder_alone(folder: Path, tmp_path: Path) -> None:
    """A path in the file leads nowhere else."""
    Image.new("L", (16, 8), 7).save(tmp_path / "secret.png")
    models = content(normal=[])
    models["baselines"][0]["picture"] = "../../secret.png"
    save(folder / "baselines.json", models)
    page = write_report(folder).read_text()
    part = page[page.index('<section id="baselines"') : page.index('<section id="recipe"')]
    assert part.count("<img") == 1
