"""The built-in source of sounds: plucked strings, bells, drums, flutes and vowels, made by code with NumPy and SciPy.

Each clip has its own pitch, length, timbre, level and onset. Times are in seconds, frequencies in Hz.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zerosum.data.sources import SourceInfo

Rng = np.random.Generator
Wave = npt.NDArray[np.floating]

SECONDS = 1.024
"""The length of a clip: 16,384 samples at 16 kHz."""
RATE = 16_000
MOST_RATE = 48_000
NUM_TRAIN, NUM_HELDOUT = 2_000, 400
"""Default numbers of training and held-out clips."""
VERSION = 1
"""Changes when the clips change."""
FLOOR_DB = (-72.0, -60.0)
"""The background noise of a clip, in decibels below its peak."""


@dataclass(frozen=True, eq=False)
class Tones:
    """waves: (N, 1, T) float32 in [-1, 1], training clips first. labels: (N,) int64. heldout: the number of the last clips, which
    are never trained on."""

    waves: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    heldout: int


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.uniform())


def _sines(num: int, rate: int, frequencies: list[float], levels: list[float], decays: list[float], rng: Rng) -> Wave:
    """The sum of decaying partials below 0.45 of the rate; decays: time constants."""
    time = np.arange(num, dtype=np.float64) / rate
    made = np.zeros(num, dtype=np.float32)
    for frequency, level, decay in zip(frequencies, levels, decays, strict=True):
        phase = rng.uniform()
        if frequency < 0.45 * rate:
            turns = (frequency * time + phase) % 1
            made += level * np.sin(2 * np.pi * turns.astype(np.float32)) * np.exp((-time / decay).astype(np.float32))
    return made


def _attack(num: int, rate: int, seconds: float) -> Wave:
    """Rises from 0 to 1 within `seconds`."""
    ramp: Wave = np.minimum(np.arange(num, dtype=np.float32) / max(1.0, seconds * rate), 1)
    return ramp


def _filtered(over: list[float], under: list[float] | Wave, wave: Wave) -> Wave:
    """scipy.signal.lfilter(over, under, wave). Imported here: it takes long, and few programs need these sounds."""
    from scipy.signal import lfilter

    filtered: Wave = lfilter(over, under, wave)
    return filtered


def _resonance(wave: Wave, rate: int, frequency: float, width: float) -> Wave:
    """A filter with two poles, at unit gain for low frequencies: one formant."""
    radius = math.exp(-math.pi * width / rate)
    poles = [1.0, -2 * radius * math.cos(2 * math.pi * frequency / rate), radius * radius]
    filtered: Wave = _filtered([sum(poles)], poles, wave)
    return filtered


def string(num: int, rate: int, rng: Rng) -> Wave:
    """A plucked string: noise that runs round a delay line through a low-pass. Karplus and Strong 1983."""
    frequency = _log_uniform(rng, 110, 520)
    dull = rng.uniform(0.2, 0.5)
    period = max(2, round(rate / frequency - dull))
    keep = math.exp(-math.log(1000) / (frequency * rng.uniform(0.8, 3.0)))  # after so many seconds it is 60 dB down
    pluck = np.zeros(num)
    burst = rng.uniform(-1, 1, period)
    place = max(1, round(period * rng.uniform(0.08, 0.45)))  # where it is plucked: a comb filter
    burst = burst - np.roll(burst, place)
    pluck[: min(period, num)] = burst[:num]
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -keep * (1 - dull), -keep * dull
    filtered: Wave = _filtered([1.0], loop, pluck)
    return filtered


def bell(num: int, rate: int, rng: Rng) -> Wave:
    """Inharmonic partials; the high ones decay first."""
    frequency, decay = _log_uniform(rng, 350, 1100), rng.uniform(0.25, 0.7)
    ratios = [0.5, 1.0, 1.19, 1.5, 2.0, 2.66, 3.01, 4.1]
    spread = [ratio * rng.uniform(0.99, 1.01) for ratio in ratios]
    levels = [rng.uniform(0.3, 1) / (1 + 0.4 * i) for i in range(len(ratios))]
    decays = [decay / (0.5 + 0.5 * ratio) for ratio in ratios]
    return _sines(num, rate, [frequency * ratio for ratio in spread], levels, decays, rng)


def drum(num: int, rate: int, rng: Rng) -> Wave:
    """A bass drum or tom: a sine whose pitch falls, and a short click."""
    time = np.arange(num, dtype=np.float64) / rate
    low, rise = _log_uniform(rng, 45, 120), rng.uniform(1.0, 3.0)
    fall, decay = rng.uniform(0.02, 0.06), rng.uniform(0.08, 0.25)
    turns = low * (time + rise * fall * (1 - np.exp(-time / fall)))
    body = np.sin(2 * np.pi * (turns % 1)) * np.exp(-time / decay)
    click = rng.standard_normal(num) * np.exp(-time / 0.004)
    mixed: Wave = body + rng.uniform(0.05, 0.4) * click
    return mixed


def snare(num: int, rate: int, rng: Rng) -> Wave:
    """A snare drum: noise above two short tones."""
    frequency = _log_uniform(rng, 150, 260)
    tones = _sines(num, rate, [frequency, 1.83 * frequency], [1, 0.6], [0.06, 0.04], rng)
    time = np.arange(num, dtype=np.float32) / rate
    colour, decay = rng.uniform(0.2, 0.9), rng.uniform(0.05, 0.16)
    rattle = rng.standard_normal(num) * np.exp(-time / decay)
    mixed: Wave = tones + rng.uniform(0.5, 1.2) * _filtered([1.0, -colour], [1.0], rattle)
    return mixed


def flute(num: int, rate: int, rng: Rng) -> Wave:
    """A flute: few harmonics with vibrato, and breath noise around the pitch."""
    frequency, length = _log_uniform(rng, 330, 1050), rng.uniform(0.45, 0.9)
    time = np.arange(num, dtype=np.float64) / rate
    depth, speed = rng.uniform(0.0, 0.012), rng.uniform(4.5, 6.5)
    turns = frequency * (time - depth / (2 * np.pi * speed) * np.cos(2 * np.pi * speed * time + rng.uniform(0, 6.28)))
    tone = np.zeros(num)
    for harmonic, level in enumerate((1.0, rng.uniform(0.1, 0.5), rng.uniform(0.02, 0.25), rng.uniform(0, 0.08)), 1):
        if harmonic * frequency < 0.45 * rate:
            tone += level * np.sin(2 * np.pi * (harmonic * turns % 1))
    breath = _resonance(rng.standard_normal(num), rate, frequency, 0.3 * frequency)
    tone += rng.uniform(0.02, 0.1) * breath / max(float(np.abs(breath).max()), 1e-9)
    return tone * _attack(num, rate, rng.uniform(0.03, 0.1)) * _release(num, rate, length, rng.uniform(0.05, 0.15))


def _release(num: int, rate: int, length: float, fade: float) -> Wave:
    """1 until `length` - `fade`, then down to 0 at `length`."""
    time = np.arange(num, dtype=np.float32) / rate
    ramp: Wave = np.clip((length - time) / fade, 0, 1)
    return ramp


def _vowel(formants: tuple[float, float, float, float]) -> Callable[[int, int, Rng], Wave]:
    def voice(num: int, rate: int, rng: Rng) -> Wave:
        """A sung vowel: a train of pulses with a gliding pitch through four formants (Peterson and Barney 1952)."""
        pitch, length = _log_uniform(rng, 95, 280), rng.uniform(0.4, 0.85)
        time = np.arange(num, dtype=np.float64) / rate
        glide, depth, speed = rng.uniform(-0.15, 0.1), rng.uniform(0, 0.015), rng.uniform(4.5, 6.5)
        course = pitch * (1 + glide * time / length + depth * np.sin(2 * np.pi * speed * time + rng.uniform(0, 6.28)))
        turns = np.cumsum(course) / rate
        pulses = np.diff(np.floor(turns), prepend=0.0)
        place = np.divide(
            turns % 1, course / rate, where=pulses > 0, out=np.zeros(num)
        )  # of the pulse before the sample
        pulses = pulses * (1 - place) + np.roll(pulses * place, -1)
        wave = _filtered(
            [1.0], [1.0, -math.exp(-2 * math.pi * 350 / rate)], pulses
        )  # the source falls by 6 dB an octave
        wave = wave + rng.uniform(0.002, 0.02) * rng.standard_normal(num)
        tract = 1 + 0.18 * math.log2(pitch / 160) * rng.uniform(0.5, 1) + rng.uniform(-0.05, 0.05)
        for number, formant in enumerate(formants):
            frequency = formant * tract * rng.uniform(0.97, 1.03)
            if frequency < 0.45 * rate:
                wave = _resonance(wave, rate, frequency, (70.0, 90.0, 130.0, 200.0)[number])
        sung: Wave = _filtered([1.0, -0.95], [1.0], wave)  # radiation from the mouth
        return sung * _attack(num, rate, rng.uniform(0.02, 0.08)) * _release(num, rate, length, rng.uniform(0.06, 0.2))

    return voice


KINDS: Mapping[str, Callable[[int, int, Rng], Wave]] = {
    "string": string,
    "bell": bell,
    "drum": drum,
    "snare": snare,
    "flute": flute,
    "ah": _vowel((730, 1090, 2440, 3400)),
    "ee": _vowel((270, 2290, 3010, 3700)),
    "oo": _vowel((300, 870, 2240, 3300)),
}

SOURCES: Mapping[str, SourceInfo] = {
    "tones": SourceInfo(
        "Plucked strings, bells, drums, flutes and vowels of about a second, with labels.",
        "made by code",
        "none needed",
        class_names=tuple(KINDS),
    ),
    "beeps": SourceInfo(
        "Texts of a few words, spoken in a code: each letter is a chord with its own length. For speech from text.",
        "made by code",
        "none needed",
    ),
    "spoken-digits": SourceInfo(
        "The Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, 8 kHz.",
        "Z. Jackson and others, https://github.com/Jakobovski/free-spoken-digit-dataset",
        "CC BY-SA 4.0",
        num_train=2_700,
        num_heldout=300,
        class_names=tuple(map(str, range(10))),
        folders=("fsdd",),
        details={"file": "fsdd_recordings.tar.xz", "pattern": "{digit}_{speaker}_{index}", "test": "index=0-4"},
    ),
}


# --- beeps: a code in place of a voice


LETTERS = "abdegiklmnorstu"
BEEP_WORDS = (
    "able", "big", "dial", "gold", "image", "kite", "lamb", "mint", "note", "orb", "rose", "sun", "table", "unit", "glad", "dot",
)  # fmt: skip
BEEPS_RATE, NUM_BEEPS = 8_000, 300
EDGE_SECONDS, GAP_SECONDS = 0.05, 0.06


def beep_texts(num: int, seed: int) -> list[str]:
    """`num` texts of one to four words, in an order drawn from the seed; different as long as there are enough of them."""
    rng = np.random.default_rng([seed, 1])
    texts = dict[str, None]()
    while len(texts) < min(num, 1_000):
        texts[" ".join(rng.choice(BEEP_WORDS, rng.integers(1, 5)))] = None
    found = list(texts)
    return [found[place % len(found)] for place in range(num)]


def beeps(text: str, rate: int, rng: Rng) -> npt.NDArray[np.float32]:
    """(L,) a text in which each letter is a chord with its own two pitches and its own length, of 50 to 120 ms and a little
    irregular; a space is silence. The peak is 0.8."""
    parts = [np.zeros(round(EDGE_SECONDS * rate))]
    for character in text:
        if character == " ":
            parts.append(np.zeros(round(GAP_SECONDS * rate)))
            continue
        place = LETTERS.index(character)
        num = round((0.05 + 0.005 * (place * 4 % 15)) * rng.uniform(0.9, 1.1) * rate)
        time = np.arange(num) / rate
        low, high = 220.0 * 2 ** (place % 5 / 3), 1_200.0 * 2 ** (place // 5 / 2)
        chord = np.sin(2 * np.pi * low * time) + 0.6 * np.sin(2 * np.pi * high * time)
        ramp = np.minimum(np.minimum(np.arange(num), np.arange(num)[::-1]) / (0.008 * rate), 1)
        parts.append(chord * ramp / 2)
    parts.append(np.zeros(round(EDGE_SECONDS * rate)))
    wave = np.concatenate(parts)
    noise = 10 ** (FLOOR_DB[0] / 20) * rng.standard_normal(len(wave))
    return (wave + noise).astype(np.float32)


def clip(kind: str, number: int, num_samples: int, rate: int, seed: int) -> npt.NDArray[np.float32]:
    """(T,) one clip with its peak between 0.25 and 1, which depends only on the arguments."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    start = round(rng.uniform(0.005, 0.08) * rate)
    peak, floor = rng.uniform(0.25, 1.0), 10 ** (rng.uniform(*FLOOR_DB) / 20)
    wave = np.zeros(num_samples)
    wave[start:] = KINDS[kind](num_samples - start, rate, rng)
    wave /= max(float(np.abs(wave).max()), 1e-9)
    wave += floor * rng.standard_normal(num_samples)
    wave *= peak / float(np.abs(wave).max())
    edge = round(0.02 * rate)
    wave[-edge:] *= np.linspace(1, floor, edge)
    made: npt.NDArray[np.float32] = wave.astype(np.float32)
    return made


def load(num: int, rate: int, samples: int, seed: int) -> Tones:
    """`num` training clips (0: NUM_TRAIN) of so many samples with the classes in turn, and a fifth as many held-out ones."""
    num = num or NUM_TRAIN
    held = max(1, num * NUM_HELDOUT // NUM_TRAIN)
    kinds = list(KINDS)
    waves = np.empty((num + held, 1, samples), dtype=np.float32)
    labels = np.arange(num + held, dtype=np.int64) % len(kinds)
    for row, label in enumerate(labels):
        waves[row, 0] = clip(kinds[label], row // len(kinds), samples, rate, seed)
    return Tones(waves, labels, held)
