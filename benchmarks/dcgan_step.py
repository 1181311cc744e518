"""DCGAN 32x32x3, batch 64, width 64: our engine against the usual DCGAN script, interleaved in one process.

The networks are the same but for biases: our stem is a linear layer (the script's first transposed convolution, from 1x1 to
4x4, is the same map), our head a linear layer (the script's last 4x4 convolution), both with a bias. The script makes one
batch of fakes a step and shows it to D, then to G; ours, with --fakes previous, shows D the fakes of the last G step, which
costs the same. What differs on our side: data resident as uint8, D frozen in G's step, fused Adam, channels_last,
logits, values read every 32nd step, and the precision that the side's name gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import measuring
import ours
import pictures
import usual
from zerosum.engine import OptimizerConfig, UpdateRules

BATCH, WIDTH = 64, 64
WANTED = {"bfloat16": (3.0, 5.0), "float32": (1.1, None)}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0])
    measuring.add_slices(parser, steps=12)
    measuring.add_precision(parser)
    parser.add_argument("--fakes", choices=("fresh", "previous"), default="previous", help="D's fakes on our side")
    parser.add_argument("--norm", choices=("batch", "none"), default="batch", help="of our D; the script has batch")
    parser.add_argument("--ema", action="store_true", help="our side also keeps the average generator")
    parser.add_argument("--workers", type=int, default=0, help="processes of the script's DataLoader")
    args = parser.parse_args(argv)
    measuring.begin(args)
    width = 8 if args.smoke else WIDTH
    source, about = pictures.load("cifar10", args.data, args.smoke)
    print(f"{about}; batch {BATCH}, width {width}; ours: {args.fakes} fakes, norm {args.norm} in D")
    feeds = {
        "DCGAN script": usual.from_loader(source.train, BATCH, args.workers),
        "DCGAN script, data in memory": usual.from_memory(source.train, BATCH),
    }
    others = [
        measuring.Side(n, usual.DcganScript(source.shape, feed, width, args.device).play) for n, feed in feeds.items()
    ]
    engines = {
        precision: ours.Engine(
            ours.dcgan_pair(source.shape, width, args.norm),
            source,
            batch=BATCH,
            rules=UpdateRules(fakes=args.fakes),
            learning=OptimizerConfig(lr=2e-4, betas=(0.5, 0.999)),
            precision=precision,
            device=args.device,
            half_life_samples=20_000.0 if args.ema else None,
        )
        for precision in measuring.precisions(args.precision, args.device)
    }
    mine = {precision: measuring.Side(f"zerosum {precision}", engine.play) for precision, engine in engines.items()}
    args.batch = BATCH
    found = measuring.against_usual(others, mine, WANTED, args)
    healthy = all(engine.finite() for engine in engines.values())
    return measuring.finish("dcgan_step", args, {"data": about, **found, "finite": healthy})


if __name__ == "__main__":
    main()
