"""The commands of the latent space: interpolate, mix, directions, project."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerosum import catalog
from zerosum.cli.common import Folder, Json, app, print_message, show
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
    typer.Option(help="Interpolate between these latents, a .safetensors of `zerosum project`.", show_default=False),
]
MOVING = (".gif", ".apng", ".mp4")
MOST_COLUMNS = 18  # of a strip, which continues in the next row
PICTURES, SOUND_ENDING = (".png", ".jpg", ".jpeg", ".webp"), ".wav"


@app.command()
def interpolate(
    folder: Folder,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A strip (.png) or a moving picture (.gif, .apng, .mp4); default: FOLDER/walk.gif, or a strip where the domain "
            "has no moving pictures."
        ),
    ] = None,
    seeds: Seeds = "1,2,3",
    frames: Annotated[
        int | None, typer.Option(help="Number of pictures in all; default: 8 per pair of samples in a strip, else 30.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first sample.")] = False,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 24,
    space: SpaceName = None,
    label: Labels = None,
    truncation: Truncation = 1.0,
    latent: Latent = None,
    json: Json = False,
) -> None:
    """Interpolate between samples in the latent space."""
    if out and out.suffix.lower() in MOVING:
        _refuse_unless(out, MOVING, fps)
    elif out and (endings := catalog.endings(folder)):  # before torch is imported
        _refuse_unless(out, _strip_endings(endings))
    if latent and (label or space or truncation != 1):
        raise UserError("--latent uses saved latents as they are; leave out --label, --space and --truncation.")
    from zerosum.generation.latents.space import Latents
    from zerosum.generation.sampler import check_num_samples

    saved = Latents.load(latent) if latent else None
    latent_space = _space(folder, saved.space if saved else space)
    target = out or folder / f"walk{_usual_ending(latent_space)}"
    moving = target.suffix.lower() in MOVING
    if moving:
        _refuse_unless(target, MOVING, fps)
        latent_space.check_film(target)
    else:
        _refuse_unless(target, _strip_endings(latent_space.generator.domain.media.endings))
    keys = saved or latent_space.keys(seeds.split(","), label, truncation)
    num_frames = frames if frames is not None else _frames(len(keys), loop, 30 if moving else 8)
    if not moving:
        check_num_samples(latent_space.generator, num_frames, target, MOST_COLUMNS)
    path = latent_space.walk(keys, num_frames, loop)
    walked = latent_space.render(path)
    if moving:
        latent_space.film(walked, target, fps)
    else:
        columns = math.ceil(num_frames / math.ceil(num_frames / MOST_COLUMNS))
        latent_space.write(walked, target, columns, path.condition)
    show({"path": str(target), "frames": num_frames, "keys": len(keys), "space": latent_space.name}, json, str(target))


@app.command()
def mix(
    folder: Folder,
    rows: Annotated[
        str, typer.Option(help="Samples on the left side, by seed; they give the other layers.")
    ] = "1,2,3,4",
    columns: Annotated[
        str, typer.Option(help="Samples along the top, by seed; they give the chosen layers.")
    ] = "5,6,7,8,9",
    layers: Annotated[
        str | None, typer.Option(help="Layers taken from the top, coarse to fine: 0-3; default: the coarse half.")
    ] = None,
    label: Labels = None,
    truncation: Truncation = 1.0,
    out: Annotated[Path | None, typer.Option(help="The sheet, a .png; default: FOLDER/mix.png.")] = None,
    json: Json = False,
) -> None:
    """Mix styles: some layers of one sample with the other layers of another (generators with styles or split noise)."""
    target = out or folder / "mix.png"
    _refuse_unless(target, PICTURES)
    latent_space = _space(folder, None)
    from zerosum.generation.latents import mix as mixing
    from zerosum.generation.sampler import check_sheet

    check_sheet(latent_space.generator, target)
    count = mixing.num_layers(latent_space)
    chosen = mixing.parse_layers(layers or f"0-{max(0, count // 2 - 1)}", count)
    left, top = (latent_space.keys(names.split(","), label, truncation) for names in (rows, columns))
    samples, layout = mixing.mix_sheet(latent_space, left, top, chosen)
    latent_space.write(samples, target, layout)
    show(
        {"path": str(target), "layers": list(chosen), "num_layers": count},
        json,
        f"{target}\nLayers {mixing.format_layers(chosen)} of {count} come from the top.",
    )


@app.command()
def directions(
    folder: Folder,
    num: Annotated[int, typer.Option(help="Number of directions, the strongest first.")] = 8,
    seeds: Seeds = "1",
    reach: Annotated[float, typer.Option(help="The strips go from -REACH to REACH standard deviations.")] = 3.0,
    steps: Annotated[int, typer.Option(help="Pictures per strip.")] = 7,
    layers: Annotated[str | None, typer.Option(help="Only these styles: 0-3 (generators with styles).")] = None,
    space: SpaceName = None,
    label: Labels = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The sheet, a .png, of sounds also one .wav after another; default: FOLDER/directions.png."),
    ] = None,
    json: Json = False,
) -> None:
    """Find the latent directions along which samples change most; needs no data. `zerosum sample --direction` uses them.

    They are written as directions.safetensors and directions.json beside the generator.
    """
    target = out or folder / "directions.png"
    _refuse_unless(target, (*PICTURES, *({SOUND_ENDING} & set(catalog.endings(folder)))))
    latent_space = _space(folder, space)
    from zerosum.generation.labelled_grid import Layout
    from zerosum.generation.latents import directions as finding
    from zerosum.generation.latents.mix import num_layers, parse_layers
    from zerosum.generation.sampler import check_sheet

    finding.check_strip(reach, steps)
    check_sheet(latent_space.generator, target)
    found = finding.find_directions(
        latent_space, num, None if layers is None else parse_layers(layers, num_layers(latent_space))
    )
    paths = found.save(folder, latent_space)
    strips = finding.direction_strips(latent_space, found, latent_space.keys(seeds.split(","), label), reach, steps)
    far = tuple(f"{reach * (2 * place / (steps - 1) - 1):+.2g}" for place in range(steps))
    order = f"Directions 0 to {len(found.strengths) - 1} from top to bottom, in standard deviations"
    latent_space.write(latent_space.render(strips), target, Layout(steps, far, top=order), strips.condition)
    table = [
        {"direction": k, "strength": float(strength), "deviation": float(deviation)}
        for k, (strength, deviation) in enumerate(zip(found.strengths, found.deviations, strict=True))
    ]
    lines = [f"direction {row['direction']:2}  strength {row['strength']:.4g}" for row in table]
    text = "\n".join([*lines, str(target), *map(str, paths)])
    show(
        {"sheet": str(target), "paths": [str(p) for p in paths], "space": latent_space.name, "directions": table},
        json,
        text,
    )


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
    """Find latents whose samples are closest to given pictures, and show each picture next to its reconstruction.

    The latents are written as .safetensors next to the picture; `zerosum sample --latent` uses them.
    """
    target = out or folder / "projected.png"
    _refuse_unless(target, PICTURES)
    import torch

    from zerosum.api import files_in
    from zerosum.generation.latents.project import project as search
    from zerosum.generation.sampler import check_sheet

    latent_space = _space(folder, space)
    if not (domain := latent_space.generator.domain).media.pixels:
        raise UserError(f"only pictures can be projected; samples of the domain {domain.name!r} are none.")
    check_sheet(latent_space.generator, target)
    files = files_in(files)
    missing = [str(path) for path in files if not path.is_file()]
    if missing or not files:
        raise UserError(
            f"There is no file {', '.join(missing[:5])}."
            if missing
            else "There are no files to project. Give pictures or folders of them."
        )
    found = search(
        latent_space,
        latent_space.generator.domain.media.read(files, latent_space.sampler.info),
        steps=steps,
        seed=seed,
        labels=label,
        log=print_message,
    )
    pairs = torch.stack([found.targets, found.samples], 1).flatten(0, 1)
    under = found.latents.condition
    under = None if under is None else under.repeat_interleave(2, 0)
    latent_space.write(pairs, target, 2 * min(4, len(found.targets)), under)
    saved = target.with_suffix(".safetensors")
    found.latents.save(saved)
    values = {str(path): float(value) for path, value in zip(files, found.psnr, strict=True)}
    lines = [f"{value:5.1f} dB  {name}" for name, value in values.items()]
    text = "\n".join([*lines, str(target), str(saved)])
    show({"path": str(target), "latents": str(saved), "space": latent_space.name, "psnr_db": values}, json, text)


# --- parts


def _frames(num_keys: int, loop: bool, each: int) -> int:
    """`each` per pair of keys, and one for the last key unless the path is a loop."""
    return num_keys * each if loop else (num_keys - 1) * each + 1


def _strip_endings(own: Iterable[str]) -> tuple[str, ...]:
    """The endings that `interpolate` writes. own: those of the domain."""
    return tuple(dict.fromkeys((*PICTURES, *own, *MOVING)))


def _usual_ending(space: Space) -> str:
    """Of the file that `interpolate` writes by default: a moving picture, else a strip, else a file of samples."""
    media = space.generator.domain.media
    if media.film is not None:
        return ".gif"
    return media.preview_ending if media.draws else Path(media.sample_file).suffix


def _space(folder: Path, name: str | None) -> Space:
    """The latent space of a generator."""
    from zerosum.api import load
    from zerosum.generation.latents.space import Space

    return Space(load(folder), name)


def _refuse_unless(target: Path, kinds: tuple[str, ...], fps: float | None = None) -> None:
    """UserError for an ending or a speed that cannot be written; called before anything slow."""
    if target.suffix.lower() not in kinds:
        raise UserError(f"--out {target}: give a name that ends in {', '.join(kinds)}.")
    if fps is not None:
        from zerosum.data.images.film import check_speed

        check_speed(fps)
