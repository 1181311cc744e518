"""Titles, labels and explanations of logged numbers."""

from __future__ import annotations

from zerosum.formatting import metric_words

MEANINGS = {
    "loss": "The loss that each player minimises in its own step, without penalties. The players have opposite aims, "
    "so a falling line does not prove better samples.",
    "V": "The value V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))], in nats. D maximises it, G minimises it; when fakes "
    "equal the data and D is 1/2 everywhere it is −log 4 = −1.386.",
    "D": "Mean probability of real that D gives to training reals, D(x), and to fakes, D(G(z)). Both at 1/2: D cannot "
    "separate them. Far apart: D separates them well.",
    "gradient_norm": "Length (L2 norm) of each player's gradient before clipping, on a log scale. Steady is good; "
    "spikes or a decay to zero are not.",
    "clipped": "Share of gradient entries (by value) or of updates (by norm) that were clipped, from 0 to 1.",
    "r1": "R1: half the squared gradient of D at real samples, averaged, times its weight and its interval in steps. "
    "It keeps D flat around the data.",
    "r2": "R2: half the squared gradient of D at fake samples, averaged, times its weight and its interval in steps.",
    "total": "The objective that each player minimises: its loss and its penalties.",
    "accuracy": "Share of the batch's reals and fakes that D classifies correctly. Both near 1/2: D cannot separate "
    "them. Both at 1: D separates them fully.",
    "judged": "Share that D in evaluation mode classifies correctly: training reals, held-out reals, fakes. Held-out "
    "far below training: D memorises.",
    "contrast": "Variation of the values within a fake, as a share of that within a real sample. Near 0: flat, "
    "saturated samples.",
    "classes_found": "Classes that make up at least a tenth of their usual share, as a classifier sees the fakes.",
    "modes_found": "Modes of the data that hold at least a tenth of their share of the fakes.",
    "largest_class_share": "Share of the most frequent class among the fakes.",
    "lr": "Learning rate of each player, as its schedule gives it.",
    "samples_per_s": "Training samples per second of wall-clock time.",
    "diversity": "Diversity of the fakes as a share of that of reals: 1 is as diverse as the data, 0 is a single "
    "sample.",
    "heldout_gap": "Of the distance between D's mean scores on training reals and on fakes, the part that lies "
    "between training and held-out reals. 0: D memorises nothing; 1: it recognises only its training set.",
}

TITLES = {
    "loss": "Losses",
    "V": "Value of the game, V(D, G)",
    "D": "Output of D: D(x) and D(G(z))",
    "gradient_norm": "Gradient norms",
    "lr": "Learning rates",
    "samples_per_s": "Training speed",
    "r1": "R1 penalty",
    "r2": "R2 penalty",
    "heldout_gap": "Held-out gap of D",
    "diversity": "Diversity of the fakes",
    "accuracy": "Accuracy of D in training",
    "judged": "Accuracy of D in evaluation mode",
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
