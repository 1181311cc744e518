"""A step in slow motion: what happens in it, one stage after the other, in plain words."""

from __future__ import annotations

DISCRIMINATOR = (
    ("Noise", "Numbers z are drawn at random. They mean nothing yet: they are the raw material of every fake."),
    (
        "Fakes",
        "The generator G turns each z into a point G(z). G is frozen in this move: it only delivers, it does not learn.",
    ),
    (
        "Verdicts",
        "The discriminator D looks at real points and at fakes, and gives each a number D between 0 (surely fake) and 1 "
        "(surely real).",
    ),
    (
        "Loss",
        "Real points should get 1 and fakes 0. D's loss says how far the verdicts are from that; it is smallest when D "
        "tells the two apart as well as can be done.",
    ),
    (
        "Update",
        "The loss is followed back through D, every weight of D takes a small step downhill, and the map of D changes. "
        "G has not moved. The best D that there is against this G is p / (p + q).",
    ),
)

GENERATOR = (
    ("Noise", "Fresh numbers z are drawn. The real data are not needed: G never sees them, it only hears what D says."),
    ("Fakes", "G turns each z into a point G(z). This time a trace is kept of how every weight of G took part in it."),
    ("Verdicts", "D judges the fakes. D is frozen in this move, but the error will flow through it on its way to G."),
    (
        "Loss",
        "Now the fakes are labelled 1: G's loss is small when D calls its fakes real. The arrows show where each fake "
        "would have to go for that.",
    ),
    (
        "Update",
        "The error flows back from the verdict through D to each fake, and on into G, whose weights take a small step. All "
        "fakes shift a little along the arrows. D has not moved: it will answer in the next move.",
    ),
)


def stages() -> dict[str, list[dict[str, str]]]:
    """{"discriminator": [{"title", "text"} x 5], "generator": [...]}, as the page shows them."""
    return {
        player: [{"title": title, "text": text} for title, text in rows]
        for player, rows in (("discriminator", DISCRIMINATOR), ("generator", GENERATOR))
    }
