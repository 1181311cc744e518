"""Before anything begins: layers without a second derivative, terms that reach no weight, sizes that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from zerosum.engine import penalties
from zerosum.engine.duel import Duel
from zerosum.engine.game import Batch
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.errors import UserError
from zerosum.planning.trial_step import play_trial_steps

LENGTH, WIDTH = 6, 16


class Rows:
    """Sequences of normal numbers."""

    num_rows = 16
    data = torch.randn(16, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.data[indices])


class Attention(nn.Module):
    """Attention by torch's own function; plain: with the backend that can be differentiated twice."""

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        self.project, self.plain = nn.Linear(WIDTH, WIDTH), plain

    def forward(self, x: Tensor) -> Tensor:
        q = self.project(x)[:, None]
        if self.plain:
            with sdpa_kernel(SDPBackend.MATH):
                return scaled_dot_product_attention(q, q, q)[:, 0]
        return scaled_dot_product_attention(q, q, q)[:, 0]


class Heads(nn.Module):
    """torch's layer, which leaves the plain formula when nobody asks for the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return found


class Distances(nn.Module):
    """(N, L, F) -> (N, L, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, x)


class Checkpointed(nn.Module):
    """A layer whose activations are computed again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = nn.Linear(WIDTH, WIDTH), reentrant

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = checkpoint(self.inner, x, use_reentrant=self.reentrant)
        return found


class Square(torch.autograd.Function):
    """x^2 with a derivative that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * slope


class Once(nn.Module):
    """A module of such a function."""

    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(x)


class Critic(nn.Module):
    """(N, L, F) -> (N, 1) with one middle layer to be tried."""

    def __init__(self, middle: nn.Module, width: int = WIDTH) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2), middle)
        self.head = nn.Linear(LENGTH * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.head(torch.tanh(self.features(x)).flatten(1))
        return score


class Maker(nn.Module):
    """(N, 3) -> (N, L, F)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, LENGTH * WIDTH)

    def forward(self, noise: Tensor) -> Tensor:
        return self.linear(noise).view(-1, LENGTH, WIDTH)


def match(critic: nn.Module, *terms: penalties.Penalty) -> TrainingLoop:
    return TrainingLoop(Duel(Maker(), critic, penalties=terms, prior=3), Rows(), Settings(batch=8))


COMPILED = "compiled"


def layer(name: str) -> nn.Module:
    if name == COMPILED:
        return torch.compile(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()), backend="aot_eager")  # type: ignore[return-value]
    makers = {"attention": Attention, "heads": Heads, "distances": Distances, "once": Once}
    return makers[name]() if name in makers else Checkpointed(reentrant=True)


@pytest.mark.parametrize(
    ("name", "module", "change"),
    [
        ("attention", "discriminator.features.2 (Attention)", "SDPBackend.MATH"),
        ("heads", "discriminator.features.2.attention (MultiheadAttention)", "SDPBackend.MATH"),
        ("distances", "discriminator.features.2 (Distances)", "|x|^2 + |y|^2 - 2 x y^T"),
        ("once", "discriminator.features.2 (Once)", "without that mark"),
        ("reentrant", "discriminator.features.2 (Checkpointed)", "use_reentrant=False"),
        (COMPILED, "discriminator.features.2 (OptimizedModule)", "without torch.compile"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_module_at_fault_is_named_with_the_change_to_make(name: str, module: str, change: str) -> None:
    """Lazy: due only in every eighth step of a training, and yet met before the first."""
    width = LENGTH if name == "distances" else WIDTH
    with pytest.raises(UserError) as caught:
        play_trial_steps(match(Critic(layer(name), width), penalties.r1(1.0, every=8)))
    said = str(caught.value)
    assert said.startswith("The penalty r1 needs the second derivative of the discriminator, and " + module)
    assert change in said
    assert "--set 'penalties={}'" in said


@pytest.mark.parametrize(
    "middle",
    [Attention(plain=True), Checkpointed(reentrant=False), nn.GroupNorm(2, LENGTH), nn.BatchNorm1d(LENGTH), nn.Tanh()],
    ids=["plain attention", "checkpoint", "group norm", "batch norm", "tanh"],
)
def test_what_can_be_differentiated_twice_passes(middle: nn.Module) -> None:
    played = match(Critic(middle), penalties.r1(1.0, every=8), penalties.gradient_penalty(1.0, every=3))
    play_trial_steps(played)
    assert played.step == 1
    assert {"r1", "gradient_penalty"} <= {name.partition("/")[2] for name in played.values()}


@pytest.mark.parametrize("name", ["attention", "distances", "once"])
def test_without_a_penalty_nothing_is_asked_for(name: str) -> None:
    play_trial_steps(match(Critic(layer(name), LENGTH if name == "distances" else WIDTH)))


class Cut(nn.Module):
    """Scores whose slope at the data hangs on no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(LENGTH * WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True) + self.head(x.detach().flatten(1))


def test_a_term_that_reaches_no_weight_is_told() -> None:
    """The loss still learns, so nothing would ever look wrong."""
    play_trial_steps(match(Cut()))
    with pytest.raises(UserError, match=r"^r1 and r2: this term does not depend on any weight .*\.detach\(\)"):
        play_trial_steps(match(Cut(), penalties.r1(), penalties.r2()))


def test_other_errors_come_out_as_torch_says_them() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        play_trial_steps(match(Critic(nn.Linear(WIDTH + 1, WIDTH)), penalties.r1()))
