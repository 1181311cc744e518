"""A run on sounds and its uses: report, files, interpolations, directions, scores of recordings, classical models."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sound_making import noise, save
from typer.testing import CliRunner

import zerosum as zs
from domain_games import begun, planned
from zerosum.cli import app
from zerosum.domains.audio import media
from zerosum.errors import UserError
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.generation.latents.space import Space
from zerosum.generation.sampler import Sampler

SMALL = {
    "steps": 4, "batch": 8, "threads": 1, "data.num": 80, "data.rate": 4000, "generator.widths": [8, 8, 4, 4, 4],
    "generator.iterations": 4, "discriminator.widths": [4, 4, 4, 8],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zs.Run]:
    folder = tmp_path_factory.mktemp("sounds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        yield zs.train("tones", out=folder / "run", overrides=SMALL)


def command(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refusal(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code != 0
    return f"{done.output} {done.exception}"


def numbers(path: Path) -> tuple[int, np.ndarray]:
    with wave.open(str(path)) as file:
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_the_report_shows_and_plays_the_samples_over_the_steps(run: zs.Run) -> None:
    previews = run.path / "previews"
    steps = sorted(path.stem for path in previews.glob("step-*.png"))
    assert steps == sorted(path.stem for path in previews.glob("step-*.wav"))
    assert len(steps) >= 2
    with Image.open(previews / f"{steps[-1]}.png") as image:
        assert image.text["grid"] == "8x4"  # type: ignore[attr-defined]
    rate, heard = numbers(previews / "real.wav")
    assert rate == 4000
    samples = run.sampler.info.sample.axes["samples"]
    assert len(heard) == media.NUM_HEARD * (samples + round(media.PAUSE_S * rate))
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<audio controls preload="metadata" id="fake-sound" aria-label="Sound: generated samples', page)
    assert re.search(r'id="real-sound" aria-label="Sound: real samples" src="data:audio/wav;base64,', page)
    names = {record["name"].partition("[")[0] for record in run.metrics}
    assert names >= {"frechet", "modulation_distance", "silence_share", "class_accuracy", "discriminator_fakes"}


def is_generated(path: Path) -> bool:
    """Whether the waveforms of a sheet have the colour of generated ones only."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    fakes, reals = (int((np.abs(pixels - colour).max(2) < 8).sum()) for colour in (media.FAKE, media.REAL))
    return fakes > 100 and reals == 0


def test_options_of_other_kinds_of_generators_are_refused_by_name(run: zs.Run, tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    assert "--text needs a voice" in refusal("sample", run.path, "--text", "four", "--out", out)
    assert "--input needs a vocoder" in refusal("sample", run.path, "--input", tmp_path, "--out", out)


def test_samples_are_recordings_and_pictures(run: zs.Run, tmp_path: Path) -> None:
    found = command("sample", run.path, "--num", 3, "--out", tmp_path / "some")
    assert [Path(path).suffix for path in found["paths"]] == [".wav"] * 3
    command("sample", run.path, "--num", 3, "--out", tmp_path / "some.png")
    assert is_generated(tmp_path / "some.png")
    command("sample", run.path, "--num", 1, "--grid", "classes", "--out", tmp_path / "grid.png")
    assert is_generated(tmp_path / "grid.png")
    assert run.domain.media.sample_file == "samples"


def test_between_sounds(run: zs.Run, tmp_path: Path) -> None:
    """As one sound and as a strip; between classes too."""
    found = command(
        "interpolate", run.path, "--seeds", "1,2", "--label", "drum", "--label", "flute", "--frames", 5,
        "--out", tmp_path / "walk.wav",
    )  # fmt: skip
    assert found["frames"] == 5
    rate, heard = numbers(tmp_path / "walk.wav")
    each = run.sampler.info.sample.axes["samples"] + round(media.PAUSE_S * rate)
    assert len(heard) == 5 * each
    first = run.sample(1, seed=1, labels=["drum"])[0, 0].numpy() * media.LOUDNESS * 32767
    assert np.abs(heard[: len(first)] - first).max() < 1
    command("interpolate", run.path, "--frames", 4)
    assert is_generated(run.path / "walk.png")
    assert "has no moving pictures" in refusal("interpolate", run.path, "--out", tmp_path / "walk.gif")


def test_directions_are_found_and_what_is_not_possible_is_refused(run: zs.Run, tmp_path: Path) -> None:
    command("directions", run.path, "--num", 2, "--steps", 3, "--out", tmp_path / "d.png")
    assert is_generated(tmp_path / "d.png")
    command("directions", run.path, "--num", 2, "--steps", 3, "--out", tmp_path / "d.wav")
    with wave.open(str(tmp_path / "d.wav")) as file:  # six sounds, each with a pause
        assert file.getnframes() > 6 * run.sampler.info.sample.axes["samples"]
    assert "give a name that ends in .png" in refusal("directions", run.path, "--out", tmp_path / "d.flac")
    assert "reads its noise in one piece" in refusal("mix", run.path)
    recording = run.path / "previews" / "real.wav"
    assert "only pictures can be projected" in refusal("project", run.path, recording, "--out", tmp_path / "p.png")


def test_a_recording_is_judged_over_time(run: zs.Run, tmp_path: Path) -> None:
    recording = run.path / "previews" / "real.wav"
    scores = command("judge", run.path, recording, "--out", tmp_path / "judged.png")
    assert len(scores) > 60  # eight begin within the length of a clip
    assert all(re.fullmatch(r".*real\.wav:\d+\.\d{3}s", name) for name in scores)
    assert len(command("judge", run.path, recording, "--step", 1)) < len(scores) / 4
    assert all(0 <= score <= 1 for score in scores.values())
    with Image.open(tmp_path / "judged.png") as image:
        assert image.width == media.SHEET
    done = CliRunner().invoke(app, ["judge", str(run.path), str(recording), "--out", str(tmp_path / "judged.png")])
    assert done.stdout.splitlines()[-1] == str(tmp_path / "judged.png")
    assert "give a name that ends in .png" in refusal("judge", run.path, recording, "--out", tmp_path / "judged.wav")


def test_a_run_begins_with_the_weights_of_a_run_on_other_classes(run: zs.Run, tmp_path: Path) -> None:
    """Recordings of another rate are read at the rate and the length of the start; what belongs to its classes is left out."""
    for row in range(12):
        save(tmp_path / "sounds" / ("bark", "meow")[row % 2] / f"{row}.wav", noise(0.5, 8_000, seed=row), 8_000)
    said = refusal("train", tmp_path / "sounds", "--start", run.path, "--steps", 1, "--dry-run")
    assert "its networks are conditioned on labels of 8 classes, these on labels of 2 classes" in said
    overrides = {"start.partial": True, "learning.generator.lr": 0.0, "threads": 1, "batch": 4}
    made = zs.train(
        str(tmp_path / "sounds"), steps=1, overrides={"start.from": str(run.path), **overrides}, out=tmp_path / "run"
    )
    info = made.sampler.info
    assert (info.class_names, info.payload["rate"]) == (("bark", "meow"), 4_000)
    assert info.sample.axes == run.sampler.info.sample.axes
    begun, given = made.generator.state_dict(), run.generator.state_dict()
    assert torch.equal(begun["codes.first.weight"], given["codes.first.weight"])
    assert begun["codes.classes.weight"].shape == (2, given["codes.classes.weight"].shape[1])


def test_conditions_of_several_fields_are_asked_for_by_their_names(tmp_path: Path) -> None:
    for row in range(24):
        name = f"{'low' if row % 2 else 'high'}_{('anna', 'ben')[row // 2 % 2]}_{row}.wav"
        save(tmp_path / "sounds" / name, noise(0.2, 4_000, seed=row), 4_000)
    overrides = {**SMALL, "data.pattern": "{pitch}_{singer}_{index}", "data.label": "pitch,singer", "steps": 2}
    del overrides["data.num"], overrides["data.rate"]
    made = zs.train(str(tmp_path / "sounds"), "clips", overrides=overrides, out=tmp_path / "run")
    assert made.sampler.info.class_names == ("high anna", "high ben", "low anna", "low ben")
    one, other = (made.sample(2, labels=label, seed=1) for label in ("low anna", "low,anna"))
    assert torch.equal(one, other)
    assert not torch.equal(one, made.sample(2, labels="low ben", seed=1))
    written = command("sample", made.path, "--num", 1, "--label", "high,ben", "--out", tmp_path / "out")
    assert Path(written["paths"][0]).name == "00000-high_ben.wav"
    made_by_ben = made.sample(2, labels="ben", seed=1)
    assert torch.equal(made_by_ben, made.sample(2, labels=["high ben", "low ben"], seed=1))
    written = command("sample", made.path, "--num", 3, "--label", "ben", "--out", tmp_path / "ben")
    assert [Path(path).stem for path in written["paths"]] == ["00000-high_ben", "00001-low_ben", "00002-high_ben"]
    written = command(
        "sample", made.path, "--num", 1, "--label", "low", "--grid", "classes", "--out", tmp_path / "g.png"
    )
    assert written["num"] == 2
    with pytest.raises(UserError, match=r"'ben' is 2 classes: high ben, low ben\. Give one of them"):
        Space(made).keys(["1", "2"], ["ben"])
    with pytest.raises(UserError, match="there is no class 'bne'"):
        made.sample(1, labels="bne")


def test_classical_models_are_measured_and_heard(run: zs.Run) -> None:
    command("baseline", run.path, "--only", "mean", "--only", "copies")
    assert {path.name for path in (run.path / "baselines").iterdir()} == {
        "mean.png",
        "mean.wav",
        "copies.png",
        "copies.wav",
    }
    page = (run.path / "report.html").read_text(encoding="utf-8")
    part = page[page.index('<section id="baselines"') : page.index('<section id="recipe"')]
    assert part.count("<audio") == 3


def test_a_preview_and_its_sound_are_sampled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observer = TrainingEvaluator(planned("sound", "generator.iterations=1"), begun("sound", "generator.iterations=1"))
    sampled, sample = list[int](), Sampler.sample

    def note(self: Sampler, num: int, *given: Any, **named: Any) -> torch.Tensor:
        sampled.append(num)
        return sample(self, num, *given, **named)

    monkeypatch.setattr(Sampler, "sample", note)
    for step in range(2):
        observer.write_sound(tmp_path / f"{step}.wav")
        observer.write_preview(tmp_path / f"{step}.png")
    assert sampled == [media.NUM_SHOWN] * 2
    observer.write_preview(tmp_path / "alone.png")
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "1.png").read_bytes()
