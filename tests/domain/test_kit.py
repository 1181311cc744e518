"""The parts of domain/kit.py: splits, sources in memory and on the disk, conditions, controls of the evaluator, files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zerosum.data import in_memory
from zerosum.domain import AttributeCondition, ClassCondition, SampleInfo, kit
from zerosum.domain.info import check
from zerosum.errors import UserError

SAMPLE = SampleInfo({"channels": 2, "time": 3}, "two channels of three steps")
ROWS = torch.arange(20 * 6, dtype=torch.float32).view(20, 2, 3)
LABELS = torch.arange(20) % 4


def source(**options: Any) -> kit.TensorSource:
    return kit.tensor_source("rows", ROWS, LABELS, heldout=0.25, **options)


def mapped(path: Path, **options: Any) -> kit.MappedSource:
    np.save(path, ROWS.numpy())
    return kit.mapped_source(path, LABELS, heldout=0.25, **options)


def test_a_split_holds_every_row_once_and_follows_the_seed() -> None:
    training, held = kit.heldout_split(20, 0.25)
    assert sorted([*training.tolist(), *held.tolist()]) == list(range(20))
    assert len(held) == 5
    assert torch.equal(kit.heldout_split(20, 0.25)[1], held)
    assert not torch.equal(kit.heldout_split(20, 0.25, seed=1)[1], held)
    assert [len(part) for part in kit.heldout_split(3, 0.99)] == [1, 2]
    with pytest.raises(ValueError, match=r"heldout must lie in \[0, 1\)"):
        kit.heldout_split(20, 1.0)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_rows_come_with_their_labels(where: str, tmp_path: Path) -> None:
    rows = source() if where == "memory" else mapped(tmp_path / "rows.npy")
    assert (rows.num_rows, rows.num_heldout) == (15, 5)
    batches = [rows.batch(torch.arange(15)), rows.heldout_batch(torch.tensor([4, 0, 1, 2, 3]))]
    seen = torch.cat([batch.data for batch in batches])
    assert torch.equal(seen.sort(0).values, ROWS)
    for batch in batches:
        assert batch.condition is not None
        assert torch.equal(LABELS[(batch.data[:, 0, 0] / 6).long()], batch.condition)
    moved = rows.to(torch.device("cpu"))
    assert torch.equal(moved.batch(torch.tensor([3])).data, batches[0].data[3:4])
    info = check(kit.info(rows, SAMPLE, {"rate_hz": 8000}))
    counts = torch.bincount(batches[0].condition)  # type: ignore[arg-type]
    assert info.condition == ClassCondition(tuple(counts.tolist()), ("0", "1", "2", "3"))
    assert info.payload == {"rate_hz": 8000}
    options = {"payload": {"scale": 2.0, "rate_hz": 1}}
    own = source(**options) if where == "memory" else mapped(tmp_path / "own.npy", **options)
    assert check(kit.info(own.to(torch.device("cpu")), SAMPLE)).payload == {"scale": 2.0, "rate_hz": 1}
    assert check(kit.info(own, SAMPLE, {"rate_hz": 8000})).payload == {"scale": 2.0, "rate_hz": 8000}
    assert "5 more rows are held out" in info.notes[0]


def test_both_sources_give_the_same_rows(tmp_path: Path) -> None:
    order = torch.tensor([7, 0, 14])
    assert torch.equal(mapped(tmp_path / "rows.npy").batch(order).data, source().batch(order).data)


@pytest.mark.parametrize("change", ["row", "label", "seed"])
def test_the_fingerprint_tells_other_data(change: str, tmp_path: Path) -> None:
    data, labels = ROWS.clone(), LABELS.clone()
    seed = int(change == "seed")
    if change == "row":
        data[kit.heldout_split(20, 0.25)[0][0]] += 1
    if change == "label":
        labels[kit.heldout_split(20, 0.25)[0][0]] += 1
    other = kit.tensor_source("rows", data, labels, heldout=0.25, seed=seed)
    assert source().fingerprint == source().fingerprint != other.fingerprint
    usual = mapped(tmp_path / "rows.npy").fingerprint
    np.save(tmp_path / "other.npy", data.numpy())
    assert usual != kit.mapped_source(tmp_path / "other.npy", labels, heldout=0.25, seed=seed).fingerprint
    assert usual == mapped(tmp_path / "again.npy").fingerprint


def test_attributes_are_standardised_by_training_rows() -> None:
    values = torch.stack([torch.arange(20.0), torch.full((20,), 7.0)], 1)
    rows = kit.tensor_source("rows", ROWS, values, attribute_names=("level", "constant"), heldout=0.25)
    assert rows.labels is not None
    torch.testing.assert_close(rows.labels[:, 0].mean(), torch.tensor(0.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(rows.labels[:, 0].std(correction=0), torch.tensor(1.0))
    assert (rows.labels[:, 1] == 0).all()
    condition = rows.condition
    assert isinstance(condition, AttributeCondition)
    mean, deviation = condition.scales[0]
    at = rows.data[:, 0, 0] / 6
    torch.testing.assert_close(rows.labels[:, 0] * deviation + mean, at)
    check(kit.info(rows, SAMPLE))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.zeros(3), "labels has 3 entries for 20 rows"),
        (torch.zeros(20, 2), "Give attribute_names"),
        (torch.full((20,), 0.5), "one whole number a row"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Tensor, said: str) -> None:
    with pytest.raises(UserError, match=said):
        kit.tensor_source("rows", ROWS, labels)


def test_more_classes_than_names_are_refused() -> None:
    with pytest.raises(UserError, match="class 3, and class_names names 2 classes"):
        source(class_names=("a", "b"))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(number: float, tmp_path: Path) -> None:
    data = torch.zeros(600, 2, 3)
    data[570, 1, 2] = number
    np.save(tmp_path / "signals.npy", data.numpy())
    with pytest.raises(UserError, match=r"signals: row 570, counted from 0, has a number that is NaN or infinite"):
        kit.tensor_source("signals", data)
    with pytest.raises(UserError, match=r"signals.npy: row 570, counted from 0"):
        kit.mapped_source(tmp_path / "signals.npy")
    cleaned = kit.mapped_source(
        tmp_path / "signals.npy", transform=lambda rows: torch.from_numpy(rows).nan_to_num(0, 0, 0)
    )
    assert torch.isfinite(cleaned.batch(torch.arange(500)).data).all()
    values = torch.zeros(20, 1).index_fill(0, torch.tensor([3]), number)
    with pytest.raises(UserError, match=r"The attributes of rows: row 3, counted from 0"):
        kit.tensor_source("rows", ROWS, values, attribute_names=("level",))


def test_files_that_cannot_be_mapped_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((1, 3)))
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["one", "two"]))
    for name in ("one", "text", "objects", "words", "missing"):
        with pytest.raises(UserError, match=f"{name}.npy"):
            kit.mapped_source(tmp_path / f"{name}.npy")


# --- the evaluator


def ring(num: int, seed: int) -> Tensor:
    angle = 2 * torch.pi * torch.rand(num, generator=torch.Generator().manual_seed(seed))
    return torch.stack([angle.cos(), angle.sin()], 1)


def corners(points: Tensor) -> Tensor:
    """How near a point is to each of eight places on the circle."""
    angle = torch.arange(8) * torch.pi / 4
    return (-torch.cdist(points, torch.stack([angle.cos(), angle.sin()], 1)).square() / 0.1).exp()


def measured(rows: kit.TensorSource, fakes: Tensor, extract: Any = corners) -> dict[str, Any]:
    evaluator = kit.FeatureEvaluator(rows, extract, "corners", num_samples=500)
    said: list[str] = []
    evaluator.prepare(said.append)
    assert said == ["Computing the features (corners) of real rows."]
    return {record.name.partition("[")[0]: record for record in evaluator.evaluate(fakes, None, None)}


def test_real_samples_score_as_the_reference_and_the_controls_fail() -> None:
    rows = kit.tensor_source("ring", ring(5_000, 0), heldout=0.2)
    good, bad = measured(rows, ring(500, 9)), measured(rows, 0.5 * ring(500, 9))
    assert good["frechet"].value < 5 * good["frechet"].reference < bad["frechet"].value
    assert set(good["frechet"].protocol["controls"]) == {"noise", "shuffled numbers"}
    assert min(good["frechet"].protocol["controls"].values()) > 5 * good["frechet"].reference
    assert good["copy_rate"].value < 0.05
    assert good["copy_rate"].protocol["controls"]["copies of training rows"] > 0.9
    assert "cannot_judge" not in good["frechet"].protocol
    copied = measured(rows, rows.data[:500])
    assert copied["copy_rate"].value > 0.9
    assert copied["frechet"].value < bad["frechet"].value


def test_features_that_do_not_tell_controls_from_real_rows_cannot_judge() -> None:
    """Mean and covariance of a circle are those of noise with its deviation."""
    rows = kit.tensor_source("ring", ring(5_000, 0), heldout=0.2)
    record = measured(rows, ring(500, 9), kit.flat)["frechet"]
    assert "too near to tell the two apart" in record.protocol["cannot_judge"]


def test_without_held_out_rows_copies_are_not_searched() -> None:
    rows = kit.tensor_source("ring", ring(600, 0), heldout=0.0)
    found = measured(rows, ring(500, 9))
    assert set(found) == {"frechet"}
    assert found["frechet"].protocol["split"] == "training"
    assert found["frechet"].protocol["num_real"] == 300
    assert found["frechet"].reference > 0
    again = measured(rows, ring(500, 9))
    assert again["frechet"].reference == found["frechet"].reference


@pytest.mark.parametrize("num", [2, 3, 4])
def test_a_few_rows_have_a_reference_of_halves_or_none(num: int) -> None:
    record = measured(kit.tensor_source("ring", ring(num, 0), heldout=0.0), ring(10, 9))["frechet"]
    if num < 4:
        assert record.reference is None
        assert f"{num} training rows are too few for a reference" in record.protocol["cannot_judge"]
    else:
        assert record.reference > 0


def test_the_spread_of_a_collapsed_generator_is_small() -> None:
    evaluator = kit.FeatureEvaluator(kit.tensor_source("ring", ring(600, 0)))
    assert evaluator.quick(ring(64, 1)).diversity == pytest.approx(1, abs=0.1)
    assert evaluator.quick(0.01 * ring(64, 1)).diversity < 0.02


# --- files


@pytest.mark.parametrize("ending", kit.ENDINGS)
def test_samples_come_back_from_files(ending: str, tmp_path: Path) -> None:
    info, path = kit.info(source(), SAMPLE), tmp_path / f"samples{ending}"
    samples = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    assert kit.write_numbers(samples, path, info) == [path]
    assert torch.equal(kit.read_numbers([path, path], info), torch.cat([samples, samples]))
    other = dataclasses.replace(info, sample=SampleInfo({"time": 7}, "seven steps"))
    with pytest.raises(UserError, match=r"does not hold samples of shape \(7,\)"):
        kit.read_numbers([path], other)


@pytest.mark.parametrize(
    ("ending", "found"), [(".csv", "4 lines of 9 numbers"), (".npy", r"an array of shape \(4, 9\)")]
)
def test_rows_of_another_size_are_refused(ending: str, found: str, tmp_path: Path) -> None:
    """4 rows of 9 numbers are not 6 samples of 6 numbers."""
    info, path = kit.info(source(), SAMPLE), tmp_path / f"others{ending}"
    kit.write_numbers(torch.zeros(4, 9), path, info)
    with pytest.raises(UserError, match=rf"others{ending} .* \(2, 3\): it has {found}. Each sample needs 6 numbers"):
        kit.read_numbers([path], info)


def test_samples_may_be_one_array_or_rows_of_all_numbers(tmp_path: Path) -> None:
    info, path = kit.info(source(), SAMPLE), tmp_path / "samples.npy"
    for rows in (ROWS[0], ROWS[:1], ROWS[:1].flatten(1)):
        np.save(path, rows.numpy())
        assert torch.equal(kit.read_numbers([path], info), ROWS[:1])
    np.save(path, np.full((1, 2, 3), np.nan))
    with pytest.raises(UserError, match=r"samples.npy: row 0, counted from 0"):
        kit.read_numbers([path], info)
    np.save(path, np.zeros((0, 2, 3)))
    with pytest.raises(UserError, match=r"an array of shape \(0, 2, 3\)"):
        kit.read_numbers([path], info)


def test_arrays_with_labels_are_read_as_train_writes_them(tmp_path: Path) -> None:
    for labels in (LABELS.numpy() + 5, np.array(["5", "6", "7", "8"])[LABELS.numpy()]):
        path = in_memory.read((ROWS.numpy(), labels)).write(tmp_path / "written")
        assert path.suffix == ".npz"
        rows, classes, names = kit.read_arrays(path)
        assert torch.equal(rows, ROWS)
        assert classes is not None
        assert torch.equal(classes, LABELS)
        assert names == ("5", "6", "7", "8")
        assert kit.tensor_source("rows", rows, classes, class_names=names).condition is not None
        assert torch.equal(kit.read_numbers([path], kit.info(source(), SAMPLE)), ROWS)
    path = in_memory.read(ROWS.numpy()).write(tmp_path / "plain")
    assert path.suffix == ".npy"
    rows, classes, names = kit.read_arrays(path)
    assert (classes, names) == (None, ())
    assert torch.equal(rows, ROWS)


def test_arrays_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "names.npz", data=ROWS.numpy())
    np.savez(tmp_path / "few.npz", x=ROWS.numpy(), labels=np.zeros(3, int))
    np.save(tmp_path / "words.npy", np.array([["a"], ["b"]]))
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "text.npy").write_text("no array")
    for name, said in (
        ("names.npz", "has no array 'x'; it has data"),
        ("few.npz", r"labels\] has shape \(3,\) .* expected \(20,\)"),
        ("words.npy", "expected numbers"),
        ("flat.npy", r"shape \(3,\); expected \(N, ...\)"),
        ("text.npy", "not a NumPy array file"),
        ("missing.npy", "cannot be read"),
    ):
        with pytest.raises(UserError, match=said):
            kit.read_arrays(tmp_path / name)


def test_files_of_rows_of_a_shape_are_recognised(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS.numpy())
    np.savez(tmp_path / "rows.npz", x=ROWS.numpy(), labels=LABELS.numpy())
    np.savez(tmp_path / "other.npz", data=ROWS.numpy())
    (tmp_path / "text.npy").write_text("no array")
    for name in ("rows.npy", "rows.npz"):
        where = str(tmp_path / name)
        assert kit.holds_arrays(where)
        assert kit.holds_arrays(where, (2, None))
        assert not kit.holds_arrays(where, (1, None))
        assert not kit.holds_arrays(where, (None,))
    for name in ("other.npz", "text.npy", "missing.npy", "", "rows"):
        assert not kit.holds_arrays(str(tmp_path / name))


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .wav. Use .npy or .csv"):
        kit.write_numbers(ROWS, tmp_path / "x.wav", kit.info(source(), SAMPLE))
    with pytest.raises(UserError, match="does not hold samples"):
        kit.read_numbers([tmp_path / "missing.csv"], kit.info(source(), SAMPLE))
