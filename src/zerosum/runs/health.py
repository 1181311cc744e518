"""Is the game going well? Plain rules over logged numbers; each finding has its evidence and an advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

COLLAPSED, THIN = 0.5, 0.75
"""Diversity of the fakes as a share of the reals': below the first is an alarm, below the second a warning."""
SURE = 0.97
"""Accuracy above which, on both sides, the discriminator leaves the generator little to learn from."""
GAP_WARNING, GAP_ALARM = 0.5, 0.85
"""Share of the distance from train reals to fakes that lies between train and held-out reals; 1 is pure memory."""
EXCESS = 100.0
"""A gradient that stays this many times above its running median is on its way out of the numbers."""


@dataclass(frozen=True)
class Finding:
    """One statement about the health of a run. level: ok, warning or alarm."""

    level: str
    title: str
    sentence: str
    evidence: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values for the log."""
        return asdict(self)

    def told(self) -> str:
        """As it is said while training."""
        return (
            f"{self.level.capitalize()}, {self.title.lower()}: {self.sentence}\n    {self.evidence}\n    {self.advice}"
        )


def examine(
    now: Mapping[str, float], history: Sequence[Mapping[str, float]] = (), augment: str | None = None
) -> list[Finding]:
    """Findings from the health numbers of this boundary and of the earlier ones. augment: the kind that is at work.

    Read, where present: diversity, classes_found, num_classes, modes_found, num_modes, accuracy/real, accuracy/fake,
    heldout_gap, contrast, gradient_excess/<player>.
    """
    recent = [*history[-2:], now]
    found = [
        *_diversity(recent),
        *_classes(now),
        *_modes(recent),
        *_strength(recent),
        *_overfit(recent, augment),
        *_contrast(now),
        *_gradients(now),
    ]
    if any(finding.level != "ok" for finding in found):
        return [finding for finding in found if finding.level != "ok"]
    return [Finding("ok", "Healthy", "Fakes are varied, the discriminator neither wins nor memorises.", _evidence(now))]


def _evidence(now: Mapping[str, float]) -> str:
    names = {
        "diversity": "diversity",
        "accuracy/real": "accuracy on reals",
        "accuracy/fake": "on fakes",
        "heldout_gap": "held-out gap",
    }
    return ", ".join(f"{text} {now[name]:.2f}" for name, text in names.items() if name in now)


def _steady(recent: Sequence[Mapping[str, float]], name: str) -> float | None:
    """The mildest of the recent values, so that one noisy boundary raises no alarm; None when it is not measured."""
    values = [float(x[name]) for x in recent if name in x]
    return min(values) if values else None


def _diversity(recent: Sequence[Mapping[str, float]]) -> list[Finding]:
    values = [float(x["diversity"]) for x in recent if "diversity" in x]
    if not values or max(values) >= THIN:
        return []
    ratio = max(values)
    return [
        Finding(
            "alarm" if ratio < COLLAPSED else "warning",
            "Mode collapse" if ratio < COLLAPSED else "Low diversity",
            f"Fakes differ from each other only {ratio:.0%} as much as reals do.",
            f"mean pairwise feature distance, fakes / reals = {ratio:.2f} (alarm below {COLLAPSED}, warning below {THIN})",
            "Early on this is normal. If it stays: lower both learning rates, strengthen R1, or add R2.",
        )
    ]


def _classes(now: Mapping[str, float]) -> list[Finding]:
    found, wanted = now.get("classes_found"), now.get("num_classes")
    if found is None or not wanted or found >= wanted:
        return []
    return [
        Finding(
            "alarm" if found < 0.6 * wanted else "warning",
            "Missing classes",
            f"A classifier sees {found:.0f} of {wanted:.0f} classes among the fakes.",
            f"classes found = {found:.0f} of {wanted:.0f}",
            "Early on this is normal. If it stays: lower both learning rates, strengthen R1, or train with labels.",
        )
    ]


def _modes(recent: Sequence[Mapping[str, float]]) -> list[Finding]:
    counts, wanted = [x["modes_found"] for x in recent if "modes_found" in x], recent[-1].get("num_modes")
    if not counts or not wanted or max(counts) >= wanted:
        return []
    found = max(counts)
    return [
        Finding(
            "alarm" if found < 0.6 * wanted else "warning",
            "Missing modes",
            f"The fakes have found {found:.0f} of {wanted:.0f} modes of the data.",
            f"modes with at least a tenth of their share of the fakes = {found:.0f} of {wanted:.0f}",
            "Early on this is normal. If it stays: add R1 and R2, pair reals with fakes (--set loss=relativistic), train longer.",
        )
    ]


def _strength(recent: Sequence[Mapping[str, float]]) -> list[Finding]:
    real, fake = _steady(recent, "accuracy/real"), _steady(recent, "accuracy/fake")
    if real is None or fake is None or len(recent) < 3 or min(real, fake) < SURE:
        return []
    return [
        Finding(
            "warning",
            "Overpowering discriminator",
            "The discriminator is right about nearly everything, so the generator learns from a faint error.",
            f"accuracy on reals {real:.2f}, on fakes {fake:.2f}, three boundaries in a row (warning above {SURE})",
            "Lower the discriminator's rate or width, add R1, or use fewer discriminator steps.",
        )
    ]


STRONGER = {
    None: "for images an augmentation (--set augment=shift), ",
    "shift": "a stronger augmentation (--set augment=diffaugment), ",
    "diffaugment": "an augmentation that follows the discriminator (ada with an adaptive strength: docs/augmentation.md), ",
}
"""What to try against overfitting beside the augmentation that is at work already."""


def _overfit(recent: Sequence[Mapping[str, float]], augment: str | None) -> list[Finding]:
    gap = _steady(recent, "heldout_gap")
    if gap is None or len(recent) < 3 or gap < GAP_WARNING:
        return []
    return [
        Finding(
            "alarm" if gap > GAP_ALARM else "warning",
            "Discriminator overfitting",
            "Held-out reals get scores nearer to the fakes' than to the training reals': the discriminator remembers.",
            f"(train - held-out) / (train - fake) = {gap:.2f}, three boundaries in a row (warning above {GAP_WARNING})",
            f"More data, {STRONGER.get(augment, '')}dropout, a narrower discriminator, fewer steps.",
        )
    ]


def _contrast(now: Mapping[str, float]) -> list[Finding]:
    contrast = now.get("contrast")
    if contrast is None or contrast >= 0.3:
        return []
    return [
        Finding(
            "alarm",
            "Flat samples",
            f"Fakes vary over their area only {contrast:.0%} as much as reals do.",
            f"mean standard deviation within a sample, fakes / reals = {contrast:.2f} (alarm below 0.3)",
            "A tanh output may be saturated: end the generator linearly (--set generator.output=linear).",
        )
    ]


def _gradients(now: Mapping[str, float]) -> list[Finding]:
    return [
        Finding(
            "warning",
            "Growing gradients",
            f"The {name.partition('/')[2]}'s gradient stays {excess:,.0f} times above what was usual: the game may diverge.",
            f"least gradient norm of the last log lines / median before = {excess:,.0f} (warning above {EXCESS:.0f})",
            "Lower both learning rates, clip the gradient (--set learning.generator.clip_norm=1, or discriminator), or let "
            "the run go back by itself (--on-nonfinite rollback).",
        )
        for name, excess in now.items()
        if name.startswith("gradient_excess/") and excess > EXCESS
    ]
