"""Losses: closed forms, signs, stability, and the theory of the 2014 paper on the engine's own formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import conformance
from zerosum.engine import losses

PAIRS = losses.table()


def s(x: float) -> float:
    """softplus, written out."""
    return math.log(1 + math.exp(x))


GOLDEN = {  # (discriminator, generator) at real = 2, fake = -1
    "minimax": (s(-2) + s(-1), -s(-1)),
    "non_saturating": (s(-2) + s(-1), s(1)),
    "least_squares": (0.5 * (2 - 1) ** 2 + 0.5 * (-1 - 0) ** 2, 0.5 * (-1 - 1) ** 2),
    "hinge": (max(0, 1 - 2) + max(0, 1 - 1), 1),
    "wasserstein": (-1 - 2, 1),
    "relativistic": (s(-1 - 2), s(2 + 1)),
    "relativistic_average": (2 * s(-1 - 2), 2 * s(2 + 1)),
    "fgan_kl": (math.exp(-1 - 1) - 2, -math.exp(-1 - 1)),
    "fgan_reverse_kl": (-1 - 1 + math.exp(-2), 1 + 1),
    "fgan_pearson": (1 / 4 - 1 - 2, -(1 / 4 - 1)),
    "fgan_hellinger": (math.exp(-1) - 1 - (1 - math.exp(-2)), 1 - math.exp(-1)),
    "fgan_js": (s(-2) + s(-1) - 2 * math.log(2), math.log(2) - s(-1)),
    "fgan_total_variation": ((math.tanh(-1) - math.tanh(2)) / 2, -math.tanh(-1) / 2),
    "fgan_gan": (s(-2) + s(-1), -s(-1)),
}


def test_table_holds_all_pairs_of_the_module() -> None:
    assert set(PAIRS) >= set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_published_losses_name_their_paper(name: str) -> None:
    assert "arXiv" in PAIRS[name].source


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(name: str) -> None:
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    for function, number in zip((PAIRS[name].discriminator, PAIRS[name].generator), GOLDEN[name], strict=True):
        torch.testing.assert_close(function(real, fake), torch.tensor([float(number)]), rtol=1e-6, atol=1e-8)


def test_relativistic_average_compares_with_the_means() -> None:
    """reals (2, 0) have mean 1, fakes (-1, 2) mean 1/2: the first row of D is s(1/2 - 2) + s(-1 - 1)."""
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 2.0])
    torch.testing.assert_close(
        losses.relativistic_average.discriminator(real, fake),
        torch.tensor([s(0.5 - 2) + s(-1 - 1), s(0.5 - 0) + s(2 - 1)]),
    )
    torch.testing.assert_close(
        losses.relativistic_average.generator(real, fake),
        torch.tensor([s(2 - 0.5) + s(1 + 1), s(0 - 0.5) + s(1 - 2)]),
    )


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("check", ["shapes", "stable", "signs", "facts"])
def test_conformance(name: str, check: str) -> None:
    torch.manual_seed(0)
    getattr(conformance, f"check_pair_{check}")(PAIRS[name])


def test_slopes_at_a_hopeless_fake() -> None:
    """At logit -1e4 the non-saturating generator still has slope -1; the saturating one has none (its known fault)."""
    real, fake = torch.tensor([1e4]), torch.tensor([-1e4])
    assert conformance.slopes(losses.non_saturating.generator, real, fake)[1].item() == -1
    assert conformance.slopes(losses.minimax.generator, real, fake)[1].item() == 0
    assert conformance.slopes(losses.relativistic.generator, real, fake)[1].item() == -1
    wrong = conformance.slopes(losses.minimax.discriminator, -real, -fake)
    assert (wrong[0].item(), wrong[1].item()) == (-1, 1)


def test_generator_slopes_are_minus_d_and_minus_one_minus_d() -> None:
    """With D = sigmoid(logit): saturating -D, non-saturating -(1 - D); the ratio is D / (1 - D)."""
    logit = torch.linspace(-5, 5, 21, dtype=torch.float64)
    d = logit.sigmoid()
    saturating = conformance.slopes(losses.minimax.generator, logit, logit)[1]
    non_saturating = conformance.slopes(losses.non_saturating.generator, logit, logit)[1]
    torch.testing.assert_close(saturating, -d)
    torch.testing.assert_close(non_saturating, -(1 - d))
    torch.testing.assert_close(saturating / non_saturating, d / (1 - d))


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_relativistic_losses_do_not_see_a_common_shift(name: str) -> None:
    real, fake = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for function in (PAIRS[name].discriminator, PAIRS[name].generator):
        torch.testing.assert_close(function(real + 13.5, fake + 13.5), function(real, fake))
        assert not torch.allclose(function(real + 13.5, fake), function(real, fake))


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "fgan_gan"])
def test_cross_entropy_is_minus_the_value(name: str) -> None:
    real, fake = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(PAIRS[name].discriminator(real, fake), -losses.value(real, fake))


def test_value_is_minus_log_4_where_d_cannot_tell() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(losses.value(zero, zero), torch.full_like(zero, -math.log(4)))


# --- one-sided label smoothing


def test_smoothed_optimum_is_the_label_times_the_share_of_reals() -> None:
    """Where reals have density p and fakes q, p [r s(-l) + (1 - r) s(l)] + q s(l) is least at D = r p / (p + q)."""
    p, q, label = torch.tensor([0.1, 0.4, 0.3, 0.2]), torch.full((4,), 0.25), 0.9
    share = (p / (p + q)).double()
    logit = torch.logit(label * share)
    pair = losses.smoothed(losses.non_saturating, label)
    on_real, on_fake = _halves(pair.discriminator, logit)
    torch.testing.assert_close(share * on_real + (1 - share) * on_fake, torch.zeros(4, dtype=torch.float64))
    on_real, on_fake = _halves(losses.non_saturating.discriminator, logit)
    assert (share * on_real + (1 - share) * on_fake).abs().min() > 0.01


def _halves(function: losses.LossFunction, logit: Tensor) -> tuple[Tensor, Tensor]:
    return conformance.slopes(function, logit, logit)


def test_smoothed_leaves_the_generator_and_label_one_alone() -> None:
    real, fake = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    pair = losses.smoothed(losses.minimax, 1.0)
    torch.testing.assert_close(pair.discriminator(real, fake), losses.minimax.discriminator(real, fake))
    assert losses.smoothed(losses.minimax, 0.9).generator is losses.minimax.generator
    golden = 0.9 * 0.126928011 + 0.1 * 2.126928011 + 0.313261688  # 0.9 s(-2) + 0.1 s(2) + s(-1)
    value = losses.smoothed(losses.minimax, 0.9).discriminator(torch.tensor([2.0]), torch.tensor([-1.0]))
    torch.testing.assert_close(value, torch.tensor([golden]))


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"minimax", "non_saturating"}))
def test_smoothing_is_refused_without_labels(name: str) -> None:
    with pytest.raises(ValueError, match="minimax or non_saturating"):
        losses.smoothed(PAIRS[name], 0.9)


@pytest.mark.parametrize("label", [0.5, 0.0, 1.1, math.nan])
def test_smoothing_refuses_labels_out_of_range(label: float) -> None:
    with pytest.raises(ValueError, match=r"\(0.5, 1\]"):
        losses.smoothed(losses.minimax, label)


# --- the theory of the 2014 paper


def test_optimal_discriminator_of_a_table() -> None:
    """Over four symbols the best D is p / (p + q), and V there is -log 4 + 2 JSD(p, q)."""
    p = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)
    q = torch.full((4,), 0.25, dtype=torch.float64)
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def value() -> Tensor:
        reals, fakes = (
            losses.value(logits, torch.full_like(logits, -1e4)),
            losses.value(torch.full_like(logits, 1e4), logits),
        )
        return (p * reals + q * fakes).sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -value()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(logits.detach().sigmoid(), p / (p + q), rtol=0, atol=1e-6)
    m = (p + q) / 2
    jsd = 0.5 * (p * (p / m).log()).sum() + 0.5 * (q * (q / m).log()).sum()
    torch.testing.assert_close(value().detach(), -math.log(4) + 2 * jsd, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "slope"),
    [("minimax", 0.5), ("non_saturating", 0.5), ("relativistic", 0.5), ("wasserstein", 1.0), ("hinge", 1.0)],
)
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_dirac_game_turns_as_theory_says(name: str, slope: float, gamma: float) -> None:
    """D(x) = psi x, data at 0, G at theta: the field at the origin has eigenvalues -g/2 +- sqrt(g^2/4 - f'^2)
    with R1 of weight g (Mescheder et al. 2018, arXiv:1801.04406)."""
    pair = PAIRS[name]

    def field(state: Tensor) -> Tensor:
        psi, theta = state
        real, fake = psi[None] * 0, (psi * theta)[None]
        on_d = pair.discriminator(real, fake).sum() + 0.5 * gamma * psi**2
        on_g = pair.generator(real, fake).sum()
        (by_psi,) = torch.autograd.grad(on_d, psi, create_graph=True)
        (by_theta,) = torch.autograd.grad(on_g, theta, create_graph=True)
        return -torch.stack([by_psi, by_theta])

    origin = torch.zeros(2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda s: field(s), origin)
    found = torch.linalg.eigvals(jacobian)
    root = torch.sqrt(torch.tensor(gamma**2 / 4 - slope**2, dtype=torch.complex128))
    expected = torch.stack([-gamma / 2 + root, -gamma / 2 - root])
    torch.testing.assert_close(found[found.imag.argsort()], expected[expected.imag.argsort()], rtol=0, atol=1e-12)
