"""The MLP pair on MNIST, batch 128, Adam 1e-3: our engine against the usual tutorial loop, interleaved in one process.

Both sides play the same game: the same layer sizes, batch, optimizer, loss, dropout and fresh noise in both turns.
What differs on our side: data resident as uint8, D frozen in G's step, G without a graph in D's step, real and fake in one
concatenated batch (no layer here mixes rows, so the gradient is the same), fused Adam, masks from random bytes, logits
instead of probabilities, values read every 32nd step; and the precision that the side's name gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import measuring
import ours
import pictures
import usual
from zerosum.engine import OptimizerConfig, UpdateRules

BATCH, RATE = 128, 1e-3
WANTED = {"bfloat16": (3.0, 4.0), "float32": (1.2, None)}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0])
    measuring.add_slices(parser, steps=60)
    measuring.add_precision(parser)
    parser.add_argument("--fakes", choices=("fresh", "previous"), default="fresh", help="D's fakes on our side")
    parser.add_argument("--batches", choices=("one", "two"), default="one", help="D's batches on our side")
    parser.add_argument("--ema", action="store_true", help="our side also keeps the average generator")
    args = parser.parse_args(argv)
    measuring.begin(args)
    source, about = pictures.load("mnist", args.data, args.smoke)
    print(f"{about}; batch {BATCH}, Adam {RATE:g}; ours: {args.fakes} fakes, {args.batches} batch(es) for D")
    loops = {
        "tutorial loop": usual.TutorialLoop(source.shape, usual.from_loader(source.train, BATCH), args.device, RATE),
        "tutorial loop, data in memory": usual.TutorialLoop(
            source.shape, usual.from_memory(source.train, BATCH), args.device, RATE
        ),
    }
    engines = {
        precision: ours.Engine(
            ours.mlp_pair(source.shape),
            source,
            batch=BATCH,
            rules=UpdateRules(fakes=args.fakes, batches=args.batches),
            learning=OptimizerConfig(lr=RATE, betas=(0.9, 0.999)),
            precision=precision,
            device=args.device,
            half_life_samples=10_000.0 if args.ema else None,
        )
        for precision in measuring.precisions(args.precision, args.device)
    }
    others = [measuring.Side(name, loop.play) for name, loop in loops.items()]
    mine = {precision: measuring.Side(f"zerosum {precision}", engine.play) for precision, engine in engines.items()}
    args.batch = BATCH
    found = measuring.against_usual(others, mine, WANTED, args)
    healthy = all(engine.finite() for engine in engines.values())
    return measuring.finish("tutorial_step", args, {"data": about, **found, "finite": healthy})


if __name__ == "__main__":
    main()
