"""Titles, labels and explanations of logged numbers."""

from __future__ import annotations

from zerosum.formatting import metric_words

MEANINGS = {
    "loss": "What each player lowers in its own step, without penalties. The players pull against each other, so a falling "
    "line alone is no proof of better samples.",
    "V": "The value V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))], in nats. D raises it, G lowers it; when fakes equal the data "
    "and D answers 1/2 everywhere it is −log 4 = −1.386.",
    "D": "Mean probability that D gives to training reals, D(x), and to fakes, D(G(z)). Both at 1/2: D cannot tell them apart. "
    "Far apart: D wins.",
    "gradient_norm": "Length (L2 norm) of each player's gradient before clipping, on a log scale. Steady is good; spikes or a "
    "slow death are not.",
    "clipped": "Share of gradient entries (by value) or of updates (by norm) that were clipped, from 0 to 1.",
    "r1": "R1: half the squared gradient of D at real samples, averaged, times its weight and its interval in steps. It keeps "
    "D flat around the data.",
    "r2": "R2: half the squared gradient of D at fake samples, averaged, times its weight and its interval in steps.",
    "total": "What each player lowers: its loss and its penalties together.",
    "accuracy": "Share of the batch's reals and fakes that D judges right. Both near 1/2: D cannot tell. Both at 1: D wins.",
    "judged": "Share judged right by D at rest: training reals, reals it never saw, fakes. Held-out far below training: D "
    "remembers.",
    "contrast": "How much the pixels of a fake vary, as a share of the reals'. Near 0: flat, saturated samples.",
    "classes_found": "Classes that make up at least a tenth of their usual share, as a classifier sees the fakes.",
    "modes_found": "Modes of the data that hold at least a tenth of their share of the fakes.",
    "largest_class_share": "Share of the commonest class among the fakes.",
    "lr": "Learning rate of each player, as its schedule gives it.",
    "images_per_s": "Training samples per second of wall-clock time.",
    "diversity": "How varied the fakes are, as a share of the variety of reals: 1 is as varied as the data, 0 is a "
    "single sample.",
    "heldout_gap": "Of the distance between D's mean scores on training reals and on fakes, the part that lies between training "
    "and held-out reals. 0: D remembers nothing; 1: it knows nothing but its training set.",
}

TITLES = {
    "loss": "Losses",
    "V": "Value of the game, V(D, G)",
    "D": "What D believes: D(x) and D(G(z))",
    "gradient_norm": "Gradient norms",
    "lr": "Learning rates",
    "images_per_s": "Training speed",
    "r1": "R1 penalty",
    "r2": "R2 penalty",
    "heldout_gap": "Held-out gap of D",
    "diversity": "Diversity of the fakes",
    "accuracy": "How often D is right, in training",
    "judged": "How often D is right, at rest",
    "total": "Losses with penalties",
    "clipped": "Clipped share",
}


LABELS = {
    "D(x)": "training reals, D(x)",
    "D(G(z))": "fakes, D(G(z))",
    "accuracy/real": "training reals",
    "accuracy/fake": "fakes",
    "accuracy/heldout": "held-out reals",
}


def label_of(name: str) -> str:
    """A logged number in the legend of its chart, in words: "discriminator, consistency" for "discriminator/consistency"."""
    base, _, tag = name.partition("[")
    if name in LABELS:
        return LABELS[name]
    return metric_words(base.replace("_", " ").replace("/", ", ")) + (f" ({tag.rstrip(']')})" if tag else "")


def title_of(key: str) -> str:
    """The heading of a logged number: its known title, or its name in words."""
    words = metric_words(key.replace("_", " ").replace("/", ", ").strip())
    return TITLES.get(key) or words[:1].upper() + words[1:]
