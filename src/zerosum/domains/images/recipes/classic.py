"""The classic image recipes. A variant replaces a few fields; each has its measured result in docs/images.md."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior, UpdateRules
from zerosum.engine.optimizers import OptimizerConfig, Schedule
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

RADFORD = "Radford, Metz and Chintala 2015, arXiv:1511.06434"


MLP = Recipe(
    name="mlp",
    why="The MLP pair of the tutorials, with relativistic pairing, R1 and R2, and falling rates: keeps all classes.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661", "Huang et al. 2024 (R3GAN), arXiv:2501.05441"),
    generator=part("mlp"),
    discriminator=part("mlp"),
    prior=Prior(100),
    conditional=False,
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=1.0, every=4), "r2": PenaltyConfig(weight=1.0, every=4)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=8_000,
    batch=64,
)

MLP_TUTORIAL = MLP.changed(
    name="mlp-tutorial",
    why="The same pair with the settings of the tutorials (cross-entropy, Adam 2e-4): on MNIST it loses classes.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661",),
    loss="non_saturating",
    penalties={},
    rules=UpdateRules(),
    learning=both(lr=2e-4, betas=(0.9, 0.999)),
    ema=AverageConfig(half_life_samples=0),
    steps=5_000,
    batch=100,
)

DCGAN = Recipe(
    name="dcgan",
    why="Convolutions and batch normalisation in the generator: the classic that still works on small images.",
    sources=(RADFORD,),
    generator=part("conv", width=32, norm="batch", up="transposed"),
    discriminator=part("conv", width=32, norm="none", down="strided"),
    prior=Prior(100),
    conditional=False,
    penalties={"r1": PenaltyConfig(weight=1.0, every=8)},
    learning=both(lr=2e-3, betas=(0.5, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=4_000,
    batch=64,
)

CGAN = DCGAN.changed(
    name="cgan",
    why="DCGAN told the label: the generator by concatenation, the discriminator by projection.",
    sources=["Mirza and Osindero 2014, arXiv:1411.1784", "Miyato and Koyama 2018, arXiv:1802.05637", RADFORD],
    conditional=True,
    discriminator=part("conv", width=32, norm="none", down="strided", condition="projection"),
)

LSGAN = DCGAN.changed(
    name="lsgan",
    why="Least squares instead of cross-entropy: gradients do not vanish for fakes far on the right side.",
    sources=["Mao et al. 2017, arXiv:1611.04076", RADFORD],
    loss="least_squares",
)

WGAN_GP = DCGAN.changed(
    name="wgan-gp",
    why="A critic with bounded slope estimates the Wasserstein distance; slow, steady, hard to break.",
    sources=["Gulrajani et al. 2017, arXiv:1704.00028"],
    loss="wasserstein",
    penalties={"gradient_penalty": PenaltyConfig(weight=10.0)},
    rules={"discriminator_steps": 3},
    learning={
        "generator": {"lr": 5e-4, "betas": [0.0, 0.9]},
        "discriminator": {"lr": 5e-4, "betas": [0.0, 0.9]},
    },
    steps=4_000,
)

RPGAN = Recipe(
    name="rpgan",
    why="Relativistic pairing with R1 and R2, no normalisation layers, small batches: for images of up to about 32 px.",
    sources=("Huang et al. 2024 (R3GAN), arXiv:2501.05441", "Jolicoeur-Martineau 2018, arXiv:1807.00734"),
    generator=part("conv", width=32, norm="none", up="transposed", slope=0.2, init="kaiming", output="linear"),
    discriminator=part("conv", width=32, norm="none", down="strided", init="kaiming", condition="projection"),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.3, every=8), "r2": PenaltyConfig(weight=0.3, every=8)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(2e-3, 2e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=16_000,
    batch=16,
    limits={"side": 48},
    beyond_limits="rpgan-64",
)

RPGAN_64 = RPGAN.changed(
    name="rpgan-64",
    why="rpgan for 64 px and more: with its high rates and light penalties the discriminator of larger images wins at once.",
    penalties={name: PenaltyConfig(weight=1.2, every=4) for name in ("r1", "r2")},
    learning=both(lr=Schedule(5e-4, 5e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    limits={},
    beyond_limits="",
)

FLOOR_STEPS = 2_878_237
"""Updates after which 0.1 / 1.000004^t has come down to 1e-6."""


def _classic(lr: float) -> OptimizerConfig:
    """Momentum 0.5 to 0.7 over 250 epochs of 500 updates; a rate divided by 1.000004 in every update."""
    falling = Schedule(lr, lr * 1e-5, "exponential", over_steps=FLOOR_STEPS)
    return OptimizerConfig(kind="sgd", lr=falling, momentum=Schedule(0.5, 0.7, "linear", over_steps=125_000))


GOODFELLOW2014 = Recipe(
    name="goodfellow2014",
    why="The first GAN, by its published configuration for MNIST: history to be seen and measured, not the way to train today.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661", "https://github.com/goodfeli/adversarial (mnist.yaml)"),
    data=part("mnist", validation=1 / 6),
    generator=part("sigmoid", widths=[1200, 1200], irange=0.05),
    discriminator=part("maxout", widths=[240, 240], pieces=5, input_dropout=0.2, dropout=0.5, irange=0.005),
    prior=Prior(100),
    conditional=False,
    rules=UpdateRules(simultaneous=True, batches="one"),
    # The published loss of D carries a factor 1/2, which for this optimizer is half the rate.
    learning={"generator": _classic(0.1), "discriminator": _classic(0.05)},
    ema=AverageConfig(half_life_samples=0),
    steps=125_000,
    batch=100,
)

RECIPES = (MLP, MLP_TUTORIAL, DCGAN, CGAN, LSGAN, WGAN_GP, RPGAN, RPGAN_64, GOODFELLOW2014)
