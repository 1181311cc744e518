"""f-divergences: conjugates against a search over ratios, tight bounds, bounds of any critic, and the engine's losses."""

from __future__ import annotations

import math

import pytest
import torch
from test_divergence import P, Q, tables
from torch import Tensor

from zerosum.engine import losses
from zerosum.theory.fdivergence import FDIVERGENCES

NAMES = list(FDIVERGENCES)
RATIOS = torch.logspace(-4, 4, 81, dtype=torch.float64)
LOGITS = torch.linspace(-6, 6, 49, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_definition_and_formula_agree(name: str) -> None:
    """sum q f(p/q) is what the divergence's own formula gives; f(1) = 0, but for the GAN's."""
    p, q = tables()
    torch.testing.assert_close((q * FDIVERGENCES[name].f(p / q)).sum(-1), FDIVERGENCES[name].exact(p, q))
    one = FDIVERGENCES[name].f(torch.ones((), dtype=torch.float64)).item()
    assert one == pytest.approx(-math.log(4) if name == "gan" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_the_derivative_of_f(name: str) -> None:
    u = RATIOS[RATIOS != 1].clone().requires_grad_(True)
    (found,) = torch.autograd.grad(FDIVERGENCES[name].f(u).sum(), u)
    torch.testing.assert_close(FDIVERGENCES[name].slope(u.detach()), found)


@pytest.mark.parametrize("name", NAMES)
def test_f_is_convex(name: str) -> None:
    slope = FDIVERGENCES[name].slope(RATIOS)
    assert (slope.diff() >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_conjugate_is_the_largest_gap(name: str) -> None:
    """f*(t) = max over u of u t - f(u), found by search over 100,000 ratios; attained at t = f'(u)."""
    each = FDIVERGENCES[name]
    u = torch.logspace(-7, 5, 120_001, dtype=torch.float64)  # 1 among them, where total variation has its kink
    u[70_000] = 1.0
    t = each.slope(torch.logspace(-2, 2, 21, dtype=torch.float64))
    if name == "total_variation":
        t = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)
    if name == "pearson":
        t = torch.cat([t, torch.tensor([-2.5, -7.0], dtype=torch.float64)])  # no ratio has so low a slope
    searched = (u * t[:, None] - each.f(u)).max(1).values
    torch.testing.assert_close(each.conjugate(t), searched, rtol=1e-6, atol=1e-6)
    at = torch.logspace(-2, 2, 21, dtype=torch.float64)
    torch.testing.assert_close(each.conjugate(each.slope(at)), at * each.slope(at) - each.f(at))


@pytest.mark.parametrize("name", NAMES)
def test_output_stays_in_the_domain_and_rises(name: str) -> None:
    each = FDIVERGENCES[name]
    t = each.output(LOGITS)
    assert ((t >= each.domain[0]) & (t <= each.domain[1])).all()
    assert (t.diff() > 0).all()
    assert torch.isfinite(each.conjugate(t)).all()


@pytest.mark.parametrize("name", NAMES)
def test_best_number_leads_to_the_best_critic(name: str) -> None:
    each = FDIVERGENCES[name]
    torch.testing.assert_close(each.output(each.best_number(RATIOS)), each.slope(RATIOS))


@pytest.mark.parametrize("name", NAMES)
def test_bound_is_tight_at_the_best_critic(name: str) -> None:
    each = FDIVERGENCES[name]
    for p, q in ((P, Q), tables()):
        torch.testing.assert_close(each.bound(each.best(p, q), p, q), each.exact(p, q), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_no_critic_exceeds_the_divergence(name: str) -> None:
    """200 critics of any size for each of 200 pairs of tables."""
    each = FDIVERGENCES[name]
    p, q = tables()
    generator = torch.Generator().manual_seed(2)
    spread = torch.logspace(-2, 1, 200, dtype=torch.float64)[:, None, None]
    critics = spread * torch.randn(200, 200, 5, dtype=torch.float64, generator=generator)
    bounds = each.bound(each.output(critics), p, q)
    assert (bounds <= each.exact(p, q) + 1e-12).all()
    assert (bounds < each.exact(p, q) - 1e-6).any()


# --- the engine's losses are these divergences


@pytest.mark.parametrize("name", NAMES)
def test_engine_plays_this_divergence(name: str) -> None:
    """D's loss is f*(T(fake)) - T(real), G's -f*(T(fake)), for T and f* written here a second time."""
    each, pair = FDIVERGENCES[name], losses.table()[f"fgan_{name}"]
    real, fake = LOGITS, LOGITS.flip(0) / 2
    expected = each.conjugate(each.output(fake)) - each.output(real)
    torch.testing.assert_close(pair.discriminator(real, fake), expected)
    torch.testing.assert_close(pair.generator(real, fake), -each.conjugate(each.output(fake)))


@pytest.mark.parametrize("name", NAMES)
def test_neutral_logit_is_where_the_ratio_is_one(name: str) -> None:
    neutral = losses.table()[f"fgan_{name}"].neutral
    assert neutral == pytest.approx(FDIVERGENCES[name].best_number(torch.ones((), dtype=torch.float64)).item())


def best_logits(pair: losses.GANLoss, p: float, q: float) -> Tensor:
    """The logit that minimises p D(real) + q D(fake), by bisection on the sign of the slope."""
    low, high = torch.tensor(-40.0).double(), torch.tensor(40.0).double()
    for _ in range(100):
        middle = ((low + high) / 2).requires_grad_(True)
        loss = p * pair.discriminator(middle, torch.zeros_like(middle)) + q * pair.discriminator(
            torch.zeros_like(middle), middle
        )
        (slope,) = torch.autograd.grad(loss, middle)
        low, high = (low, middle.detach()) if slope > 0 else (middle.detach(), high)
    return low


@pytest.mark.parametrize("name", [name for name in NAMES if name != "total_variation"])
@pytest.mark.parametrize("log_ratio", [-15.0, -2.0, 0.0, 3.0, 15.0])
def test_safe_exponentials_change_nothing_within_the_stated_ratios(name: str, log_ratio: float) -> None:
    """The engine's best logit for a ratio p/q between e^-20 and e^20 is that of the plain formulas."""
    ratio = math.exp(log_ratio)
    best = FDIVERGENCES[name].best_number(torch.tensor(ratio).double())
    if best.abs() < 40:
        found = best_logits(losses.table()[f"fgan_{name}"], ratio, 1.0)
        torch.testing.assert_close(found, best, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["fgan_kl", "fgan_reverse_kl", "fgan_hellinger"])
def test_exponential_losses_stay_convex_beyond(name: str) -> None:
    """Continued by tangents: the slopes neither jump nor fall, over a range where e^x overflows float32."""
    logits = torch.linspace(-300, 300, 6001)
    for side in (0, 1):
        at = logits.clone().requires_grad_(True)
        pair = [torch.zeros_like(at), torch.zeros_like(at)]
        pair[side] = at
        (slope,) = torch.autograd.grad(losses.table()[name].discriminator(*pair).sum(), at)
        assert torch.isfinite(slope).all()
        assert (slope.diff() >= -1e-6 * slope.abs().max()).all()
