"""Super-resolution: pairs from photographs, the two phases, whole files in tiles, and measures beside bicubic interpolation."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from typer.testing import CliRunner

from domain_games import begun, planned, played
from zerosum.cli import app
from zerosum.data.images import paths
from zerosum.data.images.lossless_io import read
from zerosum.domains.translation import data, degradations, derived_inputs
from zerosum.domains.translation.derived_inputs import small
from zerosum.domains.translation.measures.context import RealSamples, TranslationEvaluation
from zerosum.domains.translation.measures.structure import (
    _super_resolution,
    colour_shift,
    gradient_energy,
    psnr_y,
    sharpened,
)
from zerosum.domains.translation.networks.upscale import Upscaler
from zerosum.domains.translation.sides import Side, TranslationTask
from zerosum.domains.translation.tiling import Tiling, apply_in_tiles
from zerosum.errors import UserError
from zerosum.generation import sampler
from zerosum.recipe import part


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of both phases, published."""
    folder, plan, loop = tmp_path_factory.mktemp("larger"), planned("super-resolution"), begun("super-resolution")
    played(loop, 4)
    sampler.publish(folder, loop.game.players["generator"], plan.recipe, plan.info, 4, plan.source.examples())
    return folder


def sampled(run: Path, out: Path, *options: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["sample", str(run), "--out", str(out), *map(str, options)])
    assert done.exit_code == code, f"{done.output} {done.exception}"
    return f"{done.output} {done.exception}"


def network(seed: int = 0) -> Upscaler:
    torch.manual_seed(seed)
    made = Upscaler(TranslationTask(Side(3), Side(3), True, 4), latent=1, width=8, blocks=2)
    with torch.no_grad():
        made.tail.weight.normal_(0, 0.05)
    return made.eval()


def picture(mode: str, bits: int, size: tuple[int, int] = (9, 14)) -> np.ndarray:
    draw = np.random.default_rng(zlib.crc32(f"{mode}{bits}".encode()))
    channels = {"grey": 1, "colour": 3, "grey with alpha": 2, "colour with alpha": 4}[mode]
    top = 65535 if bits == 16 else 255
    return draw.integers(0, top + 1, (*size, channels)).astype(np.uint16 if bits == 16 else np.uint8)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mode", ["grey", "colour", "grey with alpha", "colour with alpha"])
def test_depth_channels_and_transparency_are_kept(mode: str, bits: int, run: Path, tmp_path: Path) -> None:
    from zerosum.data.images import lossless_io
    from zerosum.domains.translation import writing

    values = picture(mode, bits)
    alpha = values[..., -1] if "alpha" in mode else None
    writing.write(tmp_path / "a.png", values[..., :-1] if alpha is not None else values, alpha)
    sampled(run, tmp_path / "b.png", "--input", tmp_path / "a.png")
    before, after = lossless_io.read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert after.values.shape == (36, 56, before.values.shape[2])
    assert after.values.dtype == before.values.dtype
    assert (after.alpha is None) == (before.alpha is None)
    if after.alpha is not None:
        assert after.alpha.shape == (36, 56)


def test_metadata_orientation_and_palettes(run: Path, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"  # turned by a quarter
    Image.fromarray(picture("colour", 8)).save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, quality=95)
    sampled(run, tmp_path / "b.png", "--input", tmp_path / "a.jpg", "--keep-metadata")
    with Image.open(tmp_path / "b.png") as made:
        assert made.size == (36, 56)
        assert made.info["icc_profile"] == profile
        assert made.getexif()[0x010F] == "maker"
    Image.fromarray(picture("colour", 8)).quantize(8).save(tmp_path / "p.png")
    sampled(run, tmp_path / "q.png", "--input", tmp_path / "p.png")
    assert read(tmp_path / "q.png").values.shape == (36, 56, 3)


@pytest.mark.parametrize(
    ("options", "size"), [((), (36, 56)), (("--scale", 1.5), (14, 21)), (("--size", "50x33"), (50, 33))]
)
def test_any_scale_and_size(options: tuple[object, ...], size: tuple[int, int], run: Path, tmp_path: Path) -> None:
    Image.fromarray(picture("colour with alpha", 8)).save(tmp_path / "a.png")
    sampled(run, tmp_path / "b.png", "--input", tmp_path / "a.png", *options)
    made = read(tmp_path / "b.png")
    assert made.values.shape[:2] == size
    assert made.alpha is not None
    assert made.alpha.shape == size


def test_refusals(run: Path, tmp_path: Path) -> None:
    Image.fromarray(picture("colour", 8)).save(tmp_path / "a.png")
    both = sampled(run, tmp_path / "b.png", "--input", tmp_path / "a.png", "--scale", 2, "--size", "40", code=1)
    assert "give one of them" in both
    with pytest.raises((UserError, ValueError), match="scale must be one of 2, 3, 4, 8"):
        data.open_source(part("photographs", scale=5), False)
    with pytest.raises((UserError, ValueError), match="crop must be a multiple of scale = 4, got 50x50"):
        data.open_source(part("photographs", crop=50, num=2), False)


def test_rows_of_small_images_are_multiples_of_the_scale(tmp_path: Path) -> None:
    for index in range(3):
        Image.fromarray(picture("colour", 8, (41, 30 + index))).save(tmp_path / f"{index}.png")
    assert data.open_source(part(str(tmp_path), scale=4), False).size == (28, 28)


def test_tiles_equal_the_whole() -> None:
    upscaler, image = network(), torch.rand(3, 100, 140) * 2 - 1
    noise = torch.zeros(1, 1)
    margin = -(-upscaler.reach // 16) * 16
    tiling = Tiling(2 * margin + 64, margin, 16, 16)
    with torch.no_grad():
        tiles = apply_in_tiles(lambda piece, place: upscaler(noise, piece[None], origin=place)[0], image, tiling)
        whole = apply_in_tiles(
            lambda piece, place: upscaler(noise, piece[None], origin=place)[0], image, Tiling(512, margin, 16, 16)
        )
    torch.testing.assert_close(tiles, whole, atol=1e-5, rtol=0)
    assert (whole - image).abs().mean() > 1e-2


def test_the_output_begins_as_the_interpolation() -> None:
    torch.manual_seed(0)
    fresh = Upscaler(TranslationTask(Side(3), Side(3), True, 4), latent=1, width=8, blocks=2)
    image = torch.rand(2, 3, 17, 22)
    assert torch.equal(fresh(torch.zeros(2, 1), image), image)


def test_an_input_is_the_target_reduced_and_enlarged() -> None:
    image = torch.rand(3, 16, 24)
    reduced = interpolate(image[None], (4, 6), mode="bicubic", antialias=True).clamp(0, 1)
    expected = interpolate(reduced, (16, 24), mode="bicubic")[0]
    torch.testing.assert_close(small(image, 4), expected)
    assert small(torch.rand(3, 17, 23), 4).shape == (3, 17, 23)


def test_crops_have_the_small_pixels_at_the_same_places() -> None:
    source = data.open_source(part("photographs", num=2, crop=32, flip=False), False)
    rows = source.batch(torch.arange(40))
    assert rows.condition is not None
    means = torch.nn.functional.avg_pool2d(rows.data, 4)
    again = interpolate(rows.condition, scale_factor=0.25, mode="bicubic", antialias=True)
    shifted = interpolate(rows.condition.roll(2, 3), scale_factor=0.25, mode="bicubic", antialias=True)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert (again - means)[inner].abs().mean() < 0.6 * (shifted - means)[inner].abs().mean()


def test_the_first_phase_trains_the_distance_alone_and_is_kept() -> None:
    loop = begun("super-resolution")
    upscaler = loop.game.players["generator"]
    assert isinstance(upscaler, Upscaler)
    played(loop, 2)
    first = {name: value.clone() for name, value in upscaler.named_buffers()}
    critic = {name: value.clone() for name, value in loop.game.players["discriminator"].named_parameters()}
    played(loop, 2)
    assert all(torch.equal(value, first[name]) for name, value in upscaler.named_buffers())
    assert any(
        not torch.equal(value, critic[name]) for name, value in loop.game.players["discriminator"].named_parameters()
    )
    weak, strong = upscaler.with_strength(0.0), upscaler.with_strength(1.0)
    assert torch.equal(weak.head.weight, first["first_head_weight"])
    assert torch.equal(strong.head.weight, upscaler.head.weight)


def test_strength_changes_the_output(run: Path, tmp_path: Path) -> None:
    Image.fromarray(picture("colour", 8, (20, 20))).save(tmp_path / "a.png")
    for strength in (0, 0.5, 1):
        sampled(run, tmp_path / f"{strength}.png", "--input", tmp_path / "a.png", "--strength", strength)
    sampled(run, tmp_path / "default.png", "--input", tmp_path / "a.png")
    weak, half, strong, default = (read(tmp_path / f"{name}.png").values for name in (0, 0.5, 1, "default"))
    assert weak.shape == strong.shape == (80, 80, 3)
    assert (weak != strong).any()
    assert (default == half).all()
    assert (default != strong).any()


def test_measures_are_those_of_their_definitions() -> None:
    a = torch.rand(1, 3, 12, 12) * 2 - 1
    b = (a + 0.02).clamp(-1, 1)
    assert float(psnr_y(a, a, 2)) > 100
    grey = torch.zeros(1, 3, 8, 8)
    weights = 65.481 + 128.553 + 24.966
    expected = 20 * np.log10(255 / (weights * 0.1))
    assert float(psnr_y(grey, grey + 0.2, 2)) == pytest.approx(expected, abs=1e-3)
    assert float(colour_shift(a, a)) == 0
    assert 0 < float(colour_shift(a, b)) <= 0.02 * 127.5 + 1e-3
    blurred = torch.nn.functional.avg_pool2d(a, 3, 1, 1)
    assert float(gradient_energy(blurred)) < 0.5 * float(gradient_energy(a))
    assert float(gradient_energy(sharpened(blurred))) > 1.5 * float(gradient_energy(blurred))
    assert torch.allclose(sharpened(grey + 0.3), grey + 0.3, atol=1e-6)


def test_photographs_are_degraded_in_two_stages_reproducibly() -> None:
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 3, 4), (48, 64), mode="bicubic")[0].clamp(0, 1)
    one, again, other = (small(image, 4, "photo", torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == image.shape
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    plain = small(image, 4)
    assert 0.002 < (one - plain).abs().mean() < 0.1
    wrong_way_up = small(image.flip(1), 4)
    assert (one - plain).abs().mean() < 0.3 * (one - wrong_way_up).abs().mean()


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.5])
def test_the_blur_has_the_stated_deviation(deviation: float) -> None:
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    found = degradations.blurred(point, deviation)[0]
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    places = torch.arange(31.0) - 15
    variance = float((found.sum(0) * places**2).sum())
    expected = torch.exp(-(places**2) / (2 * deviation**2))
    assert variance == pytest.approx(float((expected * places**2).sum() / expected.sum()), rel=0.05)


def test_jpeg_of_low_quality_is_farther_from_the_image() -> None:
    draw = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        image = interpolate(torch.rand(1, channels, 6, 8, generator=draw), (24, 32), mode="bilinear")[0]
        errors = [float((degradations.compressed(image, quality) - image).abs().mean()) for quality in (20, 95)]
        assert errors[0] > 2 * errors[1] > 0
    with pytest.raises(UserError, match="needs 1 or 3 channels; these have 4"):
        degradations.check_channels("photo", 4)


def test_a_photograph_has_several_small_images(tmp_path: Path) -> None:
    for index in range(3):
        Image.fromarray(picture("colour", 8, (32, 32))).rotate(90 * index).save(tmp_path / f"{index}.png")
    source = data.open_source(part(str(tmp_path), scale=4, degradation="photo", crop=32, heldout=0.0), False)
    inputs, targets = source.train
    assert len(inputs) == degradations_of(3) * len(targets) == 48
    assert source.rows.images[:, 1].tolist() == [row % 3 for row in source.rows.images[:, 0].tolist()]
    assert not torch.equal(inputs.images[0], inputs.images[3])
    distances = [(inputs.images[3].float() - target.float()).abs().mean() for target in targets.images]
    assert distances[0] == min(distances)
    assert "photo" in source.notes[0]
    with pytest.raises((UserError, ValueError), match=r"degradation needs data.scale"):
        data.open_source(part(str(tmp_path), make="grey", degradation="photo"), False)


def degradations_of(num: int) -> int:
    return min(derived_inputs.MAX_VARIANTS, derived_inputs.MAX_VARIED // num)


@pytest.mark.parametrize("ending", ["", "x4", "_LR"])
def test_given_small_images_are_enlarged(ending: str, tmp_path: Path) -> None:
    for name in ("lr", "hr"):
        (tmp_path / name).mkdir()
    for index in range(3):
        Image.fromarray(picture("colour", 8, (40, 32 + 4 * index))).save(tmp_path / "hr" / f"{index}.png")
        with Image.open(tmp_path / "hr" / f"{index}.png") as large:
            large.resize((large.width // 4, large.height // 4)).save(tmp_path / "lr" / f"{index}{ending}.png")
    source = data.open_source(part(str(tmp_path), heldout=0.0), False)
    assert data.can_open(str(tmp_path))
    assert source.info().payload["make"] == "small4"
    assert source.size == (32, 32)
    low = torch.from_numpy(np.array(Image.open(tmp_path / "lr" / f"1{ending}.png"))).permute(2, 0, 1) / 255
    expected = interpolate(low[None], (40, 36), mode="bicubic").clamp(0, 1)[0]
    torch.testing.assert_close(source.train[0].images[1] / 255, expected, atol=0.51 / 255, rtol=0)
    assert data.open_source(part(str(tmp_path), scale=2, heldout=0.0), False).info().payload["make"] == "small4"
    with pytest.raises((UserError, ValueError), match="small images are made, and these are given in lr/"):
        data.open_source(part(str(tmp_path), scale=4, degradation="photo"), False)
    with pytest.raises(UserError, match=r"data\.swap, data\.size"):
        data.open_source(part(str(tmp_path), swap=True), False)
    Image.fromarray(picture("colour", 8, (10, 8))).save(tmp_path / "lr" / f"1{ending}.png")
    with pytest.raises(UserError, match=rf"1{ending}\.png 8x10 and 1\.png 36x40"):
        data.open_source(part(str(tmp_path)), False)


def test_cmyk_is_converted_to_colour(run: Path, tmp_path: Path) -> None:
    """A CMYK file gives the same output as its colours saved as RGB."""
    cmyk = Image.fromarray(picture("colour", 8)).convert("CMYK")
    cmyk.save(tmp_path / "a.tif")
    cmyk.convert("RGB").save(tmp_path / "b.png")
    for name in ("a.tif", "b.png"):
        sampled(run, tmp_path / f"{name}.out.png", "--input", tmp_path / name)
    one, two = (read(tmp_path / f"{name}.out.png").values for name in ("a.tif", "b.png"))
    assert one.shape == (36, 56, 3)
    assert (one == two).all()


@pytest.mark.parametrize("mode", ["grey", "colour"])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_array_gives_what_a_file_gives(mode: str, bits: int, run: Path, tmp_path: Path) -> None:
    from zerosum.domains.translation import writing

    values = picture(mode, bits)
    writing.write(tmp_path / "a.png", values, None)
    sampled(run, tmp_path / "b.png", "--input", tmp_path / "a.png", "--strength", 0.5, "--scale", 2)
    made = sampler.TrainedGenerator(run).transform(values, strength=0.5, scale=2.0)
    assert made.dtype == values.dtype
    assert (made == read(tmp_path / "b.png").values).all()


def test_arrays_that_are_no_images_are_refused(run: Path) -> None:
    generator = sampler.TrainedGenerator(run)
    with pytest.raises(UserError, match=r"uint8 or uint16, got \(8, 8\) of float64"):
        generator.transform(np.zeros((8, 8)))
    with pytest.raises(UserError, match=r"'strenght' is no option of this generator\. Did you mean 'strength'"):
        generator.transform(np.zeros((8, 8), np.uint8), strenght=1)


def test_a_flat_target_does_not_rule_the_gradient_energy() -> None:
    plan = planned("super-resolution")
    true = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    true[0] = 0.5
    true[0, :, 0, 0] += 0.004  # a sky
    inputs = torch.nn.functional.avg_pool2d(true, 3, 1, 1)
    made = inputs + 0.01 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1))
    reals = RealSamples(inputs, true, true, "test")
    evaluation = TranslationEvaluation(plan.source, plan.info, reals, made, 0)
    found = next(record for record in _super_resolution(evaluation, true) if "gradient_energy" in record.name)
    assert 0.02 < found.value < 0.5


def test_held_out_photographs_give_several_crops_each() -> None:
    source = data.open_source(part("photographs", crop=32), False)
    assert source.heldout is not None
    num = len(source.heldout[1])
    assert source.num_heldout == source.info().num_heldout == 8 * num
    rows = source.heldout_batch(torch.arange(source.num_heldout))
    assert rows.condition is not None
    assert len(rows.data.flatten(1).unique(dim=0)) == 8 * num
    image, space = source.heldout[1].images[0], [side - 32 for side in source.heldout[1].images[0].shape[1:]]
    top, left = (int(share * (free + 1)) // 4 * 4 for share, free in zip((0.1, 0.2), space, strict=True))
    expected = source.heldout[1].unit(image[:, top : top + 32, left : left + 32])
    assert torch.equal(rows.data[num], expected)
    assert len(source.examples().data.flatten(1).unique(dim=0)) == 16


def test_small_and_large_images_of_other_names_are_no_classes(tmp_path: Path) -> None:
    for name in ("lr", "hr"):
        (tmp_path / name).mkdir()
        Image.fromarray(picture("colour", 8, (40, 40))).save(tmp_path / name / f"of-{name}.png")
    assert data.can_open(str(tmp_path))
    assert not paths.can_open(str(tmp_path))
    with pytest.raises(UserError, match=r"Only in lr/: of-lr\. Only in hr/: of-hr\. Rename or remove them$"):
        data.open_source(part(str(tmp_path)), False)
