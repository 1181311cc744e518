"""Controls that must fail stand beside the measures of shapes, and a measure that cannot tell real shapes from them says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch

from zerosum.domains.points import DOMAIN, controls, distances, evaluator
from zerosum.domains.points.distances import ShapeDistance
from zerosum.domains.points.evaluator import ShapeEvaluator
from zerosum.metrics.record import Record
from zerosum.recipe import part

trimesh = pytest.importorskip("trimesh")


Found = dict[str, Mapping[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "DISTANCES", (ShapeDistance("CD", 40, 64), ShapeDistance("EMD", 24, 48)))
        patch.setattr(evaluator, "NUM_SAMPLES", 40)
        yield


def judged(num: int) -> tuple[ShapeEvaluator, Found]:
    """The evaluator of shapes of four classes, a tenth of them held out, and the protocols of measures of training shapes."""
    source = DOMAIN.data.open(part("shapes", num=num, points=256), False)
    judge = DOMAIN.evaluation.evaluator(source, 0)
    assert isinstance(judge, ShapeEvaluator)
    batch = source.batch(torch.arange(min(40, source.num_rows)))
    records: list[Record] = judge.evaluate(batch.data, batch.condition, None)
    return judge, {record.name.partition(",")[0].partition("=")[0]: record.protocol for record in records}


@pytest.fixture(scope="module")
def many(quick: None) -> tuple[ShapeEvaluator, Found]:
    return judged(400)


def test_controls_fail_where_the_measures_judge(many: tuple[ShapeEvaluator, Found]) -> None:
    judge, found = many
    assert judge.source.num_heldout == 40
    for distance, num in (("CD", 20), ("EMD", 12)):
        nearest = found[f"1-NNA[{distance}"]["controls"]
        assert set(nearest) == {controls.HALVES, controls.SHUFFLED, controls.REPEATED}
        assert min(nearest[controls.SHUFFLED], nearest[controls.REPEATED]) > 0.8 > 0.7 > nearest[controls.HALVES]
        assert found[f"COV[{distance}"]["controls"][controls.REPEATED] == pytest.approx(1 / num, rel=1e-3)
        matched = found[f"MMD[{distance}"]["controls"]
        assert min(matched[controls.SHUFFLED], matched[controls.REPEATED]) > 1.1 * matched[controls.HALVES]
    assert all("cannot_judge" not in found[name] for name in ("1-NNA[CD", "COV[CD", "MMD[CD", "class_kept[CD"))
    kept = found["class_kept[CD"]["controls"]
    assert kept[controls.HALVES] > 0.9 > 0.5 > max(kept[controls.SHUFFLED], kept[controls.REPEATED])
    space = found["JSD[grid"]["controls"]
    assert set(space) == {controls.HALVES, controls.EVENLY, controls.REPEATED}
    assert min(space[controls.EVENLY], space[controls.REPEATED]) > 1.25 * space[controls.HALVES]
    assert "cannot_judge" not in found["JSD[grid"]


def test_few_shapes_judge_nothing_and_copies_of_them_are_seen() -> None:
    """Of 20 shapes too few are held out: the references are training shapes, and copies of them mix too well."""
    _, found = judged(20)
    for name, protocol in found.items():
        assert protocol["cannot_judge"].endswith("real shapes are too few; 32 are needed."), name
    assert found["1-NNA[CD"]["controls"][controls.COPIES] == 0


def test_a_repeated_shape_costs_no_distances_and_controls_are_taken_once(
    many: tuple[ShapeEvaluator, Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, _ = many
    monkeypatch.setattr(distances, "emd", lambda a, b: pytest.fail("a distance was computed again"))
    assert judge._controls["COV[EMD"][controls.REPEATED] == 1 / 12


def test_shapes_that_are_all_alike_cannot_be_judged() -> None:
    shapes = torch.randn(80, 32, 3, generator=torch.Generator().manual_seed(0)) / 4
    comparing = ShapeDistance("CD", 80, 32)
    values = controls.distance_controls(
        comparing, shapes, comparing.within(shapes), None, torch.Generator().manual_seed(1), False
    )
    record = Record("MMD[CD,n=80,points=32]", 0.1, {}, "lower", "")
    reason = controls.add_controls(record, values, 80).protocol["cannot_judge"]
    assert reason.startswith("Halves of the real shapes score ")
    assert "points shuffled among shapes" in reason
