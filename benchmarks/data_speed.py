"""Reading images: how fast sources are prepared, opened again, and read batch by batch, against what training consumes.

Generated JPEG photographs (smooth colours and noise) lie in a folder, a zip and tar shards. Preparing decodes, cuts and resizes
them to the cache; the source is then opened from it and read in shuffled batches: from memory, from the mapped file while the
system holds it, and from the mapped file after the system was asked to forget it (cold; the disk below may still remember).
Consumption is the training step of a recipe on the same images.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import measuring
from zerosum import catalog
from zerosum.data.images import loader, parallel_decode
from zerosum.domains.images.data import Images, ImageSource, open_source
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.seeds import rows_at


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], data=False)
    parser.add_argument("--num", type=int, default=400, help="photographs")
    parser.add_argument("--photo", type=int, nargs=2, default=(384, 512), help="height and width of a photograph")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="sides after resizing")
    parser.add_argument(
        "--rows", type=int, default=20_000, help="rows of the array that is read from, at each size / 64 squared"
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--recipes", nargs="*", default=["dcgan", "rpgan"], help="whose training step consumes")
    args = parser.parse_args(argv)
    measuring.begin(args)
    if args.smoke:
        args.num, args.photo, args.sizes, args.rows, args.batch = 24, (40, 50), [8, 16], 256, 4
        args.recipes = args.recipes[:1]
    before = os.environ.get("ZEROSUM_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZEROSUM_CACHE"] = str(Path(folder) / "cache")
        try:
            found = _measure(Path(folder), args)
        finally:
            os.environ.pop("ZEROSUM_CACHE")
            if before is not None:
                os.environ["ZEROSUM_CACHE"] = before
    return measuring.finish("data_speed", args, {"data": "generated photographs", **found})


def _measure(folder: Path, args: Any) -> dict[str, Any]:
    places = _photographs(folder, args.num, tuple(args.photo))
    loader.MIN_CACHED_BYTES = 0  # the sources here are small: prepare them all the same
    prepared: dict[str, dict[str, float]] = {}
    for kind, place in places.items():
        for side in args.sizes if kind == "folder" else args.sizes[:1]:
            made, core = _seconds(lambda p=place, s=side: open_source(str(p), size=(s, s)))
            again, _ = _seconds(lambda p=place, s=side: open_source(str(p), size=(s, s)))
            found = {"samples_per_s": args.num / made, "images_per_core_s": args.num / core, "opened_again_s": again}
            prepared[f"{kind} to {side} px"] = {name: round(value, 3) for name, value in found.items()}
            print(
                f"  {kind:<7} to {side:>3} px: {args.num / made:>7,.0f} images/s, {args.num / core:>7,.0f} a second of one "
                f"core; opened again in {again:.2f} s"
            )
    workers = _by_workers(places["folder"], args)
    reading = {f"{side} px": _reading(folder, side, args) for side in args.sizes}
    return {"preparing": prepared, "by_workers": workers, "reading": reading}


def _by_workers(place: Path, args: Any) -> dict[str, float]:
    """Images a second of decoding and resizing to memory by the number of threads."""
    found, side = {}, args.sizes[0]
    for number in sorted({1, 2, parallel_decode.workers()}):
        workers, parallel_decode.workers = parallel_decode.workers, lambda n=number: n
        try:
            seconds, _ = _seconds(lambda: open_source(str(place), size=(side, side), channels=3, cache=False))
        finally:
            parallel_decode.workers = workers
        found[str(number)] = round(args.num / seconds, 1)
        print(f"  {number} thread(s): {args.num / seconds:,.0f} images/s to {side} px in memory")
    return found


def _reading(folder: Path, side: int, args: Any) -> dict[str, float]:
    """Images a second of shuffled batches of one array, and of training steps on it."""
    num = max(args.batch, args.rows * 64 * 64 // (side * side)) if not args.smoke else args.rows
    path = folder / f"rows-{side}.npy"
    _array(path, num, side)
    found: dict[str, float] = {"rows": num, "mib": num * 3 * side * side / 2**20}
    for name, source in _ways(path, side):
        if name == "mapped, cold":
            _forget(path)
        found[name] = _read_all(source, args.batch)
        if name == "mapped, warm":
            found["mapped, warm, bytes"] = _read_all(source, args.batch, as_bytes=True)
    for name in list(found)[2:]:
        print(f"  {side:>3} px {name:<20} {found[name]:>12,.0f} images/s")
    small = replace(next(_ways(path, side))[1])
    for recipe in args.recipes:
        found[f"{recipe} consumes"] = _consumed(recipe, small, args)
        times = found["mapped, cold"] / found[f"{recipe} consumes"]
        print(
            f"  {side:>3} px {recipe} consumes {found[f'{recipe} consumes']:,.1f} images/s, 1/{times:,.0f} of cold reading"
        )
    path.unlink()
    return {name: round(value, 2) for name, value in found.items()}


def _ways(path: Path, side: int) -> Iterator[tuple[str, ImageSource]]:
    """The same rows from memory and from a mapped file; each is dropped before the next."""
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    for name, mapped in (("memory", False), ("mapped, warm", True), ("mapped, cold", True)):
        rows = np.load(path, mmap_mode="r" if mapped else None)
        shape = open_source("digits").shape
        yield (
            name,
            ImageSource(
                "rows",
                replace(shape, channels=3, height=side, width=side, num_classes=0),
                Images(torch.from_numpy(rows)),
                None,
                (),
                (),
                "rows",
                mapped=mapped,
            ),
        )


def _read_all(source: ImageSource, batch: int, as_bytes: bool = False) -> float:
    """Images a second of one epoch in shuffled order; every row is read once, so that cold rows are cold.

    as_bytes: only the uint8 rows are collected, which is the host's part of a batch for a GPU.
    """
    steps = source.num_rows // batch
    begun = time.perf_counter()
    for step in range(steps):
        rows = rows_at(step * batch, batch, source.num_rows, 0)
        if as_bytes:
            source.train.pixels.index_select(0, rows)
        else:
            source.batch(rows)
    return steps * batch / (time.perf_counter() - begun)


def _consumed(recipe: str, source: ImageSource, args: Any) -> float:
    """Images a second of training steps, data included; after one that is not counted."""
    domain = catalog.domain("images")
    chosen = domain.recipes.table[recipe].changed(conditional=False)
    batch = args.batch if source.shape.height <= 64 else max(2, args.batch // 8)
    match = TrainingLoop(
        domain.game.build(chosen, domain.info_of(source)), source, Settings(batch=batch, learning=dict(chosen.learning))
    )
    steps = 1 if args.smoke else 3
    match.train_step()
    return steps * batch / _seconds(lambda: [match.train_step() for _ in range(steps)])[0]


def _forget(path: Path) -> None:
    """Asks the system to drop the file from memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the clock, and of the processor, which other work on the machine changes little."""
    begun, core = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - core


def _array(path: Path, num: int, side: int) -> None:
    """(num, 3, side, side) random bytes, written piece by piece."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(num, 3, side, side))
    random = np.random.default_rng(0)
    for start in range(0, num, 512):
        rows[start : start + 512] = random.integers(0, 256, rows[start : start + 512].shape, dtype=np.uint8)
    rows.flush()


def _photographs(folder: Path, num: int, size: tuple[int, int]) -> dict[str, Path]:
    """The same JPEG files as a folder, a zip and shards of 500."""
    photos = folder / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for i in range(num):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            size[::-1], Image.Resampling.BICUBIC
        )
        noise = random.integers(-12, 13, (*size, 1))
        pixels = np.clip(np.asarray(coarse).astype(np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(photos / f"{i:06d}.jpg", quality=90)
    files = sorted(photos.iterdir())
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    shards = folder / "shards"
    shards.mkdir()
    for start in range(0, num, 500):
        with tarfile.open(shards / f"photos-{start // 500:06d}.tar", "w") as archive:
            for file in files[start : start + 500]:
                data = file.read_bytes()
                info = tarfile.TarInfo(file.name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return {"folder": photos, "zip": folder / "photos.zip", "shards": shards}


if __name__ == "__main__":
    main()
