"""`zerosum sample` of a translation: whole pictures of any size from files, or a sheet of the stored examples.

Legend: C, D channels of input and output, H height, W width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum import store
from zerosum.data.images.arrays import dark_note
from zerosum.data.images.files import BadImageError
from zerosum.data.images.listing import ending_of, passed_over
from zerosum.data.images.lossless_io import READABLE, LosslessImage, read
from zerosum.data.images.pictures import Size, refuse_huge, resized
from zerosum.domain import SIZE, DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult
from zerosum.domains.translation import derived_inputs, preview, writing
from zerosum.domains.translation.networks.capabilities import (
    AdjustableGenerator,
    ReversibleGenerator,
    TranslationGenerator,
)
from zerosum.domains.translation.sides import Side, Values, class_numbers, from_unit, one_hot, sides, size_of
from zerosum.domains.translation.tiling import Tiling, tiled
from zerosum.errors import UserError

SHEETS = (".png", ".jpg", ".jpeg", ".webp")
NUM_SHOWN = 16
INPUT = SampleOption("input", "paths", "a file or folder to translate; may be repeated.")
REVERSE = SampleOption("reverse", "flag", "from B to A, for a cycle of both directions.", default=False)
STRENGTH = SampleOption(
    "strength", "number", "learnt from a single pair: strength of the style.", default=1.0, least=0, most=1
)
METADATA = SampleOption(
    "keep_metadata", "flag", "keep EXIF, colour profile and resolution of the input.", default=False
)
OPTIONS = (INPUT, REVERSE, STRENGTH, METADATA, SIZE)
MOST_MARGIN = 160
"""Networks that see farther are cut off here: what lies so far away has little say."""


def produce(maker: GeneratorHandle, info: DatasetInfo, wanted: SampleRequest) -> SampleResult | None:
    """Translates the files that are wanted, or the examples that lie with the generator."""
    translator = ImageTranslator.of(maker, info, wanted)
    return _files(translator, wanted) if INPUT.value(wanted) else _examples(translator, maker, wanted)


@dataclass(frozen=True)
class ImageTranslator:
    """A network that translates one picture at a time. given, target: the sides it goes from and to. noise: (1, L), the same
    for all pictures of one seed. make: how training inputs were computed from targets, "" if they were not. size: at which
    pictures are written; None: as they come."""

    network: Any
    given: Side
    target: Side
    noise: Tensor
    device: torch.device
    tiling: Tiling
    make: str
    reverse: bool
    size: Size | None = None

    @classmethod
    def of(cls, maker: GeneratorHandle, info: DatasetInfo, wanted: SampleRequest) -> ImageTranslator:
        """What the command line asked for; UserError where this generator cannot."""
        network: Any = _dosed(maker.network, STRENGTH.value(wanted))
        given, target = sides(info)
        reverse, size = REVERSE.value(wanted), SIZE.value(wanted)
        if reverse:
            if not isinstance(network, ReversibleGenerator):
                raise UserError("--reverse: this generator knows one direction alone. The recipe cyclegan learns both.")
            given, target = target, given
        make = "" if reverse else str(info.payload["make"])
        noise = maker.noise(1, wanted.seed).to(maker.device)
        tiling = _tiling(network, info)
        return cls(
            network,
            given,
            target,
            noise,
            maker.device,
            tiling,
            make,
            reverse,
            None if size is None else Size.parsed(size),
        )

    @torch.no_grad()
    def rows(self, inputs: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, C, H, W) -> (N, D, H, W) on the CPU; origin: where the pieces lie in their pictures."""
        function = self.network.reverse if self.reverse else self.network
        noise = self.noise.expand(len(inputs), -1)
        made_rows: Tensor = function(noise, inputs.to(self.device), origin=origin)
        return made_rows.float().cpu()

    def whole(self, picture: Tensor) -> Tensor:
        """(C, H, W) of any size -> (D, H, W), in tiles."""
        return tiled(lambda piece, place: self.rows(piece[None], place)[0], picture, self.tiling)

    def tensor(self, image: LosslessImage) -> Tensor:
        """(C, H, W) of what a file holds, every bit used; UserError where it is not what the generator was trained on."""
        if self.given.kind == "labels":
            return self._labels(image)
        values = replace(image, alpha=None).painted()
        top = np.iinfo(values.dtype).max
        picture = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1) / float(top)
        wanted, channels = self.given.channels, len(picture)
        if channels == 3 and wanted == 1:
            if bool((picture == picture[:1]).all()):
                picture = picture[:1]  # grey, saved as colour
            elif self.make:
                picture = derived_inputs.MAKERS[self.make](picture)
        elif channels == 1 and wanted == 3:
            picture = picture.expand(3, -1, -1)
        if len(picture) != wanted:
            raise UserError(
                f"{channels} {'channel' if channels == 1 else 'channels'}, but this generator was trained on "
                f"{self.given.describe()} ({wanted}). Convert the picture first."
            )
        return picture.mul(2).sub(1).contiguous()

    def _labels(self, image: LosslessImage) -> Tensor:
        codes = {len(code) for code in self.given.classes}
        values = image.values if image.values.shape[2] in codes else image.painted()
        if values.shape[2] not in codes:
            kind = "one number a pixel" if 1 in codes else "one colour a class"
            raise UserError(
                f"this generator wants label maps of {kind}; this is a picture of {values.shape[2]} channels."
            )
        return one_hot(torch.from_numpy(class_numbers(values, self.given)), self.given.channels)

    def values(self, picture: Tensor, image: LosslessImage) -> Values:
        """(H, W, D) for a file: as deep as the training targets, or as the input where that is a deeper image."""
        bits = 16 if self.given.kind == "image" and image.values.dtype == np.uint16 else 8
        bits = max(bits, self.target.bits)
        return self.sized(
            from_unit(picture, self.target if self.target.kind == "labels" else replace(self.target, bits=bits))
        )

    def sized(self, values: Values) -> Values:
        """(H, W, D) of a file at the size that is wanted."""
        if self.size is None:
            return values
        return resized(values, self.size.of(*values.shape[:2]), self.target.kind != "labels")


def _dosed(network: Any, strength: float) -> Any:
    if not 0 <= strength <= 1:
        raise UserError(f"--strength must lie in [0, 1], got {strength}: 0 leaves the picture as it is, 1 as trained.")
    if strength == 1:
        return network
    if not isinstance(network, AdjustableGenerator):
        raise UserError(
            "--strength: this generator has one strength alone. The recipes cut and single train one that can be dosed."
        )
    return network.at(strength)


def _tiling(network: TranslationGenerator, info: DatasetInfo) -> Tiling:
    """Tiles of at least the training size, whose margins are as wide as the network sees, where that is known."""
    grid = max(16, network.multiple)
    reach = network.reach or Tiling().margin
    margin = -(-min(reach, MOST_MARGIN) // grid) * grid
    side = max(Tiling().side, *(-(-length // grid) * grid for length in size_of(info)))
    return Tiling(side, margin, -(-Tiling().blend // grid) * grid, grid)


# --- the stored examples


def _examples(translator: ImageTranslator, maker: GeneratorHandle, wanted: SampleRequest) -> SampleResult:
    examples = maker.examples
    if examples is None or examples.condition is None:
        raise UserError("No examples lie with this generator. Give pictures to translate: --input photo.jpg")
    if METADATA.value(wanted):
        raise UserError("--keep-metadata keeps that of files; give them with --input.")
    inputs, targets = examples.condition, examples.data
    if translator.reverse:
        inputs, targets = targets, inputs
    num = min(NUM_SHOWN, len(inputs)) if wanted.num is None else wanted.num
    if num < 1:
        raise UserError(f"--num must be at least 1, got {num}.")
    sheet = wanted.out.suffix.lower() in SHEETS
    if sheet:
        refuse_huge(3 * num, _tile(maker.info, translator.size), wanted.out)
    picked = torch.arange(num) % len(inputs)
    inputs, targets = inputs[picked], targets[picked]
    outputs = torch.cat([translator.rows(row[None]) for row in inputs])
    if sheet:
        with store.writing(wanted.out) as aside:
            preview.triples(inputs, outputs, targets, maker.info, aside, translator.reverse, translator.size)
        return SampleResult([wanted.out], num)
    if wanted.out.suffix:
        raise UserError(f"--out {wanted.out}: a sheet is .png, .jpg or .webp; a folder gets one file an example.")
    paths = []
    for index, row in enumerate(outputs):
        values = translator.sized(from_unit(row, translator.target))
        paths.append(writing.fitting(wanted.out / f"{index:05d}.png", values, None))
        writing.write(paths[-1], values)
    return SampleResult(paths, num)


def _tile(info: DatasetInfo, size: Size | None) -> tuple[int, int]:
    """(height, width) of one image on a sheet of examples."""
    height, width = size_of(info)
    return (max(height, preview.CELL), max(width, preview.CELL)) if size is None else size.of(height, width)


# --- files


def _files(translator: ImageTranslator, wanted: SampleRequest) -> SampleResult:
    if wanted.num is not None:
        raise UserError("--num goes with the stored examples; each --input gives one picture.")
    inputs, keep = tuple(INPUT.value(wanted) or ()), METADATA.value(wanted)
    files, asked = _listed(inputs)
    one = len(files) == 1 and bool(wanted.out.suffix) and inputs[0].is_file()
    folder = wanted.out if not wanted.out.suffix else wanted.out.with_suffix("")
    targets = [wanted.out] if one else _names(files, folder)
    notes, paths, taken = _left(inputs), list[Path](), {file.resolve() for file in files}
    if one:  # an ending that cannot hold the picture is changed, and what has the new one was not named
        near = wanted.out.parent.iterdir() if wanted.out.parent.is_dir() else ()
        taken |= {path.resolve() for path in near if path.stem == wanted.out.stem and path.name != wanted.out.name}
    for source, target in zip(files, targets, strict=True):
        try:
            path = _translated(translator, source, target, keep, notes, taken)
        except UserError as error:
            if source in asked:
                raise
            notes.append(f"Left out: {error}")
            continue
        paths.append(path)
        taken.add(path.resolve())
    if not paths:
        raise UserError("\n".join([*notes, "None of the files could be translated."]))
    return SampleResult(paths, len(paths), tuple(dict.fromkeys(notes)))


def _translated(
    translator: ImageTranslator, source: Path, target: Path, keep: bool, notes: list[str], taken: set[Path]
) -> Path:
    """One file; UserError names it. taken: files that must stay."""
    try:
        image = read(source)
        picture = translator.tensor(image)
    except (BadImageError, UserError, OSError) as error:
        raise UserError(f"{source}: {error}") from None
    if translator.given.kind == "image" and image.values.dtype == np.uint16:
        if translator.given.bits == 8:
            notes.append(
                "Inputs of 16 bits are brought to the 8 that this generator was trained on; the output is written with 16."
            )
        notes += dark_note(int(image.values.max()), 65535, f"values of {source.name}")
    values = translator.values(translator.whole(picture), image)
    alpha = _alpha(image, values)
    if alpha is not None:
        alpha = resized(alpha[..., None], values.shape[:2])[..., 0]
    path = writing.fitting(target, values, alpha)
    if path != target and target.suffix:
        notes.append(f"{target.name} is written as {path.suffix}, which can hold its bits and channels.")
    if path.resolve() in taken:
        named = (
            f" (as {target.name} is written, whose ending cannot hold its bits and channels)" if path != target else ""
        )
        raise UserError(f"{path} would be overwritten{named}. Choose another --out.")
    about = writing.metadata_of(source) if keep else writing.Metadata()
    if about.profile is not None and about.channels != values.shape[2]:
        notes.append("The colour profile of the input is not kept: the output has other channels.")
    writing.write(path, values, alpha, about)
    return path


def _alpha(image: LosslessImage, values: Values) -> Values | None:
    """The input's transparency at the depth of the output."""
    if image.alpha is None or values.shape[2] not in (1, 3) or image.alpha.dtype == values.dtype:
        return image.alpha if values.shape[2] in (1, 3) else None
    if values.dtype == np.uint16:
        return image.alpha.astype(np.uint16) * np.uint16(257)
    return np.rint(image.alpha / 257).astype(np.uint8)


def _left(inputs: Sequence[Path]) -> list[str]:
    """What is passed over in the folders named."""
    return [
        f"--input {path}: {note}"
        for path in inputs
        if path.is_dir()
        for note in passed_over(Counter(ending_of(p.name) for p in path.iterdir() if p.is_file() and _other(p)), 0)
    ]


def _other(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() not in READABLE


def _listed(inputs: Sequence[Path]) -> tuple[list[Path], set[Path]]:
    """The files named, and all images in the folders named; the second holds those that were named themselves."""
    files, asked = list[Path](), set[Path]()
    for path in inputs:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE and p.name[0] != ".")
            if not inside:
                raise UserError(
                    f"--input {path}: no images in this folder. Images end in {', '.join(sorted(READABLE))}."
                )
            files += inside
        elif path.is_file():
            files.append(path)
            asked.add(path)
        else:
            raise UserError(f"--input {path}: there is no such file or folder.")
    return files, asked


def _names(files: Sequence[Path], folder: Path) -> list[Path]:
    """Where each file goes: its own name, with a number where two are the same."""
    used, found = dict[str, int](), list[Path]()
    for file in files:
        count = used[file.stem] = used.get(file.stem, 0) + 1
        found.append(folder / (file.name if count == 1 else f"{file.stem}-{count}{file.suffix}"))
    return found
