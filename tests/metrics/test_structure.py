"""Structural similarity by its formula and beside scikit-image; edges that see neither light nor contrast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zerosum.domains.translation.measures.appearance import contrast
from zerosum.domains.translation.measures.structure import edge_ssim, edges, ssim
from zerosum.errors import UserError


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 20, 45), (3, 4, 6)])
def test_equal_images_score_one(shape: tuple[int, int, int]) -> None:
    x = images(3, *shape)
    torch.testing.assert_close(ssim(x, x), torch.ones(3))
    torch.testing.assert_close(edge_ssim(x, x), torch.ones(3))


def test_flat_images_by_the_formula() -> None:
    """No variance: only the term of light is left, (2ab + c) / (a^2 + b^2 + c) with c = (0.01 * 2)^2."""
    a, b = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.25)
    torch.testing.assert_close(ssim(a, b), torch.tensor([(2 * 0.125 + 4e-4) / (0.25 + 0.0625 + 4e-4)]))


def test_as_scikit_image_has_it() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a = images(1, 3, 40, 33)
    b = (a + 0.3 * images(1, 3, 40, 33, seed=1)).clamp(-1, 1)
    theirs = metrics.structural_similarity(
        a[0].numpy().astype("float64"),
        b[0].numpy().astype("float64"),
        channel_axis=0,
        data_range=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(a, b)[0]) == pytest.approx(theirs, abs=1e-5)


def test_edges_of_a_step_are_its_border() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8:] = 1
    found = edges(image)[0, 0]
    torch.testing.assert_close(found[:, 7:9], torch.ones(16, 2))
    torch.testing.assert_close(found[:, :7], torch.zeros(16, 7))
    torch.testing.assert_close(found[:, 9:], torch.zeros(16, 7))


def test_edges_see_neither_light_nor_contrast_nor_sign() -> None:
    a = images(2, 1, 32, 32)
    torch.testing.assert_close(edge_ssim(a, -0.3 * a + 0.2), torch.ones(2))
    other = images(2, 1, 32, 32, seed=1)
    assert float(edge_ssim(a, other).max()) < 0.3


def test_a_label_map_has_the_edges_of_what_was_painted_by_it() -> None:
    labels = (torch.arange(24)[:, None] // 8 + torch.arange(24) // 12).view(1, 24, 24) % 2
    hot = torch.nn.functional.one_hot(labels, 2).permute(0, 3, 1, 2).float()
    painted = labels[:, None].float() * 0.7 - 0.1
    torch.testing.assert_close(edge_ssim(hot, painted), torch.ones(1))
    assert float(edge_ssim(hot, painted.roll(4, 3))[0]) < 0.8


def test_a_lone_point_has_edges() -> None:
    """The 99 % quantile of a nearly flat image is 0; its strongest edge is the measure then."""
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 5, 5] = 1
    found = edges(image)[0, 0]
    # Beside the point the slope is 2 / 8, at its corners sqrt(1 + 1) / 8.
    torch.testing.assert_close(found[5, 4:7], torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(found[4, 4:7], torch.tensor([0.5**0.5, 1.0, 0.5**0.5]))


def test_contrast_is_the_deviation_within() -> None:
    x = images(4, 2, 8, 8)
    torch.testing.assert_close(contrast(3 * x + 1), 3 * contrast(x))
    assert float(contrast(torch.rand(5, 1, 1, 1).expand(5, 1, 8, 8))) == pytest.approx(0, abs=1e-6)


def test_shapes_must_agree() -> None:
    with pytest.raises(UserError, match="one"):
        ssim(images(1, 1, 8, 8), images(1, 1, 8, 9))
