"""The recipes of sound, and which one a data set gets when none is named."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.domains.audio.networks import LEAST_HOP, MOST_HOP
from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part, resolved_number

CLIPS = Recipe(
    name="clips",
    domain="audio",
    why="A game on log magnitudes in patches, D names the class too; waves by Griffin-Lim: words within minutes of a CPU.",
    sources=(
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Donahue, McAuley and Puckette 2019 (SpecGAN), arXiv:1802.04208",
        "Odena et al. 2017 (AC-GAN), arXiv:1610.09585",
        "Perraudin, Balazs and Sondergaard 2013 (fast Griffin-Lim)",
    ),
    data=part("tones"),
    # More iterations come nearer to the magnitudes, and add a buzz at the hop rate; magnitudes at half hops make it weaker. The
    # class accuracy is the same with either.
    generator=part("spectrogram", places=1_024, widths=[128, 64, 32, 32], iterations=8, half_hops="auto"),
    discriminator=part("spectrogram", widths=[32, 64, 128], classifier=True),
    prior=Prior(64),
    loss="relativistic",
    penalties={
        "r1": PenaltyConfig(weight=0.5, every=4),
        "r2": PenaltyConfig(weight=0.5, every=4),
        "classification": PenaltyConfig(weight=0.5),
    },
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=5_000.0),
    steps=6_000,
    batch=16,
)

WAVEGAN = Recipe(
    name="wavegan",
    domain="audio",
    why="The first GAN of raw waveforms, at a quarter of the published width: history to be heard and measured.",
    sources=("Donahue, McAuley and Puckette 2019, arXiv:1802.04208", "Gulrajani et al. 2017, arXiv:1704.00028"),
    data=part("tones"),
    generator=part("wavegan", width=16),
    discriminator=part("wavegan", width=16, shuffle=2),
    prior=Prior(100, "uniform"),
    conditional=False,
    loss="wasserstein",
    penalties={"gradient_penalty": PenaltyConfig(weight=10.0)},
    rules=UpdateRules(discriminator_steps=5),
    learning=both(lr=1e-4, betas=(0.5, 0.9)),
    ema=AverageConfig(half_life_samples=0),
    steps=2_000,
    batch=64,
)

VOCODER = Recipe(
    name="vocoder",
    domain="audio",
    why="Waves from mel spectrograms: phases and magnitudes by a network of frames, critics of periods and of resolutions.",
    sources=(
        "Siuzdak 2024 (Vocos), arXiv:2306.00814",
        "Kong et al. 2020 (HiFi-GAN), arXiv:2010.05646",
        "Jang et al. 2021 (UnivNet), arXiv:2106.07889",
        "Mao et al. 2017, arXiv:1611.04076",
    ),
    data=part("tones", condition="mel"),
    generator=part("vocoder", iterations=60),
    discriminator=part("vocoder"),
    prior=Prior(1),
    conditional=True,
    loss="least_squares",
    penalties={
        "magnitude_l1": PenaltyConfig(weight=10.0),
        "stft": PenaltyConfig(weight=1.0),
        "feature_matching": PenaltyConfig(weight=1.0),
    },
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.8, 0.99)),
    ema=AverageConfig(half_life_samples=5_000.0),
    steps=2_000,
    batch=16,
)

SPEECH = Recipe(
    name="speech",
    domain="audio",
    why="Texts to mel spectrograms: an alignment that is searched, predicted durations, later a discriminator; a vocoder beside.",
    sources=(
        "Kim et al. 2020 (Glow-TTS: monotonic alignment search), arXiv:2005.11129",
        "Ren et al. 2021 (FastSpeech 2), arXiv:2006.04558",
        "Siuzdak 2024 (Vocos), arXiv:2306.00814",
        "Mao et al. 2017, arXiv:1611.04076",
    ),
    data=part("beeps", condition="text"),
    generator=part("speech"),
    discriminator=part("speech"),
    prior=Prior(1),
    conditional=True,
    loss="least_squares",
    penalties={
        "speech_mel": PenaltyConfig(weight=4.0),
        "speech_alignment": PenaltyConfig(weight=2.0),
        "speech_durations": PenaltyConfig(weight=0.4),
        "r1": PenaltyConfig(weight=0.1, every=4),
        "magnitude_l1": PenaltyConfig(weight=10.0),
        "stft": PenaltyConfig(weight=1.0),
        "feature_matching": PenaltyConfig(weight=1.0),
    },
    learning=both(lr=Schedule(1e-3, 5e-5, "cosine", over_share=1.0), betas=(0.8, 0.99)),
    ema=AverageConfig(half_life_samples="auto"),
    steps=2_400,
    batch=8,
)

HALF_LIFE_BATCHES, HALF_LIFE_SHARE = 312.5, 0.05
"""The half-life of the average generator in batches, and the most of it as a share of the run."""


STEADY = 0.75
"""Sounds are steady tones if the magnitudes of long windows are spread less than this share of those of short ones."""
STEADY_HOP_S, STEADY_OVERLAP = 0.016, 4


def _with_window(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, list[str]]:
    """The recipe with long windows for spectrograms of steady tones: in short ones Griffin-Lim makes them tremble."""
    options, spread = recipe.generator.options, info.payload.get("spread", 1.0)
    if recipe.generator.kind != "spectrogram" or options.get("hop") or "overlap" in options or spread >= STEADY:
        return recipe, []
    hop = max(LEAST_HOP, min(MOST_HOP, 2 ** round(math.log2(STEADY_HOP_S * info.payload["rate"]))))
    if hop * STEADY_OVERLAP > info.sample.axes["samples"]:
        return recipe, []
    note = (
        f"These are steady tones (long windows spread them {spread:.2f} times as widely as short ones, less than {STEADY:g}): "
        f"windows of {hop * STEADY_OVERLAP:,} samples every {hop:,} (generator.overlap, generator.hop)."
    )
    generator = part("spectrogram", **{**options, "hop": hop, "overlap": STEADY_OVERLAP})
    return recipe.changed(generator=generator), [note]


def resolve_auto(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a number for an "auto" half-life, with the window for steady tones, and without the classifier's loss where
    there are no classes."""
    recipe, notes = _with_window(recipe, info)
    if "classification" in recipe.penalties and not (recipe.conditional is True and info.num_classes):
        rest = {name: part for name, part in recipe.penalties.items() if name != "classification"}
        recipe = recipe.changed(penalties=rest)
        notes.append("Without classes the penalty `classification` is left out.")
    if recipe.ema.half_life_samples == "auto":
        batch = resolved_number(recipe.batch, "batch")
        half_life = max(1.0, batch * min(HALF_LIFE_BATCHES, HALF_LIFE_SHARE * recipe.steps))
        recipe = recipe.changed(ema=recipe.ema.model_copy(update={"half_life_samples": half_life}))
        notes.append(
            f"Half-life of the average generator {half_life:,.0f} clips: the lesser of {HALF_LIFE_BATCHES:g} batches and "
            f"{HALF_LIFE_SHARE:.0%} of this run."
        )
    return recipe, tuple(notes)


RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (CLIPS, WAVEGAN, VOCODER, SPEECH)}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The recipe for a source that names none, and why."""
    if info.payload["condition"] == "text":
        return "speech", f"{info.num_rows:,} recordings with texts: speech from text"
    if info.payload["condition"] == "mel":
        return "vocoder", f"{info.num_rows:,} clips of {info.sample.description} with their mel spectrograms"
    condition = f", conditional on {info.num_classes} classes" if info.num_classes else ""
    return "clips", f"{info.num_rows:,} clips of {info.sample.description}: a game on log magnitudes{condition}"
