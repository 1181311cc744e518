"""Exports hold what the original makes, for any batch; a copy that differs is not kept; the hub's folder is a run's."""

from __future__ import annotations

import json
import re
import resource
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

import published
from zerosum.api import load
from zerosum.errors import UserError
from zerosum.generation.export import exporting, huggingface
from zerosum.generation.export import program as exported
from zerosum.generation.export.exporting import export

CASES = [("conv", {"classes": 3}), ("mlp", {"attributes": 2})]


@pytest.mark.parametrize(("kind", "of"), CASES)
def test_torch_export_makes_the_same_samples(tmp_path: Path, kind: str, of: dict[str, int]) -> None:
    run = published.generator(tmp_path / "run", kind, latent=8, **of)
    done = export(run, "torch", tmp_path / "out")
    assert [path.name for path in done.paths] == ["generator.pt2", "generator.json"]
    program = torch.export.load(tmp_path / "out" / "generator.pt2").module()
    for num in (1, 3, 33):
        condition = run.condition(num, 4)
        given = [run.sampler.noise(num, 4), *([] if condition is None else [condition])]
        torch.testing.assert_close(program(*given), run.sample(num, 4))
    assert list((tmp_path / "out").iterdir()) != []
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(("kind", "of", "runtime"), [(*CASES[0], True), ("style", {"size": 8}, False)])
def test_onnx_makes_the_same_samples(
    tmp_path: Path, kind: str, of: dict[str, int], runtime: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked by onnxruntime, and without it by the reference evaluator of onnx."""
    pytest.importorskip("onnxscript")
    if runtime:
        pytest.importorskip("onnxruntime")
    else:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    run = published.generator(tmp_path / "run", kind, latent=8, **of)
    done = export(run, "onnx", tmp_path / "out")
    assert done.check["by"].startswith("onnxruntime" if runtime else "the reference evaluator")
    model = onnx.load(done.paths[0])
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [exporting.OPSET]
    properties = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    assert properties["range"] == [-1, 1]
    assert properties["prior"] == {"kind": "normal", "size": 8}
    names = [given["name"] for given in properties["inputs"]]
    # A second way than the check's onnxruntime, at a size of its own.
    num = 5
    condition = run.condition(num, 4)
    given = [run.sampler.noise(num, 4), *([] if condition is None else [condition])]
    fed = {name: value.numpy() for name, value in zip(names, given, strict=True)}
    (made,) = ReferenceEvaluator(model).run(["samples"], fed)
    torch.testing.assert_close(torch.from_numpy(made), run.sample(num, 4), rtol=0, atol=1e-3)


def test_the_check_is_told_and_recorded(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8, classes=2)
    done = export(run, "torch", tmp_path / "out")
    about = json.loads(done.paths[1].read_text())
    assert about["check"] == dict(done.check)
    assert about["check"]["largest_difference"] <= about["check"]["tolerance"] == exporting.TOLERANCE["torch"]
    assert about["inputs"][0] == {"name": "noise", "dtype": "float32", "shape": ["batch", 8]}
    assert about["inputs"][1] == {"name": "labels", "dtype": "int64", "shape": ["batch"]}
    assert about["output"]["shape"] == ["batch", 1, 16, 16]
    assert about["classes"] == ["class0", "class1"]


def test_a_copy_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    exact = exporting._load_torch

    def shifted(path: Path) -> object:
        copy, by = exact(path)
        return lambda *given: copy(*given) + 0.01, by

    monkeypatch.setattr(exporting, "_load_torch", shifted)
    with pytest.raises(UserError, match=r"differs from the original by 0\.01, more than the tolerance"):
        export(run, "torch", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(
        exporting, "_load_torch", lambda path: (lambda *given: exact(path)[0](*given) * float("nan"), "")
    )
    with pytest.raises(UserError, match="differs"):
        export(run, "torch", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_network_that_lets_rounding_grow_is_allowed_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    monkeypatch.setattr(run.sampler.network, "forward", lambda noise: (1000 * noise).sin())
    check = exported.check_copy(run, lambda noise: (1000 * noise * (1 + 1e-6)).sin(), 1e-4)
    assert 1e-4 < check["largest_difference"] < check["tolerance"] < 0.1
    with pytest.raises(UserError, match=r"differs from the original by 0\.1\d*, more than the tolerance 0\.0"):
        exported.check_copy(run, lambda noise: (1000 * noise).sin() + 0.1, 1e-4)


def test_a_copy_that_is_slow_is_compared_on_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    monkeypatch.setattr(exported, "ENOUGH_S", 0.0)
    assert export(run, "torch", tmp_path / "out").check["batches"] == [1, 2]


@pytest.mark.parametrize("kind", ["torch", "onnx", "huggingface"])
def test_a_full_disk_ends_in_one_message_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match=f"Cannot write {re.escape(str(tmp_path / 'out'))}: File too large"):
            export(run, kind, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_unconditional_generator_of_data_with_classes_goes_to_the_hub(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8, classes=huggingface.COLUMNS, conditional=False)
    export(run, "huggingface", tmp_path / "out")
    made = Image.open(tmp_path / "out" / "grid.png")
    assert made.width > made.height > 60


def test_linear_outputs_are_brought_into_the_range(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8, options={"output": "linear"})
    with torch.no_grad():
        run.sampler.network.layers[-2].weight.mul_(30)
    assert float(run.sampler.sample(8, 0).abs().max()) > 2
    assert float(run.sample(8, 0).abs().max()) == 1
    assert export(run, "torch", tmp_path / "out").check["largest_difference"] == 0


# --- the hub's layout


@pytest.mark.parametrize(("kind", "of"), [*CASES, ("conv", {"classes": 3, "prior": {"kind": "uniform"}})])
def test_the_hub_folder_is_a_generator_again(tmp_path: Path, kind: str, of: dict[str, int]) -> None:
    run = published.generator(tmp_path / "run", kind, latent=8, **of)
    done = export(run, "huggingface", tmp_path / "hub", "cc-by-4.0")
    assert sorted(path.name for path in done.paths) == ["README.md", "config.json", "grid.png", "model.safetensors"]
    again = load(tmp_path / "hub")
    torch.testing.assert_close(again.sample(9, 3), run.sample(9, 3), rtol=0, atol=0)
    with safe_open(tmp_path / "hub" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["step"] == 7
    with pytest.raises(UserError, match="not empty"):
        export(run, "huggingface", tmp_path / "run")


@pytest.mark.parametrize(("kind", "of"), CASES)
def test_the_programs_of_the_model_card_run(
    tmp_path: Path, kind: str, of: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = published.generator(tmp_path / "run", kind, latent=8, **of)
    export(run, "huggingface", tmp_path / "hub")
    card = (tmp_path / "hub" / "README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    assert len(programs) == 2
    monkeypatch.chdir(tmp_path / "hub")
    for program in programs:
        (tmp_path / "program.py").write_text(program)
        samples = runpy.run_path(str(tmp_path / "program.py"))["samples"]
        assert samples.shape == (16, 1, 16, 16)
        assert float(samples.detach().abs().max()) <= 1


def test_the_model_card_tells_what_was_recorded(tmp_path: Path) -> None:
    published.generator(tmp_path / "run", "conv", latent=8, classes=2)
    record = {
        "name": "frechet[x,n=10]",
        "value": 1.5,
        "protocol": {"extractor": "x", "num_fake": 10},
        "better": "lower",
        "meaning": "",
        "reference": 0.5,
        "error": 0.25,
    }
    unsure = {**record, "name": "recall[x,n=10]", "protocol": {**record["protocol"], "cannot_judge": "Too few."}}
    line = {"step": 7, "kind": "evaluation", "records": [record, unsure]}
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    export(load(tmp_path / "run"), "huggingface", tmp_path / "hub", "cc-by-4.0")
    card = (tmp_path / "hub" / "README.md").read_text()
    front = card.split("---\n")[1]
    assert "license: cc-by-4.0\n" in front
    assert "library_name: zerosum\n" in front
    assert "| Fréchet | 1.5 ± 0.25 | 0.5 | lower |  |" in card
    assert "| recall | 1.5 ± 0.25 | 0.5 | cannot judge |  |" in card
    assert "For all of them: extractor x, num fake 10." in card
    assert "7 steps" in card
    assert "one of 2 classes: 0 class0, 1 class1 |" in card
    assert "f" * 64 in card
    assert "license: unknown\n" in (_card_without_licence(tmp_path))


def _card_without_licence(folder: Path) -> str:
    export(load(folder / "run"), "huggingface", folder / "free")
    return (folder / "free" / "README.md").read_text()


def test_unknown_formats_and_places_are_refused(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    with pytest.raises(UserError, match="choose torch, onnx, huggingface"):
        export(run, "tflite", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        export(run, "torch", tmp_path / "file")


def test_a_network_that_cannot_be_exported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)

    def restless(noise: torch.Tensor) -> torch.Tensor:
        return noise if float(noise.sum()) > 0 else -noise  # a branch on the values

    monkeypatch.setattr(run.sampler.network, "forward", restless)
    with pytest.raises(UserError, match="MlpGenerator cannot be exported as torch: "):
        export(run, "torch", tmp_path / "out")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = published.generator(tmp_path / "run", "mlp", latent=8)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"needs the package onnx: pip install 'zerosum\[onnx\]'"):
        export(run, "onnx", tmp_path / "out")


def test_an_export_for_others_is_no_run_and_says_what_it_is(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", "conv", latent=8, classes=3)
    export(run, "torch", tmp_path / "out")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "out")
    message = str(caught.value)
    assert "is an export for other programs (--format torch)" in message
    assert "torch.export.load(" in message
    assert "noise ['batch', 8] float32 and labels ['batch'] int64" in message
    assert "--format huggingface" in message
