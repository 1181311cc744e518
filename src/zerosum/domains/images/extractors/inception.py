"""`inception`: the standard network of the Fréchet Inception Distance, with the weights that the literature uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zerosum.data.fetch import fetch
from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors.extractor import Extractor
from zerosum.domains.images.extractors.inception_network import NAME, SHA256, SIDE, load_inception
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import default_cache_dir

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

FILE = f"pt_{NAME}-{SHA256[:8]}.pth"
URLS = (
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}",
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-{NAME}-{SHA256[:8]}.pth",
)
MOST_BYTES = 100_000_000


def make(source: ImageSource, choice: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The network with the weights of --weights, else those kept from an earlier download, else a download if allowed."""
    network, sha256 = load_inception(choice.weights or _kept(choice.download, cache_dir))
    standard = sha256 == SHA256
    name = f"{NAME if standard else 'inception-of-other-weights'}-{sha256[:8]}"
    resize = f"bicubic, antialiased, to {SIDE}x{SIDE}, float"
    return Extractor(name, sha256, resize, network.features, network.logits, standard, batch=32)


def _kept(download: bool, cache_dir: Path | None) -> Path:
    target = (cache_dir or default_cache_dir()).parent / "weights" / FILE
    if not target.exists() and not download:
        raise UserError(
            f"--extractor inception needs the standard weights, which are not here. Give their file with --weights PATH\n"
            f"({FILE}, SHA-256 {SHA256}), or allow the download of 96 MB with --download; it is kept at {target}."
        )
    return fetch(URLS, target, SHA256, MOST_BYTES)
