"""Damaged files of every kind: each reader gives a result or a UserError, and recognising never raises.

`pytest tests/data/test_fuzz_readers.py --fuzz 2000` plays more copies of each file.
"""

from __future__ import annotations

import os
import resource
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import pytest

import infos
from zerosum import catalog
from zerosum.data.images import idx, lossless_io
from zerosum.data.images.files import BadImageError
from zerosum.data.images.loaded import Shape
from zerosum.domains.audio import formats, writing
from zerosum.domains.audio.formats import SUBTYPES
from zerosum.domains.images import data as image_data
from zerosum.domains.points import files as point_files
from zerosum.domains.points import media
from zerosum.domains.tables import reading
from zerosum.domains.toy import files as toy_files
from zerosum.errors import UserError
from zerosum.recipe import part

PNGS = {f"{'ab'[i % 2]}/{i}.png": fuzzing.image("PNG", seed=i) for i in range(6)}
INFO = infos.of_shapes(16)
FACES = Shape(3, 16, 16)


def opened(domain: str, **options: Any) -> Callable[[Path], object]:
    return lambda path: catalog.domain(domain).data.open(part(str(path), **options), False)


def sound(ending: str, subtype: str, seed: int = 0) -> bytes:
    """A recording of a second of noise."""
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, (1, 8_000)).astype(np.float32)
    return formats.encode(wave, 8_000, ending, subtype, subtype)


def recordings() -> dict[str, bytes]:
    return {f"{'ab'[i % 2]}/{i}.wav": sound(".wav", "PCM_16", i) for i in range(4)}


def exactly(path: Path) -> object:
    try:
        return lossless_io.read(path)
    except BadImageError:  # what this reader promises; its callers name the file
        return None


@dataclass(frozen=True)
class Subject:
    """name: of the file. whole: makes its bytes. wrap: from damaged bytes to those of the file. beside: files in its folder, by
    the paths in it; then the readers are given the folder."""

    name: str
    whole: Callable[[], bytes]
    readers: tuple[Callable[[Path], object], ...]
    wrap: Callable[[bytes], bytes] = lambda data: data
    beside: Callable[[], dict[str, bytes]] | None = None


def shapes(*, folder: bool = False) -> tuple[Callable[[Path], object], ...]:
    if folder:
        return (opened("points", points=16),)
    read = (lambda path: point_files.load(path, 16, 0), lambda path: point_files.read_clouds(path, 16, 0))
    return (*read, lambda path: point_files.read_cloud(path, 16, 0), lambda path: media.read([path], INFO))


IMAGES = (opened("images"),)
PICTURE = (lambda path: image_data.read_images([path], FACES), exactly)
TABLES = (lambda path: reading.read(str(path)), opened("tables"))
TOY = (toy_files.read_table, opened("toy"))
SOUNDS = (opened("audio"), lambda path: writing.read_sounds([path], infos.of_sounds()))
CLOUD = fuzzing.points()


def image_subject(kind: str, suffix: str, mode: str | None = None) -> Subject:
    return Subject(f"a{suffix}", lambda: fuzzing.image(kind, mode=mode), PICTURE)


def pairs(mark: str = ",") -> bytes:
    return "".join(f"{x:.4f}{mark}{y:.4f}\n" for x, y, _ in CLOUD).encode()


def idx_files(suffix: str) -> dict[str, bytes]:
    wholes = [
        fuzzing.idx(fuzzing.pixels(6, 9, 8) if "images" in stem else fuzzing.pixels(6) % 10) for stem in idx.STEMS
    ]
    pack = fuzzing.PACK["gz"] if suffix else bytes
    return {f"{stem}{suffix}": pack(whole) for stem, whole in zip(idx.STEMS, wholes, strict=True)}


def cifar_files() -> dict[str, bytes]:
    batch = b"".join(bytes([i]) + fuzzing.pixels(3072, seed=i).tobytes() for i in range(2))
    return dict.fromkeys((*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"), batch)


def sheets() -> dict[str, bytes]:
    sheet = fuzzing.image("WEBP", 32, 64, 3)
    names = (*(f"train_batch_{i}.webp" for i in range(1, 6)), "test_first1000.webp")
    return dict.fromkeys(names, sheet) | {"labels.npz": fuzzing.npz(train=np.arange(10), test_first1000=np.arange(2))}


SUBJECTS = {
    "npy-cloud": Subject("a.npy", lambda: fuzzing.npy(CLOUD), shapes()),
    "npy-clouds": Subject("a.npy", lambda: fuzzing.npy(np.stack([CLOUD] * 3)), shapes()),
    "npz-clouds": Subject("a.npz", lambda: fuzzing.npz(points=np.stack([CLOUD] * 3), labels=np.arange(3)), shapes()),
    "npz-of-npy": Subject(
        "a.npz", lambda: fuzzing.npy(np.stack([CLOUD] * 3)), shapes(), lambda data: fuzzing.zipped({"points.npy": data})
    ),
    "npz-of-labels": Subject(
        "a.npz",
        lambda: fuzzing.npy(np.arange(3)),
        (*shapes(), *IMAGES),
        lambda data: fuzzing.zipped({"points.npy": fuzzing.npy(np.stack([CLOUD] * 3)), "labels.npy": data}),
    ),
    "xyz": Subject("a.xyz", fuzzing.xyz, shapes()),
    "xyz-commas": Subject("a.xyz", lambda: fuzzing.xyz(",", "x,y,z\n"), shapes()),
    "ply": Subject("a.ply", lambda: fuzzing.mesh("ply"), shapes()),
    "ply-binary": Subject("a.ply", lambda: fuzzing.mesh("ply", True), shapes()),
    "off": Subject("a.off", lambda: fuzzing.mesh("off"), shapes()),
    "obj": Subject("a.obj", lambda: fuzzing.mesh("obj"), shapes()),
    "stl": Subject("a.stl", lambda: fuzzing.mesh("stl"), shapes()),
    "stl-binary": Subject("a.stl", lambda: fuzzing.mesh("stl", True), shapes()),
    "folder-of-clouds": Subject(
        "a.npy",
        lambda: fuzzing.npy(CLOUD),
        shapes(folder=True),
        beside=lambda: {"b.npy": fuzzing.npy(CLOUD), "c.xyz": fuzzing.xyz()},
    ),
    "npy-images": Subject("a.npy", lambda: fuzzing.npy(fuzzing.pixels(6, 9, 8)), IMAGES),
    "npy-floats": Subject("a.npy", lambda: fuzzing.npy(fuzzing.pixels(6, 9, 8, 3) / 255), IMAGES),
    "npy-picture": Subject("a.npy", lambda: fuzzing.npy(fuzzing.pixels(9, 8, 5)), (exactly,)),
    "npz-images": Subject(
        "a.npz",
        lambda: fuzzing.npz(x_train=fuzzing.pixels(6, 9, 8), y_train=np.arange(6) % 2, x_test=fuzzing.pixels(3, 9, 8)),
        IMAGES,
    ),
    "zip": Subject("a.zip", lambda: fuzzing.zipped(PNGS), IMAGES),
    "zip-packed-table": Subject(
        "a.zip",
        lambda: fuzzing.zipped(
            {f"{i}.png": fuzzing.image("PNG", 8, 8, 3, seed=i) for i in range(2)}
            | {"attributes.csv": fuzzing.attributes()},
            zipfile.ZIP_LZMA,
        ),
        IMAGES,
    ),
    "zip-bz2": Subject("a.zip", lambda: fuzzing.zipped(PNGS, zipfile.ZIP_BZIP2), IMAGES),
    "zip-lzma": Subject("a.zip", lambda: fuzzing.zipped(PNGS, zipfile.ZIP_LZMA), IMAGES),
    "zip-of-png": Subject(
        "a.zip", lambda: PNGS["a/0.png"], IMAGES, lambda data: fuzzing.zipped(PNGS | {"a/0.png": data})
    ),
    "zip-with-table": Subject(
        "a.zip",
        fuzzing.attributes,
        IMAGES,
        lambda data: fuzzing.zipped(
            {f"{i}.png": fuzzing.image("PNG", seed=i) for i in range(6)} | {"attributes.csv": data}
        ),
    ),
    "tar": Subject("a.tar", lambda: fuzzing.tarred(PNGS), IMAGES),
    "tar-pax": Subject("a.tar", lambda: fuzzing.tarred(PNGS, tarfile.PAX_FORMAT), IMAGES),
    "tar-gnu": Subject(
        "a.tar", lambda: fuzzing.tarred({"x" * 120 + k: v for k, v in PNGS.items()}, tarfile.GNU_FORMAT), IMAGES
    ),
    "tar-with-json": Subject(
        "a.tar",
        lambda: fuzzing.shard_json(0),
        IMAGES,
        lambda data: fuzzing.tarred(
            {f"{i}.png": fuzzing.image("PNG", seed=i) for i in range(3)}
            | {"0.json": data, "1.json": fuzzing.shard_json(1), "2.json": fuzzing.shard_json(2), "0.cls": data[:20]}
        ),
    ),
    **{
        f"tar-{kind}": Subject(f"a.tar.{kind}", lambda kind=kind: fuzzing.PACK[kind](fuzzing.tarred(PNGS)), IMAGES)
        for kind in fuzzing.PACK
    },
    "attributes": Subject(
        "attributes.csv",
        fuzzing.attributes,
        IMAGES,
        beside=lambda: {f"{i}.png": fuzzing.image("PNG", seed=i) for i in range(6)},
    ),
    "folder-of-images": Subject("a/0.png", lambda: PNGS["a/0.png"], IMAGES, beside=lambda: PNGS),
    "png": image_subject("PNG", ".png"),
    "png-palette": image_subject("PNG", ".png", "P"),
    "png-alpha": image_subject("PNG", ".png", "LA"),
    "png-16": Subject("a.png", fuzzing.deep_png, PICTURE),
    "jpeg": image_subject("JPEG", ".jpg"),
    "webp": image_subject("WEBP", ".webp"),
    "bmp": image_subject("BMP", ".bmp"),
    "gif": image_subject("GIF", ".gif"),
    "tiff": image_subject("TIFF", ".tif"),
    "ppm": image_subject("PPM", ".ppm"),
    "two-sides": Subject(
        "A/0.png",
        lambda: PNGS["a/0.png"],
        (opened("translation"),),
        beside=lambda: {f"{side}/{i}.png": fuzzing.image("PNG", seed=i) for side in "AB" for i in range(3)},
    ),
    "idx": Subject(
        f"{idx.STEMS[0]}", lambda: fuzzing.idx(fuzzing.pixels(6, 9, 8)), IMAGES, beside=lambda: idx_files("")
    ),
    "idx-gz": Subject(
        f"{idx.STEMS[0]}.gz",
        lambda: fuzzing.PACK["gz"](fuzzing.idx(fuzzing.pixels(6, 9, 8))),
        IMAGES,
        beside=lambda: idx_files(".gz"),
    ),
    "idx-in-gz": Subject(
        f"{idx.STEMS[1]}.gz",
        lambda: fuzzing.idx(fuzzing.pixels(6) % 10),
        IMAGES,
        fuzzing.PACK["gz"],
        lambda: idx_files(".gz"),
    ),
    "cifar": Subject("cifar-10-binary.tar.gz", lambda: fuzzing.PACK["gz"](fuzzing.tarred(cifar_files())), IMAGES),
    "cifar-batch": Subject("data_batch_1.bin", lambda: cifar_files()["data_batch_1.bin"], IMAGES, beside=cifar_files),
    "cifar-sheet": Subject(
        "train_batch_1.webp", lambda: sheets()["train_batch_1.webp"], IMAGES, beside=lambda: sheets()
    ),
    "cifar-labels": Subject("labels.npz", lambda: sheets()["labels.npz"], IMAGES, beside=lambda: sheets()),
    "csv": Subject("a.csv", fuzzing.table, TABLES),
    "csv-semicolons": Subject("a.csv", lambda: fuzzing.table(mark=";"), TABLES),
    "tsv": Subject("a.tsv", lambda: fuzzing.table(mark="\t"), TABLES),
    "txt": Subject("a.txt", lambda: fuzzing.table(mark="\t"), TABLES),
    "csv-gz": Subject("a.csv.gz", lambda: fuzzing.PACK["gz"](fuzzing.table()), TABLES),
    "csv-in-gz": Subject("a.csv.gz", fuzzing.table, TABLES, fuzzing.PACK["gz"]),
    "csv-utf16": Subject("a.csv", lambda: fuzzing.table().decode().encode("utf-16"), TABLES),
    "parquet": Subject("a.parquet", fuzzing.parquet, TABLES),
    "parquet-notes": Subject("a.parquet", fuzzing.pandas_notes, TABLES, fuzzing.with_metadata),
    "toy-csv": Subject("a.csv", lambda: pairs(), TOY),
    "toy-tsv": Subject("a.tsv", lambda: pairs("\t"), TOY),
    **{
        f"wav-{subtype}": Subject("a.wav", lambda kind=subtype: sound(".wav", kind), SOUNDS)
        for subtype in SUBTYPES[".wav"]
    },
    **{
        ending[1:]: Subject(f"a{ending}", lambda end=ending: sound(end, SUBTYPES[end][0]), SOUNDS)
        for ending in SUBTYPES
        if ending != ".wav"
    },
    "sounds-zip": Subject("a.zip", lambda: fuzzing.zipped(recordings()), SOUNDS[:1]),
    "sounds-tar-xz": Subject("a.tar.xz", lambda: fuzzing.PACK["xz"](fuzzing.tarred(recordings())), SOUNDS[:1]),
}


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """4 GiB beyond what the process has, so that a claim of more ends in an error and not in the machine's memory."""
    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc").is_dir() else 0
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def need(name: str) -> None:
    """Skips what needs a package that is missing."""
    for kind, module in (
        ("ply", "trimesh"),
        ("off", "trimesh"),
        ("obj", "trimesh"),
        ("stl", "trimesh"),
        ("parquet", "pyarrow"),
    ):
        if name.startswith(kind):
            pytest.importorskip(module)


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    for module in {
        "ply": "trimesh",
        "off": "trimesh",
        "obj": "trimesh",
        "stl": "trimesh",
        "parquet": "pyarrow",
        **{ending[1:]: "soundfile" for ending in SUBTYPES if ending != ".wav"},
    }.items():
        if name.startswith(module[0]):
            pytest.importorskip(module[1])
    subject = SUBJECTS[name]
    whole, place = subject.whole(), tmp_path / "data"
    place.mkdir()
    if subject.beside is not None:
        fuzzing.folder(place, subject.beside())
    target = place if subject.beside is not None else place / subject.name
    (place / subject.name).write_bytes(subject.wrap(whole))
    good = [outcome(read, target) for read in subject.readers]
    assert ("read" in good) is not name.startswith(("tar-gz", "tar-bz2", "tar-xz")), good  # packed shards are refused
    num = request.config.getoption("--fuzz")
    faults = []
    for index, data in enumerate([b"", *fuzzing.mutants(whole, num, seed=sum(name.encode()))]):
        (place / subject.name).write_bytes(subject.wrap(data))
        for step in (*recognisers(), *subject.readers):
            said = outcome(step, target)
            if said not in ("read", "refused"):
                faults.append(f"{index}: {said}")
                if len(faults) > 9:
                    break
    assert faults == []


def recognisers() -> Iterator[Callable[[Path], object]]:
    for name in catalog.domain_names():
        domain = catalog.domain(name)
        yield lambda path, domain=domain: never(domain.data.can_open, str(path))
        yield lambda path, domain=domain: never(domain.data.looks_like, path)
    yield lambda path: catalog.recognise(str(path))


def never(ask: Callable[[Any], bool], where: Any) -> bool:
    """A UserError here is a fault, too."""
    try:
        return ask(where)
    except UserError as error:
        raise AssertionError(f"{ask} raised {error!r}") from error


def outcome(read: Callable[[Path], object], path: Path) -> str:
    """read, refused, or the fault."""
    try:
        with warnings.catch_warnings(), fuzzing.limited():
            warnings.simplefilter("ignore")
            read(path)
    except UserError:
        return "refused"
    except (Exception, fuzzing.Hang) as error:
        import traceback

        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "zerosum" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:200]}"
    return "read"


@pytest.mark.parametrize("kind", ["endless", "pipe", "folder"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_endless_files(name: str, kind: str, tmp_path: Path) -> None:
    """A link to a device that never ends, a pipe that nobody writes to, or a folder in place of each kind of file."""
    need(name)
    subject, place = SUBJECTS[name], tmp_path / "data"
    place.mkdir()
    if subject.beside is not None:
        fuzzing.folder(place, subject.beside())
    file = place / subject.name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    if kind == "endless":
        file.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    target = place if subject.beside is not None else file
    said = {outcome(step, target) for step in (*recognisers(), *subject.readers)}
    assert said <= {"read", "refused"}
    if subject.beside is None:
        assert {outcome(read, target) for read in subject.readers} == {"refused"} or subject.readers[-1] is exactly


@pytest.mark.parametrize(
    "where",
    [
        "",
        "\0",
        "a\0b",
        "~nobody-of-this-name/x",
        "x" * 5000,
        "/dev/null",
        "/dev/zero",
        "a/" * 3000,
        "//",
        "https://a/b",
        "\udce9",
    ],
)
def test_odd_names(where: str) -> None:
    for name in catalog.domain_names():
        domain = catalog.domain(name)
        assert never(domain.data.can_open, where) in (True, False)
        assert never(domain.data.looks_like, Path(where)) in (True, False)
        with pytest.raises(UserError):
            domain.data.open(part(where), False)
    with pytest.raises(UserError):
        catalog.recognise(where)
