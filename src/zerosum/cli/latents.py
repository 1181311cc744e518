"""The verbs of the latent space: interpolate, mix, directions, project."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum.cli.common import Folder, Json, app, say, show
from zerosum.errors import UserError

if TYPE_CHECKING:
    from zerosum.generation.latents.space import Space

Seeds = Annotated[
    str, typer.Option(help="Samples by seed, for example 1,2,3; or 0:17 for number 17 of `zerosum sample --seed 0`.")
]
SpaceName = Annotated[
    str | None, typer.Option("--space", help="z (noise) or w (styles); default: w where the generator has it.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option(help="Class (a name or a number) of the samples in turn; may be repeated.", show_default=False),
]
Truncation = Annotated[
    float, typer.Option(min=0, max=1, help="Below 1: more typical samples, less variety.", show_default=False)
]
Latent = Annotated[
    Path | None,
    typer.Option(help="Walk through these latents, a .safetensors of `zerosum project`.", show_default=False),
]
MOVING = (".gif", ".apng", ".mp4")
MOST_COLUMNS = 18  # of a strip, which goes on in the next row
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@app.command()
def interpolate(
    folder: Folder,
    out: Annotated[
        Path | None,
        typer.Option(help="A strip (.png) or a moving picture (.gif, .apng, .mp4); default: FOLDER/walk.gif."),
    ] = None,
    seeds: Seeds = "1,2,3",
    frames: Annotated[
        int | None, typer.Option(help="Number of pictures in all; default: 8 a leg in a strip, 30 a leg otherwise.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first sample.")] = False,
    fps: Annotated[float, typer.Option(help="Pictures a second.")] = 24,
    space: SpaceName = None,
    label: Labels = None,
    truncation: Truncation = 1.0,
    latent: Latent = None,
    json: Json = False,
) -> None:
    """Walk from sample to sample through the latent space."""
    target = out or folder / "walk.gif"
    _refuse_unless(target, PICTURES + MOVING, fps)
    if latent and (label or space or truncation != 1):
        raise UserError(
            "--latent walks through saved latents as they are; leave out --label, --space and --truncation."
        )
    from zerosum.generation.latents.space import Latents, refuse_huge

    moving = target.suffix.lower() in MOVING
    saved = Latents.load(latent) if latent else None
    room = _space(folder, saved.space if saved else space)
    keys = saved or room.keys(seeds.split(","), label, truncation)
    wanted = frames if frames is not None else _frames(len(keys), loop, 30 if moving else 8)
    if not moving:
        refuse_huge(room.run, wanted, target, MOST_COLUMNS)
    walked = room.render(room.walk(keys, wanted, loop))
    if moving:
        room.film(walked, target, fps)
    else:
        room.write(walked, target, math.ceil(wanted / math.ceil(wanted / MOST_COLUMNS)))
    show({"path": str(target), "frames": wanted, "keys": len(keys), "space": room.name}, json, str(target))


@app.command()
def mix(
    folder: Folder,
    rows: Annotated[
        str, typer.Option(help="Samples down the left side, by seed, which keep the other layers.")
    ] = "1,2,3,4",
    columns: Annotated[str, typer.Option(help="Samples along the top, by seed, which lend the layers.")] = "5,6,7,8,9",
    layers: Annotated[
        str | None, typer.Option(help="Layers taken from the top, coarse to fine: 0-3; default: the coarse half.")
    ] = None,
    label: Labels = None,
    truncation: Truncation = 1.0,
    out: Annotated[Path | None, typer.Option(help="The sheet, a .png; default: FOLDER/mix.png.")] = None,
    json: Json = False,
) -> None:
    """Mix styles: some layers of one sample with the others of another (generators with styles or split noise)."""
    target = out or folder / "mix.png"
    _refuse_unless(target, PICTURES)
    room = _space(folder, None)
    from zerosum.generation.latents import mix as mixing

    count = mixing.num_layers(room)
    chosen = mixing.layers_of(layers or f"0-{max(0, count // 2 - 1)}", count)
    left, top = (room.keys(names.split(","), label, truncation) for names in (rows, columns))
    samples, layout = mixing.sheet(room, left, top, chosen)
    room.write(samples, target, layout)
    show(
        {"path": str(target), "layers": list(chosen), "num_layers": count},
        json,
        f"{target}\nLayers {mixing.listed(chosen)} of {count} come from the top.",
    )


@app.command()
def directions(
    folder: Folder,
    num: Annotated[int, typer.Option(help="How many, the most effective first.")] = 8,
    seeds: Seeds = "1",
    reach: Annotated[float, typer.Option(help="The strips go from -REACH to REACH standard deviations.")] = 3.0,
    steps: Annotated[int, typer.Option(help="Pictures a strip.")] = 7,
    layers: Annotated[str | None, typer.Option(help="Only these styles: 0-3 (generators with styles).")] = None,
    space: SpaceName = None,
    label: Labels = None,
    out: Annotated[Path | None, typer.Option(help="The sheet, a .png; default: FOLDER/directions.png.")] = None,
    json: Json = False,
) -> None:
    """Find the directions along which samples change most, without data. `zerosum sample --direction` uses them.

    They are written as directions.safetensors and directions.json beside the generator.
    """
    target = out or folder / "directions.png"
    _refuse_unless(target, PICTURES)
    room = _space(folder, space)
    from zerosum.generation.latents import directions as finding
    from zerosum.generation.latents.labelled_grid import Layout
    from zerosum.generation.latents.mix import layers_of, num_layers

    finding.refuse_strip(reach, steps)
    found = finding.find(room, num, None if layers is None else layers_of(layers, num_layers(room)))
    paths = found.save(folder, room)
    strips = finding.strips(room, found, room.keys(seeds.split(","), label), reach, steps)
    far = tuple(f"{reach * (2 * place / (steps - 1) - 1):+.2g}" for place in range(steps))
    order = f"Directions 0 to {len(found.strengths) - 1} from top to bottom, moved by so many deviations"
    room.write(room.render(strips), target, Layout(steps, far, top=order))
    table = [
        {"direction": k, "strength": float(strength), "deviation": float(deviation)}
        for k, (strength, deviation) in enumerate(zip(found.strengths, found.deviations, strict=True))
    ]
    lines = [f"direction {row['direction']:2}  strength {row['strength']:.4g}" for row in table]
    text = "\n".join([*lines, str(target), *map(str, paths)])
    show({"sheet": str(target), "paths": [str(p) for p in paths], "space": room.name, "directions": table}, json, text)


@app.command()
def project(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.", show_default=False)],
    steps: Annotated[int, typer.Option(help="Steps of the search for each picture.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    space: SpaceName = None,
    label: Labels = None,
    out: Annotated[
        Path | None, typer.Option(help="The comparison, a .png; latents beside it; default: FOLDER/projected.png.")
    ] = None,
    json: Json = False,
) -> None:
    """Find the latents whose samples are nearest to given pictures: the picture, and beside it what the generator makes.

    The latents are written beside the picture as .safetensors; `zerosum sample --latent` uses them.
    """
    target = out or folder / "projected.png"
    _refuse_unless(target, PICTURES)
    import torch

    from zerosum import api
    from zerosum.generation.latents.project import project as search

    room = _space(folder, space)
    files = api.files_in(files)
    missing = [str(path) for path in files if not path.is_file()]
    if missing or not files:
        raise UserError(f"no such file: {', '.join(missing[:5])}." if missing else "There are no files to project.")
    found = search(
        room, room.run.domain.media.read(files, room.sampler.info), steps=steps, seed=seed, labels=label, say=say
    )
    pairs = torch.stack([found.targets, found.samples], 1).flatten(0, 1)
    room.write(pairs, target, 2 * min(4, len(found.targets)))
    latents = target.with_suffix(".safetensors")
    found.latents.save(latents)
    values = {str(path): float(value) for path, value in zip(files, found.psnr, strict=True)}
    lines = [f"{value:5.1f} dB  {name}" for name, value in values.items()]
    text = "\n".join([*lines, str(target), str(latents)])
    show({"path": str(target), "latents": str(latents), "space": room.name, "psnr_db": values}, json, text)


# --- parts


def _frames(num_keys: int, loop: bool, each: int) -> int:
    """`each` on every leg, and one for the last key unless the walk returns."""
    return num_keys * each if loop else (num_keys - 1) * each + 1


def _space(folder: Path, name: str | None) -> Space:
    """The latent space of a generator of pictures."""
    from zerosum import api
    from zerosum.generation.latents.space import Space

    return Space(api.load(folder), name)


def _refuse_unless(target: Path, kinds: tuple[str, ...], fps: float | None = None) -> None:
    """Before anything takes time."""
    if target.suffix.lower() not in kinds:
        raise UserError(f"--out {target}: this can be written as {', '.join(kinds)}.")
    if fps is not None:
        from zerosum.data.images.film import refuse_speed

        refuse_speed(fps)
