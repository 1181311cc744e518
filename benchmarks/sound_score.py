"""Runs on labelled sounds, scored by a classifier of this program: accuracy of the requested class, Frechet distance, buzz."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import measuring
import zerosum as zs
from zerosum.domains.audio import controls, data, measures
from zerosum.domains.audio.signal import Spectrogram
from zerosum.metrics.distances import frechet_distance
from zerosum.recipe import Component

EPOCHS, BATCH, FEATURES = 9, 64, 64
WINDOW_S = 0.016
NEAR_HZ, APART_HZ, WIDE_HZ = 3.0, 8.0, 30.0


class Classifier(nn.Module):
    """Four convolutions on log magnitudes, the mean over time, one hidden layer."""

    def __init__(self, source: data.AudioSource, num_classes: int) -> None:
        super().__init__()
        window = 2 ** round(torch.tensor(WINDOW_S * source.rate).log2().item())
        self.transform = Spectrogram(window, window // 2)
        widths = (source.data.shape[1], 16, 32, 64, 64)
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in itertools.pairwise(widths)
        ]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.LazyLinear(FEATURES)
        self.output = nn.Linear(FEATURES, num_classes)

    def features(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, FEATURES)."""
        return self.of_spectrograms(self.transform.scaled(waves))

    def of_spectrograms(self, scaled: Tensor) -> Tensor:
        """(N, C, F, K) -> (N, FEATURES)."""
        hidden: Tensor = self.hidden(self.convolutions(scaled).mean(3).flatten(1))
        return hidden.relu()

    def forward(self, features: Tensor) -> Tensor:
        """(N, FEATURES) -> logits."""
        logits: Tensor = self.output(nn.functional.dropout(features, 0.3, self.training))
        return logits


def train(source: data.AudioSource, epochs: int) -> Classifier:
    """A classifier of the training clips, which are shifted in time and made louder or quieter."""
    assert source.labels is not None
    torch.manual_seed(0)
    network, labels = Classifier(source, source.info().num_classes), source.labels.cpu()
    spectrograms = torch.cat([network.transform.scaled(part) for part in source.data.cpu().split(BATCH)])
    network.of_spectrograms(spectrograms[:2])  # the width of the hidden layer
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = epochs * max(1, len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        if step % max(1, len(labels) // BATCH) == 0:
            order = torch.randperm(len(labels)).repeat(1 + BATCH // len(labels))
        rows = order[step * BATCH % len(labels) :][:BATCH]
        moved = (
            spectrograms[rows].roll(int(torch.randint(-5, 6, (1,))), 3) + torch.rand(len(rows), 1, 1, 1) * 0.2 - 0.15
        )
        loss = nn.functional.cross_entropy(network(network.of_spectrograms(moved)), labels[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def buzz(waves: Tensor, rate: int, hertz: float) -> float:
    """The power of the envelopes of 8 bands within NEAR_HZ of a rate over that from APART_HZ to WIDE_HZ beside it."""
    bands = measures._bands(waves.shape[2], rate)
    window = torch.hann_window(waves.shape[2], periodic=False, dtype=torch.float64)
    away = (torch.fft.rfftfreq(waves.shape[2], 1 / rate, dtype=torch.float64) - hertz).abs()
    near, beside = away <= NEAR_HZ, (away >= APART_HZ) & (away <= WIDE_HZ)

    def ratios(part: Tensor) -> Tensor:
        spectra = torch.fft.fft(part.double().mean(1))[:, None] * bands
        envelopes = torch.fft.ifft(spectra).abs() * window
        power = torch.fft.rfft(envelopes / envelopes.sum(2, keepdim=True).clamp_min(1e-12)).abs().square()
        return power[..., near].mean((1, 2)) / power[..., beside].mean((1, 2)).clamp_min(1e-30)

    return float(measures.in_batches(ratios, waves).mean())


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False, data=False)
    parser.add_argument("runs", nargs="*", help="run folders of one data set; without, the real clips alone are scored")
    parser.add_argument("--source", default="spoken-digits", help="the data where no run is given")
    parser.add_argument("--num", type=int, default=1000, help="samples of each run, with the classes in turn")
    parser.add_argument("--hertz", type=float, default=125.0, help="the rate at which a buzz is looked for")
    args = parser.parse_args(argv)
    measuring.begin(args)
    runs = [zs.load(path) for path in args.runs]
    part = Component(kind="tones", num=48) if args.smoke else Component(kind=args.source)
    source = data.open_source(runs[0].recipe.data if runs else part, False)
    begun, classes = time.process_time(), source.info().num_classes
    network = train(source, 1 if args.smoke else EPOCHS)
    held = source.heldout_batch(torch.arange(source.num_heldout))
    rows = torch.randperm(source.num_rows)[: args.num]
    assert source.labels is not None
    assert held.condition is not None
    sets = {
        "held-out clips": (held.data.cpu(), held.condition.cpu()),
        "held-out clips after Griffin-Lim": (controls.griffin_lim(held.data.cpu(), source.rate), held.condition.cpu()),
        "training clips": (source.data[rows].cpu(), source.labels[rows].cpu()),
    }
    for run in runs:
        labels = torch.arange(min(args.num, 32) if args.smoke else args.num) % classes
        sets[str(run.path)] = run.sample(len(labels), seed=3, labels=labels), labels
    real, found = measures.in_batches(network.features, source.data), {}
    for name, (waves, labels) in sets.items():
        features = measures.in_batches(network.features, waves)
        with torch.no_grad():
            accuracy = float((network(features).argmax(1) == labels).float().mean())
        found[name] = {
            "accuracy": round(accuracy, 4),
            "frechet": round(frechet_distance(real, features), 3),
            "buzz": round(buzz(waves[:300], source.rate, args.hertz), 3),
        }
        print(f"  {name}: {found[name]}")
    seconds = round(time.process_time() - begun, 1)
    return measuring.finish("sound_score", args, {"source": source.name, "found": found, "cpu_s": seconds})


if __name__ == "__main__":
    main()
