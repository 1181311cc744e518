"""The verb that makes samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zerosum import known
from zerosum.cli.common import Folder, Json, app, say, show

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
Where = Annotated[str, typer.Option(metavar='"A=x,B>5"', help="Tables: only rows like these.", show_default=False)]
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
    where: Where = "",
    inputs: Inputs = None,
    reverse: Reverse = False,
    strength: Strength = 1.0,
    keep_metadata: Metadata = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Make samples with a trained generator."""
    if out is not None and not inputs:  # a translation is written like its input
        known.refuse_ending(folder, out)
    from zerosum.domain import Wanted
    from zerosum.runs import run
    from zerosum.runs.latents.sampling import Order, fill
    from zerosum.runs.latents.space import write
    from zerosum.runs.progress import few

    loaded = run.load(folder)
    target, given = out or folder / loaded.domain.sample_name, tuple(inputs or ())
    wanted = Wanted(num, seed, target, where, given, reverse, strength, keep_metadata)
    usual = bool(label or attributes or truncation != 1 or grid or direction or latent)
    if (produced := loaded.produce(wanted, usual)) is not None:
        paths, made = list(produced.paths), produced.num
        for note in produced.notes:
            say(note)
    else:
        order = Order(num, seed, tuple(label or ()), truncation, grid, tuple(direction or ()), latent, attributes)
        samples, columns = fill(loaded, order, target)
        paths, made = write(loaded, samples, target, columns), len(samples)
    show({"paths": [str(path) for path in paths], "num": made, "seed": seed}, json, few(paths))
