"""Features of images: the extractors by name, and the features of a source's real images.

`classifier` is trained once on the source's own labels and then kept. `random` is a fixed network with random weights, for
sources without labels. `inception` is the standard network of the Fréchet Inception Distance. `file:PATH` is a network of the
user's, as a TorchScript or a torch.export file; such files can run code when they are loaded, so they need `--trust`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zerosum.data.opening import expand_path, is_regular
from zerosum.domain.contract import EvalOptions
from zerosum.domains.images.inception import NAME, SHA256, SIDE, load_inception, weights_file
from zerosum.errors import UserError, known_as
from zerosum.metrics.feature_networks import cached_classifier, extract, random_features, shrunk_size
from zerosum.metrics.neighbours import diversity

if TYPE_CHECKING:
    from zerosum.domains.images.data import Images, ImageSource


@dataclass(frozen=True)
class Extractor:
    """Turns uint8 images (N, C, H, W) into float features (N, D).

    name: part of the name of every record that uses it. sha256: of its weights. resize: what happens to the images
    first. logits: features -> (N, K) logits, of classifiers only. standard: whether it is the network of the literature, so that
    its numbers have their usual names (FID, KID, Inception Score). batch: images at a time.
    """

    name: str
    sha256: str
    resize: str
    features: Callable[[Tensor], Tensor] = field(repr=False)
    logits: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    standard: bool = False
    batch: int = 500

    def probabilities(self, features: Tensor) -> Tensor | None:
        """(N, K) float64 of features, None where it is no classifier."""
        return None if self.logits is None else self.logits(features).double().softmax(1)

    def labels(self, features: Tensor) -> Tensor:
        """(N,) the likeliest class of each; only for classifiers."""
        assert self.logits is not None, f"{self.name} is no classifier"
        return self.logits(features).argmax(1)


def has_classes(source: ImageSource) -> bool:
    """Whether the source has labels to learn."""
    return source.train.labels is not None and int(source.shape.num_classes) > 1


def make_classifier(source: ImageSource, options: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The classifier of this source. UserError when it has no labels."""
    labels = source.train.labels
    if labels is None or not has_classes(source):
        raise UserError(
            f"--extractor classifier: {source.name} has no labels to train one on. Use random, inception or file:PATH."
        )
    num_classes = int(source.shape.num_classes)
    model, sha256 = cached_classifier(
        source.train.pixels, labels, source.fingerprint, cache_dir, num_classes=num_classes
    )
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", source.name).strip("-")
    resize = resize_note(source.shape.height, source.shape.width)
    return Extractor(f"{plain}-classifier-{sha256[:8]}", sha256, resize, model.features, model.head)


def resize_note(height: int, width: int) -> str:
    """How the small networks resize images of this size, in words."""
    small = shrunk_size(height, width)
    return "none" if small == (height, width) else f"bilinear, antialiased, to {small[0]}x{small[1]}"


def make_random(source: ImageSource, options: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The random network for images of the source's shape."""
    shape = source.shape
    network = random_features((shape.channels, shape.height, shape.width))
    return Extractor(network.name, network.sha256, resize_note(shape.height, shape.width), network.features)


def make_from_file(source: ImageSource, options: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The user's network: float32 images (N, C, H, W) with values 0..255, any N, to features (N, D).

    UserError unless `options.trust`, and when the file is no such network.
    """
    path = expand_path(options.extractor.partition(":")[2])
    if not is_regular(path):
        raise UserError(f"--extractor file:PATH: there is no file {str(path)!r}.")
    if not options.trust:
        raise UserError(
            f"{path} would run code when it is loaded: TorchScript files are programs, and torch.export files hold "
            "pickles, which can do anything that you can. If you made it, or trust who did, add --trust."
        )
    network = _load_file(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def features(images: Tensor) -> Tensor:
        try:
            with torch.no_grad():
                found = network(images.float())
        except Exception as error:  # a foreign network may raise anything
            raise UserError(
                f"{path} refuses float32 images {tuple(images.shape)} in 0..255: {str(error).strip().splitlines()[-1][:160]}\n"
                "It must take any number of them: export with a dynamic first dimension."
            ) from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
            what = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise UserError(
                f"{path} must return one tensor (N, D) of features, N = {len(images)} here; it gave {what}."
            )
        return found

    return Extractor(f"{path.stem}-{sha256[:8]}", sha256, "as the file does", features, batch=50)


def _load_file(path: Path) -> Callable[[Tensor], Any]:
    try:
        if path.suffix == ".pt2":
            module: Any = torch.export.load(path).module()
            return module  # type: ignore[no-any-return]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the warning is for the author of the file
            script: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return script.eval()  # type: ignore[no-any-return]
    except Exception as error:  # the loader may raise anything on a foreign file
        raise UserError(
            f"{path}: neither a torch.export file (.pt2) nor a TorchScript file ({str(error).strip().splitlines()[0][:120]})."
        ) from error


def make_inception(source: ImageSource, options: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The network with the weights of --weights, else those kept from an earlier download, else a download if allowed."""
    network, sha256 = load_inception(options.weights or weights_file(options.download, cache_dir))
    standard = sha256 == SHA256
    name = f"{NAME if standard else 'inception-of-other-weights'}-{sha256[:8]}"
    resize = f"bicubic, antialiased, to {SIDE}x{SIDE}, float"
    return Extractor(name, sha256, resize, network.features, network.logits, standard, batch=32)


EXTRACTORS: dict[str, Callable[[ImageSource, EvalOptions, Path | None], Extractor]] = {
    "classifier": make_classifier,
    "random": make_random,
    "inception": make_inception,
    "file": make_from_file,
}


def make_extractor(source: ImageSource, options: EvalOptions, cache_dir: Path | None = None) -> Extractor:
    """The requested extractor; by default the classifier of the source's labels, or the random network without labels.

    UserError for an unknown name, and where the extractor cannot be made.
    """
    name, colon, rest = options.extractor.partition(":")
    if colon and name != "file":
        raise UserError(f"--extractor {options.extractor!r}: only file:PATH takes a value after a colon, not {rest!r}.")
    if not name:
        name = "classifier" if has_classes(source) else "random"
    offered = {"file:PATH" if key == "file" else key: make for key, make in EXTRACTORS.items()}
    make = EXTRACTORS["file"] if name == "file" else known_as(name, offered, "extractor")
    if options.weights is not None and name != "inception":
        raise UserError(f"--weights: the extractor {name!r} takes none; they belong to --extractor inception.")
    return make(source, options, cache_dir)


def label_classifier(source: ImageSource, cache_dir: Path | None = None) -> Extractor | None:
    """The classifier of the source's own labels, which predicts the class of a generated image; None without labels."""
    return make_classifier(source, EvalOptions(), cache_dir) if has_classes(source) else None


MOST_VALUES = 784  # values per image up to which copies are searched at full size


@dataclass(frozen=True)
class RealFeatures:
    """The feature extractor and everything about the reals that does not change from one evaluation to the next.

    real, heldout: features (n, D) of a fixed random choice, with the reals' labels; labeller: the classifier of the source's
    own labels, or None; accuracy: of it on held-out reals, whose predicted labels are `heldout_classes`.
    """

    extractor: Extractor
    labeller: Extractor | None
    accuracy: float | None
    real: Tensor
    real_labels: Tensor | None
    heldout: Tensor | None
    heldout_classes: Tensor | None
    real_diversity: float

    @property
    def name(self) -> str:
        """Of the extractor."""
        return self.extractor.name

    @property
    def sha256(self) -> str:
        """Of the extractor's weights."""
        return self.extractor.sha256

    def features(self, images: Tensor) -> Tensor:
        """(N, D) of uint8 images."""
        return extract(self.extractor, images, self.extractor.batch)

    def classify(self, images: Tensor, features: Tensor) -> Tensor | None:
        """Labels (N,) that the source's classifier gives to images with these features; None without one."""
        if self.labeller is None:
            return None
        same = self.labeller.sha256 == self.extractor.sha256
        return self.labeller.labels(features if same else extract(self.labeller, images))


def choose_rows(images: Images, num: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """A fixed random choice of at most `num` rows: (pixels, labels or None)."""
    order = torch.randperm(len(images.pixels), generator=torch.Generator().manual_seed(seed))[:num]
    return images.pixels[order], None if images.labels is None else images.labels[order]


def prepare(source: ImageSource, options: EvalOptions, num: int, seed: int, cache_dir: Path | None) -> RealFeatures:
    """Makes the extractor, and the classifier where there are labels, and extracts `num` reals, trained on and held out."""
    extractor, labeller = make_extractor(source, options, cache_dir), label_classifier(source, cache_dir)
    pixels, labels = choose_rows(source.train, num, seed)
    real = extract(extractor, pixels, extractor.batch)
    heldout, classes, accuracy = None, None, None
    if source.heldout is not None and len(source.heldout.pixels) > 0:
        pixels, held_labels = choose_rows(source.heldout, num, seed)
        heldout = extract(extractor, pixels, extractor.batch)
        if labeller is not None:
            classes = labeller.labels(heldout if labeller.sha256 == extractor.sha256 else extract(labeller, pixels))
            if held_labels is not None:
                accuracy = float((classes == held_labels.cpu()).double().mean())
    spread = diversity(real[:500]) if len(real) > 1 else 0.0
    return RealFeatures(
        extractor, labeller, accuracy, real, None if labels is None else labels.cpu(), heldout, classes, spread
    )


def to_copy_space(images: Tensor) -> Tensor:
    """Images as compared for copies: unchanged up to 784 values, else shrunk to a longer side of 16."""
    if images[0].numel() <= MOST_VALUES:
        return images.cpu()
    size = shrunk_size(images.shape[2], images.shape[3], 16)
    parts = [
        nn.functional.interpolate(part.cpu().float(), size=size, mode="bilinear", antialias=True)
        .round()
        .to(torch.uint8)
        for part in torch.split(images, 1000)
    ]
    return torch.cat(parts)
