"""The commands that use a generator: sample, export."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from zerosum import catalog
from zerosum.cli.common import Folder, Json, app, print_message, show
from zerosum.errors import UserError

Number = Annotated[
    int | None,
    typer.Option("--num", min=1, help="How many samples, by default 64; with --grid the rows, by default 8."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same samples.")]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        help="Only this class: its name, its number, or a value of one field of the names; may be repeated.",
        show_default=False,
    ),
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


Out = Annotated[
    Path | None,
    typer.Option(
        help="A picture, an array, a table or a folder of files; default: a file in FOLDER, such as samples.png."
    ),
]


def _declared() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Name -> (domains, plain values) of each option that a domain declares. Domains of installed packages are imported for it,
    and only for `zerosum sample`."""
    found = list(catalog.declared_sample_options())
    if sys.argv[1:2] == ["sample"] and catalog.installed_domains():
        found += [(each.name, one.to_json()) for each in catalog.unlisted() for one in each.media.sample_options]
    options: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for domain, option in found:
        domains, first = options.get(option["name"], ("", option))
        options[option["name"]] = f"{domains}, {domain}".removeprefix(", "), first
    return options


def _parameter(domains: str, option: Mapping[str, Any]) -> inspect.Parameter:
    """The parameter of the verb for one of these options."""
    name, flag, kind, default = (option[key] for key in ("name", "flag", "kind", "default"))

    def refuse_empty(text: str | None) -> str | None:
        if text == "":
            raise UserError(f'{flag} "" is empty; perhaps an unset shell variable? Leave {flag} out, or give a value.')
        return text

    about: dict[str, Any] = {
        "help": f"{domains.capitalize()}: {option['help']}",
        "metavar": option["metavar"] or None,
        "show_default": kind == "number",
    }
    types: dict[str, Any] = {"text": str | None, "flag": bool, "number": float, "paths": list[Path] | None}
    if kind == "number":
        about |= {"min": option["least"], "max": option["most"]}
    if kind in ("text", "paths"):
        default = None
    if kind == "text":
        about["callback"] = refuse_empty
    annotation = cast(Any, Annotated)[types[kind], typer.Option(flag, **about)]
    return inspect.Parameter(f"own_{name}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _with_own_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with a parameter for each option that a domain declares, in place of its **own, before --out."""
    declared = _declared()
    parameters = [_parameter(*about) for about in declared.values()]
    signature = inspect.signature(verb, eval_str=True)
    usual = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    place = [each.name for each in usual].index("out")
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in usual[place:]]

    @functools.wraps(verb)
    def called(*given: Any, **named: Any) -> None:
        own = {name: named.pop(f"own_{name}") for name in declared}
        usual_value = {name: about[1]["default"] for name, about in declared.items()}
        verb(*given, **named, **{name: x for name, x in own.items() if x is not None and x != usual_value[name]})

    called.__signature__ = signature.replace(parameters=[*usual[:place], *parameters, *keyword])  # type: ignore[attr-defined]
    return called


@app.command()
@_with_own_options
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
    out: Out = None,
    json: Json = False,
    **own: Any,
) -> None:
    """Generate samples with a trained generator."""
    if out is not None:
        catalog.refuse_ending(folder, out)
    from zerosum.api import load
    from zerosum.domain import SampleRequest
    from zerosum.domain.info import parse_attributes
    from zerosum.formatting import format_paths
    from zerosum.generation.latents.sampling import SampleOptions, write_requested_samples

    loaded = load(folder)
    target = out or folder / loaded.domain.media.sample_file
    wanted = parse_attributes(attributes) if attributes else {}
    request = SampleRequest(num, seed, target, own, tuple(label or ()), wanted)
    usual = bool(truncation != 1 or grid or direction or latent)
    if (produced := loaded.produce(request, usual)) is None:
        options = SampleOptions(
            num,
            seed,
            request.labels,
            truncation,
            grid,
            tuple(direction or ()),
            latent,
            wanted,
            own,
        )
        produced = write_requested_samples(loaded, options, target)
    print_message(*produced.notes)
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
    from zerosum.api import load
    from zerosum.formatting import patience
    from zerosum.generation.export.exporting import export as exported

    loaded = load(folder)
    with patience(print_message, "Exporting the generator and comparing it with the original ..."):
        done = exported(loaded, format, out or folder / f"export-{format}", licence)
    if format == "huggingface" and licence is None:
        print_message(
            "The model card says licence `unknown`; set it with --license, and respect the licence of the data."
        )
    batches = ", ".join(map(str, done.check["batches"]))
    message = (
        f"Checked by {done.check['by']} on batches of {batches}: largest difference from the original "
        f"{done.check['largest_difference']:.2g}, allowed {done.check['tolerance']:.2g}."
    )
    paths = [str(path) for path in done.paths]
    show({"paths": paths, **done.check}, json, "\n".join([*paths, message]))
