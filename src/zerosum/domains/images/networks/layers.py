"""What the families share: how networks fit images of any size, how a generator ends, how a discriminator ends.

Legend: N rows, C channels, H height, W width, F features. A level is a number of halvings, 0 the full size.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import embedding, require_condition

Output = Literal["tanh", "linear"]
Ending = Literal["projection", "auxiliary"]


# --- sizes: a small grid is doubled or halved a number of times, then the image is cut or padded


def num_halvings(shape: Shape) -> int:
    """How often the shorter side can be halved and stay at 4 or more."""
    return max(0, (min(shape.height, shape.width) // 4).bit_length() - 1)


def grid_of(shape: Shape) -> tuple[int, int]:
    """The small grid (h, w) that covers the image after that many doublings."""
    scale = 2 ** num_halvings(shape)
    return -(-shape.height // scale), -(-shape.width // scale)


def short_sides(shape: Shape) -> list[int]:
    """The shorter side of each level, from the small grid up to the full size."""
    return [min(grid_of(shape)) << level for level in range(num_halvings(shape) + 1)]


def pad_images(images: Tensor, shape: Shape) -> Tensor:
    """Images padded with zeros at the bottom and the right to the grid times a power of 2."""
    scale, (h, w) = 2 ** num_halvings(shape), grid_of(shape)
    missing = (w * scale - shape.width, h * scale - shape.height)
    return nn.functional.pad(images, (0, missing[0], 0, missing[1])) if any(missing) else images


def crop_images(images: Tensor, shape: Shape) -> Tensor:
    """The middle of images (N, C, h, w), of the height and width of the shape."""
    top, left = (images.shape[2] - shape.height) // 2, (images.shape[3] - shape.width) // 2
    return images[:, :, top : top + shape.height, left : left + shape.width]


# --- ends


def output_layer(kind: Output) -> nn.Module:
    """The last layer of a generator."""
    return nn.Tanh() if kind == "tanh" else nn.Identity()


class Head(nn.Module):
    """(N, F) features -> (N,) logits, with a condition if there is one.

    "projection" adds the inner product of the features with the condition's vector (Miyato and Koyama 2018, arXiv:1802.05637).
    "auxiliary" ignores the condition and predicts the class (Odena et al. 2017, arXiv:1610.09585): the result then has
    outputs["classes"] (N, K), logits on which the penalty `classification` trains both players.
    """

    def __init__(
        self, features: int, num_classes: int, num_attributes: int = 0, condition: Ending = "projection"
    ) -> None:
        super().__init__()
        check_ending(condition, num_attributes)
        self.linear = nn.Linear(features, 1)
        projects = condition == "projection"
        self.project = embedding(num_classes, num_attributes, features) if projects else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=features**-0.5)
        self.classes = nn.Linear(features, num_classes) if num_classes and not projects else None

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor | DiscriminatorOutput:
        """(N, F) [, condition] -> (N,), or logits with the classes."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.classes is not None:
            return DiscriminatorOutput((logits,), outputs={"classes": self.classes(features)})
        if self.project is None:
            return logits
        direction: Tensor = self.project(require_condition(condition))
        return logits + (direction.to(features.dtype) * features).sum(1)


def check_ending(condition: Ending, num_attributes: int) -> None:
    """ValueError where classes are to be predicted and the data have attributes."""
    if condition == "auxiliary" and num_attributes:
        raise ValueError("condition = 'auxiliary' names classes, and these data have attributes; use 'projection'")
