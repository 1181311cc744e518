"""Each benchmark runs at its smallest size and ends with one JSON line that says what it measured, where, and how it compares."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

import infos
from zerosum import catalog
from zerosum.cli import app
from zerosum.planning import plan
from zerosum.recipe import override, part

FOLDER = Path(__file__).parents[1] / "benchmarks"
MACHINE = {"cpu", "cores", "torch", "threads", "amx", "avx512_bf16"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scripts lie outside the package; nothing they write stays."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)


def _line(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, *options: str) -> dict[str, Any]:
    file = tmp_path / "line.json"
    returned = importlib.import_module(name).main(["--smoke", "--threads", "1", "--json", str(file), *options])
    printed = capsys.readouterr().out.strip().splitlines()
    assert len(printed) > 2
    line: dict[str, Any] = json.loads(printed[-1])
    assert line == json.loads(file.read_text()) == json.loads(json.dumps(returned))
    assert line["benchmark"] == name
    assert line["machine"].keys() >= MACHINE
    assert line["machine"]["threads"] == 1
    return line


def _is_ratio_of(found: dict[str, Any], sides: dict[str, dict[str, float]]) -> None:
    """The ratio belongs to the two sides that it names, the right way round."""
    fast, slow = found["name"].split(" over ")
    expected = sides[slow]["median_ms"] / sides[fast]["median_ms"]
    assert found["of_medians"] == pytest.approx(expected, rel=1e-2)
    assert found["quartiles"][0] <= found["value"] <= found["quartiles"][1]
    assert found["rounds"] == 2


@pytest.mark.parametrize("name", ["tutorial_step", "dcgan_step"])
def test_steps_compare_both_usual_loops_with_ours(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = _line(name, capsys, tmp_path, "--precision", "float32")
    assert len(line["sides"]) == 3
    assert line["finite"] is True
    assert line["data"].startswith("generated")
    assert line["ratios"][0]["least"] in (1.2, 1.1)
    for found in line["ratios"]:
        _is_ratio_of(found, line["sides"])


def test_overhead_compares_the_engine_with_a_bare_loop(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("overhead", capsys, tmp_path, "--precision", "float32")
    assert [found["pair"] for found in line["ratios"]] == ["mlp float32", "dcgan float32"]
    for found in line["ratios"]:
        _is_ratio_of(found, line["sides"])
        assert found["percent"] == pytest.approx(100 * (found["value"] - 1), abs=0.02)


def test_the_bare_loop_plays_the_engines_game() -> None:
    """Same weights, data and noise on both sides: the discriminator's first update is the same."""
    import ours
    import overhead
    import pictures
    from zerosum.engine import OptimizerConfig, UpdateRules
    from zerosum.engine.seeds import SeededNoise, rows_at

    class Scripted(overhead.Bare):
        def _reals(self) -> torch.Tensor:
            return source.batch(rows_at(0, 8, source.num_rows, 0)).data

        def _noise(self) -> torch.Tensor:
            return SeededNoise(0, 0, 0, 0, 8, 8, torch.device("cpu")).normal("noise", ours.LATENT)

    source, _ = pictures.load("cifar10", None, smoke=True)
    rules, learning = UpdateRules(), OptimizerConfig(lr=0.1, betas=(0.5, 0.999))
    pairs = []
    for _ in range(2):
        torch.manual_seed(0)
        pairs.append(ours.dcgan_pair(source.shape, 4, "none"))
    bare = Scripted(pairs[0], source, 8, learning, "float32", "cpu", one=False)
    engine = ours.Engine(pairs[1], source, batch=8, rules=rules, learning=learning, precision="float32")
    bare._discriminator_turn()
    engine.match._run_turn(
        engine.match.game.turns(0)[0], engine.match._micro_batches(0, engine.match.game.turns(0)[0], 0)
    )
    torch.testing.assert_close(dict(pairs[0][1].state_dict()), dict(pairs[1][1].state_dict()))


def test_sampling_compares_with_a_bare_forward_pass(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("sampling", capsys, tmp_path)
    assert len(line["ratios"]) == 2
    for found in line["ratios"]:
        _is_ratio_of(found, line["sides"])


def test_style_speed_compares_two_formulations_of_one_pair(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("style_speed", capsys, tmp_path, "--precision", "float32")
    assert line["difference"] < 1e-12  # the same networks, in float64
    (found,) = line["ratios"]
    _is_ratio_of(found, line["sides"])
    alone = _line("style_speed", capsys, tmp_path, "--layers")
    assert len(alone["ratios"]) == 4  # convolution and filter, each to first and second order
    for found in alone["ratios"]:
        _is_ratio_of(found, alone["sides"])


def test_sounds_are_scored_beside_real_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = _line("sound_score", capsys, tmp_path)["found"]
    assert set(found) == {"held-out clips", "held-out clips after Griffin-Lim", "training clips"}
    assert found["training clips"]["frechet"] == pytest.approx(0, abs=0.1)
    assert all(one["buzz"] > 0 for one in found.values())


def test_augment_speed_compares_steps_with_and_without(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("augment_speed", capsys, tmp_path)
    assert len(line["ratios"]) == 5
    for found in line["ratios"]:
        assert found["name"].startswith("no augmentation over ")
        _is_ratio_of(found, line["sides"])


def test_leak_check_counts_shares_that_grow(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = _line("leak_check", capsys, tmp_path)["found"]
    shares = [row["share"] for row in found]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.5
    assert [row["warns"] for row in found][::3] == [False, True]


def test_evaluation_stall_compares_with_and_without(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("evaluation_stall", capsys, tmp_path)
    assert line["ratios"][0]["place"] == "both on one core"
    for found in line["ratios"]:
        _is_ratio_of(found, line["sides"])
        assert found["percent"] == pytest.approx(100 * (found["value"] - 1), abs=0.02)


def test_startup_measures_whole_processes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = _line("startup", capsys, tmp_path)["values"]
    assert 0 < values["help_s"] < values["first_step_s"] < values["train_s"]
    assert values["memory_gb"] > 0.1


def test_quality_judges_every_side_with_one_classifier(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "grids"
    line = _line("quality_at_time", capsys, tmp_path, "--recipe", "dcgan", "rpgan", "--out", str(out))
    (mark,) = line["marks"]
    assert set(mark["sides"]) == {"zerosum-dcgan", "zerosum-rpgan", "dcgan-script", "tutorial-mlp"}
    for numbers in mark["sides"].values():
        assert sum(numbers["shares"]) == pytest.approx(1, abs=0.01)
        assert numbers["seconds"] >= mark["seconds"]
        assert (out / numbers["grid"]).is_file()
    script = mark["sides"]["dcgan-script"]["frechet"]
    expected = mark["sides"]["zerosum-rpgan"]["frechet"] / script
    assert mark["frechet_ratios"]["zerosum-rpgan over dcgan-script"] == pytest.approx(expected, abs=1e-3)


def test_usual_transform_and_networks() -> None:
    """Item by item and all at once give the same reals, and both sides' networks have the same sizes, biases apart."""
    import ours
    import pictures
    import usual

    source, _ = pictures.load("cifar10", None, smoke=True)
    item, label = usual.Pictures(source.train)[3]
    torch.testing.assert_close(item, source.batch(torch.tensor([3])).data[0])
    assert source.train.labels is not None
    assert label == int(source.train.labels[3])
    for mine, theirs in zip(
        ours.dcgan_pair(source.shape, 16), (usual.dcgan_generator, usual.dcgan_discriminator), strict=True
    ):
        sizes = [sum(p.numel() for p in net.parameters() if p.dim() > 1) for net in (mine, theirs(source.shape, 16))]
        assert sizes[0] == sizes[1]
    for mine, theirs in zip(ours.mlp_pair(source.shape), (usual.mlp_generator, usual.mlp_discriminator), strict=True):
        assert [p.numel() for p in mine.parameters()] == [p.numel() for p in theirs(source.shape).parameters()]


def test_family_speed_measures_steps_and_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("family_speed", capsys, tmp_path, "--recipe", "cgan", "--size", "28")
    assert {"cgan plain", "cgan zerosum", "cgan memory"} == set(line["sides"])
    assert line["sides"]["cgan memory"]["peak_bytes"] > 0
    assert line["ratios"][0]["name"] == "cgan zerosum over cgan plain"


def test_r3_speed_compares_each_family_with_a_plain_loop(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = _line("r3_speed", capsys, tmp_path)
    assert len(line["ratios"]) == 2
    for found in line["ratios"]:
        _is_ratio_of(found, line["sides"])


@pytest.mark.parametrize("size", [(1, 28, 28), (3, 20, 36)])
@pytest.mark.parametrize("kind", ["r3", "light"])
def test_the_plain_side_of_r3_speed_has_the_same_networks(kind: str, size: tuple[int, int, int]) -> None:
    import r3_speed
    from zerosum.domains.images.data import Shape
    from zerosum.domains.images.networks import DISCRIMINATORS, GENERATORS
    from zerosum.engine.game import DiscriminatorOutput

    torch.manual_seed(0)
    pair = GENERATORS[kind](Shape(*size), latent=8, width=16), DISCRIMINATORS[kind](Shape(*size), width=16)
    for network in pair:
        for parameter in network.parameters():  # the branches that begin at 0 too
            torch.nn.init.normal_(parameter, std=0.2)
    plain = [r3_speed.Plain(network, walk) for network, walk in zip(pair, r3_speed.PAIRS[kind], strict=True)]
    noise = torch.randn(3, 8)
    images = pair[0](noise)
    torch.testing.assert_close(plain[0](noise), images, rtol=1e-4, atol=1e-5)
    verdicts = []
    for network in (pair[1], plain[1]):
        torch.manual_seed(1)  # the quarter to rebuild
        verdicts.append(DiscriminatorOutput.of(network(images.detach())))
    for name in ("logits", "outputs"):
        ours, theirs = (getattr(verdict, name) for verdict in verdicts)
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


# --- the runs behind the results


def test_each_run_of_the_results_can_be_typed_and_builds(tmp_path: Path) -> None:
    """Names are unique, the command is one of `zerosum train`, its recipe exists, recipe and networks take its settings."""
    results = importlib.import_module("results")
    train = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    known = catalog.recipes()
    images = catalog.domain("images")
    info = infos.of_images(32, rows=5_000, condition=infos.classes(10))
    built = set()
    for name, group in results.GROUPS.items():
        assert len({entry.name for entry in group.entries}) == len(group.entries), name
        for entry in group.entries:
            program, verb, *words = entry.command(group.minutes, tmp_path / entry.name)
            assert (program, verb) == ("zerosum", "train")
            typed = train.make_context("train", words).params
            assert (typed["where"], typed["recipe"], typed["minutes"]) == (entry.data, entry.recipe, group.minutes)
            assert entry.data in catalog.sources()
            settings = typed["settings"] or []
            assert tuple(settings) == entry.settings
            if (entry.recipe, entry.settings) not in built:
                recipe = override(known[entry.recipe], [s for s in settings if not s.startswith("data.")])
                recipe, _ = plan.resolve_auto(plan.resolve_conditional(recipe, info), images, info)
                assert images.game.build(recipe, info).players.keys() >= {"generator", "discriminator"}
                built.add((entry.recipe, entry.settings))


def test_a_run_of_the_results_is_planned_as_it_is_typed() -> None:
    """The one with the most settings, on data that come along."""
    results = importlib.import_module("results")
    entry = max((e for group in results.GROUPS.values() for e in group.entries), key=lambda e: len(e.settings))
    words = results.Entry(entry.name, "digits", entry.recipe, entry.settings).command(0.1, Path("nowhere"))[1:]
    done = CliRunner().invoke(app, [*words, "--dry-run", "--json", "--set", "threads=1"])
    assert done.exit_code == 0, done.output
    planned = json.loads(done.stdout)
    assert (planned["loss"], planned["penalties"]) == ("non_saturating", {})
    assert planned["discriminator"]["norm"] == "batch"
    assert [planned["learning"][player]["lr"] for player in ("generator", "discriminator")] == [2e-4, 2e-4]
    assert not Path("nowhere").exists()


def test_two_classes_as_folders_without_pairs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from zerosum.domains.translation import DOMAIN as TRANSLATION

    program = importlib.import_module("class_folders")
    monkeypatch.setattr("sys.argv", ["class_folders.py", "digits", "3", "8", str(tmp_path / "threes")])
    program.main()
    num = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "threes").iterdir()}
    assert set(num) == {"trainA", "trainB", "testA", "testB"}
    assert num["trainA"] + num["testA"] == 183  # threes among the 1,797 digits
    assert not TRANSLATION.open(part(str(tmp_path / "threes")), False)[1].payload["paired"]
