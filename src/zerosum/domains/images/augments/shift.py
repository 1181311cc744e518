"""Small shifts and mirroring by whole pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise


def shift(*, pixels: int = 1, flip: bool = False) -> Augment:
    """Moves each chosen image by up to `pixels` in both directions (edges are filled with the image's own border), and mirrors
    half of the chosen ones when `flip` is set. Strength is the share of images chosen (0 to 1)."""

    def augment(images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        if not strength:
            return images
        n, _, height, width = images.shape
        moved = rng.uniform(f"{purpose} which").lt(strength).long()
        offset = (rng.integers(f"{purpose} shift", 2 * pixels + 1, 2) - pixels) * moved[:, None]
        rows = (torch.arange(height, device=images.device) + offset[:, :1]).clamp(0, height - 1)  # (N, H)
        columns = (torch.arange(width, device=images.device) + offset[:, 1:]).clamp(0, width - 1)  # (N, W)
        if flip:
            mirrored = rng.uniform(f"{purpose} flip").lt(0.5) & moved.bool()
            columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        index = torch.arange(n, device=images.device)[:, None, None]
        return images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    return augment
