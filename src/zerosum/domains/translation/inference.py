"""`zerosum sample` of a translation: whole images of any size from files, or a sheet of the stored examples.

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
from zerosum.data.images.listing import ending_of, skipped_notes
from zerosum.data.images.lossless_io import READABLE, LosslessImage, read
from zerosum.data.images.pictures import Size, check_picture_size, resize_array
from zerosum.data.opening import MAX_FILE_BYTES, check_size, distinct_names, input_files
from zerosum.domain import SIZE, DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult, picture_size
from zerosum.domains.translation import derived_inputs, preview, writing
from zerosum.domains.translation.networks.capabilities import (
    AdjustableGenerator,
    ReversibleGenerator,
    TranslationGenerator,
)
from zerosum.domains.translation.sides import Side, Values, class_numbers, from_unit, one_hot, scale_of, sides, size_of
from zerosum.domains.translation.tiling import Tiling, apply_in_tiles
from zerosum.errors import UserError

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
NUM_SHOWN = 16
INPUT = SampleOption("input", "paths", "a file or folder to translate; may be repeated.")
REVERSE = SampleOption("reverse", "flag", "from B to A, for a cycle of both directions.", default=False)
STRENGTH = SampleOption(
    "strength",
    "number",
    "recipes cut, single and upscale: strength of the style (by default 1), or of the added details (0.5), from 0 to 1.",
    least=0,
    most=1,
)
SCALE = SampleOption(
    "scale",
    "number",
    "recipe upscale: how many times larger an image becomes; by default the scale of the training.",
    least=0.1,
    most=32,
    metavar="N",
)
METADATA = SampleOption(
    "keep_metadata", "flag", "keep EXIF, colour profile and resolution of the input.", default=False
)
OPTIONS = (INPUT, REVERSE, STRENGTH, SCALE, METADATA, SIZE)
BYTES_A_PIXEL = 40
"""Memory that an image takes for each pixel of the output of super-resolution: the input and the output as float32, and
copies."""
MAX_MARGIN = 160
"""The largest margin of a tile. Parts of a larger receptive field are ignored, because distant pixels have little
influence."""


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """Translates the files of --input, or else the examples stored with the generator."""
    translator = ImageTranslator.from_request(generator, info, request)
    return (
        _translate_files(translator, request)
        if INPUT.value(request)
        else _translate_examples(translator, generator, request)
    )


@dataclass(frozen=True)
class ImageTranslator:
    """A network that translates one image at a time. given, target: the sides of its inputs and outputs. noise:
    (1, L), the same for all images. make: how training inputs were computed from targets, "" if they were not. size: of
    written images; None: that of the output. scale: of written images over inputs; None: that of the output."""

    network: Any
    given: Side
    target: Side
    noise: Tensor
    device: torch.device
    tiling: Tiling
    make: str
    reverse: bool
    size: Size | None = None
    scale: float | None = None

    @property
    def factor(self) -> int:
        """How many times larger than the input an output is, before it is resized."""
        return scale_of(self.make)

    @classmethod
    def from_request(cls, generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> ImageTranslator:
        """The translator that the options of `zerosum sample` describe; UserError if the generator does not support one
        of them."""
        network: Any = _with_strength(generator.network, STRENGTH.value(request))
        given, target = sides(info)
        reverse = REVERSE.value(request)
        if reverse:
            if not isinstance(network, ReversibleGenerator):
                raise UserError(
                    "--reverse: this generator translates in one direction only. The recipe cyclegan trains both directions."
                )
            given, target = target, given
        make = "" if reverse else str(info.payload["make"])
        scale = SCALE.value(request)
        if scale and (scale_of(make) == 1 or picture_size(request)):
            raise UserError(
                "--scale and --size both set the size of the output; give one of them."
                if scale_of(make) > 1
                else "--scale: this generator does not enlarge images. The recipe upscale trains one that does."
            )
        noise = generator.noise(1, request.seed).to(generator.device)
        tiling = _tiling(network, info)
        return cls(
            network,
            given,
            target,
            noise,
            generator.device,
            tiling,
            make,
            reverse,
            picture_size(request),
            scale,
        )

    @torch.no_grad()
    def translate_rows(self, inputs: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, C, H, W) -> (N, D, H, W) on the CPU; origin: (top, left) of the tiles in their images."""
        function = self.network.reverse if self.reverse else self.network
        noise = self.noise.expand(len(inputs), -1)
        outputs: Tensor = function(noise, inputs.to(self.device), origin=origin)
        return outputs.float().cpu()

    def translate(self, picture: Tensor) -> Tensor:
        """(C, H, W) of any size -> (D, H, W), in tiles."""
        return apply_in_tiles(lambda piece, place: self.translate_rows(piece[None], place)[0], picture, self.tiling)

    def to_tensor(self, image: LosslessImage) -> Tensor:
        """(C, H, W) in [-1, 1] of the image of a file, at full precision; UserError if it does not fit the training
        data."""
        if self.given.kind == "labels":
            return self._labels(image)
        values = replace(image, alpha=None).to_colours()
        top = np.iinfo(values.dtype).max
        picture = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1) / float(top)
        expected, channels = self.given.channels, len(picture)
        if channels == 3 and expected == 1:
            if bool((picture == picture[:1]).all()):
                picture = picture[:1]  # grey, saved as colour
            elif self.make:
                picture = derived_inputs.DERIVED_INPUTS[self.make](picture)
        elif channels == 1 and expected == 3:
            picture = picture.expand(3, -1, -1)
        if len(picture) != expected:
            raise UserError(
                f"{channels} {'channel' if channels == 1 else 'channels'}, but this generator was trained on "
                f"{self.given.describe()} ({expected}). Convert the image first."
            )
        return self._enlarged(picture).mul(2).sub(1).contiguous()

    def _enlarged(self, picture: Tensor) -> Tensor:
        """An image in [0, 1], enlarged as the inputs of the training were; UserError where the output would be too large."""
        if self.factor == 1:
            return picture
        height, width = (side * self.factor for side in picture.shape[1:])
        check_size(
            height * width * BYTES_A_PIXEL, MAX_FILE_BYTES, f"the image of {width:,} x {height:,} pixels", "needs"
        )
        return derived_inputs.enlarged(picture, self.factor).clamp(0, 1)

    def _labels(self, image: LosslessImage) -> Tensor:
        codes = {len(code) for code in self.given.classes}
        values = image.values if image.values.shape[2] in codes else image.to_colours()
        if values.shape[2] not in codes:
            kind = "one number per pixel" if 1 in codes else "one colour per class"
            raise UserError(f"this generator takes label maps of {kind}; this image has {values.shape[2]} channels.")
        return one_hot(torch.from_numpy(class_numbers(values, self.given)), self.given.channels)

    def to_file_values(self, picture: Tensor, image: LosslessImage) -> Values:
        """(H, W, D) for a file, with the bits of the training targets, or those of the input if it is an image with
        more."""
        bits = 16 if self.given.kind == "image" and image.values.dtype == np.uint16 else 8
        bits = max(bits, self.target.bits)
        values = from_unit(picture, self.target if self.target.kind == "labels" else replace(self.target, bits=bits))
        if self.factor > 1 and image.to_colours().shape[2] == 1:
            values = np.rint(values.mean(2, keepdims=True)).astype(values.dtype)
        if self.scale is not None and self.scale != self.factor:
            height, width = (max(1, round(side * self.scale)) for side in image.values.shape[:2])
            return resize_array(values, Size(height, width).of(*values.shape[:2]), self.target.kind != "labels")
        return self.resize(values)

    def resize(self, values: Values) -> Values:
        """(H, W, D) at the requested size."""
        if self.size is None:
            return values
        return resize_array(values, self.size.of(*values.shape[:2]), self.target.kind != "labels")


def _with_strength(network: Any, asked: float | None) -> Any:
    strength = getattr(network, "default_strength", 1.0) if asked is None else asked
    if not 0 <= strength <= 1:
        raise UserError(
            f"--strength must lie in [0, 1], got {strength}: 0 leaves the image unchanged, 1 is the strength of training."
        )
    if strength == 1:
        return network
    if not isinstance(network, AdjustableGenerator):
        raise UserError(
            "--strength: this generator has a fixed strength. The recipes cut, single and upscale train adjustable ones."
        )
    return network.with_strength(strength)


def _tiling(network: TranslationGenerator, info: DatasetInfo) -> Tiling:
    """Tiles of at least the training size, with margins as wide as the network's receptive field reaches, if that is
    known."""
    grid = max(16, network.multiple)
    reach = network.reach or Tiling().margin
    margin = -(-min(reach, MAX_MARGIN) // grid) * grid
    side = max(Tiling().side, *(-(-length // grid) * grid for length in size_of(info)))
    return Tiling(side, margin, -(-Tiling().blend // grid) * grid, grid)


def transform(generator: GeneratorHandle, info: DatasetInfo, data: Values, request: SampleRequest) -> Values:
    """An image in memory, (H, W) or (H, W, C) of uint8 or uint16 -> the output as in a file: (H', W', D)."""
    if data.dtype not in (np.uint8, np.uint16) or data.ndim not in (2, 3) or not data.size:
        raise UserError(
            f"an image in memory is an array (H, W) or (H, W, C) of uint8 or uint16, got {data.shape} of {data.dtype}."
        )
    translator, image = (
        ImageTranslator.from_request(generator, info, request),
        LosslessImage(data.reshape(*data.shape[:2], -1)),
    )
    return translator.to_file_values(translator.translate(translator.to_tensor(image)), image)


# --- the stored examples


def _translate_examples(
    translator: ImageTranslator, generator: GeneratorHandle, request: SampleRequest
) -> SampleResult:
    examples = generator.examples
    if examples is None or examples.condition is None:
        raise UserError("No examples are stored with this generator. Give images to translate: --input photo.jpg")
    if METADATA.value(request):
        raise UserError("--keep-metadata copies the metadata of files; give files with --input.")
    inputs, targets = examples.condition, examples.data
    if translator.reverse:
        inputs, targets = targets, inputs
    num = min(NUM_SHOWN, len(inputs)) if request.num is None else request.num
    if num < 1:
        raise UserError(f"--num must be at least 1, got {num}.")
    is_sheet = request.out.suffix.lower() in SHEET_SUFFIXES
    if is_sheet:
        check_picture_size(3 * num, _cell_size(generator.info, translator.size), request.out)
    selected = torch.arange(num) % len(inputs)
    inputs, targets = inputs[selected], targets[selected]
    outputs = torch.cat([translator.translate_rows(row[None]) for row in inputs])
    if is_sheet:
        with store.writing(request.out) as temporary:
            preview.write_triples(
                inputs, outputs, targets, generator.info, temporary, translator.reverse, translator.size
            )
        return SampleResult([request.out], num)
    if request.out.suffix:
        raise UserError(
            f"--out {request.out}: a sheet is .png, .jpg or .webp; a folder receives one file for each example."
        )
    paths = []
    for index, row in enumerate(outputs):
        values = translator.resize(from_unit(row, translator.target))
        paths.append(writing.suitable_path(request.out / f"{index:05d}.png", values, None))
        writing.write(paths[-1], values)
    return SampleResult(paths, num)


def _cell_size(info: DatasetInfo, size: Size | None) -> tuple[int, int]:
    """(height, width) of one image on a sheet of examples."""
    height, width = size_of(info)
    return (max(height, preview.CELL), max(width, preview.CELL)) if size is None else size.of(height, width)


# --- files


def _translate_files(translator: ImageTranslator, request: SampleRequest) -> SampleResult:
    if request.num is not None:
        raise UserError("--num applies to the stored examples; each --input gives one image.")
    inputs, keep = tuple(INPUT.value(request) or ()), METADATA.value(request)
    files = input_files(inputs, lambda path: path.suffix.lower() in READABLE, "images", sorted(READABLE))
    is_single = len(files) == 1 and bool(request.out.suffix) and inputs[0].is_file()
    folder = request.out if not request.out.suffix else request.out.with_suffix("")
    targets = [request.out] if is_single else _output_paths(files, folder)
    notes, paths, reserved = _notes_on_skipped(inputs), list[Path](), {file.resolve() for file in files}
    if is_single:  # a suffix that cannot store the image is changed; files with the new suffix must not be overwritten
        siblings = request.out.parent.iterdir() if request.out.parent.is_dir() else ()
        reserved |= {
            path.resolve() for path in siblings if path.stem == request.out.stem and path.name != request.out.name
        }
    for source, target in zip(files, targets, strict=True):
        try:
            path = _translate_file(translator, source, target, keep, notes, reserved)
        except UserError as error:
            if source in inputs:
                raise
            notes.append(f"Left out: {error}")
            continue
        paths.append(path)
        reserved.add(path.resolve())
    if not paths:
        raise UserError("\n".join([*notes, "None of the files could be translated."]))
    return SampleResult(paths, len(paths), tuple(dict.fromkeys(notes)))


def _translate_file(
    translator: ImageTranslator, source: Path, target: Path, keep: bool, notes: list[str], reserved: set[Path]
) -> Path:
    """Translates one file; UserError names it. reserved: files that must not be overwritten."""
    try:
        image = read(source)
        picture = translator.to_tensor(image)
    except (BadImageError, UserError, OSError) as error:
        raise UserError(f"{source}: {error}") from None
    if translator.given.kind == "image" and image.values.dtype == np.uint16:
        if translator.given.bits == 8:
            notes.append(
                "Inputs with 16 bits are converted to the 8 bits of the training data; the output is written with 16 bits."
            )
        notes += dark_note(int(image.values.max()), 65535, f"values of {source.name}")
    values = translator.to_file_values(translator.translate(picture), image)
    alpha = _alpha(image, values)
    if alpha is not None:
        alpha = resize_array(_enlarged_alpha(alpha, translator.factor)[..., None], values.shape[:2])[..., 0]
    path = writing.suitable_path(target, values, alpha)
    if path != target and target.suffix:
        notes.append(f"{target.name} is written as {path.suffix}, which can store its bits and channels.")
    if path.resolve() in reserved:
        named = (
            f" (the output for {target.name}, whose suffix cannot store its bits and channels)"
            if path != target
            else ""
        )
        raise UserError(f"{path} would be overwritten{named}. Choose another --out.")
    metadata = writing.metadata_of(source) if keep else writing.Metadata()
    if metadata.profile is not None and metadata.channels != values.shape[2]:
        notes.append("The colour profile of the input is not kept because the output has other channels.")
    writing.write(path, values, alpha, metadata)
    return path


def _alpha(image: LosslessImage, values: Values) -> Values | None:
    """The alpha channel of the input, with the bits of the output."""
    if image.alpha is None or values.shape[2] not in (1, 3) or image.alpha.dtype == values.dtype:
        return image.alpha if values.shape[2] in (1, 3) else None
    if values.dtype == np.uint16:
        return image.alpha.astype(np.uint16) * np.uint16(257)
    return np.rint(image.alpha / 257).astype(np.uint8)


def _enlarged_alpha(alpha: Values, factor: int) -> Values:
    """(H, W) alpha as the colours are enlarged before the network."""
    if factor == 1:
        return alpha
    top = np.iinfo(alpha.dtype).max
    large = derived_inputs.enlarged(torch.from_numpy(alpha.astype(np.float32))[None] / float(top), factor)[0]
    found: Values = np.rint(large.clamp(0, 1).numpy() * top).astype(alpha.dtype)
    return found


def _notes_on_skipped(inputs: Sequence[Path]) -> list[str]:
    """Notes on files in the input folders that are skipped."""
    return [
        f"--input {path}: {note}"
        for path in inputs
        if path.is_dir()
        for note in skipped_notes(
            Counter(ending_of(p.name) for p in path.iterdir() if p.is_file() and _is_unreadable(p)), 0
        )
    ]


def _is_unreadable(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() not in READABLE


def _output_paths(files: Sequence[Path], folder: Path) -> list[Path]:
    """The output path of each file: its own name, with a number if it occurs more than once."""
    stems = distinct_names([file.stem for file in files], [""] * len(files))
    return [folder / f"{stem}{file.suffix}" for stem, file in zip(stems, files, strict=True)]
