"""The commands that list: recipes, sources, doctor."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from zerosum.cli.common import Json, app, show
from zerosum.errors import known_as


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe in full.")] = None, json: Json = False
) -> None:
    """List the recipes, or show one."""
    from zerosum import catalog
    from zerosum.formatting import format_table

    if name is None and not json:
        lines = list(catalog.recipe_summaries().items())
        if not catalog.is_complete():
            lines += [(key, each.why) for domain in catalog.unlisted() for key, each in domain.recipes.table.items()]
        print(format_table(lines))
        return
    catalog.refuse_recipe(name)
    if name is not None:
        show(catalog.recipe(name).to_json(), True)
    else:
        show({key: each.to_json() for key, each in catalog.recipes().items()}, json)


@app.command()
def sources(name: Annotated[str | None, typer.Argument(help="Show this source.")] = None, json: Json = False) -> None:
    """List the named data sets, or show one."""
    from zerosum import catalog
    from zerosum.formatting import format_table, format_value

    if name is None and not json:
        lines = list(catalog.source_summaries().items())
        if not catalog.is_complete():
            for domain in catalog.unlisted():
                lines += [(key, str(info.summary)) for key, info in domain.data.sources().items()]
        print(format_table(lines))
        return
    if name is not None and catalog.is_complete():
        known_as(name, catalog.source_summaries(), "source")
    domains = catalog.source_domains()
    every = {key: {"domain": domains[key]} | dataclasses.asdict(info) for key, info in catalog.sources().items()}
    for described in every.values():
        described |= described.pop("details", {})
    if name is None:
        show(every, json)
        return
    info = known_as(name, every, "source")
    show(info, json, format_table([(key, format_value(value)) for key, value in info.items() if value]))


@app.command()
def doctor(json: Json = False) -> None:
    """Show what this machine has and which optional packages are missing."""
    from zerosum.formatting import format_table
    from zerosum.machine import examine

    found = examine()
    show(found, json, format_table([(key, str(value)) for key, value in found.items()]))
