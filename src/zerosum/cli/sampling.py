"""The commands that use a generator: sample, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zerosum import known
from zerosum.cli.common import Folder, Json, app, say, show
from zerosum.errors import UserError

Number = Annotated[
    int | None,
    typer.Option("--num", min=1, help="How many samples, by default 64; with --grid the rows, by default 8."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same samples.")]
Classes = Annotated[
    list[str] | None, typer.Option(help="Only this class, a name or a number; may be repeated.", show_default=False)
]
Attributes = Annotated[
    str,
    typer.Option(
        metavar="NAME=X,...",
        help="Samples with these attributes, in the units of the data; other attributes as in real rows.",
    ),
]
Truncation = Annotated[
    float, typer.Option(min=0, max=1, help="Below 1: more typical samples, less variety; 0: only the mean.")
]
Grid = Annotated[
    str | None, typer.Option(help="classes: a column for each class, a row for each noise.", show_default=False)
]
Direction = Annotated[
    list[str] | None,
    typer.Option(metavar="K=X", help="Move X deviations along direction K of `zerosum directions`; may be repeated."),
]
Latent = Annotated[
    Path | None, typer.Option(help="Show these latents, a .safetensors of `zerosum project`.", show_default=False)
]


def _not_empty(text: str | None) -> str | None:
    if text == "":
        raise UserError('--where "" is empty; perhaps an unset shell variable? Leave --where out for all rows.')
    return text


Where = Annotated[
    str | None,
    typer.Option(
        metavar='"A=x,B>5"',
        callback=_not_empty,
        help="Tables: only rows that satisfy these conditions.",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option("--input", help="Translation: a file or folder to translate; may be repeated.", show_default=False),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="Translation: from B to A, for a cycle of both directions.")]
Strength = Annotated[
    float, typer.Option(min=0, max=1, help="Translation learnt from a single pair: strength of the style.")
]
Metadata = Annotated[
    bool, typer.Option("--keep-metadata", help="Translation: keep EXIF, colour profile and resolution of the input.")
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="N|HEIGHTxWIDTH",
        help="Images: size of the written images, N pixels along the longer side or height and width.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="A picture, an array, a table or a folder of files; default: a file in FOLDER, such as samples.png."
    ),
]


@app.command()
def sample(
    folder: Folder,
    num: Number = None,
    seed: Seed = 0,
    label: Classes = None,
    attributes: Attributes = "",
    truncation: Truncation = 1.0,
    grid: Grid = None,
    direction: Direction = None,
    latent: Latent = None,
    where: Where = None,
    inputs: Inputs = None,
    reverse: Reverse = False,
    strength: Strength = 1.0,
    keep_metadata: Metadata = False,
    size: SizeOption = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Generate samples with a trained generator."""
    if out is not None and not inputs:  # a translation is written in the format of its input
        known.refuse_ending(folder, out)
    from zerosum import api
    from zerosum.data.images.pictures import Size
    from zerosum.domain import SampleRequest
    from zerosum.formatting import format_paths
    from zerosum.generation.latents.sampling import SampleOptions, made

    loaded = api.load(folder)
    target, chosen = out or folder / loaded.domain.media.sample_name, None if size is None else Size.parsed(size)
    request = SampleRequest(
        num, seed, target, where or "", tuple(inputs or ()), reverse, strength, keep_metadata, chosen
    )
    usual = bool(label or attributes or truncation != 1 or grid or direction or latent)
    if (produced := loaded.produce(request, usual)) is None:
        options = SampleOptions(
            num, seed, tuple(label or ()), truncation, grid, tuple(direction or ()), latent, attributes, chosen
        )
        produced = made(loaded, options, target)
    say(*produced.notes)
    paths = list(produced.paths)
    show({"paths": [str(path) for path in paths], "num": produced.num, "seed": seed}, json, format_paths(paths))


@app.command()
def export(
    folder: Folder,
    format: Annotated[str, typer.Option("--format", help="onnx, torch (torch.export) or huggingface.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: FOLDER/export-FORMAT.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence for the model card (huggingface), such as cc-by-4.0.")
    ] = None,
    json: Json = False,
) -> None:
    """Export a generator for other programs, and check it against the original.

    Inputs are noise (and labels), of any batch size; outputs are samples, images in [-1, 1].
    """
    from zerosum.generation.export.formats import FORMATS

    if licence is not None and format != "huggingface":
        raise UserError("--license is written into the model card, which only --format huggingface has. Leave it out.")
    if format not in FORMATS:
        raise UserError(f"--format {format}: choose {', '.join(FORMATS)}.")
    from zerosum import api
    from zerosum.generation.export.exporting import export as exported

    done = exported(api.load(folder), format, out or folder / f"export-{format}", licence)
    if format == "huggingface" and licence is None:
        say("The model card says licence `unknown`; set it with --license, and respect the licence of the data.")
    batches = ", ".join(map(str, done.check["batches"]))
    told = (
        f"Checked by {done.check['by']} on batches of {batches}: largest difference from the original "
        f"{done.check['largest_difference']:.2g}, allowed {done.check['tolerance']:g}."
    )
    paths = [str(path) for path in done.paths]
    show({"paths": paths, **done.check}, json, "\n".join([*paths, told]))
