"""From clips to clips: samples of any number of frames and any rate, continuations, files, and measures with their controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clip_making import save, square
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

import zerosum as zs
from zerosum.cli import app
from zerosum.data.images.pictures import to_pixels
from zerosum.domain import SampleRequest
from zerosum.domains.video import builtin_sources, controls, formats, loading, measures
from zerosum.domains.video.networks import PathGenerator, Video
from zerosum.metrics.distances import frechet_distance

SMALL = {
    "steps": 2,
    "batch": 6,
    "threads": 1,
    "data.num": 40,
    "data.size": 16,
    "data.frames": 6,
    "generator.width": 4,
    "generator.hidden": 16,
    "discriminator.width": 4,
    "discriminator.features": 8,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> zs.Run:
    return zs.train("moving-shapes", out=tmp_path_factory.mktemp("shapes") / "run", overrides=SMALL)


def sampled(run: zs.Run, out: Path, *options: object) -> str:
    done = CliRunner().invoke(app, ["sample", str(run.path), "--out", str(out), *map(str, options)])
    return f"{done.output} {done.exception}"


def frames_of(path: Path) -> np.ndarray:
    with path.open("rb") as file, formats.opened(file, path.name, path.suffix) as reader:
        return np.stack([np.asarray(frame.image) for frame in reader.frames()])


def network(frames: int = 6) -> PathGenerator:
    torch.manual_seed(0)
    return PathGenerator(Video(frames, 1, 16, 16), latent=32, width=4, hidden=16).eval()


def test_a_longer_clip_begins_like_a_shorter_one(run: zs.Run, tmp_path: Path) -> None:
    sampled(run, tmp_path / "a.webp", "--num", 1, "--seed", 3)
    sampled(run, tmp_path / "b.webp", "--num", 1, "--seed", 3, "--frames", 90)
    sampled(run, tmp_path / "c.webp", "--num", 1, "--seed", 3, "--fps", 20)
    short, long, fast = (frames_of(tmp_path / f"{name}.webp").astype(int) for name in "abc")
    assert (len(short), len(long), len(fast)) == (6, 90, 12)
    assert abs(short - long[:6]).max() <= 1
    assert abs(short - fast[::2]).max() <= 1


def test_a_class_is_asked_for_together_with_a_length(run: zs.Run, tmp_path: Path) -> None:
    loaded = zs.load(run.path)
    with torch.no_grad():
        loaded.sampler.network.embed.weight.mul_(100)  # a generator that two steps have trained hears no class

    def made(label: str, **options: float) -> np.ndarray:
        loaded.produce(SampleRequest(1, 0, tmp_path / "a.webp", options, (label,)))
        return frames_of(tmp_path / "a.webp").astype(int)

    usual = to_pixels(loaded.sample(1, 0, labels="ring"))[0].permute(0, 2, 3, 1).numpy().astype(int)
    assert abs(usual - made("ring", frames=9)[:6]).max() <= 1
    assert abs(usual - made("ring", fps=20)[::2]).max() <= 1
    assert abs(usual - made("disc", frames=6)).max() > 8
    sampled(run, tmp_path / "all", "--num", 3, "--label", "disc", "--label", "3", "--frames", 4)
    assert sorted(file.stem for file in (tmp_path / "all").iterdir()) == ["00000-disc", "00001-ring", "00002-disc"]


def test_odd_sizes_and_several_clips(run: zs.Run, tmp_path: Path) -> None:
    sampled(run, tmp_path / "a.mp4", "--num", 2, "--size", "33x47")
    paths = sorted(tmp_path.glob("a*.mp4"))
    assert [frames_of(path).shape for path in paths] == [(6, 33, 47, 3)] * 2
    sampled(run, tmp_path / "folder", "--num", 3)
    assert len(list((tmp_path / "folder").iterdir())) == 3
    sampled(run, tmp_path / "sheet.png", "--num", 2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.info["grid"] == "6x2"


def test_refusals_say_what_to_do(run: zs.Run, tmp_path: Path) -> None:
    assert "at least 10 ms" in sampled(run, tmp_path / "a.gif", "--fps", 200)
    assert "videos are written" in sampled(run, tmp_path / "a.png", "--frames", 20)
    assert "cannot write .avi" in sampled(run, tmp_path / "a.avi", "--num", 1)
    assert "no class 'cube'" in sampled(run, tmp_path / "a.mp4", "--label", "cube", "--frames", 20)
    assert "each video of --after gives one" in sampled(run, tmp_path / "a.mp4", "--num", 2, "--after", tmp_path)
    assert "--frames: --truncation, --grid, --direction and --latent do not go with it" in sampled(
        run, tmp_path / "a.mp4", "--frames", 20, "--truncation", 0.5
    )
    save(tmp_path / "noise.mkv", np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3), dtype=np.uint8))
    assert "the generator cannot make these frames" in sampled(
        run, tmp_path / "b.mp4", "--after", tmp_path / "noise.mkv"
    )


def test_the_frames_do_not_depend_on_how_many_are_made() -> None:
    generator, noise = network(), torch.randn(2, 32)
    content = generator.content_of(noise)
    some = generator.render(noise, content, torch.arange(3, dtype=torch.float64) + 1000.0)
    more = generator.render(noise, content, torch.arange(990, 1010, dtype=torch.float64))[:, 10:13]
    torch.testing.assert_close(some, more, atol=1e-5, rtol=1e-4)


def test_a_far_time_is_exact_and_the_motion_goes_on() -> None:
    generator, noise = network(), torch.randn(1, 32)
    content = generator.content_of(noise)
    far = generator.render(noise, content, torch.arange(8, dtype=torch.float64) + 1e6)
    assert far.isfinite().all()
    assert (far[:, 1:] - far[:, :-1]).abs().max() > 0


def test_a_given_clip_is_continued() -> None:
    from zerosum.domains.video.sampling import fit

    class Handle:
        device = torch.device("cpu")

        def noise(self, num: int, seed: int) -> Tensor:
            return torch.randn(num, 32, generator=torch.Generator().manual_seed(seed))

        def conditions(self, num: int, seed: int) -> None:
            return None

    generator = network()
    with torch.no_grad():
        generator.path.motion.bias.add_(1.0)
        film = generator.film(torch.randn(1, 32), torch.arange(6, dtype=torch.float64))[0]
    clip, share = fit(generator, film, Handle(), None, 0)  # type: ignore[arg-type]
    assert share < 0.5
    assert clip.seen.shape == film.shape


def test_the_report_plays_the_clips(run: zs.Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert page.count('<canvas class="film"') == 2
    assert 'data-frames="6" data-clips="12" data-rate="10"' in page


def test_every_measure_is_worse_for_the_controls_that_must_fail() -> None:
    made = builtin_sources.load("moving-digits", 64, 8, 32, 0)
    clips = torch.from_numpy(made.clips[:64]).float() / 127.5 - 1
    wrong = {name: rows for name, (rows, _) in controls.make_controls(clips, None, 0).items()}
    jerk = {name: float(measures.motion(rows).jerk.mean()) for name, rows in {"real": clips, **wrong}.items()}
    assert jerk["real"] < 0.6
    assert jerk[controls.SHUFFLED] > 5 * jerk["real"]
    assert jerk[controls.STILL] == 0
    speed = {name: float(measures.motion(rows).speed.mean()) for name, rows in {"real": clips, **wrong}.items()}
    assert speed[controls.HALF_SPEED] < 0.6 * speed["real"]
    warping = {name: float(measures.warping_error(rows).mean()) for name, rows in {"real": clips, **wrong}.items()}
    assert warping[controls.SPLICED] > 1.2 * warping["real"]
    assert warping[controls.NOISE] > 2 * warping["real"]


@pytest.mark.parametrize("source", ["moving-digits", "moving-shapes"])
def test_random_motion_features_tell_wrong_orders_of_frames_from_real_ones(source: str) -> None:
    made = builtin_sources.load(source, 160, 12, 32, 0)
    clips = torch.from_numpy(made.clips[:160]).float() / 127.5 - 1
    network = measures.RandomMotion(clips.shape[2])
    real = measures.in_parts(network, clips[:80])
    wrong = {name: rows for name, (rows, _) in controls.make_controls(clips[80:], None, 0).items()}
    distance = {
        name: frechet_distance(real, measures.in_parts(network, rows))
        for name, rows in {"real": clips[80:], **wrong}.items()
    }
    for name in (controls.STILL, controls.SHUFFLED, controls.HALF_SPEED, controls.SPLICED, controls.NOISE):
        assert distance["real"] < 0.25 * distance[name], (name, distance)


def test_known_motion_is_measured_exactly() -> None:
    clips = torch.from_numpy(square(8, start=2)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    motion = measures.motion(clips)
    torch.testing.assert_close(motion.speed, torch.ones(1, 7))
    torch.testing.assert_close(motion.jerk, torch.zeros(1, 6), atol=1e-4, rtol=0)
    assert float(motion.warping) < 1e-3
    assert float(motion.flicker) < 1e-5


def test_grey_by_equal_channels() -> None:
    assert loading.to_grey(square(2)).shape == (2, 16, 16, 1)
