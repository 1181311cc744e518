"""What the leak check finds: real images of which a known share was augmented take the place of fakes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

import measuring
from zerosum import recipe as recipes
from zerosum.domain import make
from zerosum.domains.images import augmentation_leak
from zerosum.domains.images.augments import AUGMENTS
from zerosum.domains.images.data import open_source
from zerosum.engine.seeds import SeededNoise

SHARES = (0.0, 0.1, 0.3, 1.0)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False, data=False)
    parser.add_argument("--source", default="digits", help="a named source or a path")
    parser.add_argument(
        "--augment", default="diffaugment", choices=sorted(AUGMENTS), help="kind, with its usual options"
    )
    parser.add_argument("--strength", type=float, default=1.0, help="of the augmentation that the probe learns from")
    parser.add_argument("--num", type=int, default=500, help="images that take the place of fakes")
    args = parser.parse_args(argv)
    measuring.begin(args)
    source = open_source(args.source, max_images=300 if args.smoke else None)
    augment = make("augment", AUGMENTS, recipes.part(args.augment))
    plain = source.batch(torch.arange(min(args.num, source.num_rows))).data
    rng = SeededNoise(9, 0, 0, 0, len(plain), len(plain), torch.device("cpu"))
    changed = augment(plain, rng, "leak check", args.strength)
    found, begun = [], time.process_time()
    for share in SHARES:
        count = round(share * len(plain))
        fakes = torch.cat([changed[:count], plain[count:]])
        (record,) = augmentation_leak.records(source, augment, fakes, 0, strength=args.strength, name=args.augment)
        found.append({"augmented": share, "share": record.value, "error": record.error, **_of(record.protocol)})
        warns = "warns" if record.protocol["warning"] else ""
        print(
            f"  {share:4.0%} augmented: {record.value:.3f} ± {record.error:.3f} look so, {record.reference:.3f} of reals {warns}"
        )
    seconds = time.process_time() - begun
    print(f"  caught {found[0]['caught']:.3f} of augmented reals; {seconds:.0f} s of CPU time")
    return measuring.finish("leak_check", args, {"source": source.name, "found": found, "cpu_s": round(seconds, 1)})


def _of(protocol: Any) -> dict[str, Any]:
    return {"false_alarms": protocol["false_alarms"], "caught": protocol["caught"], "warns": bool(protocol["warning"])}


if __name__ == "__main__":
    main()
