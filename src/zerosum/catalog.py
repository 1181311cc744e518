"""Names of domains, recipes and sources. A domain is imported only when it is needed.

Domains are the packages in `zerosum/domains/`, the entry points `zerosum.domains` of installed packages, and those that a program
gives to `register`.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zerosum import domains, known
from zerosum.data import numpy_files
from zerosum.data.opening import is_regular, path_of
from zerosum.domain import Domain
from zerosum.errors import UserError, nearest
from zerosum.recipe import Recipe

ARRAYS = (".npy", ".npz")
_registered: dict[str, Domain] = {}
_loaded: dict[str, Domain] = {}
"""Domains of entry points that were imported and checked."""


def built_in() -> list[str]:
    """The names of the packages in `zerosum/domains/`; nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(domains.__path__) if module.ispkg)


def domain_names() -> list[str]:
    """The built-in domains, then those of installed packages and those that were registered; nothing is imported.

    UserError where two have one name.
    """
    names = built_in()
    for name, package in known.installed():
        if name in names:
            other = next((by for same, by in known.installed() if same == name and by != package), "")
            raise UserError(
                _clash(name, f"the package {package}", f"the package {other}" if other else "zerosum itself")
            )
        names.append(name)
    for name in _registered:
        if name in names:
            raise UserError(_clash(name, "zerosum.register", _origin(name)))
        names.append(name)
    return names


def register(domain: Domain, replace: bool = False) -> Domain:
    """Makes a domain known to this program: `zs.train` finds its data, recipes and sources. Returns the domain.

    Other processes (evaluation during the training, the command line, `--devices`) do not know it; for those give it by an entry
    point of the group `zerosum.domains` (docs/extend.md). replace: a domain registered before under this name is replaced.
    UserError where the name of the domain, of one of its recipes or of one of its sources is taken.
    """
    taken = [*built_in(), *(name for name, _ in known.installed())]
    if domain.name in taken or (domain.name in _registered and not replace):
        advice = "" if domain.name in taken else " To replace it: register(domain, replace=True)."
        raise UserError(_clash(domain.name, f"zerosum.register ({domain.summary})", _origin(domain.name)) + advice)
    before = _registered.pop(domain.name, None)
    try:
        _refuse_taken_names(domain, "zerosum.register")
    except UserError:
        if before is not None:
            _registered[domain.name] = before
        raise
    _registered[domain.name] = domain
    return domain


def domain(name: str) -> Domain:
    """The domain of that name. UserError where there is none, or where its package cannot be imported."""
    names = domain_names()
    if name in _registered:
        return _registered[name]
    if name not in names:
        raise UserError(
            f"There is no domain {name!r} in this process. {nearest(name, names)} If a package brings it, install the package "
            "here. If a program registered it with zerosum.register, only that program knows it: other processes (the command "
            "line, evaluation during the training, --devices) need it as an entry point `zerosum.domains` (docs/extend.md)."
        )
    if name in built_in():
        found: Domain = importlib.import_module(f"zerosum.domains.{name}").DOMAIN
        return found
    return _of_package(name)


def _of_package(name: str) -> Domain:
    """The domain that an entry point names, imported and checked once."""
    if name not in _loaded:
        package = dict(known.installed())[name]
        origin = f"the package {package}"
        try:
            found = known.entry_point(name).load()
        except Exception as error:
            raise UserError(
                f"The domain {name!r} of {origin} cannot be imported ({type(error).__name__}: {error}). Repair the package, or "
                f"remove it: pip uninstall {package}"
            ) from error
        if not isinstance(found, Domain) or found.name != name:
            what = (
                f"the domain {found.name!r}"
                if isinstance(found, Domain)
                else f"an object of type {type(found).__name__}"
            )
            raise UserError(f"The entry point {name!r} of {origin} gives {what}; it must give the Domain of that name.")
        _refuse_taken_names(found, origin)
        _loaded[name] = found
    return _loaded[name]


def _refuse_taken_names(domain: Domain, origin: str) -> None:
    """UserError where a recipe or a source of a domain from outside has the name of one that is there already."""
    others = [other for other in (*_loaded.values(), *_registered.values()) if other.name != domain.name]
    for kind, names, built in (
        ("recipe", domain.recipes.table, known.built_in("recipes")),
        ("source", domain.data.sources(), known.built_in("sources")),
    ):
        owners = dict(built)
        for other in others:
            owners |= dict.fromkeys(other.recipes.table if kind == "recipe" else other.data.sources(), other.name)
        for name in names:
            if name in owners:
                raise UserError(
                    f"The {kind} {name!r} of the domain {domain.name!r} ({origin}) has the name of a {kind} of the domain "
                    f"{owners[name]!r} ({_origin(owners[name])}). Rename one of them."
                )


def _origin(name: str) -> str:
    """Where a domain comes from, in words."""
    package = dict(known.installed()).get(name)
    return "zerosum itself" if name in built_in() else f"the package {package}" if package else "zerosum.register"


def _clash(name: str, one: str, other: str) -> str:
    return f"Two domains have the name {name!r}: that of {one} and that of {other}. Rename or uninstall one of them."


def _all(names: Sequence[str] | None = None) -> Iterator[Domain]:
    """The domains of these names, by default every one; a warning in place of one whose package cannot be imported."""
    for name in domain_names() if names is None else names:
        try:
            yield domain(name)
        except UserError as error:
            if name in built_in():
                raise
            warnings.warn(str(error), stacklevel=2)


def recognise(where: str) -> Domain:
    """The domain whose data lie at `where` (a name or a path)."""
    if not where.strip():
        raise UserError(
            "The name of the data is empty: give a source, a file or a folder (. is the folder you are in)."
        )
    if owner := known.built_in("sources").get(where):
        return domain(owner)
    domains_here = list(_all())
    for candidate in domains_here:
        if where in candidate.data.sources():  # a name means the source, whatever folder bears it; ./name is the folder
            return candidate
    path = path_of(where)
    if is_regular(path / "run.json"):
        raise UserError(f"{where} is the folder of a run, not data. To train it on: zerosum resume {where}")
    for candidate in domains_here:
        if candidate.data.can_open(where):
            return candidate
    for candidate in domains_here if os.path.exists(path) else ():
        if candidate.data.looks_like(path):
            return candidate
    raise _refusal(where, path, domains_here)


def _refusal(where: str, path: Path, domains_here: Sequence[Domain]) -> UserError:
    """Why a name or a path that is no domain's cannot be trained on."""
    if os.path.isdir(path) and not any(path.iterdir()):
        return UserError(f"{where} is an empty folder: put the data into it, or name another.")
    if is_regular(path) and path.suffix.lower() in ARRAYS:
        read = "\n".join(f"  {candidate.data.arrays}" for candidate in domains_here if candidate.data.arrays)
        return UserError(f"{where} {_held(path)}. Arrays that can be trained on:\n{read}")
    if not os.path.exists(path):
        return known.missing(where)
    kinds = "\n".join(f"  {candidate.name}: {candidate.summary}" for candidate in domains_here)
    return UserError(
        f"{where!r} is no named source, and no data that can be read. What can be trained on:\n{kinds}\n"
        "The names are listed by `zerosum sources`."
    )


def _held(path: Path) -> str:
    """What a NumPy file holds, in words."""
    try:
        shapes = {name: header.shape for name, header in numpy_files.headers(path).items()}
    except (OSError, UserError):
        return "cannot be read as arrays of numbers"
    if path.suffix.lower() == ".npy":
        return f"holds an array of shape {shapes[path.stem]}"
    return f"holds the arrays {', '.join(f'{name} {shape}' for name, shape in shapes.items()) or '(none)'}"


def recipe(name: str) -> Recipe:
    """The recipe of that name; only the domain that has it is imported. UserError with the nearest names where there is none."""
    if owner := known.built_in("recipes").get(name):
        return domain(owner).recipes.table[name]
    every = recipes()
    if name not in every:
        raise known.no_recipe(name, every)
    return every[name]


def recipes() -> Mapping[str, Recipe]:
    """All recipes of all domains by name."""
    return {name: recipe for each in _all() for name, recipe in each.recipes.table.items()}


def sources() -> Mapping[str, Any]:
    """All named sources of all domains."""
    return {name: info for each in _all() for name, info in each.data.sources().items()}


def unlisted() -> list[Domain]:
    """The domains that the file of `known` does not list: those from outside, and a built-in one that was just added."""
    listed = known.domains()
    return list(_all([name for name in domain_names() if name not in listed]))


def summary() -> dict[str, Any]:
    """What `known` reads of the built-in domains: what they say of themselves, their recipes and their sources."""
    return {
        each.name: {
            "summary": each.summary,
            "endings": list(each.media.endings),
            "sample": [option.to_json() for option in each.media.sample_options],
            "recipes": {name: recipe.why for name, recipe in each.recipes.table.items()},
            "sources": {name: str(info.summary) for name, info in each.data.sources().items()},
        }
        for each in map(domain, built_in())
    }


def main() -> None:
    """Writes the file that `known` reads: after a built-in domain, a recipe or a source was added, changed or removed."""
    text = json.dumps(summary(), indent=1, ensure_ascii=False) + "\n"
    (Path(__file__).parent / known.FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
