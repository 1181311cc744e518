"""Previews of another medium than pictures: their files, the page that shows them, and the tools that ask the medium."""

from __future__ import annotations

import json
import shutil
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import published
import zerosum as zs
from zerosum import catalog
from zerosum.domain import (
    DatasetInfo,
    GeneratorHandle,
    PreviewContext,
    SampleOption,
    SampleRequest,
    SampleResult,
)
from zerosum.domain.contract import EvalOptions
from zerosum.errors import UserError
from zerosum.evaluation.compare import compare_runs
from zerosum.generation.export.exporting import export
from zerosum.generation.latents.space import Space
from zerosum.generation.sampler import check_num_samples, check_sheet
from zerosum.report.previews import element
from zerosum.run_folder import RunFolder

SMALL = {"steps": 4, "batch": 8, "threads": 1}


def sound(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """The first coordinates as 8-bit sound."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(((samples[:, 0].clamp(-1, 1) + 1) * 127).byte().numpy().tobytes())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> zs.Run:
    toy = catalog.domain("toy")
    heard = replace(
        toy, media=replace(toy.media, preview=sound, preview_ending=".wav", sample_name="", endings=(".csv",))
    )
    monkeypatch.setattr("zerosum.domains.toy.DOMAIN", heard)
    return zs.train("ring", out=tmp_path / "run", overrides=SMALL)


def test_a_domain_of_sounds_is_heard_on_its_page(run: zs.Run) -> None:
    names = sorted(path.name for path in (run.path / "previews").iterdir())
    assert names[0] == "real.wav"
    assert {name for name in names if name.startswith("step-")} >= {"step-00000000.wav", "step-00000004.wav"}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert (
        page.count("<audio controls src=") == 2
    )  # the newest and the real ones; the others stand in the script's data
    data = json.loads(page.partition('id="report-data">')[2].partition("</script>")[0])
    assert [frame["step"] for frame in data["frames"]] == [0, 1, 2, 3, 4]
    assert all(frame["html"].startswith("<audio controls src=") for frame in data["frames"])
    assert f'max="{len(data["frames"]) - 1}"' in page
    assert "media-src data:" in page
    assert "--out samples.csv" in page
    assert run.domain.media.sample_file == "samples.csv"
    RunFolder(run.path).rewind(0)
    assert sorted(path.name for path in (run.path / "previews").iterdir()) == ["real.wav", "step-00000000.wav"]


def test_a_domains_own_function_samples_under_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult:
        condition = generator.conditions(request.num or 0, request.seed)
        request.out.write_text("" if condition is None else " ".join(map(str, condition.tolist())))
        return SampleResult([request.out], request.num or 0)

    option = SampleOption("far", "flag", "a test.", default=False)
    run = published.generator(tmp_path / "run", classes=3)
    out, far = tmp_path / "out.txt", {"far": True}

    def asked(usual: bool = False, **of: Any) -> str:
        run.produce(SampleRequest(5, 0, out, far, **of), usual)
        return out.read_text()

    media = replace(run.domain.media, sample=own, sample_options=(option,))
    monkeypatch.setattr(run, "domain", replace(run.domain, media=media))
    plain = asked()
    with pytest.raises(UserError, match=r"--far: --label, .* do not go with it"):
        asked(labels=("class1",))
    monkeypatch.setattr(run, "domain", replace(run.domain, media=replace(media, sample_conditional=True)))
    assert asked() == plain
    assert asked(labels=("class1",)) == "1 1 1 1 1"
    assert asked(labels=("class2", 0)) == "2 0 2 0 2"
    with pytest.raises(UserError, match=r"--far: --truncation, .* do not go with it"):
        asked(usual=True, labels=("class1",))
    with pytest.raises(UserError, match="do not go together"):
        asked(labels=("class1",), attributes={"age": 1.0})
    with pytest.raises(UserError, match="trained without attributes"):
        asked(attributes={"age": 1.0})


def test_a_sound_lies_beside_each_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = catalog.domain("toy")
    monkeypatch.setattr("zerosum.domains.toy.DOMAIN", replace(toy, media=replace(toy.media, sound=sound)))
    run = zs.train("ring", out=tmp_path / "run", overrides=SMALL)
    previews = run.path / "previews"
    assert {path.name for path in previews.glob("*.wav")} == {
        path.with_suffix(".wav").name for path in previews.glob("*.png")
    }
    with wave.open(str(previews / "real.wav")) as file:
        assert file.getnframes() == 10
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert [page.count(f'id="{name}"') for name in ("fake", "fake-sound", "real", "real-sound")] == [1, 1, 1, 1]
    data = json.loads(page.partition('id="report-data">')[2].partition("</script>")[0])
    assert [frame["sound"] is None for frame in data["frames"]] == [False] * 4 + [True]
    assert all(frame["sound"].startswith("data:audio/wav;base64,") for frame in data["frames"][:4])
    RunFolder(run.path).rewind(0)
    assert sorted(path.name for path in previews.iterdir()) == [
        "real.png", "real.wav", "step-00000000.png", "step-00000000.wav",
    ]  # fmt: skip
    (run.path / "run.json").unlink()
    for path in run.path.glob("*"):
        if path.name not in ("previews", "recipe.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert RunFolder(run.path).free


def test_the_latent_space_asks_the_medium(run: zs.Run, tmp_path: Path) -> None:
    space = Space(run)
    walked = space.render(space.walk(space.keys(["1", "2"]), 5))
    assert walked.shape == (5, 2)
    space.write(walked, tmp_path / "walk.csv", 0)
    assert len((tmp_path / "walk.csv").read_text().splitlines()) == 6
    with pytest.raises(
        UserError, match=r"walk.gif: the domain 'toy' has no moving pictures. Its samples are written as .csv"
    ):
        space.film(walked, tmp_path / "walk.gif", 24)
    with pytest.raises(UserError, match=r"x.png: samples of the domain 'toy' cannot be shown as one picture"):
        check_num_samples(run, 4, tmp_path / "x.png")
    with pytest.raises(
        UserError, match=r"mix.png: samples of the domain 'toy' cannot be shown as one picture; .* .wav"
    ):
        check_sheet(run, tmp_path / "mix.png")
    done = export(run, "huggingface", tmp_path / "hub")
    assert "grid.wav" in {path.name for path in done.paths}
    assert "\n[Samples of seed 0](grid.wav)" in (tmp_path / "hub" / "README.md").read_text()
    with pytest.raises(UserError, match=r"'toy' are shown as .wav, so there is no picture"):
        compare_runs(
            [run.path, zs.train("ring", out=tmp_path / "other", overrides=SMALL).path], EvalOptions(), str, picture=True
        )


def test_elements_of_other_media(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 < 2")
    assert element(tmp_path / "a.txt", 100) == "<pre>1 &lt; 2</pre>"
    (tmp_path / "a.mp4").write_bytes(b"123")
    assert element(tmp_path / "a.mp4", 100) == '<video controls src="data:video/mp4;base64,MTIz"></video>'
    assert element(tmp_path / "a.mp4", 3) == "<p>The samples are in previews/a.mp4.</p>"
    (tmp_path / "a.xyz").write_bytes(b"123")
    assert element(tmp_path / "a.xyz", 100) == "<p>The samples are in previews/a.xyz.</p>"
