"""Images with transparency: read, shown to the discriminator, measured and written with their alpha."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import infos
import zerosum as zs
from zerosum.data.images import film, pictures
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.augments import AUGMENTS, BackgroundAugment
from zerosum.domains.images.baselines import baselines
from zerosum.domains.images.data import ImageSource, open_source
from zerosum.domains.images.evaluator import PixelEvaluator
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.generation.export import exporting

QUICK = [
    "data.alpha=keep",
    "data.cache=false",
    "batch=16",
    "steps=12",
    "threads=1",
    "device=cpu",
    "precision=float32",
    "generator.widths=[32]",
    "discriminator.widths=[32]",
    "augment=ada",
    "rules.augment_strength=0.3",
    "cadence.evaluate=0",
    "cadence.preview=12",
]


def drawn(num: int, side: int = 8, hidden: int = 0) -> np.ndarray:
    """(num, side, side, 4) straight RGBA with every kind of alpha; transparent pixels have the colour `hidden`."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (num, side, side, 4), dtype=np.uint8)
    pixels[:, :2, :, 3], pixels[:, -2:, :, 3] = 0, 255
    pixels[..., :3][pixels[..., 3] == 0] = hidden
    return pixels


def folder(where: Path, pixels: np.ndarray) -> Path:
    """The images as PNG files."""
    where.mkdir(parents=True)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(where / f"{number:03d}.png")
    return where


def kept(where: Path, **options: object) -> ImageSource:
    """The source of a folder with its transparency."""
    return open_source(str(where), alpha="keep", cache=False, heldout=0, **options)  # type: ignore[arg-type]


def rng(num: int, start: int = 0, total: int | None = None) -> SeededNoise:
    """The random numbers of rows start..start+num-1."""
    return SeededNoise(0, 3, 0, start, start + num, total or num, torch.device("cpu"))


@pytest.mark.parametrize("packed", ["folder", "array"])
def test_png_to_rows_to_png_is_exact(packed: str, tmp_path: Path) -> None:
    pixels = drawn(24, hidden=77)
    where = folder(tmp_path / "in", pixels)
    if packed == "array":
        where = tmp_path / "in.npy"
        np.save(where, pixels)
    source = kept(where)
    assert (source.shape.channels, source.shape.height) == (4, 8)
    assert any("24 of 24 images have transparency, which is kept" in note for note in source.notes)
    written = DOMAIN.media.write(source.batch(torch.arange(24)).data, tmp_path / "out", DOMAIN.info_of(source))
    again = np.stack([np.asarray(Image.open(path)) for path in written])
    assert np.array_equal(again, pixels * (pixels[..., 3:] > 0))
    DOMAIN.media.write(source.batch(torch.arange(24)).data, tmp_path / "out.npy", DOMAIN.info_of(source))
    assert np.array_equal(kept(tmp_path / "out.npy").train.pixels, source.train.pixels)


def test_colours_of_transparent_pixels_change_nothing(tmp_path: Path) -> None:
    sources = [kept(folder(tmp_path / str(hidden), drawn(24, 16, hidden)), size=(8, 8)) for hidden in (0, 255)]
    first, second = sources
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first.train.pixels, second.train.pixels)
    assert torch.equal(first.seen.train.pixels, second.seen.train.pixels)


def test_edges_are_weighted_by_alpha(tmp_path: Path) -> None:
    pixels = np.zeros((2, 16, 16, 4), np.uint8)
    pixels[..., 1] = 255  # green wherever nothing is seen
    pixels[:, :, :7] = [255, 0, 0, 255]
    source = kept(folder(tmp_path / "edge", pixels), size=(8, 8))
    seen = source.train.pixels[0][:, source.train.pixels[0, 3] > 0]
    assert seen[1].max() == 0
    assert seen[0].min() == 255


def test_the_plan_tells_of_transparency_and_of_none(tmp_path: Path) -> None:
    pixels = drawn(24)
    pixels[:20, ..., 3] = 255  # an alpha channel without transparency
    some = open_source(str(folder(tmp_path / "some", pixels)), cache=False)
    expected = "4 of 24 images with transparency were laid on white; data.background=COLOUR chooses another colour, "
    assert expected + "data.alpha=keep keeps the transparency." in some.notes
    assert some.shape.channels == 3
    np.save(tmp_path / "some.npy", pixels)
    laid = open_source(str(tmp_path / "some.npy"), heldout=0)
    assert any(note.startswith(expected) for note in laid.notes)
    on_white = Image.alpha_composite(Image.new("RGBA", (8, 8), "white"), Image.fromarray(pixels[22])).convert("RGB")
    assert np.abs(laid.train.pixels[22].numpy().transpose(1, 2, 0).astype(int) - np.asarray(on_white)).max() <= 1
    pixels[..., 3] = 255
    folder(tmp_path / "none", pixels)
    np.save(tmp_path / "none.npy", pixels)
    np.save(tmp_path / "grey.npy", pixels[..., 0])
    for name in (str(tmp_path / "none"), str(tmp_path / "none.npy"), str(tmp_path / "grey.npy"), "digits"):
        with pytest.raises(UserError, match="no image has transparency, so alpha = keep has no effect"):
            open_source(name, alpha="keep", cache=False)
    for channels, alpha in ((3, "keep"), (1, "keep"), (4, "flatten")):
        with pytest.raises(UserError, match=f"channels = {channels}, alpha = {alpha}: "):
            open_source(str(tmp_path / "some"), channels=channels, alpha=alpha)  # type: ignore[arg-type]


def test_grey_with_alpha_becomes_rgba(tmp_path: Path) -> None:
    grey = drawn(4)[..., 2:]
    source = kept(folder(tmp_path / "grey", grey))
    assert any("4 of 4 images were grey and were made RGBA" in note for note in source.notes)
    pixels = source.train.pixels.numpy().transpose(0, 2, 3, 1)
    assert np.array_equal(pixels[..., [0, 3]], grey * (grey[..., 1:] > 0))
    assert (pixels[..., 0] == pixels[..., 1]).all()


def test_the_prepared_cache_keeps_the_two_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zerosum.data.images import loader

    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loader, "MIN_CACHED_BYTES", 0)
    where = str(folder(tmp_path / "in", drawn(24)))
    for _ in range(2):
        assert open_source(where, alpha="keep").shape.channels == 4
        assert open_source(where).shape.channels == 3


# --- what the discriminator sees


def test_each_row_has_a_background_whatever_the_parts() -> None:
    images = pictures.premultiply(torch.from_numpy(drawn(8).transpose(0, 3, 1, 2).copy()))
    view = BackgroundAugment()
    whole = view(images, rng(8), "real", 1.0)
    parts = [view(images[i : i + 2], rng(2, i, 8), "real", 1.0) for i in range(0, 8, 2)]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, view(images, rng(8), "real", 0.0))
    assert torch.equal(whole[:, 3], images[:, 3])
    flat = whole[:, :3, :2].flatten(2)  # where nothing is seen there is one colour a row
    assert torch.equal(flat, flat[:, :, :1].expand_as(flat))
    assert len(torch.unique(flat[:, 0, 0])) == 8
    opaque = images[:, 3] == 1
    assert torch.allclose(whole[:, :3].movedim(1, 3)[opaque], images[:, :3].movedim(1, 3)[opaque])


def test_the_error_flows_through_alpha() -> None:
    images = torch.full((2, 4, 8, 8), -0.5, requires_grad=True)
    view = BackgroundAugment()(images, rng(2), "fake", 1.0)
    (slope,) = torch.autograd.grad(view[:, :3].sum(), images)
    assert torch.allclose(slope[:, :3], torch.ones(2, 3, 8, 8))
    shade = (view[:, :3] - images[:, :3]).detach()[:, :, 0, 0] / 1.5  # of each background, in [0, 1]
    assert torch.allclose(slope[:, 3, 0, 0], -shade.sum(1), atol=1e-6)


def test_a_painted_background_is_told_from_a_transparent_one() -> None:
    clear = pictures.premultiply(torch.from_numpy(drawn(4).transpose(0, 3, 1, 2).copy()))
    shown = BackgroundAugment()(clear, rng(4), "real", 1.0)
    painted = torch.cat([shown[:, :3], torch.ones(4, 1, 8, 8)], 1)  # the same colours, opaque
    other = BackgroundAugment()(painted, rng(4), "real", 1.0)
    assert torch.equal(other[:, :3], shown[:, :3])
    assert not torch.equal(other, shown)


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_augmentations_move_alpha_with_the_colours_and_recolour_neither(name: str) -> None:
    options = {"diffaugment": {"policy": ("color",)}, "ada": {"pipe": ("color",)}}.get(name, {})
    images = torch.rand(16, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[:, 3] = images[:, 0]
    after = AUGMENTS[name](**options)(images, rng(16), "real", 1.0)
    assert not torch.equal(after, images)
    if options:  # of colours alone
        assert torch.equal(after[:, 3], images[:, 3])
        assert torch.allclose(after[:, :3], AUGMENTS[name](**options)(images[:, :3], rng(16), "real", 1.0))
    else:
        assert torch.equal(after[:, 3], after[:, 0])


# --- measures and files


def test_measures_see_images_on_the_background(tmp_path: Path) -> None:
    where = folder(tmp_path / "in", drawn(80, hidden=9))
    on_black, on_white = (kept(where, background=name) for name in ("black", "white"))
    assert on_black.fingerprint == on_white.fingerprint
    assert on_white.seen.train.pixels[:, :, :2].min() == 255
    assert on_black.seen.train.pixels[:, :, :2].max() == 0
    evaluator = PixelEvaluator(on_white, 0)
    real = on_white.batch(torch.arange(80)).data
    records = evaluator.evaluate(real, None, lambda data, _: data[:, 3].mean((1, 2)))
    alone = {record.protocol["images"] for record in records if record.name.startswith("discriminator")}
    others = {record.protocol["images"] for record in records if not record.name.startswith("discriminator")}
    assert (alone, others) == ({"uint8"}, {"uint8, transparent ones laid on white"})
    found = {record.name.partition("[")[0]: record.value for record in records}
    assert found["copy_rate"] == 1
    assert found["precision"] == 1
    assert "discriminator_train" in found
    numbers = evaluator.quick(real).values()
    assert numbers["contrast"] == pytest.approx(1, abs=0.02)
    assert numbers["diversity"] == pytest.approx(1, abs=0.02)
    glowing = real.clone()
    glowing[:, :3][real[:, 3:].expand(-1, 3, -1, -1) == -1] = 1  # colours where nothing is seen
    assert evaluator.quick(glowing).values() == numbers


def test_files_with_and_without_transparency(tmp_path: Path) -> None:
    samples = pictures.premultiply(torch.from_numpy(drawn(4, 32).transpose(0, 3, 1, 2).copy()))
    straight = pictures.to_saved_pixels(samples)
    for suffix in ("png", "webp"):
        DOMAIN.media.write(samples[:1], tmp_path / f"one.{suffix}", infos.of_images(32, channels=4))
        assert Image.open(tmp_path / f"one.{suffix}").mode == "RGBA"
    with pytest.raises(UserError, match="JPEG holds no transparency"):
        DOMAIN.media.write(samples[:1], tmp_path / "one.jpg", infos.of_images(32, channels=4))
    pictures.save_grid(samples, 2, tmp_path / "grid.png")
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    assert sheet.shape[2] == 3
    tile = sheet[pictures.GAP : pictures.GAP + 4, pictures.GAP : pictures.GAP + 16]  # the two topmost rows are clear
    assert (tile[:, :8] == pictures.LIGHT).all()
    assert (tile[:, 8:] == pictures.DARK).all()
    red = torch.full((1, 4, 8, 8), -1.0)  # a red half, and nothing
    red[:, [0, 3], :, :4] = 1
    pictures.save_samples(red, tmp_path / "large.png", pictures.Size(32))
    large = np.asarray(Image.open(tmp_path / "large.png"))
    assert large.shape == (32, 32, 4)
    assert large[..., 0][large[..., 3] > 0].min() >= 254
    film.save_film(samples, tmp_path / "walk.apng", 10)
    assert Image.open(tmp_path / "walk.apng").mode == "RGBA"
    film.save_film(samples, tmp_path / "walk.gif", 10)
    frame = np.asarray(Image.open(tmp_path / "walk.gif").convert("RGB")).astype(int)
    assert abs(frame[2, 2] - pictures.LIGHT).max() <= 8
    assert torch.equal(straight, pictures.to_saved_pixels(pictures.to_network_input(straight)))


# --- the whole way


def test_a_run_samples_judges_evaluates_and_exports(tmp_path: Path) -> None:
    pixels = drawn(96)
    pixels[..., 3] = 255 * (np.hypot(*(np.indices((8, 8)) - 3.5)) < 3.2)
    where = folder(tmp_path / "discs", pixels)
    run = zs.train(str(where), recipe="mlp", overrides=QUICK, out=tmp_path / "run")
    samples = run.sample(8, seed=0)
    assert samples.shape == (8, 4, 8, 8)
    assert bool((samples[:, :3] <= samples[:, 3:]).all())
    paths = DOMAIN.media.write(samples, tmp_path / "made", run.sampler.info)
    assert {Image.open(path).mode for path in paths} == {"RGBA"}
    assert len(run.judge([*sorted(where.iterdir())[:4], *paths])) == 12
    records = run.evaluate()
    assert "uint8, transparent ones laid on white" in {record["protocol"].get("images") for record in records}
    assert run.report().is_file()
    assert Image.open(sorted((tmp_path / "run" / "previews").glob("*.png"))[-1]).mode == "RGB"
    exported = exporting.export(run, "torch", tmp_path / "torch")
    assert exported.check["largest_difference"] <= 1e-4
    baseline = baselines(open_source(str(where), alpha="keep", cache=False))
    assert {name: baseline[name]().sample(4, 0).shape for name in ("kernel", "markov")} == dict.fromkeys(
        ("kernel", "markov"), (4, 4, 8, 8)
    )
    description = DOMAIN.data.describe(run.sampler.info)
    assert "8x8 colour with transparency" in description
