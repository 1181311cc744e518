"""Pictures: of the right size, made of what they show, and the same for the same input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zerosum.domain import PreviewContext
from zerosum.domains.toy import DOMAIN, densities, drawing, preview
from zerosum.domains.toy.data import open_source
from zerosum.recipe import part


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def close_to(path: Path, colour: str) -> int:
    """How many pixels have about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels(path) - wanted).max(2) < 25).sum())


def scene(
    name: str, noise: Tensor | None = None, judged: bool = False, **options: object
) -> tuple[Tensor, PreviewContext]:
    source = open_source(part(name, num=2_000, **options), False)
    judge = (lambda data: data[:, 0]) if judged else None
    return source.data, PreviewContext(10, source.info(), noise, judge)


@pytest.mark.parametrize("name", ["moons", "checkerboard", "normal"])
def test_the_same_input_gives_the_same_file(name: str, tmp_path: Path) -> None:
    points, shown = scene(name, torch.randn(2_000, 2), judged=True)
    for file in ("a.png", "b.png"):
        DOMAIN.media.preview(points, tmp_path / file, shown)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert pixels(tmp_path / "a.png").shape == ((520, 640, 3) if name == "normal" else (650, 600, 3))


def test_lost_modes_are_red_and_found_ones_are_not(tmp_path: Path) -> None:
    points, shown = scene("ring", torch.zeros(1, 2))
    DOMAIN.media.preview(points, tmp_path / "all.png", shown)
    DOMAIN.media.preview(points[points[:, 0] < 1.2], tmp_path / "lost.png", shown)
    assert close_to(tmp_path / "lost.png", drawing.MISSING) > 40 + close_to(tmp_path / "all.png", drawing.MISSING)


def test_real_points_have_the_colour_of_the_real(tmp_path: Path) -> None:
    points, shown = scene("moons")
    DOMAIN.media.preview(points, tmp_path / "real.png", shown)
    preview.picture(points, tmp_path / "made.png", shown, generated=True)
    assert close_to(tmp_path / "real.png", drawing.FAKE) == 0
    assert close_to(tmp_path / "made.png", drawing.FAKE) > 100


def test_what_d_says_is_seen_on_its_side(tmp_path: Path) -> None:
    """D believes in the right half: it is tinted as real, the left as made."""
    points, shown = scene("moons", torch.zeros(1, 2), judged=True)
    DOMAIN.media.preview(points, tmp_path / "map.png", shown)
    table = pixels(tmp_path / "map.png")
    left, right = table[40, 40], table[40, 560]
    assert left[0] > left[2] + 20  # towards orange
    assert right[1] > right[0] + 20  # towards green


def test_arrows_join_noise_to_where_it_is_carried() -> None:
    z = torch.rand(4_000, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _, shown = scene("normal", z, judged=True)
    curves = preview.curves_of(2 * z[:, 0], shown, densities.normal())
    assert curves.arrows is not None
    torch.testing.assert_close(curves.arrows[:, 1], 2 * curves.arrows[:, 0])
    assert curves.noise == (-1.0, 1.0)
    torch.testing.assert_close(
        curves.arrows[:, 0].double().diff().mean().item(), 2 / (drawing.ARROWS + 1), atol=1e-3, rtol=0
    )
    _, wide = scene("normal", torch.randn(4_000, 2))
    assert preview.curves_of(z[:, 0], wide, densities.normal()).arrows is None  # two numbers do not fit on a line


def test_the_smoothed_curve_is_a_density_and_comes_near_the_truth() -> None:
    density, x = densities.normal(), torch.linspace(-5, 5, 501, dtype=torch.float64)
    u = (torch.arange(4_000, dtype=torch.float64) + 0.5) / 4_000
    points = torch.special.ndtri(u)
    width = drawing.bandwidth(points, density)
    curve = drawing.smoothed(points, x, width)
    assert float(torch.trapezoid(curve, x)) == pytest.approx(1, abs=1e-3)
    # A normal blurred by a normal is the wider normal.
    expected = densities.normal(deviation=(1 + width**2) ** 0.5).log_prob(x[:, None]).exp()
    torch.testing.assert_close(curve, expected, atol=4e-3, rtol=0)
    assert drawing.bandwidth(densities.discrete().sample(4_000, torch.Generator())[:, 0], densities.discrete()) < 0.05
