"""The named sources: their descriptions, their files, and where these are searched."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from zerosum.data.fetch import fetch, sha256_of
from zerosum.data.images import arrays, cifar, idx
from zerosum.data.images.loaded import ImageOptions, LoadedImages, Part, Shape
from zerosum.data.images.pictures import refit
from zerosum.data.sources import RemoteFile, SourceInfo
from zerosum.errors import UserError

NUM_STACKS_TRAIN, NUM_STACKS_HELDOUT = 128_000, 10_000
DIGITS = tuple("0123456789")
FACES = "olivetti_faces.npz"
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def _idx_files(mirrors: tuple[str, ...], sums: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{stem}.gz", tuple(f"{mirror}/{stem}.gz" for mirror in mirrors), checksum, 32 * 2**20)
        for stem, checksum in zip(idx.STEMS, sums, strict=True)
    )


_MNIST = _idx_files(
    ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
_FASHION = _idx_files(
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)
_CIFAR = (
    RemoteFile(
        cifar.TARBALL,
        (f"https://www.cs.toronto.edu/~kriz/{cifar.TARBALL}",),
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        256 * 2**20,
    ),
)

SOURCES: Mapping[str, SourceInfo] = MappingProxyType(
    {
        "digits": SourceInfo(
            "Handwritten digits 8x8, bundled with scikit-learn: nothing to download.",
            "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test part), UCI, 1998",
            "CC BY 4.0",
            1797,
            0,
            DIGITS,
            details={"shape": Shape(1, 8, 8, 10)},
        ),
        "mnist": SourceInfo(
            "Handwritten digits 28x28.",
            "Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, 1998",
            "no formal licence; free to use, often quoted as CC BY-SA 3.0",
            60_000,
            10_000,
            DIGITS,
            _MNIST,
            ("mnist", "MNIST/raw"),
            details={"shape": Shape(1, 28, 28, 10)},
        ),
        "fashion-mnist": SourceInfo(
            "Grey pictures of garments 28x28.",
            "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017 (Zalando SE)",
            "MIT",
            60_000,
            10_000,
            GARMENTS,
            _FASHION,
            ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
            details={"shape": Shape(1, 28, 28, 10)},
        ),
        "cifar10": SourceInfo(
            "Small colour photographs 32x32 of ten kinds of things.",
            "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            "no formal licence; free for research with citation",
            50_000,
            10_000,
            cifar.CLASSES,
            _CIFAR,
            ("cifar10", "cifar-10"),
            details={"shape": Shape(3, 32, 32, 10)},
        ),
        "olivetti-faces": SourceInfo(
            "Grey faces 64x64, ten of each of 40 people.",
            "F. Samaria and A. Harter, AT&T Laboratories Cambridge, 1994 (version of S. Roweis)",
            "no formal licence; free for research with acknowledgement",
            400,
            0,
            tuple(str(person) for person in range(40)),
            (
                RemoteFile(
                    FACES,
                    (),
                    "f5495c59eeac98813e1d48f87a9069a1ce278acd9a453b18d7b4e500e4eed12d",
                    8 * 2**20,
                ),
            ),
            ("olivetti_faces", "olivetti-faces"),
            details={"shape": Shape(1, 64, 64, 40)},
        ),
        "stacked-mnist": SourceInfo(
            "Three random digits of MNIST as the red, green and blue channels of one image: 1,000 modes.",
            "L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, Unrolled GANs, 2016; from the MNIST database",
            "as MNIST",
            NUM_STACKS_TRAIN,
            NUM_STACKS_HELDOUT,
            (),
            _MNIST,
            ("mnist", "MNIST/raw"),
            details={"shape": Shape(3, 28, 28, 0)},
        ),
    }
)


def canonical_name(word: str) -> str | None:
    """The name of the source that a word refers to ('Fashion_MNIST' is fashion-mnist, 'cifar-10' is cifar10), or None."""
    normalised = word.lower().replace("-", "").replace("_", "")
    return next((name for name in SOURCES if name.replace("-", "") == normalised), None)


def load_named(name: str, options: ImageOptions, *, allow_download: bool, data_root: str | None) -> LoadedImages:
    """A named source. Raises UserError if its files are not found and no download was requested."""
    if name == "digits":
        return _select_and_fit(LoadedImages(name, _digits(), class_names=DIGITS), options)
    info = SOURCES[name]
    folders = info.searched_folders(data_root)
    found = next((folder for folder in folders if _has_files(name, folder)), None)
    if found is None:
        found = _download(info, folders, name, allow_download)
    if name == "stacked-mnist":
        images = _select_and_fit(_stacked_mnist(load_layout(found, ImageOptions())), options)
    elif name == "olivetti-faces":
        images = arrays.read_npz(found / FACES, options)
    else:
        images = load_layout(found, options, info.class_names)
    return replace(images, name=name, notes=(*_unpublished_notes(info, found), *images.notes))


def _has_files(name: str, folder: Path) -> bool:
    return (folder / FACES).is_file() if name == "olivetti-faces" else layout_of(folder) is not None


def layout_of(folder: Path) -> str | None:
    """'idx' or 'cifar' when a folder holds original files of that kind, else None. Raises OSError if it is unreadable."""
    if idx.STEMS[0] in idx.find(folder):
        return "idx"
    return "cifar" if cifar.holds_cifar(folder) else None


def load_layout(path: Path, options: ImageOptions, class_names: tuple[str, ...] | None = None) -> LoadedImages:
    """A folder for which `layout_of` is not None, or the CIFAR-10 tarball itself.

    class_names: known names of the classes; else those of CIFAR-10, of the source the folder is named after, or numbers.
    """
    train, heldout = _reader(path)(path)
    num_classes = 1 + max(int(part.labels.max()) for part in (train, heldout) if part.labels is not None)
    alias = canonical_name(path.resolve().name)
    names = class_names or tuple(str(i) for i in range(num_classes))
    if class_names is None and _reader(path) is not idx.load:
        names = cifar.CLASSES
    elif class_names is None and alias is not None:
        names = SOURCES[alias].class_names
    if num_classes > len(names):
        raise UserError(f"{path}: labels up to {num_classes - 1}, expected 0 to {len(names) - 1}.")
    return _select_and_fit(
        LoadedImages(path.resolve().name.split(".")[0], train, heldout, names, published=True), options
    )


def pickle_hint(folders: Sequence[Path]) -> str:
    """A sentence on CIFAR-10 in its pickled version, which is never loaded, if a folder has it; else empty."""
    existing = [path for folder in folders for path in cifar.find_pickles(folder)]
    return f" {existing[0]} holds pickles, which are never loaded: get {cifar.TARBALL} instead. " if existing else ""


def _reader(path: Path) -> Callable[[Path], tuple[Part, Part]]:
    if path.is_file():
        return cifar.load_tarball
    return idx.load if layout_of(path) == "idx" else cifar.load


def _download(info: SourceInfo, folders: tuple[Path, ...], name: str, allowed: bool) -> Path:
    if not allowed or not all(file.urls for file in info.files):
        hint = pickle_hint(folders)
        ways = ", or let them be downloaded with --download" if all(file.urls for file in info.files) else ""
        looked = "\n".join(f"  {folder}" for folder in folders)
        raise UserError(
            f"the files of {name!r} were not found. Searched in:\n{looked}\n"
            f"{hint}Put {', '.join(file.name for file in info.files)} into one of them, or name another folder "
            f"with ZEROSUM_DATA{ways}."
        )
    for file in info.files:
        fetch(file.urls, folders[0] / file.name, file.sha256, file.size_limit)
    return folders[0]


def _unpublished_notes(info: SourceInfo, folder: Path) -> tuple[str, ...]:
    """A note for each file with a published name whose content is not the published one."""
    existing = [file for file in info.files if (folder / file.name).is_file()]
    return tuple(
        f"{folder / file.name} is not the published file (its SHA-256 differs)."
        for file in existing
        if sha256_of(folder / file.name) != file.sha256
    )


def _digits() -> Part:
    """The table bundled with scikit-learn, one digit a row: 64 values from 0 to 16 and the label.

    It is read without importing scikit-learn, since the import takes longer than everything else here.
    """
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None, "scikit-learn is a dependency"
    folders = spec.submodule_search_locations or [""]
    rows = np.loadtxt(Path(folders[0]) / "datasets" / "data" / "digits.csv.gz", delimiter=",", dtype=np.int64)
    pixels = np.rint(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Part(pixels, rows[:, -1])


def _stacked_mnist(mnist: LoadedImages) -> LoadedImages:
    """Three digits as the channels of one image, so that all 1,000 modes can be counted.

    Training images are stacks of training digits, held-out images stacks of test digits; drawn with replacement, the same every
    time. They have no labels. Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled
    generative adversarial networks", 2016, arXiv:1611.02163; with 128,000 stacks as in Lin, Khetan, Fanti and Oh, "PacGAN",
    2018, arXiv:1712.04086.
    """
    assert mnist.heldout is not None
    train, heldout = _stacks(mnist.train, NUM_STACKS_TRAIN, 0), _stacks(mnist.heldout, NUM_STACKS_HELDOUT, 1)
    return LoadedImages("stacked-mnist", train, heldout, notes=mnist.notes, published=True, measure="stacked")


def stacked_triples(num_digits: int, num: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(num, 3) indices of the digits of each stack: red, green, blue."""
    return np.random.default_rng(seed).integers(0, num_digits, (num, 3))


def _stacks(digits: Part, num: int, seed: int) -> Part:
    return Part(digits.pixels[stacked_triples(len(digits.pixels), num, seed), 0])


def _select_and_fit(images: LoadedImages, options: ImageOptions) -> LoadedImages:
    """The rows, size and channels that the options request."""
    shape = images.train.pixels.shape[1:]
    size, channels = options.resolution or (shape[1], shape[2]), options.channels or shape[0]
    notes = options.selection_note(len(images.train.pixels))
    if size != (shape[1], shape[2]):
        notes = (*notes, f"All images were resized from {shape[1]}x{shape[2]} to {size[0]}x{size[1]}.")
    if channels != shape[0]:
        notes = (*notes, f"All images were made {'grey' if channels == 1 else 'RGB'}.")

    def cut(part: Part) -> Part:
        rows = options.rows(len(part.pixels))
        chosen = part if len(rows) == len(part.pixels) else part.rows(rows)
        return replace(chosen, pixels=refit(chosen.pixels, size, channels, options.crop))

    heldout = None if images.heldout is None else cut(images.heldout)
    return replace(images, train=cut(images.train), heldout=heldout, notes=(*images.notes, *notes))
