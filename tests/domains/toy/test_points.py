"""Sources of points: drawn from densities and read from files, with errors that say where the fault lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum import catalog
from zerosum.domains.toy import DOMAIN, densities, files
from zerosum.domains.toy.data import can_open, open_source
from zerosum.domains.toy.densities import kernel_estimate
from zerosum.errors import UserError
from zerosum.recipe import part


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def normal_rows(path: Path, num: int = 2_000) -> Path:
    rows = torch.randn(num, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = rows * torch.tensor([30.0, 0.02]) + torch.tensor([170.0, 5.0])
    body = "\n".join(f"{x!r},{y!r}" for x, y in rows.tolist())
    return table(path, f"height,density\n{body}\n")


def test_a_density_is_drawn_the_same_each_time_and_other_seeds_differ() -> None:
    first, again = (open_source(part("ring", num=500), False) for _ in range(2))
    other = open_source(part("ring", num=500, seed=1), False)
    assert torch.equal(first.data, again.data)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (first.num_rows, first.num_heldout) == (500, 50)
    assert first.data.dtype == torch.float32
    assert not torch.isin(first.data, first.heldout).all(1).any()


def test_facts_rebuild_the_density_with_its_options() -> None:
    source = open_source(part("ring", modes=5, spread=0.1, num=10), False)
    density = densities.of(source.info())
    assert density.modes is not None
    assert (len(density.modes), density.spread) == (5, 0.1)
    drawn = densities.of(open_source(part("drawn", points=[[0.0], [2.0]], spread=0.2), False).info())
    assert drawn.log_prob(torch.tensor([[0.5]])).item() == pytest.approx(
        densities.drawn(points=((0.0,), (2.0,)), spread=0.2).log_prob(torch.tensor([[0.5]])).item()
    )


def test_every_named_source_opens_and_is_ours() -> None:
    for name, info in DOMAIN.data.sources().items():
        assert catalog.recognise(name).name == "toy"
        source = open_source(part(name, num=50), False)
        assert source.data.shape == (50, info.details["num_dims"])
        assert {"num", "seed"} <= set(info.details["options"])


def test_a_file_is_standardised_and_written_back_in_its_own_units(tmp_path: Path) -> None:
    source = open_source(part(str(normal_rows(tmp_path / "people.csv"))), False)
    assert (source.name, source.columns, source.exact) == ("people", ("height", "density"), False)
    assert (source.num_rows, source.num_heldout) == (1_800, 200)
    both = torch.cat([source.data, source.heldout]).double()
    torch.testing.assert_close(both.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(both.std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0)
    info = source.info()
    out = tmp_path / "out.csv"
    assert files.write(source.data, out, info) == [out]
    assert out.read_text(encoding="utf-8").splitlines()[0] == "height,density"
    torch.testing.assert_close(files.read([out], info), source.data, atol=2e-6, rtol=0)
    files.write(source.data, tmp_path / "out.npy", info)
    assert np.load(tmp_path / "out.npy").mean(0) == pytest.approx([170, 5], abs=3)
    files.write(source.data, tmp_path / "out.png", info)
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UserError, match=r"\.csv, \.npy or \.png"):
        files.write(source.data, tmp_path / "out.jpg", info)


@pytest.mark.parametrize(
    "text",
    ["x,y\n1,2\n3,5\n", "1,2\n3,5\n", "\ufeff# made by hand\n1;2\n\n3;5\n", "1\t2\n3\t5", '"x","y"\n"1","2"\n3,5\n'],
)
def test_the_same_table_in_many_dresses(tmp_path: Path, text: str) -> None:
    found, names = files.read_table(table(tmp_path / "points.csv", text))
    assert found.tolist() == [[1, 2], [3, 5]]
    assert names == ("x", "y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,x\n", r"line 2: 'x' is not a number"),
        ("a\n1\n\n\nnan\n", r"line 5: 'nan' is not finite"),
        ("1,2\n3\n", r"line 2: 1 values where 2"),
        ("1,2,3\n", r"line 1: 3 columns"),
        ("x,y\n", r"holds no numbers"),
        ("", r"holds no numbers"),
        ("1,2\n", r"holds one point"),
        ("a,b\n1,2\n3,2\n", r"column 'b' is 2 in every line"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_source(part(str(table(tmp_path / "points.csv", text))), False)


def test_what_is_recognised(tmp_path: Path) -> None:
    assert can_open("ring")
    assert not can_open("rings")
    assert can_open(str(table(tmp_path / "a.csv", "x\n1\n2\n")))
    assert can_open(str(table(tmp_path / "late.csv", "x,y\n?,?\n1,2\n")))  # so that the fault can be named
    assert not can_open(str(table(tmp_path / "words.csv", "text,label\nhello,good\n")))
    assert not can_open(str(table(tmp_path / "wide.csv", "1,2,3\n")))
    assert not can_open(str(table(tmp_path / "a.txt", "1,2\n")))
    assert not can_open(str(tmp_path / "missing.csv"))
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    assert not can_open(str(tmp_path / "binary.csv"))
    assert not can_open(str(tmp_path))


def test_unknown_options_and_names_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'num'"):
        open_source(part("ring", nmu=5), False)
    with pytest.raises(UserError, match="heldout must lie"):
        open_source(part(str(normal_rows(tmp_path / "a.csv", 20)), heldout=1.0), False)
    with pytest.raises(UserError, match="neither a named density nor a CSV"):
        open_source(part("ringg"), False)
    with pytest.raises(UserError, match="CSV file of one or two columns"):
        catalog.recognise("nothing-of-this-name")


def test_the_estimate_of_a_file_comes_near_its_density() -> None:
    """KL(truth || estimate) of a normal in the plane, over fresh points; the spread is chosen by the points alone."""
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    found = densities.build(**kernel_estimate(points))
    fresh = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(2)).double()
    truth = -0.5 * fresh.square().sum(1) - float(torch.log(torch.tensor(2 * torch.pi)))
    assert 0 < float((truth - found.log_prob(fresh)).mean()) < 0.1
    assert 0.2 < float(found.scales[0]) < 0.7


def test_points_far_from_the_origin_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Places in metres of a UTM grid, to the millimetre: float32 has steps of half a metre there."""
    rows = np.array([500_000.0, 5_600_000.0]) + np.random.default_rng(0).normal(size=(300, 2)).round(3)
    path = tmp_path / "places.csv"
    np.savetxt(path, rows, delimiter=",", header="east,north", comments="", fmt="%.3f")
    source = open_source(part(str(path), heldout=0.0), False)
    for suffix in (".csv", ".npy"):
        (out,) = files.write(source.data, tmp_path / f"out{suffix}", source.info())
        back = np.load(out) if suffix == ".npy" else np.loadtxt(out, delimiter=",", skiprows=1)
        np.testing.assert_allclose(np.sort(back, 0), np.sort(rows, 0), rtol=0, atol=1e-6)
    again = files.read([tmp_path / "out.csv"], source.info())
    torch.testing.assert_close(again, source.data, rtol=0, atol=1e-6)
