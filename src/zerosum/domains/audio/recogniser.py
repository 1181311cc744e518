"""A small recogniser of speech, trained on a corpus itself: which words are heard in a recording.

Legend: N recordings, C channels, T samples, B mel bands, K frames, A characters of the alphabet.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, interpolate

from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.engine.seeds import derive
from zerosum.errors import Damaged
from zerosum.metrics.feature_networks import default_cache_dir, weights_sha256
from zerosum.nn.sequence_layers import ConvNeXtBlock
from zerosum.store import decode, encode, write_durably

VERSION = 1
"""Changes when the recogniser or its training does."""
WIDTH, BLOCKS, KERNEL = 128, 4, 9
STEPS, ROWS, RATE = 400, 16, 2e-3
"""Steps of its training, recordings in each, and the highest learning rate."""
SPEED, GAIN, NOISE, MASKED = 0.1, 0.1, 0.06, 0.08
"""Changes of the mel spectrograms it is trained on: of the speed and of the level, the deviation of noise, and the share of the
frames and of the bands in a masked part."""
MOST_WORDS = 2_000
"""Words are looked up in the vocabulary of the corpus where it has at most so many."""
LEAST_SOUND = 1e-4
"""A recording ends with its last sample above this."""


class Recogniser(nn.Module):
    """Scaled mel spectrograms to logits of characters in every second frame; character 0 is none (connectionist temporal
    classification: Graves et al. 2006)."""

    def __init__(self, bands: int, characters: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(bands, WIDTH, 5, 2, 2)
        self.blocks = nn.ModuleList(ConvNeXtBlock(WIDTH, 2 * WIDTH, KERNEL) for _ in range(BLOCKS))
        self.last = nn.Conv1d(WIDTH, characters + 1, 1)

    def forward(self, scaled: Tensor, mask: Tensor) -> Tensor:
        """(N, B, K), (N, 1, K) -> (N, A + 1, K / 2)."""
        x, mask = self.first((scaled + 0.4) / 0.3 * mask), mask[:, :, ::2]
        for block in self.blocks:
            x = block(x, mask)
        return self.last(x)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Listener:
    """A trained recogniser with its alphabet and the words of its corpus. sha256: of its weights."""

    network: Recogniser
    alphabet: str
    words: tuple[str, ...]
    mel: MelSpectrogram
    sha256: str

    @torch.no_grad()
    def texts(self, waves: Tensor) -> list[str]:
        """The text that is heard in each recording (N, C, T); what follows its last sound is not listened to."""
        self.network.eval()
        return [self._text(wave[None]) for wave in waves]

    def _text(self, wave: Tensor) -> str:
        samples = int(lengths_of(wave)[0])
        scaled = self.mel.scaled(wave[:, :, : max(samples, self.mel.spectrogram.window)]).mean(1)
        heard = self.network(scaled, torch.ones_like(scaled[:, :1]))[0].argmax(0).tolist()
        letters = "".join(self.alphabet[number - 1] for number, _ in itertools.groupby(heard) if number)
        found = letters.split()
        return " ".join(self._nearest(word) for word in found) if 0 < len(self.words) <= MOST_WORDS else " ".join(found)

    def _nearest(self, heard: str) -> str:
        return heard if heard in self.words else min(self.words, key=lambda word: (changes(heard, word), word))


def lengths_of(waves: Tensor) -> Tensor:
    """(N,) int64: the samples of each recording (N, C, T) up to its last sound, at least 1."""
    loud = waves.abs().amax(1) > LEAST_SOUND
    places = torch.arange(1, waves.shape[2] + 1, device=waves.device)
    return (loud * places).amax(1).clamp_min(1)


def changes(one: Sequence[object], other: Sequence[object]) -> int:
    """The least number of insertions, deletions and replacements that make one sequence of the other (Levenshtein 1966)."""
    before = list(range(len(other) + 1))
    for place, item in enumerate(one, 1):
        now = [place]
        for column, wanted in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (item != wanted)))
        before = now
    return before[-1]


def word_accuracy(heard: Sequence[str], wanted: Sequence[str]) -> tuple[float, int]:
    """(1 - wrong, missing and surplus words over the words that are wanted, at least 0; the number of these)."""
    num = sum(len(text.split()) for text in wanted)
    wrong = sum(changes(one.split(), other.split()) for one, other in zip(heard, wanted, strict=True))
    return max(0.0, 1 - wrong / max(1, num)), num


# --- training


def train(
    scaled: Sequence[Tensor], rows: Sequence[Sequence[int]], characters: int, seed: int, steps: int
) -> Recogniser:
    """A recogniser of mel spectrograms (B, K) and the numbers of their characters, from 1."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(derive(seed, "recogniser"))
        network = Recogniser(len(scaled[0]), characters)
        optimizer = torch.optim.AdamW(network.parameters(), RATE, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        order = list[int]()
        for _ in range(steps):
            while len(order) < ROWS:
                order += torch.randperm(len(scaled)).tolist()
            picked, order = order[:ROWS], order[ROWS:]
            batch, frames = _changed([scaled[i] for i in picked])
            mask = (torch.arange(batch.shape[2]) < frames[:, None])[:, None].float()
            chances = network(batch, mask).log_softmax(1).permute(2, 0, 1)
            wanted = [torch.tensor(rows[i]) for i in picked]
            loss = ctc_loss(
                chances, torch.cat(wanted), (frames + 1) // 2, torch.tensor([*map(len, wanted)]), zero_infinity=True
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()


def _changed(scaled: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mel spectrograms (N, B, K) at other speeds and levels, with noise and masked parts; and their frames (N,)."""
    parts = list[Tensor]()
    for one in scaled:
        speed, level, at, band = torch.rand(4).tolist()
        frames = max(8, round(one.shape[1] * (1 + SPEED * (2 * speed - 1))))
        other = interpolate(one[None], frames, mode="linear", align_corners=False)[0]
        other = other + GAIN * (2 * level - 1) + NOISE * torch.rand(()) * torch.randn_like(other)
        height, width = round(MASKED * len(other)), round(MASKED * frames)
        first, start = round(band * (len(other) - height)), round(at * (frames - width))
        other[first : first + height], other[:, start : start + width] = -1, -1
        parts.append(other.clamp_min(-1))
    frames_of = torch.tensor([one.shape[1] for one in parts])
    return nn.utils.rnn.pad_sequence([one.T for one in parts], True, -1.0).transpose(1, 2), frames_of


def listener(
    waves: Tensor, texts: Sequence[str], rate: int, fingerprint: str, cache: Path | None = None, seed: int = 0,
    steps: int = STEPS,
) -> Listener:  # fmt: skip
    """The recogniser of recordings (N, C, T) and their texts: from the cache, or trained and stored there.

    fingerprint: stands for the recordings and texts.
    """
    alphabet = "".join(sorted({one for text in texts for one in text}))
    words = tuple(sorted({word for text in texts for word in text.split()}))
    mel = MelSpectrogram.of(rate)
    about = {"version": VERSION, "fingerprint": fingerprint, "num": len(waves), "seed": seed, "steps": steps}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = (cache or default_cache_dir()) / f"recogniser-{key}.safetensors"
    network = Recogniser(mel.bands, len(alphabet))
    if not _loaded(network, path):
        network = train(
            [mel.scaled(wave[None, :, : int(lengths_of(wave[None])[0])]).mean(1)[0] for wave in waves],
            [[alphabet.index(one) + 1 for one in text] for text in texts],
            len(alphabet),
            seed,
            steps,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, encode(network.state_dict()))
        except OSError as error:
            warnings.warn(f"the recogniser could not be stored at {path} ({error}); it is used once", stacklevel=2)
    return Listener(network, alphabet, words, mel, weights_sha256(network))


def _loaded(network: Recogniser, path: Path) -> bool:
    """Whether the stored weights were there and were loaded; a damaged file is trained anew."""
    if not path.is_file():
        return False
    try:
        network.load_state_dict(decode(path.read_bytes(), path))
    except (Damaged, OSError, RuntimeError) as error:
        warnings.warn(f"the recogniser in {path} is broken ({error}); it is trained anew", stacklevel=2)
        return False
    return True
