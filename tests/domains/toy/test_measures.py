"""Measures of points: closed forms, known faults, and what the truth itself scores."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.domains.toy import DOMAIN, densities, measures
from zerosum.domains.toy.data import open_source
from zerosum.domains.toy.densities import mode_shares, modes_found, nearest_mode
from zerosum.domains.toy.measures import DensityCells, divergences
from zerosum.recipe import part
from zerosum.theory import divergence


def drawn(name: str, num: int, seed: int = 3) -> Tensor:
    return densities.build(name).sample(num, torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measures that take long are tested where they live."""
    monkeypatch.setattr(measures, "W2_POINTS", 100)
    monkeypatch.setattr(measures, "MMD_POINTS", 800)


def values_of(name: str, fakes: Tensor) -> dict[str, tuple[float, float | None]]:
    records = DOMAIN.evaluation.evaluator(open_source(part(name, num=1_000), False), 0).evaluate(fakes, None, None)
    return {record.name.partition("[")[0]: (record.value, record.reference) for record in records}


def test_counts_and_probabilities_share_their_cells() -> None:
    cells = DensityCells(((-1.0, 1.0), (-1.0, 1.0)), 4)
    points = torch.tensor([[-9.0, -9.0], [-0.6, 0.1], [0.9, 0.9], [9.0, -0.9]])
    assert cells.index(points).tolist() == [0, 2, 15, 12]
    assert cells.counts(points).sum() == 4
    assert cells.tag == "cells=4x4"


def test_divergences_by_hand() -> None:
    p, counts = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64), torch.tensor([3.0, 0.0, 1.0], dtype=torch.float64)
    found = divergences(p, counts)
    q = counts / 4
    assert found["JS"] == pytest.approx(float(divergence.js(p, q)))
    assert found["total_variation"] == pytest.approx(0.5)
    smooth_p, smooth_q = torch.tensor([2.5, 2.5, 0.5]) / 5.5, torch.tensor([3.5, 0.5, 1.5]) / 5.5
    assert found["KL"] == pytest.approx(float((smooth_p * (smooth_p / smooth_q).log()).sum()))
    assert found["KL_reverse"] == pytest.approx(float((smooth_q * (smooth_q / smooth_p).log()).sum()))
    few = divergences(p, counts * 100, trials=4)  # reals that were counted four times weigh as four
    smooth_q = torch.tensor([300.5, 0.5, 100.5]) / 401.5
    assert few["KL"] == pytest.approx(float((smooth_p * (smooth_p / smooth_q).log()).sum()))


def test_kl_between_normals_comes_near_its_closed_form() -> None:
    """KL(N(0, 1) || N(m, 1)) = m^2 / 2, of 50,000 samples in 100 cells."""
    density = densities.normal()
    fakes = densities.normal(mean=0.5).sample(50_000, torch.Generator().manual_seed(0))
    cells = DensityCells(density.box, 100)
    found = divergences(cells.probabilities(density), cells.counts(fakes))
    assert found["KL"] == pytest.approx(0.125, abs=0.01)
    assert found["KL_reverse"] == pytest.approx(0.125, abs=0.01)
    below = float(torch.special.ndtr(torch.tensor(0.25)) - torch.special.ndtr(torch.tensor(-0.25)))
    assert found["total_variation"] == pytest.approx(below, abs=0.01)


def test_the_truth_scores_its_references() -> None:
    found = values_of("mixture", drawn("mixture", 50_000))
    assert found["modes_found"] == (3.0, 3.0)
    assert found["share_near"][0] == pytest.approx(math.erf(3 / math.sqrt(2)), abs=2e-3)
    for name in ("wasserstein_1", "KL", "KL_reverse", "JS", "total_variation", "MMD2"):
        value, reference = found[name]
        assert reference is not None
        assert abs(value - reference) < 6e-3, name


def test_a_shift_is_what_the_transport_measures_say() -> None:
    found = values_of("normal", drawn("normal", 50_000) + 0.3)
    assert found["wasserstein_1"][0] == pytest.approx(0.3, abs=0.01)
    assert found["wasserstein_2"][0] == pytest.approx(0.3, abs=0.02)
    assert "modes_found" not in found


def test_lost_modes_are_counted_and_stray_points_too() -> None:
    ring = densities.ring()
    points = drawn("ring", 8_000)
    kept = points[nearest_mode(points, ring) != 3]
    assert modes_found(kept, ring).tolist() == [True] * 3 + [False] + [True] * 4
    stray = torch.cat([kept, torch.zeros(len(kept), 2)])  # half of them in the middle of the ring, near no mode
    assert float(mode_shares(stray, ring).sum()) == pytest.approx(0.5, abs=0.01)
    quick = DOMAIN.evaluation.evaluator(open_source(part("ring", num=2_000), False), 0).quick(kept[:256]).values()
    assert (quick["modes_found"], quick["num_modes"]) == (7, 8)
    assert quick["diversity"] == pytest.approx(1, abs=0.1)


def test_the_best_discriminator_has_no_distance_and_no_gap() -> None:
    """D* of two normals is known: its logit is the difference of their log-densities."""
    source = open_source(part("normal", num=1_000), False)
    fake = densities.normal(mean=1.0)
    fakes = fake.sample(50_000, torch.Generator().manual_seed(1))

    def best(points: Tensor, labels: Tensor | None) -> Tensor:
        return densities.normal().log_prob(points) - fake.log_prob(points)

    def even(points: Tensor, labels: Tensor | None) -> Tensor:
        return torch.zeros(len(points))

    evaluator = DOMAIN.evaluation.evaluator(source, 0)
    named = lambda judge: {r.name.partition("[")[0]: r.value for r in evaluator.evaluate(fakes, None, judge)}  # noqa: E731
    good, blind = named(best), named(even)
    assert good["D_distance"] < 0.01
    assert abs(good["V_gap"]) < 5e-3
    # A blind D is 1/2: V = -log 4, so the gap is 2 JSD, 0.2228 for these two (by quadrature).
    assert blind["V_gap"] == pytest.approx(2 * 0.1114215, abs=5e-3)
    x = torch.linspace(-8, 9, 20_001, dtype=torch.float64)
    p, q = densities.normal().log_prob(x[:, None]).exp(), fake.log_prob(x[:, None]).exp()
    expected = torch.trapezoid((p + q) / 2 * (0.5 - divergence.optimal_discriminator(p, q)).abs(), x)
    assert blind["D_distance"] == pytest.approx(float(expected), abs=5e-3)


def test_a_file_is_measured_against_its_rows_and_held_out_rows_are_the_reference(tmp_path: object) -> None:
    path = f"{tmp_path}/points.csv"
    rows = drawn("normal", 4_000)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(str(float(x)) for x in rows[:, 0]))
    evaluator = DOMAIN.evaluation.evaluator(open_source(part(path), False), 0)
    records = {record.name: record for record in evaluator.evaluate(drawn("normal", 50_000), None, None)}
    mmd = records["MMD2[n=400]"]
    assert mmd.reference is not None
    assert records["wasserstein_1[n=50000]"].value < 0.06
    assert records["wasserstein_1[n=50000]"].reference is None  # 400 held-out rows are no match for 50,000
    assert mmd.protocol["truth"] == "training rows"


def test_every_measure_has_a_meaning() -> None:
    for name in ("ring", "normal"):
        evaluator = DOMAIN.evaluation.evaluator(open_source(part(name, num=300), False), 0)
        records = evaluator.evaluate(drawn(name, 3_000), None, lambda points, labels: torch.zeros(len(points)))
        kinds = {record.name.partition("[")[0] for record in records}
        assert kinds <= set(measures.MEANINGS)
        assert len(kinds) == len(records) >= 8


@pytest.mark.parametrize("name", ["ring", "mixture"])
def test_points_over_the_whole_picture_score_worse_than_real_ones(name: str) -> None:
    records = DOMAIN.evaluation.evaluator(open_source(part(name, num=1_000), False), 0).evaluate(
        drawn(name, 5_000), None, None
    )
    for record in records:
        (control,) = record.protocol["controls"].values()
        worse = control - record.value if record.better == "lower" else record.value - control
        # On the line such points lie in every mode, as a count of modes alone does not tell.
        assert worse > 0.05 or (name == "mixture" and record.name.startswith("modes_found")), record.name
