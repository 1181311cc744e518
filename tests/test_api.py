"""The Python API: data of all kinds, lengths, overrides, what a run holds and shows, and a function for each command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

import zerosum as zs
from zerosum.data import in_memory

QUICK = {"threads": 1, "batch": 16}
NUM = 120


def pixels() -> Any:
    return (np.random.default_rng(0).random((NUM, 1, 8, 8)) * 255).astype(np.uint8)


def labels() -> Any:
    return np.arange(NUM) % 3


class Pairs(Dataset[Any]):
    """Pictures with a class, as torchvision's datasets give them."""

    classes = ("cat", "dog", "eel")

    def __init__(self, as_picture: bool) -> None:
        self.as_picture, self.pixels = as_picture, pixels()

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = Image.fromarray(self.pixels[index, 0])
        return (picture if self.as_picture else torch.tensor(self.pixels[index])), index % 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> zs.Run:
    return zs.train((pixels(), labels()), "cgan", steps=3, out=tmp_path_factory.mktemp("api") / "run", overrides=QUICK)


def test_dir_lists_the_public_names_and_imports_nothing() -> None:
    assert dir(zs) == sorted(zs.__all__)
    assert {"train", "resume", "sample", "compare", "baseline", "recipes", "sources", "doctor"} <= set(dir(zs))
    code = "import sys, zerosum; dir(zerosum); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert all(getattr(zs, name) is not None for name in dir(zs))


def test_arrays_with_labels_are_kept_for_resume_and_evaluation(trained: zs.Run) -> None:
    kept = np.load(trained.folder.root / "in_memory_data" / "array.npz")
    np.testing.assert_array_equal(kept["x"], pixels())
    np.testing.assert_array_equal(kept["labels"], labels())
    longer = zs.resume(trained, steps=4)
    assert longer.folder.read("status.json")["step"] == 4
    assert {record["name"] for record in zs.evaluate(longer)} == {record["name"] for record in longer.metrics}


@pytest.mark.parametrize("kind", ["pictures", "tensors", "loader"])
def test_a_dataset_brings_its_classes(kind: str, tmp_path: Path) -> None:
    data: Any = Pairs(as_picture=kind == "pictures")
    if kind == "loader":
        data = DataLoader(data, batch_size=7, shuffle=True)
    held = in_memory.read(data)
    assert held.name == "pairs"
    run = zs.train(data, "cgan", steps=1, out=tmp_path / "run", overrides=QUICK)
    assert run.sampler.info.class_names == ("cat", "dog", "eel")
    assert run.sampler.info.num_rows + run.sampler.info.num_heldout == NUM
    assert run.sample(4, labels="dog").shape == (4, 1, 8, 8)
    assert torch.equal(run.sample(4, label="dog"), run.sample(4, labels="dog"))
    with pytest.raises(zs.UserError, match="label and labels are the same"):
        run.sample(4, labels="dog", label="dog")


def test_every_kind_of_data_in_memory_is_recognised(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = torch.randn(NUM, 2, generator=torch.Generator().manual_seed(0))
    table = pandas.DataFrame({"age": range(NUM), "name": ["a", "b"] * (NUM // 2)})
    cases = {
        "points of a plane": (rows, "toy"),
        "TensorDataset": (TensorDataset(rows), "toy"),
        "frame": (table, "tables"),
        "clouds": (np.random.default_rng(0).normal(size=(NUM, 40, 3)), "points"),
        "pictures": ([Image.fromarray(one[0]) for one in pixels()], "images"),
        "bfloat16": (torch.rand(NUM, 3, 16, 16).bfloat16(), "images"),
        "nested list": (rows.tolist(), "toy"),
    }
    for number, (name, (data, domain)) in enumerate(cases.items()):
        where = in_memory.read(data).write(tmp_path / str(number))
        assert _domain(where) == domain, name


def _domain(where: Path) -> str:
    from zerosum import catalog

    return catalog.recognise(str(where)).name


def test_a_matrix_is_a_table_when_it_is_said_and_epochs_count_rows(tmp_path: Path) -> None:
    run = zs.train(
        torch.randn(300, 4), domain="tables", epochs=2, out=tmp_path / "run", seed=5, overrides={**QUICK, "batch": 50}
    )
    rows = run.sampler.info.num_rows
    assert run.recipe.steps == -(-2 * rows // 50)
    assert (run.recipe.seed, run.domain.name) == (5, "tables")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "data: got dict with the keys a. Possible are a name"),
        ([1, "x"], "data: got list of 2 x int and str"),
        (np.zeros((5, 5, 5, 5, 5)), r"an array of shape \(5, 5, 5, 5, 5\) and type float64 is not recognised"),
        (torch.zeros(50, 5), "a table with domain='tables'"),
        (np.array([[None, 1]]), "got ndarray of shape .* and type object"),
        ((np.zeros((4, 8, 8)), np.zeros(3)), r"labels of shape \(3,\) and type float64 for 4 rows"),
        (TensorDataset(torch.zeros(4, 8, 8), torch.zeros(4), torch.zeros(4)), "gives 3 values for each row"),
        (TensorDataset(torch.zeros(4, 8, 8), torch.zeros(4, 2)), r"a label of the dataset .* has shape \(2,\)"),
    ],
)
def test_wrong_data_are_named_with_what_is_possible(data: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(zs.UserError, match=message):
        zs.train(data, steps=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lengths_and_domains_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(zs.UserError, match="steps and epochs both set the length"):
        zs.train("ring", steps=1, epochs=1, out=tmp_path / "run")
    with pytest.raises(zs.UserError, match="domain = 'images', but the recipe belongs to the domain 'toy'"):
        zs.train("ring", "toy", domain="images", steps=1, out=tmp_path / "run")
    with pytest.raises(zs.UserError, match=r"There is no logger 'wandbb'\. Did you mean 'wandb'"):
        zs.train("ring", log="wandbb", out=tmp_path / "run")


def test_a_run_shows_itself_and_holds_its_parts(trained: zs.Run) -> None:
    status = trained.folder.read("status.json")
    assert repr(trained) == f"<Run run: cgan, step {status['step']} of {status['steps']}, finished>"
    assert 'src="data:image/png;base64,' in trained._repr_html_()
    noise, condition = torch.zeros(2, trained.recipe.prior.size), torch.tensor([0, 1])
    assert not trained.generator.training
    fakes = trained.generator(noise, condition)
    assert fakes.shape == (2, 1, 8, 8)
    assert not trained.discriminator.training
    assert trained.discriminator(fakes, condition) is not None
    history = trained.history
    assert list(history["step"])[:3] == [1, 2, 3]
    assert {"discriminator/loss", "generator/loss", "samples", "seconds"} <= set(history.columns)
    assert Path(trained.folder) == trained.path


def test_the_functions_of_the_other_commands(trained: zs.Run, tmp_path: Path) -> None:
    same = zs.load(trained.path).sample(3, seed=2)
    torch.testing.assert_close(zs.sample(trained.path, 3, seed=2), same)
    assert trained.interpolate(num=5, out=tmp_path / "walk.gif").shape == (5, 1, 8, 8)
    assert (tmp_path / "walk.gif").is_file()
    found = trained.project(torch.zeros(1, 1, 8, 8), steps=2)
    assert found.samples.shape == (1, 1, 8, 8)
    assert "cgan" in zs.recipes()
    assert "digits" in zs.sources()
    assert "torch" in str(zs.doctor())
    assert "torch" in str(zs.doctor())  # a module of that name would replace the function
    assert trained.report().is_file()


def test_processes_of_one_machine_train_from_python(tmp_path: Path) -> None:
    run = zs.train("ring", "toy", steps=2, devices=2, out=tmp_path / "run", overrides={"threads": 1})
    assert run.stopped_by == 0
    assert run.folder.read("status.json")["step"] == 2
    with pytest.raises(zs.UserError, match="callbacks run in one process"):
        zs.train("ring", devices=2, callbacks=[print], out=tmp_path / "other")
