"""The Dirac-GAN in closed form: the smallest game that shows which losses and penalties converge.

The data are one point, 0; the generator makes one point, theta; the discriminator is the line D(x) = bias + psi x. The
state is always (theta, psi), the equilibrium (0, 0). Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406.

    eigenvalues(loss, penalty="none", weight=0.0, noise=0.0) -> (2,) complex     of the flow's Jacobian at (0, 0)
    jacobian(loss, penalty="none", weight=0.0, noise=0.0) -> (2, 2)
    step_matrix(loss, penalty="none", weight=0.0, step_size=0.1, simultaneous=False, discriminator_steps=1) -> (2, 2)
    radius(matrix) -> float                                                     the largest |eigenvalue|
    spiral(theta, psi, loss, penalty, weight, step_size, steps, simultaneous, discriminator_steps) -> (steps + 1, 2)
    creep(distance, time), cycle(step_size) -> float                            the non-saturating game beyond the linear theory
    is_linear(loss, penalty) -> bool                                            whether these closed forms exist
    slopes(loss).bias                                                           the constant of D, "cannot tell"

loss: a name of LOSSES, whose slopes are stated in closed form, or the Slopes of any other loss (Slopes.of takes them from its
functions); penalty: a name of PENALTIES ("none", or "r1+r2" with one weight for both). All tensors float64.

Near (0, 0), with a = the slope of D's loss in the fake logit, -b = that of G's and d = the damping of the penalty, the
flow is theta' = b psi, psi' = -a theta - d psi. So the eigenvalues are -d/2 +- sqrt(d^2/4 - a b): with no damping they
lie on the imaginary axis, and the game turns for ever.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Slopes:
    """A loss near the equilibrium, where real and fake logits are `bias`.

    on_fake: a, the slope of D's loss in the fake logit. generator: b, minus the slope of G's. curvature: the sum of the
    second derivatives of D's loss in the real and in the fake logit. bias: the constant of D, the logit of "cannot
    tell", where another than 0: least squares and f-GAN's KL have no equilibrium of the line through 0.
    """

    on_fake: float
    generator: float
    curvature: float
    bias: float = 0.0

    @classmethod
    def of(cls, discriminator: Function, generator: Function, bias: float = 0.0) -> Slopes:
        """The slopes of two loss functions of (real, fake) logits, one value a row, by automatic differentiation at `bias`."""
        zero = torch.zeros((), dtype=torch.float64)
        noise = zero.clone().requires_grad_(True)
        shift = zero.clone().requires_grad_(True)
        # Independent noise of +-1 on reals and fakes, each of the four combinations once.
        real = bias + noise * torch.tensor([1, 1, -1, -1], dtype=torch.float64)
        fake = bias + shift + noise * torch.tensor([1, -1, 1, -1], dtype=torch.float64)
        by_noise, on_fake = _slopes(discriminator(real, fake).mean(), noise, shift)
        (curvature,) = _slopes(by_noise, noise)
        (on_generator,) = _slopes(generator(real, fake).mean(), shift)
        return cls(float(on_fake.detach()), -float(on_generator.detach()), float(curvature.detach()), bias)


def _slopes(value: Tensor, *points: Tensor) -> list[Tensor]:
    """The derivative of a scalar by each of the points; 0 where it does not depend on one."""
    if not value.requires_grad:
        return [torch.zeros_like(point) for point in points]
    found = torch.autograd.grad(value, points, create_graph=True, allow_unused=True)
    return [torch.zeros_like(point) if slope is None else slope for slope, point in zip(found, points, strict=True)]


_LOGISTIC = Slopes(0.5, 0.5, 0.5)  # f'(0) = 1/2 and f''(0) = -1/4 of f(t) = -log(1 + e^-t), for reals and for fakes

LOSSES: Mapping[str, Slopes] = {
    "minimax": _LOGISTIC,
    "non_saturating": _LOGISTIC,
    "relativistic": _LOGISTIC,
    "relativistic_average": Slopes(1.0, 1.0, 0.5),  # two terms, each with the slope 1/2
    "wasserstein": Slopes(1.0, 1.0, 0.0),
    "hinge": Slopes(1.0, 1.0, 0.0),
    "least_squares": Slopes(0.5, 0.5, 2.0, bias=0.5),
    "fgan_kl": Slopes(1.0, 1.0, 1.0, bias=1.0),
    "fgan_reverse_kl": Slopes(1.0, 1.0, 1.0),
    "fgan_pearson": Slopes(1.0, 1.0, 0.5),
    "fgan_hellinger": Slopes(1.0, 1.0, 2.0),
    "fgan_js": _LOGISTIC,
    "fgan_total_variation": Slopes(0.5, 0.5, 0.0),
    "fgan_gan": _LOGISTIC,
}

PENALTIES: Mapping[str, float] = {"none": 0.0, "r1": 1.0, "r2": 1.0, "r1+r2": 2.0, "zero_centred": 2.0}
"""Damping per unit of weight: the gradient of D is psi everywhere, R1 and R2 are weight/2 psi^2, zero_centred weight psi^2.

Penalties that pull |psi| to 1 (gradient_penalty, dragan) are missing: at psi = 0 they have a kink and no derivative.
They push psi away from the equilibrium, so theta does not converge.
"""


def slopes(loss: str | Slopes) -> Slopes:
    """The slopes of a loss that is given by name or by its slopes."""
    return LOSSES[loss] if isinstance(loss, str) else loss


def is_linear(loss: str | Slopes, penalty: str = "none") -> bool:
    """Whether the loss and the penalty have a linear theory at the equilibrium."""
    return (isinstance(loss, Slopes) or loss in LOSSES) and penalty in PENALTIES


def damping(loss: str | Slopes, penalty: str = "none", weight: float = 0.0, noise: float = 0.0) -> float:
    """d: the damping of psi by the penalty and by instance noise of deviation `noise` on reals and fakes."""
    return PENALTIES[penalty] * weight + slopes(loss).curvature * noise**2


def jacobian(loss: str | Slopes, penalty: str = "none", weight: float = 0.0, noise: float = 0.0) -> Tensor:
    """(2, 2) of (theta', psi') by (theta, psi) at the equilibrium."""
    loss_slopes = slopes(loss)
    rows = [[0.0, loss_slopes.generator], [-loss_slopes.on_fake, -damping(loss, penalty, weight, noise)]]
    return torch.tensor(rows, dtype=torch.float64)


def eigenvalues(loss: str | Slopes, penalty: str = "none", weight: float = 0.0, noise: float = 0.0) -> Tensor:
    """(2,) complex128: -d/2 +- sqrt(d^2/4 - a b), the one with the larger imaginary (else real) part first."""
    half = damping(loss, penalty, weight, noise) / 2
    root = cmath.sqrt(half**2 - slopes(loss).on_fake * slopes(loss).generator)
    return torch.tensor([-half + root, -half - root], dtype=torch.complex128)


def step_matrix(
    loss: str | Slopes,
    penalty: str = "none",
    weight: float = 0.0,
    step_size: float = 0.1,
    simultaneous: bool = False,
    discriminator_steps: int = 1,
) -> Tensor:
    """(2, 2): the linear map of (theta, psi) by one step of gradient descent near the equilibrium.

    simultaneous: I + h J. Otherwise D is updated first, `discriminator_steps` times, and then G with the new D.
    """
    rates = step_size * jacobian(loss, penalty, weight)
    unit = torch.eye(2, dtype=torch.float64)
    if simultaneous:
        return unit + rates
    on_generator, on_discriminator = unit.clone(), unit.clone()
    on_generator[0] += rates[0]
    on_discriminator[1] += rates[1]
    return on_generator @ on_discriminator.matrix_power(discriminator_steps)


def radius(matrix: Tensor) -> float:
    """The spectral radius: below 1 the game converges, at a rate of its logarithm a step; above 1 it diverges.

    Simultaneous steps without a penalty give sqrt(1 + h^2 a b) > 1; alternating ones exactly 1 while h sqrt(a b) <= 2.
    """
    # The closed form of a 2 x 2 matrix keeps the digits that a general solver loses where both eigenvalues meet.
    half, determinant = float(matrix.trace()) / 2, float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
    if half**2 <= determinant:
        return math.sqrt(determinant)
    return abs(half) + math.sqrt(half**2 - determinant)


def spiral(
    theta: float,
    psi: float,
    loss: str | Slopes,
    penalty: str = "none",
    weight: float = 0.0,
    step_size: float = 0.1,
    steps: int = 500,
    simultaneous: bool = False,
    discriminator_steps: int = 1,
) -> Tensor:
    """(steps + 1, 2): the states (theta, psi) that the linear theory predicts, the start first."""
    matrix = step_matrix(loss, penalty, weight, step_size, simultaneous, discriminator_steps)
    states = [torch.tensor([theta, psi], dtype=torch.float64)]
    for _ in range(steps):
        states.append(matrix @ states[-1])
    return torch.stack(states)


# --- beyond the linear theory: the non-saturating (and relativistic) game without a penalty


def creep(distance: float, time: float) -> float:
    """The distance from the equilibrium after that time of the non-saturating flow: (1 / distance^2 + time / 8)^(-1/2).

    The flow is theta' = psi s(-psi theta), psi' = -theta s(psi theta) with s the logistic function, so that r r' =
    -psi theta tanh(psi theta / 2). For small r that is -(psi theta)^2 / 2, over a turn -r^4 / 16 on average.
    """
    return 1 / math.sqrt(distance**-2 + time / 8)


def cycle(step_size: float) -> float:
    """The radius of the limit cycle of simultaneous non-saturating steps: sqrt(2 h).

    There the creep inwards, -r^3 / 16, balances the h r / 8 by which simultaneous steps drift outwards.
    """
    return math.sqrt(2 * step_size)
