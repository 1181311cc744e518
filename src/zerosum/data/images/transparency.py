"""Images with an alpha channel: as files hold them, as networks see them, composited on a colour or on a checkerboard.

Files and `uint8` rows hold straight colours: (N, 4, H, W), red, green, blue, alpha, where the colour of a transparent pixel has
no meaning. Networks see premultiplied colours: each colour in [0, 1] times alpha, then all four channels mapped to [-1, 1]; a
colour without meaning is then 0. Source: Porter and Duff 1984, doi:10.1145/800031.808606.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

LIGHT, DARK, SQUARE = 224, 160, 8
"""Grey levels of the checkerboard, and the side of its squares in pixels."""
ROWS = 1000


def premultiplied(pixels: Tensor) -> Tensor:
    """(N, 4, H, W) uint8, straight, to float32 in [-1, 1], premultiplied."""
    unit = pixels.to(torch.float32).div_(255)
    unit[:, :3] *= unit[:, 3:]
    return unit.mul_(2).sub_(1)


def straight(unit: Tensor) -> Tensor:
    """The inverse of `premultiplied` for any finite floats: clamped, alpha rounded to 8 bits, colours divided by it. The colour
    of a pixel whose alpha is 0 is black."""
    share = (unit.detach().to(torch.float32).clamp(-1.0, 1.0) + 1) / 2
    alpha = (share[:, 3:] * 255).round()
    colours = (share[:, :3] * (255 * 255 / alpha.clamp_min(1))).clamp(0, 255) * (alpha > 0)
    return torch.cat([colours.round(), alpha], 1).to(torch.uint8)


def limit_to_alpha(unit: Tensor) -> Tensor:
    """Premultiplied samples in [-1, 1] with no colour above its alpha, as every image has it."""
    return torch.cat([torch.minimum(unit[:, :3], unit[:, 3:]), unit[:, 3:]], 1)


def on_background(unit: Tensor, colour: str) -> Tensor:
    """(N, 4, H, W) in [-1, 1], premultiplied, on a background of that colour: (N, 3, H, W) in [-1, 1]."""
    return composite(unit, torch.tensor(ImageColor.getrgb(colour), device=unit.device).div(255)[None])


def composite(unit: Tensor, colours: Tensor) -> Tensor:
    """(N, 4, H, W) in [-1, 1], premultiplied, on backgrounds of colours (N or 1, 3) in [0, 1]: (N, 3, H, W)."""
    return unit[:, :3] + (1 - unit[:, 3:]) * colours.to(unit.dtype)[:, :, None, None]


def pixels_on_background(pixels: Tensor, colour: str) -> Tensor:
    """(N, 4, H, W) uint8, straight, on a background of that colour: (N, 3, H, W) uint8."""
    parts = [on_background(premultiplied(part), colour) for part in torch.split(pixels, ROWS)]
    return torch.cat([part.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def on_checkerboard(image: Image.Image) -> Image.Image:
    """An RGBA picture on light and dark squares, as RGB; pictures of other modes as they are."""
    if image.mode != "RGBA":
        return image
    rows, columns = np.indices((image.height, image.width)) // SQUARE
    board = np.where((rows + columns) % 2, DARK, LIGHT).astype(np.uint8)
    return Image.alpha_composite(Image.fromarray(board).convert("RGBA"), image).convert("RGB")
