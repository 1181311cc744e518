"""`file:PATH`: a network of the user's, as a TorchScript or a torch.export file. Such files are programs: see `--trust`."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.data.opening import is_regular, path_of
from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors.extractor import Extractor
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource


def make(source: ImageSource, choice: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The user's network: float32 images (N, C, H, W) with values 0..255, any N, to features (N, D).

    UserError unless `choice.trust`, and when the file is no such network.
    """
    path = path_of(choice.extractor.partition(":")[2])
    if not is_regular(path):
        raise UserError(f"--extractor file:PATH: there is no file {str(path)!r}.")
    if not choice.trust:
        raise UserError(
            f"{path} would run code when it is loaded: TorchScript files are programs, and torch.export files hold "
            "pickles, which can do anything that you can. If you made it, or trust who did, add --trust."
        )
    network = _loaded(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def features(images: Tensor) -> Tensor:
        try:
            with torch.no_grad():
                found = network(images.float())
        except Exception as error:  # whatever a foreign network raises
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


def _loaded(path: Path) -> Callable[[Tensor], Any]:
    try:
        if path.suffix == ".pt2":
            module: Any = torch.export.load(path).module()
            return module  # type: ignore[no-any-return]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch advises the maker of the file, not its user
            script: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return script.eval()  # type: ignore[no-any-return]
    except Exception as error:  # whatever a foreign file makes of its loader
        raise UserError(
            f"{path}: neither a torch.export file (.pt2) nor a TorchScript file ({str(error).strip().splitlines()[0][:120]})."
        ) from error
