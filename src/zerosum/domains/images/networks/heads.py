"""How a discriminator ends: one linear layer, and what it makes of the condition."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.conditioning import demanded, embedding

Ending = Literal["projection", "auxiliary"]


class Head(nn.Module):
    """(N, F) features -> (N,) logits, with a condition if there is one.

    "projection" adds the inner product of the features with the condition's vector (Miyato and Koyama 2018, arXiv:1802.05637).
    "auxiliary" judges without the condition and says beside it which class it sees (Odena et al. 2017, arXiv:1610.09585): the
    verdict then has outputs["classes"] (N, K), which the penalty `classification` teaches to both players.
    """

    def __init__(
        self, features: int, num_classes: int, num_attributes: int = 0, condition: Ending = "projection"
    ) -> None:
        super().__init__()
        if condition == "auxiliary" and num_attributes:
            raise ValueError("condition = 'auxiliary' names classes, and these data have attributes; use 'projection'")
        self.linear = nn.Linear(features, 1)
        told = condition == "projection"
        self.project = embedding(num_classes, num_attributes, features) if told else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=features**-0.5)
        self.classes = nn.Linear(features, num_classes) if num_classes and not told else None

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor | DiscriminatorOutput:
        """(N, F) [, condition] -> (N,), or a verdict with the classes."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.classes is not None:
            return DiscriminatorOutput((logits,), outputs={"classes": self.classes(features)})
        if self.project is None:
            return logits
        direction: Tensor = self.project(demanded(condition))
        return logits + (direction.to(features.dtype) * features).sum(1)
