"""What every member of a family must pass: each loss, each penalty. A new one is checked without a new test."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zerosum.engine import losses
from zerosum.engine.game import DiscriminatorOutput, LossContext
from zerosum.engine.losses import GANLoss, LossFunction
from zerosum.engine.penalties import Penalty
from zerosum.engine.seeds import SeededNoise


def neutral(pair: GANLoss) -> float:
    """The logit with which a discriminator says "cannot tell": 0 stands for any, where only differences mean something."""
    return pair.neutral or 0.0


def slopes(function: LossFunction, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """d sum(loss) / d real and d fake; zeros for an argument that the loss does not use."""
    real, fake = real.clone().requires_grad_(True), fake.clone().requires_grad_(True)
    found = torch.autograd.grad(function(real, fake).sum(), (real, fake), allow_unused=True)
    on_real, on_fake = (torch.zeros_like(real) if slope is None else slope for slope in found)
    return on_real, on_fake


def check_pair_shapes(pair: GANLoss) -> None:
    """One finite float32 value a row, for one head, patches and several heads; bfloat16 logits give float32 values."""
    torch.manual_seed(0)
    one, patches = torch.randn(2, 6), torch.randn(2, 6, 2, 3)
    for function in (pair.discriminator, pair.generator):
        assert function(one[0], one[1]).shape == (6,)
        assert function(patches[0], patches[1]).shape == (6, 2, 3)
        both = losses.apply(function, (one[0], patches[0]), (one[1], patches[1]))
        by_hand = (function(one[0], one[1]) + function(patches[0], patches[1]).mean((1, 2))) / 2
        torch.testing.assert_close(both, by_hand)
        rounded = one.bfloat16()
        value = losses.apply(function, (rounded[0],), (rounded[1],))
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, function(rounded[0].float(), rounded[1].float()))


def check_pair_stable(pair: GANLoss) -> None:
    """Values and slopes are finite at logits of +-1e4, in every combination."""
    extreme = torch.tensor([-1e4, 1e4])
    for function in (pair.discriminator, pair.generator):
        for real in extreme:
            for fake in extreme:
                assert torch.isfinite(function(real[None], fake[None])).all()
                for slope in slopes(function, real[None], fake[None]):
                    assert torch.isfinite(slope).all()


def check_pair_signs(pair: GANLoss) -> None:
    """Around "cannot tell": D wants reals up and fakes down, G wants fakes up (and, if it looks at them, reals down)."""
    real, fake = (neutral(pair) + torch.linspace(-0.4, 0.4, 9)[torch.randperm(9)] for _ in range(2))
    on_real, on_fake = slopes(pair.discriminator, real, fake)
    assert (on_real < 0).all()
    assert (on_fake > 0).all()
    on_real, on_fake = slopes(pair.generator, real, fake)
    assert (on_fake < 0).all()
    assert (on_real > 0).all() if pair.needs_real else (on_real == 0).all()


def check_pair_facts(pair: GANLoss) -> None:
    """Reference lines are the losses where D cannot tell; `coupled` and `probabilistic` are true to their meaning."""
    logits = torch.full((4,), neutral(pair))
    for name, function in (("discriminator/loss", pair.discriminator), ("generator/loss", pair.generator)):
        if name in pair.references:
            number, words = pair.references[name]
            assert words
            torch.testing.assert_close(function(logits, logits), torch.full((4,), number))
    assert set(pair.references) <= {"discriminator/loss", "generator/loss"}
    torch.manual_seed(3)
    real, fake = torch.randn(2, 6)
    alone = torch.cat([pair.discriminator(real[i : i + 1], fake[i : i + 1]) for i in range(6)])
    assert torch.allclose(pair.discriminator(real, fake), alone) is not pair.coupled
    # Where a share D = sigmoid(logit) of the samples is real, the best logit of a probabilistic loss is that very one.
    logits = torch.linspace(-3, 3, 7)
    on_real, on_fake = slopes(pair.discriminator, logits, logits)
    balance = logits.sigmoid() * on_real + (1 - logits.sigmoid()) * on_fake
    assert torch.allclose(balance, torch.zeros(7), atol=1e-6) is pair.probabilistic


def play_of(network: nn.Module, real: Tensor, fake: Tensor, step: int = 0) -> LossContext:
    """A share as the ordinary game would judge it; the conditions of the sides play no part."""
    rng = SeededNoise(0, step, 0, 0, len(real), len(real), torch.device("cpu"))
    on_real, on_fake = DiscriminatorOutput.of(network(real)), DiscriminatorOutput.of(network(fake))
    return LossContext(
        real, fake, on_real, on_fake, lambda points, side: DiscriminatorOutput.of(network(points)), rng, step
    )


def check_penalty(penalty: Penalty, name: str) -> None:
    """One finite float32 value >= 0 a row, independent of the other rows, reproducible, with a slope for D's weights."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    real, fake = torch.randn(2, 4, 2, 3)
    play = play_of(network, real, fake)
    values = penalty.term(play)
    assert penalty.name == name
    assert values.shape == (4,)
    assert values.dtype == torch.float32
    assert (values >= 0).all()
    assert torch.equal(values, penalty.term(play))
    whole = torch.autograd.grad(values.sum(), list(network.parameters()), allow_unused=True)
    assert any(slope is not None and slope.abs().sum() > 0 for slope in whole)
    assert real.grad is None
    assert not real.requires_grad
    other = play_of(network, real, fake + 0)
    other.real[1:] += 1  # what happens to the other rows must not matter to the first
    torch.testing.assert_close(penalty.term(other)[0], values[0], rtol=1e-5, atol=math.ulp(1.0))
