"""Further terms: auxiliary classes, reconstruction, consistency, path length; what a play carries; adaptive augmentation."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from small_games import FEATURES, Rows
from torch import Tensor, nn

from zerosum.engine import (
    Adaptive,
    DiscriminatorOutput,
    Duel,
    LossContext,
    OptimizerConfig,
    Prior,
    Settings,
    TrainingLoop,
    UpdateRules,
    losses,
    penalties,
)
from zerosum.engine.duel import Controller
from zerosum.engine.seeds import SeededNoise
from zerosum.nn.latent import PathLengthGenerator

DRAWS = SeededNoise(0, 0, 0, 0, 4, 4, torch.device("cpu"))


def make_context(player: str, **outputs: Tensor) -> LossContext:
    verdict = DiscriminatorOutput((torch.zeros(4),), outputs=outputs)
    data = torch.zeros(4, 2)
    judge = lambda points, side: verdict  # noqa: E731
    labels = torch.tensor([0, 1, 2, 0])
    return LossContext(data, data, verdict, verdict, judge, DRAWS, 0, player, labels, labels)


def test_classes_are_asked_of_d_on_reals_and_of_g_on_fakes() -> None:
    logits = torch.zeros(4, 3)  # cannot tell: the cross-entropy is log 3
    penalty = penalties.classification(2.0, generator_weight=0.5)
    torch.testing.assert_close(
        penalty.term(make_context("discriminator", classes=logits)), torch.full((4,), 2 * math.log(3))
    )
    torch.testing.assert_close(penalty.term(make_context("generator", classes=logits)), torch.full((4,), math.log(3)))
    sure = 50 * nn.functional.one_hot(torch.tensor([0, 1, 2, 0])).float()
    torch.testing.assert_close(penalty.term(make_context("discriminator", classes=sure)), torch.zeros(4))
    assert penalty.players == ("discriminator", "generator")


def test_a_discriminator_without_the_output_is_named() -> None:
    for penalty, name in (
        (penalties.classification(), "classes"),
        (penalties.reconstruction(), "reconstruction"),
    ):
        with pytest.raises(ValueError, match=name):
            penalty.term(make_context("discriminator"))


def test_reconstruction_is_the_decoders_error() -> None:
    errors = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(
        penalties.reconstruction(3.0).term(make_context("discriminator", reconstruction=errors)), 3 * errors
    )


# --- path length


class Straight(PathLengthGenerator):
    """w = z; the image is w @ matrix: J^T y = matrix y, whatever w is."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)
        self.register_buffer("path_length_mean", torch.tensor(0.5))

    def mapping(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        return (noise * 1.0)[:, None, :].repeat(1, 3, 1).requires_grad_(True)

    def synthesis(self, ws: Tensor) -> Tensor:
        return (ws.sum(1) @ self.matrix).view(-1, 1, 2, 4)


def test_path_length_refuses_a_generator_that_does_not_declare_its_halves() -> None:
    class Undeclared(nn.Module):
        path_length_mean = torch.tensor(0.5)
        mapping, synthesis = Straight.mapping, Straight.synthesis

    data, verdict = torch.zeros(4, 1, 2, 4), DiscriminatorOutput((torch.zeros(4),))
    play = LossContext(
        data, data, verdict, verdict, lambda p, s: verdict, DRAWS, 0, "generator", noise=torch.randn(4, 5)
    )
    with pytest.raises(ValueError, match="mapping network"):
        penalties.path_length().term(dataclasses.replace(play, generator=Undeclared()))


def test_path_length_of_a_linear_generator_in_closed_form() -> None:
    generator = Straight(torch.randn(5, 8, generator=torch.Generator().manual_seed(1)))
    data = torch.zeros(4, 1, 2, 4)
    verdict = DiscriminatorOutput((torch.zeros(4),))
    play = LossContext(
        data,
        data,
        verdict,
        verdict,
        lambda p, s: verdict,
        DRAWS,
        0,
        "generator",
        noise=torch.randn(4, 5),
        generator=generator,
    )
    value = penalties.path_length(2.0, every=4, decay=0.25).term(play)
    direction = DRAWS.normal("path length", 1, 2, 4).view(4, 8) / 8**0.5
    # Each of the three layers' w has the slope `matrix @ y`; the length is the root of the mean of their squares.
    lengths = (direction @ generator.matrix.T).norm(dim=1)
    mean = 0.75 * 0.5 + 0.25 * lengths.mean()
    torch.testing.assert_close(value, 2 * 4 * (lengths - 0.5).square())  # the mean before this turn
    torch.testing.assert_close(generator.path_length_mean, mean.detach())
    value.mean().backward()
    assert generator.matrix.grad is not None
    assert generator.matrix.grad.abs().sum() > 0


# --- augmentation: through it, compared, adaptive


class Line(nn.Module):
    """D(x) = scale * sum of x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x.flatten(1).sum(1)


def double(images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
    return images * (1 + strength)


def game(**changes: object) -> Duel:
    torch.manual_seed(0)
    given = {"prior": Prior(2), "augment": double} | changes
    return Duel(nn.Linear(2, FEATURES), Line(), **given)  # type: ignore[arg-type]


def plays(duel: Duel, steps: int = 1, batch: int = 8, micro_batches: int = 1) -> TrainingLoop:
    settings = Settings(batch=batch, micro_batches=micro_batches, default=OptimizerConfig(lr=1e-3))
    match = TrainingLoop(duel, Rows(64), settings)
    for _ in range(steps):
        match.train_step()
    return match


@pytest.mark.parametrize(("through", "norm"), [(False, 0.5), (True, 1.0)])
def test_a_slope_through_the_augmentation_is_that_of_the_plain_points(through: bool, norm: float) -> None:
    duel = game(penalties=[penalties.r1(2.0, through_augment=through), penalties.r2(2.0, through_augment=through)])
    values = plays(duel).values()
    # The slope is 0.5 in each of the coordinates, doubled by an augmentation that doubles the points.
    assert values["discriminator/r1"] == pytest.approx(FEATURES * norm**2, rel=1e-5)
    assert values["discriminator/r2"] == pytest.approx(FEATURES * norm**2, rel=1e-5)


def test_consistency_compares_plain_with_augmented() -> None:
    duel = game(penalties=[penalties.consistency(3.0)], rules=UpdateRules(augment_role="compared"))
    match = TrainingLoop(duel, Rows(64), Settings(batch=64, default=OptimizerConfig(lr=1e-3)))
    with torch.no_grad():
        real = duel.discriminator(Rows(64).batch(torch.arange(64)).data)
        fake = duel.discriminator(duel.generator(duel.prior.draw(SeededNoise(0, 0, 0, 0, 64, 64, torch.device("cpu")))))
    match.train_step()
    # T doubles, so D(x) - D(T(x)) = -D(x).
    expected = 3 * float(real.square().mean() + fake.square().mean())
    assert match.values()["discriminator/consistency"] == pytest.approx(expected, rel=1e-5)


def test_rules_that_need_one_another() -> None:
    with pytest.raises(ValueError, match="consistency"):
        game(penalties=[penalties.consistency()])
    with pytest.raises(ValueError, match="consistency"):
        game(rules=UpdateRules(augment_role="compared"))
    with pytest.raises(ValueError, match="augment_strength has no use without an augmentation"):
        game(augment=None, rules=UpdateRules(augment_strength=Adaptive()))


def test_the_controller_follows_the_sign() -> None:
    control = Controller(Adaptive(target=0.5, over_images=100, every=2, most=0.25))
    for sign, expected in (
        (1.0, 0.0),
        (1.0, 0.2),
        (1.0, 0.2),
        (0.9, 0.25),
        (0.0, 0.25),
        (0.4, 0.05),
        (0, 0.05),
        (0, 0.0),
    ):
        control.update(torch.tensor(sign), 10)
        assert control.strength == pytest.approx(expected)


class Sure(Line):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0 + 1.0 + 0 * self.scale


def test_strength_rises_while_d_is_sure_and_is_part_of_the_state() -> None:
    rule = Adaptive(target=0.6, over_images=160, every=2)
    torch.manual_seed(0)
    duel = Duel(
        nn.Linear(2, FEATURES), Sure(), prior=Prior(2), augment=double, rules=UpdateRules(augment_strength=rule)
    )
    match = plays(duel, steps=6)
    assert match.values()["augment/strength"] == pytest.approx(6 * 8 / 160)
    assert match.values()["augment/sign"] == 1.0
    match.train_step()
    other = plays(
        Duel(nn.Linear(2, FEATURES), Sure(), prior=Prior(2), augment=double, rules=UpdateRules(augment_strength=rule)),
        steps=0,
    )
    other.load_state_dict(match.state_dict())
    for each in (match, other):
        each.train_step()
    assert duel.control is not None
    assert duel.control.state_dict() == other.game.control.state_dict()  # type: ignore[attr-defined]
    assert duel.control.strength == pytest.approx(8 * 8 / 160)


@pytest.mark.parametrize(("loss", "sign"), [("least_squares", -0.5), ("non_saturating", 1.0), ("wasserstein", 0.0)])
def test_the_sign_is_taken_around_the_logit_of_cannot_tell(loss: str, sign: float) -> None:
    """Of four reals one is judged above 1/2, where least squares cannot tell; all above 0, where cross-entropy cannot; two above
    0.2, the middle between the mean real (0.4) and the mean fake (0), which stands for it with a Wasserstein critic."""
    duel = game(loss=losses.table()[loss], rules=UpdateRules(augment_strength=Adaptive(every=1)))
    duel._last = (
        DiscriminatorOutput((torch.tensor([0.1, 0.15, 0.4, 0.95]),)),
        DiscriminatorOutput((torch.tensor([-0.5, 0.5, 0.1, -0.1]),)),
    )
    assert duel.statistics("discriminator")["sign"].item() == pytest.approx(sign)


class Middle(Line):
    """Says "real" of about half the reals, which sum to 6 once they are augmented by 1.5."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - 6 * self.scale


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic", "relativistic_average"])
def test_the_sign_is_that_of_the_whole_batch(loss: str) -> None:
    """Micro-batches tell the same mean as one batch, where "cannot tell" is the middle of the whole batch too."""
    rule = UpdateRules(augment_strength=Adaptive(every=1, initial=0.5))
    signs = []
    for parts in (1, 3):
        torch.manual_seed(0)
        generator, pair = nn.Linear(2, FEATURES), losses.table()[loss]
        nn.init.ones_(generator.bias)  # fakes like the reals, so that the middle lies among them
        duel = Duel(generator, Middle(), loss=pair, prior=Prior(2), augment=double, rules=rule)
        signs.append(plays(duel, batch=9, micro_batches=parts).values()["augment/sign"])
    assert signs[0] == pytest.approx(signs[1], abs=1e-6)
    assert abs(signs[0]) < 1


def test_outputs_are_cut_with_their_rows() -> None:
    verdict = DiscriminatorOutput((torch.arange(4.0),), outputs={"classes": torch.arange(8.0).view(4, 2)})
    torch.testing.assert_close(verdict.rows(1, 3).outputs["classes"], torch.tensor([[2.0, 3.0], [4.0, 5.0]]))


def test_the_rate_scales_learning_and_is_kept() -> None:
    match = plays(game(), steps=1)
    match.rate = 0.5
    match.train_step()
    assert match.values()["lr/generator"] == pytest.approx(5e-4)
    other = plays(game(), steps=0)
    other.load_state_dict(match.state_dict())
    assert other.rate == 0.5
