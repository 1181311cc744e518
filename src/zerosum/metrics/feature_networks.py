"""Networks whose features are compared without a download: a classifier of the data's own labels, and fixed random ones."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu

from zerosum.errors import UserError
from zerosum.jsonfile import parse_json

VERSION = "small-classifier-v1"  # changes whenever the network or its training changes: old cache files no longer match
LARGEST_SIDE = 64
MOST_VALUES = 2**22
"""Values of the images whose features are extracted at once."""
NUM_FEATURES = 64


class FeatureNetwork(Protocol):
    """Turns uint8 images (N, C, H, W) into float32 features (N, 64)."""

    def features(self, images: Tensor) -> Tensor: ...


class SmallClassifier(nn.Module):
    """Three convolutions with batch norm, then 64 features, then logits; for grey or colour images of any size.

    shape: (channels, height, width). Up to three strides halve the image until its longer side is at most 4; images
    whose longer side exceeds 64 are first shrunk to 64 (bilinear, antialiased). Input: uint8 (N, C, H, W) in 0..255.
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or num_classes < 2:
            raise UserError(f"classifier: shape {shape} with {num_classes} classes; give (C, H, W) and >= 2 classes")
        self.shape, self.num_classes = shape, num_classes
        size = shrunk_size(shape[1], shape[2])
        layers: list[nn.Module] = []
        channels = shape[0]
        for width in (16, 32, 32) if channels == 1 else (24, 48, 48):
            stride = 2 if max(size) > 4 else 1
            kernel = 5 if not layers else 3
            convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            size = ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1)
            channels = width
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * size[0] * size[1], NUM_FEATURES), nn.ReLU()
        )
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate activations (N, 64), >= 0."""
        activations: Tensor = self.body(to_input(images))
        return activations

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def shrunk_size(height: int, width: int, largest: int = LARGEST_SIDE) -> tuple[int, int]:
    """The size with the same proportions whose longer side is at most `largest`."""
    scale = min(1.0, largest / max(height, width))
    return max(round(height * scale), 1), max(round(width * scale), 1)


def to_input(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) as float32 in [-1, 1], shrunk where they are larger than 64."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise UserError(f"features need uint8 images (N, C, H, W), not {images.dtype} {tuple(images.shape)}")
    values = images.float() / 127.5 - 1
    size = shrunk_size(images.shape[2], images.shape[3])
    if size != tuple(images.shape[2:]):
        values = nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    return values


@torch.no_grad()
def extract(extractor: FeatureNetwork, images: Tensor, batch_size: int = 500) -> Tensor:
    """Features (N, 64) float32 of uint8 images (N, C, H, W); `batch_size` and MOST_VALUES bound memory and move no value."""
    if len(images) == 0:
        raise UserError("features: no images given")
    batch_size = min(batch_size, max(8, MOST_VALUES // images[0].numel()))
    return torch.cat([extractor.features(part.cpu()) for part in torch.split(images, batch_size)])


def train_classifier(
    images: Tensor, labels: Tensor, *, num_classes: int, seed: int = 0, steps: int | None = None, batch_size: int = 256
) -> SmallClassifier:
    """Train on uint8 images (N, C, H, W) and labels (N,) in 0..num_classes-1; returns it in eval mode, frozen.

    AdamW with a one-cycle rate up to 4e-3; steps: None means three passes, within 400 to 700 steps. Runs on one CPU
    thread: the same arguments, torch version and kind of CPU give the same weights whatever the thread count. The global
    random state is left alone. Raises UserError when labels do not fit.
    """
    if len(images) != len(labels) or len(images) < 2:
        raise UserError(f"classifier: {len(images)} images with {len(labels)} labels; give at least 2 of each")
    labels = labels.cpu().long()
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise UserError(f"classifier: labels must lie in 0..{num_classes - 1}")
    steps = steps or min(max(3 * len(images) // batch_size, 400), 700)
    channels, height, width = images.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallClassifier((channels, height, width), num_classes).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _one_cycle((step + 0.5) / steps))
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    with torch.enable_grad(), one_thread():
        for _ in range(steps):
            while len(order) < min(batch_size, len(images)):
                order = torch.cat([order, torch.randperm(len(images), generator=generator)])
            rows, order = order[:batch_size], order[batch_size:]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows].cpu()), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums differ with the number of threads, and the weights give the measures their names; so they always see one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_cycle(done: float) -> float:
    """The rate's factor at a share of the training: up over the first fifth, then down to 0 along a cosine."""
    return done / 0.2 if done < 0.2 else 0.5 + 0.5 * math.cos(math.pi * min((done - 0.2) / 0.8, 1.0))


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor of the state dict, in order of names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def default_cache_dir() -> Path:
    """Where trained classifiers lie: $ZEROSUM_CACHE/classifiers, else ~/.cache/zerosum/classifiers."""
    root = os.environ.get("ZEROSUM_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "zerosum") / "classifiers"


def cached_classifier(
    images: Tensor,
    labels: Tensor,
    fingerprint: str,
    cache_dir: Path | None = None,
    *,
    num_classes: int,
    seed: int = 0,
    steps: int | None = None,
) -> tuple[SmallClassifier, str]:
    """The classifier of these data from the cache, or trained and stored there: (model, SHA-256 of its weights).

    fingerprint: stands for images and labels (their hash). A file is one safetensors file with a JSON description in its
    header, written aside and renamed. A broken file is trained anew with a warning; so is a folder that cannot be written.
    """
    channels, height, width = images.shape[1:]
    about = {
        "version": VERSION,
        "fingerprint": fingerprint,
        "shape": [channels, height, width],
        "num_classes": num_classes,
        "seed": seed,
        "steps": steps,
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", fingerprint)[:24].strip("-")
    path = (cache_dir or default_cache_dir()) / f"{readable}-{key}.safetensors"
    if path.is_file():
        try:
            return _load(path, about)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            warnings.warn(f"classifier cache {path} is broken ({error}); training it anew", stacklevel=2)
    model = train_classifier(images, labels, num_classes=num_classes, seed=seed, steps=steps)
    sha256 = weights_sha256(model)
    try:
        _store(path, model, about | {"sha256": sha256, "torch": torch.__version__})
    except OSError as error:
        warnings.warn(f"classifier could not be stored at {path} ({error}); it is used for this run only", stacklevel=2)
    return model, sha256


def _load(path: Path, about: dict[str, Any]) -> tuple[SmallClassifier, str]:
    """Read a stored classifier; raises ValueError when it is not exactly what was asked for."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {}).get("classifier", "{}"), path)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if not isinstance(header, dict) or {name: header.get(name) for name in about} != about:
        raise ValueError("it describes other data")
    channels, height, width = about["shape"]
    model = SmallClassifier((channels, height, width), about["num_classes"])
    model.load_state_dict(state)
    sha256 = weights_sha256(model)
    if sha256 != header.get("sha256"):
        raise ValueError("its weights do not match their SHA-256")
    return model.eval().requires_grad_(False), sha256


def _store(path: Path, model: nn.Module, header: dict[str, Any]) -> None:
    """Write aside, flush to the disk, rename: a reader sees the whole file or none."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    data = save(model.state_dict(), metadata={"classifier": json.dumps(header, sort_keys=True)})
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class RandomFeatures(nn.Module):
    """Three strided 5x5 convolutions with LeakyReLU 0.2, a 4x4 average pool and a projection to 64 features.

    shape: (channels, height, width) of the uint8 images (N, C, H, W) that `features` takes. Nothing is trained; weights
    are normal with He scaling, so features are of order 1. `name` is 'random-conv-v1-' and the first 8 digits of `sha256`.
    """

    def __init__(self, shape: tuple[int, int, int], seed: int) -> None:
        super().__init__()
        size = shrunk_size(shape[1], shape[2])
        layers: list[nn.Module] = []
        channels = shape[0]
        for width in (32, 64, 64):
            stride = 2 if max(size) > 4 else 1
            layers += [nn.Conv2d(channels, width, 5, stride, 2), nn.LeakyReLU(0.2)]
            size = ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1)
            channels = width
        self.body = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, NUM_FEATURES)
        )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                spread = (2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.1
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
        self.eval().requires_grad_(False)
        self.sha256 = weights_sha256(self)
        self.name = f"random-conv-v1-{self.sha256[:8]}"

    def features(self, images: Tensor) -> Tensor:
        """Features (N, 64) float32 of uint8 images (N, C, H, W)."""
        projected: Tensor = self.body(to_input(images))
        return projected


def random_features(shape: tuple[int, int, int], seed: int = 0) -> RandomFeatures:
    """The random network for images of shape (channels, height, width); the same seed gives the same weights."""
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"random_features: shape {shape}; give (channels, height, width)")
    with torch.random.fork_rng(devices=[]):  # building layers draws weights that are replaced at once
        return RandomFeatures(shape, seed)


SMALLEST = 4
WIDTHS = (32, 64)


class Pyramid:
    """The distance of images to fixed targets: squared differences of pixels and of random features, at several sizes.

    targets: (M, C, H, W) float32 in [-1, 1]. Images are halved as long as the shorter side stays at 4 or more; at each size
    the pixels and two layers of fixed random 3x3 filters are compared, the features relative to the targets' own power.
    Random filters tell edges and texture apart well enough to follow their gradient (as in random-feature style losses,
    Ustyuzhaninov et al. 2017, arXiv:1606.00021); the distance is for optimising, not for reporting.
    """

    def __init__(self, targets: Tensor, seed: int = 0) -> None:
        channels, rng = targets.shape[1], torch.Generator().manual_seed(seed)
        self.filters: list[Tensor] = []
        for width in WIDTHS:
            filters = torch.randn(width, channels, 3, 3, generator=rng) * (2 / (9 * channels)) ** 0.5
            self.filters.append(filters.to(targets))
            channels = width
        self.levels = min(targets.shape[2:]).bit_length() - SMALLEST.bit_length() + 1
        self.targets = self._views(targets)
        self.powers = [view.square().mean().clamp_min(1e-6) for view in self.targets]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N,) distances; one target is held against all images, M = N pairwise."""
        views = self._views(images)
        parts = zip(views, self.targets, self.powers, strict=True)
        return torch.stack([(view - target).square().flatten(1).mean(1) / power for view, target, power in parts]).mean(
            0
        )

    def _views(self, images: Tensor) -> list[Tensor]:
        """Pixels and features at each size, large to small."""
        views = []
        for level in range(max(1, self.levels)):
            images = avg_pool2d(images, 2) if level else images
            features = images
            views.append(images)
            for filters in self.filters:
                features = leaky_relu(conv2d(features, filters, padding=1), 0.2)
                views.append(features)
        return views


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """(N,) peak signal-to-noise ratio in dB of images (N, ...) in [-1, 1]: 10 log10(2^2 / mean squared difference)."""
    return 10 * torch.log10(4 / (a - b).double().square().flatten(1).mean(1).clamp_min(1e-12)).float()
