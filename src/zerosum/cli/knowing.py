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
    from zerosum import catalog
    from zerosum.runs.progress import table

    known = catalog.recipes()
    if name is None:
        show(
            {key: each.to_json() for key, each in known.items()},
            json,
            table([(key, each.why) for key, each in known.items()]),
        )
        return
    show(known_as(name, known, "recipe").to_json(), True)


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Show this source.")] = None, json: Json = False) -> None:
    """List the named data sets, or show one."""
    from zerosum import catalog
    from zerosum.runs.progress import shown, table

    known = {key: dataclasses.asdict(info) for key, info in catalog.sources().items()}
    if name is None:
        show(known, json, table([(key, str(info["summary"])) for key, info in known.items()]))
        return
    info = known_as(name, known, "source")
    show(info, json, table([(key, shown(value)) for key, value in info.items() if value]))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine offers and what is missing."""
    from zerosum.runs.doctor import examine
    from zerosum.runs.progress import table

    found = examine()
    show(found, json, table([(key, str(value)) for key, value in found.items()]))
