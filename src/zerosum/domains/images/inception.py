"""The Inception-v3 network of the Fréchet Inception Distance, in plain torch, and where its weights come from.

It is the network of TensorFlow's `inception-2015-12-05` graph with 1,008 outputs. It differs from the usual Inception-v3 in
its pools: averages do not count the padding, and the pool of the last block is a maximum. Sources: Szegedy et al. 2015,
arXiv:1512.00567; Salimans et al. 2016; Heusel et al. 2017, arXiv:1706.08500.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from zerosum.data.fetch import fetch
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import default_cache_dir

NAME = "inception-2015-12-05"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FILE = f"pt_{NAME}-{SHA256[:8]}.pth"
URLS = (
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}",
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-{NAME}-{SHA256[:8]}.pth",
)
MOST_BYTES = 100_000_000
"""Size limit of the download. The standard weights are the file pt_inception-2015-12-05-6726825d.pth, 95,628,359 bytes."""
NUM_FEATURES, NUM_OUTPUTS, SIDE = 2048, 1008, 299

Layer = tuple[str, int, int | tuple[int, int], int]
"""Name, channels out, kernel, stride."""
WIDE, TALL = (1, 7), (7, 1)


class _Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU. padding None: as much as keeps the size, none with a stride."""

    def __init__(
        self, num_in: int, num_out: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        kept = (sides[0] // 2, sides[1] // 2) if stride == 1 else (0, 0)
        around = kept if padding is None else (padding, padding)
        self.conv = nn.Conv2d(num_in, num_out, sides, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(num_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Chains of convolutions side by side, then a pool, with a convolution behind it where `pooled` is not 0.

    fork: layers that are doubled at the end of the chain of this name: one wide and one tall kernel side by side.
    """

    def __init__(
        self, num_in: int, chains: Sequence[Sequence[Layer]], pool: str, pooled: int = 0, fork: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.pool, self.chains = pool, [[layer[0] for layer in chain] for chain in chains]
        self.forks: dict[int, list[str]] = {}
        for index, chain in enumerate(chains):
            width = num_in
            for name, num_out, kernel, stride in chain:
                self.add_module(name, _Conv(width, num_out, kernel, stride))
                width = num_out
            if index < len(fork) and fork[index]:
                self.forks[index] = [f"{fork[index]}a", f"{fork[index]}b"]
                for name, kernel in zip(self.forks[index], ((1, 3), (3, 1)), strict=True):
                    self.add_module(name, _Conv(width, 384, kernel))
        self.branch_pool = _Conv(num_in, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for index, chain in enumerate(self.chains):
            part = x
            for name in chain:
                part = self.get_submodule(name)(part)
            parts += [self.get_submodule(name)(part) for name in self.forks[index]] if index in self.forks else [part]
        return torch.cat([*parts, self.branch_pool(self._pooled(x))], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "mean":
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return functional.max_pool2d(x, 3, 1, 1) if self.pool == "largest" else functional.max_pool2d(x, 3, 2)


def _first(num_in: int, pooled: int) -> _Mixed:
    five = [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)]
    three = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)]
    return _Mixed(num_in, [[("branch1x1", 64, 1, 1)], five, three], "mean", pooled)


def _second(c: int) -> _Mixed:
    seven: list[Layer] = [("branch7x7_1", c, 1, 1), ("branch7x7_2", c, WIDE, 1), ("branch7x7_3", 192, TALL, 1)]
    twice: list[Layer] = [("branch7x7dbl_1", c, 1, 1), ("branch7x7dbl_2", c, TALL, 1), ("branch7x7dbl_3", c, WIDE, 1)]
    twice += [("branch7x7dbl_4", c, TALL, 1), ("branch7x7dbl_5", 192, WIDE, 1)]
    return _Mixed(768, [[("branch1x1", 192, 1, 1)], seven, twice], "mean", 192)


def _third(num_in: int, pool: str) -> _Mixed:
    three: list[Layer] = [("branch3x3_1", 384, 1, 1)]
    twice: list[Layer] = [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1)]
    forks = ("", "branch3x3_2", "branch3x3dbl_3")
    return _Mixed(num_in, [[("branch1x1", 320, 1, 1)], three, twice], pool, 192, forks)


def _shrink_first() -> _Mixed:
    three = [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)]
    return _Mixed(288, [[("branch3x3", 384, 3, 2)], three], "half")


def _shrink_second() -> _Mixed:
    three: list[Layer] = [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)]
    seven: list[Layer] = [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, WIDE, 1)]
    seven += [("branch7x7x3_3", 192, TALL, 1), ("branch7x7x3_4", 192, 3, 2)]
    return _Mixed(768, [three, seven], "half")


class Inception(nn.Module):
    """uint8 images (N, 1 or 3, H, W) to 2,048 features and, from these, 1,008 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, padding=0)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _first(192, 32), _first(256, 64), _first(288, 64)
        self.Mixed_6a = _shrink_first()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            _second(128),
            _second(160),
            _second(160),
            _second(192),
        )
        self.Mixed_7a = _shrink_second()
        self.Mixed_7b, self.Mixed_7c = _third(1280, "mean"), _third(2048, "largest")
        self.fc = nn.Linear(NUM_FEATURES, NUM_OUTPUTS)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (N, 2048) of uint8 images, resized to 299 by antialiased bicubic interpolation."""
        return self.pooled(to_input(images))

    def pooled(self, x: Tensor) -> Tensor:
        """Pooled features (N, 2048) of prepared images (N, 3, 299, 299) in [-1, 1]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            x = block(x) if name.startswith("Mixed") else x
        return x.mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """(N, 1008) without the bias, as the Inception Score has always been taken."""
        return functional.linear(features, self.fc.weight)


def to_input(images: Tensor) -> Tensor:
    """uint8 (N, 1 or 3, H, W) as float32 (N, 3, 299, 299): (x - 128) / 128 of the resized image, grey ones as three channels."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(f"inception needs uint8 images (N, 1 or 3, H, W), not {images.dtype} {tuple(images.shape)}")
    values = images.float()
    if tuple(images.shape[2:]) != (SIDE, SIDE):
        values = functional.interpolate(values, size=(SIDE, SIDE), mode="bicubic", antialias=True)
    return ((values - 128) / 128).expand(-1, 3, -1, -1)


def load_inception(path: Path) -> tuple[Inception, str]:
    """The network with the weights of a .pth or .safetensors file, and the file's SHA-256. Nothing in it is executed.

    UserError when it cannot be read or holds other tensors.
    """
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        state = _tensors(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # readers of damaged files raise nearly anything
        raise UserError(f"{path}: not a file of weights ({str(error).splitlines()[0][:120]}).") from error
    with torch.random.fork_rng(devices=[]):
        network = Inception()
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({name: state.get(name, torch.tensor(0)) for name in counters} | state)
    except RuntimeError as error:
        lines = " ".join(line.strip()[:120] for line in str(error).splitlines()[1:3])
        raise UserError(f"{path}: not the weights of this Inception network: {lines}") from None
    return network.eval().requires_grad_(False), sha256


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    # The restricted reader: it builds tensors and plain containers, and refuses whatever else a pickle may ask for.
    state = torch.serialization.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise UserError(f"it holds {type(state).__name__}, not named tensors")
    return state


def weights_file(download: bool, cache_dir: Path | None) -> Path:
    """The standard weights, kept from an earlier download or, if allowed, downloaded now. UserError if they are missing."""
    target = (cache_dir or default_cache_dir()).parent / "weights" / FILE
    if not target.exists() and not download:
        raise UserError(
            f"--extractor inception needs the standard weights, which are missing. Give their file with --weights PATH\n"
            f"({FILE}, SHA-256 {SHA256}), or allow the download of 96 MB with --download; it is kept at {target}."
        )
    return fetch(URLS, target, SHA256, MOST_BYTES)
