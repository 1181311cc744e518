"""The other side: training loops as tutorials and example scripts write them, in float32, with nothing made faster or slower.

The MLP loop is that of beginners' MNIST tutorials; the convolutional one follows the widely copied DCGAN example script.
Both draw fresh labels of ones and zeros, read their losses with `.item()` in every step, and leave D unfrozen while G learns.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zerosum.domains.images.data import Images, Shape

LATENT = 100


# --- data


class Pictures(Dataset[tuple[Tensor, int]]):
    """Item by item: array -> Pillow image -> float tensor in [0, 1] -> normalised by mean 0.5 and deviation 0.5."""

    def __init__(self, images: Images) -> None:
        self.arrays = images.pixels.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        labels = images.labels
        self.labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.arrays[index])
        return normalised(to_tensor(picture), (0.5,) * len(picture.getbands())), int(self.labels[index])


def to_tensor(picture: Image.Image) -> Tensor:
    """A Pillow image as (C, H, W) float32 in [0, 1], in the steps of the well-known transform."""
    values = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    values = values.view(picture.size[1], picture.size[0], len(picture.getbands()))
    return values.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalised(values: Tensor, middle: tuple[float, ...]) -> Tensor:
    """(x - mean) / deviation per channel, with mean = deviation = `middle`, on a copy, checked as the transform checks it."""
    values = values.clone()
    mean = torch.as_tensor(middle, dtype=values.dtype).view(-1, 1, 1)
    deviation = torch.as_tensor(middle, dtype=values.dtype).view(-1, 1, 1)
    if (deviation == 0).any():
        raise ValueError("a deviation of 0")
    return values.sub_(mean).div_(deviation)


def from_loader(images: Images, batch: int, workers: int = 0) -> Iterator[Tensor]:
    """Endless batches from a shuffling DataLoader."""
    loader = DataLoader(Pictures(images), batch_size=batch, shuffle=True, num_workers=workers)
    for _ in count():
        for data, _label in loader:
            yield data


def from_memory(images: Images, batch: int) -> Iterator[Tensor]:
    """The same batches from one float tensor that was made beforehand."""
    everything = images.pixels.float().div_(255).sub_(0.5).div_(0.5)
    for _ in count():
        for rows in torch.split(torch.randperm(len(everything)), batch):
            yield everything[rows]


# --- the tutorial's MLP pair


def mlp_generator(shape: Shape) -> nn.Module:
    """100-256-512-1024-CHW, tanh."""
    return nn.Sequential(
        nn.Linear(LATENT, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 1024),
        nn.LeakyReLU(0.2),
        nn.Linear(1024, shape.channels * shape.height * shape.width),
        nn.Tanh(),
    )


def mlp_discriminator(shape: Shape) -> nn.Module:
    """CHW-1024-512-256-1 with dropout 0.3, sigmoid."""
    return nn.Sequential(
        nn.Linear(shape.channels * shape.height * shape.width, 1024),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.3),
        nn.Linear(1024, 512),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.3),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.3),
        nn.Linear(256, 1),
        nn.Sigmoid(),
    )


class TutorialLoop:
    """The usual MLP loop: BCELoss on probabilities, one D step, one G step on fresh noise, Adam with its usual settings."""

    def __init__(self, shape: Shape, batches: Iterator[Tensor], device: str = "cpu", lr: float = 1e-3) -> None:
        self.shape, self.batches, self.device = shape, batches, device
        self.G, self.D = mlp_generator(shape).to(device), mlp_discriminator(shape).to(device)
        self.criterion = nn.BCELoss()
        self.G_optimizer = torch.optim.Adam(self.G.parameters(), lr=lr)
        self.D_optimizer = torch.optim.Adam(self.D.parameters(), lr=lr)
        self.losses: list[tuple[float, float]] = []

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images seen."""
        seen = 0
        for _ in range(steps):
            real = next(self.batches)
            self.losses.append((self._discriminator_step(real), self._generator_step(len(real))))
            seen += len(real)
        return seen

    def _discriminator_step(self, images: Tensor) -> float:
        size = images.size(0)
        self.D_optimizer.zero_grad()
        real = images.view(size, -1).to(self.device)
        real_loss = self.criterion(self.D(real), torch.ones(size, 1, device=self.device))
        fake = self.G(torch.randn(size, LATENT, device=self.device))
        fake_loss = self.criterion(self.D(fake.detach()), torch.zeros(size, 1, device=self.device))
        loss = real_loss + fake_loss
        loss.backward()
        self.D_optimizer.step()
        return float(loss.item())

    def _generator_step(self, size: int) -> float:
        self.G_optimizer.zero_grad()
        output = self.D(self.G(torch.randn(size, LATENT, device=self.device)))
        loss = self.criterion(output, torch.ones(size, 1, device=self.device))
        loss.backward()
        self.G_optimizer.step()
        return float(loss.item())

    @torch.no_grad()
    def sample(self, num: int) -> Tensor:
        """(num, C, H, W) in [-1, 1] on the CPU."""
        flat: Tensor = self.G(torch.randn(num, LATENT, device=self.device))
        return flat.view(num, self.shape.channels, self.shape.height, self.shape.width).cpu()


# --- the DCGAN script


def dcgan_generator(shape: Shape, width: int) -> nn.Module:
    """Transposed convolutions with BatchNorm and ReLU from 1x1 noise to the image, tanh; the smallest grid is 4x4 or 7x7."""
    grid, doublings = _grid(shape)
    features = width * 2 ** (doublings - 1)
    layers = [nn.ConvTranspose2d(LATENT, features, grid, 1, 0, bias=False), nn.BatchNorm2d(features), nn.ReLU(True)]
    for _ in range(doublings - 1):
        layers += [nn.ConvTranspose2d(features, features // 2, 4, 2, 1, bias=False)]
        features //= 2
        layers += [nn.BatchNorm2d(features), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(features, shape.channels, 4, 2, 1, bias=False), nn.Tanh())


def dcgan_discriminator(shape: Shape, width: int) -> nn.Module:
    """Strided convolutions with BatchNorm (not in the first layer) and LeakyReLU to one probability."""
    grid, halvings = _grid(shape)
    layers = [nn.Conv2d(shape.channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    features = width
    for _ in range(halvings - 1):
        layers += [nn.Conv2d(features, features * 2, 4, 2, 1, bias=False)]
        features *= 2
        layers += [nn.BatchNorm2d(features), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(features, 1, grid, 1, 0, bias=False), nn.Sigmoid())


def _grid(shape: Shape) -> tuple[int, int]:
    """(side of the smallest grid, doublings up to the image) of a square image: 28 -> (7, 2), 32 -> (4, 3), 64 -> (4, 4)."""
    side, doublings = shape.height, 0
    while side % 2 == 0 and side > 4:
        side, doublings = side // 2, doublings + 1
    return side, doublings


def weights_init(module: nn.Module) -> None:
    """N(0, 0.02) for convolutions, N(1, 0.02) and 0 for BatchNorm."""
    name = type(module).__name__
    if "Conv" in name:
        nn.init.normal_(module.weight, 0.0, 0.02)  # type: ignore[arg-type]
    elif "BatchNorm" in name:
        nn.init.normal_(module.weight, 1.0, 0.02)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class DcganScript:
    """The usual DCGAN script: D on reals and on fakes with two backward passes, G on the same fakes, Adam 2e-4 (0.5, 0.999)."""

    def __init__(self, shape: Shape, batches: Iterator[Tensor], width: int = 64, device: str = "cpu") -> None:
        self.batches, self.device = batches, device
        self.netG, self.netD = dcgan_generator(shape, width).to(device), dcgan_discriminator(shape, width).to(device)
        self.netG.apply(weights_init)
        self.netD.apply(weights_init)
        self.criterion = nn.BCELoss()
        self.optimizerD = torch.optim.Adam(self.netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.optimizerG = torch.optim.Adam(self.netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.losses: list[tuple[float, ...]] = []

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images seen."""
        seen = 0
        for _ in range(steps):
            real = next(self.batches)
            self.losses.append(self._step(real))
            seen += len(real)
        return seen

    def _step(self, images: Tensor) -> tuple[float, ...]:
        self.netD.zero_grad()
        real = images.to(self.device)
        size = real.size(0)
        label = torch.full((size,), 1.0, dtype=torch.float, device=self.device)
        output = self.netD(real).view(-1)
        real_loss = self.criterion(output, label)
        real_loss.backward()
        on_real = output.mean().item()
        fake = self.netG(torch.randn(size, LATENT, 1, 1, device=self.device))
        label.fill_(0.0)
        output = self.netD(fake.detach()).view(-1)
        fake_loss = self.criterion(output, label)
        fake_loss.backward()
        on_fake = output.mean().item()
        self.optimizerD.step()
        self.netG.zero_grad()
        label.fill_(1.0)
        output = self.netD(fake).view(-1)
        loss = self.criterion(output, label)
        loss.backward()
        on_fake_after = output.mean().item()
        self.optimizerG.step()
        return (real_loss + fake_loss).item(), loss.item(), on_real, on_fake, on_fake_after

    @torch.no_grad()
    def sample(self, num: int) -> Tensor:
        """(num, C, H, W) in [-1, 1] on the CPU, with the network as the script leaves it: BatchNorm over batches of 64."""
        noise = torch.randn(num, LATENT, 1, 1, device=self.device)
        return torch.cat([self.netG(part) for part in torch.split(noise, 64)]).cpu()
