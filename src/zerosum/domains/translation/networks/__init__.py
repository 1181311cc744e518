"""Networks of translation by kind."""

from zerosum.domains.translation.networks.both import ContrastiveGenerator, CycleDiscriminator, CycleGenerator
from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.networks.restyle import Restyle
from zerosum.domains.translation.networks.unet import UNet

GENERATORS = {
    "unet": UNet,
    "resnet": ResNet,
    "cycle": CycleGenerator,
    "contrastive": ContrastiveGenerator,
    "restyle": Restyle,
}
DISCRIMINATORS = {"patch": PatchDiscriminator, "cycle": CycleDiscriminator}

__all__ = ["DISCRIMINATORS", "GENERATORS", "CycleGenerator"]
