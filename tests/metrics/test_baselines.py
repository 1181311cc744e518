"""Classical models: parameters against closed forms and known truths, samples against the parameters they were drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics import baselines
from zerosum.metrics.baselines import classical, family, fit_ppca, kernel, mixture, normal, pca, sample_fit_rows


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


SLANT = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.2, 0.1]])


# --- the normal


def test_the_normal_has_the_mean_and_the_covariance_of_the_rows() -> None:
    rows = drawn(0, 500, 3) @ SLANT.T + 2
    found = normal(rows)
    torch.testing.assert_close(found.mean, rows.double().mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(rows.double().T, correction=0))


def test_samples_of_a_normal_have_its_moments() -> None:
    """Means within 5 standard errors; covariances within 5 of theirs, sqrt((s_ii s_jj + s_ij^2) / n)."""
    found, num = normal(drawn(1, 300, 3) @ SLANT.T + 2), 40_000
    samples = found.sample(num, 7)
    assert samples.dtype == torch.float32
    exact, covariance = samples.double(), found.covariance
    errors = (covariance.diagonal() / num).sqrt()
    assert ((exact.mean(0) - found.mean).abs() < 5 * errors).all()
    errors = ((covariance.diagonal()[:, None] * covariance.diagonal() + covariance.square()) / num).sqrt()
    assert ((torch.cov(exact.T) - covariance).abs() < 5 * errors).all()


@pytest.mark.parametrize("num", [4, 200])
def test_a_singular_covariance_is_sampled_within_its_plane(num: int) -> None:
    """Values that are constant or that repeat another stay so, with more rows than values and with fewer."""
    free = drawn(2, num, 4)
    rows = torch.cat([free, free[:, :1] * 2, torch.full((num, 1), 3.0)], 1)
    found = normal(rows)
    torch.testing.assert_close(found.covariance, torch.cov(rows.double().T, correction=0), atol=1e-12, rtol=1e-9)
    samples = found.sample(50, 0)
    torch.testing.assert_close(samples[:, 4], 2 * samples[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(samples[:, 5], torch.full((50,), 3.0))
    assert samples[:, 0].std() > 0.1


# --- families on the line


def test_the_normal_on_the_line() -> None:
    rows = 3 + 2 * drawn(3, 2_000, 1)
    found = family(rows)
    assert found.kind == "normal"
    torch.testing.assert_close(found.location, float(rows.double().mean()))
    torch.testing.assert_close(found.scale, float(rows.double().std(correction=0)))
    entropy = 0.5 * math.log(2 * math.pi * math.e * found.scale**2)  # what its mean log-density is at the maximum
    torch.testing.assert_close(found.likelihoods["normal"], -entropy)


def test_the_exponential_on_the_line() -> None:
    """Maximum likelihood: it begins at the least value; rate = 1 / mean above it; log-density -1 - log(scale)."""
    rows = -uniform(4, 2_000, 1).log() / 4
    found = family(rows)
    assert found.kind == "exponential"
    torch.testing.assert_close(found.location, float(rows.min()))
    torch.testing.assert_close(1 / found.scale, 1 / float((rows.double() - rows.min()).mean()))
    assert abs(1 / found.scale - 4) < 5 * 4 / math.sqrt(2_000)
    torch.testing.assert_close(found.likelihoods["exponential"], -1 - math.log(found.scale))
    samples = found.sample(20_000, 1)
    assert samples.shape == (20_000, 1)
    assert float(samples.min()) >= found.location - 1e-6
    assert abs(float(samples.mean()) - found.location - found.scale) < 5 * found.scale / math.sqrt(20_000)


def test_the_uniform_and_the_laplace_on_the_line() -> None:
    flat = family(uniform(5, 1_000, 1) * 3 - 1)
    assert flat.kind == "uniform"
    torch.testing.assert_close(flat.likelihoods["uniform"], -math.log(flat.scale))
    signs = torch.where(uniform(6, 1_001, 1) < 0.5, -1.0, 1.0)
    rows = 5 - signs * uniform(7, 1_001, 1).log()
    peaked = family(rows)
    assert peaked.kind == "Laplace"
    torch.testing.assert_close(peaked.location, float(rows.median()))
    torch.testing.assert_close(peaked.scale, float((rows - rows.median()).double().abs().mean()))
    assert "nats a row: normal" in peaked.summary


def test_rows_that_are_all_equal_are_modelled_by_that_point() -> None:
    point = family(torch.full((9, 1), 1.5))
    assert point.sample(4, 0).tolist() == [[1.5]] * 4
    assert set(point.likelihoods.values()) == {math.inf}
    constant = torch.full((9, 3), 1.5)
    for fit in classical(constant).values():
        torch.testing.assert_close(fit().sample(5, 0), constant[:5], atol=1e-3, rtol=0)


# --- mixtures


def test_a_mixture_finds_the_components_that_there_are() -> None:
    """Three clouds with shares 1/2, 1/3, 1/6: BIC chooses 3 of them, with their centres, deviations and shares."""
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]])
    which = torch.tensor([0, 0, 0, 1, 1, 2]).repeat(500)
    found = mixture(centres[which] + 0.3 * drawn(8, 3_000, 2))
    assert len(found.parts) == 3
    assert found.summary.startswith("3-component Gaussian mixture: ")
    torch.testing.assert_close(found.weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    for centre, share in zip(centres.double(), (1 / 2, 1 / 3, 1 / 6)):
        index = int(torch.stack([part.mean - centre for part in found.parts]).norm(dim=1).argmin())
        torch.testing.assert_close(found.parts[index].mean, centre, atol=0.07, rtol=0)
        torch.testing.assert_close(
            found.parts[index].covariance, 0.09 * torch.eye(2, dtype=torch.float64), atol=0.02, rtol=0
        )
        assert abs(float(found.weights[index]) - share) < 0.01


def test_one_slanted_cloud_is_one_normal() -> None:
    """With one component the mixture is the maximum-likelihood normal, but for the least variance that is added."""
    rows = drawn(25, 500, 3) @ SLANT.T
    found = mixture(rows)
    assert found.summary.startswith("1-component Gaussian mixture: full covariances")
    truth = normal(rows)
    torch.testing.assert_close(found.parts[0].mean, truth.mean)
    floor = baselines.FLOOR * truth.covariance.diagonal().mean() * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(found.parts[0].covariance, truth.covariance + floor)


def test_samples_of_a_mixture_are_mixed_and_have_its_shares() -> None:
    rows = torch.cat([drawn(9, 300, 1) - 20, drawn(10, 900, 1) + 20])
    high = (mixture(rows).sample(10_000, 3) > 0).float()
    assert abs(float(high.mean()) - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 10_000)
    assert abs(float(high[:1_000].mean()) - 0.75) < 0.1  # the first rows are no single component


def test_a_mixture_of_long_rows_lives_in_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 90 values on 3 directions: the mixture's samples lie on these, whatever else 64 components hold."""
    monkeypatch.setattr(baselines, "COMPONENTS", (1, 2))
    directions = drawn(11, 3, 90)
    samples = mixture(drawn(12, 400, 3) @ directions + 1).sample(100, 0) - 1
    rest = samples - samples @ torch.linalg.pinv(directions) @ directions
    assert float(rest.norm() / samples.norm()) < 0.05


def test_many_long_rows_get_a_fixed_number_of_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MANY_ROWS", 100)
    monkeypatch.setattr(baselines, "MANY_COMPONENTS", 4)
    monkeypatch.setattr(baselines, "MIXTURE_ROWS", 80)
    found = mixture(drawn(13, 120, 3))
    assert len(found.parts) == 4
    assert found.summary.endswith("fitted to 80 of 120 rows")
    assert "BIC" not in found.summary


# --- kernel density


def test_a_kernel_density_of_few_points() -> None:
    """Its samples lie around each centre alike, with the width's deviation."""
    rows = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    found = kernel(rows)
    away = torch.cdist(found.sample(20_000, 5), rows)
    near = away.argmin(1)
    assert abs(float(near.float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(20_000)
    mean_square = float(away.min(1).values.square().mean() / 2)
    assert abs(mean_square / found.width**2 - 1) < 0.1


def test_the_width_is_near_the_best_one_known() -> None:
    """For a normal of deviation s on the line, h = 1.06 s n^(-1/5) is best by squared error; likelihood is near it."""
    width = kernel(3 * drawn(14, 3_000, 1)).width
    assert 0.5 < width / (1.06 * 3 * 3_000**-0.2) < 2


def test_the_width_follows_the_scale_of_the_rows() -> None:
    rows = drawn(15, 200, 2)
    torch.testing.assert_close(kernel(rows * 50).width, 50 * kernel(rows).width)


# --- PCA


def test_probabilistic_pca_has_the_closed_form() -> None:
    """W W^T + s^2 I with the k largest eigenvalues kept and s^2 the mean of the others (Tipping and Bishop 1999)."""
    rows = drawn(16, 400, 2) @ (3 * drawn(17, 2, 6)) + 0.2 * drawn(18, 400, 6)
    found = pca(rows)
    count = len(found.root)
    assert count in (2, 3)  # a left-out tenth is 40 rows: one direction of noise may seem to help
    assert found.summary.startswith(f"{count}-component probabilistic PCA: ")
    values, vectors = torch.linalg.eigh(torch.cov(rows.double().T, correction=0))
    expected = vectors @ torch.cat([values[:-count].mean().expand(6 - count), values[-count:]]).diag() @ vectors.T
    torch.testing.assert_close(found.covariance, expected)
    torch.testing.assert_close(found.mean, rows.double().mean(0))


def test_the_likelihood_by_components_is_that_of_the_normal_with_this_covariance() -> None:
    kept, held = drawn(19, 100, 5).double() @ torch.diag(torch.arange(1.0, 6.0).double()), drawn(20, 30, 5).double()
    found = fit_ppca(kept, 4)
    values, vectors = torch.linalg.eigh(torch.cov(kept.T, correction=0))
    for count, likelihood in enumerate(found.log_likelihoods(held)):
        spectrum = torch.cat([values[: 5 - count].mean().expand(5 - count), values[5 - count :]])
        density = torch.distributions.MultivariateNormal(kept.mean(0), vectors @ spectrum.diag() @ vectors.T)
        constant = 0.5 * 5 * math.log(2 * math.pi)
        torch.testing.assert_close(likelihood, density.log_prob(held).mean() + constant)


def test_rows_of_low_rank_keep_their_rank() -> None:
    directions = drawn(21, 2, 8)
    samples = pca(drawn(22, 50, 2) @ directions).sample(100, 0)
    rest = samples - samples @ torch.linalg.pinv(directions) @ directions
    assert float(rest.norm() / samples.norm()) < 1e-3


# --- all of them


def test_models_that_suit_the_rows() -> None:
    assert list(classical(drawn(0, 9, 1))) == ["family", "mixture", "kernel"]
    assert list(classical(drawn(0, 9, 2))) == ["normal", "mixture", "kernel"]
    assert list(classical(drawn(0, 9, 3))) == ["normal", "mixture", "kernel", "pca"]


@pytest.mark.parametrize("num_dims", [1, 2, 5])
def test_fits_and_samples_repeat_themselves(num_dims: int) -> None:
    rows = drawn(23, 60, num_dims)
    for fit in classical(rows).values():
        one, other = fit(), fit()
        assert one.summary == other.summary
        samples = one.sample(20, 3)
        assert samples.shape == (20, num_dims)
        assert samples.dtype == torch.float32
        assert torch.equal(samples, other.sample(20, 3))
        assert not torch.equal(samples, one.sample(20, 4))


def test_many_rows_are_thinned_out_and_the_summary_tells() -> None:
    index = sample_fit_rows(1_000, 10, most=500)
    assert len(index.unique()) == 50
    assert torch.equal(index, sample_fit_rows(1_000, 10, most=500))
    assert torch.equal(sample_fit_rows(50, 10, most=500), torch.arange(50))
    found = classical(drawn(24, 50, 10), 1_000)["normal"]()
    assert found.summary.endswith("fitted to 50 of 1,000 rows")


@pytest.mark.parametrize("rows", [torch.zeros(1, 2), torch.zeros(5), torch.tensor([[0.0], [float("nan")]])])
def test_rows_that_cannot_be_fitted_are_refused(rows: Tensor) -> None:
    with pytest.raises(UserError, match="two or more"):
        classical(rows)
