"""Geometry of latent spaces: truncation, spherical and straight paths, closed-form directions.

Legend: N rows, L latent size, K keys of a path, F frames.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

NORMAL_LIMIT = 2.0
"""A standard normal prior truncated by T < 1 keeps |z| <= NORMAL_LIMIT * T, as in Brock et al. 2018, section 3.1."""


class MappedGenerator(nn.Module):
    """A generator in two halves: `mapping` makes styles w of the noise, `synthesis` makes samples of styles.

    A network that derives from it can be moved, mixed and truncated in w. num_ws: styles of one sample. w_mean: (W,) the mean of
    w, which truncation draws towards.
    """

    num_ws: int
    w_mean: Tensor

    def mapping(self, noise: Tensor, condition: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """(N, L) [, condition] -> (N, num_ws, W). truncation: in [0, 1], 1 for none."""
        raise NotImplementedError

    def synthesis(self, ws: Tensor) -> Tensor:
        """(N, num_ws, W) -> (N, ...) samples."""
        raise NotImplementedError


class SplitNoiseGenerator(nn.Module):
    """A generator that splits its noise into parts, each read at another depth, so that samples can be mixed by parts.

    parts: sizes of the parts in order; their sum is the size of the noise.
    """

    parts: list[int]


class PathLengthGenerator(MappedGenerator):
    """A generator that keeps the running mean of its path lengths, for the penalty `path_length`.

    path_length_mean: scalar buffer, which the penalty moves.
    """

    path_length_mean: Tensor


def truncate(noise: Tensor, kind: Literal["normal", "uniform", "truncated_normal"], limit: float, by: float) -> Tensor:
    """Noise of a prior, moved towards 0 so that it follows the prior truncated by `by` in [0, 1]; 1 leaves it as it is.

    normal: N(0, 1) given |z| <= 2 by. truncated_normal: given |z| <= limit * by. uniform: U[-by, by]. Each number keeps its
    quantile, so the same seed gives similar samples with less variation (truncation of Brock et al. 2018,
    arXiv:1809.11096, without drawing again). ValueError outside [0, 1].
    """
    if not 0 <= by <= 1:
        raise ValueError(f"truncation must lie in [0, 1], got {by}")
    if by == 1:
        return noise
    if kind == "uniform" or by == 0:
        return noise * by
    before = limit if kind == "truncated_normal" else float("inf")
    after = by * (limit if kind == "truncated_normal" else NORMAL_LIMIT)
    # On [0, limit] the distribution function is erf(z / sqrt 2) / erf(limit / sqrt 2), and odd in z.
    shares = torch.erf(noise.double() / 2**0.5) * (_within(after) / _within(before))
    return (torch.erfinv(shares) * 2**0.5).clamp(-after, after).to(noise.dtype)


def _within(limit: float) -> float:
    """P(|z| <= limit) of a standard normal z."""
    return float(torch.erf(torch.tensor(limit / 2**0.5, dtype=torch.float64)))


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b for rows (N, ...) and t (N,)."""
    t = t.to(a.dtype).view(-1, *[1] * (a.dim() - 1))
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """From rows a (N, L) to rows b, t (N,) of the way: the direction moves at constant speed along the great circle (Shoemake
    1985; White 2016, arXiv:1609.04468), the norm changes linearly.

    Rows of normal noise lie near a sphere of radius sqrt(L); straight lines between them pass through its empty inside.
    Where a and b are (nearly) opposite or one is 0, the great circle is not unique: there the path is straight.
    """
    x, y, t = a.double(), b.double(), t.double().view(-1, 1)
    lengths = x.norm(dim=1, keepdim=True), y.norm(dim=1, keepdim=True)
    u, v = x / lengths[0].clamp_min(1e-12), y / lengths[1].clamp_min(1e-12)
    # The angle by arctangent: the arc cosine loses half of the digits for small ones.
    angle = 2 * torch.atan2((u - v).norm(dim=1, keepdim=True), (u + v).norm(dim=1, keepdim=True))
    sine = angle.sin()
    turned = (((1 - t) * angle).sin() * u + (t * angle).sin() * v) / sine.clamp_min(1e-12)
    curved = turned * ((1 - t) * lengths[0] + t * lengths[1])
    circle = (sine > 1e-6) & (lengths[0] > 0) & (lengths[1] > 0)
    return torch.where(circle, curved, (1 - t) * x + t * y).to(a.dtype)


def path_positions(num_keys: int, frames: int, loop: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(from, to, t), each (F,): the keys before and after each of `frames` evenly spaced frames, and the position t between them.

    With `loop` the path returns to the first key, which is not shown twice. With one key all frames are equal.
    """
    if num_keys < 1 or frames < 1:
        raise ValueError(f"a path needs at least one key and one frame, got {num_keys} and {frames}")
    legs = num_keys if loop else num_keys - 1
    places = torch.arange(frames, dtype=torch.float64) * legs / (frames if loop else max(frames - 1, 1))
    first = places.floor().long().clamp(max=max(legs - 1, 0))
    return first, (first + 1) % num_keys, places - first


def closed_form(weight: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """The `num` unit directions n (num, L) that change weight @ n most, and |weight @ n|^2 (num,), largest first.

    They are the eigenvectors and eigenvalues of A^T A for the affine map A = weight (O, L) that reads the latent (Shen and
    Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", arXiv:2007.06600, equation 7). The sign is
    chosen so that the largest entry of each direction is positive.
    """
    values, vectors = torch.linalg.eigh(weight.double().T @ weight.double())
    directions = vectors.T.flip(0)[:num]
    peaks = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * peaks.sign()).float(), values.flip(0)[:num].clamp_min(0).float()
