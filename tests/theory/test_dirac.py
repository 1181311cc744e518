"""The Dirac-GAN: the table of eigenvalues, discrete radii, spirals, and the same from the engine's own losses and steps."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum import lessons
from zerosum.engine import UpdateRules, losses
from zerosum.lessons import dirac_game
from zerosum.theory import dirac

G = 0.3


def values(*numbers: complex) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.complex128)


@pytest.mark.parametrize(
    ("loss", "free", "damped"),
    [
        *((name, 0.5j, -0.15 + 0.4769696j) for name in ("minimax", "non_saturating", "relativistic", "least_squares")),
        *((name, 1j, -0.15 + 0.9886860j) for name in ("wasserstein", "hinge", "relativistic_average", "fgan_kl")),
    ],
)
def test_the_table_of_eigenvalues(loss: str, free: complex, damped: complex) -> None:
    pair = (free, free.conjugate())
    torch.testing.assert_close(dirac.eigenvalues(loss), values(*pair))
    found = dirac.eigenvalues(loss, "r1", G)
    torch.testing.assert_close(found, values(damped, damped.conjugate()), rtol=0, atol=1e-7)


def test_critical_damping_and_beyond() -> None:
    torch.testing.assert_close(dirac.eigenvalues("minimax", "r1", 1.0), values(-0.5, -0.5))
    root = math.sqrt(0.75)
    torch.testing.assert_close(dirac.eigenvalues("minimax", "r1", 2.0), values(-1 + root, -1 - root))
    torch.testing.assert_close(dirac.eigenvalues("wasserstein", "r1", 2.0), values(-1, -1))


def test_instance_noise() -> None:
    """f'' s^2 +- sqrt(f''^2 s^4 - f'^2) with f'' = -1/4 and f' = 1/2; a Wasserstein critic has no curvature to feel it."""
    for noise in (1.0, 2.0):
        root = torch.sqrt(torch.tensor(noise**4 / 16 - 0.25, dtype=torch.complex128))
        expected = torch.stack([-(noise**2) / 4 + root, -(noise**2) / 4 - root])
        torch.testing.assert_close(dirac.eigenvalues("non_saturating", noise=noise), expected)
    torch.testing.assert_close(dirac.eigenvalues("wasserstein", noise=1.0), values(1j, -1j))


def test_two_penalties_damp_twice() -> None:
    for loss in dirac.LOSSES:
        torch.testing.assert_close(dirac.eigenvalues(loss, "r1+r2", G), dirac.eigenvalues(loss, "r1", 2 * G))


@pytest.mark.parametrize("loss", dirac.LOSSES)
def test_eigenvalues_are_those_of_the_jacobian(loss: str) -> None:
    found = dirac_game.eigenvalues(dirac.jacobian(loss, "r1", G, noise=0.2))
    torch.testing.assert_close(found, dirac.eigenvalues(loss, "r1", G, noise=0.2))


# --- the engine


@pytest.mark.parametrize("loss", dirac.LOSSES)
def test_the_closed_forms_are_those_of_the_engines_functions(loss: str) -> None:
    pair = losses.table()[loss]
    stated = dirac.LOSSES[loss]
    found = dirac.Slopes.of(pair.discriminator, pair.generator, stated.bias)
    numbers = [(s.on_fake, s.generator, s.curvature, s.bias) for s in (found, stated)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-7)


def test_a_loss_without_a_closed_form_has_the_slopes_of_its_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """softplus(t / 2) has the slope 1/4 and the second derivative 1/16 at 0, in either logit."""
    softplus = torch.nn.functional.softplus
    warm = losses.GANLoss(
        lambda real, fake: softplus((fake - real) / 2), lambda real, fake: softplus((real - fake) / 2), needs_real=True
    )
    monkeypatch.setattr(losses, "warm", warm, raising=False)
    assert dirac_game.slopes("warm") == dirac.Slopes(0.25, 0.25, 0.125)
    expected = dirac.jacobian(dirac_game.slopes("warm"), "r1", G, 0.2)
    torch.testing.assert_close(dirac_game.jacobian("warm", "r1", G, 0.2), expected)
    (line,) = [line for line in lessons.load_lesson("dirac").run(0).lines if line.quantity.startswith("warm")]
    assert (line.theory, line.holds) == (0.25, True)
    assert line.quantity.endswith("derived from the loss")


def test_which_pairs_have_a_linear_theory() -> None:
    assert dirac.is_linear("hinge", "r1")
    assert not dirac.is_linear("hinge", "gradient_penalty")
    assert not dirac.is_linear("novelty")


@pytest.mark.parametrize("loss", losses.table())
@pytest.mark.parametrize("penalty", dirac.PENALTIES)
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_engine_has_the_jacobian_of_theory(loss: str, penalty: str, noise: float) -> None:
    found = dirac_game.jacobian(loss, penalty, G, noise)
    torch.testing.assert_close(found, dirac.jacobian(dirac_game.slopes(loss), penalty, G, noise), rtol=0, atol=5e-8)


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "relativistic", "wasserstein", "hinge", "fgan_js"])
def test_the_bias_is_the_neutral_logit(loss: str) -> None:
    assert dirac.LOSSES[loss].bias == (losses.table()[loss].neutral or 0.0)


def test_least_squares_without_a_constant_has_no_rotation() -> None:
    """Labels 0 and 1 are out of reach of a line through 0: the Jacobian is nilpotent, and not 0."""
    found = dirac_game.jacobian("least_squares", bias=0.0)
    assert (found @ found == 0).all()
    assert found.abs().max() == 1


def test_noise_of_two_values_stands_for_normal_noise() -> None:
    """The mean second derivative of D's loss in psi at 0, by Gauss and Hermite, is minus the Jacobian's last entry."""
    nodes, weights = torch.tensor([-(3**0.5), 0, 3**0.5]).double(), torch.tensor([1 / 6, 2 / 3, 1 / 6]).double()
    psi = torch.zeros((), dtype=torch.float64, requires_grad=True)
    pair = losses.non_saturating
    loss = (weights * pair.discriminator(psi * nodes, psi * nodes)).sum()
    (first,) = torch.autograd.grad(loss, psi, create_graph=True)
    (second,) = torch.autograd.grad(first, psi)
    torch.testing.assert_close(-second, dirac_game.jacobian("non_saturating", noise=1.0)[1, 1])


# --- steps


@pytest.mark.parametrize(("loss", "slope"), [("minimax", 0.5), ("wasserstein", 1.0)])
def test_simultaneous_steps_spiral_out(loss: str, slope: float) -> None:
    for size in (0.01, 0.1, 1.0):
        matrix = dirac.step_matrix(loss, step_size=size, simultaneous=True)
        assert dirac.radius(matrix) == pytest.approx(math.sqrt(1 + (size * slope) ** 2))


def test_alternating_steps_circle_up_to_two() -> None:
    radii = {size: dirac.radius(dirac.step_matrix("non_saturating", step_size=size)) for size in (0.1, 2.0, 3.9, 4.1)}
    assert radii == {0.1: 1.0, 2.0: 1.0, 3.9: 1.0, 4.1: pytest.approx(1.5625)}


def test_radius_against_a_general_solver() -> None:
    generator = torch.Generator().manual_seed(0)
    for matrix in torch.randn(50, 2, 2, dtype=torch.float64, generator=generator):
        assert dirac.radius(matrix) == pytest.approx(torch.linalg.eigvals(matrix).abs().max().item())


def test_spiral_is_powers_of_the_step() -> None:
    setting = ("hinge", "r1", G, 0.1)
    way = dirac.spiral(1.0, -0.5, *setting, steps=7, discriminator_steps=3)
    matrix = dirac.step_matrix(*setting, discriminator_steps=3)
    start = torch.tensor([1.0, -0.5], dtype=torch.float64)
    torch.testing.assert_close(way[7], matrix.matrix_power(7) @ start)
    assert way.shape == (8, 2)


def test_several_discriminator_steps_by_hand() -> None:
    """Twice psi -= h (theta + g psi), then theta += h psi, of the Wasserstein game."""
    theta, psi, size = 0.7, -0.2, 0.1
    for _ in range(2):
        psi -= size * (theta + G * psi)
    expected = torch.tensor([theta + size * psi, psi], dtype=torch.float64)
    found = dirac.spiral(0.7, -0.2, "wasserstein", "r1", G, size, 1, discriminator_steps=2)[1]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("simultaneous", [True, False])
@pytest.mark.parametrize(("loss", "penalty"), [("wasserstein", "none"), ("relativistic", "r1+r2"), ("fgan_kl", "r2")])
def test_played_step_is_the_matrix(loss: str, penalty: str, simultaneous: bool) -> None:
    found = dirac_game.step_matrix(loss, penalty, G, 0.2, UpdateRules(simultaneous=simultaneous))
    expected = dirac.step_matrix(loss, penalty, G, 0.2, simultaneous)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


# --- beyond the linear theory


def test_creep_solves_its_equation() -> None:
    """r' = -r^3 / 16, by differences; and r(0) is the start."""
    assert dirac.creep(0.8, 0.0) == pytest.approx(0.8)
    for time in (1.0, 40.0):
        rate = (dirac.creep(0.8, time + 1e-4) - dirac.creep(0.8, time - 1e-4)) / 2e-4
        assert rate == pytest.approx(-(dirac.creep(0.8, time) ** 3) / 16, rel=1e-6)


def test_creep_is_the_flow_of_the_engine() -> None:
    """Fourth-order Runge-Kutta on the engine's own field, over 40 units of time from 0.4 away."""
    at, size = torch.tensor([0.4, 0.0], dtype=torch.float64), 0.1

    def push(state: torch.Tensor) -> torch.Tensor:
        return dirac_game.field(state.detach().requires_grad_(True), "non_saturating").detach()

    for _ in range(400):
        a = push(at)
        b = push(at + size / 2 * a)
        c = push(at + size / 2 * b)
        at = at + size / 6 * (a + 2 * b + 2 * c + push(at + size * c))
    assert at.norm().item() == pytest.approx(dirac.creep(0.4, 40.0), rel=0.01)
    assert at.norm().item() < 0.99 * 0.4


def test_drift_and_creep_are_equal_on_the_cycle() -> None:
    """On the circle sqrt(2 h) the growth h^2/8 of a simultaneous step meets the creep h r^2/16."""
    for size in (0.05, 0.2):
        growth = math.log(dirac.radius(dirac.step_matrix("non_saturating", step_size=size, simultaneous=True)))
        assert growth == pytest.approx(size * dirac.cycle(size) ** 2 / 16, rel=0.01)
