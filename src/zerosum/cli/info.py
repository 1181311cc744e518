"""The verbs that tell what is there: recipes, sources, doctor."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from zerosum.cli.common import Json, app, show
from zerosum.errors import known_as


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe whole.")] = None, json: Json = False
) -> None:
    """List the recipes, or show one."""
    from zerosum import known
    from zerosum.progress import table

    if name is None and not json and known.complete():
        print(table(list(known.recipes().items())))
        return
    if name is not None and known.complete():
        known_as(name, known.recipes(), "recipe")
    from zerosum import catalog

    whole = {key: each.to_json() for key, each in catalog.recipes().items()}
    if name is not None:
        show(known_as(name, whole, "recipe"), True)
    else:
        show(whole, json, table([(key, str(each["why"])) for key, each in whole.items()]))


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Show this source.")] = None, json: Json = False) -> None:
    """List the named data sets, or show one."""
    from zerosum import known
    from zerosum.progress import shown, table

    if name is None and not json and known.complete():
        print(table(list(known.sources().items())))
        return
    if name is not None and known.complete():
        known_as(name, known.sources(), "source")
    from zerosum import catalog

    every = {key: dataclasses.asdict(info) for key, info in catalog.sources().items()}
    if name is None:
        show(every, json, table([(key, str(info["summary"])) for key, info in every.items()]))
        return
    info = known_as(name, every, "source")
    show(info, json, table([(key, shown(value)) for key, value in info.items() if value]))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine offers and what is missing."""
    from zerosum.doctor import examine
    from zerosum.progress import table

    found = examine()
    show(found, json, table([(key, str(value)) for key, value in found.items()]))
