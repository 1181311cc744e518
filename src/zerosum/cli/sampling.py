"""The verb that makes samples."""

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
        metavar="NAME=X,...", help="With these attributes, in the units of the data; the others as in real rows."
    ),
]
Truncation = Annotated[
    float, typer.Option(min=0, max=1, help="Below 1: more typical samples, less variety; 0: the mean alone.")
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
        raise UserError(
            '--where "" holds no condition; was it a variable of the shell without a value? Leave --where out for all rows.'
        )
    return text


Where = Annotated[
    str | None,
    typer.Option(metavar='"A=x,B>5"', callback=_not_empty, help="Tables: only rows like these.", show_default=False),
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option("--input", help="Translation: a file or folder to translate; may be repeated.", show_default=False),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="Translation: from B to A, where a cycle was learnt.")]
Strength = Annotated[
    float, typer.Option(min=0, max=1, help="Translation learnt from a single pair: how much of the style.")
]
Metadata = Annotated[
    bool, typer.Option("--keep-metadata", help="Translation: with EXIF, colour profile and resolution of the input.")
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="N|HEIGHTxWIDTH",
        help="Images: each one is written with N pixels along its longer side, or with this height and width.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="A picture, an array, a table or a folder of files; default: in FOLDER, samples.png or so."),
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
    """Make samples with a trained generator."""
    if out is not None and not inputs:  # a translation is written like its input
        known.refuse_ending(folder, out)
    from zerosum import api
    from zerosum.data.images.pictures import Size
    from zerosum.domain import SampleRequest
    from zerosum.generation.latents.sampling import SampleOptions, made
    from zerosum.progress import few

    loaded = api.load(folder)
    target, chosen = out or folder / loaded.domain.media.sample_name, None if size is None else Size.parsed(size)
    wanted = SampleRequest(
        num, seed, target, where or "", tuple(inputs or ()), reverse, strength, keep_metadata, chosen
    )
    usual = bool(label or attributes or truncation != 1 or grid or direction or latent)
    if (produced := loaded.produce(wanted, usual)) is None:
        order = SampleOptions(
            num, seed, tuple(label or ()), truncation, grid, tuple(direction or ()), latent, attributes, chosen
        )
        produced = made(loaded, order, target)
    say(*produced.notes)
    paths = list(produced.paths)
    show({"paths": [str(path) for path in paths], "num": produced.num, "seed": seed}, json, few(paths))
