"""Networks of translation by kind."""

from zerosum.domains.translation.networks.cut import ContrastiveGenerator, ResidualIdentity
from zerosum.domains.translation.networks.cyclegan import CycleDiscriminator, CycleGenerator
from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.networks.unet import UNet
from zerosum.domains.translation.networks.upscale import Upscaler

GENERATORS = {
    "unet": UNet,
    "resnet": ResNet,
    "cycle": CycleGenerator,
    "contrastive": ContrastiveGenerator,
    "restyle": ResidualIdentity,
    "upscale": Upscaler,
}
DISCRIMINATORS = {"patch": PatchDiscriminator, "cycle": CycleDiscriminator}

__all__ = ["DISCRIMINATORS", "GENERATORS", "CycleGenerator"]
