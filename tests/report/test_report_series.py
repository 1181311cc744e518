"""Thinning keeps ends, extremes and means; choosing is even; numbers and times read well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zerosum.formatting import format_duration, format_number, format_records, interval
from zerosum.report import CurvePoint, spread, thin
from zerosum.report.charts import charts_of
from zerosum.report.log_names import title_of
from zerosum.report.measures import metrics_section
from zerosum.report.questions import name_of
from zerosum.report.read import read_run


def test_thin_keeps_ends_extremes_and_mean() -> None:
    values = [float((7919 * i) % 1000) for i in range(5000)]
    values[1234], values[4321] = 1e6, -1e6
    points = list(enumerate(values))
    kept = thin(points, 400)
    assert len(kept) == 400
    assert kept[0] == CurvePoint(0, values[0], values[0], values[0])
    assert kept[-1] == CurvePoint(4999, values[-1], values[-1], values[-1])
    assert max(point.high for point in kept) == 1e6
    assert min(point.low for point in kept) == -1e6
    assert [point.step for point in kept] == sorted({point.step for point in kept})
    assert all(point.low <= point.mean <= point.high for point in kept)


def test_thin_means_are_the_means_of_equal_runs() -> None:
    kept = thin([(step, float(step)) for step in range(14)], 5)
    assert [point.mean for point in kept] == [0.0, 2.5, 6.5, 10.5, 13.0]
    assert [(point.low, point.high) for point in kept[1:4]] == [(1, 4), (5, 8), (9, 12)]


def test_thin_leaves_short_series_alone_and_refuses_a_silly_limit() -> None:
    assert thin([(3, 0.5), (9, 1.5)], 3) == [CurvePoint(3, 0.5, 0.5, 0.5), CurvePoint(9, 1.5, 1.5, 1.5)]
    with pytest.raises(ValueError, match="limit is 2"):
        thin([(1, 1.0)], 2)


def test_spread_is_even_with_first_and_last() -> None:
    assert spread(range(101), 5) == [0, 25, 50, 75, 100]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(9), 1) == [8]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234567, "1,234,567"), (0.871, "0.871"), (12345.6, "12,346"), (2e-4, "0.0002"), (5.25e-5, "5.25e-05")],
)
def test_figures_read_well(value: float, shown: str) -> None:
    assert format_number(value) == shown


def test_durations_read_well() -> None:
    times = (59.4, 59.6, 3599.7, 12000)
    assert [format_duration(s, exact=True) for s in times] == ["59 s", "1 min 0 s", "1 h 0 min", "3 h 20 min"]
    assert [format_duration(s) for s in times] == ["59 s", "60 s", "60 min", "3 h 20 min"]


def test_evaluations_are_drawn_with_the_band_of_their_errors(tmp_path: Path) -> None:
    lines = [
        {"step": step, "kind": "evaluation", "records": [{"name": "frechet[x,n=9]", "value": value, "error": error}]}
        for step, value, error in ((10, 8.0, 1.0), (20, 4.0, 0.5), (30, 3.0, None))
    ]
    (tmp_path / "run.json").write_text('{"format": 1}')
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (chart,) = charts_of(read_run(tmp_path))
    assert chart["curves"][0]["points"] == [[10, 8.0, 6.0, 10.0], [20, 4.0, 3.0, 5.0], [30, 3.0, 3.0, 3.0]]
    assert chart["caption"].endswith("The band is its 95 % interval.")


def test_intervals_of_shares_end_at_0_and_1(tmp_path: Path) -> None:
    assert interval("precision[x,n=9]", 0.99, 0.02) == (pytest.approx(0.97), 1.0)
    assert interval("Copy rate", 0.01, 0.02) == (0.0, pytest.approx(0.03))
    assert interval("density[x,n=9]", 0.99, 0.02) == pytest.approx((0.97, 1.01))  # no share: above 1 is possible
    assert interval("kernel_distance[x,n=9]", 0.0, 0.1) == (-0.1, 0.1)
    records = [{"name": "coverage[x,n=9]", "value": 0.98, "error": 0.02}]
    lines = [{"step": step, "kind": "evaluation", "records": records} for step in (10, 20)]
    (tmp_path / "run.json").write_text('{"format": 1}')
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = read_run(tmp_path)
    (chart,) = charts_of(folder)
    assert [point[2:] for point in chart["curves"][0]["points"]] == [[0.94, 1.0]] * 2
    assert "95 %: 0.940 to 1.000" in metrics_section(folder, {})


def test_frechet_has_one_spelling_where_people_read_it() -> None:
    names = ["frechet[x,n=9]", "frechet_infinity[x,n=9]", "class_frechet[x,n=9 a class]"]
    assert [name_of({"name": name})[0] for name in names] == ["Fréchet", "Fréchet infinity", "Class Fréchet"]
    assert title_of(names[0]) == "Fréchet[x,n=9]"
    lines = format_records([{"name": names[0], "value": 1.0, "better": "lower", "protocol": {}}])
    assert "Fréchet n=9" in lines
    assert "frechet" not in lines
