"""Where the data of a run lie: stored as absolute paths, looked for there, and named anew when they have moved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zerosum.data.opening import path_of
from zerosum.domain import Domain
from zerosum.errors import UserError
from zerosum.recipe import Component, Recipe


def absolute(text: str | Path) -> str:
    """The path as it is called from any folder."""
    return os.path.abspath(path_of(text))


def stored(recipe: Recipe, domain: Domain) -> Recipe:
    """The recipe with every path in it absolute, so that the run can be gone on with from anywhere."""
    changed = {name: absolute(path) for name, path in _paths(recipe.data, domain) if os.path.exists(path_of(path))}
    start = recipe.start and recipe.start.model_copy(update={"folder": absolute(recipe.start.folder)})
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **changed}, start=start)


def moved(recipe: Recipe, domain: Domain, to: str | Path) -> Recipe:
    """The recipe with its data at another place. Paths of other options that lay within the old place lie within the new."""
    old, new = Path(absolute(recipe.data.kind)), Path(absolute(to))
    inside = {
        name: str(new / Path(path).relative_to(old))
        for name, path in _paths(recipe.data, domain)
        if name != "kind" and Path(path).is_relative_to(old)
    }
    kind = str(to) if is_name(str(to), domain) else str(new)
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **inside, "kind": kind})


def public(recipe: Recipe, domain: Domain) -> Recipe:
    """The recipe for others to read: of each path only the last part, for the rest is about this machine."""
    names = {name: Path(path).name for name, path in _paths(recipe.data, domain)}
    start = recipe.start and recipe.start.model_copy(update={"folder": Path(recipe.start.folder).name})
    return recipe.changed(data={**recipe.data.model_dump(mode="json"), **names}, start=start)


def check(recipe: Recipe, domain: Domain, run: object) -> None:
    """UserError when data that were read from files are no longer there; it says where they were."""
    for name, path in _paths(recipe.data, domain):
        if not os.path.exists(path_of(path)):
            what = "data" if name == "kind" else f"file of data.{name}"
            far = "" if os.path.isabs(path_of(path)) else f", seen from the folder {os.getcwd()}"
            anew = "--data NEW" if name == "kind" else f"--set data.{name}=NEW"
            raise UserError(
                f"The {what} of {run}: at {path} when it was trained, and nothing is there now{far}. Bring it back, or name "
                f"the new place: zerosum resume {run} {anew}"
                + (f", zerosum evaluate {run} --data NEW." if name == "kind" else ".")
            )


def is_name(where: str, domain: Domain) -> bool:
    """Whether it names a source of the domain, in any spelling, and no place."""
    return _plain(where) in {_plain(name) for name in domain.data.sources()}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _paths(data: Component, domain: Domain) -> Iterator[tuple[str, str]]:
    """The options that are paths, by name."""
    if not is_name(data.kind, domain):
        yield "kind", data.kind
    for name in domain.data.paths:
        if isinstance(path := data.options.get(name), str):
            yield name, path
