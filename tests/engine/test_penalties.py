"""Penalties: critics with gradients known in closed form, laziness, points, the second derivative, weight clipping."""

from __future__ import annotations

import pytest
import torch
from small_games import critic, duel, match, play
from torch import Tensor, nn

import conformance
from zerosum.engine import penalties
from zerosum.engine.duel import UpdateRules
from zerosum.engine.game import DiscriminatorOutput, LossContext
from zerosum.engine.optimizers import Schedule

MAKERS = penalties.table(any_game=True)
W = torch.tensor([1.0, -2.0, 2.0])  # a gradient of norm 3


class Linear(nn.Module):
    """D(x) = scale * w.x: the gradient is scale * w everywhere, of norm 3 * scale."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(W * scale)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


class Quadratic(nn.Module):
    """D(x) = a |x|^2 / 2: the gradient at x is a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.square().sum(1) / 2


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed))
    return real, fake


@pytest.mark.parametrize("name", MAKERS)
def test_conformance(name: str) -> None:
    conformance.check_penalty(MAKERS[name](2.5), name)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (penalties.r1(2.0), 2.0 * 0.5 * 9),
        (penalties.r2(2.0), 2.0 * 0.5 * 9),
        (penalties.gradient_penalty(10.0), 10.0 * (3 - 1) ** 2),
        (penalties.gradient_penalty(1.0, target=5.0), (3 - 5) ** 2),
        (penalties.gradient_penalty(1.0, target=5.0, one_sided=True), 0.0),
        (penalties.gradient_penalty(1.0, target=1.0, one_sided=True), 4.0),
        (penalties.zero_centred(10.0), 90.0),
        (penalties.dragan(10.0), 40.0),
    ],
)
def test_linear_critic(penalty: penalties.Penalty, expected: float) -> None:
    """Every penalty of a critic whose gradient has norm 3 everywhere is a plain number."""
    values = penalty.term(conformance.play_of(Linear(), *points()))
    torch.testing.assert_close(values, torch.full((5,), float(expected)))


def test_quadratic_critic() -> None:
    """D = a |x|^2 / 2 has gradient a x, so R1 is a^2 |real|^2 / 2 and R2 the same of the fakes."""
    (real, fake), a = points(), 0.6
    play = conformance.play_of(Quadratic(a), real, fake)
    torch.testing.assert_close(penalties.r1(1.0).term(play), a**2 * real.square().sum(1) / 2)
    torch.testing.assert_close(penalties.r2(1.0).term(play), a**2 * fake.square().sum(1) / 2)
    between = torch.lerp(fake, real, play.rng.uniform("between", 1))
    torch.testing.assert_close(penalties.zero_centred(1.0).term(play), a**2 * between.square().sum(1))
    norm = a * between.norm(dim=1)
    torch.testing.assert_close(penalties.gradient_penalty(1.0).term(play), (norm - 1) ** 2)
    torch.testing.assert_close(penalties.gradient_penalty(1.0, one_sided=True).term(play), (norm - 1).clamp(min=0) ** 2)
    assert 0 < (norm < 1).sum() < 5  # both sides were looked at


def test_slope_of_r1_for_the_weights_of_a_linear_critic() -> None:
    """d/dw of weight/2 |w|^2 is weight * w."""
    network = Linear()
    penalties.r1(0.7).term(conformance.play_of(network, *points())).mean().backward()
    torch.testing.assert_close(network.w.grad, 0.7 * W)


def test_second_derivative_against_finite_differences() -> None:
    """For D = u.tanh(V x) the gradient in x is V^T (u (1 - tanh^2)); its penalty, written out, is differentiated by
    central differences in float64."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 1, bias=False))
    real, _ = points()
    penalties.r1(1.0).term(conformance.play_of(network, real, real)).mean().backward()
    first, last = (network[i].weight.detach().double() for i in (0, 2))

    def by_hand(v: Tensor) -> Tensor:
        slope = (last * (1 - torch.tanh(real.double() @ v.T) ** 2)) @ v
        return 0.5 * slope.square().sum(1).mean()

    expected, tiny = torch.zeros_like(first), 1e-5
    for i in range(4):
        for j in range(3):
            step = torch.zeros_like(first)
            step[i, j] = tiny
            expected[i, j] = (by_hand(first + step) - by_hand(first - step)) / (2 * tiny)
    torch.testing.assert_close(network[0].weight.grad.double(), expected, rtol=1e-5, atol=1e-7)


def test_a_flat_critic_has_finite_slopes() -> None:
    """Where the gradient vanishes its norm has no derivative; the penalty must still have one."""
    network = Linear(0.0)
    for penalty in (penalties.gradient_penalty(), penalties.dragan()):
        values = penalty.term(conformance.play_of(network, *points()))
        torch.testing.assert_close(values, torch.full((5,), 10.0), rtol=1e-5, atol=0)
        values.mean().backward()
        assert torch.isfinite(network.w.grad).all()


def test_sides_are_judged_under_their_own_conditions() -> None:
    """R1 asks for the reals' conditions, R2 for the fakes'."""
    asked = []

    def judge(at: Tensor, side: str) -> DiscriminatorOutput:
        asked.append(side)
        return DiscriminatorOutput.of(at.sum(1))

    real, fake = points()
    play = conformance.play_of(Linear(), real, fake)
    play = LossContext(real, fake, play.on_real, play.on_fake, judge, play.rng, 0)
    for penalty in (penalties.r1(), penalties.r2()):
        penalty.term(play)
    assert asked == ["real", "fake"]


# --- points


def test_points_between_lie_on_the_segments_with_one_weight_a_row() -> None:
    real, fake = torch.ones(6, 2, 3), torch.zeros(6, 2, 3)
    where: list[Tensor] = []
    network = _Recording(where)
    penalties.zero_centred().term(conformance.play_of(network, real, fake))
    weights = where[-1].flatten(1)
    assert (weights == weights[:, :1]).all()
    assert ((weights >= 0) & (weights < 1)).all()
    assert len(set(weights[:, 0].tolist())) == 6


def test_points_around_lie_within_the_stated_width() -> None:
    """x + spread * deviation * U[0, 1) in every coordinate, in two dimensions on the diagonal and in one as well."""
    diagonal = torch.linspace(-1, 1, 200)[:, None].expand(200, 2)
    for real in (diagonal, diagonal[:, :1]):
        where: list[Tensor] = []
        penalties.dragan(spread=0.5, deviation=3.0).term(conformance.play_of(_Recording(where), real, real))
        moved = where[-1] - real
        assert moved.min().item() >= -1e-6
        assert 1.45 < moved.max().item() < 1.5 + 1e-6
        assert 0.65 < moved.mean().item() < 0.85  # 3/4, the mean of 1.5 * U[0, 1)


def test_no_deviation_is_no_noise() -> None:
    real, _ = points()
    where: list[Tensor] = []
    penalties.dragan(deviation=0.0).term(conformance.play_of(_Recording(where), real, real))
    assert torch.equal(where[-1], real)


class _Recording(nn.Module):
    """D(x) = sum of x; notes where it was asked."""

    def __init__(self, where: list[Tensor]) -> None:
        super().__init__()
        self.where, self.w = where, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.where.append(x.detach())
        return self.w * x.flatten(1).sum(1)


@pytest.mark.parametrize("name", MAKERS)
def test_bfloat16_fakes_are_penalised_in_float32(name: str) -> None:
    """Under autocast a generator hands out bfloat16 rows."""
    real, fake = points()
    network = Quadratic(0.7)
    rounded = MAKERS[name](1.0).term(conformance.play_of(network, real, fake.bfloat16()))
    wide = MAKERS[name](1.0).term(conformance.play_of(network, real, fake.bfloat16().float()))
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, wide)


# --- laziness and weights


@pytest.mark.parametrize("every", [1, 3, 4])
def test_lazy_penalty_keeps_its_mean(every: int) -> None:
    """Over `every` steps of one game at rest the lazy values average to the eager one."""
    eager, lazy = penalties.r1(1.3), penalties.r1(1.3, every=every)
    game = conformance.play_of(Linear(), *points())
    values = [lazy.term(game) if lazy.due(step) else torch.zeros(5) for step in range(2 * every)]
    assert [lazy.due(step) for step in range(4)] == [step % every == 0 for step in range(4)]
    torch.testing.assert_close(torch.stack(values).mean(0), eager.term(game))


def test_scheduled_weight() -> None:
    penalty = penalties.r1(Schedule(2.0, 0.0, "linear", over_steps=4))
    found = [penalty.term(conformance.play_of(Linear(), *points(), step=step))[0].item() for step in (0, 1, 4, 9)]
    assert found == [pytest.approx(4.5 * weight) for weight in (2.0, 1.5, 0.0, 0.0)]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        penalties.r1(1.0, every=0)
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        penalties.r2(-1.0)


def test_clip_weights_holds_learning_weights_and_leaves_frozen_ones() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    network[1].requires_grad_(False)
    frozen = network[1].weight.clone()
    penalties.clip_weights(network, 0.25)
    torch.testing.assert_close(network[0].weight, torch.linspace(-1, 1, 6).view(3, 2).clamp(-0.25, 0.25))
    assert torch.equal(network[1].weight, frozen)


def test_clipping_is_part_of_the_discriminators_turn() -> None:
    d = critic()
    start = max(p.abs().max().item() for p in d.parameters())
    game = match(duel(d=d, rules=UpdateRules(clip_weights=0.05)))
    play(game, 1)
    assert start > 0.05
    assert max(p.abs().max().item() for p in d.parameters()) == pytest.approx(0.05)
    assert max(p.abs().max().item() for p in game.game.players["generator"].parameters()) > 0.05
