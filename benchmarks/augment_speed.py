"""What an augmentation costs: training steps of a recipe with each of them, beside steps without, on CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import measuring
import pictures
from zerosum import recipe as recipes
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.data import ImageSource
from zerosum.engine.loop import TrainingLoop
from zerosum.planning.plan import settings
from zerosum.recipe import Component

PLAIN = "no augmentation"
AUGMENTS: dict[str, Component | None] = {
    PLAIN: None,
    "shift": recipes.part("shift"),
    "diffaugment": recipes.part("diffaugment"),
    "ada blit": recipes.part("ada", pipe=["blit"]),
    "ada blit geometric color": recipes.part("ada"),
    "ada, all groups": recipes.part("ada", pipe=["blit", "geometric", "color", "cutout"]),
}
STRENGTH = 0.5


def side(name: str, source: ImageSource, recipe: str, batch: int) -> measuring.Side:
    """The recipe without labels, on one of the augmentations."""
    info = DOMAIN.info_of(source)
    plain = DOMAIN.recipes.table[recipe].changed(conditional=False, augment=AUGMENTS[name], batch=batch)
    if name != PLAIN:
        plain = recipes.override(plain, [f"rules.augment_strength={STRENGTH}"])
    plain = DOMAIN.game.resolve_auto(plain, info)[0].with_schedules_in_steps()
    match = TrainingLoop(DOMAIN.game.build(plain, info), source, settings(plain))

    def play(steps: int) -> int:
        for _ in range(steps):
            match.train_step()
        return steps * batch

    return measuring.Side(name, play)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False)
    measuring.add_slices(parser, steps=8)
    parser.add_argument("--recipe", default="dcgan", help="whose pair is trained")
    parser.add_argument("--batch", type=int, default=64, help="rows of a step")
    args = parser.parse_args(argv)
    measuring.begin(args)
    if args.smoke:
        args.batch = 4
    source, about = pictures.load("cifar10", args.data, args.smoke)
    print(f"{about}; recipe {args.recipe}, batch {args.batch}, strength {STRENGTH}")
    sides = {name: side(name, source, args.recipe, args.batch) for name in AUGMENTS}
    measuring.interleaved(list(sides.values()), args)
    found = measuring.summary(sides.values(), args.batch)
    ratios = [measuring.ratio(sides[name], sides[PLAIN]) for name in AUGMENTS if name != PLAIN]
    measuring.show(found, ratios)
    return measuring.finish("augment_speed", args, {"data": about, "sides": found, "ratios": ratios})


if __name__ == "__main__":
    main()
