"""The two sides of the game, as pairs of plain functions over logits, always in the order (real, fake).

Every function returns one value per row, (N, ...) -> (N, ...), written with softplus and relu so that logits of
any size are safe. A positive logit means "real"; D(x) = sigmoid(logit). Adding a loss is adding one `GANLoss`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from zerosum.errors import known_as

LossFunction = Callable[[Tensor, Tensor], Tensor]
LossOfOne = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class GANLoss:
    """Both players' losses, minimised by each.

    needs_real: the generator's loss looks at real samples too (relativistic losses).
    coupled: a row's loss depends on the other rows of the batch; the engine then gathers the logits of all micro-batches.
    neutral: the logit of "cannot tell"; None where only differences of logits mean something (a common shift changes no
    loss), so that the middle between the mean real and the mean fake logit stands for it.
    probabilistic: sigmoid(logit) estimates P(real), so the value V(D, G) of the 2014 paper exists.
    on_logits: the functions take logits. False for functions of probabilities, say; then a discriminator may end in a sigmoid.
    references: term -> (value, what it means); drawn as lines in the report.
    """

    discriminator: LossFunction
    generator: LossFunction
    needs_real: bool = False
    coupled: bool = False
    neutral: float | None = 0.0
    probabilistic: bool = False
    on_logits: bool = True
    references: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    source: str = ""

    def centre(self, real: Tensor, fake: Tensor) -> Tensor:
        """The logit, a scalar, above which a sample counts as judged real."""
        return (real.mean() + fake.mean()) / 2 if self.neutral is None else real.new_tensor(self.neutral)


def value(real: Tensor, fake: Tensor) -> Tensor:
    """V(D, G) = log D(x) + log(1 - D(G(z))), one value per row. Goodfellow et al. 2014, equation 1; -log 4 at D = 1/2."""
    return -softplus(-real) - softplus(fake)


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real) + softplus(fake)


_CANNOT_TELL = {"discriminator/loss": (2 * math.log(2), "2 log 2: D cannot tell real from made")}

minimax = GANLoss(
    _cross_entropy,
    lambda real, fake: -softplus(fake),  # log(1 - D(G(z))), the saturating side
    probabilistic=True,
    references=_CANNOT_TELL | {"generator/loss": (-math.log(2), "-log 2: D(G(z)) = 1/2")},
    source="Goodfellow et al. 2014, arXiv:1406.2661, equation 1",
)

non_saturating = GANLoss(
    _cross_entropy,
    lambda real, fake: softplus(-fake),  # -log D(G(z)): fakes labelled 1
    probabilistic=True,
    references=_CANNOT_TELL | {"generator/loss": (math.log(2), "log 2: D(G(z)) = 1/2")},
    source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
)

least_squares = GANLoss(
    lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2),
    lambda real, fake: 0.5 * (fake - 1) ** 2,
    neutral=0.5,
    references={
        "discriminator/loss": (0.25, "1/4: D says 1/2 to everything"),
        "generator/loss": (0.125, "1/8: D says 1/2 to everything"),
    },
    source="Mao et al. 2017, arXiv:1611.04076, equation 9 (a=0, b=c=1)",
)

hinge = GANLoss(
    lambda real, fake: relu(1 - real) + relu(1 + fake),
    lambda real, fake: -fake,
    references={"discriminator/loss": (2.0, "2: D says 0 to everything")},
    source="Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957",
)

wasserstein = GANLoss(
    lambda real, fake: fake - real,
    lambda real, fake: -fake,
    neutral=None,
    references={"discriminator/loss": (0.0, "0: minus the estimated distance, up to the penalty")},
    source="Arjovsky et al. 2017, arXiv:1701.07875",
)

_PAIRED = {
    "discriminator/loss": (math.log(2), "log 2: D cannot tell which of a pair is real"),
    "generator/loss": (math.log(2), "log 2: D cannot tell which of a pair is real"),
}

relativistic = GANLoss(
    lambda real, fake: softplus(fake - real),
    lambda real, fake: softplus(real - fake),
    needs_real=True,
    neutral=None,
    references=_PAIRED,
    source="Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024 (R3GAN), arXiv:2501.05441",
)

relativistic_average = GANLoss(
    lambda real, fake: softplus(fake.mean(0) - real) + softplus(fake - real.mean(0)),
    lambda real, fake: softplus(real - fake.mean(0)) + softplus(real.mean(0) - fake),
    needs_real=True,
    neutral=None,
    coupled=True,
    references={
        "discriminator/loss": (2 * math.log(2), "2 log 2: D cannot tell real from made"),
        "generator/loss": (2 * math.log(2), "2 log 2: D cannot tell real from made"),
    },
    source="Jolicoeur-Martineau 2018, arXiv:1807.00734, equation 12",
)

# --- f-GANs: D estimates a divergence from below, G minimises the estimate

_LARGEST = 20.0  # of log(p/q): e^20 = 4.9e8


def _exp(logit: Tensor) -> Tensor:
    """e^logit, continued by its tangent above 20, so that no float32 logit overflows.

    This is the exact f-GAN of an f that is infinite outside e^-20 <= u <= e^20: nothing changes for ratios inside.
    """
    return logit.clamp(max=_LARGEST).exp() * (1 + relu(logit - _LARGEST))


def _f_gan(f: str, output: LossOfOne, conjugate: LossOfOne, slope: float = 0.0, **facts: Any) -> GANLoss:
    """D maximises E T(real) - E f*(T(fake)) <= D_f(data || made); the best T is f'(p/q).

    output: logit -> T, into the domain of f*. conjugate: logit -> f*(T) of the same T. slope: f'(1).
    """
    return GANLoss(
        lambda real, fake: conjugate(fake) - output(real),
        lambda real, fake: -conjugate(fake),
        references={
            "discriminator/loss": (0.0, "0: minus the estimated divergence"),
            "generator/loss": (0.0 - slope, f"{0.0 - slope:g}: the estimated divergence is 0"),  # f*(f'(1)) = f'(1)
        },
        source=f"Nowozin et al. 2016, arXiv:1606.00709, tables 2 and 6, f(u) = {f}",
        **facts,
    )


fgan_kl = _f_gan("u log u", lambda t: t, lambda t: _exp(t - 1), slope=1.0, neutral=1.0)

fgan_reverse_kl = _f_gan("-log u", lambda t: -_exp(-t), lambda t: t - 1, slope=-1.0, probabilistic=True)

fgan_pearson = _f_gan(
    "(u - 1)^2",
    lambda t: t,
    lambda t: relu(1 + t / 2) ** 2 - 1,  # t^2/4 + t, held at -1 below -2, where no ratio u >= 0 leads
)

fgan_hellinger = _f_gan("(sqrt u - 1)^2", lambda t: 1 - _exp(-t), lambda t: _exp(t) - 1)

fgan_js = _f_gan(  # the paper's JS: twice the usual Jensen-Shannon divergence
    "u log u - (u + 1) log((u + 1) / 2)",
    lambda t: math.log(2) - softplus(-t),
    lambda t: softplus(t) - math.log(2),
    probabilistic=True,
)

fgan_total_variation = _f_gan("|u - 1| / 2", lambda t: torch.tanh(t) / 2, lambda t: torch.tanh(t) / 2)

fgan_gan = replace(  # 2 JSD - log 4: minimax in the words of f-GANs; f(1) is -log 4 here, so its lines are minimax's
    _f_gan("u log u - (u + 1) log(u + 1)", lambda t: -softplus(-t), softplus, probabilistic=True),
    references=minimax.references,
)


def smoothed(pair: GANLoss, real_label: float) -> GANLoss:
    """The pair with the real label lowered from 1 (one-sided label smoothing, Salimans et al. 2016, arXiv:1606.03498).

    Only cross-entropy discriminators have labels to smooth; any other pair raises ValueError.
    """
    if not 0.5 < real_label <= 1:
        raise ValueError(f"real_label must lie in (0.5, 1], got {real_label}")
    if pair.discriminator is not _cross_entropy:
        raise ValueError("one-sided label smoothing needs a loss with labels: minimax or non_saturating")

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return real_label * softplus(-real) + (1 - real_label) * softplus(real) + softplus(fake)

    kept = {name: line for name, line in pair.references.items() if name != "discriminator/loss"}
    return replace(pair, discriminator=discriminator, references=kept)


def table() -> dict[str, GANLoss]:
    """Every pair of this module by name; read off the module, so that a new loss needs no second edit."""
    return {name: item for name, item in globals().items() if isinstance(item, GANLoss)}


def named(name: str) -> GANLoss:
    """The pair of that name; UserError with the nearest names when there is none."""
    return known_as(name, table(), "loss")


def per_row(values: Tensor) -> Tensor:
    """(N, ...) -> (N,) float32: patches and scales of one sample are averaged."""
    values = values.float()
    return values.flatten(1).mean(1) if values.dim() > 1 else values


def apply(function: LossFunction, real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
    """(N,) float32: the loss over all heads, averaged; logits are taken to float32 first."""
    heads = [per_row(function(r.float(), f.float())) for r, f in zip(real, fake, strict=True)]
    return heads[0] if len(heads) == 1 else torch.stack(heads).mean(0)
