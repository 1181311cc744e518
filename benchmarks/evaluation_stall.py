"""What an evaluation beside a training costs the training: slices alone, and slices with the process that measures at work.

The measuring process is stopped and woken by signals between the slices, so both sides meet the same machine. It does what
`zerosum.training.eval_worker` does, again and again: samples from the generator, and all measures, at its priority and with
one thread.
"both on one core": no core is free, only priority keeps it back. "a core free": each has its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch

import measuring
import ours
import pictures
from zerosum.domain.contract import EvalOptions
from zerosum.domains.images.data import Images, ImageSource, to_pixels
from zerosum.domains.images.evaluator import ImageEvaluator
from zerosum.engine import OptimizerConfig, UpdateRules
from zerosum.training.eval_worker import NICE

MOST_PERCENT = 5.0
NUM, MOST_IMAGES = 1000, 10_000


def measure_for_ever(generator: torch.nn.Module, source: ImageSource, cores: set[int], ready: Any, num: int) -> None:
    """The other process."""
    torch.set_num_threads(1)
    evaluator = ImageEvaluator(source, options=EvalOptions("random", num))
    evaluator.evaluate(source.train.pixels[:num])  # what is made once is made now
    os.sched_setaffinity(0, cores)
    os.nice(NICE)
    ready.set()
    while True:
        with torch.no_grad():
            samples = torch.cat([generator(torch.randn(100, ours.LATENT)) for _ in range(num // 100)])
        evaluator.evaluate(to_pixels(samples))


@contextlib.contextmanager
def beside(generator: torch.nn.Module, source: ImageSource, cores: set[int], num: int) -> Iterator[int]:
    """The process id of a measuring process, which sleeps."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=measure_for_ever, args=(generator, source, cores, ready, num), daemon=True)
    child.start()
    assert child.pid is not None
    ready.wait()
    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield child.pid
    finally:
        os.kill(child.pid, signal.SIGCONT)
        child.terminate()
        child.join()


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False)
    measuring.add_slices(parser, steps=8, rounds=21)
    args = parser.parse_args(argv)
    measuring.begin(args)
    source, data = pictures.load("cifar10", args.data, args.smoke)
    few = Images(source.train.pixels[:MOST_IMAGES])
    source = ImageSource(source.name, source.shape, few, None, (), (), source.fingerprint)
    cores = sorted(os.sched_getaffinity(0))
    places = {"both on one core": {cores[0]}} | ({"a core free": {cores[1]}} if len(cores) > 1 else {})
    sides: dict[str, Any] = {}
    ratios: list[dict[str, Any]] = []
    os.sched_setaffinity(0, {cores[0]})
    try:
        for place, theirs in places.items():
            found, more = _compare(place, theirs, source, args)
            sides |= found
            ratios.append(more)
    finally:
        os.sched_setaffinity(0, set(cores))
    measuring.show(sides, ratios)
    for each in ratios:
        print(f"  {each['place']}: the training takes {each['percent']:.1f} % longer, at most {MOST_PERCENT:g} %")
    return measuring.finish("evaluation_stall", args, {"data": data, "sides": sides, "ratios": ratios})


def _compare(place: str, cores: set[int], source: ImageSource, args: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    pair = ours.dcgan_pair(source.shape, 8 if args.smoke else 32, "none")
    learning = OptimizerConfig(lr=2e-4, betas=(0.5, 0.999))
    engine = ours.Engine(pair, source, batch=64, rules=UpdateRules(), learning=learning, precision="float32")
    with beside(pair[0], source, cores, 100 if args.smoke else NUM) as pid:

        def watched(steps: int) -> int:
            os.kill(pid, signal.SIGCONT)
            try:
                return engine.play(steps)
            finally:
                os.kill(pid, signal.SIGSTOP)

        alone = measuring.Side(f"training alone, {place}", engine.play)
        both = measuring.Side(f"evaluation beside, {place}", watched)
        measuring.interleaved([alone, both], args)
    found = measuring.ratio(both, alone)
    found |= {"place": place, "percent": round(100 * (found["value"] - 1), 2), "most_percent": MOST_PERCENT}
    return measuring.summary([alone, both], 64), found


if __name__ == "__main__":
    main()
