"""Spectra of sound: scaled log magnitudes of waves, waves of given magnitudes (Griffin-Lim), and mel filters.

Legend: N clips, C channels, T samples, W samples of a window, H samples of a hop, K frames (T / H, rounded up), F frequencies
(W / 2: the bins from 0 Hz up; the highest one, half the sampling rate, is left out and taken to be 0).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from zerosum.nn.layers import without_autocast

MOMENTUM = 0.99
"""Of the fast Griffin-Lim algorithm (Perraudin, Balazs and Søndergaard 2013)."""
ITERATIONS = 48
GOLDEN = (5**0.5 - 1) / 2
TURN = 2**20
"""Parts of a whole turn in which the first phases are counted."""


Spectra = tuple[Tensor, Tensor, Tensor, Tensor]
"""Two spectra, real and imaginary parts."""
PART = 2**18
"""Numbers of waves or of spectra that are transformed at once on a CPU."""


@dataclass(frozen=True)
class Sound:
    """The form of waves: channels, samples, and the sampling rate in Hz."""

    channels: int
    samples: int
    rate: int


@dataclass(frozen=True)
class Spectrogram:
    """Short-time spectra with a Hann window of `window` samples every `hop` samples, in float32 (float64 of float64 waves) under
    autocast too.

    window: a multiple of hop, at least twice as long. floor: the magnitude that becomes -1; a sine of amplitude 1 has magnitude 1
    and becomes +1. Frame k is centred on sample k H + H / 2; the waves are mirrored beyond their ends.
    """

    window: int
    hop: int
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if self.hop < 1 or self.window % (2 * self.hop):
            raise ValueError(f"window must be an even multiple of hop, got {self.window} and {self.hop}")
        if not 0 < self.floor < 1:
            raise ValueError(f"floor must lie in (0, 1), got {self.floor}")

    @property
    def num_frequencies(self) -> int:
        """F."""
        return self.window // 2

    def num_frames(self, samples: int) -> int:
        """K of waves of so many samples."""
        return -(-samples // self.hop)

    def spectra(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T) -> real and imaginary parts (N, C, K, F)."""
        with without_autocast(waves.device.type):
            waves = waves.float()
            return self._analysed(self._extended(waves))

    def magnitudes(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, F, K), 1 for a sine of amplitude 1."""
        with without_autocast(waves.device.type):
            return _in_parts(lambda part: self.magnitudes_of_frames(self._extended(part.float())), waves)

    def magnitudes_of_frames(self, extended: Tensor) -> Tensor:
        """(N, C, (K - 1) H + W) -> (N, C, F, K): as `magnitudes`, of whole frames: the samples beyond the ends are given too."""
        with without_autocast(extended.device.type):
            real, imaginary = self._analysed(extended.float())
            return (real.square() + imaginary.square() + 1e-14).sqrt().transpose(2, 3)

    def scaled(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, F, K): log magnitudes, from -1 for silence to +1 for a sine of amplitude 1."""
        return self.to_scale(self.magnitudes(waves))

    def to_scale(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes as scaled logarithms: -1 for 0, +1 for 1; the inverse of `unscaled`."""
        with without_autocast(magnitudes.device.type):
            return ((magnitudes + self.floor).log() - self._low) / self._span * 2 - 1

    def unscaled(self, scaled: Tensor) -> Tensor:
        """The magnitudes (N, C, F, K) of scaled ones."""
        with without_autocast(scaled.device.type):
            return (((scaled.float() + 1) / 2 * self._span + self._low).exp() - self.floor).clamp_min(0)

    @property
    def _low(self) -> float:
        return math.log(self.floor)

    @property
    def _span(self) -> float:
        return math.log(1 + self.floor) - self._low

    @property
    def at_half_hops(self) -> Spectrogram:
        """The same window every half hop; ValueError where hops are odd."""
        if self.hop % 2:
            raise ValueError(f"hop must be even to be halved, got {self.hop}")
        return Spectrogram(self.window, self.hop // 2, self.floor)

    @staticmethod
    def magnitudes_at_half_hops(magnitudes: Tensor) -> Tensor:
        """(N, C, F, K) -> (N, C, F, 2 K): linear interpolation between frames for `at_half_hops`, whose frames are centred a
        quarter of a hop before and after those given; the first and the last are constant beyond their centres."""
        before = torch.cat([magnitudes[..., :1], magnitudes[..., :-1]], 3)
        after = torch.cat([magnitudes[..., 1:], magnitudes[..., -1:]], 3)
        return torch.stack([torch.lerp(magnitudes, before, 0.25), torch.lerp(magnitudes, after, 0.25)], 4).flatten(3)

    def waves(self, real: Tensor, imaginary: Tensor, samples: int) -> Tensor:
        """Spectra (N, C, K, F) -> (N, C, T): the waves whose spectra are nearest to them."""
        with without_autocast(real.device.type):
            start = (self.window - self.hop) // 2
            return self._synthesised(real.float(), imaginary.float())[..., start : start + samples]

    def griffin_lim(self, magnitudes: Tensor, samples: int, iterations: int = ITERATIONS) -> Tensor:
        """Waves (N, C, T) whose magnitudes are near the given ones (N, C, F, K), by the fast algorithm of Griffin and Lim.

        The phases begin at fixed numbers, so that the same magnitudes always give the same waves.
        """
        with without_autocast(magnitudes.device.type):
            return _in_parts(lambda part: self._griffin_lim(part, samples, iterations), magnitudes)

    def _griffin_lim(self, magnitudes: Tensor, samples: int, iterations: int) -> Tensor:
        target = magnitudes.float().transpose(2, 3)
        return self.waves(*self.made_consistent(target, *_first_phase(target), iterations), samples)

    def made_consistent(self, target: Tensor, cosine: Tensor, sine: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts (N, C, K, F) with the magnitudes `target` and phases near the given ones: as far as possible
        the spectra of waves, by the fast algorithm of Griffin and Lim. In each iteration a frame depends on window / hop - 1 more
        frames on each side."""
        with without_autocast(target.device.type):
            fourier = None
            if torch.compiler.is_exporting():  # a loop needs states of one layout
                target, fourier = target.contiguous(), _fourier(self.window, target)

            def iteration(real: Tensor, imaginary: Tensor, last_real: Tensor, last_imaginary: Tensor) -> Spectra:
                new_real, new_imaginary = self._analysed(self._synthesised(real, imaginary, fourier), fourier)
                share = MOMENTUM / (1 + MOMENTUM)
                real, imaginary = new_real - share * last_real, new_imaginary - share * last_imaginary
                length = target * (real.square() + imaginary.square() + 1e-14).rsqrt()
                return real * length, imaginary * length, new_real, new_imaginary

            begun = target * cosine, target * sine, torch.zeros_like(target), torch.zeros_like(target)
            real, imaginary, _, _ = _repeated(iteration, begun, iterations)
            return real, imaginary

    # --- frames

    def _extended(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, (K - 1) H + W): mirrored beyond the ends, zeros where there is too little to mirror."""
        samples = waves.shape[2]
        before = (self.window - self.hop) // 2
        after = (self.num_frames(samples) - 1) * self.hop + self.window - before - samples
        mirrored = min(before, samples - 1), min(after, samples - 1)
        waves = pad(waves, mirrored, mode="reflect")
        return pad(waves, (before - mirrored[0], after - mirrored[1]))

    def _analysed(self, extended: Tensor, fourier: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Whole hops of samples (N, C, (K - 1) H + W) -> real and imaginary parts (N, C, K, F). fourier: see `_fourier`."""
        frames = extended.unfold(2, self.window, self.hop) * (_hann(self.window, extended) * (4 / self.window))
        if torch.compiler.is_exporting():
            real, imaginary = fourier or _fourier(self.window, extended)
            return frames @ real, frames @ imaginary
        spectra = torch.fft.rfft(frames)[..., :-1]
        return spectra.real, spectra.imag

    def _synthesised(self, real: Tensor, imaginary: Tensor, fourier: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(N, C, K, F) -> (N, C, (K - 1) H + W), by windowed overlap-add. fourier: see `_fourier`."""
        if torch.compiler.is_exporting():
            to_real, to_imaginary = fourier or _fourier(self.window, real)
            weight = real.new_full((self.num_frequencies,), 2 / self.window)
            weight[0] /= 2
            frames = (real * weight) @ to_real.transpose(0, 1) + (imaginary * weight) @ to_imaginary.transpose(0, 1)
        else:
            frames = torch.fft.irfft(torch.complex(pad(real, (0, 1)), pad(imaginary, (0, 1))))
        hann = _hann(self.window, real)
        weights = self._overlapped((hann * hann).expand(1, 1, real.shape[2], -1))
        return self._overlapped(frames * (hann * (self.window / 4))) / weights.clamp_min(1e-4)

    def _overlapped(self, frames: Tensor) -> Tensor:
        """Frames (N, C, K, W) -> their sums at their places (N, C, (K - 1) H + W)."""
        times = self.window // self.hop
        parts = frames.reshape(*frames.shape[:3], times, self.hop)
        placed = [pad(parts[:, :, :, part], (0, 0, part, times - 1 - part)) for part in range(times)]
        return torch.stack(placed).sum(0).flatten(2)


def _in_parts(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """The function of rows (N, ...), of at most PART numbers at once on a CPU: their spectra stay in its cache, which is several
    times as fast. Every row is computed by itself, so that it changes no bit."""
    # While a network is exported, its number of rows is a symbol, which must not be compared.
    if rows.device.type != "cpu" or rows.requires_grad or torch.compiler.is_compiling():
        return function(rows)
    most = max(1, PART * len(rows) // max(1, rows.numel()))
    return torch.cat([function(part) for part in torch.split(rows, most)])


def _repeated(function: Callable[[Tensor, Tensor, Tensor, Tensor], Spectra], state: Spectra, times: int) -> Spectra:
    """The function applied so many times. In an exported program it is one loop: dozens of copies of its operators take minutes
    to export."""
    if not torch.compiler.is_exporting():
        for _ in range(times):
            state = function(*state)
        return state
    begun = torch.zeros((), dtype=torch.int64, device=state[0].device)
    done = torch.while_loop(  # type: ignore[no-untyped-call]
        lambda count, *_: count < times, lambda count, *now: (count + 1, *function(*now)), (begun, *state)
    )
    return done[1:]  # type: ignore[no-any-return]


# Not cached: a tensor that is made while a network is exported must not be used afterwards.


def _hann(window: int, like: Tensor) -> Tensor:
    """(W,): the periodic Hann window, of the type of `like`."""
    place = torch.arange(window, dtype=torch.float64, device=like.device)
    return (0.5 - 0.5 * (place * (2 * math.pi / window)).cos()).to(like.dtype)


def _fourier(window: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The discrete Fourier transform as matrices (W, F), real and imaginary part: for exported networks."""
    place = torch.arange(window, device=like.device)
    angles = (place[:, None] * place[: window // 2] % window).double() * (2 * math.pi / window)
    return angles.cos().to(like.dtype), (-angles.sin()).to(like.dtype)


def _first_phase(magnitudes: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (K, F) of the phases with which Griffin-Lim begins: squares times the golden ratio, without order.

    Whole numbers up to the last step: exported networks may compute float64 as float32.
    """
    frames, frequencies = magnitudes.shape[2:]
    places = torch.arange(frames * frequencies, device=magnitudes.device).reshape(frames, -1)
    angles = (places * places * round(GOLDEN * TURN) % TURN).to(magnitudes.dtype) * (2 * math.pi / TURN)
    return angles.cos(), angles.sin()


# --- mel


def mel(hertz: Tensor) -> Tensor:
    """The mel scale of O'Shaughnessy 1987: 2595 log10(1 + f / 700)."""
    return 2595 * (1 + hertz / 700).log10()


@functools.cache
def mel_filters(rate: int, window: int, bands: int) -> Tensor:
    """(bands, F) float32: triangles whose corners lie evenly on the mel scale from 0 Hz to half the rate; each row sums to 1.

    A band narrower than a bin is the bin nearest to its centre, so that no band is empty.
    """
    bins = torch.arange(window // 2, dtype=torch.float64) * rate / window
    top = float(mel(torch.tensor(rate / 2, dtype=torch.float64)))
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    low, centre, high = (corners[start : start + bands, None] for start in range(3))
    filters = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp_min(0)
    nearest = torch.nn.functional.one_hot((bins - centre).abs().argmin(1), len(bins)).double()
    filters = torch.where(filters.sum(1, keepdim=True) > 0, filters, nearest)
    return (filters / filters.sum(1, keepdim=True)).to(torch.float32)
